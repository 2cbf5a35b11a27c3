"""Which values of two graphs correspond, once what comes after each cut is fed numbers of its own; see `stretches`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from kir.ir.graph import Graph, Node, Value
from kir.ir.interpreter import Observer, Plan
from kir.ir.op import Array, Op
from kir.ir.structural import Input, Output
from kir.numerics.alignment import EXACT, TOLERANCE, Placement, find_placement
from kir.numerics.cuts import is_bounded

MAX_CANDIDATES = 16  # cuts of one size that a result is compared with

# The magnitudes of the rows that are fed at a cut, and of its elements where there are few rows: past the bounds of
# activations, and below those at which they saturate.
ROWS = (1.0, 4.0, 40.0, 400.0, 0.05)
FEW = 64  # elements: each magnitude is there with both signs

# The kinds of cuts, and the labels of inputs.
Sources: TypeAlias = tuple[frozenset[int], frozenset[str]]

Feeder: TypeAlias = Callable[[Value, Array], Array]


@dataclass(frozen=True)
class Cut:
    """A cut of the original: its value, what it computed, and what is fed in the place of that.

    Cuts that computed the same are of one kind, and are fed the same.
    """

    value: Value
    array: Array
    fed: Array
    kind: int


@dataclass(frozen=True)
class Match:
    """A cut of the original, and the value of the rewritten graph that computed the same: where its elements lie."""

    cut: Cut
    value: Value
    placement: Placement
    array: Array
    fed: Array


@dataclass
class Correspondence:
    """Both graphs, after a run with their cuts fed.

    Attributes:
        cuts: of the original, in order.
        matches: by the value of the rewritten graph.
        loose: what its other cuts computed.
        before, after: the outputs.
    """

    cuts: list[Cut] = field(default_factory=list)
    matches: dict[Value, Match] = field(default_factory=dict)
    loose: dict[Value, Array] = field(default_factory=dict)
    before: Mapping[str, Array] = field(default_factory=dict)
    after: Mapping[str, Array] = field(default_factory=dict)

    def fed_before(self) -> dict[Value, Array]:
        """Return what comes after cuts of the original."""
        return {cut.value: cut.fed for cut in self.cuts}

    def fed_after(self) -> dict[Value, Array]:
        """Return what comes after their counterparts."""
        return {value: match.fed for value, match in self.matches.items()}

    def lost(self) -> list[Cut]:
        """Return the cuts of the original without a counterpart."""
        found = {match.cut.kind for match in self.matches.values()}
        return [cut for cut in self.cuts if cut.kind not in found]

    def sources_before(self, value: Value) -> Sources:
        """Return the cuts and inputs on which a value of the original depends directly. O(nodes between)."""
        return _sources_above(value, {cut.value: cut.kind for cut in self.cuts})

    def sources_after(self, value: Value) -> Sources:
        """Return the same of a value of the rewritten graph."""
        return _sources_above(value, {value: match.cut.kind for value, match in self.matches.items()})

    def outputs(self, original: Graph, rewritten: Graph) -> Iterator[tuple[str, Value, Value]]:
        """Yield the labels and values of the outputs that depend on the same cuts and inputs in both graphs."""
        before = {cut.value: cut.kind for cut in self.cuts}
        after = {value: match.cut.kind for value, match in self.matches.items()}
        others = {node.op.label: node.inputs[0] for node in rewritten.outputs if isinstance(node.op, Output)}
        for node in original.outputs:
            assert isinstance(node.op, Output)
            value, other = node.inputs[0], others[node.op.label]
            assert value is not None
            assert other is not None
            if _sources_of(value, before) == _sources_of(other, after):
                yield node.op.label, value, other


def find_correspondence(
    original: Plan,
    rewritten: Plan,
    feeds: Mapping[str, Array],
    cuts: Mapping[Value, frozenset[type[Op]]],
    others: Mapping[Value, frozenset[type[Op]]],
    seed: int,
) -> Correspondence:
    """Run both graphs, with their cuts fed.

    Args:
        original, rewritten: the graphs, in float64.
        feeds: an array for every input.
        cuts: of the original, and what bends them: the same operator does where results are only nearly the same.
        others: of the rewritten graph.
        seed: of what is fed.

    Raises:
        KirError: a graph cannot run on such numbers.
    """
    found = Correspondence()
    drawing = _Drawing(seed)

    def feed_cut(value: Value, array: Array) -> Array:
        kind, fed = drawing.feed(array, is_bounded(value))
        found.cuts.append(Cut(value, array, fed, kind))
        return fed

    found.before = original.run(feeds, feeding(cuts, feed_cut))
    known = _Known(found.cuts)

    def feed_counterpart(value: Value, array: Array) -> Array:
        match = known.find(array, lambda cut: cuts[cut.value].isdisjoint(others[value]))
        if match is None:
            found.loose[value] = array
            return array
        cut, placement = match
        found.matches[value] = Match(cut, value, placement, array, placement(cut.fed))
        return found.matches[value].fed

    found.after = rewritten.run(feeds, feeding(others, feed_counterpart))
    return found


def feeding(values: Container[Value], feed: Feeder) -> Observer:
    """Return an observer that puts something else in the place of values."""

    def look(node: Node, inputs: Sequence[Array | None], outputs: tuple[Array, ...]) -> tuple[Array, ...]:
        pairs = zip(node.outputs, outputs, strict=True)
        return tuple([feed(value, array) if value in values else array for value, array in pairs])

    return look


class _Drawing:
    """Draws what is fed: the same in the place of the same."""

    def __init__(self, seed: int) -> None:
        self._kinds: dict[object, tuple[int, Array]] = {}
        self._generator = np.random.default_rng([seed, 3])

    def feed(self, array: Array, is_bounded: bool) -> tuple[int, Array]:
        """Return what is fed in the place of an array, with a number for the kind of it."""
        key = array.shape, hash(array.tobytes())
        if key not in self._kinds:
            self._kinds[key] = len(self._kinds), self._draw(array.shape, is_bounded)
        return self._kinds[key]

    def _draw(self, shape: tuple[int, ...], is_bounded: bool) -> Array:
        drawn = np.asarray(self._generator.standard_normal(shape))
        if is_bounded:
            return np.asarray(np.tanh(drawn))
        if drawn.size <= FEW:
            scales = np.resize([*ROWS, *(-size for size in ROWS)], shape)
            return np.asarray(scales * (1 + 0.1 * drawn))
        if shape[0] >= len(ROWS):
            scales = np.resize(ROWS, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
        else:
            scales = self._generator.choice(ROWS, size=shape)
        return np.asarray(scales * drawn)


class _Known:
    """The cuts of the original, looked up by what they computed."""

    def __init__(self, cuts: Sequence[Cut]) -> None:
        self._cuts = cuts
        self._next = 0  # in the order of the graph, the one after the last that was found
        self._by_size: dict[int, list[tuple[float, int]]] = {}
        for index, cut in enumerate(cuts):
            self._by_size.setdefault(cut.array.size, []).append((_norm(cut.array), index))
        for entries in self._by_size.values():
            entries.sort()

    def find(self, array: Array, is_bent_otherwise: Callable[[Cut], bool]) -> tuple[Cut, Placement] | None:
        """Return the cut whose result this is, and how its elements lie in it; exactly so for one bent otherwise."""
        for index in self._candidates(array):
            cut = self._cuts[index]
            placement = find_placement(cut.array, array, EXACT if is_bent_otherwise(cut) else TOLERANCE)
            if placement is not None:
                self._next = index + 1
                return self._cuts[index], placement
        return None

    def _candidates(self, array: Array) -> list[int]:
        """Return the cuts whose norms are nearest, first the one that is likely."""
        entries = self._by_size.get(array.size, [])
        middle = bisect_left(entries, (_norm(array), -1))
        near = entries[max(0, middle - MAX_CANDIDATES // 2) : middle + MAX_CANDIDATES // 2]
        return sorted((index for _, index in near), key=lambda index: index != self._next)


def _norm(array: Array) -> float:
    return float(np.square(array[np.isfinite(array)]).sum())


def nodes_above(value: Value, cuts: Container[Value]) -> set[Node]:
    """Return the nodes that compute a value from cuts, or from the inputs of the graph. O(nodes between)."""
    seen: set[Node] = {value.node}
    pending = [value.node]
    while pending:
        for read in pending.pop().inputs:
            if read is not None and read not in cuts and read.node not in seen:
                seen.add(read.node)
                pending.append(read.node)
    return seen


def cuts_above(value: Value, cuts: Container[Value]) -> set[Value]:
    """Return the cuts on which a value depends directly. O(nodes between)."""
    above = nodes_above(value, cuts)
    return {read for node in above for read in node.inputs if read is not None and read in cuts}


def _sources_above(value: Value, kinds: Mapping[Value, int]) -> Sources:
    """Return the kinds of the cuts, and the labels of the inputs, on which a value depends directly."""
    above = nodes_above(value, kinds)
    read = {kinds[read] for node in above for read in node.inputs if read is not None and read in kinds}
    return frozenset(read), frozenset({node.op.label for node in above if isinstance(node.op, Input)})


def _sources_of(value: Value, kinds: Mapping[Value, int]) -> Sources:
    """Return the kind of a value that is a cut, or else what it depends on directly."""
    return (frozenset({kinds[value]}), frozenset()) if value in kinds else _sources_above(value, kinds)
