"""The activation layers against real Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from kir import Model, activations, layers
from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError, TraceError
from kir.layers import ELU, Activation, Dense, Input, LeakyReLU, PReLU, ReLU, Softmax
from tests.oracle import assert_matches_keras, build_both, check_layer, draw_feeds, node_types, show_mask

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


# The activation layers that are classes of their own

LAYER_CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("ReLU", (None, 4), {}),
    ("ReLU", (4,), {"max_value": 0.7}),
    ("ReLU", (4,), {"max_value": 6}),
    ("ReLU", (4,), {"negative_slope": 0.2}),
    ("ReLU", (4,), {"threshold": 0.5}),
    ("ReLU", (4,), {"max_value": 0.8, "negative_slope": 0.25}),
    ("ReLU", (None, 4), {"max_value": 1.5, "negative_slope": 0.25, "threshold": 0.3}),
    ("LeakyReLU", (None, 4), {}),
    ("LeakyReLU", (4,), {"negative_slope": 0.1}),
    ("LeakyReLU", (4,), {"negative_slope": 0}),
    ("PReLU", (4,), {}),
    ("PReLU", (2, 3, 4), {"alpha_initializer": "he_normal", "alpha_regularizer": "l2", "alpha_constraint": "non_neg"}),
    ("PReLU", (None, 4), {"shared_axes": [1]}),
    ("PReLU", (None, None, 4), {"shared_axes": (1, 2)}),
    ("PReLU", (3, 4), {"shared_axes": 2}),
    ("ELU", (None, 4), {}),
    ("ELU", (4,), {"alpha": 0.5}),
    ("Softmax", (None, 4), {}),
    ("Softmax", (None, 4), {"axis": 1}),
    ("Softmax", (2, 3, 4), {"axis": -2}),
    ("Softmax", (2, 3, 4), {"axis": [-1]}),
    ("Softmax", (2, 3, 4), {"axis": (2, 3)}),
    ("Softmax", (2, None, 4), {"axis": (1, 3)}),
    ("Softmax", (None, None, 4), {"axis": (1, -2)}),
]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("name", "shape", "options"), LAYER_CASES)
def test_layers_like_keras(name: str, shape: tuple[Any, ...], options: dict[str, Any], dtype: str) -> None:
    check_layer(name, (shape, dtype), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype], dtype=dtype, **options)


@pytest.mark.parametrize(
    ("name", "options", "nodes"),
    [
        ("ReLU", {}, ["Relu"]),
        ("ReLU", {"max_value": 6.0}, ["Clip"]),
        ("ReLU", {"negative_slope": 0.1}, ["LeakyRelu"]),
        ("ReLU", {"threshold": 1.0}, ["ThresholdedRelu"]),
        ("LeakyReLU", {}, ["LeakyRelu"]),
        ("PReLU", {}, ["PRelu"]),
        ("ELU", {}, ["Elu"]),
        ("Softmax", {}, ["Softmax"]),
        ("Softmax", {"axis": (1, 2)}, ["Reshape", "Softmax", "Reshape"]),
    ],
)
def test_the_nodes_are_few(name: str, options: dict[str, Any], nodes: list[str]) -> None:
    assert node_types(check_layer(name, (3, 4), **options)) == nodes


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "ELU", "Softmax", "PReLU"])
def test_integers_like_keras(name: str) -> None:
    check_layer(name, ((5,), "int32"), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bool", "int32", "float32"])
@pytest.mark.parametrize(("shape", "axis"), [((4, 5), -1), ((1, 5), -1), ((4, 1), 1), ((5,), (1, 2))])
def test_softmax_leaves_masked_elements_out(dtype: str, shape: tuple[int, ...], axis: Any) -> None:
    def build(library: Any, x: Any, mask: Any) -> Any:
        return library.Softmax(axis)(x, mask=mask)

    specs = ((4, 5), (shape, dtype)) if len(shape) > 1 else ((4, 5), ((1, 5), dtype))
    x, mask = draw_feeds(*specs)
    mask[0] = 0
    assert_matches_keras(*build_both(build, *specs), [x, mask])


def test_softmax_uses_a_mask_that_the_input_carries() -> None:
    def build(library: Any, x: Any) -> Any:
        scores = library.Lambda(lambda x: x[..., 0], mask=lambda x, mask: mask)(library.Masking()(x))
        return library.Softmax()(scores)

    x = draw_feeds((None, 3))[0]
    x[0, 1] = x[1, 3:] = x[2] = 0
    assert_matches_keras(*build_both(build, (None, 3)), [x])


def test_a_mask_that_does_not_broadcast_is_an_error() -> None:
    for shape in [(3, 5), (4, 4, 5), (2, 4, 5)]:
        with pytest.raises(ShapeError, match=r"softmax.*\(batch, 4, 5\).*broadcasts to the input"):
            Softmax(name="softmax")(Input((4, 5)), mask=Input(shape, dtype="bool"))


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "PReLU", "ELU"])
def test_masks_pass_layers(name: str) -> None:
    x = draw_feeds((5, 4))[0]
    x[0, 1] = x[1, 3:] = 0
    both = build_both(lambda library, x: show_mask(library, getattr(library, name)()(library.Masking()(x))), (5, 4))
    assert_matches_keras(*both, [x], atol=1e-5)


def test_keras_2_calls_the_slope_alpha() -> None:
    assert LeakyReLU(alpha=0.1).negative_slope == 0.1  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: ReLU(max_value=-1), "max_value=-1"),
        (lambda: ReLU(negative_slope=None), "negative_slope=None"),  # type: ignore[arg-type]
        (lambda: ReLU(threshold=-0.5), "threshold=-0.5"),
        (lambda: LeakyReLU(-0.1), "negative_slope=-0.1"),
        (lambda: PReLU(shared_axes=[0]), "shared_axes=[0]"),
        (lambda: PReLU(shared_axes="1"), "shared_axes='1'"),  # type: ignore[arg-type]
        (lambda: ELU("a"), "alpha='a'"),  # type: ignore[arg-type]
        (lambda: Softmax(axis=1.5), "axis=1.5"),  # type: ignore[arg-type]
        (lambda: Softmax(axis=[1, "x"]), "axis=[1, 'x']"),  # type: ignore[list-item]
    ],
)
def test_bad_arguments_of_layers_are_repeated(make: Any, value: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        make()
    assert value in str(error.value)


def test_prelu_needs_known_sizes_or_shared_axes() -> None:
    with pytest.raises(ShapeError, match=r"alpha.*\(time, 4\)"):
        PReLU()(Input(("time", 4)))
    with pytest.raises(ShapeError, match=r"shared_axes=\(3,\).*from 1 to 2"):
        PReLU(shared_axes=3)(Input((3, 4)))
