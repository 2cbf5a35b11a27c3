"""A diagram in DOT, the language of Graphviz. Source: https://graphviz.org/doc/info/lang.html"""

from __future__ import annotations

from kir.exporters.picture import palette
from kir.exporters.picture.diagram import Box, Diagram, write_nested

CONTROL = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "\ufffd")


def write_dot(diagram: Diagram, direction: str = "TB") -> str:
    """Return the text of a DOT file; nested models are clusters, to which links go by `lhead` and `ltail`."""
    lines = [
        f"digraph {quote(diagram.name)} {{",
        f"rankdir={direction}; compound=true;",
        'node [shape=box, style=filled, fontname="DejaVu Sans", fontsize=11, fontcolor=white];',
        'edge [fontname="DejaVu Sans", fontsize=10];',
        *write_nested(diagram, _lines),
    ]
    return "\n".join([*lines, "}\n"])


def _lines(diagram: Diagram, prefix: str) -> list[str | tuple[Diagram, str]]:
    result: list[str | tuple[Diagram, str]] = []
    for number, box in enumerate(diagram.boxes):
        key = f"{prefix}{number}"
        if box.inner is None:
            fill = palette.colour(box.kind)
            result.append(f"{key} [label={quote(_text(box))}, fillcolor={quote(fill)}];")
        else:
            result.append(f"subgraph cluster_{key} {{ label={quote(f'{box.title} {box.name}')};")
            # A point for links to hold on to; they end at the frame.
            result += [f"{key} [shape=point, style=invis];", (box.inner, f"{key}_"), "}"]
    for link in diagram.links:
        attributes = []
        if diagram.shows_types:
            attributes.append(f"label={quote(diagram.boxes[link.source].outputs[link.port])}")
        if diagram.boxes[link.source].inner is not None:
            attributes.append(f"ltail=cluster_{prefix}{link.source}")
        if diagram.boxes[link.target].inner is not None:
            attributes.append(f"lhead=cluster_{prefix}{link.target}")
        suffix = f" [{', '.join(attributes)}]" if attributes else ""
        result.append(f"{prefix}{link.source} -> {prefix}{link.target}{suffix};")
    return result


def _text(box: Box) -> str:
    return "\n".join([f"{box.title} {box.name}".strip(), *(f"{line.key}: {line.value}" for line in box.lines)])


def quote(text: str) -> str:
    """Quote an identifier or label. Graphviz reads backslashes and HTML entities in labels, so both are escaped."""
    text = text.translate(CONTROL).encode("utf-8", "replace").decode()
    for character, escaped in (("&", "&amp;"), ("\\", "\\\\"), ('"', '\\"'), ("\r", ""), ("\n", "\\n")):
        text = text.replace(character, escaped)
    return f'"{text}"'
