"""Quantization: ties, ranges, what a verification allows, and graphs that compute with integers."""

from __future__ import annotations

import numpy as np
import pytest

from kir import passes
from kir.errors import ShapeError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.verify.file import verify_file
from kir.importers.onnx_file import import_graph
from kir.ir.graph import Graph
from kir.ir.structural import Input
from kir.ir.types import DType, parse_type
from kir.numerics.local_bounds import expect_results
from kir.ops.quantization import DequantizeLinear, DynamicQuantizeLinear, MatMulInteger, QuantizeLinear
from tests.importers.onnx_file.models import model, node, operators

UINT8 = QuantizeLinear(1, 0, DType.UINT8)


def array(given: object, dtype: str = "float32") -> np.ndarray:
    return np.asarray(given, dtype)


def test_halves_go_to_even_numbers_and_ranges_end() -> None:
    x = array([-1e9, -np.inf, 0.5, 1.5, 2.5, 1e9, np.inf])
    assert UINT8.eval(x, array(1)).tolist() == [0, 0, 0, 2, 2, 255, 255]
    assert UINT8.eval(x, array(1), array(1, "uint8")).tolist() == [0, 0, 1, 3, 3, 255, 255]


def test_scales_of_blocks() -> None:
    levels = array([[1, 1, 1, 1, 1]], "int8")
    assert DequantizeLinear(1, 2).eval(levels, array([[1, 2, 3]])).tolist() == [[1, 1, 2, 2, 3]]


def test_zeros_quantize_dynamically() -> None:
    levels, scale, zero_point = DynamicQuantizeLinear().eval(np.zeros(3, np.float32))
    assert (levels.tolist(), float(scale), int(zero_point)) == ([0, 0, 0], 1.0, 0)


@pytest.mark.parametrize(
    ("op", "types", "message"),
    [
        (UINT8, ("f32[2, 3]", "f32[2]"), "received the scale of shape"),
        (UINT8, ("f32[2, 3]", "f32[2, 3]"), "one for each index"),
        (UINT8, ("f32[2, 3]", "f32[]", "i8[]"), "zero_point"),
        (QuantizeLinear(1, 0, DType.INT64), ("f32[2, 3]", "f32[]"), "expected one of i16, i2, i4, i8"),
        (QuantizeLinear(1, 2, DType.INT8), ("f32[2, 5]", "f32[2, 2]"), "received the scale of shape"),
        (DequantizeLinear(1, 0), ("f32[2]", "f32[]"), "expected a dtype of"),
        (MatMulInteger(), ("i8[2, 3]", "u8[3, 2]", "u8[]"), "a_zero_point"),
    ],
)
def test_what_does_not_fit_is_refused(op: object, types: tuple[str, ...], message: str) -> None:
    graph = Graph()
    values = [graph.add(Input(f"x{index}", parse_type(text))).output for index, text in enumerate(types)]
    with pytest.raises(ShapeError, match=message):
        graph.add(op, *values)  # type: ignore[arg-type]


def test_a_neighbour_is_allowed_where_a_rounding_decides_and_only_there() -> None:
    # In float32, 0.15 / 0.1 is a tie, and in float64 a little more.
    x, scale = array([0.15, 0.151, 0.35, 7.0]), array(0.1)
    graph = Graph()
    values = [graph.add(Input(name, parse_type(text))).output for name, text in (("x", "f32[4]"), ("s", "f32[]"))]
    quantize = graph.add(UINT8, *values)
    (expected,) = expect_results(quantize, UINT8, (x, scale))
    assert expected.allowed.tolist() == [1, 0, 1, 0]


def quantized_dense() -> Graph:
    """Return a Dense whose input, kernel and result are quantized and read back, as exporters write them."""
    nodes = [
        node("QuantizeLinear", "x scale zero", "q"),
        node("DequantizeLinear", "q scale zero", "dx"),
        node("DequantizeLinear", "kernel kernel_scale", "dk", axis=1),
        node("MatMul", "dx dk", "product"),
        node("QuantizeLinear", "product result_scale zero", "quantized"),
        node("DequantizeLinear", "quantized result_scale zero", "y"),
    ]
    constants = {
        "scale": array(0.02),
        "zero": array(128, "uint8"),
        "kernel": np.random.default_rng(0).integers(-127, 128, (6, 4)).astype(np.int8),
        "kernel_scale": array([0.01, 0.02, 0.005, 0.03]),
        "result_scale": array(0.1),
    }
    return import_graph(model(nodes, {"x": ["N", 6]}, constants=constants, opset=21))


def test_quantized_kernels_stay_integers_and_the_file_is_verified_by_parts() -> None:
    reference = quantized_dense()
    graph = reference.copy()
    passes.run(graph, passes.pipeline(2), check=True)
    assert sum("DequantizeLinear" in text for text in operators(graph)) == 3
    report = verify_file(reference, to_model_proto(graph).SerializeToString(), written=graph)
    assert report.passed, str(report)


def test_a_wrong_zero_point_is_found() -> None:
    reference = quantized_dense()
    changed = to_model_proto(reference)
    zero = next(one for one in changed.graph.initializer if one.name == "zero")
    zero.raw_data = b"\x81"
    assert not verify_file(reference, changed.SerializeToString(), written=reference).passed
