from typing import Any

import numpy as np
import pytest

from kir.ir.graph import Value
from kir.ir.op import Op
from kir.ops.elementwise import Add, Div, Mul, Neg, Sin, Sub
from kir.ops.reduce import ReduceMean, ReduceSum
from kir.passes.join_affine import join_affine
from tests.passes.building import Array, Build, Builder, f32, left, optimize, weights

C4, C3 = weights(4, seed=3), weights(3, 1, seed=4)
IMAGE = "f32[batch, 3, 4]"


def row(*steps: tuple[Op, Array] | tuple[Array, Op] | Op) -> Builder:
    """Operators behind each other, each with a constant on the right, or on the left if that comes first."""

    def build(b: Build, x: Value) -> Any:
        for step in steps:
            if isinstance(step, Op):
                x = b(step, x)
            elif isinstance(step[0], Op):
                x = b(step[0], x, step[1])
            else:
                x = b(step[1], step[0], x)
        return x

    return build


def read_between(b: Build, x: Value) -> Any:
    scaled = b(Mul(), x, f32(3))
    return b(Mul(), scaled, C4), b(Sin(), scaled)


CASES = {
    "two scales": (row((Mul(), C4), (Div(), f32(3))), ["Mul"]),
    "two shifts": (row((Add(), C4), (Sub(), f32(3))), ["Add"]),
    "a shift of zero": (row((Mul(), C4), (Add(), f32(0))), ["Mul"]),
    "a scale of one": (row((Add(), C4), (Mul(), f32(1))), ["Add"]),
    "three": (row((Mul(), C4), (Add(), f32(2)), (Div(), f32(3))), ["Mul", "Add"]),
    "many": (row(*[(Mul(), f32(0.9)), (Add(), C4)] * 5), ["Mul", "Add"]),
    "a number minus it": (row(Neg(), (Add(), f32(3))), ["Sub"]),
    "a number minus a number minus it": (row((f32(3), Sub()), (C4, Sub())), ["Add"]),
    "opposites": (row((Add(), C4), (Sub(), C4)), []),
    "a negative": (row((Mul(), f32(2)), (Mul(), f32(-0.5))), ["Neg"]),
    "not a scale and a shift": (row((Mul(), C4), (Add(), f32(3))), ["Mul", "Add"]),
    "not what grows": (row((Mul(), C4), (Mul(), C3)), ["Mul", "Mul"]),
    "not if something else reads it": (read_between, ["Mul", "Mul", "Sin"]),
    "not past a divisor": (row((Mul(), C4), (f32(3), Div())), ["Mul", "Div"]),
    "not if it is no number any more": (row((Mul(), f32(1e30)), (Mul(), f32(1e30))), ["Mul", "Mul"]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:overflow")
def test_case(case: str) -> None:
    build, expected = CASES[case]
    assert left(join_affine, build, IMAGE, special=False) == expected


def test_tables_stay() -> None:
    table = np.ones((300, 300), np.float32)
    assert left(join_affine, row((Add(), table), (Add(), table)), "f32[batch, 300, 300]", special=False) == ["Add"] * 2


def test_integers_stay() -> None:
    two = np.asarray(2, np.int32)
    assert left(join_affine, row((Mul(), two), (Mul(), two)), "i32[batch]") == ["Mul", "Mul"]


def test_constants_are_rounded_once() -> None:
    graph = optimize(join_affine, row((Div(), f32(3)), (Mul(), f32(3))), IMAGE, special=False)
    assert not [node for node in graph.order() if isinstance(node.op, Mul)]


@pytest.mark.parametrize("zero", [f32(0), f32(-0.0), np.zeros((1, 4), np.float32)])
def test_zeros_are_not_added(zero: Array) -> None:
    assert left(join_affine, lambda b, x: b(Add(), zero, x), special=False) == []
    assert left(join_affine, lambda b, x: b(Sub(), x, zero), special=False) == []


def test_zeros_stay_that_broadcast_or_are_not_added() -> None:
    assert left(join_affine, lambda b, x: b(Add(), x, np.zeros((1, 1, 4), np.float32)), special=False) == ["Add"]
    assert left(join_affine, lambda b, x: b(Sub(), f32(0), x), special=False) != []
    assert left(join_affine, lambda b, x: b(Add(), x, f32([0, 0, 0, 1])), special=False) == ["Add"]


def test_sums_of_single_elements_are_reshapes() -> None:
    assert left(join_affine, lambda b, x: b(ReduceMean((1,), False), x), "f32[3, 1, 4]", special=False) == ["Reshape"]
    assert left(join_affine, lambda b, x: b(ReduceSum((1,), False), x), "f32[3, time]", special=False) == ["ReduceSum"]
