"""The wire format of protobuf: messages read within bounds, walked without being loaded, and written field by field.

Protobuf takes up to 50 times as much memory for a message as it has in a file, and says nothing of how many there are
before it has them all. So those of a large file are counted first.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from google.protobuf.message import DecodeError

from kir.errors import FormatError
from kir.support.caching import cached
from kir.support.limits import MAX_MESSAGES

# A file of this size with nothing but empty messages takes half a gigabyte.
UNCOUNTED_BYTES = 8 << 20

VARINT, FIXED_64, DELIMITED, FIXED_32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10


class Descriptor(Protocol):
    """The fields of a kind of message, each with a number, a type and perhaps a kind of message of its own."""

    fields: Sequence[Any]
    fields_by_name: Mapping[str, Any]


class Message(Protocol):
    """An instance of a class that protobuf made for a kind of message."""

    DESCRIPTOR: Descriptor

    def ParseFromString(self, content: bytes, /) -> object:
        """Fill the message in."""


M = TypeVar("M", bound=Message)
Content: TypeAlias = bytes | memoryview | mmap.mmap


# Reading


def parse(content: bytes, kind: type[M], what: str, expected: str) -> M:
    """Return the message of a kind that bytes are.

    Raises:
        FormatError: they are none, or hold more messages than a limit allows; the text opens with `what`.
    """
    if len(content) > UNCOUNTED_BYTES and count_messages(content, kind.DESCRIPTOR, MAX_MESSAGES) > MAX_MESSAGES:
        raise FormatError(
            f"{what} consists of more than {MAX_MESSAGES} protobuf messages; at most so many are read: export a "
            "smaller model"
        )
    message = kind()
    try:
        message.ParseFromString(content)
    except DecodeError as error:
        raise FormatError(f"{what} is not {expected}: {error}") from None
    return message


def count_messages(content: bytes, descriptor: Descriptor, enough: int) -> int:
    """Count the messages and texts inside a serialized message, at any depth; stop when there are more than enough.

    Broken messages are counted up to where they break: parsing will tell.
    """
    count = 0
    pending = [(0, len(content), descriptor)]
    while pending and count <= enough:
        begin, stop, kind = pending.pop()
        inner = _counted_fields(kind)
        try:
            for field in walk_fields(content, begin, stop):
                if field.kind == DELIMITED and field.number in inner:
                    count += 1
                    if count > enough:
                        return count
                    deeper = inner[field.number]
                    if deeper is not None and field.end - field.start > 1:
                        pending.append((field.start, field.end, deeper))
        except BrokenMessageError:
            pass
    return count


@cached
def _counted_fields(descriptor: Descriptor) -> Mapping[int, Descriptor | None]:
    """Return the fields of a message that are messages, with their descriptors, or texts, with None; by number."""
    return {
        field.number: field.message_type
        for field in descriptor.fields
        if field.message_type is not None or field.type in (field.TYPE_STRING, field.TYPE_BYTES)
    }


# Walking


class Field(NamedTuple):
    """A field of a message: its tag is at `begin`; its value, after the length, lies from `start` to `end`."""

    number: int
    kind: int
    begin: int
    start: int
    end: int


class BrokenMessageError(Exception):
    """A field at `position` is cut off, or of a kind that does not exist."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def walk_fields(data: Content, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message between two positions. Every position is checked before it is read.

    Raises:
        BrokenMessageError: a field is cut off, or of a kind that does not exist.
    """
    while start < end:
        tag, after = _varint(data, start, end)
        kind = tag & 7
        if kind == DELIMITED:
            length, value = _varint(data, after, end)
            stop = value + length
        elif kind == VARINT:
            value, stop = after, _varint(data, after, end)[1]
        elif kind in (FIXED_32, FIXED_64):
            value, stop = after, after + (4 if kind == FIXED_32 else 8)
        else:
            raise BrokenMessageError(after)
        if stop > end or tag >> 3 == 0:
            raise BrokenMessageError(start)
        yield Field(tag >> 3, kind, start, value, stop)
        start = stop


def _varint(data: Content, start: int, end: int) -> tuple[int, int]:
    """Return a number of 7 bits per byte, and the position after it."""
    if start < end and data[start] < 0x80:  # most of them
        return data[start], start + 1
    number = 0
    for index, position in enumerate(range(start, min(end, start + MAX_VARINT_BYTES))):
        byte = data[position]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, position + 1
    raise BrokenMessageError(start)


# Writing


def field_number(kind: type[Message], field: str) -> int:
    """Return the number of a field of a kind of message."""
    return int(kind.DESCRIPTOR.fields_by_name[field].number)


@cached
def _tag(kind: type[Message], field: str) -> bytes:
    return _encode_varint(field_number(kind, field) << 3 | DELIMITED)


def field_head(kind: type[Message], field: str, length: int) -> bytes:
    """Return the tag and the length of a length-delimited field of a kind of message."""
    return _tag(kind, field) + _encode_varint(length)


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))
