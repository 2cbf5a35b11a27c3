"""Layers of packages that nobody gave, and what training alone needs: who is asked for what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kir import regularizers
from kir.errors import UnsupportedError
from kir.exporters.pipeline import ExportOptions, export_model
from kir.importers.keras_file import load_keras_model

X = np.ones((1, 2), np.float32)


def write(
    path: Path, class_name: str, version: str = "3.10.0", beside: dict[str, Any] | None = None, **config: Any
) -> Path:
    """Write a Sequential of one layer with the weights of a Dense."""
    layer = {"class_name": class_name, **(beside or {})}
    layer["config"] = {"name": "d", "trainable": True, "batch_input_shape": [None, 2], **config}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
        )
        group = file.create_group("model_weights/d")
        group.attrs["weight_names"] = ["d/kernel:0", "d/bias:0"]
        group["d/kernel:0"], group["d/bias:0"] = np.ones((2, 3), np.float32), np.ones(3, np.float32)
    return path


MODULE = "keras_hub.src.layers.modeling.reversible_embedding"


@pytest.mark.parametrize(
    ("class_name", "beside", "expected"),
    [
        (
            "ReversibleEmbedding",
            {"module": MODULE, "registered_name": "keras_hub>ReversibleEmbedding"},
            rf"package keras-hub \(pip install keras-hub\).*{MODULE}",
        ),
        (
            "keras_nlp>TransformerEncoder",
            {},
            r"pip install keras-hub.*--custom-objects keras_hub.layers",
        ),
        (
            "Addons>InstanceNormalization",
            {},
            "pip install tensorflow-addons.*--custom-objects tensorflow_addons.layers",
        ),
        ("keras_cv>DropPath", {}, "pip install keras-cv.*--custom-objects keras_cv.layers"),
        ("TCN", {"module": "tcn.tcn", "registered_name": "tcn>TCN"}, "pip install keras-tcn.*--custom-objects tcn.tcn"),
        ("tcn>TCN", {}, "pip install keras-tcn.*--custom-objects tcn"),
        ("TCN", {}, "pip install keras-tcn"),
        (
            "Block",
            {"module": "ours.blocks", "registered_name": "ours>Block"},
            r"of the module ours.blocks; .* --custom-objects ours.blocks\. Or give a script .*'Block': the class",
        ),
        ("Custom>Block", {}, r"Custom>Block is not a class of Keras; give a kir layer of that name .*custom_objects"),
        ("Block", {"module": "__main__"}, "Block of module '__main__' is not a class of Keras; give a kir layer"),
        ("Popen", {"module": "subprocess"}, "Popen of module 'subprocess' is not a class of Keras; give a kir layer"),
        ("KerasLayer", {}, "runs a graph of TensorFlow from TensorFlow Hub"),
    ],
)
def test_a_layer_that_nobody_gave(class_name: str, beside: dict[str, Any], expected: str, tmp_path: Path) -> None:
    path = write(tmp_path / "m.h5", class_name, "3.10.0" if beside else "2.15.0", beside)
    with pytest.raises(UnsupportedError, match=expected):
        load_keras_model(path)


DESCRIBED = {"module": "ours", "class_name": "Ours", "config": {"a": 1}, "registered_name": "ours>Ours"}


@pytest.mark.parametrize("version", ["2.2.4", "2.15.0", "3.10.0"])
@pytest.mark.parametrize("key", ["kernel_initializer", "bias_regularizer", "kernel_constraint", "activity_regularizer"])
@pytest.mark.parametrize("given", [DESCRIBED, {"class_name": "Custom>Ours", "config": {}}, "ours", "<lambda>"])
def test_what_training_needs_is_not_asked_for(given: Any, key: str, version: str, tmp_path: Path) -> None:
    path = write(tmp_path / "m.h5", "Dense", version, units=3, **{key: given})
    model = load_keras_model(path)
    np.testing.assert_array_equal(model.predict(X), [[3, 3, 3]])
    export_model(model, tmp_path / "m.onnx", ExportOptions(verify=False))
    assert model.get_config()["layers"][-1]["config"][key] == given


def test_nothing_that_a_file_names_is_imported(tmp_path: Path) -> None:
    described = {"module": "os", "class_name": "system", "config": {"command": f"touch {tmp_path}/x"}}
    path = write(tmp_path / "m.h5", "Dense", units=3, kernel_initializer=described | {"registered_name": None})
    assert load_keras_model(path).predict(X).tolist() == [[3, 3, 3]]
    assert not (tmp_path / "x").exists()


def test_what_is_computed_with_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "m.h5", "Dense", units=3, kernel_regularizer=DESCRIBED)
    model = load_keras_model(path)
    with pytest.raises(UnsupportedError, match="the regularizer 'Ours' is none of Keras's; give it with"):
        model.losses(X)
    given = load_keras_model(path, custom_objects={"Ours": lambda a: regularizers.L1(a)})
    assert given.layers[-1].kernel_regularizer is not None  # type: ignore[attr-defined]
    layer = {"class_name": "Dense", "config": {"units": 3, "batch_input_shape": [None, 2], "bias_initializer": "ours"}}
    (tmp_path / "m.json").write_text(json.dumps({"class_name": "Sequential", "config": [layer]}))
    with pytest.raises(UnsupportedError, match=r"the initializer 'ours' .*; or give the weights, with --weights"):
        load_keras_model(tmp_path / "m.json").predict(X)
