"""Which constants of a rewritten graph were computed and rounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.ir.graph import Graph
from kir.numerics.rounded_constants import recognised_constants, rounded_constants
from tests.passes.building import Build

KERNEL = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)


def holding(*arrays: Any) -> Graph:
    build = Build()
    return build.finish(tuple([build.constant(array) for array in arrays]))


def changed(place: int, factor: float) -> Any:
    copy = KERNEL.copy()
    copy.flat[place] *= np.float32(factor)
    return copy


@pytest.mark.parametrize(
    "array",
    [
        KERNEL,
        KERNEL[2:4],
        KERNEL.T.reshape(4, 12, 1),
        KERNEL.T.copy(),
        KERNEL[::-1].copy(),
        np.concatenate([KERNEL[3], KERNEL[1]]),
        np.eye(5, dtype=np.float32),
        np.array([0.5, -3, np.inf, np.nan], np.float32),
        np.zeros((0, 3), np.float32),
        np.arange(3),
    ],
    ids=[
        *("itself", "a part", "a view", "transposed", "reversed", "joined parts", "an identity matrix"),
        *("numbers of few digits", "nothing", "integers"),
    ],
)
def test_numbers_that_were_there_are_not_rounded(array: Any) -> None:
    assert rounded_constants(holding(KERNEL), holding(array)) == []


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_computed_numbers_are(dtype: Any) -> None:
    computed = KERNEL.astype(dtype) * dtype(1.1)
    (one,) = rounded_constants(holding(KERNEL.astype(dtype)), holding(computed))
    assert one.array is computed
    assert one.where is None


@pytest.mark.parametrize("place", [0, 20, 47])
def test_one_changed_number_among_those_that_were_there_is(place: int) -> None:
    (one,) = rounded_constants(holding(KERNEL.copy()), holding(changed(place, 1 + 1e-5)))
    assert one.where is not None
    assert np.flatnonzero(one.where).tolist() == [place]


def test_beside_arrays_of_the_original_a_new_one_is_computed() -> None:
    (one,) = rounded_constants(holding(KERNEL, KERNEL[0]), holding(KERNEL[0], changed(20, 1 + 1e-5)))
    assert one.where is None


def test_numbers_of_a_formula_that_are_gone_were_recognised() -> None:
    root = np.float32(np.sqrt(2))
    original = holding(root, np.float32(0.5), np.float32(0.1), KERNEL)
    assert [one.array for one in recognised_constants(original, holding(np.float32(0.1)))] == [root]
