"""Scales, shifts, BatchNormalizations and linear Dense layers next to a Dense or a convolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kir.ir.dims import is_known
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array
from kir.ir.structural import Constant
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.elementwise import Add, Div, Mul, Neg, Sub
from kir.ops.linear import Dense
from kir.ops.normalization import BatchNormalization
from kir.ops.shape import Concat, Reshape, Transpose
from kir.passes.fold_transposes import compose, permutation_of
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

# Folding one Dense into another may take so many multiplications at export: about a second on one core.
MAX_MULTIPLICATIONS = 2**31

# A constant with more elements is a table rather than a scale or a shift.
MAX_ELEMENTS = 2**16


@rounding_pass(tolerance=1024, changes_weights=True)
def fold_affine(graph: Graph) -> int:
    """Dense(x, kernel, bias) * c → Dense(x, kernel * c, bias * c)

    A scale or shift is a Mul, Div, Add or Sub with a constant (one number, or one per unit or channel), a Neg, or a
    BatchNormalization.

    1. A scale or shift after a Dense without activation, a Conv or a ConvTranspose that nothing else reads. If it is
       one number, Reshapes and Transposes may stand between, as in attention.
    2. A scale or shift before one of these, which nothing else reads. A shift before a ConvTranspose or a Conv with
       padding stays, since it does not shift the padding.
    3. A Dense without activation before a Dense, if the product of the kernels is no larger than the two.
    4. A BatchNormalization of another axis, between two Transposes that cancel: a scale and a shift without them.
    5. A BatchNormalization after a Concat of the channels of convolutions as in 1: one after each of them.

    Kernels and biases are constants. A kernel that another node reads too stays: it would be stored twice. New weights
    are computed in float64 and rounded once; if one is not finite, nothing is folded.

    Rounding: sums are formed in another order.
    """
    if not graph.has_any(Dense, Conv, ConvTranspose, BatchNormalization):
        return 0
    return rewrite(graph, (fold_behind, divide_statistics, fold_in_front, fold_dense, skip_transposes))


@dataclass(frozen=True, slots=True)
class Affine:
    """``x * scale + shift``, in float64.

    Scale and shift are each one number, one for each element of an axis, or an array that broadcasts to x.
    """

    x: Value
    scale: Array | float
    shift: Array | float


def find_affine(node: Node | None, axis: int | None) -> Affine | None:
    """Return what a node computes, if it scales or shifts one float value along an axis and keeps its type.

    Without an axis, the constant may broadcast in any way, unless it is a table.
    """
    if node is not None and isinstance(node.op, BatchNormalization):
        return _affine_of_statistics(node) if axis == 1 else None
    if node is None or not isinstance(node.op, Add | Sub | Mul | Div | Neg):
        return None
    if isinstance(node.op, Neg):
        affine = Affine(given(node.inputs[0]), -1.0, 0.0)
        return affine if affine.x.type.dtype.is_float else None
    a, b = given(node.inputs[0]), given(node.inputs[1])
    if isinstance(a.node.op, Constant):
        return _affine_of(node, b, a, axis, swapped=True)
    return _affine_of(node, a, b, axis, swapped=False)


def _affine_of(node: Node, x: Value, operand: Value, axis: int | None, swapped: bool) -> Affine | None:
    c = _read_small(operand) if axis is None else _read_vector(operand, x.type.rank - axis)
    if c is None or x.type != node.output.type or not x.type.dtype.is_float or (swapped and isinstance(node.op, Div)):
        return None
    if isinstance(node.op, Add):
        return Affine(x, 1.0, c)
    if isinstance(node.op, Sub):
        return Affine(x, -1.0, c) if swapped else Affine(x, 1.0, -c)
    with np.errstate(all="ignore"):
        return Affine(x, c if isinstance(node.op, Mul) else 1.0 / c, 0.0)


def _affine_of_statistics(node: Node) -> Affine | None:
    """Return what a BatchNormalization computes along its axis; None if its statistics are no constants."""
    vectors = [_read_vector(given(value), 1) for value in node.inputs[1:]]
    scale, bias, mean, variance = vectors
    if scale is None or bias is None or mean is None or variance is None:
        return None
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + op_of(node, BatchNormalization).epsilon)
        return Affine(given(node.inputs[0]), factor, bias - mean * factor)


def _read_vector(value: Value, from_end: int) -> Array | None:
    """Return a constant along one axis, counted from the end, in float64; None if another axis is longer than 1."""
    array = constant_array(value)
    if array is None or not value.type.dtype.is_float:
        return None
    axis = array.ndim - from_end
    if any(size != 1 for other, size in enumerate(array.shape) if other != axis):
        return None
    return np.asarray(array.reshape(array.shape[axis : axis + 1] if axis >= 0 else ()), np.float64)


def _read_small(value: Value) -> Array | None:
    """Return a constant of floats in float64; None if it is large."""
    array = constant_array(value)
    is_small = array is not None and value.type.dtype.is_float and array.size <= MAX_ELEMENTS
    return np.asarray(array, np.float64) if is_small else None


@dataclass(frozen=True, slots=True)
class Weights:
    """The constant kernel and bias of a Dense or a convolution."""

    node: Node
    kernel: Array
    bias: Array | None

    @property
    def axis(self) -> int:
        """The axis of features or channels, of the input and of the result."""
        return self.node.output.type.rank - 1 if isinstance(self.node.op, Dense) else 1

    @property
    def units(self) -> int:
        """The size of that axis of the result."""
        if isinstance(self.node.op, ConvTranspose):
            return int(self.kernel.shape[1]) * self.node.op.groups
        return int(self.kernel.shape[1 if isinstance(self.node.op, Dense) else 0])

    @property
    def is_linear(self) -> bool:
        return not isinstance(self.node.op, Dense) or self.node.op.activation is None

    @property
    def bias_or_zero(self) -> Array:
        return np.zeros(self.units) if self.bias is None else self.bias.astype(np.float64)

    def scale_outputs(self, scale: Array | float) -> Array:
        """Return the kernel that also multiplies its result by a number for each element of the axis."""
        op = self.node.op
        if isinstance(op, Dense):
            return np.asarray(self.kernel * scale)
        if isinstance(op, ConvTranspose):
            return self._scale_groups(op.groups, 2, scale)
        return np.asarray(self.kernel * _along(scale, 0, self.kernel.ndim))

    def scale_inputs(self, scale: Array | float) -> Array:
        """Return the kernel that also multiplies its input by a number for each element of the axis."""
        op = self.node.op
        if isinstance(op, Conv):
            return self._scale_groups(op.groups, 2, scale)
        return np.asarray(self.kernel * _along(scale, 0, self.kernel.ndim))

    def shift_inputs(self, shift: Array | float) -> Array | None:
        """Return the shift of the result when the input's axis is shifted; None if it differs from place to place."""
        op = self.node.op
        if isinstance(op, Dense):
            return np.asarray(np.broadcast_to(shift, self.kernel.shape[:1]) @ self.kernel)
        if not np.any(shift):
            return np.zeros(self.units)
        if not isinstance(op, Conv) or isinstance(op.padding, str) or any(op.padding):
            return None
        shifted = self._scale_groups(op.groups, 2, shift)
        return np.asarray(shifted.reshape(self.units, -1).sum(axis=1))

    def _scale_groups(self, groups: int, axis: int, scale: Array | float) -> Array:
        """Return the kernel times a number for each group and element of an axis; the groups are a new first axis."""
        grouped = self.kernel.reshape(groups, -1, *self.kernel.shape[1:])
        vector = np.broadcast_to(scale, (groups * grouped.shape[axis],)).reshape(groups, 1, grouped.shape[axis])
        return np.asarray(
            (grouped * vector.reshape(*vector.shape, *[1] * (grouped.ndim - 3))).reshape(self.kernel.shape)
        )


def _along(scale: Array | float, axis: int, rank: int) -> Array:
    """Return one number, or one for each element of an axis, in a shape that broadcasts to that axis."""
    array = np.asarray(scale)
    return array.reshape(-1, *[1] * (rank - 1 - axis)) if array.ndim else array


def find_weights(node: Node | None) -> Weights | None:
    """Return the weights of a Dense or a convolution; None if they are no constants, or it is neither."""
    if node is None or not isinstance(node.op, Dense | Conv | ConvTranspose):
        return None
    bias_value = (*node.inputs, None)[2]
    kernel, bias = constant_array(node.inputs[1]), constant_array(bias_value)
    if kernel is None or (bias_value is not None and bias is None):
        return None
    return Weights(node, kernel, bias)


@rule(Mul, Div, Add, Sub, Neg, BatchNormalization)
def fold_behind(graph: Graph, node: Node) -> Value | None:
    for value in node.inputs[:2]:
        movers = [] if value is None else _movers_above(graph, value)
        source = given(movers[-1].inputs[0]) if movers else value
        weights = find_weights(None if source is None else source.node)
        if value is None or weights is None:
            continue
        # Movers put an axis somewhere else, so that after them the constant must be one number.
        affine = find_affine(node, value.type.rank if movers else weights.axis)
        if affine is None or affine.x is not value:
            continue
        if not graph.is_read_once(weights.node) or not weights.is_linear:
            return None
        bias = weights.bias_or_zero * affine.scale + affine.shift
        kernel = None if _is_one(affine.scale) else weights.scale_outputs(affine.scale)
        folded = _replace_weights(graph, weights, given(weights.node.inputs[0]), kernel, bias)
        for mover in reversed(movers if folded else []):
            folded = add_for(graph, mover, mover.op, folded)
        return folded
    return None


def _movers_above(graph: Graph, value: Value) -> list[Node]:
    """Return the Reshapes and Transposes that compute a value and that nothing else reads, the last one first."""
    movers: list[Node] = []
    while isinstance(value.node.op, Reshape | Transpose) and graph.is_read_once(value.node):
        movers.append(value.node)
        value = given(value.node.inputs[0])
    return movers


@rule(BatchNormalization, above=[Concat], once=True)
def divide_statistics(graph: Graph, node: Node, joined: Node) -> Value | None:
    """Rewrite BatchNormalization(Concat(Conv(x), …)) → Concat(BatchNormalization(Conv(x)), …)."""
    statistics = [constant_array(value) for value in node.inputs[1:]]
    is_constant = all(array is not None for array in statistics)
    if joined.op != Concat(1) or not is_constant or not all(_can_fold(graph, value) for value in joined.inputs):
        return None
    parts: list[Value] = []
    start = 0
    for value in map(given, joined.inputs):
        channels = value.type.shape[1]
        assert is_known(channels), "a convolution has a known number of channels"
        end = start + channels
        vectors = [add_constant(graph, node, array[start:end]) for array in statistics if array is not None]
        parts.append(add_for(graph, node, node.op, value, *vectors))
        start = end
    return add_for(graph, joined, joined.op, *parts)


def _can_fold(graph: Graph, value: Value | None) -> bool:
    """Return whether a scale and a shift of channels can go into the node that computes them."""
    weights = find_weights(None if value is None else value.node)
    return (
        weights is not None
        and weights.axis == 1
        and weights.is_linear
        and graph.is_read_once(weights.node)
        and graph.is_read_once(_kernel_node(weights))
    )


@rule(Dense, Conv, ConvTranspose)
def fold_in_front(graph: Graph, node: Node) -> Value | None:
    weights = find_weights(node)
    before = given(node.inputs[0]).node
    affine = find_affine(before, weights.axis) if weights else None
    if weights is None or affine is None or not graph.is_read_once(before):
        return None
    moved = weights.shift_inputs(affine.shift)
    if moved is None:
        return None
    kernel = None if _is_one(affine.scale) else weights.scale_inputs(affine.scale)
    return _replace_weights(graph, weights, affine.x, kernel, weights.bias_or_zero + moved)


@rule(Dense, above=[Dense], once=True)
def fold_dense(graph: Graph, node: Node, inner: Node) -> Value | None:
    first, second = find_weights(inner), find_weights(node)
    if inner.op != Dense() or first is None or second is None:
        return None
    if not _is_smaller_joined(first.kernel, second.kernel) or not graph.is_read_once(_kernel_node(first)):
        return None
    wide = second.kernel.astype(np.float64)
    bias = first.bias_or_zero @ wide + second.bias_or_zero
    return _replace_weights(graph, second, given(inner.inputs[0]), first.kernel.astype(np.float64) @ wide, bias)


def _is_smaller_joined(first: Array, second: Array) -> bool:
    # A kernel has as many elements as it takes multiplications per sample, so that one comparison decides both.
    (inputs, hidden), units = first.shape, second.shape[1]
    smaller: bool = inputs * units <= first.size + second.size
    return smaller and inputs * hidden * units <= MAX_MULTIPLICATIONS


def _is_one(scale: Array | float) -> bool:
    return bool(np.all(np.equal(scale, 1.0)))


def _kernel_node(weights: Weights) -> Node:
    return given(weights.node.inputs[1]).node


def _replace_weights(graph: Graph, old: Weights, x: Value, kernel: Array | None, bias: Array) -> Value | None:
    """Add a node of x with new weights; None if the kernel has another reader, or a weight is not finite.

    A `kernel` of None keeps the old one. A node without a bias gets none if the new bias is zero.
    """
    node, dtype = old.node, old.kernel.dtype
    if kernel is not None and not graph.is_read_once(_kernel_node(old)):
        return None
    with np.errstate(over="ignore"):
        new_kernel = old.kernel if kernel is None else kernel.astype(dtype)
        new_bias = bias.astype(dtype)
    if not (np.isfinite(new_kernel).all() and np.isfinite(new_bias).all()):
        return None
    old_kernel, old_bias = (*node.inputs, None)[1:3]
    inputs = [x, old_kernel if kernel is None else _add_weight(graph, given(old_kernel), new_kernel)]
    if old_bias is not None:
        inputs.append(_add_weight(graph, old_bias, new_bias))
    elif new_bias.any():
        # Named like the bias that the layer would have, which makes it the same layer with one.
        label = None if node.origin is None else f"{node.origin.path}/bias"
        inputs.append(add_constant(graph, given(old_kernel).node, new_bias, label))
    return add_for(graph, node, node.op, *inputs)


def _add_weight(graph: Graph, old: Value, array: Array) -> Value:
    return add_constant(graph, old.node, array, old.node.op.label if isinstance(old.node.op, Constant) else None)


@rule(Transpose, above=[BatchNormalization, Transpose])
def skip_transposes(graph: Graph, node: Node, inner: Node, first: Node) -> Value | None:
    """Rewrite Transpose(BatchNormalization(Transpose(x))) → x * scale + shift."""
    affine = _affine_of_statistics(inner)
    permutation, x = permutation_of(first), given(first.inputs[0])
    do_cancel = compose(permutation, permutation_of(node)) == tuple(range(x.type.rank))
    if affine is None or not do_cancel or not graph.is_read_once(inner):
        return None
    shape = (-1, *(1,) * (x.type.rank - 1 - permutation[1]))
    with np.errstate(over="ignore"):
        scale, shift = (np.asarray(each, x.type.dtype.numpy).reshape(shape) for each in (affine.scale, affine.shift))
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        return None
    scaled = add_for(graph, inner, Mul(), x, add_constant(graph, inner, scale))
    return add_for(graph, inner, Add(), scaled, add_constant(graph, inner, shift))
