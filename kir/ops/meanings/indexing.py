"""Operators that pick, place and order elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kir.ir.dims import Dim
from kir.ir.op import Array
from kir.ir.types import TensorType
from kir.ops.meanings.table import along, means

# What `reduction` does with an element that is there and one that comes.
REDUCTIONS: dict[str, Callable[..., None]] = {
    "none": lambda data, places, updates: data.__setitem__(places, updates),
    "add": np.add.at,
    "mul": np.multiply.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


@means("NonZero", exact=True)
def non_zero(x: Array) -> Array:
    """Return the indices of what is not 0, a row for each axis; a scalar has one axis."""
    is_set = x != (np.asarray("", object) if x.dtype == object else 0)
    return np.stack(np.nonzero(np.atleast_1d(is_set))).astype(np.int64)


@means("Compress", exact=True)
def compress(x: Array, condition: Array, *, axis: int | None = None) -> Array:
    """Return the elements, or the slices of an axis, whose condition is true; what has no condition is left out."""
    return np.compress(condition.astype(bool), x, axis)


@means("ScatterElements", "Scatter", ranges={1: along(0, "axis")})
def scatter_elements(data: Array, indices: Array, updates: Array, *, axis: int = 0, reduction: str = "none") -> Array:
    """Return the data with each update at its own place, but on the axis at its index."""
    result = data.copy()
    places: list[Array] = list(np.indices(indices.shape, sparse=True))
    places[axis] = np.where(indices < 0, indices + data.shape[axis], indices)
    REDUCTIONS[reduction](result, tuple(places), updates)
    return result


@means("ScatterND", ranges={1: lambda types, settings: types[0].shape if types[0] else ()})
def scatter_nd(data: Array, indices: Array, updates: Array, *, reduction: str = "none") -> Array:
    """Return the data with updates at the places that the last axis of the indices gives."""
    result = data.copy()
    REDUCTIONS[reduction](result, tuple(np.moveaxis(indices, -1, 0)), updates)
    return result


def _places_for_update(types: Sequence[TensorType | None], settings: Mapping[str, Any]) -> list[Dim]:
    """Return the number of places in a cache at which all of an update fits in."""
    past, update = types[:2]
    axis = settings.get("axis", -2)
    return [] if past is None or update is None else [past.shape[axis] - update.shape[axis] + 1]


@means("TensorScatter", exact=True, ranges={2: _places_for_update})
def tensor_scatter(
    past: Array, update: Array, write_indices: Array | None = None, *, axis: int = -2, mode: str = "linear"
) -> Array:
    """Return a cache with the update written from each batch's own place on, over the end to the start if circular."""
    result = past.copy()
    size, axis = past.shape[axis], axis % past.ndim
    starts = np.zeros(len(past), np.int64) if write_indices is None else write_indices
    for row, start in enumerate(starts):
        places = start + np.arange(update.shape[axis])
        places = places % size if mode == "circular" else places
        np.moveaxis(result[row], axis - 1, 0)[places] = np.moveaxis(update[row], axis - 1, 0)
    return result


@means("CumProd", ranges={1: lambda types, settings: [types[0].rank] if types[0] else []})
def cum_prod(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0) -> Array:
    """Return the products of the elements up to each, or before it, on an axis."""
    moved = np.moveaxis(x, int(axis.reshape(())), 0)
    moved = moved[::-1] if reverse else moved
    if exclusive and len(moved):
        moved = np.concatenate([np.ones_like(moved[:1]), moved[:-1]])
    products = np.cumprod(moved, axis=0, dtype=x.dtype)
    return np.moveaxis(products[::-1] if reverse else products, 0, int(axis.reshape(())))


@means("ReverseSequence", exact=True, ranges={1: along(0, "time_axis", extra=1)})
def reverse_sequence(x: Array, lengths: Array, *, batch_axis: int = 1, time_axis: int = 0) -> Array:
    """Return the sequences with the steps up to each one's length in reverse order."""
    moved = np.moveaxis(x, (batch_axis, time_axis), (0, 1))
    result = moved.copy()
    for row, length in enumerate(lengths.tolist()):
        result[row, :length] = moved[row, :length][::-1]
    return np.moveaxis(result, (0, 1), (batch_axis, time_axis))


@means("Unique", exact=True)
def unique(x: Array, *, axis: int | None = None, sorted: int = 1) -> tuple[Array, ...]:
    """Return the distinct elements or slices; where each comes first; which one each given one is; how many there are.

    Without sorting they come in the order in which they come first.
    """
    values, first, inverse, counts = _distinct(x.ravel() if axis is None else np.moveaxis(x, axis, 0))
    if not sorted:
        order = np.argsort(first, kind="stable")
        values, first, counts = values[order], first[order], counts[order]
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        inverse = rank[inverse]
    values = values if axis is None else np.moveaxis(values, 0, axis)
    return values, *(array.astype(np.int64) for array in (first, inverse, counts))


def _distinct(rows: Array) -> tuple[Array, Array, Array, Array]:
    """Return the distinct rows in order, and of these the first places, the inverse and the counts."""
    flat = rows.reshape(len(rows), rows[:1].size)
    # NaN is like no other element, and comes after all, as in any order of arrays that NumPy makes.
    keys = [tuple(row) for row in flat.tolist()]
    order = sorted(range(len(keys)), key=lambda place: [(item != item, item) for item in keys[place]])
    first: list[int] = []
    counts: list[int] = []
    inverse = np.zeros(len(keys), np.int64)
    for place in order:
        if first and keys[place] == keys[first[-1]]:
            counts[-1] += 1
        else:
            first.append(place)
            counts.append(1)
        inverse[place] = len(first) - 1
    return rows[np.array(first, np.int64)], np.array(first, np.int64), inverse, np.array(counts, np.int64)


@means("ArgMax", exact=True)
def arg_max(x: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    """Return the index of the largest element on an axis, the first or the last of equals."""
    return _place(x, np.argmax, axis, keepdims, select_last_index)


@means("ArgMin", exact=True)
def arg_min(x: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    """Return the index of the smallest element on an axis, the first or the last of equals."""
    return _place(x, np.argmin, axis, keepdims, select_last_index)


def _place(x: Array, find: Callable[..., Array], axis: int, keepdims: int, last: int) -> Array:
    found = find(np.flip(x, axis) if last else x, axis=axis, keepdims=bool(keepdims))
    return np.asarray(x.shape[axis] - 1 - found if last else found).astype(np.int64)


@means("DepthToSpace")
def depth_to_space(x: Array, *, blocksize: int, mode: str = "DCR") -> Array:
    """Return images whose channels are blocks of pixels; DCR: the channel varies fastest, CRD: the place in a block."""
    batch, channels, height, width = x.shape
    left = channels // blocksize**2
    if mode == "DCR":
        split = x.reshape(batch, blocksize, blocksize, left, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        split = x.reshape(batch, left, blocksize, blocksize, height, width).transpose(0, 1, 4, 2, 5, 3)
    return split.reshape(batch, left, height * blocksize, width * blocksize)


@means("SpaceToDepth")
def space_to_depth(x: Array, *, blocksize: int, mode: str = "DCR") -> Array:
    """Return images in which the pixels of a block are channels; the inverse of `depth_to_space`."""
    batch, channels, height, width = x.shape
    split = x.reshape(batch, channels, height // blocksize, blocksize, width // blocksize, blocksize)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return split.transpose(order).reshape(batch, channels * blocksize**2, height // blocksize, width // blocksize)


@means("CenterCropPad", exact=True)
def center_crop_pad(x: Array, shape: Array, *, axes: tuple[int, ...] | None = None) -> Array:
    """Return the middle of axes that are too long, and zeros around the middle of those that are too short."""
    for axis, wanted in zip(range(x.ndim) if axes is None else axes, shape.tolist(), strict=True):
        given = x.shape[axis]
        if given > wanted:
            start = (given - wanted) // 2
            x = np.take(x, np.arange(start, start + wanted), axis)
        else:
            before = (wanted - given) // 2
            widths = [(0, 0)] * x.ndim
            widths[axis] = (before, wanted - given - before)
            x = np.pad(x, widths)
    return x
