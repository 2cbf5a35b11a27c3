"""Convolutions of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from kir.ir.graph import Value
from kir.ops.blocks import SpaceToDepth
from kir.ops.convolution import Conv
from kir.ops.elementwise import Relu
from kir.ops.shape import Concat, Slice
from kir.passes.fold_blocks import fold_blocks
from tests.passes.building import Build, known_size, left, optimize, weights

CONV = Conv((1, 1), (1, 1), 1, (1, 1, 1, 1))
PLACES = ((0, 0), (1, 0), (0, 1), (1, 1))


def part(b: Build, x: Value, start: Sequence[int]) -> Value:
    """Return every other row, and of these every other column."""
    rows: Value = b(Slice((2,), (start[0],), (known_size(x, 2),), (2,)), x)
    columns: Value = b(Slice((3,), (start[1],), (known_size(x, 3),), (2,)), rows)
    return columns


def test_slices_of_blocks_go_into_the_kernel() -> None:
    def build(b: Build, x: Value) -> Any:
        return b(CONV, b(Concat(1), *(part(b, x, place) for place in PLACES)), weights(4, 12, 3, 3), weights(4))

    graph = optimize(fold_blocks, build, "f32[batch, 3, 8, 10]", special=False)
    assert [node.op for node in graph.order() if isinstance(node.op, Conv)] == [
        replace(CONV, strides=(2, 2), padding=(2, 2, 2, 2))
    ]
    assert left(fold_blocks, build, "f32[batch, 3, 8, 10]", special=False) == ["Conv"]


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 0, 2)])
def test_space_to_depth_goes_into_the_kernel(padding: tuple[int, ...]) -> None:
    def build(b: Build, x: Value) -> Any:
        return b(Conv((1, 2), (1, 1), 1, padding), b(SpaceToDepth(3), x), weights(2, 18, 3, 1))

    assert left(fold_blocks, build, "f32[2, 2, 9, 12]", special=False) == ["Conv"]


def test_one_axis() -> None:
    def build(b: Build, x: Value) -> Any:
        parts = [b(Slice((2,), (start,), (9,), (3,)), x) for start in (2, 0, 1)]
        return b(Conv((1,), (1,), 1, (0, 0)), b(Concat(1), *parts), weights(2, 6, 2))

    assert left(fold_blocks, build, "f32[batch, 2, 9]", special=False) == ["Conv"]


@pytest.mark.parametrize("places", [PLACES[:3], (*PLACES[:3], (0, 0))], ids=["missing", "twice"])
def test_blocks_of_other_elements_stay(places: Any) -> None:
    def build(b: Build, x: Value) -> Any:
        parts = [part(b, x, place) for place in places]
        return b(CONV, b(Concat(1), *parts), weights(2, 3 * len(parts), 3, 3))

    assert left(fold_blocks, build, "f32[2, 3, 8, 10]", special=False)[-2:] == ["Concat", "Conv"]


@pytest.mark.parametrize(
    "op", [replace(CONV, dilations=(2, 2)), replace(CONV, groups=2), replace(CONV, padding="same")]
)
def test_other_convolutions_stay(op: Conv) -> None:
    def build(b: Build, x: Value) -> Any:
        return b(op, b(SpaceToDepth(2), x), weights(2, 8 // op.groups, 3, 3))

    assert left(fold_blocks, build, "f32[2, 2, 8, 12]", special=False) == ["SpaceToDepth", "Conv"]


def test_blocks_that_something_else_reads_and_computed_kernels_stay() -> None:
    def read_twice(b: Build, x: Value) -> Any:
        deep = b(SpaceToDepth(2), x)
        return b(CONV, deep, weights(2, 8, 3, 3)), b(Relu(), deep)

    def computed(b: Build, x: Value, kernel: Value) -> Any:
        return b(CONV, b(SpaceToDepth(2), x), kernel)

    assert "SpaceToDepth" in left(fold_blocks, read_twice, "f32[2, 2, 8, 12]", special=False)
    assert "SpaceToDepth" in left(fold_blocks, computed, "f32[2, 2, 8, 12]", "f32[2, 8, 3, 3]", special=False)
