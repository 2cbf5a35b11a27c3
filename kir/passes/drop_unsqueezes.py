"""Axes of size 1 under the ellipses of an Einsum."""

from __future__ import annotations

from kir.errors import ShapeError
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import output_types
from kir.ops.linear import ELLIPSIS, Einsum, parse_equation
from kir.ops.shape import Reshape
from kir.passes.rewrite import add_for, exact_pass, given, op_of, rewrite, rule


@exact_pass
def drop_unsqueezes(graph: Graph) -> int:
    """Einsum("...i,...i", Unsqueeze(x), y) → Einsum("...i,...i", x, y)

    The axes of size 1 are the first ones under the ellipsis, and another operand has them too: ellipses broadcast.
    onnxruntime wants them to have equal ranks, so that exporters write such a Reshape.

    Exact: each product has the same factors.
    """
    return rewrite(graph, (drop_axes,))


@rule(Einsum)
def drop_axes(graph: Graph, node: Node) -> Value | None:
    op = op_of(node, Einsum)
    terms, _ = parse_equation(op.equation)
    operands = [_without_axes(term, given(value)) for term, value in zip(terms, node.inputs, strict=True)]
    if all(operand is value for operand, value in zip(operands, node.inputs, strict=True)):
        return None
    try:
        types = output_types(op, [operand.type for operand in operands])
    except ShapeError:
        return None
    # No other operand may have the axes: then the result has them from this one.
    return add_for(graph, node, op, *operands) if types == (node.output.type,) else None


def _without_axes(term: str, operand: Value) -> Value:
    start = term.find(ELLIPSIS)
    if start < 0 or not isinstance(operand.node.op, Reshape):
        return operand
    source = given(operand.node.inputs[0])
    shape = source.type.shape
    added = operand.type.rank - source.type.rank
    return source if added > 0 and operand.type.shape == (*shape[:start], *(1,) * added, *shape[start:]) else operand
