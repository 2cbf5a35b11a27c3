"""Masks in all forms: which steps of sequences are masked, and which features of the others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from kir.ir.op import Array

MASKED_SHARE = 0.4  # of the steps of a sequence with holes
SINGLE_SHARE = 0.2  # of those of a single one: it is the longest, and what is left of it must be long, too
PARTIAL_SHARE = 0.3  # of the features of a step that is not masked


def masked_steps(shape: tuple[int, ...], generator: np.random.Generator, kind: int = 0) -> Array:
    """Return booleans [batch, time], true where masked.

    Rows, as far as there are: nothing masked, everything, padding at the end, padding in front, all but one step; the
    others have holes at random. A single row has holes; of another `kind` it is one of the rows above.
    """
    masked = generator.random(shape) < (SINGLE_SHARE if shape[0] == 1 else MASKED_SHARE)
    if len(shape) == 2:
        steps, half = np.arange(shape[1]), (shape[1] + 1) // 2
        patterns = (steps < 0, steps >= 0, steps >= half, steps < half, steps != half // 2)
        if shape[0] > 1:
            for row, pattern in enumerate(patterns[: shape[0]]):
                masked[row] = pattern
        elif kind:
            masked[:1] = patterns[(kind + 1) % len(patterns)]
    return masked


def mask_steps(array: Array, special: Sequence[Any], limit: float, generator: np.random.Generator, kind: int) -> Array:
    """Return an array [batch, time, …] some of whose steps are masked by special values.

    Steps that are not masked have special values in some of their features, but never in all of them.

    Args:
        array: what is to be masked.
        special: the values that mask.
        limit: values must be less.
        generator: of the choice.
        kind: of a single row, see `masked_steps`.
    """
    shape = array.shape[:2]
    other = next(number for number in itertools.count(1) if number not in special)
    other = other if other < limit else 0
    values = np.asarray(special)
    masked = masked_steps(shape, generator, kind)
    chosen = generator.choice(values, size=shape)
    if array.ndim > 2:
        partial = generator.random(array.shape) < PARTIAL_SHARE
        partial[:1] &= array.shape[0] == 1
        array = np.where(partial, generator.choice(values, size=array.shape), array)
        flat = array.reshape(*shape, -1)
        flat[..., 0] = np.where(np.isin(flat, values).all(axis=2), other, flat[..., 0])
        array = flat.reshape(array.shape)
    else:
        array = np.where(np.isin(array, values), other, array)
    return np.where(spread(masked, array), spread(chosen, array), array)


def spread(steps: Array, array: Array) -> Array:
    """Return an array [batch, time] spread over one with more axes."""
    return np.broadcast_to(steps.reshape(steps.shape + (1,) * (array.ndim - steps.ndim)), array.shape)
