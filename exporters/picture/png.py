"""SVG as PNG, by resvg: no browser, no X server. Source: https://pypi.org/project/resvg-py/"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from kir.errors import FormatError
from kir.exporters.picture.svg import FONT, escape

DEFAULT_ZOOM = 2.0
# Larger pictures are drawn smaller: viewers refuse longer sides, and four bytes a pixel add up.
MAX_SIDE, MAX_PIXELS = 30_000, 100_000_000

_PROBE = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20">{}</svg>'
_PROBE_TEXT = f'<text x="2" y="15" font-size="14" font-family="{escape(FONT)}">kir</text>'


def write_png(svg: str, width: float, height: float) -> tuple[bytes, float]:
    """Return the PNG file of an SVG picture of this size, and how many of its pixels are one of the picture's.

    Raises:
        FormatError: resvg-py is not installed, no font is, or the picture cannot be drawn.
    """
    renderer = _renderer()
    if not draws_text():
        raise FormatError(
            "cannot write PNG: none of the fonts that it could use is installed, and the picture would have no text; "
            "install one (apt-get install fonts-dejavu-core), or write .svg or .html instead"
        )
    zoom = fitting_zoom(width, height)
    try:
        return bytes(renderer.svg_to_bytes(svg_string=svg, zoom=zoom)), zoom
    except ValueError as error:
        raise FormatError(f"cannot draw a picture of {width:.0f} × {height:.0f} as PNG: {error}") from error


def fitting_zoom(width: float, height: float) -> float:
    """Return two pixels to one, or fewer where the file would be too large."""
    return min(DEFAULT_ZOOM, MAX_SIDE / max(width, height, 1), math.sqrt(MAX_PIXELS / max(width * height, 1)))


def _renderer() -> Any:
    try:
        import resvg_py
    except ImportError as error:
        raise FormatError(
            "writing PNG needs resvg-py: pip install 'kir-onnx[png]'; .svg and .html need nothing"
        ) from error
    return resvg_py


@cache
def draws_text() -> bool:
    """Return whether text leaves any pixels: where no font is installed, resvg leaves text out and says nothing."""
    renderer = _renderer()
    with_text, without = (renderer.svg_to_bytes(svg_string=_PROBE.format(text)) for text in (_PROBE_TEXT, ""))
    return bytes(with_text) != bytes(without)
