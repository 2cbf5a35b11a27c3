"""How the elements of one array lie in another."""

from __future__ import annotations

import numpy as np
import pytest

from kir.numerics.alignment import find_placement, is_near, placements

GENERATOR = np.random.default_rng(0)
ARRAY = GENERATOR.standard_normal((2, 3, 1, 4, 3))


@pytest.mark.parametrize(
    "other",
    [ARRAY, ARRAY.reshape(6, 12), ARRAY.transpose(0, 3, 2, 4, 1), ARRAY.transpose(4, 2, 1, 0, 3)[:, 0], ARRAY + 1e-4],
    ids=["same", "reshaped", "transposed", "without an axis", "nearly"],
)
def test_axes_may_stand_in_any_order(other: np.ndarray) -> None:
    placement = find_placement(ARRAY, other)
    assert placement is not None
    np.testing.assert_allclose(placement(ARRAY), other, atol=1e-3)


@pytest.mark.parametrize("other", [ARRAY[::-1], -ARRAY, ARRAY[:1], ARRAY + 1], ids=["reversed", "-", "part", "+1"])
def test_others_have_no_placement(other: np.ndarray) -> None:
    assert find_placement(ARRAY, other) is None


def test_what_may_lie_in_several_ways_has_no_placement() -> None:
    assert len(placements((3, 3), (3, 3))) == 2
    assert find_placement(np.ones((3, 3)), np.ones((3, 3))) is None
    assert find_placement(np.ones((3, 4)), np.ones((3, 4))) is not None


def test_nearness_is_measured_by_the_range() -> None:
    array = 1e6 + ARRAY
    assert is_near(array, array * (1 + 1e-14))
    assert not is_near(array, array[::-1])


def test_nan_must_be_in_the_same_places() -> None:
    holes = np.where(ARRAY > 0, ARRAY, np.nan)
    assert is_near(holes, holes)
    assert not is_near(holes, ARRAY)
