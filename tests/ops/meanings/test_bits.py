"""Operators on bits, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from kir.ops.meanings.bits import bit_shift, swi_glu
from tests.ops.meanings.single_nodes import Numbers, check

f = Numbers()


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64])
def test_bits(dtype: type) -> None:
    a, b = f.integers(100, 3, 4, dtype=dtype), f.integers(100, 4, dtype=dtype)
    check("BitwiseAnd", a, b)
    check("BitwiseOr", a, b)
    check("BitwiseNot", a)


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.uint64])
def test_bit_shift(dtype: type, direction: str) -> None:
    check("BitShift", f.integers(200, 3, 4, dtype=dtype), f.integers(8, 4, dtype=dtype), direction=direction)


def test_a_shift_by_more_than_all_bits_leaves_the_sign() -> None:
    found = bit_shift(np.array([-3, 3], np.int8), np.array([9, 9], np.int8), direction="RIGHT")
    assert found.tolist() == [-1, 0]


def test_swi_glu() -> None:
    gate, x = f(3, 4), f(3, 4)
    np.testing.assert_allclose(swi_glu(gate, x, alpha=2.0), gate / (1 + np.exp(-2 * gate)) * x, rtol=1e-6)
