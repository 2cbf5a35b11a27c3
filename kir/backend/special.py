"""Functions that are made of others: of elements, of sorted arrays, and without NaN, with the names of `keras.ops`."""

from __future__ import annotations

from typing import Any

import numpy as np

from kir import config
from kir.backend.basic import cast, expand_dims
from kir.backend.comparison import (
    equal,
    greater,
    greater_equal,
    isclose,
    isnan,
    less,
    logical_not,
    where,
)
from kir.backend.creation import full_like, ones_like, zeros_like
from kir.backend.dispatch import axes_of, dtype_of, floating, promote, rank_of, shape_of, tensor
from kir.backend.elementwise import (
    absolute,
    add,
    divide,
    exp2,
    log1p,
    log2,
    maximum,
    minimum,
    multiply,
    power,
    rsqrt,
    sign,
    sin,
    square,
    subtract,
)
from kir.backend.indexing import one_hot
from kir.backend.ordering import top_k
from kir.backend.reduce import all as reduce_all
from kir.backend.reduce import any as reduce_any
from kir.backend.reduce import max as reduce_max
from kir.backend.reduce import mean
from kir.backend.reduce import sum as reduce_sum
from kir.backend.shapes import flatten, reshape
from kir.errors import InvalidArgumentError, TraceError
from kir.ir.trace import Tensor, TensorLike
from kir.ir.types import Axis, DType, DTypeLike, as_dtype

__all__ = [
    "allclose", "bartlett", "blackman", "cbrt", "digitize", "fabs", "fmax", "fmin", "geomspace", "hamming", "hanning",
    "heaviside", "in_top_k", "isin", "isneginf", "isposinf", "isreal", "kaiser", "layer_normalization", "ldexp",
    "logaddexp2", "logspace", "multi_hot", "psnr", "rms_normalization", "saturate_cast", "searchsorted", "signbit",
    "sinc",
]  # fmt: skip


# Elements


def cbrt(x: TensorLike) -> Tensor:
    """Return the cube root, that of a negative number negative."""
    x = floating(x)
    return multiply(sign(x), power(absolute(x), 1 / 3))


def fabs(x: TensorLike) -> Tensor:
    """Return the magnitude as floats."""
    return absolute(floating(x))


def fmax(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the larger of both; of a number and NaN the number."""
    a, b = promote(x1, x2)
    return where(isnan(a), b, where(isnan(b), a, maximum(a, b))) if dtype_of(a).is_float else maximum(a, b)


def fmin(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the smaller of both; of a number and NaN the number."""
    a, b = promote(x1, x2)
    return where(isnan(a), b, where(isnan(b), a, minimum(a, b))) if dtype_of(a).is_float else minimum(a, b)


def heaviside(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return 0 below 0, 1 above, and x2 at 0."""
    a, b = floating(x1), floating(x2)
    return where(isnan(a), a, where(equal(a, 0), b, where(greater(a, 0), ones_like(a), zeros_like(a))))


def isneginf(x: TensorLike) -> Tensor:
    """Return whether elements are minus infinity."""
    return equal(floating(x), -np.inf)


def isposinf(x: TensorLike) -> Tensor:
    """Return whether elements are plus infinity."""
    return equal(floating(x), np.inf)


def isreal(x: TensorLike) -> Tensor:
    """Return true for each element: kir has no complex numbers."""
    return ones_like(tensor(x), dtype="bool")


def ldexp(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return ``x1 * 2 ** x2``."""
    a = floating(x1)
    return multiply(a, exp2(cast(x2, a.dtype)))


def logaddexp2(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return ``log2(2 ** x1 + 2 ** x2)`` without overflow."""
    a, b = floating(x1), floating(x2)
    larger, distance = maximum(a, b), absolute(subtract(a, b))
    joined = add(larger, divide(log1p(exp2(multiply(distance, -1))), float(np.log(2))))
    return where(equal(a, b), add(a, 1), joined)


def saturate_cast(x: TensorLike, dtype: DTypeLike) -> Tensor:
    """Return x in another dtype; what that does not hold becomes its least or largest number."""
    wanted, x = as_dtype(dtype), tensor(x)
    if wanted is DType.BOOL or dtype_of(x) is DType.BOOL:
        return cast(x, dtype)
    if wanted.is_float:
        import ml_dtypes

        info: Any = ml_dtypes.finfo(wanted.numpy)  # type: ignore[no-untyped-call]
    else:
        info = np.iinfo(wanted.numpy)
    own = dtype_of(x)
    limits = [info.min, info.max]
    if own.is_integer:
        mine = np.iinfo(own.numpy)
        limits = [max(info.min, mine.min), min(info.max, mine.max)]
    low, high = (np.asarray(float(one) if own.is_float else int(one)).astype(own.numpy) for one in limits)
    if own.is_float and wanted.is_integer and float(high) > info.max:
        high = np.nextafter(high, np.asarray(0, own.numpy))
    return cast(minimum(maximum(x, low), high), dtype)


def signbit(x: TensorLike) -> Tensor:
    """Return whether elements have a minus; a zero may."""
    x = tensor(x)
    if not dtype_of(x).is_float:
        return less(x, 0)
    return where(equal(x, 0), less(divide(1, x), 0), less(x, 0))


def sinc(x: TensorLike) -> Tensor:
    """Return ``sin(πx) / (πx)``, and 1 at 0."""
    x = floating(x)
    scaled = multiply(x, float(np.pi))
    is_zero = equal(x, 0)
    return where(is_zero, ones_like(x), divide(sin(scaled), where(is_zero, ones_like(x), scaled)))


def allclose(x1: TensorLike, x2: TensorLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Return whether all elements are within the tolerances of each other."""
    return reduce_all(isclose(x1, x2, rtol, atol, equal_nan))


# Places in sorted arrays, and sets


def digitize(x: TensorLike, bins: TensorLike) -> Tensor:
    """Return how many rising bounds each element has reached, as int32."""
    a, edges = promote(x, bins)
    return reduce_sum(cast(greater_equal(expand_dims(a, -1), edges), "int32"), -1)


def searchsorted(sorted_sequence: TensorLike, values: TensorLike, side: str = "left") -> Tensor:
    """Return where each value belongs in a rising vector, before equal ones or ("right") after them, as int32."""
    if side not in ("left", "right"):
        raise InvalidArgumentError(f"K.searchsorted takes side='left' or 'right'; received {side!r}")
    a, edges = promote(values, sorted_sequence)
    if rank_of(edges) != 1:
        raise InvalidArgumentError(f"K.searchsorted takes a vector; received shape {tuple(shape_of(edges))}")
    reached = (greater if side == "left" else greater_equal)(expand_dims(a, -1), edges)
    return reduce_sum(cast(reached, "int32"), -1)


def isin(x1: TensorLike, x2: TensorLike, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Return whether each element of x1 is one of x2."""
    a, b = promote(x1, x2)
    found = reduce_any(equal(expand_dims(a, -1), flatten(b)), -1)
    return logical_not(found) if invert else found


def in_top_k(targets: TensorLike, predictions: TensorLike, k: int) -> Tensor:
    """Return whether the prediction at each target is one of the k largest of its row: no k others are larger."""
    predictions = tensor(predictions)
    classes = shape_of(predictions)[-1]
    least = top_k(predictions, k)[0][..., -1]
    chosen = one_hot(targets, classes, dtype="bool")
    at_target = reduce_max(where(chosen, predictions, full_like(predictions, -np.inf)), -1)
    return greater_equal(at_target, least)


def multi_hot(
    inputs: TensorLike, num_classes: int, axis: int = -1, dtype: DTypeLike | None = None, sparse: bool = False
) -> Tensor:
    """Return vectors with 1 at every index that occurs along the last axis, or of a batch along the second."""
    inputs = tensor(inputs)
    reduced = 1 if rank_of(inputs) > 1 else 0
    marks = one_hot(cast(inputs, "int32"), num_classes, axis, dtype)
    return reduce_max(marks, reduced)


# Normalization


def layer_normalization(
    x: TensorLike,
    gamma: TensorLike | None = None,
    beta: TensorLike | None = None,
    axis: Axis = -1,
    epsilon: float | None = None,
) -> Tensor:
    """Return x without its mean along axes, divided by its deviation; then scaled by gamma, and shifted by beta."""
    given = floating(x)
    x = _at_least_float32(given)
    centered = subtract(x, mean(x, axis, True))
    result = multiply(centered, rsqrt(add(mean(square(centered), axis, True), _epsilon(epsilon))))
    result = result if gamma is None else multiply(result, _along(x, gamma, axis))
    return cast(result if beta is None else add(result, _along(x, beta, axis)), given.dtype)


def rms_normalization(
    x: TensorLike, scale: TensorLike | None = None, axis: Axis = -1, epsilon: float | None = None
) -> Tensor:
    """Return x divided by the root of its mean square along axes; then scaled."""
    given = floating(x)
    x = _at_least_float32(given)
    result = multiply(x, rsqrt(add(mean(square(x), axis, True), _epsilon(epsilon))))
    return cast(result if scale is None else multiply(result, _along(x, scale, axis)), given.dtype)


def _at_least_float32(x: Tensor) -> Tensor:
    return x if dtype_of(x) is DType.FLOAT64 else cast(x, "float32")


def _epsilon(given: float | None) -> float:
    return config.epsilon() if given is None else given


def _along(x: Tensor, weights: TensorLike, axis: Axis) -> Tensor:
    """Return weights of the sizes of axes in a shape that broadcasts over x."""
    axes = set(axes_of(x, axis))
    return reshape(cast(weights, x.dtype), [size if place in axes else 1 for place, size in enumerate(shape_of(x))])


def psnr(x1: TensorLike, x2: TensorLike, max_val: float) -> Tensor:
    """Return the peak signal-to-noise ratio in decibels."""
    error = mean(square(subtract(floating(x1), floating(x2))))
    return subtract(20 * float(np.log10(max_val)), multiply(log2(error), 10 * float(np.log10(2))))


# Numbers that only sizes decide


def _windows(function: Any) -> Any:
    def window(x: int) -> Tensor:
        if not isinstance(x, int | np.integer):
            raise TraceError(f"K.{function.__name__} takes a number; received {x!r}")
        return tensor(function(int(x)).astype(config.floatx()))

    window.__name__ = window.__qualname__ = function.__name__
    window.__module__, window.__doc__ = __name__, f"Return the {function.__name__.title()} window of x numbers."
    return window


bartlett, blackman, hamming, hanning = map(_windows, (np.bartlett, np.blackman, np.hamming, np.hanning))


def kaiser(x: int, beta: float) -> Tensor:
    """Return the Kaiser window of x numbers."""
    return tensor(np.kaiser(int(x), beta).astype(config.floatx()))


def logspace(
    start: float, stop: float, num: int = 50, endpoint: bool = True, base: float = 10, dtype: DTypeLike | None = None
) -> Tensor:
    """Return numbers whose logarithms are evenly spaced."""
    return cast(tensor(np.logspace(start, stop, num, endpoint, base)), dtype or config.floatx())


def geomspace(
    start: float, stop: float, num: int = 50, endpoint: bool = True, dtype: DTypeLike | None = None
) -> Tensor:
    """Return numbers of which each is the same multiple of the one before."""
    return cast(tensor(np.geomspace(start, stop, num, endpoint)), dtype or config.floatx())
