"""Cases of the operators of kir.ops.shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from kir.ir.dims import minimum, symbol
from kir.ir.op import Op
from kir.ir.types import parse_type
from kir.ops.shape import (
    Concat,
    CumSum,
    Expand,
    Gather,
    GatherElements,
    GatherND,
    OneHot,
    Pad,
    Range,
    Reshape,
    ScatterND,
    Size,
    Slice,
    Split,
    Tile,
    TopK,
    Transpose,
    Trilu,
)
from tests.ops.cases import Array, Case, Sizes

BATCH, LENGTH, N = symbol("batch"), symbol("length"), symbol("n")
SHORTER = minimum(LENGTH, N)

# Slices and pads that keep inside their axis need a few elements.
LONG: tuple[Sizes, ...] = ({"batch": 1, "length": 5, "n": 4}, {"batch": 3, "length": 8, "n": 7})


def case(op: Op, *inputs: str | Array | None, **options: Any) -> Case:
    return Case(op, tuple(parse_type(given) if isinstance(given, str) else given for given in inputs), **options)


def indices(values: Any, dtype: Any = np.int64) -> Array:
    return np.array(values, dtype)


REARRANGING_CASES = [
    case(Reshape((6,)), "f32[2, 3]"),
    case(Reshape((BATCH, 12)), "f32[batch, 3, 4]"),
    case(Reshape((BATCH * LENGTH, 4)), "f32[batch, length, 4]"),
    case(Reshape((BATCH, LENGTH, 2, 2)), "f32[batch, length, 4]"),
    case(Reshape((LENGTH, 2, BATCH)), "i64[2, batch, length]"),
    case(Reshape(()), "bool[1, 1]"),
    case(Reshape((1, 1)), "f32[]"),
    case(Reshape((BATCH, 0, 7)), "f32[batch, 0]"),
    case(Transpose((1, 0)), "f32[2, 3]"),
    case(Transpose((0, 2, 1)), "f32[batch, length, 3]"),
    case(Transpose((2, 0, 3, 1)), "i32[batch, 2, length, 3]"),
    case(Transpose((0,)), "bool[n]"),
]

REPEATING_CASES = [
    case(Expand((2, 3)), "f32[1, 3]"),
    case(Expand((BATCH, LENGTH, 3)), "f32[batch, 1, 3]"),
    case(Expand((BATCH, 2)), "f32[]"),
    case(Expand((BATCH, N)), "bool[n]"),
    case(Tile((2, 1)), "f32[2, 3]"),
    case(Tile((1, 3)), "f32[batch, length]"),
    case(Tile((N, 2)), "i64[batch, 2]"),
    case(Tile((0, 2)), "f32[batch, 2]"),
    case(Pad((0, 1), (2, 0)), "f32[2, 3]", None),
    case(Pad((0, 1), (2, 0)), "f32[batch, 3]", np.array(1.5, np.float32)),
    case(Pad((0, 1, 0), (0, N, 0)), "f32[batch, length, 2]", None),
    case(Pad((0, (N - SHORTER) // 2, 0), (0, LENGTH - SHORTER, 0)), "f32[batch, length, n]", None),
    case(Pad((1,), (2,)), "i64[n]", np.array(7)),
    case(Pad((1,), (2,)), "bool[n]", np.array(True)),
    case(Pad((0, 2), (0, 3), "reflect"), "f32[batch, length]", None, samples=LONG),
    case(Pad((0, 2), (1, 3), "edge"), "f32[batch, length]", None),
]

JOINING_CASES = [
    case(Concat(0), "f32[2, 3]", "f32[1, 3]"),
    case(Concat(1), "f32[batch, 3]", "f32[batch, n]", "f32[batch, 0]"),
    case(Concat(0), "i64[length]", "i64[n]"),
    case(Concat(2), "bool[batch, length, 1]", "bool[batch, length, 2]"),
    case(Concat(1), "f32[batch, 3]"),
    case(Split(0, (1, 2)), "f32[3, 2]"),
    case(Split(1, (1, 2)), "f32[batch, 3]"),
    case(Split(1, (N, N, 2)), "f32[batch, 2*n + 2]"),
    case(Split(1, (LENGTH // 2, LENGTH - LENGTH // 2)), "i64[2, length]", samples=LONG),
    case(Split(0, (BATCH,)), "f32[batch, 3]"),
]

SLICE_CASES = [
    case(Slice((0,), (1,), (3,), (1,)), "f32[4, 2]"),
    case(Slice((1,), (0,), (4,), (2,)), "f32[batch, 4]"),
    case(Slice((1,), (1,), (LENGTH,), (1,)), "f32[batch, length]", samples=LONG),
    case(Slice((1,), (1,), (LENGTH - 1,), (3,)), "f32[batch, length]", samples=LONG),
    case(Slice((1,), (LENGTH - 2,), (LENGTH,), (1,)), "f32[batch, length]", samples=LONG),
    case(Slice((1,), (LENGTH - 1,), (-1,), (-1,)), "f32[batch, length]"),
    case(Slice((1,), (LENGTH - 1,), (0,), (-2,)), "i64[batch, length, 2]", samples=LONG),
    case(Slice((0, 2), (2, 0), (-1, 2), (-1, 1)), "f32[3, length, 4]"),
    case(Slice((1,), (2,), (2,), (1,)), "bool[batch, 4]"),
    case(Slice((1,), ((LENGTH - SHORTER) // 2,), ((LENGTH - SHORTER) // 2 + SHORTER,), (1,)), "f32[batch, length, n]"),
    case(Slice((1,), (LENGTH,), (LENGTH,), (1,)), "f32[batch, length]"),
]

GATHERING_CASES = [
    case(Gather(0), "f32[5, 3]", indices([0, 4, -1, -5])),
    case(Gather(0), "f32[5, 3]", "i64[batch, length]", low=-5, high=4),
    case(Gather(1), "f32[batch, 3, 2]", indices([[2, 0]], np.int32)),
    case(Gather(1), "f32[batch, 3, 2]", indices(1)),
    case(Gather(0), "i64[3]", "i32[]", low=0, high=2),
    case(GatherND(0), "f32[2, 3, 4]", indices([[0, 1], [1, -1]])),
    case(GatherND(0), "f32[batch, 3]", indices([[[0, 1]], [[-1, 2]]])),
    case(GatherND(1), "f32[batch, 3, 4]", "i64[batch, length, 1]", low=-3, high=2),
    case(GatherND(1), "f32[batch, 3, 3]", "i64[batch, 2]", low=-3, high=2),
    case(GatherElements(1), "f32[2, 3]", indices([[2, 0], [-1, 1]])),
    case(GatherElements(1), "f32[batch, 3]", "i64[batch, length]", low=-3, high=2),
    case(GatherElements(0), "f32[4, 3]", "i32[n, 2]", low=-4, high=3),
    case(ScatterND(), "f32[4, 2]", indices([[1], [3]]), "f32[2, 2]"),
    case(ScatterND(), "f32[4, length]", indices([[-1], [2]]), "f32[2, length]"),
    case(ScatterND(), "i64[batch, 3]", indices([[0, 1], [-1, 2]]), "i64[2]"),
    case(OneHot(4, 1), indices([0, 3, -1, 9]), np.array([0, 1], np.float32)),
    case(OneHot(4, 2), "i64[batch, length]", np.array([-1, 1], np.float32), low=-4, high=5),
    case(OneHot(N, 0), "i64[batch]", np.array([0, 1]), low=0, high=4),
]

INTEGER_CASES = [
    case(Range(0, 5)),
    case(Range(0, N)),
    case(Range(1, LENGTH, 2)),
    case(Range(LENGTH - 1, -1, -1)),
    case(Range(LENGTH, LENGTH + N)),
    case(Size(7)),
    case(Size(BATCH)),
    case(Size(3 * BATCH * LENGTH + 1)),
    case(Size(LENGTH // 2)),
]

TIED = np.array([[1, 3, 3, 0, 3], [2, 2, 2, 2, 2]], np.float32)

ORDER_CASES = [
    case(TopK(3, 1), TIED),
    case(TopK(3, 1, largest=False), TIED),
    case(TopK(2, 1), "f32[batch, 5]"),
    case(TopK(LENGTH, 1), "f32[batch, length, 2]"),
    case(TopK(LENGTH, 1, largest=False), "i64[batch, length]", low=0, high=3),
    case(TopK(0, 0), "f32[n]"),
    case(TopK(1, 0, sorted=False), np.array([1, 3, 2], np.float32)),
    case(CumSum(0), "f32[4]"),
    case(CumSum(1), "f32[batch, length, 2]"),
    case(CumSum(1, exclusive=True), "f32[batch, length]"),
    case(CumSum(1, reverse=True), "i64[batch, length]"),
    case(CumSum(0, exclusive=True, reverse=True), "i32[length, batch]"),
    case(Trilu(), "f32[3, 3]"),
    case(Trilu(upper=False), "f32[batch, length, 3]"),
    case(Trilu(upper=True, k=1), "i64[batch, 3, length]"),
    case(Trilu(upper=False, k=-1), "f32[length, n]"),
]

SHAPE_CASES: list[Case] = (
    REARRANGING_CASES + REPEATING_CASES + JOINING_CASES + SLICE_CASES + GATHERING_CASES + INTEGER_CASES + ORDER_CASES
)
