"""Operators whose parameters the model computes, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from kir.errors import ShapeError, UnsupportedError
from kir.ir.structural import Data
from kir.ops.meanings.computed import REDUCTIONS, dropout, squeeze
from tests.ops.meanings.oracle import check, floats, integers

X = floats(2, 3, 4)


@pytest.mark.parametrize("name", [*REDUCTIONS, "ReduceLogSum"])
def test_reductions_of_computed_axes(name: str) -> None:
    x = np.abs(X) + 1
    version = 13 if name == "ReduceSum" else 18
    assert check(name, x, integers(-1), version=version)[0].shape == (2, 3, 1)
    assert check(name, x, integers(2, 0), version=version, keepdims=0)[0].shape == (3,)
    assert check(name, x, integers(), version=version)[0].shape == (1, 1, 1)
    if name != "ReduceLogSum":  # of which onnxruntime takes no logarithm then
        check(name, x, integers(), version=version, noop_with_empty_axes=1)


def test_reductions_of_booleans() -> None:
    for name in ("ReduceMax", "ReduceMin"):
        check(name, X > 0, integers(1), version=20)


@pytest.mark.parametrize(
    ("name", "parameter", "shape"),
    [
        ("Reshape", (0, -1), (2, 12)),
        ("Squeeze", (1, -1), (2,)),
        ("Unsqueeze", (0, -1), (1, 2, 1, 1, 1)),
        ("Expand", (3, 1, 5, 1), (3, 2, 5, 1)),
        ("Tile", (2, 3, 1), (4, 3, 1)),
    ],
)
def test_shapes(name: str, parameter: tuple[int, ...], shape: tuple[int, ...]) -> None:
    x = X if name == "Reshape" else floats(2, 1, 1)
    assert check(name, x, integers(*parameter), version=13)[0].shape == shape


def test_squeeze_without_axes_removes_those_of_size_1() -> None:
    assert check("Squeeze", floats(1, 3, 1), version=13)[0].shape == (3,)
    with pytest.raises(ShapeError, match=r"Squeeze of the axes \(1,\)"):
        squeeze(X, integers(1))


def test_zeros_of_a_reshape_may_be_meant() -> None:
    assert check("Reshape", np.zeros((0, 3), np.float32), integers(3, 0), version=14, allowzero=1)[0].shape == (3, 0)


def test_constants_of_a_computed_shape() -> None:
    assert check("ConstantOfShape", integers(2, 3), dtypes="f32", version=9)[0].tolist() == np.zeros((2, 3)).tolist()
    check("ConstantOfShape", integers(), dtypes="i32", version=9, value=Data(np.array([7], np.int32)))


@pytest.mark.parametrize(
    "bounds",
    [
        ((1, 0), (2, 100), None, None),
        ((-1,), (-100,), (2,), (-1,)),
        ((3,), (0,), (-1,), (-2,)),
        ((2,), (1,), (1,), (1,)),
        ((0, -3), (2**40, -1), (2, 1), (3, 1)),
        ((-100,), (-100,), (1,), (-1,)),
    ],
)
def test_slices(bounds: tuple[tuple[int, ...] | None, ...]) -> None:
    check("Slice", X, *[None if one is None else integers(*one) for one in bounds], version=13)


def test_splits() -> None:
    check("Split", X, integers(1, 3), dtypes="f32 f32", version=13, axis=2)
    check("Split", floats(5, 2), dtypes="f32 f32", version=18, num_outputs=2)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pads(mode: str) -> None:
    check("Pad", X, integers(0, 1, 2, 0, 2, 1), version=19, mode=mode)
    check("Pad", X, integers(1, 2), None, integers(-1), version=19, mode=mode)
    if mode == "constant":
        check("Pad", X, integers(0, -1, 2, 1, 0, -2), np.array(3, np.float32), version=19, mode=mode)


@pytest.mark.parametrize("largest", [0, 1])
def test_the_largest_of_a_computed_number(largest: int) -> None:
    check("TopK", np.round(floats(4, 6) * 2), integers(3), dtypes="f32 i64", version=11, largest=largest, axis=-1)


def test_triangles_and_running_sums() -> None:
    check("Trilu", X, np.array(-1), version=14)
    check("Trilu", X, np.array(1), version=14, upper=0)
    check("CumSum", X, np.array(-2), version=14, exclusive=1, reverse=1)


@pytest.mark.parametrize("dtype", ["int64", "int32", "float32", "float64"])
def test_ranges(dtype: str) -> None:
    for bounds in ((0, 10, 3), (5, -3, -2), (3, 3, 1), (1, 0, 1)):
        check("Range", *np.array(bounds, dtype), version=11)
    if dtype.startswith("float"):
        check("Range", *np.array((0, 1, 0.1), dtype), version=11)


def test_one_hot_of_indices_that_count_from_the_end_or_lie_outside() -> None:
    for axis in (-1, 0):
        check("OneHot", np.array([[0, 2], [-1, 7]]), np.array(4), integers(5, 9), axis=axis)
    check("OneHot", np.array([0, 2], np.float32), np.array(3, np.float32), np.array([0, 1], np.float32), version=11)


def test_limits_and_remainders() -> None:
    check("Clip", np.array([-3, 0, 9], np.int8), np.array(-1, np.int8), np.array(5, np.int8), version=13)
    check("Clip", X, None, np.array(0.5, np.float32), version=13)
    a, b = np.array([-7, 7, -7.5, 5], np.float32), np.array([3, -3, 2, 5], np.float32)
    check("Mod", a, b, version=13, fmod=1)
    check("Mod", a.astype(np.int32), b.astype(np.int32), version=13)


def test_texts_are_compared() -> None:
    check("Equal", np.array(["a", "b"], object), np.array(["a"], object), dtypes="bool", version=19)


def test_the_mask_of_a_dropout() -> None:
    check("Dropout", X, np.array(0.3, np.float32), dtypes="f32 bool", version=13)
    with pytest.raises(UnsupportedError, match="draws at random"):
        dropout(X, np.array(0.3, np.float32), np.array(True))
