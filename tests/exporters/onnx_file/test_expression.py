"""Values that can be calculated with."""

from __future__ import annotations

import numpy as np

from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.expression import Expression
from kir.ir.types import DType, parse_type
from kir.support.naming import Names


def make(text: str) -> Expression:
    return Expression.of(Emitter(21, Names(["x"])), FileTensor("x", parse_type(text)))


def written(value: Expression) -> list[str]:
    return [node.op_type for node in value.emitter.graph.node]


def test_arithmetic_writes_a_node_each() -> None:
    x = make("f64[3]")
    result = (x >= 1).where(1 - abs(-x) / 2, x * x + x)
    assert written(result) == ["GreaterOrEqual", "Neg", "Abs", "Div", "Sub", "Mul", "Add", "Where"]
    assert result.name == x.emitter.graph.node[-1].output[0]


def test_numbers_become_constants_of_the_dtype_and_are_shared() -> None:
    x = make("f16[3]")
    _ = (x + 2) * 2.0 + [1.0, 3.0]
    assert [(name, array.tolist()) for name, array in x.emitter.initializers] == [("scalar", 2), ("table", [1, 3])]
    assert {array.dtype for _, array in x.emitter.initializers} == {np.dtype(np.float16)}


def test_a_cast_changes_the_dtype_of_further_constants() -> None:
    cast = make("f64[3]").cast(DType.FLOAT32)
    assert (cast + 1).dtype is DType.FLOAT32
    assert [array.dtype for _, array in cast.emitter.initializers] == [np.dtype(np.float32)]
