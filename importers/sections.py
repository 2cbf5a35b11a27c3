"""Runs of bytes in open files, as file objects of their own."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# Of a member of a zip archive, before its name and extra field.
# Source: section 4.3.7 of https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
LOCAL_HEADER_BYTES = 30


def local_header_bytes(header: bytes) -> int:
    """Return how many bytes lie before the content of a member, from the fixed part of its local header."""
    return LOCAL_HEADER_BYTES + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))


@dataclass(frozen=True)
class Section:
    """A run of bytes in an open file. `label` says in messages where it is from."""

    file: BinaryIO
    offset: int
    size: int
    label: str

    def open(self) -> Window:
        """Return a file object that sees nothing but the section."""
        return Window(self)


class Window(io.RawIOBase):
    """A read-only file over a section of another one. The two must not be read at the same time."""

    def __init__(self, section: Section, largest_read: int | None = None) -> None:
        self._section = section
        self._position = 0
        self._largest_read = largest_read

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._section.size}[whence]
        if start + offset < 0:
            raise OSError(f"cannot seek to {start + offset}, which is before the beginning")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), max(0, self._section.size - self._position))
        self._section.file.seek(self._section.offset + self._position)
        chunk = self._section.file.read(wanted)
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def read(self, size: int = -1) -> bytes:
        """Read as `io.RawIOBase` does, but never more than the largest read that was allowed."""
        left = max(0, self._section.size - self._position)
        size = left if size is None or size < 0 else min(size, left)
        if self._largest_read is not None and size > self._largest_read:
            raise OSError(f"its directory has {size} bytes, and at most {self._largest_read} are read")
        return super().read(size) or b""


def whole_file(file: BinaryIO, path: Path) -> Section:
    """Return all of an open file."""
    return Section(file, 0, file.seek(0, io.SEEK_END), str(path))
