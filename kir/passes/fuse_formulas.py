"""Formulas that stand for an operator, written by a person or by an exporter that lacks the operator."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array
from kir.ir.types import SIGNIFICAND_BITS
from kir.ops.elementwise import (
    Abs,
    Add,
    Clip,
    Div,
    Erf,
    Gelu,
    Greater,
    HardSigmoid,
    HardSwish,
    Maximum,
    Minimum,
    Mish,
    Mul,
    Pow,
    Reciprocal,
    Softplus,
    Softsign,
    Sqrt,
    Tanh,
    Where,
)
from kir.ops.reduce import ReduceL2, ReduceSum, ReduceSumSquare
from kir.passes.rewrite import (
    add_constant,
    add_for,
    both_orders,
    given,
    is_number,
    op_of,
    producer,
    rewrite,
    rounding_pass,
    rule,
    uniform,
)

# The longest formula here is a product of six factors; without a limit, a long product would be quadratic.
MAX_FACTORS = 8


@rounding_pass(tolerance=64)
def fuse_formulas(graph: Graph) -> int:
    """x * tanh(softplus(x)) → Mish(x)

    Factors may stand in any order, and numbers may divide instead of multiply. A number matches if it is the one below,
    rounded to the dtype.

    1. x * tanh(softplus(x)): Mish.
    2. x / (1 + |x|): Softsign.
    3. x * (1 + erf(x / sqrt(2))) / 2: Gelu; x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))) / 2: its
       approximation.
    4. clip(x + 3, 0, 6) / 6: HardSigmoid; x times that: HardSwish.
    5. Where(x > c, x, softplus(x)), if softplus(x) rounds to x from c on: softplus(x).
    6. sqrt(sum(x * x)): ReduceL2. y * min(1 / sqrt(z), c): y / max(sqrt(z), 1 / c).

    Rounding: the operator and its formula round in different places.
    """
    return rewrite(graph, (fuse_product, fuse_softsign, drop_branch, fuse_length, divide_once))


@rule(Mul, Div)
def fuse_product(graph: Graph, node: Node) -> Value | None:
    factors = _find_factors(node.output)
    if factors is None or not node.output.type.dtype.is_float:
        return None
    scale, values = factors
    dtype = node.output.type.dtype
    error = 2.0 ** (2 - SIGNIFICAND_BITS[dtype])
    if len(values) == 1 and math.isclose(scale, 1 / 6, rel_tol=error):
        x = _find_clipped(values[0])
        return _activate(graph, node, HardSigmoid(1 / 6, 0.5), x)
    if len(values) != 2:
        return None
    for x, gate in (values, values[::-1]):
        op = _find_gated(x, gate, scale, error)
        if op is not None:
            return _activate(graph, node, op, x)
    return None


@rule(Div)
def fuse_softsign(graph: Graph, node: Node) -> Value | None:
    x, below = map(given, node.inputs)
    size = _without_one(below)
    is_size = size is not None and isinstance(size.node.op, Abs) and size.node.inputs[0] is x
    return _activate(graph, node, Softsign(), x) if is_size and x.type.dtype.is_float else None


@rule(Where)
def drop_branch(graph: Graph, node: Node) -> Value | None:
    test, x, softplus = (given(value) for value in node.inputs)
    if softplus.node.op != Softplus() or softplus.node.inputs[0] is not x or softplus.type != node.output.type:
        return None
    bound = uniform(test.node.inputs[1]) if isinstance(test.node.op, Greater) and test.node.inputs[0] is x else None
    # From c on, softplus(x) - x is at most exp(-c). Rounding loses it if it is less than half of the last place.
    half_place = 2.0 ** -(SIGNIFICAND_BITS[x.type.dtype] + 1)
    is_lost = bound is not None and bound > 0 and math.exp(-bound) < bound * half_place
    return softplus if is_lost else None


@rule(Sqrt, above=[(ReduceSum, ReduceSumSquare)])
def fuse_length(graph: Graph, node: Node, total: Node) -> Value | None:
    if not node.output.type.dtype.is_float:
        return None
    op, summed = op_of(total, ReduceSum, ReduceSumSquare), given(total.inputs[0])
    x = _find_root(summed) if isinstance(op, ReduceSum) else summed
    return add_for(graph, node, ReduceL2(op.axes, op.keepdims), x) if x is not None and x.type == summed.type else None


def _find_root(square: Value) -> Value | None:
    """Return x, of x * x."""
    factors = _find_factors(square)
    if factors is None or factors[0] != 1 or len(factors[1]) != 2 or factors[1][0] is not factors[1][1]:
        return None
    return factors[1][0]


@rule(Mul)
def divide_once(graph: Graph, node: Node) -> Value | None:
    for slot in (0, 1):
        bounded = producer(node, Minimum, slot=slot)
        found = _find_inverse(bounded) if bounded else None
        if bounded is not None and found is not None and graph.is_read_once(bounded):
            length, most = found
            least = add_constant(graph, bounded, (1 / most).astype(most.dtype))
            return add_for(graph, node, Div(), node.inputs[1 - slot], add_for(graph, bounded, Maximum(), length, least))
    return None


def _find_inverse(bounded: Node) -> tuple[Value, Array] | None:
    """Return the length and the positive number of min(1 / length, number); a length is a root or a norm."""
    for x, bound in both_orders(bounded):
        most = uniform(bound)
        inverse = x.node
        if most is None or not most > 0 or not _is_inverse(inverse):
            continue
        length = given(inverse.inputs[-1])
        if isinstance(length.node.op, Sqrt | ReduceL2):
            return length, most
    return None


def _is_inverse(node: Node) -> bool:
    """Return whether a node is 1 / x."""
    return isinstance(node.op, Reciprocal) or (isinstance(node.op, Div) and is_number(node.inputs[0], 1))


def _activate(
    graph: Graph, node: Node, op: Mish | Softsign | Gelu | HardSigmoid | HardSwish, x: Value | None
) -> Value | None:
    """Add the operator, if nothing in its formula broadcasts."""
    return add_for(graph, node, op, x) if x is not None and x.type == node.output.type else None


def _find_gated(x: Value, gate: Value, scale: float, error: float) -> Mish | Gelu | HardSwish | None:
    """Return the activation that is ``scale * x * gate``, where the gate is a function of x."""
    if math.isclose(scale, 1, rel_tol=error):
        plus = producer(gate.node, Softplus) if isinstance(gate.node.op, Tanh) else None
        if plus is not None and plus.inputs[0] is x:
            return Mish()
        return HardSwish() if gate.node.op == HardSigmoid(1 / 6, 0.5) and gate.node.inputs[0] is x else None
    if math.isclose(scale, 1 / 6, rel_tol=error) and _find_clipped(gate) is x:
        return HardSwish()
    curve = _without_one(gate) if math.isclose(scale, 0.5, rel_tol=error) else None
    if curve is None or not isinstance(curve.node.op, Erf | Tanh):
        return None
    inner = _find_factors(given(curve.node.inputs[0]))
    if inner is None or len(inner[1]) != 1:
        return None
    if isinstance(curve.node.op, Erf):
        return Gelu(False) if inner[1][0] is x and math.isclose(inner[0], math.sqrt(0.5), rel_tol=error) else None
    is_scaled = math.isclose(inner[0], math.sqrt(2 / math.pi), rel_tol=error)
    return Gelu(True) if is_scaled and _is_cubic(inner[1][0], x, error) else None


def _find_factors(value: Value) -> tuple[float, Sequence[Value]] | None:
    """Return the product of those factors that are numbers, and the other factors; None if there are many."""
    scale, values, pending = 1.0, list[Value](), [(value, 1)]
    while pending:
        if len(pending) + len(values) > MAX_FACTORS:
            return None
        factor, sign = pending.pop()
        number = uniform(factor)
        node = factor.node
        if number is not None and number != 0:
            scale *= float(number) ** sign
        elif isinstance(node.op, Mul):
            pending += [(given(operand), 1) for operand in reversed(node.inputs)]
        elif isinstance(node.op, Div) and uniform(node.inputs[1]) is not None:
            pending += [(given(node.inputs[1]), -1), (given(node.inputs[0]), 1)]
        elif isinstance(node.op, Pow) and (exponent := uniform(node.inputs[1])) in (2, 3):
            values += [given(node.inputs[0])] * int(exponent or 0)
        else:
            values.append(factor)
    return scale, values


def _without_one(total: Value) -> Value | None:
    """Return y, of 1 + y."""
    return _without_number(total, 1)


def _without_number(total: Value, number: float) -> Value | None:
    if not isinstance(total.node.op, Add):
        return None
    return next((y for one, y in both_orders(total.node) if is_number(one, number)), None)


def _find_clipped(value: Value) -> Value | None:
    """Return x, of clip(x + 3, 0, 6)."""
    if not isinstance(value.node.op, Clip):
        return None
    total, low, high = (*value.node.inputs, None, None)[:3]
    return _without_number(given(total), 3) if is_number(low, 0) and is_number(high, 6) else None


def _is_cubic(value: Value, x: Value, error: float) -> bool:
    """Return whether a value is x + 0.044715 * x ** 3."""
    if not isinstance(value.node.op, Add):
        return False
    cube = next((cube for a, cube in both_orders(value.node) if a is x), None)
    factors = None if cube is None else _find_factors(cube)
    if factors is None:
        return False
    return math.isclose(factors[0], 0.044715, rel_tol=error) and list(factors[1]) == [x] * 3
