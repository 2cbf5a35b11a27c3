"""Meanings of ONNX's operators whose parameters the model computes: axes, shapes, pads, bounds, counts.

Where these are known, the reader makes operators of kir; here the same operators are made at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import kir.ops.elementwise as elementwise
import kir.ops.reduce as reduce
import kir.ops.shape as shape
from kir.errors import ShapeError, UnsupportedError
from kir.ir.op import Array, Op
from kir.ops.meanings.table import Carried, means, stands_for

Resolved = tuple[Op, tuple[Array | None, ...]]

REDUCTIONS: dict[str, Callable[[tuple[int, ...], bool], Op]] = {
    cls.__name__: cls
    for cls in (
        *(reduce.ReduceSum, reduce.ReduceMean, reduce.ReduceMax, reduce.ReduceMin, reduce.ReduceProd, reduce.ReduceL1),
        *(reduce.ReduceL2, reduce.ReduceLogSumExp, reduce.ReduceSumSquare),
    )
}


def _integers(given: Array | Sequence[int] | None) -> tuple[int, ...] | None:
    return None if given is None else tuple(int(number) for number in np.asarray(given).ravel())


def _axes(given: Array | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Return axes counted from the front, in the order given; all if none are given."""
    numbers = _integers(given)
    axes = tuple(range(rank)) if numbers is None else tuple(axis + rank if axis < 0 else axis for axis in numbers)
    if len(set(axes)) != len(axes) or not all(0 <= axis < rank for axis in axes):
        raise ShapeError(f"received the axes {numbers} of a tensor of rank {rank}; expected different ones in range")
    return axes


def one(given: Array) -> Any:
    """Return the only element of a parameter."""
    if given.size != 1:
        raise ShapeError(f"received a parameter of {given.size} elements; expected one")
    return given.reshape(()).item()


# Reductions


def _reduce(
    name: str,
    x: Array,
    computed: Array | None = None,
    *,
    axes: tuple[int, ...] | None = None,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Resolved:
    reduced = _reduced(x, computed if axes is None else axes, noop_with_empty_axes)
    if reduced:
        return REDUCTIONS[name](reduced, bool(keepdims)), (x,)
    # Of single elements:
    if name in ("ReduceL1", "ReduceL2"):
        return elementwise.Abs(), (x,)
    if name == "ReduceSumSquare":
        return elementwise.Mul(), (x, x)
    return _reshape(x, x.shape)


def _reduced(x: Array, given: Array | tuple[int, ...] | None, noop_with_empty_axes: int) -> tuple[int, ...]:
    if given is not None and np.size(given) == 0:
        given = None
    return () if given is None and noop_with_empty_axes else tuple(sorted(_axes(given, x.ndim)))


for _name in REDUCTIONS:
    stands_for(_name)(partial(_reduce, _name))


@means("ReduceLogSum")
def reduce_log_sum(
    x: Array,
    computed: Array | None = None,
    *,
    axes: tuple[int, ...] | None = None,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    reduced = _reduced(x, computed if axes is None else axes, noop_with_empty_axes)
    return np.asarray(np.log(np.sum(x, reduced, keepdims=bool(keepdims)))).astype(x.dtype, copy=False)


# Shapes


def _reshape(x: Array, sizes: Sequence[int]) -> Resolved:
    return shape.Reshape(tuple(sizes)), (x,)


@stands_for("Reshape")
def reshape(x: Array, computed: Array | None = None, *, shape: tuple[int, ...] = (), allowzero: int = 0) -> Resolved:
    wanted = _integers(shape if computed is None else computed) or ()
    sizes = [x.shape[axis] if size == 0 and not allowzero else size for axis, size in enumerate(wanted)]
    if sizes.count(-1) == 1:
        rest = -int(np.prod(sizes))
        sizes[sizes.index(-1)] = x.size // rest if rest else 0
    return _reshape(x, sizes)


@stands_for("Squeeze")
def squeeze(x: Array, computed: Array | None = None, *, axes: tuple[int, ...] | None = None) -> Resolved:
    given = axes if computed is None else computed
    removed = [axis for axis, size in enumerate(x.shape) if size == 1] if given is None else _axes(given, x.ndim)
    if any(x.shape[axis] != 1 for axis in removed):
        raise ShapeError(f"Squeeze of the axes {tuple(removed)} received a tensor of shape {x.shape}")
    return _reshape(x, [size for axis, size in enumerate(x.shape) if axis not in removed])


@stands_for("Unsqueeze")
def unsqueeze(x: Array, computed: Array | None = None, *, axes: tuple[int, ...] | None = None) -> Resolved:
    given = _integers(axes if computed is None else computed) or ()
    added = _axes(given, x.ndim + len(given))
    old = iter(x.shape)
    return _reshape(x, [1 if axis in added else next(old) for axis in range(x.ndim + len(given))])


@stands_for("Expand")
def expand(x: Array, computed: Array) -> Resolved:
    return shape.Expand(np.broadcast_shapes(x.shape, _integers(computed) or ())), (x,)


@stands_for("Tile", since=6)
def tile(x: Array, repeats: Array) -> Resolved:
    return shape.Tile(_integers(repeats) or ()), (x,)


@means("ConstantOfShape", exact=True)
def constant_of_shape(sizes: Array, *, value: Array | None = None) -> Array:
    filling = np.zeros(1, np.float32) if value is None else value
    return np.full(_integers(sizes) or (), filling.reshape(()), filling.dtype)


# Parts


@means("Slice", exact=True)
def slice_(
    x: Array,
    first: Array | None = None,
    last: Array | None = None,
    along: Array | None = None,
    steps: Array | None = None,
    *,
    starts: tuple[int, ...] = (),
    ends: tuple[int, ...] = (),
    axes: tuple[int, ...] | None = None,
) -> Array:
    begins, stops = _integers(starts if first is None else first) or (), _integers(ends if last is None else last) or ()
    given = _integers(axes if along is None else along)
    over = tuple(range(len(begins))) if given is None else _axes(given, x.ndim)
    strides = _integers(steps) or (1,) * len(begins)
    index: list[Any] = [slice(None)] * x.ndim
    for axis, begin, stop, step in zip(over, begins, stops, strides, strict=True):
        index[axis] = _indices(begin, stop, step, x.shape[axis])
    return np.asarray(x[tuple(index)])


def _indices(begin: int, stop: int, step: int, size: int) -> slice:
    """Return a slice of Python that takes what ONNX's Slice does: bounds are clamped, also those of falling indices."""
    low = min(max(begin + size if begin < 0 else begin, 0), size if step > 0 else size - 1)
    high = min(max(stop + size if stop < 0 else stop, 0 if step > 0 else -1), size if step > 0 else size - 1)
    if (high - low) * step <= 0:
        return slice(0, 0)
    return slice(low, None if high < 0 else high, step)


@means("Split", exact=True)
def split(
    x: Array,
    sizes: Array | None = None,
    *,
    op: Carried,
    axis: int = 0,
    split: tuple[int, ...] = (),
    num_outputs: int = 0,
) -> tuple[Array, ...]:
    parts = _integers(split or None if sizes is None else sizes)
    if parts is None:
        count = num_outputs or len(op.types)
        length = -(-x.shape[axis] // count)
        parts = (length,) * count
    ends = np.minimum(np.cumsum(parts), x.shape[axis])
    return tuple(np.split(x, ends[:-1], axis))


@stands_for("TopK", since=10)
def top_k(x: Array, k: Array, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> Resolved:
    (place,) = _axes((axis,), x.ndim)
    return shape.TopK(one(k), place, bool(largest), bool(sorted)), (x,)


@means("Pad", exact=True, since=2)
def pad(
    x: Array,
    widths: Array | None = None,
    filling: Array | None = None,
    along: Array | None = None,
    *,
    mode: str = "constant",
    pads: tuple[int, ...] = (),
    value: float = 0.0,
) -> Array:
    """Return x with elements put before and after its axes; where pads are negative, they are taken away first."""
    given = _integers(pads if widths is None else widths) or ()
    over = _axes(along, x.ndim)
    both = [(0, 0)] * x.ndim
    for place, axis in enumerate(over):
        both[axis] = given[place], given[place + len(over)]
    inner = [slice(max(-before, 0), size - max(-after, 0)) for (before, after), size in zip(both, x.shape, strict=True)]
    kept = x[tuple(inner)]
    grown = [(max(before, 0), max(after, 0)) for before, after in both]
    if mode != "constant":
        return np.asarray(np.pad(kept, grown, mode=mode))  # type: ignore[call-overload]
    default: Any = "" if x.dtype == object else value
    return np.pad(kept, grown, constant_values=default if filling is None else one(filling))


@stands_for("Trilu")
def trilu(x: Array, k: Array | None = None, *, upper: int = 1) -> Resolved:
    return shape.Trilu(bool(upper), 0 if k is None else one(k)), (x,)


# Numbers


@stands_for("CumSum")
def cum_sum(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0) -> Resolved:
    (place,) = _axes((one(axis),), x.ndim)
    return shape.CumSum(place, bool(exclusive), bool(reverse)), (x,)


@means("Range")
def range_(start: Array, limit: Array, delta: Array) -> Array:
    """Return start + i · delta for each i below (limit - start) / delta, which is rounded up."""
    first, last, step = (given.reshape(()) for given in (start, limit, delta))
    wide = [np.asarray(given, np.float64 if start.dtype.kind not in "iu" else None) for given in (first, last, step)]
    count = -((wide[0] - wide[1]) // wide[2])
    return np.asarray(first + np.arange(max(int(count), 0)).astype(start.dtype) * step).astype(start.dtype, copy=False)


@means("OneHot", exact=True)
def one_hot(indices: Array, depth: Array, values: Array, *, axis: int = -1) -> Array:
    count = int(one(depth))
    (place,) = _axes((axis,), indices.ndim + 1)
    wanted = np.expand_dims(np.asarray(indices, np.float64) if indices.dtype.kind == "f" else indices, place)
    wanted = np.where((wanted < 0) & (wanted >= -count), wanted + count, wanted)
    classes = np.arange(count).reshape([-1 if axis == place else 1 for axis in range(indices.ndim + 1)])
    return np.asarray(np.where(wanted == classes, values[1], values[0]))


@stands_for("Clip", since=11)
def clip(x: Array, low: Array | None = None, high: Array | None = None) -> Resolved:
    bounds = [None if bound is None else np.asarray(bound.reshape(()), x.dtype) for bound in (low, high)]
    return elementwise.Clip(), (x, *bounds)


@means("Mod", exact=True)
def mod(a: Array, b: Array, *, fmod: int = 0) -> Array:
    """Return what is left of a division: with the sign of the divisor, or with `fmod` with that of the dividend."""
    return np.asarray(np.fmod(a, b) if fmod else np.mod(a, b)).astype(a.dtype, copy=False)


@means("Equal", exact=True)
def equal(a: Array, b: Array) -> Array:
    return np.asarray(a == b, bool)


# Dropout


@means("Dropout", exact=True, since=7)
def dropout(
    x: Array, rate: Array | None = None, training: Array | None = None, *, ratio: float = 0.5, seed: int = 0
) -> tuple[Array, Array]:
    """Return the input and a mask of what it keeps, which is everything where it does not train."""
    if training is not None and training.any() and (rate is None or one(rate) > 0):
        raise UnsupportedError("Dropout that trains draws at random what it keeps; leave its mask off")
    return x, np.ones(x.shape, bool)
