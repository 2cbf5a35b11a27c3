"""`.keras` archives: zip files of which three members are read, by their exact names, and nothing is unpacked.

A stored member is not copied: it is a `Section` of the archive, in which HDF5 reads and which is memory-mapped.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kir.errors import FormatError

CONFIG = "config.json"
METADATA = "metadata.json"
WEIGHTS = "model.weights.h5"

# Python's json needs up to 30 bytes of memory for a byte of text; a model of 10,000 layers has 12 MB.
MAX_CONFIG_BYTES = 32 << 20

# What `zipfile` reads of an archive at once is its directory: 60,000 members and more fit.
MAX_DIRECTORY_BYTES = 4 << 20

# Weights hardly compress; what unpacks to more than this, and to more than so many times its size, is no model.
MAX_UNPACKED_BYTES = 256 << 20
MAX_RATIO = 100

LOCAL_HEADER_BYTES = 30
ENCRYPTED = 0x1
COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Section:
    """A run of bytes in an open file. `label` says in messages where it is from."""

    file: BinaryIO
    offset: int
    size: int
    label: str

    def open(self) -> Window:
        """A file object that sees nothing but the section."""
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
        """As in `io.RawIOBase`, but never more than the largest read that was allowed."""
        left = max(0, self._section.size - self._position)
        size = left if size is None or size < 0 else min(size, left)
        if self._largest_read is not None and size > self._largest_read:
            raise OSError(f"its directory has {size} bytes, and at most {self._largest_read} are read")
        return super().read(size) or b""


class Archive:
    """The members of a `.keras` file.

    Args:
        file: the archive, open.
        path: its name, for messages.

    Raises:
        FormatError: it is no zip file, or a member's name is in it twice.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self._whole = whole_file(file, path)
        try:
            with zipfile.ZipFile(Window(self._whole, MAX_DIRECTORY_BYTES)) as directory:
                members = directory.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
            # zipfile raises NotImplementedError for a version of the format that it does not know.
            raise FormatError(f"{path} is not a .keras file: {error}; expected a zip file that Keras wrote") from None
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            if member.filename in self._members:
                raise FormatError(
                    f"{path} holds {member.filename!r} twice; expected each member once, as Keras writes it"
                )
            self._members[member.filename] = member

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def text(self, name: str) -> bytes:
        """A small member, checked against its checksum.

        Raises:
            FormatError: it is missing, too large, encrypted or damaged.
        """
        member = self._member(name)
        if member.file_size > MAX_CONFIG_BYTES:
            raise FormatError(f"{self.path}: {name} has {member.file_size} bytes; at most {MAX_CONFIG_BYTES} are read")
        content = b"".join(self._unpacked(member))
        if zlib.crc32(content) != member.CRC:
            raise FormatError(f"{self.path}: {name} is damaged: its checksum differs; copy the file again")
        return content

    @contextmanager
    def section(self, name: str) -> Iterator[Section]:
        """A large member: where it lies if it is stored, or else a temporary file that it is unpacked to.

        Raises:
            FormatError: it is missing, encrypted, damaged, or unpacks to far more than it is.
        """
        member = self._member(name)
        label = f"{self.path}: {name}"
        if member.compress_type == zipfile.ZIP_STORED:
            yield Section(self._whole.file, self._data_offset(member), member.file_size, label)
            return
        with tempfile.TemporaryFile() as file:
            for chunk in self._unpacked(member):
                file.write(chunk)
            file.flush()
            yield Section(file, 0, member.file_size, label)

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members:
            raise FormatError(f"{self.path} has no {name}; expected a .keras file with {CONFIG} and {WEIGHTS}")
        member = self._members[name]
        if member.flag_bits & ENCRYPTED:
            raise FormatError(f"{self.path}: {name} is encrypted; save the model without a password")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FormatError(
                f"{self.path}: {name} is compressed by method {member.compress_type}; expected stored or deflated"
            )
        packed, unpacked = member.compress_size, member.file_size
        if member.compress_type == zipfile.ZIP_STORED and packed != unpacked:
            raise FormatError(f"{self.path}: {name} is stored, but has the sizes {packed} and {unpacked}")
        if unpacked > max(MAX_UNPACKED_BYTES, packed * MAX_RATIO):
            raise FormatError(
                f"{self.path}: {name} would unpack from {packed} to {unpacked} bytes; "
                f"at most {MAX_RATIO} times as many are read"
            )
        return member

    def _data_offset(self, member: zipfile.ZipInfo) -> int:
        """Where the member's bytes begin, from its local header, which must agree with the directory."""
        window = self._whole.open()
        window.seek(max(0, member.header_offset))
        header = window.read(LOCAL_HEADER_BYTES)
        name_length, extra_length = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        name = window.read(name_length)
        expected = member.orig_filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437")
        offset = member.header_offset + LOCAL_HEADER_BYTES + name_length + extra_length
        if (
            member.header_offset < 0
            or header[:4] != b"PK\x03\x04"
            or name != expected
            or offset + member.compress_size > self._whole.size
        ):
            raise FormatError(f"{self.path}: {member.filename} is not where the directory says; the file is damaged")
        return offset

    def _unpacked(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        """The member's bytes in chunks: exactly as many as its declared size."""
        window = Section(self._whole.file, self._data_offset(member), member.compress_size, "").open()
        if member.compress_type == zipfile.ZIP_STORED:
            while chunk := window.read(COPY_BYTES):
                yield chunk
            return
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        left = member.file_size
        pending = b""
        try:
            while left and not inflater.eof and (pending or (pending := window.read(COPY_BYTES))):
                chunk = inflater.decompress(pending, min(left, COPY_BYTES))
                pending = inflater.unconsumed_tail
                left -= len(chunk)
                yield chunk
        except zlib.error as error:
            raise FormatError(
                f"{self.path}: {member.filename} cannot be unpacked: {error}; copy the file again"
            ) from None
        if left:
            raise FormatError(f"{self.path}: {member.filename} ends {left} bytes early; copy the file again")


def whole_file(file: BinaryIO, path: Path) -> Section:
    """All of an open file."""
    return Section(file, 0, file.seek(0, io.SEEK_END), str(path))


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """The file, open while the context is. What was memory-mapped from it stays readable.

    Raises:
        FormatError: there is no such file, or it cannot be opened.
    """
    if not path.is_file():
        raise FormatError(f"there is no file {path}; expected a .keras, .h5 or .json file that Keras wrote")
    try:
        with open(path, "rb", buffering=0) as file:
            yield file
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}; check its permissions") from None
