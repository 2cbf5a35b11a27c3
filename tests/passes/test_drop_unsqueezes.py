from typing import Any

import pytest

from kir.ops.linear import Einsum
from kir.ops.shape import Reshape
from kir.passes.drop_unsqueezes import drop_unsqueezes
from tests.passes.building import left


def einsum(equation: str, shape: tuple[int, ...], swapped: bool = False) -> Any:
    def build(b: Any, x: Any, y: Any) -> Any:
        operands = b(Reshape(shape), x), y
        return b(Einsum(equation), *(operands[::-1] if swapped else operands))

    return build


CASES = {
    "in front": (einsum("...i,...i->...i", (1, 3, 4)), ["Einsum"]),
    "of the second operand": (einsum("...i,...i->...", (1, 3, 4), swapped=True), ["Einsum"]),
    "behind it": (einsum("a...i,b...i->ab...", (3, 1, 4)), ["Einsum"]),
    "not other axes": (einsum("...i,...i->...i", (3, 1, 4)), ["Reshape", "Einsum"]),
    "not those that nothing else has": (
        lambda b, x, y: b(Einsum("...i->..."), b(Reshape((1, 3, 4)), x)),
        ["Reshape", "Einsum"],
    ),
}


@pytest.mark.parametrize(("build", "expected"), CASES.values(), ids=CASES)
def test_drop_unsqueezes(build: Any, expected: list[str]) -> None:
    assert left(drop_unsqueezes, build, "f32[3, 4]", "f32[3, 3, 4]", special=False) == expected
