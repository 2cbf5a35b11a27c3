"""Cases of attention."""

from __future__ import annotations

from kir.ir.types import parse_type
from kir.ops.attention import Attention
from tests.ops.cases import Case

LONGER = ({"batch": 1, "length": 1, "n": 1}, {"batch": 3, "length": 4, "n": 6})


def attend(heads: int, key_heads: int, *types: str, scale: float = 0.5) -> Case:
    inputs = tuple(parse_type(type) for type in types)
    return Case(Attention(heads, key_heads, scale), inputs, ulps=32, samples=LONGER)


ATTENTION_CASES: list[Case] = [
    attend(2, 2, "f32[2, 3, 8]", "f32[2, 5, 8]", "f32[2, 5, 8]"),
    attend(1, 1, "f32[2, 3, 4]", "f32[2, 5, 4]", "f32[2, 5, 6]", "f32[3, 5]"),
    attend(4, 2, "f32[2, 3, 12]", "f32[2, 5, 6]", "f32[2, 5, 10]", "f32[2, 1, 3, 5]"),
    attend(4, 1, "f32[batch, length, 8]", "f32[batch, n, 2]", "f32[batch, n, 3]", scale=0.125),
    attend(2, 2, "f32[batch, length, 8]", "f32[batch, n, 8]", "f32[batch, n, 4]", "f32[batch, 2, length, n]"),
    attend(2, 2, "f64[2, 3, 8]", "f64[2, 5, 8]", "f64[2, 5, 8]", "f64[1, 1, 3, 5]"),
    attend(2, 1, "f16[2, 3, 8]", "f16[2, 5, 4]", "f16[2, 5, 4]"),
]
