"""Files of Keras 1, written here as its sources write them, against what Keras 2 makes of their words and weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kir import layers
from kir.errors import FormatError, UnsupportedError
from kir.exporters.pipeline import export_model
from kir.importers.keras_file import load_keras_model
from kir.modeling.model import Model
from kir.modeling.sequential import Sequential

pytestmark = pytest.mark.filterwarnings("ignore:.* does not say whether Theano trained it")

Array = np.ndarray[Any, Any]
Weights = Mapping[str, Sequence[Array]]

COMMON: dict[str, Any] = {
    "init": "glorot_uniform",
    "activation": "linear",
    "W_regularizer": None,
    "b_constraint": None,
    "bias": True,
}


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layer(class_name: str, name: str = "a", **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": name, "trainable": True, **config}}


def write(path: Path, description: Any, weights: Weights, version: str | None = "1.2.2", whole: bool = True) -> Path:
    """Write a whole model, or weights alone, as Keras 1 does."""
    with h5py.File(path, "w") as file:
        if version:
            file.attrs["keras_version"] = version.encode()
        if whole:
            file.attrs["model_config"] = json.dumps(description).encode()
        group = file.create_group("model_weights") if whole else file
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            owner = group.create_group(name)
            names = [f"{name}_{index}" for index in range(len(arrays))]
            owner.attrs["weight_names"] = [one.encode() for one in names]
            for one, array in zip(names, arrays, strict=True):
                owner[one] = array
    return path


def sequential(*descriptions: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": list(descriptions)}


def reference(made: Any, x: Array, *weights: Array) -> Array:
    """Return what a layer of today computes with weights in today's layout."""
    model = Sequential([layers.Input(x.shape[1:], dtype=str(x.dtype)), made])
    model.set_weights(list(weights))
    return np.asarray(model.predict(x))


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Model]:
    def load_one(class_name: str, x: Array, weights: Sequence[Array], version: str = "1.2.2", **config: Any) -> Model:
        shape: dict[str, Any] = {"batch_input_shape": [None, *x.shape[1:]], "input_dtype": str(x.dtype)}
        description = sequential(layer(class_name, **shape, **config))
        return load_keras_model(write(tmp_path / "m.h5", description, {"a": weights} if weights else {}, version))

    return load_one


K1, K2, K3 = random(3, 1, 2, 4, seed=1), random(2, 3, 2, 4, seed=2), random(2, 3, 2, 2, 4, seed=3)
B = random(4, seed=4)
STEPS, IMAGE, FIRST, SPACE = random(2, 6, 2), random(2, 5, 6, 2), random(2, 2, 5, 6), random(2, 2, 4, 5, 4)
CONV2D: dict[str, Any] = {
    **COMMON,
    "nb_filter": 4,
    "nb_row": 2,
    "nb_col": 3,
    "border_mode": "valid",
    "subsample": [1, 1],
}
TO_TH = (3, 2, 0, 1)

CASES: dict[str, tuple[str, dict[str, Any], Array, list[Array], Any, list[Array]]] = {
    "dense": (
        "Dense",
        {**COMMON, "output_dim": 3, "activation": "relu", "input_dim": 2},
        random(4, 2),
        [random(2, 3), random(3)],
        layers.Dense(3, activation="relu"),
        [random(2, 3), random(3)],
    ),
    "dense_of_steps": (
        "TimeDistributedDense",
        {**COMMON, "output_dim": 3, "input_dim": 2, "input_length": 6, "bias": False},
        STEPS,
        [random(2, 3)],
        layers.Dense(3, use_bias=False),
        [random(2, 3)],
    ),
    "embedding": (
        "Embedding",
        {"input_dim": 5, "output_dim": 3, "init": "uniform", "input_length": 4, "mask_zero": False, "dropout": 0.1},
        np.array([[0, 1, 4, 2]], np.int32),
        [random(5, 3)],
        layers.Embedding(5, 3),
        [random(5, 3)],
    ),
    "convolution_1d": (
        "Convolution1D",
        {**COMMON, "nb_filter": 4, "filter_length": 3, "border_mode": "same", "subsample_length": 2},
        STEPS,
        [K1, B],
        layers.Conv1D(4, 3, strides=2, padding="same"),
        [K1[:, 0], B],
    ),
    "convolution_1d_before_1_1": (
        "Convolution1D",
        {**COMMON, "nb_filter": 4, "filter_length": 3, "border_mode": "valid", "subsample_length": 1},
        STEPS,
        [K1.transpose(3, 2, 0, 1), B],
        layers.Conv1D(4, 3),
        [K1[:, 0], B],
    ),
    "atrous_convolution_1d": (
        "AtrousConvolution1D",
        {**COMMON, "nb_filter": 4, "filter_length": 3, "border_mode": "valid", "atrous_rate": 2},
        STEPS,
        [K1, B],
        layers.Conv1D(4, 3, dilation_rate=2),
        [K1[:, 0], B],
    ),
    "convolution_2d_tf": (
        "Convolution2D",
        {**CONV2D, "dim_ordering": "tf", "subsample": [2, 1]},
        IMAGE,
        [K2, B],
        layers.Conv2D(4, (2, 3), strides=(2, 1)),
        [K2, B],
    ),
    "convolution_2d_th": (
        "Convolution2D",
        {**CONV2D, "dim_ordering": "th", "border_mode": "same"},
        FIRST,
        [K2.transpose(TO_TH), B],
        layers.Conv2D(4, (2, 3), padding="same", data_format="channels_first"),
        [K2, B],
    ),
    "atrous_convolution_2d": (
        "AtrousConvolution2D",
        {**CONV2D, "dim_ordering": "th", "atrous_rate": [2, 1]},
        FIRST,
        [K2.transpose(TO_TH), B],
        layers.Conv2D(4, (2, 3), dilation_rate=(2, 1), data_format="channels_first"),
        [K2, B],
    ),
    "deconvolution_2d_tf": (
        "Deconvolution2D",
        {**CONV2D, "dim_ordering": "tf", "output_shape": [None, 6, 8, 4], "bias": False},
        IMAGE,
        [K2],
        layers.Conv2DTranspose(4, (2, 3), use_bias=False),
        [K2.swapaxes(2, 3)],
    ),
    "deconvolution_2d_th": (
        "Deconvolution2D",
        {**CONV2D, "dim_ordering": "th", "output_shape": [None, 4, 6, 8]},
        FIRST,
        [K2.transpose(TO_TH), B],
        layers.Conv2DTranspose(4, (2, 3), data_format="channels_first"),
        [K2.swapaxes(2, 3), B],
    ),
    "separable_convolution_2d_th": (
        "SeparableConvolution2D",
        {**CONV2D, "dim_ordering": "th", "depth_multiplier": 2, "nb_filter": 3, "depthwise_regularizer": None},
        FIRST,
        [random(2, 3, 2, 2).transpose(TO_TH), random(1, 1, 4, 3).transpose(TO_TH), random(3)],
        layers.SeparableConv2D(3, (2, 3), depth_multiplier=2, data_format="channels_first"),
        [random(2, 3, 2, 2), random(1, 1, 4, 3), random(3)],
    ),
    "convolution_3d_th": (
        "Convolution3D",
        {
            **COMMON,
            "nb_filter": 4,
            "kernel_dim1": 2,
            "kernel_dim2": 3,
            "kernel_dim3": 2,
            "border_mode": "valid",
            "subsample": [1, 1, 1],
            "dim_ordering": "th",
        },
        SPACE,
        [K3.transpose(4, 3, 0, 1, 2), B],
        layers.Conv3D(4, (2, 3, 2), data_format="channels_first"),
        [K3, B],
    ),
    "max_pooling_1d": (
        "MaxPooling1D",
        {"stride": 2, "pool_length": 3, "border_mode": "valid"},
        STEPS,
        [],
        layers.MaxPooling1D(3, 2),
        [],
    ),
    "average_pooling_2d": (
        "AveragePooling2D",
        {"pool_size": [2, 2], "strides": [2, 2], "border_mode": "valid", "dim_ordering": "th"},
        FIRST,
        [],
        layers.AveragePooling2D(2, data_format="channels_first"),
        [],
    ),
    "up_sampling_1d": ("UpSampling1D", {"length": 3}, STEPS, [], layers.UpSampling1D(3), []),
    "zero_padding_1d": (
        "ZeroPadding1D",
        {"padding": {"right_pad": 2}},
        STEPS,
        [],
        layers.ZeroPadding1D((0, 2)),
        [],
    ),
    "zero_padding_2d": (
        "ZeroPadding2D",
        {"padding": [1, 0, 2, 3]},
        IMAGE,
        [],
        layers.ZeroPadding2D(((1, 0), (2, 3))),
        [],
    ),
    "zero_padding_2d_by_side": (
        "ZeroPadding2D",
        {"padding": {"top_pad": 1, "left_pad": 2}},
        IMAGE,
        [],
        layers.ZeroPadding2D(((1, 0), (2, 0))),
        [],
    ),
    "dropout": ("Dropout", {"p": 0.5}, STEPS, [], layers.Dropout(0.5), []),
    "noise": ("GaussianNoise", {"sigma": 0.5}, STEPS, [], layers.GaussianNoise(0.5), []),
    "batch_normalization": (
        "BatchNormalization",
        {"epsilon": 0.01, "mode": 0, "axis": -1, "momentum": 0.9, "gamma_regularizer": None},
        STEPS,
        [random(2, seed=number) ** 2 for number in range(4)],
        layers.BatchNormalization(epsilon=0.01),
        [random(2, seed=number) ** 2 for number in range(4)],
    ),
    "prelu": ("PReLU", {"init": "zero"}, STEPS, [random(6, 2)], layers.PReLU(), [random(6, 2)]),
}


@pytest.mark.parametrize("name", CASES)
def test_words_and_layouts(name: str, load: Callable[..., Model], tmp_path: Path) -> None:
    class_name, config, x, saved, made, weights = CASES[name]
    model = load(class_name, x, saved, **config)
    np.testing.assert_allclose(model.predict(x), reference(made, x, *weights), rtol=1e-5, atol=1e-6)
    export_model(model, tmp_path / "m.onnx")


def gates(units: int, count: int, inputs: int = 2, rank: int = 1) -> list[list[Array]]:
    """Return the kernel, the recurrent kernel and the bias of each gate."""
    window = (2,) * (rank - 1)
    shapes = [(*window, inputs, units), (*window, units, units), (units,)]
    return [[random(*shape, seed=10 * gate + index) for index, shape in enumerate(shapes)] for gate in range(count)]


def joined(parts: Sequence[Sequence[Array]]) -> list[Array]:
    return [np.concatenate(one, -1) for one in zip(*parts, strict=True)]


RECURRENT: dict[str, Any] = {
    "output_dim": 3,
    "init": "glorot_uniform",
    "inner_init": "orthogonal",
    "forget_bias_init": "one",
    "activation": "tanh",
    "inner_activation": "hard_sigmoid",
    "U_regularizer": None,
    "dropout_W": 0.1,
    "return_sequences": True,
    "go_backwards": False,
    "stateful": False,
    "unroll": False,
    "input_dim": 2,
}
HARD: Any = {"recurrent_activation": "hard_sigmoid"}
# Keras 1 kept the gates as input, cell, forget, output.
ORDER = (0, 2, 1, 3)


def of_keras_2(class_name: str, config: dict[str, Any], x: Array, weights: Sequence[Array], path: Path) -> Array:
    """Return what a layer of Keras 2 computes; `hard_sigmoid` is another function today."""
    input_shape: dict[str, Any] = {"batch_input_shape": [None, *x.shape[1:]]}
    description = {
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [layer(class_name, **config, **input_shape)]},
    }
    path.write_text(json.dumps(description | {"keras_version": "2.2.4"}))
    model = load_keras_model(path)
    model.set_weights(list(weights))
    return np.asarray(model.predict(x))


@pytest.mark.parametrize("consume_less", ["cpu", "gpu"])
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_gates_one_by_one_or_together(name: str, consume_less: str, load: Callable[..., Model], tmp_path: Path) -> None:
    parts = gates(3, 4 if name == "LSTM" else 3)
    order = ORDER if name == "LSTM" else (0, 1, 2)
    split = [array for gate in order for array in parts[gate]]
    saved = joined(parts) if consume_less == "gpu" else split
    model = load(name, STEPS, saved, **RECURRENT, consume_less=consume_less)
    config = {"units": 3, "return_sequences": True, **HARD}
    expected = of_keras_2(name, config, STEPS, joined(parts), tmp_path / "m.json")
    np.testing.assert_allclose(model.predict(STEPS), expected, rtol=1e-5, atol=1e-6)


def test_gates_in_wrappers(load: Callable[..., Model], tmp_path: Path) -> None:
    one, other = gates(3, 4), [[2 * array for array in gate] for gate in gates(3, 4)]
    saved = [array for parts in (one, other) for gate in ORDER for array in parts[gate]]
    inner = layer("LSTM", "l", **RECURRENT, consume_less="mem")
    model = load("Bidirectional", STEPS, saved, layer=inner, merge_mode="sum")
    config = {"layer": layer("LSTM", "l", units=3, return_sequences=True, **HARD), "merge_mode": "sum"}
    expected = of_keras_2("Bidirectional", config, STEPS, joined(one) + joined(other), tmp_path / "m.json")
    np.testing.assert_allclose(model.predict(STEPS), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ordering", ["tf", "th"])
def test_conv_lstm(ordering: str, load: Callable[..., Model], tmp_path: Path) -> None:
    x = random(1, 2, 2, 4, 4) if ordering == "th" else random(1, 2, 4, 4, 2)
    parts = gates(3, 4, rank=3)
    turned = [
        array.transpose(TO_TH) if ordering == "th" and array.ndim == 4 else array
        for gate in ORDER
        for array in parts[gate]
    ]
    config = {"nb_filter": 3, "nb_row": 2, "nb_col": 2, "border_mode": "same", "dim_ordering": ordering}
    words = {"activation": "tanh", "inner_activation": "hard_sigmoid", "return_sequences": False}
    model = load("ConvLSTM2D", x, turned, **config, **words)
    today = {"filters": 3, "kernel_size": [2, 2], "padding": "same", **HARD}
    today["data_format"] = "channels_first" if ordering == "th" else "channels_last"
    expected = of_keras_2("ConvLSTM2D", today, x, joined(parts), tmp_path / "m.json")
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ordering", ["tf", "th"])
def test_locally_connected(ordering: str, load: Callable[..., Model]) -> None:
    x = FIRST if ordering == "th" else IMAGE
    kernel, bias = random(4 * 4, 2 * 3 * 2, 4), random(4, 4, 4)
    model = load("LocallyConnected2D", x, [kernel, bias], **CONV2D, dim_ordering=ordering)
    y = np.zeros((2, 4, 4, 4), np.float32)
    for row in range(4):
        for column in range(4):
            window = slice(row, row + 2), slice(column, column + 3)
            taken = x[:, :, *window] if ordering == "th" else x[:, *window]
            y[:, row, column] = taken.reshape(2, -1) @ kernel[4 * row + column]
    expected = y.transpose(0, 3, 1, 2) + bias if ordering == "th" else y + bias
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-5)


# Layers that Keras 2 lacks


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def test_maxout_dense(load: Callable[..., Model]) -> None:
    x, w, b = random(3, 2), random(4, 2, 5), random(4, 5)
    model = load("MaxoutDense", x, [w, b], output_dim=5, nb_feature=4, bias=True, init="zero", input_dim=2)
    np.testing.assert_allclose(model.predict(x), (np.einsum("bi,fio->bfo", x, w) + b).max(1), rtol=1e-5)


def test_highway(load: Callable[..., Model]) -> None:
    x, w, carry, b, b_carry = random(3, 4), *(random(*shape, seed=7) for shape in ((4, 4), (4, 4), (4,), (4,)))
    model = load("Highway", x, [w, 2 * carry, b, b_carry], activation="tanh", bias=True, init="zero", input_dim=4)
    share = sigmoid(x @ (2 * carry) + b_carry)
    np.testing.assert_allclose(model.predict(x), np.tanh(x @ w + b) * share + (1 - share) * x, rtol=1e-4)


def test_parametric_softplus(load: Callable[..., Model]) -> None:
    alphas, betas = random(6, 2, seed=1), random(6, 2, seed=2)
    model = load("ParametricSoftplus", STEPS, [alphas, betas], alpha_init=0.2, beta_init=5.0)
    np.testing.assert_allclose(model.predict(STEPS), np.log1p(np.exp(betas * STEPS)) * alphas, rtol=1e-5, atol=1e-6)


def test_srelu(load: Callable[..., Model]) -> None:
    x = 3 * random(20, 3)
    left, a, right, c = (random(3, seed=number) for number in range(4))
    model = load("SReLU", x, [left, a, right, c], t_left_init="zero", a_left_init="zero", t_right_init="one")
    end = left + np.abs(right)
    expected = np.where(x >= end, end + c * (x - end), np.where(x > left, x, left + a * (x - left)))
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-5)


def test_modes_of_batch_normalization(load: Callable[..., Model]) -> None:
    x, (gamma, beta, *rest) = random(5, 3), [random(3, seed=number) for number in range(4)]
    config = {"epsilon": 0.1, "axis": 1, "momentum": 0.9}
    model = load("BatchNormalization", x, [gamma, beta, *rest], mode=1, **config)
    deviation = np.sqrt(x.var(-1, keepdims=True) + 0.1) + 0.1
    np.testing.assert_allclose(model.predict(x), gamma * (x - x.mean(-1, keepdims=True)) / deviation + beta, rtol=1e-4)
    model = load("BatchNormalization", x, [gamma, beta, *rest], mode=2, **config)
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 0.1) * gamma + beta
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("version", "is_deviation"), [("1.0.5", True), ("1.0.6", False)])
def test_statistics_of_the_first_releases_are_deviations(
    version: str, is_deviation: bool, load: Callable[..., Model]
) -> None:
    x, gamma, beta, mean, saved = random(5, 3), *(random(3, seed=number) ** 2 for number in range(4))
    model = load("BatchNormalization", x, [gamma, beta, mean, saved], version, mode=0, axis=-1, epsilon=0.1)
    deviation = saved + 0.1 if is_deviation else np.sqrt(saved + 0.1)
    np.testing.assert_allclose(model.predict(x), (x - mean) / deviation * gamma + beta, rtol=1e-5)


# Merges

TWO = [random(3, 4, seed=1), random(3, 4, seed=2)]
MERGED: dict[str, Callable[[Array, Array], Array]] = {
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
    "max": np.maximum,
    "concat": lambda a, b: np.concatenate([a, b], -1),
    "dot": lambda a, b: (a * b).sum(1, keepdims=True),
    "cos": lambda a, b: ((a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1)))[:, None, None],
}


def merge(mode: Any, mode_type: str = "raw", **options: Any) -> dict[str, Any]:
    shape = {"output_shape": None, "output_shape_type": "raw", "output_mask": None, "output_mask_type": "raw"}
    given = {"mode": mode, "mode_type": mode_type, "concat_axis": -1, "dot_axes": [1, 1], "arguments": {}}
    return {"class_name": "Merge", "config": {"name": "m", **given, **shape, **options}}


def input_layer(name: str, *shape: int) -> dict[str, Any]:
    config = {"batch_input_shape": [None, *shape], "input_dtype": "float32", "sparse": False, "name": name}
    return {"class_name": "InputLayer", "name": name, "config": config, "inbound_nodes": []}


@pytest.mark.parametrize("mode", MERGED)
def test_merges_between_layers(mode: str, tmp_path: Path) -> None:
    merged = merge(mode) | {"name": "m", "inbound_nodes": [[["x", 0, 0], ["y", 0, 0]]]}
    graph: dict[str, Any] = {"layers": [input_layer("x", 4), input_layer("y", 4), merged], "name": "model_1"}
    graph |= {"input_layers": [["x", 0, 0], ["y", 0, 0]], "output_layers": [["m", 0, 0]]}
    model = load_keras_model(write(tmp_path / "m.h5", {"class_name": "Model", "config": graph}, {}))
    np.testing.assert_allclose(model.predict(TWO), MERGED[mode](*TWO), rtol=1e-5)
    export_model(model, tmp_path / "m.onnx")


def test_a_sequential_that_begins_with_a_merge(tmp_path: Path) -> None:
    """Its branches lie in the file side by side; a branch may be a merge itself, and a layer be shared."""

    def dense(name: str, **more: Any) -> dict[str, Any]:
        return layer("Dense", name, **COMMON, output_dim=4, input_dim=4, **more)

    shape = {"batch_input_shape": [None, 4]}
    shared = sequential(dense("s", **shape))
    inner = merge("concat", layers=[shared, sequential(dense("t", **shape))]) | {}
    inner["config"]["name"] = "inner"
    second = {"class_name": "Sequential", "config": [inner, dense("u")]}
    description = sequential(merge("sum", layers=[shared, second]), dense("v"))
    weights = {name: [random(8 if name == "u" else 4, 4, seed=ord(name)), random(4, seed=ord(name))] for name in "stuv"}
    model = load_keras_model(write(tmp_path / "m.h5", description, weights))
    assert model.input_names == ["s_input", "t_input"]
    (ws, bs), (wt, bt), (wu, bu), (wv, bv) = (weights[name] for name in "stuv")
    s, t = TWO[0] @ ws + bs, TWO[1] @ wt + bt
    expected = (s + np.concatenate([s, t], -1) @ wu + bu) @ wv + bv
    np.testing.assert_allclose(model.predict(TWO), expected, rtol=1e-4, atol=1e-5)


def test_a_merge_by_a_function_is_given_by_name(tmp_path: Path) -> None:
    merged = merge("first_twice", "function") | {"name": "m", "inbound_nodes": [[["x", 0, 0], ["y", 0, 0]]]}
    graph: dict[str, Any] = {"layers": [input_layer("x", 4), input_layer("y", 4), merged], "name": "model_1"}
    graph |= {"input_layers": [["x", 0, 0], ["y", 0, 0]], "output_layers": [["m", 0, 0]]}
    path = write(tmp_path / "m.h5", {"class_name": "Model", "config": graph}, {})
    with pytest.raises(UnsupportedError, match="the function 'first_twice', of which a file holds only the name"):
        load_keras_model(path)
    model = load_keras_model(path, custom_objects={"first_twice": lambda inputs: 2 * inputs[0]})
    np.testing.assert_allclose(model.predict(TWO), 2 * TWO[0])
    merged["config"] |= {"mode": "4wEAAAAB", "mode_type": "lambda"}
    path = write(tmp_path / "m.h5", {"class_name": "Model", "config": graph}, {})
    with pytest.raises(UnsupportedError, match="Python bytecode, which is never run"):
        load_keras_model(path)


def test_models_inside(tmp_path: Path) -> None:
    """A Sequential in another has no name in its config, but in its file; in a Model it has one beside its config."""

    def dense(name: str, **more: Any) -> dict[str, Any]:
        return layer("Dense", name, **COMMON, output_dim=4, **more)

    weights = {name: [random(4, 4, seed=ord(name)), random(4, seed=ord(name))] for name in "abc"}
    first = sequential(dense("a", batch_input_shape=[None, 4]), dense("b"))
    saved = {"sequential_1": [*weights["a"], *weights["b"]], "c": weights["c"]}
    expected = TWO[0]
    for kernel, bias in weights.values():
        expected = expected @ kernel + bias
    model = load_keras_model(write(tmp_path / "m.h5", sequential(first, dense("c")), saved))
    np.testing.assert_allclose(model.predict(TWO[0]), expected, rtol=1e-5)
    inner = {**first, "name": "sequential_1", "inbound_nodes": [[["x", 0, 0]]]}
    last = {**dense("c"), "name": "c", "inbound_nodes": [[["sequential_1", 1, 0]]]}
    graph: dict[str, Any] = {"layers": [input_layer("x", 4), inner, last], "name": "m"}
    graph |= {"input_layers": [["x", 0, 0]], "output_layers": [["c", 0, 0]]}
    path = write(tmp_path / "m.h5", {"class_name": "Model", "config": graph}, saved)
    np.testing.assert_allclose(load_keras_model(path).predict(TWO[0]), expected, rtol=1e-5)
    assert load_keras_model(path, outputs=["sequential_1"]).output_shape == (None, 4)


# What files do not say


def test_the_order_of_images_is_that_of_the_model(tmp_path: Path) -> None:
    """UpSampling2D does not write its own; Flatten takes elements as they lie."""
    kernel = random(4, 2, 1, 1)
    conv = layer("Convolution2D", "c", **(CONV2D | {"nb_row": 1, "nb_col": 1}), dim_ordering="th")
    conv["config"]["batch_input_shape"] = [None, 2, 2, 3]
    rest = [layer("UpSampling2D", "u", size=[2, 1]), layer("Flatten", "f")]
    model = load_keras_model(write(tmp_path / "m.h5", sequential(conv, *rest), {"c": [kernel, B]}))
    x = random(1, 2, 2, 3)
    expected = np.einsum("bihw,oi->bohw", x, kernel[..., 0, 0]) + B[:, None, None]
    np.testing.assert_allclose(model.predict(x), expected.repeat(2, 2).reshape(1, -1), rtol=1e-5)
    both = sequential(conv, layer("MaxPooling2D", "p", pool_size=[1, 1], dim_ordering="tf"), *rest)
    with pytest.raises(UnsupportedError, match="does not say in which order its images are"):
        load_keras_model(write(tmp_path / "m.h5", both, {"c": [kernel, B]}))


def test_full_borders_are_refused(load: Callable[..., Model]) -> None:
    with pytest.raises(UnsupportedError, match="border_mode='full' is not supported; pad with ZeroPadding"):
        load("Convolution2D", IMAGE, [K2, B], **(CONV2D | {"border_mode": "full"}))


def test_a_config_and_weights_of_other_names(tmp_path: Path) -> None:
    """Weights alone go by the order of layers; before 1.0 their groups were numbered."""
    config = tmp_path / "m.json"
    dense = [layer("Dense", name, **COMMON, output_dim=3) for name in ("a", "b")]
    dense[0]["config"]["batch_input_shape"] = [None, 3]
    config.write_text(json.dumps(sequential(*dense)))
    arrays = [random(3, 3, seed=1), random(3, seed=2), random(3, 3, seed=3), random(3, seed=4)]
    named = write(tmp_path / "named.h5", None, {"x": arrays[:2], "none": [], "y": arrays[2:]}, None, whole=False)
    numbered = tmp_path / "numbered.h5"
    with h5py.File(numbered, "w") as file:
        file.attrs["nb_layers"] = 3
        for index, pair in enumerate((arrays[:2], [], arrays[2:])):
            group = file.create_group(f"layer_{index}")
            group.attrs["nb_params"] = len(pair)
            for number, array in enumerate(pair):
                group[f"param_{number}"] = array
    x = random(2, 3)
    expected = (x @ arrays[0] + arrays[1]) @ arrays[2] + arrays[3]
    for weights in (named, numbered):
        np.testing.assert_allclose(load_keras_model(config, weights=weights).predict(x), expected, rtol=1e-5)


def test_weights_of_keras_1_in_a_model_of_keras_2(tmp_path: Path) -> None:
    """As those of VGG16 that were trained then."""
    conv = layer(
        "Conv2D", filters=4, kernel_size=[2, 3], data_format="channels_first", batch_input_shape=[None, 2, 5, 6]
    )
    description = {"class_name": "Sequential", "config": {"name": "s", "layers": [conv]}, "keras_version": "2.2.4"}
    (tmp_path / "m.json").write_text(json.dumps(description))
    weights = write(tmp_path / "w.h5", None, {"a": [K2.transpose(TO_TH), B]}, None, whole=False)
    expected = reference(layers.Conv2D(4, (2, 3), data_format="channels_first"), FIRST, K2, B)
    np.testing.assert_allclose(
        load_keras_model(tmp_path / "m.json", weights=weights).predict(FIRST), expected, rtol=1e-5
    )


@pytest.mark.parametrize("backend", [None, "theano"])
def test_only_its_attribute_says_that_theano_trained_a_model(backend: str | None, tmp_path: Path) -> None:
    conv = layer("Convolution2D", **CONV2D, dim_ordering="th", batch_input_shape=[None, 2, 5, 6])
    path = write(tmp_path / "m.h5", sequential(conv), {"a": [K2.transpose(TO_TH), B]})
    kernel = K2 if backend is None else K2[::-1, ::-1]
    if backend is None:
        with pytest.warns(UserWarning, match="does not say whether Theano trained it"):
            model = load_keras_model(path)
    else:
        with h5py.File(path, "r+") as file:
            file.attrs["backend"] = backend
        model = load_keras_model(path)
    expected = reference(layers.Conv2D(4, (2, 3), data_format="channels_first"), FIRST, kernel, B)
    np.testing.assert_allclose(model.predict(FIRST), expected, rtol=1e-5, atol=1e-6)


def test_layers_of_the_users_own_keep_their_words(tmp_path: Path) -> None:
    class Own(layers.Layer):
        def __init__(self, output_dim: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.output_dim = output_dim

        def call(self, x: Any) -> Any:
            return x * self.output_dim

    path = write(tmp_path / "m.h5", sequential(layer("Own", output_dim=3, batch_input_shape=[None, 4])), {})
    np.testing.assert_allclose(load_keras_model(path, custom_objects={"Own": Own}).predict(TWO[0]), 3 * TWO[0])


@pytest.mark.parametrize("config", [None, [3], [{"class_name": "Dense"}], [{"class_name": "Merge", "config": {}}]])
def test_damaged_descriptions(config: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "m.h5", {"class_name": "Sequential", "config": config}, {})
    with pytest.raises(FormatError):
        load_keras_model(path)


def test_the_first_form_of_a_sequential(tmp_path: Path) -> None:
    """The class stands among the arguments."""
    dense = {"name": "Dense", "custom_name": "a", "output_dim": 3, **COMMON, "batch_input_shape": [None, 2]}
    path = write(tmp_path / "m.h5", sequential(dense), {"a": [random(2, 3), random(3)]})
    np.testing.assert_allclose(
        load_keras_model(path).predict(TWO[0][:, :2]), TWO[0][:, :2] @ random(2, 3) + random(3), rtol=1e-5
    )
