"""Softmax and LogSoftmax: against SciPy, at the edges, and what they refuse."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kir.errors import ShapeError
from kir.ir.types import parse_type
from kir.ops.nn import LogSoftmax, Softmax

pytestmark = pytest.mark.filterwarnings("error")

REFERENCES: dict[Any, Any] = {Softmax: scipy.special.softmax, LogSoftmax: scipy.special.log_softmax}
each_operator = pytest.mark.parametrize("cls", REFERENCES, ids=lambda cls: cls.__name__)


@each_operator
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_formula_along_any_axis(cls: Any, axis: int) -> None:
    x = np.random.default_rng(0).normal(scale=5, size=(2, 3, 4))
    np.testing.assert_allclose(cls(axis).eval(x), REFERENCES[cls](x, axis=axis), rtol=1e-14)
    single = cls(axis).eval(x.astype(np.float32))
    np.testing.assert_allclose(single, REFERENCES[cls](x, axis=axis), rtol=1e-5, atol=1e-6)


@each_operator
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32_and_rounded_once(cls: Any, dtype: Any) -> None:
    x = np.random.default_rng(0).normal(size=(3, 500)).astype(dtype)
    result = cls(1).eval(x)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, cls(1).eval(x.astype(np.float32)).astype(dtype))


@given(arrays(np.float32, (2, 5), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_softmax_sums_to_one_whatever_the_size_of_its_input(x: Any) -> None:
    np.testing.assert_allclose(Softmax(1).eval(x).sum(axis=1), 1, rtol=1e-6)
    assert np.all(LogSoftmax(1).eval(x) <= 0)


def test_minus_infinity_has_no_share() -> None:
    x = np.array([[-np.inf, 0, 0]], np.float32)
    np.testing.assert_array_equal(Softmax(1).eval(x), [[0, 0.5, 0.5]])
    np.testing.assert_allclose(LogSoftmax(1).eval(x), [[-np.inf, -np.log(2), -np.log(2)]], rtol=1e-6)


def test_log_softmax_does_not_vanish() -> None:
    np.testing.assert_array_equal(LogSoftmax(0).eval(np.array([0, -200], np.float32)), [0, -200])


@each_operator
def test_rows_without_elements(cls: Any) -> None:
    assert cls(1).eval(np.zeros((2, 0), np.float32)).shape == (2, 0)


@each_operator
@pytest.mark.parametrize(
    ("axis", "type", "message"),
    [
        (2, "f32[2, 3]", r"\(axis=2\) received f32\[2, 3\] of rank 2; expected an axis from 0 to 1"),
        (-1, "f32[2, 3]", r"expected an axis from 0 to 1"),
        (0, "f32[]", r"scalar"),
        (0, "i32[3]", r"x of type i32\[3\]; expected a dtype of f16"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(cls: Any, axis: int, type: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        cls(axis).infer(parse_type(type))
