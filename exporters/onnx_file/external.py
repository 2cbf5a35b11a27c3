"""The place of the external data of all tensors of a model: always in regular files inside the model's own folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from onnx import AttributeProto, ModelProto, SparseTensorProto, TensorProto

from kir.support.onnx_files import locate, walk_subgraphs


def require_inside(model: ModelProto, folder: Path) -> None:
    """Check that the external data of all tensors of a model, however deep, can be located.

    Raises:
        FormatError: as `locate`.
    """
    for tensor in _all_tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            locate(tensor.name, {entry.key: entry.value for entry in tensor.external_data}, folder)


def _all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    outer = [node for part in (model.graph, *model.functions) for node in part.node]
    inner = [graph for node in outer for graph in walk_subgraphs(node)]
    for graph in (model.graph, *inner):
        yield from graph.initializer
        yield from _parts(graph.sparse_initializer)
    for node in chain(outer, *(graph.node for graph in inner)):
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == AttributeProto.SPARSE_TENSOR:
                yield from _parts([attribute.sparse_tensor])
            yield from attribute.tensors
            yield from _parts(attribute.sparse_tensors)


def _parts(sparse: Iterable[SparseTensorProto]) -> Iterator[TensorProto]:
    for tensor in sparse:
        yield tensor.values
        yield tensor.indices
