"""The first step of a layered drawing: which rank every vertex stands on.

Source: Gansner, Koutsofios, North, Vo, "A Technique for Drawing Directed Graphs", 1993, section 2. The network simplex
of that paper is left out: pulling sources and branches towards their readers is enough for networks, and linear.
"""

from __future__ import annotations

from collections.abc import Sequence


def assign_ranks(count: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Return a rank for each vertex, above those of all it points to; 0 is the first. O(vertices + pairs).

    Args:
        count: the number of vertices.
        pairs: (source, target), without cycles, as a graph and a model have none.
    """
    below: list[list[int]] = [[] for _ in range(count)]
    above: list[list[int]] = [[] for _ in range(count)]
    for source, target in dict.fromkeys(pairs):
        below[source].append(target)
        above[target].append(source)
    order = _topological(below, above)
    ranks = [0] * count
    for vertex in order:
        for target in below[vertex]:
            ranks[target] = max(ranks[target], ranks[vertex] + 1)
    _pull_down(order, below, above, ranks)
    return ranks


def _pull_down(order: list[int], below: list[list[int]], above: list[list[int]], ranks: list[int]) -> None:
    """Move every vertex that is read by more than it reads next to its nearest reader: that shortens its edges."""
    for vertex in reversed(order):
        if len(below[vertex]) > len(above[vertex]):
            ranks[vertex] = min(ranks[target] for target in below[vertex]) - 1


def _topological(below: list[list[int]], above: list[list[int]]) -> list[int]:
    missing = [len(sources) for sources in above]
    ready = [vertex for vertex, count in enumerate(missing) if count == 0]
    for vertex in ready:  # grows while it is walked
        for target in below[vertex]:
            missing[target] -= 1
            if missing[target] == 0:
                ready.append(target)
    return ready
