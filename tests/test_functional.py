"""Shapes of layers that are asked for them without a model."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from kir import layers


@pytest.mark.parametrize(
    ("class_name", "arguments", "shape"),
    [
        ("Dense", (3,), (None, None, 4)),
        ("Flatten", (), (None, 4, 3)),
        ("Flatten", (), (None, None, 3)),
        ("LSTM", (2,), (None, 5, 3)),
        ("RepeatVector", (3,), (None, 2)),
        ("Reshape", ((2, -1),), (None, 6)),
        ("Permute", ((2, 1),), (None, None, 3)),
        ("Activation", ("relu",), (3,)),
        ("Concatenate", (), [(None, 3), (None, 4)]),
    ],
)
def test_output_shapes_are_those_of_keras(class_name: str, arguments: tuple[Any, ...], shape: Any) -> None:
    ours, theirs = getattr(layers, class_name)(*arguments), getattr(keras.layers, class_name)(*arguments)
    assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)
