"""Shapes of layers that are asked for them without a model."""

from __future__ import annotations

import functools
from typing import Any

import keras
import pytest

from kir import backend as K
from kir import layers
from kir.errors import KirError
from kir.modeling.operation import Operation


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


def test_an_operation_knows_the_name_of_its_function_whatever_is_bound_to_it() -> None:
    assert Operation(functools.partial(K.mean, axis=1), name="average").function_name == "mean"
    assert Operation(K.add).function_name == "add"


def test_a_layer_that_was_asked_for_a_shape_in_vain_is_not_built_by_it() -> None:
    class Failing(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.kernel = self.add_weight(shape=(input_shape[-1],))

        def call(self, inputs: Any) -> Any:
            return K.reshape(inputs, (7,))

    layer = Failing()
    with pytest.raises(KirError):
        layer.compute_output_shape((2, 3))
    assert not layer.built
