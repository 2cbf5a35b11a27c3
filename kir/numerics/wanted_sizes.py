"""The sizes of inputs that a verification wishes for, from what stands in the graph."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kir.ir.dims import Sym
from kir.ir.graph import Graph
from kir.ir.types import BATCH
from kir.numerics.least_sizes import Demand, Sizes, greatest_size, least_sizes, split_demands
from kir.numerics.reach import MANY_STEPS, Demands

# Batches past 8 are cut into more than one tile; of 11 rows, some are past the tenth as well.
LARGEST_BATCH = 11

# Wanted lengths, counted from the least one on: of an input with one unknown length, and of one with several, such as
# an image. Prime numbers: they are multiples of no stride, and those of different axes differ.
LONG = (MANY_STEPS, 71, 61, 73)
LONG_OF_SEVERAL = (19, 23, 17, 29)
MIDDLE = (11, 7, 13, 17)


@dataclass(frozen=True)
class Wish:
    """Sizes that a run should have, and what for."""

    sizes: Sizes
    purpose: str


def wishes_of(graph: Graph, names: Sequence[str], demands: Demands, batch: int) -> list[list[Wish]]:
    """Return the choices of sizes for each run, the dearest first; see `kir.numerics.probe_sizes`.

    Args:
        graph: whose inputs are to be fed.
        names: those of the sizes of its inputs.
        demands: on the sizes in the graph.
        batch: the largest batch, of which inputs need as many rows; `LARGEST_BATCH` if that costs too much.
    """
    leading = batch_name(graph, names, demands)
    free = [name for name in names if name != leading]
    lengths = _Lengths(graph, demands, free, names)

    def wishes(number: int, *choices: tuple[Sizes, str]) -> list[Wish]:
        named = {leading: number} if leading else {}
        return [Wish({name: (named | sizes)[name] for name in names}, purpose) for sizes, purpose in choices]

    large = "a batch past 8" if leading else "a few steps" if free else "large values"
    last = wishes(batch, (lengths.middle, large))
    if leading:
        last += wishes(LARGEST_BATCH, (lengths.middle, large), (lengths.least, large))
    return [
        wishes(1, *lengths.reaching(), (lengths.middle, "a few steps" if free else "ordinary values")),
        wishes(2, (lengths.least, "the least sizes" if free else "values at the edges")),
        last,
    ]


class _Lengths:
    """The lengths that are wanted of a graph: sizes of inputs without the batch."""

    def __init__(self, graph: Graph, demands: Demands, free: Sequence[str], names: Sequence[str]) -> None:
        self._demands = demands
        self._free = free
        self._names = names
        self._lower, upper = split_demands(demands.must, names)
        self.least = self._solve(self._lower) or dict.fromkeys(free, 1)
        ones = dict.fromkeys(names, 1) | self.least
        greatest = {name: greatest_size(upper, ones, name) for name in free}
        self._greatest = {name: size for name, size in greatest.items() if size is not None}
        self._units = _units_of(graph)
        self._several = {name for name in free if _is_one_of_several(graph, name, free)}
        self.middle = self._from_least(MIDDLE, MIDDLE)

    def reaching(self) -> Iterator[tuple[Sizes, str]]:
        """Yield lengths that reach what stands in the graph, those that reach most first, and what they reach."""
        if not self._free:
            return
        near = self._demands.near
        far = {dim: max(self._demands.far.get(dim, 0), near.get(dim, 0)) for dim in {**near, **self._demands.far}}
        rows = " and the last row of tables of positions" if self._greatest else ""
        each = "past the reach of each operator" if near else "long"
        together = "past the padding of all windows together" if self._demands.far else each
        for demands, tables, why in (
            (far, self._greatest, f"{together}{rows}"),
            (near, self._greatest, f"{each}{rows}"),
            (near, {}, each),
        ):
            reach = self._solve(self._lower_and(demands))
            yield self._from_least(LONG, LONG_OF_SEVERAL, reach) | tables, why

    def _lower_and(self, demands: Demand) -> Demand:
        return {**demands, **{dim: max(least, demands.get(dim, 0)) for dim, least in self._lower.items()}}

    def _solve(self, demands: Demand) -> Sizes | None:
        found = least_sizes(demands, self._names, self._free)
        return None if found is None else {name: found[name] for name in self._free}

    def _from_least(self, one: Sequence[int], several: Sequence[int], reach: Sizes | None = None) -> Sizes:
        """Return a length for each name: so many more than the least one, but as many as reach, and not too many."""
        found: Sizes = {}
        for name, few, many in zip(self._free, itertools.cycle(one), itertools.cycle(several)):
            unit = self._units.get(name, 1)
            wanted = self.least[name] - 1 + -(-(many if name in self._several else few) // unit)
            length = max(wanted, 0 if reach is None else reach[name])
            while (unit == 1 and math.gcd(length, 30) > 1) or length in found.values():
                length += 1
            found[name] = min(length, self._greatest.get(name, length))
        return found


def _units_of(graph: Graph) -> dict[str, int]:
    """Return of what number the sizes of inputs are multiples, by the name that is multiplied: 8 for ``8*n``."""
    units: dict[str, int] = {}
    for node in graph.inputs:
        for dim in node.output.type.shape:
            for monomial, coefficient in dim.terms if isinstance(dim, Sym) else ():
                units |= {atom: coefficient for atom in monomial if isinstance(atom, str) and coefficient > 1}
    return units


def _is_one_of_several(graph: Graph, name: str, free: Sequence[str]) -> bool:
    """Return whether an input has this unknown length and another one: it is an image, and no sequence."""
    shapes = [[dim for dim in node.output.type.shape if isinstance(dim, Sym)] for node in graph.inputs]
    names = [{one for dim in shape for one in dim.names()} for shape in shapes]
    return any(name in one and len(one & set(free)) > 1 for one in names)


def batch_name(graph: Graph, names: Sequence[str], demands: Demands) -> str | None:
    """Return the name of the batch: that of Keras, or the first size of all inputs, if nothing goes along it."""
    if BATCH.name in names:
        return BATCH.name
    first = {node.output.type.shape[0] for node in graph.inputs if node.output.type.rank}
    leading = next(iter(first)) if len(first) == 1 else None
    if not isinstance(leading, Sym) or leading.name is None:
        return None
    return None if any(leading.name in dim.names() for dim in demands.near) else leading.name
