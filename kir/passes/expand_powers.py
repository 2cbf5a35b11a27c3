"""Powers that are products."""

from __future__ import annotations

from kir.ir.graph import Graph, Node, Value
from kir.ops.elementwise import Mul, Pow, Reciprocal
from kir.passes.rewrite import add_for, given, rewrite, rounding_pass, rule, uniform


@rounding_pass(tolerance=4)
def expand_powers(graph: Graph) -> int:
    """x ** 2 → x * x

    1. x ** 1: x.
    2. x ** 2: x * x.
    3. x ** -1 of floats: Reciprocal(x).

    x ** 0.5 stays: Sqrt has other results for -0.0 and -inf.
    Rounding: a product and a reciprocal round correctly, which a library's `pow` need not do.
    """
    return rewrite(graph, (expand_power,))


@rule(Pow)
def expand_power(graph: Graph, node: Node) -> Value | None:
    x = given(node.inputs[0])
    exponent = uniform(node.inputs[1])
    if exponent is None or x.type != node.output.type:
        return None
    if exponent == 1:
        return x
    if exponent == 2:
        return add_for(graph, node, Mul(), x, x)
    return add_for(graph, node, Reciprocal(), x) if exponent == -1 and x.type.dtype.is_float else None
