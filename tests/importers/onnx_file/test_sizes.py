"""Arithmetic on sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.importers.onnx_file.sizes import (
    ELEMENTWISE,
    Sizes,
    concat,
    counts_from_end,
    gather,
    is_negative,
    safely,
    sizes_of_array,
    slice_,
    total,
)
from kir.ir.dims import Dim, minimum, symbol

N, M = symbol("n"), symbol("m")


def vector(*items: Dim) -> Sizes:
    return Sizes(items)


def scalar(item: Dim) -> Sizes:
    return Sizes((item,), True)


@pytest.mark.parametrize(
    ("op", "inputs", "expected"),
    [
        ("Add", (vector(N, 2), vector(1)), vector(N + 1, 3)),
        ("Sub", (scalar(N), scalar(M)), scalar(N - M)),
        ("Mul", (scalar(3), vector(N)), vector(3 * N)),
        ("Div", (scalar(6 * N), scalar(3)), scalar(2 * N)),
        ("Div", (scalar(-7), scalar(2)), scalar(-3)),
        ("Div", (scalar(N), scalar(0)), None),
        ("Mod", (scalar(7), scalar(4)), scalar(3)),
        ("Max", (scalar(N), scalar(0)), scalar(N)),
        ("Max", (scalar(N), scalar(4)), None),
        ("Min", (scalar(N), scalar(2**62)), scalar(N)),
        ("Min", (scalar(N), scalar(M)), scalar(minimum(N, M))),
        ("Min", (vector(4, N), scalar(N + 3)), vector(minimum(4, N + 3), N)),
        ("Equal", (vector(3, N), vector(3)), None),
        ("Equal", (vector(2, 3, N), vector(-1)), vector(0, 0, 0)),
        ("Neg", (vector(N),), vector(-N)),
        ("Where", (vector(1, 0), vector(N), vector(5, 6)), vector(N, 6)),
        ("Where", (vector(N), vector(N), vector(5)), None),
        ("Add", (vector(1, 2), vector(1, 2, 3)), None),
    ],
)
def test_elementwise(op: str, inputs: tuple[Sizes, ...], expected: Sizes | None) -> None:
    assert ELEMENTWISE[op](*inputs) == expected


def test_selection() -> None:
    data = vector(N, 2, 3, M)
    assert gather(data, scalar(-1)) == scalar(M)
    assert gather(data, vector(1, 0)) == vector(2, N)
    assert gather(data, scalar(4)) is None
    assert slice_(data, vector(1), vector(2**62)) == vector(2, 3, M)
    assert slice_(data, vector(-1), vector(-(2**62)), vector(0), vector(-2)) == vector(M, 2)
    assert slice_(data, vector(0), vector(1), None, vector(0)) is None
    assert concat(vector(N), vector(1, 2)) == vector(N, 1, 2)
    assert concat(vector(N), scalar(1)) is None
    assert total(vector(N, 2, N)) == 2 * N * N


def test_numbers_that_no_size_has_are_given_up() -> None:
    huge = scalar(2**62)
    assert ELEMENTWISE["Add"](huge, huge) is None
    power = scalar(N)
    for _ in range(6):
        power = ELEMENTWISE["Mul"](power, power) or power
    assert ELEMENTWISE["Mul"](power, power) is None
    assert safely(lambda: ELEMENTWISE["Mod"](scalar(N), scalar(N - N))) is None


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([1, 2]), vector(1, 2)),
        (np.array(3, np.int32), scalar(3)),
        (np.array([True]), vector(1)),
        (np.array([1.0]), None),
        (np.zeros((1, 1), np.int64), None),
        (np.zeros(1000, np.int64), None),
    ],
)
def test_arrays(array: Any, expected: Sizes | None) -> None:
    assert sizes_of_array(array) == expected


@pytest.mark.parametrize(
    ("bound", "size", "expected"),
    [
        (-1, N, True),
        (0, N, False),
        (-2 * N, M, True),
        (N, M, False),
        (M - N, N, True),
        (N - 1, N, False),
    ],
)
def test_bounds_counted_from_the_end(bound: Dim, size: Dim, expected: bool) -> None:
    assert counts_from_end(bound, size) == expected
    assert not (is_negative(bound) and not expected)
