"""Chains of Reshape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kir.ir.dims import product
from kir.ir.graph import Graph, Node, Value
from kir.ops.reduce import REDUCTIONS, ReduceMax, ReduceMin
from kir.ops.shape import Expand, Gather, Reshape, Slice
from kir.passes.rewrite import add_constant, add_for, exact_pass, given, op_of, rewrite, rule


@exact_pass
def fold_reshapes(graph: Graph) -> int:
    """Reshape(Reshape(x)) → Reshape(x)

    1. Reshape to the shape that x has: x.
    2. Reshape(Reshape(x)): Reshape(x). The inner one stays if something else reads it.
    3. Expand that adds axes of size 1 and no elements: Reshape(x).
    4. Reshape that removes an axis of which a Slice leaves one element: Gather of that element.
    5. Reshape(ReduceMean(x)) that only restores or removes the reduced axes: ReduceMean(x) with or without keepdims.
    6. ReduceMax and ReduceMin of axes of size 1: Reshape(x).

    Exact: elements keep their order, and nothing is computed.
    """
    rules = (drop_reshape, join_reshapes, expand_as_reshape, slice_as_gather, keep_reduced_axes, reduce_as_reshape)
    return rewrite(graph, rules)


@rule(Reshape)
def drop_reshape(graph: Graph, node: Node) -> Value | None:
    x = given(node.inputs[0])
    return x if x.type == node.output.type else None


@rule(Reshape, above=[Reshape])
def join_reshapes(graph: Graph, node: Node, inner: Node) -> Value:
    return add_for(graph, node, node.op, inner.inputs[0])


@rule(Expand)
def expand_as_reshape(graph: Graph, node: Node) -> Value | None:
    x = given(node.inputs[0])
    shape = node.output.type.shape
    # With as many elements as before, no axis has grown; sizes are positive or the tensor is empty.
    return add_for(graph, node, Reshape(shape), x) if product(x.type.shape) == product(shape) else None


@rule(Reshape, above=[Slice], once=True)
def slice_as_gather(graph: Graph, node: Node, inner: Node) -> Value | None:
    x, op = given(inner.inputs[0]), op_of(inner, Slice)
    (axis, *others), start = op.axes, op.starts[0]
    is_one = not others and op.steps == (1,) and op.ends[0] - start == 1
    if not is_one or node.output.type.shape != (*x.type.shape[:axis], *x.type.shape[axis + 1 :]):
        return None
    index = start if isinstance(start, int) else start - x.type.shape[axis]
    if not isinstance(index, int):
        return None
    return add_for(graph, node, Gather(axis), x, add_constant(graph, node, np.asarray(index, np.int64)))


@rule(Reshape, above=[REDUCTIONS], once=True)
def keep_reduced_axes(graph: Graph, node: Node, inner: Node) -> Value | None:
    x, op = given(inner.inputs[0]), op_of(inner, *REDUCTIONS)
    other = replace(op, keepdims=not op.keepdims)
    return add_for(graph, inner, other, x) if other.infer(x.type) == node.output.type else None


@rule(ReduceMax, ReduceMin)
def reduce_as_reshape(graph: Graph, node: Node) -> Value | None:
    x, op = given(node.inputs[0]), op_of(node, ReduceMax, ReduceMin)
    if any(x.type.shape[axis] != 1 for axis in op.axes):
        return None
    return add_for(graph, node, Reshape(node.output.type.shape), x)
