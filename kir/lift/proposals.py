"""Which layers nodes of one origin may be, with the arguments that their operators tell.

A proposal may be wrong: `recognise` tries it. A layer without a proposal here is written as a function, under its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from kir import activations, layers
from kir.errors import KirError
from kir.ir.dims import Dim
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array, Op
from kir.ir.structural import Constant, Input
from kir.ir.trace import Tensor, Tracer
from kir.ir.types import DType, TensorType
from kir.layers.rnn import CellLayer
from kir.layers.rnn_cells import RECURRENT_ACTIVATIONS, DenseCell
from kir.modeling.layer import Layer
from kir.ops import convolution, linear, nn, random, recurrent, reduce
from kir.ops import shape as shaping
from kir.ops.elementwise import ACTIVATIONS


@dataclass
class Component:
    """Nodes of one origin that hang together, in the graph's order, and what they read of others.

    Nodes that are foreign are of a file that names no layers: then names and labels need not stay.
    """

    nodes: list[Node]
    inputs: list[Value]
    is_foreign: bool = False

    @property
    def path(self) -> str:
        origin = self.nodes[0].origin
        assert origin is not None
        return origin.path

    @property
    def layer_class(self) -> str:
        """The class of the layer; empty if the nodes are foreign."""
        origin = self.nodes[0].origin
        return "" if origin is None or self.is_foreign else origin.layer


@dataclass
class Proposal:
    """A layer to try on the nodes of a component: `layer` called on the inputs, one or a list of them."""

    component: Component
    layer: Layer
    inputs: list[Value]
    takes_one: bool = True
    set_weights: Callable[[Layer], None] = field(default=lambda layer: None)


def propose(component: Component) -> Iterator[Proposal]:
    """Layers that the first nodes of a component may be a call of, the likeliest first."""
    if not component.path or not component.inputs:
        return
    for name in _classes_by_operator(component.nodes[0]) if component.is_foreign else [component.layer_class]:
        if name in MAKERS:
            yield from MAKERS[name](component, name)


def _classes_by_operator(node: Node) -> list[str]:
    """The layers that an operator of a file of somebody else's may be."""
    spatial = f"{node.outputs[0].type.rank - 2}D"
    match node.op:
        case linear.Dense():
            return ["Dense"]
        case shaping.Reshape():
            return ["Flatten", "Reshape"]
        case shaping.Transpose():
            return ["Permute"]
        case recurrent.LSTM() | recurrent.GRU() | recurrent.RNN():
            return []
        case shaping.Concat():
            return ["Concatenate"]
        case convolution.Conv():
            return ["Conv" + spatial] if node.op.groups == 1 else ["DepthwiseConv" + spatial, "Conv" + spatial]
        case convolution.ConvTranspose():
            return [f"Conv{spatial}Transpose"]
        case reduce.ReduceMean() | reduce.ReduceMax():
            kind = "GlobalAveragePooling" if isinstance(node.op, reduce.ReduceMean) else "GlobalMaxPooling"
            return [f"{kind}{len(node.op.axes)}D"]
    if isinstance(node.op, (*ACTIVATIONS, nn.Softmax, nn.LogSoftmax)):
        return ["Activation", *CLASSES.get(node.op.name, [])]
    return [name + spatial if name in SPATIAL_CLASSES else name for name in CLASSES.get(node.op.name, [])]


# The layers that an operator may be, and those of them whose names end in how many spatial axes there are.
CLASSES = {
    "Add": ["Add"],
    "AveragePool": ["AveragePooling"],
    "BatchNormalization": ["BatchNormalization"],
    "Clip": ["ReLU"],
    "Elu": ["ELU"],
    "Gather": ["Embedding"],
    "InstanceNormalization": ["GroupNormalization"],
    "LayerNormalization": ["LayerNormalization"],
    "LeakyRelu": ["LeakyReLU"],
    "MaxPool": ["MaxPooling"],
    "Maximum": ["Maximum"],
    "Minimum": ["Minimum"],
    "Mul": ["Multiply"],
    "PRelu": ["PReLU"],
    "Pad": ["ZeroPadding"],
    "Sub": ["Subtract"],
}
SPATIAL_CLASSES = ("AveragePooling", "MaxPooling", "ZeroPadding")


Maker = Callable[[Component, str], Iterator[Proposal]]
MAKERS: dict[str, Maker] = {}


def makes(*names: str) -> Callable[[Maker], Maker]:
    """Registers a function that proposes layers of these classes; it is told which one is wanted."""

    def register(maker: Maker) -> Maker:
        MAKERS.update(dict.fromkeys(names, maker))
        return maker

    return register


def _inputs_of(node: Node) -> list[Value]:
    """What a node reads, constants left out."""
    return [value for value in node.inputs if value is not None and not isinstance(value.node.op, Constant)]


def _constants_of(node: Node) -> list[Array]:
    return [value.node.op.value.array for value in node.inputs if value is not None and _is_constant(value)]  # type: ignore[attr-defined]


def _is_constant(value: Value) -> bool:
    return isinstance(value.node.op, Constant)


def first_of(component: Component, *operators: type[Op]) -> Node | None:
    """The first node with one of the operators."""
    return next((node for node in component.nodes if isinstance(node.op, operators)), None)


def attempt(
    component: Component, name: str, source: Value, arguments: Mapping[str, Any], weights: Sequence[Array] = ()
) -> Iterator[Proposal]:
    """The proposal of a layer of a class, with arguments that it may refuse, on one value."""
    try:
        layer = getattr(layers, name)(**arguments, dtype=_dtype_of(source), name=component.path)
    except KirError:
        return
    yield Proposal(component, layer, [source], set_weights=lambda layer: layer.set_weights(list(weights)))


# Dense and activations


@makes("Dense")
def _dense(component: Component, name: str) -> Iterator[Proposal]:
    node = component.nodes[0]
    if not isinstance(node.op, linear.Dense) or len(_inputs_of(node)) != 1:
        return
    arrays = _constants_of(node)
    if len(arrays) != len(node.inputs) - 1:
        return
    units, use_bias = arrays[0].shape[1], len(arrays) > 1
    type = linear.Dense().infer(*[value.type for value in node.inputs if value is not None])
    following = [node.op.activation] if node.op.activation is not None else _operators_behind(component)
    is_fused = node.op.activation is not None
    for activation in (
        activations_of(type, following, is_single=True) if is_fused else [*activations_of(type, following), "linear"]
    ):
        layer = layers.Dense(units, activation, use_bias, dtype=node.output.type.dtype.keras_name, name=component.path)
        yield Proposal(component, layer, _inputs_of(node), set_weights=lambda layer: layer.set_weights(arrays))


@makes("Activation")
def _activation(component: Component, name: str) -> Iterator[Proposal]:
    node = component.nodes[0]
    for source in _inputs_of(node)[:1]:
        for activation in activations_of(source.type, [node.op]):
            layer = layers.Activation(activation, dtype=_dtype_of(source), name=component.path)
            yield Proposal(component, layer, [source])


def _operators_behind(component: Component) -> list[Op]:
    """The operators of a component behind the first, of which an activation may begin with any that reads it."""
    first = component.nodes[0].output
    return [node.op for node in component.nodes[1:] if first in node.inputs]


def activations_of(type: TensorType, operators: Sequence[Op], *, is_single: bool = False) -> list[str]:
    """The names of activations that begin with one of the operators, and with `is_single` are nothing more."""
    return [name for name, op, count in _first_operators(type) if op in operators and (count == 1 or not is_single)]


@cache
def _first_operators(type: TensorType) -> list[tuple[str, Op, int]]:
    """The activations that work on a type, each with the operators that read its input, and how many nodes it has.

    Those of most nodes come first.
    """
    found: list[tuple[str, Op, int]] = []
    for name, function in activations.NAMED.items():
        graph = Graph()
        x = Tracer(graph).add(Input("x", type))[0]
        try:
            if isinstance(function(x), Tensor):
                nodes = graph.nodes()
                found += [(name, node.op, len(nodes) - 1) for node in nodes if x.value in node.inputs]
        except (KirError, TypeError):  # it needs more arguments, or cannot work on such a tensor
            continue
    return sorted(found, key=lambda one: -one[2])


def _dtype_of(value: Value) -> str:
    dtype = value.type.dtype
    return dtype.keras_name if dtype.is_float else DType.FLOAT32.keras_name


# Shapes


@makes("Flatten", "Reshape", "Permute", "RepeatVector")
def _shape(component: Component, name: str) -> Iterator[Proposal]:
    node = component.nodes[0]
    sources = _inputs_of(node)
    if len(sources) != 1:
        return
    options: dict[str, Any] = {"dtype": _dtype_of(sources[0]), "name": component.path}
    last = component.nodes[-1].outputs[0].type.shape
    if name == "Flatten" and isinstance(component.nodes[-1].op, shaping.Reshape):
        for data_format in ("channels_last", "channels_first"):
            yield Proposal(component, layers.Flatten(data_format, **options), sources)
    if name == "Reshape" and isinstance(node.op, shaping.Reshape) and last[:1] == sources[0].type.shape[:1]:
        target = _target(last[1:])
        if target is not None:
            yield Proposal(component, layers.Reshape(target, **options), sources)
    if name == "Permute" and isinstance(node.op, shaping.Transpose) and node.op.permutation[:1] == (0,):
        yield Proposal(component, layers.Permute(node.op.permutation[1:], **options), sources)
    if name == "RepeatVector" and len(last) == 3 and isinstance(last[1], int):
        yield Proposal(component, layers.RepeatVector(last[1], **options), sources)


def _target(shape: Sequence[Dim]) -> tuple[int, ...] | None:
    """A target shape for Reshape, in which one size may be -1."""
    unknown = [size for size in shape if not isinstance(size, int)]
    return None if len(unknown) > 1 else tuple(size if isinstance(size, int) else -1 for size in shape)


# Merging


@makes("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
def _merge(component: Component, name: str) -> Iterator[Proposal]:
    yield from _merges(component, getattr(layers, name)(dtype=_dtype_of(component.inputs[0]), name=component.path))


@makes("Concatenate")
def _concatenate(component: Component, name: str) -> Iterator[Proposal]:
    op = component.nodes[0].op
    if isinstance(op, shaping.Concat):
        rank = component.nodes[0].output.type.rank
        axis = -1 if op.axis == rank - 1 else op.axis
        yield from _merges(
            component, layers.Concatenate(axis, dtype=_dtype_of(component.inputs[0]), name=component.path)
        )


@makes("Dot")
def _dot(component: Component, name: str) -> Iterator[Proposal]:
    if len(component.inputs) != 2:
        return
    ranks = [value.type.rank for value in component.inputs]
    for a, b in product(range(1, ranks[0]), range(1, ranks[1])):
        for normalize in (False, True):
            axes: Any = a if a == b else (a, b)
            layer = layers.Dot(axes, normalize, dtype=_dtype_of(component.inputs[0]), name=component.path)
            yield from _merges(component, layer)


def _merges(component: Component, layer: Layer) -> Iterator[Proposal]:
    """The layer on all that the component reads, in the order in which it does; a value may be read twice."""
    first = component.nodes[0]
    for inputs in (_inputs_of(first), component.inputs):
        if len(inputs) > 1 and len(inputs) == len(first.inputs if inputs is not component.inputs else inputs):
            yield Proposal(component, layer, list(inputs), takes_one=False)


# Dropout


@makes("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
def _dropout(component: Component, name: str) -> Iterator[Proposal]:
    op = component.nodes[0].op
    if isinstance(op, random.Dropout):
        for x in component.inputs[:1]:
            yield from attempt(component, name, x, {"rate": op.rate, "seed": op.seed})


# Recurrent layers


@makes("LSTM", "GRU", "SimpleRNN")
def _recurrent(component: Component, name: str) -> Iterator[Proposal]:
    """A layer without a mask or initial states."""
    operator = {"LSTM": recurrent.LSTM, "GRU": recurrent.GRU, "SimpleRNN": recurrent.RNN}[name]
    nodes = [node for node in component.nodes if isinstance(node.op, operator)]
    if len(nodes) != 1 or len(component.inputs) != 1:
        return
    op: Any = nodes[0].op
    arrays = _constants_of(nodes[0])
    arguments = recurrent_arguments(op)
    if len(arrays) != 3 or arguments is None:
        return
    cls: Any = getattr(layers, name)
    options = {**arguments, "dtype": _dtype_of(component.inputs[0]), "name": component.path}
    for sequences, states, backwards in product((False, True), repeat=3):
        layer = cls(
            op.units,
            return_sequences=sequences,
            return_state=states,
            go_backwards=backwards,
            **options,
        )
        yield Proposal(component, layer, component.inputs, set_weights=lambda layer: unpack(layer, arrays))


def recurrent_arguments(op: Any) -> dict[str, Any] | None:
    """The arguments of a recurrent layer that its operator tells; None if Keras names no such activation.

    Whether there was a bias of zeros or none, it does not tell.
    """
    names = {known: name.__name__ for name, known in RECURRENT_ACTIVATIONS.items()}
    used = [names.get(one) for one in op.activations]
    if None in used:
        return None
    arguments: dict[str, Any] = {"activation": used[-1]}
    if not isinstance(op, recurrent.RNN):
        arguments["recurrent_activation"] = used[0]
    if isinstance(op, recurrent.GRU):
        arguments["reset_after"] = op.linear_before_reset
    return arguments


def unpack(layer: Layer, arrays: Sequence[Array]) -> None:
    """Sets Keras's weights from W, R and B of ONNX, of one direction."""
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
    ordered = [rows] * len(gates)
    for place, gate in enumerate(cell.gate_order):
        ordered[gate] = gates[place]
    return np.concatenate(ordered)
