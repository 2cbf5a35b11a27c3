"""The parts of an ONNX file, from a Graph: everything but the weights as protobuf, the weights by reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, TensorProto, helper
from onnx.defs import onnx_opset_version

import kir
from kir.errors import GraphError, InvalidArgumentError, UnsupportedError
from kir.exporters.onnx_file.emitter import Array, Emitter, FileTensor, onnx_dtype, type_proto
from kir.exporters.onnx_file.ops.nodes import read_value, write_nodes
from kir.exporters.onnx_file.session import NEWEST_FULL_OPSET
from kir.ir.graph import Graph, Node, Value
from kir.ir.structural import Input, Output
from kir.ir.types import as_dtype
from kir.ops.pooling import AveragePool
from kir.support.naming import Names

OLDEST_OPSET = 13

# From opset 19 on AveragePool has dilations, and in onnxruntime (1.32, CPU) a slower kernel: means of 3 x 3 elements of
# 44 channels take 3.4 times as long, means of 3 x 3 x 3 elements of 16 channels 11 times.
OPSET_WITH_FAST_MEANS = 18

# NodeProto.metadata_props, which names each node's layer, exists since IR version 10.
LOWEST_IR_VERSION = 10


@dataclass(frozen=True)
class Parts:
    """An ONNX model in the order in which protobuf writes it: fields before the weights, weights, fields after them.

    `model_head` and `model_tail` hold the fields of ModelProto before and after its graph, `graph_head` and
    `graph_tail` those of GraphProto before and after its initializers. `names` says what the live values of the graph
    are called; an output of an operator that nobody reads has no name, and is left out.
    """

    opset: int
    model_head: ModelProto
    graph_head: GraphProto
    initializers: tuple[tuple[str, Array], ...]
    graph_tail: GraphProto
    model_tail: ModelProto
    names: Mapping[Value, str]


def build(graph: Graph, opset: int | None, metadata: Mapping[str, str]) -> Parts:
    """Return the parts of the file. O(nodes); weights are not read.

    The opset is by default that of the ONNX file that the graph was read from; else the newest that onnxruntime
    supports fully, or an older one that makes the file faster and no larger.

    Raises:
        InvalidArgumentError: the opset is not one that can be written, or a name is not text that a file can hold.
        UnsupportedError: operators have no ONNX form at the opset; the message lists them all with their layers.
        GraphError: names of inputs and outputs collide.
    """
    try:
        return _build(graph, opset, metadata)
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{error.object!r} cannot be written to an ONNX file, whose texts are UTF-8: it holds "
            f"{error.object[error.start]!r}, half of a character; give the layer, input or text another name"
        ) from None


def _build(graph: Graph, opset: int | None, metadata: Mapping[str, str]) -> Parts:
    emitter, tensors = _emit_nodes(graph, opset_for(graph, opset))
    if opset is None and graph.provenance.opset is None and graph.has_any(AveragePool):
        emitter, tensors = _emit_fast_means(graph, len(emitter.graph.node)) or (emitter, tensors)
    opset = emitter.opset
    emitter.graph.name = graph.name or "graph"
    head = ModelProto(
        ir_version=max(LOWEST_IR_VERSION, helper.find_min_ir_version_for([helper.make_opsetid("", opset)])),
        producer_name="kir",
        producer_version=kir.__version__,
    )
    tail = ModelProto(
        opset_import=[helper.make_opsetid(*entry) for entry in [("", opset), *sorted(emitter.domains.items())]]
    )
    helper.set_model_props(tail, {**graph.metadata, **metadata})
    signature = _signature(graph, emitter)
    return Parts(opset, head, emitter.graph, tuple(emitter.initializers), signature, tail, _names(tensors))


def opset_for(graph: Graph, opset: int | None) -> int:
    """Return the opset to write a graph in: the given one, or the file's that it was read from, see `check_opset`."""
    own = graph.provenance.opset
    if opset is None and own is not None:
        return min(max(own, OLDEST_OPSET), onnx_opset_version())
    return check_opset(opset)


def check_opset(opset: int | None) -> int:
    """Return the opset to write: the given one, or the newest that onnxruntime supports fully.

    Raises:
        InvalidArgumentError: it is older than 13 or newer than the installed onnx knows.
    """
    newest = onnx_opset_version()
    if opset is None:
        return min(newest, NEWEST_FULL_OPSET)
    if not OLDEST_OPSET <= opset <= newest:
        raise InvalidArgumentError(
            f"received opset {opset}; expected {OLDEST_OPSET} to {newest}, the newest that the installed onnx knows"
        )
    return opset


def _emit_fast_means(graph: Graph, count: int) -> tuple[Emitter, dict[Value, FileTensor]] | None:
    """Write the nodes at the opset whose AveragePool is fast; None if it is too old, or they are more than `count`."""
    try:
        emitter, tensors = _emit_nodes(graph, OPSET_WITH_FAST_MEANS)
    except UnsupportedError:
        return None
    return (emitter, tensors) if len(emitter.graph.node) <= count else None


def tensor_head(name: str, array: Array) -> TensorProto:
    """Return a TensorProto without its data; of strings, with it."""
    tensor = TensorProto(name=name, data_type=onnx_dtype(as_dtype(array.dtype)), dims=array.shape)
    if array.dtype == object:
        tensor.string_data.extend(str(item).encode() for item in array.flat)
    return tensor


def value_names(graph: Graph, opset: int) -> dict[Value, str]:
    """Return what every live value of a graph is called in the file that is written of it. O(nodes).

    An output of an operator that nobody reads has no name, and is left out.

    Raises:
        UnsupportedError: an operator has no ONNX form.
    """
    return _names(_emit_nodes(graph, opset)[1])


def _names(tensors: Mapping[Value, FileTensor]) -> dict[Value, str]:
    return {value: tensor.name for value, tensor in tensors.items() if tensor.name}


def _emit_nodes(graph: Graph, opset: int) -> tuple[Emitter, dict[Value, FileTensor]]:
    """Write every live node, and return what each value is called.

    Raises:
        UnsupportedError: listing every node that cannot be written.
    """
    emitter = Emitter(opset, reserve_labels(graph))
    order = graph.order()
    labels: dict[Value, str] = {}
    for output in graph.outputs:
        labels.setdefault(read_value(output), _label(output))
    tensors = write_nodes(emitter, order, labels, {})
    return emitter, tensors


def reserve_labels(graph: Graph) -> Names:
    """Return names of which those of the graph's inputs and outputs are taken.

    Raises:
        GraphError: an input and an output of one name are different values, which ONNX cannot say; or a name is empty.
    """
    inputs = {node.op.label: node for node in graph.inputs if isinstance(node.op, Input)}
    for node in graph.outputs:
        assert isinstance(node.op, Output)
        label, value = node.op.label, node.inputs[0]
        if label in inputs and (value is None or value.node is not inputs[label]):
            raise GraphError(
                f"{label!r} names both an input and an output that is computed from it; in ONNX one name is one value: "
                "give the last layer (or the input) another name"
            )
        inputs.setdefault(label, node)
    if "" in inputs:
        raise GraphError("an input or an output of the graph is named ''; in ONNX that means an absent value: name it")
    return Names(inputs)


def _label(node: Node) -> str:
    assert isinstance(node.op, Input | Output)
    return node.op.label


def _signature(graph: Graph, emitter: Emitter) -> GraphProto:
    """Return inputs and outputs, and the types of the values in between that are known."""
    signature = GraphProto()
    # Added in place: the messages of a list would be copied.
    for node in graph.inputs:
        signature.input.add(name=_label(node), type=type_proto(node.output.type))
    for node in graph.outputs:
        signature.output.add(name=_label(node), type=type_proto(node.output.type))
    others = {_label(node) for node in (*graph.inputs, *graph.outputs)} | {name for name, _ in emitter.initializers}
    for name, type in emitter.types.items():
        if name not in others:
            signature.value_info.add(name=name, type=type_proto(type))
    return signature
