"""What a picture shows, before anything is placed: boxes with lines of text, and links between them.

`layers_view` and `ops_view` make diagrams; `scene` places them; `dot` and `mermaid` write them as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kir.errors import InvalidArgumentError
from kir.ir.op import Array

PARTS = ("types", "attributes", "weights")
# What happened to a box between two stages of the pipeline.
ADDED, REMOVED, CHANGED = "added", "removed", "changed"


@dataclass(frozen=True, slots=True)
class Line:
    """One line in a box: an attribute, or a weight with its shape."""

    key: str
    value: str
    is_weight: bool = False


@dataclass(frozen=True, slots=True)
class Weights:
    """An array that a box uses. `read` gives it; a layer's is only drawn then."""

    name: str
    type: str
    key: int
    read: Callable[[], Array]


@dataclass(slots=True)
class Box:
    """One layer call or one node.

    `title` is its class, `name` its layer, `kind` the group that colours it. `outputs` are the types of its outputs,
    each of which links leave as a port. `facts` are what a reader finds when looking closer. `identity` is the same
    object in two diagrams if the box is. `inner` is the diagram of a nested model, or of the graph inside an operator,
    that is drawn inside; `folded` is how many boxes are inside that are not drawn.
    """

    title: str
    name: str
    kind: str
    outputs: Sequence[str]
    lines: Sequence[Line] = ()
    facts: Sequence[tuple[str, str]] = ()
    weights: Sequence[Weights] = ()
    identity: object = None
    inner: Diagram | None = None
    folded: int = 0
    status: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """From an output (`port`) of a box to another box, both by number. `slots` are the inputs that read it."""

    source: int
    port: int
    target: int
    slots: tuple[int, ...]


@dataclass(slots=True)
class Diagram:
    """Boxes, each after those that it reads, and links. `shows_types`: whether links carry the type of the value."""

    name: str
    boxes: list[Box] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    shows_types: bool = True


def boxes_inside(box: Box) -> list[Box]:
    """Return the boxes of the diagram inside a box, and of those inside of these. O(boxes)."""
    found: list[Box] = []
    pending = [box]
    while pending:
        inner = pending.pop().inner
        if inner is not None:
            found += inner.boxes
            pending += inner.boxes
    return found


def write_nested(diagram: Diagram, write: Callable[[Diagram, str], list[str | tuple[Diagram, str]]]) -> list[str]:
    """Return the lines of a text form. `write` gives those of one diagram, whose boxes are named after a prefix.

    Where a nested diagram stands, it gives that and its prefix instead of a line.
    """
    lines: list[str] = []
    pending: list[str | tuple[Diagram, str]] = [(diagram, "n")]
    while pending:
        current = pending.pop()
        if isinstance(current, str):
            lines.append(current)
        else:
            pending.extend(reversed(write(*current)))
    return lines


def parse_parts(text: str) -> frozenset[str]:
    """Return the parts that a text like "types,weights" names; "none" or nothing names none.

    Raises:
        InvalidArgumentError: a word is none of the parts.
    """
    words = [word.strip() for word in text.split(",") if word.strip() not in ("", "none")]
    for word in words:
        if word not in PARTS:
            raise InvalidArgumentError(f"cannot show {word!r}; expected some of {', '.join(PARTS)}, or none")
    return frozenset(words)


def join_links(reads: Sequence[tuple[int, int, int, int]]) -> list[Link]:
    """Join reads (source, port, target, slot) to links, one for all slots of a target that read the same output."""
    slots: dict[tuple[int, int, int], list[int]] = {}
    for source, port, target, slot in reads:
        slots.setdefault((source, port, target), []).append(slot)
    return [Link(*ends, tuple(found)) for ends, found in slots.items()]
