"""A diagram with a place for everything: boxes measured, arranged, and nested ones put inside theirs.

Coordinates are those of SVG: x to the right, y down, in pixels, whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil

from kir.exporters.picture.diagram import Box, Diagram, Line
from kir.exporters.picture.layout import Arc, Extent, arrange
from kir.exporters.picture.metrics import shorten, text_width

TITLE_SIZE, TEXT_SIZE, LABEL_SIZE = 12.0, 11.0, 10.0
HEAD, LINE_HEIGHT, PADDING = 24, 16, 8
MIN_WIDTH = 56
MAX_NAME, MAX_KEY, MAX_VALUE, MAX_LABEL = 260.0, 120.0, 240.0, 240.0
MAX_LINES = 10
LABEL_HEIGHT, LABEL_GAP = 16, 5
NEST_PADDING = 16
MARGIN = 16
TITLE_HEIGHT = 26


@dataclass(slots=True)
class PlacedBox:
    """A box with its texts shortened to fit. `value_x` is where values begin, beside the keys.

    `ports` are where the outputs that are read leave, beside the centre.
    """

    box: Box
    x: float
    y: float
    width: float
    height: float
    title: str
    name: str
    name_x: float
    value_x: float
    lines: list[Line]
    depth: int = 0
    ports: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class PlacedLink:
    """The points of a link: pairs with the same x (or y, from left to right) are joined by lines, others by curves.

    `source` and `target` number the scene's boxes.
    """

    source: int
    target: int
    points: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Label:
    """Text beside a link, or over a picture; `full` is what it was shortened from."""

    x: float
    y: float
    text: str
    full: str


@dataclass(slots=True)
class Scene:
    """A placed diagram. Boxes that contain others come before those."""

    name: str
    direction: str
    width: float = 0
    height: float = 0
    boxes: list[PlacedBox] = field(default_factory=list)
    links: list[PlacedLink] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    titles: list[Label] = field(default_factory=list)


def make_scene(diagram: Diagram, direction: str = "TB") -> Scene:
    """Place a diagram from top to bottom ("TB") or left to right ("LR"). O(boxes + links), nested ones as well."""
    nested: dict[int, Scene] = {}
    for inner in _inside_out(diagram):
        nested[id(inner)] = _place(inner, direction, nested)
    scene = _place(diagram, direction, nested)
    _move(scene, MARGIN, MARGIN, 0)
    scene.width += 2 * MARGIN
    scene.height += 2 * MARGIN
    return scene


def beside(scenes: Sequence[Scene], titles: Sequence[str]) -> Scene:
    """Put scenes side by side, each under its title."""
    joined = Scene(scenes[0].name, scenes[0].direction)
    for scene, title in zip(scenes, titles, strict=True):
        x = joined.width
        joined.titles.append(Label(x + MARGIN, MARGIN + TITLE_SIZE, title, title))
        joined.width += max(scene.width, text_width(title, TITLE_SIZE, True) + 2 * MARGIN)
        joined.height = max(joined.height, scene.height + TITLE_HEIGHT)
        _append(joined, scene, x, TITLE_HEIGHT, 0)
    return joined


def _inside_out(diagram: Diagram) -> list[Diagram]:
    """Return the diagrams inside a diagram, each after those inside itself."""
    found: list[Diagram] = []
    pending = [diagram]
    while pending:
        inner = [box.inner for box in pending.pop().boxes if box.inner is not None]
        found += inner
        pending += inner
    return found[::-1]


def _place(diagram: Diagram, direction: str, nested: dict[int, Scene]) -> Scene:
    down = direction == "TB"
    boxes = [_measure(box, nested) for box in diagram.boxes]
    read: list[set[int]] = [set() for _ in boxes]
    for link in diagram.links:
        read[link.source].add(link.port)
    for placed, ports in zip(boxes, read, strict=True):
        _set_ports(placed, sorted(ports), diagram.shows_types, down)
    extents = [_extent(placed, diagram.shows_types, down) for placed in boxes]
    arcs = [Arc(link.source, link.target, boxes[link.source].ports[link.port]) for link in diagram.links]
    arranged = arrange(extents, arcs)
    scene = Scene(diagram.name, direction)
    scene.width, scene.height = _turn(ceil(arranged.breadth), ceil(arranged.length), down)
    numbers = []
    for placed, centre, start in zip(boxes, arranged.centres, arranged.starts, strict=True):
        # Rounded before anything is taken off, so that links still end in the middle of a box.
        x, y = _turn(round(centre), round(start), down)
        placed.x, placed.y = (x - placed.width / 2, y) if down else (x, y - placed.height / 2)
        numbers.append(len(scene.boxes))
        scene.boxes.append(placed)
        if placed.box.inner is not None:
            inner = nested[id(placed.box.inner)]
            _append(scene, inner, placed.x + (placed.width - inner.width) // 2, placed.y + HEAD + NEST_PADDING, 1)
    for link, route in zip(diagram.links, arranged.routes, strict=True):
        points = [_turn(round(point.across), round(point.along), down) for point in route]
        scene.links.append(PlacedLink(numbers[link.source], numbers[link.target], points))
    if diagram.shows_types:
        for placed in boxes:
            scene.labels += _labels(placed, down)
    return scene


def _turn(across: float, along: float, down: bool) -> tuple[float, float]:
    return (across, along) if down else (along, across)


def _measure(box: Box, nested: dict[int, Scene]) -> PlacedBox:
    """Return a box of the size that its texts, or the diagram inside, need; it has no place yet."""
    title = shorten(box.title, TITLE_SIZE, MAX_NAME, bold=True)
    name = shorten(box.name, TEXT_SIZE, MAX_NAME)
    name_x = PADDING + text_width(title, TITLE_SIZE, bold=True) + PADDING
    lines = [
        Line(shorten(line.key, TEXT_SIZE, MAX_KEY), shorten(line.value, TEXT_SIZE, MAX_VALUE), line.is_weight)
        for line in box.lines[:MAX_LINES]
    ]
    if len(box.lines) > MAX_LINES:
        lines[-1] = Line("…", f"{len(box.lines) - MAX_LINES + 1} more", False)
    value_x = PADDING + max([text_width(line.key, TEXT_SIZE) for line in lines], default=0.0) + PADDING
    values = max([value_x + text_width(line.value, TEXT_SIZE) for line in lines], default=0.0)
    heading = name_x + text_width(name, TEXT_SIZE) if name else name_x - PADDING
    width = max(MIN_WIDTH, ceil(max(heading, values) + PADDING))
    height = HEAD + (len(lines) * LINE_HEIGHT + PADDING if lines else 0)
    if box.inner is not None:
        width = max(width, ceil(nested[id(box.inner)].width) + 2 * NEST_PADDING)
        height = HEAD + ceil(nested[id(box.inner)].height) + 2 * NEST_PADDING
    width += width % 2  # so that the centre line of a box is on a whole pixel
    return PlacedBox(box, 0, 0, width, height + height % 2, title, name, round(name_x), round(value_x), lines)


def _label_text(type: str) -> str:
    return shorten(type, LABEL_SIZE, MAX_LABEL)


def _set_ports(placed: PlacedBox, outputs: list[int], labelled: bool, down: bool) -> None:
    """Set where each output that is read leaves, far enough apart for the labels; this may widen the box."""
    steps = [float(LABEL_HEIGHT)] * len(outputs)
    if down:
        widths = [_label_width(placed, port) if labelled else 0.0 for port in outputs]
        steps = [ceil(width) + 3.0 * LABEL_GAP for width in widths]
    total = sum(steps[:-1])
    places = [0.0, *accumulate(steps)]
    placed.ports = {port: float(round(place - total / 2)) for port, place in zip(outputs, places, strict=False)}
    needed = 2 * (ceil(total / 2) + PADDING)
    if down:
        placed.width = max(placed.width, needed)
    else:
        placed.height = max(placed.height, needed)


def _label_width(placed: PlacedBox, port: int) -> float:
    return text_width(_label_text(placed.box.outputs[port]), LABEL_SIZE)


def _extent(placed: PlacedBox, labelled: bool, down: bool) -> Extent:
    """Return the room for a box and for the labels: right of the links below it, or above the links beside it."""
    half = placed.width / 2 if down else placed.height / 2
    length = placed.height if down else placed.width
    if not labelled or not placed.ports:
        return Extent(half, half, length)
    widths = {port: _label_width(placed, port) for port in placed.ports}
    if down:
        after = max(offset + LABEL_GAP + widths[port] for port, offset in placed.ports.items())
        return Extent(half, max(half, after), length + LABEL_HEIGHT, LABEL_HEIGHT)
    tail = 2 * (ceil(max(widths.values()) / 2) + LABEL_GAP)
    return Extent(max(half, LABEL_HEIGHT - min(placed.ports.values())), half, length + tail, tail)


def _labels(placed: PlacedBox, down: bool) -> list[Label]:
    labels = []
    for port, offset in placed.ports.items():
        full = placed.box.outputs[port]
        if down:
            x, y = placed.x + placed.width / 2 + offset + LABEL_GAP, placed.y + placed.height + LABEL_SIZE + 2
        else:
            x, y = placed.x + placed.width + LABEL_GAP, placed.y + placed.height / 2 + offset - 4
        labels.append(Label(round(x), round(y), _label_text(full), full))
    return labels


def _append(scene: Scene, other: Scene, x: float, y: float, deeper: int) -> None:
    """Move another scene and make it part of this one."""
    first = len(scene.boxes)
    _move(other, x, y, deeper)
    scene.boxes += other.boxes
    scene.links += [PlacedLink(first + link.source, first + link.target, link.points) for link in other.links]
    scene.labels += other.labels


def _move(scene: Scene, x: float, y: float, deeper: int) -> None:
    for placed in scene.boxes:
        placed.x += x
        placed.y += y
        placed.depth += deeper
    for link in scene.links:
        link.points = [(px + x, py + y) for px, py in link.points]
    scene.labels = [Label(label.x + x, label.y + y, label.text, label.full) for label in scene.labels]
