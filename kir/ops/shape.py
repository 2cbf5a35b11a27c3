"""Operators that move, copy, select or count elements, and those that make integers out of sizes.

Every size is exact and symbolic: there is no -1 and no 0-for-the-same. Axes are counted from the front.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kir.errors import InvalidArgumentError, ShapeError, UndecidedSizesError
from kir.ir.dims import Dim, Sym, divide_exactly, product, sum_of
from kir.ir.op import Array, Op
from kir.ir.types import FLOATS, INTEGERS, DType, Shape, TensorType, agree_dim, broadcast_shapes, format_shape
from kir.ops.precision import NUMBERS, WideOp, require_dtype

PAD_MODES = ("constant", "reflect", "edge")
INDEX_DTYPES = frozenset({DType.INT32, DType.INT64})
SUMMED_DTYPES = FLOATS | INDEX_DTYPES | {DType.UINT32, DType.UINT64}  # what ONNX's CumSum takes


@dataclass(frozen=True)
class Reshape(Op):
    """The same elements, in the same order, in another shape. ONNX: Reshape since opset 13."""

    shape: Shape

    def infer(self, x: TensorType) -> TensorType:
        _require_sizes(self, self.shape)
        counts = product(x.shape), product(self.shape)
        if counts[0] != counts[1]:
            raise UndecidedSizesError(
                f"cannot reshape {format_shape(x.shape)} to {format_shape(self.shape)}: they hold {counts[0]} and "
                f"{counts[1]} elements; expected equal numbers",
                counts,
            )
        return x.with_shape(self.shape)

    def eval(self, x: Array) -> Array:
        return x.reshape(_known(self, self.shape))

    def prepare(self, *types: TensorType | None) -> Callable[..., Any]:
        shape = _known(self, self.shape)
        return lambda x: x.reshape(shape)


@dataclass(frozen=True)
class Transpose(Op):
    """The axes in another order: axis `i` of the result is axis ``permutation[i]``. ONNX: Transpose since opset 13."""

    permutation: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        if sorted(self.permutation) != list(range(x.rank)):
            raise ShapeError(f"{self} received {x}; expected a permutation of the axes 0 to {x.rank - 1}")
        return x.with_shape(x.shape[axis] for axis in self.permutation)

    def eval(self, x: Array) -> Array:
        return x.transpose(self.permutation)


@dataclass(frozen=True)
class Expand(Op):
    """Axes of size 1, and new ones in front, repeated to `shape`. ONNX: Expand since opset 13."""

    shape: Shape

    def infer(self, x: TensorType) -> TensorType:
        _require_sizes(self, self.shape)
        if broadcast_shapes(x.shape, self.shape) != self.shape:
            given, wanted = format_shape(x.shape), format_shape(self.shape)
            raise ShapeError(f"cannot expand {given} to {wanted}; expected sizes that are equal or 1")
        return x.with_shape(self.shape)

    def eval(self, x: Array) -> Array:
        return np.broadcast_to(x, _known(self, self.shape))


@dataclass(frozen=True)
class Concat(Op):
    """One or more values joined along `axis`; all other sizes agree. ONNX: Concat since opset 13."""

    axis: int

    def infer(self, *values: TensorType) -> TensorType:
        if not values:
            raise ShapeError(f"{self} received no values; expected one or more")
        first = values[0]
        _require_axis(self, self.axis, first)
        shape = list(first.shape)
        for value in values[1:]:
            if value.rank != first.rank or value.dtype != first.dtype:
                raise ShapeError(f"{self} received {first} and {value}; expected one rank and one dtype")
            for axis, size in enumerate(value.shape):
                total = shape[axis]
                shape[axis] = total + size if axis == self.axis else agree_dim(total, size, f"{self}, axis {axis}")
        return first.with_shape(shape)

    def eval(self, *values: Array) -> Array:
        return np.concatenate(values, axis=self.axis)


@dataclass(frozen=True)
class Slice(Op):
    """Every ``steps[i]``-th index of axis ``axes[i]``, from ``starts[i]`` up to and without ``ends[i]``.

    | step     | bounds                                                                                    |
    |----------|-------------------------------------------------------------------------------------------|
    | positive | 0 <= start <= end <= size                                                                 |
    | negative | -1 <= end <= start < size: indices fall, and an end of -1 includes the first element      |

    Who builds the operator clamps the bounds. A symbolic size that turns out to break them is an error, and no silently
    shorter result. ONNX: Slice since opset 13.
    """

    axes: tuple[int, ...]
    starts: tuple[Dim, ...]
    ends: tuple[Dim, ...]
    steps: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        shape = list(x.shape)
        if not len(self.axes) == len(self.starts) == len(self.ends) == len(self.steps) == len(set(self.axes)):
            raise ShapeError(f"{self} is malformed; expected as many starts, ends and steps as distinct axes")
        for axis, start, end, step in zip(self.axes, self.starts, self.ends, self.steps, strict=True):
            _require_axis(self, axis, x)
            shape[axis] = slice_length(start, end, step, shape[axis])
        return x.with_shape(shape)

    def eval(self, x: Array) -> Array:
        index = [slice(None)] * x.ndim
        for axis, start, end, step in zip(self.axes, self.starts, self.ends, self.steps, strict=True):
            length = slice_length(start, end, step, x.shape[axis])
            index[axis] = slice(start, None if end == -1 else end, step) if length else slice(0)
        return x[tuple(index)]


@dataclass(frozen=True)
class Split(Op):
    """`axis` cut into consecutive parts of the given sizes, one output each. ONNX: Split since opset 13."""

    axis: int
    sizes: tuple[Dim, ...]

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        _require_axis(self, self.axis, x)
        _require_sizes(self, self.sizes)
        if not self.sizes:
            raise ShapeError(f"{self} has no parts; expected one size or more")
        agree_dim(sum_of(self.sizes), x.shape[self.axis], f"{self} of {x}, total")
        return tuple(x.with_shape(_replace_axis(x.shape, self.axis, (size,))) for size in self.sizes)

    def eval(self, x: Array) -> tuple[Array, ...]:
        ends = np.cumsum(_known(self, self.sizes))
        agree_dim(int(ends[-1]), x.shape[self.axis], f"{self}, total")
        return tuple(np.split(x, ends[:-1], axis=self.axis))


@dataclass(frozen=True)
class Pad(Op):
    """Elements put before and after each axis.

    | mode     | the new elements are                                                       |
    |----------|----------------------------------------------------------------------------|
    | constant | `value` (a scalar of x's dtype), by default 0, False or ""                 |
    | reflect  | mirrored at the border element, which is not repeated; fewer than the size |
    | edge     | the border element                                                         |

    ONNX: Pad since opset 13.
    """

    before: tuple[Dim, ...]
    after: tuple[Dim, ...]
    mode: str = "constant"

    def infer(self, x: TensorType, value: TensorType | None = None) -> TensorType:
        if self.mode not in PAD_MODES:
            raise ShapeError(f"Pad received mode={self.mode!r}; expected one of {', '.join(PAD_MODES)}")
        if not len(self.before) == len(self.after) == x.rank:
            raise ShapeError(f"{self} received {x}; expected {x.rank} sizes before and after")
        if value is not None and (self.mode != "constant" or value != TensorType(x.dtype, ())):
            raise ShapeError(f"{self} of {x} received a value {value}; expected {x.dtype}[] and mode='constant'")
        _require_sizes(self, (*self.before, *self.after))
        for axis, size in enumerate(x.shape):
            self._require_source(axis, size)
        return x.with_shape(b + size + a for b, size, a in zip(self.before, x.shape, self.after, strict=True))

    def eval(self, x: Array, value: Array | None = None) -> Array:
        widths = list(zip(_known(self, self.before), _known(self, self.after), strict=True))
        for axis, size in enumerate(x.shape):
            self._require_source(axis, size)
        if self.mode != "constant":
            return np.asarray(np.pad(x, widths, mode=self.mode))  # type: ignore[call-overload]
        default = "" if x.dtype == object else x.dtype.type(0)
        return pad_constant(x, widths, default if value is None else value)

    def _require_source(self, axis: int, size: Dim) -> None:
        if self.mode == "constant" or isinstance(size, Sym):
            return
        largest = size - 1 if self.mode == "reflect" else size and np.inf
        for pad in (self.before[axis], self.after[axis]):
            if isinstance(pad, int) and pad > max(largest, 0):
                raise ShapeError(f"{self} cannot fill {pad} elements from axis {axis} of size {size}; expected more")


@dataclass(frozen=True)
class Tile(Op):
    """The whole value repeated ``repeats[i]`` times along axis `i`. ONNX: Tile since opset 13."""

    repeats: tuple[Dim, ...]

    def infer(self, x: TensorType) -> TensorType:
        _require_sizes(self, self.repeats)
        if len(self.repeats) != x.rank:
            raise ShapeError(f"{self} received {x}; expected {x.rank} repeats")
        return x.with_shape(size * count for size, count in zip(x.shape, self.repeats, strict=True))

    def eval(self, x: Array) -> Array:
        return np.tile(x, _known(self, self.repeats))


@dataclass(frozen=True)
class Gather(Op):
    """``np.take(x, indices, axis)``: `axis` is replaced by the axes of `indices`; negative indices count from the end.

    ONNX: Gather since opset 13.
    """

    axis: int

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        _require_axis(self, self.axis, x)
        require_dtype(self, "indices", indices, INDEX_DTYPES)
        return x.with_shape(_replace_axis(x.shape, self.axis, indices.shape))

    def eval(self, x: Array, indices: Array) -> Array:
        _check_range(self, indices, x.shape[self.axis])
        return np.asarray(np.take(x, indices, axis=self.axis))


@dataclass(frozen=True)
class GatherND(Op):
    """The slices of x at the places that the last axis of `indices` names.

    With b batch axes, x[b..., s...] and indices[b..., n..., k] give [b..., n..., s[k:]...]; k is known.
    ONNX: GatherND since opset 13.
    """

    batch_dims: int = 0

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        require_dtype(self, "indices", indices, INDEX_DTYPES)
        count = _require_index_width(self, x, indices, self.batch_dims)
        pairs = zip(x.shape[: self.batch_dims], indices.shape[: self.batch_dims], strict=True)
        batch = [agree_dim(*pair, f"{self} of {x} and {indices}, axis {axis}") for axis, pair in enumerate(pairs)]
        return x.with_shape((*batch, *indices.shape[self.batch_dims : -1], *x.shape[self.batch_dims + count :]))

    def eval(self, x: Array, indices: Array) -> Array:
        batch, rest = x.shape[: self.batch_dims], x.shape[self.batch_dims :]
        count = indices.shape[-1]
        for axis in range(count):
            _check_range(self, indices[..., axis], rest[axis])
        points = math.prod(indices.shape[self.batch_dims : -1])
        rows = np.arange(math.prod(batch))[:, None]
        flat = indices.reshape(len(rows), points, count)
        found = x.reshape(len(rows), *rest)[(rows, *(flat[..., axis] for axis in range(count)))]
        if count == 0:
            found = np.repeat(x.reshape(len(rows), 1, *rest), points, axis=1)
        return np.asarray(found.reshape(*indices.shape[:-1], *rest[count:]))


@dataclass(frozen=True)
class GatherElements(Op):
    """One element of x per element of `indices`, which replaces the position's index on `axis`.

    Off the axis, `indices` is as large as x, or concretely smaller. ONNX: GatherElements since opset 13.
    """

    axis: int

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        _require_axis(self, self.axis, x)
        require_dtype(self, "indices", indices, INDEX_DTYPES)
        if x.rank != indices.rank:
            raise ShapeError(f"{self} received {x} and indices {indices}; expected equal ranks")
        shape = list(indices.shape)
        for axis, (size, wanted) in enumerate(zip(x.shape, indices.shape, strict=True)):
            smaller = isinstance(size, int) and isinstance(wanted, int) and wanted <= size
            if axis != self.axis and not smaller:
                shape[axis] = agree_dim(wanted, size, f"{self} of {x} and {indices}, axis {axis}")
        return x.with_shape(shape)

    def eval(self, x: Array, indices: Array) -> Array:
        _check_range(self, indices, x.shape[self.axis])
        needed = tuple(slice(None if axis == self.axis else size) for axis, size in enumerate(indices.shape))
        return np.take_along_axis(x[needed], indices, axis=self.axis)


@dataclass(frozen=True)
class ScatterND(Op):
    """A copy of x in which the slices that `indices` points at are `updates`; of repeated indices the last one wins.

    x[s...], indices[n..., k] and updates[n..., s[k:]...]; k is known. ONNX: ScatterND since opset 13, where repeated
    indices have no defined result.
    """

    def infer(self, x: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
        require_dtype(self, "indices", indices, INDEX_DTYPES)
        count = _require_index_width(self, x, indices, 0)
        expected = x.with_shape((*indices.shape[:-1], *x.shape[count:]))
        if updates.rank != expected.rank or updates.dtype != x.dtype:
            raise ShapeError(f"{self} of {x} and {indices} received updates {updates}; expected {expected}")
        for axis, (size, wanted) in enumerate(zip(updates.shape, expected.shape, strict=True)):
            agree_dim(size, wanted, f"{self} of {x} and {indices}, updates {updates}, axis {axis}")
        return x

    def eval(self, x: Array, indices: Array, updates: Array) -> Array:
        result = x.copy()
        for axis in range(indices.shape[-1]):
            _check_range(self, indices[..., axis], x.shape[axis])
        if indices.shape[-1]:
            result[tuple(np.moveaxis(indices, -1, 0))] = updates
        elif updates.size:
            result[...] = updates.reshape(-1, *x.shape)[-1]
        return result


@dataclass(frozen=True)
class OneHot(Op):
    """A new axis of size `depth`: ``values[1]`` where it equals the index, elsewhere ``values[0]``.

    Indices -depth to -1 count from the end; others outside give ``values[0]`` everywhere. ONNX: OneHot since opset 11.
    """

    depth: Dim
    axis: int

    def infer(self, indices: TensorType, values: TensorType) -> TensorType:
        _require_sizes(self, (self.depth,))
        if not 0 <= self.axis <= indices.rank:
            raise ShapeError(f"{self} received indices {indices}; expected an axis from 0 to {indices.rank}")
        require_dtype(self, "indices", indices, INTEGERS)
        if values.shape != (2,):
            raise ShapeError(f"{self} received values {values}; expected 2: that for off and that for on")
        return values.with_shape((*indices.shape[: self.axis], self.depth, *indices.shape[self.axis :]))

    def eval(self, indices: Array, values: Array) -> Array:
        (depth,) = _known(self, (self.depth,))
        positive = np.where(indices < 0, indices.astype(np.int64) + depth, indices)
        column = np.arange(depth).reshape(-1, *[1] * (indices.ndim - self.axis))
        hot = np.expand_dims(positive, self.axis) == column
        return np.asarray(np.where(hot, values[1], values[0]))


@dataclass(frozen=True)
class Range(Op):
    """The i64 numbers from `start` up to and without `stop`, as `Slice` takes indices. ONNX: Range since opset 11."""

    start: Dim
    stop: Dim
    step: int = 1

    def infer(self) -> TensorType:
        return TensorType(DType.INT64, (slice_length(self.start, self.stop, self.step),))

    def eval(self) -> Array:
        start, stop = _known(self, (self.start, self.stop))
        return np.arange(start, stop, self.step, dtype=np.int64)


@dataclass(frozen=True)
class Size(Op):
    """A symbolic size as an i64 scalar. ONNX: arithmetic on what Shape says, or an initializer."""

    dim: Dim

    def infer(self) -> TensorType:
        return TensorType(DType.INT64, ())

    def eval(self) -> Array:
        (dim,) = _known(self, (self.dim,))
        return np.asarray(dim, np.int64)


@dataclass(frozen=True)
class TopK(Op):
    """The `k` largest (or smallest) elements along `axis` and their i64 indices, in order.

    Of equal elements the one of the lower index comes first. With ``sorted=False`` any order is right; `eval` sorts all
    the same. ONNX: TopK since opset 11.
    """

    k: Dim
    axis: int
    largest: bool = True
    sorted: bool = True

    def infer(self, x: TensorType) -> tuple[TensorType, TensorType]:
        _require_axis(self, self.axis, x)
        _require_sizes(self, (self.k,))
        size = x.shape[self.axis]
        if isinstance(self.k, int) and isinstance(size, int) and self.k > size:
            raise ShapeError(f"{self} received {x}; expected at least {self.k} elements on axis {self.axis}")
        require_dtype(self, "x", x, NUMBERS)
        values = x.with_shape(_replace_axis(x.shape, self.axis, (self.k,)))
        return values, values.with_dtype(DType.INT64)

    def eval(self, x: Array) -> tuple[Array, Array]:
        (k,) = _known(self, (self.k,))
        chosen = np.take(self._sort(x), np.arange(k), axis=self.axis)
        return np.take_along_axis(x, chosen, axis=self.axis), chosen.astype(np.int64, copy=False)

    def _sort(self, x: Array) -> Array:
        if not self.largest:
            return np.argsort(x, axis=self.axis, kind="stable")
        # To sort from the end and reverse the result keeps ties in order, for unsigned numbers too.
        backwards = np.argsort(np.flip(x, self.axis), axis=self.axis, kind="stable")
        return np.asarray(x.shape[self.axis] - 1 - np.flip(backwards, self.axis))


@dataclass(frozen=True)
class CumSum(WideOp):
    """Running sums along `axis`; `exclusive` ones leave the own element out, `reverse` ones start at the end.

    ONNX: CumSum since opset 14.
    """

    axis: int
    exclusive: bool = False
    reverse: bool = False

    def infer(self, x: TensorType) -> TensorType:
        _require_axis(self, self.axis, x)
        require_dtype(self, "x", x, SUMMED_DTYPES)
        return x

    def compute(self, x: Array) -> Array:
        ordered = np.flip(x, self.axis) if self.reverse else x
        sums = np.cumsum(ordered, axis=self.axis, dtype=x.dtype)
        if self.exclusive:
            sums = np.roll(sums, 1, self.axis)
            sums[(slice(None),) * self.axis + (slice(1),)] = 0
        return np.flip(sums, self.axis) if self.reverse else sums


@dataclass(frozen=True)
class Trilu(Op):
    """The upper or lower triangle of the last two axes from the k-th diagonal on, zeros elsewhere.

    ONNX: Trilu since opset 14.
    """

    upper: bool = True
    k: int = 0

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 2 or x.dtype is DType.STRING:
            raise ShapeError(f"{self} received {x}; expected numbers of rank 2 or more")
        return x

    def eval(self, x: Array) -> Array:
        lower = np.tri(x.shape[-2], x.shape[-1], k=self.k - 1 if self.upper else self.k, dtype=bool)
        return np.where(lower ^ self.upper, x, x.dtype.type(0))


def complete_shape(wanted: Sequence[Dim], given: Shape) -> Shape | None:
    """Return `wanted` with its -1 replaced by the size that keeps the number of elements of `given`.

    None if no size does, or more than one size is -1. A shape without -1 is returned as it is.

    >>> complete_shape((2, -1), (4, 3))
    (2, 6)
    """
    if -1 not in wanted:
        return tuple(wanted)
    rest = divide_exactly(product(given), product(size for size in wanted if size != -1))
    if rest is None or list(wanted).count(-1) > 1:
        return None
    return tuple(rest if size == -1 else size for size in wanted)


def pad_constant(x: Array, widths: Sequence[tuple[int, int]], value: object) -> Array:
    """Return x with copies of one element before and after each axis."""
    pairs = list(zip(widths, x.shape, strict=True))
    result = np.full([before + size + after for (before, after), size in pairs], value, x.dtype)
    result[tuple(slice(before, before + size) for (before, _), size in pairs)] = x
    return result


def slice_length(start: Dim, end: Dim, step: int, size: Dim | None = None) -> Dim:
    """Return the exact number of indices from `start` to `end`; `size` is that of the axis in which they must lie.

    Raises:
        ShapeError: the step is 0, or the bounds (see `Slice`) are known to be out of order or outside the axis.
    """
    low, high = (start, end) if step > 0 else (end, start)
    backwards = isinstance(low, int) and isinstance(high, int) and low > high
    if step == 0 or backwards or (size is not None and _leaves_axis(low, high, step, size)):
        where = "" if size is None else f" of an axis of size {size}"
        raise ShapeError(
            f"cannot take {start} to {end} in steps of {step}{where}; expected bounds inside the axis, in the order of "
            "the step, which is not 0"
        )
    return (high - low + abs(step) - 1) // abs(step)


def _leaves_axis(low: Dim, high: Dim, step: int, size: Dim) -> bool:
    first, last = (0, size) if step > 0 else (-1, size - 1)
    room = last - high
    # A falling slice of an empty axis starts at -1 and takes nothing.
    return (isinstance(low, int) and low < first) or (isinstance(room, int) and room < 0)


def _require_axis(op: Op, axis: int, x: TensorType) -> None:
    if not 0 <= axis < x.rank:
        raise ShapeError(f"{op} received {x}; expected an axis from 0 to {x.rank - 1}")


def _require_sizes(op: Op, sizes: Iterable[Dim]) -> None:
    for size in sizes:
        if isinstance(size, int) and size < 0:
            raise ShapeError(f"{op} has the size {size}; expected sizes of 0 or more")


def _known(op: Op, sizes: Iterable[Dim]) -> tuple[int, ...]:
    """Return the sizes as integers: `Op.bind` has replaced the symbolic ones."""
    wanted = tuple(sizes)
    known = tuple(size for size in wanted if isinstance(size, int))
    if len(known) < len(wanted):
        raise ShapeError(f"{op} cannot run: the size of {', '.join(sorted(op.symbols()))} is unknown; bind it first")
    return known


def _require_index_width(op: Op, x: TensorType, indices: TensorType, batch_dims: int) -> int:
    width = indices.shape[-1] if indices.rank > batch_dims else None
    if batch_dims < 0 or not isinstance(width, int) or width > x.rank - batch_dims:
        raise ShapeError(
            f"{op} received {x} and indices {indices}; expected a last axis of at most {x.rank - batch_dims} indices"
        )
    return width


def _check_range(op: Op, indices: Array, size: int) -> None:
    if indices.size and not (-size <= indices.min() and indices.max() < size):
        wrong = indices[(indices < -size) | (indices >= size)].flat[0]
        raise InvalidArgumentError(f"{op} received the index {wrong}; expected {-size} to {size - 1}")


def _replace_axis(shape: Shape, axis: int, sizes: Sequence[Dim]) -> Shape:
    return (*shape[:axis], *sizes, *shape[axis + 1 :])
