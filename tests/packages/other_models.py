"""Small models with layers of packages other than keras_hub, by the package's name, each with a name of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def _one_layer(layer: Any, shape: tuple[int | None, ...], dtype: str = "float32") -> Any:
    x = keras.Input(shape, dtype=dtype)
    return keras.Model(x, layer(x))


def _tcn(**arguments: Any) -> Any:
    from tcn import TCN

    return _one_layer(TCN(nb_filters=4, kernel_size=2, dilations=[1, 2], **arguments), (9, 3))


def _feature_cross() -> Any:
    from keras_rs.layers import FeatureCross

    first = x = keras.Input((6,))
    for rank in (None, 2):
        x = FeatureCross(projection_dim=rank)(first, x)
    return keras.Model(first, keras.layers.Dense(1)(x))


def _dot_interaction() -> Any:
    from keras_rs.layers import DotInteraction

    inputs = [keras.Input((4,)) for _ in range(3)]
    return keras.Model(inputs, DotInteraction(self_interaction=True)(inputs))


def _kan() -> Any:
    from keras_efficient_kan import KANLinear

    x = keras.Input((5,))
    return keras.Model(x, KANLinear(2)(KANLinear(4)(x)))


def _kimm(name: str, **arguments: Any) -> Any:
    import kimm

    return getattr(kimm.models, name)(input_shape=(64, 64, 3), weights=None, classes=5, **arguments)


def _medicai(name: str, **arguments: Any) -> Any:
    from medicai import models

    return getattr(models, name)(input_shape=(32, 32, 1), num_classes=2, **arguments)


MODELS: dict[tuple[str, str], Callable[[], Any]] = {
    ("tcn", "TCN"): _tcn,
    ("tcn", "TCN of sequences, with normalization"): lambda: _tcn(return_sequences=True, use_layer_norm=True),
    ("tcn", "TCN backwards"): lambda: _tcn(go_backwards=True, nb_stacks=2, use_batch_norm=True),
    ("keras_rs", "FeatureCross"): _feature_cross,
    ("keras_rs", "DotInteraction"): _dot_interaction,
    ("keras_efficient_kan", "KANLinear"): _kan,
    ("kimm", "GhostNetW050"): lambda: _kimm("GhostNetW050"),
    ("kimm", "MobileViTS"): lambda: _kimm("MobileViTS"),
    ("kimm", "VisionTransformerTiny16"): lambda: _kimm("VisionTransformerTiny16"),
    ("kimm", "ConvNeXtAtto"): lambda: _kimm("ConvNeXtAtto"),
    ("medicai", "MixViTB0"): lambda: _medicai("MixViTB0"),
    ("medicai", "ConvNeXtV2Atto"): lambda: _medicai("ConvNeXtV2Atto"),
}
