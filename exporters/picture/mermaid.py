"""A diagram in Mermaid, which GitHub and others draw inside Markdown. Source: https://mermaid.js.org/syntax/flowchart"""

from __future__ import annotations

from kir.exporters.picture import palette
from kir.exporters.picture.diagram import Box, Diagram

# Everything else is written as a number: Mermaid reads Markdown, HTML and its own words in labels.
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.:=+_()[]/")


def write_mermaid(diagram: Diagram, direction: str = "TB") -> str:
    """The text of a flowchart; nested models are subgraphs."""
    lines = [f"flowchart {direction}"]
    kinds: dict[str, None] = {}
    pending: list[str | tuple[Diagram, str]] = [(diagram, "n")]
    while pending:
        current = pending.pop()
        if isinstance(current, str):
            lines.append(current)
        else:
            pending.extend(reversed(_instructions(*current, kinds)))
    lines += [f"classDef {_class(kind)} fill:{kind},stroke:#64748b,color:#fff" for kind in kinds]
    return "\n".join(lines) + "\n"


def _instructions(diagram: Diagram, prefix: str, kinds: dict[str, None]) -> list[str | tuple[Diagram, str]]:
    result: list[str | tuple[Diagram, str]] = []
    for number, box in enumerate(diagram.boxes):
        key = f"{prefix}{number}"
        if box.inner is None:
            colour = palette.colour(box.kind)
            kinds[colour] = None
            result.append(f'{key}["{_text(box)}"]:::{_class(colour)}')
        else:
            result += [f'subgraph {key} ["{escape(f"{box.title} {box.name}")}"]', (box.inner, f"{key}_"), "end"]
    for link in diagram.links:
        label = f'|"{escape(diagram.boxes[link.source].outputs[link.port])}"|' if diagram.shows_types else ""
        result.append(f"{prefix}{link.source} -->{label} {prefix}{link.target}")
    return result


def _text(box: Box) -> str:
    return "<br/>".join(
        [escape(f"{box.title} {box.name}".strip()), *(escape(f"{line.key}: {line.value}") for line in box.lines)]
    )


def _class(colour: str) -> str:
    return f"c{colour[1:]}"


def escape(text: str) -> str:
    """Text for a quoted label: Mermaid's entity codes, which are numbers between # and ;."""
    return "".join(character if character in PLAIN else f"#{ord(character)};" for character in text)
