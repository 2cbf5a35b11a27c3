"""The convolution layers against Keras's: every argument, known and unknown sizes, channels last and first."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest

import kir.layers
from kir.errors import InvalidArgumentError, ShapeError
from kir.layers import Conv1D, Conv2D
from tests.oracle import assert_matches_keras, build_both, check_layer, draw_feeds, node_types

# Sums of products round once per term.
ATOL, RTOL = 2e-5, 2e-5

SHAPES: dict[int, tuple[Any, ...]] = {1: (11, 4), 2: (9, 8, 4), 3: (7, 6, 5, 4)}
UNKNOWN: dict[int, tuple[Any, ...]] = {1: (None, 4), 2: ("height", "width", 4), 3: ("x", 6, "z", 4)}

CONV_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "same": {"padding": "same"},
    "strides": {"strides": 2},
    "strides_same": {"strides": 3, "padding": "SAME"},
    "kernel_2_same": {"kernel_size": 2, "padding": "same", "strides": 2},
    "points": {"kernel_size": 1, "strides": 2},
    "dilated": {"dilation_rate": 2},
    "dilated_same": {"dilation_rate": 2, "padding": "same"},
    "groups": {"groups": 2},
    "depthwise": {"groups": 4, "filters": 8, "padding": "same"},
    "activation": {"activation": "relu"},
    "softmax": {"activation": "softmax"},
    "no_bias": {"use_bias": False},
    "others": {
        "kernel_initializer": "he_normal",
        "bias_initializer": "ones",
        "kernel_regularizer": "l2",
        "bias_regularizer": "l2",
        "activity_regularizer": "l2",
        "kernel_constraint": "max_norm",
        "bias_constraint": "non_neg",
        "trainable": False,
    },
}


def conv_options(name: str) -> dict[str, Any]:
    return {"filters": 6, "kernel_size": 3, **CONV_OPTIONS[name]}


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", CONV_OPTIONS)
def test_conv(name: str, rank: int) -> None:
    check_layer(f"Conv{rank}D", SHAPES[rank], atol=ATOL, rtol=RTOL, **conv_options(name))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", ["plain", "same", "strides", "strides_same", "kernel_2_same", "dilated_same"])
def test_conv_of_unknown_sizes(name: str, rank: int) -> None:
    check_layer(f"Conv{rank}D", UNKNOWN[rank], atol=ATOL, rtol=RTOL, **conv_options(name))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", ["plain", "strides_same", "groups", "softmax"])
def test_conv_with_the_channels_first(name: str, rank: int) -> None:
    shape = (SHAPES[rank][-1], *SHAPES[rank][:-1])
    check_layer(f"Conv{rank}D", shape, atol=ATOL, rtol=RTOL, data_format="channels_first", **conv_options(name))


TRANSPOSE_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "same": {"padding": "same"},
    "strides": {"strides": 2},
    "strides_same": {"strides": 2, "padding": "same"},
    "gaps": {"kernel_size": 2, "strides": 4},
    "gaps_same": {"kernel_size": 2, "strides": 4, "padding": "same"},
    "points_same": {"kernel_size": 1, "strides": 3, "padding": "same"},
    "more": {"strides": 3, "output_padding": 1},
    "more_same": {"strides": 3, "output_padding": 2, "padding": "same"},
    "none_same": {"kernel_size": 4, "strides": 3, "output_padding": 0, "padding": "same"},
    "dilated": {"dilation_rate": 2},
    "dilated_same": {"dilation_rate": 2, "padding": "same"},
    "activation": {"activation": "softmax"},
    "no_bias": {"use_bias": False},
    "others": CONV_OPTIONS["others"],
}


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", TRANSPOSE_OPTIONS)
def test_conv_transpose(name: str, rank: int) -> None:
    options = {"filters": 5, "kernel_size": 3, **TRANSPOSE_OPTIONS[name]}
    check_layer(f"Conv{rank}DTranspose", SHAPES[rank], atol=ATOL, rtol=RTOL, **options)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", ["plain", "strides_same", "more_same"])
def test_conv_transpose_of_unknown_sizes_and_with_the_channels_first(name: str, rank: int) -> None:
    options = {"filters": 5, "kernel_size": 3, **TRANSPOSE_OPTIONS[name]}
    check_layer(f"Conv{rank}DTranspose", UNKNOWN[rank], atol=ATOL, rtol=RTOL, **options)
    shape = (SHAPES[rank][-1], *SHAPES[rank][:-1])
    check_layer(f"Conv{rank}DTranspose", shape, atol=ATOL, rtol=RTOL, data_format="channels_first", **options)


@pytest.mark.parametrize(("kernel", "stride"), [(k, s) for k in (1, 2, 3, 4, 5) for s in (1, 2, 3, 5)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_conv_transpose_cuts_what_keras_cuts(padding: str, kernel: int, stride: int) -> None:
    for output_padding in (None, *range(stride)):
        options = {"strides": stride, "padding": padding, "output_padding": output_padding}
        model, reference = build_both(lambda library, x, o=options: library.Conv1DTranspose(2, kernel, **o)(x), (4, 3))
        (feed,) = draw_feeds((4, 3))
        np.testing.assert_allclose(model.predict(feed), np.asarray(reference(feed)), atol=ATOL, rtol=RTOL)
        assert model.output_shape == reference.output_shape


DEPTHWISE_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "multiplied": {"depth_multiplier": 3},
    "same": {"padding": "same"},
    "strides_same": {"strides": 2, "padding": "same", "depth_multiplier": 2},
    "dilated": {"dilation_rate": 2},
    "both": {"dilation_rate": 2, "strides": 2, "padding": "same"},
    "activation": {"activation": "softmax"},
    "no_bias": {"use_bias": False},
    "others": {
        "depthwise_initializer": "he_normal",
        "bias_initializer": "ones",
        "depthwise_regularizer": "l2",
        "bias_regularizer": "l2",
        "activity_regularizer": "l2",
        "depthwise_constraint": "max_norm",
        "bias_constraint": "non_neg",
    },
}
POINTWISE: dict[str, Any] = {
    "pointwise_initializer": "he_uniform",
    "pointwise_regularizer": "l2",
    "pointwise_constraint": "max_norm",
}


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("name", DEPTHWISE_OPTIONS)
@pytest.mark.parametrize("kind", ["Depthwise", "Separable"])
def test_depthwise_and_separable_conv(kind: str, name: str, rank: int) -> None:
    options = {"kernel_size": 3, **DEPTHWISE_OPTIONS[name]}
    if kind == "Separable":
        options = {"filters": 5, **options, **(POINTWISE if name == "others" else {})}
    check_layer(f"{kind}Conv{rank}D", SHAPES[rank], atol=ATOL, rtol=RTOL, **options)
    check_layer(f"{kind}Conv{rank}D", UNKNOWN[rank], atol=ATOL, rtol=RTOL, **options)
    shape = (SHAPES[rank][-1], *SHAPES[rank][:-1])
    check_layer(f"{kind}Conv{rank}D", shape, atol=ATOL, rtol=RTOL, data_format="channels_first", **options)


def test_a_separable_conv_is_two_convolutions() -> None:
    proto = check_layer("SeparableConv2D", (9, 8, 4), filters=5, kernel_size=3, atol=ATOL, rtol=RTOL)
    assert node_types(proto) == ["Transpose", "Conv", "Conv", "Transpose"]


@pytest.mark.parametrize("options", [{}, {"strides": 2}, {"dilation_rate": 3}, {"groups": 2, "activation": "tanh"}])
@pytest.mark.parametrize("shape", [(11, 4), (None, 4)])
def test_causal_conv(shape: tuple[Any, ...], options: dict[str, Any]) -> None:
    check_layer("Conv1D", shape, filters=6, kernel_size=3, padding="causal", atol=ATOL, rtol=RTOL, **options)


def test_sizes_for_each_axis() -> None:
    check_layer("Conv2D", (9, 8, 4), filters=3, kernel_size=(3, 2), strides=[2, 1], atol=ATOL, rtol=RTOL)
    check_layer("Conv2D", (9, 8, 4), filters=3, kernel_size=(3, 2), dilation_rate=(1, 3), atol=ATOL, rtol=RTOL)


@pytest.mark.parametrize("dtype", ["float64", "mixed_float16"])
def test_other_dtypes(dtype: str) -> None:
    tolerance = ATOL if dtype == "float64" else 4e-2  # jax, which computes for Keras here, has float32 at most
    spec = ((9, 8, 4), "float64" if dtype == "float64" else "float32")
    check_layer("Conv2D", spec, filters=3, kernel_size=3, dtype=dtype, atol=tolerance, rtol=tolerance)


def test_known_sizes_are_padded_in_numbers() -> None:
    proto = check_layer("Conv2D", (9, 8, 4), filters=3, kernel_size=3, padding="same", atol=ATOL, rtol=RTOL)
    (conv,) = [node for node in proto.graph.node if node.op_type == "Conv"]
    attributes = {attribute.name: attribute for attribute in conv.attribute}
    assert list(attributes["pads"].ints) == [1, 1, 1, 1]
    assert "auto_pad" not in attributes


def test_a_kernel_is_transposed_at_export() -> None:
    proto = check_layer("Conv2D", (9, 8, 4), filters=3, kernel_size=3, atol=ATOL, rtol=RTOL)
    assert node_types(proto) == ["Transpose", "Conv", "Transpose"]
    assert [list(tensor.dims) for tensor in proto.graph.initializer] == [[3, 4, 3, 3], [3]]


def test_output_shape() -> None:
    assert Conv2D(5, 3, strides=2, padding="same").compute_output_shape((None, 9, 8, 4)) == (None, 5, 4, 5)
    assert Conv1D(5, 3, padding="causal").compute_output_shape((None, 9, 4)) == (None, 9, 5)


@pytest.mark.parametrize("name", [name for name in kir.layers.__all__ if "Convolution" in name])
def test_other_names(name: str) -> None:
    assert getattr(kir.layers, name).__name__ == getattr(keras.layers, name).__name__


@pytest.mark.parametrize(
    "name", sorted(n for n in dir(kir.layers) if "Conv" in n and inspect.isclass(getattr(kir.layers, n)))
)
def test_arguments_are_in_the_order_of_keras(name: str) -> None:
    def positional(cls: Any) -> list[str]:
        parameters = inspect.signature(cls.__init__).parameters.values()
        return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]

    ours, theirs = (positional(getattr(library, name)) for library in (kir.layers, keras.layers))
    assert ours == theirs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": 0}, "filters must be an integer of at least 1"),
        ({"kernel_size": (3,)}, "kernel_size must be an integer of at least 1, or 2 of them"),
        ({"kernel_size": 0}, "kernel_size must be"),
        ({"strides": (1, 0)}, "strides must be"),
        ({"padding": "causal"}, "padding must be one of 'valid', 'same'"),
        ({"groups": 4}, "filters must be a multiple of groups"),
        ({"strides": 2, "dilation_rate": 2}, "strides and dilation_rate must not both be more than 1"),
        ({"data_format": "NCHW"}, "data_format must be one of"),
    ],
)
def test_invalid_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Conv2D(**{"filters": 6, "kernel_size": 3, **options})


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (None, 9, 4), "needs an input of rank 4"),
        ({}, (None, 9, 8, None), "needs a known number of channels"),
        ({"groups": 3}, (None, 9, 8, 4), "needs a multiple of as many channels; received 4"),
        ({}, (None, 2, 8, 4), "too small along spatial axis 0 for a window that spans 3"),
    ],
)
def test_inputs_that_do_not_fit(options: dict[str, Any], shape: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Conv2D(6, 3, **options).compute_output_shape(shape)


def test_too_small_when_it_runs() -> None:
    model, _ = build_both(lambda library, x: library.Conv1D(2, 5)(x), (None, 3))
    with pytest.raises(ShapeError, match="too small"):
        model.predict(draw_feeds((None, 3), unknown=4))


def test_a_mask_is_lost() -> None:
    x = kir.Input((5, 3))
    with pytest.raises(InvalidArgumentError, match="cannot carry"):
        Conv1D(2, 3)(kir.layers.Masking()(x))


def test_normalizations_are_folded_into_the_convolutions_of_a_network() -> None:
    def network(library: Any, x: Any) -> Any:
        x = library.Rescaling(1 / 2, offset=-1)(x)
        x = library.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
        x = library.ReLU(max_value=6)(library.BatchNormalization()(x))
        shortcut = x
        x = library.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = library.ReLU(max_value=6)(library.BatchNormalization()(x))
        x = library.BatchNormalization()(library.Conv2D(8, 1, use_bias=False)(x))
        x = library.MaxPooling2D(2)(library.Add()([shortcut, x]))
        x = library.BatchNormalization()(library.Conv2DTranspose(4, 3, strides=2, padding="same")(x))
        return library.Dense(3, activation="softmax")(library.GlobalAveragePooling2D()(x))

    model, reference = build_both(network, (None, 12, 3))
    proto = assert_matches_keras(model, reference, draw_feeds((None, 12, 3), unknown=13), 1e-5, 1e-4)
    counts = Counter(node_types(proto))
    assert "BatchNormalization" not in counts
    assert counts["Conv"] == 3
    assert counts["Transpose"] <= 1
    # The rescaling stays: "same" pads what comes after it.
    assert [counts[name] for name in ("Mul", "Add", "Clip")] == [1, 2, 2], counts


@pytest.mark.parametrize("padding", [2, 3])
def test_output_padding_is_less_than_strides(padding: int) -> None:
    with pytest.raises(InvalidArgumentError, match="output_padding must be less than strides"):
        kir.layers.Conv2DTranspose(3, 3, strides=2, output_padding=padding)


@pytest.mark.parametrize("name", ["DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose"])
def test_configs_of_keras_2_have_keys_of_the_base_class(name: str) -> None:
    layer = getattr(kir.layers, name)(*(() if name == "DepthwiseConv2D" else (3,)), kernel_size=3)
    again = type(layer).from_config(layer.get_config() | {"groups": 1})
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("name", ["Conv1D", "Conv2DTranspose", "DepthwiseConv1D", "SeparableConv2D"])
def test_the_bias_takes_its_seed_before_the_kernels(name: str) -> None:
    """A verification compares files of before with weights that are drawn anew: they stay the same."""
    kind = getattr(kir.layers, name)
    given = {} if name.startswith("Depthwise") else {"filters": 3}
    kir.config.set_random_seed(1)
    first = kir.initializers.RandomNormal()((3,))
    kir.config.set_random_seed(1)
    layer = kind(**given, kernel_size=2, bias_initializer="random_normal")
    rank = 1 if "1D" in name else 2
    layer(np.ones((1, *(4,) * rank, 3), np.float32))
    np.testing.assert_array_equal(layer.bias.numpy(), first)


def test_one_kernel_for_two_calls() -> None:
    def twice(library: Any, x: Any) -> Any:
        layer = library.Conv2D(4, 3, padding="same")
        return layer(layer(x))

    model, reference = build_both(twice, (6, 5, 4))
    (feed,) = draw_feeds((6, 5, 4))
    np.testing.assert_allclose(model.predict(feed), np.asarray(reference(feed)), atol=1e-4)
