"""Activations of Dense operators."""

from __future__ import annotations

from kir.ir.graph import Graph, Node, Value
from kir.ops.elementwise import ACTIVATIONS
from kir.ops.linear import Dense
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.shape import Reshape, Transpose
from kir.passes.rewrite import add_for, exact_pass, op_of, rewrite, rule


@exact_pass
def fuse_activations(graph: Graph) -> int:
    """Relu(Dense(x)) → Dense(x, activation=Relu)

    Nothing else reads the Dense, which has no activation yet. The new node belongs to the layer of the Dense.

    1. The activation is elementwise.
    2. The activation is a Softmax or LogSoftmax over the last axis.
    3. The activation is elementwise, and a Reshape or Transpose between the two comes last then.

    Exact: a Dense with an activation evaluates it on the result of a Dense without one.
    """
    if not graph.has_any(Dense):
        return 0
    return rewrite(graph, (fuse_elementwise, fuse_softmax, fuse_across_move))


@rule(*ACTIVATIONS, above=[Dense], once=True)
def fuse_elementwise(graph: Graph, node: Node, dense: Node) -> Value | None:
    return _fuse(graph, node, dense)


@rule(Softmax, LogSoftmax, above=[Dense], once=True)
def fuse_softmax(graph: Graph, node: Node, dense: Node) -> Value | None:
    is_over_last = op_of(node, Softmax, LogSoftmax).axis == node.output.type.rank - 1
    return _fuse(graph, node, dense) if is_over_last else None


@rule(*ACTIVATIONS, above=[(Reshape, Transpose), Dense], once=True)
def fuse_across_move(graph: Graph, node: Node, move: Node, dense: Node) -> Value | None:
    fused = _fuse(graph, node, dense)
    return add_for(graph, move, move.op, fused) if fused else None


def _fuse(graph: Graph, activation: Node, dense: Node) -> Value | None:
    if dense.op != Dense():
        return None
    return add_for(graph, dense, Dense(activation.op), *dense.inputs)
