"""The Activation layer against real Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model, activations, layers
from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError, TraceError
from kir.layers import Activation, Dense
from tests.oracle import assert_matches_keras, build_both, check_layer, draw_feeds, show_mask

TOLERANCE = {"float16": 4e-3, "float32": 1e-5, "float64": 1e-6}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", sorted(set(activations.ACTIVATIONS) - {"glu", "threshold"}))
def test_like_keras(name: str, dtype: str) -> None:
    shape = (4, 6) if name == "sparsemax" else (None, 6)
    options = {"activation": name, "dtype": dtype}
    check_layer("Activation", (shape, dtype), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype], **options)


def test_glu_halves_the_last_axis() -> None:
    # Keras's own inference takes Activation("glu") for a layer that keeps the shape; its numbers are right.
    model, reference = build_both(lambda library, x: library.Activation("glu")(x), (4, 6))
    assert model.output_shape == (None, 4, 3)
    assert_matches_keras(model, reference, draw_feeds((4, 6)))


def test_threshold_needs_a_function_that_gives_its_arguments() -> None:
    with pytest.raises(
        TraceError,
        match=r"threshold: threshold\(\) missing 2 required positional arguments.*lambda x: threshold\(x, …\)",
    ):
        Activation("threshold")(Input((3,)))

    def build(library: Any, x: Any) -> Any:
        ops = K if library is layers else keras.ops
        return library.Activation(lambda x: ops.threshold(x, 0.3, -1.0))(x)

    assert_matches_keras(*build_both(build, (4,)), draw_feeds((4,)))


def test_a_function_is_traced() -> None:
    def build(library: Any, x: Any) -> Any:
        ops = K if library is layers else keras.ops
        return library.Activation(lambda x: ops.tanh(x) * 2 + 1)(x)

    assert_matches_keras(*build_both(build, (4,)), draw_feeds((4,)))


def test_none_is_linear() -> None:
    x = Input((3,))
    ones = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(Model(x, Activation(None)(x)).predict(ones), ones)


def test_masks_pass() -> None:
    x = draw_feeds((5, 4))[0]
    x[0, 1] = x[1, 3:] = 0
    both = build_both(lambda library, x: show_mask(library, library.Activation("tanh")(library.Masking()(x))), (5, 4))
    assert_matches_keras(*both, [x], atol=1e-5)


@pytest.mark.parametrize("given", ["rellu", 3, {"class_name": "what"}])
def test_bad_arguments_are_repeated(given: Any) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        Activation(given)
    assert repr(given) in str(error.value)


def branching(x: Any) -> Any:
    """Not traceable."""
    return x if x > 0 else -x


@pytest.mark.parametrize("make", [lambda: Activation(branching), lambda: Dense(3, activation=branching)])
def test_an_untraceable_function_is_named(make: Any) -> None:
    with pytest.raises(TraceError, match=r"activation branching .*test_activations.py:\d+.*if x > 0.*K\.where"):
        make()(Input((3,)))


def test_errors_of_kirs_own_functions_are_not_wrapped() -> None:
    with pytest.raises(ShapeError):
        Activation("glu")(Input((3,)))


def test_a_lambda_has_a_config_to_be_shown() -> None:
    assert Activation(lambda x: x + 1).get_config()["activation"]["config"] == "<lambda>"
