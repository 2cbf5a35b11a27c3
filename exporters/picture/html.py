"""The page: one HTML file that works offline, with every stage of the pipeline, and what is in each box.

The page loads nothing: its Content-Security-Policy allows the two things inside of it, by their hashes, and nothing
else. What the model says stands in a block of JSON, in which no name can end the block.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kir.exporters.picture import palette
from kir.exporters.picture.diagram import Diagram, Weights, boxes_inside
from kir.exporters.picture.scene import PlacedBox, Scene, make_scene
from kir.exporters.picture.stages import Stage
from kir.exporters.picture.statistics import describe_weights
from kir.exporters.picture.svg import escape

HERE = Path(__file__).parent
# Of the findings of a statement, the page has the first.
MOST_FINDINGS = 200


@dataclass(frozen=True)
class PageFinding:
    """Something found, shown above the diagram; `box` is the number of its box there, `status` the box's colour."""

    text: str
    status: str
    box: int | None = None


@dataclass(frozen=True)
class PageStatement:
    """A line above the diagram of the first stage: a verdict, and what was found."""

    title: str
    verdict: str
    text: str
    findings: tuple[PageFinding, ...] = ()


def write_html(
    name: str,
    stages: Sequence[Stage],
    first: int,
    direction: str = "TB",
    statements: Sequence[PageStatement] = (),
) -> str:
    """Return the text of the page, opened at the stage with the number `first`. O(boxes + links) for each stage."""
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    data = _Data(name, first, direction)
    for stage in stages:
        data.add_stage(stage)
    data.statements = [_statement(one, data.places) for one in statements]
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        f"base-uri 'none'; form-action 'none'"
    )
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(name)} · kir</title>\n<style>{style}</style>\n</head>\n<body>\n{_BODY}"
        f'<script type="application/json" id="data">{embed(data.document())}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


_BODY = """<header>
<h1 id="name"></h1>
<div id="tabs" role="tablist" aria-label="Stages"></div>
<div id="tools">
<input id="search" type="search" placeholder="Search ( / )" aria-label="Search boxes" autocomplete="off">
<span id="hits" role="status"></span>
<button id="before" aria-pressed="false" title="Show what this pass was given (b)">Before</button>
<button id="inside" aria-pressed="true" title="Show what is inside of boxes (i, or a double click)">Inside</button>
<button id="out" title="Zoom out (-)" aria-label="Zoom out">−</button>
<button id="in" title="Zoom in (+)" aria-label="Zoom in">+</button>
<button id="fit" title="Show everything (f)">Fit</button>
</div>
</header>
<section id="statements" aria-label="What verification says"></section>
<main>
<canvas id="picture" tabindex="0" role="application"></canvas>
<aside id="panel" aria-live="polite"></aside>
</main>
<footer id="status" role="status"></footer>
"""


def embed(document: object) -> str:
    """JSON that can stand inside of a script element: no "<" can begin an end tag or a comment there."""
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


class _Data:
    """Collects the JSON document. Boxes and weights that several stages share are written once."""

    def __init__(self, name: str, first: int, direction: str) -> None:
        self.name = name
        self.first = first
        self.direction = direction
        self.stages: list[dict[str, Any]] = []
        self.places: list[int] = []  # of the boxes of the last stage that was added, in its scene
        self.statements: list[list[Any]] = []
        self.records: dict[str, int] = {}
        self.weights: dict[tuple[str, int], int] = {}
        self.weight_records: list[dict[str, Any]] = []
        self.described: dict[int, dict[str, Any]] = {}

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "first": self.first,
            "direction": self.direction,
            "status": {status: list(look) for status, look in palette.STATUS.items()},
            "statements": self.statements,
            "stages": self.stages,
            "records": [json.loads(record) for record in self.records],
            "weights": self.weight_records,
        }

    def add_stage(self, stage: Stage) -> None:
        """Add a stage as it is drawn open, and where there is anything inside of boxes, folded."""
        boxes = stage.diagram.boxes
        folded = None
        if any(box.inner is not None for box in boxes):
            closed = [replace(box, inner=None, folded=len(boxes_inside(box))) for box in boxes]
            folded = self.drawing(stage, replace(stage.diagram, boxes=closed))
        self.stages.append({**self.drawing(stage, stage.diagram), "folded": folded})

    def drawing(self, stage: Stage, diagram: Diagram) -> dict[str, Any]:
        """Return what is drawn of a stage; the places are those of the diagram's boxes."""
        scene = make_scene(diagram, self.direction)
        # Nested boxes stand in the scene, but are no part of the comparison of stages.
        numbers = {id(placed.box): number for number, placed in enumerate(scene.boxes)}
        self.places = [numbers[id(box)] for box in diagram.boxes]
        return {
            "title": stage.title,
            "note": stage.note,
            "step": _step(stage),
            "width": round(scene.width),
            "height": round(scene.height),
            "boxes": [self.box(placed) for placed in scene.boxes],
            "links": _links(scene),
            "labels": [[label.x, label.y, label.text] for label in scene.labels],
            "arrived": _by_place(self.places, stage.arrived),
            "leaving": _by_place(self.places, stage.leaving),
        }

    def box(self, placed: PlacedBox) -> list[float]:
        nests = 1 if placed.box.inner is not None else 0
        return [self.record(placed), placed.x, placed.y, placed.width, placed.height, nests]

    def record(self, placed: PlacedBox) -> int:
        """Return the number of the record of what a box shows."""
        box = placed.box
        record = {
            "title": placed.title,
            "name": placed.name,
            "fullName": box.name,
            "colour": palette.colour(box.kind),
            "nameX": placed.name_x,
            "valueX": placed.value_x,
            "lines": [[line.key, line.value, int(line.is_weight)] for line in placed.lines],
            "facts": [list(fact) for fact in box.facts],
            "weights": [self.weight(weights) for weights in box.weights],
            "inside": box.folded or len(boxes_inside(box)),
            "key": f"{box.title} {box.name}",  # what a box is found by in another stage
        }
        return self.records.setdefault(json.dumps(record), len(self.records))

    def weight(self, weights: Weights) -> int:
        """Return the number of the record of an array under this name; its numbers are read once."""
        place = self.weights.setdefault((weights.name, weights.key), len(self.weights))
        if place == len(self.weight_records):
            if weights.key not in self.described:
                self.described[weights.key] = describe_weights(weights.read())
            self.weight_records.append({"name": weights.name, "type": weights.type, **self.described[weights.key]})
        return place


def _statement(statement: PageStatement, places: Sequence[int]) -> list[Any]:
    """Return a statement with its findings, the first of many."""
    shown = statement.findings[:MOST_FINDINGS]
    findings = [[one.text, one.status, -1 if one.box is None else places[one.box]] for one in shown]
    return [statement.title, statement.verdict, statement.text, findings, len(statement.findings) - len(shown)]


def _step(stage: Stage) -> str | None:
    """Return what the step to a stage did, such as "+3 −1 ~2"; None for a stage that no step leads to."""
    if not stage.arrived:
        return None
    counts = {**stage.counts(), "removed": stage.removed_count}
    signs = [f"{sign}{counts[status]}" for status, (_, sign) in palette.STATUS.items() if counts.get(status)]
    return " ".join(signs) or "="


def _links(scene: Scene) -> list[list[Any]]:
    return [
        [link.source, link.target, [round(number) for point in link.points for number in point]] for link in scene.links
    ]


def _by_place(places: Sequence[int], statuses: Sequence[str]) -> dict[str, str]:
    """Return the statuses that are not empty, by number of the placed box."""
    return {str(place): status for place, status in zip(places, statuses, strict=False) if status}
