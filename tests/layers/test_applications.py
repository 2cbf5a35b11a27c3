"""The layers of keras.applications against real Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras.src.applications import convnext, inception_resnet_v2

from kir import Input, Model, layers
from kir.errors import InvalidArgumentError
from kir.layers import CustomScaleLayer, LayerScale, StochasticDepth
from kir.modeling.lower import lower
from kir.ops.random import Dropout
from tests.oracle import assert_matches_keras, assert_same_config, build_both, draw_feeds, node_types


def of(library: Any, name: str) -> Any:
    return getattr(layers if library is layers else convnext, name)


def test_layer_scale() -> None:
    both = build_both(lambda library, x: of(library, "LayerScale")(0.1, 5, name="checked")(x), (None, 5))
    assert_same_config(*(model.get_layer("checked") for model in both))
    assert node_types(assert_matches_keras(*both, draw_feeds((None, 5)))) == ["Mul"]


def test_a_layer_scale_starts_at_its_value() -> None:
    np.testing.assert_allclose(LayerScale(0.25, 3)(np.ones((2, 3), np.float32)), 0.25)


def test_stochastic_depth_is_the_identity() -> None:
    both = build_both(lambda library, x: of(library, "StochasticDepth")(0.3, name="checked")(x) * 2, (4, 5))
    assert_same_config(*(model.get_layer("checked") for model in both))
    assert node_types(assert_matches_keras(*both, draw_feeds((4, 5)))) == ["Mul"]


def test_stochastic_depth_drops_samples_in_training() -> None:
    x = Input((4, 5))
    graph = lower(Model(x, StochasticDepth(0.3)(x)), training=True)
    (dropout,) = [node.op for node in graph.order() if isinstance(node.op, Dropout)]
    assert dropout.noise_shape == (graph.inputs[0].output.type.shape[0], 1, 1)
    unchanged = lower(Model(x, StochasticDepth(0)(x)), training=True)
    assert not any(isinstance(node.op, Dropout) for node in unchanged.order())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CustomScaleLayer(None), "scale must be a finite number; received scale=None"),  # type: ignore[arg-type]
        (lambda: LayerScale("x", 3), "init_values must be a finite number; received init_values='x'"),  # type: ignore[arg-type]
        (lambda: LayerScale(0.1, 0), "projection_dim must be an integer of at least 1; received projection_dim=0"),
        (lambda: StochasticDepth(2), "drop_path_rate must be a finite number from 0 to 1; received drop_path_rate=2"),
    ],
)
def test_bad_arguments_are_repeated(make: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        make()


def test_custom_scale_layer() -> None:
    def build(library: Any, x: Any, y: Any) -> Any:
        module = layers if library is layers else inception_resnet_v2
        return module.CustomScaleLayer(0.2, name="checked")([x, y])

    both = build_both(build, (None, 5), (None, 5))
    assert_same_config(*(model.get_layer("checked") for model in both))
    assert node_types(assert_matches_keras(*both, draw_feeds((None, 5), (None, 5)))) == ["Mul", "Add"]


def test_a_custom_scale_layer_takes_a_pair() -> None:
    with pytest.raises(InvalidArgumentError, match="takes a list of two tensors"):
        CustomScaleLayer(0.2)(Input((4, 5)))
