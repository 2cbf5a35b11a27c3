"""Every layer that kir has, written by real Keras in each of its formats, read by kir, exported and compared."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kir.importers.keras_file import load_keras_model
from kir.importers.keras_file.config import build_model
from kir.importers.keras_file.descriptions import FileOrigin
from kir.support.trees import flatten
from tests.importers.keras_file.cases import CASES
from tests.importers.keras_file.compare import assert_same_numbers
from tests.oracle import randomize


def build(name: str, time: int | None) -> Any:
    keras.utils.clear_session(free_memory=False)
    reference = CASES[name](time)
    randomize(reference)
    return reference


def save(reference: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference.save(path)
    return path


@pytest.mark.parametrize("time", [5, pytest.param(None, marks=pytest.mark.quick)], ids=["static", "unknown"])
@pytest.mark.parametrize("name", CASES)
def test_keras_archive(name: str, time: int | None, tmp_path: Path) -> None:
    reference = build(name, time)
    model = load_keras_model(save(reference, tmp_path / "model.keras"))
    assert_same_numbers(model, reference, tmp_path / "model.onnx")
    assert [layer.name for layer in model.layers] == [layer.name for layer in reference.layers]
    for ours, theirs in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, np.asarray(theirs))


@pytest.mark.parametrize("name", [name for name in CASES if not name.endswith("_not_hdf5")])
def test_whole_model_hdf5(name: str, tmp_path: Path) -> None:
    reference = build(name, None)
    model = load_keras_model(save(reference, tmp_path / "model.h5"))
    assert_same_numbers(model, reference, tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["shared_model", "same_names", "bidirectional", "frozen_inside", "dict_inputs"])
@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
def test_config_and_weights_apart(name: str, ending: str, tmp_path: Path) -> None:
    reference = build(name, None)
    config, weights = tmp_path / "config.json", tmp_path / f"apart{ending}"
    config.write_text(reference.to_json())
    if ending == ".h5":
        save(reference, weights)
    else:
        reference.save_weights(weights)
    assert_same_numbers(load_keras_model(config, weights=weights), reference, tmp_path / "model.onnx")


def test_three_hundred_layers(tmp_path: Path) -> None:
    """More than that Keras, which recurses, saves only at times."""
    reference = keras.Sequential([keras.Input((4,)), *[keras.layers.Dense(4) for _ in range(300)]])
    model = load_keras_model(save(reference, tmp_path / "model.keras"))
    assert len(flatten(model.get_weights())) == 600
    np.testing.assert_array_equal(model.layers[231].get_weights()[0], np.asarray(reference.layers[231].kernel))


@pytest.mark.slow
def test_ten_thousand_layers() -> None:
    """As deep as no Keras goes: the description is written by hand."""
    dense = {"module": "keras.layers", "class_name": "Dense", "registered_name": None}
    first = {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [None, 2], "name": "x"}}
    layers: list[dict[str, Any]] = [first | {"name": "x", "inbound_nodes": []}]
    for index in range(10_000):
        history = [layers[-1]["name"], 0, 0]
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": history}}
        call = {"args": [tensor], "kwargs": {}}
        layers.append(dense | {"config": {"units": 2}, "name": f"d{index}", "inbound_nodes": [call]})
    config = {"name": "deep", "layers": layers, "input_layers": ["x", 0, 0], "output_layers": ["d9999", 0, 0]}
    model = build_model(
        {"class_name": "Functional", "config": config, "module": "keras"}, FileOrigin(Path("deep.json"))
    )
    assert len(model.layers) == 10_001


def random_model(seed: int) -> Any:
    """Layers, operations and models, some of them shared, connected at random."""
    random = np.random.default_rng(seed)
    keras.utils.clear_session(free_memory=False)
    inputs = [keras.Input((3,)) for _ in range(random.integers(1, 4))]
    given = keras.Input((3,))
    inner = keras.Model(given, keras.layers.Dense(3)(given) + keras.layers.Dense(3)(given))
    shared = [keras.layers.Dense(3) for _ in range(3)]
    tensors = list(inputs)
    for _ in range(random.integers(3, 14)):
        a, b = (tensors[random.integers(len(tensors))] for _ in range(2))
        choices = [keras.layers.Dense(3), shared[random.integers(3)], inner, keras.layers.Activation("tanh")]
        kind = random.integers(6)
        tensors.append(choices[kind](a) if kind < 4 else a + b if kind == 4 else keras.layers.Add()([a, b]))
    count = min(len(tensors), int(random.integers(1, 4)))
    reference = keras.Model(inputs, [tensors[i] for i in random.choice(len(tensors), count, replace=False)])
    randomize(reference, seed)
    return reference


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_random_models(seed: int, ending: str, tmp_path: Path) -> None:
    reference = random_model(seed)
    model = load_keras_model(save(reference, tmp_path / f"model{ending}"))
    assert [layer.name for layer in model.layers] == [layer.name for layer in reference.layers]
    feeds = [np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32) for _ in reference.inputs]
    for ours, theirs in zip(model.predict(feeds), reference(feeds), strict=True):
        np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-4, atol=1e-4)
