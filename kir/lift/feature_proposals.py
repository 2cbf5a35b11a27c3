"""Proposals of layers that look at features: normalizations, activations with arguments, embeddings, EinsumDense."""

from __future__ import annotations

import string
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from kir.ir.graph import Node, Value
from kir.ir.op import Array, Op
from kir.lift.arrays import array_of
from kir.lift.proposals import Component, Proposal, activations_of, attempt, first_of, makes
from kir.ops import elementwise, linear, nn, normalization, reduce
from kir.ops.shape import Gather, Transpose

BOTH = (True, False)
Arguments = tuple[dict[str, Any], list[Array]]  # those of the constructor, and the weights


# Normalizations


@makes("BatchNormalization")
def _batch_normalization(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, normalization.BatchNormalization)
    if node is None:
        return
    op: Any = node.op
    scale, bias, mean, variance = (array_of(value) for value in node.inputs[1:])
    if scale is None or bias is None or mean is None or variance is None:
        return
    for (axis, x), has_scale, center in product(list(_with_channels(component, node)), BOTH, BOTH):
        weights = [scale] * has_scale + [bias] * center + [mean, variance]
        arguments = {"axis": axis, "epsilon": op.epsilon, "scale": has_scale, "center": center}
        yield from attempt(component, name, x, arguments, weights)


@makes("GroupNormalization")
def _group_normalization(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, normalization.InstanceNormalization)
    if node is None:
        return
    op: Any = node.op
    of_groups = [array_of(value) for value in node.inputs[1:]]
    factors, shifts = _operands(component, elementwise.Mul), _operands(component, elementwise.Add)
    for (axis, x), has_scale, center in product(list(_with_channels(component, component.nodes[0])), BOTH, BOTH):
        gamma = factors[0] if factors else of_groups[0]
        beta = shifts[0] if shifts else of_groups[1]
        if gamma is None or beta is None or len(x.type.shape) < 2:
            continue
        weights = [gamma.reshape(-1)] * has_scale + [beta.reshape(-1)] * center
        for groups in dict.fromkeys([node.outputs[0].type.shape[1], -1]):
            arguments = {"groups": groups, "axis": axis, "epsilon": op.epsilon, "scale": has_scale, "center": center}
            yield from attempt(component, name, x, arguments, weights)


def _with_channels(component: Component, node: Node) -> Iterator[tuple[int, Value]]:
    """What a layer reads around an operator on the second axis, behind a Transpose or before, and which axis it is."""
    x = component.nodes[0].inputs[0]
    before = component.nodes[0].op
    if x is not None and isinstance(before, Transpose):
        axis = before.permutation[1]
        yield (-1 if axis == x.type.rank - 1 else axis), x
    if node.inputs[0] is not None:
        rank = node.inputs[0].type.rank
        yield (-1 if rank == 2 else 1), node.inputs[0]


def _operands(component: Component, *operators: type[Op]) -> list[Array]:
    """The arrays that nodes with one of these operators have beside a value."""
    found = [array_of(value) for node in component.nodes if isinstance(node.op, operators) for value in node.inputs]
    return [array for array in found if array is not None]


@makes("LayerNormalization")
def _layer_normalization(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, normalization.LayerNormalization)
    if node is None:
        return
    op: Any = node.op
    arrays = [array_of(value) for value in node.inputs[1:]]
    for x, has_scale in product(component.inputs[:1], BOTH):
        axes = _axes_at_the_end(component, node)
        weights = [array for array, is_there in zip(arrays, (has_scale, True), strict=False) if is_there]
        arguments = {
            "axis": axes[0] if len(axes) == 1 else axes,
            "epsilon": op.epsilon,
            "scale": has_scale,
            "center": len(arrays) > 1,
        }
        yield from attempt(component, name, x, arguments, [one for one in weights if one is not None])


def _axes_at_the_end(component: Component, node: Node) -> list[int]:
    """The axes that an operator works on, at the end of its input, as they were before a Transpose."""
    op: Any = node.op
    rank = node.outputs[0].type.rank
    before = component.nodes[0].op
    order = before.permutation if isinstance(before, Transpose) else tuple(range(rank))
    axes = sorted(order[op.axis :])
    return [-1] if axes == [rank - 1] else axes


@makes("RMSNormalization")
def _rms_normalization(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, reduce.ReduceSumSquare)
    scales, added = _operands(component, elementwise.Mul), _operands(component, elementwise.Add)
    if node is None or not scales or not added or added[0].size != 1:
        return
    op: Any = node.op
    axes = [-1] if op.axes == (node.outputs[0].type.rank - 1,) else list(op.axes)
    scale = max(scales, key=np.size)
    root = np.asarray(np.sqrt(scale.size), scale.dtype)
    epsilon = float(f"{added[0].item() / scale.size:.6g}")
    for x, weight in product(component.inputs[:1], (scale, scale / root)):
        arguments = {"axis": axes[0] if len(axes) == 1 else axes, "epsilon": epsilon}
        yield from attempt(component, name, x, arguments, [weight])


@makes("UnitNormalization")
def _unit_normalization(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, reduce.ReduceL2)
    if node is None:
        return
    op: Any = node.op
    rank = node.outputs[0].type.rank
    axes = [-1] if op.axes == (rank - 1,) else list(op.axes)
    for x in component.inputs[:1]:
        yield from attempt(component, name, x, {"axis": axes[0] if len(axes) == 1 else axes})


# Activations with arguments


@makes("ReLU", "LeakyReLU", "ELU", "Softmax", "PReLU")
def _activation_layer(component: Component, name: str) -> Iterator[Proposal]:
    op: Any = component.nodes[0].op
    for x in component.inputs[:1]:
        for arguments, weights in _arguments_of_activation(component, name, op, x.type.rank):
            yield from attempt(component, name, x, arguments, weights)


def _arguments_of_activation(
    component: Component, name: str, op: Any, rank: int
) -> Iterator[tuple[dict[str, Any], list[Array]]]:
    match name, op:
        case "Softmax", nn.Softmax():
            yield {"axis": -1 if op.axis == rank - 1 else op.axis}, []
        case "ELU", elementwise.Elu():
            yield {"alpha": op.alpha}, []
        case "LeakyReLU", elementwise.LeakyRelu():
            yield {"negative_slope": op.alpha}, []
        case "ReLU", _:
            yield from ((arguments, []) for arguments in _arguments_of_relu(component))
        case "PReLU", elementwise.PRelu():
            alpha = array_of(component.nodes[0].inputs[1])
            if alpha is not None:
                shared = [axis + 1 for axis, size in enumerate(alpha.shape) if size == 1]
                yield {"shared_axes": shared or None}, [alpha]
                yield {}, [alpha]


def _arguments_of_relu(component: Component) -> Iterator[dict[str, Any]]:
    """All combinations of the numbers in the operators, with the defaults last: fewer arguments give fewer nodes."""
    ops: list[Any] = [node.op for node in component.nodes]
    bounds = [*_numbers(component, elementwise.Clip, elementwise.Minimum), None]
    slopes = [op.alpha for op in ops if isinstance(op, elementwise.LeakyRelu)] + _numbers(component, elementwise.Mul)
    thresholds = [op.alpha for op in ops if isinstance(op, elementwise.ThresholdedRelu)]
    for bound, slope, threshold in product(bounds, [*slopes, 0.0], [*thresholds, 0.0]):
        yield {"max_value": bound, "negative_slope": slope, "threshold": threshold}


def _numbers(component: Component, *operators: type[Op]) -> list[float]:
    """The numbers greater than 0 among the operands of some operators, with no more digits than they need."""
    scalars = [array for array in _operands(component, *operators) if not array.ndim and array > 0]
    return list(dict.fromkeys(float(str(array[()])) for array in scalars))


# Looking up, and products


@makes("Embedding")
def _embedding(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, Gather)
    table = None if node is None else array_of(node.inputs[0])
    if table is None or table.ndim != 2:
        return
    rows, size = table.shape
    for x in component.inputs[:1]:
        yield from attempt(component, name, x, {"input_dim": rows, "output_dim": size}, [table])


@makes("EinsumDense")
def _einsum_dense(component: Component, name: str) -> Iterator[Proposal]:
    """Products of the last axes of the input with the first ones of a kernel, as most are."""
    node = first_of(component, linear.Dense)
    kernel = None if node is None else array_of(node.inputs[1])
    if node is None or kernel is None or len(component.inputs) != 1:
        return
    (x,) = component.inputs
    given, result = x.type.shape, component.nodes[-1].outputs[0].type.shape
    bias = array_of((*node.inputs, None)[2])
    following = [other.op for other in component.nodes if other is not node]
    names = [*activations_of(component.nodes[-1].outputs[0].type, following), None]
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
        yield from attempt(component, name, x, arguments, weights)


def _letters(*counts: int) -> list[str]:
    """So many letters for each term, all different; an alphabet is enough for the axes of a tensor."""
    starts = [sum(counts[:index]) for index in range(len(counts))]
    return [string.ascii_letters[start : start + count] for start, count in zip(starts, counts, strict=True)]


@makes("Rescaling")
def _rescaling(component: Component, name: str) -> Iterator[Proposal]:
    scales, offsets = _operands(component, elementwise.Mul), _operands(component, elementwise.Add)
    for x, scale in product(component.inputs[:1], scales[:1]):
        offset = offsets[0] if offsets else np.zeros((), scale.dtype)
        arguments = {"scale": _plain(scale), "offset": _plain(offset)}
        yield from attempt(component, name, x, arguments)


def _plain(array: Array) -> Any:
    """The shortest number that a scalar is, or the list of those of an array."""
    return float(str(array[()])) if not array.ndim else array.tolist()
