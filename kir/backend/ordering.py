"""Elements in another order along an axis, and what depends on their order, with the names of `keras.ops`."""

from __future__ import annotations

from collections.abc import Sequence

from kir.backend.basic import cast
from kir.backend.comparison import not_equal
from kir.backend.dispatch import (
    SizeLike,
    as_size,
    axes_of,
    axis_of,
    convert,
    dtype_of,
    listed,
    numeric,
    shape_of,
    tensor,
)
from kir.backend.elementwise import subtract
from kir.backend.indexing import emit_slice
from kir.backend.shapes import (
    UNSPECIFIED,
    concatenate,
    counts_from_the_end,
    flat_or_along,
    flatten,
    require_axis,
    reshape,
    split,
)
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import Axis, DType, DTypeLike
from kir.ops import shape as ops

__all__ = ["argsort", "cumsum", "diff", "flip", "reverse", "roll", "sort", "top_k"]


def flip(x: TensorLike, axis: Axis = None) -> Tensor:
    """Return the elements in reverse, along one axis, several, or all."""
    x = tensor(x)
    axes = axes_of(x, axis)
    starts = tuple(shape_of(x)[one] - 1 for one in axes)
    return emit(ops.Slice(axes, starts, (-1,) * len(axes), (-1,) * len(axes)), x)


def reverse(x: TensorLike, axes: Axis) -> Tensor:
    """Return the elements in reverse, along one axis or several."""
    return flip(x, axes)


def roll(x: TensorLike, shift: SizeLike | Sequence[SizeLike], axis: Axis = None) -> Tensor:
    """Move the elements along an axis, or several; those that leave it come in at the other end.

    None rolls the flattened x, and gives it its shape again.
    """
    x = tensor(x)
    if axis is None:
        return reshape(roll(flatten(x), shift, 0), shape_of(x))
    pairs = zip(listed(shift), listed(axis), strict=True)
    for distance, one in pairs:
        place = axis_of(x, one)
        length = shape_of(x)[place]
        offset = as_size(distance, "shift")
        if isinstance(offset, int):
            offset = offset % length if isinstance(length, int) and length else offset
        if offset != 0:
            cut = -offset if counts_from_the_end(offset) else length - offset
            front, back = split(x, [cut], place)
            x = concatenate([back, front], place)
    return x


def sort(x: TensorLike, axis: int | None = -1) -> Tensor:
    """Return the elements in ascending order, along an axis; None flattens first."""
    return _sorted(x, axis)[0]


def argsort(x: TensorLike, axis: int | None = -1) -> Tensor:
    """Return the indices that sort the elements, as int32; equal ones keep their order."""
    return cast(_sorted(x, axis)[1], "int32")


def _sorted(x: TensorLike, axis: int | None) -> tuple[Tensor, Tensor]:
    x, axis = flat_or_along(x, axis)
    values, indices = emit(ops.TopK(shape_of(x)[axis], axis, largest=False), numeric(x))
    return convert(values, dtype_of(x)), indices


def top_k(x: TensorLike, k: SizeLike, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """Return the k largest elements along the last axis, and their indices as int32; of equal ones the first."""
    x = tensor(x)
    values, indices = emit(ops.TopK(as_size(k, "k"), axis_of(x, -1), sorted=sorted), x)
    return values, cast(indices, "int32")


def cumsum(x: TensorLike, axis: int | None = UNSPECIFIED, dtype: DTypeLike | None = None) -> Tensor:
    """Return the running sum along an axis; None flattens first.

    Raises:
        TraceError: no axis was given.
    """
    require_axis("cumsum", axis, "the first axis", "flattening")
    x, axis = flat_or_along(x if dtype is None else cast(x, dtype), axis)
    result = DType.INT32 if dtype_of(x) is DType.BOOL else dtype_of(x)
    computed = result if result.is_float or result.itemsize >= 4 else DType.INT32
    return convert(emit(ops.CumSum(axis), convert(x, computed)), result)


def diff(a: TensorLike, n: int = 1, axis: int = -1) -> Tensor:
    """Return the n-th difference of neighbours along an axis; of booleans, whether they differ."""
    x = tensor(a)
    axis = axis_of(x, axis)
    for _ in range(n):
        length = shape_of(x)[axis]
        later, earlier = emit_slice(x, axis, 1, length), emit_slice(x, axis, 0, length - 1)
        x = not_equal(later, earlier) if dtype_of(x) is DType.BOOL else subtract(later, earlier)
    return x
