"""Reading the protobuf of an ONNX file within bounds.

Protobuf takes up to 50 times as much memory for a message as it has in a file, and says nothing of how many there are
before it has them all. So those of a large file are counted first.

Wire format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from onnx import ModelProto

from kir.caching import cached
from kir.errors import FormatError
from kir.limits import MAX_MESSAGE_BYTES, MAX_MESSAGES, MAX_NODES
from kir.regular_files import open_regular

EXPECTED = "an ONNX file"

# A file of this size with nothing but empty messages takes half a gigabyte.
UNCOUNTED_BYTES = 8 << 20

VARINT, FIXED_64, DELIMITED, FIXED_32 = 0, 1, 2, 5


def parse_file(path: Path) -> ModelProto:
    """Parse an ONNX file; external data is not read.

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
        _require_model(file.read(1), path)
        file.seek(0)
        content = file.read()
    return parse_model(content, str(path))


def _require_model(first: bytes, path: Path) -> None:
    """Raise FormatError if a file begins with what is no field of a model, before it is read: it may be large."""
    fields = {field.number for field in ModelProto.DESCRIPTOR.fields}
    if first and first[0] >> 3 not in fields and first[0] < 0x80:
        raise FormatError(f"{path} is not an ONNX file: it begins with no field of a model")


def parse_model(content: bytes, what: str) -> ModelProto:
    """Parse the bytes of a model.

    Raises:
        FormatError: they are no protobuf message, or go past a limit; the message opens with `what`.
    """
    if len(content) > UNCOUNTED_BYTES:
        count = count_messages(content, MAX_MESSAGES)
        if count > MAX_MESSAGES:
            raise FormatError(
                f"{what} consists of more than {MAX_MESSAGES} protobuf messages; at most so many are read: export a "
                "smaller model"
            )
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise FormatError(f"{what} is not an ONNX file: {error}") from None
    require_few_nodes(sum(map(len, (model.graph.node, *(function.node for function in model.functions)))), what)
    return model


def require_few_nodes(count: int, what: str) -> None:
    """Raise FormatError if there are more than `MAX_NODES`."""
    if count > MAX_NODES:
        raise FormatError(f"{what} has {count} nodes; at most {MAX_NODES} are read: export a smaller model")


def count_messages(content: bytes, enough: int) -> int:
    """Count the messages and texts inside a serialized model, at any depth; stop when there are more than enough.

    Broken messages are counted up to where they break: parsing will tell.
    """
    count = 0
    pending: list[tuple[int, int, Mapping[int, Any]]] = [(0, len(content), _fields_of(ModelProto.DESCRIPTOR))]
    while pending and count <= enough:
        position, end, fields = pending.pop()
        for number, start, stop in _delimited_fields(content, position, end):
            if number in fields:
                count += 1
                if count > enough:
                    return count
                inner = fields[number]
                if inner is not None and stop - start > 1:
                    pending.append((start, stop, _fields_of(inner)))
    return count


@cached
def _fields_of(descriptor: Any) -> Mapping[int, Any]:
    """Return the fields of a message that are messages, with their descriptors, or texts, with None; by number."""
    return {
        field.number: field.message_type
        for field in descriptor.fields
        if field.message_type is not None or field.type in (field.TYPE_STRING, field.TYPE_BYTES)
    }


def _delimited_fields(content: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number and the place of every length-delimited field of a message, until it ends or breaks."""
    while position < end:
        tag, position = _varint(content, position, end)
        kind = tag & 7
        if kind == DELIMITED:
            length, position = _varint(content, position, end)
            stop = position + length
            if stop > end:
                return
            yield tag >> 3, position, stop
            position = stop
        elif kind == VARINT:
            _, position = _varint(content, position, end)
        elif kind in (FIXED_32, FIXED_64):
            position += 4 if kind == FIXED_32 else 8
        else:
            return


def _varint(content: bytes, position: int, end: int) -> tuple[int, int]:
    """Return a number of 7 bits per byte, and the position after it."""
    byte = content[position] if position < end else 0
    if byte < 0x80:
        return byte, position + 1
    number = 0
    for index, place in enumerate(range(position, min(end, position + 10))):
        byte = content[place]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, place + 1
    return 0, end
