"""The steps of a Loop or a Scan one after the other, and results that stand for an operator with graphs inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kir.errors import ShapeError
from kir.ir.dims import Dim, substitute
from kir.ir.graph import Graph, Node, Value
from kir.ir.inline import first_places, inline, match_types, refine, type_names
from kir.ir.types import TensorType
from kir.ops.control import Loop, Scan
from kir.ops.shape import Concat, Expand, Gather, Reshape
from kir.passes.control_edit import control_op, ports
from kir.passes.rewrite import add_constant, add_for, given, op_of, order_without_dead_nodes


def unroll(graph: Graph, node: Node, steps: int) -> list[Value]:
    """Add the steps of a Loop or a Scan, and return what stands for its outputs.

    Raises:
        ShapeError: an operator cannot work with the sizes of one of the steps.
    """
    op = control_op(node)
    at = ports(op)
    inner = op.bodies()[0].graph
    states = [given(value) for value in node.inputs[at.given : at.given + at.states]]
    captured = [given(value) for value in node.inputs[at.captured :]]
    scanned: list[list[Value]] = [[] for _ in node.outputs[at.states :]]
    for step in range(steps):
        own = _slices(graph, node, step) if isinstance(op, Scan) else []
        before = _counters(graph, node, step) if isinstance(op, Loop) else []
        results = inline(graph, inner, [*before, *states, *own, *captured], node.origin)[at.after :]
        states = results[: at.states]
        for stack, value in zip(scanned, results[at.states :], strict=True):
            stack.append(value)
    stacks = zip(scanned, node.outputs[at.states :], strict=True)
    return [*states, *(_stack(graph, node, stack, output) for stack, output in stacks)]


def _counters(graph: Graph, node: Node, step: int) -> list[Value]:
    return [add_constant(graph, node, np.asarray(step, np.int64)), add_constant(graph, node, np.asarray(True))]


def _slices(graph: Graph, node: Node, step: int) -> list[Value]:
    """Return a slice of each sequence of a Scan."""
    op = op_of(node, Scan)
    slices: list[Value] = []
    for slot, (axis, backwards) in enumerate(zip(op.axes, op.reversed, strict=True)):
        sequence = given(node.inputs[op.states + slot])
        shape = sequence.type.shape
        if shape[axis] == 1:
            slices.append(add_for(graph, node, Reshape((*shape[:axis], *shape[axis + 1 :])), sequence))
            continue
        index = add_constant(graph, node, np.asarray(-1 - step if backwards else step, np.int64))
        slices.append(add_for(graph, node, Gather(axis), sequence, index))
    return slices


def _stack(graph: Graph, node: Node, values: Sequence[Value], output: Value) -> Value:
    """Return what each step gave, along a new axis."""
    op = node.op
    index = output.index - ports(control_op(node)).states
    axis, backwards = (op.output_axes[index], op.output_reversed[index]) if isinstance(op, Scan) else (0, False)
    if not values:
        return _empty(graph, node, output.type, axis)
    rows = [
        add_for(graph, node, Reshape((*value.type.shape[:axis], 1, *value.type.shape[axis:])), value)
        for value in (reversed(values) if backwards else values)
    ]
    return rows[0] if len(rows) == 1 else add_for(graph, node, Concat(axis), *rows)


def _empty(graph: Graph, node: Node, type: TensorType, axis: int) -> Value:
    """Return what no step gives; a size that is known of no other value is 0."""
    known = type_names([value.type for value in node.inputs if value is not None])
    sizes: list[Dim] = [dim if isinstance(dim, int) or dim.names() <= known else 0 for dim in type.shape]
    sizes[axis] = 0
    shape = tuple(size for size in sizes if isinstance(size, int))
    if len(shape) == type.rank:
        return add_constant(graph, node, np.empty(shape, type.dtype.numpy))
    zero = add_constant(graph, node, np.zeros((), type.dtype.numpy))
    return add_for(graph, node, Expand(tuple(sizes)), zero)


class Substitutes:
    """Values that are to stand for the outputs of nodes with graphs inside, whose types may say less about sizes."""

    def __init__(self, graph: Graph) -> None:
        self.order = order_without_dead_nodes(graph)
        self._graph = graph
        self._places = first_places(self.order)
        self._found: list[tuple[Node, Sequence[Value], dict[str, Dim]]] = []

    def propose(self, node: Node, values: Sequence[Value]) -> None:
        """Note values for the outputs of a node, unless their types do not fit. Nodes come in order."""
        sizes: dict[str, Dim] = {}
        for old, new in zip(node.outputs, values, strict=True):
            found = match_types(old.type, new.type)
            if found is None or any(self._places.get(name) is not node for name in found):
                return
            if any(sizes.setdefault(name, size) != size for name, size in found.items()):
                return
        self._found.append((node, values, sizes))

    def apply(self) -> int:
        """Put the values in place, and return for how many nodes. O(nodes + edges of the graph) if a size changes."""
        try:
            self._refine()
        except ShapeError:
            self._found = [found for found in self._found if not found[2]]
        for node, values, _ in self._found:
            for old, new in zip(node.outputs, values, strict=True):
                self._graph.replace(old, new)
        order_without_dead_nodes(self._graph)
        return len(self._found)

    def _refine(self) -> None:
        sizes: dict[str, Dim] = {}
        for _, _, found in self._found:
            sizes |= {name: substitute(size, sizes) for name, size in found.items()}
        if sizes:
            known = set(self.order)
            created = [node for node in self._graph.nodes() if node not in known]  # none of them is read by the others
            refine([*self.order, *created], sizes)
