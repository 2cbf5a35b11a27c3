"""Guesses of layers that look at features: normalizations, activations with arguments, embeddings, EinsumDense."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from itertools import islice, product

import numpy as np

from kir import layers
from kir.ir.graph import Node, Value
from kir.ir.op import Array, Op
from kir.lift.arrays import array_of
from kir.lift.components import Component, Guess, activations_of, makes
from kir.modeling.layer import Layer
from kir.ops import elementwise, linear, nn, normalization, reduce
from kir.ops.shape import Gather, Transpose

BOTH = (True, False)


# Normalizations


@makes(layers.BatchNormalization, of=normalization.BatchNormalization)
def _batch_normalization(
    component: Component, cls: type[Layer], node: Node, op: normalization.BatchNormalization
) -> Iterator[Guess]:
    scale, bias, mean, variance = (array_of(value) for value in node.inputs[1:])
    if scale is None or bias is None or mean is None or variance is None:
        return
    for (axis, x), has_scale, center in product(list(_with_channels(component, node)), BOTH, BOTH):
        weights = [scale] * has_scale + [bias] * center + [mean, variance]
        yield Guess(x, {"axis": axis, "epsilon": op.epsilon, "scale": has_scale, "center": center}, weights)


@makes(layers.GroupNormalization, of=normalization.InstanceNormalization)
def _group_normalization(
    component: Component, cls: type[Layer], node: Node, op: normalization.InstanceNormalization
) -> Iterator[Guess]:
    gamma, beta = (
        next(iter(component.arrays_at(operator)), array_of(value))
        for operator, value in zip((elementwise.Mul, elementwise.Add), node.inputs[1:], strict=True)
    )
    if gamma is None or beta is None:
        return
    for (axis, x), has_scale, center in product(list(_with_channels(component, component.nodes[0])), BOTH, BOTH):
        if x.type.rank < 2:
            continue
        weights = [gamma.reshape(-1)] * has_scale + [beta.reshape(-1)] * center
        for groups in dict.fromkeys([node.outputs[0].type.shape[1], -1]):
            arguments = {"groups": groups, "axis": axis, "epsilon": op.epsilon, "scale": has_scale, "center": center}
            yield Guess(x, arguments, weights)


def _with_channels(component: Component, node: Node) -> Iterator[tuple[int, Value]]:
    """Yield the axis of the channels and what a layer reads, where its operator has them on the second axis.

    That is what a Transpose before the operator reads, or what the operator itself reads.
    """
    x = component.nodes[0].inputs[0]
    before = component.nodes[0].op
    if x is not None and isinstance(before, Transpose):
        axis = before.permutation[1]
        yield (-1 if axis == x.type.rank - 1 else axis), x
    if node.inputs[0] is not None:
        yield (-1 if node.inputs[0].type.rank == 2 else 1), node.inputs[0]


@makes(layers.LayerNormalization, of=normalization.LayerNormalization)
def _layer_normalization(
    component: Component, cls: type[Layer], node: Node, op: normalization.LayerNormalization
) -> Iterator[Guess]:
    rank = node.outputs[0].type.rank
    before = component.nodes[0].op
    order = before.permutation if isinstance(before, Transpose) else tuple(range(rank))
    arrays = [array_of(value) for value in node.inputs[1:]]
    for has_scale in BOTH:
        weights = [array for array in arrays[0 if has_scale else 1 :] if array is not None]
        arguments = {"epsilon": op.epsilon, "scale": has_scale, "center": len(arrays) > 1}
        yield Guess(component.source, {"axis": _axes(sorted(order[op.axis :]), rank), **arguments}, weights)


@makes(layers.RMSNormalization, of=reduce.ReduceSumSquare)
def _rms_normalization(
    component: Component, cls: type[Layer], node: Node, op: reduce.ReduceSumSquare
) -> Iterator[Guess]:
    scales, added = component.arrays_at(elementwise.Mul), component.arrays_at(elementwise.Add)
    if not scales or not added or added[0].size != 1:
        return
    scale = max(scales, key=np.size)
    root = np.asarray(np.sqrt(scale.size), scale.dtype)
    epsilon = float(f"{added[0].item() / scale.size:.6g}")
    for weight in (scale, scale / root):
        axis = _axes(op.axes, node.outputs[0].type.rank)
        yield Guess(component.source, {"axis": axis, "epsilon": epsilon}, [weight])


@makes(layers.UnitNormalization, of=reduce.ReduceL2)
def _unit_normalization(component: Component, cls: type[Layer], node: Node, op: reduce.ReduceL2) -> Iterator[Guess]:
    yield Guess(component.source, {"axis": _axes(op.axes, node.outputs[0].type.rank)})


def _axes(axes: Sequence[int], rank: int) -> int | list[int]:
    """Return axes as Keras takes them: a single one by itself, the last one as -1."""
    if len(axes) != 1:
        return list(axes)
    return -1 if axes[0] == rank - 1 else axes[0]


# Activations with arguments


@makes(layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Softmax, layers.PReLU)
def _activation_layer(component: Component, cls: type[Layer], node: Node, op: Op) -> Iterator[Guess]:
    x = component.source
    if cls is layers.Softmax and isinstance(op, nn.Softmax):
        yield Guess(x, {"axis": _axes([op.axis], x.type.rank)})
    elif cls is layers.ELU and isinstance(op, elementwise.Elu):
        yield Guess(x, {"alpha": op.alpha})
    elif cls is layers.LeakyReLU and isinstance(op, elementwise.LeakyRelu):
        yield Guess(x, {"negative_slope": op.alpha})
    elif cls is layers.ReLU:
        yield from (Guess(x, arguments) for arguments in _arguments_of_relu(component))
    elif cls is layers.PReLU and isinstance(op, elementwise.PRelu):
        alpha = array_of(node.inputs[1])
        if alpha is not None:
            shared = [axis + 1 for axis, size in enumerate(alpha.shape) if size == 1]
            yield Guess(x, {"shared_axes": shared or None}, [alpha])
            yield Guess(x, {}, [alpha])


def _arguments_of_relu(component: Component) -> Iterator[dict[str, float | None]]:
    """Yield all combinations of the numbers in the operators, the defaults last: fewer arguments give fewer nodes."""
    ops = [node.op for node in component.nodes]
    bounds = [*_numbers(component, elementwise.Clip, elementwise.Minimum), None]
    slopes = [op.alpha for op in ops if isinstance(op, elementwise.LeakyRelu)] + _numbers(component, elementwise.Mul)
    thresholds = [op.alpha for op in ops if isinstance(op, elementwise.ThresholdedRelu)]
    for bound, slope, threshold in product(bounds, [*slopes, 0.0], [*thresholds, 0.0]):
        yield {"max_value": bound, "negative_slope": slope, "threshold": threshold}


def _numbers(component: Component, *operators: type[Op]) -> list[float]:
    """Return the numbers greater than 0 among the operands of some operators, with no more digits than they need."""
    scalars = [array for array in component.arrays_at(*operators) if not array.ndim and array > 0]
    return list(dict.fromkeys(float(str(array[()])) for array in scalars))


# Looking up, and products


@makes(layers.Embedding, of=Gather)
def _embedding(component: Component, cls: type[Layer], node: Node, op: Gather) -> Iterator[Guess]:
    table = array_of(node.inputs[0])
    if table is not None and table.ndim == 2:
        rows, size = table.shape
        yield Guess(component.source, {"input_dim": rows, "output_dim": size}, [table])


@makes(layers.EinsumDense, of=linear.Dense)
def _einsum_dense(component: Component, cls: type[Layer], node: Node, op: linear.Dense) -> Iterator[Guess]:
    """Yield products of the last axes of the input with the first ones of a kernel, as most are."""
    kernel = array_of(node.inputs[1])
    if kernel is None or len(component.inputs) != 1:
        return
    (x,) = component.inputs
    given, result = x.type.shape, component.result.shape
    bias = array_of((*node.inputs, None)[2])
    following = [other.op for other in component.nodes if other is not node]
    names = [*activations_of(component.result, following), None]
    for count, activation in product(range(1, len(given)), names):
        new = len(result) - len(given) + count
        sizes = (*given[len(given) - count :], *result[len(result) - new :])
        if new < 1 or not all(isinstance(size, int) for size in sizes):
            continue
        free, summed, made = _letters(len(given) - count, count, new)
        arguments = {
            "equation": f"{free}{summed},{summed}{made}->{free}{made}",
            "output_shape": (*(None for _ in free[1:]), *result[len(free) :]),
            "activation": activation,
            "bias_axes": None if bias is None else made,
        }
        try:
            weights = [kernel.reshape(sizes), *([] if bias is None else [bias.reshape(result[len(free) :])])]  # type: ignore[arg-type]
        except ValueError:  # it is no kernel of these axes
            continue
        yield Guess(x, arguments, weights)


def _letters(*counts: int) -> list[str]:
    """Return as many letters for each term as its count says, all different; tensors have fewer axes than 52."""
    letters = iter(string.ascii_letters)
    return ["".join(islice(letters, count)) for count in counts]


@makes(layers.Rescaling)
def _rescaling(component: Component, cls: type[Layer], node: Node, op: Op) -> Iterator[Guess]:
    scales, offsets = component.arrays_at(elementwise.Mul), component.arrays_at(elementwise.Add)
    if scales:
        offset = offsets[0] if offsets else np.zeros((), scales[0].dtype)
        yield Guess(component.source, {"scale": _plain(scales[0]), "offset": _plain(offset)})


def _plain(array: Array) -> object:
    """Return the shortest number that a scalar is, or the list of those of an array."""
    return float(str(array[()])) if not array.ndim else array.tolist()
