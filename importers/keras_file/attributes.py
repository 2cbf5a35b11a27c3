"""Texts in HDF5 attributes, read from the bytes of the file.

Not through HDF5's own library: on a damaged text it loops without end, or takes as many gigabytes as the text says it
is long. Here every length is checked against what there is.

Source: https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html (object headers, attribute messages and
global heaps); offsets and lengths are of 8 bytes, as in every file that h5py makes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from kir.errors import FormatError
from kir.importers.sections import Window
from kir.support.limits import MAX_BLOCKS, MAX_CONFIG_BYTES

ATTRIBUTE = 0x0C
CONTINUATION = 0x10
FIXED_TEXT = 3
VARIABLE_LENGTH = 9
HEAP_SIGNATURE = b"GCOL\x01\0\0\0"

SHARED = 0x02

Block = tuple[int, int]


class Layout(NamedTuple):
    """The beginning of a message of an object header: `head` bytes, with its kind, its size and its flags in them."""

    head: int
    kind_width: int
    size_at: int
    flags_at: int


def read_texts(window: Window, address: int, name: str) -> list[str] | None:
    """Return the texts of an attribute of the object whose header is at an address; None if there is no such attribute.

    Raises:
        FormatError: the header or the attribute is damaged, or holds no texts.
    """
    try:
        for kind, body in _messages(window, address):
            if kind == ATTRIBUTE and (texts := _texts_if_named(window, body, name)) is not None:
                return texts
    except (IndexError, UnicodeDecodeError) as error:
        raise FormatError(f"the attribute {name} is damaged: {error}") from None
    return None


# Object headers


def _messages(window: Window, address: int) -> Iterator[tuple[int, bytes]]:
    """Yield the messages of an object header, in either version, that are not shared with other objects."""
    window.seek(address)
    is_new = window.read(4) == b"OHDR"
    block, layout = _new_header(window, address) if is_new else _old_header(window, address)
    blocks = [block]
    for _ in range(MAX_BLOCKS):
        if not blocks:
            return
        start, length = blocks.pop(0)
        for kind, flags, body in _split(_read(window, start, length), layout):
            if kind == CONTINUATION:
                start, length = _number(body, 0, 8), _number(body, 8, 8)
                # A later block of the new form begins with a signature and ends with a checksum.
                blocks.append((start + 4, length - 8) if is_new else (start, length))
            elif not flags & SHARED:
                yield kind, body
    raise FormatError(f"the object header at byte {address} has more than {MAX_BLOCKS} blocks")


def _split(block: bytes, layout: Layout) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + layout.head <= len(block):
        size = _number(block, at + layout.size_at, 2)
        body = block[at + layout.head : at + layout.head + size]
        yield _number(block, at, layout.kind_width), block[at + layout.flags_at], body
        at += layout.head + size


def _old_header(window: Window, address: int) -> tuple[Block, Layout]:
    prefix = _read(window, address, 16)
    if prefix[0] != 1:
        raise FormatError(f"there is no object header at byte {address}")
    return (address + 16, _number(prefix, 8, 4)), Layout(head=8, kind_width=2, size_at=2, flags_at=4)


def _new_header(window: Window, address: int) -> tuple[Block, Layout]:
    flags = _read(window, address, 6)[5]
    at = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
    width = 1 << (flags & 3)
    length = _number(_read(window, address + at, width), 0, width)
    return (address + at + width, length), Layout(6 if flags & 0x04 else 4, kind_width=1, size_at=1, flags_at=3)


# Attribute messages


def _texts_if_named(window: Window, body: bytes, name: str) -> list[str] | None:
    version = body[0]
    sizes = [_number(body, at, 2) for at in (2, 4, 6)]
    at = 9 if version == 3 else 8
    parts: list[bytes] = []
    for size in sizes:
        parts.append(body[at : at + size])
        at += (size + 7) // 8 * 8 if version == 1 else size
    label, datatype, dataspace = parts
    if label.rstrip(b"\0") != name.encode():
        return None
    count, size = _count(dataspace), _number(datatype, 4, 4)
    if count == 0:
        # Keras writes a list of no names as an empty array of floats.
        return []
    kind = datatype[0] & 0x0F
    data = body[at : at + count * size]
    if len(data) != count * size or kind not in (FIXED_TEXT, VARIABLE_LENGTH):
        raise FormatError(f"the attribute {name} holds no text, as Keras writes it")
    values = [data[index * size : (index + 1) * size] for index in range(count)]
    if kind == FIXED_TEXT:
        return [value.split(b"\0")[0].decode() for value in values]
    if datatype[1] & 0x0F != 1 or size != 16:
        raise FormatError(f"the attribute {name} holds no text, as Keras writes it")
    return _from_heap(window, values)


def _count(dataspace: bytes) -> int:
    version, rank = dataspace[0], dataspace[1]
    if version == 2 and dataspace[3] == 2:
        return 0
    first = 8 if version == 1 else 4
    return math.prod(_number(dataspace, first + 8 * axis, 8) for axis in range(rank))


def _from_heap(window: Window, references: list[bytes]) -> list[str]:
    texts: list[str] = []
    heaps: dict[int, dict[int, bytes]] = {}
    left = MAX_CONFIG_BYTES
    for reference in references:
        length, address, index = _number(reference, 0, 4), _number(reference, 4, 8), _number(reference, 12, 4)
        if not length:
            texts.append("")
            continue
        if address not in heaps:
            heaps[address] = _heap_objects(window, address)
        content = heaps[address].get(index, b"")
        left -= length
        if length > len(content) or left < 0:
            raise FormatError(f"an attribute is damaged: its text of {length} bytes is not in the file")
        texts.append(content[:length].decode())
    return texts


def _heap_objects(window: Window, address: int) -> dict[int, bytes]:
    """Return the objects of a global heap, by their index."""
    head = _read(window, address, 16)
    size = _number(head, 8, 8)
    if head[:8] != HEAP_SIGNATURE or not 16 <= size <= 2 * MAX_CONFIG_BYTES:
        raise FormatError(f"there is no heap of texts at byte {address}")
    heap = _read(window, address, size)
    objects: dict[int, bytes] = {}
    at = 16
    while at + 16 <= size and (index := _number(heap, at, 2)):
        length = _number(heap, at + 8, 8)
        objects[index] = heap[at + 16 : at + 16 + length]
        at += 16 + (length + 7) // 8 * 8
    return objects


def _read(window: Window, start: int, length: int) -> bytes:
    """Return so many bytes, no fewer.

    Raises:
        FormatError: the file ends before, or they are more than any block has.
    """
    if not 0 <= length <= 2 * MAX_CONFIG_BYTES:
        raise FormatError(f"a block of the file has {length} bytes")
    window.seek(start)
    content = window.read(length)
    if len(content) != length:
        raise FormatError(f"the file ends before byte {start + length}")
    return content


def _number(content: bytes, at: int, width: int) -> int:
    if at + width > len(content):
        raise IndexError(f"{width} bytes are missing")
    return int.from_bytes(content[at : at + width], "little")
