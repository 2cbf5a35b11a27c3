"""What natural inputs show of operators, and which operators they say little of.

An operator whose result is the same on all probes, whose function has a kink of which one side was seen, or whose table
was read in a few rows, may be right on these inputs and wrong on others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kir.ir.graph import Node
from kir.ir.op import Array, Op
from kir.ir.structural import Constant
from kir.ops import elementwise
from kir.ops.control import If
from kir.ops.linear import Dense
from kir.ops.lookup import Lookup
from kir.ops.nn import Softmax
from kir.ops.reduce import ArgMax, ArgMin
from kir.ops.shape import Gather, GatherElements, OneHot, TopK

Inputs = Sequence[Array | None]

# A result this near to a bound of its function is taken for saturated.
SATURATED = 1e-6


@dataclass
class _Seen:
    """What was seen of one node, over all probes; `op` is its operator, or the activation of a Dense."""

    op: Op
    elements: int = 0
    finite: int = 0
    first: Any = None
    varies: bool = False
    inner: bool = False  # between the bounds of a function that saturates
    sides: set[str] = field(default_factory=set)
    rows: set[int] = field(default_factory=set)
    row_count: int = 0


class Coverage:
    """Collects what the inputs and results of operators show of them."""

    def __init__(self) -> None:
        self._seen: dict[Node, _Seen] = {}

    def add(self, node: Node, op: Op, inputs: Inputs, y: Array) -> None:
        """Take one run of an operator into account: its inputs and first result, or a part of them."""
        seen = self._seen.setdefault(node, _Seen(op))
        seen.elements += y.size
        if not y.size:
            return
        _see_values(seen, op, y)
        look = KINKS.get(type(op))
        if look is not None and len(seen.sides) < len(look[0]):
            seen.sides.update(side for side, present in zip(look[0], look[1](op, inputs, y), strict=True) if present)
        if isinstance(op, Gather | GatherElements | Lookup | OneHot):
            _see_rows(seen, op, inputs, y)

    def weak(self) -> dict[Node, str]:
        """Return the nodes of which the probes say little, in the order in which they were seen, and why."""
        reasons = {node: _reason(node, seen) for node, seen in self._seen.items()}
        return {node: reason for node, reason in reasons.items() if reason}


def _see_values(seen: _Seen, op: Op, y: Array) -> None:
    if y.dtype == object:
        seen.finite += y.size
        seen.varies = seen.varies or len(set(y.ravel().tolist())) > 1
        return
    flat = y.ravel()
    if y.dtype.kind in "biu":
        low, high, seen.finite = flat.min(), flat.max(), seen.finite + flat.size
    else:
        finite = flat[np.isfinite(flat)]
        seen.finite += finite.size
        if not finite.size:
            return
        low, high = float(finite.min()), float(finite.max())
        if not seen.inner and isinstance(_function(op), SATURATING):
            bounds = np.abs(finite.astype(np.float64))
            seen.inner = bool(np.any((bounds > SATURATED) & (np.abs(bounds - 1) > SATURATED)))
    seen.first = low if seen.first is None else seen.first
    seen.varies = seen.varies or bool(low != seen.first) or bool(high != seen.first)


def _see_rows(seen: _Seen, op: Op, inputs: Inputs, y: Array) -> None:
    if isinstance(op, Lookup):
        seen.row_count = len(set(op.keys)) + 1
        (x,) = inputs
        assert x is not None
        index = {key: place for place, key in enumerate(dict.fromkeys(op.keys))}
        seen.rows.update(index.get(item, -1) for item in x.ravel().tolist())
        return
    x, indices = (inputs[1], inputs[0]) if isinstance(op, OneHot) else inputs
    assert x is not None
    assert indices is not None
    if isinstance(op, OneHot):
        seen.row_count = op.depth if isinstance(op.depth, int) else 0
    elif isinstance(op, Gather | GatherElements):
        seen.row_count = x.shape[op.axis]
    seen.rows.update(np.where(indices < 0, indices + seen.row_count, indices).ravel().tolist())


def _reason(node: Node, seen: _Seen) -> str:
    """Return why the probes say little of a node; "" if they say enough."""
    if not seen.elements:
        return "no probe gave it an element"
    if not seen.finite:
        return "its result is NaN or infinite on all probes"
    if isinstance(_function(seen.op), SATURATING) and not seen.inner:
        return "it is saturated on all probes"
    reads = [value for value in node.inputs if value is not None and not isinstance(value.node.op, Constant)]
    if not seen.varies and seen.elements > 1 and reads and seen.first is not None:
        return f"its result is {seen.first:.6g} on all probes"
    if seen.row_count > len(seen.rows):
        return f"{len(seen.rows)} of {seen.row_count} rows were read"
    sides = KINKS[type(seen.op)][0] if type(seen.op) in KINKS else ()
    missing = [side for side in sides if side not in seen.sides]
    return f"not seen: {', '.join(missing)}" if missing else ""


def _function(op: Op) -> Op | None:
    return op.activation if isinstance(op, Dense) else op


SATURATING = (
    elementwise.Sigmoid,
    elementwise.Tanh,
    elementwise.HardSigmoid,
    elementwise.Softsign,
    elementwise.Erf,
    Softmax,
)


# Kinks: the sides of each, and whether a run shows them

Look = Callable[[Any, Any, Array], tuple[Any, ...]]

SIGNS = ("x below 0", "x above 0")


def _signs(op: Op, inputs: Inputs, y: Array) -> tuple[Any, ...]:
    (x, *_) = inputs
    assert x is not None
    return np.any(x < 0), np.any(x > 0)


def _order(op: Op, inputs: Inputs, y: Array) -> tuple[Any, ...]:
    a, b = inputs
    assert a is not None
    assert b is not None
    return np.any(a < b), np.any(a == b), np.any(a > b)


def _sides_of_clip(op: Op, inputs: Inputs, y: Array) -> tuple[Any, ...]:
    x, low, high = (*inputs, None, None)[:3]
    assert x is not None
    below = True if low is None else np.any(x < low)
    above = True if high is None else np.any(x > high)
    return below, np.any(y == x), above


def _chosen(op: Op, inputs: Inputs, y: Any) -> tuple[Any, ...]:
    condition = inputs[0]
    assert condition is not None
    return np.any(condition), not np.all(condition)


def _around(thresholds: Callable[[Any], tuple[float, ...]]) -> Look:
    """Return what sees whether elements lie below, between and above thresholds."""

    def look(op: Any, inputs: Inputs, y: Array) -> tuple[Any, ...]:
        (x,) = inputs
        assert x is not None
        bounds = (-np.inf, *thresholds(op), np.inf)
        return tuple(np.any((x > low) & (x < high)) for low, high in itertools.pairwise(bounds))

    return look


def _halves(op: Op, inputs: Inputs, y: Array) -> tuple[Any, ...]:
    (x,) = inputs
    assert x is not None
    return np.any(x != y), np.any((x - np.floor(x)) == 0.5)


def _fractions(op: Op, inputs: Inputs, y: Array) -> tuple[Any, ...]:
    (x,) = inputs
    assert x is not None
    return np.any((x != y) & (x < 0)), np.any((x != y) & (x > 0))


def _ties(op: Any, inputs: Inputs, y: Array) -> tuple[Any, ...]:
    (x,) = inputs
    assert x is not None
    ordered = np.sort(x, axis=op.axis)
    return (np.any(np.diff(ordered, axis=op.axis) == 0),)


COMPARED = ("a below b", "a equal to b", "a above b")
CHOSEN = ("the condition true", "the condition false")
THREE = ("x below its range", "x in its range", "x above its range")

KINKS: dict[type[Op], tuple[tuple[str, ...], Look]] = {
    **dict.fromkeys(
        (elementwise.Relu, elementwise.LeakyRelu, elementwise.PRelu, elementwise.Elu, elementwise.Celu), (SIGNS, _signs)
    ),
    **dict.fromkeys((elementwise.Selu, elementwise.Abs, elementwise.Sign), (SIGNS, _signs)),
    **dict.fromkeys((*elementwise.COMPARISONS, elementwise.Maximum, elementwise.Minimum), (COMPARED, _order)),
    elementwise.Clip: (THREE, _sides_of_clip),
    **dict.fromkeys((elementwise.Where, If), (CHOSEN, _chosen)),
    elementwise.ThresholdedRelu: (("x below alpha", "x above alpha"), _around(lambda op: (op.alpha,))),
    elementwise.HardSwish: (THREE, _around(lambda op: (-3.0, 3.0))),
    elementwise.Shrink: (THREE, _around(lambda op: (-op.lambd, op.lambd))),
    elementwise.Round: (("fractions", "halves"), _halves),
    **dict.fromkeys((elementwise.Floor, elementwise.Ceil), (("fractions below 0", "fractions above 0"), _fractions)),
    **dict.fromkeys((ArgMax, ArgMin, TopK), (("equal elements",), _ties)),
}
