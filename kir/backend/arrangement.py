"""Arrays put together, taken apart and turned, with the names of `keras.ops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kir.backend.basic import cast, expand_dims
from kir.backend.comparison import where
from kir.backend.creation import arange, eye
from kir.backend.dispatch import SizeLike, axis_of, dtype_of, rank_of, shape_of, tensor
from kir.backend.elementwise import add, floor_divide, identity, mod, multiply, power, subtract
from kir.backend.indexing import emit_slice, take
from kir.backend.ordering import flip
from kir.backend.reduce import sum as reduce_sum
from kir.backend.shapes import (
    broadcast_to,
    concatenate,
    flatten,
    moveaxis,
    pad,
    reshape,
    split,
    stack,
    swapaxes,
    transpose,
)
from kir.config import standardize_data_format
from kir.errors import InvalidArgumentError, TraceError
from kir.ir.dims import Dim, minimum
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import DType
from kir.ops.shape import ScatterND
from kir.ops.sparse import SparseToDense

__all__ = [
    "append", "array_split", "conj", "conjugate", "copy", "cross", "depth_to_space", "diag", "diagflat", "diagonal",
    "dsplit", "dstack", "fliplr", "flipud", "hsplit", "kron", "meshgrid", "real", "rot90", "scatter", "scatter_update",
    "segment_sum", "select", "space_to_depth", "trace", "unravel_index", "vander", "vsplit",
]  # fmt: skip


# Together and apart


def append(x1: TensorLike, x2: TensorLike, axis: int | None = None) -> Tensor:
    """Return x1 with x2 after it along an axis; None takes both flat."""
    return concatenate([flatten(x1), flatten(x2)], 0) if axis is None else concatenate([x1, x2], axis)


def dstack(xs: Sequence[TensorLike]) -> Tensor:
    """Join along the third axis, which arrays of fewer get: [n] is (1, n, 1), and (m, n) is (m, n, 1)."""
    return concatenate([_of_three_axes(x) for x in xs], 2)


def _of_three_axes(x: TensorLike) -> Tensor:
    shape = shape_of(tensor(x))
    wanted = {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}.get(len(shape))
    return tensor(x) if wanted is None else reshape(x, wanted)


def array_split(x: TensorLike, indices_or_sections: int, axis: int = 0) -> list[Tensor]:
    """Cut an axis into parts as even as can be, the first ones larger by one.

    Raises:
        TraceError: the size of the axis is not known.
    """
    x = tensor(x)
    size = shape_of(x)[axis_of(x, axis)]
    if not isinstance(size, int):
        raise TraceError(f"K.array_split needs a known size; received {size}: give indices, or use K.split")
    each, larger = divmod(size, indices_or_sections)
    ends = np.cumsum([each + (part < larger) for part in range(indices_or_sections)])
    return split(x, ends[:-1].tolist(), axis)


def hsplit(x: TensorLike, indices_or_sections: SizeLike | Sequence[SizeLike]) -> list[Tensor]:
    """Cut the second axis, or the only one."""
    return split(x, indices_or_sections, 1 if rank_of(tensor(x)) > 1 else 0)


def vsplit(x: TensorLike, indices_or_sections: SizeLike | Sequence[SizeLike]) -> list[Tensor]:
    """Cut the first axis."""
    return split(x, indices_or_sections, 0)


def dsplit(x: TensorLike, indices_or_sections: SizeLike | Sequence[SizeLike]) -> list[Tensor]:
    """Cut the third axis."""
    return split(x, indices_or_sections, 2)


def meshgrid(*x: TensorLike, indexing: str = "xy") -> list[Tensor]:
    """Return the coordinates of a grid: for each vector an array in which it runs along an axis of its own.

    With "xy" the first one runs along the second axis, and the second along the first.
    """
    if indexing not in ("xy", "ij"):
        raise InvalidArgumentError(f"K.meshgrid takes indexing='xy' or 'ij'; received {indexing!r}")
    vectors = [flatten(one) for one in x]
    places = list(range(len(vectors)))
    if indexing == "xy" and len(vectors) > 1:
        places[:2] = 1, 0
    shape = [shape_of(vectors[place])[0] for place in sorted(range(len(places)), key=places.__getitem__)]
    return [
        broadcast_to(reshape(vector, [-1 if axis == place else 1 for axis in range(len(shape))]), shape)
        for vector, place in zip(vectors, places, strict=True)
    ]


def select(condlist: Sequence[TensorLike], choicelist: Sequence[TensorLike], default: TensorLike = 0) -> Tensor:
    """Return, for each element, the choice of the first condition that is true."""
    result: Any = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = where(condition, choice, result)
    return tensor(result)


# Turned


def fliplr(x: TensorLike) -> Tensor:
    """Reverse the second axis."""
    return flip(x, 1)


def flipud(x: TensorLike) -> Tensor:
    """Reverse the first axis."""
    return flip(x, 0)


def rot90(array: TensorLike, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """Turn by quarters, from the first of two axes towards the second."""
    first, second = (axis_of(tensor(array), axis) for axis in axes)
    if first == second:
        raise InvalidArgumentError(f"K.rot90 turns two different axes; received axes={axes!r}")
    turns = k % 4
    x = flip(array, second) if turns in (1, 2) else tensor(array)
    x = flip(x, first) if turns == 2 else x
    if turns % 2:
        x = swapaxes(x, first, second)
    return flip(x, second) if turns == 3 else x


def copy(x: TensorLike) -> Tensor:
    """Return x; nothing can change it."""
    return identity(x)


conj = conjugate = real = copy


# Diagonals


def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the elements whose indices on two axes differ by the offset, along a new last axis."""
    x = tensor(x)
    first, second = axis_of(x, axis1), axis_of(x, axis2)
    x = moveaxis(x, (first, second), (-2, -1))
    *_, rows, columns = shape_of(x)
    axis = rank_of(x) - 2
    x = emit_slice(x, axis, minimum(rows, max(-offset, 0)), rows)
    x = emit_slice(x, axis + 1, minimum(columns, max(offset, 0)), columns)
    *others, rows, columns = shape_of(x)
    size = minimum(rows, columns)
    x = emit_slice(emit_slice(x, axis, 0, size), axis + 1, 0, size)
    # Each row has its own place left, all others are dropped: no product, so that infinities stay where they are.
    places = add(multiply(arange(size), size), arange(size))
    return take(reshape(x, (*others, size * size)), places, axis)


def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the sum of a diagonal."""
    return reduce_sum(diagonal(x, offset, axis1, axis2), -1)


def diag(x: TensorLike, k: int = 0) -> Tensor:
    """Return the diagonal of a matrix, or the matrix with a vector on its diagonal and zeros around it."""
    x = tensor(x)
    if rank_of(x) == 2:
        return diagonal(x, k)
    if rank_of(x) != 1:
        raise InvalidArgumentError(f"K.diag takes a vector or a matrix; received shape {tuple(shape_of(x))}")
    (size,) = shape_of(x)
    square = where(cast(eye(size), "bool"), expand_dims(x, 0), cast(0, x.dtype))
    return pad(square, ((max(-k, 0), max(k, 0)), (max(k, 0), max(-k, 0)))) if k else square


def diagflat(x: TensorLike, k: int = 0) -> Tensor:
    """Return the matrix with all elements on its diagonal and zeros around them."""
    return diag(flatten(x), k)


# Products


def kron(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the Kronecker product: x2 times each element of x1, side by side."""
    a, b = tensor(x1), tensor(x2)
    rank = max(rank_of(a), rank_of(b))
    first, second = ((1,) * (rank - rank_of(x)) + tuple(shape_of(x)) for x in (a, b))
    product = multiply(
        reshape(a, [size for one in first for size in (one, 1)]),
        reshape(b, [size for one in second for size in (1, one)]),
    )
    return reshape(product, [one * other for one, other in zip(first, second, strict=True)])


def cross(
    x1: TensorLike, x2: TensorLike, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Tensor:
    """Return the cross product of vectors of three numbers, or of two: their third is 0.

    Of two vectors of two numbers it is a number.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = moveaxis(x1, axisa, -1), moveaxis(x2, axisb, -1)
    sizes = shape_of(a)[-1], shape_of(b)[-1]
    if not set(sizes) <= {2, 3}:
        raise InvalidArgumentError(f"K.cross takes vectors of 2 or 3 numbers; received {sizes[0]} and {sizes[1]}")
    u, v = ([x[..., place] for place in range(3) if place < size] for x, size in ((a, sizes[0]), (b, sizes[1])))
    third = subtract(multiply(u[0], v[1]), multiply(u[1], v[0]))
    if sizes == (2, 2):
        return third
    u, v = ([*one, multiply(one[0], 0)][:3] for one in (u, v))
    first = subtract(multiply(u[1], v[2]), multiply(u[2], v[1]))
    second = subtract(multiply(u[2], v[0]), multiply(u[0], v[2]))
    return moveaxis(stack([first, second, third], -1), -1, axisc)


def vander(x: TensorLike, N: int | None = None, increasing: bool = False) -> Tensor:
    """Return the powers of the elements of a vector, a row for each: from N - 1 to 0, or from 0 on."""
    x = tensor(x)
    count = shape_of(x)[0] if N is None else N
    if not isinstance(count, int):
        raise TraceError(f"K.vander needs to know how many powers; received {count}: give N")
    powers = np.arange(count)
    return power(expand_dims(x, -1), (powers if increasing else powers[::-1]).copy())


# Indices


def unravel_index(indices: TensorLike, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """Return the index on each axis of a shape, from those into the flat array."""
    found: list[Tensor] = []
    rest = cast(indices, "int32") if dtype_of(tensor(indices)) is DType.INT64 else tensor(indices)
    for size in reversed(shape):
        found.append(mod(rest, size))
        rest = floor_divide(rest, size)
    return tuple(reversed(found))


def scatter(indices: TensorLike, values: TensorLike, shape: Sequence[Dim]) -> Tensor:
    """Return zeros of a shape, to which values are added at indices (n, rank of the shape); of shape (n,)."""
    wanted = tuple(shape)
    places = cast(indices, "int64")
    if shape_of(places)[-1] != len(wanted):
        raise InvalidArgumentError(
            f"K.scatter takes an index for each axis of shape={wanted}; received {shape_of(places)[-1]}"
        )
    size = stack([cast(one, "int64") for one in wanted])
    return emit(SparseToDense(wanted), reshape(places, (-1, len(wanted))), flatten(values), size)


def scatter_update(
    inputs: TensorLike, indices: TensorLike, updates: TensorLike, reduction: str | None = None
) -> Tensor:
    """Return a copy of the inputs with slices replaced at indices (n, k): of equal indices the last counts.

    Raises:
        TraceError: there is a reduction.
    """
    if reduction is not None:
        raise TraceError(f"K.scatter_update with reduction={reduction!r} cannot be traced; only None")
    x = tensor(inputs)
    return emit(ScatterND(), x, cast(indices, "int64"), cast(updates, x.dtype))


def segment_sum(
    data: TensorLike, segment_ids: TensorLike, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    """Return the sums of the rows of data that have the same number below `num_segments`.

    Raises:
        TraceError: `num_segments` is not given, so that the size would depend on the data.
    """
    if num_segments is None:
        raise TraceError("K.segment_sum needs num_segments: without it, the size would depend on the data")
    data = tensor(data)
    rows = shape_of(data)[0]
    flat = reshape(data, (rows, -1)) if rank_of(data) > 1 else expand_dims(data, -1)
    columns = shape_of(flat)[1]
    place = broadcast_to(expand_dims(cast(segment_ids, "int64"), -1), (rows, columns))
    column = broadcast_to(expand_dims(arange(columns, dtype="int64"), 0), (rows, columns))
    indices = reshape(stack([place, column], -1), (-1, 2))
    summed = scatter(indices, flat, (num_segments, columns))
    return reshape(summed, (num_segments, *shape_of(data)[1:]))


# Blocks of images


def depth_to_space(x: TensorLike, block_size: int, data_format: str | None = None) -> Tensor:
    """Spread channels over blocks of an image: (n, h, w, b·b·c) → (n, h·b, w·b, c), or (n, c·b·b, h, w)."""
    b = block_size
    if standardize_data_format(data_format, "K.depth_to_space") == "channels_first":
        batch, channels, height, width = shape_of(tensor(x))
        parts = transpose(reshape(x, (batch, channels // b**2, b, b, height, width)), (0, 1, 4, 2, 5, 3))
        return reshape(parts, (batch, channels // b**2, height * b, width * b))
    batch, height, width, channels = shape_of(tensor(x))
    parts = transpose(reshape(x, (batch, height, width, b, b, channels // b**2)), (0, 1, 3, 2, 4, 5))
    return reshape(parts, (batch, height * b, width * b, channels // b**2))


def space_to_depth(x: TensorLike, block_size: int, data_format: str | None = None) -> Tensor:
    """Put blocks of an image into channels: (n, h·b, w·b, c) → (n, h, w, b·b·c), or (n, c·b·b, h, w)."""
    b = block_size
    if standardize_data_format(data_format, "K.space_to_depth") == "channels_first":
        batch, channels, height, width = shape_of(tensor(x))
        parts = transpose(reshape(x, (batch, channels, height // b, b, width // b, b)), (0, 1, 3, 5, 2, 4))
        return reshape(parts, (batch, channels * b**2, height // b, width // b))
    batch, height, width, channels = shape_of(tensor(x))
    parts = transpose(reshape(x, (batch, height // b, b, width // b, b, channels)), (0, 1, 3, 2, 4, 5))
    return reshape(parts, (batch, height // b, width // b, b**2 * channels))
