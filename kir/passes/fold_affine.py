"""Scales, shifts, BatchNormalizations and linear Dense layers around a Dense, folded into its weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kir.graph import Graph, Node, Value
from kir.op import Array
from kir.ops.elementwise import Add, Div, Mul, Neg, Sub
from kir.ops.linear import Dense
from kir.ops.normalization import BatchNormalization
from kir.ops.structural import Constant
from kir.passes.rewrite import add_constant, add_for, constant_array, given, producer, rewrite, rounding_pass, rule

# Multiplications that folding one Dense into another may take at export: about a second on one core.
MAX_MULTIPLICATIONS = 2**31


@rounding_pass(tolerance=1024, changes_weights=True)
def fold_affine(graph: Graph) -> int:
    """Dense(x, kernel, bias) * c → Dense(x, kernel * c, bias * c)

    A scale or shift is Mul, Div, Add or Sub with a constant number, or one per unit, or Neg, or a BatchNormalization.

    1. A scale or shift behind a Dense without activation that nothing else reads.
    2. A scale or shift in front of a Dense, which nothing else reads.
    3. A Dense without activation in front of a Dense, when one kernel is no larger than the two.

    Kernels and biases are constants, and a kernel that another node reads too is left alone: it would be stored twice.
    New weights are computed in float64 and rounded once; if one is not finite, nothing is folded.

    Rounding: sums are formed in another order.
    """
    return rewrite(graph, (fold_behind, fold_in_front, fold_dense))


@dataclass(frozen=True, slots=True)
class Affine:
    """``x * scale + shift`` along the last axis; each is a float64 number, or an array with one for each element."""

    x: Value
    scale: Array | float
    shift: Array | float


def find_affine(node: Node | None) -> Affine | None:
    """What a node computes, if that is a scale or a shift of one float value that keeps its type."""
    if node is not None and isinstance(node.op, BatchNormalization):
        return _affine_of_statistics(node) if node.output.type.rank == 2 else None
    if node is None or not isinstance(node.op, Add | Sub | Mul | Div | Neg):
        return None
    if isinstance(node.op, Neg):
        affine = Affine(given(node.inputs[0]), -1.0, 0.0)
        return affine if affine.x.type.dtype.is_float else None
    a, b = given(node.inputs[0]), given(node.inputs[1])
    if isinstance(a.node.op, Constant):
        return _affine_of(node, b, a, swapped=True)
    return _affine_of(node, a, b, swapped=False)


def _affine_of(node: Node, x: Value, operand: Value, swapped: bool) -> Affine | None:
    c = _read_vector(operand)
    if c is None or x.type != node.output.type or not x.type.dtype.is_float or (swapped and isinstance(node.op, Div)):
        return None
    if isinstance(node.op, Add):
        return Affine(x, 1.0, c)
    if isinstance(node.op, Sub):
        return Affine(x, -1.0, c) if swapped else Affine(x, 1.0, -c)
    with np.errstate(all="ignore"):
        return Affine(x, c if isinstance(node.op, Mul) else 1.0 / c, 0.0)


def _affine_of_statistics(node: Node) -> Affine | None:
    """What a BatchNormalization with constant statistics computes along its axis."""
    assert isinstance(node.op, BatchNormalization)
    vectors = [_read_vector(given(value)) for value in node.inputs[1:]]
    scale, bias, mean, variance = vectors
    if scale is None or bias is None or mean is None or variance is None:
        return None
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + node.op.epsilon)
        return Affine(given(node.inputs[0]), factor, bias - mean * factor)


def _read_vector(value: Value) -> Array | None:
    """A constant in float64 whose only axis longer than 1, if any, is the last; else None."""
    array = constant_array(value)
    if array is None or any(size != 1 for size in array.shape[:-1]) or not value.type.dtype.is_float:
        return None
    return np.asarray(array.reshape(array.shape[-1:]), np.float64)


@dataclass(frozen=True, slots=True)
class Weights:
    """The constant kernel and bias of a Dense node."""

    node: Node
    kernel: Array
    bias: Array | None

    @property
    def bias_or_zero(self) -> Array:
        return np.zeros(self.kernel.shape[1]) if self.bias is None else self.bias.astype(np.float64)


def find_weights(node: Node | None) -> Weights | None:
    """The weights of a Dense node; None if they are not constants, or it is no Dense."""
    if node is None or not isinstance(node.op, Dense):
        return None
    bias_value = (*node.inputs, None)[2]
    kernel, bias = constant_array(node.inputs[1]), constant_array(bias_value)
    if kernel is None or (bias_value is not None and bias is None):
        return None
    return Weights(node, kernel, bias)


@rule(Mul, Div, Add, Sub, Neg, BatchNormalization)
def fold_behind(graph: Graph, node: Node) -> Value | None:
    affine = find_affine(node)
    weights = find_weights(affine.x.node) if affine else None
    if affine is None or weights is None or not graph.is_read_once(weights.node) or weights.node.op != Dense():
        return None
    bias = weights.bias_or_zero * affine.scale + affine.shift
    kernel = None if _is_one(affine.scale) else weights.kernel * affine.scale
    return _replace_weights(graph, weights, given(weights.node.inputs[0]), kernel, bias)


@rule(Dense)
def fold_in_front(graph: Graph, node: Node) -> Value | None:
    weights = find_weights(node)
    before = given(node.inputs[0]).node
    affine = find_affine(before)
    if weights is None or affine is None or not graph.is_read_once(before):
        return None
    shift = np.broadcast_to(affine.shift, weights.kernel.shape[:1])
    bias = weights.bias_or_zero + shift @ weights.kernel
    scale = np.broadcast_to(affine.scale, weights.kernel.shape[:1])
    kernel = None if _is_one(affine.scale) else weights.kernel * scale[:, None]
    return _replace_weights(graph, weights, affine.x, kernel, bias)


@rule(Dense)
def fold_dense(graph: Graph, node: Node) -> Value | None:
    inner = producer(node, Dense)
    first, second = find_weights(inner), find_weights(node)
    if inner is None or inner.op != Dense() or first is None or second is None or not graph.is_read_once(inner):
        return None
    if not _is_smaller_joined(first.kernel, second.kernel) or not graph.is_read_once(_kernel_node(first)):
        return None
    wide = second.kernel.astype(np.float64)
    bias = first.bias_or_zero @ wide + second.bias_or_zero
    return _replace_weights(graph, second, given(inner.inputs[0]), first.kernel.astype(np.float64) @ wide, bias)


def _is_smaller_joined(first: Array, second: Array) -> bool:
    """Parameters and multiplications of one sample are the same number, so one comparison decides both."""
    (inputs, hidden), units = first.shape, second.shape[1]
    smaller: bool = inputs * units <= first.size + second.size
    return smaller and inputs * hidden * units <= MAX_MULTIPLICATIONS


def _is_one(scale: Array | float) -> bool:
    return bool(np.all(np.equal(scale, 1.0)))


def _kernel_node(weights: Weights) -> Node:
    return given(weights.node.inputs[1]).node


def _replace_weights(graph: Graph, old: Weights, x: Value, kernel: Array | None, bias: Array) -> Value | None:
    """A Dense of `x` in the place of the old one; `kernel` None keeps the old one. None if it must not be.

    A Dense without a bias stays one if the new bias is zero.
    """
    node, dtype = old.node, old.kernel.dtype
    if kernel is not None and not graph.is_read_once(_kernel_node(old)):
        return None
    with np.errstate(over="ignore"):
        new_kernel = old.kernel if kernel is None else kernel.astype(dtype)
        new_bias = bias.astype(dtype)
    if not (np.isfinite(new_kernel).all() and np.isfinite(new_bias).all()):
        return None
    inputs = [x, given(node.inputs[1]) if kernel is None else _add_weight(graph, given(node.inputs[1]), new_kernel)]
    if old.bias is not None or new_bias.any():
        inputs.append(_add_weight(graph, (*node.inputs, None)[2] or given(node.inputs[1]), new_bias))
    return add_for(graph, node, node.op, *inputs)


def _add_weight(graph: Graph, old: Value, array: Array) -> Value:
    label = old.node.op.label if isinstance(old.node.op, Constant) and array.ndim == old.type.rank else None
    return add_constant(graph, old.node, array, label)
