"""Resize."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from kir.exporters.onnx_file.emitter import Emitter, FileTensor, onnx_dtype
from kir.exporters.onnx_file.ops.table import Names, exports
from kir.ir.dims import divide_exactly, is_known
from kir.ir.types import DType
from kir.ops.onnx_forms import RESIZE_ATTRIBUTES
from kir.ops.resize import Resize


@exports(Resize)
def resize(emitter: Emitter, op: Resize, x: FileTensor) -> Names:
    """Write a Resize by whole factors where they are known, so that unknown sizes need not be computed.

    The attribute `axes` of opset 18 would spare those that stay, but onnxruntime (1.32 is the newest known) moves
    transposes across a Resize without heeding it.

    onnxruntime resizes float32 alone; other floats are converted.
    """
    is_converted = x.type.dtype is not DType.FLOAT32
    name = emitter.node("Cast", [x.name], to=TensorProto.FLOAT) if is_converted else x.name
    factors = [divide_exactly(wanted, given) for given, wanted in zip(x.type.shape, op.shape, strict=True)]
    if all(factor is not None and is_known(factor) for factor in factors):
        inputs = [name, "", emitter.constant(factors, "factors", np.float32)]
    else:
        inputs = [name, "", "", emitter.sizes(op.shape)]
    result = emitter.node("Resize", inputs, mode=op.mode, **RESIZE_ATTRIBUTES[op.mode])
    return emitter.node("Cast", [result], to=onnx_dtype(x.type.dtype)) if is_converted else result
