"""`functools.cache` for functions of classes: mypy takes a class with a generated `__eq__` for unhashable."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

Result = TypeVar("Result")


def cached(function: Callable[..., Result], size: int | None = None) -> Callable[..., Result]:
    """Return the function, remembering its result for all arguments, or for those of the last `size` calls."""
    return lru_cache(size)(function)
