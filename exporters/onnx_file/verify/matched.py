"""A graph that was read in a file, matched with the one that it should be: what is the same, and what may not be."""

from __future__ import annotations

import math
from collections.abc import Iterator

from kir import passes
from kir.exporters.onnx_file.verify.same_file import PART
from kir.ir.graph import Graph
from kir.modeling.comparison import compare_graphs
from kir.modeling.comparison.structure import Structure
from kir.modeling.comparison.weights import WeightChange, Weights
from kir.numerics.report import Finding, Statement

MAX_FINDINGS = 20

# A part of the elements. Sums of weights cancel out for about one of ten elements, so that they are off by more than
# rounding of themselves, and what somebody damaged or changed by hand is less than this.
MAX_OUTLIERS = 0.01


def match_graphs(reference: Graph, read: Graph, training: bool, origin: str = "the model") -> Statement:
    """Say how many operators and weights of a graph are those of another, and which are not.

    What differs is not shown to be the same, and may be: other tools fold and fuse in other ways, and what both compute
    decides. A weight is wrong if few of its elements are off by more than rounding: nothing that computes weights anew
    leaves all others as they were.

    Args:
        reference: what should be computed, before any pass.
        read: the other graph.
        training: leave out passes that put weights together.
        origin: what messages call the reference.
    """
    found = compare_graphs(reference, read, level=passes.DEFAULT_LEVEL, training=training, metadata=False, run=False)
    structure, weights = found.structure, found.weights
    findings = [*_operators(structure, origin), *_weights(weights, origin)]
    more = len(findings) - MAX_FINDINGS
    if more > 0:
        findings[MAX_FINDINGS:] = [Finding(f"{more:,} more operators and weights that are not those of {origin}")]
    operators = structure.same + len(structure.changed) + sum(len(part.operators) for part in structure.added)
    arrays = weights.equal + len(weights.changed) + len(weights.added)
    same = f"{structure.same:,} of {operators:,} operators and {weights.equal:,} of {arrays:,} weights"
    problems = [_outliers(change) for change in weights.changed if _is_damaged(change)]
    return Statement(PART, f"{same} are those of {origin}", tuple(problems), tuple(findings))


def _operators(structure: Structure, origin: str) -> Iterator[Finding]:
    for node in structure.changed:
        changes = "; ".join(f"{change.what} is {change.b}, {change.a} in {origin}" for change in node.changes)
        yield Finding(changes, _path(node.layer), op=node.place_b)
    for part in structure.added:
        yield Finding(f"{origin} has no {', '.join(part.operators)} there", _path(part.layer), op=part.place)
    for part in structure.removed:
        yield Finding(f"the file has no {', '.join(part.operators)} there", _path(part.layer), op=part.place)


def _path(layer: str) -> str:
    """Return the path of a layer that is given with its class, as in "dense_1 (Dense)"."""
    return layer.partition(" (")[0]


def _weights(weights: Weights, origin: str) -> Iterator[Finding]:
    for change in weights.changed:
        if change.type_a != change.type_b:
            text = f"is {change.type_b} in the file, {change.type_a} in {origin}"
            yield Finding(text, tensor=change.name_b)
        elif not _is_damaged(change):
            text = f"{change.count:,} elements differ, by up to {change.max_abs:.3g}"
            yield Finding(text, tensor=change.name_b)
    yield from (Finding(f"{origin} has no such weight", tensor=weight.name) for weight in weights.added)
    yield from (Finding("the file has no such weight", tensor=weight.name) for weight in weights.removed)


def _is_damaged(change: WeightChange) -> bool:
    """Return whether few elements of a weight are off by more than rounding, and all others by less."""
    return change.type_a == change.type_b and 0 < change.outliers <= MAX_OUTLIERS * _size(change)


def _size(change: WeightChange) -> int:
    return math.prod(size for size in change.type_a.shape if isinstance(size, int))


def _outliers(change: WeightChange) -> Finding:
    count = f"{change.outliers:,} of {_size(change):,} elements"
    text = f"{count} differ by more than rounding, by up to {change.max_rel:.3g} of the element itself"
    return Finding(text, change.name_a.rpartition("/")[0], tensor=change.name_b)
