"""`.keras` archives: zip files of which three members are read, by their exact names, and nothing is unpacked.

A stored member is not copied: it is a `Section` of the archive, in which HDF5 reads and which is memory-mapped.
"""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from kir.errors import FormatError
from kir.importers.sections import LOCAL_HEADER_BYTES, Section, Window, local_header_bytes, whole_file
from kir.modeling.weight_names import CONFIG, WEIGHTS
from kir.support.limits import MAX_CONFIG_BYTES, MAX_DIRECTORY_BYTES, MAX_RATIO, most_unpacked
from kir.support.regular_files import open_regular

EXPECTED = "a .keras, .h5 or .json file that Keras wrote"

# How files of either kind begin.
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
ZIP_MAGIC = b"PK\x03\x04"

ENCRYPTED = 0x1
COPY_BYTES = 1 << 20


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
        self._checked: set[str] = set()
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            if member.filename in self._members:
                raise FormatError(
                    f"{path} holds {member.filename!r} twice; expected each member once, as Keras writes it"
                )
            self._members[member.filename] = member

    @property
    def names(self) -> list[str]:
        """The names of all members."""
        return list(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def text(self, name: str) -> bytes:
        """Return a small member, checked against its checksum.

        Raises:
            FormatError: it is missing, too large, encrypted or damaged.
        """
        member = self._member(name)
        if member.file_size > MAX_CONFIG_BYTES:
            raise FormatError(f"{self.path}: {name} has {member.file_size} bytes; at most {MAX_CONFIG_BYTES} are read")
        return b"".join(self._unpacked(member))

    @contextmanager
    def section(self, name: str) -> Iterator[Section]:
        """Open a large member: where it lies if it is stored, or else a temporary file that it is unpacked to.

        Either way all of it is read once, for its checksum, which takes about as long as copying the file does.

        Raises:
            FormatError: it is missing, encrypted, damaged, or unpacks to far more than it is.
        """
        member = self._member(name)
        label = f"{self.path}: {name}"
        if member.compress_type == zipfile.ZIP_STORED:
            self._check_once(member)
            yield Section(self._whole.file, self._data_offset(member), member.file_size, label)
            return
        with tempfile.TemporaryFile() as file:
            for chunk in self._unpacked(member):
                file.write(chunk)
            file.flush()
            yield Section(file, 0, member.file_size, label)

    def _check_once(self, member: zipfile.ZipInfo) -> None:
        if member.filename not in self._checked:
            for _ in self._unpacked(member):
                pass
            self._checked.add(member.filename)

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
        if unpacked > most_unpacked(packed):
            raise FormatError(
                f"{self.path}: {name} would unpack from {packed} to {unpacked} bytes; "
                f"at most {MAX_RATIO} times as many are read"
            )
        return member

    def _data_offset(self, member: zipfile.ZipInfo) -> int:
        """Return where the member's bytes begin, from its local header, which must agree with the directory."""
        window = self._whole.open()
        window.seek(max(0, member.header_offset))
        header = window.read(LOCAL_HEADER_BYTES)
        name = window.read(int.from_bytes(header[26:28], "little"))
        expected = member.orig_filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437")
        offset = member.header_offset + local_header_bytes(header)
        if (
            member.header_offset < 0
            or header[:4] != b"PK\x03\x04"
            or name != expected
            or offset + member.compress_size > self._whole.size
        ):
            raise FormatError(f"{self.path}: {member.filename} is not where the directory says; the file is damaged")
        return offset

    def _unpacked(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield the member's bytes in chunks: exactly as many as its declared size, and of its checksum.

        Raises:
            FormatError: they are not, once all were read.
        """
        checksum = 0
        for chunk in self._inflated(member):
            checksum = zlib.crc32(chunk, checksum)
            yield chunk
        if checksum != member.CRC:
            raise FormatError(
                f"{self.path}: {member.filename} is damaged: its checksum is {checksum:08x}, and the archive says "
                f"{member.CRC:08x}; copy the file again"
            )

    def _inflated(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        window = Section(self._whole.file, self._data_offset(member), member.compress_size, "").open()
        if member.compress_type == zipfile.ZIP_STORED:
            while chunk := window.read(COPY_BYTES):
                yield chunk
            if window.tell() != member.file_size:
                raise FormatError(f"{self.path}: {member.filename} ends early; copy the file again")
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


def open_file(path: Path) -> AbstractContextManager[BinaryIO]:
    """Open a file while the context is open, as `open_regular` does. What was memory-mapped from it stays readable."""
    return open_regular(path, EXPECTED)
