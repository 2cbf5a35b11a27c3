"""The third step of a layered drawing: where across its rank each vertex stands.

Source: Brandes and Köpf, "Fast and Simple Horizontal Coordinate Assignment", 2001. Blocks are placed by longest paths
over the graph of blocks instead of the paper's classes and shifts, which are wrong for some graphs (the authors'
erratum of 2020). Linear; neighbours on a rank never come closer than the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Neighbours = Sequence[Sequence[int]]
Segment = tuple[int, int]


@dataclass(frozen=True)
class Ranked:
    """Ordered ranks of vertices with their room to both sides; `bends[v]`: v is only a point of a long edge."""

    layers: Sequence[Sequence[int]]
    up: Neighbours
    down: Neighbours
    before: Sequence[float]
    after: Sequence[float]
    bends: Sequence[bool]
    gap: float
    bend_gap: float


def assign_coordinates(ranked: Ranked) -> list[float]:
    """Return the place of each vertex's centre line, from 0 on. O(vertices + segments)."""
    count = len(ranked.up)
    positions = [0] * count
    for layer in ranked.layers:
        for place, vertex in enumerate(layer):
            positions[vertex] = place
    conflicts = _conflicts(ranked, positions)
    candidates = [
        _align(ranked, positions, conflicts, downward, rightward)
        for downward in (True, False)
        for rightward in (True, False)
    ]
    return _balance(ranked, candidates)


def _conflicts(ranked: Ranked, positions: Sequence[int]) -> set[Segment]:
    """Return the segments (upper, lower) that cross one between two bends: the long edge stays straight."""
    found: set[Segment] = set()
    for upper, lower in pairwise(ranked.layers):
        first, scanned = 0, 0
        for place, vertex in enumerate(lower):
            inner = ranked.up[vertex][0] if ranked.bends[vertex] and ranked.bends[ranked.up[vertex][0]] else None
            if inner is None and place < len(lower) - 1:
                continue
            last = len(upper) - 1 if inner is None else positions[inner]
            for other in lower[scanned : place + 1]:
                for source in ranked.up[other]:
                    crosses = not first <= positions[source] <= last
                    if crosses and not (ranked.bends[source] and ranked.bends[other]):
                        found.add((source, other))
            scanned, first = place + 1, last
    return found


def _align(
    ranked: Ranked, positions: Sequence[int], conflicts: set[Segment], downward: bool, rightward: bool
) -> list[float]:
    """Return one of the four extreme drawings: blocks of vertices on one line, packed towards one side."""
    layers = [list(layer) if rightward else list(reversed(layer)) for layer in ranked.layers]
    places = list(positions)
    if not rightward:
        for layer in layers:
            for place, vertex in enumerate(layer):
                places[vertex] = place
    ordered = layers if downward else list(reversed(layers))
    root = _join_blocks(ordered, ranked.up if downward else ranked.down, places, conflicts, downward)
    before, after = (ranked.before, ranked.after) if rightward else (ranked.after, ranked.before)
    placed = _place_blocks(layers, root, before, after, ranked)
    return placed if rightward else [-place for place in placed]


def _join_blocks(
    layers: list[list[int]], neighbours: Neighbours, places: list[int], conflicts: set[Segment], downward: bool
) -> list[int]:
    """Join each vertex to a median neighbour of the rank before, where that crosses no join; return all heads."""
    root = list(range(len(places)))
    for layer in layers:
        reached = -1
        for vertex in layer:
            near = neighbours[vertex]
            if not near:
                continue
            if len(near) > 1:
                near = sorted(near, key=places.__getitem__)
            for middle in {(len(near) - 1) // 2, len(near) // 2}:
                other = near[middle]
                segment = (other, vertex) if downward else (vertex, other)
                if root[vertex] == vertex and reached < places[other] and segment not in conflicts:
                    root[vertex] = root[other]
                    reached = places[other]
    return root


def _place_blocks(
    layers: list[list[int]], root: list[int], before: Sequence[float], after: Sequence[float], ranked: Ranked
) -> list[float]:
    """Place every block as near to the start as its neighbours allow, then as near to the end as those do."""
    distances: dict[Segment, float] = {}
    for layer in layers:
        for vertex, following in pairwise(layer):
            gap = ranked.bend_gap if ranked.bends[vertex] or ranked.bends[following] else ranked.gap
            needed = after[vertex] + gap + before[following]
            pair = root[vertex], root[following]
            distances[pair] = max(distances.get(pair, 0.0), needed)
    following_blocks: dict[int, list[tuple[int, float]]] = {}
    missing: dict[int, int] = {}
    for (block, following), distance in distances.items():
        following_blocks.setdefault(block, []).append((following, distance))
        missing[following] = missing.get(following, 0) + 1
    order = [vertex for vertex in range(len(root)) if root[vertex] == vertex and vertex not in missing]
    places = [0.0] * len(root)
    for block in order:  # grows while it is walked
        for following, distance in following_blocks.get(block, ()):
            places[following] = max(places[following], places[block] + distance)
            missing[following] -= 1
            if missing[following] == 0:
                order.append(following)
    for block in reversed(order):
        limits = [places[following] - distance for following, distance in following_blocks.get(block, ())]
        if limits:
            places[block] = max(places[block], min(limits))
    return [places[block] for block in root]


def _balance(ranked: Ranked, candidates: list[list[float]]) -> list[float]:
    """Return the mean of the two middle candidates, once all are shifted to the side of the narrowest; from 0 on.

    Where all candidates keep a distance, so does this: sorting and taking means is monotone.
    """
    count = len(candidates[0])
    if count == 0:
        return []
    bounds = [
        (
            min([place - room for place, room in zip(candidate, ranked.before, strict=True)]),
            max([place + room for place, room in zip(candidate, ranked.after, strict=True)]),
        )
        for candidate in candidates
    ]
    low, high = min(bounds, key=lambda bound: bound[1] - bound[0])
    shifts = [low - bound[0] if index % 2 == 0 else high - bound[1] for index, bound in enumerate(bounds)]
    balanced = []
    for vertex in range(count):
        _, b, c, _ = sorted([candidate[vertex] + shift for candidate, shift in zip(candidates, shifts, strict=True)])
        balanced.append((b + c) / 2)
    start = min([place - room for place, room in zip(balanced, ranked.before, strict=True)])
    return [place - start for place in balanced]
