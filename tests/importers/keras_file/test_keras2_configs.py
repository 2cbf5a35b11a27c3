"""What configs of Keras 1 and 2 mean that tf_keras 2.21 does not write: older versions, other backends, names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kir import activations
from kir import backend as K
from kir.errors import UnsupportedError
from kir.exporters.pipeline import export_model
from kir.importers.keras_file import load_keras_model
from kir.importers.script import run_script
from kir.modeling.layer import Layer
from kir.modeling.model import Model

X = np.array([[-3, -1, 0, 2]], np.float32)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Model]:
    """Load a `.h5` file of a Sequential of one layer."""

    def load_one(
        class_name: str,
        config: dict[str, Any],
        version: str = "2.15.0",
        shape: tuple[int | None, ...] = (None, 4),
        weights: dict[str, Any] | None = None,
        backend: str = "tensorflow",
        **options: Any,
    ) -> Model:
        layer = {"class_name": class_name, "config": {"name": "a", "batch_input_shape": list(shape), **config}}
        path = tmp_path / "old.h5"
        with h5py.File(path, "w") as file:
            file.attrs["keras_version"], file.attrs["backend"] = version, backend
            file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [layer]})
            group = file.create_group("model_weights/a")
            group.attrs["weight_names"] = np.array([f"a/{name}:0".encode() for name in weights or {}], "S40")
            for name, array in (weights or {}).items():
                group[f"a/{name}:0"] = np.asarray(array, np.float32)
        return load_keras_model(path, **options)

    return load_one


def gates(columns: int) -> dict[str, Any]:
    return {"kernel": np.ones((4, columns)), "recurrent_kernel": np.ones((2, columns)), "bias": np.ones(columns)}


@pytest.mark.parametrize(
    ("class_name", "version", "expected"),
    [
        ("LSTM", "", activations.hard_sigmoid_of_keras_2),
        ("LSTM", "2.1.6-tf", activations.hard_sigmoid_of_keras_2),
        ("LSTM", "2.2.4", activations.hard_sigmoid_of_keras_2),
        ("LSTM", "2.3.1", activations.sigmoid),
        ("LSTM", "2.15.0", activations.sigmoid),
        ("GRU", "2.2.4", activations.hard_sigmoid_of_keras_2),
        ("GRU", "2.4.0", activations.sigmoid),
    ],
)
def test_gates_of_a_config_that_does_not_name_them(
    load: Callable[..., Model], class_name: str, version: str, expected: Any
) -> None:
    columns = 8 if class_name == "LSTM" else 6
    model = load(class_name, {"units": 2}, version, (None, 3, 4), gates(columns))
    layer: Any = model.layers[-1]
    assert layer.recurrent_activation is expected
    assert class_name == "LSTM" or not layer.reset_after


def test_a_conv_lstm_that_names_no_gates(load: Callable[..., Model]) -> None:
    weights = {"kernel": np.ones((2, 1, 8)), "recurrent_kernel": np.ones((2, 2, 8)), "bias": np.ones(8)}
    model = load("ConvLSTM1D", {"filters": 2, "kernel_size": [2]}, shape=(None, 3, 4, 1), weights=weights)
    layer: Any = model.layers[-1]
    assert layer.recurrent_activation is activations.hard_sigmoid_of_keras_2


def test_an_activation_of_keras_3_is_one_of_the_users_own(load: Callable[..., Model]) -> None:
    with pytest.raises(UnsupportedError, match="the activation 'hard_swish' is none of Keras 2's own"):
        load("Activation", {"activation": "hard_swish"})
    model = load("Activation", {"activation": "hard_swish"}, custom_objects={"hard_swish": lambda x: x * 2})
    np.testing.assert_array_equal(model.predict(X), X * 2)


def test_the_advice_for_a_lambda_as_activation_can_be_followed(load: Callable[..., Model], tmp_path: Path) -> None:
    """Keras 2 names it "<lambda>", as Python does."""
    with pytest.raises(UnsupportedError, match=r"file\.py, which says globals\(\)\['<lambda>'\] = function"):
        load("Activation", {"activation": "<lambda>"})
    script = tmp_path / "file.py"
    script.write_text("globals()['<lambda>'] = lambda x: x * 2\n", encoding="utf-8")
    model = load("Activation", {"activation": "<lambda>"}, custom_objects=run_script(script))
    np.testing.assert_array_equal(model.predict(X), X * 2)


def gentle(x: Any) -> Any:
    """Another hard_sigmoid than Keras's."""
    return K.clip(0.5 * x + 0.25, 0.0, 1.0)


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": class_name.lower(), **config}}


def gated(class_name: str, gate: Any) -> dict[str, Any]:
    return layer(class_name, units=2, activation=gate, recurrent_activation=gate)


@pytest.mark.parametrize("version", ["2.15.0", "3.10.0"])
@pytest.mark.parametrize("as_dict", [False, True])
@pytest.mark.parametrize(
    "describe",
    [
        lambda gate: layer("Activation", activation=gate),
        lambda gate: layer("Dense", units=2, activation=gate),
        lambda gate: layer("Dense", units=2, activation=layer("Activation", activation=gate)),
        lambda gate: gated("LSTM", gate),
        lambda gate: gated("GRU", gate),
        lambda gate: layer("RNN", cell=layer("StackedRNNCells", cells=[gated("GRUCell", gate)])),
        lambda gate: layer("TimeDistributed", layer=layer("Dense", units=2, activation=gate)),
        lambda gate: layer("Bidirectional", layer=gated("LSTM", gate)),
        lambda gate: layer("Bidirectional", layer=layer("RNN", cell=gated("GRUCell", gate))),
        lambda gate: layer(
            "Bidirectional", layer=layer("RNN", cell=layer("StackedRNNCells", cells=[gated("LSTMCell", gate)]))
        ),
    ],
)
def test_a_function_of_the_users_own_comes_before_keras_s_of_that_name(
    describe: Callable[[Any], dict[str, Any]], as_dict: bool, version: str, tmp_path: Path
) -> None:
    x = np.linspace(-3, 3, 24).reshape(2, 3, 4).astype(np.float32)

    def compute(name: str, custom_objects: dict[str, Any]) -> np.ndarray[Any, Any]:
        gate = {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}
        layers = [layer("InputLayer", batch_input_shape=[None, 3, 4]), describe(gate if as_dict else name)]
        description = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}, "keras_version": version}
        (tmp_path / "model.json").write_text(json.dumps(description))
        model = load_keras_model(tmp_path / "model.json", custom_objects=custom_objects)
        for number, weight in enumerate(model.weights):
            weight.assign(np.random.default_rng(number).normal(size=weight.shape))
        return np.asarray(model.predict(x))

    own = compute("hard_sigmoid", {"hard_sigmoid": gentle})
    np.testing.assert_array_equal(own, compute("gentle", {"gentle": gentle}))
    assert np.abs(own - compute("hard_sigmoid", {})).max() > 1e-3


class Own(Layer):
    """A layer of the user's own."""

    def __init__(self, gate_activation: Any, final_activation: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gate_activation = activations.get(gate_activation)
        assert final_activation == "something"

    def call(self, x: Any) -> Any:
        return self.gate_activation(x)


def test_hard_sigmoid_in_a_layer_of_the_users_own(load: Callable[..., Model]) -> None:
    config = {"gate_activation": "hard_sigmoid", "final_activation": "something"}
    model = load("Own", config, custom_objects={"Own": Own})
    np.testing.assert_allclose(model.predict(X), np.clip(0.2 * X + 0.5, 0, 1), atol=1e-7)


@pytest.mark.parametrize(
    ("name", "module", "expected"),
    [
        ("hard_sigmoid", "tf_keras.src.activations", np.clip(0.2 * X + 0.5, 0, 1)),
        ("hard_sigmoid", "keras.activations", np.clip(0.2 * X + 0.5, 0, 1)),
        ("square", "tensorflow.python.keras.backend", X * X),
        ("argmax", "tensorflow.python.ops.math_ops", np.argmax(X, 0)),
    ],
)
def test_functions_of_lambdas(load: Callable[..., Model], name: str, module: str, expected: Any) -> None:
    config = {"function": name, "function_type": "function", "module": module, "output_shape": None}
    np.testing.assert_allclose(load("Lambda", config).predict(X), expected, atol=1e-7)


@pytest.mark.parametrize("module", ["__main__", "relus"])
def test_a_lambdas_own_function_may_have_the_name_of_keras_s(load: Callable[..., Model], module: str) -> None:
    config = {"function": "relu", "function_type": "function", "module": module, "output_shape": None}
    with pytest.raises(UnsupportedError, match="of which a file holds only the name"):
        load("Lambda", config)


def test_theano_turns_the_kernels_of_convolutions_around(load: Callable[..., Model]) -> None:
    config = {"filters": 1, "kernel_size": [2], "use_bias": False}
    x = np.array([1, 2, 4], np.float32).reshape(1, 3, 1)
    kernel = np.array([1, 10]).reshape(2, 1, 1)
    for backend, expected in (("tensorflow", [21, 42]), ("theano", [12, 24])):
        model = load("Conv1D", config, "2.2.4", (None, 3, 1), {"kernel": kernel}, backend)
        np.testing.assert_array_equal(model.predict(x).ravel(), expected)
    with pytest.raises(UnsupportedError, match="trained with Theano"):
        load("DepthwiseConv2D", {"kernel_size": [2, 2]}, "2.2.4", (None, 3, 3, 1), backend="theano")


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64"])
@pytest.mark.parametrize(
    ("class_name", "config", "expected"),
    [
        ("ReLU", {"max_value": 4.0, "negative_slope": 0.5}, [0, 0, 1, 2, 3, 4, 4, 0]),
        ("ReLU", {"max_value": 4.0, "negative_slope": 2.0}, [-8, -2, 1, 2, 3, 4, 4, 0]),
        ("ReLU", {"threshold": 2.0, "negative_slope": 3.0}, [-18, -9, -3, 0, 3, 5, 7, -6]),
        ("ReLU", {"max_value": 4.0, "threshold": 2.0, "negative_slope": 3.0}, [-18, -9, -3, 0, 3, 4, 4, -6]),
        ("ReLU", {"max_value": 4.5, "threshold": 1.5, "negative_slope": 1.75}, [-5, -2, 0, 2, 3, 4, 4, -1]),
        ("LeakyReLU", {"alpha": 0.0}, [0, 0, 1, 2, 3, 5, 7, 0]),
    ],
)
def test_rectified_integers_stay_integers(
    load: Callable[..., Model], class_name: str, config: dict[str, Any], expected: list[int], dtype: str, tmp_path: Path
) -> None:
    x = np.array([[-4, -1, 1, 2, 3, 5, 7, 0]], dtype)
    model = load(class_name, config | {"dtype": dtype}, shape=(None, 8))
    computed = model.predict(x)
    assert computed.dtype == x.dtype
    np.testing.assert_array_equal(computed, [expected])
    export_model(model, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match="Keras 2, which Keras 3 lacks"):
        model.save(tmp_path / "m.keras")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rectified_floats_are_those_of_keras_3(load: Callable[..., Model], dtype: str, tmp_path: Path) -> None:
    x = X.astype(dtype)
    model = load("ReLU", {"max_value": 1.5, "negative_slope": 0.5, "dtype": dtype})
    np.testing.assert_array_equal(model.predict(x), [[-1.5, -0.5, 0, 1.5]])
    model.save(tmp_path / "m.keras")
    assert load_keras_model(tmp_path / "m.keras").predict(x).dtype == dtype


LOOKUP = {"vocabulary": [5, 6, 7], "output_mode": "tf_idf", "idf_weights": [0.1, 0.2, 0.3]}
KEYS = np.array([[5, 6, 99, 5]])


@pytest.mark.parametrize(
    ("config", "stored", "expected"),
    [
        ({}, [10, 20, 30, 40], [10, 40, 30, 0]),
        ({"mask_token": 99}, [10, 20, 30, 40], [0, 40, 30, 0]),
        ({"max_tokens": 6, "pad_to_max_tokens": True}, [10, 20, 30, 40, 50, 60], [10, 40, 30, 0, 0, 0]),
    ],
)
def test_stored_idf_weights_replace_those_of_the_config(
    load: Callable[..., Model], config: dict[str, Any], stored: list[int], expected: list[int]
) -> None:
    model = load("IntegerLookup", LOOKUP | config, weights={"Variable": np.array(stored)})
    np.testing.assert_array_equal(model.predict(KEYS), [expected])


def test_idf_weights_of_the_config_count_where_none_are_stored(load: Callable[..., Model], tmp_path: Path) -> None:
    expected = load("IntegerLookup", LOOKUP).predict(KEYS)
    np.testing.assert_allclose(expected, [[0.2, 0.2, 0.2, 0]], rtol=1e-6)
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        # As Keras writes a list of no names.
        file["model_weights/a"].attrs["weight_names"] = np.array([])
    np.testing.assert_array_equal(load_keras_model(tmp_path / "old.h5").predict(KEYS), expected)


@pytest.mark.parametrize("class_name", ["RNN", "Bidirectional"])
def test_constants_of_recurrent_layers_are_refused(load: Callable[..., Model], class_name: str) -> None:
    cell = {"cell": layer("SimpleRNNCell", units=2)}
    config = cell if class_name == "RNN" else {"layer": layer("RNN", **cell)}
    with pytest.raises(UnsupportedError, match=f"{class_name} whose cell is given constants"):
        load(class_name, config | {"num_constants": 1}, shape=(None, 3, 4))


@pytest.mark.parametrize("version", ["2.2.4", "2.3.1", "2.1.6-tf", "2.2.4-tf"])
def test_bilinear_up_sampling_had_other_places(load: Callable[..., Model], version: str) -> None:
    """By tf.compat.v1.image.resize_bilinear, and as TensorFlow 2 has it."""
    config = {"size": [3, 2], "interpolation": "bilinear"}
    x = np.array([[1, 4], [7, 16]], np.float32).reshape(1, 2, 2, 1)
    found = np.asarray(load("UpSampling2D", config, version, (None, 2, 2, 1)).predict(x))
    columns = [[1, 2.5, 4, 4], [7, 11.5, 16, 16]]
    expected = [
        np.array(columns[0]) + share * (np.array(columns[1]) - columns[0]) for share in (0, 1 / 3, 2 / 3, 1, 1, 1)
    ]
    is_from_corners = version != "2.2.4-tf"
    assert np.allclose(found[0, :, :, 0], expected, atol=1e-5) == is_from_corners


def test_words_of_tensorflow_2_3_to_2_5(load: Callable[..., Model]) -> None:
    found = load("CategoryEncoding", {"max_tokens": 4, "output_mode": "binary", "sparse": False}, "2.4.0").predict(
        np.array([[0, 2, 2, 1]])
    )
    np.testing.assert_array_equal(found, [[1, 1, 1, 0]])
    found = load("Discretization", {"bins": [-2.0, 0.0]}, "2.4.0").predict(X)
    np.testing.assert_array_equal(found, [[0, 1, 2, 2]])


@pytest.mark.parametrize("class_name", ["UnifiedLSTM", "UnifiedGRU"])
def test_names_of_tensorflow_1(load: Callable[..., Model], class_name: str) -> None:
    name = class_name.removeprefix("Unified")
    config = {"units": 2, "recurrent_activation": "sigmoid"} | ({"reset_after": False} if name == "GRU" else {})
    columns = 8 if name == "LSTM" else 6
    x = np.linspace(-1, 1, 24).reshape(2, 3, 4).astype(np.float32)
    old, new = (load(one, config, "2.2.4-tf", (None, 3, 4), gates(columns)).predict(x) for one in (class_name, name))
    np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("class_name", ["Attention", "AdditiveAttention"])
@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_that_is_causal_by_its_config(class_name: str, is_causal: bool, tmp_path: Path) -> None:
    """Before Keras 2.11."""
    given: dict[str, Any] = {"name": "x", "class_name": "InputLayer", "inbound_nodes": []}
    given["config"] = {"batch_input_shape": [None, 3, 4], "dtype": "float32", "name": "x"}
    config = {"name": "a", "trainable": True, "causal": is_causal, "dropout": 0.0, "use_scale": False}
    node = [[["x", 0, 0, {}], ["x", 0, 0, {}]]]
    attention = {"name": "a", "class_name": class_name, "config": config, "inbound_nodes": node}
    model_config: dict[str, Any] = {"name": "m", "layers": [given, attention], "input_layers": [["x", 0, 0]]}
    model_config["output_layers"] = [["a", 0, 0]]
    description = {"class_name": "Functional", "config": model_config, "keras_version": "2.9.0"}
    (tmp_path / "m.json").write_text(json.dumps(description))
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    found = np.asarray(load_keras_model(tmp_path / "m.json").predict(x))
    # Only a causal attention leaves the first step as it is: there is nothing else to attend to.
    assert np.allclose(found[:, 0], x[:, 0]) == is_causal
