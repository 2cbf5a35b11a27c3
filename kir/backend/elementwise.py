"""Arithmetic and mathematical functions, element by element, with the names of `keras.ops`."""

from __future__ import annotations

import math

import numpy as np

from kir import config
from kir.backend.basic import cast
from kir.backend.comparison import equal, less, where
from kir.backend.dispatch import (
    FunctionOfOne,
    FunctionOfTwo,
    convert,
    dtype_of,
    floating,
    numeric,
    of_floats,
    of_two,
    operand,
    promote,
    promote_float,
    rank_of,
    scalar,
    tensor,
)
from kir.errors import TraceError
from kir.ir.op import Op
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import DType
from kir.ops import elementwise as ops

__all__ = [
    "abs", "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "cast_to_floatx", "ceil", "clip", "cos", "cosh", "deg2rad", "divide", "divide_no_nan", "erf", "exp", "exp2",
    "expm1", "floor", "floor_divide", "fmod", "hypot", "identity", "log", "log1p", "log2", "log10", "logaddexp",
    "maximum", "minimum", "mod", "multiply", "negative", "pow", "power", "rad2deg", "reciprocal", "round", "rsqrt",
    "sign", "sin", "sinh", "sqrt", "square", "stop_gradient", "subtract", "tan", "tanh", "true_divide", "trunc",
]  # fmt: skip


# Arithmetic


def _arithmetic(name: str, op: Op, doc: str, on_booleans: Op | None = None) -> FunctionOfTwo:
    return of_two(__name__, name, op, doc, on_booleans)


add = _arithmetic("add", ops.Add(), "Return ``x1 + x2``; of two booleans, whether any is true.", ops.Or())
multiply = _arithmetic("multiply", ops.Mul(), "Return ``x1 * x2``; of two booleans, whether both are true.", ops.And())
maximum = _arithmetic("maximum", ops.Maximum(), "Return the larger of both; NaN if one is NaN.", ops.Or())
minimum = _arithmetic("minimum", ops.Minimum(), "Return the smaller of both; NaN if one is NaN.", ops.And())
fmod = _arithmetic("fmod", ops.Mod(fmod=True), "Return the remainder of the division, with the sign of x1.")


def subtract(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return ``x1 - x2``.

    Raises:
        TraceError: both are boolean.
    """
    a, b = promote(x1, x2)
    if dtype_of(a) is DType.BOOL:
        raise TraceError("booleans cannot be subtracted; use K.logical_xor, or K.cast one of them")
    return emit(ops.Sub(), a, b)


def divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return ``x1 / x2`` in floats, whatever the dtypes are."""
    return emit(ops.Div(), *promote_float(x1, x2))


def divide_no_nan(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return ``x1 / x2``, and 0 where x2 is 0."""
    a, b = promote_float(x1, x2)
    return where(equal(b, 0), 0, divide(a, b))


def floor_divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the largest integer of at most ``x1 / x2``, in the dtype of the operands."""
    a, b = promote(x1, x2)
    if dtype_of(a).is_float:
        return emit(ops.Floor(), emit(ops.Div(), a, b))
    a, b = numeric(a), numeric(b)
    return emit(ops.Div(), emit(ops.Sub(), a, emit(ops.Mod(fmod=False), a, b)), b)


def mod(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the remainder of the division, with the sign of x2."""
    a, b = promote(x1, x2)
    if not dtype_of(a).is_float:
        return emit(ops.Mod(fmod=False), numeric(a), numeric(b))
    # ONNX has only the remainder with the sign of x1 for floats.
    remainder = emit(ops.Mod(fmod=True), a, b)
    is_positive = not isinstance(b, Tensor) and bool(np.all(b > 0))
    direction = remainder if is_positive else emit(ops.Mul(), emit(ops.Sign(), remainder), b)
    is_wrong = less(direction, 0)
    return where(is_wrong, emit(ops.Add(), remainder, b), remainder)


def power(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return ``x1 ** x2``. The square is a product."""
    a, b = promote(x1, x2)
    if isinstance(x2, (int, float)) and x2 == 2:
        return emit(ops.Mul(), a, a)
    given = dtype_of(a)
    # ONNX has no powers of small and of unsigned integers; what does not fit wraps around in either.
    is_powered = given.is_float or given in (DType.INT32, DType.INT64)
    computed = given if is_powered else DType.INT32 if given.itemsize < 4 else DType.INT64
    result = emit(ops.Pow(), convert(a, computed), convert(b, computed))
    return result if given is DType.BOOL else convert(result, given)


def negative(x: TensorLike) -> Tensor:
    """Return ``-x``."""
    return emit(ops.Neg(), tensor(x))


def absolute(x: TensorLike) -> Tensor:
    """Return the absolute value; booleans stay."""
    x = tensor(x)
    return x if dtype_of(x) is DType.BOOL else emit(ops.Abs(), x)


def sign(x: TensorLike) -> Tensor:
    """Return -1, 0 or 1, in the dtype of x."""
    return emit(ops.Sign(), tensor(x))


def square(x: TensorLike) -> Tensor:
    """Return ``x * x``."""
    x = numeric(tensor(x))
    return emit(ops.Mul(), x, x)


def clip(
    x: TensorLike,
    x_min: TensorLike | None = None,
    x_max: TensorLike | None = None,
    *,
    min_value: TensorLike | None = None,
    max_value: TensorLike | None = None,
) -> Tensor:
    """Return x clipped to the bounds, in x's dtype; None is no bound.

    `min_value` and `max_value` are the names that Keras 2 gives the bounds.
    """
    given = (min_value if x_min is None else x_min, max_value if x_max is None else x_max)
    low, high = (None if bound is None else operand(bound) for bound in given)
    x = numeric(tensor(x))
    if dtype_of(x).is_integer and any(isinstance(bound, float) and bound % 1 for bound in (low, high)):
        return convert(clip(floating(x), low, high), dtype_of(x))
    bounds = [None if bound is None else convert(bound, dtype_of(x), x) for bound in (low, high)]
    if all(bound is None or rank_of(bound) == 0 for bound in bounds):
        return emit(ops.Clip(), x, *bounds)
    x = x if bounds[0] is None else emit(ops.Maximum(), x, bounds[0])
    return x if bounds[1] is None else emit(ops.Minimum(), x, bounds[1])


# Functions of one float


def _function(name: str, op: Op, doc: str) -> FunctionOfOne:
    return of_floats(__name__, name, op, doc)


sqrt = _function("sqrt", ops.Sqrt(), "Return the square root; NaN below 0.")
reciprocal = _function("reciprocal", ops.Reciprocal(), "Return ``1 / x`` in floats.")
exp = _function("exp", ops.Exp(), "Return e to the power of x.")
log = _function("log", ops.Log(), "Return the natural logarithm.")
sin = _function("sin", ops.Sin(), "Return the sine.")
cos = _function("cos", ops.Cos(), "Return the cosine.")
tan = _function("tan", ops.Tan(), "Return the tangent.")
arcsin = _function("arcsin", ops.Asin(), "Return the inverse sine.")
arccos = _function("arccos", ops.Acos(), "Return the inverse cosine.")
arctan = _function("arctan", ops.Atan(), "Return the inverse tangent.")
sinh = _function("sinh", ops.Sinh(), "Return the hyperbolic sine.")
cosh = _function("cosh", ops.Cosh(), "Return the hyperbolic cosine.")
tanh = _function("tanh", ops.Tanh(), "Return the hyperbolic tangent.")
arcsinh = _function("arcsinh", ops.Asinh(), "Return the inverse hyperbolic sine.")
arccosh = _function("arccosh", ops.Acosh(), "Return the inverse hyperbolic cosine.")
arctanh = _function("arctanh", ops.Atanh(), "Return the inverse hyperbolic tangent.")
erf = _function("erf", ops.Erf(), "Return the error function.")
floor = _function("floor", ops.Floor(), "Return the largest integer of at most x, as a float.")
ceil = _function("ceil", ops.Ceil(), "Return the smallest integer of at least x, as a float.")


def rsqrt(x: TensorLike) -> Tensor:
    """Return ``1 / sqrt(x)``."""
    return reciprocal(sqrt(x))


def exp2(x: TensorLike) -> Tensor:
    """Return 2 to the power of x."""
    x = floating(x)
    return emit(ops.Pow(), scalar(2, x), x)


def expm1(x: TensorLike) -> Tensor:
    """Return ``exp(x) - 1``, exact near 0 too: it is ``tanh(x / 2) * (exp(x) + 1)``."""
    x = floating(x)
    return multiply(tanh(multiply(x, 0.5)), add(exp(x), 1))


def log1p(x: TensorLike) -> Tensor:
    """Return ``log(1 + x)``, exact near 0 too: it is ``2 * asinh(x / (2 * sqrt(1 + x)))``, and infinity there."""
    x = floating(x)
    root = sqrt(add(x, 1))
    ratio = divide(multiply(x, 0.5), root)
    result = multiply(arcsinh(ratio), 2)
    return where(less(x, np.inf), result, x)


def log2(x: TensorLike) -> Tensor:
    """Return the logarithm to the base 2."""
    return multiply(log(x), 1 / math.log(2))


def log10(x: TensorLike) -> Tensor:
    """Return the logarithm to the base 10."""
    return multiply(log(x), 1 / math.log(10))


def logaddexp(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return ``log(exp(x1) + exp(x2))``, without overflow."""
    a, b = promote_float(x1, x2)
    distance = absolute(subtract(a, b))
    return add(maximum(a, b), emit(ops.Softplus(), negative(distance)))


def arctan2(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the angle of the point (x2, x1), from -π to π; 0 for the origin. A negative zero counts as zero."""
    y, x = promote_float(x1, x2)
    steep = arctan(divide(absolute(y), absolute(x)))
    angle = where(equal(y, 0), 0, steep)
    angle = where(less(x, 0), subtract(np.pi, angle), angle)
    return where(less(y, 0), negative(angle), angle)


def deg2rad(x: TensorLike) -> Tensor:
    """Return degrees in radians; int64 becomes float64."""
    (degrees,) = _floats_of_one_size(x)
    return multiply(degrees, np.pi / 180)


def rad2deg(x: TensorLike) -> Tensor:
    """Return radians in degrees; int64 becomes float64."""
    (radians,) = _floats_of_one_size(x)
    return multiply(radians, 180 / np.pi)


def hypot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return ``sqrt(x1² + x2²)``; int64 becomes float64."""
    a, b = _floats_of_one_size(x1, x2)
    return sqrt(add(square(a), square(b)))


def _floats_of_one_size(*values: TensorLike) -> list[Tensor]:
    """Return the values as floats of one dtype; int64 becomes float64, as in few of Keras's functions."""
    promoted = promote(*values)
    return [convert(x, DType.FLOAT64) if dtype_of(x) is DType.INT64 else floating(x) for x in promoted]


# Rounding


def round(x: TensorLike, decimals: int = 0) -> Tensor:
    """Return x rounded to so many decimals, halves to the even neighbour; integers stay.

    Raises:
        TraceError: integers are to be rounded to tens.
    """
    x = numeric(tensor(x))
    if dtype_of(x).is_integer:
        if decimals < 0:
            raise TraceError(f"integers cannot be rounded to decimals={decimals}; K.cast them to float first")
        return x
    if decimals == 0:
        return emit(ops.Round(), x)
    unit = 10.0 ** math.fabs(decimals)
    enlarge, reduce = (multiply, divide) if decimals > 0 else (divide, multiply)
    return reduce(emit(ops.Round(), enlarge(x, unit)), unit)


def trunc(x: TensorLike) -> Tensor:
    """Return x without its fraction; integers stay."""
    x = tensor(x)
    return multiply(sign(x), floor(absolute(x))) if dtype_of(x).is_float else x


# Conversion


def cast_to_floatx(x: TensorLike) -> Tensor:
    """Return x in the default float dtype."""
    return cast(x, config.floatx())


def identity(x: TensorLike) -> Tensor:
    """Return x itself."""
    return tensor(x)


def stop_gradient(variable: TensorLike) -> Tensor:
    """Return the argument: there are no gradients here."""
    return tensor(variable)


abs = absolute
pow = power
true_divide = divide
