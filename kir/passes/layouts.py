"""Operators on operands in another layout: the knowledge of `move_transposes` about each operator.

A permutation says how the other layout orders the axes: axis `i` of the value in the other layout is axis
``permutation[i]`` of the value. For the operators below, the permutation of one operand decides those of all others,
and the operator that computes the same of them:

    Concat(3)        of (n, h, w, c), permuted by (0, 3, 1, 2): Concat(1)
    Reshape          where no axes are taken apart that it merges or splits
    ReduceSum((1,))  without keepdims: the permutation of the axes that are left
    Dense            of (n, h, w, c), permuted by (0, 3, 1, 2): a convolution of 1 by 1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from kir.errors import KirError
from kir.ir.graph import Node, Value
from kir.ir.op import Op, output_types
from kir.ir.structural import Constant, Input, Output
from kir.ir.types import DType, Shape, TensorType
from kir.ops.convolution import Conv
from kir.ops.elementwise import ELEMENTWISE
from kir.ops.linear import Dense
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.normalization import LayerNormalization
from kir.ops.random import Dropout
from kir.ops.reduce import (
    REDUCTIONS,
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
    Reduction,
)
from kir.ops.resize import Resize
from kir.ops.shape import Concat, CumSum, Expand, Gather, Pad, Reshape, Slice, Split, Tile
from kir.ops.windows import MAX_SPATIAL
from kir.passes.fold_transposes import AxisGroups, match_axes, read_groups, swap_sides
from kir.passes.rewrite import given

Permutation: TypeAlias = tuple[int, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Moved:
    """An operator on permuted operands.

    Attributes:
        op: the operator.
        inputs: for each input its permutation, or None if it stays as it is. A constant that broadcasts has the full
            rank here: its missing axes, of size 1, are permuted too.
        outputs: likewise for each output.
        shapes: by input slot, the new shapes of constants that are reshaped besides.
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


def move(node: Node, port: Port, permutation: Permutation, exactly: bool) -> Moved | None:
    """Return the operator that computes a node's outputs in another layout, when the value of one port is permuted.

    None if there is none; with `exactly`, if none gives the same elements bit for bit. Other operators form sums in
    another order, or draw random numbers for other elements.
    """
    handler = EXACT.get(type(node.op)) or (None if exactly else FREE.get(type(node.op)))
    if handler is None or (len(permutation) != node.outputs[0].type.rank and type(node.op) not in OF_ANOTHER_RANK):
        return None
    try:
        moved = handler(node.op, node, port, permutation)
    except _CannotMoveError:
        return None
    return moved if _fits(node, moved) else None


def can_move(op: Op) -> bool:
    """Return whether an operator may have its operands in another layout; inputs and outputs count as such."""
    return isinstance(op, Input | Output) or type(op) in EXACT or type(op) in FREE


def invert(permutation: Sequence[int]) -> Permutation:
    """Return the permutation that undoes another."""
    inverse = [0] * len(permutation)
    for place, axis in enumerate(permutation):
        inverse[axis] = place
    return tuple(inverse)


def is_identity(permutation: Sequence[int]) -> bool:
    """Return whether a permutation leaves every axis in its place."""
    return all(place == axis for place, axis in enumerate(permutation))


def _if_any(permutation: Permutation) -> Permutation | None:
    return None if is_identity(permutation) else permutation


def _permuted(items: Sequence[T], permutation: Permutation) -> tuple[T, ...]:
    return tuple(items[axis] for axis in permutation)


def permuted_type(type: TensorType, permutation: Permutation | None) -> TensorType:
    """Return the type of a value in another layout; that of a constant that broadcasts gets its missing axes."""
    if permutation is None:
        return type
    shape = (1,) * (len(permutation) - type.rank) + type.shape
    return type.with_shape(_permuted(shape, permutation))


def _fits(node: Node, moved: Moved) -> bool:
    """Return whether the operator infers the permuted results from the permuted operands."""
    pairs = zip(node.inputs, moved.inputs, strict=True)
    given = [None if value is None else permuted_type(value.type, permutation) for value, permutation in pairs]
    for slot, shape in moved.shapes.items():
        constant = given[slot]
        given[slot] = None if constant is None else constant.with_shape(shape)
    try:
        inferred = output_types(moved.op, given)
    except KirError:
        return False
    return inferred == tuple(permuted_type(v.type, p) for v, p in zip(node.outputs, moved.outputs, strict=True))


# The operators one by one. Each function receives the operator, its node, and one port with its permutation.


def _operand(value: Value | None, permutation: Permutation) -> Permutation | None:
    """Return the permutation of an operand that broadcasts to the rank of `permutation`; None if it stays."""
    if value is None or (all(size == 1 for size in value.type.shape[-len(permutation) :]) and value.type.rank < 2):
        return None
    rank = len(permutation)
    if value.type.rank == rank or isinstance(value.node.op, Constant):
        return permutation
    if all(permutation[axis] == axis for axis in range(rank - value.type.rank, rank)):
        return None
    raise _CannotMoveError


def _permute_all(op: Op, node: Node, port: Port, permutation: Permutation) -> Moved:
    operands = tuple(_operand(value, permutation) for value in node.inputs)
    return Moved(op, operands, (permutation,) * len(node.outputs))


def _first_permuted(op: Op, node: Node, port: Port, permutation: Permutation, others: Permutation | None) -> Moved:
    """Return the operator on a permuted first operand and others that are permuted in another way.

    Raises:
        _CannotMoveError: the port is one of the other operands.
    """
    if not port.is_output and port.index > 0:
        raise _CannotMoveError
    return Moved(op, (permutation, *[others] * (len(node.inputs) - 1)), (permutation,))


def _along_axis(
    op: Concat | Split | CumSum | Softmax | LogSoftmax, node: Node, port: Port, permutation: Permutation
) -> Moved:
    return _permute_all(replace(op, axis=permutation.index(op.axis)), node, port, permutation)


def _slice(op: Slice, node: Node, port: Port, permutation: Permutation) -> Moved:
    return _permute_all(replace(op, axes=tuple(map(permutation.index, op.axes))), node, port, permutation)


# Attributes with one item for each axis.
PER_AXIS: dict[type[Op], tuple[str, ...]] = {
    Pad: ("before", "after"),
    Tile: ("repeats",),
    Expand: ("shape",),
    Resize: ("shape",),
}


def _permute_attributes(op: Pad | Tile | Expand | Resize, node: Node, port: Port, permutation: Permutation) -> Moved:
    changes: dict[str, Any] = {name: _permuted(getattr(op, name), permutation) for name in PER_AXIS[type(op)]}
    return _permute_all(replace(op, **changes), node, port, permutation)


def _gather(op: Gather, node: Node, port: Port, permutation: Permutation) -> Moved:
    if given(node.inputs[1]).type.rank != 1:
        raise _CannotMoveError
    return _first_permuted(Gather(permutation.index(op.axis)), node, port, permutation, None)


def _dropout(op: Dropout, node: Node, port: Port, permutation: Permutation) -> Moved:
    shape = op.noise_shape
    if shape is not None:
        shape = _permuted((1,) * (len(permutation) - len(shape)) + shape, permutation)
    return _permute_all(replace(op, noise_shape=shape), node, port, permutation)


def _reduce(op: Reduction, node: Node, port: Port, permutation: Permutation) -> Moved:
    """Return a reduction, or the place of an extreme, along the permuted axes."""
    # The permutation of a result that has lost axes does not say where these stood.
    if (port.is_output and not op.keepdims) or len(permutation) != given(node.inputs[0]).type.rank:
        raise _CannotMoveError
    moved = op.along(tuple(sorted(map(permutation.index, op.reduced))))
    left = permutation if op.keepdims else _without(permutation, op.reduced)
    return Moved(moved, (permutation,), (_if_any(left),))


def _without(permutation: Permutation, axes: Sequence[int]) -> Permutation:
    """Return the order of the axes that are left when some vanish."""
    left = [axis for axis in permutation if axis not in axes]
    return tuple(sorted(left).index(axis) for axis in left)


def _reshape(op: Reshape, node: Node, port: Port, permutation: Permutation) -> Moved:
    before, after = given(node.inputs[0]).type.shape, node.output.type.shape
    groups = match_axes(before, after)
    if groups is None:
        raise _CannotMoveError
    if port.is_output:
        inputs, outputs = _follow(permutation, groups, after, before), permutation
    else:
        inputs, outputs = permutation, _follow(permutation, swap_sides(groups), before, after)
    return Moved(Reshape(_permuted(after, outputs)), (_if_any(inputs),), (_if_any(outputs),))


def _follow(permutation: Permutation, groups: AxisGroups, near: Shape, far: Shape) -> Permutation:
    """Return the order of the axes on the far side of a Reshape when those of the near side are permuted.

    Axes of size 1 stay in their places, among the others in the new order.
    """
    order = read_groups(permutation, groups, near)
    if order is None:
        raise _CannotMoveError
    following = iter(order)
    return tuple(axis if size == 1 else next(following) for axis, size in enumerate(far))


def _dense(op: Dense, node: Node, port: Port, permutation: Permutation) -> Moved:
    """Return a Dense of rows in another order or, where the features come second, a convolution of 1 by 1."""
    rank = node.output.type.rank
    is_first = permutation == (0, rank - 1, *range(1, rank - 1))
    # onnxruntime has products of float64, and no convolution.
    is_convolution = op == Dense() and node.output.type.dtype is not DType.FLOAT64
    if 3 <= rank <= 2 + MAX_SPATIAL and is_first and is_convolution:
        inputs, units = given(node.inputs[1]).type.shape
        ones = (1,) * (rank - 2)
        convolution = _first_permuted(Conv(ones, ones, 1, (0,) * (2 * len(ones))), node, port, permutation, None)
        operands = (permutation, (1, 0), *convolution.inputs[2:])
        return replace(convolution, inputs=operands, shapes={1: (units, inputs, *ones)})
    if permutation[-1] != rank - 1:
        raise _CannotMoveError
    return _first_permuted(op, node, port, permutation, None)


def _layer_normalization(op: LayerNormalization, node: Node, port: Port, permutation: Permutation) -> Moved:
    """Return the operator when its normalized axes change places with each other, and those before them likewise."""
    order = tuple(axis - op.axis for axis in permutation[op.axis :])
    if min(order) < 0:
        raise _CannotMoveError
    return _first_permuted(op, node, port, permutation, _if_any(order))


def _resize(op: Resize, node: Node, port: Port, permutation: Permutation) -> Moved:
    # onnxruntime resizes the last two axes only, unless it takes the nearest elements.
    before = given(node.inputs[0]).type.shape
    places = [permutation.index(axis) for axis, size in enumerate(op.shape) if size != before[axis]]
    if op.mode != "nearest" and any(place < len(before) - 2 for place in places):
        raise _CannotMoveError
    return _permute_attributes(op, node, port, permutation)


# The results have the same elements, bit for bit.
EXACT: dict[type[Op], Callable[..., Moved]] = {
    **dict.fromkeys(ELEMENTWISE, _permute_all),
    **dict.fromkeys((Concat, Split, CumSum), _along_axis),
    **dict.fromkeys((ReduceMax, ReduceMin, ArgMax, ArgMin), _reduce),
    **dict.fromkeys((Pad, Tile, Expand), _permute_attributes),
    Slice: _slice,
    Gather: _gather,
    Reshape: _reshape,
}

# Sums are formed in another order, and random numbers drawn for other elements.
FREE: dict[type[Op], Callable[..., Moved]] = {
    **dict.fromkeys((Softmax, LogSoftmax), _along_axis),
    **dict.fromkeys((ReduceSum, ReduceMean, ReduceProd, ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSumExp), _reduce),
    Dense: _dense,
    LayerNormalization: _layer_normalization,
    Dropout: _dropout,
    Resize: _resize,
}

# The rank of the result need not be that of the permutation.
OF_ANOTHER_RANK = frozenset({Reshape, *REDUCTIONS})
