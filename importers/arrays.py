"""Reading arrays from `.npz`, `.npy` and `.safetensors` files, which are untrusted: nothing is unpickled."""

from __future__ import annotations

import io
import math
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kir.errors import FormatError
from kir.importers.bounded_json import parse
from kir.importers.sections import Section, Window
from kir.ir.op import Array
from kir.modeling.weight_names import SAFETENSORS_DTYPES
from kir.support.limits import MAX_CONFIG_BYTES, MAX_DIRECTORY_BYTES, most_unpacked
from kir.support.mapped_files import map_file
from kir.support.regular_files import open_regular


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
    with open_regular(path, "a .npy file") as file:
        begin = file.read(NPY_HEADER_BYTES)
        try:
            _read_header(io.BytesIO(begin), os.fstat(file.fileno()).st_size)
            file.seek(0)
            return _parse_npy(file.read())
        except ARRAY_ERRORS as error:
            raise FormatError(f"{path} is no .npy or .npz file of plain arrays: {error}") from None


def load_npz(path: Path) -> dict[str, Array]:
    """Return the arrays of a `.npz` file, by name; the checksum of each is checked.

    Raises:
        FormatError: the file cannot be read, or is damaged, or holds pickled objects, or far more than its size.
    """
    with open_regular(path, "a .npz file") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(Window(Section(file, 0, size, str(path)), MAX_DIRECTORY_BYTES)) as archive:
                members = archive.infolist()
                _require_proportion(sum(member.file_size for member in members), size)
                arrays = {one.filename.removesuffix(".npy"): _parse_npy(archive.read(one)) for one in members}
        except (*ARRAY_ERRORS, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            # zipfile: RuntimeError for an encrypted member, NotImplementedError for an unknown compression.
            raise FormatError(f"{path} is no .npz file of plain arrays, as np.savez writes it: {error}") from None
    if len(arrays) != len(members):
        raise FormatError(f"{path} holds an array twice; expected each name once, as np.savez writes them")
    return arrays


def _require_proportion(unpacked: int, size: int) -> None:
    allowed = most_unpacked(size)
    if unpacked > allowed:
        raise ValueError(f"its arrays would unpack from {size} to {unpacked} bytes, and at most {allowed} are read")


NPY_HEADER_BYTES = 1 << 14
ARRAY_ERRORS = (ValueError, TypeError, OverflowError, SyntaxError, EOFError, MemoryError, OSError)


def _parse_npy(content: bytes) -> Array:
    """Return the array in the bytes of a `.npy` file. Raises some of `ARRAY_ERRORS`."""
    stream = io.BytesIO(content)
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
