"""Cases of the random operators where they draw nothing; what they draw is tested in test_random.py."""

from __future__ import annotations

import numpy as np

from kir.ir.dims import symbol
from kir.ir.types import parse_type
from kir.ops.random import Dropout, RandomNormalLike
from tests.ops.cases import Case

RANDOM_CASES: list[Case] = [
    Case(Dropout(0.5, None, None), (parse_type("f32[batch, 3]"), None)),
    Case(Dropout(0.5, None, 7), (parse_type("f32[2, 3]"), np.array(False))),
    Case(Dropout(0.5, (symbol("batch"), 1, 3), 7), (parse_type("f32[batch, length, 3]"), np.array(False))),
    # Of no elements all numbers are the same.
    Case(RandomNormalLike(0.0, 1.0, None), (parse_type("f32[0, 3]"),)),
    Case(RandomNormalLike(1.0, 0.3, 7), (parse_type("f32[batch, 0]"),)),
]
