"""Arrays that are the same, and values that are arrays."""

from __future__ import annotations

import numpy as np
import pytest

from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.ir.structural import Input, constant
from kir.ir.types import DType, parse_type
from kir.lift.arrays import array_of, is_same_array
from kir.ops.elementwise import Cast, Neg
from kir.ops.shape import Reshape, Transpose

ONES = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (ONES.copy(), True),
        (np.ones((3, 2), np.float32).T, True),
        (ONES.astype(np.float64), False),
        (ONES.reshape(3, 2), False),
        (ONES * 2, False),
    ],
)
def test_arrays_are_the_same_by_dtype_shape_and_bytes(other: Array, same: bool) -> None:
    assert is_same_array(ONES, other) is same


def test_bytes_tell_zeros_of_both_signs_apart_and_not_nans() -> None:
    assert not is_same_array(np.array(0.0), np.array(-0.0))
    assert is_same_array(np.array(np.nan), np.array(np.nan))


def test_texts_are_compared_as_texts() -> None:
    assert is_same_array(np.array(["a", "b"], object), np.array(["a", "b"], object))
    assert not is_same_array(np.array(["a", "b"], object), np.array(["a", "c"], object))


def test_a_constant_is_found_behind_what_only_moves_and_converts_it() -> None:
    graph = Graph()
    value = graph.add(constant(np.arange(6, dtype=np.float32).reshape(2, 3))).output
    value = graph.add(Transpose((1, 0)), value).output
    value = graph.add(Cast(DType.INT32), graph.add(Reshape((2, 3)), value).output).output
    found = array_of(value)
    assert found is not None
    assert found.tolist() == [[0, 3, 1], [4, 2, 5]]
    assert found.dtype == np.int32


def test_what_is_computed_or_given_is_no_array() -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[2, 3]"))).output
    negated = graph.add(Neg(), graph.add(constant(ONES)).output).output
    assert array_of(graph.add(Transpose((1, 0)), x).output) is None
    assert array_of(negated) is None
    assert array_of(None) is None
