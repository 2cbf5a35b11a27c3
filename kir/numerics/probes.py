"""Probes: the inputs with which a graph is verified, chosen from the graph.

Their sizes reach what stands in it (`probe_sizes`), and so do their values (`feeds`), read off its constants (`uses`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.numerics.cost import Cost, run_cost
from kir.numerics.feeds import EDGES, KINDS, MOST_ROWS, count_choices, count_edges, random_feeds
from kir.numerics.least_sizes import Sizes
from kir.numerics.probe_sizes import choose_runs, format_sizes
from kir.numerics.wanted_sizes import LARGEST_BATCH

MAX_CHOICES = 8  # so many numbers that one input chooses between are met, such as sampling rates


@dataclass(frozen=True)
class Probe:
    """The inputs of one run, which `feeds` makes anew each time: a probe holds no arrays.

    Attributes:
        graph: whose inputs they are.
        sizes: the value of every symbolic size of the inputs.
        cost: of running the graph on them in float64.
        seed: of the random values.
        feed_defaults: whether inputs that have a default are fed, too.
        kind: of the values of inputs with a single row, see `random_feeds`.
        purpose: what the probe is for, in words.
        untried: larger sizes, which limits on cost left out in its favour, in words; "" if there are none.
        batch: the name of the size that counts rows; None if there is none, or the sizes were given.
        bounds: one more than the largest integer for an input, where the graph does not tell.
        shapes: of inputs that have another shape than the graph says.
        tried: how many choices of sizes a file was run at to find these; 0 where it takes most.
        refused: sizes and values that the file does not run on, in words; "" if there are none.
    """

    graph: Graph
    sizes: Mapping[str, int]
    cost: Cost
    seed: tuple[int, ...]
    feed_defaults: bool = False
    kind: int = 0
    purpose: str = ""
    untried: str = ""
    batch: str | None = None
    bounds: Mapping[str, int] | None = None
    shapes: Mapping[str, tuple[int, ...]] | None = None
    tried: int = 0
    refused: str = ""

    def feeds(self) -> dict[str, Array]:
        """Return an array for every input, by name."""
        return random_feeds(
            *(self.graph, self.seed, self.sizes),
            feed_defaults=self.feed_defaults,
            bounds=self.bounds,
            kind=self.kind,
            shapes=self.shapes,
        )

    def __str__(self) -> str:
        sizes = format_sizes(self.sizes)
        return f"{sizes}: {self.purpose}" if sizes and self.purpose else sizes or self.purpose


def choose_probes(
    graph: Graph,
    seed: int,
    sizes: Sequence[Mapping[str, int]] | None = None,
    accepts: Callable[[Sizes], bool] | None = None,
    bounds: Mapping[str, int] | None = None,
) -> list[Probe]:
    """Return the probes of a graph: few and small ones that reach all of it.

    Args:
        graph: whose inputs are to be fed.
        seed: of the random values.
        sizes: values for the symbolic sizes, one mapping per probe; by default they are chosen from the graph.
        accepts: whether sizes work; by default, whether every operator infers a type with them.
        bounds: see `Probe`.

    Raises:
        ShapeError: no sizes were found with which the graph works.
        LimitError: every run would take too much memory.
    """
    if sizes is not None:
        return [
            Probe(graph, one, run_cost(graph, one), (seed, index), index > 0, index, "the given sizes")
            for index, one in enumerate(sizes)
        ]
    rows = min(LARGEST_BATCH + count_edges(graph), MOST_ROWS)
    probes = [
        Probe(
            *(graph, run.sizes, run.cost, (seed, index), index > 0, index),
            *(run.purpose, run.untried, run.batch, bounds),
        )
        for index, run in enumerate(choose_runs(graph, accepts, rows))
    ]
    return probes + _further_choices(probes, count_choices(graph))


def _further_choices(probes: Sequence[Probe], choices: int) -> list[Probe]:
    """Return further probes, so that an input of one number meets each of those that it chooses between."""
    met = sum(probe.kind % len(KINDS) == EDGES for probe in probes)
    return [
        replace(
            probes[0],
            seed=(*probes[0].seed[:-1], len(probes) + number),
            feed_defaults=True,
            kind=EDGES + len(KINDS) * (met + number),
            purpose="a further number that the graph chooses by",
        )
        for number in range(min(choices, MAX_CHOICES) - met if probes else 0)
    ]
