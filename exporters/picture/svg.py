"""A scene as SVG: one file without links to anything, light or dark as the reader's system is.

Colours stand in a style sheet of few classes, texts in the order in which they are read, and each box in a group with
its full name as a tooltip.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from kir.exporters.picture import palette
from kir.exporters.picture.scene import (
    HEAD,
    LABEL_SIZE,
    LINE_HEIGHT,
    PADDING,
    TEXT_SIZE,
    TITLE_SIZE,
    Label,
    PlacedBox,
    PlacedLink,
    Scene,
)

RADIUS = 5
ARROW_LENGTH, ARROW_HALF = 7, 3.5

LIGHT = {"back": "#ffffff", "box": "#ffffff", "nest": "#f8fafc", "border": "#94a3b8", "text": "#0f172a",
         "dim": "#64748b", "weight": "#1d4ed8", "link": "#64748b"}  # fmt: skip
DARK = {"back": "#0f172a", "box": "#1e293b", "nest": "#172033", "border": "#64748b", "text": "#f1f5f9",
        "dim": "#94a3b8", "weight": "#93c5fd", "link": "#94a3b8"}  # fmt: skip

FONT = '"DejaVu Sans", Verdana, "Segoe UI", Helvetica, Arial, sans-serif'


def write_svg(scene: Scene, themes: str = "both") -> str:
    """Return the text of an SVG file. `themes` is "both", or "light" for readers that know no media queries."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="kir" width="{_number(scene.width)}" '
        f'height="{_number(scene.height)}" viewBox="0 0 {_number(scene.width)} {_number(scene.height)}" '
        f'role="img" aria-label="{escape(scene.name)}">',
        f"<title>{escape(scene.name)}</title>",
        f"<style>{style_sheet(scene, themes)}</style>",
        f'<rect class="back" width="{_number(scene.width)}" height="{_number(scene.height)}"/>',
    ]
    # Boxes with others inside first, then links, so that those inside are seen; then the boxes.
    parts += [_nest(placed) for placed in scene.boxes if placed.box.inner is not None]
    parts += [f'<path class="link" d="{link_path(link, scene.direction)}"/>' for link in scene.links]
    if scene.links:
        parts.append(f'<path class="head" d="{"".join(_arrow(link, scene.direction) for link in scene.links)}"/>')
    parts += [_label(label, "label") for label in scene.labels]
    parts += [_box(placed) for placed in scene.boxes if placed.box.inner is None]
    parts += [_label(label, "title") for label in scene.titles]
    return "\n".join([*parts, "</svg>\n"])


def escape(text: str) -> str:
    """Text for XML content and attributes; characters that XML forbids become U+FFFD."""
    text = re.sub("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\ud800-\\udfff\\ufffe\\uffff]", "\ufffd", text)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(character, entity)
    return text


def style_sheet(scene: Scene, themes: str) -> str:
    """Return the rules, all under `.kir`, so that a picture inside of a page leaves that page alone."""
    kinds = sorted({palette.colour(placed.box.kind) for placed in scene.boxes})
    rules = [
        f".kir text{{font-family:{FONT};font-size:{TEXT_SIZE:g}px}}",
        f".kir .name,.kir .class{{fill:#fff}}.kir .class{{font-size:{TITLE_SIZE:g}px;font-weight:bold}}",
        f".kir .label{{font-size:{LABEL_SIZE:g}px}}",
        f".kir .title{{font-size:{TITLE_SIZE:g}px;font-weight:bold}}",
        ".kir .link{fill:none;stroke-width:1.2}",
        *[f".kir .{_class(colour)}{{fill:{colour}}}" for colour in kinds],
        _theme(LIGHT),
    ]
    rules += [
        f".kir .{status} .frame{{stroke:{colour};stroke-width:3}}.kir .{status} .badge{{fill:{colour}}}"
        for status, (colour, _) in palette.STATUS.items()
        if any(placed.box.status == status for placed in scene.boxes)
    ]
    if themes == "both":
        rules.append(f"@media (prefers-color-scheme:dark){{{_theme(DARK)}}}")
    return "".join(rules)


def _theme(colours: dict[str, str]) -> str:
    return (
        f".kir .back{{fill:{colours['back']}}}"
        f".kir .frame{{fill:{colours['box']};stroke:{colours['border']}}}"
        f".kir .nest{{fill:{colours['nest']};stroke:{colours['border']}}}"
        f".kir .value,.kir .title{{fill:{colours['text']}}}"
        f".kir .key,.kir .label{{fill:{colours['dim']}}}"
        f".kir .weight{{fill:{colours['weight']}}}"
        f".kir .link{{stroke:{colours['link']}}}.kir .head{{fill:{colours['link']}}}"
    )


def link_path(link: PlacedLink, direction: str) -> str:
    """Return the path of a link: lines along bands, curves between them, which begin and end along the direction."""
    points = link.points
    path = [f"M{_pair(points[0])}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        down = direction == "TB"
        if (x0 == x1) if down else (y0 == y1):
            path.append(f"V{_number(y1)}" if down else f"H{_number(x1)}")
        else:
            middle = (y0 + y1) / 2 if down else (x0 + x1) / 2
            first, second = ((x0, middle), (x1, middle)) if down else ((middle, y0), (middle, y1))
            path.append(f"C{_pair(first)} {_pair(second)} {_pair((x1, y1))}")
    return "".join(path)


def _arrow(link: PlacedLink, direction: str) -> str:
    x, y = link.points[-1]
    if direction == "TB":
        return f"M{_pair((x, y))}l{-ARROW_HALF:g} {-ARROW_LENGTH}h{2 * ARROW_HALF:g}z"
    return f"M{_pair((x, y))}l{-ARROW_LENGTH} {-ARROW_HALF:g}v{2 * ARROW_HALF:g}z"


def _class(colour: str) -> str:
    return f"c{colour[1:]}"


def _head(placed: PlacedBox, rounded_below: bool) -> str:
    """Return the coloured bar, with round upper corners, and the texts in it."""
    width, kind = placed.width, _class(palette.colour(placed.box.kind))
    if rounded_below:
        bar = f'<rect class="{kind}" width="{_number(width)}" height="{HEAD}" rx="{RADIUS}"/>'
    else:
        bar = (
            f'<path class="{kind}" d="M0 {HEAD}V{RADIUS}a{RADIUS} {RADIUS} 0 0 1 {RADIUS} -{RADIUS}'
            f'H{_number(width - RADIUS)}a{RADIUS} {RADIUS} 0 0 1 {RADIUS} {RADIUS}V{HEAD}z"/>'
        )
    name = f'<text class="name" x="{_number(placed.name_x)}" y="16">{escape(placed.name)}</text>' if placed.name else ""
    return f'{bar}<text class="class" x="{PADDING}" y="16">{escape(placed.title)}</text>{name}'


def _box(placed: PlacedBox) -> str:
    frame = f'<rect class="frame" width="{_number(placed.width)}" height="{_number(placed.height)}" rx="{RADIUS}"/>'
    return _group(placed, [frame, _head(placed, rounded_below=not placed.lines), *_lines(placed), _badge(placed)])


def _nest(placed: PlacedBox) -> str:
    frame = (
        f'<rect class="frame nest" width="{_number(placed.width)}" height="{_number(placed.height)}" rx="{RADIUS}"/>'
    )
    return _group(placed, [frame, _head(placed, rounded_below=False), _badge(placed)])


def _group(placed: PlacedBox, parts: Sequence[str]) -> str:
    status = f' class="{placed.box.status}"' if placed.box.status else ""
    full = f"{placed.box.title} {placed.box.name}".strip()
    place = f"translate({_number(placed.x)} {_number(placed.y)})"
    return f'<g{status} transform="{place}"><title>{escape(full)}</title>{"".join(parts)}</g>'


def _lines(placed: PlacedBox) -> list[str]:
    texts = []
    for index, line in enumerate(placed.lines):
        y = HEAD + LINE_HEIGHT * (index + 1)
        value = "weight" if line.is_weight else "value"
        texts.append(
            f'<text class="key" x="{PADDING}" y="{y}">{escape(line.key)}</text>'
            f'<text class="{value}" x="{_number(placed.value_x)}" y="{y}">{escape(line.value)}</text>'
        )
    return texts


def _badge(placed: PlacedBox) -> str:
    """Return the sign of what happened to a box, so that the colour is not all there is."""
    if not placed.box.status:
        return ""
    sign = palette.STATUS[placed.box.status][1]
    x = _number(placed.width)
    return (
        f'<circle class="badge" cx="{x}" cy="0" r="8"/>'
        f'<text class="class" x="{x}" y="4" text-anchor="middle">{escape(sign)}</text>'
    )


def _label(label: Label, kind: str) -> str:
    tooltip = f"<title>{escape(label.full)}</title>" if label.full != label.text else ""
    return f'<text class="{kind}" x="{_number(label.x)}" y="{_number(label.y)}">{tooltip}{escape(label.text)}</text>'


def _pair(point: tuple[float, float]) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    """Write a number with at most one digit after the point, and none where it would be a zero."""
    return f"{value:.1f}".removesuffix(".0")
