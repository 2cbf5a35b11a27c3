"""Reading arrays from `.npz`, `.npy` and `.safetensors` files, which are untrusted: nothing is unpickled."""

from __future__ import annotations

import io
import math
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from kir.errors import FormatError
from kir.importers.bounded_json import parse
from kir.importers.sections import LOCAL_HEADER_BYTES, Section, Window, local_header_bytes
from kir.ir.op import Array
from kir.modeling.weight_names import SAFETENSORS_DTYPES
from kir.support.limits import MAX_CONFIG_BYTES, MAX_DIRECTORY_BYTES, most_unpacked
from kir.support.mapped_files import map_file
from kir.support.regular_files import open_regular

GivenArrays: TypeAlias = Mapping[str, Any] | Sequence[Any] | Array | str | os.PathLike[str]


def read_arrays(sources: Sequence[str], names: Sequence[str]) -> dict[str, Array]:
    """Return arrays by input name.

    Args:
        sources: "file.npz" (each member under its name), "name=file.npy", or "file.npy" when there is one input.
        names: of the inputs that exist.

    Raises:
        FormatError: a file cannot be read, or holds pickled objects, or a name is missing or given twice.
    """
    arrays: dict[str, Array] = {}
    for source in sources:
        for name, array in _read_source(source, names).items():
            if name in arrays:
                raise FormatError(f"input {name!r} is given twice, the second time by {source}")
            arrays[name] = array
    return arrays


def load_npy(path: Path) -> Array:
    """Return one array of a `.npy` file.

    Raises:
        FormatError: the file cannot be read, or holds pickled objects.
    """
    with open_regular(path, "a .npy file") as file, _plain_arrays(path, ".npy or .npz file of plain arrays"):
        begin = file.read(NPY_HEADER_BYTES)
        _read_header(io.BytesIO(begin), os.fstat(file.fileno()).st_size)
        file.seek(0)
        return _parse_npy(file.read())


def load_npz(path: Path) -> dict[str, Array]:
    """Return the arrays of a `.npz` file, by name; the checksum of each is checked.

    Raises:
        FormatError: the file cannot be read, or is damaged, or holds pickled objects, or far more than its size.
    """
    with _archive(path) as (_, archive):
        return {one.filename.removesuffix(".npy"): _parse_npy(archive.read(one)) for one in archive.infolist()}


def open_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of a `.npz` or `.npy` file as `load_npz` does, mapped from disk: for files of any size.

    The array of a `.npy` file has the name `arr_0`, as the first of `np.savez`. Arrays that are compressed are unpacked
    to a temporary file first, which is gone when nothing refers to them any more.

    Raises:
        FormatError: as `load_npz`.
    """
    if path.suffix == ".npy":
        with open_regular(path, "a .npy file") as file, _plain_arrays(path, ".npy file of plain arrays"):
            return {"arr_0": _parse_npy(map_file(file, str(path)))}
    with _archive(path) as (file, archive), tempfile.TemporaryFile() as unpacked:
        members = archive.infolist()
        starts = [_find_or_unpack(file, archive, member, unpacked) for member in members]
        unpacked.flush()
        stored, copies = map_file(file, str(path)), map_file(unpacked, f"the copy of {path}")
        return {
            member.filename.removesuffix(".npy"): _parse_npy(
                (stored if _is_stored(member) else copies)[start : start + member.file_size]
            )
            for member, start in zip(members, starts, strict=True)
        }


def _is_stored(member: zipfile.ZipInfo) -> bool:
    return member.compress_type == zipfile.ZIP_STORED


def given_arrays(given: GivenArrays, label: str) -> tuple[str, Mapping[str, Array]]:
    """Return what messages call arrays, and them by name: of a file, or as they are given in Python.

    Arrays without names are `arr_0`, `arr_1`, …, as in the files of `np.savez`.

    Args:
        given: a `.npz` or `.npy` file, arrays by name, a list of arrays, or an array.
        label: what messages call arrays that come from no file.

    Raises:
        FormatError: as `open_arrays`; or the file is of another kind.
    """
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        if path.suffix not in (".npz", ".npy"):
            raise FormatError(f"cannot read {path}; expected a .npz or .npy file")
        return path.name, open_arrays(path)
    if isinstance(given, Mapping):
        return label, {name: np.asarray(array) for name, array in given.items()}
    arrays = given if isinstance(given, list | tuple) else [given]
    return label, {f"arr_{index}": np.asarray(array) for index, array in enumerate(arrays)}


def _find_or_unpack(file: BinaryIO, archive: zipfile.ZipFile, member: zipfile.ZipInfo, unpacked: BinaryIO) -> int:
    """Return where the content of a member begins: in the archive, or in the file that it is unpacked to.

    It is read to its end, so that its checksum is checked.
    """
    start = unpacked.tell()
    with archive.open(member) as content:
        while piece := content.read(PIECE_BYTES):
            if not _is_stored(member):
                unpacked.write(piece)
    if _is_stored(member):
        file.seek(member.header_offset)
        start = member.header_offset + local_header_bytes(file.read(LOCAL_HEADER_BYTES))
    return start


@contextmanager
def _archive(path: Path) -> Iterator[tuple[BinaryIO, zipfile.ZipFile]]:
    """Open a `.npz` file, if it unpacks to a bounded size and has each name once."""
    with open_regular(path, "a .npz file") as file:
        size = os.fstat(file.fileno()).st_size
        with (
            _plain_arrays(path, ".npz file of plain arrays, as np.savez writes it"),
            zipfile.ZipFile(Window(Section(file, 0, size, str(path)), MAX_DIRECTORY_BYTES)) as archive,
        ):
            members = archive.infolist()
            _require_proportion(sum(member.file_size for member in members), size)
            if len({member.filename.removesuffix(".npy") for member in members}) != len(members):
                raise FormatError(f"{path} holds an array twice; expected each name once, as np.savez writes them")
            yield file, archive


@contextmanager
def _plain_arrays(path: Path, expected: str) -> Iterator[None]:
    """Turn what is raised for files of another kind, while open, into an error about the file."""
    try:
        yield
    except (*ARRAY_ERRORS, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        # zipfile: RuntimeError for an encrypted member, NotImplementedError for an unknown compression.
        raise FormatError(f"{path} is no {expected}: {error}") from None


def _require_proportion(unpacked: int, size: int) -> None:
    allowed = most_unpacked(size)
    if unpacked > allowed:
        raise ValueError(f"its arrays would unpack from {size} to {unpacked} bytes, and at most {allowed} are read")


NPY_HEADER_BYTES = 1 << 14
PIECE_BYTES = 1 << 20
ARRAY_ERRORS = (ValueError, TypeError, OverflowError, SyntaxError, EOFError, MemoryError, OSError)


def _parse_npy(content: bytes | Array) -> Array:
    """Return the array in the bytes of a `.npy` file. Raises some of `ARRAY_ERRORS`."""
    stream = io.BytesIO(bytes(content[:NPY_HEADER_BYTES]))
    shape, in_columns, dtype = _read_header(stream, len(content))
    array = np.frombuffer(content, dtype, math.prod(shape), stream.tell()) if math.prod(shape) else np.empty(0, dtype)
    return array.reshape(shape[::-1]).T if in_columns else array.reshape(shape)


def _read_header(stream: io.BytesIO, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether columns come first, and dtype, if they fit the size. Raises some of `ARRAY_ERRORS`.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"it is of version {version}; expected 1.0 or 2.0")
    shape, in_columns, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never read")
    wanted = stream.tell() + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or wanted != size:
        raise ValueError(f"its shape {list(shape)} of {dtype} needs {wanted} bytes, and it has {size}")
    return shape, in_columns, dtype


def load_safetensors(path: Path) -> dict[str, Array]:
    """Return the arrays of a `.safetensors` file, by name; they are read-only, and stay on disk until they are read.

    Raises:
        FormatError: the file cannot be read, or is not one.

    Source: https://huggingface.co/docs/safetensors
    """
    with open_regular(path, "a safetensors file") as file:
        data = map_file(file, str(path))
    try:
        length = int.from_bytes(data[:8].tobytes(), "little")
        if not 2 <= length <= min(MAX_CONFIG_BYTES, len(data) - 8):
            raise ValueError(
                f"its header has {length} bytes, the file {len(data)}; at most {MAX_CONFIG_BYTES} are read"
            )
        header = parse(data[8 : 8 + length].tobytes(), f"the header of {path}", "the names of arrays")
        return {
            name: _mapped_array(data, 8 + length, entry) for name, entry in header.items() if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise FormatError(f"cannot read {path}: {error}; expected a safetensors file") from None


def _mapped_array(data: Array, start: int, entry: dict[str, Any]) -> Array:
    dtype = SAFETENSORS_DTYPES[entry["dtype"]].numpy
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    integers = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    if not integers or math.prod(shape) * dtype.itemsize != end - begin or start + end > len(data):
        raise ValueError(f"an array of {entry['dtype']}{list(shape)} cannot lie at {entry['data_offsets']}")
    array = data[start + begin : start + end].view(dtype.newbyteorder("<"))
    return array.astype(dtype, copy=False).reshape(shape)


def _read_source(source: str, names: Sequence[str]) -> dict[str, Array]:
    name, equals, file = source.partition("=")
    if equals and not Path(source).exists():
        return {name: load_npy(Path(file))}
    if Path(source).suffix == ".npz":
        return load_npz(Path(source))
    if len(names) != 1:
        raise FormatError(f"{source} does not say which input it is for; write NAME={source} with one of {list(names)}")
    return {names[0]: load_npy(Path(source))}
