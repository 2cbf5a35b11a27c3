"""Layer normalisation that somebody wrote as a formula, or that an exporter without the operator did."""

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
    constant_array,
    given,
    producer,
    rewrite,
    rounding_pass,
    rule,
    uniform,
)


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
    4. x * k + (c - mean(x) * k), where k is 1 / sqrt(…), or that times a scale, and c may be missing, or stand behind
       -mean(x) * k: LayerNormalization with these weights.

    Nothing else may read the root, or the LayerNormalization.
    Source: 1. is what torch.onnx writes below opset 17, 4. is `tf.nn.batch_normalization`, which Keras calls.
    Rounding: the operator sums in another order, and rounds where the formula does not.
    """
    if not graph.has_any(ReduceMean, LayerNormalization):
        return 0
    return rewrite(graph, (fuse_quotient, fuse_scaled, take_weight))


@rule(Div, Mul)
def fuse_quotient(graph: Graph, node: Node) -> Value | None:
    a, b = map(given, node.inputs)
    is_product = isinstance(node.op, Mul)
    for centred, deviation in ((a, b), (b, a)) if is_product else ((a, b),):
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
    a, b = map(given, node.inputs)
    for product, rest in ((a, b), (b, a)) if isinstance(node.op, Add) else ((a, b),):
        for x, factor in _operands(product, Mul):
            shift = _find_shift(rest, factor, is_negative=isinstance(node.op, Sub))
            found = None if shift is None else _find_scaled(graph, x, factor, shift[0])
            if shift is not None and found is not None and x.type == node.output.type:
                return _add_normalization(graph, node, x, *found, shift[1])
    return None


def _add_normalization(
    graph: Graph, node: Node, x: Value, op: LayerNormalization, scale: Value | None, bias: Value | None
) -> Value | None:
    """The operator with these weights, if they are of its axes."""
    shape = x.type.shape[op.axis :]
    weights = [_add_ones(graph, node, x.type, op.axis) if scale is None else _find_weight(graph, scale, shape)]
    if bias is not None:
        weights.append(_find_weight(graph, bias, shape))
    return None if None in weights else add_for(graph, node, op, x, *weights)


def _find_shift(rest: Value, factor: Value, is_negative: bool) -> tuple[Node, Value | None] | None:
    """The mean and the bias, of bias - mean * factor in one of its forms; of mean * factor alone if `is_negative`."""
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
    """The operator and the scale, of a factor that is scale / sqrt(variance + epsilon), which is read twice."""
    pairs: list[tuple[Value, Value | None]] = [(factor, None), *_operands(factor, Mul)]
    for inverse, scale in pairs:
        total = _find_radicand(graph, inverse, True, readers=2 if scale is None else 1)
        op = None if total is None or len(graph.uses(factor)) != 2 else _find_operator(x, mean, total)
        if op is not None:
            return op, scale
    return None


def _operands(value: Value, cls: type[Op]) -> list[tuple[Value, Value]]:
    """Both operands of a sum or a product, in either order; none of anything else."""
    if not isinstance(value.node.op, cls):
        return []
    a, b = map(given, value.node.inputs)
    return [(a, b), (b, a)]


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


def _find_radicand(graph: Graph, value: Value, is_inverse: bool, readers: int = 1) -> Value | None:
    """y, of sqrt(y) or of its inverse in one of its forms, if these have no other readers."""
    node = value.node
    if len(node.outputs) != 1 or len(graph.uses(value)) != readers:
        return None
    if isinstance(node.op, Pow):
        exponent = uniform(node.inputs[1])
        return node.inputs[0] if exponent is not None and exponent == (-0.5 if is_inverse else 0.5) else None
    if is_inverse:
        one = uniform(node.inputs[0]) if isinstance(node.op, Div) else None
        is_inverted = isinstance(node.op, Reciprocal) or (one is not None and one == 1)
        return _find_radicand(graph, given(node.inputs[-1]), is_inverse=False) if is_inverted else None
    return node.inputs[0] if isinstance(node.op, Sqrt) else None


def _find_operator(x: Value, mean: Node, total: Value) -> LayerNormalization | None:
    """The normalization of x, if the total is its variance and epsilon; all means are over the last axes."""
    variance, epsilon = _without_number(total)
    axis = _find_first_axis(mean)
    is_of_x = mean.inputs[0] is x and variance.node.op == mean.op and _is_squared(variance.node.inputs[0], x, mean)
    return LayerNormalization(axis, epsilon) if axis is not None and is_of_x and epsilon >= 0 else None


def _without_number(total: Value) -> tuple[Value, float]:
    """y and the number, of y + number; anything else is a sum with 0."""
    if isinstance(total.node.op, Add):
        a, b = map(given, total.node.inputs)
        for y, number in ((a, uniform(b)), (b, uniform(a))):
            if number is not None and y.type == total.type:
                return y, float(number)
    return total, 0.0


def _is_squared(square: Value | None, x: Value, mean: Node) -> bool:
    """Whether a value is (x - mean) ** 2."""
    node = given(square).node
    if not isinstance(node.op, Mul | Pow):
        return False
    a, b = map(given, node.inputs)
    exponent = uniform(b) if isinstance(node.op, Pow) else None
    is_square = a is b if isinstance(node.op, Mul) else exponent is not None and exponent == 2
    return is_square and isinstance(a.node.op, Sub) and list(a.node.inputs) == [x, mean.output]


def _find_first_axis(mean: Node) -> int | None:
    """The first axis of a mean over the last ones, which it keeps; None of any other and where a size is unknown."""
    op, shape = mean.op, given(mean.inputs[0]).type.shape
    assert isinstance(op, ReduceMean)
    first = len(shape) - len(op.axes)
    is_of_last = op.keepdims and op.axes and op.axes == tuple(range(first, len(shape)))
    return first if is_of_last and all(map(is_known, shape[first:])) else None


def _add_ones(graph: Graph, node: Node, type: TensorType, axis: int) -> Value:
    ones = np.ones([size for size in type.shape[axis:] if is_known(size)], type.dtype.numpy)
    return add_constant(graph, node, ones)


def _find_weight(graph: Graph, value: Value, shape: Shape) -> Value | None:
    """What gives a value of this shape the numbers that the other has when it broadcasts; None if it has more axes."""
    if value.type.shape == shape:
        return value
    array = constant_array(value)
    if array is None or any(size != 1 for size in array.shape[: max(array.ndim - len(shape), 0)]):
        return None
    array = array.reshape(array.shape[max(array.ndim - len(shape), 0) :])
    return add_constant(graph, value.node, np.broadcast_to(array, [size for size in shape if is_known(size)]))
