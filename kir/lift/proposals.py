"""Which layers nodes of one origin may be, with the arguments that their operators tell.

A proposal may be wrong: `recognise` tries it. A layer without a proposal here is written as a function, under its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import product

import numpy as np

from kir import layers
from kir.errors import KirError
from kir.ir.dims import Dim
from kir.ir.graph import Node, Value
from kir.ir.op import Array, Op
from kir.ir.types import DType
from kir.layers.cell import RECURRENT_ACTIVATIONS, DenseCell
from kir.layers.rnn import CellLayer
from kir.lift import feature_proposals, image_proposals  # noqa: F401  they register their makers
from kir.lift.components import MAKERS, Component, Guess, activations_of, constants_of, inputs_of, makes
from kir.modeling.layer import Layer
from kir.ops import convolution, elementwise, linear, nn, normalization, pooling, reduce
from kir.ops import shape as shaping
from kir.ops.random import Dropout
from kir.ops.recurrent import GRU, LSTM, RNN

# The layers that an operator in a file of another exporter may be; {} stands for the number of spatial axes.
LAYERS_OF: dict[type[Op], tuple[str, ...]] = {
    **dict.fromkeys((*elementwise.ACTIVATIONS, nn.Softmax, nn.LogSoftmax), ("Activation",)),
    convolution.ConvTranspose: ("Conv{}DTranspose",),
    elementwise.Add: ("Add",),
    elementwise.Clip: ("ReLU",),
    elementwise.Elu: ("Activation", "ELU"),
    elementwise.LeakyRelu: ("Activation", "LeakyReLU"),
    elementwise.Maximum: ("Maximum",),
    elementwise.Minimum: ("Minimum",),
    elementwise.Mul: ("Multiply",),
    elementwise.PRelu: ("PReLU",),
    elementwise.Sub: ("Subtract",),
    linear.Dense: ("Dense",),
    normalization.BatchNormalization: ("BatchNormalization",),
    normalization.InstanceNormalization: ("GroupNormalization",),
    normalization.LayerNormalization: ("LayerNormalization",),
    pooling.AveragePool: ("AveragePooling{}D",),
    pooling.MaxPool: ("MaxPooling{}D",),
    shaping.Concat: ("Concatenate",),
    shaping.Gather: ("Embedding",),
    shaping.Pad: ("ZeroPadding{}D",),
    shaping.Reshape: ("Flatten", "Reshape"),
    shaping.Transpose: ("Permute",),
}


def propose(component: Component) -> Iterator[tuple[Layer, Guess]]:
    """Yield layers that the first nodes of a component may be a call of, with that call, the likeliest first."""
    if not component.path or not component.inputs:
        return
    for name in _classes_by_operator(component.nodes[0]) if component.is_foreign else [component.layer_class]:
        cls = getattr(layers, name, None)
        if cls not in MAKERS:
            continue
        for guess in MAKERS[cls](component, cls):
            usual = {"dtype": _dtype_of(guess.values[0]), "name": component.path}
            with suppress(KirError):  # the layer may refuse the arguments
                yield cls(**{**usual, **guess.arguments}), guess


def _classes_by_operator(node: Node) -> tuple[str, ...]:
    """Return the names of the layers that an operator in a file of another exporter may be."""
    spatial = node.outputs[0].type.rank - 2
    names: tuple[str, ...]
    match node.op:
        case convolution.Conv():
            names = ("Conv{}D",) if node.op.groups == 1 else ("DepthwiseConv{}D", "Conv{}D")
        case reduce.ReduceMean() | reduce.ReduceMax():
            spatial = len(node.op.axes)
            names = ("GlobalAveragePooling{}D" if isinstance(node.op, reduce.ReduceMean) else "GlobalMaxPooling{}D",)
        case _:
            names = LAYERS_OF.get(type(node.op), ())
    return tuple(name.format(spatial) for name in names)


def _dtype_of(value: Value) -> str:
    dtype = value.type.dtype
    return dtype.keras_name if dtype.is_float else DType.FLOAT32.keras_name


# Dense and activations


@makes(layers.Dense, of=linear.Dense)
def _dense(component: Component, cls: type[Layer], node: Node, op: linear.Dense) -> Iterator[Guess]:
    arrays, sources = constants_of(node), inputs_of(node)
    if node is not component.nodes[0] or len(sources) != 1 or len(arrays) != len(node.inputs) - 1:
        return
    type = linear.Dense().infer(*[value.type for value in node.inputs if value is not None])
    if op.activation is not None:
        names = activations_of(type, [op.activation], is_single=True)
    else:
        # An activation may begin with any operator that reads the product.
        following = [other.op for other in component.nodes[1:] if node.output in other.inputs]
        names = [*activations_of(type, following), "linear"]
    for name in names:
        arguments = {"units": arrays[0].shape[1], "activation": name, "use_bias": len(arrays) > 1}
        yield Guess(sources[0], {**arguments, "dtype": node.output.type.dtype.keras_name}, arrays)


@makes(layers.Activation)
def _activation(component: Component, cls: type[Layer], node: Node, op: Op) -> Iterator[Guess]:
    for x in inputs_of(node)[:1]:
        for activation in activations_of(x.type, [op]):
            yield Guess(x, {"activation": activation})


# Shapes


@makes(layers.Flatten, layers.Reshape, layers.Permute, layers.RepeatVector)
def _shape(component: Component, cls: type[Layer], node: Node, op: Op) -> Iterator[Guess]:
    sources, result = inputs_of(node), component.result.shape
    if len(sources) != 1:
        return
    (x,) = sources
    if cls is layers.Flatten and isinstance(component.nodes[-1].op, shaping.Reshape):
        for data_format in ("channels_last", "channels_first"):
            yield Guess(x, {"data_format": data_format})
    if cls is layers.Reshape and isinstance(op, shaping.Reshape) and result[:1] == x.type.shape[:1]:
        target = _target(result[1:])
        if target is not None:
            yield Guess(x, {"target_shape": target})
    if cls is layers.Permute and isinstance(op, shaping.Transpose) and op.permutation[:1] == (0,):
        yield Guess(x, {"dims": op.permutation[1:]})
    if cls is layers.RepeatVector and len(result) == 3 and isinstance(result[1], int):
        yield Guess(x, {"n": result[1]})


def _target(shape: Sequence[Dim]) -> tuple[int, ...] | None:
    """Return a target shape for Reshape, in which one size may be -1."""
    unknown = [size for size in shape if not isinstance(size, int)]
    return None if len(unknown) > 1 else tuple(size if isinstance(size, int) else -1 for size in shape)


# Merging


@makes(layers.Add, layers.Average, layers.Maximum, layers.Minimum, layers.Multiply, layers.Subtract)
def _merge(component: Component, cls: type[Layer], node: Node, op: Op) -> Iterator[Guess]:
    yield from _merges(component, {})


@makes(layers.Concatenate, of=shaping.Concat)
def _concatenate(component: Component, cls: type[Layer], node: Node, op: shaping.Concat) -> Iterator[Guess]:
    if node is component.nodes[0]:
        yield from _merges(component, {"axis": -1 if op.axis == node.output.type.rank - 1 else op.axis})


@makes(layers.Dot)
def _dot(component: Component, cls: type[Layer], node: Node, op: Op) -> Iterator[Guess]:
    if len(component.inputs) != 2:
        return
    ranks = [value.type.rank for value in component.inputs]
    for a, b, normalize in product(range(1, ranks[0]), range(1, ranks[1]), (False, True)):
        yield from _merges(component, {"axes": a if a == b else (a, b), "normalize": normalize})


def _merges(component: Component, arguments: dict[str, object]) -> Iterator[Guess]:
    """Yield a layer on all that the component reads, in the order in which it does; a value may be read twice."""
    first = component.nodes[0]
    if len(inputs_of(first)) == len(first.inputs) > 1:
        yield Guess(inputs_of(first), arguments)
    if len(component.inputs) > 1:
        yield Guess(component.inputs, arguments)


# Dropout


@makes(layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D, of=Dropout)
def _dropout(component: Component, cls: type[Layer], node: Node, op: Dropout) -> Iterator[Guess]:
    if node is component.nodes[0]:
        yield Guess(component.source, {"rate": op.rate, "seed": op.seed})


# Recurrent layers

RECURRENT: dict[type[Op], Callable[..., CellLayer]] = {LSTM: layers.LSTM, GRU: layers.GRU, RNN: layers.SimpleRNN}


@makes(layers.LSTM, layers.GRU, layers.SimpleRNN, of=(LSTM, GRU, RNN))
def _recurrent(component: Component, cls: type[Layer], node: Node, op: LSTM | GRU | RNN) -> Iterator[Guess]:
    """Yield layers without a mask or initial states."""
    arrays, arguments = constants_of(node), recurrent_arguments(op)
    is_alone = sum(isinstance(other.op, LSTM | GRU | RNN) for other in component.nodes) == 1
    if RECURRENT[type(op)] is not cls or not is_alone or len(component.inputs) != 1:
        return
    if len(arrays) != 3 or arguments is None:
        return
    for sequences, states, backwards in product((False, True), repeat=3):
        given = {"return_sequences": sequences, "return_state": states, "go_backwards": backwards}
        yield Guess(component.source, {**arguments, **given}, lambda layer: unpack(layer, arrays))


def recurrent_arguments(op: LSTM | GRU | RNN) -> dict[str, object] | None:
    """Return the arguments of a recurrent layer that its operator tells; None if Keras names no such activation.

    Whether there was a bias of zeros or none, it does not tell.
    """
    names = {known: name.__name__ for name, known in RECURRENT_ACTIVATIONS.items()}
    used = [names.get(one) for one in op.activations]
    if None in used:
        return None
    arguments: dict[str, object] = {"units": op.units, "activation": used[-1]}
    if not isinstance(op, RNN):
        arguments["recurrent_activation"] = used[0]
    if isinstance(op, GRU):
        arguments["reset_after"] = op.linear_before_reset
    return arguments


def unpack(layer: Layer, arrays: Sequence[Array]) -> None:
    """Set Keras's weights from W, R and B of ONNX, of one direction."""
    assert isinstance(layer, CellLayer)
    cell = layer.cell
    assert isinstance(cell, DenseCell)
    kernel, recurrent_kernel, bias = (array[0] for array in arrays)
    cell.kernel.assign(np.ascontiguousarray(_keras_order(cell, kernel).T))
    cell.recurrent_kernel.assign(np.ascontiguousarray(_keras_order(cell, recurrent_kernel).T))
    if cell.bias is not None:
        halves = [_keras_order(cell, half) for half in np.split(bias, 2)]
        cell.bias.assign(np.stack(halves) if len(cell.bias.shape) == 2 else halves[0])


def _keras_order(cell: DenseCell, rows: Array) -> Array:
    gates = np.split(rows, len(cell.gate_order))
    return np.concatenate([gates[cell.gate_order.index(gate)] for gate in range(len(gates))])
