"""Lookup: what the table of cases cannot say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.types import parse_type
from kir.ops.lookup import Lookup


def test_of_two_equal_keys_the_first_counts() -> None:
    assert Lookup((3, 3), (1, 2), 0).eval(np.array([3, 4])).tolist() == [1, 0]


def test_no_elements_give_none() -> None:
    assert Lookup(("a",), (1,), 0).eval(np.zeros((0, 2), object)).shape == (0, 2)


def test_the_text_of_a_large_table_is_short() -> None:
    op = Lookup(tuple(range(1000)), tuple(map(str, range(1000))), "?")
    assert str(op) == "Lookup(keys=(0, 1, 2, 3, … 996 more), values=('0', '1', '2', '3', … 996 more), default='?')"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), (), 0), "received 0 keys and 0 values"),
        (((1, 2), (1,), 0), "received 2 keys and 1 values"),
        (((1, "a"), (1, 2), 0), "the keys of a lookup"),
        (((1,), (1,), "a"), "the values of a lookup"),
        (((1.5,), (1,), 0), "the keys of a lookup"),
    ],
)
def test_tables_that_are_none(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Lookup(*arguments)


def test_the_input_has_the_type_of_the_keys() -> None:
    with pytest.raises(ShapeError, match="keys such as 'a' needs an input of str; received i64"):
        Lookup(("a",), (1,), 0).infer(parse_type("i64[3]"))
