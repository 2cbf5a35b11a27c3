"""Checks of constructor arguments. Every error repeats the received value and says what was expected."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex, cast

from kir.errors import InvalidArgumentError


def integer(owner: str, name: str, value: object, minimum: int | None = None) -> int:
    """Return `value` as an int that is at least `minimum`; booleans are refused."""
    expected = "an integer" if minimum is None else f"an integer of at least {minimum}"
    try:
        result = operator.index(cast(SupportsIndex, value))
    except TypeError:
        raise _invalid(owner, name, value, expected) from None
    if isinstance(value, bool) or (minimum is not None and result < minimum):
        raise _invalid(owner, name, value, expected)
    return result


def optional_integer(owner: str, name: str, value: object, minimum: int | None = None) -> int | None:
    return None if value is None else integer(owner, name, value, minimum)


def boolean(owner: str, name: str, value: object) -> bool:
    """Return `value` as a bool; 0, 1 and NumPy booleans pass."""
    if isinstance(value, bool) or (isinstance(value, numbers.Integral) and value in (0, 1)) or _is_numpy_bool(value):
        return bool(value)
    raise _invalid(owner, name, value, "True or False")


def number(owner: str, name: str, value: object, minimum: float | None = None, maximum: float | None = None) -> float:
    """Return `value` as a finite float within the bounds, which belong to the range."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        given = float(value)
        if (minimum is None or given >= minimum) and (maximum is None or given <= maximum):
            return given
    raise _invalid(owner, name, value, f"a finite number{_range(minimum, maximum)}")


def ordered(owner: str, low_name: str, low: float, high_name: str, high: float) -> None:
    """Refuse a range whose lower end lies above the upper."""
    if low > high:
        raise InvalidArgumentError(
            f"{owner}: {low_name} must not exceed {high_name}; received {low_name}={low!r} and {high_name}={high!r}"
        )


def text(owner: str, name: str, value: object) -> str:
    """Return `value`, which must be a string."""
    if not isinstance(value, str):
        raise _invalid(owner, name, value, "text")
    return value


def choice(owner: str, name: str, value: object, allowed: Sequence[Any]) -> Any:
    if value not in allowed:
        raise _invalid(owner, name, value, "one of " + ", ".join(map(repr, allowed)))
    return value


def integers(
    owner: str, name: str, value: object, minimum: int | None = None, *, single: bool = True
) -> tuple[int, ...]:
    """Return `value` as a tuple of ints; with `single`, an int is a tuple of one."""
    items = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else None
    invalid = _invalid(
        owner, name, value, "a tuple of integers" if minimum is None else f"a tuple of integers of at least {minimum}"
    )
    if items is None and not single:
        raise invalid
    try:
        return tuple(integer(owner, name, item, minimum) for item in ((value,) if items is None else items))
    except InvalidArgumentError:
        raise invalid from None


def per_axis(owner: str, name: str, value: object, axes: int, minimum: int = 1) -> tuple[int, ...]:
    """Return `value` as one int for each of `axes` axes; a single int counts for all of them."""
    try:
        given = integers(owner, name, value, minimum)
    except InvalidArgumentError:
        given = ()
    if len(given) == 1 and not isinstance(value, Iterable):
        return given * axes
    if len(given) != axes:
        expected = f"an integer of at least {minimum}" + (f", or {axes} of them" if axes > 1 else "")
        raise _invalid(owner, name, value, expected)
    return given


def _is_numpy_bool(value: object) -> bool:
    return type(value).__name__ in ("bool", "bool_") and type(value).__module__ == "numpy"


def _range(minimum: float | None, maximum: float | None) -> str:
    if maximum is None:
        return "" if minimum is None else f" of at least {minimum:g}"
    return f" of at most {maximum:g}" if minimum is None else f" from {minimum:g} to {maximum:g}"


def _invalid(owner: str, name: str, value: object, expected: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{owner}: {name} must be {expected}; received {name}={value!r}")
