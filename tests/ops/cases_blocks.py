"""Cases of the operators of kir.ops.blocks."""

from __future__ import annotations

from kir.ir.types import parse_type
from kir.ops.blocks import DepthToSpace, SpaceToDepth
from tests.ops.cases import Case

BLOCKS_CASES: list[Case] = [
    Case(DepthToSpace(2), (parse_type("f32[2, 12, 3, 1]"),)),
    Case(DepthToSpace(2), (parse_type("f32[batch, 8, length, 3]"),)),
    Case(DepthToSpace(3, "CRD"), (parse_type("f32[batch, 18, 2, length]"),)),
    Case(DepthToSpace(2, "CRD"), (parse_type("f64[2, 8, 3, 1]"),)),
    Case(DepthToSpace(1), (parse_type("f32[2, 3, 0, 1]"),)),
    Case(DepthToSpace(2, "CRD"), (parse_type("f32[2, 8, 3, 0]"),)),
    Case(DepthToSpace(2), (parse_type("f32[0, 8, 3, 2]"),)),
    Case(SpaceToDepth(2), (parse_type("f32[2, 3, 0, 4]"),)),
    Case(SpaceToDepth(2), (parse_type("f32[2, 3, 4, 2]"),)),
    Case(SpaceToDepth(3), (parse_type("f32[batch, 2, 3, 6]"),)),
    Case(SpaceToDepth(2), (parse_type("f64[batch, 1, 2, 4]"),)),
]
