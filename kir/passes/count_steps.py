"""Loops whose number of steps can be counted in advance."""

from __future__ import annotations

import math

import numpy as np

from kir.ir.graph import Graph, Node, Value
from kir.ir.interpreter import Plan
from kir.ir.op import Array
from kir.ir.structural import Constant, Input, Output
from kir.ir.types import DType
from kir.ops.control import Loop
from kir.passes.control_edit import Editor, is_true, read_value
from kir.passes.rewrite import (
    Replacement,
    add_constant,
    exact_pass,
    given,
    op_of,
    order_without_dead_nodes,
    rewrite,
    rule,
)

# A condition is computed so often at most; Loops of more steps are left to count for themselves.
MAX_STEPS = 1000
MAX_ELEMENTS = 64  # of each value on which it depends: a count has one


@exact_pass
def count_steps(graph: Graph) -> int:
    """Loop(while i < 10) → Loop(10 times)

    The condition may depend on constants alone: on states that begin as constants, and on the number of the step. It
    is computed step by step, at most 1000 times. It works on integers and booleans, which no implementation rounds.

    Exact: the Loop runs as often.
    """
    return rewrite(graph, (count,))


@rule(Loop)
def count(graph: Graph, node: Node) -> Replacement:
    trips, condition, *_ = node.inputs
    inner = op_of(node, Loop).body.graph
    if is_true(read_value(inner.outputs[0])) or not (condition is None or is_true(condition)):
        return None
    if trips is not None and not isinstance(trips.node.op, Constant):
        return None
    most = MAX_STEPS if trips is None else min(int(trips.node.op.eval().item()), MAX_STEPS)
    states = _deciding_states(node)
    steps = None if states is None else _count(node, states, most)
    if steps is None or (steps == MAX_STEPS):
        return None
    editor = Editor(node)
    (body,) = editor.graphs
    following = body.outputs[0]
    body.set_input(following, 0, add_constant(body, following, np.asarray(True)))
    order_without_dead_nodes(body)
    editor.own[:2] = [add_constant(graph, node, np.asarray(steps, np.int64)), None]
    return editor.finish(graph)


def _deciding_states(node: Node) -> list[int] | None:
    """Return the states on which the condition of a Loop depends; None if it depends on more than constants."""
    op = op_of(node, Loop)
    inner = op.body.graph
    inputs = {one: slot for slot, one in enumerate(inner.inputs)}
    pending = [inner.outputs[0]]
    seen = set(pending)
    states: list[int] = []
    while pending:
        current = pending.pop()
        if not _is_countable(current):
            return None
        following: list[Node] = [given(value).node for value in current.inputs]
        slot = inputs.get(current, 0)
        if slot >= 2:
            state = slot - 2
            if state >= op.carried or not isinstance(given(node.inputs[slot]).node.op, Constant):
                return None
            states.append(state)
            following.append(inner.outputs[1 + state])
        pending += [one for one in dict.fromkeys(following) if one not in seen]
        seen.update(following)
    return sorted(states)


def _is_countable(node: Node) -> bool:
    """Return whether every right implementation gives the same few numbers."""
    is_plain = node.op.deterministic or isinstance(node.op, Input | Output)
    values: list[Value | None] = [*node.inputs, *node.outputs]
    return is_plain and not node.op.bodies() and not node.op.symbols() and all(map(_is_small, values))


def _is_small(value: Value | None) -> bool:
    if value is None or not (value.type.dtype.is_integer or value.type.dtype is DType.BOOL):
        return False
    sizes = [dim for dim in value.type.shape if isinstance(dim, int)]
    return len(sizes) == value.type.rank and math.prod(sizes) <= MAX_ELEMENTS


def _count(node: Node, states: list[int], most: int) -> int | None:
    """Return how many steps a Loop runs until its condition fails, or `most`."""
    op = op_of(node, Loop)
    inner = op.body.graph.copy()
    labels = [op_of(one, Input).label for one in inner.inputs]
    kept = {0, *(1 + state for state in states)}
    for slot, output in enumerate(inner.outputs):
        if slot not in kept:
            inner.remove(output)
    names = [op_of(one, Output).label for one in inner.outputs]
    order_without_dead_nodes(inner)
    for slot, one in enumerate(inner.inputs):
        if slot >= 2 and slot - 2 not in states:
            inner.remove(one)
    plan = Plan(inner)
    current: dict[str, Array] = {labels[2 + state]: given(node.inputs[2 + state]).node.op.eval() for state in states}
    for step in range(most):
        fed = {labels[0]: np.asarray(step, np.int64), labels[1]: np.asarray(True), **current}
        results = plan.run(fed)
        current = {labels[2 + state]: results[name] for state, name in zip(states, names[1:], strict=True)}
        if not results[names[0]].item():
            return step + 1
    return most
