"""The content of an ONNX file, without loading its weights."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from kir.errors import FormatError
from kir.exporters.onnx_file.probe import layer_of
from kir.support.onnx_files import parse_file, walk_subgraphs
from kir.support.text import format_bytes

MAX_LISTED = 20  # layers that are printed: they fill a few lines


@dataclass(frozen=True)
class Inspection:
    """The facts about a file; sizes in bytes.

    `operators` counts the nodes of the graph, `inner_operators` those of graphs inside them, at any depth. `layers`
    counts nodes by the layer that kir's metadata names. Initializers of graphs inside count as well. `assumptions` are
    equalities of sizes that the file takes for granted.
    """

    path: Path
    size_bytes: int
    ir_version: int
    opsets: Mapping[str, int]
    producer: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    operators: Mapping[str, int]
    inner_operators: Mapping[str, int]
    layers: Mapping[str, int]
    initializers: int
    parameters: int
    external_data: tuple[str, ...]
    metadata: Mapping[str, str]
    assumptions: tuple[str, ...] = ()

    @property
    def node_count(self) -> int:
        return sum(self.operators.values())

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path), "nodes": self.node_count}


def inspect_file(path: Path) -> Inspection:
    """Read an ONNX file's structure; external data is named and not followed.

    Raises:
        FormatError: the file cannot be read, or is no ONNX model.
    """
    model = _load(path)
    graph = model.graph
    inside = [inner for node in graph.node for inner in walk_subgraphs(node)]
    initializers = {tensor.name for tensor in graph.initializer}
    tensors = [tensor for one in (graph, *inside) for tensor in one.initializer]
    return Inspection(
        path,
        path.stat().st_size,
        model.ir_version,
        {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        f"{model.producer_name} {model.producer_version}".strip(),
        {v.name: _type_text(v) + (" (with a default)" if v.name in initializers else "") for v in graph.input},
        {v.name: _type_text(v) for v in graph.output},
        dict(Counter(node.op_type for node in graph.node).most_common()),
        dict(Counter(node.op_type for inner in inside for node in inner.node).most_common()),
        dict(Counter(layer_of(node) for node in graph.node if layer_of(node))),
        len(tensors),
        sum(math.prod(tensor.dims) for tensor in tensors),
        tuple(sorted(_locations(tensors))),
        {entry.key: entry.value for entry in model.metadata_props},
    )


def print_inspection(inspection: Inspection) -> None:
    """Print the facts, one line each."""
    opsets = ", ".join(f"{domain} {version}" for domain, version in inspection.opsets.items())
    print(f"{inspection.path}: {format_bytes(inspection.size_bytes)}")
    print(f"  made by     {inspection.producer or 'unknown'}, opset {opsets}, IR version {inspection.ir_version}")
    for role, values in (("input", inspection.inputs), ("output", inspection.outputs)):
        for name, type in values.items():
            print(f"  {role:<11} {name}: {type}")
    print(f"  nodes       {inspection.node_count}: {_counts(inspection.operators) or 'none'}")
    if inspection.inner_operators:
        inner = inspection.inner_operators
        print(f"  inside      {sum(inner.values())}: {_counts(inner)}")
    print(f"  weights     {inspection.parameters:,} numbers in {inspection.initializers} initializers")
    for equality in inspection.assumptions:
        print(f"  assumes     {equality}")
    if inspection.external_data:
        print(f"  data in     {', '.join(inspection.external_data)}")
    if inspection.layers:
        print(f"  layers      {_listed(inspection.layers)}")
    for key, value in inspection.metadata.items():
        print(f"  metadata    {key} = {value}")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _listed(counts: Mapping[str, int]) -> str:
    """Return names with their counts; of many the first ones, and how many more there are (--json has them all)."""
    shown = [f"{name} {count}" for name, count in counts.items()][:MAX_LISTED]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _load(path: Path) -> onnx.ModelProto:
    model = parse_file(path, onnx.ModelProto)
    if not model.HasField("graph") or not model.opset_import:
        raise FormatError(f"{path} is not an ONNX model: it has no {'opset' if model.HasField('graph') else 'graph'}")
    return model


def _type_text(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    known = onnx.TensorProto.DataType.values()
    name = onnx.TensorProto.DataType.Name(tensor.elem_type).lower() if tensor.elem_type in known else "unknown"
    name = "unknown" if name == "undefined" else name
    dims = [d.dim_param or (str(d.dim_value) if d.HasField("dim_value") else "?") for d in tensor.shape.dim]
    return f"{name}[{', '.join(dims)}]"


def _locations(tensors: Iterable[onnx.TensorProto]) -> set[str]:
    return {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
