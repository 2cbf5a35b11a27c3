"""Whether an output varied over the probes, as far as its bound lets one see that. One that did not shows nothing."""

from __future__ import annotations

import math

import numpy as np

from kir.ir.graph import Graph, Value
from kir.ir.op import Array
from kir.ir.structural import Input, Output
from kir.numerics.expected import Expected


class Variety:
    """What the probes showed of one output. Memory: a row of it for each shape that its rows have."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, ...], tuple[Array, Array]] = {}  # a row and its bound, by the shape of rows
        self._compares = self._varies = self._is_empty = False
        self._low, self._high = math.inf, -math.inf
        self._narrowest = math.inf  # of the middle bounds of all runs

    def add(self, expected: Expected) -> None:
        """Take one run into account."""
        reference, allowed = expected.reference, expected.allowed
        if not reference.size:
            self._is_empty = True
            return
        if not self._varies:
            self._compare_rows(reference, allowed)
        if reference.dtype.kind not in "fiub":
            self._low, self._high, self._narrowest = 0, 1, 0  # texts: they vary or not, and have no range
            return
        finite = np.isfinite(reference)
        if finite.any():
            values, bounds = reference[finite], allowed[finite]
            self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))
            # Not np.median, which imports numpy.ma.
            self._narrowest = min(self._narrowest, float(np.partition(bounds, bounds.size // 2)[bounds.size // 2]))

    def _compare_rows(self, reference: Array, allowed: Array) -> None:
        """Compare rows, samples of a batch where there is one, with the first of their shape in any run."""
        shape = reference.shape[1:] if reference.ndim else ()
        rows, bounds = reference.reshape(-1, *shape), allowed.reshape(-1, *shape)
        if shape not in self._first:
            self._first[shape] = rows[:1].copy(), bounds[:1].copy()
            rows, bounds = rows[1:], bounds[1:]
        if not rows.size:
            return
        self._compares = True
        first, bound = self._first[shape]
        self._varies = bool((_distances(rows, first) > bounds + bound).any())

    @property
    def shortcoming(self) -> str:
        """Why the output shows nothing, in words; "" if it shows something."""
        if self._low > self._high:
            return "" if self._is_empty and not self._first else "it is NaN or infinite on all probes"
        if not self._varies and (self._compares or self._low == self._high):
            return "it is the same on all probes, as far as rounding lets see"
        if self._narrowest >= self._high - self._low > 0:
            return (
                f"it may be off by {self._narrowest:.2g} in the middle of its elements, and has values from "
                f"{self._low:.3g} to {self._high:.3g} only"
            )
        return ""


def _distances(rows: Array, first: Array) -> Array:
    """Return how far elements are apart; infinite where one only is NaN or infinite, and for other texts."""
    if rows.dtype.kind not in "fiub":
        return np.where(rows != first, np.inf, 0)
    with np.errstate(invalid="ignore", over="ignore"):
        wide, other = rows.astype(np.float64), first.astype(np.float64)
        apart = np.abs(wide - other)
    same = (wide == other) | (np.isnan(wide) & np.isnan(other))
    return np.where(same, 0, np.where(np.isnan(apart), np.inf, apart))


def varying_outputs(graph: Graph) -> set[str]:
    """Return the names of the outputs that depend on an input: the others are the same whatever is fed."""
    reached: set[Value] = set()
    names: set[str] = set()
    for node in graph.order():
        if isinstance(node.op, Input) or not reached.isdisjoint(value for value in node.inputs if value is not None):
            reached.update(node.outputs)
            if isinstance(node.op, Output):
                names.add(node.op.label)
    return names
