"""Probes: the inputs with which a graph is verified, chosen from the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.numerics.cost import Cost, run_cost
from kir.numerics.feeds import choose_runs, random_feeds


@dataclass(frozen=True)
class Probe:
    """The inputs of one run, which `feeds` makes anew each time: a probe holds no arrays.

    Attributes:
        graph: whose inputs they are.
        sizes: the value of every symbolic size of the inputs.
        cost: of running the graph on them in float64.
        seed: of the random values.
        feed_defaults: whether inputs that have a default are fed, too.
    """

    graph: Graph
    sizes: Mapping[str, int]
    cost: Cost
    seed: tuple[int, ...]
    feed_defaults: bool = False

    def feeds(self) -> dict[str, Array]:
        """Return an array for every input, by name."""
        return random_feeds(self.graph, self.seed, self.sizes, feed_defaults=self.feed_defaults)


def choose_probes(graph: Graph, seed: int, sizes: Sequence[Mapping[str, int]] | None = None) -> list[Probe]:
    """Return the probes of a graph.

    Args:
        graph: whose inputs are to be fed.
        seed: of the random values.
        sizes: values for the symbolic sizes, one mapping per probe; by default they are chosen from the graph.

    Raises:
        ShapeError: no sizes were found with which the graph works.
        LimitError: every run would take too much memory.
    """
    chosen = choose_runs(graph) if sizes is None else [(one, run_cost(graph, one)) for one in sizes]
    return [Probe(graph, one, cost, (seed, index), index > 0) for index, (one, cost) in enumerate(chosen)]
