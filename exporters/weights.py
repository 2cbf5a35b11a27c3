"""Writing a model's weights: `.weights.h5` in Keras's layout, `.npz`, `.safetensors`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kir.errors import FormatError
from kir.files import replacing
from kir.model import Model
from kir.weight_names import named_weights, saved_layers


def save_weights(model: Model, path: Path) -> None:
    """Writes all weights of a model; the format follows the name's ending.

    `.weights.h5` is what Keras's `load_weights` reads; `.npz` and `.safetensors` hold the arrays under readable
    names, such as "encoder/dense/kernel".

    Raises:
        FormatError: another ending, or the target cannot be written.
    """
    if path.name.endswith(".weights.h5"):
        write = _write_h5
    elif path.suffix == ".npz":
        write = _write_npz
    elif path.suffix == ".safetensors":
        write = _write_safetensors
    else:
        raise FormatError(
            f"cannot write weights to {path}: expected a name ending in .weights.h5, .npz or .safetensors"
        )
    with replacing(path) as written:
        write(model, written)


def _write_h5(model: Model, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for saved in saved_layers(model):
            group = file.create_group(f"{saved.group}/vars" if saved.group else "vars")
            group.attrs["name"] = saved.layer.name
            for index, weight in enumerate(saved.weights):
                group.create_dataset(str(index), data=weight.array, track_times=False)


def _write_npz(model: Model, path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, **{name: weight.array for name, weight in named_weights(model).items()})


def _write_safetensors(model: Model, path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(weight.array) for name, weight in named_weights(model).items()}, path)
