"""Transposes that move no element."""

from __future__ import annotations

from kir.ir.graph import Graph, Node, Value
from kir.ops.shape import Reshape, Transpose
from kir.passes.fold_transposes import is_in_order, permutation_of
from kir.passes.rewrite import add_for, exact_pass, given, rewrite, rule


@exact_pass
def reshape_transposes(graph: Graph) -> int:
    """Transpose(x) → Reshape(x)

    Only axes of size 1 move.

    Exact: the elements keep their order in memory.
    """
    return rewrite(graph, (transpose_as_reshape,))


@rule(Transpose)
def transpose_as_reshape(graph: Graph, node: Node) -> Value | None:
    x = given(node.inputs[0])
    if not is_in_order(permutation_of(node), x.type.shape):
        return None
    return add_for(graph, node, Reshape(node.output.type.shape), x)
