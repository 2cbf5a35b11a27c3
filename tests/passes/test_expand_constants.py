from typing import Any

import numpy as np
import pytest

from kir.ir.dims import symbol
from kir.ir.graph import Value
from kir.ir.op import Op
from kir.ir.types import DType
from kir.ops.elementwise import Add, Cast, Less, Neg, Not, Sin, Where
from kir.ops.shape import Expand, Reshape, Tile, Transpose
from kir.passes import pipeline
from kir.passes.expand_constants import expand_constants
from tests.passes.building import Build, Builder, f32, left

BATCH = symbol("batch")
WIDE = Expand((BATCH, 4))


def repeated(expand: Op, last: Op) -> Builder:
    return lambda b, x: b(last, b(expand, b(Reshape((BATCH, 1, 1, 4)), x)))


CASES = {
    "1 constant": (lambda b, x: b(Add(), x, b(WIDE, f32(1))), ["Add"]),
    "1 on the left": (lambda b, x: b(Less(), b(WIDE, f32([1, 2, 3, 4])), x), ["Less"]),
    "1 where": (lambda b, x: b(Where(), b(WIDE, True), x, b(WIDE, f32(0))), ["Where"]),
    "1 not if it makes the shape": (lambda b, x: b(Add(), b(Expand((2, BATCH, 4)), x), f32(1)), ["Expand", "Add"]),
    "1 not both": (lambda b, x: b(Add(), b(WIDE, f32(1)), b(WIDE, f32(2))), ["Expand", "Add"]),
    "2": (lambda b, x: b(Sin(), b(Expand((7, BATCH, 4)), x)), ["Sin", "Expand"]),
    "2 of other dtype": (lambda b, x: b(Cast(DType.INT32), b(WIDE, True)), ["Cast", "Expand"]),
    "2 not if read twice": (
        lambda b, x: (lambda wide: (b(Sin(), wide), wide))(b(Expand((7, BATCH, 4)), x)),
        ["Expand", "Sin"],
    ),
    "3": (lambda b, x: b(Expand((2, BATCH, 4)), b(WIDE, f32(1))), ["Expand"]),
    "4 reshape": (lambda b, x: b(Reshape((4 * BATCH,)), b(WIDE, f32(1))), ["Expand"]),
    "4 transpose": (lambda b, x: b(Transpose((1, 0)), b(WIDE, f32([[1]]))), ["Expand"]),
    "5": (lambda b, x: b(Tile((1, 3, 1)), b(Reshape((BATCH, 1, 4)), x)), ["Reshape", "Expand"]),
    "5 not of longer axes": (lambda b, x: b(Tile((1, 3)), x), ["Tile"]),
    "6": (repeated(Expand((BATCH, 1, 3, 4)), Reshape((BATCH, 3, 4))), ["Reshape", "Expand"]),
    "6 with more axes": (repeated(Expand((BATCH, 1, 3, 4)), Reshape((BATCH, 3, 1, 4, 1))), ["Reshape", "Expand"]),
    "6 not if merged": (
        repeated(Expand((BATCH, 1, 3, 4)), Reshape((BATCH, 12))),
        ["Reshape", "Expand", "Reshape"],
    ),
    "6 not without an inner one": (
        lambda b, x: b(Reshape((3, BATCH, 1, 4)), b(Expand((3, BATCH, 4)), x)),
        ["Expand", "Reshape"],
    ),
    "4 not of several numbers": (
        lambda b, x: b(Transpose((1, 0)), b(WIDE, f32([1, 2, 3, 4]))),
        ["Expand", "Transpose"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    assert left(expand_constants, build) == expected


def test_a_mask_of_ones_folds_away() -> None:
    def build(b: Build, x: Value) -> Any:
        return b(Where(), b(Not(), b(WIDE, np.array(False))), x, b(Neg(), x))

    assert left(pipeline(1), build) == []
