"""Loops and Scans that run a recurrent cell, as exporters write those that they do not recognise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kir.ir.dims import Dim
from kir.ir.graph import Graph, Node, Value
from kir.ops.control import Loop, Scan
from kir.ops.elementwise import Add, Cast, Less
from kir.ops.shape import Concat, Gather, Reshape, Size, Slice, Transpose
from kir.passes.cell_forms import Step, find_steps
from kir.passes.control_edit import control_op, is_true, ports, read_value
from kir.passes.fuse_steps import add_recurrent
from kir.passes.rewrite import add_for, constant_array, given, is_number, rounding_pass
from kir.passes.unroll import Substitutes

MAX_SIZE_NODES = 16  # how many nodes compute a number of steps


@rounding_pass(tolerance=256)
def fuse_loops(graph: Graph) -> int:
    """Loop(h = f(x[i] W + h R + b)) → RNN(x, W, R, b, h)

    1. A Loop that reads the elements of one sequence in order, as many as it has, and carries the states of an RNN, GRU
       or LSTM. Its condition compares the count with the length of the sequence, or holds.
    2. A Scan of one sequence, in either direction.

    Rounding: the operator adds products and biases in another order.
    """
    if not graph.has_any(Loop, Scan):
        return 0
    substitutes = Substitutes(graph)
    for node in substitutes.order:
        if isinstance(node.op, Loop | Scan):
            values = _fuse(graph, node)
            if values is not None:
                substitutes.propose(node, values)
    return substitutes.apply()


@dataclass
class _Sequence:
    """What a step reads one element of: a value of the graph around, along an axis."""

    value: Value
    axis: int
    is_reversed: bool


def _fuse(graph: Graph, node: Node) -> Sequence[Value] | None:
    """Return what stands for the outputs of a Loop or Scan; None if it is no recurrent layer."""
    op = control_op(node)
    at = ports(op)
    inner = op.bodies()[0].graph
    inputs = [one.output for one in inner.inputs]
    results = [read_value(one) for one in inner.outputs]
    before, after = inputs[at.inside : at.inside + at.states], results[at.after : at.after + at.states]
    for state, value in zip(before, after, strict=True):
        if state.type.rank != 2 or state.type != value.type:
            continue
        for step in find_steps(value, state):
            sequence = None if step.state is not state else _find_sequence(node, step)
            places = None if sequence is None else _find_places(step, before, after)
            if sequence is not None and places is not None and _has_only(graph, node, step, places, results):
                return _build(graph, node, step, sequence, places)
    return None


def _find_places(step: Step, before: Sequence[Value], after: Sequence[Value]) -> list[int] | None:
    """Return which states the step has."""
    places = [after.index(step.output)]
    if step.cell is not None:
        if step.cell not in after or step.cell_before is not before[after.index(step.cell)]:
            return None
        places.append(after.index(step.cell))
    return places


def _has_only(graph: Graph, node: Node, step: Step, places: Sequence[int], results: Sequence[Value]) -> bool:
    """Return whether nothing is read of a Loop but the states of the step and its outputs."""
    at = ports(control_op(node))
    for number, value in enumerate(node.outputs):
        is_stacked = number >= at.states and results[at.after + number] is step.output
        if number not in places and not is_stacked and graph.uses(value):
            return False
    return True


# The sequence


def _find_sequence(node: Node, step: Step) -> _Sequence | None:
    if not isinstance(step.source, Value):
        return None
    op = control_op(node)
    inputs = [one.output for one in op.bodies()[0].graph.inputs]
    if isinstance(op, Scan):
        number = inputs.index(step.source) - op.states if step.source in inputs else -1
        if not 0 <= number < len(op.axes) or op.axes[number] > 1:
            return None
        return _Sequence(given(node.inputs[op.states + number]), op.axes[number], op.reversed[number])
    gather = step.source.node
    if not isinstance(gather.op, Gather) or gather.op.axis > 1:
        return None
    whole, count = map(given, gather.inputs)
    slot = inputs.index(whole) if whole in inputs else 0
    if slot < ports(op).captured_inside or whole.type.rank != 3 or not _counts(node, count):
        return None
    sequence = given(node.inputs[slot])
    is_whole = _find_steps(node) == sequence.type.shape[gather.op.axis]
    return _Sequence(sequence, gather.op.axis, False) if is_whole else None


def _counts(node: Node, value: Value) -> bool:
    """Return whether a value inside of a Loop is the number of the step."""
    op = control_op(node)
    inner = op.bodies()[0].graph
    inputs = [one.output for one in inner.inputs]
    while isinstance(value.node.op, Cast | Reshape) and value.type.rank == 0:
        value = given(value.node.inputs[0])
    if value is inputs[0]:
        return True
    slot = inputs.index(value) if value in inputs else 0
    if not 2 <= slot < ports(op).captured_inside or not is_number(node.inputs[slot], 0):
        return False
    return _is_next(read_value(inner.outputs[slot - 1]), value)


def _is_next(value: Value, count: Value) -> bool:
    if not isinstance(value.node.op, Add):
        return False
    a, b = map(given, value.node.inputs)
    return (a is count and is_number(b, 1)) or (b is count and is_number(a, 1))


def _find_steps(node: Node) -> Dim | None:
    """Return how many steps a Loop runs, as a size; None if that is not known."""
    trips, condition = node.inputs[:2]
    inner = control_op(node).bodies()[0].graph
    following = read_value(inner.outputs[0])
    if is_true(following) or following is inner.inputs[1].output:
        return _single(trips) if condition is None or is_true(condition) else None
    if trips is not None or not isinstance(following.node.op, Less):
        return None
    # The condition says whether there is one more step, of the number of the step to come.
    count, limit = map(given, following.node.inputs)
    while isinstance(count.node.op, Cast):
        count = given(count.node.inputs[0])
    if not isinstance(count.node.op, Add):
        return None
    if not any(_counts(node, given(x)) and _is_next(count, given(x)) for x in count.node.inputs):
        return None
    steps = _single(_outside(node, limit))
    begins = condition is None or is_true(condition)
    if not begins and condition is not None and isinstance(condition.node.op, Less):
        first, same = map(given, condition.node.inputs)
        begins = is_number(first, 0) and _single(same) == steps
    return steps if begins else None


def _outside(node: Node, value: Value) -> Value | None:
    """Return what a captured value is outside; a constant inside is itself."""
    if constant_array(value) is not None:
        return value
    inputs = [one.output for one in control_op(node).bodies()[0].graph.inputs]
    slot = inputs.index(value) if value in inputs else 0
    return given(node.inputs[slot]) if slot >= ports(control_op(node)).captured_inside else None


def _single(value: Value | None) -> Dim | None:
    found = None if value is None else _find_sizes(value, MAX_SIZE_NODES)
    return found[0] if found is not None and len(found) == 1 else None


def _find_sizes(value: Value, depth: int) -> list[Dim] | None:
    """Return the elements of a value as sizes; None if it is computed from more than sizes."""
    array, op = constant_array(value), value.node.op
    if depth == 0:
        return None
    if array is not None:
        numbers = array.reshape(-1)[:MAX_SIZE_NODES].tolist()
        return [int(number) for number in numbers] if all(number == int(number) for number in numbers) else None
    if isinstance(op, Size):
        return [op.dim]
    if not isinstance(op, Reshape | Cast | Concat | Gather | Slice):
        return None
    parts = [_find_sizes(given(x), depth - 1) for x in value.node.inputs[: None if isinstance(op, Concat) else 1]]
    sizes = [size for part in parts if part is not None for size in part]
    if None in parts or isinstance(op, Reshape | Cast | Concat):
        return None if None in parts else sizes
    if isinstance(op, Gather):
        index = constant_array(value.node.inputs[1])
        is_one = index is not None and index.size == 1 and given(value.node.inputs[0]).type.rank == 1
        return [sizes[int(index.item())]] if is_one and index is not None else None
    start, end = op.starts[0], op.ends[0]
    is_plain = isinstance(start, int) and isinstance(end, int) and op.steps == (1,) and 0 <= start < end
    return sizes[start:end] if is_plain and isinstance(start, int) and isinstance(end, int) else None


# The operator


def _build(graph: Graph, node: Node, step: Step, sequence: _Sequence, places: Sequence[int]) -> list[Value]:
    op = control_op(node)
    at = ports(op)
    x = sequence.value if sequence.axis == 0 else add_for(graph, node, Transpose((1, 0, 2)), sequence.value)
    first = [given(node.inputs[at.given + place]) for place in places]
    states = [add_for(graph, node, Reshape((1, *state.type.shape)), state) for state in first]
    results = add_recurrent(graph, node, step, x, "reverse" if sequence.is_reversed else "forward", states)
    values = [given(node.inputs[at.given + number]) for number in range(at.states)]
    for place, result in zip(places, results[1:], strict=True):
        values[place] = add_for(graph, node, Reshape(first[places.index(place)].type.shape), result)
    for number in range(at.states, len(node.outputs)):
        values.append(_stack(graph, node, number - at.states, results[0], sequence.is_reversed))
    return values


def _stack(graph: Graph, node: Node, number: int, y: Value, is_reversed: bool) -> Value:
    """Return the outputs of all steps as a Loop or Scan puts them together."""
    time, _, batch, units = y.type.shape
    value = add_for(graph, node, Reshape((time, batch, units)), y)
    op = control_op(node)
    if not isinstance(op, Scan):
        return value
    if op.output_reversed[number] != is_reversed:
        value = add_for(graph, node, Slice((0,), (time - 1,), (-1,), (-1,)), value)
    axis = op.output_axes[number]
    orders = {1: (1, 0, 2), 2: (1, 2, 0)}
    return add_for(graph, node, Transpose(orders[axis]), value) if axis else value
