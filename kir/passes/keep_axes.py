"""Dense layers on the last axis of a tensor that was reshaped for them."""

from __future__ import annotations

from dataclasses import replace

from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Op
from kir.ops.elementwise import UNARY
from kir.ops.linear import Dense
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.shape import Reshape
from kir.passes.move_reshapes import MAX_RUN
from kir.passes.rewrite import add_for, given, rebuild, rewrite, rounding_pass, rule


@rounding_pass(tolerance=64)
def keep_axes(graph: Graph) -> int:
    """Reshape(Dense(Reshape(x))) → Dense(x)

    The inner Reshape makes a matrix of x, with the same last axis. Between the two are one or more Dense, and
    elementwise operators of one operand; nothing else reads their values. The outer Reshape stays unless it restores
    the other axes of x.

    Rounding: products of matrices round differently with the number of rows.
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
    value = rebuild(graph, path, x, lambda op: _along_last_axis(op, x.type.rank))
    return value if value.type == node.output.type else add_for(graph, node, node.op, value)


def _find_rows(graph: Graph, node: Node) -> tuple[list[tuple[Node, int]], Node | None]:
    """Return the path of operators on rows above a node, and the Reshape above them; None if they have no Dense."""
    path: list[tuple[Node, int]] = []
    above = given(node.inputs[0]).node
    while _keeps_rows(above) and graph.is_read_once(above) and len(path) < MAX_RUN:
        path.append((above, 0))
        above = given(above.inputs[0]).node
    has_dense = any(isinstance(passed.op, Dense) for passed, _ in path)
    return path, above if isinstance(above.op, Reshape) and has_dense else None


def _keeps_rows(node: Node) -> bool:
    return isinstance(node.op, Dense) or (type(node.op) in UNARY and len(node.inputs) == 1)


def _along_last_axis(op: Op, rank: int) -> Op:
    """Return the operator for results of another rank: the softmax of a Dense names the last axis by its number."""
    if isinstance(op, Dense) and isinstance(op.activation, Softmax | LogSoftmax):
        return replace(op, activation=replace(op.activation, axis=rank - 1))
    return op
