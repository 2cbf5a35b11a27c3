"""The layer at which a rewritten graph begins to compute something else than the original."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kir.ir.graph import Graph, Node, Origin
from kir.ir.interpreter import Plan, PlanRun
from kir.ir.op import Array
from kir.ir.structural import Assume, Constant, Input, Output
from kir.numerics.rounding_sizes import is_float_array

# Values are the same if their statistics agree to this part of their size: roundings of constants average out. Those of
# float32 do not in all of them, and those of 16-bit floats are differences like any other.
TOLERANCE, ROUNDED_TOLERANCE = 1e-7, 1e-5


@dataclass(frozen=True)
class Statistics:
    """What is kept of a value: numbers that do not depend on the order of its elements, and their scales."""

    size: int
    numbers: Array
    scales: Array

    def is_like(self, other: Statistics, tolerance: float) -> bool:
        if self.size != other.size:
            return False
        with np.errstate(invalid="ignore"):
            near = np.abs(self.numbers - other.numbers) <= tolerance * self.scales
        return bool(
            np.all(near | ((self.numbers == other.numbers) | (np.isnan(self.numbers) & np.isnan(other.numbers))))
        )


def find_first_layer(
    original: Graph, rewritten: Graph, feeds: Mapping[str, Array], rounds: bool = False, wrong: Collection[str] = ()
) -> Origin | None:
    """Return the first layer whose result the rewritten graph does not compute anywhere, nor that of a later layer.

    A layer that was joined with the next has no result of its own any more, but the next one has. Results count as the
    same in any order of their elements, so that Transposes may have moved. None if there is no such layer.

    Args:
        original, rewritten: the graphs.
        feeds: an array for every input.
        rounds: whether the rewritten graph runs in its own precision, and what it rounds to fewer bits counts.
        wrong: the outputs that are known to differ, even if it is in the order of their elements.

    Raises:
        ShapeError: a graph cannot run on the inputs.
    """
    results = _results_by_layer(original, feeds)
    found = observe(rewritten, feeds, wide=not rounds)
    tolerance = ROUNDED_TOLERANCE if rounds else TOLERANCE
    by_size: dict[int, list[Statistics]] = {}
    for one in found.values():
        by_size.setdefault(one.size, []).append(one)
    differing = {
        value.node
        for output in original.outputs
        for value in output.inputs
        if isinstance(output.op, Output) and output.op.label in wrong and value is not None
    }
    lost = {
        node.origin: node
        for node, one in results.items()
        if node in differing or not any(one.is_like(other, tolerance) for other in by_size.get(one.size, ()))
    }
    healed = _nodes_above([node for node in results if node.origin not in lost])
    return next((origin for origin, node in lost.items() if node not in healed), None)


def find_first_lost(
    original: Sequence[Node], results: Mapping[Node, Statistics], others: Sequence[Statistics]
) -> Origin | None:
    """Return the first layer of a part of a graph whose result is not among others, nor that of a later layer.

    Args:
        original: the nodes of the part, in order.
        results: what `observe` found of them.
        others: what was found elsewhere.
    """
    last = {node.origin: node for node in original if node.origin is not None and node in results}
    lost = {
        origin: node
        for origin, node in last.items()
        if not any(results[node].is_like(other, TOLERANCE) for other in others)
    }
    healed = _nodes_above([node for origin, node in last.items() if origin not in lost])
    return next((origin for origin, node in lost.items() if node not in healed), None)


def _results_by_layer(graph: Graph, feeds: Mapping[str, Array]) -> dict[Node, Statistics]:
    """Return the statistics of the last node of each layer, in order."""
    last = {node.origin: node for node in graph.order() if node.origin is not None and _computes(node)}
    observed = observe(graph, feeds)
    chosen = set(last.values())
    return {node: observed[node] for node in graph.order() if node in chosen and node in observed}


def _computes(node: Node) -> bool:
    return not isinstance(node.op, Assume | Constant | Input | Output)


def observe(
    graph: Graph, feeds: Mapping[str, Array], wide: bool = True, run: PlanRun = Plan.run
) -> dict[Node, Statistics]:
    """Return the statistics of the first output of every node, in a float64 run or in the graph's own precision."""
    found: dict[Node, Statistics] = {}

    def keep(node: Node, inputs: tuple[Array | None, ...], outputs: tuple[Array, ...]) -> tuple[Array, ...]:
        if outputs[0].dtype != object:
            found[node] = describe(outputs[0])
        return outputs

    run(Plan(graph, wide=wide), feeds, keep)
    return found


def describe(array: Array) -> Statistics:
    """Return the statistics of an array."""
    wide = array.astype(np.float64).ravel()
    finite = wide[np.isfinite(wide)]
    size = np.abs(finite).max(initial=0) if is_float_array(array) else np.float64(1)
    # A sign that is wrong shows in the sum; an element that is, in the sum of squares, or in that of cubes.
    with np.errstate(over="ignore"):
        numbers = [finite.size, finite.sum(), np.square(finite).sum(), (finite**3).sum(), *_extremes(finite)]
        total = max(finite.size, 1)
        scales = [0.0, total * size, total * size**2, total * size**3, size, size]
    return Statistics(array.size, np.array(numbers, np.float64), np.array(scales))


def _extremes(array: Array) -> tuple[float, float]:
    return (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)


def _nodes_above(nodes: list[Node]) -> set[Node]:
    """Return the nodes, and all that they are computed from. O(nodes + edges)."""
    above: set[Node] = set()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node not in above:
            above.add(node)
            pending += [value.node for value in node.inputs if value is not None]
    return above
