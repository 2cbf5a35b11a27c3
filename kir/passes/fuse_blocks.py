"""Blocks of neighbouring elements as channels, in single operators."""

from __future__ import annotations

from kir.errors import KirError
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Op
from kir.ir.types import DType, Shape, TensorType
from kir.ops.blocks import DepthToSpace, SpaceToDepth
from kir.ops.shape import Reshape, Transpose
from kir.passes.rewrite import add_for, exact_pass, given, op_of, rewrite, rule

# What onnxruntime has kernels for.
DTYPES = (DType.FLOAT32, DType.FLOAT64)

# The permutations between the two Reshapes, with channels first and last.
TO_SPACE = {(0, 3, 4, 1, 5, 2): "DCR", (0, 1, 4, 2, 5, 3): "CRD"}
TO_DEPTH = (0, 3, 5, 1, 2, 4)
LAST = (0, 1, 3, 2, 4, 5)

FIRST_TO_LAST = (0, 2, 3, 1)
LAST_TO_FIRST = (0, 3, 1, 2)


@exact_pass
def fuse_blocks(graph: Graph) -> int:
    """Reshape(Transpose(Reshape(x))) → DepthToSpace(x)

    1. The middle value has six axes: the two sides of blocks, their places, batch and channels. SpaceToDepth likewise.
    2. With channels last: between two Transposes, one of which cancels a Transpose before or after.

    Nothing else reads the values between. The dtype is float32 or float64, for which onnxruntime has kernels.
    Exact: elements move to the same places.
    """
    return rewrite(graph, (fuse_channels_first, fuse_channels_last)) if graph.has_any(Transpose) else 0


@rule(Reshape, above=[Transpose, Reshape], once=True)
def fuse_channels_first(graph: Graph, node: Node, turned: Node, first: Node) -> Value | None:
    x, shape = given(first.inputs[0]), op_of(first, Reshape).shape
    permutation = op_of(turned, Transpose).permutation
    if len(shape) != 6 or x.type.dtype not in DTYPES:
        return None
    op: Op | None = None
    if permutation in TO_SPACE:
        mode = TO_SPACE[permutation]
        sides = shape[1:3] if mode == "DCR" else shape[2:4]
        op = DepthToSpace(_block(sides), mode)
        middle: Shape = (*sides, shape[3]) if mode == "DCR" else (shape[1], *sides)
        is_split = shape == (x.type.shape[0], *middle, *x.type.shape[2:])
    elif permutation == TO_DEPTH:
        op = SpaceToDepth(_block((shape[3], shape[5])))
        is_split = shape[:2] == x.type.shape[:2]
    if op is None or not is_split or not _gives(op, x.type, node.output.type):
        return None
    return add_for(graph, node, op, x)


@rule(Reshape, above=[Transpose, Reshape], once=True)
def fuse_channels_last(graph: Graph, node: Node, turned: Node, first: Node) -> Value | None:
    x, shape = given(first.inputs[0]), op_of(first, Reshape).shape
    if op_of(turned, Transpose).permutation != LAST or len(shape) != 6 or x.type.dtype not in DTYPES:
        return None
    if not _is_turned(graph, node, x):
        return None
    op: Op
    if shape[:3] == x.type.shape[:3]:
        op = DepthToSpace(_block(shape[3:5]))
    elif shape[0] == x.type.shape[0] and shape[5] == x.type.shape[-1]:
        op = SpaceToDepth(_block((shape[2], shape[4])))
    else:
        return None
    before = Transpose(LAST_TO_FIRST)
    after = Transpose(FIRST_TO_LAST)
    if x.type.rank != 4 or not _gives(op, before.infer(x.type), before.infer(node.output.type)):
        return None
    return add_for(graph, node, after, add_for(graph, node, op, add_for(graph, first, before, x)))


def _is_turned(graph: Graph, node: Node, x: Value) -> bool:
    """Return whether a Transpose of layouts comes before or after: it will cancel one of the two that are added."""
    if x.node.op == Transpose(FIRST_TO_LAST) and graph.is_read_once(x.node):
        return True
    readers = graph.consumers(node)
    return bool(readers) and all(reader.op == Transpose(LAST_TO_FIRST) for reader in readers)


def _block(sides: Shape) -> int:
    """Return the size of blocks with these sides, or 0 if they have none."""
    return sides[0] if len(set(sides)) == 1 and isinstance(sides[0], int) else 0


def _gives(op: Op, before: TensorType, after: TensorType) -> bool:
    try:
        return op.infer(before) == after
    except KirError:
        return False
