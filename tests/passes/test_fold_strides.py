from typing import Any

import numpy as np
import pytest

from kir.ir.dims import Dim, symbol
from kir.ir.graph import Value
from kir.ir.op import Op
from kir.ops.convolution import Conv
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.shape import Slice
from kir.passes.fold_strides import fold_strides
from tests.passes.building import Build, Builder, left, optimize, weights

IMAGE = "f32[batch, 2, 5, time]"
TIME = symbol("time")
NO_PADDING = (0, 0, 0, 0)


def conv(
    front: Op, padding: tuple[int, ...] | str = NO_PADDING, size: int = 1, strides: tuple[int, int] = (1, 1)
) -> Builder:
    return lambda b, x: b(Conv(strides, (1, 1), 1, padding), b(front, x), weights(3, 2, size, size), weights(3))


def pool(
    cls: type[AveragePool] | type[MaxPool], size: tuple[int, int] = (1, 1), padding: tuple[int, ...] | str = NO_PADDING
) -> Op:
    counted = (False,) if cls is AveragePool else ()
    return cls(size, (2, 3), (1, 1), padding, False, *counted)


def step(axis: int, size: Dim, start: int = 0, end: int | None = None, by: int = 2) -> Slice:
    return Slice((axis,), (start,), (size if end is None else end,), (by,))


def read_twice(b: Build, x: Value) -> Any:
    front = b(pool(MaxPool), x)
    return b(Conv((1, 1), (1, 1), 1, NO_PADDING), front, weights(3, 2, 1, 1)), front


CASES = {
    "1": (conv(step(2, 5)), ["Conv"]),
    "1 an unknown size": (conv(step(3, TIME)), ["Conv"]),
    "1 with strides": (conv(step(3, TIME, by=3), strides=(1, 2)), ["Conv"]),
    "1 not from another element on": (conv(step(2, 5, start=1)), ["Slice", "Conv"]),
    "1 not up to another element": (conv(step(2, 5, end=3)), ["Slice", "Conv"]),
    "1 not backwards": (conv(Slice((2,), (4,), (-1,), (-2,))), ["Slice", "Conv"]),
    "1 not of larger kernels": (conv(step(2, 5), size=2), ["Slice", "Conv"]),
    "1 not with padding": (conv(step(2, 5), padding=(1, 0, 0, 0)), ["Slice", "Conv"]),
    "2 mean": (conv(pool(AveragePool)), ["Conv"]),
    "2 maximum": (conv(pool(MaxPool)), ["Conv"]),
    "2 with the same size": (conv(pool(MaxPool, padding="same"), padding="same"), ["Conv"]),
    "2 with strides": (conv(pool(MaxPool), strides=(2, 3)), ["Conv"]),
    "2 something else reads it": (read_twice, ["Conv", "MaxPool"]),
    "2 not of several elements": (conv(pool(MaxPool, size=(1, 2))), ["MaxPool", "Conv"]),
    "2 not with padding": (conv(pool(AveragePool, padding=(0, 1, 1, 0))), ["AveragePool", "Conv"]),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    assert sorted(left(fold_strides, build, IMAGE, special=False)) == sorted(expected)


def test_strides_are_multiplied() -> None:
    graph = optimize(fold_strides, conv(pool(MaxPool), strides=(2, 3)), IMAGE, special=False)
    assert [node.op.strides for node in graph.order() if isinstance(node.op, Conv)] == [(4, 9)]


def test_channels_are_no_stride() -> None:
    def build(b: Build, x: Value) -> Any:
        return b(Conv((1, 1), (1, 1), 1, NO_PADDING), b(step(1, 2), x), np.ones((3, 1, 1, 1), np.float32))

    assert left(fold_strides, build, IMAGE, special=False) == ["Slice", "Conv"]
