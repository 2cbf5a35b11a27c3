"""Files with layers of packages: given by the name of a module, and announced as entry points."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kir
from kir.errors import FormatError, UnsupportedError, UsageError
from kir.importers.keras_file.packages import announced_layer

LIVE = """
import keras

@keras.saving.register_keras_serializable(package="{name}")
class Twice(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return keras.ops.concatenate([self.dense(x), x * 2], axis=-1)

    def get_config(self):
        return super().get_config() | {{"units": self.units}}
"""
FOR_KIR = """
from kir import backend as K
from kir.layers import Layer

class Double(Layer):
    def call(self, x):
        return K.multiply(x, 2.0)
"""


def save_model_of(folder: Path, name: str) -> tuple[Path, Any]:
    """Write a module with a layer, and a file of a model that has it; return the file and the model."""
    import keras

    (folder / f"{name}.py").write_text(LIVE.format(name=name))
    layer = __import__(name).Twice(3)
    x = keras.Input((4,))
    model = keras.Model(x, layer(x))
    model.save(folder / "model.keras")
    return folder / "model.keras", model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_file_with_layers_of_an_installed_module(folder: Path) -> None:
    path, reference = save_model_of(folder, "doubling_layers")
    model = kir.load(path, custom_objects="doubling_layers")
    assert isinstance(model, kir.Model)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    np.testing.assert_allclose(model.predict(x), np.asarray(reference(x)), rtol=1e-6)


def test_a_script_may_import_the_layers(folder: Path) -> None:
    path, reference = save_model_of(folder, "doubling_for_script")
    (folder / "objects.py").write_text("from doubling_for_script import Twice\n")
    model = kir.load(path, custom_objects=folder / "objects.py")
    assert isinstance(model, kir.Model)
    x = np.ones((2, 4), "float32")
    np.testing.assert_allclose(model.predict(x), np.asarray(reference(x)), rtol=1e-6)


def test_a_module_that_is_not_installed(folder: Path) -> None:
    path, _ = save_model_of(folder, "doubling_again")
    with pytest.raises(UsageError, match=r"no_such_module: there is no such file, and the module cannot be imported"):
        kir.load(path, custom_objects="no_such_module")
    with pytest.raises(UnsupportedError, match=r"give it with --custom-objects doubling_again"):
        kir.load(path)


def test_a_file_that_keras_cannot_load_says_why(folder: Path) -> None:
    path, _ = save_model_of(folder, "doubling_broken")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FormatError, match=r"Keras .* cannot load it"):
        kir.load(path, custom_objects="doubling_broken")


def test_a_package_announces_kir_s_layer(folder: Path) -> None:
    import keras

    (folder / "announcing.py").write_text(FOR_KIR)
    information = folder / "announcing-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: announcing\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[kir.layers]\nannouncing>Double = announcing:Double\n")

    @keras.saving.register_keras_serializable(package="announcing")
    class Double(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    x = keras.Input((4,))
    keras.Model(x, Double()(x)).save(folder / "model.keras")
    announced_layer.cache_clear()  # type: ignore[attr-defined]
    assert "announcing" not in sys.modules
    model = kir.load(folder / "model.keras")
    assert isinstance(model, kir.Model)
    np.testing.assert_array_equal(model.predict(np.ones((1, 4), "float32")), np.full((1, 4), 2, "float32"))


def test_nothing_is_imported_for_other_names() -> None:
    announced_layer.cache_clear()  # type: ignore[attr-defined]
    assert announced_layer("os>path") is None
