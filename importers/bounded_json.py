"""JSON read within bounds, so that no document costs more than its size suggests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from kir.errors import FormatError
from kir.support.limits import MAX_CONFIG_BYTES, MAX_DEPTH, MAX_INTEGER_BITS, MAX_ITEMS


def parse(text: bytes | str, label: str, expected: str = "the configuration of a Keras model") -> Any:
    """Return the document; messages call it by its label, and say what was expected.

    Raises:
        FormatError: it is no JSON, or too large, too deep, or has integers of more than 64 bits.
    """
    if len(text) > MAX_CONFIG_BYTES:
        raise FormatError(f"{label} has {len(text)} bytes; at most {MAX_CONFIG_BYTES} are read")
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        items = sum(map(text.count, ",[{"))
        if items > MAX_ITEMS:
            raise FormatError(f"{label} holds {items} items; at most {MAX_ITEMS} are read")
        document = json.loads(text)
    except RecursionError:
        raise FormatError(f"{label} is nested too deeply; at most {MAX_DEPTH} levels are read") from None
    except (ValueError, MemoryError) as error:
        raise FormatError(f"{label} is not JSON: {error}; expected {expected}") from None
    for depth, item in walk(document):
        if depth > MAX_DEPTH:
            raise FormatError(f"{label} is nested too deeply; at most {MAX_DEPTH} levels are read")
        if isinstance(item, int) and item.bit_length() > MAX_INTEGER_BITS:
            bits = item.bit_length()
            raise FormatError(f"{label} holds an integer of {bits} bits; at most {MAX_INTEGER_BITS} are read")
    return document


def walk(document: object) -> Iterator[tuple[int, Any]]:
    """Yield everything in a document, with its depth; without recursion."""
    pending = [(0, document)]
    while pending:
        depth, item = pending.pop()
        yield depth, item
        if isinstance(item, dict):
            pending.extend((depth + 1, value) for value in item.values())
        elif isinstance(item, list):
            pending.extend((depth + 1, value) for value in item)
