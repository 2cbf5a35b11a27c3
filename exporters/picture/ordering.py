"""The second step of a layered drawing: the order of the vertices on each rank, with few crossings.

Source: Sugiyama, Tagawa, Toda, "Methods for Visual Understanding of Hierarchical System Structures", 1981 (sweeps by
barycentre); Gansner et al., 1993, section 3 (keeping the best order, starting from a depth-first walk).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence

MAX_SWEEPS = 24
# A sweep visits each segment once. Drawings of some ten thousand segments get a handful of sweeps, small ones all.
VISITS = 250_000
# After this many sweeps without fewer crossings, more are a waste.
PATIENCE = 4

Neighbours = Sequence[Sequence[int]]


def order_ranks(ranks: Sequence[int], up: Neighbours, down: Neighbours) -> list[list[int]]:
    """Order the vertices of each rank, from one side to the other.

    Args:
        ranks: the rank of each vertex; every segment joins neighbouring ranks.
        up: for each vertex, the vertices of the rank above that it is joined to.
        down: likewise, of the rank below.
    """
    layers = _initial(ranks, down)
    positions = [0] * len(ranks)
    for layer in layers:
        _number(layer, positions)
    best, fewest = [list(layer) for layer in layers], _count_crossings(layers, down, positions)
    segments = sum(map(len, down))
    idle = 0
    for sweep in range(max(PATIENCE, min(MAX_SWEEPS, VISITS // (segments + 1)))):
        if fewest == 0 or idle == PATIENCE:
            break
        _sweep(layers, up if sweep % 2 == 0 else down, positions, downward=sweep % 2 == 0)
        crossings = _count_crossings(layers, down, positions)
        idle += 1
        if crossings < fewest:
            best, fewest, idle = [list(layer) for layer in layers], crossings, 0
    return best


def _initial(ranks: Sequence[int], down: Neighbours) -> list[list[int]]:
    """Order vertices as a depth-first walk from the top meets them, so that what belongs together stands together."""
    layers: list[list[int]] = [[] for _ in range(max(ranks, default=-1) + 1)]
    seen = [False] * len(ranks)
    for root in sorted(range(len(ranks)), key=lambda vertex: ranks[vertex]):
        stack = [root]
        while stack:
            vertex = stack.pop()
            if not seen[vertex]:
                seen[vertex] = True
                layers[ranks[vertex]].append(vertex)
                stack.extend(reversed(down[vertex]))
    return layers


def _sweep(layers: list[list[int]], neighbours: Neighbours, positions: list[int], downward: bool) -> None:
    """Sort each rank by the mean position of its neighbours on the rank just done."""
    for layer in layers if downward else reversed(layers):
        if len(layer) > 1:
            keys = {}
            for vertex in layer:
                near = neighbours[vertex]
                keys[vertex] = sum([positions[n] for n in near]) / len(near) if near else positions[vertex]
            layer.sort(key=keys.__getitem__)
            _number(layer, positions)


def _number(layer: Sequence[int], positions: list[int]) -> None:
    for place, vertex in enumerate(layer):
        positions[vertex] = place


def _count_crossings(layers: Sequence[Sequence[int]], down: Neighbours, positions: Sequence[int]) -> int:
    """Count the pairs of segments that cross: inversions among their ends, in the order of their beginnings."""
    crossings = 0
    for layer in layers:
        if len(layer) < 2:
            continue
        ends: list[int] = []
        for vertex in layer:
            targets = sorted([positions[target] for target in down[vertex]])
            for end in targets:
                crossings += len(ends) - bisect_right(ends, end)
            for end in targets:
                insort(ends, end)
    return crossings
