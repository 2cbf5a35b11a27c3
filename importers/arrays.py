"""Reading arrays from `.npz`, `.npy` and `.safetensors` files, which are untrusted: nothing is unpickled."""

from __future__ import annotations

import json
import math
import mmap
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kir.errors import FormatError
from kir.op import Array
from kir.types import DType

# The element types of safetensors.
SAFETENSORS_DTYPES = {
    "BOOL": DType.BOOL,
    "I8": DType.INT8,
    "I16": DType.INT16,
    "I32": DType.INT32,
    "I64": DType.INT64,
    "U8": DType.UINT8,
    "U16": DType.UINT16,
    "U32": DType.UINT32,
    "U64": DType.UINT64,
    "F16": DType.FLOAT16,
    "BF16": DType.BFLOAT16,
    "F32": DType.FLOAT32,
    "F64": DType.FLOAT64,
}
MAX_HEADER_BYTES = 100_000_000


def read_arrays(sources: Sequence[str], names: Sequence[str]) -> dict[str, Array]:
    """Arrays by input name.

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
    """One array of a `.npy` file.

    Raises:
        FormatError: the file cannot be read, or holds pickled objects.
    """
    loaded = _load(path)
    if not isinstance(loaded, np.ndarray):
        raise FormatError(f"{path} is not a .npy file; expected one array")
    return loaded


def load_npz(path: Path) -> dict[str, Array]:
    """The arrays of a `.npz` file, by name.

    Raises:
        FormatError: the file cannot be read, or holds pickled objects.
    """
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        raise FormatError(f"{path} is not a .npz file; expected named arrays, as np.savez writes them")
    with loaded:
        try:
            return {name: loaded[name] for name in loaded.files}
        except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
            raise FormatError(f"cannot read the arrays of {path}: {error}") from None


def load_safetensors(path: Path) -> dict[str, Array]:
    """The arrays of a `.safetensors` file, by name; they stay on disk until they are read, and cannot be written to.

    Raises:
        FormatError: the file cannot be read, or is not one.

    Source: https://huggingface.co/docs/safetensors
    """
    try:
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot read {path}: {error}; expected a safetensors file") from None
    try:
        length = int.from_bytes(data[:8], "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, len(data) - 8):
            raise ValueError(f"its header has {length} bytes, the file {len(data)}")
        header = json.loads(data[8 : 8 + length].decode())
        return {
            name: _mapped_array(data, 8 + length, entry) for name, entry in header.items() if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FormatError(f"cannot read {path}: {error}; expected a safetensors file") from None


def _mapped_array(data: mmap.mmap, start: int, entry: dict[str, Any]) -> Array:
    dtype = SAFETENSORS_DTYPES[entry["dtype"]].numpy
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    integers = all(isinstance(number, int) and number >= 0 for number in (*shape, begin, end))
    if not integers or math.prod(shape) * dtype.itemsize != end - begin or start + end > len(data):
        raise ValueError(f"an array of {entry['dtype']}{list(shape)} cannot lie at {entry['data_offsets']}")
    array = np.frombuffer(data, dtype.newbyteorder("<"), math.prod(shape), start + begin)
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


def _load(path: Path) -> np.ndarray | np.lib.npyio.NpzFile:
    try:
        loaded: np.ndarray | np.lib.npyio.NpzFile = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise FormatError(f"there is no file {path}; expected a .npy or .npz file") from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        # NumPy takes whatever it does not know for a pickle, and says how to trust it.
        raise FormatError(f"{path} is no .npy or .npz file, or holds pickled objects, which are never read") from None
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}; expected a .npy or .npz file") from None
    return loaded
