"""Needless states and steps around recurrent operators."""

from __future__ import annotations

import numpy as np

from kir.ir.dims import Dim
from kir.ir.graph import Graph, Node, Value
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.shape import Concat, Expand, Gather, Reshape, Slice, Transpose
from kir.passes.fold_transposes import permutation_of
from kir.passes.rewrite import (
    Replacement,
    add_for,
    constant_array,
    exact_pass,
    given,
    op_of,
    producer,
    rewrite,
    rule,
    uniform,
)

LENS_SLOT = 4
FIRST_STATE = 5

# A state of zeros is a number that was expanded, joined and transposed: a handful of nodes.
MAX_PRODUCERS = 16


@exact_pass
def simplify_recurrent(graph: Graph) -> int:
    """LSTM(x, initial_h=0, initial_c=0) → LSTM(x)

    1. An initial state of zeros: absent, which means zeros.
    2. A Slice or Gather of the step of y that was computed last: y_h. It is the last step in time for a forward
       direction, and the first for a reverse one. The operator has no sequence_lens. Between the two, the axis of
       directions may be removed, and batch and time may be swapped.
    3. The same of one of two directions: that part of y_h.

    Exact: the final state is the output of the step that is computed last.
    """
    return rewrite(graph, (drop_zero_states, read_state_for_step))


# 1. States


@rule(RNN, GRU, LSTM)
def drop_zero_states(graph: Graph, node: Node) -> Replacement:
    states = node.inputs[FIRST_STATE:]
    kept = [None if state is None or _is_zero(state) else state for state in states]
    if all(old is new for old, new in zip(states, kept, strict=True)):
        return None
    inputs = [*node.inputs[:FIRST_STATE], *kept]
    while inputs[-1] is None:
        inputs.pop()
    return graph.add(node.op, *inputs, origin=node.origin).outputs


def _is_zero(value: Value) -> bool:
    """Return whether a value is 0.0 everywhere: a constant that may be expanded, reshaped, transposed and joined."""
    pending, seen = [value], 0
    while pending:
        value = pending.pop()
        seen += 1
        if seen > MAX_PRODUCERS:
            return False
        if isinstance(value.node.op, Reshape | Transpose | Expand | Concat):
            pending += map(given, value.node.inputs)
            continue
        number = uniform(value)
        array = constant_array(value)
        if number is None or array is None or number != 0 or np.signbit(number):
            return False
    return True


# 2. and 3. Steps


@rule(Slice, Gather)
def read_state_for_step(graph: Graph, node: Node) -> Value | None:
    found = _find_step(node)
    # 1. Pass a swap of batch and time, and a Reshape that removes the axis of directions. Above, time comes first.
    turned = producer(node, Transpose)
    axis = 0
    value = given(node.inputs[0])
    if turned is not None:
        order = list(permutation_of(turned))
        axis = order.index(0)
        value = given(turned.inputs[0])
        if sorted(order, key=lambda i: i == 0)[:-1] != list(range(1, value.type.rank)):
            return None
    squeezed = value.node if isinstance(value.node.op, Reshape) else None
    source = given(squeezed.inputs[0]) if squeezed else value
    merged = source.node
    if merged.op == Transpose((0, 2, 1, 3)) and source.type.shape[2] == 1:
        source = given(merged.inputs[0])  # the axis of directions was to be merged with that of units
    # 2. Find out which direction is read.
    direction: int | None = None
    chosen = source.node if isinstance(source.node.op, Slice) else None
    if chosen is not None and squeezed is not None:
        part = _find_step(chosen)
        if part is None or part[0] != 1 or not isinstance(part[1], int):
            return None
        direction, source = part[1], given(chosen.inputs[0])
    recurrent = source.node
    if found is None or found[0] != axis or not isinstance(recurrent.op, RNN | GRU | LSTM) or source.index != 0:
        return None
    time, count, batch, units = source.type.shape
    if value.type.shape != (time, batch, units) or (direction is None) != (count == 1):
        return None
    if len(recurrent.inputs) > LENS_SLOT and recurrent.inputs[LENS_SLOT] is not None:
        return None
    backwards = recurrent.op.direction == "reverse" or direction == 1
    if time == 0 or found[1] != (0 if backwards else time - 1):
        return None
    # 3. Read the state, or that direction's part of it.
    state = recurrent.outputs[1]
    if direction is not None:
        state = add_for(graph, node, Slice((0,), (direction,), (direction + 1,), (1,)), state)
    return add_for(graph, node, Reshape(node.output.type.shape), state)


def _find_step(node: Node) -> tuple[int, Dim] | None:
    """Return the axis and the index, counted from the front, of a Slice or Gather of one element of an axis."""
    if isinstance(node.op, Slice):
        axes, starts, ends, steps = node.op.axes, node.op.starts, node.op.ends, node.op.steps
        is_one = len(axes) == 1 and steps == (1,) and ends[0] - starts[0] == 1
        return (axes[0], starts[0]) if is_one else None
    index = constant_array(node.inputs[1]) if isinstance(node.op, Gather) else None
    if index is None or index.ndim > 0:
        return None
    axis = op_of(node, Gather).axis
    size = given(node.inputs[0]).type.shape[axis]
    return axis, int(index) if index >= 0 else size + int(index)
