"""Pooling: what the table of cases does not show."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kir.errors import ShapeError, UnsupportedError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.session import make_session, run_session
from kir.ir.graph import Graph
from kir.ir.op import Array, Op
from kir.ir.structural import Input, Output
from kir.ir.types import parse_type, type_of
from kir.ops.pooling import AveragePool, MaxPool


def draw(*shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(dtype)


def by_definition(op: Any, x: Array) -> Array:
    """What each window holds, one window at a time; padding in numbers."""
    rank = x.ndim - 2
    counts_padding = isinstance(op, AveragePool) and op.count_include_pad
    result = np.zeros([size for size in op.infer(type_of(x)).shape if isinstance(size, int)])
    for place in np.ndindex(*result.shape[2:]):
        held: list[Array] = []
        for element in np.ndindex(*op.kernel_shape):
            at = [
                p * s + e * d - before
                for p, s, e, d, before in zip(place, op.strides, element, op.dilations, op.padding[:rank], strict=True)
            ]
            if all(0 <= i < size for i, size in zip(at, x.shape[2:], strict=True)):
                held.append(x[(slice(None), slice(None), *at)])
            elif counts_padding and all(
                i < size + after for i, size, after in zip(at, x.shape[2:], op.padding[rank:], strict=True)
            ):
                held.append(np.zeros(x.shape[:2]))
        function = np.max if isinstance(op, MaxPool) else np.mean
        result[(slice(None), slice(None), *place)] = function(held, axis=0)
    return result


GEOMETRIES: list[tuple[Any, ...]] = [
    ((2, 3, 7), (3,), (2,), (1,), (0, 0), False),
    ((2, 3, 7), (3,), (2,), (2,), (2, 1), True),
    ((2, 3, 6, 7), (2, 3), (3, 2), (1, 1), (1, 2, 0, 1), False),
    ((2, 3, 6, 7), (3, 3), (2, 2), (1, 1), (0, 1, 1, 0), True),
    ((1, 2, 5, 6, 4), (2, 3, 2), (2, 1, 3), (1, 2, 1), (1, 0, 0, 0, 1, 1), True),
]


@pytest.mark.parametrize(("shape", "size", "strides", "dilations", "padding", "ceil"), GEOMETRIES, ids=str)
def test_each_window_is_pooled(shape: Any, size: Any, strides: Any, dilations: Any, padding: Any, ceil: bool) -> None:
    x = draw(*shape, dtype=np.float64)
    fields = (size, strides, dilations, padding, ceil)
    for op in (MaxPool(*fields), AveragePool(*fields, False), AveragePool(*fields, True)):
        np.testing.assert_allclose(op.eval(x), by_definition(op, x), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_floats_of_16_bits_are_rounded_once(dtype: Any) -> None:
    x = draw(2, 3, 9, dtype=dtype)
    op = AveragePool((5,), (1,), (1,), (2, 2), False, False)
    np.testing.assert_array_equal(op.eval(x), op.eval(x.astype(np.float32)).astype(dtype))
    assert MaxPool((5,), (1,), (1,), (2, 2), False).eval(x).dtype == dtype


def test_integers_have_no_infinity() -> None:
    x = np.array([[[-128, -128, 5]]], np.int8)
    np.testing.assert_array_equal(MaxPool((2,), (1,), (1,), (1, 0), False).eval(x), [[[-128, -128, 5]]])


def test_a_last_window_does_not_start_behind_the_end() -> None:
    op = MaxPool((2,), (3,), (1,), (0, 1), True)
    assert op.infer(parse_type("f32[1, 1, 6]")).shape == (1, 1, 2)
    assert op.eval(np.arange(6, dtype=np.float32).reshape(1, 1, 6)).tolist() == [[[1, 4]]]
    with pytest.raises(ShapeError, match="give a concrete size"):
        op.infer(parse_type("f32[1, 1, n]"))


@pytest.mark.parametrize(
    ("op", "x", "message"),
    [
        (MaxPool((2,), (1,), (1,), (0, 0), False), "f32[2, 3]", "1 to 3 spatial axes"),
        (MaxPool((2, 2), (1,), (1,), (0, 0), False), "f32[2, 3, 5]", "kernel_shape=.2, 2."),
        (MaxPool((2,), (1,), (1,), (0, 0), False), "i32[2, 3, 5]", "expected a dtype of"),
        (AveragePool((2,), (1,), (1,), (0, 0), False, False), "u8[2, 3, 5]", "expected a dtype of"),
        (AveragePool((4,), (1,), (1,), (0, 0), False, False), "f32[2, 3, 3]", "too small along spatial axis 0"),
    ],
    ids=str,
)
def test_types_that_do_not_fit(op: Op, x: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.infer(parse_type(x))


def graph_of(op: Op, x: str) -> Graph:
    graph = Graph()
    source = graph.add(Input("x", parse_type(x))).output
    graph.add(Output("y"), graph.add(op, source).output)
    return graph


@pytest.mark.parametrize(
    "op",
    [
        MaxPool((2, 3), (3, 5), (1, 1), "same", False),
        MaxPool((2, 3), (1, 2), (2, 1), "same", False),
        AveragePool((2, 3), (3, 5), (1, 1), "same", False, False),
        AveragePool((3, 3), (1, 2), (2, 1), "same", False, False),
    ],
    ids=str,
)
def test_same_where_onnxruntime_pads_wrongly(op: Op) -> None:
    x = draw(2, 3, 9, 8)
    session = make_session(to_model_proto(graph_of(op, "f32[2, 3, 9, 8]")).SerializeToString())
    np.testing.assert_allclose(run_session(session, {"x": x})["y"], op.eval(x), atol=1e-6)
    with pytest.raises(UnsupportedError, match="give the input concrete sizes"):
        to_model_proto(graph_of(op, "f32[batch, 3, h, w]"))
