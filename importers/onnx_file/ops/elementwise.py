"""Operators that compute every element on its own."""

from __future__ import annotations

import numpy as np

from kir.errors import FormatError, UnsupportedError
from kir.importers.onnx_file import recognise
from kir.importers.onnx_file.ops.table import IMPORTERS, Results, activation, imports, scaled
from kir.importers.onnx_file.reading import read_dtype
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.op import Op
from kir.ir.types import DType
from kir.ops.elementwise import (
    SELU_ALPHA,
    SELU_SCALE,
    Add,
    And,
    Cast,
    Celu,
    Clip,
    Div,
    Elu,
    Equal,
    Gelu,
    Greater,
    HardSigmoid,
    IsInf,
    LeakyRelu,
    Less,
    Maximum,
    Minimum,
    Mod,
    Mul,
    Pow,
    PRelu,
    Selu,
    Shrink,
    Sigmoid,
    ThresholdedRelu,
    Where,
)
from kir.ops.shape import Reshape


@imports("LeakyRelu")
def leaky_relu(call: OperatorCall, x: Operand) -> Results:
    return activation(call, LeakyRelu(call.attributes.number("alpha", 0.01)), x)


@imports("Elu")
def elu(call: OperatorCall, x: Operand) -> Results:
    return activation(call, Elu(call.attributes.number("alpha", 1.0)), x)


@imports("Celu")
def celu(call: OperatorCall, x: Operand) -> Results:
    return activation(call, Celu(call.attributes.number("alpha", 1.0)), x)


@imports("ThresholdedRelu")
def thresholded_relu(call: OperatorCall, x: Operand) -> Results:
    return activation(call, ThresholdedRelu(call.attributes.number("alpha", 1.0)), x)


@imports("HardSigmoid")
def hard_sigmoid(call: OperatorCall, x: Operand) -> Results:
    alpha, beta = call.attributes.number("alpha", 0.2), call.attributes.number("beta", 0.5)
    return activation(call, HardSigmoid(alpha, beta), x)


@imports("Shrink")
def shrink(call: OperatorCall, x: Operand) -> Results:
    bias, lambd = call.attributes.number("bias", 0.0), call.attributes.number("lambd", 0.5)
    return activation(call, Shrink(bias, lambd), x)


@imports("Equal")
def equal(call: OperatorCall, a: Operand, b: Operand) -> Results:
    if a.type.dtype is DType.STRING:
        raise UnsupportedError("kir has no Equal of strings")
    return call.add(Equal(), a, b)


@imports("Gelu")
def gelu(call: OperatorCall, x: Operand) -> Results:
    approximate = call.attributes.text("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise FormatError(f"Gelu has approximate={approximate!r}; expected 'none' or 'tanh'")
    return activation(call, Gelu(approximate == "tanh"), x)


@imports("Selu")
def selu(call: OperatorCall, x: Operand) -> Results:
    """With constants of its own: gamma * Elu."""
    alpha, gamma = call.attributes.number("alpha", None), call.attributes.number("gamma", None)
    if _is_default(alpha, SELU_ALPHA) and _is_default(gamma, SELU_SCALE):
        return activation(call, Selu(), x)
    elu = call.add(Elu(SELU_ALPHA if alpha is None else alpha), x)
    return scaled(call, elu, SELU_SCALE if gamma is None else gamma)


def _is_default(given: float | None, default: float) -> bool:
    return given is None or np.float32(given) == np.float32(default)


@imports("Swish")
def swish(call: OperatorCall, x: Operand) -> Results:
    alpha = call.attributes.number("alpha", 1.0)
    gate = call.add(Sigmoid(), x if alpha == 1 else scaled(call, x, alpha))
    return call.add(Mul(), x, gate)


@imports("IsInf")
def is_inf(call: OperatorCall, x: Operand) -> Results:
    signs = call.attributes.integer("detect_negative", 1), call.attributes.integer("detect_positive", 1)
    result = call.add(IsInf(), x)
    if all(signs):
        return result
    if not any(signs):
        return call.add(And(), result, call.add(Less(), x, x))  # nothing is less than itself
    zero = call.translator.constant(0, x.type.dtype)
    return call.add(And(), result, call.add(Greater() if signs[1] else Less(), x, zero))


@imports("Clip")
def clip(call: OperatorCall, x: Operand, minimum: Operand | None = None, maximum: Operand | None = None) -> Results:
    """To ONNX an absent bound is the largest finite number; one of inf does not bound, nor does it of integers."""
    dtype = x.type.dtype
    if call.opset < 11:
        bounds = [call.attributes.number("min", None), call.attributes.number("max", None)]
        given = [None if bound is None else call.translator.constant(bound, dtype) for bound in bounds]
    else:
        given = [minimum, maximum]
    return call.add(Clip(), x, *(_bound(call, bound, sign, dtype) for bound, sign in zip(given, (-1, 1), strict=True)))


def _bound(call: OperatorCall, bound: Operand | None, sign: int, dtype: DType) -> Operand | None:
    if bound is None:
        return call.translator.constant(sign * _largest(dtype), dtype) if dtype.is_float else None
    if dtype.is_float and bound.array is not None and bound.array.size == 1 and bound.array.item() == sign * np.inf:
        return None
    return bound if bound.type.rank == 0 else call.add(Reshape(()), bound)


def _largest(dtype: DType) -> float:
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype.numpy).max)  # type: ignore[no-untyped-call]


@imports("Cast")
def cast(call: OperatorCall, x: Operand) -> Results:
    call.attributes.integer("saturate", 1)  # says something about floats of 8 bits only
    call.attributes.text("round_mode", "up")
    dtype = read_dtype(call.attributes.integer("to"), "the target of Cast")
    return call.add(Cast(dtype), x)


@imports("CastLike")
def cast_like(call: OperatorCall, x: Operand, like: Operand) -> Results:
    call.attributes.integer("saturate", 1)
    call.attributes.text("round_mode", "up")
    return call.add(Cast(like.type.dtype), x)


@imports("Pow")
def pow_(call: OperatorCall, a: Operand, b: Operand) -> Results:
    """The exponent may be of another dtype than the base; it is cast to it."""
    if a.type.dtype.is_integer and b.type.dtype.is_float:
        power = call.add(Pow(), call.add(Cast(b.type.dtype), a), b)
        return call.add(Cast(a.type.dtype), power)
    return call.add(Pow(), a, b if a.type.dtype is b.type.dtype else call.add(Cast(a.type.dtype), b))


@imports("Mod")
def mod(call: OperatorCall, a: Operand, b: Operand) -> Results:
    fmod = bool(call.attributes.integer("fmod", 0))
    if a.type.dtype.is_float and not fmod:
        raise UnsupportedError("kir has Mod of floats with fmod=1 only")
    return call.add(Mod(fmod), a, b)


def _chain(op: Op, call: OperatorCall, *values: Operand) -> Operand:
    """One of several inputs: a chain of operators of two."""
    result = values[0]
    for value in values[1:]:
        result = call.add(op, result, value)
    return result


IMPORTERS["Max"] = lambda call, *values: _chain(Maximum(), call, *values)
IMPORTERS["Min"] = lambda call, *values: _chain(Minimum(), call, *values)
IMPORTERS["Sum"] = lambda call, *values: _chain(Add(), call, *values)


@imports("Mean")
def mean(call: OperatorCall, *values: Operand) -> Results:
    total = _chain(Add(), call, *values)
    return call.add(Div(), total, call.translator.constant(len(values), total.type.dtype))


@imports("Add")
def add(call: OperatorCall, a: Operand, b: Operand) -> Results:
    return recognise.add_bias(call, a, b) or recognise.add_bias(call, b, a) or call.add(Add(), a, b)


@imports("Less")
def less(call: OperatorCall, a: Operand, b: Operand) -> Results:
    compared = recognise.compare_random(a.pending, b) if isinstance(a.pending, recognise.Uniform) else None
    return compared or call.add(Less(), a, b)


@imports("Where")
def where(call: OperatorCall, condition: Operand, a: Operand, b: Operand) -> Results:
    found: Operand | None = None
    if isinstance(condition.pending, recognise.Kept):
        found = recognise.drop(call, condition.pending, a, b)
    elif isinstance(condition.pending, recognise.DropoutMask):
        found = recognise.drop_again(call, condition.pending, a, b)
    elif isinstance(a.pending, recognise.Dropped):
        found = recognise.switch(call, condition, a.pending, b)
    else:
        found = recognise.kept_state(call, condition, a, b)
    return found or call.add(Where(), condition, a, b)


@imports("PRelu")
def prelu(call: OperatorCall, x: Operand, slope: Operand) -> Results:
    return call.add(PRelu(), x, slope)
