"""Movements of elements next to a Dense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.ir.dims import symbol
from kir.ir.graph import Value
from kir.ir.op import Op
from kir.ops.elementwise import Add, Mul, Relu, Sigmoid
from kir.ops.linear import Dense
from kir.ops.nn import Softmax
from kir.ops.shape import Expand, Gather, Pad, Reshape, Slice, Tile, Transpose
from kir.passes.fold_movements import fold_movements
from kir.passes.fold_reshapes import fold_reshapes
from tests.passes.building import Build, left, optimize, weights

BATCH, TIME = symbol("batch"), symbol("time")


def chain(b: Build, x: Value, *ops: Op) -> Value:
    for op in ops:
        x = b(op, x)
    return x


BEFORE: list[tuple[str, list[Op], int]] = [
    ("f32[batch, 6]", [Tile((1, 3))], 18),
    ("f32[batch, 6]", [Reshape((BATCH, 2, 3)), Transpose((0, 2, 1)), Reshape((BATCH, 6))], 6),
    ("f32[batch, 6]", [Reshape((BATCH, 1, 6)), Expand((BATCH, 2, 6)), Reshape((BATCH, 12))], 12),
    ("f32[batch, 6]", [Pad((0, 1), (0, 2))], 9),
    ("f32[batch, time, 6]", [Reshape((BATCH, TIME, 2, 3)), Transpose((0, 1, 3, 2)), Reshape((BATCH, TIME, 6))], 6),
    ("f32[batch, 6]", [Reshape((BATCH, 2, 3)), Slice((2,), (2,), (-1,), (-1,)), Reshape((BATCH, 6))], 6),
]


@pytest.mark.parametrize(("x", "ops", "features"), BEFORE, ids=lambda value: "")
def test_movements_before_a_dense_go_into_its_rows(x: str, ops: list[Op], features: int) -> None:
    def build(b: Build, x: Value) -> Any:
        return b(Dense(Relu()), chain(b, x, *ops), weights(features, 4), weights(4))

    assert left(fold_movements, build, x, special=False) == ["Dense"]


def test_a_reshape_stays_where_the_axes_are_others() -> None:
    def build(b: Build, x: Value) -> Any:
        return b(Dense(), chain(b, x, Transpose((0, 2, 1)), Reshape((BATCH, 6))), weights(6, 4))

    assert left(fold_movements, build, "f32[batch, 2, 3]", special=False) == ["Reshape", "Dense"]


def test_movements_behind_dense_layers_go_into_their_columns() -> None:
    def build(b: Build, x: Value, y: Value) -> Any:
        total = b(Add(), b(Relu(), b(Dense(), x, weights(3, 6), weights(6))), b(Dense(Sigmoid()), y, weights(5, 6)))
        scaled = b(Mul(), total, weights(6, seed=4))
        return chain(b, scaled, Reshape((BATCH, 2, 3)), Transpose((0, 2, 1)), Reshape((BATCH, 6)))

    found = left(fold_movements, build, "f32[batch, 3]", "f32[batch, 5]", special=False)
    assert sorted(found) == ["Add", "Dense", "Dense", "Mul", "Relu"]


@pytest.mark.parametrize("op", [Slice((1,), (1,), (4,), (1,)), Slice((1,), (5,), (0,), (-2,))], ids=str)
def test_units_that_nobody_reads_go(op: Op) -> None:
    graph = optimize(fold_movements, lambda b, x: b(op, b(Dense(), x, weights(4, 6), weights(6))), special=False)
    (dense,) = [node for node in graph.order() if isinstance(node.op, Dense)]
    assert dense.output.type.shape == (BATCH, 3)


def test_gathers_of_units() -> None:
    def build(b: Build, x: Value) -> Any:
        return b(Gather(1), b(Dense(), x, weights(4, 6)), np.array([5, 0, 0, -1]))

    assert left(fold_movements, build, special=False) == ["Dense"]


def test_a_larger_kernel_is_not_made() -> None:
    sliced = left(
        fold_movements,
        lambda b, x: b(Dense(), b(Slice((1,), (0,), (2,), (1,)), x), weights(2, 3)),
        special=False,
    )
    assert sliced == ["Slice", "Dense"]
    repeated = left(fold_movements, lambda b, x: b(Tile((1, 2)), b(Dense(), x, weights(4, 3))), special=False)
    assert repeated == ["Dense", "Tile"]


def test_what_is_read_elsewhere_stays() -> None:
    def value(b: Build, x: Value) -> Any:
        tiled = b(Tile((1, 2)), x)
        return b(Dense(), tiled, weights(8, 3)), b(Relu(), tiled)

    def kernel(b: Build, x: Value) -> Any:
        shared = b.constant(weights(8, 3))
        return b(Dense(), b(Tile((1, 2)), x), shared), b(Relu(), shared)

    def dense(b: Build, x: Value) -> Any:
        y = b(Dense(), x, weights(4, 6))
        return chain(b, y, Reshape((BATCH, 2, 3)), Transpose((0, 2, 1)), Reshape((BATCH, 6))), b(Relu(), y)

    for build in (value, kernel):
        assert "Tile" in left(fold_movements, build, special=False)
    assert "Transpose" in left(fold_movements, dense, special=False)


def test_batches_softmax_and_other_pads_stay() -> None:
    def batch(b: Build, x: Value) -> Any:
        return b(Dense(), b(Tile((2, 1)), x), weights(4, 3))

    def softmax(b: Build, x: Value) -> Any:
        return b(Slice((1,), (0,), (2,), (1,)), b(Dense(Softmax(1)), x, weights(4, 3)))

    def ones(b: Build, x: Value) -> Any:
        return b(Dense(), b(Pad((0, 1), (0, 0)), x, np.float32(1)), weights(5, 3))

    def reflected(b: Build, x: Value) -> Any:
        return b(Dense(), b(Pad((0, 1), (0, 0), "reflect"), x), weights(5, 3))

    for build, stays in ((batch, "Tile"), (softmax, "Slice"), (ones, "Pad"), (reflected, "Pad")):
        assert stays in left(fold_movements, build, special=False)


def test_rows_that_repeat_are_multiplied_once() -> None:
    def build(b: Build, x: Value) -> Any:
        repeated = chain(b, x, Reshape((BATCH, 1, 24)), Expand((BATCH, 4, 24)), Reshape((BATCH, 12, 8)))
        return b(Relu(), b(Dense(), repeated, weights(8, 5), weights(5)))

    assert left(fold_movements, build, "f32[batch, 24]", special=False) == ["Reshape", "Dense", "Relu", "Tile"]

    def flat(b: Build, x: Value) -> Any:
        return b(Dense(), b(Reshape((BATCH, 60)), build(b, x)), weights(60, 3))

    found = left((fold_movements, fold_reshapes), flat, "f32[batch, 24]", special=False)
    assert found == ["Reshape", "Dense", "Relu", "Reshape", "Dense"]


def test_rows_that_repeat_in_parts_stay() -> None:
    def build(b: Build, x: Value) -> Any:
        repeated = chain(b, x, Reshape((BATCH, 1, 6)), Expand((BATCH, 2, 6)), Reshape((BATCH, 3, 4)))
        return b(Dense(), repeated, weights(4, 5))

    assert left(fold_movements, build, "f32[batch, 6]", special=False)[-1] == "Dense"
