"""Values of two graphs that are the same numbers, in the same order of their elements or with other axes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from kir.ir.op import Array

# So far apart, as a part of the range of their elements, values are still taken for the same ones. That only decides
# which correspond.
TOLERANCE = 1e-2
EXACT = 1e-9  # the same, where it decides alone
ROUNDINGS = 2.0**20  # of the largest element, where all are nearly the same
EPSILON = float(np.finfo(np.float64).eps)

MAX_RANK = 5  # of values whose axes are tried in every order
SAMPLE = 64


@dataclass(frozen=True)
class Placement:
    """How the elements of one array lie in another: its axes, those of size 1 left out, in an order, and a shape."""

    axes: tuple[int, ...] | None
    shape: tuple[int, ...]

    def __call__(self, array: Array) -> Array:
        if self.axes is None:
            return array.reshape(self.shape)
        return np.ascontiguousarray(array.squeeze().transpose(self.axes)).reshape(self.shape)


def find_placement(a: Array, b: Array, tolerance: float = TOLERANCE) -> Placement | None:
    """Return how the elements of `a` lie in `b`; None if the two are not the same, or are so in several ways."""
    near = [one for one in placements(a.shape, b.shape) if is_near(one(a), b, tolerance)]
    return near[0] if len(near) == 1 else None


def placements(a: tuple[int, ...], b: tuple[int, ...]) -> list[Placement]:
    """Return in which ways elements of an array of a shape may lie in one of another: first as they are."""
    if np.prod(a) != np.prod(b):
        return []
    found = [Placement(None, b)]
    sizes, wanted = _longer_than_1(a), _longer_than_1(b)
    if has_all_placements(a, b):
        others = itertools.islice(itertools.permutations(range(len(sizes))), 1, None)
        found += [Placement(axes, b) for axes in others if tuple(sizes[axis] for axis in axes) == wanted]
    return found


def has_all_placements(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Return whether `placements` knows all orders of axes: others merge or split them, or are too many to try."""
    return len(_longer_than_1(a)) == len(_longer_than_1(b)) <= MAX_RANK


def _longer_than_1(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def is_near(a: Array, b: Array, tolerance: float = TOLERANCE) -> bool:
    """Return whether two arrays of one shape have about the same numbers, and NaN in the same places."""
    finite = np.isfinite(b)
    low, high = b.min(initial=np.inf, where=finite), b.max(initial=-np.inf, where=finite)
    distance = max(tolerance * (high - low), ROUNDINGS * EPSILON * max(abs(low), abs(high))) if finite.any() else 0.0
    stride = max(1, b.size // SAMPLE)
    return _within(a.reshape(-1)[::stride], b.reshape(-1)[::stride], distance) and _within(a, b, distance)


def _within(a: Array, b: Array, distance: float) -> bool:
    with np.errstate(invalid="ignore"):
        near = np.abs(a - b) <= distance
    return bool(np.all(near | (a == b) | (np.isnan(a) & np.isnan(b))))
