"""Picking elements by their places, with the names of `keras.ops`."""

from __future__ import annotations

import builtins
import itertools
from types import EllipsisType
from typing import TypeAlias

import numpy as np

from kir.backend.basic import cast, expand_dims
from kir.backend.comparison import equal
from kir.backend.creation import arange
from kir.backend.dispatch import (
    ShapeLike,
    SizeLike,
    as_integer,
    as_shape,
    as_size,
    convert,
    dtype_of,
    emit_source,
    operand,
    rank_of,
    shape_of,
    tensor,
)
from kir.backend.shapes import clamp_bound, concatenate, flat_or_along, reshape
from kir.config import floatx
from kir.errors import ShapeError, TraceError
from kir.ir.dims import Dim, Sym
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import DType, DTypeLike, broadcast_shapes
from kir.ops import shape as ops

__all__ = ["gather", "get_item", "one_hot", "slice", "slice_update", "take", "take_along_axis"]

# What Python's x[…] takes.
IndexPart: TypeAlias = "TensorLike | builtins.slice | EllipsisType | None"
Index: TypeAlias = "IndexPart | tuple[IndexPart, ...]"
# What is cut out of an axis: the axis, the bounds in it, and the step.
AxisSlice: TypeAlias = tuple[int, Dim, Dim, int]


def emit_slice(x: Tensor, axis: int, start: Dim, end: Dim, step: int = 1) -> Tensor:
    """Slice one axis of a Tensor or an array between bounds inside it."""
    return emit(ops.Slice((axis,), (start,), (end,), (step,)), x)


def take(x: TensorLike, indices: TensorLike, axis: int | None = None) -> Tensor:
    """Return the slices of x at the indices along an axis; None flattens x first.

    Negative indices count from the end.
    """
    x, axis = flat_or_along(x, axis)
    return emit(ops.Gather(axis), x, _indices(indices, x))


def gather(reference: TensorLike, indices: TensorLike) -> Tensor:
    """Return the slices of `reference` at the indices along its first axis."""
    return take(reference, indices, 0)


def _indices(indices: TensorLike, near: Tensor | None) -> Tensor:
    given = operand(indices)
    if isinstance(given, Sym):
        return convert(given, DType.INT64, near)
    found = tensor(given)
    if dtype_of(found) in ops.INDEX_DTYPES:
        return found
    if not dtype_of(found).is_integer and np.size(found if isinstance(found, np.ndarray) else 1):
        raise TraceError(f"indices must be integers, but they are {dtype_of(found).keras_name}; use K.cast(…, 'int32')")
    return convert(found, DType.INT64)


def take_along_axis(x: TensorLike, indices: TensorLike, axis: int | None = None) -> Tensor:
    """Return the element of x that each index names along an axis, at the index's own place on the other axes."""
    x, axis = flat_or_along(x, axis)
    indices = _indices(indices, x)
    x_sizes, sizes = list(shape_of(x)), list(shape_of(indices))
    if len(x_sizes) != len(sizes):
        raise ShapeError(f"x of rank {len(x_sizes)} and indices of rank {len(sizes)} do not fit; expected equal ranks")
    own = x_sizes[axis], sizes[axis]
    x_sizes[axis] = sizes[axis] = 1
    common = list(broadcast_shapes(x_sizes, sizes))
    broadcast = []
    for length, value in zip(own, (x, indices), strict=True):
        wanted = (*common[:axis], length, *common[axis + 1 :])
        broadcast.append(value if wanted == shape_of(value) else emit(ops.Expand(wanted), value))
    return emit(ops.GatherElements(axis), *broadcast)


def one_hot(x: TensorLike, num_classes: SizeLike, axis: int = -1, dtype: DTypeLike | None = None) -> Tensor:
    """Return 1 at each index along a new axis, and 0 elsewhere; all 0 for an index outside 0 to num_classes - 1."""
    indices = tensor(x)
    rank = rank_of(indices) + 1
    place = axis % rank if -rank <= axis < rank else as_integer(axis, "axis")
    grown = expand_dims(indices, place)
    depth = as_size(num_classes, "num_classes")
    if isinstance(depth, int):
        classes = arange(depth, dtype=dtype_of(grown))
    else:
        classes = convert(emit_source(ops.Range(0, depth), grown), dtype_of(grown))
    column = reshape(classes, tuple(depth if axis == place else 1 for axis in range(rank)))
    return cast(equal(grown, column), dtype or floatx())


def slice(inputs: TensorLike, start_indices: ShapeLike, shape: ShapeLike) -> Tensor:
    """Return the block of the given shape that starts at the given indices; a size of -1 reaches to the end."""
    x = tensor(inputs)
    starts = as_shape(start_indices, "start_indices")
    sizes = as_shape(shape)
    if not len(starts) == len(sizes) == rank_of(x):
        raise ShapeError(f"K.slice needs {rank_of(x)} start indices and sizes, but has {len(starts)} and {len(sizes)}")
    ends = [
        length if isinstance(count, int) and count == -1 else start + count
        for start, count, length in zip(starts, sizes, shape_of(x), strict=True)
    ]
    return _slice_axes(x, list(zip(itertools.count(), starts, ends, itertools.repeat(1))))


def slice_update(inputs: TensorLike, start_indices: ShapeLike, updates: TensorLike) -> Tensor:
    """Return x with the block that starts at the given indices replaced."""
    x = tensor(inputs)
    updates = convert(operand(updates), dtype_of(x), x)
    starts = as_shape(start_indices, "start_indices")
    if not len(starts) == rank_of(updates) == rank_of(x):
        raise ShapeError(f"K.slice_update needs {rank_of(x)} start indices and updates of that rank")
    # From the outside in, the parts of x around the block; then from the inside out, put together again.
    around: list[tuple[int, Tensor, Tensor]] = []
    for axis, start in enumerate(starts):
        length, end = shape_of(x)[axis], start + shape_of(updates)[axis]
        around.append((axis, emit_slice(x, axis, 0, start), emit_slice(x, axis, end, length)))
        x = emit_slice(x, axis, start, end)
    for axis, front, back in reversed(around):
        parts = [part for part in (front, updates, back) if shape_of(part)[axis] != 0]
        updates = parts[0] if len(parts) == 1 else concatenate(parts, axis)
    return updates


def get_item(x: TensorLike, key: Index) -> Tensor:
    """Return ``x[key]``: integers, slices, None, ``...`` and integer arrays or tensors, as in NumPy.

    A bound that is inside an axis of symbolic size for most inputs is taken to be inside: ``x[:, :5]`` has 5 steps,
    and running the graph on fewer is an error.

    Raises:
        TraceError: a boolean index, whose result has no known shape, or several arrays.
        ShapeError: more indices than axes, or one out of range.
    """
    x = tensor(x)
    keys = _full_key(key if isinstance(key, tuple) else (key,), rank_of(x))
    slices: list[AxisSlice] = []
    picks: list[tuple[int, Tensor]] = []
    new_axes: list[int] = []
    axis = result_axis = 0
    for one in keys:
        if one is None:
            new_axes.append(result_axis)
            result_axis += 1
            continue
        if isinstance(one, builtins.slice):
            slices += _slice_of(one, axis, shape_of(x)[axis])
            result_axis += 1
        else:
            picks.append((axis, one))
            result_axis += rank_of(one)
        axis += 1
    _check_picks(picks)
    x = _slice_axes(x, slices)
    for axis, index in reversed(picks):
        x = emit(ops.Gather(axis), x, index if isinstance(index, Tensor) else np.asarray(index))
    return expand_dims(x, tuple(new_axes)) if new_axes else x


def _full_key(key: tuple[IndexPart, ...], rank: int) -> list[Tensor | builtins.slice | None]:
    """Return the key with an entry for each axis, and None for new ones: no Ellipsis, indices as tensors or arrays."""
    ellipses = [place for place, one in enumerate(key) if one is Ellipsis]
    used = sum(one is not None and one is not Ellipsis for one in key)
    if used > rank or len(ellipses) > 1:
        raise ShapeError(
            f"{len(key)} indices do not fit a tensor of rank {rank}; expected at most {rank} and one '...'"
        )
    place = ellipses[0] if ellipses else len(key)
    missing = [builtins.slice(None)] * (rank - used)
    full = [*key[:place], *missing, *key[place + 1 :]]
    # No Ellipsis is left.
    return [one if one is None or isinstance(one, builtins.slice) else _pick(one) for one in full]  # type: ignore[arg-type]


def _pick(index: TensorLike) -> Tensor:
    given = operand(index)
    if isinstance(given, bool) or (not isinstance(given, (int, float, Sym)) and dtype_of(given) is DType.BOOL):
        raise TraceError("a boolean index gives a shape that depends on the data; use K.where(condition, x, 0) instead")
    if isinstance(given, int):
        return convert(given, DType.INT64)
    return _indices(given, None)


def _check_picks(picks: list[tuple[int, Tensor]]) -> None:
    arrays = [axis for axis, index in picks if rank_of(index)]
    if len(arrays) > 1:
        raise TraceError(f"{len(arrays)} arrays in one index cannot be traced; use K.take along one axis after another")
    axes = [axis for axis, _ in picks]
    if arrays and axes[-1] - axes[0] + 1 != len(axes):
        raise TraceError("an array and an integer apart in one index cannot be traced; index in two steps: x[:, 0][…]")


def _slice_of(key: builtins.slice, axis: int, length: Dim) -> list[AxisSlice]:
    """Return the part of an axis that a Python slice takes; nothing for all of it."""
    step = 1 if key.step is None else as_integer(key.step, "the step of a slice")
    if step == 0:
        raise ShapeError("the step of a slice is 0; expected another number")
    if key.start is None and key.stop is None and step == 1:
        return []
    first, past, lowest = (0, length, 0) if step > 0 else (length - 1, -1, -1)
    start = first if key.start is None else clamp_bound(as_size(key.start, "the start of a slice"), length, lowest)
    end = past if key.stop is None else clamp_bound(as_size(key.stop, "the end of a slice"), length, lowest)
    span = end - start if step > 0 else start - end
    return [(axis, start, start if isinstance(span, int) and span < 0 else end, step)]


def _slice_axes(x: Tensor, slices: list[AxisSlice]) -> Tensor:
    kept = [one for one in slices if one[1:] != (0, shape_of(x)[one[0]], 1)]
    if not kept:
        return x
    axes, starts, ends, steps = zip(*kept, strict=True)
    return emit(ops.Slice(axes, starts, ends, steps), x)
