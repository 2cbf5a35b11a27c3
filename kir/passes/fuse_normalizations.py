"""Formulas of layer normalization, written by a person or by an exporter that lacks the operator."""

from __future__ import annotations

import numpy as np

from kir.ir.dims import is_known
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Op
from kir.ir.types import Shape, TensorType
from kir.ops.elementwise import Add, Div, Mul, Neg, Pow, Reciprocal, Sqrt, Sub
from kir.ops.normalization import LayerNormalization
from kir.ops.reduce import ReduceMean
from kir.passes.rewrite import (
    add_constant,
    add_for,
    both_orders,
    constant_array,
    given,
    is_number,
    op_of,
    producer,
    rewrite,
    rounding_pass,
    rule,
    uniform,
)


@rounding_pass(tolerance=1024)
def fuse_normalizations(graph: Graph) -> int:
    """(x - mean(x)) / sqrt(mean((x - mean(x)) ** 2) + epsilon) → LayerNormalization(x)

    Both means are over the last axes, of known sizes, and keep them. Nothing else reads the root, or the
    LayerNormalization.

    1. A quotient as above, or a product with 1 / sqrt(…) or (…) ** -0.5. The square is a power or a product, and
       epsilon may be missing. The scale is 1.
    2. LayerNormalization(x) * c, with a scale of ones and without a bias: c is the scale, if it has the axes that are
       normalized, or is constant and broadcasts to them.
    3. LayerNormalization(x) + c, without a bias: c is the bias, under the same condition.
    4. x * k + (c - mean(x) * k), where k is 1 / sqrt(…), perhaps times a scale: LayerNormalization with that scale and
       the bias c. c may be missing, or be added last.

    Source: torch.onnx writes 1. below opset 17; 4. is `tf.nn.batch_normalization`, which Keras calls.
    Rounding: sums are formed in another order, and x - mean magnifies their rounding; the formula rounds in other
    places.
    """
    if not graph.has_any(ReduceMean, LayerNormalization):
        return 0
    return rewrite(graph, (fuse_quotient, fuse_scaled, take_weight))


@rule(Div, Mul)
def fuse_quotient(graph: Graph, node: Node) -> Value | None:
    is_product = isinstance(node.op, Mul)
    for centred, deviation in both_orders(node) if is_product else both_orders(node)[:1]:
        total = _find_radicand(graph, deviation, is_product)
        mean = producer(centred.node, ReduceMean, slot=1) if isinstance(centred.node.op, Sub) else None
        if total is None or mean is None:
            continue
        x = given(centred.node.inputs[0])
        op = _find_operator(x, mean, total)
        if op is not None and x.type == node.output.type:
            return _add_normalization(graph, node, x, op, None, None)
    return None


@rule(Add, Sub)
def fuse_scaled(graph: Graph, node: Node) -> Value | None:
    is_negative = isinstance(node.op, Sub)
    for product, rest in both_orders(node)[:1] if is_negative else both_orders(node):
        for x, factor in _operands(product, Mul):
            shift = _find_shift(rest, factor, is_negative)
            found = None if shift is None else _find_scaled(graph, x, factor, shift[0])
            if shift is not None and found is not None and x.type == node.output.type:
                return _add_normalization(graph, node, x, *found, shift[1])
    return None


def _add_normalization(
    graph: Graph, node: Node, x: Value, op: LayerNormalization, scale: Value | None, bias: Value | None
) -> Value | None:
    """Add the operator with these weights, if they fit its axes."""
    shape = x.type.shape[op.axis :]
    weights = [_add_ones(graph, node, x.type, op.axis) if scale is None else _find_weight(graph, scale, shape)]
    if bias is not None:
        weights.append(_find_weight(graph, bias, shape))
    return None if None in weights else add_for(graph, node, op, x, *weights)


def _find_shift(rest: Value, factor: Value, is_negative: bool) -> tuple[Node, Value | None] | None:
    """Return the mean and the bias, of bias - mean * factor in one of its forms; if `is_negative`, of mean * factor."""
    node = rest.node
    if is_negative:
        means = [m.node for m, k in _operands(rest, Mul) if k is factor and isinstance(m.node.op, ReduceMean)]
        return (means[0], None) if means else None
    if isinstance(node.op, Neg):
        return _find_shift(given(node.inputs[0]), factor, is_negative=True)
    if isinstance(node.op, Sub):
        shift = _find_shift(given(node.inputs[1]), factor, is_negative=True)
        return None if shift is None else (shift[0], node.inputs[0])
    for part, other in _operands(rest, Mul):
        mean = producer(part.node, ReduceMean) if isinstance(part.node.op, Neg) else None
        if other is factor and mean is not None:
            return mean, None
    for part, bias in _operands(rest, Add):
        shift = None if isinstance(part.node.op, Add) else _find_shift(part, factor, is_negative=False)
        if shift is not None and shift[1] is None:
            return shift[0], bias
    return None


def _find_scaled(graph: Graph, x: Value, factor: Value, mean: Node) -> tuple[LayerNormalization, Value | None] | None:
    """Return the operator and the scale, of a factor that is scale / sqrt(variance + epsilon) and has two uses."""
    pairs: list[tuple[Value, Value | None]] = [(factor, None), *_operands(factor, Mul)]
    for inverse, scale in pairs:
        total = _find_radicand(graph, inverse, True, readers=2 if scale is None else 1)
        op = None if total is None or len(graph.uses(factor)) != 2 else _find_operator(x, mean, total)
        if op is not None:
            return op, scale
    return None


def _operands(value: Value, cls: type[Op]) -> list[tuple[Value, Value]]:
    return both_orders(value.node) if isinstance(value.node.op, cls) else []


@rule(Mul, Add)
def take_weight(graph: Graph, node: Node) -> Value | None:
    for slot in (0, 1):
        normalized = producer(node, LayerNormalization, slot=slot)
        if normalized is None or not graph.is_read_once(normalized) or len(normalized.inputs) > 2:
            continue
        x, scale = map(given, normalized.inputs)
        is_free = isinstance(node.op, Add) or is_number(scale, 1)
        if is_free and node.output.type == normalized.output.type:
            weight = _find_weight(graph, given(node.inputs[1 - slot]), scale.type.shape)
            if weight is not None:
                weights = (scale, weight) if isinstance(node.op, Add) else (weight,)
                return add_for(graph, node, normalized.op, x, *weights)
    return None


def _find_radicand(graph: Graph, value: Value, is_inverse: bool, readers: int = 1) -> Value | None:
    """Return y, of sqrt(y) or of its inverse in one of its forms, if these have no other readers."""
    node = value.node
    if len(node.outputs) != 1 or len(graph.uses(value)) != readers:
        return None
    if isinstance(node.op, Pow):
        return node.inputs[0] if is_number(node.inputs[1], -0.5 if is_inverse else 0.5) else None
    if is_inverse:
        is_inverted = isinstance(node.op, Reciprocal) or (isinstance(node.op, Div) and is_number(node.inputs[0], 1))
        return _find_radicand(graph, given(node.inputs[-1]), is_inverse=False) if is_inverted else None
    return node.inputs[0] if isinstance(node.op, Sqrt) else None


def _find_operator(x: Value, mean: Node, total: Value) -> LayerNormalization | None:
    """Return the normalization of x, if `total` is its variance plus epsilon and all means are over the last axes."""
    variance, epsilon = _without_number(total)
    axis = _find_first_axis(mean)
    is_of_x = mean.inputs[0] is x and variance.node.op == mean.op and _is_squared(variance.node.inputs[0], x, mean)
    return LayerNormalization(axis, epsilon) if axis is not None and is_of_x and epsilon >= 0 else None


def _without_number(total: Value) -> tuple[Value, float]:
    """Return y and the number, of y + number; for any other value that value and 0."""
    for y, constant in _operands(total, Add):
        number = uniform(constant)
        if number is not None and y.type == total.type:
            return y, float(number)
    return total, 0.0


def _is_squared(square: Value | None, x: Value, mean: Node) -> bool:
    """Return whether a value is (x - mean) ** 2."""
    node = given(square).node
    if not isinstance(node.op, Mul | Pow):
        return False
    a, b = map(given, node.inputs)
    is_square = a is b if isinstance(node.op, Mul) else is_number(b, 2)
    return is_square and isinstance(a.node.op, Sub) and list(a.node.inputs) == [x, mean.output]


def _find_first_axis(mean: Node) -> int | None:
    """Return the first axis of a mean over the last axes that keeps them; None for any other, or an unknown size."""
    op, shape = op_of(mean, ReduceMean), given(mean.inputs[0]).type.shape
    first = len(shape) - len(op.axes)
    is_of_last = op.keepdims and op.axes and op.axes == tuple(range(first, len(shape)))
    return first if is_of_last and all(map(is_known, shape[first:])) else None


def _add_ones(graph: Graph, node: Node, type: TensorType, axis: int) -> Value:
    ones = np.ones([size for size in type.shape[axis:] if is_known(size)], type.dtype.numpy)
    return add_constant(graph, node, ones)


def _find_weight(graph: Graph, value: Value, shape: Shape) -> Value | None:
    """Return a value of this shape that equals the given one, broadcast; None if it has another shape or more axes."""
    if value.type.shape == shape:
        return value
    array = constant_array(value)
    if array is None or any(size != 1 for size in array.shape[: max(array.ndim - len(shape), 0)]):
        return None
    array = array.reshape(array.shape[max(array.ndim - len(shape), 0) :])
    return add_constant(graph, value.node, np.broadcast_to(array, [size for size in shape if is_known(size)]))
