"""Cases of the sparse operators."""

from __future__ import annotations

import numpy as np

from kir.ir.dims import symbol
from kir.ir.types import parse_type
from kir.ops.sparse import SparseToDense
from tests.ops.cases import Case

SIZE = np.array([5, 3])
INDICES = np.array([[0, 0], [4, 2], [1, 1], [4, 2]])  # one of them twice: its values add up

SPARSE_CASES: list[Case] = [
    Case(SparseToDense((5, 3)), (INDICES, parse_type("f32[4]"), SIZE), since=16),
    Case(
        SparseToDense((symbol("batch"), 3)),
        (parse_type("i64[n, 2]"), parse_type("f32[n]"), SIZE),
        low=0,
        high=2,
        samples=({"batch": 5, "n": 1}, {"batch": 5, "n": 8}),
        since=16,
    ),
]
