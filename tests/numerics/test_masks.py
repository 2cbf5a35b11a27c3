"""Masks: of steps and of features, in all forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kir.ir.op import Array
from kir.ir.structural import Output, constant
from kir.numerics.feeds import random_feeds
from kir.numerics.masks import mask_steps, masked_steps
from kir.ops.elementwise import Equal
from tests.numerics.graphs import graph_of


def has_hole(row: Array) -> bool:
    steps = np.diff(row.astype(int))
    return bool((steps > 0).any() and (steps < 0).any())


def check_forms(masked: Array) -> None:
    """Check that rows [batch, 9] of a mask have all forms."""
    assert not masked[0].any()
    assert masked[1].all()
    assert masked[2].tolist() == [False] * 5 + [True] * 4
    assert masked[3].tolist() == [True] * 5 + [False] * 4
    assert masked[4].sum() == 8
    assert any(map(has_hole, masked[5:]))


def test_rows_are_masked_in_all_forms() -> None:
    check_forms(masked_steps((12, 9), np.random.default_rng(0)))


def test_a_single_row_is_long_without_its_masked_steps_too() -> None:
    assert all((~masked_steps((1, 67), np.random.default_rng(seed))).sum() > 40 for seed in range(20))


def test_one_row_has_holes_or_is_another_form() -> None:
    rows = [masked_steps((1, 100), np.random.default_rng(0), kind)[0] for kind in range(4)]
    assert has_hole(rows[0])
    assert 10 < rows[0].sum() < 90
    assert len({row.tobytes() for row in rows}) == 4


@pytest.mark.parametrize(("type", "value"), [("f32[batch, 9, 3]", -1.0), ("i32[batch, 9]", 0)])
def test_what_is_compared_is_masked(type: str, value: float) -> None:
    graph, (x,) = graph_of(type)
    mask_value = graph.add(constant(np.asarray(value, x.type.dtype.numpy))).output
    graph.add(Output("y"), graph.add(Equal(), x, mask_value).output)
    array = random_feeds(graph, 0, {"batch": 12})["x0"]
    equal = (array == value).reshape(12, 9, -1)
    masked = equal.all(axis=2)
    check_forms(masked)
    if array.ndim == 3:
        assert not equal[0].any(), "one row is as if there were no mask"
        assert (equal[2, :5].any(axis=1) & ~masked[2, :5]).any(), "some features of a valid step have the value"


@pytest.mark.parametrize("rows", [1, 6])
def test_a_step_is_not_masked_by_chance(rows: int) -> None:
    generator = np.random.default_rng(0)
    zeros = np.zeros((rows, 50, 2))
    masked = (mask_steps(zeros, [0.0], math.inf, generator, 0) == 0).all(axis=2)
    assert np.array_equal(masked, masked_steps((rows, 50), np.random.default_rng(0)))


def test_values_of_masked_indices_stay_in_their_range() -> None:
    array = mask_steps(np.ones((6, 50), np.int64), [1], 2, np.random.default_rng(0), 0)
    assert set(np.unique(array)) == {0, 1}
