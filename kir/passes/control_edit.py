"""Words for rules on If, Loop and Scan: where their parts are, and changes of the graphs inside.

A body is never edited: a rule edits a copy, and makes a new body of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from kir.errors import GraphError
from kir.ir.body import Body
from kir.ir.control import ControlOp
from kir.ir.graph import Graph, Node, Value
from kir.ir.structural import Constant, Input
from kir.ops.control import If, Loop, Scan
from kir.passes.rewrite import constant_array, given, op_of, order_without_dead_nodes

CONTROL = (If, Loop, Scan)


@dataclass(frozen=True)
class Ports:
    """The slots of an operator with graphs inside.

    Attributes:
        states: how many values it carries from step to step; its first outputs are their last ones.
        given: the slot of the first state among the inputs of the operator,
        inside: among the inputs of the body,
        after: among the outputs of the body.
        captured: the slot of the first captured value among the inputs of the operator,
        captured_inside: among the inputs of a body.
    """

    states: int
    given: int
    inside: int
    after: int
    captured: int
    captured_inside: int


def ports(op: ControlOp) -> Ports:
    """Return the slots of an operator."""
    match op:
        case If():
            return Ports(0, 1, 0, 0, 1, 0)
        case Loop():
            return Ports(op.carried, 2, 2, 1, 2 + op.carried, 2 + op.carried)
        case Scan():
            own = op.states + len(op.axes)
            return Ports(op.states, 0, 0, 0, own, own)
    raise GraphError(f"{op.name} has graphs inside that no rule knows")


def control_op(node: Node) -> ControlOp:
    """Return the operator of a node that has graphs inside."""
    assert isinstance(node.op, ControlOp), f"expected graphs inside {node.op.name}"
    return node.op


def read_value(output: Node) -> Value:
    """Return what an Output reads."""
    return given(output.inputs[0])


def is_true(value: Value) -> bool:
    """Return whether a value is a constant that is true."""
    return isinstance(value.node.op, Constant) and bool(value.node.op.value.array.all())


def known_steps(node: Node) -> int | None:
    """Return how often a Loop or a Scan runs, None if that is not known."""
    op = node.op
    if isinstance(op, Scan):
        length = given(node.inputs[op.states]).type.shape[op.axes[0]]
        return length if isinstance(length, int) else None
    trips = constant_array(node.inputs[0])
    return max(int(trips.item()), 0) if trips is not None and always_goes_on(node) else None


def always_goes_on(node: Node) -> bool:
    """Return whether a Loop runs as many steps as its trips say."""
    following = read_value(op_of(node, Loop).body.graph.outputs[0])
    return node.inputs[1] is None and is_true(following)


class Editor:
    """A node with graphs inside that a rule replaces: copies of the graphs, and what the new node reads.

    Attributes:
        graphs: the copies, one for each body.
        own: the inputs of the operator before the captured ones.
        captured: the captured ones.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.op = control_op(node)
        self.graphs = [body.graph.copy() for body in self.op.bodies()]
        at = ports(self.op).captured
        self.own = list(node.inputs[:at])
        self.captured = [given(value) for value in node.inputs[at:]]
        self._values: list[Value | int | None] = [None] * len(node.outputs)  # what stands for outputs that are gone
        self._kept = list(range(len(node.outputs)))  # which outputs the operator still has

    def captured_inputs(self, graph: Graph) -> tuple[Node, ...]:
        """Return the inputs of a body that are captured values."""
        return graph.inputs[ports(self.op).captured_inside :]

    def capture(self, value: Value) -> list[Value]:
        """Capture another value of the graph around; return it in each body."""
        self.captured.append(value)
        return [graph.add(Input(_free_label(graph), value.type)).output for graph in self.graphs]

    def release(self, slots: Collection[int]) -> None:
        """Capture some values no longer, which no body reads any more; slots count captured values."""
        for graph in self.graphs:
            for slot, node in enumerate(self.captured_inputs(graph)):
                if slot in slots:
                    graph.remove(node)
        self.captured = [value for slot, value in enumerate(self.captured) if slot not in slots]

    def drop_outputs(self, dropped: Iterable[tuple[int, Value | int]]) -> None:
        """Leave out outputs, and the states among them, which nothing else may read any more.

        For each another value stands, or another output. Once at most for each editor.
        """
        at = ports(self.op)
        values = dict(dropped)
        for graph in self.graphs:
            inputs, outputs = graph.inputs, graph.outputs
            for index in values:
                graph.remove(outputs[at.after + index])
            order_without_dead_nodes(graph)
            for index in values:
                if index < at.states:
                    graph.remove(inputs[at.inside + index])
        states = [slot - at.given for slot in range(len(self.own))]
        self.own = [
            value
            for state, value in zip(states, self.own, strict=True)
            if not (0 <= state < at.states and state in values)
        ]
        for index, value in values.items():
            self._values[index] = value
        self._kept = [index for index in self._kept if index not in values]
        self.op = _without_outputs(self.op, values)

    def drop_sequences(self, slots: Collection[int]) -> None:
        """Leave out sequences of a Scan that its body does not read."""
        op = self.op
        assert isinstance(op, Scan)
        kept = [slot for slot in range(len(op.axes)) if slot not in slots]
        (graph,) = self.graphs
        for slot, node in enumerate(graph.inputs[op.states : op.states + len(op.axes)]):
            if slot in slots:
                graph.remove(node)
        self.own = [*self.own[: op.states], *(self.own[op.states + slot] for slot in kept)]
        self.op = replace(
            op, axes=tuple(op.axes[slot] for slot in kept), reversed=tuple(op.reversed[slot] for slot in kept)
        )

    def finish(self, graph: Graph) -> tuple[Value, ...]:
        """Add the new node, unless it has no output left, and return what stands for each output of the old one."""
        values: list[Any] = list(self._values)
        if self._kept:
            op = self.op.with_bodies(*map(Body, self.graphs))
            new = graph.add(op, *self.own, *self.captured, origin=self.node.origin)
            for kept, value in zip(self._kept, new.outputs, strict=True):
                values[kept] = value
        return tuple(given(values[value] if isinstance(value, int) else value) for value in values)


def _free_label(graph: Graph) -> str:
    taken = {op_of(node, Input).label for node in graph.inputs}
    return next(label for i in range(len(taken) + 1) if (label := f"captured_{i}") not in taken)


def _without_outputs(op: ControlOp, dropped: Collection[int]) -> ControlOp:
    types = tuple(type for index, type in enumerate(op.types) if index not in dropped)
    if isinstance(op, If):
        return replace(op, types=types)
    states = ports(op).states
    left = states - sum(index < states for index in dropped)
    if isinstance(op, Loop):
        return replace(op, types=types, carried=left)
    assert isinstance(op, Scan)
    kept = [index - states for index in range(states, len(op.types)) if index not in dropped]
    return replace(
        op,
        types=types,
        states=left,
        output_axes=tuple(op.output_axes[index] for index in kept),
        output_reversed=tuple(op.output_reversed[index] for index in kept),
    )
