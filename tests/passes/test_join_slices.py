from typing import Any

import numpy as np
import pytest

from kir.ir.dims import symbol
from kir.ops.elementwise import Add, Mul, Relu
from kir.ops.linear import Dense
from kir.ops.nn import Softmax
from kir.ops.shape import Concat, Gather, Reshape, Slice
from kir.passes.join_slices import join_slices
from tests.passes.building import Build, f32, left, weights

BATCH = symbol("batch")
KERNEL, BIAS = weights(4, 3), weights(3)
ROWS = "f32[2, batch, 4]"


def gathered(b: Build, x: Any, index: int, axis: int = 0) -> Any:
    return b(Gather(axis), x, np.asarray(index, np.int64))


def sliced(b: Build, x: Any, index: int, axis: int = 0) -> Any:
    return b(Slice((axis,), (index,), (index + 1,), (1,)), x)


def put_back(b: Build, x: Any) -> Any:
    return b(Reshape((1, *x.type.shape)), x)


def joined(axis: int, part: Any, order: tuple[int, ...] = (0, 1)) -> Any:
    return lambda b, x: b(Concat(axis), *[part(b, x, index) for index in order])


def layer(b: Build, x: Any, index: int, kernel: Any = KERNEL) -> Any:
    """What a layer does at one step."""
    value = b(Softmax(1), b(Dense(), gathered(b, x, index), kernel, BIAS))
    return put_back(b, b(Mul(), f32(2), value))


CASES = {
    "1 gathered": (joined(1, gathered), ROWS, ["Transpose", "Reshape"]),
    "1 counted from the end": (joined(1, gathered, (-2, -1)), ROWS, ["Transpose", "Reshape"]),
    "1 in front": (joined(0, gathered), ROWS, ["Reshape"]),
    "1 sliced": (joined(0, sliced), ROWS, []),
    "1 put back": (joined(0, lambda b, x, i: put_back(b, gathered(b, x, i))), ROWS, []),
    "1 sliced and taken away": (
        joined(1, lambda b, x, i: b(Reshape((BATCH, 4)), sliced(b, x, i))),
        ROWS,
        ["Transpose", "Reshape"],
    ),
    "1 of another axis": (
        joined(0, lambda b, x, i: gathered(b, x, i, 1)),
        "f32[batch, 2, 4]",
        ["Transpose", "Reshape"],
    ),
    "1 not in another order": (joined(1, gathered, (1, 0)), ROWS, ["Gather", "Gather", "Concat"]),
    "1 backwards": (
        joined(0, lambda b, x, i: put_back(b, gathered(b, x, i)), (1, 0)),
        ROWS,
        ["Slice"],
    ),
    "1 not some": (joined(1, gathered), "f32[3, batch, 4]", ["Gather", "Gather", "Concat"]),
    "1 not along another axis": (joined(2, sliced), ROWS, ["Slice", "Slice", "Concat"]),
    "2": (joined(0, layer), ROWS, ["Dense", "Softmax", "Mul"]),
    "2 not with other weights": (
        joined(0, lambda b, x, i: layer(b, x, i, weights(4, 3, seed=i))),
        ROWS,
        ["Gather", "Dense", "Softmax", "Mul", "Reshape"] * 2 + ["Concat"],
    ),
    "2 not with the step as an operand": (
        joined(0, lambda b, x, i: put_back(b, b(Add(), gathered(b, x, i), f32(i)))),
        ROWS,
        ["Gather", "Add", "Reshape"] * 2 + ["Concat"],
    ),
    "2 not joined elsewhere": (
        joined(1, lambda b, x, i: b(Relu(), gathered(b, x, i))),
        ROWS,
        ["Gather", "Relu"] * 2 + ["Concat"],
    ),
    "3": (lambda b, x: b(Add(), gathered(b, x, 0), gathered(b, x, 1)), ROWS, ["ReduceSum"]),
    "3 sliced": (lambda b, x: b(Add(), sliced(b, x, 0), sliced(b, x, 1)), ROWS, ["ReduceSum"]),
    "3 not of three": (
        lambda b, x: b(Add(), gathered(b, x, 0), gathered(b, x, 1)),
        "f32[3, batch, 4]",
        ["Gather", "Gather", "Add"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, type, expected = CASES[case]
    assert sorted(left(join_slices, build, type, special=False)) == sorted(expected)


def test_2_many_steps() -> None:
    names = left(join_slices, joined(0, layer, tuple(range(300))), "f32[300, batch, 4]", special=False)
    assert names == ["Dense", "Softmax", "Mul"]
