"""Shapes: reading them, changing them, joining, cutting and picking, with the names of `keras.ops`.

Sizes may be symbolic everywhere. Where old `keras.backend` and `keras.ops` take different defaults for an axis, there
is no default: the axis must be given.
"""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from kir.backend.basic import cast, expand_dims
from kir.backend.creation import arange
from kir.backend.dispatch import (
    TensorLike,
    as_integer,
    as_shape,
    as_size,
    axes_of,
    axis_of,
    convert,
    dtype_of,
    emit_source,
    emit_stack,
    operand,
    operation,
    promote,
    rank_of,
    shape_of,
    tensor,
)
from kir.backend.elementwise import equal, not_equal
from kir.config import floatx, standardize_data_format
from kir.errors import InvalidArgumentError, ShapeError, TraceError
from kir.ir.dims import Dim, Sym, divide_exactly, product
from kir.ir.trace import SymbolicOperators, Tensor, emit
from kir.ir.types import DType, broadcast_shapes, format_shape
from kir.ops import shape as ops

__all__ = [
    "argsort", "batch_flatten", "broadcast_to", "concatenate", "cumsum", "diff", "dtype", "flatten",
    "flip", "gather", "get_item", "hstack", "int_shape", "moveaxis", "ndim", "one_hot", "pad", "permute_dimensions",
    "ravel", "repeat", "repeat_elements", "reshape", "reverse", "roll", "shape", "size", "slice", "slice_update",
    "sort", "spatial_2d_padding", "spatial_3d_padding", "split", "squeeze", "stack", "swapaxes", "take",
    "take_along_axis", "temporal_padding", "tile", "top_k", "transpose", "tril", "triu", "unstack", "vstack",
]  # fmt: skip

Index = Any  # what Python's x[…] takes


class _Unspecified:
    """The default of an axis on which old `keras.backend` and `keras.ops` disagree."""

    def __repr__(self) -> str:
        return "<must be given>"


UNSPECIFIED: Any = _Unspecified()


def require_axis(function: str, axis: Any, old: str, new: str) -> None:
    """Raises TraceError unless an axis was given; the message names what each Keras would have taken."""
    if axis is UNSPECIFIED:
        raise TraceError(
            f"K.{function} needs axis=…: without it, Keras 2's backend means {old} and keras.ops means {new}"
        )


# Reading


def shape(x: TensorLike) -> tuple[Any, ...]:
    """The sizes, as a tuple of ints and symbolic sizes, which compute and are accepted wherever a shape is."""
    return tuple(x.shape) if isinstance(x, SymbolicOperators) else shape_of(tensor(x))


def int_shape(x: TensorLike) -> tuple[Any, ...]:
    """The same as `shape`."""
    return shape(x)


def ndim(x: TensorLike) -> int:
    """The rank."""
    return len(shape(x))


def dtype(x: TensorLike) -> str:
    """The dtype by its Keras name."""
    return str(x.dtype) if isinstance(x, SymbolicOperators) else dtype_of(tensor(x)).keras_name


def size(x: TensorLike) -> Any:
    """The number of elements, an int or a symbolic size."""
    return product(shape(x))


# Changing


@operation
def reshape(x: TensorLike, newshape: Any) -> Any:
    """The elements in another shape; one -1 is what is left over.

    Raises:
        ShapeError: the numbers of elements differ, or what is left over is no whole size.
    """
    x = tensor(x)
    given, wanted = shape_of(x), as_shape(newshape, "newshape")
    completed = ops.complete_shape(wanted, given)
    if completed is None:
        raise ShapeError(
            f"cannot reshape {format_shape(given)} to {format_shape(wanted)}; expected one -1 at most, and the other "
            "sizes to divide the number of elements"
        )
    return emit(ops.Reshape(completed), x)


@operation
def flatten(x: TensorLike) -> Any:
    """All elements in one axis, the batch too."""
    return reshape(x, (-1,))


@operation
def batch_flatten(x: TensorLike) -> Any:
    """All axes but the first in one."""
    x = tensor(x)
    return reshape(x, (shape_of(x)[0], product(shape_of(x)[1:])))


@operation
def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order; None reverses them.

    Raises:
        ShapeError: `axes` is no permutation.
    """
    x = tensor(x)
    given = range(rank_of(x))[::-1] if axes is None else axes
    permutation = tuple(axis_of(x, axis, "axes") for axis in given)
    return x if permutation == tuple(range(rank_of(x))) else emit(ops.Transpose(permutation), x)


@operation
def permute_dimensions(x: TensorLike, pattern: Sequence[int]) -> Any:
    """The axes in the order of `pattern`."""
    return transpose(x, pattern)


@operation
def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    x = tensor(x)
    order = list(range(rank_of(x)))
    first, second = axis_of(x, axis1, "axis1"), axis_of(x, axis2, "axis2")
    order[first], order[second] = second, first
    return transpose(x, order)


@operation
def moveaxis(x: TensorLike, source: Any, destination: Any) -> Any:
    """Axes moved to other places; the others keep their order."""
    x = tensor(x)
    sources, destinations = (
        [axis_of(x, axis, name) for axis in (given if isinstance(given, (list, tuple)) else (given,))]
        for name, given in (("source", source), ("destination", destination))
    )
    if not len(set(sources)) == len(set(destinations)) == len(sources) == len(destinations):
        raise InvalidArgumentError(f"K.moveaxis: source={source} and destination={destination} must name as many axes")
    order = [axis for axis in range(rank_of(x)) if axis not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(place, axis)
    return transpose(x, order)


@operation
def squeeze(x: TensorLike, axis: Any = None) -> Any:
    """Without the given axes of size 1; None means all that are known to be 1.

    Raises:
        ShapeError: an axis has another size, or a symbolic one.
    """
    x = tensor(x)
    ones = [one for one, length in enumerate(shape_of(x)) if isinstance(length, int) and length == 1]
    axes = ones if axis is None else axes_of(x, axis)
    if not set(axes) <= set(ones):
        raise ShapeError(f"cannot squeeze axis={axis} of the shape {format_shape(shape_of(x))}; expected a size of 1")
    return emit(ops.Reshape(tuple(length for one, length in enumerate(shape_of(x)) if one not in axes)), x)


@operation
def broadcast_to(x: TensorLike, shape: Any) -> Any:
    """x repeated along axes of size 1, and along new axes in front.

    Raises:
        ShapeError: x does not broadcast to the shape.
    """
    return emit(ops.Expand(as_shape(shape)), tensor(x))


# Joining and cutting


@operation
def concatenate(xs: Sequence[TensorLike], axis: Any = UNSPECIFIED) -> Any:
    """Tensors one after another along an axis; None flattens them first.

    Shapes, such as ``K.shape(x)[:1]`` and ``(3,)``, join to a shape.

    Raises:
        TraceError: no axis was given.
    """
    if _are_shapes(xs):
        return tuple(itertools.chain.from_iterable(xs))
    require_axis("concatenate", axis, "the last axis", "the first")
    values = promote(*xs)
    if axis is None:
        values, axis = [flatten(value) for value in values], 0
    return emit(ops.Concat(axis_of(values[0], axis)), *values)


def _are_shapes(xs: Sequence[Any]) -> bool:
    sizes = [size for x in xs if isinstance(x, (tuple, list)) for size in x]
    return all(isinstance(x, (tuple, list)) for x in xs) and _is_shape(sizes)


def _is_shape(sizes: Sequence[Any]) -> bool:
    return any(isinstance(one, Sym) for one in sizes) and all(isinstance(one, (int, Sym)) for one in sizes)


@operation
def stack(x: Sequence[TensorLike], axis: int = 0) -> Any:
    """Tensors of one shape along a new axis. Sizes, such as ``K.shape(x)[0]`` and 3, become a shape."""
    if _is_shape(x):
        return tuple(x)
    return emit_stack(promote(*x), axis)


@operation
def vstack(xs: Sequence[TensorLike]) -> Any:
    """Tensors one below another; those of rank 1 are rows."""
    values = promote(*xs)
    return concatenate([value if rank_of(value) > 1 else reshape(value, (1, -1)) for value in values], 0)


@operation
def hstack(xs: Sequence[TensorLike]) -> Any:
    """Tensors side by side: along the second axis, or the only one."""
    values = [value if rank_of(value) else flatten(value) for value in promote(*xs)]
    return concatenate(values, min(1, rank_of(values[0]) - 1))


@operation
def split(x: TensorLike, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """The parts of x along an axis: so many equal ones, or those between the given indices.

    Raises:
        ShapeError: the axis cannot be divided so.
    """
    x = tensor(x)
    axis = axis_of(x, axis)
    length = shape_of(x)[axis]
    if isinstance(indices_or_sections, (list, tuple, np.ndarray)):
        ends = [_clamped(as_size(end, "a split index"), length) for end in indices_or_sections]
        sizes = [end - start for start, end in itertools.pairwise([0, *ends, length])]
    else:
        count = as_integer(indices_or_sections, "indices_or_sections")
        part = divide_exactly(length, count)
        if part is None:
            raise ShapeError(f"cannot split axis {axis} of size {length} into {count} equal parts")
        sizes = [part] * count
    return [x] if len(sizes) == 1 else list(emit(ops.Split(axis, tuple(sizes)), x))


@operation
def unstack(x: TensorLike, num: int | None = None, axis: int = 0) -> list[Any]:
    """The slices of x along an axis, without that axis. `num` is its size, if it is symbolic."""
    x = tensor(x)
    length = shape_of(x)[axis_of(x, axis)] if num is None else num
    return [squeeze(part, axis) for part in split(x, as_integer(length, "the size of the axis, or num,"), axis)]


@operation
def repeat(x: TensorLike, repeats: Any, axis: Any = UNSPECIFIED) -> Any:
    """Each element so many times, along an axis; None flattens first. `repeats` may be one number for each element.

    Raises:
        TraceError: no axis was given.
    """
    require_axis("repeat", axis, "a new second axis (write K.repeat(K.expand_dims(x, 1), n, axis=1))", "flattening")
    x = tensor(x)
    if axis is None:
        x, axis = flatten(x), 0
    axis = axis_of(x, axis)
    sizes = shape_of(x)
    if isinstance(repeats, (list, tuple, np.ndarray)) and np.size(repeats) != 1:
        length = as_integer(sizes[axis], "the size of an axis with repeats for each element")
        return take(x, np.repeat(np.arange(length), repeats), axis)
    is_symbolic = isinstance(repeats, (Sym, Tensor))
    count = as_size(repeats if is_symbolic else np.ravel(np.asarray(repeats, object))[0], "repeats")
    grown = expand_dims(x, axis + 1)
    expanded = emit(ops.Expand((*sizes[: axis + 1], count, *sizes[axis + 1 :])), grown)
    return reshape(expanded, (*sizes[:axis], sizes[axis] * count, *sizes[axis + 1 :]))


@operation
def repeat_elements(x: TensorLike, rep: int, axis: int) -> Any:
    """Each element `rep` times, along an axis."""
    return repeat(x, rep, axis)


@operation
def tile(x: TensorLike, repeats: Any) -> Any:
    """x side by side with itself, so many times along each of the last axes."""
    x = tensor(x)
    counts = as_shape(repeats, "repeats")
    rank = max(rank_of(x), len(counts))
    x = x if rank == rank_of(x) else expand_dims(x, tuple(range(rank - rank_of(x))))
    return emit(ops.Tile((1,) * (rank - len(counts)) + counts), x)


# Order


@operation
def flip(x: TensorLike, axis: Any = None) -> Any:
    """The elements in reverse, along one axis, several, or all."""
    x = tensor(x)
    axes = axes_of(x, axis)
    starts = tuple(shape_of(x)[one] - 1 for one in axes)
    return emit(ops.Slice(axes, starts, (-1,) * len(axes), (-1,) * len(axes)), x)


@operation
def reverse(x: TensorLike, axes: Any) -> Any:
    """The elements in reverse, along one axis or several."""
    return flip(x, axes)


@operation
def roll(x: TensorLike, shift: Any, axis: Any = None) -> Any:
    """The elements moved along an axis; those that leave it come in at the other end. None rolls the flattened x."""
    x = tensor(x)
    if axis is None:
        return reshape(roll(flatten(x), shift, 0), shape_of(x))
    pairs = zip(shift, axis, strict=True) if isinstance(axis, (list, tuple)) else [(shift, axis)]
    for distance, one in pairs:
        place = axis_of(x, one)
        length = shape_of(x)[place]
        offset = as_size(distance, "shift")
        if isinstance(offset, int):
            offset = offset % length if isinstance(length, int) and length else offset
        if offset != 0:
            cut = -offset if _counts_from_the_end(offset) else length - offset
            front, back = split(x, [cut], place)
            x = concatenate([back, front], place)
    return x


@operation
def sort(x: TensorLike, axis: int = -1) -> Any:
    """The elements in ascending order, along an axis."""
    return _sorted(x, axis)[0]


@operation
def argsort(x: TensorLike, axis: int = -1) -> Any:
    """Where the sorted elements are, as int32; equal ones keep their order."""
    return cast(_sorted(x, axis)[1], "int32")


def _sorted(x: TensorLike, axis: Any) -> Any:
    x = tensor(x)
    if axis is None:
        x, axis = flatten(x), 0
    axis = axis_of(x, axis)
    given = dtype_of(x)
    sortable = convert(x, DType.INT32) if given is DType.BOOL else x
    values, indices = emit(ops.TopK(shape_of(x)[axis], axis, largest=False), sortable)
    return convert(values, given), indices


@operation
def top_k(x: TensorLike, k: Any, sorted: bool = True) -> tuple[Any, Any]:
    """The k largest elements along the last axis, and where they are, as int32. Of equal ones the first come first."""
    x = tensor(x)
    values, indices = emit(ops.TopK(as_size(k, "k"), axis_of(x, -1), sorted=sorted), x)
    return values, cast(indices, "int32")


@operation
def cumsum(x: TensorLike, axis: Any = UNSPECIFIED, dtype: Any = None) -> Any:
    """The running sum along an axis; None flattens first.

    Raises:
        TraceError: no axis was given.
    """
    require_axis("cumsum", axis, "the first axis", "flattening")
    x = tensor(x) if dtype is None else cast(x, dtype)
    result = DType.INT32 if dtype_of(x) is DType.BOOL else dtype_of(x)
    if axis is None:
        x, axis = flatten(x), 0
    computed = result if result.is_float or result.itemsize >= 4 else DType.INT32
    return convert(emit(ops.CumSum(axis_of(x, axis)), convert(x, computed)), result)


@operation
def diff(a: TensorLike, n: int = 1, axis: int = -1) -> Any:
    """The n-th difference of neighbours along an axis; of booleans, whether they differ."""
    x = tensor(a)
    axis = axis_of(x, axis)
    for _ in range(n):
        length = shape_of(x)[axis]
        later, earlier = emit_slice(x, axis, 1, length), emit_slice(x, axis, 0, length - 1)
        x = not_equal(later, earlier) if dtype_of(x) is DType.BOOL else later - earlier
    return x


def emit_slice(x: Any, axis: int, start: Dim, end: Dim, step: int = 1) -> Any:
    """Slices one axis of a Tensor or an array between bounds inside it."""
    return emit(ops.Slice((axis,), (start,), (end,), (step,)), x)


@operation
def tril(x: TensorLike, k: int = 0) -> Any:
    """The last two axes' lower triangle, up to the k-th diagonal; zeros elsewhere."""
    return emit(ops.Trilu(False, k), tensor(x))


@operation
def triu(x: TensorLike, k: int = 0) -> Any:
    """The last two axes' upper triangle, from the k-th diagonal; zeros elsewhere."""
    return emit(ops.Trilu(True, k), tensor(x))


# Padding


@operation
def pad(x: TensorLike, pad_width: Any, mode: str = "constant", constant_values: TensorLike | None = None) -> Any:
    """x with so many elements before and after each axis: a number, a pair for all axes, or a pair for each.

    Raises:
        TraceError: `mode` is none of "constant", "reflect" and "edge".
    """
    x = tensor(x)
    if mode not in ops.PAD_MODES:
        raise TraceError(f"K.pad cannot use mode={mode!r}; expected one of {', '.join(ops.PAD_MODES)}")
    pairs = _pad_pairs(pad_width, rank_of(x))
    before, after = tuple(b for b, _ in pairs), tuple(a for _, a in pairs)
    value = None if constant_values is None else convert(operand(constant_values), dtype_of(x), x)
    return emit(ops.Pad(before, after, mode), x, value)


def _pad_pairs(pad_width: Any, rank: int) -> list[tuple[Dim, Dim]]:
    if isinstance(pad_width, (int, Sym)) or (isinstance(pad_width, Tensor) and not rank_of(pad_width)):
        width = as_size(pad_width, "pad_width")
        return [(width, width)] * rank
    pairs = [as_shape(pair, "pad_width") for pair in (pad_width if np.ndim(pad_width[0]) else [pad_width])]
    pairs = pairs * rank if len(pairs) == 1 else pairs
    if len(pairs) != rank or not all(len(pair) in (1, 2) for pair in pairs):
        raise ShapeError(f"pad_width={pad_width!r} does not fit a tensor of rank {rank}; expected a pair for each axis")
    return [(pair[0], pair[-1]) for pair in pairs]


@operation
def temporal_padding(x: TensorLike, padding: tuple[int, int] = (1, 1)) -> Any:
    """x with zero steps before and after, for rank 3."""
    return pad(x, ((0, 0), tuple(padding), (0, 0)))


@operation
def spatial_2d_padding(x: TensorLike, padding: Any = ((1, 1), (1, 1)), data_format: str | None = None) -> Any:
    """x with zeros around the 2 axes of an image."""
    return _spatial_padding(x, padding, data_format)


@operation
def spatial_3d_padding(x: TensorLike, padding: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None) -> Any:
    """x with zeros around the 3 axes of a volume."""
    return _spatial_padding(x, padding, data_format)


def _spatial_padding(x: TensorLike, padding: Any, data_format: str | None) -> Any:
    spatial = [tuple(pair) for pair in padding]
    if standardize_data_format(data_format) == "channels_first":
        return pad(x, ((0, 0), (0, 0), *spatial))
    return pad(x, ((0, 0), *spatial, (0, 0)))


# Picking


@operation
def take(x: TensorLike, indices: TensorLike, axis: Any = None) -> Any:
    """The slices of x at the indices along an axis; None flattens x first. Negative indices count from the end."""
    x = tensor(x)
    if axis is None:
        x, axis = flatten(x), 0
    return emit(ops.Gather(axis_of(x, axis)), x, _indices(indices, x))


@operation
def gather(reference: TensorLike, indices: TensorLike) -> Any:
    """The slices of `reference` at the indices along its first axis."""
    return take(reference, indices, 0)


def _indices(indices: TensorLike, near: Any) -> Any:
    given = operand(indices)
    if isinstance(given, Sym):
        return convert(given, DType.INT64, near)
    found = tensor(given)
    if dtype_of(found) in ops.INDEX_DTYPES:
        return found
    if not dtype_of(found).is_integer and np.size(found if isinstance(found, np.ndarray) else 1):
        raise TraceError(f"indices must be integers, but they are {dtype_of(found).keras_name}; use K.cast(…, 'int32')")
    return convert(found, DType.INT64)


@operation
def take_along_axis(x: TensorLike, indices: TensorLike, axis: Any = None) -> Any:
    """For each index its element of x along an axis, at the index's own place on the other axes."""
    x = tensor(x)
    indices = _indices(indices, x)
    if axis is None:
        x, axis = flatten(x), 0
    axis = axis_of(x, axis)
    x_sizes, sizes = list(shape_of(x)), list(shape_of(indices))
    if len(x_sizes) != len(sizes):
        raise ShapeError(f"x of rank {len(x_sizes)} and indices of rank {len(sizes)} do not fit; expected equal ranks")
    own = x_sizes[axis], sizes[axis]
    x_sizes[axis] = sizes[axis] = 1
    common = list(broadcast_shapes(x_sizes, sizes))
    for place, (length, value) in enumerate(zip(own, (x, indices), strict=True)):
        wanted = (*common[:axis], length, *common[axis + 1 :])
        if wanted != shape_of(value):
            expanded = emit(ops.Expand(wanted), value)
            x, indices = (expanded, indices) if place == 0 else (x, expanded)
    return emit(ops.GatherElements(axis), x, indices)


@operation
def one_hot(x: TensorLike, num_classes: Any, axis: int = -1, dtype: Any = None) -> Any:
    """1 at each index along a new axis and 0 elsewhere; all 0 for an index outside 0 to num_classes - 1."""
    indices = tensor(x)
    rank = rank_of(indices) + 1
    place = axis % rank if -rank <= axis < rank else as_integer(axis, "axis")
    grown = expand_dims(indices, place)
    depth = as_size(num_classes, "num_classes")
    classes = arange(depth, dtype=dtype_of(grown)) if isinstance(depth, int) else _sized_classes(depth, grown)
    column = reshape(classes, tuple(depth if axis == place else 1 for axis in range(rank)))
    return cast(equal(grown, column), dtype or floatx())


def _sized_classes(depth: Sym, near: Any) -> Any:
    return convert(emit_source(ops.Range(0, depth), near), dtype_of(near))


@operation
def slice(inputs: TensorLike, start_indices: Any, shape: Any) -> Any:
    """The block of the given shape that starts at the given indices; a size of -1 reaches to the end."""
    x = tensor(inputs)
    starts = as_shape(start_indices, "start_indices")
    sizes = as_shape(shape)
    if not len(starts) == len(sizes) == rank_of(x):
        raise ShapeError(f"K.slice needs {rank_of(x)} start indices and sizes, but has {len(starts)} and {len(sizes)}")
    ends = [
        length if isinstance(count, int) and count == -1 else start + count
        for start, count, length in zip(starts, sizes, shape_of(x), strict=True)
    ]
    return _slice_axes(x, list(zip(range(rank_of(x)), starts, ends, itertools.repeat(1), strict=False)))


@operation
def slice_update(inputs: TensorLike, start_indices: Any, updates: TensorLike) -> Any:
    """x with the block that starts at the given indices replaced."""
    x = tensor(inputs)
    updates = convert(operand(updates), dtype_of(x), x)
    starts = as_shape(start_indices, "start_indices")
    if not len(starts) == rank_of(updates) == rank_of(x):
        raise ShapeError(f"K.slice_update needs {rank_of(x)} start indices and updates of that rank")
    # From the outside in, the parts of x around the block; then from the inside out, put together again.
    around: list[tuple[int, Any, Any]] = []
    for axis, start in enumerate(starts):
        length, end = shape_of(x)[axis], start + shape_of(updates)[axis]
        around.append((axis, emit_slice(x, axis, 0, start), emit_slice(x, axis, end, length)))
        x = emit_slice(x, axis, start, end)
    for axis, front, back in reversed(around):
        parts = [part for part in (front, updates, back) if shape_of(part)[axis] != 0]
        updates = parts[0] if len(parts) == 1 else concatenate(parts, axis)
    return updates


@operation
def get_item(x: TensorLike, key: Index) -> Any:
    """``x[key]``: integers, slices, None, ``...`` and integer arrays or tensors, as in NumPy.

    A bound that is inside an axis of symbolic size for most inputs is taken to be inside: ``x[:, :5]`` has 5 steps,
    and running the graph on fewer is an error.

    Raises:
        TraceError: a boolean index, whose result has no known shape, or several arrays.
        ShapeError: more indices than axes, or one out of range.
    """
    x = tensor(x)
    keys = _full_key(key if isinstance(key, tuple) else (key,), rank_of(x))
    slices: list[tuple[int, Dim, Dim, int]] = []
    picks: list[tuple[int, Any]] = []
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


def _full_key(key: tuple[Any, ...], rank: int) -> list[Any]:
    """The key with one entry for each axis (and None for new ones): no Ellipsis, indices as tensors or arrays."""
    ellipses = [place for place, one in enumerate(key) if one is Ellipsis]
    used = sum(one is not None and one is not Ellipsis for one in key)
    if used > rank or len(ellipses) > 1:
        raise ShapeError(
            f"{len(key)} indices do not fit a tensor of rank {rank}; expected at most {rank} and one '...'"
        )
    place = ellipses[0] if ellipses else len(key)
    missing = [builtins.slice(None)] * (rank - used)
    full = [*key[:place], *missing, *key[place + 1 :]]
    return [one if one is None or isinstance(one, builtins.slice) else _pick(one) for one in full]


def _pick(index: Any) -> Any:
    given = operand(index)
    if isinstance(given, bool) or (not isinstance(given, (int, float, Sym)) and dtype_of(given) is DType.BOOL):
        raise TraceError("a boolean index gives a shape that depends on the data; use K.where(condition, x, 0) instead")
    if isinstance(given, int):
        return np.asarray(given, np.int64)
    return _indices(given, None)


def _check_picks(picks: list[tuple[int, Any]]) -> None:
    arrays = [axis for axis, index in picks if rank_of(index)]
    if len(arrays) > 1:
        raise TraceError(f"{len(arrays)} arrays in one index cannot be traced; use K.take along one axis after another")
    axes = [axis for axis, _ in picks]
    if arrays and axes[-1] - axes[0] + 1 != len(axes):
        raise TraceError("an array and an integer apart in one index cannot be traced; index in two steps: x[:, 0][…]")


def _slice_of(key: builtins.slice, axis: int, length: Dim) -> list[tuple[int, Dim, Dim, int]]:
    """What a Python slice takes of an axis, as (axis, start, end, step); nothing for all of it."""
    step = 1 if key.step is None else as_integer(key.step, "the step of a slice")
    if step == 0:
        raise ShapeError("the step of a slice is 0; expected another number")
    if key.start is None and key.stop is None and step == 1:
        return []
    if step > 0:
        start = 0 if key.start is None else _clamped(as_size(key.start, "the start of a slice"), length)
        end = length if key.stop is None else _clamped(as_size(key.stop, "the end of a slice"), length)
        empty = isinstance(end - start, int) and end - start < 0
        return [(axis, start, start if empty else end, step)]
    last = length - 1
    start = last if key.start is None else _clamped(as_size(key.start, "the start of a slice"), length, -1)
    stop: Dim = -1 if key.stop is None else _clamped(as_size(key.stop, "the end of a slice"), length, -1)
    empty = isinstance(start - stop, int) and start - stop < 0
    return [(axis, start, start if empty else stop, step)]


def _clamped(bound: Dim, length: Dim, lowest: int = 0) -> Dim:
    """A bound counted from the front and moved into the axis where that is known; `lowest` is -1 for falling slices."""
    if _counts_from_the_end(bound):
        bound = length + bound
    if isinstance(bound, int):
        bound = max(bound, lowest)
    room = length + lowest - bound
    return length + lowest if isinstance(room, int) and room < 0 else bound


def _counts_from_the_end(bound: Dim) -> bool:
    """Whether a bound is negative: below 0, or a sum such as -n//2 whose terms all are, as no size is below 0."""
    return bound < 0 if isinstance(bound, int) else all(coefficient < 0 for _, coefficient in bound.terms)


def _slice_axes(x: Any, slices: list[tuple[int, Dim, Dim, int]]) -> Any:
    kept = [one for one in slices if one[1:] != (0, shape_of(x)[one[0]], 1)]
    if not kept:
        return x
    axes, starts, ends, steps = zip(*kept, strict=True)
    return emit(ops.Slice(axes, starts, ends, steps), x)


ravel = flatten
