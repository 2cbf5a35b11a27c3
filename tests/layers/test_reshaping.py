"""Flatten, Reshape, Permute and RepeatVector against real Keras."""

from __future__ import annotations

from typing import Any

import pytest

from kir import config, layers
from kir.errors import InvalidArgumentError, ShapeError
from kir.layers import Flatten, Input, Masking, Permute, RepeatVector, Reshape
from tests.oracle import check_layer, node_types

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Flatten", (4, 3), {}),
    ("Flatten", (4, 3, 2), {"data_format": "channels_last"}),
    ("Flatten", (4, 3, 2), {"data_format": "channels_first"}),
    ("Flatten", (2, None, 3), {"data_format": "channels_first"}),
    ("Flatten", (7,), {"data_format": "channels_first"}),
    ("Flatten", (), {}),
    ("Flatten", (), {"data_format": "channels_first"}),
    ("Flatten", (None, 3), {}),
    ("Flatten", (None, None, 2), {}),
    ("Reshape", (12,), {"target_shape": (3, 4)}),
    ("Reshape", (12,), {"target_shape": [12]}),
    ("Reshape", (3, 4), {"target_shape": (-1, 2, 2)}),
    ("Reshape", (3, 4), {"target_shape": (-1,)}),
    ("Reshape", (1,), {"target_shape": ()}),
    ("Reshape", (None, 6), {"target_shape": (-1, 3)}),
    ("Reshape", (None, 6), {"target_shape": (2, -1, 3)}),
    ("Permute", (4, 3), {"dims": (2, 1)}),
    ("Permute", (4, 3), {"dims": (1, 2)}),
    ("Permute", (4, 3, 2), {"dims": [3, 1, 2]}),
    ("Permute", (None, 3, 2), {"dims": (3, 1, 2)}),
    ("RepeatVector", (4,), {"n": 3}),
    ("RepeatVector", (4,), {"n": 1}),
    ("RepeatVector", (None,), {"n": 2}),
]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("name", "shape", "options"), CASES)
def test_like_keras(name: str, shape: tuple[Any, ...], options: dict[str, Any], dtype: str) -> None:
    check_layer(name, (shape, dtype), dtype=dtype, **options)


@pytest.mark.parametrize("name", ["Flatten", "Reshape", "Permute", "RepeatVector"])
def test_integers_stay_integers(name: str) -> None:
    options = {"Reshape": {"target_shape": (2, 3)}, "Permute": {"dims": (1,)}, "RepeatVector": {"n": 2}}
    layer = getattr(layers, name)(**options.get(name, {}))
    assert layer(Input((6,), dtype="int32")).dtype == "int32"


def test_flatten_is_one_reshape() -> None:
    assert node_types(check_layer("Flatten", (4, 3))) == ["Reshape"]


def test_unknown_sizes_multiply() -> None:
    assert str(Flatten()(Input(("time", 8))).type) == "f32[batch, 8*time]"


def test_flatten_takes_the_data_format_that_is_set() -> None:
    config.set_image_data_format("channels_first")
    try:
        assert Flatten().data_format == "channels_first"
    finally:
        config.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: Flatten(data_format="channels_middle"), "channels_middle"),
        (lambda: Flatten(data_format=3), "3"),
        (lambda: Reshape((3, -2)), "-2"),
        (lambda: Reshape((-1, -1)), "-1, -1"),
        (lambda: Reshape((2.5,)), "2.5"),
        (lambda: Reshape("ab"), "ab"),
        (lambda: Permute((0, 1)), "(0, 1)"),
        (lambda: Permute((1, 1)), "(1, 1)"),
        (lambda: Permute((1, 3)), "(1, 3)"),
        (lambda: Permute((1.0, 2.0)), "1.0"),
        (lambda: RepeatVector(0), "0"),
        (lambda: RepeatVector(2.0), "2.0"),
        (lambda: RepeatVector(True), "True"),
        (lambda: RepeatVector("3"), "'3'"),
    ],
)
def test_bad_arguments_are_repeated(make: Any, value: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        make()
    assert value in str(error.value)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (Reshape((5, 2)), (12,), ["(batch, 12)", "(batch, 5, 2)"]),
        (Reshape((-1, 5)), (12,), ["(batch, 12)", "(batch, -1, 5)"]),
        (Reshape((-1, 2)), ("time", 3), ["(batch, time, 3)", "(batch, -1, 2)"]),
        (Reshape((3, 4)), ("n",), ["(batch, n)", "(batch, 3, 4)", "concrete sizes"]),
        (Permute((2, 1)), (3,), ["rank 3", "(batch, 3)"]),
        (RepeatVector(2), (3, 4), ["(batch, features)", "(batch, 3, 4)"]),
    ],
)
def test_shapes_that_do_not_fit_are_repeated(layer: Any, shape: tuple[Any, ...], expected: list[str]) -> None:
    with pytest.raises(ShapeError) as error:
        layer(Input(shape))
    assert all(part in str(error.value) for part in [layer.name, *expected])


def test_a_scalar_has_no_batch_to_keep() -> None:
    with pytest.raises(ShapeError, match="scalar"):
        Flatten()(Input(batch_shape=()))


@pytest.mark.parametrize("layer", [Flatten(), Reshape((3, 5)), Permute((2, 1))])
def test_a_mask_cannot_pass(layer: Any) -> None:
    masked = Masking()(Input((5, 3)))
    with pytest.raises(InvalidArgumentError, match=layer.name):
        layer(masked)
    config.set_on_lost_mask("warn")
    try:
        with pytest.warns(UserWarning, match="the mask ends here"):
            assert layer(masked).mask_type is None
    finally:
        config.set_on_lost_mask("error")
