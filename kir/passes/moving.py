"""What moving a Reshape takes: see `move_reshapes`.

A mover is an operator that reorders elements and computes nothing. An elementwise operator does not care where its
elements stand, so f(move(x)) is move(f(x)) bit for bit, as long as the other operands of f move along:

    side operand                                     what becomes of it
    the mover changes none of the axes it has        it stays as it is
    a constant                                       it is moved back, at export
    anything else                                    the mover cannot pass
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Op
from kir.ir.structural import Constant
from kir.ops.elementwise import ELEMENTWISE
from kir.passes.rewrite import add_for, given

# Given (graph, mover, side operand): what to read instead when the mover is gone, or None if it cannot go.
Adapt = Callable[[Graph, Node, Value], Callable[[], Value] | None]


# How many elementwise operators a mover passes at most. Looking further up from each of many movers, with no partner to
# be found, would be quadratic; a layer's formula has ten operators.
MAX_RUN = 32


@dataclass(frozen=True, slots=True)
class Passage:
    """An elementwise node that a mover can pass: where it reads the moved value, and how to build the rest."""

    node: Node
    sides: Mapping[int, Callable[[], Value]]

    def rebuild(self, graph: Graph, moved: Mapping[int, Value]) -> Value:
        """The same operator on the values in front of the movers."""
        inputs: list[Value | None] = list(self.node.inputs)
        for slot, build in self.sides.items():
            inputs[slot] = build()
        for slot, value in moved.items():
            inputs[slot] = value
        return add_for(graph, self.node, self.node.op, *inputs)


def pull_up(graph: Graph, node: Node, kind: type[Op], adapt: Adapt) -> tuple[Node, Value] | None:
    """The mover above `node`, with elementwise operators between, and the value there would be without that mover.

    Every value on the way is read once, so that nothing is computed twice. None if there is no such mover.
    """
    # 1. Up to the mover: which nodes, and through which of their slots.
    path: list[tuple[Node, int]] = []
    above = given(node.inputs[0]).node
    while len(path) < MAX_RUN and above.op.__class__ in ELEMENTWISE and graph.is_read_once(above):
        slots = full_slots(above)
        if len(slots) != 1:
            return None
        path.append((above, slots[0]))
        above = given(above.inputs[slots[0]]).node
    if not path or not isinstance(above.op, kind) or not graph.is_read_once(above):
        return None
    # 2. Only now that there is one can be said what the side operands become.
    passages = [(find_passage(graph, above, passed, (slot,), adapt), slot) for passed, slot in path]
    # 3. Down again, without it.
    value = given(above.inputs[0])
    if any(passage is None for passage, _ in passages):
        return None
    for passage, slot in reversed(passages):
        assert passage is not None
        value = passage.rebuild(graph, {slot: value})
    return above, value


def full_slots(node: Node) -> list[int]:
    """The input slots whose value has every axis of the result and is no constant."""
    shape = node.output.type.shape
    return [
        slot
        for slot, value in enumerate(node.inputs)
        if value is not None and value.type.shape == shape and not isinstance(value.node.op, Constant)
    ]


def find_passage(graph: Graph, mover: Node, node: Node, moved: tuple[int, ...], adapt: Adapt) -> Passage | None:
    """How `mover` passes `node`, which reads moved values in the slots `moved`; None if a side operand forbids it."""
    sides = {}
    for slot, value in enumerate(node.inputs):
        if value is not None and slot not in moved:
            build = adapt(graph, mover, value)
            if build is None:
                return None
            sides[slot] = build
    return Passage(node, sides)


def join(graph: Graph, node: Node, kind: type[Op], adapt: Adapt) -> Value | None:
    """f(move(a), move(b)) → move(f(a, b)), when nothing else reads the two, which move the same way."""
    slots = full_slots(node)
    movers = [given(node.inputs[slot]).node for slot in slots]
    first = movers[0] if movers else None
    if first is None or len(movers) < 2 or not isinstance(first.op, kind):
        return None
    before = given(first.inputs[0]).type.shape
    for mover in movers:
        same = mover.op == first.op and given(mover.inputs[0]).type.shape == before
        if not same or not graph.is_read_once(mover):
            return None
    passage = find_passage(graph, first, node, tuple(slots), adapt)
    if passage is None:
        return None
    joined = passage.rebuild(graph, {slot: given(mover.inputs[0]) for slot, mover in zip(slots, movers, strict=True)})
    return add_for(graph, node, first.op, joined)
