"""Regularizers give Keras's penalties, on arrays and on values that only follow NumPy's protocols."""

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras.src.regularizers import ALL_OBJECTS_DICT as KERAS_NAMES

from kir import regularizers
from kir.errors import InvalidArgumentError, ShapeError

CASES: list[tuple[str, dict[str, Any]]] = [
    ("L1", {}),
    ("L1", {"l1": 0.5}),
    ("L1", {"l1": None}),
    ("L2", {}),
    ("L2", {"l2": 3}),
    ("L2", {"l2": None}),
    ("L1L2", {}),
    ("L1L2", {"l1": 0.25}),
    ("L1L2", {"l2": 0.25}),
    ("L1L2", {"l1": 0.25, "l2": 2.0}),
    ("L1L2", {"l1": None, "l2": None}),
    ("OrthogonalRegularizer", {}),
    ("OrthogonalRegularizer", {"factor": 0.5, "mode": "rows"}),
]


class Traced:
    """A stand-in for a symbolic tensor: it has a shape and a dtype, follows NumPy's protocols, and is no array."""

    def __init__(self, hidden: Any) -> None:
        self.hidden = np.asarray(hidden)
        self.shape = self.hidden.shape
        self.dtype = self.hidden.dtype.name

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a symbolic tensor has no values")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> "Traced":
        return Traced(getattr(ufunc, method)(*map(_unwrapped, inputs), **kwargs))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> "Traced":
        return Traced(func(*map(_unwrapped, args), **kwargs))

    def __mul__(self, other: Any) -> "Traced":
        return Traced(self.hidden * _unwrapped(other))

    def __add__(self, other: Any) -> "Traced":
        return Traced(self.hidden + _unwrapped(other))

    def __truediv__(self, other: Any) -> "Traced":
        return Traced(self.hidden / _unwrapped(other))

    __rmul__ = __mul__
    __radd__ = __add__


def _unwrapped(value: Any) -> Any:
    return value.hidden if isinstance(value, Traced) else value


def weights(*shape: int, dtype: str = "float32") -> Any:
    return np.random.default_rng(5).normal(size=shape).astype(dtype)


@pytest.mark.parametrize(("name", "arguments"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_penalty_is_that_of_keras(name: str, arguments: dict[str, Any], dtype: str) -> None:
    w = weights(4, 6, dtype=dtype)
    ours = getattr(regularizers, name)(**arguments)(w)
    theirs = getattr(keras.regularizers, name)(**arguments)(w)
    np.testing.assert_allclose(ours, theirs, rtol=5e-3 if dtype == "float16" else 1e-6)


@pytest.mark.parametrize("name", ["L1", "L2", "OrthogonalRegularizer"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_penalty_keeps_the_dtype(name: str, dtype: str) -> None:
    assert regularizers.get(name)(weights(3, 4, dtype=dtype)).dtype == dtype  # type: ignore[misc]


def test_columns_are_the_rows_of_the_transposed_matrix() -> None:
    # Keras's NumPy backend normalizes columns over the wrong axis, so its rows are the reference.
    w = weights(4, 6)
    theirs = keras.regularizers.OrthogonalRegularizer(0.5, "rows")(w.T)
    np.testing.assert_allclose(regularizers.OrthogonalRegularizer(0.5, "columns")(w), theirs, rtol=1e-6)


def test_orthogonal_rows_cost_nothing_and_equal_rows_the_whole_factor() -> None:
    penalty = regularizers.OrthogonalRegularizer(0.5)
    assert penalty(3 * np.eye(4, 6)) == 0
    assert penalty(np.ones((3, 2))) == pytest.approx(0.5)


def test_a_zero_row_costs_nothing() -> None:
    assert regularizers.OrthogonalRegularizer(1.0)(np.array([[1.0, 2.0], [0.0, 0.0]])) == 0


@pytest.mark.parametrize(("name", "arguments"), [*CASES, ("OrthogonalRegularizer", {"mode": "columns"})])
def test_a_symbolic_tensor_gives_the_same_penalty(name: str, arguments: dict[str, Any]) -> None:
    regularizer = getattr(regularizers, name)(**arguments)
    w = weights(4, 6)
    assert _unwrapped(regularizer(Traced(w))) == pytest.approx(regularizer(w))


@given(
    x=hnp.arrays(np.float64, hnp.array_shapes(max_dims=4, max_side=4), elements=st.floats(-1e3, 1e3)),
    l1=st.floats(0, 10),
    l2=st.floats(0, 10),
)
def test_l1_l2_is_the_sum_of_l1_and_l2(x: Any, l1: float, l2: float) -> None:
    assert regularizers.L1L2(l1, l2)(x) == pytest.approx(regularizers.L1(l1)(x) + regularizers.L2(l2)(x))


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_config_is_that_of_keras_and_makes_the_same_object(name: str, arguments: dict[str, Any]) -> None:
    ours = regularizers.serialize(getattr(regularizers, name)(**arguments))
    theirs = keras.regularizers.serialize(getattr(keras.regularizers, name)(**arguments))
    assert ours is not None
    # Keras rounds L1's and OrthogonalRegularizer's coefficients to float32.
    assert {**ours, "config": None} == {**theirs, "config": None}
    assert ours["config"].keys() == theirs["config"].keys()
    for key, value in theirs["config"].items():
        assert ours["config"][key] == (value if isinstance(value, str) else pytest.approx(value))
    assert regularizers.serialize(regularizers.get(theirs)) == theirs
    assert keras.regularizers.serialize(keras.regularizers.get(ours)) == theirs


@pytest.mark.parametrize("name", [*sorted(KERAS_NAMES), "l1_l2"])
def test_every_keras_name_makes_keras_class(name: str) -> None:
    expected = KERAS_NAMES["L1L2" if name == "l1_l2" else name].__name__
    assert type(regularizers.get(name)).__name__ == expected


def test_every_public_keras_name_is_here() -> None:
    public = {name for name in vars(keras.regularizers) if not name.startswith("_")}
    assert public - set(vars(regularizers)) == set()


def test_the_base_costs_nothing() -> None:
    assert regularizers.Regularizer()(weights(2, 2)) == 0


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "0.1", True, [0.1]])
@pytest.mark.parametrize(("name", "argument"), [("L1", "l1"), ("L2", "l2"), ("L1L2", "l1"), ("L1L2", "l2")])
def test_a_coefficient_must_be_a_finite_number_of_at_least_0(name: str, argument: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        getattr(regularizers, name)(**{argument: value})
    assert f"{name}: {argument} must be" in str(raised.value)
    assert repr(value) in str(raised.value)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="mode must be one of 'rows', 'columns'; received mode='diagonal'"):
        regularizers.OrthogonalRegularizer(mode="diagonal")


def test_orthogonality_needs_a_matrix_of_known_size() -> None:
    with pytest.raises(ShapeError, match=r"rank 2, but its shape is \(2, 3, 4\)"):
        regularizers.OrthogonalRegularizer()(weights(2, 3, 4))
    unknown: Any = Traced(weights(2, 3))
    unknown.shape = ("batch", 3)
    with pytest.raises(ShapeError, match="the number of rows must be known, but it is batch"):
        regularizers.OrthogonalRegularizer()(unknown)
