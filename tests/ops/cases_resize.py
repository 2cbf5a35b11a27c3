"""Cases of Resize."""

from __future__ import annotations

from kir.ir.dims import symbol
from kir.ir.types import parse_type
from kir.ops.resize import Resize
from tests.ops.cases import Case, Sizes

BATCH, LENGTH, N = symbol("batch"), symbol("length"), symbol("n")
# Roundings of places, which make the error grow with the number of elements.
SAMPLES: tuple[Sizes, ...] = ({"batch": 1, "length": 4, "n": 3}, {"batch": 3, "length": 7, "n": 6})

RESIZE_CASES: list[Case] = [
    Case(Resize((1, 4, 6, 2), "nearest"), (parse_type("f32[1, 2, 3, 2]"),)),
    Case(Resize((BATCH, 3, 2 * LENGTH), "nearest"), (parse_type("f32[batch, 3, length]"),)),
    Case(Resize((BATCH, 3, 2, 3 * N, 2), "nearest"), (parse_type("f32[batch, 3, 1, n, 2]"),), samples=SAMPLES),
    Case(Resize((BATCH, 5, 7, 2), "linear"), (parse_type("f32[batch, 3, 4, 2]"),), ulps=32),
    Case(Resize((BATCH, 2, 2, 7), "linear"), (parse_type("f32[batch, 2, 5, 3]"),), ulps=32),
    Case(Resize((1, 2, 8, 6), "linear"), (parse_type("f32[1, 2, 4, 3]"),), ulps=32),
    Case(Resize((BATCH, 2, 5, 6), "linear"), (parse_type("f32[batch, 2, length, n]"),), ulps=32, samples=SAMPLES),
    Case(Resize((BATCH, 2 * LENGTH, N, 2), "linear"), (parse_type("f32[batch, length, n, 2]"),), ulps=32),
    Case(Resize((BATCH, 2, 9, 5), "cubic"), (parse_type("f32[batch, 2, 4, 6]"),), ulps=32),
    Case(Resize((1, 2, 3, 12), "cubic"), (parse_type("f32[1, 2, 3, 4]"),), ulps=32),
    Case(Resize((BATCH, 2 * LENGTH, 3 * N, 2), "cubic"), (parse_type("f32[batch, length, n, 2]"),), ulps=32),
]
