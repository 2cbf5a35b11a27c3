"""Weights in files: Keras reads what kir writes, and kir what Keras writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import kir
from kir import Input, Model, layers
from kir.errors import FormatError
from kir.importers.script import load_script
from kir.layers import Dense
from kir.support.naming import reset_names


def build(module: Any, layers: Any) -> Any:
    """Return the same model with kir's layers or with Keras's: nested, wrapped, recurrent, with odd names."""
    steps = module.Input(shape=(5, 4))
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(steps)
    x = layers.TimeDistributed(layers.Dense(2, name="inside"))(x)
    x = layers.GRU(2)(x)
    inner = module.Sequential([module.Input(shape=(2,)), layers.Dense(2), layers.Dense(3, name="odd name")])
    x = inner(x)
    x = layers.Dropout(0.1)(x)
    x = layers.Dense(2, name="first")(x)
    return module.Model(steps, layers.Dense(2, use_bias=False)(x))


@pytest.fixture
def kir_model() -> kir.Model:
    reset_names()
    return build(kir, layers)


def randomize(model: kir.Model) -> None:
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(size=weight.shape).astype(np.float32) for weight in model.weights])


def test_keras_reads_what_kir_writes(kir_model: kir.Model, tmp_path: Path) -> None:
    randomize(kir_model)
    kir_model.save_weights(tmp_path / "m.weights.h5")
    theirs = build(keras, keras.layers)
    theirs.load_weights(tmp_path / "m.weights.h5")
    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    np.testing.assert_allclose(kir_model.predict(x), theirs.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_kir_reads_what_keras_writes(kir_model: kir.Model, tmp_path: Path) -> None:
    theirs = build(keras, keras.layers)
    theirs.save_weights(tmp_path / "m.weights.h5")
    kir_model.load_weights(tmp_path / "m.weights.h5")
    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    np.testing.assert_allclose(kir_model.predict(x), theirs.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["m.weights.h5", "m.npz", "m.safetensors"])
def test_every_format_keeps_every_weight(kir_model: kir.Model, tmp_path: Path, name: str) -> None:
    randomize(kir_model)
    kir_model.save_weights(tmp_path / name)
    reset_names()
    other = build(kir, layers)
    other.load_weights(tmp_path / name)
    for a, b in zip(kir_model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["m.weights.h5", "m.npz", "m.safetensors"])
def test_the_same_weights_give_the_same_bytes(kir_model: kir.Model, tmp_path: Path, name: str) -> None:
    kir_model.save_weights(tmp_path / name)
    first = (tmp_path / name).read_bytes()
    kir_model.save_weights(tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


def test_names_are_readable(kir_model: kir.Model, tmp_path: Path) -> None:
    kir_model.save_weights(tmp_path / "m.npz")
    assert {"first/kernel", "sequential/odd name/bias", "gru/kernel"} <= set(np.load(tmp_path / "m.npz").files)


def test_a_weight_that_is_missing_or_does_not_fit_is_listed_and_nothing_is_set(tmp_path: Path) -> None:
    script = tmp_path / "model.py"
    script.write_text(
        "from kir import *\nfrom kir.layers import Dense\nmodel = Sequential([Input((3,)), Dense(2), Dense(4)])\n"
    )
    model = load_script(script)
    before = [array.copy() for array in model.get_weights()]
    bad: dict[str, Any] = {"dense/kernel": np.zeros((9, 9)), "dense/bias": np.zeros(2)}
    np.savez(tmp_path / "bad.npz", **bad)
    with pytest.raises(FormatError, match=r"dense/kernel has shape \(9, 9\).*dense_1/kernel is missing"):
        model.load_weights(tmp_path / "bad.npz")
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["m.weights.h5", "m.npz", "m.safetensors", "m.txt"])
@pytest.mark.parametrize("content", [None, b"", b"garbage" * 100])
def test_a_file_that_cannot_be_read_is_an_error(
    kir_model: kir.Model, tmp_path: Path, name: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=r"m\."):
        kir_model.load_weights(tmp_path / name)


def test_pickled_arrays_are_refused(kir_model: kir.Model, tmp_path: Path) -> None:
    pickled: dict[str, Any] = {"first/kernel": np.array([object()], dtype=object)}
    np.savez(tmp_path / "m.npz", **pickled)
    with pytest.raises(FormatError):
        kir_model.load_weights(tmp_path / "m.npz")


@pytest.mark.parametrize("link", [h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/elsewhere")])
def test_links_are_not_followed(kir_model: kir.Model, tmp_path: Path, link: object) -> None:
    kir_model.save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5", "a") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = link
    with pytest.raises(FormatError, match="links are not followed"):
        kir_model.load_weights(tmp_path / "m.weights.h5")


def test_another_ending_is_refused_and_a_missing_folder_too(kir_model: kir.Model, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="ending in"):
        kir_model.save_weights(tmp_path / "m.bin")
    with pytest.raises(FormatError, match="cannot write"):
        kir_model.save_weights(tmp_path / "no" / "m.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["npz", "safetensors", "weights.h5"])
def test_layers_of_one_path_keep_their_weights(tmp_path: Path, ending: str) -> None:
    inside, x = Input((3,)), Input((3,))
    model = Model(x, Dense(3, name="a/b")(Model(inside, Dense(3, name="b")(inside), name="a")(x)))
    weights = [np.full(weight.shape, index, np.float32) for index, weight in enumerate(model.weights)]
    model.set_weights(weights)
    model.save_weights(tmp_path / f"w.{ending}")
    model.set_weights([np.zeros_like(weight) for weight in weights])
    model.load_weights(tmp_path / f"w.{ending}")
    for ours, expected in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, expected)
