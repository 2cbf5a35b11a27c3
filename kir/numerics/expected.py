"""What an execution may compute for one tensor, from runs in float64, with random roundings, and in mixed precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from kir.ir.op import Array
from kir.numerics.rounding_sizes import epsilon, finfo, is_float_array

# How many times the largest distance of a perturbed run is allowed. The distance is roughly Gaussian, and may be near 0
# by luck: under an eighth of one standard deviation falls that of 1 run in one element of 10, the largest of 5 runs in
# one of 100,000. So half of this times the median distance of those elements is allowed as well that err alike, as
# nearly all of a tensor with about the same magnitude do: that is 2.7 standard deviations of a perturbation, which is
# up to twice what a rounding is.
MULTIPLE = 8.0

# Where a sign or a maximum turns over, runs end at one of two values: five at the same one in one element of 16, and so
# many at none in practice.
UNSTABLE_RUNS = 25

# So many elements of about the same magnitude make a median.
ALIKE = 16


@dataclass(frozen=True)
class Expected:
    """What an execution may compute for one tensor.

    Attributes:
        reference: the float64 run, or the exact integers or booleans.
        allowed: how far from the reference each element may be; infinite where the perturbed runs do not settle it.
        special: arrays of NaN and infinities that are right too, 0 where there is none: what the model's own precision
            always gives, then what it gives if it is left now and then for a wider one.
        vanishing: where 0 is right too, because something finite may be divided by something that overflows.
        unmoved: computes what the model's own precision gives without random roundings, which is right too.
        widened: makes more perturbed runs, for a bound that is no smaller; None if all are made.
    """

    reference: Array
    allowed: Array
    special: tuple[Array, ...] = ()
    vanishing: Array | None = None
    unmoved: Callable[[], Array] | None = None
    widened: Callable[[], Expected] | None = None

    def whole(self) -> Expected:
        """Return the bound of all perturbed runs, of which those are made now that are not yet."""
        return self if self.widened is None else self.widened()

    def times(self, factor: float, more: Array | float = 0.0) -> Expected:
        """Return a bound that is so many times as wide, and then wider by `more`."""
        widened = None if self.widened is None else lambda: self.whole().times(factor, more)
        return replace(self, allowed=factor * self.allowed + more, widened=widened)

    @property
    def overflows(self) -> Array:
        """Where the model's own precision gives NaN or an infinity, and the reference is finite."""
        return np.asarray((self.special[0] != 0) & np.isfinite(self.reference) if self.special else False)


class Spread:
    """How far the perturbed runs of one tensor end from the reference."""

    def __init__(self, reference: Array, first: Array) -> None:
        self._reference = reference
        self._first = first
        self._is_float = is_float_array(first)
        self._same_shape = reference.shape == first.shape
        self._distance = np.zeros(reference.shape)
        self._unsettled = np.zeros(reference.shape, bool)
        self._mixed_distance: Array | None = None  # of runs in mixed precision, where the own precision overflows
        self._mixed_special: list[Array] = []
        self._vanishing: Array | None = None

    def add(self, array: Array) -> None:
        """Take another run into account."""
        self._same_shape = self._same_shape and array.shape == self._first.shape
        if not self._same_shape:
            return
        if not self._is_float:
            self._unsettled |= np.asarray(array != self._reference)
            return
        wide, first = array.astype(np.float64), self._first.astype(np.float64)
        finite = np.isfinite(wide)
        same_special = (wide == first) | (np.isnan(wide) & np.isnan(first))
        self._unsettled |= np.where(finite, ~np.isfinite(first) | ~np.isfinite(self._reference), ~same_special)
        self._distance = np.maximum(self._distance, self._distances(wide, finite & ~self._unsettled))

    @property
    def overflows(self) -> Array:
        """Where the model's own precision gives NaN or an infinity, and the reference is finite."""
        if not self._is_float or not self._same_shape:
            return np.zeros(())
        return ~self._unsettled & ~np.isfinite(self._first.astype(np.float64)) & np.isfinite(self._reference)

    @property
    def is_unstable(self) -> bool:
        """Whether a run ended so far off that a sign or a maximum may have turned over, and not only near."""
        if not self._is_float or not self._same_shape or not self._distance.ndim or not self._distance.size:
            return False
        return bool(self._unstable(self._distance, np.isfinite(self._reference)).any())

    def add_mixed(self, array: Array) -> None:
        """Take a run in mixed precision into account, once all others are: it counts where those overflow."""
        where = self.overflows
        if array.shape != self._reference.shape or not where.any():
            return
        finite = np.isfinite(array)
        vanishes = where & (array == 0)
        self._vanishing = vanishes if self._vanishing is None else self._vanishing | vanishes
        before = 0 if self._mixed_distance is None else self._mixed_distance
        self._mixed_distance = np.maximum(before, self._distances(array, where & finite & ~vanishes))
        special = np.where(where & ~finite, array, 0)
        known = [self._own_special(), *self._mixed_special]
        if special.any() and not any(np.array_equal(special, one, equal_nan=True) for one in known):
            self._mixed_special.append(special)

    def expected(self) -> Expected:
        """Return the bound; infinite everywhere if even the shape depends on rounding."""
        if not self._same_shape:
            return Expected(self._reference, np.full(self._reference.shape, np.inf))
        if not self._is_float:
            return Expected(self._reference, np.where(self._unsettled, np.inf, 0.0))
        settled = np.isfinite(self._reference)
        allowed = self._bound(self._distance, settled & np.isfinite(self._first.astype(np.float64)))
        if self._mixed_distance is not None:
            where = self.overflows
            allowed = np.where(where, self._bound(self._mixed_distance, where), allowed)
        special = self._own_special()
        return Expected(
            self._reference,
            np.where(self._unsettled, np.inf, np.where(settled, allowed, 0)),
            (special, *self._mixed_special) if special.any() else (),
            self._vanishing,
        )

    def _distances(self, array: Array, where: Array) -> Array:
        with np.errstate(invalid="ignore", over="ignore"):
            return np.where(where, np.abs(array - self._reference), 0)

    def _own_special(self) -> Array:
        """Return the NaN and infinities that all runs in the model's own precision give, 0 elsewhere."""
        first = self._first.astype(np.float64)
        return np.where((np.isfinite(first) & np.isfinite(self._reference)) | self._unsettled, 0, first)

    def _bound(self, distance: Array, where: Array) -> Array:
        """Return how far an element may be off, from the largest distances of the runs that stayed finite `where`."""
        return np.maximum(MULTIPLE * self._pooled(distance, where), self._floor(distance, where))

    def _pooled(self, distance: Array, where: Array) -> Array:
        """Return the distances; those of a row that has lost half of its digits all as large as the largest."""
        if not distance.ndim or not distance.size:
            return distance
        return np.where(self._unstable(distance, where), distance.max(axis=-1, keepdims=True), distance)

    def _unstable(self, distance: Array, where: Array) -> Array:
        """Return which rows have lost half of their digits."""
        magnitude = np.where(where, np.abs(self._reference), 0).max(axis=-1, keepdims=True)
        return np.asarray(distance.max(axis=-1, keepdims=True) > math.sqrt(epsilon(self._first.dtype)) * magnitude)

    def _floor(self, distance: Array, where: Array) -> Array:
        info = finfo(self._first.dtype)
        magnitude = np.where(np.isfinite(self._reference), np.abs(self._reference), 0)
        alike = np.maximum(_median(distance[where & (distance > 0)]), _median_of_alike(distance, magnitude))
        return np.asarray(4 * float(info.eps) * magnitude + MULTIPLE / 2 * alike + float(info.tiny))


def _median(array: Array) -> float:
    """Return the upper median; 0 of nothing. Not np.median, which imports numpy.ma: 30 ms of every cold export."""
    middle = array.size // 2
    return float(np.partition(array, middle, axis=None)[middle]) if array.size else 0.0


def _median_of_alike(distance: Array, magnitude: Array) -> Array:
    """Return for each element the median distance of `ALIKE` elements with about its magnitude; 0 if there are fewer.

    Results of a Softmax err by parts of themselves, over many magnitudes; those of a Dense by parts of its terms.
    """
    count = distance.size // ALIKE
    if not count:
        return np.zeros(distance.shape)
    # The exponent and 3 bits more, which sort in linear time.
    with np.errstate(over="ignore"):
        keys = (magnitude.ravel().astype(np.float32).view(np.uint32) >> 20).astype(np.int16)
    order = keys.argsort(kind="stable")
    groups = distance.ravel()[order[: count * ALIKE]].reshape(count, ALIKE)
    medians = np.partition(groups, ALIKE // 2, axis=1)[:, ALIKE // 2]
    result = np.empty(distance.size)
    result[order] = medians[np.minimum(np.arange(distance.size) // ALIKE, count - 1)]
    return result.reshape(distance.shape)
