"""Cases of the reductions."""

from __future__ import annotations

import numpy as np

from kir.ir.op import Op
from kir.ir.types import parse_type
from kir.ops.reduce import (
    ArgMax,
    ArgMin,
    ReduceL1,
    ReduceL2,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    ReduceSumSquare,
)
from tests.ops.cases import Case

FLOAT_ONLY = (ReduceMean, ReduceL2, ReduceLogSumExp)
ANY_NUMBER = (ReduceSum, ReduceMax, ReduceMin, ReduceProd, ReduceL1, ReduceSumSquare)
AXES = (("[2, 3]", (1,)), ("[batch, 3, length]", (0, 2)), ("[2, batch, 4]", (1,)), ("[length]", (0,)), ("[]", ()))
IMAGES = parse_type("f32[batch, 3, length, 4]")


def _reductions() -> list[Case]:
    return [
        Case(cls(axes, keepdims), (parse_type(f"{dtype}{shape}"),))
        for cls in (*FLOAT_ONLY, *ANY_NUMBER)
        for dtype in (("f32",) if cls in FLOAT_ONLY else ("f32", "i32"))
        for shape, axes in AXES
        for keepdims in (False, True)
    ]


def _extremes() -> list[Case]:
    ties = np.array([[1, 3, 3, 0, 0], [2, 2, 2, 2, 2]], np.float32)
    rows = []
    for keepdims in (False, True):
        ops: tuple[Op, ...] = (ArgMax(1, keepdims), ArgMin(1, keepdims))
        for op in ops:
            rows += [Case(op, (given,)) for given in (ties, parse_type("f32[batch, 3]"), parse_type("i32[3, length]"))]
    return rows


REDUCE_CASES: list[Case] = [
    *_reductions(),
    *_extremes(),
    *(Case(ReduceMean((2, 3), keepdims), (IMAGES,)) for keepdims in (False, True)),
]
