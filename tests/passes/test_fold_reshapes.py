from typing import Any

import pytest

from kir.ir.dims import Dim, symbol
from kir.ir.graph import Value
from kir.ir.op import Op
from kir.ir.types import Shape
from kir.ops.elementwise import Sin
from kir.ops.reduce import ArgMax, ReduceMax, ReduceMean, ReduceMin, ReduceSum
from kir.ops.shape import Expand, Reshape, Slice
from kir.passes.fold_reshapes import fold_reshapes
from tests.passes.building import Build, Builder, left

BATCH, TIME = symbol("batch"), symbol("time")


def reshapes(*shapes: Shape) -> Builder:
    def build(b: Build, x: Value) -> Any:
        for shape in shapes:
            x = b(Reshape(shape), x)
        return x

    return build


def read_twice(b: Build, x: Value) -> Any:
    inner = b(Reshape((BATCH, 2, 2)), x)
    return b(Sin(), inner), b(Reshape((4 * BATCH,)), inner)


ROWS = Reshape((BATCH, 4))


def sliced(start: Dim, end: Dim, last: Op = ROWS, step: int = 1) -> Builder:
    """One element of the axis of time."""
    bounds = ((start,), (end,)) if step > 0 else ((start,), (start - 1,))
    return lambda b, x: b(last, b(Slice((1,), *bounds, (step,)), x))


CASES = {
    "1": (reshapes((BATCH, 4)), []),
    "2": (reshapes((BATCH, 2, 2), (4 * BATCH,)), ["Reshape"]),
    "2 and 1": (reshapes((BATCH, 2, 2), (BATCH, 4)), []),
    "2 ten": (reshapes(*[(BATCH, 2, 2), (2 * BATCH, 2)] * 5), ["Reshape"]),
    "5 put back": (lambda b, x: b(Reshape((BATCH, 1)), b(ReduceSum((1,), False), x)), ["ReduceSum"]),
    "5 taken away": (lambda b, x: b(Reshape((BATCH,)), b(ArgMax(1, True), x)), ["ArgMax"]),
    "5 not others": (lambda b, x: b(Reshape((1, BATCH)), b(ReduceSum((1,), False), x)), ["ReduceSum", "Reshape"]),
    "2 read twice": (read_twice, ["Reshape", "Sin", "Reshape"]),
    "3": (lambda b, x: b(Expand((1, BATCH, 4)), x), ["Reshape"]),
    "3 and 2": (lambda b, x: b(Reshape((BATCH, 4)), b(Expand((1, BATCH, 4)), x)), []),
    "4": (sliced(1, 2), ["Gather"]),
    "4 last": (sliced(TIME - 1, TIME), ["Gather"]),
    "4 not of two": (sliced(1, 3, Reshape((BATCH, 8))), ["Slice", "Reshape"]),
    "4 not if the axis stays": (sliced(1, 2, Reshape((BATCH, 1, 2, 2))), ["Slice", "Reshape"]),
    "4 not backwards": (sliced(TIME - 2, TIME - 1, step=-1), ["Slice", "Reshape"]),
    "not 3": (lambda b, x: b(Reshape((8 * BATCH,)), b(Expand((2, BATCH, 4)), x)), ["Expand", "Reshape"]),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    type = "f32[batch, time, 4]" if case.startswith("4") else "f32[batch, 4]"
    assert left(fold_reshapes, build, type) == expected


@pytest.mark.parametrize("op", [ReduceMax((1, 2), False), ReduceMax((1,), True), ReduceMin((2,), False)], ids=str)
def test_reductions_of_single_elements_are_reshapes(op: Op) -> None:
    assert left(fold_reshapes, lambda b, x: b(op, x), "f32[batch, 1, 1, 4]") in (["Reshape"], [])


def test_reductions_of_more_elements_stay() -> None:
    assert left(fold_reshapes, lambda b, x: b(ReduceMean((1, 2), False), x), "f32[batch, 1, 2, 4]") == ["ReduceMean"]
    assert left(fold_reshapes, lambda b, x: b(ReduceMax((1,), False), x), "f32[batch, time]") == ["ReduceMax"]
