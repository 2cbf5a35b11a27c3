"""Whether an output varied over the probes, as far as its bound lets one see that. One that did not shows nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kir.ir.graph import Graph, Value
from kir.ir.op import Array, Op
from kir.ir.structural import Input, Output
from kir.numerics.cost import MOVEMENTS
from kir.numerics.expected import Expected
from kir.ops.elementwise import Erf, HardSigmoid, Sigmoid, Softsign, Tanh
from kir.ops.nn import Softmax

# What functions come near to and never leave. Where they are all the way there, what is before them may be anything.
LIMITS: dict[type[Op], tuple[float, float]] = {
    **dict.fromkeys((Sigmoid, HardSigmoid, Softmax), (0.0, 1.0)),
    **dict.fromkeys((Tanh, Softsign, Erf), (-1.0, 1.0)),
}
NEAR_LIMIT = 1e-6


@dataclass(frozen=True)
class OutputOrigin:
    """Where an output comes from: the path of the layer, the limits of its function, and whether it is fed."""

    layer: str = ""
    limits: tuple[float, float] | None = None
    is_fed: bool = True


class Variety:
    """What the probes showed of one output. Memory: a row of it for each shape that its rows have."""

    def __init__(self, limits: tuple[float, float] | None = None) -> None:
        self._limits = limits
        self._is_between = limits is None
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
            if not self._is_between and self._limits is not None:
                room = np.minimum(np.abs(values - self._limits[0]), np.abs(values - self._limits[1]))
                self._is_between = bool((room > np.maximum(bounds, NEAR_LIMIT)).any())

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
            return "it is the same on all probes, within rounding"
        if not self._is_between and self._limits is not None:
            return f"it is saturated on all probes: {self._limits[0]:g} or {self._limits[1]:g} everywhere"
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


def origins_of(graph: Graph) -> dict[str, OutputOrigin]:
    """Return where each output comes from; one that depends on no input is the same whatever is fed."""
    reached: set[Value] = set()
    origins: dict[str, OutputOrigin] = {}
    for node in graph.order():
        is_fed = isinstance(node.op, Input) or not reached.isdisjoint(one for one in node.inputs if one is not None)
        if is_fed:
            reached.update(node.outputs)
        if isinstance(node.op, Output):
            source = node.inputs[0]
            assert source is not None
            origins[node.op.label] = OutputOrigin(
                source.node.layer, LIMITS.get(type(_before_movements(source))), is_fed
            )
    return origins


def _before_movements(value: Value) -> Op:
    """Return the operator whose results a value has, possibly converted or reshaped."""
    while isinstance(value.node.op, MOVEMENTS) and value.node.inputs[0] is not None:
        value = value.node.inputs[0]
    return value.node.op
