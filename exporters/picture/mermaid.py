"""A diagram in Mermaid, which GitHub and others draw inside Markdown. Source: https://mermaid.js.org/syntax/flowchart"""

from __future__ import annotations

from kir.exporters.picture import palette
from kir.exporters.picture.diagram import Box, Diagram, write_nested

# Everything else is written as a number: Mermaid reads Markdown, HTML and its own words in labels.
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.:=+_()[]/")


def write_mermaid(diagram: Diagram, direction: str = "TB") -> str:
    """Return the text of a flowchart; nested models are subgraphs."""
    colours: dict[str, None] = {}
    lines = write_nested(diagram, lambda inner, prefix: _lines(inner, prefix, colours))
    styles = [f"classDef {_class(colour)} fill:{colour},stroke:#64748b,color:#fff" for colour in colours]
    return "\n".join([f"flowchart {direction}", *lines, *styles, ""])


def _lines(diagram: Diagram, prefix: str, colours: dict[str, None]) -> list[str | tuple[Diagram, str]]:
    result: list[str | tuple[Diagram, str]] = []
    for number, box in enumerate(diagram.boxes):
        key = f"{prefix}{number}"
        if box.inner is None:
            colour = palette.colour(box.kind)
            colours[colour] = None
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
