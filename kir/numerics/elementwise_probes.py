"""Inputs of elementwise operators on which every value is met, and every pair of values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kir.ir.op import Array, Op
from kir.ir.types import DType, TensorType
from kir.numerics.operator_values import neighbours, pair_values, scalar_values
from kir.ops import elementwise

# The most elements of a result, and the fewest values of an input, or there are none.
MAX_ELEMENTS = 1 << 16
FEWEST = 8


def elementwise_inputs(
    op: Op, types: Sequence[TensorType | None], constants: Sequence[Array | None], fed: Sequence[int]
) -> tuple[Array | None, ...] | None:
    """Return an array for each input, along one axis of which every value stands, or every pair of values.

    It is an axis that all inputs have that are fed; a new one in front, which elementwise operators do not mind, if
    there is none. The others are as long as a constant, or 2 where some inputs have size 1 and others not, or 1.

    Args:
        op: an elementwise operator.
        types: of its inputs; None for absent ones. Only whether a size is 1 counts.
        constants: the value of each input that has one.
        fed: the slots of the others.

    Returns:
        The arrays, constants among them; or None if constants are so large that there is no room for several values.
    """
    lone = [slot for slot in fed if isinstance(op, elementwise.Clip) and slot > 0]  # bounds, which are scalars
    moved = [slot for slot in fed if slot not in lone]
    rank = max(type.rank for type in types if type is not None)
    dims = {slot: _aligned(type.shape, rank) for slot, type in enumerate(types) if type is not None and slot in moved}
    fixed = list(_aligned(np.broadcast_shapes(*[one.shape for one in constants if one is not None]), rank))
    is_one = [[dims[slot][axis] == 1 for slot in moved] for axis in range(rank)]
    free = [axis for axis in range(rank) if fixed[axis] == 1 and not any(is_one[axis])]
    fixed = [2 if size == 1 and any(ones) and not all(ones) else size for size, ones in zip(fixed, is_one, strict=True)]
    count = MAX_ELEMENTS // max(math.prod(fixed), 1)
    if count < FEWEST:
        return None
    shapes = {
        slot: tuple([1 if dim == 1 else size for dim, size in zip(dims[slot], fixed, strict=True)]) for slot in moved
    }
    dtypes = {slot: type.dtype for slot, type in enumerate(types) if type is not None}
    if len(moved) > 1:
        stacks = _pair(op, {slot: dtypes[slot] for slot in moved}, shapes, constants, count)
    else:
        stacks = {slot: _line_up(op, slot, dtypes[slot], shapes[slot], constants, count) for slot in moved}
    arrays = list(constants)
    for slot, stack in stacks.items():
        arrays[slot] = np.moveaxis(stack, 0, free[0]).squeeze(free[0] + 1) if free else stack
    for slot in lone:
        arrays[slot] = np.asarray((-1, 2)[slot - 1], dtypes[slot].numpy)
    return tuple(arrays)


def _aligned(dims: Sequence[Any], rank: int) -> tuple[Any, ...]:
    return (1,) * (rank - len(dims)) + tuple(dims)


def _line_up(
    op: Op, slot: int, dtype: DType, sizes: tuple[int, ...], constants: Sequence[Array | None], count: int
) -> Array:
    """Return at most `count` arrays of the sizes of the only input that is fed.

    First those that meet a constant of several elements: equal to it at each, just below and just above.
    """
    met = [
        np.broadcast_to(near, sizes)
        for constant in constants
        if constant is not None and constant.size > 1 and constant.dtype == dtype.numpy
        if _broadcasts(constant.shape, sizes)
        for near in neighbours(constant)
    ]
    kinks, others = scalar_values(op, slot, dtype, constants)
    kinks = kinks[: max(count - len(met), 0)]
    room = max(count - len(met) - len(kinks), 0)
    values = np.concatenate([kinks, _thinned(others, room)])
    lined = np.broadcast_to(values.reshape(-1, *[1] * len(sizes)), (len(values), *sizes))
    return np.concatenate([np.stack(met), lined]) if met else np.ascontiguousarray(lined)


def _pair(
    op: Op,
    dtypes: Mapping[int, DType],
    shapes: Mapping[int, tuple[int, ...]],
    constants: Sequence[Array | None],
    count: int,
) -> dict[int, Array]:
    """Return, for each input that is fed, so many arrays of its shape that all combinations of values are there."""
    pools = {slot: pair_values(op, slot, dtype, constants) for slot, dtype in dtypes.items()}
    places = _thinned(np.arange(math.prod(map(len, pools.values()))), count)
    chosen = np.unravel_index(places, [len(pool) for pool in pools.values()])
    lined: dict[int, Array] = {}
    for (slot, pool), index in zip(pools.items(), chosen, strict=True):
        sizes = shapes[slot]
        lined[slot] = np.ascontiguousarray(
            np.broadcast_to(pool[index].reshape(-1, *[1] * len(sizes)), (len(index), *sizes))
        )
    return lined


def _thinned(values: Array, count: int) -> Array:
    """Return at most so many of some values, evenly chosen."""
    return values[:: -(-len(values) // count)] if 0 < count < len(values) else values[:count]


def _broadcasts(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(given) <= len(wanted) and all(
        size in (1, other) for size, other in zip(reversed(given), reversed(wanted), strict=False)
    )
