"""Constraints give Keras's weights, configs and names."""

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras.src.constraints import ALL_OBJECTS_DICT as KERAS_NAMES

from kir import config, constraints
from kir.errors import InvalidArgumentError, ShapeError

CASES: list[tuple[str, dict[str, Any]]] = [
    ("Constraint", {}),
    ("NonNeg", {}),
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.5, "axis": 1}),
    ("MaxNorm", {"max_value": 3, "axis": (0, 1)}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": -1}),
    ("UnitNorm", {"axis": [0, 1, 2]}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 1.0, "max_value": 2.5, "rate": 0.25, "axis": 2}),
    ("MinMaxNorm", {"min_value": 5.0, "max_value": 6.0, "rate": 0.0}),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_weights_are_those_of_keras(name: str, arguments: dict[str, Any], dtype: str) -> None:
    w = (3 * np.random.default_rng(2).normal(size=(4, 5, 6))).astype(dtype)
    w[:, 0, 0] = 0
    ours = getattr(constraints, name)(**arguments)(w)
    theirs = getattr(keras.constraints, name)(**arguments)(w)
    assert ours.dtype == w.dtype
    np.testing.assert_allclose(ours, theirs, rtol=5e-3 if dtype == "float16" else 1e-6)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_config_is_that_of_keras_and_makes_the_same_object(name: str, arguments: dict[str, Any]) -> None:
    ours = constraints.serialize(getattr(constraints, name)(**arguments))
    theirs = keras.constraints.serialize(getattr(keras.constraints, name)(**arguments))
    assert ours == theirs
    assert constraints.serialize(constraints.get(theirs)) == theirs
    assert keras.constraints.serialize(keras.constraints.get(ours)) == theirs


@pytest.mark.parametrize("name", sorted(KERAS_NAMES))
def test_every_keras_name_makes_keras_class(name: str) -> None:
    assert type(constraints.get(name)).__name__ == KERAS_NAMES[name].__name__


def test_every_public_keras_name_is_here() -> None:
    public = {name for name in vars(keras.constraints) if not name.startswith("_")}
    assert public - set(vars(constraints)) == set()


WEIGHTS = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=3, max_side=4), elements=st.floats(-100, 100))


@given(w=WEIGHTS, largest=st.floats(0.1, 10))
def test_no_norm_exceeds_the_largest(w: Any, largest: float) -> None:
    projected = constraints.MaxNorm(largest)(w)
    assert np.linalg.norm(projected, axis=0).max() <= largest * (1 + 1e-12)


@given(w=WEIGHTS)
def test_non_negative_weights_stay_and_others_become_0(w: Any) -> None:
    np.testing.assert_array_equal(constraints.NonNeg()(w), np.where(w > 0, w, 0))


@pytest.mark.parametrize(
    "constraint", [constraints.MaxNorm(), constraints.UnitNorm(), constraints.MinMaxNorm(1.0, 2.0)]
)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_zero_column_stays_zero(constraint: constraints.Constraint, dtype: str) -> None:
    np.testing.assert_array_equal(constraint(np.zeros((3, 2), dtype)), 0)


def test_epsilon_is_the_configured_one() -> None:
    config.set_epsilon(1.0)
    try:
        np.testing.assert_allclose(constraints.UnitNorm()(np.array([[3.0], [4.0]])), [[0.5], [4 / 6]])
    finally:
        config.reset()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("MaxNorm", {"max_value": -1}, "max_value must be a finite number of at least 0; received max_value=-1"),
        ("MaxNorm", {"max_value": "2"}, "max_value must be a finite number of at least 0; received max_value='2'"),
        ("MaxNorm", {"axis": 1.5}, r"axis must be a tuple of integers; received axis=1.5"),
        ("UnitNorm", {"axis": "0"}, "axis must be a tuple of integers"),
        ("MinMaxNorm", {"min_value": -0.5}, "min_value must be a finite number of at least 0; received min_value=-0.5"),
        (
            "MinMaxNorm",
            {"max_value": float("inf")},
            "max_value must be a finite number of at least 0; received max_value=inf",
        ),
        (
            "MinMaxNorm",
            {"min_value": 2.0},
            r"min_value must not exceed max_value; received min_value=2.0 and max_value=1.0",
        ),
        ("MinMaxNorm", {"rate": 1.5}, "rate must be a finite number from 0 to 1; received rate=1.5"),
        ("MinMaxNorm", {"rate": None}, "rate must be a finite number from 0 to 1; received rate=None"),
    ],
)
def test_a_refused_argument_is_repeated(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        getattr(constraints, name)(**arguments)


@pytest.mark.parametrize("axis", [2, -3, (0, 2), (0, 0)])
def test_a_missing_or_repeated_axis_is_named(axis: Any) -> None:
    with pytest.raises(ShapeError, match=r"axis .* of weights of shape \(2, 3\)"):
        constraints.UnitNorm(axis)(np.ones((2, 3)))
