"""Operators that move, repeat, join and choose elements."""

from __future__ import annotations

import numpy as np

from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import Names, exports, names_of, scalar_like, zero_tensor
from kir.ir.dims import Dim, Sym
from kir.ir.types import DType
from kir.ops import shape as ops

PAST_THE_FRONT = np.iinfo(np.int64).min  # as the end of a falling Slice: the first element is included
PAST_THE_END = np.iinfo(np.int64).max


@exports(ops.Reshape)
def reshape(emitter: Emitter, op: ops.Reshape, x: FileTensor) -> Names:
    """Write one node and a constant shape unless two unknown sizes are new.

    1. A literal 0 in the target: the exact sizes, with 0 meaning 0.
    2. A symbolic size that stands at the same place in x: 0, "as it was".
    3. One other symbolic size: -1, "the rest".
    4. Any further ones are computed from the shapes of other values.

    A tensor without elements (a batch of 0) is reshaped too, except by a shape with both 0 and -1: of nothing, ONNX
    finds no rest. To compute that size would cost every model nodes for it, and its constant shape.
    """
    if 0 in op.shape:
        return _reshape_to_zero(emitter, op, x)
    new = [axis for axis, dim in enumerate(op.shape) if isinstance(dim, Sym) and not _stays(x, axis, dim)]
    # A composite size costs the most to compute, so it is the one to leave to -1.
    rest = next((axis for axis in new if _is_composite(op.shape[axis])), new[-1] if new else -1)
    shape: list[Dim] = [
        0 if _stays(x, axis, dim) and isinstance(dim, Sym) else -1 if axis == rest else dim
        for axis, dim in enumerate(op.shape)
    ]
    return emitter.node("Reshape", [x.name, emitter.sizes(shape)])


def _stays(x: FileTensor, axis: int, dim: Dim) -> bool:
    return axis < x.type.rank and x.type.shape[axis] == dim


def _is_composite(dim: Dim) -> bool:
    return isinstance(dim, Sym) and dim.name is None


def _reshape_to_zero(emitter: Emitter, op: ops.Reshape, x: FileTensor) -> str:
    if emitter.opset >= 14:
        return emitter.node("Reshape", [x.name, emitter.sizes(op.shape)], allowzero=1)
    # Opset 13 cannot say 0; nothing is lost by making a new value of no elements.
    return emitter.node("ConstantOfShape", [emitter.sizes(op.shape)], value=zero_tensor(x.type.dtype))


@exports(ops.Expand)
def expand(emitter: Emitter, op: ops.Expand, x: FileTensor) -> Names:
    """Write an Expand that asks for 1 where x has the size already, so that unknown ones need not be computed."""
    offset = len(op.shape) - x.type.rank
    current = (None,) * offset + x.type.shape
    shape = [1 if size == wanted else wanted for size, wanted in zip(current, op.shape, strict=True)]
    return emitter.node("Expand", [x.name, emitter.sizes(shape)])


@exports(ops.Slice)
def slice_(emitter: Emitter, op: ops.Slice, x: FileTensor) -> Names:
    """Write a Slice. Up to the end of an axis of unknown size, or so far before it, it needs no size computed."""
    starts, ends = [], []
    for axis, start, end, step in zip(op.axes, op.starts, op.ends, op.steps, strict=True):
        size = x.type.shape[axis]
        bounds = _rising_bounds(start, end, size) if step > 0 else _falling_bounds(start, end, size)
        starts.append(bounds[0])
        ends.append(bounds[1])
    axes, steps = emitter.constant(op.axes, "axes"), emitter.constant(op.steps, "steps")
    return emitter.node("Slice", [x.name, emitter.sizes(starts), emitter.sizes(ends), axes, steps])


def _rising_bounds(start: Dim, end: Dim, size: Dim) -> tuple[Dim, Dim]:
    """Return bounds of a positive step, those of an unknown size counted from the end if they are so far before it."""
    if end == size and isinstance(end, Sym):
        end = PAST_THE_END
    low, high = (
        bound - size if isinstance(bound, Sym) and _is_negative(bound - size) else bound for bound in (start, end)
    )
    return low, high


def _is_negative(dim: Dim) -> bool:
    return isinstance(dim, int) and dim < 0


def _falling_bounds(start: Dim, end: Dim, size: Dim) -> tuple[Dim, Dim]:
    """Return bounds of a negative step, counted from the end: to ONNX -1 is the last element."""
    below = PAST_THE_FRONT if end == -1 else end if isinstance(end, int) else end - size
    return start if isinstance(start, int) else start - size, below


@exports(ops.Split)
def split(emitter: Emitter, op: ops.Split, x: FileTensor) -> Names:
    return emitter.nodes("Split", [x.name, emitter.sizes(op.sizes)], len(op.sizes), axis=op.axis)


@exports(ops.Pad)
def pad(emitter: Emitter, op: ops.Pad, x: FileTensor, value: FileTensor | None = None) -> Names:
    pads = emitter.sizes((*op.before, *op.after))
    return emitter.node("Pad", [x.name, pads, *names_of([value])], mode=op.mode)


@exports(ops.Tile)
def tile(emitter: Emitter, op: ops.Tile, x: FileTensor) -> Names:
    return emitter.node("Tile", [x.name, emitter.sizes(op.repeats)])


@exports(ops.OneHot)
def one_hot(emitter: Emitter, op: ops.OneHot, indices: FileTensor, values: FileTensor) -> Names:
    """Write a OneHot. onnxruntime has kernels for float32 and int64; other values are looked up by place."""
    is_direct = values.type.dtype in (DType.FLOAT32, DType.INT64)
    choices = values.name if is_direct else emitter.constant([0, 1], "choices")
    places = emitter.node("OneHot", [indices.name, emitter.size(op.depth), choices], axis=op.axis)
    return places if is_direct else emitter.node("Gather", [values.name, places])


@exports(ops.Range)
def range_(emitter: Emitter, op: ops.Range) -> Names:
    return emitter.node("Range", [emitter.scalar(bound) for bound in (op.start, op.stop, op.step)])


@exports(ops.Size)
def size(emitter: Emitter, op: ops.Size) -> Names:
    return emitter.scalar(op.dim)


@exports(ops.TopK)
def top_k(emitter: Emitter, op: ops.TopK, x: FileTensor) -> Names:
    inputs = [x.name, emitter.size(op.k)]
    return emitter.nodes("TopK", inputs, 2, axis=op.axis, largest=op.largest, sorted=op.sorted)


@exports(ops.CumSum)
def cum_sum(emitter: Emitter, op: ops.CumSum, x: FileTensor) -> Names:
    axis = emitter.constant(op.axis, "axis")
    return emitter.node("CumSum", [x.name, axis], exclusive=op.exclusive, reverse=op.reverse)


@exports(ops.Trilu)
def trilu(emitter: Emitter, op: ops.Trilu, x: FileTensor) -> Names:
    if emitter.opset >= 14:
        return emitter.node("Trilu", [x.name, emitter.constant(op.k, "k")], upper=op.upper)
    rows, columns = (
        emitter.node("Range", [emitter.scalar(bound) for bound in (0, dim, 1)]) for dim in x.type.shape[-2:]
    )
    column_of_rows = emitter.node("Unsqueeze", [rows, emitter.constant([1], "axes")])
    first = emitter.node("Add", [column_of_rows, emitter.constant(op.k, "k")])
    kept = emitter.node("GreaterOrEqual" if op.upper else "LessOrEqual", [columns, first])
    return emitter.node("Where", [kept, x.name, scalar_like(emitter, 0, x)])
