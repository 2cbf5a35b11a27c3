"""Products with what a Transpose and a Cast made: a form of them kills onnxruntime, and is never written."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from kir import Input as KerasInput
from kir import Model
from kir.cli import cli
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.verify.file import verify_file
from kir.exporters.pipeline import ExportOptions, export_model
from kir.ir.graph import Graph, Value
from kir.ir.op import Op
from kir.ir.structural import Input, Output, constant
from kir.ir.types import DType, parse_type
from kir.layers import GRU, LSTM, Bidirectional, Dense, SimpleRNN
from kir.ops.elementwise import Cast
from kir.ops.linear import Dense as DenseOp
from kir.ops.linear import MatMul
from kir.ops.shape import Reshape, Transpose


def turned_product(
    dtype: DType, other: str, op: Op, *before: Op, turned_is_left: bool = True, is_constant: bool = True
) -> Graph:
    """x, turned by some operators, times something else; in float32 behind a Cast, if x is of no float."""
    graph = Graph()
    x = graph.add(Input("x", parse_type(f"{dtype}[3, batch, 4]"))).output
    for turn in before:
        x = graph.add(turn, x).output
    if not dtype.is_float:
        x = graph.add(Cast(DType.FLOAT32), x).output
    type = parse_type(f"{dtype if dtype.is_float else 'f32'}[{other}]")
    y: Value
    if is_constant:
        bound: Any = type.shape
        array = np.asarray(np.random.default_rng(0).normal(size=bound)).astype(type.dtype.numpy)
        y = graph.add(constant(array)).output
    else:
        y = graph.add(Input("y", type)).output
    graph.add(Output("z"), graph.add(op, *((x, y) if turned_is_left else (y, x))).output)
    return graph


TURNS = [
    [Transpose((1, 0, 2))],
    [Transpose((2, 1, 0)), Transpose((1, 2, 0))],
    [Transpose((1, 0, 2)), Transpose((0, 1, 2))],
    [Transpose((0, 1, 2)), Transpose((1, 0, 2))],
    [Transpose((0, 2, 1)), Transpose((2, 0, 1)), Reshape((parse_type("f32[batch]").shape[0], 3, 4))],
]


@pytest.mark.parametrize(("dtype", "opset"), [(DType.FLOAT16, 13), (DType.FLOAT16, 21), (DType.INT32, 21)], ids=str)
@pytest.mark.parametrize("turns", TURNS, ids=str)
def test_no_product_kills_onnxruntime(dtype: DType, opset: int, turns: list[Op]) -> None:
    for other, op, is_left in [
        ("4, 5", MatMul(), True),
        ("4, 5", DenseOp(), True),
        ("4", MatMul(), True),
        ("2, 1, 4, 5", MatMul(), True),
        ("5, 3", MatMul(), False),
        ("3", MatMul(), False),
    ]:
        for is_constant in (True, False):
            graph = turned_product(dtype, other, op, *turns, turned_is_left=is_left, is_constant=is_constant)
            report = verify_file(graph, to_model_proto(graph, opset=opset).SerializeToString())
            assert report.passed, str(report)


def test_other_products_stay_one_node() -> None:
    """No cast, no turn of the first axis, or operands of one rank."""
    for graph in (
        turned_product(DType.FLOAT32, "4, 5", MatMul(), Transpose((1, 0, 2))),
        turned_product(DType.FLOAT16, "4, 5", MatMul(), Transpose((0, 1, 2))),
        turned_product(DType.FLOAT16, "1, 4, 5", MatMul(), Transpose((1, 0, 2))),
    ):
        names = [node.op_type for node in to_model_proto(graph).graph.node]
        assert names == ["Transpose"] * names.count("Transpose") + ["MatMul"]
    graph = turned_product(DType.FLOAT16, "4, 5", MatMul(), Transpose((1, 0, 2)))
    assert [node.op_type for node in to_model_proto(graph).graph.node] == ["Transpose", "Unsqueeze", "MatMul"]


@pytest.mark.parametrize(("level", "opset"), [(0, 13), (0, 21), (1, 21), (2, 21)])
def test_float16_stacks_of_recurrent_layers_export(level: int, opset: int, tmp_path: Path) -> None:
    for cls, (steps, is_bidirectional) in itertools.product((LSTM, GRU, SimpleRNN), ((5, False), (None, True))):
        x = inputs = KerasInput(shape=(steps, 3), dtype="float16", name="x")
        for _ in range(2):
            layer = cls(2, return_sequences=True, dtype="float16")
            x = Dense(3, dtype="float16")((Bidirectional(layer, dtype="float16") if is_bidirectional else layer)(x))
        result = export_model(Model(inputs, x), tmp_path / "m.onnx", ExportOptions(opset=opset, level=level))
        assert result.verification is not None
        assert result.verification.passed


@pytest.mark.slow
def test_a_file_that_kills_onnxruntime_is_read_and_written_as_one_that_does_not(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], "turn", perm=[1, 0, 2]),
        helper.make_node("MatMul", ["t", "w"], ["y"], "product"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["steps", "batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT16, ["batch", "steps", 5])
    w = numpy_helper.from_array(np.ones((4, 5), np.float16), "w")
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], [w]), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    onnx.save(model, tmp_path / "in.onnx")
    result = CliRunner().invoke(cli, ["export", str(tmp_path / "in.onnx"), "-o", str(tmp_path / "out.onnx")])
    assert result.exit_code == 0, result.output
    assert "the file that was read computes the same" in result.output
