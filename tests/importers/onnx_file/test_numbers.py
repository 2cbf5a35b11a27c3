"""Which float64 numbers are meant by float32 ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kir.importers.onnx_file.numbers import intended


@pytest.mark.parametrize("number", [0.1, 0.3, 1 / 6, 2 / 3, 1.0, 0.0, -0.2, 1e-5, 3e38, 1.6732632, 0.044715])
def test_what_was_meant_is_found(number: float) -> None:
    assert intended(float(np.float32(number))) == number


def test_numbers_that_are_no_float32_stay() -> None:
    assert intended(math.pi) == math.pi
    assert math.isnan(intended(math.nan))
    assert intended(-math.inf) == -math.inf


@given(st.floats(width=32, allow_nan=False))
def test_it_rounds_to_the_same_float32(number: float) -> None:
    assert np.float32(intended(number)) == np.float32(number)
