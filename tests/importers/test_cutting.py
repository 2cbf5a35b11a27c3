"""Leaving the end of a model off: the numbers of the layer that is left, the inputs that it needs, its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

from kir import Input, Model, Sequential, layers
from kir.cli import _run
from kir.errors import InvalidArgumentError, UnsupportedError
from kir.importers.cutting import cut_model
from kir.importers.keras_file import load_keras_model
from kir.support.trees import flatten
from tests.oracle import randomize

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


@keras.saving.register_keras_serializable("tests")
class Loss(L.Layer):
    """A layer that kir knows nothing of, with a weight and two outputs."""

    def build(self, *shapes: Any) -> None:
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, label: Any, prediction: Any, *, smoothing: float = 0.0) -> Any:
        return prediction * self.scale, ops.sum(label) + smoothing


def with_loss() -> Any:
    """A classifier with branches of several depths, whose Dense layers Keras's files number, and a loss at the end."""
    x, label = keras.Input((4,), name="x"), keras.Input((2,), name="label")
    deep = L.Dense(4, name="deep_1", activation="tanh")(L.Dense(4, name="deep_0", activation="tanh")(x))
    probability = L.Dense(2, name="probability")(ops.add(deep, L.Dense(4, name="shallow")(x)))
    prediction, loss = Loss(name="loss")(L.Dense(2, name="of_label")(label), probability, smoothing=0.5)
    return keras.Model([label, x], [L.Dense(1, name="last")(prediction), ops.multiply(loss, 2.0)])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("names", [["probability"], ["shallow"], ["deep_1", "probability"], ["shallow", "deep_0"]])
def test_layers_that_are_left_off_need_not_be_known(suffix: str, names: list[str], tmp_path: Path) -> None:
    reference = with_loss()
    randomize(reference)
    path = tmp_path / f"m{suffix}"
    reference.save(path)
    model = load_keras_model(path, outputs=names)
    assert model.input_names == ["x"]
    assert model.output_names == names
    for name, computed in zip(names, flatten(model.predict(X)), strict=True):
        expected = keras.Model(reference.inputs[1], reference.get_layer(name).output)(X)
        np.testing.assert_allclose(computed, np.asarray(expected), rtol=1e-5, atol=1e-6)


def test_without_outputs_everything_must_be_known(tmp_path: Path) -> None:
    with_loss().save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedError, match="loss: Loss of module"):
        load_keras_model(tmp_path / "m.keras")
    with pytest.raises(UnsupportedError, match="loss: Loss of module"):
        load_keras_model(tmp_path / "m.keras", outputs=["last"])


def test_the_end_of_a_sequential(tmp_path: Path) -> None:
    reference = keras.Sequential([keras.Input((4,)), L.Dense(3, name="a"), L.Dense(2, name="b"), L.Dense(1, name="c")])
    randomize(reference)
    reference.save(tmp_path / "m.keras")
    model = load_keras_model(tmp_path / "m.keras", outputs=["b"])
    expected = keras.Model(reference.inputs, reference.get_layer("b").output)(X)
    np.testing.assert_allclose(model.predict(X), np.asarray(expected), rtol=1e-5)


def test_inputs_that_feed_nothing_go_from_a_dict() -> None:
    x, y = Input((4,), name="x"), Input((4,), name="y")
    model = Model({"first": x, "second": y}, layers.Add(name="sum")([layers.Dense(4, name="a")(x), y]))
    assert cut_model(model, ["a"]).input_names == ["first"]
    assert cut_model(model, ["sum"]).input_names == ["first", "second"]


def test_what_cannot_be_cut_at() -> None:
    x = Input((4,), name="x")
    shared = layers.Dense(4, name="shared")
    model = Model(x, shared(shared(x)), name="twice")
    with pytest.raises(InvalidArgumentError, match="'twice' has no layer 'other' to cut at; it has shared"):
        cut_model(model, ["other"])
    with pytest.raises(InvalidArgumentError, match="layer 'shared' is called 2 times"):
        cut_model(model, ["shared"])


def kir(*arguments: str) -> int:
    """Return the exit code."""
    return _run(list(arguments))


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "m.py"
    script.write_text(
        "from kir import Sequential, Input\nfrom kir.layers import Dense\n"
        "model = Sequential([Input((4,)), Dense(3, name='a'), Dense(2, name='b')])\n"
    )
    out = tmp_path / "m.onnx"
    assert kir("export", str(script), "-o", str(out), "--outputs", "a") == 0
    assert "output  a: f32[batch, 3]" in capsys.readouterr().out
    assert kir("verify", str(script), str(out), "--outputs", "a") == 0
    assert kir("summary", str(script), "--outputs", "c") == 2
    assert kir("export", str(out), "-o", str(tmp_path / "n.onnx"), "--outputs", "a") == 2


def test_a_sequential_of_kir() -> None:
    model = Sequential([Input((4,)), layers.Dense(3, name="a"), layers.Dense(2, name="b")])
    cut = cut_model(model, ["a"])
    np.testing.assert_array_equal(cut.predict(X), model.get_layer("a")(X))
