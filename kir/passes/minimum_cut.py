"""Minimum cuts: the cheapest ways to divide things between two sides."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

# The two sides, and the two things that stand on them from the beginning.
NEAR, FAR = 0, 1

UNLIMITED = 1 << 60


def divide(count: int, groups: Iterable[Iterable[int]]) -> list[int]:
    """Return the side, NEAR or FAR, of each of the things 0 to count - 1, such that the fewest groups are divided.

    The things 0 and 1 are NEAR and FAR themselves. Of several such divisions, the one with the fewest things on the
    near side is returned.

    A group of two is an edge. The members of a larger group send their flow through one edge, which is cut once however
    many of them are on the other side. Dinic's algorithm is near-linear here: all edges that limit the flow have
    capacity 1, so that it needs few rounds.

    Sources: E. A. Dinic, "Algorithm for solution of a problem of maximum flow in networks with power estimation", 1970.
    E. L. Lawler, "Cutsets and partitions of hypergraphs", Networks 3, 1973.
    """
    flow = _Flow(count)
    for group in groups:
        members = sorted(set(group))
        if members[:2] == [NEAR, FAR] or len(members) < 2:
            continue  # it is divided in any case, or in none
        if len(members) == 2:
            flow.connect(members[0], members[1], 1, 1)
            continue
        entrance, exit = flow.add_vertex(), flow.add_vertex()
        flow.connect(entrance, exit, 1, 0)
        for member in members:
            flow.connect(member, entrance, UNLIMITED, 0)
            flow.connect(exit, member, UNLIMITED, 0)
    while flow.find_levels():
        flow.saturate()
    return [NEAR if level >= 0 else FAR for level in flow.levels[:count]]


class _Flow:
    """A network with a flow from NEAR to FAR. The reverse of edge `e` is edge ``e ^ 1``."""

    def __init__(self, count: int) -> None:
        self.edges_of: list[list[int]] = [[] for _ in range(count)]
        self.targets: list[int] = []
        self.left: list[int] = []  # the capacity that is left, by edge
        self.levels: list[int] = []

    def add_vertex(self) -> int:
        self.edges_of.append([])
        return len(self.edges_of) - 1

    def connect(self, a: int, b: int, forth: int, back: int) -> None:
        for source, target, capacity in ((a, b, forth), (b, a, back)):
            self.edges_of[source].append(len(self.targets))
            self.targets.append(target)
            self.left.append(capacity)

    def find_levels(self) -> bool:
        """Find the distance of each vertex from NEAR, -1 if it cannot be reached; return whether FAR can be."""
        self.levels = [-1] * len(self.edges_of)
        self.levels[NEAR] = 0
        pending = deque([NEAR])
        while pending:
            vertex = pending.popleft()
            for edge in self.edges_of[vertex]:
                target = self.targets[edge]
                if self.left[edge] and self.levels[target] < 0:
                    self.levels[target] = self.levels[vertex] + 1
                    pending.append(target)
        return self.levels[FAR] >= 0

    def saturate(self) -> None:
        """Add paths of rising levels while there are any. Each edge is given up at most once."""
        following = [0] * len(self.edges_of)
        path: list[int] = []
        vertex = NEAR
        while True:
            if vertex == FAR:
                # Every path goes through an edge of capacity 1, and carries 1.
                for edge in path:
                    self.left[edge] -= 1
                    self.left[edge ^ 1] += 1
                first = next((place for place, edge in enumerate(path) if not self.left[edge]), 0)
                vertex = self.targets[path[first] ^ 1]
                del path[first:]
                continue
            edges = self.edges_of[vertex]
            while following[vertex] < len(edges):
                edge = edges[following[vertex]]
                target = self.targets[edge]
                if self.left[edge] and self.levels[target] == self.levels[vertex] + 1:
                    path.append(edge)
                    vertex = target
                    break
                following[vertex] += 1
            else:
                if not path:
                    return
                edge = path.pop()
                vertex = self.targets[edge ^ 1]
                following[vertex] += 1
