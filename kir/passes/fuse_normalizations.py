"""Layer normalisation that somebody wrote as a formula, or that an exporter without the operator did."""

from __future__ import annotations

import numpy as np

from kir.dims import is_known
from kir.graph import Graph, Node, Value
from kir.ops.elementwise import Add, Div, Mul, Pow, Reciprocal, Sqrt, Sub
from kir.ops.normalization import LayerNormalization
from kir.ops.reduce import ReduceMean
from kir.passes.rewrite import (
    add_constant,
    add_for,
    constant_array,
    given,
    producer,
    rewrite,
    rounding_pass,
    rule,
    uniform,
)
from kir.types import Shape


# The mean and the variance are sums in another order; what is left of x - mean is what their rounding leaves.
@rounding_pass(tolerance=1024)
def fuse_normalizations(graph: Graph) -> int:
    """(x - mean(x)) / sqrt(mean((x - mean(x)) ** 2) + epsilon) → LayerNormalization(x)

    Both means are over the last axes, of known sizes, and keep them.

    1. A quotient, or a product with 1 / sqrt(…) or (…) ** -0.5. The square is a power or a product, and epsilon may be
       missing. The scale is one.
    2. LayerNormalization(x) * c with a scale of ones and without a bias, where c has the axes that are normalized, or
       is constant and broadcasts to them: c is the scale.
    3. LayerNormalization(x) + c without a bias, for such a c: c is the bias.

    Nothing else may read the root, or the LayerNormalization.

    Rounding: the operator sums in another order, and rounds where the formula does not.
    """
    return rewrite(graph, (fuse_quotient, take_weight))


@rule(Div, Mul)
def fuse_quotient(graph: Graph, node: Node) -> Value | None:
    a, b = map(given, node.inputs)
    is_product = isinstance(node.op, Mul)
    for centred, deviation in ((a, b), (b, a)) if is_product else ((a, b),):
        total = _find_radicand(graph, deviation, is_product)
        variance, epsilon = (None, 0.0) if total is None else _without_number(total)
        mean = producer(centred.node, ReduceMean, slot=1) if isinstance(centred.node.op, Sub) else None
        if variance is None or mean is None or not _is_variance(variance, centred, mean):
            continue
        x = given(centred.node.inputs[0])
        axis = _find_first_axis(mean)
        if mean.inputs[0] is x and axis is not None and epsilon >= 0 and x.type == node.output.type:
            ones = np.ones([size for size in x.type.shape[axis:] if is_known(size)], x.type.dtype.numpy)
            return add_for(graph, node, LayerNormalization(axis, epsilon), x, add_constant(graph, node, ones))
    return None


@rule(Mul, Add)
def take_weight(graph: Graph, node: Node) -> Value | None:
    for slot in (0, 1):
        normalized = producer(node, LayerNormalization, slot=slot)
        if normalized is None or not graph.is_read_once(normalized) or len(normalized.inputs) > 2:
            continue
        x, scale = map(given, normalized.inputs)
        number = uniform(scale)
        is_free = isinstance(node.op, Add) or (number is not None and number == 1)
        if is_free and node.output.type == normalized.output.type:
            weight = _find_weight(graph, given(node.inputs[1 - slot]), scale.type.shape)
            if weight is not None:
                weights = (scale, weight) if isinstance(node.op, Add) else (weight,)
                return add_for(graph, node, normalized.op, x, *weights)
    return None


def _find_radicand(graph: Graph, value: Value, is_inverse: bool) -> Value | None:
    """y, of sqrt(y) or of its inverse in one of its forms, if nothing else reads these."""
    node = value.node
    if not graph.is_read_once(node):
        return None
    if isinstance(node.op, Pow):
        exponent = uniform(node.inputs[1])
        return node.inputs[0] if exponent is not None and exponent == (-0.5 if is_inverse else 0.5) else None
    if is_inverse:
        one = uniform(node.inputs[0]) if isinstance(node.op, Div) else None
        is_inverted = isinstance(node.op, Reciprocal) or (one is not None and one == 1)
        return _find_radicand(graph, given(node.inputs[-1]), is_inverse=False) if is_inverted else None
    return node.inputs[0] if isinstance(node.op, Sqrt) else None


def _without_number(total: Value) -> tuple[Value, float]:
    """y and the number, of y + number; anything else is a sum with 0."""
    if isinstance(total.node.op, Add):
        a, b = map(given, total.node.inputs)
        for y, number in ((a, uniform(b)), (b, uniform(a))):
            if number is not None and y.type == total.type:
                return y, float(number)
    return total, 0.0


def _is_variance(variance: Value, centred: Value, mean: Node) -> bool:
    """Whether a value is the mean of the square of `centred`, along the axes of the other mean."""
    square = producer(variance.node, Mul, Pow) if variance.node.op == mean.op else None
    if square is None:
        return False
    a, b = map(given, square.inputs)
    exponent = uniform(b) if isinstance(square.op, Pow) else None
    return a is centred and (b is centred if isinstance(square.op, Mul) else exponent is not None and exponent == 2)


def _find_first_axis(mean: Node) -> int | None:
    """The first axis of a mean over the last ones, which it keeps; None of any other and where a size is unknown."""
    op, shape = mean.op, given(mean.inputs[0]).type.shape
    assert isinstance(op, ReduceMean)
    first = len(shape) - len(op.axes)
    is_of_last = op.keepdims and op.axes and op.axes == tuple(range(first, len(shape)))
    return first if is_of_last and all(map(is_known, shape[first:])) else None


def _find_weight(graph: Graph, value: Value, shape: Shape) -> Value | None:
    """What gives a value of this shape the numbers that the other has when it broadcasts; None if it has more axes."""
    if value.type.shape == shape:
        return value
    array = constant_array(value)
    if array is None or any(size != 1 for size in array.shape[: max(array.ndim - len(shape), 0)]):
        return None
    array = array.reshape(array.shape[max(array.ndim - len(shape), 0) :])
    return add_constant(graph, value.node, np.broadcast_to(array, [size for size in shape if is_known(size)]))
