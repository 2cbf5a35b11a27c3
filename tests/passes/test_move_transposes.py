import numpy as np
import pytest

from kir.ops.elementwise import Add, Mul, Relu, Sin, Where
from kir.ops.shape import Transpose
from kir.passes.move_transposes import move_transposes
from tests.passes.building import f32, left, weights

IMAGE = "f32[batch, 2, 3, 4]"
FIRST, LAST = Transpose((0, 3, 1, 2)), Transpose((0, 2, 3, 1))
SWAP = Transpose((1, 0, 2, 3))


def between(*functions, first=FIRST, last=LAST):  # type: ignore[no-untyped-def]
    def build(b, x):  # type: ignore[no-untyped-def]
        value = b(first, x)
        for function in functions:
            value = function(b, value)
        return b(last, value)

    return build


def read_twice(b, x):  # type: ignore[no-untyped-def]
    moved = b(FIRST, x)
    return b(LAST, b(Sin(), moved)), b(Relu(), moved)


CASES = {
    "1 cancel": (between(lambda b, v: b(Relu(), b(Sin(), v))), ["Sin", "Relu"]),
    "1 join": (between(lambda b, v: b(Sin(), v), last=FIRST), ["Sin", "Transpose"]),
    "1 not if read twice": (read_twice, ["Transpose", "Sin", "Transpose", "Relu"]),
    "1 not without a partner": (lambda b, x: b(Sin(), b(FIRST, x)), ["Transpose", "Sin"]),
    "2 scalar": (between(lambda b, v: b(Mul(), v, f32(2))), ["Mul"]),
    "2 axes in place": (
        between(lambda b, v: b(Mul(), v, weights(3, 4)), first=SWAP, last=SWAP),
        ["Mul"],
    ),
    "3 bias": (between(lambda b, v: b(Add(), v, weights(4, 1, 1))), ["Add"]),
    "3 all axes": (between(lambda b, v: b(Add(), weights(4, 2, 3), v)), ["Add"]),
    "3 where": (between(lambda b, v: b(Where(), weights(4, 1, 3) > 0, weights(3), v)), ["Where"]),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    assert left(move_transposes, build, IMAGE) == expected


def test_2_an_operand_that_is_fed() -> None:
    def build(b, x, y):  # type: ignore[no-untyped-def]
        return b(LAST, b(Add(), b(FIRST, x), y))

    assert left(move_transposes, build, IMAGE, "f32[]") == ["Add"]
    assert left(move_transposes, build, IMAGE, "f32[4, 1, 1]") == ["Transpose", "Add", "Transpose"]


@pytest.mark.parametrize(("size", "moved"), [(40, True), (400, False)])
def test_3_a_large_constant_is_not_stored_twice(size: int, moved: bool) -> None:
    def build(b, x):  # type: ignore[no-untyped-def]
        table = b.constant(np.ones((size, size), np.float32))
        swap = Transpose((0, 2, 1))
        return b(swap, b(Add(), b(swap, x), table)), b(Sin(), table)

    names = left(move_transposes, build, f"f32[batch, {size}, {size}]", special=False)
    assert names == (["Add", "Sin"] if moved else ["Transpose", "Add", "Transpose", "Sin"])


def test_4_two() -> None:
    def build(b, x, y):  # type: ignore[no-untyped-def]
        return b(Add(), b(FIRST, x), b(FIRST, y))

    assert left(move_transposes, build, IMAGE, IMAGE) == ["Add", "Transpose"]


def test_4_not_of_other_permutations() -> None:
    def build(b, x, y):  # type: ignore[no-untyped-def]
        return b(Add(), b(Transpose((0, 2, 1)), x), b(Transpose((0, 1, 2)), y))

    assert len(left(move_transposes, build, "f32[batch, 4, 4]", "f32[batch, 4, 4]")) == 3
