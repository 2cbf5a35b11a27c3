"""Blocks of neighbouring elements as channels, and back."""

from __future__ import annotations

from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ops.blocks import DepthToSpace, SpaceToDepth


@imports("DepthToSpace")
def depth_to_space(call: OperatorCall, x: Operand) -> Results:
    return call.add(DepthToSpace(call.attributes.integer("blocksize"), call.attributes.text("mode", "DCR")), x)


@imports("SpaceToDepth")
def space_to_depth(call: OperatorCall, x: Operand) -> Results:
    return call.add(SpaceToDepth(call.attributes.integer("blocksize")), x)
