"""What a file only names, files of Keras 2, masks that get lost, and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from kir import backend as K
from kir import config
from kir.cli import main
from kir.errors import FormatError, UnsupportedError
from kir.exporters.onnx_file.session import make_session, run_session
from kir.importers.keras_file import load_keras_model
from kir.importers.keras_file.weights import load_weights
from kir.importers.keras_live import model_from_keras
from kir.layers import Layer
from tests.importers.keras_file import hostile

Array = np.ndarray[Any, Any]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write_file(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write_file


# What is not supported


class OfAnotherKeras(keras.layers.Identity):
    """A layer that a newer Keras may bring."""


def test_every_unsupported_layer_is_listed_with_its_path(tmp_path: Path) -> None:
    equalize = keras.layers.ContrastLimitedAdaptiveHistogramEqualization
    given = keras.Input((8, 8, 3))
    inner = keras.Sequential([equalize(name="inside"), keras.layers.Flatten()], name="inner")
    y = keras.layers.TimeDistributed(OfAnotherKeras(name="later"), name="steps")(given)
    y = keras.ops.cumprod(y, axis=1)
    y = keras.layers.Lambda(lambda x: x + 1, name="plus one", output_shape=(8, 8, 3))(y)
    keras.Model(given, inner(equalize(name="outside")(y))).save(tmp_path / "model.keras")
    with pytest.raises(UnsupportedError) as caught:
        load_keras_model(tmp_path / "model.keras")
    message = str(caught.value)
    assert "model.keras: 5 of its layers are not supported" in message
    assert "steps/later: OfAnotherKeras is not a class of Keras, but of the module" in message
    assert "plus one: the function of this Lambda is Python bytecode, which is never run" in message
    assert "the operation Cumprod is not supported" in message
    reason = "ContrastLimitedAdaptiveHistogramEqualization prepares images for training; ONNX has no histogram"
    assert f"inner/inside: {reason}" in message
    assert f"outside: {reason}" in message


def test_a_file_of_a_model_that_was_not_built_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    built = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    unbuilt = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(2)])
    unbuilt.built = True  # as a subclass is after a `build` that does not reach its layers
    unbuilt.save_weights(path)
    with pytest.raises(FormatError, match=r"model\.weights\.h5 has no weights: the model was not built when Keras"):
        load_weights(model_from_keras(built), path)
    built.save_weights(path)
    with h5py.File(path, "r+") as file:
        del file["layers/dense/vars/0"], file["layers/dense/vars/1"]
    with pytest.raises(FormatError, match=r"do not fit the model: kernel of layer .* is missing"):
        load_weights(model_from_keras(built), path)


def test_uses_that_are_not_supported_are_listed_too(write: Callable[[str, bytes], Path]) -> None:
    images = hostile.INPUT | {"config": {"name": "x", "batch_shape": [None, 5, 4, 3]}}
    crops = [
        hostile.layer("RandomCrop", name, {"height": size, "width": size}, hostile.tensor(source))
        for name, source, size in (("a", "x", 2), ("b", "x", 3), ("c", "a", 2))
    ]
    document = hostile.model(images, *crops, outputs=["c", 0, 0])
    with pytest.raises(UnsupportedError, match=r"(?s)2 of its layers.*a: .*CenterCrop.*b: .*CenterCrop"):
        load_keras_model(write("model.keras", hostile.archive(document)))


# What the user gives


def test_lambda_by_the_name_of_its_layer(tmp_path: Path) -> None:
    given = keras.Input((4,))
    keras.Model(given, keras.layers.Lambda(lambda x: x * 2, name="twice")(given)).save(tmp_path / "model.keras")
    model = load_keras_model(tmp_path / "model.keras", custom_objects={"twice": lambda x: x * 2})
    np.testing.assert_array_equal(model.predict(np.ones((1, 4), np.float32)), np.full((1, 4), 2.0))


def test_lambda_with_a_function_of_keras(tmp_path: Path) -> None:
    given = keras.Input((4,))
    keras.Model(given, keras.layers.Lambda(keras.ops.square)(given)).save(tmp_path / "model.keras")
    model = load_keras_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model.predict(np.full((1, 4), 3.0, np.float32)), np.full((1, 4), 9.0))


@keras.saving.register_keras_serializable("mine")
class Scale(keras.layers.Layer):
    def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return x * self.factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


class OurScale(Layer):
    def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return x * self.factor


@keras.saving.register_keras_serializable("mine")  # type: ignore[untyped-decorator]
def shifted(x: Any) -> Any:
    return x + 5


@pytest.mark.parametrize("names", [("mine>Scale", "mine>shifted"), ("Scale", "shifted")])
def test_custom_layer_and_activation(names: tuple[str, str], tmp_path: Path) -> None:
    keras.Sequential([keras.Input((4,)), Scale(3.0), keras.layers.Activation(shifted)]).save(tmp_path / "model.keras")
    model = load_keras_model(
        tmp_path / "model.keras", custom_objects={names[0]: OurScale, names[1]: lambda x: K.add(x, 5)}
    )
    np.testing.assert_array_equal(model.predict(np.ones((1, 4), np.float32)), np.full((1, 4), 8.0))


def test_custom_objects_from_a_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = keras.Input((4,))
    keras.Model(given, keras.layers.Lambda(lambda x: x * 2, name="twice")(given)).save(tmp_path / "model.keras")
    script = tmp_path / "custom.py"
    script.write_text("def twice(x):\n    return x * 2\n")
    target = tmp_path / "model.onnx"
    with pytest.raises(SystemExit, match="0"):
        main(["export", str(tmp_path / "model.keras"), "-o", str(target), "--custom-objects", str(script)])
    feeds = {make_session(target).get_inputs()[0].name: np.ones((1, 4), np.float32)}
    (computed,) = run_session(make_session(target), feeds).values()
    np.testing.assert_array_equal(computed, np.full((1, 4), 2.0))


# The command line


def test_exit_code_of_an_unsupported_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keras.Sequential([keras.Input((8, 8, 3)), OfAnotherKeras()]).save(tmp_path / "model.keras")
    with pytest.raises(SystemExit, match="3"):
        main(["export", str(tmp_path / "model.keras"), "-o", str(tmp_path / "model.onnx")])
    assert "OfAnotherKeras is not a class of Keras" in capsys.readouterr().err


def test_exit_code_of_a_damaged_file(write: Callable[[str, bytes], Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = write("model.keras", hostile.archive()[:300])
    with pytest.raises(SystemExit, match="2"):
        main(["summary", str(path)])
    assert "model.keras is not a .keras file" in capsys.readouterr().err


def test_config_and_weights_on_the_command_line(tmp_path: Path, write: Callable[[str, bytes], Path]) -> None:
    document = write("config.json", json.dumps(hostile.GOOD).encode())
    weights = write("good.weights.h5", hostile.weights())
    with pytest.raises(SystemExit, match="0"):
        main(["export", str(document), "--weights", str(weights), "-o", str(tmp_path / "model.onnx")])
    computed = run_session(make_session(tmp_path / "model.onnx"), {"x": np.ones((2, 4), np.float32)})
    np.testing.assert_array_equal(computed["d"], np.full((2, 3), 5.0))


def test_config_without_weights(write: Callable[[str, bytes], Path]) -> None:
    model = load_keras_model(write("config.json", json.dumps(hostile.GOOD).encode()))
    assert model.to_graph().provenance.random_weights == "random, seed 0; give --weights FILE"


# Masks


def lost_mask() -> Any:
    return hostile.model(
        hostile.INPUT | {"config": {"name": "x", "batch_shape": [None, 5, 4]}},
        hostile.layer("Masking", "m", {"mask_value": 0.0}, hostile.tensor("x")),
        hostile.layer("Flatten", "d", {}, hostile.tensor("m")),
    )


def test_a_lost_mask_is_a_warning(write: Callable[[str, bytes], Path]) -> None:
    path = write("model.keras", hostile.archive(lost_mask()))
    with pytest.warns(UserWarning, match="the mask ends here"):
        load_keras_model(path)
    assert config.on_lost_mask() == "error"


def test_a_lost_mask_is_an_error_if_asked(write: Callable[[str, bytes], Path]) -> None:
    path = write("model.keras", hostile.archive(lost_mask()))
    with pytest.raises(FormatError, match="which it cannot carry"):
        load_keras_model(path, on_lost_mask="error")


# Keras 2


def old(class_name: str, config: dict[str, Any], *calls: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": config, "name": config["name"], "inbound_nodes": list(calls)}


def test_sequential_of_keras_2(write: Callable[[str, bytes], Path]) -> None:
    dense = {"name": "d", "trainable": True, "batch_input_shape": [None, 4], "dtype": "float32", "units": 3}
    dropout = {"name": "o", "trainable": True, "rate": 0.5, "noise_shape": None, "seed": None}
    layers = [{"class_name": "Dense", "config": dense}, {"class_name": "Dropout", "config": dropout}]

    def content(config: Any) -> bytes:
        def write_all(file: h5py.File) -> None:
            file.attrs["keras_version"] = "2.4.0"
            file.attrs["model_config"] = np.bytes_(json.dumps({"class_name": "Sequential", "config": config}))
            group = file.create_group("model_weights/d")
            group.attrs["weight_names"] = np.array([b"d/kernel:0", b"d/bias:0"])
            group["d/kernel:0"], group["d/bias:0"] = np.ones((4, 3), np.float32), np.ones(3, np.float32)

        return hostile.weights(write_all)

    for number, given in enumerate((layers, {"name": "s", "layers": layers})):
        model = load_keras_model(write(f"old{number}.h5", content(given)))
        assert model.input_names == ["d_input"]
        np.testing.assert_array_equal(model.predict(np.ones((2, 4), np.float32)), np.full((2, 3), 5.0))


def test_nested_functional_of_keras_2(write: Callable[[str, bytes], Path]) -> None:
    """Calls of the model inside are counted from 1, and further inputs of an LSTM are its state."""
    given = {"batch_input_shape": [None, 4], "dtype": "float32", "sparse": False, "ragged": False}
    dense = {"name": "d", "trainable": True, "dtype": "float32", "units": 4}
    inner = {
        "name": "inner",
        "layers": [old("InputLayer", {"name": "i", **given}), old("Dense", dense, [["i", 0, 0, {}]])],
        "input_layers": [["i", 0, 0]],
        "output_layers": [["d", 0, 0]],
    }
    sequence = {**given, "batch_input_shape": [None, None, 4]}
    lstm = {"name": "l", "trainable": True, "dtype": "float32", "units": 4, "time_major": False, "implementation": 2}
    config = {
        "name": "outer",
        "layers": [
            old("InputLayer", {"name": "x", **given}),
            old("InputLayer", {"name": "s", **sequence}),
            old("Model", inner, [["x", 0, 0, {}]], [["inner", 1, 0, {}]]),
            old("LSTM", lstm, [["s", 0, 0, {}], ["inner", 2, 0, {}], ["x", 0, 0, {}]]),
        ],
        "input_layers": [["x", 0, 0], ["s", 0, 0]],
        "output_layers": [["inner", 2, 0], ["l", 0, 0]],
    }

    def write_all(file: h5py.File) -> None:
        file.attrs["keras_version"] = "2.3.1-tf"
        file.attrs["model_config"] = np.bytes_(json.dumps({"class_name": "Model", "config": config}))
        weights = {
            "inner": ("d", {"kernel": (4, 4), "bias": (4,)}),
            "l": ("l", {"kernel": (4, 16), "recurrent_kernel": (4, 16), "bias": (16,)}),
        }
        for layer, (inside, shapes) in weights.items():
            group = file.create_group(f"model_weights/{layer}")
            group.attrs["weight_names"] = np.array([f"{inside}/{name}:0".encode() for name in shapes])
            for name, shape in shapes.items():
                group[f"{inside}/{name}:0"] = np.full(shape, 0.5, np.float32)

    model = load_keras_model(write("old.h5", hostile.weights(write_all)))
    twice, last = model.predict([np.ones((2, 4), np.float32), np.zeros((2, 3, 4), np.float32)])
    np.testing.assert_allclose(twice, np.full((2, 4), 5.5))
    assert last.shape == (2, 4)


HARD_SIGMOID = np.clip(0.2 * np.array([[-3, -1, 0, 2]], np.float32) + 0.5, 0, 1)


def activation_file(version: str | None, activation: Any, class_name: str = "Activation") -> bytes:
    """Return a `.h5` file of one layer; of no known version for None."""
    layer = {"name": "a", "trainable": True, "batch_input_shape": [None, 4], "activation": activation}
    config = {"name": "s", "layers": [{"class_name": class_name, "config": layer}]}

    def write_all(file: h5py.File) -> None:
        if version is not None:
            file.attrs["keras_version"] = version
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config})
        file.create_group("model_weights")

    return hostile.weights(write_all)


@pytest.mark.parametrize("version", ["2.1.6-tf", "2.2.4", "2.15.0", None])
@pytest.mark.parametrize(
    "activation",
    [
        "hard_sigmoid",
        {"class_name": "hard_sigmoid", "config": {}},
        {"module": "builtins", "class_name": "function", "config": "hard_sigmoid", "registered_name": "function"},
        {"class_name": "Activation", "config": {"activation": "hard_sigmoid"}},
    ],
)
def test_hard_sigmoid_of_keras_2(write: Callable[[str, bytes], Path], version: str | None, activation: Any) -> None:
    model = load_keras_model(write("old.h5", activation_file(version, activation)))
    np.testing.assert_allclose(model.predict(np.array([[-3, -1, 0, 2]], np.float32)), HARD_SIGMOID, atol=1e-7)


def test_a_function_of_ones_own_wins_over_hard_sigmoid(write: Callable[[str, bytes], Path]) -> None:
    x = np.array([[-3, -1, 0, 2]], np.float32)
    path = write("old.h5", activation_file("2.15.0", "hard_sigmoid"))
    np.testing.assert_array_equal(
        load_keras_model(path, custom_objects={"hard_sigmoid": lambda x: x * 2}).predict(x), x * 2
    )


def test_hard_sigmoid_of_keras_3_stays_what_it_is(write: Callable[[str, bytes], Path]) -> None:
    x = np.array([[-3, -1, 0, 2]], np.float32)
    model = load_keras_model(write("new.h5", activation_file("3.10.0", "hard_sigmoid")))
    np.testing.assert_allclose(model.predict(x), np.clip(x / 6 + 0.5, 0, 1), atol=1e-7)


@pytest.mark.parametrize(("given", "theta"), [({"theta": 0.5}, 0.5), ({"theta": 0.0}, 0.0), ({}, 1.0)])
def test_thresholded_relu_of_keras_2(
    write: Callable[[str, bytes], Path], given: dict[str, float], theta: float
) -> None:
    layer = {"name": "a", "trainable": True, "batch_input_shape": [None, 6], "dtype": "float32", **given}
    config = {"name": "s", "layers": [{"class_name": "ThresholdedReLU", "config": layer}]}

    def write_all(file: h5py.File) -> None:
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config})
        file.create_group("model_weights")

    x = np.array([[-2, 0, 0.25, 0.5, 1, 2]], np.float32)
    np.testing.assert_array_equal(
        load_keras_model(write("old.h5", hostile.weights(write_all))).predict(x), np.where(x > theta, x, 0)
    )


# How it is read


def test_weights_are_views_of_the_file(write: Callable[[str, bytes], Path]) -> None:
    model = load_keras_model(write("model.keras", hostile.archive()))
    assert not any(weight.array.flags.owndata or weight.array.flags.writeable for weight in model.weights)


PEAK = """
import sys
from pathlib import Path
from kir.importers.keras_file import load_keras_model
from kir.importers.keras_file.weights import load_weights
from kir.importers.keras_live import model_from_keras
from kir.exporters.pipeline import ExportOptions, export_model
from tests.importers.keras_file.memory import peak_megabytes
export_model(load_keras_model(Path(sys.argv[1])), Path(sys.argv[1] + ".onnx"), ExportOptions(verify=False))
print(peak_megabytes())
"""


@pytest.mark.slow
def test_large_weights_go_from_file_to_file(write: Callable[[str, bytes], Path]) -> None:
    """256 MB of weights, of which no more than a piece is in memory at once."""
    kernel, bias = np.ones((1 << 13, 1 << 13), np.float32), np.ones(1 << 13, np.float32)

    def write_all(file: h5py.File) -> None:
        file["layers/dense/vars/0"], file["layers/dense/vars/1"] = kernel, bias

    given = hostile.INPUT | {"config": {"name": "x", "batch_shape": [None, 1 << 13]}}
    wide = hostile.layer("Dense", "d", {"units": 1 << 13}, hostile.tensor("x"))
    path = write("large.keras", hostile.archive(hostile.model(given, wide), hostile.weights(write_all)))
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    assert path.stat().st_size > 256 << 20
    assert int(done.stdout) < 150


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_whole_models_in_both_forms_of_hdf5(libver: str, write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    path = write("model.h5", hostile.whole())
    with h5py.File(path, "r") as source, h5py.File(tmp_path / "other.h5", "w", libver=libver) as target:
        target.attrs.update(source.attrs)
        source.copy("model_weights", target)
        target["model_weights/d"].attrs.clear()
        target["model_weights/d"].attrs["weight_names"] = ["d/kernel", "d/bias"]
    model = load_keras_model(tmp_path / "other.h5")
    np.testing.assert_array_equal(model.predict(np.ones((1, 4), np.float32)), np.full((1, 3), 5.0))
