"""Where the external data of a tensor lies: always in a regular file inside the model's own folder.

Source: "External Data" in https://github.com/onnx/onnx/blob/main/docs/ExternalData.md
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PureWindowsPath

from onnx import AttributeProto, ModelProto, SparseTensorProto, TensorProto

from kir.errors import FormatError
from kir.exporters.onnx_file.subgraphs import walk_subgraphs


@dataclass(frozen=True)
class Place:
    """Where the data of a tensor lies; `length` is None where it is not said. The file has `available` bytes."""

    path: Path
    offset: int
    length: int | None
    available: int


def locate(tensor: TensorProto, folder: Path) -> Place:
    """Say where the external data of a tensor lies.

    Raises:
        FormatError: its file lies, or is linked to, outside the folder (it could be any file at all); or is no regular
            file; or the offset or the length is no number of at least 0, or reaches past the end.
    """
    what = f"the external data of the tensor {tensor.name!r}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path, available = _path_and_size(entries.get("location", ""), folder, what)
    offset = _number(entries.get("offset", "0"), what)
    length = _number(entries["length"], what) if "length" in entries else None
    if offset + (length or 0) > available:
        raise FormatError(
            f"{what} is said to be {length or 'some'} bytes at {offset} of {path.name}, which has {available}; "
            f"expected {length or 'its'} bytes inside the file"
        )
    return Place(path, offset, length, available)


def require_inside(model: ModelProto, folder: Path) -> None:
    """Check that the external data of all tensors of a model, however deep, can be located.

    Raises:
        FormatError: as `locate`.
    """
    for tensor in _all_tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            locate(tensor, folder)


def _number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise FormatError(f"{what} has the offset or length {text[:40]!r}; expected a number of at least 0")
    return int(text)


def _path_and_size(location: str, folder: Path, what: str) -> tuple[Path, int]:
    parts = PureWindowsPath(location).parts  # splits at both kinds of slash, and knows drives
    is_absolute = PureWindowsPath(location).anchor or os.path.isabs(location)
    if not parts or ".." in parts or "\0" in location or is_absolute:
        raise FormatError(f"{what} is said to lie in {location!r}; expected a file in the model's own folder")
    root = Path(os.path.realpath(folder))
    path = Path(os.path.realpath(root.joinpath(*parts)))
    if not path.is_relative_to(root):
        raise FormatError(f"{what} lies in {location!r}, which links out of the model's folder; put the file there")
    try:
        status = path.stat()
    except OSError as error:
        reason = error.strerror or error
        raise FormatError(f"{what} lies in {location!r}: {reason}; put that file beside the model") from None
    if not stat.S_ISREG(status.st_mode):
        raise FormatError(f"{what} lies in {location!r}, which is no regular file; put the data there")
    return path, status.st_size


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
