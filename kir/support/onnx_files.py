"""What the writer and the reader of ONNX files both know of them; onnx is not imported here.

Messages are instances of onnx's classes. The files are untrusted: they are read within bounds, and the external data of
a tensor always lies in a regular file inside the model's own folder.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and, for external data,
https://github.com/onnx/onnx/blob/main/docs/ExternalData.md
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, Protocol, TypeVar

from kir.errors import FormatError
from kir.support.limits import MAX_MESSAGE_BYTES, MAX_NODES
from kir.support.protobuf import Message, parse
from kir.support.regular_files import open_regular

EXPECTED = "an ONNX file"
GRAPH = 5  # AttributeProto.GRAPH


class Model(Message, Protocol):
    """A `ModelProto`, as far as it is used here."""

    graph: Any
    functions: Sequence[Any]


class Node(Protocol):
    """A `NodeProto`, as far as it is used here."""

    input: MutableSequence[str]
    output: MutableSequence[str]
    attribute: Sequence[Any]


M = TypeVar("M", bound=Model)


# Parsing


def parse_file(path: Path, kind: type[M]) -> M:
    """Parse an ONNX file as `ModelProto`, which is `kind`; external data is not read.

    Raises:
        FormatError: the file cannot be read, is no protobuf message, or goes past a limit.
    """
    with open_regular(path, EXPECTED) as file:
        size = file.seek(0, io.SEEK_END)
        if size > MAX_MESSAGE_BYTES:
            raise FormatError(
                f"{path} has {size} bytes, and protobuf reads at most {MAX_MESSAGE_BYTES}; expected {EXPECTED}, which "
                "keeps the weights of a larger model in a second file"
            )
        file.seek(0)
        _require_model(file.read(1), path, kind)
        file.seek(0)
        content = file.read()
    return parse_model(content, kind, str(path))


def _require_model(first: bytes, path: Path, kind: type[Model]) -> None:
    """Raise FormatError if a file begins with what is no field of a model, before it is read: it may be large."""
    fields = {field.number for field in kind.DESCRIPTOR.fields}
    if first and first[0] >> 3 not in fields and first[0] < 0x80:
        raise FormatError(f"{path} is not an ONNX file: it begins with no field of a model")


def parse_model(content: bytes, kind: type[M], what: str) -> M:
    """Parse the bytes of a model.

    Raises:
        FormatError: they are no protobuf message, or go past a limit; the message opens with `what`.
    """
    model = parse(content, kind, what, EXPECTED)
    require_few_nodes(sum(map(len, (model.graph.node, *(function.node for function in model.functions)))), what)
    return model


def require_few_nodes(count: int, what: str) -> None:
    """Raise FormatError if there are more than `MAX_NODES`."""
    if count > MAX_NODES:
        raise FormatError(f"{what} has {count} nodes; at most {MAX_NODES} are read: export a smaller model")


# External data


@dataclass(frozen=True)
class Place:
    """Where the data of a tensor lies; `length` is None where it is not said. The file has `available` bytes."""

    path: Path
    offset: int
    length: int | None
    available: int


def locate(tensor: str, entries: Mapping[str, str], folder: Path) -> Place:
    """Return where the external data of a tensor lies, from its name and the entries of its `external_data`.

    Raises:
        FormatError: its file lies, or is linked to, outside the folder (it could be any file at all); or is no regular
            file; or the offset or the length is no number of at least 0, or reaches past the end.
    """
    what = f"the external data of the tensor {tensor!r}"
    path, available = _path_and_size(entries.get("location", ""), folder, what)
    offset = _number(entries.get("offset", "0"), what)
    length = _number(entries["length"], what) if "length" in entries else None
    if offset + (length or 0) > available:
        raise FormatError(
            f"{what} is said to be {length or 'some'} bytes at {offset} of {path.name}, which has {available}; "
            f"expected {length or 'its'} bytes inside the file"
        )
    return Place(path, offset, length, available)


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


# Subgraphs


def walk_subgraphs(node: Node) -> Iterator[Any]:
    """Yield the graphs in a node's attributes, and those in their nodes, in a fixed order."""
    pending = _own_subgraphs(node)
    while pending:
        graph = pending.pop()
        yield graph
        for inner in reversed(graph.node):
            pending += _own_subgraphs(inner)


def _own_subgraphs(node: Node) -> list[Any]:
    if not node.attribute:
        return []
    single = [attribute.g for attribute in node.attribute if attribute.type == GRAPH]
    return (single + [graph for attribute in node.attribute for graph in attribute.graphs])[::-1]


def defined_names(node: Node) -> dict[str, None]:
    """Return the names that the subgraphs of a node give to values, in order."""
    found: dict[str, None] = {}
    for graph in walk_subgraphs(node):
        found |= dict.fromkeys(value.name for value in (*graph.input, *graph.initializer))
        found |= dict.fromkeys(tensor.values.name for tensor in graph.sparse_initializer)
        found |= dict.fromkeys(name for inner in graph.node for name in inner.output if name)
    return found


def outer_names(node: Node) -> list[str]:
    """Return the names that the subgraphs of a node read and do not give, in order."""
    graphs = list(walk_subgraphs(node))
    if not graphs:
        return []
    defined = defined_names(node)
    read: dict[str, None] = {}
    for graph in graphs:
        read |= dict.fromkeys(name for inner in graph.node for name in inner.input if name)
        read |= dict.fromkeys(value.name for value in graph.output)
    return [name for name in read if name not in defined]


def rename_values(node: Node, rename: Callable[[str], str]) -> None:
    """Give every value that the subgraphs of a node define or read another name, in place."""
    for graph in walk_subgraphs(node):
        for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            value.name = rename(value.name)
        for tensor in graph.sparse_initializer:
            tensor.values.name = rename(tensor.values.name)
        for inner in graph.node:
            for names in (inner.input, inner.output):
                names[:] = [rename(name) if name else "" for name in names]
