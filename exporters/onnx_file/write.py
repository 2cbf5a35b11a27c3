"""Writing ONNX files whose weights are never all in memory.

An ONNX file is one protobuf message. Everything but the weights is small and is serialized as usual; the weights lie in
length-delimited fields, whose lengths are known before their bytes are. So the file is put together by hand from
serialized pieces and the raw bytes of arrays, which are read in chunks: a memory-mapped weight goes from file to file.
The pieces are in the order that protobuf itself writes, so that the bytes are those of `ModelProto.SerializeToString`.

Wire format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import mmap
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from onnx import GraphProto, ModelProto, StringStringEntryProto, TensorProto

from kir.errors import FormatError, InvalidArgumentError
from kir.exporters.onnx_file.build import Parts, build, tensor_head
from kir.exporters.onnx_file.emitter import Array
from kir.ir.graph import Graph
from kir.ir.packing import packed, stored_bytes
from kir.support.files import Companion, behind_links, replacing, short_name
from kir.support.limits import MAX_MESSAGE_BYTES
from kir.support.mapped_files import require_unchanged
from kir.support.naming import decoded
from kir.support.protobuf import Message, field_head

CHUNK_BYTES = 1 << 20

# Protobuf refuses messages of 2 GiB; the margin leaves room for tools that add to a model.
MAX_INLINE_BYTES = 1_900_000_000

# Weights smaller than this stay in the model file: shapes, axes and biases, which tools want to see.
MIN_EXTERNAL_BYTES = 1024

# A weight starts on a page of the data file, so that it can be memory-mapped.
PAGE_BYTES = 4096

EXTERNAL_DATA_CHOICES = ("auto", "yes", "no")

LOCATION = "location"

# model.onnx has its data in model.onnx.0123456789abcdef.data
DATA_FILE = Companion(
    name=lambda model, digest: f"{short_name(model)}.{digest}.data",
    reference=lambda name: bytes(StringStringEntryProto(key=LOCATION, value=name).SerializeToString()),
)


@dataclass(frozen=True)
class ExportReport:
    """The report of an export. `size_bytes` counts the model file and its external data, if there is any."""

    path: Path
    opset: int
    node_count: int
    size_bytes: int
    data_path: Path | None = None

    def moved_to(self, path: Path) -> ExportReport:
        """Return what was written, once it is in place. The data lies beside the file itself, not a link to it."""
        if self.data_path is None:
            return replace(self, path=path)
        file = behind_links(path)
        if os.path.realpath(file.parent) != os.path.realpath(path.parent):
            warnings.warn(f"{path} is a link, beside which no runtime will find the data: load {file}", stacklevel=2)
        return replace(self, path=path, data_path=file.with_name(self.data_path.name))


def export_graph(
    graph: Graph,
    path: Path,
    *,
    opset: int | None = None,
    external_data: str = "auto",
    metadata: Mapping[str, str] | None = None,
) -> ExportReport:
    """Write a graph as an ONNX file. The same graph gives the same bytes.

    The file is written beside the target and renamed: a failure leaves what was there untouched. So does an end by
    force: a model and its external data change together, see `kir.support.files`.

    Args:
        graph: what to write.
        path: the file to write.
        opset: 13 or newer; by default the newest that onnxruntime supports fully, or 18 where its AveragePool is faster
            there.
        external_data: "yes" puts weights into a second file, named like the first, followed by a digest of the
            weights and ".data"; "no" keeps them in the model; "auto" does the former near protobuf's limit of 2 GiB.
        metadata: entries for the model's `metadata_props`; they win over `graph.metadata`.

    Raises:
        InvalidArgumentError: the opset or `external_data` is not one of those.
        UnsupportedError: an operator has no ONNX form.
        FormatError: the target cannot be written, "no" was asked of a model over 2 GiB, or the file that the weights
            are read from changed.
    """
    path = Path(path)
    with replacing(path, DATA_FILE) as written:
        report = write_graph(graph, written, opset=opset, external_data=external_data, metadata=metadata)
        require_unchanged(graph.constant_arrays())
    return report.moved_to(path)


def write_graph(
    graph: Graph,
    path: Path,
    *,
    opset: int | None = None,
    external_data: str = "auto",
    metadata: Mapping[str, str] | None = None,
) -> ExportReport:
    """Write a graph as an ONNX file, as `export_graph` does, into a folder where nothing else is yet."""
    if external_data not in EXTERNAL_DATA_CHOICES:
        known = ", ".join(EXTERNAL_DATA_CHOICES)
        raise InvalidArgumentError(f"received external_data={external_data!r}; expected one of {known}")
    parts = build(graph, opset, metadata or {})
    weights = sum(array.nbytes for _, array in parts.initializers)
    external = external_data == "yes" or (external_data == "auto" and weights > MAX_INLINE_BYTES)
    offsets = _offsets(parts) if external else {}
    data_path = None
    if offsets:
        data_path = path.with_name(DATA_FILE.add(path, lambda file: _write_data(file, parts, offsets)))
    pieces = _layout(parts, offsets, decoded(data_path.name) if data_path else "")
    length = sum(map(_length, pieces))
    if length > MAX_MESSAGE_BYTES:
        raise FormatError(
            f"cannot write {path} as one file: it would have {length} bytes, and ONNX's limit is 2 GiB; "
            "put the weights into a second file (--external-data yes)"
        )
    with open(path, "xb") as file:
        for piece in pieces:
            write_piece(file, piece)
    size = length + (data_path.stat().st_size if data_path else 0)
    return ExportReport(path, parts.opset, len(parts.graph_head.node), size, data_path)


def to_model_proto(graph: Graph, *, opset: int | None = None) -> ModelProto:
    """Return the model in memory, with copies of the weights: for models well under protobuf's 2 GiB.

    Raises:
        InvalidArgumentError: the opset is not one that can be written.
        UnsupportedError: an operator has no ONNX form.
    """
    parts = build(graph, opset, {})
    model = ModelProto()
    for part in (parts.model_head, parts.model_tail):
        model.MergeFrom(part)
    for piece in (parts.graph_head, parts.graph_tail):
        model.graph.MergeFrom(piece)
    for name, array in parts.initializers:
        tensor = tensor_head(name, array)
        if array.dtype != object:
            tensor.raw_data = b"".join(chunks(packed(array)))
        model.graph.initializer.append(tensor)
    return model


# The layout: serialized pieces and arrays, one after the other


def _offsets(parts: Parts) -> dict[str, int]:
    """Return where in the data file each weight begins that goes there, by name, in order."""
    offsets: dict[str, int] = {}
    end = 0
    for name, array in parts.initializers:
        if array.dtype != object and _stored_bytes(array) >= MIN_EXTERNAL_BYTES:
            offsets[name] = -(-end // PAGE_BYTES) * PAGE_BYTES
            end = offsets[name] + _stored_bytes(array)
    return offsets


def _layout(parts: Parts, offsets: Mapping[str, int], location: str) -> list[bytes | Array]:
    """Return the pieces of the model file. The weights that have an offset lie in another file, at `location`."""
    graph: list[bytes | Array] = [_serialize(parts.graph_head)]
    for name, array in parts.initializers:
        if name in offsets:
            external = _external_tensor(name, array, location, offsets[name])
            graph += _message_field(GraphProto, "initializer", [external])
        else:
            graph += _message_field(GraphProto, "initializer", _inline_tensor(name, array))
    graph.append(_serialize(parts.graph_tail))
    return [_serialize(parts.model_head), *_message_field(ModelProto, "graph", graph), _serialize(parts.model_tail)]


def _message_field(message: type[Message], field: str, pieces: Sequence[bytes | Array]) -> list[bytes | Array]:
    return [field_head(message, field, sum(map(_length, pieces))), *pieces]


def _inline_tensor(name: str, array: Array) -> list[bytes | Array]:
    head = _serialize(tensor_head(name, array))
    if array.dtype == object:
        return [head]
    return [head, field_head(TensorProto, "raw_data", _stored_bytes(array)), packed(array)]


def _stored_bytes(array: Array) -> int:
    return stored_bytes(array.dtype, array.size)


def _external_tensor(name: str, array: Array, location: str, offset: int) -> bytes:
    tensor = tensor_head(name, array)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ((LOCATION, location), ("offset", offset), ("length", _stored_bytes(array))):
        tensor.external_data.add(key=key, value=str(value))
    return _serialize(tensor)


def _serialize(message: ModelProto | GraphProto | TensorProto) -> bytes:
    return bytes(message.SerializeToString(deterministic=True))


def _length(piece: bytes | Array) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.nbytes


def chunks(array: Array) -> Iterator[memoryview | bytes]:
    """Return the bytes of an array in row-major order, little-endian, a piece at a time."""
    little = array.dtype.newbyteorder("<")
    if array.flags.c_contiguous and (array.dtype == little or (sys.byteorder == "little" and array.dtype.isnative)):
        flat = np.asarray(array).reshape(-1).view(np.uint8)
        for start in range(0, flat.size, CHUNK_BYTES):
            yield flat[start : start + CHUNK_BYTES].data
        return
    if array.ndim > 1 and array.nbytes > CHUNK_BYTES:
        # Of a transposed array a few rows at a time: copying them is much faster than one element after another.
        rows = max(1, CHUNK_BYTES * len(array) // array.nbytes)
        for start in range(0, len(array), rows):
            yield from chunks(np.ascontiguousarray(array[start : start + rows]))
        return
    count = max(1, CHUNK_BYTES // array.dtype.itemsize)
    for start in range(0, array.size, count):
        yield array.flat[start : start + count].astype(little).tobytes()


# Files


def _write_data(path: Path, parts: Parts, offsets: Mapping[str, int]) -> None:
    with open(path, "xb") as file:
        for name, array in parts.initializers:
            if name in offsets:
                file.write(bytes(offsets[name] - file.tell()))
                write_piece(file, packed(array))


def write_piece(file: IO[bytes], piece: bytes | Array) -> None:
    """Write bytes, or the little-endian elements of an array a piece at a time."""
    if isinstance(piece, bytes):
        file.write(piece)
    else:
        for chunk in chunks(piece):
            file.write(chunk)
            _forget(chunk)


def _forget(chunk: memoryview | bytes) -> None:
    """Give back the memory of pages of a memory-mapped file; they stay on disk, where they can be read again.

    Without this a mapped weight would count as used memory once it was written.
    """
    owner: Any = chunk
    while isinstance(owner, memoryview | np.ndarray):
        owner = owner.obj if isinstance(owner, memoryview) else owner.base
    if not isinstance(owner, mmap.mmap) or not hasattr(owner, "madvise"):
        return
    whole = np.frombuffer(owner, np.uint8)
    start = np.frombuffer(chunk, np.uint8).ctypes.data - whole.ctypes.data
    page = start // mmap.PAGESIZE * mmap.PAGESIZE
    # Pages that somebody wrote to, in a private mapping, exist nowhere else.
    if not whole.flags.writeable:
        owner.madvise(mmap.MADV_DONTNEED, page, start + len(chunk) - page)
