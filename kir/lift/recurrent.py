"""Models with masked recurrent layers, found in a graph as a whole.

Passes join what masked layers share, such as the order of their steps, so that no nodes are one layer's call alone.
Here a whole model is put together from the names, classes and recurrent operators of the graph. It is a guess: only if
its own graph is this very graph is it the right one, and the caller has to compare them.
"""

from __future__ import annotations

from collections.abc import Sequence

from kir import layers
from kir.errors import KirError
from kir.ir.graph import Graph, Node, Origin, Value
from kir.ir.structural import Constant, Input, Output
from kir.lift.components import constants_of
from kir.lift.proposals import RECURRENT, recurrent_arguments, unpack
from kir.lift.recognise import Recognised
from kir.modeling.functional import KerasTensor
from kir.modeling.input import InputLayer
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.ops.elementwise import Equal
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.support.trees import flatten

CLASSES = ("LSTM", "GRU", "SimpleRNN", "Bidirectional")
MASK = 4  # the slot of a recurrent operator for the number of steps per sequence, which masks become


def assemble_recurrent_model(graph: Graph, recognised: Sequence[Recognised]) -> Model | None:
    """Return the model of layers whose graph this may be, if masked recurrent layers are in it and all else is known.

    The model is a guess until its own graph has been compared with this one.
    """
    masks = [node.inputs[MASK : MASK + 1] for node in graph.order() if isinstance(node.op, LSTM | GRU | RNN)]
    if not any(mask and mask[0] is not None for mask in masks):
        return None
    try:
        return _Assembly(graph, recognised).model()
    except KirError:
        return None


class _UnknownError(KirError):
    """A node belongs to no layer that is known here."""


class _Assembly:
    """Calls layers in the order of the graph's nodes; `tensors` says what the values of the graph are in the model."""

    def __init__(self, graph: Graph, recognised: Sequence[Recognised]) -> None:
        self.graph = graph
        self.last = {call.nodes[-1]: call for call in recognised}
        self.claimed = {node for call in recognised for node in call.nodes}
        self.tensors: dict[Value, KerasTensor] = {}
        self.nodes_of: dict[Origin | None, list[Node]] = {}
        for node in graph.order():
            self.nodes_of.setdefault(node.origin, []).append(node)

    def model(self) -> Model:
        """Return the model.

        Raises:
            KirError: some node belongs to no layer that is known here, or a layer refuses what it is given.
        """
        inputs: list[KerasTensor] = []
        for node in self.graph.order():
            if isinstance(node.op, Input):
                layer = InputLayer(batch_shape=node.op.type.shape, dtype=node.op.type.dtype, name=node.op.label)
                inputs.append(layer.tensor)
                self.tensors[node.output] = layer.tensor
            elif node in self.last:
                self._call(self.last[node])
            elif node not in self.claimed and not isinstance(node.op, Constant | Output):
                self._add(node)
        outputs = [self._tensor(value) for node in self.graph.outputs for value in node.inputs]
        model = Model(
            inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0], name=self.graph.name
        )
        model.metadata.update(self.graph.metadata)
        labels = [node.op.label for node in self.graph.outputs if isinstance(node.op, Output)]
        if model.output_names != labels:
            model.output_names = labels
        return model

    def _tensor(self, value: Value | None) -> KerasTensor:
        if value not in self.tensors:
            raise _UnknownError(f"no layer gives {value}")
        return self.tensors[value]

    def _call(self, call: Recognised) -> None:
        given = [self._tensor(value) for value in call.guess.values]
        outputs = flatten(call.layer(call.guess.argument(given)))
        self.tensors.update(zip(call.results, outputs, strict=True))

    def _add(self, node: Node) -> None:
        """Call the layer that begins with a node, or whose recurrent operator it is; its other nodes say nothing."""
        origin = node.origin
        if origin is None or origin.layer not in ("Masking", *CLASSES):
            raise _UnknownError(f"{node} is of no layer that is known here")
        if origin.layer != "Masking" and isinstance(node.op, LSTM | GRU | RNN):
            self._recur(node, node.op, origin)
        elif origin.layer == "Masking" and isinstance(node.op, Equal):
            self._mask(node, origin)

    def _mask(self, node: Node, origin: Origin) -> None:
        x, compared = node.inputs
        if x is None or compared is None or not isinstance(compared.node.op, Constant):
            raise _UnknownError(f"{node} compares with no constant")
        array = compared.node.op.value.array
        layer = layers.Masking(array if array.ndim else array.item(), name=origin.path)
        self.tensors[x] = layer(self._tensor(x))

    def _recur(self, node: Node, op: LSTM | GRU | RNN, origin: Origin) -> None:
        source = self._tensor(_source(node))
        arrays = constants_of(node)
        if len(arrays) != 3 or any(value is not None for value in node.inputs[MASK + 1 :]):
            raise _UnknownError(f"{node} has initial states")
        has_sequence = bool(self.graph.uses(node.outputs[0]))
        layer, parts = _recurrent_layer(op, origin.path, has_sequence)
        output = layer(source)
        for direction, part in enumerate(parts):
            unpack(part, [array[direction : direction + 1] for array in arrays])
        for inner in self.nodes_of[origin]:
            self.tensors.update((value, output) for value in inner.outputs if value.type.dtype.is_float)


def _source(node: Node) -> Value | None:
    """Return what a recurrent layer reads: the value from outside that its operator's input was moved from."""
    value = node.inputs[0]
    while value is not None and value.node.origin == node.origin:
        value = next(iter(value.node.inputs), None)
    return value


def _recurrent_layer(op: LSTM | GRU | RNN, name: str, has_sequence: bool) -> tuple[Layer, list[Layer]]:
    """Return the layer of a recurrent operator, and the layers that hold its weights."""
    arguments = recurrent_arguments(op)
    if arguments is None:
        raise _UnknownError(f"{op} has activations that Keras does not name")
    make = RECURRENT[type(op)]
    options = {**arguments, "return_sequences": has_sequence}
    if op.direction == "bidirectional":
        both = layers.Bidirectional(make(**options, name=make.__name__.lower()), name=name)
        return both, list(both.directions)
    layer = make(**options, go_backwards=op.direction == "reverse", name=name)
    return layer, [layer]
