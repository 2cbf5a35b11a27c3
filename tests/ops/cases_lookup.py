"""Cases of the operators that look elements up."""

from __future__ import annotations

import numpy as np

from kir.ir.types import parse_type
from kir.ops.lookup import Lookup
from tests.ops.cases import Case

WORDS = np.array([["a", "é", "nobody"], ["", "a", "two words"]], object)
TO_INDEX = Lookup(("a", "é", "", "two words", "e"), (5, 4, 3, 2, 1), -1)

LOOKUP_CASES: list[Case] = [
    Case(TO_INDEX, (WORDS,)),
    Case(TO_INDEX, (WORDS.reshape(3, 1, 2),)),
    Case(Lookup((1, 2), ("a", "ü"), "[UNK]"), (parse_type("i64[batch, length]"),), low=0, high=3),
    Case(Lookup((-4, 7), (0, 1), 2), (parse_type("i64[n]"),), low=-5, high=8),
    Case(Lookup(("a", "b"), ("x", "y"), "z"), (WORDS[:, 0],)),
]
