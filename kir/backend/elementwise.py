"""Arithmetic, comparison and logic, element by element, with the names of `keras.ops`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kir import config
from kir.backend.basic import cast, expand_dims
from kir.backend.dispatch import (
    TensorLike,
    convert,
    dtype_of,
    floating,
    operand,
    operation,
    promote,
    promote_float,
    rank_of,
    scalar,
    tensor,
)
from kir.errors import ShapeError, TraceError
from kir.ir.op import Op
from kir.ir.trace import Tensor, emit
from kir.ir.types import DType
from kir.ops import elementwise as ops

__all__ = [
    "abs", "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "cast_to_floatx", "ceil", "clip", "cos", "cosh", "deg2rad", "divide", "divide_no_nan", "equal", "erf", "exp",
    "exp2", "expm1", "floor", "floor_divide", "fmod", "greater", "greater_equal", "hypot", "identity", "isclose",
    "isfinite", "isinf", "isnan", "less", "less_equal", "log", "log1p", "log2", "log10", "logaddexp", "logical_and",
    "logical_not", "logical_or", "logical_xor", "maximum", "minimum", "mod", "multiply", "nan_to_num", "negative",
    "not_equal", "pow", "power", "rad2deg", "reciprocal", "round", "rsqrt", "sign", "sin", "sinh", "sqrt", "square",
    "stop_gradient", "subtract", "switch", "tan", "tanh", "true_divide", "trunc", "where",
]  # fmt: skip


# Arithmetic


@operation
def add(x1: TensorLike, x2: TensorLike) -> Any:
    """``x1 + x2``; of two booleans, whether any is true."""
    a, b = promote(x1, x2)
    return emit(ops.Or() if dtype_of(a) is DType.BOOL else ops.Add(), a, b)


@operation
def subtract(x1: TensorLike, x2: TensorLike) -> Any:
    """``x1 - x2``.

    Raises:
        TraceError: both are boolean.
    """
    a, b = promote(x1, x2)
    if dtype_of(a) is DType.BOOL:
        raise TraceError("booleans cannot be subtracted; use K.logical_xor, or K.cast one of them")
    return emit(ops.Sub(), a, b)


@operation
def multiply(x1: TensorLike, x2: TensorLike) -> Any:
    """``x1 * x2``; of two booleans, whether both are true."""
    a, b = promote(x1, x2)
    return emit(ops.And() if dtype_of(a) is DType.BOOL else ops.Mul(), a, b)


@operation
def divide(x1: TensorLike, x2: TensorLike) -> Any:
    """``x1 / x2`` in floats, whatever the dtypes are."""
    return emit(ops.Div(), *promote_float(x1, x2))


@operation
def divide_no_nan(x1: TensorLike, x2: TensorLike) -> Any:
    """``x1 / x2``, and 0 where x2 is 0."""
    a, b = promote_float(x1, x2)
    return emit(ops.Where(), emit(ops.Equal(), b, scalar(0, b)), scalar(0, a), emit(ops.Div(), a, b))


@operation
def floor_divide(x1: TensorLike, x2: TensorLike) -> Any:
    """The largest integer of at most ``x1 / x2``, in the dtype of the operands."""
    a, b = promote(x1, x2)
    if dtype_of(a).is_float:
        return emit(ops.Floor(), emit(ops.Div(), a, b))
    a, b = _number(a), _number(b)
    return emit(ops.Div(), emit(ops.Sub(), a, emit(ops.Mod(fmod=False), a, b)), b)


@operation
def mod(x1: TensorLike, x2: TensorLike) -> Any:
    """The remainder of the division, with the sign of x2."""
    a, b = promote(x1, x2)
    if not dtype_of(a).is_float:
        return emit(ops.Mod(fmod=False), _number(a), _number(b))
    # ONNX has only the remainder with the sign of x1 for floats.
    remainder = emit(ops.Mod(fmod=True), a, b)
    is_positive = not isinstance(b, Tensor) and bool(np.all(b > 0))
    direction = remainder if is_positive else emit(ops.Mul(), emit(ops.Sign(), remainder), b)
    is_wrong = emit(ops.Less(), direction, scalar(0, direction))
    return emit(ops.Where(), is_wrong, emit(ops.Add(), remainder, b), remainder)


@operation
def fmod(x1: TensorLike, x2: TensorLike) -> Any:
    """The remainder of the division, with the sign of x1."""
    a, b = promote(x1, x2)
    return emit(ops.Mod(fmod=True), _number(a), _number(b))


@operation
def power(x1: TensorLike, x2: TensorLike) -> Any:
    """``x1 ** x2``. The square is a product."""
    if isinstance(x2, (int, float)) and x2 == 2:
        a, _ = promote(x1, x2)
        return emit(ops.Mul(), a, a)
    a, b = promote(x1, x2)
    given = dtype_of(a)
    # ONNX has no powers of small and of unsigned integers; what does not fit wraps around in either.
    is_powered = given.is_float or given in (DType.INT32, DType.INT64)
    computed = given if is_powered else DType.INT32 if given.itemsize < 4 else DType.INT64
    result = emit(ops.Pow(), convert(a, computed), convert(b, computed))
    return result if given is DType.BOOL else convert(result, given)


@operation
def negative(x: TensorLike) -> Any:
    """``-x``."""
    return emit(ops.Neg(), tensor(x))


@operation
def absolute(x: TensorLike) -> Any:
    """The distance from 0; a boolean is its own."""
    x = tensor(x)
    return x if dtype_of(x) is DType.BOOL else emit(ops.Abs(), x)


@operation
def sign(x: TensorLike) -> Any:
    """-1, 0 or 1, in the dtype of x."""
    return emit(ops.Sign(), tensor(x))


@operation
def square(x: TensorLike) -> Any:
    """``x * x``."""
    x = _number(tensor(x))
    return emit(ops.Mul(), x, x)


@operation
def maximum(x1: TensorLike, x2: TensorLike) -> Any:
    """The larger of both; NaN if one is NaN."""
    a, b = promote(x1, x2)
    return emit(ops.Or() if dtype_of(a) is DType.BOOL else ops.Maximum(), a, b)


@operation
def minimum(x1: TensorLike, x2: TensorLike) -> Any:
    """The smaller of both; NaN if one is NaN."""
    a, b = promote(x1, x2)
    return emit(ops.And() if dtype_of(a) is DType.BOOL else ops.Minimum(), a, b)


@operation
def clip(
    x: TensorLike,
    x_min: TensorLike | None = None,
    x_max: TensorLike | None = None,
    *,
    min_value: TensorLike | None = None,
    max_value: TensorLike | None = None,
) -> Any:
    """x with what lies outside the bounds moved to them, in x's dtype; None is no bound.

    `min_value` and `max_value` are the names that Keras 2 gives the bounds.
    """
    given = (min_value if x_min is None else x_min, max_value if x_max is None else x_max)
    low, high = (None if bound is None else operand(bound) for bound in given)
    x = _number(tensor(x))
    if dtype_of(x).is_integer and any(isinstance(bound, float) and bound % 1 for bound in (low, high)):
        return convert(clip(floating(x), low, high), dtype_of(x))
    bounds = [None if bound is None else convert(bound, dtype_of(x), x) for bound in (low, high)]
    if all(bound is None or rank_of(bound) == 0 for bound in bounds):
        return emit(ops.Clip(), x, *bounds)
    x = x if bounds[0] is None else emit(ops.Maximum(), x, bounds[0])
    return x if bounds[1] is None else emit(ops.Minimum(), x, bounds[1])


# Functions of one float


def _of_float(op: Op, x: TensorLike) -> Any:
    return emit(op, floating(x))


@operation
def sqrt(x: TensorLike) -> Any:
    """The square root; NaN below 0."""
    return _of_float(ops.Sqrt(), x)


@operation
def rsqrt(x: TensorLike) -> Any:
    """``1 / sqrt(x)``."""
    return emit(ops.Reciprocal(), sqrt(x))


@operation
def reciprocal(x: TensorLike) -> Any:
    """``1 / x`` in floats."""
    return _of_float(ops.Reciprocal(), x)


@operation
def exp(x: TensorLike) -> Any:
    """e to the power of x."""
    return _of_float(ops.Exp(), x)


@operation
def exp2(x: TensorLike) -> Any:
    """2 to the power of x."""
    x = floating(x)
    return emit(ops.Pow(), scalar(2, x), x)


@operation
def expm1(x: TensorLike) -> Any:
    """``exp(x) - 1``, exact near 0 too: it is ``tanh(x / 2) * (exp(x) + 1)``."""
    x = floating(x)
    half = emit(ops.Mul(), x, scalar(0.5, x))
    return emit(ops.Mul(), emit(ops.Tanh(), half), emit(ops.Add(), emit(ops.Exp(), x), scalar(1, x)))


@operation
def log(x: TensorLike) -> Any:
    """The natural logarithm."""
    return _of_float(ops.Log(), x)


@operation
def log1p(x: TensorLike) -> Any:
    """``log(1 + x)``, exact near 0 too: it is ``2 * asinh(x / (2 * sqrt(1 + x)))``, and infinity there."""
    x = floating(x)
    root = emit(ops.Sqrt(), emit(ops.Add(), x, scalar(1, x)))
    ratio = emit(ops.Div(), emit(ops.Mul(), x, scalar(0.5, x)), root)
    result = emit(ops.Mul(), emit(ops.Asinh(), ratio), scalar(2, x))
    return emit(ops.Where(), emit(ops.Less(), x, scalar(np.inf, x)), result, x)


@operation
def log2(x: TensorLike) -> Any:
    """The logarithm to the base 2."""
    return _log_to_base(x, 2)


@operation
def log10(x: TensorLike) -> Any:
    """The logarithm to the base 10."""
    return _log_to_base(x, 10)


def _log_to_base(x: TensorLike, base: float) -> Any:
    x = floating(x)
    return emit(ops.Mul(), emit(ops.Log(), x), scalar(1 / math.log(base), x))


@operation
def logaddexp(x1: TensorLike, x2: TensorLike) -> Any:
    """``log(exp(x1) + exp(x2))``, without overflow."""
    a, b = promote_float(x1, x2)
    distance = emit(ops.Abs(), emit(ops.Sub(), a, b))
    return emit(ops.Add(), emit(ops.Maximum(), a, b), emit(ops.Softplus(), emit(ops.Neg(), distance)))


@operation
def sin(x: TensorLike) -> Any:
    """The sine."""
    return _of_float(ops.Sin(), x)


@operation
def cos(x: TensorLike) -> Any:
    """The cosine."""
    return _of_float(ops.Cos(), x)


@operation
def tan(x: TensorLike) -> Any:
    """The tangent."""
    return _of_float(ops.Tan(), x)


@operation
def arcsin(x: TensorLike) -> Any:
    """The inverse sine."""
    return _of_float(ops.Asin(), x)


@operation
def arccos(x: TensorLike) -> Any:
    """The inverse cosine."""
    return _of_float(ops.Acos(), x)


@operation
def arctan(x: TensorLike) -> Any:
    """The inverse tangent."""
    return _of_float(ops.Atan(), x)


@operation
def arctan2(x1: TensorLike, x2: TensorLike) -> Any:
    """The angle of the point (x2, x1), from -π to π; 0 for the origin. A negative zero counts as zero."""
    y, x = promote_float(x1, x2)
    zero = scalar(0, y)
    steep = emit(ops.Atan(), emit(ops.Div(), emit(ops.Abs(), y), emit(ops.Abs(), x)))
    angle = emit(ops.Where(), emit(ops.Equal(), y, zero), zero, steep)
    angle = emit(ops.Where(), emit(ops.Less(), x, zero), emit(ops.Sub(), scalar(np.pi, y), angle), angle)
    return emit(ops.Where(), emit(ops.Less(), y, zero), emit(ops.Neg(), angle), angle)


@operation
def sinh(x: TensorLike) -> Any:
    """The hyperbolic sine."""
    return _of_float(ops.Sinh(), x)


@operation
def cosh(x: TensorLike) -> Any:
    """The hyperbolic cosine."""
    return _of_float(ops.Cosh(), x)


@operation
def tanh(x: TensorLike) -> Any:
    """The hyperbolic tangent."""
    return _of_float(ops.Tanh(), x)


@operation
def arcsinh(x: TensorLike) -> Any:
    """The inverse hyperbolic sine."""
    return _of_float(ops.Asinh(), x)


@operation
def arccosh(x: TensorLike) -> Any:
    """The inverse hyperbolic cosine."""
    return _of_float(ops.Acosh(), x)


@operation
def arctanh(x: TensorLike) -> Any:
    """The inverse hyperbolic tangent."""
    return _of_float(ops.Atanh(), x)


@operation
def erf(x: TensorLike) -> Any:
    """The error function."""
    return _of_float(ops.Erf(), x)


@operation
def deg2rad(x: TensorLike) -> Any:
    """Degrees to radians; int64 becomes float64."""
    (x,) = _floats_of_one_size(x)
    return emit(ops.Mul(), x, scalar(np.pi / 180, x))


@operation
def rad2deg(x: TensorLike) -> Any:
    """Radians to degrees; int64 becomes float64."""
    (x,) = _floats_of_one_size(x)
    return emit(ops.Mul(), x, scalar(180 / np.pi, x))


@operation
def hypot(x1: TensorLike, x2: TensorLike) -> Any:
    """``sqrt(x1² + x2²)``; int64 becomes float64."""
    a, b = _floats_of_one_size(x1, x2)
    return emit(ops.Sqrt(), emit(ops.Add(), emit(ops.Mul(), a, a), emit(ops.Mul(), b, b)))


def _floats_of_one_size(*values: TensorLike) -> list[Any]:
    """The values as floats of one dtype; int64 becomes float64, which few of Keras's functions do."""
    promoted = promote(*values)
    return [convert(x, DType.FLOAT64) if dtype_of(x) is DType.INT64 else floating(x) for x in promoted]


# Rounding


@operation
def floor(x: TensorLike) -> Any:
    """The largest integer of at most x, as a float."""
    return _of_float(ops.Floor(), x)


@operation
def ceil(x: TensorLike) -> Any:
    """The smallest integer of at least x, as a float."""
    return _of_float(ops.Ceil(), x)


@operation
def round(x: TensorLike, decimals: int = 0) -> Any:
    """The nearest number of that many decimals, the even one of two; integers stay.

    Raises:
        TraceError: integers are to be rounded to tens.
    """
    x = _number(tensor(x))
    if dtype_of(x).is_integer:
        if decimals < 0:
            raise TraceError(f"integers cannot be rounded to decimals={decimals}; K.cast them to float first")
        return x
    if decimals == 0:
        return emit(ops.Round(), x)
    unit = scalar(10.0 ** math.fabs(decimals), x)
    larger, smaller = (ops.Mul(), ops.Div()) if decimals > 0 else (ops.Div(), ops.Mul())
    return emit(smaller, emit(ops.Round(), emit(larger, x, unit)), unit)


@operation
def trunc(x: TensorLike) -> Any:
    """x without its fraction; integers stay."""
    x = tensor(x)
    if not dtype_of(x).is_float:
        return x
    return emit(ops.Mul(), emit(ops.Sign(), x), emit(ops.Floor(), emit(ops.Abs(), x)))


# Comparison


def _compare(op: Op, x1: TensorLike, x2: TensorLike) -> Any:
    a, b = promote(x1, x2)
    return emit(op, _number(a), _number(b))


@operation
def equal(x1: TensorLike, x2: TensorLike) -> Any:
    """Whether x1 equals x2; NaN equals nothing."""
    return emit(ops.Equal(), *promote(x1, x2))


@operation
def not_equal(x1: TensorLike, x2: TensorLike) -> Any:
    """Whether x1 differs from x2."""
    return emit(ops.Not(), equal(x1, x2))


@operation
def less(x1: TensorLike, x2: TensorLike) -> Any:
    """Whether ``x1 < x2``."""
    return _compare(ops.Less(), x1, x2)


@operation
def less_equal(x1: TensorLike, x2: TensorLike) -> Any:
    """Whether ``x1 <= x2``."""
    return _compare(ops.LessOrEqual(), x1, x2)


@operation
def greater(x1: TensorLike, x2: TensorLike) -> Any:
    """Whether ``x1 > x2``."""
    return _compare(ops.Greater(), x1, x2)


@operation
def greater_equal(x1: TensorLike, x2: TensorLike) -> Any:
    """Whether ``x1 >= x2``."""
    return _compare(ops.GreaterOrEqual(), x1, x2)


@operation
def isclose(x1: TensorLike, x2: TensorLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether ``|x1 - x2| <= atol + rtol * |x2|``, or both are the same infinity (or, if asked, NaN)."""
    a, b = promote_float(x1, x2)
    tolerance = add(multiply(absolute(b), rtol), atol)
    is_near = logical_and(less_equal(absolute(subtract(a, b)), tolerance), isfinite(b))
    result = logical_or(is_near, equal(a, b))
    return logical_or(result, logical_and(isnan(a), isnan(b))) if equal_nan else result


@operation
def isnan(x: TensorLike) -> Any:
    """Whether x is NaN."""
    return _of_float(ops.IsNaN(), x)


@operation
def isinf(x: TensorLike) -> Any:
    """Whether x is infinite, of either sign."""
    return _of_float(ops.IsInf(), x)


@operation
def isfinite(x: TensorLike) -> Any:
    """Whether x is neither infinite nor NaN."""
    x = floating(x)
    return emit(ops.Less(), emit(ops.Abs(), x), scalar(np.inf, x))


@operation
def nan_to_num(x: TensorLike, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """x with NaN and the infinities replaced; None stands for the dtype's largest and smallest numbers."""
    x = tensor(x)
    if not dtype_of(x).is_float:
        return x
    limits = _float_limits(dtype_of(x))
    largest = limits if posinf is None else posinf
    smallest = -limits if neginf is None else neginf
    x = emit(ops.Where(), emit(ops.IsNaN(), x), scalar(nan, x), x)
    x = emit(ops.Where(), emit(ops.Equal(), x, scalar(np.inf, x)), scalar(largest, x), x)
    return emit(ops.Where(), emit(ops.Equal(), x, scalar(-np.inf, x)), scalar(smallest, x), x)


def _float_limits(dtype: DType) -> float:
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype.numpy).max)  # type: ignore[no-untyped-call]


# Logic


@operation
def logical_and(x1: TensorLike, x2: TensorLike) -> Any:
    """Whether both are true (not 0)."""
    return emit(ops.And(), *_booleans(x1, x2))


@operation
def logical_or(x1: TensorLike, x2: TensorLike) -> Any:
    """Whether any is true (not 0)."""
    return emit(ops.Or(), *_booleans(x1, x2))


@operation
def logical_xor(x1: TensorLike, x2: TensorLike) -> Any:
    """Whether exactly one is true (not 0)."""
    return emit(ops.Xor(), *_booleans(x1, x2))


@operation
def logical_not(x: TensorLike) -> Any:
    """Whether x is false (0)."""
    return emit(ops.Not(), *_booleans(x))


def _booleans(*values: TensorLike) -> list[Any]:
    return [convert(operand(value), DType.BOOL) for value in values]


# Choice and conversion


@operation
def where(condition: TensorLike, x1: TensorLike | None = None, x2: TensorLike | None = None) -> Any:
    """x1 where the condition is true, else x2; all three broadcast.

    Raises:
        TraceError: x1 or x2 is missing: how many elements are true is only known when the model runs.
    """
    if x1 is None or x2 is None:
        raise TraceError(
            "K.where(condition) alone gives a shape that depends on the data; give K.where(condition, a, b)"
        )
    return emit(ops.Where(), *_booleans(condition), *promote(x1, x2))


@operation
def switch(condition: TensorLike, then_expression: Any, else_expression: Any) -> Any:
    """`then_expression` where the condition is true, else `else_expression`, as in Keras 2. Both are computed.

    Each is a tensor or a function without arguments. A condition of lower rank chooses along the first axes.
    """
    then = operand(then_expression() if callable(then_expression) else then_expression)
    other = operand(else_expression() if callable(else_expression) else else_expression)
    condition = tensor(condition)
    rank = max(rank_of(then), rank_of(other))
    if rank_of(condition) > rank:
        raise ShapeError(
            f"K.switch: the condition has rank {rank_of(condition)}; expected at most {rank}, as the values"
        )
    if 0 < rank_of(condition) < rank:
        condition = expand_dims(condition, tuple(range(rank_of(condition), rank)))
    return where(condition, then, other)


@operation
def cast_to_floatx(x: TensorLike) -> Any:
    """x in the default float dtype."""
    return cast(x, config.floatx())


@operation
def identity(x: TensorLike) -> Any:
    """x itself."""
    return tensor(x)


@operation
def stop_gradient(variable: TensorLike) -> Any:
    """Its argument: there are no gradients here."""
    return tensor(variable)


def _number(x: Any) -> Any:
    """A boolean as int32, anything else as it is."""
    return convert(x, DType.INT32) if dtype_of(x) is DType.BOOL else x


abs = absolute
pow = power
true_divide = divide
