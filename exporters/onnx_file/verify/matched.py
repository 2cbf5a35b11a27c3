"""A graph that was read in a file, matched with the one that it should be: what is the same, and what may not be."""

from __future__ import annotations

from collections.abc import Iterator

from kir import passes
from kir.exporters.onnx_file.verify.same_graph import PART
from kir.ir.graph import Graph
from kir.modeling.comparison import Comparison, compare_graphs
from kir.numerics.report import Finding, Statement

MAX_FINDINGS = 20


def match_graphs(reference: Graph, read: Graph, training: bool) -> Statement:
    """Say how many operators and weights of a graph are those of another, and which are not.

    What differs is not shown to be the same, and may be: other tools fold and fuse in other ways. What both compute
    decides.

    Args:
        reference: what should be computed, before any pass.
        read: the other graph.
        training: leave out passes that put weights together.
    """
    found = compare_graphs(reference, read, level=passes.DEFAULT_LEVEL, training=training, metadata=False, run=False)
    findings = list(_findings(found))
    more = len(findings) - MAX_FINDINGS
    if more > 0:
        findings[MAX_FINDINGS:] = [Finding(f"{more:,} more operators and weights that are not those of the model")]
    structure, weights = found.structure, found.weights
    operators = structure.same + len(structure.changed) + sum(len(part.operators) for part in structure.added)
    arrays = weights.equal + len(weights.changed) + len(weights.added)
    covered = f"{structure.same:,} of {operators:,} operators and {weights.equal:,} of {arrays:,} weights are its own"
    return Statement(PART, covered, not_shown=tuple(findings))


def _findings(found: Comparison) -> Iterator[Finding]:
    structure, weights = found.structure, found.weights
    for node in structure.changed:
        changes = "; ".join(f"{change.what} is {change.b}, {change.a} in the model" for change in node.changes)
        yield Finding(changes, node.layer, op=node.place_b)
    for part in structure.added:
        yield Finding(f"the model has no {', '.join(part.operators)} there", part.layer, op=part.place)
    for part in structure.removed:
        yield Finding(f"the file has no {', '.join(part.operators)} there", part.layer, op=part.place)
    for weight in weights.changed:
        if weight.type_a != weight.type_b:
            text = f"is {weight.type_b} in the file, {weight.type_a} in the model"
        else:
            text = f"{weight.count:,} elements differ, by up to {weight.max_abs:.3g}"
        yield Finding(text, tensor=weight.name_b)
    yield from (Finding("the model has no such weight", tensor=weight.name) for weight in weights.added)
    yield from (Finding("the file has no such weight", tensor=weight.name) for weight in weights.removed)
