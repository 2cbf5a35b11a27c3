"""The regularization layers: identities in inference, random in training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest

from kir import Input, Model, config, layers, passes
from kir.errors import InvalidArgumentError, ShapeError
from kir.exporters.onnx_file import to_model_proto
from kir.ir import interpreter
from kir.layers import (
    ActivityRegularization,
    Dropout,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from kir.modeling.lower import lower
from tests.oracle import assert_matches_keras, build_both, check_layer, draw_feeds, node_types, show_mask

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Dropout", (4,), {"rate": 0.5}),
    ("Dropout", (4,), {"rate": 0}),
    ("Dropout", (4,), {"rate": 1.0, "seed": 7}),
    ("Dropout", (None, 4), {"rate": 0.25, "noise_shape": (None, 1, 4), "seed": 3}),
    ("Dropout", (5, 4), {"rate": 0.25, "noise_shape": [32, 1, 4]}),
    ("SpatialDropout1D", (5, 4), {"rate": 0.25}),
    ("SpatialDropout1D", (None, 4), {"rate": 0.25, "seed": 3}),
    ("SpatialDropout2D", (5, 4, 3), {"rate": 0.25}),
    ("SpatialDropout2D", (3, None, 4), {"rate": 0.25, "data_format": "channels_first", "seed": 3}),
    ("SpatialDropout3D", (5, 4, 3, 2), {"rate": 0.25, "data_format": "channels_last"}),
    ("SpatialDropout3D", (3, None, 4, 2), {"rate": 0.25, "data_format": "channels_first", "seed": 3}),
    ("AlphaDropout", (4,), {"rate": 0.5}),
    ("AlphaDropout", (4,), {"rate": 1}),
    ("AlphaDropout", (None, 4), {"rate": 0.25, "noise_shape": (None, 1, 4), "seed": 3}),
    ("GaussianNoise", (None, 4), {"stddev": 0.5}),
    ("GaussianNoise", (4,), {"stddev": 0, "seed": 3}),
    ("GaussianDropout", (None, 4), {"rate": 0.5}),
    ("GaussianDropout", (4,), {"rate": 1.0, "seed": 3}),
    ("ActivityRegularization", (4,), {}),
    ("ActivityRegularization", (None, 4), {"l1": 0.01, "l2": 0.1}),
]
SPATIAL = {"SpatialDropout1D": 3, "SpatialDropout2D": 4, "SpatialDropout3D": 5}
DROPOUTS = {"Dropout": 2, "AlphaDropout": 2, "GaussianDropout": 2} | SPATIAL


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("name", "shape", "options"), CASES)
def test_the_identity_in_inference(name: str, shape: tuple[Any, ...], options: dict[str, Any], dtype: str) -> None:
    proto = check_layer(name, (shape, dtype), dtype=dtype, **options)
    assert node_types(proto) in ([], ["Identity"])


@pytest.mark.parametrize("name", DROPOUTS)
def test_integers_pass(name: str) -> None:
    x = Input((2,) * (DROPOUTS[name] - 1), dtype="int32")
    assert getattr(layers, name)(0.5)(x).dtype == "int32"


def in_training(layer: Any, x: Any) -> Any:
    """What the layer makes of an array in a graph for training, by the interpreter and by onnxruntime."""
    tensor = Input(batch_shape=(None, *x.shape[1:]), name="x")
    graph = lower(Model(tensor, layer(tensor)), training=True)
    passes.run(graph, passes.pipeline(2, training=True), check=True)
    ours = next(iter(interpreter.run(graph, {"x": x}).values()))
    session = onnxruntime.InferenceSession(to_model_proto(graph).SerializeToString())
    return ours, session.run(None, {"x": x})[0]


# A layer, the shape of an input of ones, and the axes along which all elements share one draw.
TRAINED = [
    (Dropout(0.4, seed=1), (64, 8), ()),
    (Dropout(0.4, noise_shape=(None, 1, 16), seed=1), (32, 5, 16), (1,)),
    (Dropout(0.4, noise_shape=(1, None), seed=1), (8, 64), (0,)),
    (SpatialDropout1D(0.4, seed=1), (32, 5, 16), (1,)),
    (SpatialDropout2D(0.4, seed=1), (32, 5, 2, 16), (1, 2)),
    (SpatialDropout2D(0.4, "channels_first", seed=1), (32, 16, 5, 2), (2, 3)),
    (SpatialDropout3D(0.4, seed=1), (32, 5, 2, 3, 16), (1, 2, 3)),
    (SpatialDropout3D(0.4, data_format="channels_first", seed=1), (32, 16, 5, 2, 3), (2, 3, 4)),
]


@pytest.mark.parametrize(("layer", "shape", "shared"), TRAINED)
def test_training_drops_and_scales(layer: Any, shape: tuple[int, ...], shared: tuple[int, ...]) -> None:
    for output in in_training(layer, np.ones(shape, np.float32)):
        draws = output.max(axis=shared, keepdims=True)
        np.testing.assert_array_equal(output, np.broadcast_to(draws, shape))
        np.testing.assert_allclose(np.unique(draws), [0, 1 / 0.6], rtol=1e-6)
        # The noise shape itself is full size: neighbours off the shared axes differ. Four standard deviations.
        assert abs(np.mean(draws == 0) - 0.4) < 4 * np.sqrt(0.24 / draws.size)


def moments(output: Any) -> tuple[float, float]:
    return float(output.mean()), float(output.std())


# A layer, and what it is to make of the mean and the standard deviation of its input.
NOISY = [
    (layers.AlphaDropout(0.3, seed=1), lambda mean, deviation: (mean, deviation)),
    (layers.GaussianNoise(0.5, seed=1), lambda mean, deviation: (mean, (deviation**2 + 0.25) ** 0.5)),
    (
        layers.GaussianDropout(0.2, seed=1),
        lambda mean, deviation: (mean, (1.25 * deviation**2 + mean**2 / 4) ** 0.5),
    ),
]


@pytest.mark.parametrize(("layer", "expected"), NOISY)
def test_noise_keeps_the_moments_that_it_should(layer: Any, expected: Any) -> None:
    """AlphaDropout keeps both of what has mean 0 and variance 1, as behind a selu."""
    x = np.random.default_rng(0).normal(size=(400, 100)).astype(np.float32)
    for output in in_training(layer, x):
        assert not np.array_equal(output, x)
        np.testing.assert_allclose(moments(output), expected(*moments(x)), atol=0.03)


@pytest.mark.parametrize(("layer", "expected"), NOISY)
def test_noise_follows_the_switch(layer: Any, expected: Any) -> None:
    x, given = Input((3,), name="x"), np.array([[1, -2, 0]], np.float32)
    graph = lower(Model(x, layer(x)), training=True)
    file = onnxruntime.InferenceSession(to_model_proto(graph).SerializeToString())
    for output in (
        *interpreter.run(graph, {"x": given, "training_mode": np.array(False)}).values(),
        *file.run(None, {"x": given, "training_mode": np.array(False)}),
    ):
        np.testing.assert_array_equal(output, given)
    always = Model(x, layer(x, training=True))
    assert not np.array_equal(always.predict(given), given)


def test_alpha_dropout_drops_to_the_lowest_value_of_selu() -> None:
    # The numbers of Keras's own formula for rate 0.5 and an input of 1.
    lowest = -1.6732632423543772 * 1.0507009873554805
    a = (0.5 * (1 + 0.5 * lowest**2)) ** -0.5
    layer = layers.AlphaDropout(0.5, noise_shape=(None, 1), seed=1)
    for output in in_training(layer, np.ones((64, 4), np.float32)):
        np.testing.assert_array_equal(output, np.broadcast_to(output[:, :1], output.shape))
        np.testing.assert_allclose(np.unique(output), [a * lowest * 0.5, a - a * lowest * 0.5], rtol=1e-5)


@pytest.mark.parametrize("make", [layers.AlphaDropout, layers.GaussianDropout])
def test_nothing_is_left_to_train_with_at_rate_one(make: Any) -> None:
    x = Input((4,))
    with pytest.raises(InvalidArgumentError, match=r"rate=1.*below 1"):
        lower(Model(x, make(1.0)(x)), training=True)


@pytest.mark.parametrize(
    ("options", "value"),
    [({"stddev": 1.5}, "1.5"), ({"stddev": "a"}, "'a'"), ({"stddev": 0.1, "seed": "s"}, "'s'")],
)
def test_bad_arguments_of_noise_are_repeated(options: dict[str, Any], value: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        layers.GaussianNoise(**options)
    assert value in str(error.value)


def test_the_training_argument_decides() -> None:
    x, ones = Input((64,), name="x"), np.ones((8, 64), np.float32)
    layer = Dropout(0.5)
    always, never = Model(x, layer(x, training=True)), Model(x, layer(x, training=False))
    assert (always.predict(ones) == 0).any()
    graph = lower(never, training=True)
    np.testing.assert_array_equal(next(iter(interpreter.run(graph, {"x": ones}).values())), ones)


def test_rate_zero_is_no_node_in_training() -> None:
    x = Input((4,))
    assert [type(node.op).__name__ for node in lower(Model(x, Dropout(0)(x)), training=True).order()] == [
        "Input",
        "Output",
    ]


def test_rate_one_drops_everything() -> None:
    for output in in_training(Dropout(1.0), np.ones((4, 3), np.float32)):
        np.testing.assert_array_equal(output, np.zeros((4, 3), np.float32))


def test_a_noise_shape_that_does_not_fit_fails_in_training_only() -> None:
    x = Input((4,))
    model = Model(x, Dropout(0.5, noise_shape=(32, 1, 1, 4))(x))
    model.predict(np.ones((2, 4), np.float32))
    with pytest.raises(ShapeError, match=r"\(32, 1, 1, 4\).*\(batch, 4\)"):
        lower(model, training=True)


@pytest.mark.parametrize("name", SPATIAL)
def test_spatial_dropouts_check_the_rank(name: str) -> None:
    with pytest.raises(ShapeError, match=rf"rank {DROPOUTS[name]}.*\(batch, 4\)"):
        getattr(layers, name)(0.5)(Input((4,)))


@pytest.mark.parametrize("name", DROPOUTS)
@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"rate": -0.1}, "-0.1"),
        ({"rate": 1.5}, "1.5"),
        ({"rate": "half"}, "half"),
        ({"rate": float("nan")}, "nan"),
        ({"rate": None}, "None"),
        ({"rate": 0.5, "seed": 1.5}, "1.5"),
        ({"rate": 0.5, "name": ""}, "''"),
        ({"rate": 0.5, "colour": 1}, "colour"),
    ],
)
def test_bad_arguments_are_repeated(name: str, options: dict[str, Any], value: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        getattr(layers, name)(**options)
    assert value in str(error.value)


@pytest.mark.parametrize("shape", ["abc", 3, (0, 1), (-1,), (2.5,), (True,), ("a",)])
def test_bad_noise_shapes_are_repeated(shape: Any) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        Dropout(0.5, noise_shape=shape)
    assert repr(shape) in str(error.value)


@pytest.mark.parametrize("make", [SpatialDropout2D, SpatialDropout3D])
def test_bad_data_formats_are_repeated(make: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="channels_middle"):
        make(0.5, data_format="channels_middle")
    config.set_image_data_format("channels_first")
    try:
        assert make(0.5).data_format == "channels_first"
    finally:
        config.set_image_data_format("channels_last")


def test_spatial_dropout_of_steps_has_no_data_format() -> None:
    with pytest.raises(InvalidArgumentError, match="data_format"):
        SpatialDropout1D(0.5, data_format="channels_last")  # type: ignore[call-arg]


@pytest.mark.parametrize("options", [{"l1": -1.0}, {"l2": "much"}, {"l1": None}, {"l2": float("nan")}])
def test_bad_coefficients_are_repeated(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        ActivityRegularization(**options)
    assert all(f"{name}={value!r}" in str(error.value) for name, value in options.items())


def test_losses_are_keras_losses() -> None:
    def build(library: Any, x: Any) -> Any:
        hidden = library.Dense(3, kernel_regularizer="l2", activity_regularizer="l1")(x)
        return library.ActivityRegularization(l1=0.01, l2=0.1)(hidden)

    model, reference = build_both(build, (4,))
    feeds = draw_feeds((4,))
    # Keras computes the terms of activities when a layer is called, and a functional model only calls each once.
    hidden = keras.ops.matmul(feeds[0], reference.layers[1].kernel) + reference.layers[1].bias
    batch = len(feeds[0])
    activity = [0.01 * np.abs(hidden).sum() / batch, (0.01 * np.abs(hidden).sum() + 0.1 * (hidden**2).sum()) / batch]
    kernel = float(reference.layers[1].kernel_regularizer(reference.layers[1].kernel))
    np.testing.assert_allclose(model.losses(feeds[0]), [*activity, kernel], rtol=1e-5)
    reference(feeds[0])
    np.testing.assert_allclose(sorted(model.losses(feeds[0])), sorted(map(float, reference.losses)), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Dropout", {"rate": 0.5}),
        ("AlphaDropout", {"rate": 0.5}),
        ("GaussianDropout", {"rate": 0.5}),
        ("GaussianNoise", {"stddev": 0.5}),
        ("SpatialDropout1D", {"rate": 0.5}),
        ("ActivityRegularization", {}),
    ],
)
def test_masks_pass(name: str, options: dict[str, Any]) -> None:
    def build(library: Any, x: Any) -> Any:
        return show_mask(library, getattr(library, name)(**options)(library.Masking()(x)))

    x = draw_feeds((5, 4))[0]
    x[0, 1] = x[1, 3:] = 0
    assert_matches_keras(*build_both(build, (5, 4)), [x], atol=1e-5)
