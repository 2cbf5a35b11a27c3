"""Needless arithmetic.

Every rule is exact for all values of all dtypes that it applies to; a comment gives the reason for a condition. A value
replaces another one only if both have one type: an operand that broadcasts does not.
"""

from __future__ import annotations

import numpy as np

from kir.ir.dims import Sym
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array, Op
from kir.ir.types import SIGNIFICAND_BITS, DType, as_dtype
from kir.ops.elementwise import (
    Abs,
    Add,
    And,
    Cast,
    Ceil,
    Clip,
    Div,
    Exp,
    Floor,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Not,
    Or,
    Relu,
    Round,
    Sigmoid,
    Softplus,
    Sub,
    Where,
    Xor,
)
from kir.ops.reduce import ReduceMax, ReduceMin
from kir.ops.shape import Concat
from kir.passes.rewrite import (
    add_constant,
    add_for,
    both_orders,
    constant_array,
    exact_pass,
    given,
    rewrite,
    rule,
    uniform,
)


@exact_pass
def simplify(graph: Graph) -> int:
    """x * 1 → x, and the like

    1. x * 1, x / 1, integers x + 0 and x - 0, floats x + -0.0 and x - 0.0: x. (x + 0.0 is not x where x is -0.0.)
    2. Neg(Neg(x)), Not(Not(x)): x.
    3. Abs(Abs(x)), Abs(Neg(x)): Abs(x). Floor, Ceil or Round of any of these: the inner one.
    4. Relu(f(x)): f(x), if f gives nothing below 0.
    5. Clip(Clip(x)) with constant bounds: one Clip, if the two ranges overlap. Minimum(Maximum(x, low), high) and
       Maximum(Minimum(x, high), low) with constant numbers: Clip.
    6. Where(true, a, b): a. Where(false, a, b): b. Where(c, a, a): a. Where(Not(c), a, b): Where(c, b, a).
    7. And, Or and Xor with a constant: the other operand, its negation, or the constant. And, Or, Maximum and Minimum
       of one value twice: that value.
    8. Cast(Cast(x)): Cast(x), if the inner one loses nothing, or x holds booleans as numbers.
    9. Concat(x, Concat(y, z)) along one axis: Concat(x, y, z). The inner one stays if something else reads it.

    Exact: the rules say why.
    """
    return rewrite(graph, RULES)


def _if_same_type(value: Value | None, node: Node) -> Value | None:
    return value if value is not None and value.type == node.output.type else None


# 1. Neutral elements


@rule(Add, Sub, Mul, Div)
def drop_neutral(graph: Graph, node: Node) -> Value | None:
    for slot in (0, 1) if isinstance(node.op, Add | Mul) else (1,):
        if _is_neutral(node.op, uniform(node.inputs[slot])):
            return _if_same_type(node.inputs[1 - slot], node)
    return None


def _is_neutral(op: Op, number: Array | None) -> bool:
    if number is None:
        return False
    if isinstance(op, Mul | Div):
        return bool(number == 1)
    if not as_dtype(number.dtype).is_float:
        return bool(number == 0)
    # IEEE 754, rounding to nearest: x + -0.0 and x - 0.0 are x for every x; x + 0.0 and x - -0.0 turn -0.0 into 0.0.
    return bool(number == 0) and bool(np.signbit(number)) == isinstance(op, Add)


# 2. to 4. One function of another


@rule(Neg, Not, above=[(Neg, Not)])
def cancel_twice(graph: Graph, node: Node, inner: Node) -> Value | None:
    # A sign bit flipped twice; two's complement negated twice, the smallest integer too.
    return inner.inputs[0] if inner.op == node.op else None


@rule(Abs, above=[(Abs, Neg)])
def join_abs(graph: Graph, node: Node, inner: Node) -> Value:
    return add_for(graph, node, Abs(), inner.inputs[0])


@rule(Floor, Ceil, Round, above=[(Floor, Ceil, Round)])
def drop_second_rounding(graph: Graph, node: Node, inner: Node) -> Value:
    return inner.output  # whole numbers, inf and nan stay


@rule(Relu, above=[(Relu, Sigmoid, Exp, Softplus, Abs)])
def drop_relu(graph: Graph, node: Node, inner: Node) -> Value | None:
    # Of floats only: the absolute value of the smallest integer is negative.
    return inner.output if inner.output.type.dtype.is_float else None


# 5. Ranges


@rule(Clip, above=[Clip])
def join_clips(graph: Graph, node: Node, inner: Node) -> Value | None:
    first, second = _find_range(inner), _find_range(node)
    if first is None or second is None:
        return None
    joined = tuple(np.minimum(np.maximum(bound, second[0]), second[1]) for bound in first)
    # Ranges that do not overlap give one number, and if that is zero, its sign would depend on the order.
    if not joined[0] < joined[1] or _has_both_zeros(*first, *second):
        return None
    unbounded = _full_range(node)
    bounds = [
        None if bound == limit else add_constant(graph, node, bound)
        for bound, limit in zip(joined, unbounded, strict=True)
    ]
    return add_for(graph, node, Clip(), inner.inputs[0], *bounds)


@rule(Maximum, Minimum)
def join_bounds(graph: Graph, node: Node) -> Value | None:
    outer = _find_bound(node)
    inner = _find_bound(outer[0].node) if outer else None
    if outer is None or inner is None or type(outer[0].node.op) is type(node.op):
        return None
    (_, second), (x, first) = outer, inner
    low, high = (first, second) if isinstance(node.op, Minimum) else (second, first)
    # The orders of operators and operands decide between 0.0 and -0.0: these are the orders of Clip.
    is_order_of_clip = isinstance(node.op, Minimum) and node.inputs[0] is outer[0] and outer[0].node.inputs[0] is x
    if not low < high or (not is_order_of_clip and (low == 0 or high == 0)) or x.type != node.output.type:
        return None
    return add_for(graph, node, Clip(), x, add_constant(graph, node, low), add_constant(graph, node, high))


def _find_bound(node: Node) -> tuple[Value, Array] | None:
    """Return x and the number of a Maximum or Minimum of the two; None for anything else."""
    if not isinstance(node.op, Maximum | Minimum):
        return None
    return next(((x, number) for x, bound in both_orders(node) if (number := uniform(bound)) is not None), None)


def _find_range(node: Node) -> tuple[Array, Array] | None:
    """Return the bounds of a Clip, an absent one as the dtype's limit; None if they contradict or are no constants."""
    bounds = []
    for bound, limit in zip((*node.inputs, None, None)[1:3], _full_range(node), strict=True):
        array = limit if bound is None else constant_array(bound)
        if array is None:
            return None
        bounds.append(array)
    return (bounds[0], bounds[1]) if bounds[0] < bounds[1] else None


def _full_range(node: Node) -> tuple[Array, Array]:
    dtype = node.output.type.dtype
    if dtype.is_float:
        return np.asarray(-np.inf, dtype.numpy), np.asarray(np.inf, dtype.numpy)
    limits = np.iinfo(dtype.numpy)
    return np.asarray(limits.min, dtype.numpy), np.asarray(limits.max, dtype.numpy)


def _has_both_zeros(*bounds: Array) -> bool:
    signs = {bool(np.signbit(bound)) for bound in bounds if bound == 0 and as_dtype(bound.dtype).is_float}
    return len(signs) > 1


# 6. and 7. Choices


@rule(Where)
def choose(graph: Graph, node: Node) -> Value | None:
    condition, a, b = node.inputs
    decided = uniform(condition)
    if decided is not None:
        return _if_same_type(a if decided else b, node)
    return _if_same_type(a, node) if a is b else None


@rule(Where, above=[Not])
def swap_negated(graph: Graph, node: Node, negation: Node) -> Value:
    _, a, b = node.inputs
    return add_for(graph, node, Where(), negation.inputs[0], b, a)


@rule(And, Or, Xor)
def decide_logic(graph: Graph, node: Node) -> Value | None:
    for slot in (0, 1):
        flag = uniform(node.inputs[slot])
        if flag is not None:
            return _decide(graph, node, bool(flag), given(node.inputs[slot]), given(node.inputs[1 - slot]))
    return None


def _decide(graph: Graph, node: Node, flag: bool, constant: Value, other: Value) -> Value | None:
    if isinstance(node.op, Xor):
        same = _if_same_type(other, node)
        return same if same is None or not flag else add_for(graph, node, Not(), same)
    # True does nothing to And and decides Or; False the other way round.
    return _if_same_type(other if flag == isinstance(node.op, And) else constant, node)


@rule(And, Or, Maximum, Minimum)
def drop_same(graph: Graph, node: Node) -> Value | None:
    return node.inputs[0] if node.inputs[0] is node.inputs[1] else None


# 8. Casts


@rule(Cast, above=[Cast])
def join_casts(graph: Graph, node: Node, inner: Node) -> Value | None:
    x = given(inner.inputs[0])
    first, between, last = x.type.dtype, inner.output.type.dtype, node.output.type.dtype
    if between is DType.BOOL and is_boolean(x):
        return x if first is last else add_for(graph, node, node.op, x)
    # A float too large for the integer has no defined result: it may differ between float dtypes. A large integer may
    # become a float of 16 bits by way of float32, and is then rounded twice.
    if not _is_lossless(first, between) or (first.is_float and last.is_integer):
        return None
    if last.is_float and last.itemsize == 2 and first.is_integer and not _is_lossless(first, DType.FLOAT32):
        return None
    return x if first is last else add_for(graph, node, node.op, x)


def is_boolean(value: Value) -> bool:
    """Return whether a value is surely 0 or 1: a boolean, one as a number, or the largest or smallest of several."""
    while isinstance(value.node.op, ReduceMax | ReduceMin):
        reduced = given(value.node.inputs[0])
        sizes = [reduced.type.shape[axis] for axis in value.node.op.axes]
        # The largest of no elements is the lowest number of the dtype.
        if any(size == 0 or isinstance(size, Sym) for size in sizes):
            return False
        value = reduced
    is_cast_boolean = isinstance(value.node.op, Cast) and given(value.node.inputs[0]).type.dtype is DType.BOOL
    return is_cast_boolean or value.type.dtype is DType.BOOL


def _is_lossless(source: DType, target: DType) -> bool:
    """Return whether `target` holds every value of `source` exactly."""
    if source is target or source is DType.BOOL:
        return True
    if source.is_float:
        # Neither 16-bit format holds the other: one has the wider exponent, the other the wider significand.
        return target.is_float and target.itemsize > source.itemsize
    if target.is_float:
        # An integer is exact in a float whose significand holds it; the largest float16 has 16 bits before the point.
        return int(np.iinfo(source.numpy).max).bit_length() <= SIGNIFICAND_BITS[target]
    return target.is_integer and np.can_cast(source.numpy, target.numpy, "safe")


@rule(Concat)
def join_concats(graph: Graph, node: Node) -> Value | None:
    # Join from the outermost one, all at once: a long chain would otherwise be copied at each of its links.
    if _is_part(graph, node, *graph.consumers(node)[:1]):
        return None
    parts: list[Value] = []
    waiting = list(reversed(node.inputs))
    while waiting:
        value = given(waiting.pop())
        if _is_part(graph, value.node, node):
            waiting += reversed(value.node.inputs)
        else:
            parts.append(value)
    return add_for(graph, node, node.op, *parts) if len(parts) > len(node.inputs) else None


def _is_part(graph: Graph, node: Node, *outer: Node) -> bool:
    """Return whether a node is a Concat with one use, along the axis of the outer Concat if one is given."""
    return isinstance(node.op, Concat) and graph.is_read_once(node) and all(node.op == other.op for other in outer)


RULES = (
    drop_neutral,
    cancel_twice,
    join_abs,
    drop_second_rounding,
    drop_relu,
    join_clips,
    join_bounds,
    choose,
    swap_negated,
    decide_logic,
    drop_same,
    join_casts,
    join_concats,
)
