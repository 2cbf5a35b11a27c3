import pytest

from kir.ops.shape import Transpose
from kir.passes.reshape_transposes import reshape_transposes
from tests.passes.building import left

CASES = {
    "one": ((0, 2, 1), "f32[batch, 1, 4]", ["Reshape"]),
    "several": ((3, 0, 1, 2), "f32[batch, time, 4, 1]", ["Reshape"]),
    "not if elements move": ((1, 0), "f32[batch, 4]", ["Transpose"]),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    permutation, type, expected = CASES[case]
    assert left(reshape_transposes, lambda b, x: b(Transpose(permutation), x), type) == expected
