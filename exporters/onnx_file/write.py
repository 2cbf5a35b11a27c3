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
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto

from kir.caching import cached
from kir.errors import FormatError, InvalidArgumentError
from kir.exporters.onnx_file.build import Parts, build, tensor_head
from kir.exporters.onnx_file.emitter import Array
from kir.graph import Graph

CHUNK_BYTES = 1 << 20

# Protobuf refuses messages of 2 GiB; the margin leaves room for tools that add to a model.
MAX_INLINE_BYTES = 1_900_000_000
MAX_MESSAGE_BYTES = (1 << 31) - 1

# Weights smaller than this stay in the model file: shapes, axes and biases, which tools want to see.
MIN_EXTERNAL_BYTES = 1024

# A weight starts on a page of the data file, so that it can be memory-mapped.
PAGE_BYTES = 4096

EXTERNAL_DATA_CHOICES = ("auto", "yes", "no")


@dataclass(frozen=True)
class ExportReport:
    """What was written. `size_bytes` counts the model file and its external data, if there is any."""

    path: Path
    opset: int
    node_count: int
    size_bytes: int
    data_path: Path | None = None


def export_graph(
    graph: Graph,
    path: Path,
    *,
    opset: int | None = None,
    external_data: str = "auto",
    metadata: Mapping[str, str] | None = None,
) -> ExportReport:
    """Writes a graph as an ONNX file. The same graph gives the same bytes.

    The file is written beside the target and renamed: a failure leaves what was there untouched.

    Args:
        graph: what to write.
        path: the file to write.
        opset: 13 or newer; by default the newest that onnxruntime supports fully, or 18 where its AveragePool is faster
            there.
        external_data: "yes" puts weights into a second file, named like the first with ".data" behind; "no" keeps
            them in the model; "auto" does the former near protobuf's limit of 2 GiB.
        metadata: entries for the model's `metadata_props`; they win over `graph.metadata`.

    Raises:
        InvalidArgumentError: the opset or `external_data` is not one of those.
        UnsupportedError: an operator has no ONNX form.
        FormatError: the target cannot be written, or "no" was asked of a model over 2 GiB.
    """
    if external_data not in EXTERNAL_DATA_CHOICES:
        known = ", ".join(EXTERNAL_DATA_CHOICES)
        raise InvalidArgumentError(f"received external_data={external_data!r}; expected one of {known}")
    parts = build(graph, opset, metadata or {})
    path = Path(path)
    weights = sum(array.nbytes for _, array in parts.initializers)
    external = external_data == "yes" or (external_data == "auto" and weights > MAX_INLINE_BYTES)
    location = f"{path.name}.data" if external else None
    pieces = _layout(parts, location)
    if pieces.length > MAX_MESSAGE_BYTES:
        raise FormatError(
            f"cannot write {path} as one file: it would have {pieces.length} bytes, and ONNX's limit is 2 GiB; "
            "put the weights into a second file (--external-data yes)"
        )
    data_path = _target(_target(path).with_name(location)) if location and pieces.external else None
    _write_files(path, pieces, data_path)
    data_bytes = pieces.external_length if data_path else 0
    return ExportReport(path, parts.opset, len(parts.graph_head.node), pieces.length + data_bytes, data_path)


def to_model_proto(graph: Graph, *, opset: int | None = None) -> ModelProto:
    """The model in memory, weights copied: for models well under protobuf's 2 GiB.

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
            tensor.raw_data = b"".join(_chunks(array))
        model.graph.initializer.append(tensor)
    return model


# The layout: serialized pieces and arrays, one after the other

LENGTH_DELIMITED = 2


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))


def field_head(message: type[Any], field: str, length: int) -> bytes:
    """The tag and the length of a length-delimited field of a message."""
    return _tag(message, field) + _varint(length)


@cached
def _tag(message: type[Any], field: str) -> bytes:
    return _varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | LENGTH_DELIMITED)


@dataclass(frozen=True)
class _Layout:
    """The pieces of the model file, and the arrays of the data file with their offsets, in order."""

    pieces: Sequence[bytes | Array]
    external: Sequence[tuple[int, Array]]

    @property
    def length(self) -> int:
        return sum(map(_length, self.pieces))

    @property
    def external_length(self) -> int:
        offset, array = self.external[-1]
        return offset + array.nbytes


def _layout(parts: Parts, location: str | None) -> _Layout:
    external: list[tuple[int, Array]] = []
    graph: list[bytes | Array] = [_serialize(parts.graph_head)]
    for name, array in parts.initializers:
        if location is not None and array.dtype != object and array.nbytes >= MIN_EXTERNAL_BYTES:
            offset = _next_page(external)
            external.append((offset, array))
            graph += _message_field(GraphProto, "initializer", [_external_tensor(name, array, location, offset)])
        else:
            graph += _message_field(GraphProto, "initializer", _inline_tensor(name, array))
    graph.append(_serialize(parts.graph_tail))
    model = [
        _serialize(parts.model_head),
        *_message_field(ModelProto, "graph", graph),
        _serialize(parts.model_tail),
    ]
    return _Layout(model, external)


def _message_field(message: type[Any], field: str, pieces: Sequence[bytes | Array]) -> list[bytes | Array]:
    return [field_head(message, field, sum(map(_length, pieces))), *pieces]


def _inline_tensor(name: str, array: Array) -> list[bytes | Array]:
    head = _serialize(tensor_head(name, array))
    return [head] if array.dtype == object else [head, field_head(TensorProto, "raw_data", array.nbytes), array]


def _external_tensor(name: str, array: Array, location: str, offset: int) -> bytes:
    tensor = tensor_head(name, array)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return _serialize(tensor)


def _next_page(external: Sequence[tuple[int, Array]]) -> int:
    if not external:
        return 0
    offset, array = external[-1]
    return -(-(offset + array.nbytes) // PAGE_BYTES) * PAGE_BYTES


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString(deterministic=True))


def _length(piece: bytes | Array) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.nbytes


def _chunks(array: Array) -> Iterator[memoryview | bytes]:
    """The bytes of an array in row-major order, little-endian, a piece at a time."""
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
            yield from _chunks(np.ascontiguousarray(array[start : start + rows]))
        return
    count = max(1, CHUNK_BYTES // array.dtype.itemsize)
    for start in range(0, array.size, count):
        yield array.flat[start : start + count].astype(little).tobytes()


# Files


def _write_files(path: Path, layout: _Layout, data_path: Path | None) -> None:
    """Writes both files beside their targets, then puts them in place."""
    target = _target(path)
    try:
        with _temporary(target) as written:
            with open(written, "xb") as file:
                for piece in layout.pieces:
                    write_piece(file, piece)
            if data_path is None:
                os.replace(written, target)
                return
            with _temporary(data_path) as data_written:
                with open(data_written, "xb") as file:
                    for offset, array in layout.external:
                        file.write(bytes(offset - file.tell()))
                        write_piece(file, array)
                replace_both(written, target, data_written, data_path)
    except OSError as error:
        reason = error.strerror or error
        raise FormatError(f"cannot write {path}: {reason}; check the disk and the permissions") from error


def write_piece(file: IO[bytes], piece: bytes | Array) -> None:
    """Writes bytes, or the little-endian elements of an array a piece at a time."""
    if isinstance(piece, bytes):
        file.write(piece)
    else:
        for chunk in _chunks(piece):
            file.write(chunk)
            _forget(chunk)


def _forget(chunk: memoryview | bytes) -> None:
    """Gives back the memory that holds pages of a memory-mapped file; they stay on disk, where they can be read again.

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


def replace_both(model: Path, target: Path, data: Path, data_target: Path) -> None:
    """Puts a model and its data in place of the old ones; if that fails, the old ones are there as before.

    Two renames are not one. 1. The old data steps aside under another name. 2. The new data takes its place. 3. The new
    model takes the place of the old. If 2 or 3 fails, the old data is put back. Whoever is killed between 1 and 3 finds
    the old model, and its data under the other name. 4. The old data is removed.
    """
    with _temporary(data_target) as aside:
        had_data = data_target.exists()
        if had_data:
            os.replace(data_target, aside)
        try:
            os.replace(data, data_target)
            os.replace(model, target)
        except BaseException:
            data_target.unlink(missing_ok=True)
            if had_data:
                os.replace(aside, data_target)
            raise


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """The path of a file that does not exist yet, in the target's folder; what is there at the end is removed."""
    path = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _target(path: Path) -> Path:
    """The file to replace: behind symbolic links, so that they stay.

    Raises:
        FormatError: it is a folder or no file at all, or its folder does not exist.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise FormatError(f"cannot write {path}: it is a folder; give a file name, such as {path / 'model.onnx'}")
    if target.exists() and not target.is_file():
        raise FormatError(f"cannot write {path}: it is a device or a pipe; expected the name of a file")
    if not target.parent.is_dir():
        raise FormatError(f"cannot write {path}: there is no folder {target.parent}; create it first")
    return target
