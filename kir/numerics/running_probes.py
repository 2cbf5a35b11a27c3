"""Probes for a file that refuses most inputs, found by running it.

A graph may take part of what is computed to a runtime, which says only when it runs what it refuses: windows that are
too long, or another length than the one that goes with a sampling rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from kir.errors import ShapeError
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.numerics.feeds import EDGES, KINDS, ORDINARY, count_choices, random_feeds
from kir.numerics.least_sizes import Sizes
from kir.numerics.probe_sizes import MOST_SECONDS, format_sizes
from kir.numerics.probes import MAX_CHOICES, Probe, choose_probes

Runs = Callable[[Mapping[str, Array]], bool]


def choose_running_probes(graph: Graph, seed: int, runs: Runs) -> list[Probe]:
    """Return probes that a file runs on: of sizes that it takes, for each number that the graph chooses by.

    Sizes at which it runs with all of these numbers are looked for first, then those for each number.

    Args:
        graph: whose inputs are to be fed.
        seed: of the random values.
        runs: whether the file runs on inputs.

    Raises:
        ShapeError: it ran on none that were tried; the message says how many.
        LimitError: every run would take too much memory.
    """
    search = _Search(graph, seed, runs)
    kinds = [ORDINARY, *(EDGES + len(KINDS) * number for number in range(min(count_choices(graph), MAX_CHOICES)))]
    probes = search.running(search.choose(kinds))
    for kind in kinds:
        if all(probe.kind != kind for probe in probes):
            probes += search.running([replace(probe, kind=kind) for probe in search.choose([kind])])
    if not probes:
        raise ShapeError(f"it ran on none of {search.tried:,} choices of sizes and values that were tried")
    met = {probe.kind for probe in probes}
    refused = {kind: _described(replace(probes[0], kind=kind)) for kind in kinds} | search.refused
    texts = dict.fromkeys(text for kind, text in refused.items() if kind not in met)
    probes[0] = replace(probes[0], tried=search.tried, refused="; ".join(texts))
    return probes


class _Search:
    """Asks for probes that run, and remembers what does not, by the kind of its values."""

    def __init__(self, graph: Graph, seed: int, runs: Runs) -> None:
        self._graph = graph
        self._seed = seed
        self._runs = runs
        self._end = time.monotonic() + MOST_SECONDS
        self.tried = 0
        self.refused: dict[int, str] = {}

    def choose(self, kinds: Sequence[int]) -> list[Probe]:
        """Return probes of sizes that run with values of all kinds; none if none were found."""

        def accepts(sizes: Sizes) -> bool:
            if time.monotonic() > self._end:
                return False
            self.tried += 1
            return all(self._runs(random_feeds(self._graph, (self._seed, 0), sizes, kind=kind)) for kind in kinds)

        with suppress(ShapeError):
            return choose_probes(self._graph, self._seed, accepts=accepts)
        return []

    def running(self, probes: Sequence[Probe]) -> list[Probe]:
        """Return the probes that the file runs on."""
        found = [probe for probe in probes if self._runs(probe.feeds())]
        self.refused |= {probe.kind: _described(probe) for probe in probes if probe not in found}
        return found


def _described(probe: Probe) -> str:
    """Return the sizes of a probe, and the numbers that the graph chooses by: "length 19, rate 8000"."""
    numbers = {
        name: int(array) for name, array in probe.feeds().items() if array.shape == () and array.dtype.kind in "iu"
    }
    return format_sizes({**probe.sizes, **numbers}) or probe.purpose
