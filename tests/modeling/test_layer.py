"""Layers that a layer of the user's own asks for shapes and builds in its `build`, as in Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model, Sequential
from kir.importers.keras_names import NAMESPACES
from kir.support.trees import map_structure
from tests.oracle import assert_matches_keras

OURS = type("Library", (), {**NAMESPACES["layers"], "Sequential": Sequential})
THEIRS = type("Library", (), {**vars(keras.layers), "Sequential": keras.Sequential})

# A layer, and the shape that it is asked about.
CASES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "Add": (lambda L: L.Add(), [(None, 5, 3), (None, 1, 3)]),
    "BatchNormalization": (lambda L: L.BatchNormalization(), (None, 9, 7, 4)),
    "Bidirectional": (lambda L: L.Bidirectional(L.LSTM(3, return_sequences=True)), (None, None, 4)),
    "Concatenate": (lambda L: L.Concatenate(), [(None, None, 3), (None, None, 4)]),
    "Conv1D": (lambda L: L.Conv1D(3, 2), (None, None, 4)),
    "Conv2D": (lambda L: L.Conv2D(3, 3, strides=2, padding="same"), (None, 9, None, 4)),
    "Conv2DTranspose": (lambda L: L.Conv2DTranspose(3, 3, strides=2, padding="same"), (None, 9, None, 4)),
    "ConvLSTM2D": (lambda L: L.ConvLSTM2D(3, 3), (None, 5, 9, 7, 4)),
    "Dense": (lambda L: L.Dense(3), (None, None, 4)),
    "DepthwiseConv2D": (lambda L: L.DepthwiseConv2D(3), (2, 9, 7, 4)),
    "EinsumDense": (lambda L: L.EinsumDense("abc,cd->abd", output_shape=(None, 5)), (None, None, 4)),
    "Embedding": (lambda L: L.Embedding(10, 3), (None, None)),
    "Flatten": (lambda L: L.Flatten(), (None, None, 4)),
    "GRU": (lambda L: L.GRU(3, return_state=True), (None, None, 4)),
    "GlobalAveragePooling2D": (lambda L: L.GlobalAveragePooling2D(), (None, None, None, 3)),
    "LSTM": (lambda L: L.LSTM(3, return_sequences=True), (None, None, 4)),
    "MaxPooling2D": (lambda L: L.MaxPooling2D(), (None, 9, None, 4)),
    "RNN": (lambda L: L.RNN([L.LSTMCell(3), L.GRUCell(2)]), (None, 5, 4)),
    "Reshape": (lambda L: L.Reshape((2, -1)), (None, None, 4)),
    "Resizing": (lambda L: L.Resizing(3, 3), (None, None, None, 4)),
    "Sequential": (lambda L: L.Sequential([L.Conv2D(3, 3), L.Flatten(), L.Dense(2)]), (None, 9, 7, 4)),
    "TimeDistributed": (lambda L: L.TimeDistributed(L.Dense(3)), (None, None, 4)),
    "UpSampling2D": (lambda L: L.UpSampling2D(), (None, None, 5, 4)),
}


@pytest.mark.parametrize("is_built", [False, True])
@pytest.mark.parametrize("form", [tuple, list])
@pytest.mark.parametrize("name", CASES)
def test_output_shape(name: str, form: type, is_built: bool) -> None:
    make, shape = CASES[name]
    if form is list and name == "ConvLSTM2D":
        pytest.skip("Keras takes no list here")
    shapes = [form(one) for one in shape] if isinstance(shape, list) else form(shape)
    found = []
    for library in (OURS, THEIRS):
        layer = make(library)
        if is_built:
            layer.build(shapes)
        found.append(layer.compute_output_shape(shapes))
    ours, theirs = found
    # Conv2DTranspose of Keras gives a list.
    assert ours == (tuple(theirs) if isinstance(theirs, list) and not isinstance(theirs[0], tuple) else theirs)


def block(L: Any) -> type:
    class Block(L.Layer):
        def __init__(self) -> None:
            super().__init__(name="block")
            self.first, self.second = L.Conv1D(3, 2), L.LSTM(2, return_sequences=True)
            self.shapes: list[Any] = []
            self.third = L.Sequential([L.Dense(4), L.Dense(5)])

        def build(self, input_shape: Any) -> None:
            after_first = self.first.compute_output_shape(input_shape)
            self.first.build(input_shape)
            after_second = self.second.compute_output_shape(after_first)
            self.second.build(after_first)
            self.third.build(after_second)
            self.shapes += [input_shape, after_first, after_second, self.third.compute_output_shape(after_second)]
            self.scale = self.add_weight(shape=(self.shapes[-1][-1],), initializer="ones", name="scale")

        def call(self, x: Any) -> Any:
            return self.third(self.second(self.first(x))) * self.scale

        def compute_output_shape(self, input_shape: Any) -> Any:
            return self.shapes[-1]

    return Block


def test_a_layer_that_builds_its_own_layers() -> None:
    ours, theirs = block(OURS)(), block(THEIRS)()
    x, y = Input((None, 4)), keras.Input((None, 4))
    model, reference = Model(x, ours(x)), keras.Model(y, theirs(y))
    expected = [(None, None, 4), (None, None, 3), (None, None, 2), (None, None, 5)]
    assert map_structure(lambda size: size, ours.shapes) == [tuple(shape) for shape in theirs.shapes] == expected
    by_path = {weight.path.partition("/")[2]: weight for weight in reference.weights}
    assert len(by_path) == len(model.weights)
    model.set_weights(reference.get_weights())
    assert_matches_keras(model, reference, [np.random.default_rng(0).normal(size=(3, 6, 4)).astype(np.float32)])
