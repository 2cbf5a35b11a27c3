"""The sizes of the inputs with which a graph is verified: few and small ones that reach everything.

| run | batch | lengths                                  | shows                                                    |
|-----|-------|------------------------------------------|----------------------------------------------------------|
| 1   | 1     | past the reach of windows, tables, tiles | each tap of a kernel, each row of a table, late steps    |
| 2   | 2     | the least ones                           | lengths of 1, or of one window                           |
| 3   | 11    | a few more than the least, all different | batch elements past 8, mixed-up axes, masks of all forms |

Larger runs give way to smaller ones where they cost much. What was left out is said: `SizedRun.untried`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kir.errors import KirError, LimitError, ShapeError
from kir.ir.graph import Graph
from kir.ir.structural import Constant
from kir.numerics.cost import Cost, describe, run_cost
from kir.numerics.inputs import input_symbols
from kir.numerics.least_sizes import Demand, Sizes, are_met
from kir.numerics.reach import demands_of
from kir.numerics.wanted_sizes import LARGEST_BATCH, Wish, batch_name, wishes_of

# What a size is made a multiple of while a graph refuses the wanted ones.
FACTORS = (1, 2, 3, 4, 8, 16, 32, 64)
MAX_OCCURRING = 50  # sizes that occur in a graph, tried as sizes of inputs in the end
# Lengths of windows, of images and of a second of sound, tried where only running a file tells what it takes.
USUAL = (*(2**power for power in range(1, 11)), 80, 96, 160, 192, 224, 320, 384, 400, 480, 640, 768, 8000, 16000)
MOST_SECONDS = 20.0  # of running a file at sizes to find some that it takes
MAX_ALONE = 6  # so many sizes of inputs are tried each by itself

# Of all runs together, in products: about what one processor core computes in float64 in a fifth of a second. The
# first run may take more, where no smaller sizes work.
ENOUGH_WORK = 2 * 10**9

Accepts = Callable[[Sizes], bool]


@dataclass(frozen=True)
class SizedRun:
    """The sizes of one run.

    Attributes:
        sizes: the value of every symbolic size of the inputs.
        cost: of a run in float64.
        purpose: what these sizes are for.
        untried: larger sizes, which limits on cost left out, in words; "" if there are none.
        batch: the name of the size that counts rows; None if there is none.
    """

    sizes: Sizes
    cost: Cost
    purpose: str
    untried: str = ""
    batch: str | None = None


def choose_runs(graph: Graph, accepts: Accepts | None = None, batch: int = LARGEST_BATCH) -> list[SizedRun]:
    """Return the sizes of the inputs for up to three runs: see the module.

    Args:
        graph: whose inputs are to be fed.
        accepts: whether sizes work; by default, whether every operator infers a type with them.
        batch: the largest batch, of which inputs need as many rows; 9 if that costs too much.

    Raises:
        ShapeError: no sizes that were tried work.
        LimitError: a run takes too much memory with all of them.
    """
    names = input_symbols(graph)
    demands = demands_of(graph, names)
    chooser = _Chooser(graph, names, demands.must, batch_name(graph, names, demands), accepts)
    runs: list[SizedRun] = []
    work = 0
    for wishes in wishes_of(graph, names, demands, batch):
        if work > ENOUGH_WORK:
            break
        run = chooser.choose(wishes, ENOUGH_WORK - work, is_first=not runs)
        if run is not None:
            runs.append(run)
            work += run.cost.work
    if not runs:
        raise chooser.failure()
    return runs


def format_sizes(sizes: Mapping[str, int]) -> str:
    """Return sizes in words: "batch 2, length 67"."""
    return ", ".join(f"{name} {size}" for name, size in sizes.items())


class _Chooser:
    """Tries sizes, and remembers what each costs, or that they do not work."""

    def __init__(
        self, graph: Graph, names: Sequence[str], musts: Demand, batch: str | None, accepts: Accepts | None
    ) -> None:
        self._graph = graph
        self._names = names
        self._musts = musts
        self._batch = batch
        self._accepts = accepts
        self._end = time.monotonic() + MOST_SECONDS
        self._costs: dict[tuple[int, ...], Cost | None] = {}

    def choose(self, wishes: Sequence[Wish], work: int, is_first: bool) -> SizedRun | None:
        """Return the first wish that works and costs little enough; None if there is none.

        The last wish of the first run may take more work. Sizes near a wish are taken where it does not work itself.
        """
        untried = ""
        for wish in wishes:
            is_last = wish is wishes[-1]
            found = self._first_that_works(wish.sizes, thorough=is_last)
            if found is None:
                continue
            sizes, cost = found
            if cost.is_bounded and (cost.work <= work or (is_last and is_first)):
                return SizedRun(sizes, cost, wish.purpose, untried, self._batch)
            if is_first:  # the others' sizes are smaller, and reach nothing more
                untried = untried or f"{format_sizes(sizes)} ({wish.purpose})"
        return None

    def _first_that_works(self, wanted: Sizes, thorough: bool) -> tuple[Sizes, Cost] | None:
        for sizes in self._nearby(wanted, thorough):
            # From the types it is found at once what does not fit.
            if are_met(self._musts, sizes, less=1) and (cost := self._cost(sizes)) is not None:
                return sizes, cost
        return None

    def _cost(self, sizes: Sizes) -> Cost | None:
        """Return what a run costs; None if it does not work."""
        key = tuple([sizes[name] for name in self._names])
        if key not in self._costs:
            try:
                fits = self._accepts is None or (time.monotonic() < self._end and self._accepts(sizes))
                self._costs[key] = run_cost(self._graph, sizes) if fits else None
            except KirError:
                self._costs[key] = None
        return self._costs[key]

    def _nearby(self, wanted: Sizes, thorough: bool) -> Iterator[Sizes]:
        """Yield sizes, then multiples and equal ones; if `thorough`, larger batches and sizes in the graph, too."""
        lengths = {name: size for name, size in wanted.items() if name != self._batch}
        for factor in FACTORS:
            multiples = {name: -(-size // factor) * factor for name, size in lengths.items()}
            yield wanted | multiples
            yield wanted | dict.fromkeys(lengths, max(multiples.values(), default=1))
        if not thorough:
            return
        for factor in FACTORS:
            yield {name: size * factor for name, size in wanted.items()}
        known = {dim for node in self._graph.nodes() for value in node.outputs for dim in value.type.shape}
        occurring = sorted(dim for dim in known if isinstance(dim, int))[:MAX_OCCURRING]
        for size in occurring:
            yield wanted | dict.fromkeys(lengths, size)
        for size in occurring:
            yield wanted if self._batch is None else wanted | {self._batch: size}
        if self._accepts is not None:
            for size in sorted({*USUAL, *occurring, *_small_integers(self._graph)}):
                yield from _with_size(size, wanted, list(lengths))

    def failure(self) -> KirError:
        """Return why no sizes were found."""
        costs = [(cost, sizes) for sizes, cost in self._costs.items() if cost is not None]
        if not costs:
            return ShapeError(
                f"found no values for the sizes {', '.join(self._names)} with which every operator works; give "
                "concrete ones (--input-shapes NAME:1,3,224)"
            )
        cost, sizes = min(costs, key=lambda pair: pair[0].bytes)
        return LimitError(describe(cost, dict(zip(self._names, sizes, strict=True))))


def _with_size(size: int, wanted: Sizes, names: Sequence[str]) -> Iterator[Sizes]:
    """Yield sizes of which one alone has a value, or all but one, or all of them; the others are equal and small."""
    alone = names[:MAX_ALONE]
    for group in (*([name] for name in alone), *([name for name in names if name != one] for one in alone), names):
        for rest in dict.fromkeys((min([wanted[name] for name in names], default=1), 1)):
            yield wanted | dict.fromkeys(names, rest) | dict.fromkeys(group, size)


def _small_integers(graph: Graph) -> list[int]:
    """Return integers that stand in a graph as constants, such as those that sizes are compared with."""
    found: set[int] = set()
    pending = [graph]
    while pending:
        for node in pending.pop().nodes():
            pending += [body.graph for body in node.op.bodies()]
            if isinstance(node.op, Constant) and (array := node.op.value.array).size <= 2 and array.dtype.kind in "iu":
                found |= {int(number) for number in array.ravel()}
    return sorted(number for number in found if 1 < number <= USUAL[-1])[:MAX_OCCURRING]
