"""Checks of constructor arguments. Every error repeats the received value and says what was expected."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Iterable, Sequence
from typing import Any

from kir.errors import InvalidArgumentError


def integer(owner: str, name: str, value: Any, minimum: int | None = None) -> int:
    """`value` as an int that is at least `minimum`; booleans are refused."""
    expected = "an integer" if minimum is None else f"an integer of at least {minimum}"
    try:
        result = operator.index(value)
    except TypeError:
        raise _invalid(owner, name, value, expected) from None
    if isinstance(value, bool) or (minimum is not None and result < minimum):
        raise _invalid(owner, name, value, expected)
    return result


def optional_integer(owner: str, name: str, value: Any, minimum: int | None = None) -> int | None:
    return None if value is None else integer(owner, name, value, minimum)


def boolean(owner: str, name: str, value: Any) -> bool:
    """`value` as a bool; 0, 1 and NumPy booleans pass."""
    if isinstance(value, bool) or (isinstance(value, numbers.Integral) and value in (0, 1)) or _is_numpy_bool(value):
        return bool(value)
    raise _invalid(owner, name, value, "True or False")


def number(owner: str, name: str, value: Any, minimum: float | None = None, maximum: float | None = None) -> float:
    """`value` as a finite float within the bounds, which belong to the range."""
    bounds = (
        "a number"
        if minimum is None and maximum is None
        else f"a number of at least {minimum}"
        if maximum is None
        else f"a number from {minimum} to {maximum}"
    )
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise _invalid(owner, name, value, bounds)
    result = float(value)
    if not (minimum is None or result >= minimum) or not (maximum is None or result <= maximum) or result != result:
        raise _invalid(owner, name, value, bounds)
    return result


def choice(owner: str, name: str, value: Any, allowed: Sequence[Any]) -> Any:
    if value not in allowed:
        raise _invalid(owner, name, value, "one of " + ", ".join(map(repr, allowed)))
    return value


def integers(owner: str, name: str, value: Any, minimum: int | None = None) -> tuple[int, ...]:
    """`value` as a tuple of ints; a single int is a tuple of one."""
    expected = "integers" if minimum is None else f"integers of at least {minimum}"
    items = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else (value,)
    try:
        return tuple(integer(owner, name, item, minimum) for item in items)
    except InvalidArgumentError:
        raise _invalid(owner, name, value, f"a tuple of {expected}") from None


def _is_numpy_bool(value: Any) -> bool:
    return type(value).__name__ in ("bool", "bool_") and type(value).__module__ == "numpy"


def _invalid(owner: str, name: str, value: Any, expected: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{owner}: {name} must be {expected}; received {name}={value!r}")
