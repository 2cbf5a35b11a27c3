"""The reductions: against NumPy and SciPy in float64, edges, precision, and what they refuse."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from kir.errors import ShapeError
from kir.ir.op import Op
from kir.ir.types import parse_type
from kir.ops.reduce import (
    ArgMax,
    ArgMin,
    ReduceL1,
    ReduceL2,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    ReduceSumSquare,
)

pytestmark = pytest.mark.filterwarnings("error")

REFERENCES: dict[Any, Any] = {
    ReduceSum: np.sum,
    ReduceMean: np.mean,
    ReduceMax: np.amax,
    ReduceMin: np.amin,
    ReduceProd: np.prod,
    ReduceL1: lambda x, axis, keepdims: np.sum(np.abs(x), axis=axis, keepdims=keepdims),
    ReduceL2: lambda x, axis, keepdims: np.sum(np.abs(x) ** 2, axis=axis, keepdims=keepdims) ** 0.5,
    ReduceLogSumExp: lambda x, axis, keepdims: scipy.special.logsumexp(x, axis=axis, keepdims=keepdims),
    ReduceSumSquare: lambda x, axis, keepdims: np.sum(x * x, axis=axis, keepdims=keepdims),
}
each_reduction = pytest.mark.parametrize("cls", REFERENCES, ids=lambda cls: cls.__name__)
AXES = [axes for count in (1, 2, 3) for axes in itertools.combinations(range(3), count)]


@each_reduction
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axes", AXES, ids=str)
def test_reductions_over_any_axes(cls: Any, axes: tuple[int, ...], keepdims: bool) -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 4))
    result = cls(axes, keepdims).eval(x)
    np.testing.assert_allclose(result, REFERENCES[cls](x, axis=axes, keepdims=keepdims), rtol=1e-13)


@each_reduction
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_is_reduced_in_float32_and_rounded_once(cls: Any, dtype: Any) -> None:
    x = np.random.default_rng(2).uniform(0.9, 1.1, size=(4, 300)).astype(dtype)
    result = cls((1,), False).eval(x)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, cls((1,), False).eval(x.astype(np.float32)).astype(dtype))


def test_half_precision_sums_do_not_stall() -> None:
    # Added one by one in float16, ones stop counting at 2048.
    assert ReduceSum((0,), False).eval(np.ones(5000, np.float16)) == 5000
    assert ReduceMean((0,), False).eval(np.full(70_000, 2, np.float16)) == 2


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint64"])
@pytest.mark.parametrize("cls", [ReduceSum, ReduceMax, ReduceMin, ReduceProd, ReduceL1, ReduceSumSquare])
def test_integers_stay_what_they_are(cls: Any, dtype: str) -> None:
    result = cls((0,), True).eval(np.array([1, 2, 3], dtype))
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, REFERENCES[cls](np.array([1, 2, 3]), axis=0, keepdims=True))


def test_integer_sums_wrap_around() -> None:
    assert ReduceSum((0,), False).eval(np.array([2**31 - 1, 1], np.int32)) == -(2**31)


EMPTY_RESULTS = [
    (ReduceSum, 0),
    (ReduceMean, np.nan),
    (ReduceMax, -np.inf),
    (ReduceMin, np.inf),
    (ReduceProd, 1),
    (ReduceL1, 0),
    (ReduceL2, 0),
    (ReduceLogSumExp, -np.inf),
    (ReduceSumSquare, 0),
]


@pytest.mark.parametrize(("cls", "expected"), EMPTY_RESULTS)
def test_reductions_of_nothing(cls: Any, expected: float) -> None:
    result = cls((1,), False).eval(np.zeros((2, 0), np.float32))
    np.testing.assert_array_equal(result, np.array([expected, expected], np.float32))


def test_extremes_of_no_integers_are_the_limits_of_the_dtype() -> None:
    nothing = np.zeros((0, 1), np.int8)
    np.testing.assert_array_equal(ReduceMax((0,), False).eval(nothing), [-128])
    np.testing.assert_array_equal(ReduceMin((0,), False).eval(nothing), [127])


@each_reduction
def test_nan_reaches_the_result(cls: Any) -> None:
    assert np.isnan(cls((0,), False).eval(np.array([1, np.nan, 2], np.float32)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1000.0, 1000.0], 1000 + np.log(2)),
        ([-1000.0, -1000.0], -1000 + np.log(2)),
        ([-np.inf, 0.0], 0.0),
        ([-np.inf, -np.inf], -np.inf),
        ([np.inf, 0.0], np.inf),
    ],
)
def test_log_sum_exp_neither_overflows_nor_vanishes(values: list[float], expected: float) -> None:
    result = ReduceLogSumExp((0,), False).eval(np.array(values, np.float32))
    assert float(result) == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
def test_extremes_are_found_at_the_first_place(values: list[int]) -> None:
    for dtype in (np.float32, np.int32, np.float16):
        x = np.array(values, dtype)
        assert ArgMax(0, False).eval(x) == values.index(max(values))
        assert ArgMin(0, False).eval(x) == values.index(min(values))


@pytest.mark.parametrize("cls", [ArgMax, ArgMin])
def test_places_of_extremes_are_int64_arrays(cls: Any) -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for axis, keepdims, shape in ((0, False, (3, 4)), (1, True, (2, 1, 4)), (2, False, (2, 3))):
        result = cls(axis, keepdims).eval(x)
        assert (result.dtype, result.shape) == (np.int64, shape)
    assert isinstance(cls(0, False).eval(x[0, 0]), np.ndarray)


def test_sums_in_float64_keep_their_precision() -> None:
    assert ReduceSum((0,), False).eval(np.array([1e16, 1.0, -1e16, 1.0])) == pytest.approx(1.0, abs=1)
    assert ReduceMean((0,), False).eval(np.full(10, 0.1)) == pytest.approx(0.1, rel=1e-15)


@pytest.mark.parametrize(
    ("op", "type", "message"),
    [
        (ReduceSum((2,), False), "f32[2, 3]", r"ReduceSum\(axes=\(2,\).*rank 2; expected different axes from 0 to 1"),
        (ReduceSum((-1,), False), "f32[2, 3]", r"expected different axes from 0 to 1"),
        (ReduceSum((0, 0), False), "f32[2, 3]", r"expected different axes"),
        (ReduceSum((), False), "f32[2, 3]", r"received f32\[2, 3\]; expected at least one axis"),
        (ReduceSum((0,), False), "f32[]", r"scalar"),
        (ReduceSum((0,), False), "bool[2]", r"x of type bool\[2\]; expected a dtype of i32, i64"),
        (ReduceMean((0,), False), "i32[2]", r"ReduceMean.*x of type i32\[2\]; expected a dtype of f16"),
        (ReduceMax((0,), False), "i16[2]", r"expected a dtype of i8, i32"),
        (ArgMax(1, False), "f32[2]", r"ArgMax\(axis=1, keepdims=False\) received f32\[2\]"),
        (ArgMax(0, False), "f32[]", r"scalar"),
        (ArgMax(0, False), "bool[3]", r"x of type bool\[3\]"),
        (ArgMin(1, False), "f32[2, 0]", r"expected at least one element along axis 1"),
    ],
    ids=str,
)
def test_inputs_that_do_not_fit_are_refused(op: Op, type: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.infer(parse_type(type))
