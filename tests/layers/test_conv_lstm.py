"""The ConvLSTM layers against real Keras."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest

from kir import Model, layers
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.ir import interpreter
from kir.layers import ConvLSTM1D, ConvLSTM2D, ConvLSTM3D, Input
from kir.modeling.lower import lower
from kir.support.trees import flatten
from tests.oracle import assert_matches_keras, assert_same_config, build_both, node_types

BATCH, TIME, CHANNELS, FILTERS = 3, 4, 2, 3
SIZES = (5, 4, 3)
MASK = [[1, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]]

each_format = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
each_rank = pytest.mark.parametrize("rank", [1, 2, 3])


def shape_of(rank: int, data_format: str, channels: int = CHANNELS, sizes: tuple[Any, ...] = SIZES) -> tuple[Any, ...]:
    spatial = sizes[:rank]
    return (channels, *spatial) if data_format == "channels_first" else (*spatial, channels)


def test_a_mask_of_pixels_is_refused() -> None:
    images = layers.Masking()(Input((TIME, 5, 4, CHANNELS)))
    with pytest.raises(UnsupportedError, match=r"a mask for each pixel, of shape \(batch, 4, 5, 4\)"):
        ConvLSTM2D(FILTERS, 3)(images)


def check(rank: int, data_format: str = "channels_last", masked: bool = False, **options: Any) -> list[str]:
    """One layer against Keras; the nodes of the file. Keras's NumPy backend takes a mask only when it unrolls."""

    def build(library: Any, x: Any, *mask: Any) -> Any:
        layer = getattr(library, f"ConvLSTM{rank}D")(
            **{"filters": FILTERS, "kernel_size": 3, "padding": "same", "data_format": data_format} | options
        )
        return flatten(layer(x, **({"mask": mask[0]} if mask else {})))

    shape = (TIME, *shape_of(rank, data_format))
    specs: list[Any] = [shape, *([((TIME,), "bool")] if masked else [])]
    x = np.random.default_rng(1).normal(size=(BATCH, *shape)).astype(np.float32)
    feeds = [x, *([np.array(MASK, bool)] if masked else [])]
    types = node_types(assert_matches_keras(*build_both(build, *specs), feeds, atol=1e-5))
    assert not {"Loop", "Scan"} & set(types)
    return types


@each_rank
@each_format
@pytest.mark.parametrize("sequences", [False, True])
def test_like_keras(rank: int, data_format: str, sequences: bool) -> None:
    check(rank, data_format, return_sequences=sequences, return_state=True, go_backwards=sequences)


@pytest.mark.parametrize(
    "options",
    [
        {"strides": 2, "padding": "valid"},
        {"dilation_rate": 2, "kernel_size": 2, "padding": "valid"},
        {"kernel_size": (2, 3), "use_bias": False},
        {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
        {"activation": "softmax", "recurrent_activation": "softmax"},
        {"dropout": 0.5, "recurrent_dropout": 0.5},
    ],
    ids=str,
)
@each_format
def test_arguments(options: dict[str, Any], data_format: str) -> None:
    check(2, data_format, **options)


@each_format
@pytest.mark.parametrize("sequences", [False, True])
def test_masks(data_format: str, sequences: bool) -> None:
    check(2, data_format, masked=True, unroll=True, return_sequences=sequences, return_state=True)
    check(1, data_format, masked=True, unroll=True, return_sequences=sequences, go_backwards=True)


@each_format
def test_initial_states(data_format: str) -> None:
    def build(library: Any, x: Any, h: Any, c: Any) -> Any:
        layer = library.ConvLSTM2D(FILTERS, 3, padding="same", data_format=data_format, return_state=True)
        return list(layer(x, initial_state=[h, c]))

    state = shape_of(2, data_format, FILTERS)
    shapes = [(TIME, *shape_of(2, data_format)), state, state]
    random = np.random.default_rng(1)
    feeds = [random.normal(size=(BATCH, *shape)).astype(np.float32) for shape in shapes]
    assert_matches_keras(*build_both(build, *shapes), feeds, atol=1e-5)


def test_unknown_sizes() -> None:
    def build(library: Any, x: Any) -> Any:
        return library.ConvLSTM2D(FILTERS, 3, padding="valid", return_sequences=True)(x)

    x = np.random.default_rng(1).normal(size=(BATCH, TIME, 6, 7, CHANNELS)).astype(np.float32)
    model = Model(given := Input((TIME, None, None, CHANNELS)), ConvLSTM2D(FILTERS, 3, return_sequences=True)(given))
    _, reference = build_both(build, (TIME, 6, 7, CHANNELS))
    model.set_weights([np.asarray(weight) for weight in reference.get_weights()])
    np.testing.assert_allclose(model.predict(x), np.asarray(reference(x)), rtol=1e-5, atol=1e-5)


@each_format
def test_stateful(data_format: str) -> None:
    shape = (TIME, *shape_of(2, data_format))

    def build(library: Any) -> Any:
        x = library.Input(batch_shape=(BATCH, *shape))
        y = library.ConvLSTM2D(FILTERS, 3, strides=2, data_format=data_format, padding="same", stateful=True)(x)
        return (Model if library is layers else keras.Model)(x, y)

    model, reference = build(layers), build(keras.layers)
    model.set_weights([np.asarray(weight) for weight in reference.get_weights()[: len(model.weights)]])
    for seed in range(2):
        x = np.random.default_rng(seed).normal(size=(BATCH, *shape)).astype(np.float32)
        np.testing.assert_allclose(model.predict(x), np.asarray(reference(x)), rtol=1e-5, atol=1e-5)


def test_bidirectional() -> None:
    def build(library: Any, x: Any) -> Any:
        return library.Bidirectional(library.ConvLSTM1D(FILTERS, 3, padding="same", return_sequences=True))(x)

    shape = (TIME, *shape_of(1, "channels_last"))
    x = np.random.default_rng(1).normal(size=(BATCH, *shape)).astype(np.float32)
    assert_matches_keras(*build_both(build, shape), [x], atol=1e-5)


def test_one_convolution_for_all_inputs() -> None:
    assert check(2, "channels_first").count("Conv") <= 1 + TIME


def test_dropout_in_training() -> None:
    layer = ConvLSTM1D(2, 1, dropout=0.5, recurrent_dropout=0.5, seed=1)
    model = Model(x := Input((3, 4, 2)), layer(x))
    graph = lower(model, training=True)
    assert [node.op.name for node in graph.order()].count("Dropout") == 2
    feeds = {model.input_names[0]: np.ones((2, 3, 4, 2), np.float32)}
    (dropped,) = interpreter.run(graph, feeds).values()
    assert not np.allclose(dropped, model.predict(feeds[model.input_names[0]]))


@each_rank
def test_the_config_is_that_of_keras(rank: int) -> None:
    name = f"ConvLSTM{rank}D"
    for given in ({}, {"strides": 2, "padding": "SAME", "dropout": 0.25, "seed": 3, "activity_regularizer": "l2"}):
        options: dict[str, Any] = {"filters": 2, "kernel_size": 3, "name": "given"} | given
        assert_same_config(getattr(layers, name)(**options), getattr(keras.layers, name)(**options))
    theirs = list(inspect.signature(getattr(keras.layers, name)).parameters)[:-1]
    assert list(inspect.signature(getattr(layers, name)).parameters)[:-1] == theirs


@each_rank
@each_format
def test_an_unknown_number_of_steps(rank: int, data_format: str) -> None:
    def build(library: Any, x: Any) -> Any:
        options = {"return_sequences": rank != 2, "return_state": True, "go_backwards": rank == 1, "activation": "selu"}
        layer = getattr(library, f"ConvLSTM{rank}D")(FILTERS, 2, data_format=data_format, padding="same", **options)
        return layer(x)

    shape = shape_of(rank, data_format)
    x = np.random.default_rng(0).normal(size=(BATCH, TIME, *shape)).astype(np.float32)
    assert "Scan" in node_types(assert_matches_keras(*build_both(build, ("time", *shape)), [x]))


@pytest.mark.parametrize("sequences", [False, True])
def test_an_unknown_number_of_masked_steps(sequences: bool) -> None:
    layer = ConvLSTM2D(FILTERS, 3, return_sequences=sequences, go_backwards=sequences)
    feeds = [
        np.random.default_rng(0).normal(size=(BATCH, TIME, 5, 4, CHANNELS)).astype(np.float32),
        np.array(MASK, bool),
    ]
    inputs = [Input((TIME, 5, 4, CHANNELS)), Input((TIME,), dtype="bool")]
    expected = Model(inputs, layer(inputs[0], mask=inputs[1])).predict(feeds)
    inputs = [Input(("time", 5, 4, CHANNELS)), Input(("time",), dtype="bool")]
    model = Model(inputs, layer(inputs[0], mask=inputs[1]))
    (result,) = interpreter.run(lower(model), dict(zip(model.input_names, feeds, strict=True))).values()
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_rank() -> None:
    with pytest.raises(ShapeError, match=r"rank 6, \(batch, time, rows, cols, depth, channels\); received"):
        ConvLSTM3D(2, 3)(Input((4, 5, 5, 1)))


@pytest.mark.parametrize(
    "options",
    [{"kernel_size": (2, 2)}, {"strides": 2, "dilation_rate": 2}, {"padding": "causal"}, {"filters": 0}],
    ids=str,
)
def test_wrong_arguments(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="received"):
        ConvLSTM1D(**{"filters": 2, "kernel_size": 3} | options)
