from typing import Any

import pytest

from kir.ir.dims import symbol
from kir.ir.graph import Value
from kir.ir.op import Op
from kir.ops.elementwise import Add, Relu, Sigmoid
from kir.ops.linear import Dense
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.shape import Reshape
from kir.passes.keep_axes import keep_axes
from tests.passes.building import Array, Build, Builder, left, weights

BATCH, TIME = symbol("batch"), symbol("time")
MATRIX, BACK = Reshape((BATCH * TIME, 4)), Reshape((BATCH, TIME, 3))
KERNEL, SQUARE, BIAS = weights(4, 3), weights(3, 3), weights(3)


def dense(b: Build, x: Value, kernel: Array = KERNEL) -> Any:
    return b(Dense(), x, kernel, BIAS)


def between(*functions: Builder, first: Op = MATRIX, last: Op = BACK) -> Builder:
    def build(b: Build, x: Value) -> Any:
        value = b(first, x)
        for function in functions:
            value = function(b, value)
        return b(last, value)

    return build


def relu(b: Build, x: Value) -> Any:
    return b(Relu(), x)


def read_twice(b: Build, x: Value) -> Any:
    value = dense(b, b(MATRIX, x))
    return b(BACK, value), b(Sigmoid(), value)


CASES = {
    "a dense": (between(dense), ["Dense"]),
    "several": (between(dense, relu, lambda b, x: dense(b, x, SQUARE)), ["Dense", "Relu", "Dense"]),
    "a dense with a softmax": (
        between(lambda b, x: b(Dense(Softmax(1)), x, KERNEL, BIAS), relu, lambda b, x: dense(b, x, SQUARE)),
        ["Dense", "Relu", "Dense"],
    ),
    "a dense with a logarithm of a softmax": (
        between(lambda b, x: b(Dense(LogSoftmax(1)), x, KERNEL, BIAS), last=Reshape((BATCH, 3 * TIME))),
        ["Dense", "Reshape"],
    ),
    "another shape": (between(dense, last=Reshape((BATCH, 3 * TIME))), ["Dense", "Reshape"]),
    "not without a dense": (between(relu, last=Reshape((BATCH, TIME, 4))), ["Reshape", "Relu", "Reshape"]),
    "not of two operands": (
        between(dense, lambda b, x: b(Add(), x, weights(3))),
        ["Reshape", "Dense", "Add", "Reshape"],
    ),
    "not if read twice": (read_twice, ["Reshape", "Dense", "Reshape", "Sigmoid"]),
    "not of another last axis": (
        between(
            lambda b, x: dense(b, x, weights(2, 3)),
            first=Reshape((2 * BATCH * TIME, 2)),
            last=Reshape((BATCH, TIME, 6)),
        ),
        ["Reshape", "Dense", "Reshape"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    assert left(keep_axes, build, "f32[batch, time, 4]", special=False) == expected
