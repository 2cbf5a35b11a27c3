"""Dropout and RandomNormalLike: what they draw, when they draw, and what they refuse."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import symbol
from kir.ir.op import Op
from kir.ir.types import parse_type
from kir.ops.random import Dropout, RandomNormalLike

pytestmark = pytest.mark.filterwarnings("error")

YES, NO = np.array(True), np.array(False)


def test_without_training_it_is_the_identity() -> None:
    x = np.arange(6, dtype=np.float32)
    assert Dropout(0.5, None, None).eval(x) is x
    assert Dropout(0.5, None, None).eval(x, NO) is x


def test_the_rest_is_scaled_so_that_the_mean_stays() -> None:
    result = Dropout(0.2, None, 3).eval(np.ones(100_000, np.float32), YES)
    np.testing.assert_array_equal(np.unique(result), np.array([0, 1.25], np.float32))
    # Six standard deviations of the mean of a hundred thousand draws.
    assert abs(float(result.mean()) - 1) < 6 * np.sqrt(0.2 * 0.8 / 100_000) / 0.8


def test_a_noise_shape_drops_whole_slices() -> None:
    op = Dropout(0.5, (symbol("batch"), 1, 8), 1)
    x = parse_type("f32[batch, 5, 8]")
    assert op.infer(x) == x
    result = op.bind({"batch": 4}).eval(np.ones((4, 5, 8), np.float32), YES)
    np.testing.assert_array_equal(result, np.broadcast_to(result[:, :1], result.shape))
    assert set(np.unique(result)) == {0, 2}


def test_a_seed_draws_the_same_at_every_call() -> None:
    x = np.ones(1000, np.float32)
    np.testing.assert_array_equal(Dropout(0.5, None, 7).eval(x, YES), Dropout(0.5, None, 7).eval(x, YES))
    assert not np.array_equal(Dropout(0.5, None, 7).eval(x, YES), Dropout(0.5, None, 8).eval(x, YES))


def test_without_a_seed_each_call_draws_anew() -> None:
    x = np.ones(1000, np.float32)
    assert not np.array_equal(Dropout(0.5, None, None).eval(x, YES), Dropout(0.5, None, None).eval(x, YES))


def test_it_is_never_merged() -> None:
    assert not Dropout(0.5, None, 7).deterministic


def test_the_ends_of_the_rate() -> None:
    x = np.array([1, np.inf, -2], np.float32)
    np.testing.assert_array_equal(Dropout(0.0, None, 1).eval(x, YES), x)
    np.testing.assert_array_equal(Dropout(1.0, None, 1).eval(x, YES), [0, 0, 0])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_it_keeps_the_dtype(dtype: Any) -> None:
    x = np.full(50, 3, dtype)
    result = Dropout(0.5, None, 1).eval(x, YES)
    assert result.dtype == dtype
    assert set(result.astype(np.float64)) == {0, 6}


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"rate={rate}; expected a number from 0 to 1"):
        Dropout(rate, None, None)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_normal_numbers_have_the_mean_and_the_deviation(dtype: Any) -> None:
    drawn = RandomNormalLike(1.5, 0.25, 3).eval(np.zeros((100, 1000), dtype))
    assert drawn.dtype == dtype
    assert drawn.shape == (100, 1000)
    wide = drawn.astype(np.float64)
    # Six standard deviations of the mean of a hundred thousand draws.
    assert abs(wide.mean() - 1.5) < 6 * 0.25 / np.sqrt(100_000)
    assert abs(wide.std() - 0.25) < 0.01


def test_normal_numbers_and_their_seed() -> None:
    x = np.zeros(10, np.float32)
    np.testing.assert_array_equal(RandomNormalLike(0.0, 1.0, 7).eval(x), RandomNormalLike(0.0, 1.0, 7).eval(x))
    assert not np.array_equal(RandomNormalLike(0.0, 1.0, 7).eval(x), RandomNormalLike(0.0, 1.0, 8).eval(x))
    assert not np.array_equal(RandomNormalLike(0.0, 1.0, None).eval(x), RandomNormalLike(0.0, 1.0, None).eval(x))
    assert not RandomNormalLike(0.0, 1.0, 7).deterministic


@pytest.mark.parametrize(
    ("op", "types", "message"),
    [
        (Dropout(0.5, None, None), ["i32[2]"], r"x of type i32\[2\]"),
        (Dropout(0.5, None, None), ["f32[2]", "f32[]"], r"training of type f32\[\]; expected bool\[\]"),
        (Dropout(0.5, None, None), ["f32[2]", "bool[1]"], r"training of type bool\[1\]"),
        (RandomNormalLike(0.0, 1.0, None), ["i32[2]"], r"x of type i32\[2\]"),
        (Dropout(0.5, (3,), None), ["f32[2]"], r"do not fit"),
        (Dropout(0.5, (4, 2), None), ["f32[2]"], r"noise_shape=\(4, 2\).*x of shape \(2,\).*broadcasts to it"),
    ],
    ids=str,
)
def test_inputs_that_do_not_fit_are_refused(op: Op, types: list[str], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.infer(*[parse_type(text) for text in types])
