"""Whether two graphs compute the same stretch by stretch, on inputs that the model itself may never give them.

What the outputs show of an error may be nothing: a Softmax that is saturated, units that are dead, a NaN, a limit that
no activation reaches. So both graphs are cut where values are free (`cuts`), and what comes after a cut is fed random
numbers of both signs and many magnitudes. Every stretch between two cuts is so compared on inputs of its own.

1. The original runs, and each cut is fed.
2. The rewritten graph runs. A cut that computes what one of the original does, with its axes in any order, is fed the
   same: the two correspond. The numbers alone say which do, since all stretches before them had the same inputs.
3. What corresponds is compared, and so are outputs that depend on the same cuts and inputs.
4. A cut of the original without a counterpart may not be there any more: the graphs run again without it. Something is
   wrong, though, if a cut of the rewritten graph without a counterpart stands in its place: one that depends on the
   same, has as many elements, and is bent by the same operator; and if neither is any other value of the other
   graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kir.errors import KirError
from kir.ir.graph import Graph, Node, Origin, Value
from kir.ir.interpreter import Observer, Plan
from kir.ir.op import Array, Op
from kir.ir.structural import Output
from kir.numerics.alignment import Placement, has_all_placements, is_near, placements
from kir.numerics.compare import Run
from kir.numerics.correspondence import Correspondence, Cut, cuts_above, feeding, find_correspondence, nodes_above
from kir.numerics.cuts import RECURRENT, find_cuts, split_activations
from kir.numerics.equivalence import Equivalence
from kir.numerics.first_layer import describe, find_first_lost, observe
from kir.numerics.report import OutputReport
from kir.numerics.rounding_sizes import is_float_array
from kir.ops import elementwise
from kir.ops.nn import LogSoftmax, Softmax

MAX_ROUNDS = 3
MAX_LOST = 64  # cuts without a counterpart that are looked at
LISTED = 20  # differences

# A result that is another times one number is no sign of an error: the scale may stand elsewhere. Errors are smaller.
# But nothing moves a scale across these.
LEAST_SCALE = 0.05
UNSCALED = (*elementwise.UNARY - {elementwise.Relu, elementwise.LeakyRelu, elementwise.Abs, elementwise.Sign},)
UNSCALED += (elementwise.Clip, Softmax, LogSoftmax, *RECURRENT, Output)

OUTPUT = "output "  # stands before the label of an output in the names of what is compared


@dataclass(frozen=True)
class Difference:
    """A place at which two graphs compute something else.

    Attributes:
        origin: the layer of the original that the rewritten graph does not compute; None if it has none.
        op: the operator of the original at which that showed.
        other: the value of the rewritten graph that was compared there.
        report: the errors.
    """

    origin: Origin | None
    op: Op
    other: Value
    report: OutputReport


@dataclass(frozen=True)
class _Pair:
    """A value of each graph that should be the same, and what they computed."""

    value: Value
    other: Value
    before: Array
    after: Array
    placement: Placement | None = None


class Stretches:
    """The comparison of two graphs with the same inputs and outputs, stretch by stretch.

    Attributes:
        count: how many cuts of the original have a counterpart.
    """

    def __init__(self, original: Graph, rewritten: Graph, seed: int) -> None:
        self._original, _ = split_activations(original)
        self._rewritten, self._given = split_activations(rewritten)
        self._cuts, self._others = find_cuts(self._original), find_cuts(self._rewritten)
        self._plans = Plan(self._original, wide=True), Plan(self._rewritten, wide=True)
        self._seed = seed
        self.count = 0

    def find_differences(self, run: Run) -> list[Difference]:
        """Return the first places at which the graphs differ by more than rounding; none where they cannot be fed."""
        cuts = dict(self._cuts)
        for _ in range(MAX_ROUNDS):
            try:
                found = find_correspondence(*self._plans, run.feeds, cuts, self._others, self._seed)
                lost = found.lost()
                self.count = max(self.count, len(found.cuts) - len(lost))
                kinds = {cut.kind for cut in lost}
                first = [cut for cut in lost[:MAX_LOST] if kinds.isdisjoint(found.sources_before(cut.value)[0])]
                differences = self._judge(run, found, self._name_pairs(run, found, first))
            except (KirError, IndexError):  # numbers that the model would never compute may be sizes or indices
                return []
            if differences or not first:
                return differences
            for cut in first:
                del cuts[cut.value]
        return []

    # What is compared

    def _name_pairs(self, run: Run, found: Correspondence, lost: Sequence[Cut]) -> dict[str, _Pair]:
        pairs = [*self._settled(found), *self._replaced(run, found, lost)]
        outputs = {
            f"{OUTPUT}{label}": _Pair(value, other, found.before[label], found.after[label])
            for label, value, other in found.outputs(self._original, self._rewritten)
        }
        return {str(index): pair for index, pair in enumerate(pairs)} | outputs

    def _settled(self, found: Correspondence) -> Iterator[_Pair]:
        """Yield what corresponds and had the same inputs: all does, if no cut is without a counterpart."""
        are_all = not found.loose and not found.lost()
        for value, match in found.matches.items():
            cut = match.cut
            if are_all or found.sources_before(cut.value) == found.sources_after(value):
                yield _Pair(cut.value, value, match.placement(cut.array), match.array, match.placement)

    def _replaced(self, run: Run, found: Correspondence, lost: Sequence[Cut]) -> list[_Pair]:
        """Return cuts without a counterpart, with those of the rewritten graph that stand in their place."""
        places: dict[object, list[Value]] = {}
        for value in list(found.loose)[:MAX_LOST]:
            places.setdefault((found.sources_after(value), found.loose[value].size), []).append(value)
        pairs: list[_Pair] = []
        for cut in lost:
            others = places.get((found.sources_before(cut.value), cut.array.size), [])
            other = next((one for one in others if self._cuts[cut.value] & self._others[one]), None)
            if other is not None:
                others.remove(other)
                array = found.loose[other]
                if _is_moved(cut.array, array):
                    continue
                placement = _nearest(cut.array, array)
                if not self._cuts[cut.value].isdisjoint(UNSCALED) or not _is_scaled(placement(cut.array), array):
                    pairs.append(_Pair(cut.value, other, placement(cut.array), array, placement))
        if not pairs:
            return []
        before = _find_in(self._rewritten, run, found.fed_after(), [pair.before for pair in pairs])
        after = _find_in(self._original, run, found.fed_before(), [pair.after for pair in pairs])
        return [pair for pair, *is_there in zip(pairs, before, after, strict=True) if not any(is_there)]

    # Judging it

    def _judge(self, run: Run, found: Correspondence, pairs: Mapping[str, _Pair]) -> list[Difference]:
        outputs = [name for name in pairs if name.startswith(OUTPUT)]
        inner = {name: pair for name, pair in pairs.items() if name not in outputs}
        first = _Feeding(found.fed_before(), {name: (one.value, one.placement) for name, one in inner.items()}, outputs)
        second = _Feeding(found.fed_after(), {name: (one.other, None) for name, one in inner.items()}, outputs)
        equivalence = Equivalence(self._original, self._rewritten, self._seed, (first, second), self._plans)
        before: dict[str, Array] = {}
        after: dict[str, Array] = {}
        for name, pair in pairs.items():
            before[name], after[name] = _both_known(pair.before, pair.after)
        reports = equivalence.judge(run, before, after, {name: np.zeros(()) for name in pairs})
        if not reports:
            return []
        results = observe(self._original, run.feeds, run=first)
        others = observe(self._rewritten, run.feeds, run=second)
        differences: list[Difference] = []
        for report in reports[:LISTED]:
            pair = pairs[report.name]
            part = nodes_above(pair.value, first.fed)
            known = [others[node] for node in nodes_above(pair.other, second.fed) if node in others]
            known += [describe(first.fed[cut]) for cut in cuts_above(pair.value, first.fed)]
            lost = find_first_lost([node for node in self._original.order() if node in part], results, known)
            node, other = pair.value.node, self._given.get(pair.other, pair.other)
            differences.append(Difference(lost or node.origin, node.op, other, report))
        return differences


@dataclass(frozen=True)
class _Feeding:
    """Runs a plan with its cuts fed, and returns what was computed there; a function for `Equivalence`.

    Attributes:
        fed: what comes after each cut.
        values: what is returned, by name, and how it is placed.
        outputs: the names of outputs that are returned too.
    """

    fed: Mapping[Value, Array]
    values: Mapping[str, tuple[Value, Placement | None]] = field(default_factory=dict)
    outputs: Collection[str] = ()

    def __call__(self, plan: Plan, feeds: Mapping[str, Array], observe: Observer | None) -> dict[str, Array]:
        computed: dict[Value, Array] = {}
        wanted = {value for value, _ in self.values.values()}

        def feed(value: Value, array: Array) -> Array:
            computed[value] = array
            return self.fed.get(value, array)

        put = feeding(wanted | self.fed.keys(), feed)

        def look(node: Node, inputs: tuple[Array | None, ...], outputs: tuple[Array, ...]) -> tuple[Array, ...]:
            return put(node, inputs, outputs if observe is None else observe(node, inputs, outputs))

        results = plan.run(feeds, look)
        inner = {
            name: computed[value] if placement is None else placement(computed[value])
            for name, (value, placement) in self.values.items()
        }
        found = inner | {name: results[name.removeprefix(OUTPUT)] for name in self.outputs}
        return {name: _known_or_zero(array) for name, array in found.items()}


def _find_in(graph: Graph, run: Run, fed: Mapping[Value, Array], arrays: Sequence[Array]) -> list[bool]:
    """Return which arrays a graph computes anywhere, in any order of their axes."""
    there = [False] * len(arrays)

    def look(node: Node, inputs: tuple[Array | None, ...], outputs: tuple[Array, ...]) -> tuple[Array, ...]:
        for output in filter(is_float_array, outputs):
            for index, array in enumerate(arrays):
                if not there[index] and array.size == output.size:
                    ways = placements(array.shape, output.shape)
                    there[index] = any(is_near(placement(array), output) for placement in ways)
        return outputs

    _Feeding(fed)(Plan(graph, wide=True), run.feeds, look)
    return there


def _both_known(a: Array, b: Array) -> tuple[Array, Array]:
    """Return two arrays with 0 in both where one has NaN or an infinity: an order of operations may make those."""
    if a.shape != b.shape or not is_float_array(a):
        return a, b
    known = np.isfinite(a) & np.isfinite(b)
    return (a, b) if known.all() else (np.where(known, a, 0), np.where(known, b, 0))


def _known_or_zero(array: Array) -> Array:
    return np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0) if is_float_array(array) else array


def _is_scaled(a: Array, b: Array) -> bool:
    """Return whether an array is another times a number that is not about 1."""
    known = np.isfinite(a) & np.isfinite(b)
    total = float(np.square(a[known]).sum())
    factor = float((a[known] * b[known]).sum()) / total if total else 1.0
    return abs(factor - 1) > LEAST_SCALE and is_near(factor * a, b)


def _is_moved(a: Array, b: Array) -> bool:
    """Return whether an array may be another whose elements moved in a way that no placement says."""
    if has_all_placements(a.shape, b.shape):
        return a.shape == b.shape and a.ndim > 1 and _has_features_moved(a, b)
    return is_near(np.sort(a, axis=None), np.sort(b, axis=None))


def _has_features_moved(a: Array, b: Array) -> bool:
    """Return whether one order of the last axis makes one array another: the columns of a kernel may have moved."""
    first, second = (array.reshape(-1, array.shape[-1]) for array in (a, b))
    weights = np.sin(np.arange(1, len(first) + 1))
    orders = [np.argsort(weights @ rows) for rows in (first, second)]
    return is_near(first[:, orders[0]], second[:, orders[1]])


def _nearest(a: Array, b: Array) -> Placement:
    """Return the way of an array to lie in another of its size in which it differs least."""

    def distance(placement: Placement) -> float:
        placed, other = _both_known(placement(a), b)
        return float(np.abs(placed - other).sum())

    return min(placements(a.shape, b.shape), key=distance)
