"""Operators that compute every element on its own."""

from __future__ import annotations

import numpy as np

from kir.exporters.onnx_file import formulas
from kir.exporters.onnx_file.emitter import Emitter, FileTensor, onnx_dtype
from kir.exporters.onnx_file.expression import Expression
from kir.exporters.onnx_file.ops.table import Names, exports, names_of, scalar_like
from kir.ir.types import DType
from kir.ops.elementwise import Cast, Celu, Clip, Gelu, HardSwish, Mish, Relu


@exports(Relu)
def relu(emitter: Emitter, op: Relu, x: FileTensor) -> Names:
    """Write a Relu; before opset 14 it takes floats only."""
    if x.type.dtype.is_float:
        return emitter.node("Relu", [x.name])
    return emitter.node("Max", [x.name, scalar_like(emitter, 0, x)])


@exports(HardSwish)
def hard_swish(emitter: Emitter, op: HardSwish, x: FileTensor) -> Names:
    return emitter.node("Mul", [x.name, emitter.node("HardSigmoid", [x.name], alpha=1 / 6, beta=0.5)])


@exports(Mish)
def mish(emitter: Emitter, op: Mish, x: FileTensor) -> Names:
    return emitter.node("Mul", [x.name, emitter.node("Tanh", [emitter.node("Softplus", [x.name])])])


@exports(Gelu)
def gelu(emitter: Emitter, op: Gelu, x: FileTensor) -> Names:
    if emitter.opset >= 20:
        return emitter.node("Gelu", [x.name], approximate="tanh" if op.approximate else "none")
    value = Expression.of(emitter, x)
    result = formulas.gelu_tanh(value) if op.approximate else formulas.gelu(value, lambda scaled: scaled.apply("Erf"))
    return result.name


@exports(Celu)
def celu(emitter: Emitter, op: Celu, x: FileTensor) -> Names:
    """Write a Celu; before opset 28 it takes f32 only."""
    if x.type.dtype is DType.FLOAT32:
        return emitter.node("Celu", [x.name], alpha=op.alpha)
    return formulas.celu(Expression.of(emitter, x), op.alpha).name


@exports(Clip)
def clip(
    emitter: Emitter, op: Clip, x: FileTensor, minimum: FileTensor | None = None, maximum: FileTensor | None = None
) -> Names:
    """Write a Clip. An absent bound does not bound; ONNX would put the largest finite number in its place."""
    bounds = names_of([minimum, maximum])
    if x.type.dtype.is_float:
        bounds = [bound or scalar_like(emitter, inf, x) for bound, inf in zip(bounds, (-np.inf, np.inf), strict=True)]
    return emitter.node("Clip", [x.name, *bounds])


@exports(Cast)
def cast(emitter: Emitter, op: Cast, x: FileTensor) -> Names:
    return emitter.node("Cast", [x.name], to=onnx_dtype(op.dtype))
