"""Constants: which are equal, and how far the others are apart. Arrays are read a block at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from kir.ir.graph import MAX_SHOWN_ELEMENTS, Node
from kir.ir.op import Array
from kir.ir.structural import Constant
from kir.ir.types import TensorType, as_dtype, rounding_unit
from kir.modeling.comparison.matching import Matching
from kir.modeling.comparison.structure import place_of

# Elements of a block: a few of them in float64 are what a comparison needs in memory, whatever the size of the weight.
BLOCK = 1 << 18

# A weight that a pass put together from others (a scale and a shift into a kernel) is off by about one rounding for
# each of the operations that made it, of which there are fewer than ten; one step of training is off by far more.
ROUNDINGS = 16


@dataclass(frozen=True)
class WeightChange:
    """A weight that both models have and that differs.

    `kind` is "shape", "dtype", "values", or "rounding": by no more than `ROUNDINGS` roundings of the dtype, relative to
    the largest element. `max_abs` and `max_rel` are over all elements, of which `count` differ; they are 0 if the
    shapes differ. `outliers` counts the elements that differ by more than `ROUNDINGS` roundings of themselves. `values`
    are both contents, if they are small.
    """

    name_a: str
    name_b: str
    kind: str
    type_a: TensorType
    type_b: TensorType
    max_abs: float = 0.0
    max_rel: float = 0.0
    count: int = 0
    values: tuple[str, str] | None = None
    outliers: int = 0


@dataclass(frozen=True)
class OwnWeight:
    """A weight that one model has alone."""

    name: str
    type: TensorType


@dataclass(frozen=True)
class Weights:
    """What differs between the constants of two graphs."""

    equal: int
    changed: tuple[WeightChange, ...]
    added: tuple[OwnWeight, ...]
    removed: tuple[OwnWeight, ...]

    @property
    def differs(self) -> bool:
        return bool(self.changed or self.added or self.removed)

    @property
    def is_rounding(self) -> bool:
        """Whether they differ, and by rounding alone."""
        rounded = all(change.kind == "rounding" for change in self.changed)
        return self.differs and rounded and not self.added and not self.removed


def compare_weights(matchings: Mapping[str, Matching]) -> Weights:
    """Compare the matched constants of graphs, given by what their places begin with.

    Every weight is read once, and a few blocks are in memory.
    """
    found = {place: _compare(matching) for place, matching in matchings.items()}
    return Weights(
        sum(one.equal for one in found.values()),
        tuple(
            replace(change, name_a=place + change.name_a, name_b=place + change.name_b)
            for place, one in found.items()
            for change in one.changed
        ),
        tuple(replace(own, name=place + own.name) for place, one in found.items() for own in one.added),
        tuple(replace(own, name=place + own.name) for place, one in found.items() for own in one.removed),
    )


def _compare(matching: Matching) -> Weights:
    changed: list[WeightChange] = []
    pairs = [(node, matching.partners[node]) for node in matching.a.constants if node in matching.partners]
    for a, b in pairs:
        change = _change(a, b)
        if change is not None:
            changed.append(change)
    added, removed = (
        tuple(OwnWeight(place_of(node), node.output.type) for node in side.constants if node not in matching.partners)
        for side in (matching.b, matching.a)
    )
    return Weights(len(pairs) - len(changed), tuple(changed), added, removed)


def array_of(node: Node) -> Array:
    """Return the array of a constant."""
    assert isinstance(node.op, Constant)
    return node.op.value.array


def _change(node_a: Node, node_b: Node) -> WeightChange | None:
    a, b = array_of(node_a), array_of(node_b)
    type_a, type_b = node_a.output.type, node_b.output.type
    values = (repr(a.tolist()), repr(b.tolist())) if max(a.size, b.size) <= MAX_SHOWN_ELEMENTS else None
    same_shape, same_dtype = a.shape == b.shape, type_a.dtype is type_b.dtype
    distance = measure_distance(a, b) if same_shape else Distance()
    if same_shape and same_dtype and not distance.count:
        return None
    kind = "rounding" if distance.is_rounding else "values"
    return WeightChange(
        place_of(node_a),
        place_of(node_b),
        kind if same_shape and same_dtype else "dtype" if same_shape else "shape",
        type_a,
        type_b,
        distance.max_abs,
        distance.max_rel,
        distance.count,
        values,
        distance.outliers,
    )


@dataclass(frozen=True)
class Distance:
    """How far two arrays of one shape are apart; `count` elements are not equal, for `outliers` see `WeightChange`."""

    max_abs: float = 0.0
    max_rel: float = 0.0
    count: int = 0
    is_rounding: bool = False
    outliers: int = 0


def measure_distance(a: Array, b: Array) -> Distance:
    """Compare element by element. NaN equals NaN, and is infinitely far from any number."""
    max_abs = max_rel = largest = 0.0
    count = outliers = 0
    dtype = as_dtype(a.dtype)
    unit = rounding_unit(dtype) if dtype.is_float else math.inf
    for one, other in zip(_blocks(a), _blocks(b), strict=True):
        if one.dtype == other.dtype and one.dtype != object and one.tobytes() == other.tobytes():
            largest = max(largest, _largest(one))
            continue
        if object in (one.dtype, other.dtype):
            count += int((one != other).sum())
            continue
        old, new = one.astype(np.float64), other.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            # float64 cannot tell large integers apart, so the arrays themselves say what is equal.
            equal = (one == other) | (np.isnan(old) & np.isnan(new))
            errors = np.where(equal, 0.0, np.abs(new - old))
        errors = np.where(np.isnan(errors), np.inf, errors)
        size = np.abs(old)
        relative = np.divide(errors, size, out=np.zeros_like(errors), where=(size > 0) & np.isfinite(size))
        count += int(one.size - equal.sum())
        outliers += int((relative > ROUNDINGS * unit).sum())
        max_abs, max_rel = max(max_abs, float(errors.max())), max(max_rel, float(relative.max()))
        largest = max(largest, _largest(one))
    rounding = dtype.is_float and count > 0 and max_abs <= ROUNDINGS * unit * largest
    return Distance(max_abs, max_rel, count, rounding, outliers)


def _blocks(array: Array) -> Iterator[Array]:
    """Yield the elements in row-major order, a block at a time; views where the array has that order itself."""
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    for start in range(0, array.size, BLOCK):
        yield flat[start : start + BLOCK]


def _largest(block: Array) -> float:
    """Return the largest finite magnitude of floats; 0 for anything else, which is not rounded."""
    if not as_dtype(block.dtype).is_float:
        return 0.0
    size = np.abs(block.astype(np.float64))
    return float(size.max(initial=0.0, where=np.isfinite(size)))
