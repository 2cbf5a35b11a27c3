"""Slices of an axis that the same operators work on one by one, and that are joined again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Op
from kir.ir.structural import Constant
from kir.ops.elementwise import ELEMENTWISE, Add
from kir.ops.linear import Dense
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.reduce import ReduceSum
from kir.ops.shape import Concat, Gather, Reshape, Slice, Transpose
from kir.passes.rewrite import add_for, constant_array, given, op_of, rebuild, rewrite, rounding_pass, rule

# A layer applies some operators at each step; see also `kir.passes.move_reshapes.MAX_RUN`.
MAX_STEPS = 32

# Operators that work the same with one more axis before the others.
STEPWISE = ELEMENTWISE | {Dense, Softmax, LogSoftmax}


@rounding_pass(tolerance=64)
def join_slices(graph: Graph) -> int:
    """Concat(f(x[0]), f(x[1]), f(x[2])) → f(x)

    All slices of one element of an axis are joined, in order. Each slice has lost that axis, and may have it back.

    1. Without f: x, with that axis moved before the one that is joined. If the slices do not have it back, the two axes
       become one. In the reverse order, along their own axis: x backwards.
    2. f is a run of elementwise operators, Dense, Softmax and LogSoftmax, the same with the same weights for each
       slice. The axis is the first one, and the slices have it back.
    3. The slices are the two of an axis of size 2, and added instead of joined: ReduceSum.

    Rounding: products of matrices round differently with the number of rows.
    """
    return rewrite(graph, (join_parts, join_functions, sum_parts))


# 1. Slices


@rule(Concat)
def join_parts(graph: Graph, node: Node) -> Value | None:
    values = [given(value) for value in node.inputs]
    found = _find_axis(values)
    if found is None:
        return _join_backwards(graph, node, values)
    source, axis = found
    joined = op_of(node, Concat).axis
    rank = source.type.rank
    others = [i for i in range(rank) if i != axis]
    rest = tuple(source.type.shape[i] for i in others)
    part = values[0].type.shape
    # Without the axis, or with it put back as one of size 1 where it is joined.
    if part not in (rest, (*rest[:joined], 1, *rest[joined:])):
        return None
    order = (*others[:joined], axis, *others[joined:])
    moved = source if order == tuple(range(rank)) else add_for(graph, node, Transpose(order), source)
    return moved if moved.type == node.output.type else add_for(graph, node, Reshape(node.output.type.shape), moved)


def _join_backwards(graph: Graph, node: Node, parts: Sequence[Value]) -> Value | None:
    """Join all slices in the reverse order, where they have their axis of size 1: x backwards."""
    found = _find_axis(parts[::-1])
    if found is None:
        return None
    source, axis = found
    if op_of(node, Concat).axis != axis or source.type != node.output.type:
        return None
    return add_for(graph, node, Slice((axis,), (len(parts) - 1,), (-1,), (-1,)), source)


def _find_axis(parts: Sequence[Value]) -> tuple[Value, int] | None:
    """Return the value and its axis of which the parts are all the slices, in order; None if there is none."""
    first = _find_slice(parts[0])
    if first is None or len(parts) < 2:
        return None
    source, axis, _ = first
    if source.type.shape[axis] != len(parts):
        return None
    return (source, axis) if all(_find_slice(part) == (source, axis, i) for i, part in enumerate(parts)) else None


def _find_slice(value: Value) -> tuple[Value, int, int] | None:
    """Return x, the axis and the index if `value` is x[..., index, ...], without the axis or with one of size 1."""
    node = value.node
    if isinstance(node.op, Reshape):
        node = given(node.inputs[0]).node
    if isinstance(node.op, Gather):
        index = constant_array(node.inputs[1])
        if index is None or index.ndim:
            return None
        source, axis, number = given(node.inputs[0]), node.op.axis, int(index)
        size = source.type.shape[axis]
        if number < 0 and isinstance(size, int):
            number += size
    elif isinstance(node.op, Slice) and len(node.op.axes) == 1 and node.op.steps == (1,):
        source, axis = given(node.inputs[0]), node.op.axes[0]
        start, end = node.op.starts[0], node.op.ends[0]
        if not isinstance(start, int) or end != start + 1:
            return None
        number = start
    else:
        return None
    taken = [size for size in node.output.type.shape if size != 1]
    return (source, axis, number) if taken == [size for size in value.type.shape if size != 1] else None


@rule(Add)
def sum_parts(graph: Graph, node: Node) -> Value | None:
    values = [given(value) for value in node.inputs]
    found = _find_axis(values)
    if found is None:
        return None
    source, axis = found
    shape = node.output.type.shape
    rest = (*source.type.shape[:axis], *source.type.shape[axis + 1 :])
    if values[0].type != values[1].type or shape not in (rest, (*rest[:axis], 1, *rest[axis:])):
        return None
    return add_for(graph, node, ReduceSum((axis,), shape != rest), source)


# 2. Functions of slices


@rule(Concat)
def join_functions(graph: Graph, node: Node) -> Value | None:
    if node.op != Concat(0) or len(node.inputs) < 2:
        return None
    parts = [given(value) for value in node.inputs]
    step = parts[0].type.shape
    if step[0] != 1 or not all(isinstance(part.node.op, Reshape) and part.type.shape == step for part in parts):
        return None
    # 1. Climb from all parts at once, as long as the same operator computes each of them.
    level = [given(part.node.inputs[0]) for part in parts]
    path: list[tuple[Node, int]] = []
    if level[0].type.shape != step[1:]:
        return None
    while (found := _find_axis(level)) is None:
        slot = _find_common_slot(level)
        if slot is None or len(path) == MAX_STEPS:
            return None
        path.append((level[0].node, slot))
        level = [given(value.node.inputs[slot]) for value in level]
    source, axis = found
    if axis != 0 or level[0].type.shape != source.type.shape[1:] or not path:
        return None
    # 2. Rebuild one path for all of them.
    value = rebuild(graph, path, source, _with_leading_axis)
    return value if value.type == node.output.type else None


def _with_leading_axis(op: Op) -> Op:
    return replace(op, axis=op.axis + 1) if isinstance(op, Softmax | LogSoftmax) else op


def _find_common_slot(level: Sequence[Value]) -> int | None:
    """Return the slot through which equal operators read different values; None if they differ in anything else."""
    first = level[0].node
    if type(first.op) not in STEPWISE:
        return None
    slots = range(1) if isinstance(first.op, Dense) else range(len(first.inputs))
    second = level[1].node.inputs
    different = [slot for slot in slots if slot >= len(second) or not _is_same(first.inputs[slot], second[slot])]
    if len(different) != 1 or given(first.inputs[different[0]]).type.rank != level[0].type.rank:
        return None
    for value in level:
        node = value.node
        if node.op != first.op or len(node.inputs) != len(first.inputs) or value.type != level[0].type:
            return None
        sides = (slot for slot in range(len(node.inputs)) if slot != different[0])
        if not all(_is_same(first.inputs[slot], node.inputs[slot]) for slot in sides):
            return None
    return different[0]


def _is_same(a: Value | None, b: Value | None) -> bool:
    """Return whether two values are one, or equal constants."""
    if a is b or a is None or b is None:
        return a is b
    return isinstance(a.node.op, Constant) and isinstance(b.node.op, Constant) and a.node.op.value == b.node.op.value
