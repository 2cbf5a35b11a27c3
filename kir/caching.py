"""`functools.cache` for functions of classes: mypy takes a class with a generated `__eq__` for unhashable."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

Result = TypeVar("Result")


def cached(function: Callable[[Any], Result]) -> Callable[[Any], Result]:
    """The function, remembering its result for every argument."""
    return cache(function)
