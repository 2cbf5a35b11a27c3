"""Operators that compute every element on its own."""

from __future__ import annotations

import numpy as np

from kir.exporters.onnx_file import formulas
from kir.exporters.onnx_file.emitter import Emitter, Tensor, onnx_dtype
from kir.exporters.onnx_file.expression import Expression
from kir.exporters.onnx_file.ops.table import SAME, Names, Same, exports, names_of, scalar_like
from kir.ops.elementwise import (
    Abs,
    Acos,
    Acosh,
    Add,
    And,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Cast,
    Ceil,
    Celu,
    Clip,
    Cos,
    Cosh,
    Div,
    Elu,
    Equal,
    Erf,
    Exp,
    Floor,
    Gelu,
    Greater,
    GreaterOrEqual,
    HardSigmoid,
    HardSwish,
    IsInf,
    IsNaN,
    LeakyRelu,
    Less,
    LessOrEqual,
    Log,
    Maximum,
    Minimum,
    Mish,
    Mod,
    Mul,
    Neg,
    Not,
    Or,
    Pow,
    PRelu,
    Reciprocal,
    Relu,
    Round,
    Selu,
    Shrink,
    Sigmoid,
    Sign,
    Sin,
    Sinh,
    Softplus,
    Softsign,
    Sqrt,
    Sub,
    Tan,
    Tanh,
    ThresholdedRelu,
    Where,
    Xor,
)
from kir.types import DType

SAME.update(
    {
        Abs: Same("Abs"),
        Acos: Same("Acos"),
        Acosh: Same("Acosh"),
        Add: Same("Add"),
        And: Same("And"),
        Asin: Same("Asin"),
        Asinh: Same("Asinh"),
        Atan: Same("Atan"),
        Atanh: Same("Atanh"),
        Ceil: Same("Ceil"),
        Cos: Same("Cos"),
        Cosh: Same("Cosh"),
        Div: Same("Div"),
        Elu: Same("Elu"),
        Equal: Same("Equal"),
        Erf: Same("Erf"),
        Exp: Same("Exp"),
        Floor: Same("Floor"),
        Greater: Same("Greater"),
        GreaterOrEqual: Same("GreaterOrEqual"),
        HardSigmoid: Same("HardSigmoid"),
        HardSwish: Same("HardSwish", since=14),
        IsInf: Same("IsInf"),
        IsNaN: Same("IsNaN"),
        LeakyRelu: Same("LeakyRelu"),
        Less: Same("Less"),
        LessOrEqual: Same("LessOrEqual"),
        Log: Same("Log"),
        Maximum: Same("Max"),
        Minimum: Same("Min"),
        Mish: Same("Mish", since=18),
        Mod: Same("Mod"),
        Mul: Same("Mul"),
        Neg: Same("Neg"),
        Not: Same("Not"),
        Or: Same("Or"),
        PRelu: Same("PRelu"),
        Pow: Same("Pow"),
        Reciprocal: Same("Reciprocal"),
        Relu: Same("Relu", since=14),
        Round: Same("Round"),
        Selu: Same("Selu"),
        Shrink: Same("Shrink"),
        Sigmoid: Same("Sigmoid"),
        Sign: Same("Sign"),
        Sin: Same("Sin"),
        Sinh: Same("Sinh"),
        Softplus: Same("Softplus"),
        Softsign: Same("Softsign"),
        Sqrt: Same("Sqrt"),
        Sub: Same("Sub"),
        Tan: Same("Tan"),
        Tanh: Same("Tanh"),
        ThresholdedRelu: Same("ThresholdedRelu"),
        Where: Same("Where"),
        Xor: Same("Xor"),
    }
)


@exports(Relu)
def relu(emitter: Emitter, op: Relu, x: Tensor) -> Names:
    """Before opset 14 Relu takes floats only."""
    if x.type.dtype.is_float:
        return emitter.node("Relu", [x.name])
    return emitter.node("Max", [x.name, scalar_like(emitter, 0, x)])


@exports(HardSwish)
def hard_swish(emitter: Emitter, op: HardSwish, x: Tensor) -> Names:
    return emitter.node("Mul", [x.name, emitter.node("HardSigmoid", [x.name], alpha=1 / 6, beta=0.5)])


@exports(Mish)
def mish(emitter: Emitter, op: Mish, x: Tensor) -> Names:
    return emitter.node("Mul", [x.name, emitter.node("Tanh", [emitter.node("Softplus", [x.name])])])


@exports(Gelu)
def gelu(emitter: Emitter, op: Gelu, x: Tensor) -> Names:
    if emitter.opset >= 20:
        return emitter.node("Gelu", [x.name], approximate="tanh" if op.approximate else "none")
    value = Expression.of(emitter, x)
    result = formulas.gelu_tanh(value) if op.approximate else formulas.gelu(value, lambda scaled: scaled.apply("Erf"))
    return result.name


@exports(Celu)
def celu(emitter: Emitter, op: Celu, x: Tensor) -> Names:
    """Before opset 28 Celu takes f32 only."""
    if x.type.dtype is DType.FLOAT32:
        return emitter.node("Celu", [x.name], alpha=op.alpha)
    return formulas.celu(Expression.of(emitter, x), op.alpha).name


@exports(Clip)
def clip(emitter: Emitter, op: Clip, x: Tensor, minimum: Tensor | None = None, maximum: Tensor | None = None) -> Names:
    """An absent bound does not bound; ONNX would put the largest finite number in its place."""
    bounds = names_of([minimum, maximum])
    if x.type.dtype.is_float:
        bounds = [bound or scalar_like(emitter, inf, x) for bound, inf in zip(bounds, (-np.inf, np.inf), strict=True)]
    return emitter.node("Clip", [x.name, *bounds])


@exports(Cast)
def cast(emitter: Emitter, op: Cast, x: Tensor) -> Names:
    return emitter.node("Cast", [x.name], to=onnx_dtype(op.dtype))
