"""Shapes: reading and changing them, joining, cutting and padding, with the names of `keras.ops`.

Sizes may be symbolic everywhere. Where old `keras.backend` and `keras.ops` take different defaults for an axis, there
is no default: the axis must be given.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from kir.backend.basic import expand_dims
from kir.backend.dispatch import (
    ShapeLike,
    SizeLike,
    as_integer,
    as_shape,
    as_size,
    axes_of,
    axis_of,
    convert,
    dtype_of,
    emit_stack,
    listed,
    operand,
    promote,
    rank_of,
    shape_of,
    tensor,
)
from kir.config import standardize_data_format
from kir.errors import InvalidArgumentError, ShapeError, TraceError, UndecidedSizesError
from kir.ir.dims import Dim, Sym, divide_exactly, product
from kir.ir.trace import SymbolicOperators, Tensor, TensorLike, emit
from kir.ir.types import Axis, format_shape
from kir.ops import shape as ops

__all__ = [
    "batch_flatten", "broadcast_to", "concatenate", "dtype", "flatten", "hstack", "int_shape", "moveaxis", "ndim",
    "pad", "permute_dimensions", "ravel", "repeat", "repeat_elements", "reshape", "shape", "size",
    "spatial_2d_padding", "spatial_3d_padding", "split", "squeeze", "stack", "swapaxes", "temporal_padding", "tile",
    "transpose", "tril", "triu", "unstack", "vstack",
]  # fmt: skip

PadWidth: TypeAlias = "ShapeLike | Sequence[ShapeLike]"


class _Unspecified:
    """The default of an axis on which old `keras.backend` and `keras.ops` disagree."""

    def __repr__(self) -> str:
        return "<must be given>"


UNSPECIFIED: Any = _Unspecified()


def require_axis(function: str, axis: object, old: str, new: str) -> None:
    """Raise TraceError unless an axis was given; the message names what each Keras would have taken."""
    if axis is UNSPECIFIED:
        raise TraceError(
            f"K.{function} needs axis=…: without it, Keras 2's backend means {old} and keras.ops means {new}"
        )


# Reading


def shape(x: TensorLike) -> tuple[Any, ...]:
    """Return the sizes, as a tuple of ints and symbolic sizes, which compute and are accepted wherever a shape is."""
    return tuple(x.shape) if isinstance(x, SymbolicOperators) else shape_of(tensor(x))


def int_shape(x: TensorLike) -> tuple[Any, ...]:
    """Return the same as `shape`."""
    return shape(x)


def ndim(x: TensorLike) -> int:
    """Return the rank."""
    return len(shape(x))


def dtype(x: TensorLike) -> str:
    """Return the dtype by its Keras name."""
    return str(x.dtype) if isinstance(x, SymbolicOperators) else dtype_of(tensor(x)).keras_name


def size(x: TensorLike) -> Dim:
    """Return the number of elements, an int or a symbolic size."""
    return product(shape(x))


# Changing


def reshape(x: TensorLike, newshape: ShapeLike) -> Tensor:
    """Return the elements in another shape; one -1 is what is left over.

    Raises:
        ShapeError: the numbers of elements differ, or what is left over is no whole size.
    """
    x = tensor(x)
    given, wanted = shape_of(x), as_shape(newshape, "newshape")
    completed = ops.complete_shape(wanted, given)
    if completed is None:
        raise UndecidedSizesError(
            f"cannot reshape {format_shape(given)} to {format_shape(wanted)}; expected one -1 at most, and the other "
            "sizes to divide the number of elements",
            (product(given), product(size for size in wanted if size != -1)),
        )
    return emit(ops.Reshape(completed), x)


def flatten(x: TensorLike) -> Tensor:
    """Return all elements along one axis, the batch too."""
    return reshape(x, (-1,))


def flat_or_along(x: TensorLike, axis: int | None) -> tuple[Tensor, int]:
    """Return x and one of its axes, counted from the front; for None the flattened x and 0."""
    x = tensor(x)
    return (flatten(x), 0) if axis is None else (x, axis_of(x, axis))


def batch_flatten(x: TensorLike) -> Tensor:
    """Return x with all axes but the first joined in one."""
    x = tensor(x)
    return reshape(x, (shape_of(x)[0], product(shape_of(x)[1:])))


def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """Return x with its axes in another order; None reverses them.

    Raises:
        ShapeError: `axes` is no permutation.
    """
    x = tensor(x)
    given = range(rank_of(x))[::-1] if axes is None else axes
    permutation = tuple(axis_of(x, axis, "axes") for axis in given)
    return x if permutation == tuple(range(rank_of(x))) else emit(ops.Transpose(permutation), x)


def permute_dimensions(x: TensorLike, pattern: Sequence[int]) -> Tensor:
    """Return x with its axes in the order of `pattern`."""
    return transpose(x, pattern)


def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """Return x with two axes exchanged."""
    x = tensor(x)
    order = list(range(rank_of(x)))
    first, second = axis_of(x, axis1, "axis1"), axis_of(x, axis2, "axis2")
    order[first], order[second] = second, first
    return transpose(x, order)


def moveaxis(x: TensorLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Return x with axes moved to other places; the others keep their order."""
    x = tensor(x)
    sources = [axis_of(x, axis, "source") for axis in listed(source)]
    destinations = [axis_of(x, axis, "destination") for axis in listed(destination)]
    if not len(set(sources)) == len(set(destinations)) == len(sources) == len(destinations):
        raise InvalidArgumentError(f"K.moveaxis: source={source} and destination={destination} must name as many axes")
    order = [axis for axis in range(rank_of(x)) if axis not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(place, axis)
    return transpose(x, order)


def squeeze(x: TensorLike, axis: Axis = None) -> Tensor:
    """Return x without the given axes of size 1; None means all that are known to be 1.

    Raises:
        ShapeError: an axis has another size, or a symbolic one.
    """
    x = tensor(x)
    ones = [one for one, length in enumerate(shape_of(x)) if isinstance(length, int) and length == 1]
    axes = ones if axis is None else axes_of(x, axis)
    if not set(axes) <= set(ones):
        raise ShapeError(f"cannot squeeze axis={axis} of the shape {format_shape(shape_of(x))}; expected a size of 1")
    return emit(ops.Reshape(tuple(length for one, length in enumerate(shape_of(x)) if one not in axes)), x)


def broadcast_to(x: TensorLike, shape: ShapeLike) -> Tensor:
    """Repeat x along axes of size 1, and along new axes in front.

    Raises:
        ShapeError: x does not broadcast to the shape.
    """
    x, wanted = tensor(x), as_shape(shape)
    if len(shape_of(x)) <= len(wanted):
        # An unknown size stays: it equals the wanted one where the model runs, whatever the names of both are.
        given = (*wanted[: len(wanted) - len(shape_of(x))], *shape_of(x))
        pairs = zip(given, wanted, strict=True)
        wanted = tuple(a if isinstance(a, Sym) and isinstance(b, Sym) else b for a, b in pairs)
    return emit(ops.Expand(wanted), x)


def tril(x: TensorLike, k: int = 0) -> Tensor:
    """Return the last two axes' lower triangle, up to the k-th diagonal; zeros elsewhere."""
    return emit(ops.Trilu(False, k), tensor(x))


def triu(x: TensorLike, k: int = 0) -> Tensor:
    """Return the last two axes' upper triangle, from the k-th diagonal; zeros elsewhere."""
    return emit(ops.Trilu(True, k), tensor(x))


# Joining and cutting


def concatenate(xs: Sequence[TensorLike], axis: int | None = UNSPECIFIED) -> Tensor:
    """Join tensors along an axis; None flattens them first.

    Shapes, such as ``K.shape(x)[:1]`` and ``(3,)``, join to a shape.

    Raises:
        TraceError: no axis was given.
    """
    if _are_shapes(xs):
        return tuple(itertools.chain.from_iterable(xs))  # type: ignore[arg-type, return-value]
    require_axis("concatenate", axis, "the last axis", "the first")
    values = promote(*xs)
    if axis is None:
        values, axis = [flatten(value) for value in values], 0
    return emit(ops.Concat(axis_of(values[0], axis)), *values)


def _are_shapes(xs: Sequence[object]) -> bool:
    sizes = [size for x in xs if isinstance(x, (tuple, list)) for size in x]
    return all(isinstance(x, (tuple, list)) for x in xs) and _is_shape(sizes)


def _is_shape(sizes: Sequence[object]) -> bool:
    return any(isinstance(one, Sym) for one in sizes) and all(isinstance(one, (int, Sym)) for one in sizes)


def stack(x: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Stack tensors of one shape along a new axis. Sizes, such as ``K.shape(x)[0]`` and 3, become a shape."""
    if _is_shape(x):
        return tuple(x)  # type: ignore[return-value]
    return emit_stack(promote(*x), axis)


def vstack(xs: Sequence[TensorLike]) -> Tensor:
    """Join tensors one below another; those of rank 1 are rows."""
    values = promote(*xs)
    return concatenate([value if rank_of(value) > 1 else reshape(value, (1, -1)) for value in values], 0)


def hstack(xs: Sequence[TensorLike]) -> Tensor:
    """Join tensors side by side: along the second axis, or the only one."""
    values = [value if rank_of(value) else flatten(value) for value in promote(*xs)]
    return concatenate(values, min(1, rank_of(values[0]) - 1))


def split(x: TensorLike, indices_or_sections: SizeLike | Sequence[SizeLike], axis: int = 0) -> list[Tensor]:
    """Split x along an axis: into so many equal parts, or at the given indices.

    Raises:
        ShapeError: the axis cannot be divided so.
    """
    x = tensor(x)
    axis = axis_of(x, axis)
    length = shape_of(x)[axis]
    if isinstance(indices_or_sections, (list, tuple, np.ndarray)):
        ends = [clamp_bound(as_size(end, "a split index"), length) for end in indices_or_sections]
        sizes = [end - start for start, end in itertools.pairwise([0, *ends, length])]
    else:
        count = as_integer(indices_or_sections, "indices_or_sections")
        part = divide_exactly(length, count)
        if part is None:
            raise ShapeError(f"cannot split axis {axis} of size {length} into {count} equal parts")
        sizes = [part] * count
    return [x] if len(sizes) == 1 else list(emit(ops.Split(axis, tuple(sizes)), x))


def clamp_bound(bound: Dim, length: Dim, lowest: int = 0) -> Dim:
    """Return a bound counted from the front, and moved into the axis where that is known.

    Args:
        lowest: 0, or -1 for slices that fall.
    """
    if counts_from_the_end(bound):
        bound = length + bound
    if isinstance(bound, int):
        bound = max(bound, lowest)
    room = length + lowest - bound
    return length + lowest if isinstance(room, int) and room < 0 else bound


def counts_from_the_end(bound: Dim) -> bool:
    """Return whether a bound is negative: below 0, or a sum of negative terms such as -n//2, as no size is below 0."""
    return bound < 0 if isinstance(bound, int) else all(coefficient < 0 for _, coefficient in bound.terms)


def unstack(x: TensorLike, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """Return the slices of x along an axis, without that axis. `num` is its size, if it is symbolic."""
    x = tensor(x)
    length = shape_of(x)[axis_of(x, axis)] if num is None else num
    return [squeeze(part, axis) for part in split(x, as_integer(length, "the size of the axis, or num,"), axis)]


# Repeating


def repeat(x: TensorLike, repeats: SizeLike | Sequence[SizeLike], axis: int | None = UNSPECIFIED) -> Tensor:
    """Repeat each element along an axis; None flattens first. `repeats` may be one number for each element.

    Raises:
        TraceError: no axis was given.
    """
    require_axis("repeat", axis, "a new second axis (write K.repeat(K.expand_dims(x, 1), n, axis=1))", "flattening")
    x, axis = flat_or_along(x, axis)
    sizes = shape_of(x)
    if isinstance(repeats, (list, tuple, np.ndarray)) and np.size(repeats) != 1:
        length = as_integer(sizes[axis], "the size of an axis with repeats for each element")
        return emit(ops.Gather(axis), x, np.repeat(np.arange(length), repeats))
    is_symbolic = isinstance(repeats, (Sym, Tensor))
    count = as_size(repeats if is_symbolic else np.ravel(np.asarray(repeats, object))[0], "repeats")
    grown = expand_dims(x, axis + 1)
    expanded = emit(ops.Expand((*sizes[: axis + 1], count, *sizes[axis + 1 :])), grown)
    return reshape(expanded, (*sizes[:axis], sizes[axis] * count, *sizes[axis + 1 :]))


def repeat_elements(x: TensorLike, rep: int, axis: int) -> Tensor:
    """Repeat each element `rep` times, along an axis."""
    return repeat(x, rep, axis)


def tile(x: TensorLike, repeats: ShapeLike) -> Tensor:
    """Repeat x as a whole, side by side, so many times along each of the last axes."""
    x = tensor(x)
    counts = as_shape(repeats, "repeats")
    rank = max(rank_of(x), len(counts))
    x = x if rank == rank_of(x) else expand_dims(x, tuple(range(rank - rank_of(x))))
    return emit(ops.Tile((1,) * (rank - len(counts)) + counts), x)


# Padding


def pad(
    x: TensorLike, pad_width: PadWidth, mode: str = "constant", constant_values: TensorLike | None = None
) -> Tensor:
    """Pad x before and after each axis: `pad_width` is a number, a pair for all axes, or a pair for each.

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


def temporal_padding(x: TensorLike, padding: tuple[int, int] = (1, 1)) -> Tensor:
    """Pad x of rank 3 with zeros before and after its steps."""
    return pad(x, ((0, 0), tuple(padding), (0, 0)))


def spatial_2d_padding(
    x: TensorLike, padding: Sequence[Sequence[Dim]] = ((1, 1), (1, 1)), data_format: str | None = None
) -> Tensor:
    """Pad images with zeros around their 2 axes."""
    return _spatial_padding(x, padding, data_format)


def spatial_3d_padding(
    x: TensorLike, padding: Sequence[Sequence[Dim]] = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None
) -> Tensor:
    """Pad volumes with zeros around their 3 axes."""
    return _spatial_padding(x, padding, data_format)


def _spatial_padding(x: TensorLike, padding: Sequence[Sequence[Dim]], data_format: str | None) -> Tensor:
    spatial = [tuple(pair) for pair in padding]
    if standardize_data_format(data_format) == "channels_first":
        return pad(x, ((0, 0), (0, 0), *spatial))
    return pad(x, ((0, 0), *spatial, (0, 0)))


ravel = flatten
