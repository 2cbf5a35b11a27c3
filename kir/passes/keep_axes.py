"""Dense layers on the last axis of a tensor that was reshaped for them."""

from __future__ import annotations

from dataclasses import replace

from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Op
from kir.ops.elementwise import UNARY
from kir.ops.linear import Dense
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.shape import Reshape
from kir.passes.moving import MAX_RUN
from kir.passes.rewrite import add_for, given, rewrite, rounding_pass, rule


# Nothing is computed differently, but products of matrices round differently with the number of rows.
@rounding_pass(tolerance=64)
def keep_axes(graph: Graph) -> int:
    """Reshape(Dense(Reshape(x))) → Dense(x)

    Between may be several Dense and elementwise operators of one operand, one Dense at least, whose values nothing else
    reads. The inner Reshape makes a matrix of x, with the same last axis. If the outer one does not make the other axes
    of x again, it stays.

    Rounding: see above.
    """
    return rewrite(graph, (skip_reshape,))


@rule(Reshape)
def skip_reshape(graph: Graph, node: Node) -> Value | None:
    path, above = _find_rows(graph, node)
    if above is None:
        return None
    x = given(above.inputs[0])
    if above.output.type.rank != 2 or x.type.rank <= 2 or x.type.shape[-1] != above.output.type.shape[-1]:
        return None
    value = _rebuild(graph, path, x)
    return value if value.type == node.output.type else add_for(graph, node, node.op, value)


def _find_rows(graph: Graph, node: Node) -> tuple[list[Node], Node | None]:
    """What works on rows above `node`, the last one first, and the Reshape above it; None if there is no Dense."""
    path: list[Node] = []
    above = given(node.inputs[0]).node
    while _keeps_rows(above) and graph.is_read_once(above) and len(path) < MAX_RUN:
        path.append(above)
        above = given(above.inputs[0]).node
    has_dense = any(isinstance(passed.op, Dense) for passed in path)
    return path, above if isinstance(above.op, Reshape) and has_dense else None


def _keeps_rows(node: Node) -> bool:
    return isinstance(node.op, Dense) or (type(node.op) in UNARY and len(node.inputs) == 1)


def _rebuild(graph: Graph, path: list[Node], value: Value) -> Value:
    for passed in reversed(path):
        value = add_for(graph, passed, _along_last_axis(passed.op, value.type.rank), value, *passed.inputs[1:])
    return value


def _along_last_axis(op: Op, rank: int) -> Op:
    """Return the operator for results of another rank: a softmax that a Dense has fused names its axis, the last."""
    if isinstance(op, Dense) and isinstance(op.activation, Softmax | LogSoftmax):
        return replace(op, activation=replace(op.activation, axis=rank - 1))
    return op
