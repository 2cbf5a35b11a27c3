from typing import Any

import numpy as np
import pytest

from kir.ir.dims import Dim, symbol
from kir.ir.graph import Value
from kir.ir.op import Op
from kir.ops.convolution import Conv
from kir.ops.elementwise import Relu, Sin
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.shape import Pad, Slice
from kir.passes.fold_pads import fold_pads
from tests.passes.building import Array, Build, Builder, f32, left, optimize, weights

IMAGE = "f32[batch, 2, 5, 4]"
ZEROS = Pad((0, 0, 1, 0), (0, 0, 2, 1))


def conv(
    padding: tuple[int, ...] | str = (0, 0, 0, 0), pad: Op = ZEROS, value: Array | None = None, front: Op | None = None
) -> Builder:
    def build(b: Build, x: Value) -> Any:
        x = b(pad, b(front, x) if front else x, *([] if value is None else [value]))
        return b(Conv((2, 1), (1, 1), 1, padding), x, weights(3, 2, 3, 2))

    return build


def pool(op: Op, front: Op | None = None, pad: Op = ZEROS) -> Builder:
    return lambda b, x: b(op, b(pad, b(front, x) if front else x))


def average(padding: tuple[int, ...] | str = (0, 0, 0, 0), ceil: bool = False, counted: bool = False) -> AveragePool:
    return AveragePool((3, 2), (2, 1), (1, 1), padding, ceil, counted)


def maximum(size: int = 3, padding: tuple[int, ...] | str = (0, 0, 0, 0), ceil: bool = False) -> MaxPool:
    return MaxPool((size, size), (2, 1), (1, 1), padding, ceil)


def sliced(front: int, end: Dim, axis: int = 2, pad: Op = ZEROS, value: Array | None = None, step: int = 1) -> Builder:
    """Of 8 elements, or 5 of another axis."""
    operands = [] if value is None else [value]
    return lambda b, x: b(Slice((axis,), (front,), (end,), (step,)), b(pad, x, *operands))


def padded_read_twice(b: Build, x: Value) -> Any:
    padded = b(ZEROS, x)
    return b(Slice((2,), (2,), (8,), (1,)), padded), padded


def read_twice(b: Build, x: Value) -> Any:
    padded = b(ZEROS, x)
    op = Conv((1, 1), (1, 1), 1, (0, 0, 0, 0))
    return b(op, padded, weights(3, 2, 3, 2)), b(op, padded, weights(4, 2, 3, 2))


CASES = {
    "1": (conv(), ["Conv"]),
    "1 with padding": (conv((0, 1, 1, 0)), ["Conv"]),
    "1 a zero that is given": (conv(value=f32(0)), ["Conv"]),
    "1 two readers": (read_twice, ["Conv", "Conv"]),
    "1 not if it is the same": (conv("same"), ["Pad", "Conv"]),
    "1 not of other numbers": (conv(value=f32(1)), ["Pad", "Conv"]),
    "1 not of other modes": (conv(pad=Pad((0, 0, 1, 0), (0, 0, 2, 1), "edge")), ["Pad", "Conv"]),
    "2": (pool(average()), ["AveragePool"]),
    "2 with padding": (pool(average((1, 0, 0, 0), counted=True)), ["AveragePool"]),
    "2 not with padding that does not count": (pool(average((0, 1, 1, 0))), ["Pad", "AveragePool"]),
    "2 not with a last window over the end": (pool(average(ceil=True)), ["Pad", "AveragePool"]),
    "2 not with windows of padding alone": (
        pool(AveragePool((2, 2), (1, 1), (1, 1), (0, 0, 0, 0), False, False)),
        ["Pad", "AveragePool"],
    ),
    "3": (pool(maximum(), Relu()), ["Relu", "MaxPool"]),
    "3 not of elements below zero": (pool(maximum(), Sin()), ["Sin", "Pad", "MaxPool"]),
    "3 not of anything": (pool(maximum()), ["Pad", "MaxPool"]),
    "3 not if windows are padding alone": (pool(maximum(2), Relu()), ["Relu", "Pad", "MaxPool"]),
    "4 of x": (sliced(2, 8), ["Slice", "Pad"]),
    "4 of x on both sides": (sliced(2, 5), ["Slice", "Pad"]),
    "4 of what is padded": (sliced(1, 7), ["Pad"]),
    "4 of all that is padded": (sliced(1, 6, pad=Pad((0, 0, 1, 0), (0, 0, 2, 0))), []),
    "4 a number that is given": (sliced(2, 8, value=f32(3)), ["Slice", "Pad"]),
    "4 an unknown size": (
        sliced(1, symbol("batch") + 1, axis=0, pad=Pad((0, 0, 0, 0), (1, 0, 0, 0))),
        ["Slice", "Pad"],
    ),
    "4 not of an unknown size that may be all": (
        sliced(2, symbol("batch") + 1, axis=0, pad=Pad((0, 0, 0, 0), (1, 0, 0, 0))),
        ["Pad", "Slice"],
    ),
    "4 not of padding alone": (sliced(7, 8), ["Pad", "Slice"]),
    "4 not of some elements": (sliced(2, 8, step=2), ["Pad", "Slice"]),
    "4 not of other modes": (sliced(2, 8, pad=Pad((0, 0, 1, 0), (0, 0, 2, 1), "edge")), ["Pad", "Slice"]),
    "4 not if something else reads it": (padded_read_twice, ["Pad", "Slice"]),
    "3 not with padding": (pool(maximum(3, (1, 1, 1, 1)), Relu()), ["Relu", "Pad", "MaxPool"]),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    assert left(fold_pads, build, IMAGE, special=False) == expected


def test_sizes_are_added() -> None:
    graph = optimize(fold_pads, conv((0, 1, 1, 0)), IMAGE, special=False)
    assert [node.op.padding for node in graph.order() if isinstance(node.op, Conv)] == [(1, 1, 3, 1)]


def test_channels_and_unknown_sizes_stay() -> None:
    channels = Pad((0, 1, 0, 0), (0, 0, 0, 0))
    unknown = Pad((0, 0, symbol("batch"), 0), (0, 0, 0, 0))
    for pad, channels_in in ((channels, 3), (unknown, 2)):

        def build(b: Build, x: Value, pad: Op = pad, channels_in: int = channels_in) -> Any:
            op = Conv((1, 1), (1, 1), 1, (0, 0, 0, 0))
            return b(op, b(pad, x), np.ones((1, channels_in, 1, 1), np.float32))

        assert left(fold_pads, build, IMAGE, special=False) == ["Pad", "Conv"]
