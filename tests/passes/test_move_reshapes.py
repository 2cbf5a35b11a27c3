from typing import Any

import numpy as np
import pytest

from kir.ir.dims import symbol
from kir.ir.graph import Value
from kir.ir.op import Op
from kir.ir.types import Shape
from kir.ops.elementwise import Add, Clip, Mul, PRelu, Relu, Sin, Where
from kir.ops.nn import Softmax
from kir.ops.shape import Concat, Reshape
from kir.passes.move_reshapes import count_common_trailing, move_reshapes
from tests.passes.building import Array, Build, Builder, f32, left

BATCH = symbol("batch")
SPLIT, MERGE, FLAT = Reshape((BATCH, 2, 2)), Reshape((BATCH, 4)), Reshape((4 * BATCH,))
ROWS, BACK = Reshape((2 * BATCH, 2)), Reshape((BATCH, 2, 2))


def between(*functions: Builder, first: Op = SPLIT, last: Op = MERGE) -> Builder:
    def build(b: Build, x: Value) -> Any:
        value = b(first, x)
        for function in functions:
            value = function(b, value)
        return b(last, value)

    return build


def read_twice(b: Build, x: Value) -> Any:
    value = b(Sin(), b(SPLIT, x))
    return b(MERGE, value), b(Relu(), value)


CASES = {
    "1 cancel": (between(lambda b, v: b(Sin(), v)), ["Sin"]),
    "1 join": (between(lambda b, v: b(Sin(), v), last=FLAT), ["Sin", "Reshape"]),
    "1 run": (between(lambda b, v: b(Relu(), b(Sin(), v))), ["Sin", "Relu"]),
    "1 not if read twice": (read_twice, ["Reshape", "Sin", "Reshape", "Relu"]),
    "1 not softmax": (between(lambda b, v: b(Softmax(2), v)), ["Reshape", "Softmax", "Reshape"]),
    "1 not without a partner": (lambda b, x: b(Sin(), b(SPLIT, x)), ["Reshape", "Sin"]),
    "2 scalar": (between(lambda b, v: b(Mul(), f32(2), v)), ["Mul"]),
    "2 scalar with axes": (between(lambda b, v: b(Mul(), v, f32([[[2]]]))), ["Mul"]),
    "2 clip": (between(lambda b, v: b(Clip(), v, f32(0), f32(6))), ["Clip"]),
    "2 where": (between(lambda b, v: b(Where(), True, v, f32(0))), ["Where"]),
    "2 not moved axes": (between(lambda b, v: b(Add(), v, f32([1, 2]))), ["Reshape", "Add", "Reshape"]),
    "2 not the whole": (
        between(lambda b, v: b(Add(), v, np.zeros((2, 2), np.float32))),
        ["Reshape", "Add", "Reshape"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    assert left(move_reshapes, build) == expected


@pytest.mark.parametrize(
    "side", [f32([1, 2]), f32([[1, 2]]), f32(3)], ids=["of the last axis", "with axes of size 1", "scalar"]
)
@pytest.mark.parametrize("op", [Add(), PRelu()], ids=str)
def test_2_trailing_axes_that_stay(op: Op, side: Array) -> None:
    other = side if op == Add() else side.reshape(side.shape[-1:])
    build = between(lambda b, v: b(op, v, other), first=ROWS, last=BACK)
    assert left(move_reshapes, build, "f32[batch, 2, 2]") == [op.name]


def test_2_an_operand_that_is_fed() -> None:
    def build(b: Build, x: Value, y: Value) -> Any:
        return b(BACK, b(Add(), b(ROWS, x), y))

    assert left(move_reshapes, build, "f32[batch, 2, 2]", "f32[2]") == ["Add"]
    assert left(move_reshapes, build, "f32[batch, 2, 2]", "f32[1, 2]") == ["Reshape", "Add", "Reshape"]


def test_3_two() -> None:
    def build(b: Build, x: Value, y: Value) -> Any:
        return b(Add(), b(SPLIT, x), b(SPLIT, y))

    assert left(move_reshapes, build, "f32[batch, 4]", "f32[batch, 4]") == ["Add", "Reshape"]


def test_3_not_from_other_shapes() -> None:
    def build(b: Build, x: Value, y: Value) -> Any:
        return b(Add(), b(SPLIT, x), b(SPLIT, y))

    assert len(left(move_reshapes, build, "f32[batch, 4]", "f32[batch, 1, 4]")) == 3


def test_3_then_1() -> None:
    def build(b: Build, x: Value, y: Value) -> Any:
        return b(MERGE, b(Sin(), b(Add(), b(SPLIT, x), b(SPLIT, y))))

    assert left(move_reshapes, build, "f32[batch, 4]", "f32[batch, 4]") == ["Add", "Sin"]


def test_common_trailing_axes() -> None:
    assert count_common_trailing((BATCH, 3, 4), (3 * BATCH, 4)) == 1
    assert count_common_trailing((4,), (BATCH, 4)) == 1
    assert count_common_trailing((), (1,)) == 0


JOINED = [(0, (4,), (1, 2, 2)), (1, (2, 6), (2, 3, 2)), (0, (3, 2), (3, 1, 2))]
OTHERS = [(1, (4,), (1, 2, 2)), (1, (6, 2), (2, 3, 2)), (2, (2, 6), (2, 3, 2))]


@pytest.mark.parametrize(("axis", "before", "after"), JOINED)
def test_joined_reshapes_become_one(axis: int, before: Shape, after: Shape) -> None:
    def build(b: Build, x: Value, y: Value) -> Any:
        return b(Concat(axis), b(Reshape(after), x), b(Reshape(after), y))

    inputs = [f"f32[{', '.join(map(str, before))}]"] * 2
    assert left(move_reshapes, build, *inputs) == ["Concat", "Reshape"]


@pytest.mark.parametrize(("axis", "before", "after"), OTHERS)
def test_joined_reshapes_stay_where_elements_would_change_places(axis: int, before: Shape, after: Shape) -> None:
    def build(b: Build, x: Value, y: Value) -> Any:
        return b(Concat(axis), b(Reshape(after), x), b(Reshape(after), y))

    inputs = [f"f32[{', '.join(map(str, before))}]"] * 2
    assert left(move_reshapes, build, *inputs) == ["Reshape", "Reshape", "Concat"]
