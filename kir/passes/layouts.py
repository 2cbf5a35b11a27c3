"""Operators whose operands have their axes in another order: what `move_transposes` knows of each operator.

A layout is told by a permutation: axis `i` of the value in the other layout is axis ``permutation[i]`` of the value.
Who knows the permutation of one operand of an operator knows, for those below, those of all others, and which
operator computes the same of them:

    Concat(3)        of (n, h, w, c), permuted by (0, 3, 1, 2): Concat(1)
    Reshape          where no axes are taken apart that it merges or splits
    ReduceSum((1,))  without keepdims: the permutation of what is left
    Dense            of (n, h, w, c), permuted by (0, 3, 1, 2): a convolution of 1 by 1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kir.errors import KirError
from kir.ir.graph import Node, Value
from kir.ir.op import Op
from kir.ir.structural import Constant, Input, Output
from kir.ir.types import DType, Shape, TensorType
from kir.ops.convolution import Conv
from kir.ops.elementwise import ELEMENTWISE
from kir.ops.linear import Dense
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.normalization import LayerNormalization
from kir.ops.random import Dropout
from kir.ops.reduce import (
    ArgMax,
    ArgMin,
    ReduceL1,
    ReduceL2,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    ReduceSumSquare,
)
from kir.ops.resize import Resize
from kir.ops.shape import Concat, CumSum, Expand, Gather, Pad, Reshape, Slice, Split, Tile
from kir.ops.windows import MAX_SPATIAL
from kir.passes.fold_transposes import match_axes

Permutation = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """An operator on permuted operands.

    Attributes:
        op: the operator.
        inputs: for each input its permutation, or None if it stays as it is. Longer than the rank of a constant that
            broadcasts: then the constant's missing axes of size 1 count, too.
        outputs: likewise for each output.
        shapes: of constants that get another shape besides, by input slot.
    """

    op: Op
    inputs: tuple[Permutation | None, ...]
    outputs: tuple[Permutation | None, ...]
    shapes: Mapping[int, Shape] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a node."""

    is_output: bool
    index: int


class _CannotMoveError(Exception):
    """The operator cannot compute on these operands."""


# Given (node, port, the permutation of the port's value).
Handler = Callable[[Any, Port, Permutation], Moved]


def move(node: Node, port: Port, permutation: Permutation, exactly: bool) -> Moved | None:
    """What computes the outputs of a node in another layout, when the value of one port is permuted; None if nothing.

    With `exactly`, only what gives the same elements bit for bit. Of the others sums are formed in another order, or
    random numbers drawn for other elements.
    """
    handler = EXACT.get(type(node.op)) or (None if exactly else FREE.get(type(node.op)))
    if handler is None:
        return None
    try:
        moved = handler(node, port, permutation)
    except _CannotMoveError:
        return None
    return moved if _fits(node, moved) else None


def can_move(op: Op) -> bool:
    """Whether an operator may have its operands in another layout, or has none that matters: an input or an output."""
    return isinstance(op, Input | Output) or type(op) in EXACT or type(op) in FREE


def invert(permutation: Sequence[int]) -> Permutation:
    """The permutation that undoes another."""
    inverse = [0] * len(permutation)
    for place, axis in enumerate(permutation):
        inverse[axis] = place
    return tuple(inverse)


def is_identity(permutation: Sequence[int]) -> bool:
    return all(place == axis for place, axis in enumerate(permutation))


def _permuted(items: Sequence[Any], permutation: Permutation) -> tuple[Any, ...]:
    return tuple(items[axis] for axis in permutation)


def permuted_type(type: TensorType, permutation: Permutation | None) -> TensorType:
    """The type of a value in another layout; of a constant that broadcasts, with its missing axes."""
    if permutation is None:
        return type
    shape = (1,) * (len(permutation) - type.rank) + type.shape
    return type.with_shape(_permuted(shape, permutation))


def _fits(node: Node, moved: Moved) -> bool:
    """Whether the operator infers, of the permuted operands, the permuted results."""
    pairs = zip(node.inputs, moved.inputs, strict=True)
    given = [None if value is None else permuted_type(value.type, permutation) for value, permutation in pairs]
    for slot, shape in moved.shapes.items():
        constant = given[slot]
        given[slot] = None if constant is None else constant.with_shape(shape)
    try:
        inferred: Any = moved.op.infer(*given)
    except KirError:
        return False
    types = inferred if isinstance(inferred, tuple) else (inferred,)
    expected = [permuted_type(v.type, p) for v, p in zip(node.outputs, moved.outputs, strict=True)]
    return list(types) == expected


# What the operators do


def _require_rank(permutation: Permutation, rank: int) -> None:
    if len(permutation) != rank:
        raise _CannotMoveError


def _operand(value: Value | None, permutation: Permutation) -> Permutation | None:
    """What becomes of an operand that broadcasts to the permuted rank."""
    if value is None or (all(size == 1 for size in value.type.shape[-len(permutation) :]) and value.type.rank < 2):
        return None
    rank = len(permutation)
    if value.type.rank == rank or isinstance(value.node.op, Constant):
        return permutation
    if all(permutation[axis] == axis for axis in range(rank - value.type.rank, rank)):
        return None
    raise _CannotMoveError


def _broadcasting(node: Node, port: Port, permutation: Permutation) -> Moved:
    """Operators without axes."""
    (output,) = node.outputs
    _require_rank(permutation, output.type.rank)
    return Moved(node.op, tuple(_operand(value, permutation) for value in node.inputs), (permutation,))


def _with_op(node: Node, permutation: Permutation, op: Op) -> Moved:
    """All inputs and outputs of one rank are permuted, but for scalars."""
    _require_rank(permutation, node.outputs[0].type.rank)
    inputs = tuple(None if value is None or value.type.rank == 0 else permutation for value in node.inputs)
    return Moved(op, inputs, (permutation,) * len(node.outputs))


def _along_axis(node: Any, port: Port, permutation: Permutation) -> Moved:
    """Operators with one axis, and all operands of one rank."""
    _require_rank(permutation, node.outputs[0].type.rank)
    return _with_op(node, permutation, replace(node.op, axis=permutation.index(node.op.axis)))


def _slice(node: Any, port: Port, permutation: Permutation) -> Moved:
    _require_rank(permutation, node.output.type.rank)
    axes = tuple(permutation.index(axis) for axis in node.op.axes)
    return _with_op(node, permutation, replace(node.op, axes=axes))


def _pad(node: Any, port: Port, permutation: Permutation) -> Moved:
    _require_rank(permutation, node.output.type.rank)
    op = node.op
    moved = replace(op, before=_permuted(op.before, permutation), after=_permuted(op.after, permutation))
    return _with_op(node, permutation, moved)


def _tile(node: Any, port: Port, permutation: Permutation) -> Moved:
    _require_rank(permutation, node.output.type.rank)
    return _with_op(node, permutation, Tile(_permuted(node.op.repeats, permutation)))


def _expand(node: Any, port: Port, permutation: Permutation) -> Moved:
    _require_rank(permutation, node.output.type.rank)
    moved = _broadcasting(node, port, permutation)
    return replace(moved, op=Expand(_permuted(node.op.shape, permutation)))


def _gather(node: Any, port: Port, permutation: Permutation) -> Moved:
    """Of a list of indices: they stay."""
    indices = node.inputs[1]
    if indices.type.rank != 1 or (not port.is_output and port.index == 1):
        raise _CannotMoveError
    _require_rank(permutation, node.output.type.rank)
    return Moved(Gather(permutation.index(node.op.axis)), (permutation, None), (permutation,))


def _dropout(node: Any, port: Port, permutation: Permutation) -> Moved:
    _require_rank(permutation, node.output.type.rank)
    shape = node.op.noise_shape
    if shape is not None:
        shape = _permuted((1,) * (len(permutation) - len(shape)) + tuple(shape), permutation)
    return _with_op(node, permutation, replace(node.op, noise_shape=shape))


def _reduce(node: Any, port: Port, permutation: Permutation) -> Moved:
    """Reductions and places of extremes. From an output that has lost axes one cannot tell where those stood."""
    op = node.op
    axes = op.axes if hasattr(op, "axes") else (op.axis,)
    if port.is_output and not op.keepdims:
        raise _CannotMoveError
    _require_rank(permutation, node.inputs[0].type.rank)
    places = tuple(sorted(permutation.index(axis) for axis in axes))
    moved = replace(op, axes=places) if hasattr(op, "axes") else replace(op, axis=places[0])
    left = permutation if op.keepdims else _without(permutation, axes)
    return Moved(moved, (permutation,), (None if is_identity(left) else left,))


def _without(permutation: Permutation, axes: Sequence[int]) -> Permutation:
    """The order of the axes that are left when some vanish."""
    left = [axis for axis in permutation if axis not in axes]
    return tuple(sorted(left).index(axis) for axis in left)


def _reshape(node: Any, port: Port, permutation: Permutation) -> Moved:
    before, after = node.inputs[0].type.shape, node.output.type.shape
    groups = match_axes(before, after)
    if groups is None:
        raise _CannotMoveError
    if port.is_output:
        inputs = _follow(permutation, [(right, left) for left, right in groups], after, before)
        outputs = permutation
    else:
        inputs = permutation
        outputs = _follow(permutation, groups, before, after)
    shape = _permuted(after, outputs)
    return Moved(
        Reshape(shape), (None if is_identity(inputs) else inputs,), (None if is_identity(outputs) else outputs,)
    )


def _follow(
    permutation: Permutation, groups: list[tuple[list[int], list[int]]], near: Shape, far: Shape
) -> Permutation:
    """How the axes of the far side of a Reshape are ordered when those of the near side are permuted.

    Axes of size 1 stay in their places, among the others in the new order.
    """
    group_of = {left[0]: (left, right) for left, right in groups}
    remaining = [axis for axis in permutation if near[axis] != 1]
    order: list[int] = []
    while remaining:
        left, right = group_of.get(remaining[0], ([], []))
        if not left or remaining[: len(left)] != left:
            raise _CannotMoveError
        order += right
        remaining = remaining[len(left) :]
    following = iter(order)
    return tuple(axis if size == 1 else next(following) for axis, size in enumerate(far))


def _last_axes_stay(node: Any, permutation: Permutation, first: int) -> None:
    _require_rank(permutation, node.output.type.rank)
    if any(permutation[axis] != axis for axis in range(first, len(permutation))):
        raise _CannotMoveError


def _dense(node: Any, port: Port, permutation: Permutation) -> Moved:
    """Every row is multiplied by itself: rows may stand in another order. Of channels in front, it is a convolution."""
    if not port.is_output and port.index > 0:
        raise _CannotMoveError
    rank = node.output.type.rank
    is_first = permutation == (0, rank - 1, *range(1, rank - 1))
    # onnxruntime has products of float64, and no convolution.
    is_convolution = node.op == Dense() and node.output.type.dtype is not DType.FLOAT64
    if 3 <= rank <= 2 + MAX_SPATIAL and is_first and is_convolution:
        inputs, units = node.inputs[1].type.shape
        ones = (1,) * (rank - 2)
        op = Conv(ones, ones, 1, (0,) * (2 * len(ones)))
        others = ((1, 0), *[None] * (len(node.inputs) - 2))
        return Moved(op, (permutation, *others), (permutation,), {1: (units, inputs, *ones)})
    _last_axes_stay(node, permutation, len(permutation) - 1)
    return Moved(node.op, (permutation, *[None] * (len(node.inputs) - 1)), (permutation,))


def _layer_normalization(node: Any, port: Port, permutation: Permutation) -> Moved:
    """The axes that are normalized may change places among each other, and those in front likewise."""
    if not port.is_output and port.index > 0:
        raise _CannotMoveError
    _require_rank(permutation, node.output.type.rank)
    first = node.op.axis
    order = tuple(axis - first for axis in permutation[first:])
    if min(order) < 0:
        raise _CannotMoveError
    weights = None if is_identity(order) else order
    return Moved(node.op, (permutation, *[weights] * (len(node.inputs) - 1)), (permutation,))


def _resize(node: Any, port: Port, permutation: Permutation) -> Moved:
    """To the last two axes only, but for the nearest elements: for these onnxruntime has all kernels."""
    shape, before = node.op.shape, node.inputs[0].type.shape
    _require_rank(permutation, len(shape))
    places = [permutation.index(axis) for axis, size in enumerate(shape) if size != before[axis]]
    if node.op.mode != "nearest" and any(place < len(shape) - 2 for place in places):
        raise _CannotMoveError
    return _with_op(node, permutation, replace(node.op, shape=_permuted(shape, permutation)))


# The same elements, bit for bit.
EXACT: dict[type[Op], Handler] = {
    **dict.fromkeys(ELEMENTWISE, _broadcasting),
    **dict.fromkeys((Concat, Split, CumSum), _along_axis),
    **dict.fromkeys((ReduceMax, ReduceMin, ArgMax, ArgMin), _reduce),
    Slice: _slice,
    Pad: _pad,
    Tile: _tile,
    Expand: _expand,
    Gather: _gather,
    Reshape: _reshape,
}

# Sums in another order, and random numbers for other elements.
FREE: dict[type[Op], Handler] = {
    **dict.fromkeys((Softmax, LogSoftmax), _along_axis),
    **dict.fromkeys((ReduceSum, ReduceMean, ReduceProd, ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSumExp), _reduce),
    Dense: _dense,
    LayerNormalization: _layer_normalization,
    Dropout: _dropout,
    Resize: _resize,
}
