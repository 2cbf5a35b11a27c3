"""The node of a model that onnxruntime dies of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onnx import ModelProto, NodeProto, ValueInfoProto

from kir.exporters.onnx_file.probe import layer_of, load_model, serialize
from kir.exporters.onnx_file.session import ModelFile


def describe_killer(model: ModelFile, dies: Callable[[bytes], bool]) -> str:
    """Name the first node of a model with which it is deadly, and the node's layer; "" if it cannot be found.

    Args:
        model: what onnxruntime died of, at most 2 GiB.
        dies: whether it dies of a model too; called O(log nodes) times with the first nodes of this one.

    Raises:
        FormatError: the model cannot be read, or is too large.
    """
    proto = load_model(model)
    nodes = list(proto.graph.node)
    harmless, deadly = 0, len(nodes)
    if not nodes or not dies(_first_nodes(proto, nodes)):
        return ""
    while deadly - harmless > 1:
        middle = (harmless + deadly) // 2
        if dies(_first_nodes(proto, nodes[:middle])):
            deadly = middle
        else:
            harmless = middle
    node = nodes[deadly - 1]
    layer = layer_of(node)
    return f"{node.op_type} {node.name!r}" + (f" of layer {layer}" if layer else "")


def _first_nodes(model: ModelProto, nodes: Sequence[NodeProto]) -> bytes:
    """Return a model of some nodes, whose outputs are all values that none of them reads, and the model's own."""
    copy = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = copy.graph
    graph.name = model.graph.name
    graph.node.extend(nodes)
    graph.input.extend(model.graph.input)
    graph.initializer.extend(model.graph.initializer)
    read = {name for node in nodes for name in node.input}
    outputs = {value.name: value for value in model.graph.output}
    for name in (name for node in nodes for name in node.output if name):
        if name not in read or name in outputs:
            graph.output.append(outputs.get(name, ValueInfoProto(name=name)))
    return serialize(copy)
