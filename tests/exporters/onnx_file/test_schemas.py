"""Element types: what is written is what ONNX's operators take at that opset, and computes the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import onnx
import pytest

from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.build import OLDEST_OPSET, check_opset
from kir.exporters.onnx_file.ops import table
from kir.exporters.onnx_file.schemas import signature
from kir.exporters.onnx_file.session import make_session, run_session
from kir.ir.graph import Graph
from kir.ir.interpreter import run
from kir.ir.op import Op
from kir.ir.structural import Input, Output
from kir.ir.types import FLOATS, INTEGERS, DType, TensorType, as_dtype, parse_type
from kir.ops import group_by_op
from kir.ops.elementwise import Add, IsInf, Relu, Where
from kir.ops.linear import Dense
from kir.ops.recurrent import LSTM, SIGMOID, TANH
from kir.ops.shape import CumSum, GatherND
from tests.ops.cases import Case, all_cases

# The opsets at which most lists of types grew, and the newest that onnxruntime supports fully.
OPSETS = (OLDEST_OPSET, 14, 16, 20, check_opset(None), 22)

BY_OPERATOR: dict[str, list[Case]] = {}
for one in all_cases():
    BY_OPERATOR.setdefault(one.op.name, []).append(one)


def in_other_dtypes(case: Case) -> Iterator[Case]:
    """The case itself, and with one of its element types replaced by each of the same kind that the operator takes."""
    yield case
    for dtype in sorted({type.dtype for type in case.types() if type}, key=str):
        alike = FLOATS if dtype.is_float else INTEGERS if dtype.is_integer else frozenset()
        for other in sorted(alike - {dtype}, key=str):
            inputs = tuple(_change(given, dtype, other) for given in case.inputs)
            since = 21 if group_by_op()[type(case.op)] == "quantization" else case.since  # other bytes came so late
            changed = dataclasses.replace(case, inputs=inputs, since=since)
            try:
                changed.op.infer(*changed.types())
            except (InvalidArgumentError, ShapeError):
                continue
            yield changed


def _change(given: TensorType | np.ndarray | None, old: DType, new: DType) -> TensorType | np.ndarray | None:
    if isinstance(given, TensorType):
        return given.with_dtype(new) if given.dtype is old else given
    return given.astype(new.numpy) if given is not None and as_dtype(given.dtype) is old else given


@pytest.mark.parametrize("operator", BY_OPERATOR)
def test_every_operator_takes_what_it_is_given(operator: str) -> None:
    """`check_type` is onnx's own check of the types against the schemas of the opset."""
    seen = set()
    for case in (other for given in BY_OPERATOR[operator] for other in in_other_dtypes(given)):
        key = (type(case.op), tuple(type and type.dtype for type in case.types()))
        if key in seen and not isinstance(case.op, Dense):  # the types matter, and the activation
            continue
        seen.add(key)
        for opset in OPSETS:
            try:
                model = to_model_proto(case.graph(), opset=opset)
            except UnsupportedError:
                assert opset < case.since
                continue
            onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def graph_of(op: Op, *types: str) -> Graph:
    graph = Graph()
    inputs = [graph.add(Input(f"x{index}", parse_type(type))).output for index, type in enumerate(types)]
    for index, value in enumerate(graph.add(op, *inputs).outputs):
        graph.add(Output(f"y{index}"), value)
    return graph


LONG_FLOATS = np.array([[1, 2.5, np.inf, -3], [0.5, -0.25, 7, 8]])


@pytest.mark.parametrize(
    ("op", "types", "feeds", "node_types"),
    [
        (CumSum(1), ["f16[2, 4]"], [LONG_FLOATS], ["Cast", "CumSum", "Cast"]),
        (IsInf(), ["f16[2, 4]"], [LONG_FLOATS], ["Cast", "IsInf"]),
        (Add(), ["i8[3]", "i8[3]"], [[100, -100, 3], [100, -100, 4]], ["Cast", "Cast", "Add", "Cast"]),
        (Relu(), ["f16[2, 4]"], [LONG_FLOATS], ["Relu"]),
        (GatherND(0), ["f32[2, 4]", "i32[1, 2]"], [LONG_FLOATS, [[1, 3]]], ["Cast", "GatherND"]),
        (
            Where(),
            ["bool[3]", "bf16[3]", "bf16[3]"],
            [[True, False, True], [1, 2, 3], [4, 5, 6]],
            ["Cast", "Cast", "Where", "Cast"],
        ),
    ],
    ids=lambda given: str(given) if isinstance(given, Op) else "",
)
def test_what_is_computed_in_a_wider_type_is_the_same(
    op: Op, types: list[str], feeds: list[object], node_types: list[str]
) -> None:
    graph = graph_of(op, *types)
    model = to_model_proto(graph, opset=13)
    assert [node.op_type for node in model.graph.node] == node_types
    arrays = {f"x{index}": np.array(given, parse_type(types[index]).dtype.numpy) for index, given in enumerate(feeds)}
    result = run_session(make_session(model.SerializeToString()), arrays)
    np.testing.assert_array_equal(result["y0"], run(graph, arrays)["y0"], strict=True)


def test_a_recurrent_layer_of_bfloat16_computes_in_float32() -> None:
    types = ("bf16[5, n, 3]", "bf16[1, 8, 3]", "bf16[1, 8, 2]", "bf16[1, 16]")
    graph = graph_of(LSTM(2, "forward", (SIGMOID, TANH, TANH)), *types)
    model = to_model_proto(graph)
    assert [node.op_type for node in model.graph.node] == [*["Cast"] * 4, "LSTM", *["Cast"] * 3]
    generator = np.random.default_rng(0)
    shapes = {"x0": (5, 2, 3), "x1": (1, 8, 3), "x2": (1, 8, 2), "x3": (1, 16)}
    feeds = {name: generator.normal(size=shape).astype(DType.BFLOAT16.numpy) for name, shape in shapes.items()}
    expected = run(graph, feeds)
    for name, array in run_session(make_session(model.SerializeToString()), feeds).items():
        np.testing.assert_allclose(array.astype(float), expected[name].astype(float), atol=0.05)


def test_a_type_that_nothing_wider_stands_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "WIDER", {})
    with pytest.raises(
        UnsupportedError, match="ONNX's CumSum takes no float16 at opset 13; use float32 there, or a newer"
    ):
        to_model_proto(graph_of(CumSum(1), "f16[2, 4]"), opset=13)


def test_lists_of_types_are_those_of_the_opset() -> None:
    assert DType.FLOAT16 not in signature("CumSum", 13).taken["T"]
    assert DType.FLOAT16 in signature("CumSum", 14).taken["T"]
    assert signature("Compress", 13).taken["T1"] == {DType.BOOL}
