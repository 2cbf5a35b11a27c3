"""Cases of the operators of kir.ops.nn."""

from __future__ import annotations

from kir.ir.types import parse_type
from kir.ops.nn import LogSoftmax, Softmax
from tests.ops.cases import Case

NN_CASES: list[Case] = [
    Case(cls(axis), (parse_type(f"f32{shape}"),), -5, 5)
    for cls in (Softmax, LogSoftmax)
    for shape, axis in (("[2, 3]", 1), ("[batch, 5]", 1), ("[batch, length, 3]", 1), ("[length, 2, 4]", 0))
]
