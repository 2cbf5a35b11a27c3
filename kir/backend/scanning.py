"""One step traced once and run for every slice of sequences, however many these are: ONNX's Scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from kir.errors import UnsupportedError
from kir.ir.body import Body
from kir.ir.graph import Graph, Node, Value
from kir.ir.structural import Constant, Input, Output
from kir.ir.trace import Tensor, Tracer, emit
from kir.ir.types import TensorType
from kir.ops.control import Scan
from kir.ops.shape import Expand

# From the states and a slice of each sequence, to the next states and what is put together.
ScannedStep: TypeAlias = Callable[[list[Tensor], list[Tensor]], tuple[Sequence[Tensor], Sequence[Tensor]]]


def scan_steps(
    step: ScannedStep,
    states: Sequence[Tensor],
    sequences: Sequence[Tensor],
    axis: int = 0,
    reversed: Sequence[bool] | None = None,
    output_reversed: bool = False,
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the last states, and the outputs of all steps along `axis`.

    Args:
        step: traced in the graph of the sequences, where it may read any value.
        states: before the first step; a size of 1 broadcasts to that of the states after it.
        sequences: cut along `axis`, each as `reversed` says. There is at least one.

    Raises:
        UnsupportedError: a state has another type after each step.
    """
    tracer = sequences[0].tracer
    assert tracer.graph is not None
    slices = [_without_axis(x.type, axis) for x in sequences]
    types = [state.type for state in states]
    # The types of the states are those after a step, of which a second one must not change them.
    for _ in range(2):
        trace = _Trace(tracer, [*types, *slices])
        given = trace.placeholders
        new, outputs = step(given[: len(states)], given[len(states) :])
        body, captured = trace.finish([*new, *outputs])
        found = [state.type for state in new]
        if found == types:
            break
        types = found
    else:
        raise UnsupportedError(
            f"a state of {tracer.origin or 'a loop'} is {types[0]} before a step and another type after it; "
            "fix the number of steps in the Input's shape or with --input-shapes"
        )
    first = [_spread(state, type) for state, type in zip(states, types, strict=True)]
    time = sequences[0].shape[axis]
    stacked = [y.type.with_shape((*y.shape[:axis], time, *y.shape[axis:])) for y in outputs]
    count = len(outputs)
    op = Scan(
        (*types, *stacked),
        body,
        len(types),
        (axis,) * len(sequences),
        tuple(reversed or [False] * len(sequences)),
        (axis,) * count,
        (output_reversed,) * count,
    )
    results = list(tracer.add(op, *first, *sequences, *[Tensor(value, tracer) for value in captured]))
    return results[: len(types)], results[len(types) :]


def _without_axis(type: TensorType, axis: int) -> TensorType:
    return type.with_shape((*type.shape[:axis], *type.shape[axis + 1 :]))


def _spread(state: Tensor, type: TensorType) -> Tensor:
    """Return a first state with the sizes of the states after it."""
    if state.type.dtype is not type.dtype:
        raise UnsupportedError(
            f"a state of {state.tracer.origin or 'a loop'} is {state.type} before the first step and {type} after it; "
            "give it one element type"
        )
    return state if state.type == type else emit(Expand(type.shape), state)


class _Trace:
    """What is added to a graph from now on: the nodes that depend on the placeholders become a body."""

    def __init__(self, tracer: Tracer, types: Sequence[TensorType]) -> None:
        assert tracer.graph is not None
        self.graph: Graph = tracer.graph
        self.start = self.graph.get_node_count()
        labels = [f"step {self.start} {number}" for number in range(len(types))]
        self.placeholders = [tracer.add(Input(label, type))[0] for label, type in zip(labels, types, strict=True)]

    def finish(self, results: Sequence[Tensor]) -> tuple[Body, list[Value]]:
        """Return the body, and what it reads of the graph around; its nodes leave that graph."""
        added = self.graph.nodes()[self.start :]
        roots = [placeholder.value.node for placeholder in self.placeholders]
        inner: dict[Node, None] = dict.fromkeys(roots)
        for node in added:
            if any(value is not None and value.node in inner for value in node.inputs):
                inner[node] = None
        body, captured = _copy(inner, roots, [result.value for result in results])
        for node in reversed(added):
            if node in inner:
                self.graph.remove(node)
        return Body(body), captured


def _copy(inner: dict[Node, None], roots: Sequence[Node], results: Sequence[Value]) -> tuple[Graph, list[Value]]:
    """Return a graph of the nodes that compute the results, and the values that are its last inputs."""
    body = Graph("body")
    copies: dict[Value, Value] = {}
    captured: list[Value] = []
    for number, root in enumerate(roots):
        copies[root.output] = body.add(Input(f"x_{number}", root.output.type)).output

    def find(value: Value) -> Value:
        if value not in copies:
            is_constant = isinstance(value.node.op, Constant)
            op = value.node.op if is_constant else Input(f"captured_{len(captured)}", value.type)
            captured.extend([] if is_constant else [value])
            copies[value] = body.add(op, origin=value.node.origin).output
        return copies[value]

    live = _reaching(inner, [value.node for value in results])
    for node in inner:
        if node in live and node not in roots:
            read = [None if value is None else find(value) for value in node.inputs]
            new = body.add(node.op, *read, origin=node.origin)
            copies |= dict(zip(node.outputs, new.outputs, strict=True))
    for number, value in enumerate(results):
        body.add(Output(f"y_{number}"), find(value))
    return body, captured


def _reaching(inner: dict[Node, None], results: Sequence[Node]) -> set[Node]:
    live: set[Node] = set()
    pending = list(results)
    while pending:
        node = pending.pop()
        if node in inner and node not in live:
            live.add(node)
            pending += [value.node for value in node.inputs if value is not None]
    return live
