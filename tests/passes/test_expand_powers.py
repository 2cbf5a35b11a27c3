import numpy as np
import pytest

from kir.ops.elementwise import Pow
from kir.passes.expand_powers import expand_powers
from tests.passes.building import f32, left

CASES = {
    "1": (f32(1), "f32[batch, 4]", []),
    "1 integers": (np.int32(1), "i32[batch, 4]", []),
    "2": (f32(2), "f32[batch, 4]", ["Mul"]),
    "2 as many as elements": (f32([2, 2, 2, 2]), "f32[batch, 4]", ["Mul"]),
    "2 integers": (np.int32(2), "i32[batch, 4]", ["Mul"]),
    "3": (f32(-1), "f32[batch, 4]", ["Reciprocal"]),
    "not 0.5": (f32(0.5), "f32[batch, 4]", ["Pow"]),
    "not 3 integers to -1": (np.int32(-1), "i32[batch, 4]", ["Pow"]),
    "not mixed": (f32([1, 2, 1, 2]), "f32[batch, 4]", ["Pow"]),
    "not if broadcast": (f32([[[2]]]), "f32[batch, 4]", ["Pow"]),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    exponent, type, expected = CASES[case]
    assert left(expand_powers, lambda b, x: b(Pow(), x, exponent), type) == expected
