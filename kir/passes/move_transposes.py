"""Transposes that cancel across elementwise operators."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from kir.graph import Graph, Node, Value
from kir.ops.elementwise import ELEMENTWISE
from kir.ops.shape import Transpose
from kir.passes.fold_constants import MAX_GROWN_BYTES
from kir.passes.fold_transposes import compose, permutation_of
from kir.passes.moving import join, pull_up
from kir.passes.rewrite import add_constant, add_for, constant_array, exact_pass, rewrite, rule


@exact_pass
def move_transposes(graph: Graph) -> int:
    """Transpose(f(Transpose(x))) → Transpose(f(x))

    f is any run of elementwise operators whose values nothing else reads.

    1. f of one operand: as above; without a Transpose, where the two cancel.
    2. f with further operands that are scalars, or have only trailing axes that the inner Transpose leaves in place.
    3. f with constant operands that have moved axes: they are transposed back, at export.
    4. f(Transpose(a), Transpose(b)) with one permutation: Transpose(f(a, b)).

    A Transpose moves only where one disappears, so this ends and never adds a node.
    Exact: elementwise operators compute every element on its own.
    """
    return rewrite(graph, (cancel_transposes, join_equal_transposes))


@rule(Transpose)
def cancel_transposes(graph: Graph, node: Node) -> Value | None:
    found = pull_up(graph, node, Transpose, keep_or_move_back)
    if found is None:
        return None
    first, value = found
    permutation = compose(permutation_of(first), permutation_of(node))
    cancelled = permutation == tuple(range(len(permutation)))
    return value if cancelled else add_for(graph, node, Transpose(permutation), value)


@rule(*ELEMENTWISE)
def join_equal_transposes(graph: Graph, node: Node) -> Value | None:
    return join(graph, node, Transpose, keep_or_move_back)


def keep_or_move_back(graph: Graph, mover: Node, side: Value) -> Callable[[], Value] | None:
    """The side operand if its axes stay in place; else, of a constant, the transpose of it."""
    permutation = permutation_of(mover)
    rank = len(permutation)
    if all(permutation[axis] == axis for axis in range(rank - side.type.rank, rank)):
        return lambda: side
    array = constant_array(side)
    # A large constant that something else reads too would be stored twice.
    if array is None or not (graph.is_read_once(side.node) or array.nbytes <= MAX_GROWN_BYTES):
        return None
    aligned = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return partial(add_constant, graph, side.node, aligned.transpose(np.argsort(permutation)))
