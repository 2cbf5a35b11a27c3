"""The models in whose files errors are planted: those of models/, and three of the kinds that those lack.

Their weights are random, biases too, so that leaving one out changes something. A *condition* changes the weights once
more, so that the outputs show little of what stands before them:

- "saturated": the last kernel is 10,000 times as large;
- "dead": a bias is −1,000,000, so that the units after it are dead (relu), or saturated;
- "nan": an element of a bias is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kir import Input, Model, layers
from kir import backend as K
from kir.importers.script import load_script
from kir.ir.op import Array
from kir.support.naming import reset_names
from tests.benchmarks.random_exports import random_weight

SCRIPTS = sorted((Path(__file__).parents[2] / "models").glob("*.py"))
CONDITIONS = ("saturated", "dead", "nan")
VOCABULARY = 40
POSITIONS = 96


class Positions(layers.Layer):
    """Adds a row of a table to every step."""

    supports_masking = True

    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight(shape=(POSITIONS, input_shape[-1]), initializer="random_normal", name="table")

    def call(self, x: Any) -> Any:
        return x + self.table[: K.shape(x)[1]]


def transformer() -> Model:
    """Return one block of an encoder: tokens of unknown number, masked where they are 0."""
    tokens = Input(shape=(None,), dtype="int32", name="tokens")
    x = Positions(name="positions")(layers.Embedding(VOCABULARY, 16, mask_zero=True)(tokens))
    attended = layers.MultiHeadAttention(2, 8)(x, x)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    hidden = layers.Dense(16)(layers.Dense(24, activation="gelu")(x))
    x = layers.LayerNormalization()(layers.Add()([x, hidden]))
    x = layers.GlobalAveragePooling1D()(x)
    return Model(tokens, layers.Dense(5, activation="softmax", name="label")(x), name="transformer")


def segmenter() -> Model:
    """Return a small U-Net with normalizations, relu6 and dilated kernels: a mask, and its probability in eighths."""
    picture = Input(shape=(16, 20, 3), name="picture")
    x = layers.Conv2D(6, 3, padding="same", use_bias=False)(layers.Rescaling(1 / 255)(picture))
    x = skip = layers.Activation("relu6")(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, strides=2, padding="same")(x))
    x = layers.Conv2D(8, 3, dilation_rate=2, padding="same")(layers.ReLU(6.0)(x))
    x = layers.AveragePooling2D(3, 1, padding="same")(layers.LeakyReLU(negative_slope=0.2)(x))
    x = layers.PReLU(shared_axes=[1, 2])(layers.Conv2DTranspose(6, 3, strides=2, padding="same")(x))
    x = layers.BatchNormalization()(layers.Activation("elu")(layers.Concatenate()([x, skip])))
    x = layers.Cropping2D(((1, 0), (2, 1)))(layers.UpSampling2D(2, interpolation="bilinear")(x))
    probability = layers.Conv2D(1, 1, activation="sigmoid")(x)
    eighths = layers.Lambda(lambda x: K.round(x * 8) / 8, name="eighths")(probability)
    mask = layers.Lambda(lambda x: K.cast(x >= 0.5, "float32"), name="mask")(probability)
    return Model(picture, [eighths, mask], name="segmenter")


def line_reader() -> Model:
    """Return a reader of lines of text of unknown width: convolutions, LSTMs both ways, and a causal dilated kernel."""
    line = Input(shape=(8, None, 1), name="line")
    x = layers.MaxPooling2D(2)(layers.Conv2D(6, 3, padding="same", activation="relu6")(line))
    x = layers.TimeDistributed(layers.Flatten())(layers.Permute((2, 1, 3))(x))
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(x)
    x = layers.Conv1D(8, 3, dilation_rate=8, padding="causal", activation="tanh")(x)
    x = layers.Conv1D(8, 2, strides=2, activation="hard_sigmoid")(x)
    x = layers.LSTM(8, return_sequences=True, go_backwards=True)(x)
    return Model(line, layers.Dense(12, activation="log_softmax", name="letters")(x), name="line_reader")


BUILT: dict[str, Callable[[], Model]] = {"transformer": transformer, "segmenter": segmenter, "line_reader": line_reader}
NAMES = (*(script.stem for script in SCRIPTS), *BUILT)


@dataclass(frozen=True)
class Subject:
    """A model of `NAMES`, with its weights in one of `CONDITIONS`, or as they are."""

    name: str
    condition: str = ""

    def __str__(self) -> str:
        return f"{self.name}, {self.condition}" if self.condition else self.name


@cache
def build_model(subject: Subject) -> Model:
    """Return the model. It is always the same one: nobody may change it."""
    reset_names()
    script = next((script for script in SCRIPTS if script.stem == subject.name), None)
    model = BUILT[subject.name]() if script is None else load_script(script)
    assert isinstance(model, Model)
    generator = np.random.default_rng(NAMES.index(subject.name))
    weights = [random_weight(generator, weight) for weight in model.get_weights()]
    model.set_weights(_conditioned(weights, subject.condition))
    return model


def _conditioned(weights: list[Array], condition: str) -> list[Array]:
    biases = [index for index, weight in enumerate(weights) if weight.ndim == 1]
    if condition == "saturated":
        last = max(index for index, weight in enumerate(weights) if weight.ndim > 1)
        weights[last] = weights[last] * np.float32(1e4)
    elif condition == "dead":
        weights[biases[0]] = np.full_like(weights[biases[0]], -1e6)
    elif condition == "nan":
        weights[biases[0]][0] = np.nan
    return weights
