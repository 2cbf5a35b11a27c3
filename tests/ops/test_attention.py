"""Attention: what the table of cases cannot say, which is written at opsets before 23."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from kir.errors import ShapeError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.session import make_session, run_session
from kir.importers.onnx_file import import_graph
from kir.ir.dims import Sym
from kir.ir.interpreter import run
from kir.ir.types import parse_type
from kir.ops.attention import Attention
from kir.ops.opaque import Opaque
from tests.ops.cases_attention import ATTENTION_CASES

FLOATS = [case for case in ATTENTION_CASES if "f64" not in str(case)]


@pytest.mark.parametrize("case", FLOATS, ids=str)
def test_from_opset_23_on_it_is_one_node_that_comes_back(case: Any) -> None:
    graph = case.graph()
    model = to_model_proto(graph, opset=23)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Attention"]
    imported = import_graph(model)
    assert str(imported) == str(graph)
    session = make_session(model.SerializeToString())
    for sizes in case.runs():
        feeds = case.feeds(sizes)
        (expected,) = run(graph, feeds, wide=True).values()
        tolerance = 5e-3 if expected.dtype == np.float16 or "f16" in str(case) else 1e-5
        (output,) = run_session(session, feeds).values()
        np.testing.assert_allclose(output, expected, tolerance, tolerance)


def attention_file(q: str, k: str, v: str, mask: str | None = None, **attributes: Any) -> onnx.ModelProto:
    """Return a file with one node of ONNX's; it wants onnxruntime to find the shape of the result."""
    types = {name: parse_type(text) for name, text in zip("qkvm", (q, k, v, mask), strict=True) if text}
    inputs = [
        helper.make_tensor_value_info(
            name,
            helper.np_dtype_to_tensor_dtype(type.dtype.numpy),
            [str(s) if isinstance(s, Sym) else s for s in type.shape],
        )
        for name, type in types.items()
    ]
    node = helper.make_node("Attention", list(types), ["y"], **attributes)
    graph = helper.make_graph([node], "attention", inputs, [helper.make_tensor_value_info("y", 1, None)])
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11)
    )


def draw(model: onnx.ModelProto) -> dict[str, Any]:
    random = np.random.default_rng(0)
    feeds = {}
    for value in model.graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        is_bool = value.type.tensor_type.elem_type == onnx.TensorProto.BOOL
        feeds[value.name] = random.random(shape) < 0.7 if is_bool else random.normal(size=shape).astype(np.float32)
    if "m" in feeds and feeds["m"].dtype == bool:
        feeds["m"][..., 0] = True  # a query that may look nowhere has no mean
    return feeds


FILES = {
    "heads of their own": attention_file("f32[2, 4, 3, 2]", "f32[2, 2, 5, 2]", "f32[2, 2, 5, 6]"),
    "a scale": attention_file("f32[2, 4, 3, 2]", "f32[2, 4, 5, 2]", "f32[2, 4, 5, 2]", scale=0.3),
    "booleans": attention_file("f32[2, 4, 3, 2]", "f32[2, 4, 5, 2]", "f32[2, 4, 5, 2]", "bool[2, 1, 3, 5]"),
    "heads in the last axis": attention_file(
        "f32[2, 3, 8]", "f32[2, 5, 8]", "f32[2, 5, 8]", "bool[3, 5]", q_num_heads=2, kv_num_heads=2
    ),
    "causal": attention_file("f32[2, 4, 3, 2]", "f32[2, 4, 5, 2]", "f32[2, 4, 5, 2]", is_causal=1),
    "causal with a mask": attention_file(
        "f32[2, 4, 5, 2]", "f32[2, 4, 5, 2]", "f32[2, 4, 5, 2]", "f32[5, 5]", is_causal=1
    ),
    "numbers": attention_file(
        "f32[2, 3, 8]", "f32[2, 5, 4]", "f32[2, 5, 4]", "f32[2, 2, 3, 5]", q_num_heads=2, kv_num_heads=1
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_others(name: str) -> None:
    model = FILES[name]
    feeds = draw(model)
    expected = run_session(make_session(model.SerializeToString()), feeds)["y"]
    np.testing.assert_allclose(run(import_graph(model), feeds)["y"], expected, rtol=1e-5, atol=1e-6)


def test_a_mask_for_all_queries() -> None:
    """ONNX lets it broadcast; onnxruntime 1.32 refuses it at opsets 23 and 24."""
    shapes = "f32[2, 4, 3, 2]", "f32[2, 4, 5, 2]", "f32[2, 4, 5, 2]"
    short = attention_file(*shapes, "bool[2, 1, 1, 5]")
    feeds = draw(short)
    long = attention_file(*shapes, "bool[2, 1, 3, 5]")
    expected = run(import_graph(long), feeds | {"m": np.repeat(feeds["m"], 3, axis=2)})["y"]
    np.testing.assert_array_equal(run(import_graph(short), feeds)["y"], expected)


@pytest.mark.parametrize("opset", [13, 21, 23])
def test_a_query_that_may_look_nowhere_gets_zeros(opset: int) -> None:
    """As ONNX has it, and onnxruntime from opset 23 on."""
    model = attention_file("f32[2, 4, 3, 2]", "f32[2, 4, 5, 2]", "f32[2, 4, 5, 2]", "bool[3, 5]")
    feeds = draw(model)
    feeds["m"][1] = False
    graph = import_graph(model)
    output = run(graph, feeds)["y"]
    assert not output[:, :, 1].any()
    assert np.isfinite(output).all()
    file = to_model_proto(graph, opset=opset)
    again = run_session(make_session(file.SerializeToString()), feeds)["y"]
    np.testing.assert_allclose(again, output, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attributes", [{"qk_matmul_output_mode": 1}, {"softcap": 1.0}, {"softmax_precision": 1}])
def test_what_is_carried(attributes: Any) -> None:
    model = attention_file("f32[2, 4, 3, 2]", "f32[2, 4, 5, 2]", "f32[2, 4, 5, 2]", **attributes)
    assert import_graph(model).has_any(Opaque)


@pytest.mark.parametrize(
    ("heads", "types"),
    [
        ((2, 2), ("f32[2, 3, 8]", "f32[2, 5, 8]", "f32[2, 4, 8]")),
        ((3, 2), ("f32[2, 3, 12]", "f32[2, 5, 8]", "f32[2, 5, 8]")),
        ((3, 3), ("f32[2, 3, 8]", "f32[2, 5, 9]", "f32[2, 5, 9]")),
        ((2, 2), ("f32[2, 3, 8]", "f32[2, 5, 6]", "f32[2, 5, 8]")),
        ((1, 1), ("f32[2, 3]", "f32[2, 3]", "f32[2, 3]")),
        ((1, 1), ("f32[2, 3, 8]", "f32[2, 5, 8]", "f32[2, 5, 8]", "f32[1, 5]")),
        ((1, 1), ("f32[2, 3, 8]", "f32[2, 5, 8]", "f32[2, 5, 8]", "f32[5]")),
    ],
)
def test_operands_that_do_not_fit(heads: tuple[int, int], types: tuple[str, ...]) -> None:
    with pytest.raises(ShapeError):
        Attention(*heads, 0.5).infer(*map(parse_type, types))
