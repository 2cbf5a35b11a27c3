"""Writing a model's weights: `.weights.h5` in Keras's layout, `.npz`, `.safetensors`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from kir import backend as K
from kir.errors import FormatError
from kir.ir.op import Array
from kir.ir.types import as_dtype
from kir.layers.text import lookup_of
from kir.modeling.model import Model
from kir.modeling.weight_names import SAFETENSORS_DTYPES, named_weights, saved_layers
from kir.support.files import replacing
from kir.support.mapped_files import require_unchanged


def save_weights(model: Model, path: Path) -> None:
    """Write all weights of a model; the format follows the name's ending.

    `.weights.h5` is what Keras's `load_weights` reads; `.npz` and `.safetensors` hold the arrays under readable
    names, such as "encoder/dense/kernel".

    Raises:
        FormatError: another ending, the target cannot be written, or the file that the weights are read from changed.
    """
    suffix = ".weights.h5" if path.name.endswith(".weights.h5") else path.suffix
    if suffix not in (".weights.h5", ".npz", ".safetensors"):
        raise FormatError(
            f"cannot write weights to {path}: expected a name ending in .weights.h5, .npz or .safetensors"
        )
    arrays: dict[str, Any] = {name: weight.array for name, weight in named_weights(model).items()}
    with replacing(path) as written:
        if suffix == ".npz":
            with open(written, "wb") as file:
                np.savez(file, **arrays)
        elif suffix == ".safetensors":
            write_safetensors(written, arrays)
        else:
            write_h5(model, written)
        require_unchanged(arrays.values())


def write_h5(model: Model, path: Path) -> None:
    """Write what Keras's `load_weights` reads, and what lies in its `.keras` files."""
    import h5py  # start-up time

    with open(path, "w+b", buffering=0) as opened, _HDF5Target(opened) as target, h5py.File(target, "w") as file:
        for saved in saved_layers(model):
            group = file.create_group(f"{saved.group}/vars" if saved.group else "vars")
            group.attrs["name"] = saved.layer.name
            for index, weight in enumerate(saved.weights):
                group.create_dataset(str(index), data=weight.array, track_times=False)
            lookup = lookup_of(saved.layer)
            if lookup is not None and lookup.index_weights is not None:
                data = lookup.index_weights.astype(K.floatx())
                group.create_dataset("idf_weights", data=data, track_times=False)


class _HDF5Target:
    """A file for HDF5, which crashes where a write fails: it is told that all went well, and the error raised later."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self.read, self.readinto = file.read, file.readinto
        self.seek, self.tell, self.flush = file.seek, file.tell, file.flush

    def write(self, data: bytes | memoryview) -> int:
        """Write all of the data; nothing once a write has failed."""
        left = memoryview(data).cast("B")
        try:
            while left and self._error is None:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._error = error
            self._file.seek(len(left), os.SEEK_CUR)
        return len(data)

    def truncate(self, size: int) -> int:
        """Set the size of the file; nothing once a write has failed."""
        return size if self._error else self._file.truncate(size)

    def __enter__(self) -> _HDF5Target:
        return self

    def __exit__(self, *error: object) -> None:
        if self._error is not None:
            raise self._error


def write_safetensors(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write named arrays, one after the other: a memory-mapped one goes from file to file, in pieces.

    Those with the largest elements come first, so that every array is aligned. The same arrays give the same bytes.

    Source: https://huggingface.co/docs/safetensors
    """
    from kir.exporters.onnx_file.write import write_piece  # start-up time: this imports onnx

    names = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}
    ordered = sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize)
    header: dict[str, Any] = {}
    offset = 0
    for name, array in ordered:
        dtype = as_dtype(array.dtype)
        if dtype not in names:
            raise FormatError(f"a .safetensors file cannot hold {name}, an array of {dtype}; write a .npz file")
        header[name] = {
            "dtype": names[dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            write_piece(file, array)
