"""Leaving the end of a model off: the numbers of the layer that is left, the inputs that it needs, its weights."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

from kir import Input, Model, Sequential, layers
from kir.api import load
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
    with pytest.raises(UnsupportedError, match="loss: Loss is not a class of Keras"):
        load_keras_model(tmp_path / "m.keras")
    with pytest.raises(UnsupportedError, match="loss: Loss is not a class of Keras"):
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


NESTED = """
import numpy as np
import keras
from keras import layers

@keras.saving.register_keras_serializable("tests")
class Block(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = {"first": layers.Dense(3, name="first"), "others": [layers.Dense(3), (layers.Dense(3),)]}

    def call(self, x):
        x = self.parts["first"](x)
        return x + self.parts["others"][1][0](self.parts["others"][0](x))

@keras.saving.register_keras_serializable("tests")
class Net(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [Block(), Block()]
        self.head = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="in_head"), layers.Softmax(name="end")])
        self.shared = layers.ReLU(name="shared")
        self.twice = layers.ReLU(name="twice")
        self.never = layers.ReLU(name="never")

    def call(self, x):
        for block in self.blocks:
            x = self.twice(block(x))
        return self.head(self.shared(x))

net = Net(name="net")
"""
BY_CALL = f"{NESTED}net(np.zeros((2, 3), 'float32'))\nmodel = net\n"
BY_LAYER = f"{NESTED}x = keras.Input((3,), name='x')\nmodel = keras.Model(x, layers.Dense(1)(net(x)))\n"

PATHS: Mapping[str, Callable[[Any, Any], Any]] = {
    "blocks.1": lambda net, x: net.blocks[1](net.twice(net.blocks[0](x))),
    "blocks.0.parts.others.0": lambda net, x: net.blocks[0].parts["others"][0](net.blocks[0].parts["first"](x)),
    "head.in_head": lambda net, x: net.head.layers[0](net.shared(net.twice(net.blocks[1](PATHS["twice0"](net, x))))),
    "shared": lambda net, x: net.shared(net.twice(net.blocks[1](PATHS["twice0"](net, x)))),
    "twice0": lambda net, x: net.twice(net.blocks[0](x)),
}


def _read(way: str, folder: Path, text: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[Model, Any]:
    """Return the part of the model of a script, got at in a way, and the model of Keras."""
    path = folder / "script.py"
    path.write_text(text)
    reference = runpy.run_path(str(path))["model"]
    randomize(reference)
    reference.save(folder / "model.keras")
    reference.save_weights(folder / "model.weights.h5")
    found: Any
    if way == "live":
        found = load(reference, outputs=names)
    elif way == "file":
        found = load(folder / "model.keras", outputs=names, custom_objects=path)
    else:
        with monkeypatch.context() as context:
            if way == "script":
                context.setitem(sys.modules, "keras", None)
            found = load(path, outputs=names, weights=folder / "model.weights.h5")
    return found, reference


@pytest.mark.parametrize("way", ["live", "file", "script", "script with Keras"])
def test_layers_inside_a_subclassed_model(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["blocks.1", "blocks/0/parts/others/0", "head.in_head", "shared"]
    model, reference = _read(way, tmp_path, BY_CALL, names, monkeypatch)
    assert model.output_names == names
    x = X[:, :3]
    for name, computed in zip(names, flatten(model.predict(x)), strict=True):
        wanted = PATHS[name.replace("/", ".")](reference, x)
        np.testing.assert_allclose(computed, np.asarray(wanted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", ["live", "file", "script"])
def test_layers_inside_a_layer_of_a_functional_model(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, reference = _read(way, tmp_path, BY_LAYER, ["net.blocks.1", "shared"], monkeypatch)
    net, x = reference.get_layer("net"), X[:, :3]
    for name, computed in zip(["blocks.1", "shared"], flatten(model.predict(x)), strict=True):
        np.testing.assert_allclose(computed, np.asarray(PATHS[name](net, x)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", ["live", "script"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("twice", "'twice' is called 2 times"),
        ("never", "'never' is called 0 times"),
        ("blocks.2", r"no layer 'blocks\.2' to cut at; it has .*blocks\.0, blocks\.1"),
        ("first", r"has 2 layers 'first'; give the path of one, such as .*blocks\.0"),
    ],
)
def test_a_path_that_leads_to_no_single_output(
    way: str, name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        _read(way, tmp_path, BY_CALL, [name], monkeypatch)
