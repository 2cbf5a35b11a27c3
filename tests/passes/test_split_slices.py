"""Slices that are all the parts of a value."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from kir.ir.dims import symbol
from kir.ir.graph import Value
from kir.ops.elementwise import Relu, Tanh
from kir.ops.shape import Gather, Reshape, Slice, Split
from kir.passes.split_slices import split_slices
from tests.passes.building import Build, left, optimize

TIME = symbol("time")


def cut(axis: int, start: Any, end: Any, step: int = 1) -> Slice:
    return Slice((axis,), (start,), (end,), (step,))


@pytest.mark.parametrize("bounds", [(0, 3, 7), (0, 1, 2, 7)])
def test_consecutive_slices_become_one_split(bounds: tuple[int, ...]) -> None:
    def build(b: Build, x: Value) -> Any:
        parts = list(pairwise(bounds))
        return tuple(b(Relu(), b(cut(1, *part), x)) for part in reversed(parts))

    found = left(split_slices, build, "f32[batch, 7]")
    assert sorted(found) == ["Relu"] * (len(bounds) - 1) + ["Split"]


def test_parts_of_an_axis_of_unknown_size() -> None:
    graph = optimize(
        split_slices, lambda b, x: (b(cut(1, 0, 2), x), b(Tanh(), b(cut(1, 2, TIME), x))), "f32[batch, time]"
    )
    assert [node.op for node in graph.order() if isinstance(node.op, Split)] == [Split(1, (2, TIME - 2))]


def test_gathers_of_consecutive_indices() -> None:
    def build(b: Build, x: Value) -> Any:
        first = b(Gather(1), x, np.array([0, 1]))
        return first, b(Gather(1), x, np.array([2, 3, 4])), b(Gather(1), x, np.array([-1]))

    assert left(split_slices, build, "f32[batch, 6, 2]") == ["Split"]


def test_gathers_of_one_index_that_are_reshaped_anyway() -> None:
    def build(b: Build, x: Value) -> Any:
        return tuple(b(Reshape((2, 2, 2)), b(Gather(0), x, np.array(index))) for index in (0, 1, -1))

    assert left(split_slices, build, "f32[3, 8]") == ["Split", "Reshape", "Reshape", "Reshape"]


@pytest.mark.parametrize(
    "parts",
    [
        [(0, 3), (4, 7)],  # a gap
        [(0, 3), (2, 7)],  # an overlap
        [(0, 3), (3, 6)],  # not to the end
        [(1, 3), (3, 7)],  # not from the beginning
        [(0, 7, 2), (1, 7, 2)],  # steps
    ],
)
def test_other_slices_stay(parts: list[Any]) -> None:
    found = left(split_slices, lambda b, x: tuple(b(cut(1, *part), x) for part in parts), "f32[2, 7]")
    assert found == ["Slice", "Slice"]


def test_gathers_stay_where_reshapes_would_be_needed_and_dtypes_without_a_kernel() -> None:
    def gathers(b: Build, x: Value) -> Any:
        return tuple(b(Gather(1), x, np.array(index)) for index in (0, 1))

    assert left(split_slices, gathers, "f32[3, 2]") == ["Gather", "Gather"]
    assert left(split_slices, lambda b, x: (b(cut(0, 0, 1), x), b(cut(0, 1, 2), x)), "bool[2]") == ["Slice", "Slice"]


def test_a_slice_of_another_axis_joins_the_one_before() -> None:
    assert left(split_slices, lambda b, x: b(cut(1, 1, 4, 2), b(cut(0, 0, 2), x)), "f32[3, 5]") == ["Slice"]
    assert left(split_slices, lambda b, x: b(cut(0, 1, 2), b(cut(0, 0, 2), x)), "f32[3, 5]") == ["Slice", "Slice"]


def test_a_value_between_two_slices_that_something_else_reads_stays() -> None:
    def build(b: Build, x: Value) -> Any:
        inner = b(cut(0, 0, 2), x)
        return b(cut(1, 1, 4), inner), b(Relu(), inner)

    assert left(split_slices, build, "f32[3, 5]") == ["Slice", "Slice", "Relu"]


def test_parts_of_parts() -> None:
    """The second Split reads what was a Slice before the first."""

    def build(b: Build, x: Value) -> Any:
        first, second = b(cut(1, 0, 2), x), b(cut(1, 2, 6), x)
        return b(cut(2, 0, 3), first), b(cut(2, 3, 4), first), second

    assert left(split_slices, build, "f32[batch, 6, 4]") == ["Split", "Split"]
