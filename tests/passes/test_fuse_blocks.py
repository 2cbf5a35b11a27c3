"""Blocks as channels in single operators."""

from __future__ import annotations

from typing import Any

import pytest

from kir.ir.dims import symbol
from kir.ir.graph import Value
from kir.ops.blocks import DepthToSpace, SpaceToDepth
from kir.ops.elementwise import Relu
from kir.ops.shape import Reshape, Transpose
from kir.passes.fold_transposes import fold_transposes
from kir.passes.fuse_blocks import fuse_blocks
from tests.passes.building import Build, left, optimize

BATCH, TIME = symbol("batch"), symbol("time")
WIDER = (BATCH, 3, 4, 2 * TIME)


def three(b: Build, x: Value, middle: Any, order: Any, shape: Any) -> Value:
    value: Value = b(Reshape(shape), b(Transpose(order), b(Reshape(middle), x)))
    return value


@pytest.mark.parametrize(
    ("x", "middle", "order", "shape", "op"),
    [
        ("f32[batch, 12, 2, time]", (BATCH, 2, 2, 3, 2, TIME), (0, 3, 4, 1, 5, 2), WIDER, "DepthToSpace"),
        ("f32[batch, 12, 2, 5]", (BATCH, 3, 2, 2, 2, 5), (0, 1, 4, 2, 5, 3), (BATCH, 3, 4, 10), "DepthToSpace"),
        ("f64[2, 3, 4, 6]", (2, 3, 2, 2, 3, 2), (0, 3, 5, 1, 2, 4), (2, 12, 2, 3), "SpaceToDepth"),
    ],
)
def test_three_movements_become_one(x: str, middle: Any, order: Any, shape: Any, op: str) -> None:
    assert left(fuse_blocks, lambda b, x: three(b, x, middle, order, shape), x) == [op]


@pytest.mark.parametrize(
    ("x", "middle", "order", "shape"),
    [
        # blocks that are no squares, other channels, other axes, dtypes without a kernel
        ("f32[2, 12, 2, 5]", (2, 2, 3, 2, 2, 5), (0, 3, 4, 1, 5, 2), (2, 2, 4, 15)),
        ("f32[2, 12, 2, 5]", (2, 2, 2, 3, 5, 2), (0, 3, 4, 1, 5, 2), (2, 3, 10, 4)),
        ("f32[2, 3, 4, 6]", (2, 3, 2, 2, 2, 3), (0, 3, 5, 1, 2, 4), (2, 18, 2, 2)),
        ("f32[2, 12, 2, 5]", (2, 2, 2, 3, 2, 5), (0, 3, 4, 1, 5, 2), (2, 3, 40)),
        ("i64[2, 12, 2, 5]", (2, 2, 2, 3, 2, 5), (0, 3, 4, 1, 5, 2), (2, 3, 4, 10)),
        ("f32[2, 12, 2, 5]", (2, 4, 3, 2, 1, 5), (0, 3, 4, 1, 5, 2), (2, 2, 4, 15)),
    ],
)
def test_other_movements_stay(x: str, middle: Any, order: Any, shape: Any) -> None:
    assert left(fuse_blocks, lambda b, x: three(b, x, middle, order, shape), x) == ["Reshape", "Transpose", "Reshape"]


def test_a_value_between_that_something_else_reads_stays() -> None:
    def build(b: Build, x: Value) -> Any:
        turned = b(Transpose((0, 3, 4, 1, 5, 2)), b(Reshape((2, 2, 2, 3, 2, 5)), x))
        return b(Reshape((2, 3, 4, 10)), turned), b(Relu(), turned)

    assert left(fuse_blocks, build, "f32[2, 12, 2, 5]") == ["Reshape", "Transpose", "Reshape", "Relu"]


def test_channels_last_between_transposes() -> None:
    def to_space(b: Build, x: Value) -> Any:
        last = b(Transpose((0, 2, 3, 1)), x)
        wide = three(b, last, (BATCH, 2, 5, 2, 2, 3), (0, 1, 3, 2, 4, 5), (BATCH, 4, 10, 3))
        return b(Transpose((0, 3, 1, 2)), wide)

    def to_depth(b: Build, x: Value) -> Any:
        last = b(Transpose((0, 2, 3, 1)), x)
        deep = three(b, last, (BATCH, 2, 2, 3, 2, 5), (0, 1, 3, 2, 4, 5), (BATCH, 2, 3, 20))
        return b(Transpose((0, 3, 1, 2)), deep)

    graph = optimize((fuse_blocks, fold_transposes), to_space, "f32[batch, 12, 2, 5]")
    assert [node.op for node in graph.order()][1:-1] == [DepthToSpace(2)]
    graph = optimize((fuse_blocks, fold_transposes), to_depth, "f32[batch, 5, 4, 6]")
    assert [node.op for node in graph.order()][1:-1] == [SpaceToDepth(2)]


def test_channels_last_alone_stay() -> None:
    shapes = ((2, 2, 5, 2, 2, 3), (0, 1, 3, 2, 4, 5), (2, 4, 10, 3))
    found = left(fuse_blocks, lambda b, x: three(b, x, *shapes), "f32[2, 2, 5, 12]")
    assert found == ["Reshape", "Transpose", "Reshape"]
