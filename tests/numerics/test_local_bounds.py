"""The bounds of single operators."""

from __future__ import annotations

import numpy as np

from kir.numerics.local_bounds import expect_results
from kir.ops.nn import Softmax
from tests.passes.building import Build


def test_an_operator_may_get_nothing() -> None:
    build = Build("f32[batch, 3]")
    node = build(Softmax(0), build.inputs[0]).node
    (expected,) = expect_results(node, node.op, [np.zeros((0, 3), np.float32)])
    assert expected.reference.shape == expected.allowed.shape == (0, 3)
