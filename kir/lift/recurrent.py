"""Models with masked recurrent layers, found in a graph as a whole.

Passes join what masked layers share, such as the order of their steps, so that no nodes are one layer's call alone.
Here a whole model is put together from the names, classes and recurrent operators of the graph. It is a guess: only if
its own graph is this very graph is it the right one, and the caller has to compare them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kir import layers
from kir.errors import KirError
from kir.ir.graph import Graph, Node, Value
from kir.ir.structural import Constant, Input, Output
from kir.lift.proposals import recurrent_arguments, unpack
from kir.lift.recognise import Recognised
from kir.modeling.functional import KerasTensor
from kir.modeling.input import InputLayer
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.ops.elementwise import Equal
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.support.trees import flatten

RECURRENT = ("LSTM", "GRU", "SimpleRNN", "Bidirectional")


def assemble_recurrent_model(graph: Graph, order: Sequence[Node], recognised: Sequence[Recognised]) -> Model | None:
    """Return the model of layers whose graph this may be, if masked recurrent layers are in it and all else is known.

    The model is a guess until its own graph has been compared with this one.
    """
    if not any(isinstance(node.op, LSTM | GRU | RNN) and _is_masked(node) for node in order):
        return None
    try:
        return _Assembly(graph, order, recognised).model()
    except KirError:
        return None


def _is_masked(node: Node) -> bool:
    return len(node.inputs) > 4 and node.inputs[4] is not None


class _Assembly:
    """Calls layers in the order of the graph's nodes; `tensors` says what the values of the graph are in the model."""

    def __init__(self, graph: Graph, order: Sequence[Node], recognised: Sequence[Recognised]) -> None:
        self.graph = graph
        self.order = order
        self.last = {found.nodes[-1]: found for found in recognised}
        self.claimed = {node for found in recognised for node in found.nodes}
        self.tensors: dict[Value, KerasTensor] = {}

    def model(self) -> Model | None:
        """The model; None if some node belongs to no layer that is known here."""
        inputs: list[KerasTensor] = []
        for node in self.order:
            if isinstance(node.op, Input):
                layer = InputLayer(batch_shape=node.op.type.shape, dtype=node.op.type.dtype, name=node.op.label)
                inputs.append(layer.tensor)
                self.tensors[node.output] = layer.tensor
            elif node in self.claimed:
                if node in self.last and not self._call(self.last[node]):
                    return None
            elif not isinstance(node.op, Constant | Output) and not self._add(node):
                return None
        values = [value for node in self.graph.outputs for value in node.inputs if value is not None]
        if not all(value in self.tensors for value in values):
            return None
        outputs = [self.tensors[value] for value in values]
        model = Model(
            inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0], name=self.graph.name
        )
        model.metadata.update(self.graph.metadata)
        labels = [node.op.label for node in self.graph.outputs if isinstance(node.op, Output)]
        if model.output_names != labels:
            model.output_names = labels
        return model

    def _call(self, found: Recognised) -> bool:
        if not all(value in self.tensors for value in found.inputs):
            return False
        given = [self.tensors[value] for value in found.inputs]
        outputs = flatten(found.layer(given[0] if found.takes_one else given))
        self.tensors.update(zip(found.results, outputs, strict=True))
        return True

    def _add(self, node: Node) -> bool:
        """The layer that begins with a node, or of which it is the recurrent operator; its other nodes say nothing."""
        kind = node.origin.layer if node.origin is not None else ""
        if kind == "Masking":
            return not isinstance(node.op, Equal) or self._mask(node)
        if kind in RECURRENT:
            return not isinstance(node.op, LSTM | GRU | RNN) or self._recur(node)
        return False

    def _mask(self, node: Node) -> bool:
        x, compared = node.inputs
        if x not in self.tensors or compared is None or not isinstance(compared.node.op, Constant):
            return False
        array = compared.node.op.value.array
        layer = layers.Masking(array if array.ndim else array.item(), name=_path(node))
        self.tensors[x] = layer(self.tensors[x])
        return True

    def _recur(self, node: Node) -> bool:
        source = self._source(node)
        arrays = [
            value.node.op.value.array for value in node.inputs[1:4] if value and isinstance(value.node.op, Constant)
        ]
        if (
            source is None
            or source not in self.tensors
            or len(arrays) != 3
            or any(value is not None for value in node.inputs[5:])
        ):
            return False
        has_sequence = self.graph.uses(node.outputs[0]) != []
        made = _recurrent_layer(node, has_sequence)
        if made is None:
            return False
        layer, parts = made
        output = layer(self.tensors[source])
        for direction, part in enumerate(parts):
            unpack(part, [array[direction : direction + 1] for array in arrays])
        for inner in self.order:
            if inner.origin == node.origin:
                self.tensors.update((value, output) for value in inner.outputs if value.type.dtype.is_float)
        return True

    def _source(self, node: Node) -> Value | None:
        """What a recurrent layer reads: the value from outside that its operator's input was moved from."""
        value = node.inputs[0]
        while value is not None and value.node.origin == node.origin:
            value = next(iter(value.node.inputs), None)
        return value


def _recurrent_layer(node: Node, has_sequence: bool) -> tuple[Layer, list[Layer]] | None:
    """The layer of a recurrent operator, and the layers that hold its weights."""
    op: Any = node.op
    name = {"RNN": "SimpleRNN"}.get(op.name, op.name)
    arguments = recurrent_arguments(op)
    if arguments is None:
        return None
    cls: Any = getattr(layers, name)
    if op.direction == "bidirectional":
        both = layers.Bidirectional(
            cls(op.units, return_sequences=has_sequence, name=name.lower(), **arguments), name=_path(node)
        )
        return both, list(both.directions)
    backwards = op.direction == "reverse"
    layer = cls(op.units, return_sequences=has_sequence, go_backwards=backwards, name=_path(node), **arguments)
    return layer, [layer]


def _path(node: Node) -> str:
    assert node.origin is not None
    return node.origin.path
