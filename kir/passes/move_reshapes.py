"""Reshapes that cancel across elementwise operators."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from kir.ir.graph import Graph, Node, Value
from kir.ir.types import Shape
from kir.ops.elementwise import ELEMENTWISE
from kir.ops.shape import Reshape
from kir.passes.moving import join, pull_up
from kir.passes.rewrite import add_constant, add_for, constant_array, exact_pass, given, rewrite, rule


@exact_pass
def move_reshapes(graph: Graph) -> int:
    """Reshape(f(Reshape(x))) → Reshape(f(x))

    f is a run of elementwise operators whose values nothing else reads.

    1. f of one operand: as above; without the outer Reshape too, where the two cancel.
    2. f with side operands that are scalars, or have only trailing axes that the inner Reshape leaves alone.
    3. f(Reshape(a), Reshape(b)), both from one shape to one shape: Reshape(f(a, b)).

    A Reshape moves only where one disappears, so this ends and never adds a node.
    Exact: elementwise operators compute every element on its own.
    """
    rules = (cancel_reshapes, join_equal_reshapes)
    return rewrite(graph, rules) if graph.has_any(Reshape) else 0


@rule(Reshape)
def cancel_reshapes(graph: Graph, node: Node) -> Value | None:
    found = pull_up(graph, node, Reshape, keep_trailing)
    if found is None:
        return None
    _, value = found
    return value if value.type == node.output.type else add_for(graph, node, node.op, value)


@rule(*ELEMENTWISE)
def join_equal_reshapes(graph: Graph, node: Node) -> Value | None:
    return join(graph, node, Reshape, keep_trailing)


def keep_trailing(graph: Graph, mover: Node, side: Value) -> Callable[[], Value] | None:
    """Return a function for the side operand itself, if the Reshape keeps all of its axes, counted from the end.

    For a constant whose other axes have size 1: the constant without these. None for any other operand.
    """
    kept = count_common_trailing(given(mover.inputs[0]).type.shape, mover.output.type.shape)
    if side.type.rank <= kept:
        return lambda: side
    array = constant_array(side)
    leading = side.type.rank - kept
    if array is None or any(size != 1 for size in array.shape[:leading]):
        return None
    return partial(add_constant, graph, side.node, array.reshape(array.shape[leading:]))


def count_common_trailing(a: Shape, b: Shape) -> int:
    """Return the number of equal sizes at the ends of two shapes."""
    count = 0
    while count < min(len(a), len(b)) and a[-1 - count] == b[-1 - count]:
        count += 1
    return count
