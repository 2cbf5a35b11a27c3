"""Operators that move, repeat, join and choose elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from kir.errors import FormatError, ShapeError, UndecidedSizesError, UnsupportedError
from kir.importers.onnx_file import recognise, sizes
from kir.importers.onnx_file.ops.table import IMPORTERS, Results, imports
from kir.importers.onnx_file.sizes import HUGE, Sizes
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.dims import Dim, Sym, divide_exactly, product
from kir.ir.types import DType, Shape, as_dtype, broadcast_shapes, normalize_axis
from kir.ops import shape as ops
from kir.ops.elementwise import Cast
from kir.ops.sparse import SparseToDense

Item = TypeVar("Item")

# A size that is cast to these stays what it is.
HOLD_SIZES = (DType.INT32, DType.INT64, DType.FLOAT32, DType.FLOAT64)


def _axis(call: OperatorCall, x: Operand, default: int) -> int:
    return normalize_axis(call.attributes.integer("axis", default), max(x.type.rank, 1))


@imports("Identity")
def identity(call: OperatorCall, x: Operand) -> Results:
    return x


@imports("Shape")
def shape(call: OperatorCall, x: Operand) -> Results:
    rank = x.type.rank
    start, end = call.attributes.integer("start", 0), call.attributes.integer("end", rank)
    return call.translator.shape(x.type.shape[slice(start, end)])


@imports("Size")
def size(call: OperatorCall, x: Operand) -> Results:
    return call.translator.shape([product(x.type.shape)], is_scalar=True)


@imports("Reshape")
def reshape(call: OperatorCall, x: Operand, target: Operand | None = None) -> Results:
    wanted = call.attributes.integers("shape") if target is None else call.sizes(target, "shape")
    allow_zero = bool(call.attributes.integer("allowzero", 0))
    result = reshape_target(x.type.shape, wanted, allow_zero)
    return _reshaped(call, x, result)


def _reshaped(call: OperatorCall, x: Operand, shape: Shape) -> Operand:
    """Return a Reshape of x; of known integers of rank 0 and 1, those."""
    if x.is_shape and x.sizes is not None and len(shape) <= 1:
        return call.translator.shape(x.sizes.items, is_scalar=not shape)
    result = call.add(ops.Reshape(shape), x)
    if x.sizes is not None and len(shape) <= 1:
        result.sizes = Sizes(x.sizes.items, not shape)
    return result


def reshape_target(current: Shape, wanted: Sequence[Dim], allow_zero: bool) -> Shape:
    """Return the exact sizes of a Reshape: 0 is "as it was" unless zeros are allowed, -1 the rest.

    Raises:
        ShapeError: the rest is no whole number, or there are two.
    """
    if not allow_zero and any(size == 0 and axis >= len(current) for axis, size in enumerate(wanted)):
        raise ShapeError(f"Reshape to {tuple(wanted)} copies the size of an axis that {current} does not have")
    sizes = [current[axis] if size == 0 and not allow_zero else size for axis, size in enumerate(wanted)]
    completed = ops.complete_shape(sizes, current)
    if completed is None:
        raise ShapeError(
            f"Reshape of {current} to {tuple(wanted)} leaves a size open; give concrete sizes (--input-shapes)"
        )
    return completed


@imports("Flatten")
def flatten(call: OperatorCall, x: Operand) -> Results:
    rank = x.type.rank
    axis = call.attributes.integer("axis", 1)
    if not -rank <= axis <= rank:
        raise ShapeError(f"Flatten received axis={axis} for {x.type}; expected {-rank} to {rank}")
    axis = axis + rank if axis < 0 else axis
    return call.add(ops.Reshape((product(x.type.shape[:axis]), product(x.type.shape[axis:]))), x)


@imports("Squeeze")
def squeeze(call: OperatorCall, x: Operand, axes: Operand | None = None) -> Results:
    given = call.attributes.integers("axes", None) if axes is None else call.known(axes, "axes")
    shape = x.type.shape
    if given is None:
        if any(isinstance(dim, Sym) for dim in shape):
            raise UnsupportedError(f"Squeeze of {x.type} removes the axes that turn out to be 1; kir needs them known")
        given = [axis for axis, dim in enumerate(shape) if dim == 1]
    removed = set(call.axes(given, len(shape)))
    other = next((shape[axis] for axis in sorted(removed) if shape[axis] != 1), None)
    if other is not None:
        message = f"Squeeze of the axes {sorted(removed)} received {x.type}; expected sizes of 1"
        raise UndecidedSizesError(message, (other, 1))
    return _reshaped(call, x, tuple(dim for axis, dim in enumerate(shape) if axis not in removed))


@imports("Unsqueeze")
def unsqueeze(call: OperatorCall, x: Operand, axes: Operand | None = None) -> Results:
    given = call.attributes.integers("axes") if axes is None else call.known(axes, "axes")
    rank = x.type.rank + len(given)
    added = set(call.axes(given, rank))
    if len(added) != len(given):
        raise ShapeError(f"Unsqueeze of {x.type} received the axes {tuple(given)}; expected different ones")
    old = iter(x.type.shape)
    return _reshaped(call, x, tuple(1 if axis in added else next(old) for axis in range(rank)))


@imports("Transpose")
def transpose(call: OperatorCall, x: Operand) -> Results:
    permutation = call.attributes.integers("perm", tuple(reversed(range(x.type.rank))))
    return call.add(ops.Transpose(permutation), x)


@imports("Expand")
def expand(call: OperatorCall, x: Operand, target: Operand) -> Results:
    wanted = call.sizes(target, "shape")
    return call.add(ops.Expand(broadcast_shapes(x.type.shape, wanted)), x)


@imports("Tile")
def tile(call: OperatorCall, x: Operand, repeats: Operand) -> Results:
    return call.add(ops.Tile(call.sizes(repeats, "repeats")), x)


@imports("Concat")
def concat(call: OperatorCall, *values: Operand) -> Results:
    axis = normalize_axis(call.attributes.integer("axis"), max(values[0].type.rank, 1))
    return call.add(ops.Concat(axis), *values)


@imports("Slice")
def slice_(
    call: OperatorCall,
    x: Operand,
    starts: Operand | None = None,
    ends: Operand | None = None,
    axes: Operand | None = None,
    steps: Operand | None = None,
) -> Results:
    if starts is None:
        first, last = call.attributes.integers("starts"), call.attributes.integers("ends")
        over = call.attributes.integers("axes", tuple(range(len(first))))
    else:
        first, last = call.sizes(starts, "starts"), call.sizes(ends, "ends")
        over = tuple(range(len(first))) if axes is None else call.known(axes, "axes")
    step = (1,) * len(first) if steps is None else call.known(steps, "steps")
    over = call.axes(over, x.type.rank)
    if not len(first) == len(last) == len(over) == len(step):
        raise ShapeError(f"Slice has {len(first)} starts, {len(last)} ends, {len(over)} axes and {len(step)} steps")
    columns = zip(over, first, last, step, strict=True)
    bounds = [slice_bounds(start, end, by, x.type.shape[axis]) for axis, start, end, by in columns]
    return call.add(ops.Slice(over, tuple(b[0] for b in bounds), tuple(b[1] for b in bounds), step), x)


def slice_bounds(start: Dim, end: Dim, step: int, size: Dim) -> tuple[Dim, Dim]:
    """Return the bounds of a Slice inside its axis, counted from the front; see `kir.ops.shape.Slice`.

    Of a symbolic axis, a bound that is a number is taken to be inside.
    """
    if step > 0:
        low = _clamp(start, size, 0, size)
        high = _clamp(end, size, 0, size)
    else:
        low = _clamp(start, size, 0, size - 1)
        high = -1 if isinstance(end, int) and end <= -HUGE else _clamp(end, size, -1, size - 1)
    if isinstance(low, int) and isinstance(high, int) and (low > high if step > 0 else low < high):
        high = low
    return low, high


def _clamp(bound: Dim, size: Dim, lowest: int, highest: Dim) -> Dim:
    if isinstance(bound, int) and bound >= HUGE:
        return highest
    if isinstance(bound, int) and bound <= -HUGE:
        return lowest
    if sizes.counts_from_end(bound, size):
        bound = bound + size
    if isinstance(bound, int) and isinstance(highest, int):
        return max(lowest, min(bound, highest))
    return max(bound, lowest) if isinstance(bound, int) else bound


@imports("Split")
def split(call: OperatorCall, x: Operand, given: Operand | None = None) -> Results:
    axis = _axis(call, x, 0)
    if x.type.rank == 0:
        raise ShapeError(f"Split received {x.type}; expected an axis to split")
    parts = call.attributes.integers("split", None) if given is None else call.sizes(given, "sizes")
    count = call.attributes.integer("num_outputs", len(call.outputs))
    if parts is None:
        parts = _equal_parts(x.type.shape[axis], count)
    return call.translator.add_all(ops.Split(axis, tuple(parts)), x)


def _equal_parts(size: Dim, count: int) -> tuple[Dim, ...]:
    if not 0 < count <= 100_000:
        raise FormatError(f"Split has {count} outputs; expected one or more")
    exact = divide_exactly(size, count)
    if exact is not None:
        return (exact,) * count
    if isinstance(size, Sym):
        raise UnsupportedError(f"Split of an axis of size {size} into {count} parts, which need not be equal")
    part = -(-size // count)
    return (*(part,) * (count - 1), size - part * (count - 1))


@imports("Pad")
def pad(
    call: OperatorCall,
    x: Operand,
    pads: Operand | None = None,
    value: Operand | None = None,
    axes: Operand | None = None,
) -> Results:
    mode = call.attributes.text("mode", "constant")
    if pads is None:
        widths = call.attributes.integers("pads")
        number = call.attributes.number("value", 0.0)
        value = call.translator.constant(number, x.type.dtype) if number else None
    else:
        widths = call.sizes(pads, "pads")
    over = range(x.type.rank) if axes is None else call.axes(call.known(axes, "axes"), x.type.rank)
    if len(widths) != 2 * len(over):
        raise ShapeError(f"Pad of {x.type} has {len(widths)} pads; expected {2 * len(over)}")
    before: list[Dim] = [0] * x.type.rank
    after: list[Dim] = [0] * x.type.rank
    for position, axis in enumerate(over):
        before[axis], after[axis] = widths[position], widths[position + len(over)]
    if mode not in ("constant", "reflect", "edge"):
        raise UnsupportedError(f"kir has no Pad with mode={mode!r}")
    x, before, after = _cropped(call, x, before, after)
    if value is not None and value.type.rank:
        value = call.add(ops.Reshape(()), value)
    return call.add(ops.Pad(tuple(before), tuple(after), mode), x, value if mode == "constant" else None)


def _cropped(
    call: OperatorCall, x: Operand, before: list[Dim], after: list[Dim]
) -> tuple[Operand, list[Dim], list[Dim]]:
    """Take elements away where pads are negative, with a Slice, and return the pads that are left."""
    if not any(map(sizes.is_negative, (*before, *after))):
        return x, before, after
    starts = [-b if sizes.is_negative(b) else 0 for b in before]
    cuts = [a if sizes.is_negative(a) else 0 for a in after]
    ends = [size + cut for size, cut in zip(x.type.shape, cuts, strict=True)]
    axes = tuple(range(x.type.rank))
    cropped = call.add(ops.Slice(axes, tuple(starts), tuple(ends), (1,) * len(axes)), x)
    rest = [[0 if sizes.is_negative(width) else width for width in widths] for widths in (before, after)]
    return cropped, rest[0], rest[1]


def _gather(cls: type[ops.Gather | ops.GatherElements], call: OperatorCall, x: Operand, indices: Operand) -> Results:
    return call.add(cls(_axis(call, x, 0)), x, indices)


IMPORTERS["Gather"] = partial(_gather, ops.Gather)
IMPORTERS["GatherElements"] = partial(_gather, ops.GatherElements)


@imports("GatherND")
def gather_nd(call: OperatorCall, x: Operand, indices: Operand) -> Results:
    return call.add(ops.GatherND(call.attributes.integer("batch_dims", 0)), x, indices)


@imports("ScatterND")
def scatter_nd(call: OperatorCall, x: Operand, indices: Operand, updates: Operand) -> Results:
    reduction = call.attributes.text("reduction", "none")
    if isinstance(x.pending, recognise.Zeros) and reduction == "add":
        return _sparse(call, x.pending, indices, updates)
    if reduction != "none":
        raise UnsupportedError(f"kir has no ScatterND with reduction={reduction!r}")
    return call.add(ops.ScatterND(), x, indices, updates)


def _sparse(call: OperatorCall, zeros: recognise.Zeros, indices: Operand, updates: Operand) -> Operand:
    rank = indices.type.shape[-1]
    hint = call.translator.hints.get(call.outputs[0])
    if not isinstance(rank, int) or rank > 32:
        raise UnsupportedError(f"ScatterND of indices {indices.type} into a tensor of unknown rank")
    shape: Shape
    if hint is not None and hint.rank == rank:
        shape = hint.shape
    else:
        shape = tuple(call.translator.size_names.new(f"{call.outputs[0]}_{axis}") for axis in range(rank))
    return call.add(SparseToDense(shape), indices, updates, zeros.size)


@imports("OneHot")
def one_hot(call: OperatorCall, indices: Operand, depth: Operand, values: Operand) -> Results:
    rank = indices.type.rank
    axis = normalize_axis(call.attributes.integer("axis", -1), rank + 1)
    count = _one(call.sizes(depth, "depth"), "OneHot's depth")
    if not indices.type.dtype.is_integer:
        indices = call.add(Cast(DType.INT64), indices)
    return call.add(ops.OneHot(count, axis), indices, values)


def _one(given: Sequence[Item], what: str) -> Item:
    if len(given) != 1:
        raise ShapeError(f"{what} has {len(given)} elements; expected one")
    return given[0]


@imports("Range")
def range_(call: OperatorCall, start: Operand, stop: Operand, step: Operand) -> Results:
    dtype = start.type.dtype
    if not dtype.is_integer:
        whole = [_whole_number(bound) for bound in (start, stop, step)]
        if not any(isinstance(bound, Sym) for bound in whole):
            return _range_of_constants(call, start, stop, step)
        first, last, increment = whole
        if first is None or last is None or not isinstance(increment, int):
            raise UnsupportedError("Range of floats between a size and what is no whole number")
    else:
        first, last = (
            _one(call.sizes(start, "start"), "Range's start"),
            _one(call.sizes(stop, "limit"), "Range's limit"),
        )
        increment = _one(call.known(step, "delta"), "Range's delta")
    if isinstance(first, int) and isinstance(last, int) and (last - first) * increment < 0:
        last = first
    result = call.add(ops.Range(first, last, increment))
    if isinstance(first, int) and isinstance(last, int) and increment:
        items = range(first, last, increment)
        result.sizes = Sizes(tuple(items)) if len(items) <= sizes.MAX_LENGTH else None
    return result if dtype is DType.INT64 else call.add(Cast(dtype), result)


def _range_of_constants(call: OperatorCall, start: Operand, stop: Operand, step: Operand) -> Operand:
    bounds = [_one(call.array(bound, "bounds").ravel().tolist(), "Range's bound") for bound in (start, stop, step)]
    if not bounds[2] or not 0 <= (bounds[1] - bounds[0]) / bounds[2] + 1 <= 1e7:
        raise UnsupportedError(f"Range from {bounds[0]} to {bounds[1]} in steps of {bounds[2]}")
    dtype = start.type.dtype
    return call.translator.constant(np.arange(*bounds, dtype=dtype.numpy), dtype)


def _whole_number(bound: Operand) -> Dim | None:
    """Return the size or integer that a float is a cast of, None if it is another number, or may have been rounded."""
    array = bound.array
    if array is not None:
        number = array.ravel().tolist()
        return int(number[0]) if len(number) == 1 and number[0].is_integer() and abs(number[0]) < 2**24 else None
    value = bound.value
    while value is not None and isinstance(value.node.op, Cast) and value.type.dtype in HOLD_SIZES:
        (value,) = value.node.inputs
    return value.node.op.dim if value is not None and isinstance(value.node.op, ops.Size) else None


@imports("TopK")
def top_k(call: OperatorCall, x: Operand, k: Operand | None = None) -> Results:
    axis = _axis(call, x, -1)
    count = call.attributes.integer("k") if k is None else _one(call.sizes(k, "k"), "TopK's k")
    largest, in_order = (bool(call.attributes.integer(name, 1)) for name in ("largest", "sorted"))
    return call.translator.add_all(ops.TopK(count, axis, largest, in_order), x)


@imports("CumSum")
def cum_sum(call: OperatorCall, x: Operand, axis: Operand) -> Results:
    given = _one(call.known(axis, "axis"), "CumSum's axis")
    flags = (bool(call.attributes.integer(name, 0)) for name in ("exclusive", "reverse"))
    return call.add(ops.CumSum(normalize_axis(given, max(x.type.rank, 1)), *flags), x)


@imports("Trilu")
def trilu(call: OperatorCall, x: Operand, k: Operand | None = None) -> Results:
    diagonal = 0 if k is None else _one(call.known(k, "k"), "Trilu's k")
    return call.add(ops.Trilu(bool(call.attributes.integer("upper", 1)), diagonal), x)


@imports("Constant")
def constant(call: OperatorCall) -> Results:
    attributes = call.attributes
    readers: dict[str, Callable[[str], Any]] = {
        "value": attributes.tensor,
        "value_float": lambda name: np.float32(attributes.number(name)),
        "value_floats": lambda name: np.array(attributes.numbers(name), np.float32),
        "value_int": lambda name: np.int64(attributes.integer(name)),
        "value_ints": lambda name: np.array(attributes.integers(name), np.int64),
        "value_string": lambda name: np.array(attributes.text(name), object),
        "value_strings": lambda name: np.array(attributes.texts(name), object),
    }
    given = [name for name in readers if attributes.has(name)]
    if len(given) != 1:
        raise UnsupportedError(f"a Constant with the values {given}; kir reads one of {', '.join(readers)}")
    return Operand.of_array("", np.asarray(readers[given[0]](given[0])), None, call.translator.origin)


@imports("ConstantOfShape")
def constant_of_shape(call: OperatorCall, target: Operand) -> Results:
    filler = call.attributes.tensor("value", np.zeros(1, np.float32))
    if filler.size != 1:
        raise FormatError(f"ConstantOfShape has a value of {filler.size} elements; expected one")
    dtype = as_dtype(filler.dtype)
    scalar = call.translator.constant(filler.reshape(()), dtype)
    if target.sizes is None:
        if filler.any():
            raise UnsupportedError("ConstantOfShape of a shape that the model computes")
        return Operand("", pending=recognise.Zeros(target))
    items = target.sizes.items
    if len(items) == 0:
        return Operand.of_array("", filler.reshape(()), None, call.translator.origin)
    result = call.add(ops.Expand(items), scalar)
    result.pending = None if filler.any() else recognise.Zeros(target)
    (count,) = items if len(items) == 1 else (None,)
    if isinstance(count, int) and count <= sizes.MAX_LENGTH and dtype is DType.INT64:
        result.sizes = Sizes((int(filler.item()),) * count)
    return result
