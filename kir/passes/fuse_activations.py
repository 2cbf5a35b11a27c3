"""A Dense with its activation."""

from __future__ import annotations

from kir.ir.graph import Graph, Node, Value
from kir.ops.elementwise import ACTIVATIONS
from kir.ops.linear import Dense
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.shape import Reshape, Transpose
from kir.passes.rewrite import add_for, exact_pass, producer, rewrite, rule


@exact_pass
def fuse_activations(graph: Graph) -> int:
    """Relu(Dense(x)) → Dense(x, activation=Relu)

    Nothing else may read the Dense, which has no activation yet. The result comes from the layer of the Dense.

    1. An elementwise activation.
    2. Softmax or LogSoftmax over the last axis.
    3. An elementwise activation with a Reshape or Transpose between, which then comes last.

    Exact: a Dense with an activation evaluates that activation on the result it has without.
    """
    if not graph.has_any(Dense):
        return 0
    return rewrite(graph, (fuse_elementwise, fuse_softmax, fuse_across_move))


@rule(*ACTIVATIONS)
def fuse_elementwise(graph: Graph, node: Node) -> Value | None:
    return _fuse(graph, node, node)


@rule(Softmax, LogSoftmax)
def fuse_softmax(graph: Graph, node: Node) -> Value | None:
    assert isinstance(node.op, Softmax | LogSoftmax)
    return _fuse(graph, node, node) if node.op.axis == node.output.type.rank - 1 else None


@rule(*ACTIVATIONS)
def fuse_across_move(graph: Graph, node: Node) -> Value | None:
    move = producer(node, Reshape, Transpose)
    fused = _fuse(graph, node, move) if move and graph.is_read_once(move) else None
    return add_for(graph, move, move.op, fused) if move and fused else None


def _fuse(graph: Graph, activation: Node, reader: Node) -> Value | None:
    """The Dense that `reader` reads, with the activation; None if there is none that is free for it."""
    dense = producer(reader, Dense)
    if dense is None or dense.op != Dense() or not graph.is_read_once(dense):
        return None
    return add_for(graph, dense, Dense(activation.op), *dense.inputs)
