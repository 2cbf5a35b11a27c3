"""Weights: equal, rounded, other numbers, another dtype, another shape; and that large ones are not copied."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kir.ir.graph import Graph
from kir.ir.structural import Constant, Data, Output
from kir.ir.types import type_of
from kir.modeling.comparison import compare_graphs
from kir.modeling.comparison.weights import BLOCK, ROUNDINGS, WeightChange, Weights, measure_distance
from kir.ops.elementwise import Add
from tests.modeling.comparison.graphs import Layers

RANDOM = np.random.default_rng(0)


def outputs(**arrays: Any) -> Graph:
    """Return a graph that gives its weights away."""
    graph = Graph()
    for name, array in arrays.items():
        graph.add(Output(name), graph.add(Constant(Data(np.asarray(array)), name)).output)
    return graph


def weights(a: Any, b: Any) -> Weights:
    return compare_graphs(outputs(w=a), outputs(w=b), run=False).weights


def only_change(a: Any, b: Any) -> WeightChange:
    (change,) = weights(a, b).changed
    return change


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64, np.int64, np.uint8, bool])
def test_equal_weights_of_every_dtype(dtype: Any) -> None:
    array = RANDOM.integers(0, 2, (40, 50)).astype(dtype)
    assert weights(array, array.copy()) == Weights(1, (), (), ())


def test_one_element_of_many_blocks() -> None:
    a = RANDOM.normal(size=(BLOCK // 100, 250)).astype(np.float32)
    b = a.copy()
    b[-3, 7] = a[-3, 7] + np.float32(0.5)
    change = only_change(a, b)
    assert (change.kind, change.count) == ("values", 1)
    assert change.max_abs == pytest.approx(0.5, rel=1e-6)
    assert change.max_rel == pytest.approx(0.5 / abs(float(a[-3, 7])), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_rounding_is_told_from_other_numbers(dtype: Any) -> None:
    a = np.ones(1000, dtype)
    unit = float(ml_dtypes.finfo(dtype).eps) / 2  # type: ignore[no-untyped-call]
    inside, outside = (np.array(1 + factor * ROUNDINGS * unit).astype(dtype) for factor in (1, 2))
    assert only_change(a, np.full(1000, inside)).kind == "rounding"
    assert only_change(a, np.full(1000, outside)).kind == "values"
    assert weights(a, np.full(1000, inside)).is_rounding


def test_a_folded_scale_is_rounding() -> None:
    kernel, scale = RANDOM.normal(size=(64, 32)).astype(np.float32), RANDOM.normal(size=32).astype(np.float32)
    wide = (kernel.astype(np.float64) / np.sqrt(scale.astype(np.float64) ** 2 + 1e-3)).astype(np.float32)
    change = only_change(kernel / np.sqrt(scale**2 + np.float32(1e-3)), wide)
    assert change.kind == "rounding"


def test_outliers_are_off_by_more_than_roundings_of_themselves() -> None:
    a = RANDOM.normal(size=1000).astype(np.float32)
    b = (a.astype(np.float64) * (1 + ROUNDINGS / 2 * 2**-24)).astype(np.float32)
    assert only_change(a, b).outliers == 0
    smallest = int(np.abs(a).argmin())
    b[[smallest, 7]] = a[[smallest, 7]] * np.float32(1 + 1e-5)
    change = only_change(a, b)
    assert (change.kind, change.outliers) == ("rounding" if abs(a[7]) < 0.1 else "values", 2)


def test_integers_are_never_rounded() -> None:
    a = np.array([2**62, 1], np.int64)
    change = only_change(a, a + np.array([1, 0]))
    assert (change.kind, change.count) == ("values", 1)


def test_another_dtype_is_compared_by_number() -> None:
    a = RANDOM.normal(size=(30, 50)).astype(np.float32)
    change = only_change(a, a.astype(np.float16))
    assert (change.kind, str(change.type_a), str(change.type_b)) == ("dtype", "f32[30, 50]", "f16[30, 50]")
    assert 0 < change.max_abs < 1e-2
    assert only_change(np.zeros(3, np.float32), np.zeros(3, np.float64)).count == 0


def test_another_shape_is_not_compared() -> None:
    change = only_change(np.zeros((3, 4), np.float32), np.zeros((4, 3), np.float32))
    assert (change.kind, change.count, change.max_abs) == ("shape", 0, 0.0)


def test_nan_and_infinities() -> None:
    a = np.array([np.nan, np.inf, -np.inf, 1, 1], np.float32)
    assert weights(a, a.copy()).equal == 1
    distance = measure_distance(a, np.array([np.nan, np.inf, -np.inf, 1, np.nan], np.float32))
    assert (distance.count, distance.max_abs, distance.is_rounding) == (1, np.inf, False)
    assert measure_distance(a, -a).count == 4


def test_zeros_of_both_signs_are_equal() -> None:
    assert weights(np.zeros(4, np.float32), -np.zeros(4, np.float32)).equal == 1


def test_texts_are_compared() -> None:
    a = np.array(["a", "b", "c"], object)
    change = only_change(a, np.array(["a", "x", "c"], object))
    assert (change.count, change.kind, change.values) == (1, "values", ("['a', 'b', 'c']", "['a', 'x', 'c']"))


def test_empty_weights_are_equal() -> None:
    assert weights(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)).equal == 1


def test_arrays_in_another_order_of_memory_are_the_same() -> None:
    array = RANDOM.normal(size=(700, 500)).astype(np.float32)
    assert measure_distance(array, np.asfortranarray(array)).count == 0
    assert measure_distance(array.T, np.ascontiguousarray(array.T)).count == 0


def test_weights_that_one_model_has_alone() -> None:
    def graph(shift: bool) -> Graph:
        layers = Layers().dense("first", 0)
        if shift:
            layers.layer("shift", Add(), layers.weight(np.ones(4, np.float32), "shift", "offset"))
        return layers.finish()

    found = compare_graphs(graph(False), graph(True), run=False).weights
    assert [(weight.name, str(weight.type)) for weight in found.added] == [("shift/offset", "f32[4]")]
    assert found.equal == 2
    assert not found.removed
    assert not found.is_rounding


def test_large_weights_stay_on_disk(tmp_path: Path) -> None:
    shape = (64, 1 << 16)
    for name in ("a", "b"):
        np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", np.float32, shape)[-1, -1] = name == "b"
    a, b = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("a", "b"))
    assert str(type_of(a)) == "f32[64, 65536]"
    first, second = outputs(w=a), outputs(w=b)
    tracemalloc.start()
    (change,) = compare_graphs(first, second, run=False).weights.changed
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (change.count, change.max_abs) == (1, 1.0)
    assert peak < a.nbytes
