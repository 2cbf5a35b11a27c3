"""Reductions along axes, with the names of `keras.ops`. `axis` is one axis, several, or None for all."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from kir.backend.basic import cast
from kir.backend.comparison import not_equal
from kir.backend.dispatch import (
    axes_of,
    axis_of,
    convert,
    dtype_of,
    floating,
    listed,
    numeric,
    rank_of,
    shape_of,
    tensor,
)
from kir.backend.elementwise import absolute, divide, multiply, power, sqrt, square, subtract
from kir.backend.promotion import result_dtype
from kir.backend.shapes import UNSPECIFIED, flatten, require_axis, reshape
from kir.errors import InvalidArgumentError, TraceError
from kir.ir.dims import Sym, product
from kir.ir.op import Op
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import Axis, DType, DTypeLike
from kir.ops import reduce as ops

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "average", "count_nonzero", "logsumexp", "max", "mean", "min",
    "moments", "norm", "prod", "ptp", "std", "sum", "var",
]  # fmt: skip

# Of a norm: a number, "fro" or "nuc".
Order: TypeAlias = float | str | None

# A sum of many small integers needs more room than one of them.
_SUMMED_AS = {
    DType.BOOL: DType.INT32,
    DType.INT8: DType.INT32,
    DType.INT16: DType.INT32,
    DType.UINT8: DType.UINT32,
    DType.UINT16: DType.UINT32,
}


def _reduce(op: type[Op], x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    """Reduce a tensor. A scalar stays: only norms would change it, and those get its absolute value."""
    axes = axes_of(x, axis)
    return emit(op(axes, bool(keepdims)), x) if axes else x  # type: ignore[call-arg]


def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the sum; of booleans and small integers in 32 bits."""
    x = tensor(x)
    return _reduce(ops.ReduceSum, convert(x, _SUMMED_AS.get(dtype_of(x), dtype_of(x))), axis, keepdims)


def prod(x: TensorLike, axis: Axis = None, keepdims: bool = False, dtype: DTypeLike | None = None) -> Tensor:
    """Return the product; of booleans and small integers in 32 bits. Of sizes such as ``K.shape(x)[1:]``, a size."""
    if isinstance(x, tuple) and {type(size) for size in x} <= {int, Sym}:
        return product(x)  # type: ignore[return-value]
    x = tensor(x) if dtype is None else cast(x, dtype)
    return _reduce(ops.ReduceProd, convert(x, _SUMMED_AS.get(dtype_of(x), dtype_of(x))), axis, keepdims)


def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the mean, as a float."""
    return _reduce(ops.ReduceMean, floating(x), axis, keepdims)


def var(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the mean squared distance from the mean. Floats of 16 bits are computed in 32."""
    x = floating(x)
    result = dtype_of(x)
    wide = convert(x, result_dtype(result, DType.FLOAT32))
    distance = subtract(wide, _reduce(ops.ReduceMean, wide, axis, True))
    return convert(_reduce(ops.ReduceMean, square(distance), axis, keepdims), result)


def std(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the square root of the variance."""
    return sqrt(var(x, axis, keepdims))


def moments(x: TensorLike, axes: Axis, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance."""
    return mean(x, axes, keepdims), var(x, axes, keepdims)


def average(x: TensorLike, axis: Axis = None, weights: TensorLike | None = None) -> Tensor:
    """Return the mean, weighted if weights are given: of the shape of x, or one for each slice along `axis`."""
    if weights is None:
        return mean(x, axis)
    x, weights = floating(x), floating(weights)
    if rank_of(weights) == 1 and rank_of(x) > 1:
        place = axis_of(x, axis)
        weights = reshape(weights, tuple(-1 if one == place else 1 for one in range(rank_of(x))))
        return divide(sum(multiply(x, weights), axis), sum(weights))
    total = sum(multiply(x, weights), axis)
    return divide(total, sum(weights, axis))


def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest element."""
    return _extreme(ops.ReduceMax, x, axis, keepdims)


def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest element."""
    return _extreme(ops.ReduceMin, x, axis, keepdims)


def _extreme(op: type[Op], x: TensorLike, axis: Axis, keepdims: bool) -> Tensor:
    x = tensor(x)
    given = dtype_of(x)
    # ONNX compares neither booleans nor integers of 16 bits.
    compared = given if given in ops.ORDERED else DType.INT32
    return convert(_reduce(op, convert(x, compared), axis, keepdims), given)


def any(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return whether any element is true (not 0)."""
    return max(cast(x, "bool"), axis, keepdims)


def all(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return whether every element is true (not 0)."""
    return min(cast(x, "bool"), axis, keepdims)


def count_nonzero(x: TensorLike, axis: Axis = None) -> Tensor:
    """Return the number of elements that are not 0, as int32."""
    return sum(cast(cast(x, "bool"), "int32"), axis)


def ptp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the difference between the largest and the smallest element."""
    return subtract(max(x, axis, keepdims), min(x, axis, keepdims))


def argmax(x: TensorLike, axis: int | None = UNSPECIFIED, keepdims: bool = False) -> Tensor:
    """Return the index of the largest element along an axis, as int32; of equal ones the first. None flattens first.

    Raises:
        TraceError: no axis was given.
    """
    require_axis("argmax", axis, "the last axis", "flattening")
    return _arg(ops.ArgMax, x, axis, keepdims)


def argmin(x: TensorLike, axis: int | None = UNSPECIFIED, keepdims: bool = False) -> Tensor:
    """Return the index of the smallest element along an axis, as int32; of equal ones the first. None flattens first.

    Raises:
        TraceError: no axis was given.
    """
    require_axis("argmin", axis, "the last axis", "flattening")
    return _arg(ops.ArgMin, x, axis, keepdims)


def _arg(op: type[Op], x: TensorLike, axis: int | None, keepdims: bool) -> Tensor:
    x = tensor(x)
    x = numeric(tensor(x))
    if axis is not None:
        return convert(emit(op(axis_of(x, axis), bool(keepdims)), x), DType.INT32)  # type: ignore[call-arg]
    found = convert(emit(op(0, False), flatten(x)), DType.INT32)  # type: ignore[call-arg]
    return reshape(found, (1,) * rank_of(x)) if keepdims else found


def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return ``log(sum(exp(x)))``, without overflow."""
    return _reduce(ops.ReduceLogSumExp, floating(x), axis, keepdims)


def norm(x: TensorLike, ord: Order = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the norm of vectors (one axis, or all by default) or of matrices (two axes).

    Raises:
        TraceError: `ord` is "nuc", or ±2 for matrices, which need singular values.
        InvalidArgumentError: no such norm exists.
    """
    x = floating(x)
    axes = axes_of(x, axis)
    if not axes:
        return absolute(x)
    if ord is None or (ord in ("fro", 2) and len(axes) == {"fro": 2, 2: 1}[ord]):
        return _reduce(ops.ReduceL2, x, axis, keepdims)
    if len(axes) == 1:
        return _vector_norm(x, ord, axis, keepdims)
    if len(axes) == 2 and ord in (1, -1, np.inf, -np.inf):
        return _matrix_norm(x, ord, axes if axis is None else tuple(listed(axis)), keepdims)
    if ord in ("nuc", 2, -2):
        raise TraceError(f"K.norm with ord={ord!r} needs singular values, which ONNX lacks; use ord='fro'")
    raise InvalidArgumentError(f"K.norm: ord={ord!r} is no norm over {len(axes)} axes; give one axis, or two")


def _vector_norm(x: Tensor, ord: Order, axis: Axis, keepdims: bool) -> Tensor:
    if ord == 1:
        return _reduce(ops.ReduceL1, x, axis, keepdims)
    if ord in (np.inf, -np.inf):
        return (max if ord > 0 else min)(absolute(x), axis, keepdims)
    if ord == 0:
        return sum(cast(not_equal(x, 0), dtype_of(x)), axis, keepdims)
    if not isinstance(ord, (int, float)):
        raise InvalidArgumentError(f"K.norm: ord={ord!r} is no norm of vectors; expected a number")
    powers = power(absolute(x), ord)
    return power(sum(powers, axis, keepdims), 1 / ord)


def _matrix_norm(x: Tensor, ord: float, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    """Return the largest column sum (ord 1) or row sum (inf); for negative orders, the smallest."""
    rows, columns = (axis_of(x, axis) for axis in axes)
    summed, compared = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = _reduce(ops.ReduceL1, x, summed, True)
    result = (max if ord > 0 else min)(sums, compared, True)
    kept = tuple(size for place, size in enumerate(shape_of(result)) if place not in (rows, columns))
    return result if keepdims else reshape(result, kept)


amax = max
amin = min
