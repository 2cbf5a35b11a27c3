"""Which graph a file holds: one that kir wrote it of, or what the importer reads in it."""

from __future__ import annotations

from pathlib import Path

from kir.errors import UnsupportedError
from kir.exporters.onnx_file.build import value_names
from kir.exporters.onnx_file.content import read_content
from kir.exporters.onnx_file.probe import computed_names, opset_of
from kir.ir.graph import Graph
from kir.ir.structural import Constant, Input


def holds_graph(model: Path | bytes, graph: Graph) -> bool:
    """Return whether the file has a node for every value of a graph, called as kir calls it."""
    proto = read_content(model).model
    try:
        names = value_names(graph, opset_of(proto))
    except UnsupportedError:
        return False
    computed = {name for value, name in names.items() if not isinstance(value.node.op, Input | Constant)}
    return computed <= computed_names(proto)
