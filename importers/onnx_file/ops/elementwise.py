"""Operators that compute every element on its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from kir.errors import FormatError, UnsupportedError
from kir.importers.onnx_file import recognise
from kir.importers.onnx_file.ops.table import IMPORTERS, Results, imports, scaled
from kir.importers.onnx_file.reading import read_dtype
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.op import Op
from kir.ir.types import NARROW, DType
from kir.ops import elementwise as ops
from kir.ops.shape import Reshape


def _of_numbers(cls: Callable[..., Op], defaults: Mapping[str, float], call: OperatorCall, x: Operand) -> Results:
    numbers = {name: call.attributes.number(name, default) for name, default in defaults.items()}
    return call.add(cls(**numbers), x)


# Operators whose attributes are numbers, with ONNX's defaults.
IMPORTERS.update(
    {
        "Celu": partial(_of_numbers, ops.Celu, {"alpha": 1.0}),
        "Elu": partial(_of_numbers, ops.Elu, {"alpha": 1.0}),
        "HardSigmoid": partial(_of_numbers, ops.HardSigmoid, {"alpha": 0.2, "beta": 0.5}),
        "LeakyRelu": partial(_of_numbers, ops.LeakyRelu, {"alpha": 0.01}),
        "Shrink": partial(_of_numbers, ops.Shrink, {"bias": 0.0, "lambd": 0.5}),
        "ThresholdedRelu": partial(_of_numbers, ops.ThresholdedRelu, {"alpha": 1.0}),
    }
)


@imports("Equal")
def equal(call: OperatorCall, a: Operand, b: Operand) -> Results:
    if a.type.dtype is DType.STRING:
        raise UnsupportedError("kir has no Equal of strings")
    return call.add(ops.Equal(), a, b)


@imports("Gelu")
def gelu(call: OperatorCall, x: Operand) -> Results:
    approximate = call.attributes.text("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise FormatError(f"Gelu has approximate={approximate!r}; expected 'none' or 'tanh'")
    return call.add(ops.Gelu(approximate == "tanh"), x)


@imports("Selu")
def selu(call: OperatorCall, x: Operand) -> Results:
    """Read a Selu with constants of its own: gamma * Elu."""
    alpha, gamma = call.attributes.number("alpha", None), call.attributes.number("gamma", None)
    if _is_default(alpha, ops.SELU_ALPHA) and _is_default(gamma, ops.SELU_SCALE):
        return call.add(ops.Selu(), x)
    elu = call.add(ops.Elu(ops.SELU_ALPHA if alpha is None else alpha), x)
    return scaled(call, elu, ops.SELU_SCALE if gamma is None else gamma)


def _is_default(given: float | None, default: float) -> bool:
    return given is None or np.float32(given) == np.float32(default)


@imports("Swish")
def swish(call: OperatorCall, x: Operand) -> Results:
    alpha = call.attributes.number("alpha", 1.0)
    gate = call.add(ops.Sigmoid(), x if alpha == 1 else scaled(call, x, alpha))
    return call.add(ops.Mul(), x, gate)


@imports("IsInf")
def is_inf(call: OperatorCall, x: Operand) -> Results:
    signs = call.attributes.integer("detect_negative", 1), call.attributes.integer("detect_positive", 1)
    result = call.add(ops.IsInf(), x)
    if all(signs):
        return result
    if not any(signs):
        return call.add(ops.And(), result, call.add(ops.Less(), x, x))  # nothing is less than itself
    zero = call.translator.constant(0, x.type.dtype)
    return call.add(ops.And(), result, call.add(ops.Greater() if signs[1] else ops.Less(), x, zero))


@imports("Clip")
def clip(call: OperatorCall, x: Operand, minimum: Operand | None = None, maximum: Operand | None = None) -> Results:
    """Read a Clip. To ONNX an absent bound is the largest finite number; inf does not bound, nor do integers."""
    dtype = x.type.dtype
    if call.opset < 11:
        bounds = [call.attributes.number("min", None), call.attributes.number("max", None)]
        given = [None if bound is None else call.translator.constant(bound, dtype) for bound in bounds]
    else:
        given = [minimum, maximum]
    return call.add(
        ops.Clip(), x, *(_bound(call, bound, sign, dtype) for bound, sign in zip(given, (-1, 1), strict=True))
    )


def _bound(call: OperatorCall, bound: Operand | None, sign: int, dtype: DType) -> Operand | None:
    if bound is None:
        return call.translator.constant(sign * _largest(dtype), dtype) if dtype.is_float else None
    if dtype.is_float and bound.array is not None and bound.array.size == 1 and bound.array.item() == sign * np.inf:
        return None
    return bound if bound.type.rank == 0 else call.add(Reshape(()), bound)


def _largest(dtype: DType) -> float:
    import ml_dtypes  # start-up time

    return float(ml_dtypes.finfo(dtype.numpy).max)  # type: ignore[no-untyped-call]


@imports("Cast")
def cast(call: OperatorCall, x: Operand) -> Results:
    return _cast(call, x, read_dtype(call.attributes.integer("to"), "the target of Cast"))


def _cast(call: OperatorCall, x: Operand, dtype: DType) -> Results:
    if not {x.type.dtype, dtype}.isdisjoint(NARROW | {DType.STRING}):
        raise UnsupportedError(f"a Cast of {x.type.dtype.keras_name} to {dtype.keras_name}")
    call.attributes.integer("saturate", 1)  # says something about floats of 8 bits only
    call.attributes.text("round_mode", "up")
    return call.add(ops.Cast(dtype), x)


@imports("CastLike")
def cast_like(call: OperatorCall, x: Operand, like: Operand) -> Results:
    return _cast(call, x, like.type.dtype)


@imports("Pow")
def pow_(call: OperatorCall, a: Operand, b: Operand) -> Results:
    """Read a Pow. The exponent may be of another dtype than the base; it is cast to it."""
    if a.type.dtype.is_integer and b.type.dtype.is_float:
        power = call.add(ops.Pow(), call.add(ops.Cast(b.type.dtype), a), b)
        return call.add(ops.Cast(a.type.dtype), power)
    return call.add(ops.Pow(), a, b if a.type.dtype is b.type.dtype else call.add(ops.Cast(a.type.dtype), b))


@imports("Mod")
def mod(call: OperatorCall, a: Operand, b: Operand) -> Results:
    fmod = bool(call.attributes.integer("fmod", 0))
    if a.type.dtype.is_float and not fmod:
        raise UnsupportedError("kir has Mod of floats with fmod=1 only")
    return call.add(ops.Mod(fmod), a, b)


def _chain(op: Op, call: OperatorCall, *values: Operand) -> Operand:
    result = values[0]
    for value in values[1:]:
        result = call.add(op, result, value)
    return result


IMPORTERS["Max"] = lambda call, *values: _chain(ops.Maximum(), call, *values)
IMPORTERS["Min"] = lambda call, *values: _chain(ops.Minimum(), call, *values)
IMPORTERS["Sum"] = lambda call, *values: _chain(ops.Add(), call, *values)


@imports("Mean")
def mean(call: OperatorCall, *values: Operand) -> Results:
    total = _chain(ops.Add(), call, *values)
    return call.add(ops.Div(), total, call.translator.constant(len(values), total.type.dtype))


@imports("Add")
def add(call: OperatorCall, a: Operand, b: Operand) -> Results:
    return recognise.add_bias(call, a, b) or recognise.add_bias(call, b, a) or call.add(ops.Add(), a, b)


@imports("Less")
def less(call: OperatorCall, a: Operand, b: Operand) -> Results:
    compared = recognise.compare_random(a.pending, b) if isinstance(a.pending, recognise.Uniform) else None
    return compared or call.add(ops.Less(), a, b)


@imports("Where")
def where(call: OperatorCall, condition: Operand, a: Operand, b: Operand) -> Results:
    found: Operand | None = None
    if isinstance(condition.pending, recognise.Kept):
        found = recognise.drop(call, condition.pending, a, b)
    elif isinstance(condition.pending, recognise.DropoutMask):
        found = recognise.drop_again(call, condition.pending, a, b)
    elif isinstance(a.pending, recognise.Dropped):
        found = recognise.switch(call, condition, a.pending, b)
    return found or call.add(ops.Where(), condition, a, b)


@imports("PRelu")
def prelu(call: OperatorCall, x: Operand, slope: Operand) -> Results:
    return call.add(ops.PRelu(), x, slope)
