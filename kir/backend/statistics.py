"""Sums, extremes and quantiles, also of what is not NaN, with the names of `keras.ops`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kir.backend.basic import cast, expand_dims
from kir.backend.comparison import (
    isnan,
    logical_not,
    where,
)
from kir.backend.creation import full_like
from kir.backend.dispatch import axis_of, dtype_of, floating, rank_of, shape_of, tensor
from kir.backend.elementwise import (
    absolute,
    add,
    divide,
    multiply,
    power,
    sqrt,
    square,
    subtract,
)
from kir.backend.indexing import emit_slice, take
from kir.backend.ordering import cumsum, sort
from kir.backend.reduce import all as reduce_all
from kir.backend.reduce import any as reduce_any
from kir.backend.reduce import argmax, argmin
from kir.backend.reduce import max as reduce_max
from kir.backend.reduce import min as reduce_min
from kir.backend.reduce import prod as reduce_prod
from kir.backend.reduce import sum as reduce_sum
from kir.backend.shapes import concatenate, flatten, moveaxis, reshape, stack
from kir.errors import InvalidArgumentError, TraceError
from kir.ir.dims import is_known
from kir.ir.trace import Tensor, TensorLike
from kir.ir.types import Axis, DType, DTypeLike

__all__ = [
    "cdist", "cumprod", "median", "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmin",
    "nanprod", "nanstd", "nansum", "nanvar", "percentile", "quantile", "trapezoid",
]  # fmt: skip


# Sums and means


def trapezoid(y: TensorLike, x: TensorLike | None = None, dx: float = 1.0, axis: int = -1) -> Tensor:
    """Return the area under a curve through y, at x or at distances of dx."""
    y = moveaxis(floating(y), axis, -1)
    size = shape_of(y)[-1]
    ends = add(emit_slice(y, rank_of(y) - 1, 1, size), emit_slice(y, rank_of(y) - 1, 0, size - 1))
    if x is None:
        return divide(multiply(reduce_sum(ends, -1), dx), 2.0)
    x = floating(x)
    x = moveaxis(x, axis, -1) if rank_of(x) > 1 else x
    steps = subtract(
        emit_slice(x, rank_of(x) - 1, 1, shape_of(x)[-1]), emit_slice(x, rank_of(x) - 1, 0, shape_of(x)[-1] - 1)
    )
    return divide(reduce_sum(multiply(ends, steps), -1), 2.0)


def cumprod(x: TensorLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Return the products of the elements up to each one. Doubles its reach in each of log₂ n steps.

    Raises:
        TraceError: the size of the axis is not known.
    """
    x = tensor(x) if dtype is None else cast(x, dtype)
    x = x if dtype_of(x) is not DType.BOOL else cast(x, "int32")
    if axis is None:
        x, axis = flatten(x), 0
    axis = axis_of(x, axis)
    size = shape_of(x)[axis]
    if not isinstance(size, int):
        raise TraceError(f"K.cumprod needs a known size; received {size}: give it (--input-shapes)")
    reach = 1
    while reach < size:
        start, rest = emit_slice(x, axis, 0, reach), emit_slice(x, axis, reach, size)
        x = concatenate([start, multiply(rest, emit_slice(x, axis, 0, size - reach))], axis)
        reach *= 2
    return x


def cdist(x: TensorLike, y: TensorLike, p: float = 2.0) -> Tensor:
    """Return the distances of all pairs of rows."""
    apart = absolute(subtract(expand_dims(floating(x), -2), expand_dims(floating(y), -3)))
    if p == 2:
        return sqrt(reduce_sum(square(apart), -1))
    if p == 1:
        return reduce_sum(apart, -1)
    if p == np.inf:
        return reduce_max(apart, -1)
    return power(reduce_sum(power(apart, p), -1), 1 / p)


# Without NaN


def _without_nan(x: TensorLike, instead: float) -> Tensor:
    x = tensor(x)
    return where(isnan(x), full_like(x, instead), x) if dtype_of(x).is_float else x


def nansum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return sums of the elements that are not NaN."""
    return reduce_sum(_without_nan(x, 0), axis, keepdims)


def nanprod(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return products of the elements that are not NaN."""
    return reduce_prod(_without_nan(x, 1), axis, keepdims)


def nancumsum(x: TensorLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Return running sums in which NaN counts as 0."""
    x = _without_nan(x, 0)
    return cumsum(flatten(x) if axis is None else x, 0 if axis is None else axis, dtype)


def nancumprod(x: TensorLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Return running products in which NaN counts as 1; see `cumprod`."""
    return cumprod(_without_nan(x, 1), axis, dtype)


def _nan_where_nothing(x: Tensor, result: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    return where(reduce_all(isnan(x), axis, keepdims), full_like(result, np.nan), result)


def nanmax(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest elements that are not NaN; NaN if there is none."""
    x = tensor(x)
    if not dtype_of(x).is_float:
        return reduce_max(x, axis, keepdims)
    return _nan_where_nothing(x, reduce_max(_without_nan(x, -np.inf), axis, keepdims), axis, keepdims)


def nanmin(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest elements that are not NaN; NaN if there is none."""
    x = tensor(x)
    if not dtype_of(x).is_float:
        return reduce_min(x, axis, keepdims)
    return _nan_where_nothing(x, reduce_min(_without_nan(x, np.inf), axis, keepdims), axis, keepdims)


def nanmean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return means of the elements that are not NaN; NaN if there is none."""
    x = floating(x)
    count = reduce_sum(cast(logical_not(isnan(x)), x.dtype), axis, keepdims)
    return divide(nansum(x, axis, keepdims), count)


def nanvar(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return variances of the elements that are not NaN; NaN if there is none."""
    x = floating(x)
    return nanmean(square(subtract(x, nanmean(x, axis, True))), axis, keepdims)


def nanstd(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return deviations of the elements that are not NaN; NaN if there is none."""
    return sqrt(nanvar(x, axis, keepdims))


def nanargmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return where the largest element is that is not NaN; -1 where all are."""
    x = tensor(x)
    found = argmax(_without_nan(x, -np.inf), axis, keepdims)
    return where(reduce_all(isnan(x), axis, keepdims), cast(-1, found.dtype), found) if dtype_of(x).is_float else found


def nanargmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return where the smallest element is that is not NaN; -1 where all are."""
    x = tensor(x)
    found = argmin(_without_nan(x, np.inf), axis, keepdims)
    return where(reduce_all(isnan(x), axis, keepdims), cast(-1, found.dtype), found) if dtype_of(x).is_float else found


# Quantiles


def quantile(
    x: TensorLike, q: float | Sequence[float], axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """Return what a share q of the elements is below, of one share or along a new first axis of several.

    Between two elements, `method` "linear" draws a line; "lower" and "higher" take one of them, "midpoint" their mean.

    Raises:
        TraceError: how many elements there are is not known, or the method is another one.
    """
    shares = np.asarray(q, np.float64)
    x = floating(x)
    rank = rank_of(x)
    axes = list(range(rank)) if axis is None else [axis_of(x, one) for one in np.ravel(axis).tolist()]
    kept = [one for one in range(rank) if one not in axes]
    shape = shape_of(x)
    sizes = [shape[one] for one in axes]
    if not all(map(is_known, sizes)):
        raise TraceError(f"K.quantile needs known sizes; received {sizes}: give them (--input-shapes)")
    count = int(np.prod([size for size in sizes if isinstance(size, int)]))
    flat = reshape(moveaxis(x, axes, list(range(rank - len(axes), rank))), (*(shape[one] for one in kept), count))
    ordered = sort(flat, -1)
    wrong = reduce_any(isnan(flat), -1)
    found = [_at_share(ordered, share, count, method, wrong) for share in shares.ravel().tolist()]
    result = found[0] if shares.ndim == 0 else stack(found, 0)
    if not keepdims:
        return result
    sides = tuple(1 if one in axes else shape[one] for one in range(rank))
    return reshape(result, sides if shares.ndim == 0 else (len(found), *sides))


def _at_share(ordered: Tensor, share: float, count: int, method: str, wrong: Tensor) -> Tensor:
    """Return a quantile of the sorted elements of the last axis; NaN where one of them is."""
    if not 0 <= share <= 1:
        raise InvalidArgumentError(f"K.quantile takes shares from 0 to 1; received q={share}")
    place = share * (count - 1)
    low, high = int(np.floor(place)), int(np.ceil(place))
    weights = {"linear": place - low, "lower": 0.0, "higher": 1.0, "midpoint": 0.5}
    if method not in weights:
        raise TraceError(f"K.quantile has no method={method!r}; use one of {', '.join(map(repr, weights))}")
    first, second = (take(ordered, one, -1) for one in (low, high))
    result = first if low == high else add(first, multiply(subtract(second, first), weights[method]))
    return where(wrong, full_like(result, np.nan), result)


def percentile(
    x: TensorLike, q: float | Sequence[float], axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """Return `quantile` of shares in percent."""
    return quantile(x, (np.asarray(q, np.float64) / 100).tolist(), axis, method, keepdims)


def median(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the middle elements, or the mean of two in the middle; see `quantile`."""
    return quantile(x, 0.5, axis, "midpoint", keepdims)
