"""Layers that are called with a mask as an argument, by name or by position: in files, scripts and Lambdas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

from kir import Input, Model, layers
from kir import backend as K
from kir.importers.keras_file import load_keras_model
from tests.importers.keras_file.compare import assert_same_numbers
from tests.oracle import randomize


def mask_of(x: Any) -> Any:
    return ops.any(ops.not_equal(x, 0), axis=-1)


# Calls on x (batch, 5, 4).
CALLS: dict[str, Callable[[Any], Any]] = {
    "AdditiveAttention": lambda x: L.AdditiveAttention()([x, x], [mask_of(x), mask_of(x)]),
    "Attention": lambda x: L.Attention()([x, x], [mask_of(x), mask_of(x)]),
    "Attention, named": lambda x: L.Attention()([x, x], mask=[mask_of(x), mask_of(x)]),
    "BatchNormalization, named": lambda x: L.BatchNormalization()(x, mask=mask_of(x)),
    "Bidirectional": lambda x: L.Bidirectional(L.LSTM(3))(x, None, mask_of(x)),
    "Bidirectional, named": lambda x: L.Bidirectional(L.GRU(3))(x, mask=mask_of(x)),
    "GRU": lambda x: L.GRU(3)(x, None, mask_of(x)),
    "GlobalAveragePooling1D": lambda x: L.GlobalAveragePooling1D()(x, mask_of(x)),
    "GlobalAveragePooling1D, named": lambda x: L.GlobalAveragePooling1D()(x, mask=mask_of(x)),
    "GroupQueryAttention": lambda x: L.GroupQueryAttention(3, 2, 1)(x, x, x, mask_of(x), mask_of(x)),
    "LSTM": lambda x: L.LSTM(3, return_sequences=True)(x, None, mask_of(x)),
    "LSTM, named": lambda x: L.LSTM(3)(x, mask=mask_of(x)),
    "MultiHeadAttention": lambda x: L.MultiHeadAttention(2, 3)(x, x, x, mask_of(x), mask_of(x), mask_of(x)),
    "RNN": lambda x: L.RNN(L.LSTMCell(3))(x, None, mask_of(x)),
    "SimpleRNN": lambda x: L.SimpleRNN(3)(x, None, mask_of(x)),
    "Softmax": lambda x: L.Softmax()(x, ops.greater(x, 0)),
    "Softmax, named": lambda x: L.Softmax()(x, mask=ops.greater(x, 0)),
    "TimeDistributed, named": lambda x: L.TimeDistributed(L.Dense(3))(x, mask=mask_of(x)),
    "a model": lambda x: keras.Sequential([L.LSTM(3)])(x, mask=mask_of(x)),
}


@pytest.mark.filterwarnings("ignore:.*supports_masking")
@pytest.mark.parametrize("name", CALLS)
def test_in_a_file(name: str, tmp_path: Path) -> None:
    x = keras.Input((5, 4), name="x")
    reference = keras.Model(x, CALLS[name](x))
    randomize(reference)
    reference.save(tmp_path / "m.keras")
    assert_same_numbers(load_keras_model(tmp_path / "m.keras"), reference, tmp_path / "m.onnx")


def test_in_a_script_and_in_a_lambda() -> None:
    x = Input((5, 4))
    pool = layers.GlobalAveragePooling1D()
    called = pool(x, K.greater(x[:, :, 0], 0))
    traced = layers.Lambda(lambda x: pool(x, x[:, :, 0] > 0))(x)
    array = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    weights = (array[:, :, :1] > 0).astype(np.float32)
    expected = (array * weights).sum(1) / weights.sum(1)
    for output in Model(x, [called, traced]).predict(array):
        np.testing.assert_allclose(output, expected, rtol=1e-5)
