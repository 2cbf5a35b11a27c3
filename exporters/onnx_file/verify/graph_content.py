"""The content of an ONNX graph, whichever way a file says it: nodes, types, and tensors by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, SparseTensorProto, ValueInfoProto, numpy_helper

from kir.errors import FormatError
from kir.exporters.onnx_file.build import Parts
from kir.exporters.onnx_file.content import FileContent, StoredTensor
from kir.exporters.onnx_file.emitter import Array
from kir.exporters.onnx_file.verify.same_tensor import Expected

# What the attributes of a Constant node hold, other than tensors.
_CONSTANTS: Mapping[str, Any] = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_string": object,
    "value_strings": object,
}


@dataclass(frozen=True)
class GraphContent:
    """A graph: nodes without those of operator Constant, which are tensors as initializers are.

    `twice` holds the names that are given more than once, `sparse` the initializers that only list what is not 0, and
    external data lies in `folder`.
    """

    nodes: Sequence[NodeProto]
    inputs: Sequence[ValueInfoProto]
    outputs: Sequence[ValueInfoProto]
    types: Sequence[ValueInfoProto]
    tensors: Mapping[str, Expected]
    sparse: Mapping[str, SparseTensorProto] = field(default_factory=dict)
    twice: frozenset[str] = frozenset()
    folder: Path | None = None

    @classmethod
    def of_parts(cls, parts: Parts) -> GraphContent:
        """Return what is written to a file."""
        tail = parts.graph_tail
        nodes, constants = _split(parts.graph_head.node, None)
        tensors: dict[str, Expected] = {**dict(parts.initializers), **dict(constants)}
        return cls(nodes, tail.input, tail.output, tail.value_info, tensors)

    @classmethod
    def of_file(cls, content: FileContent, folder: Path | None) -> GraphContent:
        """Return what a file says."""
        return cls.of_graph(content.model.graph, folder, content.initializers)

    @classmethod
    def of_graph(cls, graph: GraphProto, folder: Path | None, more: Iterable[StoredTensor] = ()) -> GraphContent:
        """Return what a graph of a file says, of which some initializers may be given apart."""
        named = [(tensor.head.name, tensor) for tensor in more]
        named += [(str(tensor.name), StoredTensor(tensor, folder=folder)) for tensor in graph.initializer]
        nodes, constants = _split(graph.node, folder)
        named += constants
        sparse = {str(tensor.values.name): tensor for tensor in graph.sparse_initializer}
        given = Counter((*(name for name, _ in named), *sparse, *_computed(nodes)))
        twice = frozenset(name for name, count in given.items() if count > 1)
        return cls(nodes, graph.input, graph.output, graph.value_info, dict(named), sparse, twice, folder)

    def computed(self) -> set[str]:
        """Return the names of what the nodes compute."""
        return set(_computed(self.nodes))


def _split(nodes: Iterable[NodeProto], folder: Path | None) -> tuple[list[NodeProto], list[tuple[str, StoredTensor]]]:
    """Return the nodes that are no Constant, and the tensors of those that are, by name."""
    others: list[NodeProto] = []
    named: list[tuple[str, StoredTensor]] = []
    for node in nodes:
        tensor = _constant(node, folder) if node.op_type == "Constant" else None
        if tensor is None:
            others.append(node)
        else:
            named.append((str(node.output[0]), tensor))
    return others, named


def _computed(nodes: Iterable[NodeProto]) -> Iterator[str]:
    return (name for node in nodes for name in node.output if name)


def _constant(node: NodeProto, folder: Path | None) -> StoredTensor | None:
    """Return the tensor of a Constant node; None if it has none, or says it in a way that nobody writes."""
    if len(node.attribute) != 1 or len(node.output) != 1 or node.domain not in ("", "ai.onnx"):
        return None
    (attribute,) = node.attribute
    if attribute.name == "value" and attribute.type == AttributeProto.TENSOR:
        return StoredTensor(attribute.t, folder=folder)
    if attribute.name not in _CONSTANTS:
        return None
    kind = attribute.name.removeprefix("value_")
    fields = {"float": "f", "int": "i", "string": "s"}
    value = getattr(attribute, fields.get(kind, kind))
    array = np.array(value if kind in fields else list(value), _CONSTANTS[attribute.name])
    return StoredTensor(numpy_helper.from_array(array))


def dense(sparse: SparseTensorProto, shape: tuple[int, ...], folder: Path | None) -> StoredTensor:
    """Return a sparse tensor, of a shape that is known to be reasonable, with all of its elements.

    Raises:
        FormatError: it has another shape, or its elements or indices are none of it.
    """
    what = f"the sparse tensor {sparse.values.name!r}"
    if tuple(sparse.dims) != shape:
        raise FormatError(f"{what} has the shape {list(sparse.dims)}; expected {list(shape)}")
    try:
        values, indices = (StoredTensor(one, folder=folder).array() for one in (sparse.values, sparse.indices))
        array: Array = np.zeros(shape, values.dtype)
        flat = indices if indices.ndim == 1 else np.ravel_multi_index(tuple(indices.T), shape)
        array.reshape(-1)[flat] = values
        return StoredTensor(numpy_helper.from_array(array))
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise FormatError(f"{what} cannot be read: {error}") from None
