"""The JSON of a model: read within bounds, so that no document costs more than its size suggests.

text ── parse ──> lists, dicts, strings, numbers ── revive ──> slices, arrays, Reference to other layers' outputs
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from kir.errors import FormatError
from kir.ir.types import as_dtype
from kir.support.limits import MAX_CONFIG_BYTES, MAX_DEPTH, MAX_INTEGER_BITS, MAX_ITEMS


@dataclass(frozen=True)
class Reference:
    """The output of a call in the same model: of which layer, of which of its calls, and which output."""

    layer: str
    call: int
    output: int


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


def revive(value: object) -> Any:
    """Return an argument of a call or a layer, in which special dicts have become what they stand for.

    Raises:
        FormatError: such a dict is malformed.
    """
    if isinstance(value, list):
        return [revive(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("class_name")
    special = _SPECIAL.get(kind) if isinstance(kind, str) else None
    if special is None:
        return {key: revive(item) for key, item in value.items()}
    try:
        return special(value)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise FormatError(f"a {kind} is malformed: {type(error).__name__}: {error}") from None


def _keras_tensor(value: Mapping[str, Any]) -> Reference:
    return as_reference(value["config"]["keras_history"])


def as_reference(history: object) -> Reference:
    """Return a reference from `[layer, call, output]`.

    Raises:
        FormatError: it is something else.
    """
    if not is_reference(history):
        raise FormatError(f"{history!r} refers to no tensor; expected [layer, call, output]")
    return Reference(history[0], history[1], history[2])


def is_reference(value: object) -> TypeGuard[list[Any]]:
    """Return whether a list is `[layer, call, output]`."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in value[1:])
    )


def _array(value: Mapping[str, Any]) -> Any:
    inner = value["config"]
    dtype = as_dtype(inner["dtype"])
    if dtype.numpy.kind == "O" or dtype.numpy.kind in "US":
        raise ValueError(f"arrays of {inner['dtype']} are not read")
    return np.asarray(inner["value"], dtype.numpy)


def _slice(value: Mapping[str, Any]) -> slice:
    bounds = [revive(value["config"][name]) for name in ("start", "stop", "step")]
    if not all(bound is None or (isinstance(bound, int) and not isinstance(bound, bool)) for bound in bounds):
        raise ValueError(f"its bounds are {bounds}; expected integers")
    return slice(*bounds)


_SPECIAL: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "__keras_tensor__": _keras_tensor,
    "__tensor__": _array,
    "__numpy__": _array,
    "__slice__": _slice,
    "__ellipsis__": lambda value: ...,
    "__tuple__": lambda value: tuple(revive(item) for item in value.get("items", value.get("config"))),
}
