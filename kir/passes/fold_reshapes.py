"""Chains of Reshape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kir.ir.dims import product
from kir.ir.graph import Graph, Node, Value
from kir.ops.reduce import REDUCTIONS
from kir.ops.shape import Expand, Gather, Reshape, Slice
from kir.passes.rewrite import add_constant, add_for, exact_pass, given, producer, rewrite, rule


@exact_pass
def fold_reshapes(graph: Graph) -> int:
    """Reshape(Reshape(x)) → Reshape(x)

    1. Reshape to the shape that x has: x.
    2. Reshape(Reshape(x)): Reshape(x). The inner one stays if something else reads it.
    3. Expand that adds no element, only axes of size 1: Reshape(x).
    4. Reshape that takes away the axis of which a Slice leaves one element: Gather of that element.
    5. Reshape(ReduceMean(x)) that puts the reduced axes back, or takes them away: ReduceMean(x) that keeps them, or
       not.

    Exact: elements keep their order, and nothing is computed.
    """
    return rewrite(graph, (drop_reshape, join_reshapes, expand_as_reshape, slice_as_gather, keep_reduced_axes))


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


@rule(Reshape)
def slice_as_gather(graph: Graph, node: Node) -> Value | None:
    inner = producer(node, Slice)
    if inner is None or not graph.is_read_once(inner):
        return None
    assert isinstance(inner.op, Slice)
    x = given(inner.inputs[0])
    (axis, *others), (start, *_), (end, *_) = inner.op.axes, inner.op.starts, inner.op.ends
    is_one = not others and inner.op.steps == (1,) and end - start == 1
    if not is_one or node.output.type.shape != (*x.type.shape[:axis], *x.type.shape[axis + 1 :]):
        return None
    index = start if isinstance(start, int) else start - x.type.shape[axis]
    if not isinstance(index, int):
        return None
    return add_for(graph, node, Gather(axis), x, add_constant(graph, node, np.asarray(index, np.int64)))


@rule(Reshape)
def keep_reduced_axes(graph: Graph, node: Node) -> Value | None:
    inner = producer(node, *REDUCTIONS)
    if inner is None or not graph.is_read_once(inner):
        return None
    op: Any = inner.op
    other = replace(op, keepdims=not op.keepdims)
    x = given(inner.inputs[0])
    return add_for(graph, inner, other, x) if other.infer(x.type) == node.output.type else None
