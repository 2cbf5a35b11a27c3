"""Operators that move and select elements: what the table of cases does not show, and what they refuse."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import Dim, substitute, symbol
from kir.ir.op import Op
from kir.ir.types import parse_type, type_of
from kir.ops.shape import (
    Concat,
    CumSum,
    Expand,
    Gather,
    GatherElements,
    GatherND,
    OneHot,
    Pad,
    Range,
    Reshape,
    ScatterND,
    Size,
    Slice,
    Split,
    Tile,
    TopK,
    Transpose,
    Trilu,
    complete_shape,
)

A, B, N = symbol("a"), symbol("b"), symbol("n")


@given(
    size=st.integers(0, 9), start=st.integers(-12, 12), stop=st.integers(-12, 12), step=st.integers(-4, 4).filter(bool)
)
def test_slice_agrees_with_python(size: int, start: int, stop: int, step: int) -> None:
    first, end, _ = slice(start, stop, step).indices(size)
    end = max(first, end) if step > 0 else min(first, end)
    x = np.arange(size)
    op = Slice((0,), (first,), (end,), (step,))
    np.testing.assert_array_equal(op.eval(x), x[start:stop:step])
    assert op.infer(type_of(x)) == type_of(op.eval(x))


@given(start=st.integers(0, 5), cut=st.integers(0, 3), step=st.integers(1, 4), size=st.integers(8, 20))
def test_symbolic_slice_length_is_exact(start: int, cut: int, step: int, size: int) -> None:
    forwards = Slice((0,), (start,), (N - cut,), (step,))
    backwards = Slice((0,), (N - 1 - cut,), (start - 1,), (-step,))
    x = np.arange(size)
    for op in (forwards, backwards):
        inferred = op.infer(parse_type("i64[n]")).shape[0]
        assert substitute(inferred, {"n": size}) == len(op.bind({"n": size}).eval(x))


@pytest.mark.parametrize(
    ("start", "end", "step", "length"),
    [
        (0, N, 1, "n"),
        (1, N, 1, "n - 1"),
        (0, N, 2, "(n + 1)//2"),
        (N - 1, -1, -1, "n"),
        (N - 1, -1, -3, "(n + 2)//3"),
        (N - 4, N, 1, "4"),
    ],
)
def test_a_symbolic_slice_length_is_readable(start: Dim, end: Dim, step: int, length: str) -> None:
    (size,) = Slice((0,), (start,), (end,), (step,)).infer(parse_type("f32[n]")).shape
    assert str(size) == length


def test_a_slice_that_leaves_its_axis_at_run_time_is_an_error() -> None:
    op = Slice((0,), (0,), (5,), (1,))
    assert str(op.infer(parse_type("f32[n]"))) == "f32[5]"
    with pytest.raises(ShapeError, match="cannot take 0 to 5 in steps of 1 of an axis of size 3"):
        op.eval(np.zeros(3))


def test_a_falling_slice_of_an_empty_axis_is_empty() -> None:
    assert Slice((0,), (N - 1,), (-1,), (-1,)).bind({"n": 0}).eval(np.zeros(0)).shape == (0,)


REFUSED: list[tuple[Op, tuple[str, ...], str]] = [
    (Reshape((2, 5)), ("f32[3, 4]",), r"cannot reshape \(3, 4\) to \(2, 5\): they hold 12 and 10 elements"),
    (Reshape((B, 4)), ("f32[a, 4]",), "they hold 4\\*a and 4\\*b elements"),
    (Reshape((-1, 4)), ("f32[2, 4]",), "has the size -1; expected sizes of 0 or more"),
    (Transpose((0, 0)), ("f32[2, 3]",), "expected a permutation of the axes 0 to 1"),
    (Transpose((1, 0)), ("f32[2, 3, 4]",), "expected a permutation of the axes 0 to 2"),
    (Expand((2, 4)), ("f32[2, 3]",), "do not fit"),
    (Expand((3,)), ("f32[2, 3]",), r"cannot expand \(2, 3\) to \(3,\)"),
    (Expand((1, 3)), ("f32[2, 3]",), r"cannot expand \(2, 3\) to \(1, 3\)"),
    (Concat(0), (), "received no values"),
    (Concat(2), ("f32[2, 3]",), "expected an axis from 0 to 1"),
    (Concat(0), ("f32[2, 3]", "f32[2, 4]"), "axis 1: sizes 3 and 4 differ"),
    (Concat(0), ("f32[2, 2*a]", "f32[2, b]"), r"sizes 2\*a and b fit.*--input-shapes"),
    (Concat(0), ("f32[2]", "f64[2]"), "expected one rank and one dtype"),
    (Concat(0), ("f32[2]", "f32[2, 1]"), "expected one rank and one dtype"),
    (Slice((1,), (0,), (1,), (1,)), ("f32[2]",), "expected an axis from 0 to 0"),
    (Slice((0, 0), (0, 0), (1, 1), (1, 1)), ("f32[2]",), "distinct axes"),
    (Slice((0,), (0,), (1, 1), (1,)), ("f32[2]",), "is malformed"),
    (Slice((0,), (0,), (3,), (1,)), ("f32[2]",), "cannot take 0 to 3 in steps of 1 of an axis of size 2"),
    (Slice((0,), (-1,), (2,), (1,)), ("f32[2]",), "cannot take -1 to 2"),
    (Slice((0,), (2,), (1,), (1,)), ("f32[2]",), "cannot take 2 to 1"),
    (Slice((0,), (2,), (-1,), (-1,)), ("f32[2]",), "cannot take 2 to -1"),
    (Slice((0,), (0,), (N + 1,), (1,)), ("f32[n]",), "of an axis of size n"),
    (Slice((0,), (0,), (1,), (0,)), ("f32[2]",), "in steps of 0"),
    (Split(0, (1, 2)), ("f32[4]",), "total: sizes 3 and 4 differ"),
    (Split(0, ()), ("f32[4]",), "has no parts"),
    (Split(0, (5, -1)), ("f32[4]",), "has the size -1"),
    (Pad((0,), (0,), "wrap"), ("f32[4]",), "mode='wrap'; expected one of constant, reflect, edge"),
    (Pad((0,), (0,)), ("f32[4, 2]",), "expected 2 sizes before and after"),
    (Pad((-1,), (0,)), ("f32[4]",), "has the size -1"),
    (Pad((4,), (0,), "reflect"), ("f32[4]",), "cannot fill 4 elements from axis 0 of size 4"),
    (Pad((0,), (1,), "edge"), ("f32[0]",), "cannot fill 1 elements from axis 0 of size 0"),
    (Pad((1,), (0,)), ("f32[4]", "f64[]"), r"received a value f64\[\]; expected f32\[\]"),
    (Pad((1,), (0,), "edge"), ("f32[4]", "f32[]"), "mode='constant'"),
    (Tile((2,)), ("f32[2, 3]",), "expected 2 repeats"),
    (Tile((-2,)), ("f32[2]",), "has the size -2"),
    (Gather(1), ("f32[2]", "i64[2]"), "expected an axis from 0 to 0"),
    (Gather(0), ("f32[2]", "f32[2]"), "received indices of type f32"),
    (GatherND(0), ("f32[2, 3]", "i64[4, 3]"), "a last axis of at most 2 indices"),
    (GatherND(0), ("f32[2, 3]", "i64[4, n]"), "a last axis of at most 2 indices"),
    (GatherND(1), ("f32[2, 3]", "i64[3, 1]"), "axis 0: sizes 2 and 3 differ"),
    (GatherND(1), ("f32[2, 3]", "i64[3]"), "a last axis"),
    (GatherElements(0), ("f32[2, 3]", "i64[2]"), "expected equal ranks"),
    (GatherElements(0), ("f32[2, 3]", "i64[2, 4]"), "axis 1: sizes 4 and 3 differ"),
    (ScatterND(), ("f32[4, 2]", "i64[3, 1]", "f32[3]"), r"expected f32\[3, 2\]"),
    (ScatterND(), ("f32[4, 2]", "i64[3, 1]", "f32[2, 2]"), "axis 0: sizes 2 and 3 differ"),
    (OneHot(3, 2), ("i64[2]", "f32[2]"), "expected an axis from 0 to 1"),
    (OneHot(3, 0), ("f32[2]", "f32[2]"), "received indices of type f32"),
    (OneHot(3, 0), ("i64[2]", "f32[3]"), "expected 2"),
    (OneHot(-3, 0), ("i64[2]", "f32[2]"), "has the size -3"),
    (Range(3, 0), (), "cannot take 3 to 0 in steps of 1"),
    (Range(0, 3, 0), (), "in steps of 0"),
    (TopK(3, 0), ("f32[2]",), "expected at least 3 elements on axis 0"),
    (TopK(1, 0), ("bool[2]",), "received x of type bool"),
    (CumSum(1), ("f32[2]",), "expected an axis from 0 to 0"),
    (CumSum(0), ("bool[2]",), "received x of type bool"),
    (Trilu(), ("f32[2]",), "rank 2 or more"),
]


@pytest.mark.parametrize(("op", "inputs", "message"), REFUSED, ids=lambda given: str(given))
def test_infer_refuses(op: Op, inputs: tuple[str, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.infer(*map(parse_type, inputs))


@pytest.mark.parametrize(
    ("op", "others"),
    [
        (Gather(0), ()),
        (GatherElements(0), ()),
        (GatherND(0), ()),
        (ScatterND(), (np.ones(1, np.float32),)),
    ],
    ids=str,
)
@pytest.mark.parametrize("index", [3, -4])
def test_an_index_outside_is_named(op: Op, others: tuple[Any, ...], index: int) -> None:
    x = np.zeros((3, 1) if isinstance(op, GatherElements) else 3, np.float32)
    with pytest.raises(InvalidArgumentError, match=f"received the index {index}; expected -3 to 2"):
        op.eval(x, np.array([[index]]), *others)


@pytest.mark.parametrize("op", [Reshape((A,)), Expand((A,)), Tile((A,)), Split(0, (A,)), Size(A), Range(0, A)], ids=str)
def test_an_unbound_size_is_named(op: Op) -> None:
    x = () if isinstance(op, Size | Range) else (np.zeros(1),)
    with pytest.raises(ShapeError, match="the size of a is unknown"):
        op.eval(*x)


ALL_DTYPES = [np.bool_, np.int8, np.uint64, np.float16, ml_dtypes.bfloat16, np.float64, object]
MOVERS: list[Op] = [
    Reshape((2, 2)),
    Transpose((0,)),
    Expand((2, 4)),
    Slice((0,), (3,), (-1,), (-2,)),
    Pad((1,), (2,)),
    Pad((1,), (2,), "edge"),
    Pad((1,), (2,), "reflect"),
    Tile((2,)),
    Concat(0),
]


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("op", MOVERS, ids=str)
def test_elements_of_every_dtype_move(op: Op, dtype: Any) -> None:
    x = np.array(["a", "b", "c", "d"], object) if dtype is object else np.array([0, 1, 1, 0]).astype(dtype)
    assert type_of(op.eval(x)) == op.infer(type_of(x))
    assert set(op.eval(x).ravel().tolist()) <= {*x.tolist(), "" if dtype is object else dtype(0)}


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.float16, ml_dtypes.bfloat16, np.float32])
def test_topk_takes_the_lower_index_of_ties(dtype: Any) -> None:
    x = np.array([0, 2, 1, 2, 0, 1]).astype(dtype)
    for largest, expected in ((True, [1, 3, 2, 5, 0, 4]), (False, [0, 4, 2, 5, 1, 3])):
        values, indices = TopK(6, 0, largest).eval(x)
        assert indices.tolist() == expected
        np.testing.assert_array_equal(values, x[expected])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_cumsum_of_16_bits_is_rounded_once(dtype: Any) -> None:
    x = np.full(600, 0.1).astype(dtype)
    result = CumSum(0).eval(x)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, np.cumsum(x.astype(np.float32)).astype(dtype))


@pytest.mark.parametrize(
    ("exclusive", "reverse", "expected"),
    [
        (False, False, [1, 3, 6]),
        (True, False, [0, 1, 3]),
        (False, True, [6, 5, 3]),
        (True, True, [5, 3, 0]),
    ],
)
def test_cumsum(exclusive: bool, reverse: bool, expected: list[int]) -> None:
    assert CumSum(0, exclusive, reverse).eval(np.array([1, 2, 3])).tolist() == expected


def test_the_last_of_repeated_updates_wins() -> None:
    result = ScatterND().eval(np.zeros(3), np.array([[1], [1]]), np.array([5.0, 7.0]))
    assert result.tolist() == [0, 7, 0]


def test_scatter_of_no_index_replaces_everything() -> None:
    assert ScatterND().eval(np.zeros(2), np.zeros((1, 0), np.int64), np.array([[5.0, 7.0]])).tolist() == [5, 7]


def test_gather_of_no_index_repeats_everything() -> None:
    x, indices = np.array([5.0, 7.0]), np.zeros((3, 0), np.int64)
    result = GatherND(0).eval(x, indices)
    assert result.tolist() == [[5, 7]] * 3
    assert GatherND(0).infer(type_of(x), type_of(indices)) == type_of(result)


def test_gather_elements_takes_fewer_indices_than_x_has() -> None:
    x, indices = np.arange(12).reshape(3, 4), np.array([[2, 0], [-1, 1]])
    op = GatherElements(0)
    assert op.eval(x, indices).tolist() == [[8, 1], [8, 5]]
    assert op.infer(type_of(x), type_of(indices)) == type_of(op.eval(x, indices))


@pytest.mark.parametrize(
    ("wanted", "given", "completed"),
    [
        ((2, -1), (4, 3), (2, 6)),
        ((-1, 3), (symbol("batch"), 6), (2 * symbol("batch"), 3)),
        ((4, 5), (4, 3), (4, 5)),
        ((5, -1), (4, 3), None),
        ((-1, -1), (4, 3), None),
        ((0, -1), (0, 3), None),
    ],
)
def test_complete_shape(wanted: tuple[Dim, ...], given: tuple[Dim, ...], completed: tuple[Dim, ...] | None) -> None:
    assert complete_shape(wanted, given) == completed
