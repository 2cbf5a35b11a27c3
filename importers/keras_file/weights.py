"""Reading weights into a model: Keras's `.weights.h5`, `.npz`, `.safetensors`.

The files are untrusted: nothing is unpickled, and no link leads out of an HDF5 file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kir.errors import FormatError
from kir.importers.arrays import load_npz
from kir.layers.base import Weight
from kir.model import Model
from kir.op import Array
from kir.types import format_shape
from kir.weight_names import named_weights, saved_layers

if TYPE_CHECKING:
    import h5py


def load_weights(model: Model, path: Path) -> None:
    """Sets all weights of a model from a file; nothing is set unless every one is there and fits.

    Raises:
        FormatError: the file cannot be read, or a weight is missing or of another shape; all of them are listed.
    """
    if not path.is_file():
        raise FormatError(f"there is no file {path}; expected .weights.h5, .npz or .safetensors")
    if path.name.endswith((".h5", ".hdf5")):
        arrays, wanted = _read_h5(model, path)
    elif path.suffix == ".npz":
        arrays, wanted = load_npz(path), named_weights(model)
    elif path.suffix == ".safetensors":
        arrays, wanted = _read_safetensors(path), named_weights(model)
    else:
        raise FormatError(f"cannot read weights from {path}: expected a name ending in .weights.h5, .npz or .safetensors")
    _require_all(path, arrays, wanted)
    for name, weight in wanted.items():
        weight.assign(arrays[name])


def _require_all(path: Path, arrays: Mapping[str, Array], wanted: Mapping[str, Weight]) -> None:
    problems = [f"{name} is missing" for name in wanted if name not in arrays]
    problems += [
        f"{name} has shape {format_shape(arrays[name].shape)}, the model's {format_shape(weight.shape)}"
        for name, weight in wanted.items()
        if name in arrays and arrays[name].shape != weight.shape
    ]
    if problems:
        shown = "; ".join(problems[:10]) + (f"; and {len(problems) - 10} more" if len(problems) > 10 else "")
        raise FormatError(f"the weights of {path} do not fit the model: {shown}")


def _read_h5(model: Model, path: Path) -> tuple[dict[str, Array], dict[str, Weight]]:
    import h5py

    arrays: dict[str, Array] = {}
    wanted: dict[str, Weight] = {}
    try:
        with h5py.File(path, "r") as file:
            for saved in saved_layers(model):
                for index, weight in enumerate(saved.weights):
                    name = f"{saved.group}/vars/{index}" if saved.group else f"vars/{index}"
                    wanted[name] = weight
                    dataset = _find_dataset(file, name, path)
                    if dataset is not None and dataset.shape == weight.shape:
                        arrays[name] = _to_array(dataset, weight)
                    elif dataset is not None:
                        arrays[name] = _empty_of_shape(dataset.shape)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error}; expected an HDF5 file that Keras's save_weights wrote") from None
    return arrays, wanted


def _find_dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset | None:
    """The dataset of a name, reached through hard links alone; None when there is none."""
    import h5py

    here: Any = file
    for part in name.split("/"):
        link = here.get(part, getlink=True) if isinstance(here, h5py.Group) and part in here else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise FormatError(f"{path}: {name} is reached through a {type(link).__name__}; links are not followed")
        here = here[part]
    if not isinstance(here, h5py.Dataset):
        return None
    if here.external or here.is_virtual:
        raise FormatError(f"{path}: {name} keeps its numbers in another file; they are not followed")
    return here


def _to_array(dataset: h5py.Dataset, weight: Weight) -> Array:
    """The numbers; bfloat16 lies in HDF5 as two opaque bytes."""
    array: Array = dataset[()]
    return array.view(weight.dtype.numpy) if array.dtype.kind == "V" else array


def _empty_of_shape(shape: tuple[int, ...]) -> Array:
    """A stand-in that has the shape and takes no memory, for the error that it leads to."""
    import numpy as np

    return np.broadcast_to(np.zeros((), np.float32), shape)


def _read_safetensors(path: Path) -> dict[str, Array]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise FormatError(f"cannot read {path}: {error}; expected a safetensors file") from None
