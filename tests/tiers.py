"""The quick tier: the tests that `pytest -m quick` runs, chosen by rule.

1. Of a test that is marked `slow`, because it takes more than a second, it has nothing.
2. Of a test whose table has rows of several kinds (one for each operator, say), it has those marked with
   `first_of_each`; of a test that is itself marked `quick`, all rows.
3. Of any other test it has the first row, or all of it if it has no rows.

tests/test_tiers.py holds that every operator, layer and command has a test in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

Row = TypeVar("Row")


def first_of_each(kind: Callable[[Row], object], rows: Iterable[Row]) -> list[object]:
    """Return rows for `pytest.mark.parametrize`, of which the first of each kind is in the quick tier.

    A row that is a tuple gives the values of several parameters.
    """
    seen: set[object] = set()
    marked: list[object] = []
    for row in rows:
        if kind(row) not in seen:
            seen.add(kind(row))
            marked.append(pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=pytest.mark.quick))
        else:
            marked.append(row)
    return marked


def mark_quick(items: Iterable[pytest.Item]) -> None:
    """Mark the tests of the quick tier, given all tests or those of some files."""
    rows: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        rows[item.nodeid.partition("[")[0]].append(item)
    for tests in rows.values():
        if not any(item.get_closest_marker("quick") or item.get_closest_marker("slow") for item in tests):
            tests[0].add_marker("quick")
