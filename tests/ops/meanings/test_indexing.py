"""Operators that pick, place and order elements, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.meanings.single_nodes import Array, Numbers, check, texts

f = Numbers()


@pytest.mark.parametrize("x", [f(3, 4) > 0, f.integers(2, 2, 3, 4), np.float32(3), np.float32(0), f(0, 3)])
def test_non_zero(x: Array) -> None:
    check("NonZero", x)


def test_nan_is_not_zero() -> None:
    check("NonZero", np.array([np.nan, 0, 1], np.float32))


@pytest.mark.parametrize("axis", [None, 0, -1])
def test_compress(axis: int | None) -> None:
    check("Compress", f(3, 4), [True, False, True], axis=axis)
    check("Compress", texts("a", "b"), [False, True], axis=None if axis is None else 0)
    check("Compress", f(3, 4), [False], axis=axis)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("reduction", [None, "none", "add", "mul", "max", "min"])
def test_scatter(reduction: str | None, dtype: type) -> None:
    twice = 0 if reduction in (None, "none") else 1  # the same place twice is defined for reductions only
    x: Array = (f(3, 5) * 5).astype(dtype)
    updates: Array = (f(2, 5) * 5).astype(dtype)
    places = np.array([[0, -1, 2], [1, 1 if twice else 3, 0]])
    check("ScatterElements", x, places, updates[:, :3], axis=1, reduction=reduction, version=18)
    check("ScatterND", x, [[0, 1], [0, 1] if twice else [2, -1]], updates[:, 0], reduction=reduction, version=18)
    check("ScatterND", x, [[0], [0 if twice else 2]], updates, reduction=reduction, version=18)


def test_scatter_of_nothing_and_of_texts() -> None:
    check("ScatterElements", f(0, 3), np.zeros((0, 3), np.int64), f(0, 3))
    check("ScatterElements", f(3), np.zeros(0, np.int64), f(0))
    check("ScatterElements", texts("a", "b"), [1], texts("c"))
    check("Scatter", f(3, 3), [[2], [0]], f(2, 1), axis=1, version=9)


@pytest.mark.parametrize("how", [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}])
def test_cum_prod(how: dict[str, int]) -> None:
    check("CumProd", f(3, 4), np.array(-1), version=26, **how)
    check("CumProd", f(0, 4), np.array(0), version=26, **how)


def test_reverse_sequence() -> None:
    check("ReverseSequence", f(5, 3, 2), [1, 5, 0], version=10)
    check("ReverseSequence", f(3, 5, 2), [1, 5, 2], batch_axis=0, time_axis=1, version=10)


@pytest.mark.parametrize("sorted", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int8, object])
def test_unique(dtype: type, sorted: int) -> None:
    numbers = np.array([[2, 0, 0], [1, 0, 0], [2, 0, 0], [1, 3, 4]])
    given = numbers.astype(str).astype(object) if dtype is object else numbers.astype(dtype)
    for axis in (None, 0, 1, -1):
        check("Unique", given, sorted=sorted, axis=axis, outputs=4)
    check("Unique", given[:0], sorted=sorted, outputs=4)


@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("x", [f(3, 4), np.array([[1, 1, 0], [0, 0, 1]], np.float32), np.array([[3, 3]], np.int32)])
def test_the_last_of_equals(op_type: str, x: Array) -> None:
    for keepdims in (0, 1):
        for axis in (0, -1):
            check(op_type, x, axis=axis, select_last_index=1, keepdims=keepdims)


@pytest.mark.parametrize("batch", [0, 2])
def test_blocks_of_pixels(batch: int) -> None:
    for mode in ("DCR", "CRD"):
        check("DepthToSpace", f(batch, 8, 3, 2), blocksize=2, mode=mode)
    check("SpaceToDepth", f(batch, 3, 4, 6), blocksize=2)


@pytest.mark.parametrize(("shape", "axes"), [([3, 7, 4], None), ([4, 9], [-1, 0])])
def test_center_crop_pad(shape: list[int], axes: Any) -> None:
    check("CenterCropPad", f(5, 6, 3), shape, axes=axes)
