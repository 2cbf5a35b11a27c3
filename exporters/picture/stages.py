"""The stages of the pipeline, each a diagram, and what became of the boxes from one to the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kir import passes
from kir.exporters.picture.diagram import ADDED, CHANGED, REMOVED, Box, Diagram, boxes_inside
from kir.exporters.picture.ops_view import NO_SOURCES, ops_diagram
from kir.ir.graph import Graph


@dataclass(slots=True)
class Stage:
    """A diagram. `arrived` says for each box what the step to this stage did to it, `leaving` what the next one does.

    Both are "", "added" or "changed", and "removed" or "changed", by number of the box. `removed_count` is how many
    boxes of the stage before are gone.
    """

    title: str
    note: str
    diagram: Diagram
    arrived: list[str] = field(default_factory=list)
    leaving: list[str] = field(default_factory=list)
    removed_count: int = 0

    def counts(self) -> dict[str, int]:
        """Count the boxes that the step to this stage added and changed."""
        return {status: count for status, count in sorted(Counter(self.arrived).items()) if status}


def pipeline_stages(
    graph: Graph, chosen: Sequence[passes.Pass], shown: frozenset[str], sources: Mapping[str, str] = NO_SOURCES
) -> list[Stage]:
    """Return the graph as it is, and after each pass that changes it; the graph itself is left alone.

    O(nodes) for each pass that changes something. A pass that changes something again in a later round is a stage
    again, with a number.
    """
    graph = graph.copy()
    stages = [Stage("graph", "the operators, before any pass", ops_diagram(graph, shown, sources))]
    times: Counter[str] = Counter()

    def add_stage(current: passes.Pass, changed: Graph, changes: int) -> None:
        if changes:
            times[current.name] += 1
            title = current.name if times[current.name] == 1 else f"{current.name} ({times[current.name]})"
            stages.append(Stage(title, current.summary, ops_diagram(changed, shown, sources)))
            link_stages(stages[-2], stages[-1])

    passes.run(graph, chosen, after=add_stage)
    return stages


def link_stages(before: Stage, after: Stage) -> None:
    """Note at each box of two stages what happened between them."""
    before.leaving, after.arrived = compare(before.diagram, after.diagram)
    after.removed_count = before.leaving.count(REMOVED)


def compare(before: Diagram, after: Diagram) -> tuple[list[str], list[str]]:
    """Return what happened to each box of two diagrams. O(boxes).

    Boxes are the same when they stand for the same node, or else for the same operator of the same layer, in order; a
    pass replaces nodes instead of writing into them. The same box is changed if its text is.
    """
    partners = _partners(before.boxes, after.boxes)
    leaving, arrived = [REMOVED] * len(before.boxes), [ADDED] * len(after.boxes)
    for old, new in partners:
        same = _text(before.boxes[old]) == _text(after.boxes[new])
        leaving[old] = arrived[new] = "" if same else CHANGED
    return leaving, arrived


def _partners(before: Sequence[Box], after: Sequence[Box]) -> list[tuple[int, int]]:
    old_places = {id(box.identity): place for place, box in enumerate(before)}
    partners = [
        (old_places[id(box.identity)], place) for place, box in enumerate(after) if id(box.identity) in old_places
    ]
    matched_old, matched_new = {old for old, _ in partners}, {new for _, new in partners}
    waiting: dict[tuple[str, str], list[int]] = {}
    for place in range(len(before) - 1, -1, -1):
        if place not in matched_old:
            waiting.setdefault((before[place].title, before[place].name), []).append(place)
    for place, box in enumerate(after):
        candidates = waiting.get((box.title, box.name))
        if place not in matched_new and candidates:
            partners.append((candidates.pop(), place))
    return partners


def _text(box: Box) -> tuple[object, ...]:
    inside = [(one.title, tuple(one.facts)) for one in boxes_inside(box)]
    return box.title, tuple(box.facts), tuple(box.outputs), tuple((one.name, one.type) for one in box.weights), inside
