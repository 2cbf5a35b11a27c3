"""Files that tf_keras, which is Keras 2, wrote of each of its layers, against the outputs that it computed.

make_keras2_files.py wrote the archive, which holds the outputs too: TensorFlow is not needed here.
"""

from __future__ import annotations

import functools
import io
import json
import tarfile
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kir.errors import FormatError, UnsupportedError
from kir.exporters.onnx_file.session import make_session, run_session
from kir.exporters.pipeline import ExportOptions, export_model
from kir.importers.keras_file import load_keras_model

Array = np.ndarray[Any, Any]

# Relative to the largest number: a few roundings of float32, and of the float16 inside a model.
TOLERANCE, HALF_TOLERANCE = 1e-5, 4e-3

# Models that kir refuses, with a part of what it says.
REFUSED = {
    "hashed_crossing": "hashes texts: ONNX has no operator",
    "hashing": "hashes texts: ONNX has no operator",
    "lambda_layer": "Python bytecode, which is never run",
}
# Layers that no file of this archive has.
BASES = "a base class for layers of one's own"
NEEDS_TENSORFLOW = "its file holds operations of TensorFlow, not a layer's config"
WITHOUT_A_FILE = {
    "AbstractRNNCell": BASES,
    "Layer": BASES,
    "PreprocessingLayer": BASES,
    "Wrapper": BASES,
    "DenseFeatures": NEEDS_TENSORFLOW,
    "DynamicEmbedding": "cannot be saved",
    "DynamicLookup": "cannot be saved",
}


@functools.cache
def members() -> dict[str, bytes]:
    """Return the files of the archive by their names."""
    with tarfile.open(Path(__file__).with_name("keras2.tar.xz")) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def index() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(members()["index.json"])
    return found


FILES = [f"{name}.{ending}" for name, model in index()["models"].items() for ending in model["formats"]]


@pytest.mark.parametrize("file", FILES)
def test_a_file_means_what_it_meant_to_keras_2(file: str, tmp_path: Path) -> None:
    name, _, ending = file.rpartition(".")
    path = tmp_path / f"model.{ending}"
    path.write_bytes(members()[file])
    if name in REFUSED:
        with pytest.raises(UnsupportedError, match=REFUSED[name]):
            export(path, tmp_path / "model.onnx")
        return
    model = export(path, tmp_path / "model.onnx")
    feeds, expected = values(name)
    computed = run_session(make_session(tmp_path / "model.onnx"), feeds)
    tolerance = HALF_TOLERANCE if "float16" in name or "mixed" in name else TOLERANCE
    for key, wanted in zip(model.output_names, expected, strict=True):
        assert_close(computed[key], wanted, tolerance)


def values(name: str) -> tuple[dict[str, Array], list[Array]]:
    """Return the inputs of a model by their names, and its outputs."""
    with np.load(io.BytesIO(members()[f"{name}.npz"])) as arrays:
        feeds = {key.removeprefix("in/"): arrays[key] for key in arrays.files if key.startswith("in/")}
        expected = [arrays[f"out/{number}"] for number in range(len(arrays.files) - len(feeds))]
    return {key: value.astype(object) if value.dtype.kind == "U" else value for key, value in feeds.items()}, expected


def export(path: Path, target: Path) -> Any:
    """Return the model of a file; nothing that kir takes is worth a warning, but for masks that end."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".* was given an input with a mask, which it cannot carry")
        model = load_keras_model(path)
        export_model(model, target, ExportOptions(verify=False))
    return model


def assert_close(given: Array, wanted: Array, tolerance: float) -> None:
    if wanted.dtype.kind == "U":
        assert given.tolist() == wanted.tolist()
        return
    assert given.shape == wanted.shape
    assert given.dtype == wanted.dtype
    scale = max(1.0, float(np.abs(wanted.astype(np.float64)).max(initial=0)))
    np.testing.assert_allclose(given.astype(np.float64), wanted.astype(np.float64), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "name", ["lstm_gates", "depthwise_conv_2d", "discretization", "integer_lookup_tf_idf", "nested", "lstm_stateful"]
)
def test_config_and_weights_apart(name: str, whole: bool, tmp_path: Path) -> None:
    saved, config, weights = (tmp_path / file for file in ("saved.h5", "config.json", "weights.h5"))
    saved.write_bytes(members()[f"{name}.h5"])
    with h5py.File(saved) as file, h5py.File(weights, "w") as alone:
        config.write_text(json.dumps(json.loads(file.attrs["model_config"]) | {"keras_version": "2.21.0"}))
        # As save_weights writes them: at the root.
        alone.attrs.update(file["model_weights"].attrs)
        for layer in file["model_weights"]:
            file.copy(f"model_weights/{layer}", alone)
    weights = saved if whole else weights
    feeds, expected = values(name)
    computed = load_keras_model(config, weights=weights).predict(feeds)
    assert_close(np.asarray(computed), expected[0], TOLERANCE)


@pytest.mark.parametrize("name", ["lstm", "lstm_bidirectional", "gru", "gru_bidirectional"])
def test_weights_of_cudnn_in_other_layers_and_the_reverse(name: str, tmp_path: Path) -> None:
    """The shape of the bias tells which they are, whatever the config says."""
    kind = name[:4].rstrip("_").upper()
    feeds, expected = values(f"cudnn_{name}")
    more = {"recurrent_activation": "sigmoid"} | ({"reset_after": True} if kind == "GRU" else {})
    path = tmp_path / "model.h5"
    path.write_bytes(members()[f"cudnn_{name}.h5"])
    rename(path, f"CuDNN{kind}", kind, more)
    model = load_keras_model(path)
    assert_close(np.asarray(model.predict(feeds)), expected[0], TOLERANCE)
    # The same weights as the layer of Keras has them, under a config of CuDNN's.
    with h5py.File(path, "r+") as file:
        group = file["model_weights"][model.layers[-1].name]
        for key, weight in zip(group.attrs["weight_names"], model.layers[-1].weights, strict=True):
            del group[key]
            group[key] = weight.array
    rename(path, kind, f"CuDNN{kind}", {})
    assert_close(np.asarray(load_keras_model(path).predict(feeds)), expected[0], TOLERANCE)


def test_a_gru_that_resets_before_takes_no_weights_of_cudnn(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(members()["cudnn_gru.h5"])
    rename(path, "CuDNNGRU", "GRU", {"reset_after": False})
    with pytest.raises(FormatError, match=r"bias:0 of layer .* has shape"):
        load_keras_model(path)


def rename(path: Path, old: str, new: str, more: dict[str, Any]) -> None:
    """Give the layers of a class another one, and arguments."""
    with h5py.File(path, "r+") as file:
        description = json.loads(file.attrs["model_config"])
        for layer in description["config"]["layers"]:
            for one in (layer, layer["config"].get("layer", {})):
                if one.get("class_name") == old:
                    one["class_name"] = new
                    one["config"] |= more
        file.attrs["model_config"] = json.dumps(description)


@pytest.mark.parametrize(
    "name",
    [
        "discretization",
        "lstm_gates",
        "mask_add_both",
        "mask_average_both",
        "locally_connected_1d",
        "resizing_uint8",
        "average_of_integers",
        "up_sampling_2d_area",
    ],
)
def test_what_keras_3_would_compute_otherwise_is_not_saved_for_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(members()[f"{name}.h5"])
    model = load_keras_model(path)
    with pytest.raises(UnsupportedError, match="Keras 2, which Keras 3 lacks"):
        model.save(tmp_path / "saved.keras")
    assert not (tmp_path / "saved.keras").exists()


@pytest.mark.parametrize("name", ["add", "average", "global_average_pooling_2d", "lstm", "resizing"])
def test_what_keras_3_computes_likewise_is_saved_for_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(members()[f"{name}.h5"])
    load_keras_model(path).save(tmp_path / "saved.keras")
    feeds, expected = values(name)
    assert_close(np.asarray(load_keras_model(tmp_path / "saved.keras").predict(feeds)), expected[0], TOLERANCE)


def test_every_layer_of_keras_2_has_a_file() -> None:
    classes = set(index()["classes"].values())
    covered = {name for model in index()["models"].values() for name in model["classes"]}
    assert classes - covered - set(WITHOUT_A_FILE) == set()
    assert set(WITHOUT_A_FILE) - (classes - covered) == set(), "these reasons are no longer needed"
