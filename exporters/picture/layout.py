"""A layered drawing of boxes and arcs: where the boxes stand and how the arcs run.

Boxes stand on ranks, each rank in a band of its own; `across` counts along a band and `along` from band to band, so
that one program draws from top to bottom and from left to right. Four steps: ranks (`ranking`), order on the ranks
(`ordering`), places across (`coordinates`), and here the bands and routes. Nothing is random, nothing recurses, and
every step is linear up to sorting.

What holds for every drawing, and why:

1. Boxes do not overlap: on a rank they keep a gap, and bands are disjoint.
2. Arcs meet no foreign box: inside a band they run straight along the line of a bend, which keeps its gap like a box;
   they change lines only between bands, where no boxes are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from typing import NamedTuple

from kir.exporters.picture.coordinates import Ranked, assign_coordinates
from kir.exporters.picture.ordering import order_ranks
from kir.exporters.picture.ranking import assign_ranks

BOX_GAP = 28.0
BEND_GAP = 14.0
# Between bands: room for an arrow, and more where arcs have far to go, so that they do not run flat.
SHORTEST_GAP, LONGEST_GAP, SLOPE = 28.0, 76.0, 0.14
# An arc ends in a straight line of this length, so that its arrow points where the line does.
ARROW_ROOM = 8.0
LANE_GAP = 12.0
# Bends per box and arc. Beyond, the longest arcs (n arcs over n ranks would have n² bends) run in lanes outside.
BEND_BUDGET, SPARE_BENDS = 6, 5_000


class Point(NamedTuple):
    across: float
    along: float


@dataclass(frozen=True, slots=True)
class Extent:
    """The room that a box needs: to both sides of its centre line, and along.

    `tail` is the end of `length` that is not the box itself: arcs run through it, beside their labels.
    """

    before: float
    after: float
    length: float
    tail: float = 0.0


@dataclass(frozen=True, slots=True)
class Arc:
    """An arc between boxes, by number. It leaves `port` beside the source's centre line; equal ports share a trunk."""

    source: int
    target: int
    port: float = 0.0


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Each box's centre line and where it begins; each arc's points; the size of it all.

    Of several arcs from one port, the first of the longest is drawn in full, and another from where it leaves that
    one: n arcs along one trunk would have n² points.

    Points with the same `across` are joined by a line; others by a curve that starts and ends in the direction
    `along`, which stays inside the rectangle of the two points.
    """

    centres: list[float]
    starts: list[float]
    routes: list[list[Point]]
    breadth: float
    length: float


def arrange(extents: Sequence[Extent], arcs: Sequence[Arc]) -> Arrangement:
    """Draw boxes and arcs, which have no cycles. O(boxes + arcs) apart from sorting."""
    ranks = assign_ranks(len(extents), [(arc.source, arc.target) for arc in arcs])
    web = _Web(extents, ranks)
    chains = web.add_arcs(arcs)
    layers = order_ranks(web.ranks, web.up, web.down)
    before = [extent.before for extent in extents] + [0.0] * web.bend_count
    after = [extent.after for extent in extents] + [0.0] * web.bend_count
    bends = [False] * len(extents) + [True] * web.bend_count
    places = assign_coordinates(Ranked(layers, web.up, web.down, before, after, bends, BOX_GAP, BEND_GAP))
    breadth = max([place + room for place, room in zip(places, after, strict=True)], default=0.0)
    lines, breadth = _lines(arcs, chains, ranks, places, breadth)
    bands = _bands(extents, ranks, lines)
    starts = [
        bands[rank][0] + (bands[rank][1] - bands[rank][0] - extent.length) / 2
        for rank, extent in zip(ranks, extents, strict=True)
    ]
    routes = [
        _route(line, _beginning(arc, line, ranks, starts, extents, bands), starts[arc.target], bands)
        for arc, line in zip(arcs, lines, strict=True)
    ]
    return Arrangement(places[: len(extents)], starts, routes, breadth, bands[-1][1] if bands else 0.0)


class _Web:
    """Vertices, which are boxes and the bends of long arcs, with segments between neighbouring ranks."""

    def __init__(self, extents: Sequence[Extent], ranks: Sequence[int]) -> None:
        self.ranks = list(ranks)
        self.up: list[list[int]] = [[] for _ in extents]
        self.down: list[list[int]] = [[] for _ in extents]
        self.bend_count = 0

    def add_arcs(self, arcs: Sequence[Arc]) -> list[list[int] | None]:
        """Return for each arc the bends that it is drawn through; None for one that runs in a lane.

        Arcs from one port share a trunk of bends: the first of the longest has them all, others the last one that
        they share.
        """
        trunks: dict[tuple[int, float], list[int]] = {}
        for index, arc in enumerate(arcs):
            trunks.setdefault((arc.source, arc.port), []).append(index)
        chains: list[list[int] | None] = [None] * len(arcs)
        budget = BEND_BUDGET * (len(self.up) + len(arcs)) + SPARE_BENDS
        spans = [max([self._span(arcs[index]) for index in members]) for members in trunks.values()]
        for span, members in sorted(zip(spans, trunks.values(), strict=True), key=lambda trunk: trunk[0]):
            budget -= span - 1
            short = members if budget >= 0 else [index for index in members if self._span(arcs[index]) == 1]
            self._add_trunk(arcs, short, chains)
        return chains

    def _span(self, arc: Arc) -> int:
        return self.ranks[arc.target] - self.ranks[arc.source]

    def _add_trunk(self, arcs: Sequence[Arc], members: list[int], chains: list[list[int] | None]) -> None:
        if not members:
            return
        trunk = [arcs[members[0]].source]
        longest = max(members, key=lambda index: self._span(arcs[index]))
        for _ in range(self._span(arcs[longest]) - 1):
            trunk.append(self._add_bend(trunk[-1]))
        for index in members:
            span = self._span(arcs[index])
            self._join(trunk[span - 1], arcs[index].target)
            chains[index] = trunk[1:] if index == longest else trunk[max(1, span - 1) : span]

    def _add_bend(self, above: int) -> int:
        bend = len(self.ranks)
        self.ranks.append(self.ranks[above] + 1)
        self.up.append([])
        self.down.append([])
        self.bend_count += 1
        self._join(above, bend)
        return bend

    def _join(self, above: int, below: int) -> None:
        self.down[above].append(below)
        self.up[below].append(above)


Line = list[tuple[float, int]]  # where an arc runs on each rank from its source's to its target's: (across, rank)


def _lines(
    arcs: Sequence[Arc],
    chains: Sequence[list[int] | None],
    ranks: Sequence[int],
    places: Sequence[float],
    breadth: float,
) -> tuple[list[Line], float]:
    """Return where each arc runs on the ranks that it touches, and the breadth with the lanes."""
    lines: list[Line] = []
    in_lanes: list[int] = []
    for index, (arc, chain) in enumerate(zip(arcs, chains, strict=True)):
        first, last = ranks[arc.source] + 1, ranks[arc.target] - 1
        bends = chain or ()
        line = [(places[bend], last - len(bends) + 1 + step) for step, bend in enumerate(bends)]
        if len(bends) == last - first + 1 or chain is None:
            line.insert(0, (places[arc.source] + arc.port, first - 1))
        lines.append([*line, (places[arc.target], last + 1)])
        if chain is None:
            in_lanes.append(index)
    lanes, busy = 0, list[tuple[int, int]]()  # (last rank on which the lane is taken, lane)
    for index in sorted(in_lanes, key=lambda index: lines[index][0][1]):
        start, end = lines[index]
        if busy and busy[0][0] < start[1]:
            lane = heappop(busy)[1]
        else:
            lane, lanes = lanes, lanes + 1
        heappush(busy, (end[1] - 1, lane))
        across = breadth + LANE_GAP * (lane + 1)
        lines[index] = [start, (across, start[1] + 1), (across, end[1] - 1), end]
    return lines, breadth + LANE_GAP * (lanes + 1) if lanes else breadth


def _bands(extents: Sequence[Extent], ranks: Sequence[int], lines: Sequence[Line]) -> list[tuple[float, float]]:
    """Return where each rank's band begins and ends, along."""
    count = max(ranks, default=-1) + 1
    lengths, widest = [0.0] * count, [0.0] * count
    for rank, extent in zip(ranks, extents, strict=True):
        lengths[rank] = max(lengths[rank], extent.length)
    for line in lines:
        for (across, rank), (next_across, _) in pairwise(line):
            widest[rank] = max(widest[rank], abs(next_across - across))
    bands, end = list[tuple[float, float]](), 0.0
    for rank in range(count):
        gap = min(LONGEST_GAP, SHORTEST_GAP + round(SLOPE * widest[rank - 1])) if rank else 0.0
        bands.append((end + gap, end + gap + lengths[rank]))
        end = bands[-1][1]
    return bands


def _beginning(
    arc: Arc,
    line: Line,
    ranks: Sequence[int],
    starts: Sequence[float],
    extents: Sequence[Extent],
    bands: Sequence[tuple[float, float]],
) -> float:
    """Return where a line begins: at its box, or where it leaves the trunk."""
    first_rank = line[0][1]
    at_box = first_rank == ranks[arc.source]
    extent = extents[arc.source]
    return starts[arc.source] + extent.length - extent.tail if at_box else bands[first_rank][1]


def _route(line: Line, start: float, end: float, bands: Sequence[tuple[float, float]]) -> list[Point]:
    points = [Point(line[0][0], start), Point(line[0][0], bands[line[0][1]][1])]
    for across, rank in line[1:-1]:
        points += [Point(across, bands[rank][0]), Point(across, bands[rank][1])]
    points += [Point(line[-1][0], bands[line[-1][1]][0] - ARROW_ROOM), Point(line[-1][0], end)]
    return _without_needless_points(points)


def _without_needless_points(points: list[Point]) -> list[Point]:
    kept = points[:1]
    for index in range(1, len(points) - 1):
        on_one_line = kept[-1].across == points[index].across == points[index + 1].across
        if not on_one_line and points[index] != kept[-1]:
            kept.append(points[index])
    return [*kept, points[-1]]
