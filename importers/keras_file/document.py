"""The meaning of special values in the JSON of a model.

text ── parse ──> lists, dicts, strings, numbers ── revive ──> slices, arrays, Reference to other layers' outputs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from kir.errors import FormatError
from kir.ir.types import as_dtype


@dataclass(frozen=True)
class Reference:
    """The output of a call in the same model: of which layer, of which of its calls, and which output."""

    layer: str
    call: int
    output: int


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
