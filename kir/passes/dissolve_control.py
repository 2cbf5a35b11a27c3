"""If, Loop and Scan of which one knows in advance what they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kir.errors import ShapeError
from kir.ir.control import ControlOp
from kir.ir.dims import Dim, Sym
from kir.ir.graph import Graph, Node, Value
from kir.ir.inline import inline
from kir.ops.control import If, Loop, Scan
from kir.ops.shape import Size
from kir.passes.control_edit import CONTROL, always_goes_on, control_op, known_steps, ports
from kir.passes.rewrite import constant_array, exact_pass, given, op_of
from kir.passes.unroll import Substitutes, unroll


@exact_pass
def dissolve_control(graph: Graph) -> int:
    """If(true, x, y) → x

    1. An If whose condition is known: the nodes of that branch; those of either, if they are the same.
    2. A Loop of no step: what it was given, and nothing stacked. Its condition is false, or it has 0 trips.
    3. A Loop or a Scan of one step: the nodes of that step, with one Reshape at most for slices and stacks.
    4. A Loop of so many steps as a number or a size says: the same, that stacks so many results.

    Sizes that only a run would have told may be known then, in all that follows.

    Exact: the same operators run.
    """
    if not graph.has_any(*CONTROL):
        return 0
    substitutes = Substitutes(graph)
    for node in substitutes.order:
        if isinstance(node.op, ControlOp):
            try:
                values = _dissolve(graph, node)
            except ShapeError:  # it cannot run: that is for whoever runs it to say
                continue
            if values is not None:
                substitutes.propose(node, values)
    return substitutes.apply()


def _dissolve(graph: Graph, node: Node) -> Sequence[Value] | None:
    op = control_op(node)
    if isinstance(op, If):
        condition, *captured = map(given, node.inputs)
        known = constant_array(condition)
        if known is None and op.then_branch != op.else_branch:
            return None
        branch = op.then_branch if known is None or known.item() else op.else_branch
        return inline(graph, branch.graph, captured, node.origin)
    steps = 0 if isinstance(op, Loop) and _never_begins(node) else known_steps(node)
    if steps == 0 or (steps == 1 and _count_reshapes(op) <= 1):
        return unroll(graph, node, steps)
    return _know_sizes(graph, node) if isinstance(op, Loop) else None


def _know_sizes(graph: Graph, node: Node) -> Sequence[Value] | None:
    """Return the outputs of the same Loop that says how many results it stacks."""
    op = op_of(node, Loop)
    steps: Dim | None = known_steps(node)
    if node.inputs[0] is not None and isinstance(trips := node.inputs[0].node.op, Size) and always_goes_on(node):
        steps = trips.dim if isinstance(trips.dim, Sym) and trips.dim.name is not None else None
    if steps is None:
        return None
    stacked = [type.with_shape((steps, *type.shape[1:])) for type in op.types[op.carried :]]
    types = (*op.types[: op.carried], *stacked)
    return None if types == op.types else graph.add(replace(op, types=types), *node.inputs, origin=node.origin).outputs


def _count_reshapes(op: ControlOp) -> int:
    """Return how many slices and stacks of one step there are."""
    return len(op.types) - ports(op).states + (len(op.axes) if isinstance(op, Scan) else 0)


def _never_begins(node: Node) -> bool:
    condition = constant_array(node.inputs[1])
    return condition is not None and not condition.any()
