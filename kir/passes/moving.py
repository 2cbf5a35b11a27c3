"""Moving a Reshape past elementwise operators: see `move_reshapes`.

A mover is an operator that rearranges elements and computes nothing. For an elementwise f, f(move(x)) is move(f(x)) bit
for bit, as long as the other operands of f move along:

| side operand                                        | becomes                  |
|-----------------------------------------------------|--------------------------|
| one that has none of the axes that the mover moves  | itself                   |
| a constant                                          | moved back, at export    |
| anything else                                       | the mover cannot pass    |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Op
from kir.ir.structural import Constant
from kir.ops.elementwise import ELEMENTWISE
from kir.passes.rewrite import add_for, given

# From (graph, mover, side operand) to a function that makes the operand without the mover; None if the mover stays.
Adapt = Callable[[Graph, Node, Value], Callable[[], Value] | None]


# A mover passes at most so many elementwise operators. Without a limit, looking up from each of many movers that have
# no partner would be quadratic; a layer's formula has ten operators.
MAX_RUN = 32


@dataclass(frozen=True, slots=True)
class Passage:
    """An elementwise node that a mover can pass, with functions that make its side operands, by slot."""

    node: Node
    sides: Mapping[int, Callable[[], Value]]

    def rebuild(self, graph: Graph, moved: Mapping[int, Value]) -> Value:
        """Add the same operator on other values in the slots of moved ones."""
        inputs: list[Value | None] = list(self.node.inputs)
        for slot, build in self.sides.items():
            inputs[slot] = build()
        for slot, value in moved.items():
            inputs[slot] = value
        return add_for(graph, self.node, self.node.op, *inputs)


def pull_up(graph: Graph, node: Node, kind: type[Op], adapt: Adapt) -> tuple[Node, Value] | None:
    """Find the mover above `node`, past elementwise operators; return it, and what `node` would read without it.

    Every value on the way is read once, so that nothing is computed twice. None if there is no such mover.
    """
    # 1. Climb to the mover, noting each node and the slot that leads on.
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
    # 2. Find out what the side operands become, which depends on the mover.
    passages = [(find_passage(graph, above, passed, (slot,), adapt), slot) for passed, slot in path]
    # 3. Rebuild the nodes below it.
    value = given(above.inputs[0])
    if any(passage is None for passage, _ in passages):
        return None
    for passage, slot in reversed(passages):
        assert passage is not None
        value = passage.rebuild(graph, {slot: value})
    return above, value


def full_slots(node: Node) -> list[int]:
    """Return the input slots whose value has the shape of the result and is no constant."""
    shape = node.output.type.shape
    return [
        slot
        for slot, value in enumerate(node.inputs)
        if value is not None and value.type.shape == shape and not isinstance(value.node.op, Constant)
    ]


def find_passage(graph: Graph, mover: Node, node: Node, moved: tuple[int, ...], adapt: Adapt) -> Passage | None:
    """Return how a mover passes a node that reads moved values in these slots; None if a side operand stops it."""
    sides = {}
    for slot, value in enumerate(node.inputs):
        if value is not None and slot not in moved:
            build = adapt(graph, mover, value)
            if build is None:
                return None
            sides[slot] = build
    return Passage(node, sides)


def join(graph: Graph, node: Node, kind: type[Op], adapt: Adapt) -> Value | None:
    """Rewrite f(move(a), move(b)) → move(f(a, b)), if the movers are equal and nothing else reads them."""
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
