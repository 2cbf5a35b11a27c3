"""Scales and shifts in a row."""

from __future__ import annotations

import numpy as np

from kir.ir.graph import Graph, Node, Value
from kir.ops.elementwise import Add, Div, Mul, Neg, Sub
from kir.ops.reduce import ReduceMean, ReduceSum
from kir.ops.shape import Reshape
from kir.passes.fold_affine import Affine, find_affine
from kir.passes.rewrite import add_constant, add_for, both_orders, given, is_number, op_of, rewrite, rounding_pass, rule

AFFINE = (Add, Sub, Mul, Div, Neg)

# A row of three is enough to save a node: it becomes a scale and a shift.
LONGEST_ROW = 3


@rounding_pass(tolerance=1024, changes_weights=True)
def join_affine(graph: Graph) -> int:
    """(x * a + b - c) / d → x * (a / d) + (b - c) / d

    Two or three of Mul, Div, Add, Sub and Neg of floats in a row, with constant operands, become a scale, a shift, or
    both, if that is fewer nodes. Nothing else reads the values between. -x + c becomes c - x.

    x + 0.0 is x, and so are a ReduceSum and a ReduceMean of single elements, reshaped.

    The new constants are computed in float64 and rounded once. The row stays if one is not finite, or has more elements
    than the constants that it replaces.

    Rounding: the row is rounded once instead of at each step, and shifts may cancel. -0.0 + 0.0 is 0.0.
    """
    return rewrite(graph, (add_nothing, sum_of_one, join_row))


@rule(Add, Sub)
def add_nothing(graph: Graph, node: Node) -> Value | None:
    for x, zero in both_orders(node) if isinstance(node.op, Add) else both_orders(node)[:1]:
        if x.type == node.output.type and x.type.dtype.is_float and is_number(zero, 0):
            return x
    return None


@rule(ReduceSum, ReduceMean)
def sum_of_one(graph: Graph, node: Node) -> Value | None:
    x, op = given(node.inputs[0]), op_of(node, ReduceSum, ReduceMean)
    if any(x.type.shape[axis] != 1 for axis in op.axes):
        return None
    return add_for(graph, node, Reshape(node.output.type.shape), x)


@rule(*AFFINE)
def join_row(graph: Graph, node: Node) -> Value | None:
    if not any(value is not None and isinstance(value.node.op, AFFINE) for value in node.inputs):
        return None  # the most frequent case by far, and quick to tell
    row = find_affine(node, axis=None)
    for length in range(2, LONGEST_ROW + 1):
        inner = find_affine(row.x.node, axis=None) if row and graph.is_read_once(row.x.node) else None
        if row is None or inner is None:
            return None
        joined = _join(inner, row)
        if max(map(_count, (inner, row))) < _count(joined):
            return None
        shorter = _write(graph, node, joined, length)
        if shorter is not None:
            return shorter
        row = joined
    return None


def _join(first: Affine, second: Affine) -> Affine:
    with np.errstate(all="ignore"):
        return Affine(first.x, first.scale * second.scale, first.shift * second.scale + second.shift)


def _count(affine: Affine) -> int:
    return max(np.size(affine.scale), np.size(affine.shift))


def _write(graph: Graph, node: Node, affine: Affine, length: int) -> Value | None:
    """Add nodes that compute this, fewer than `length`; None if it takes as many."""
    x, dtype = affine.x, node.output.type.dtype.numpy
    with np.errstate(over="ignore"):
        scale, shift = (np.asarray(each).astype(dtype) for each in (affine.scale, affine.shift))
    is_negative, is_scaled, is_shifted = (bool(each) for each in ((scale == -1).all(), (scale != 1).any(), shift.any()))
    count = 1 if is_negative else is_scaled + is_shifted
    if count >= length or not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        return None
    if is_negative and not is_shifted:
        return add_for(graph, node, Neg(), x)
    if is_negative:
        return add_for(graph, node, Sub(), add_constant(graph, node, shift), x)
    if is_scaled:
        x = add_for(graph, node, Mul(), x, add_constant(graph, node, scale))
    return add_for(graph, node, Add(), x, add_constant(graph, node, shift)) if is_shifted else x
