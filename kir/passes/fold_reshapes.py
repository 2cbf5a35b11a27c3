"""Chains of Reshape."""

from __future__ import annotations

from kir.dims import product
from kir.graph import Graph, Node, Value
from kir.ops.shape import Expand, Reshape
from kir.passes.rewrite import add_for, exact_pass, given, producer, rewrite, rule


@exact_pass
def fold_reshapes(graph: Graph) -> int:
    """Reshape(Reshape(x)) → Reshape(x)

    1. Reshape to the shape that x has: x.
    2. Reshape(Reshape(x)): Reshape(x). The inner one stays if something else reads it.
    3. Expand that adds no element, only axes of size 1: Reshape(x).

    Exact: elements keep their order, and nothing is computed.
    """
    return rewrite(graph, (drop_reshape, join_reshapes, expand_as_reshape))


@rule(Reshape)
def drop_reshape(graph: Graph, node: Node) -> Value | None:
    x = given(node.inputs[0])
    return x if x.type == node.output.type else None


@rule(Reshape)
def join_reshapes(graph: Graph, node: Node) -> Value | None:
    inner = producer(node, Reshape)
    return add_for(graph, node, node.op, inner.inputs[0]) if inner else None


@rule(Expand)
def expand_as_reshape(graph: Graph, node: Node) -> Value | None:
    x = given(node.inputs[0])
    shape = node.output.type.shape
    # Where no element is added, every axis that grew grew from 1 to 1; sizes are positive or the tensor is empty.
    return add_for(graph, node, Reshape(shape), x) if product(x.type.shape) == product(shape) else None
