"""Blocks as channels: what the table of cases cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from kir.errors import ShapeError
from kir.ir.op import Op
from kir.ir.types import parse_type
from kir.ops.blocks import DepthToSpace, SpaceToDepth


def test_one_mode_keeps_the_channels_of_an_element_together_and_the_other_its_block() -> None:
    x = np.arange(8).reshape(1, 8, 1, 1)
    assert DepthToSpace(2, "DCR").eval(x)[0].tolist() == [[[0, 2], [4, 6]], [[1, 3], [5, 7]]]
    assert DepthToSpace(2, "CRD").eval(x)[0].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def test_one_operator_undoes_the_other() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 6))
    np.testing.assert_array_equal(DepthToSpace(2).eval(SpaceToDepth(2).eval(x)), x)


@pytest.mark.parametrize(
    ("op", "x", "message"),
    [
        (DepthToSpace(2), "f32[1, 6, 1, 1]", "axis 1 to be a multiple of 4"),
        (DepthToSpace(2, "RCD"), "f32[1, 8, 1, 1]", "mode='RCD'"),
        (DepthToSpace(0), "f32[1, 8, 1, 1]", "size of blocks"),
        (SpaceToDepth(2), "f32[1, 8, length, 2]", "axis 2 to be a multiple of 2"),
        (SpaceToDepth(2), "f32[1, 8, 3, 2]", "axis 2 to be a multiple of 2"),
        (SpaceToDepth(2), "f32[8, 4, 2]", "expected x"),
    ],
)
def test_what_has_no_blocks_is_refused(op: Op, x: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.infer(parse_type(x))
