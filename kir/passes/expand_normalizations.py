"""Layer normalization of the channels of images, which come before height and width in ONNX."""

from __future__ import annotations

import math

import numpy as np

from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array
from kir.ir.types import DType
from kir.ops.elementwise import Add, Div, Mul, Sqrt, Sub
from kir.ops.normalization import LayerNormalization
from kir.ops.reduce import ReduceMean, ReduceSumSquare
from kir.ops.shape import Transpose
from kir.passes.fold_transposes import compose, permutation_of
from kir.passes.layouts import invert, is_identity
from kir.passes.rewrite import (
    add_constant,
    add_for,
    constant_array,
    given,
    op_of,
    rewrite,
    rounding_pass,
    rule,
)

# Of an image and its batch.
RANK = 4


@rounding_pass(tolerance=1024)
def expand_normalizations(graph: Graph) -> int:
    """Transpose(LayerNormalization(Transpose(x))) → d / sqrt(sum(d²) + n · epsilon) · (scale · √n) + bias

    d is x - mean(x), and n the number of elements that are normalized together.

    1. The two Transposes of images cancel, and nothing else reads what is between. ONNX's operator normalizes the last
       axes only; with the formula, a network of convolutions stays in one layout, without a Transpose between layers.
    2. The factor √n goes into the constant scale, which the next convolution mostly absorbs, like the bias.
    3. The dtype is float32 or float64. In 16 bits the operator computes in float32, which the formula would not.

    Rounding: sums of as many terms as there are channels are formed in another order, and the formula rounds where the
    operator need not.
    Speed: in onnxruntime on the CPU, which carries out most such Transposes on the way, ConvNeXtTiny takes 1.04 times
    as long as with them. Signals of one axis would take 1.02 to 1.4 times as long: they keep the operator.
    """
    return rewrite(graph, (expand_normalization,))


@rule(Transpose, above=[LayerNormalization, Transpose], once=True)
def expand_normalization(graph: Graph, node: Node, normalization: Node, first: Node) -> Value | None:
    if node.output.type.rank != RANK:
        return None
    permutation = permutation_of(first)
    weights = _find_weights(normalization)
    is_wide = node.output.type.dtype in (DType.FLOAT32, DType.FLOAT64)
    if weights is None or not is_wide or not is_identity(compose(permutation, permutation_of(node))):
        return None
    return _write_formula(graph, normalization, given(first.inputs[0]), permutation, *weights)


def _find_weights(node: Node) -> tuple[Array, Array] | None:
    """Return the constant scale and bias in float64; None if one is no constant."""
    scale = constant_array(node.inputs[1])
    bias_value = (*node.inputs, None)[2]
    bias = constant_array(bias_value)
    if scale is None or (bias_value is not None and bias is None):
        return None
    return scale.astype(np.float64), np.zeros(()) if bias is None else bias.astype(np.float64)


def _write_formula(
    graph: Graph, node: Node, x: Value, permutation: tuple[int, ...], scale: Array, bias: Array
) -> Value:
    """Add the formula for the normalization of x, whose axes the permutation puts in the order of the operator."""
    op = op_of(node, LayerNormalization)
    axes, dtype = tuple(sorted(permutation[op.axis :])), x.type.dtype.numpy

    def add_number(array: Array) -> Value:
        """Add a constant that broadcasts to x, from an array that broadcasts to the operator's input."""
        aligned = array.reshape((1,) * (RANK - array.ndim) + array.shape).transpose(invert(permutation))
        return add_constant(graph, node, aligned.reshape(aligned.shape[min(axes) :]).astype(dtype))

    centered = add_for(graph, node, Sub(), x, add_for(graph, node, ReduceMean(axes, True), x))
    total = add_for(graph, node, ReduceSumSquare(axes, True), centered)
    raised = add_for(graph, node, Add(), total, add_constant(graph, node, np.asarray(scale.size * op.epsilon, dtype)))
    quotient = add_for(graph, node, Div(), centered, add_for(graph, node, Sqrt(), raised))
    result = add_for(graph, node, Mul(), quotient, add_number(scale * math.sqrt(scale.size)))
    return add_for(graph, node, Add(), result, add_number(bias)) if bias.any() else result
