"""Text for people: sizes of files, and what notebooks show of results."""

from __future__ import annotations

from html import escape

# Notebooks keep what they show, so it must be small: of more lines, the first.
MOST_LINES = 100
# A picture takes some hundred bytes for each node.
MOST_NODES_IN_NOTEBOOKS = 5_000


def format_bytes(count: int) -> str:
    """Return a size with the unit that keeps it short: "12 B" or "1.50 KB"; 1024 bytes to the KB, as Keras counts."""
    if count < 1024:
        return f"{count} B"
    size = count / 1024
    for unit in ("KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"


def counted(number: int, noun: str) -> str:
    """Return "1 node", or "2 nodes"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


class ShownAsText:
    """A result that notebooks show as the text that it prints as."""

    def _repr_html_(self) -> str:
        return preformatted(str(self))


def preformatted(text: str) -> str:
    """Return text as HTML with its lines as they are. Names in it may come from files, and are escaped."""
    lines = text.splitlines()
    shown = lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        shown.append(f"… and {len(lines) - MOST_LINES} more lines")
    return f"<pre>{escape(chr(10).join(shown))}</pre>"
