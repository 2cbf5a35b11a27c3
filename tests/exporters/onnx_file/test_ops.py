"""How operators are written: the forms that matter for speed or that depend on the opset. Their values are compared
with `eval` for every row of tests/ops/cases.py."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization.shape_inference import quant_pre_process

from kir import Input as KerasInput
from kir import Model, layers
from kir.errors import ShapeError, UnsupportedError
from kir.exporters.onnx_file import export_graph, to_model_proto
from kir.exporters.onnx_file.ops import EXPORTERS, STRUCTURAL, supported_ops
from kir.ir.dim_parser import parse_dim
from kir.ir.dims import symbol
from kir.ir.graph import Graph, Origin, Value
from kir.ir.op import field_names
from kir.ir.structural import Input, Output, constant
from kir.ir.types import DType, TensorType, as_dtype, parse_type
from kir.ops import all_ops
from kir.ops.elementwise import BitwiseXor, Celu, Clip, Gelu, HardSwish, Mish, Neg, Relu, Softplus
from kir.ops.linear import Dense, Einsum
from kir.ops.nn import Softmax
from kir.ops.onnx_forms import SAME
from kir.ops.random import Dropout
from kir.ops.recurrent import LSTM, SIGMOID, TANH
from kir.ops.reduce import ReduceLogSumExp, ReduceMean
from kir.ops.shape import Expand, OneHot, Range, Reshape, Slice, Split, Tile, Trilu
from kir.ops.sparse import SparseToDense
from tests.exporters.onnx_file.graphs import OPSETS, Array, graph_of, run, weight
from tests.ops.cases import Case, all_cases

BATCH, LENGTH = symbol("batch"), symbol("length")
CASES = all_cases()


def op_types(graph: Graph, opset: int | None = None) -> list[str]:
    return [node.op_type for node in to_model_proto(graph, opset=opset).graph.node]


# The tables


def test_same_lists_the_attributes_and_the_inputs_of_the_onnx_operator() -> None:
    for cls, same in SAME.items():
        schema = onnx.defs.get_schema(same.name, max_inclusive_version=onnx.defs.onnx_opset_version())
        for name in field_names(cls):
            assert same.renamed.get(name, name) in schema.attributes, f"{cls.__name__}.{name}"


def test_since_is_no_earlier_than_onnx_says() -> None:
    for cls, same in SAME.items():
        assert onnx.defs.get_schema(same.name, same.since).since_version <= same.since, cls


def test_younger_operators_have_a_form_for_opset_13() -> None:
    assert {cls for cls, same in SAME.items() if same.since > 13} - set(EXPORTERS) == {BitwiseXor}


def test_an_operator_that_is_too_young_says_since_when_there_is_one() -> None:
    graph = next(case.graph() for case in CASES if isinstance(case.op, BitwiseXor))
    with pytest.raises(UnsupportedError, match="no ONNX form at opset 17; it has one since opset 18"):
        to_model_proto(graph, opset=17)


def test_supported_ops_are_the_operators() -> None:
    assert supported_ops() == set(all_ops().values())
    assert not STRUCTURAL & (SAME.keys() | EXPORTERS.keys())


@pytest.mark.parametrize("opset", OPSETS)
def test_every_case_passes_the_checker(opset: int) -> None:
    for case in CASES:
        if case.since <= opset:
            onnx.checker.check_model(to_model_proto(case.graph(), opset=opset), full_check=True)


@pytest.mark.parametrize("opset", range(14, 22))
def test_one_case_of_every_operator_loads_in_onnxruntime(opset: int) -> None:
    from kir.exporters.onnx_file.session import make_session

    chosen: dict[type[Any], Case] = {}
    for case in CASES:
        if case.since <= opset:
            chosen.setdefault(type(case.op), case)
    for case in chosen.values():
        make_session(to_model_proto(case.graph(), opset=opset).SerializeToString())


# Dense


@pytest.mark.parametrize(
    ("shape", "bias", "activation", "expected"),
    [
        ("[batch, 3]", True, None, ["Gemm"]),
        ("[batch, 3]", False, None, ["Gemm"]),
        ("[batch, 3]", True, Relu(), ["Gemm", "Relu"]),
        ("[batch, 3]", True, Softmax(1), ["Gemm", "Softmax"]),
        ("[batch, 5, 3]", True, Relu(), ["MatMul", "Add", "Relu"]),
        ("[batch, 5, 3]", False, None, ["MatMul"]),
    ],
)
def test_dense_is_gemm_for_rank_2_only(shape: str, bias: bool, activation: Any, expected: list[str]) -> None:
    types = [f"f32{shape}", "f32[3, 4]", *(["f32[4]"] if bias else [])]
    model = to_model_proto(graph_of(Dense(activation), *types))
    assert [node.op_type for node in model.graph.node] == expected
    assert len(model.graph.node[0].input) == (3 if bias and expected[0] == "Gemm" else 2)


# Dtypes without a kernel


@pytest.mark.parametrize(
    ("dtype", "expected"), [("f32", ["OneHot"]), ("i64", ["OneHot"]), ("f16", ["OneHot", "Gather"])]
)
def test_one_hot_of_any_dtype(dtype: str, expected: list[str]) -> None:
    op, values = OneHot(3, 1), np.array([2, 7], as_dtype(dtype).numpy)
    graph = graph_of(op, "i64[n]", f"{dtype}[2]")
    assert op_types(graph) == expected
    indices = np.array([2, 0])
    result = run(graph, {"x0": indices, "x1": values})["y0"]
    np.testing.assert_array_equal(result, op.eval(indices, values), strict=True)


# Newer operators at older opsets


@pytest.mark.parametrize(
    ("op", "since"), [(Gelu(False), 20), (Gelu(True), 20), (Mish(), 18), (HardSwish(), 14)], ids=str
)
def test_one_node_since_its_opset_and_the_same_values_before(op: Any, since: int) -> None:
    x = np.linspace(-6, 6, 50, dtype=np.float32)
    graph = graph_of(op, "f32[n]")
    assert len(op_types(graph, since)) == 1 < len(op_types(graph, since - 1))
    for opset in (13, since):
        np.testing.assert_allclose(run(graph, {"x0": x}, opset)["y0"], op.eval(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("f16", 2e-3), ("f32", 1e-6), ("f64", 1e-12)])
def test_celu_of_any_float(dtype: str, tolerance: float) -> None:
    x = np.linspace(-3, 3, 20).astype(as_dtype(dtype).numpy)
    result = run(graph_of(Celu(1.5), f"{dtype}[n]"), {"x0": x})["y0"]
    assert result.dtype == x.dtype
    np.testing.assert_allclose(result, Celu(1.5).eval(x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("opset", OPSETS[:-2])
@pytest.mark.parametrize("dtype", ["f16", "f32"])
def test_softplus_does_not_overflow(dtype: str, opset: int) -> None:
    x = np.linspace(-9000, 9000, 24).astype(as_dtype(dtype).numpy)
    result = run(graph_of(Softplus(), f"{dtype}[n]"), {"x0": x}, opset)["y0"]
    np.testing.assert_allclose(result, Softplus().eval(x), rtol=2e-3)


@pytest.mark.parametrize("opset", [13, 18, 19, 21])
@pytest.mark.parametrize("dtype", ["f16", "f32"])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)], ids=str)
def test_log_sum_exp_does_not_overflow(axes: tuple[int, ...], dtype: str, opset: int) -> None:
    x = np.linspace(-9000, 9000, 24).astype(as_dtype(dtype).numpy).reshape(4, 6)
    graph = graph_of(ReduceLogSumExp(axes, True), f"{dtype}[batch, 6]")
    result = run(graph, {"x0": x}, opset)["y0"]
    assert result.dtype == x.dtype
    np.testing.assert_allclose(result, ReduceLogSumExp(axes, True).eval(x), rtol=2e-3)


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("k", [-1, 0, 2])
def test_trilu_before_opset_14(upper: bool, k: int) -> None:
    op = Trilu(upper, k)
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4) + 1
    graph = graph_of(op, "f32[batch, length, 4]")
    np.testing.assert_array_equal(run(graph, {"x0": x}, 13)["y0"], op.eval(x))


@pytest.mark.parametrize("opset", [13, 21])
def test_a_clip_without_a_bound_keeps_infinities(opset: int) -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[3]"))).output
    zero = graph.add(constant(np.float32(0))).output
    graph.add(Output("low"), graph.add(Clip(), x, zero).output)
    graph.add(Output("high"), graph.add(Clip(), x, None, zero).output)
    outputs = run(graph, {"x": np.array([-np.inf, 1, np.inf], np.float32)}, opset)
    np.testing.assert_array_equal(outputs["low"], [0, 1, np.inf])
    np.testing.assert_array_equal(outputs["high"], [-np.inf, 0, 0])


@pytest.mark.parametrize(
    ("given", "axes", "keepdims", "expected"),
    [
        ("f32[batch, 3, length, 4]", (2, 3), True, "GlobalAveragePool"),
        ("f32[batch, 3, length, 4]", (2, 3), False, "ReduceMean"),
        ("f32[batch, 3, length, 4]", (1, 2), True, "ReduceMean"),
        ("f32[batch, 3, length, 4, 5]", (2, 3), True, "ReduceMean"),
        ("f16[batch, 3, length, 4]", (2, 3), True, "ReduceMean"),
    ],
)
def test_means_of_channels_are_poolings(given: str, axes: tuple[int, ...], keepdims: bool, expected: str) -> None:
    assert op_types(graph_of(ReduceMean(axes, keepdims), given)) == [expected]


def test_einsum_with_ellipses_of_different_lengths() -> None:
    op = Einsum("...ij,...jk->...ik")
    a, b = np.random.default_rng(0).normal(size=(2, 5, 2, 3)), np.random.default_rng(1).normal(size=(5, 3, 4))
    graph = graph_of(op, "f64[batch, 5, 2, 3]", "f64[5, 3, 4]")
    np.testing.assert_allclose(run(graph, {"x0": a, "x1": b})["y0"], op.eval(a, b), rtol=1e-12)


# Reshape and other symbolic sizes


@pytest.mark.parametrize(
    ("source", "target", "constant_shape"),
    [
        ("batch, 4, 8", "batch, 32", [0, 32]),
        ("batch, 32", "batch, 4, 8", [0, 4, 8]),
        ("batch, length, 8", "batch, 8*length", [0, -1]),
        ("batch, length, 8", "batch*length, 8", [-1, 8]),
        ("batch, length, 8", "batch, length, 2, 4", [0, 0, 2, 4]),
        ("batch, 1, length", "batch, length, 1", [0, -1, 1]),
        ("2, 3, 4", "6, 4", [6, 4]),
        ("batch, 2", "2*batch", [-1]),
        ("1", "", []),
    ],
)
def test_reshape_has_a_constant_shape(source: str, target: str, constant_shape: list[int]) -> None:
    op = Reshape(parse_type(f"f32[{target}]").shape)
    graph = graph_of(op, f"f32[{source}]")
    model = to_model_proto(graph)
    assert [node.op_type for node in model.graph.node] == ["Reshape"]
    (shape,) = model.graph.initializer
    assert onnx.numpy_helper.to_array(shape).tolist() == constant_shape
    for sizes in ({"batch": 1, "length": 1}, {"batch": 3, "length": 5}):
        _require_eval(op, graph, sizes, 13)


@pytest.mark.parametrize("opset", [13, 15, 21])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("length*batch, 6", "batch, length, 6"),
        ("length, batch, 6", "batch, length, 6"),
        ("length*batch, 6", "length, 2, batch, 3"),
    ],
)
def test_reshape_with_new_sizes(source: str, target: str, opset: int) -> None:
    """The sizes are read from another input."""
    op = Reshape(parse_type(f"f32[{target}]").shape)
    graph = Graph()
    graph.add(Input("shape", parse_type("f32[batch, length]")))
    x = graph.add(Input("x0", parse_type(f"f32[{source}]"))).output
    graph.add(Output("y0"), graph.add(op, x).output)
    for sizes in ({"batch": 1, "length": 1}, {"batch": 3, "length": 5}, {"batch": 4, "length": 2}):
        _require_eval(op, graph, sizes, opset)


@pytest.mark.parametrize("opset", [13, 14, 21])
@pytest.mark.parametrize(("source", "target"), [("0, 3", "3, 0"), ("batch, 0", "0, batch, 2"), ("0", "0, 5")])
def test_reshape_to_no_elements(source: str, target: str, opset: int) -> None:
    op = Reshape(parse_type(f"f32[{target}]").shape)
    _require_eval(op, graph_of(op, f"f32[{source}]"), {"batch": 4, "length": 1}, opset)


@pytest.mark.parametrize(
    ("source", "target"),
    [("batch, 4, 8", "batch, 32"), ("batch, length, 8", "batch*length, 8"), ("batch, 2", "2*batch")],
)
def test_a_batch_of_nothing(source: str, target: str) -> None:
    op = Reshape(parse_type(f"f32[{target}]").shape)
    _require_eval(op, graph_of(op, f"f32[{source}]"), {"batch": 0, "length": 3}, 21)


def test_a_batch_of_nothing_and_an_unknown_rest_is_an_error_that_says_so() -> None:
    graph = graph_of(Reshape((BATCH, 8 * LENGTH)), "f32[batch, length, 8]")
    with pytest.raises(ShapeError, match=r"cannot run the model on these inputs: .*Reshape"):
        run(graph, {"x0": np.zeros((0, 3, 8), np.float32)})


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize(
    ("op", "source"),
    [
        (Expand((BATCH, LENGTH, 3)), "batch, length, 1"),
        (Slice((1,), (1,), (LENGTH,), (2,)), "batch, length"),
        (Slice((1,), (LENGTH - 1,), (-1,), (-1,)), "batch, length"),
        (Slice((1,), (LENGTH - 1,), (LENGTH - 1,), (-1,)), "batch, length"),
        (Slice((1,), (2 * LENGTH - 1,), (LENGTH - 2,), (-1,)), "batch, 2*length"),
        (Split(0, (BATCH, LENGTH)), "batch + length, 2"),
        (Tile((LENGTH, 2)), "batch, 3"),
    ],
    ids=str,
)
def test_operators_with_symbolic_sizes(op: Any, source: str, opset: int) -> None:
    graph = Graph()
    graph.add(Input("shape", parse_type("f32[batch, length]")))
    x = graph.add(Input("x0", parse_type(f"f32[{source}]"))).output
    for i, output in enumerate(graph.add(op, x).outputs):
        graph.add(Output(f"y{i}"), output)
    for sizes in ({"batch": 1, "length": 1}, {"batch": 3, "length": 5}):
        _require_eval(op, graph, sizes, opset)


def test_expand_does_not_compute_what_is_there() -> None:
    assert op_types(graph_of(Expand((BATCH, 4, LENGTH)), "f32[batch, 1, length]")) == ["Expand"]


@pytest.mark.parametrize(
    "op",
    [
        Slice((1,), (0,), (LENGTH - 1,), (1,)),
        Slice((1,), (LENGTH - 1,), (LENGTH,), (1,)),
        Slice((0, 1), (0, LENGTH - 1), (BATCH - 1, LENGTH), (1, 2)),
    ],
    ids=str,
)
def test_what_is_so_far_before_the_end_is_not_computed(op: Slice) -> None:
    graph = graph_of(op, "f32[batch, length]")
    assert op_types(graph) == ["Slice"]
    for sizes in ({"batch": 1, "length": 1}, {"batch": 3, "length": 5}):
        _require_eval(op, graph, sizes, 21)


def test_range_to_a_symbolic_size() -> None:
    graph = Graph()
    graph.add(Input("x", parse_type("f32[n]")))
    graph.add(Output("y"), graph.add(Range(0, parse_dim("n + 1"), 2)).output)
    for n in (1, 4):
        np.testing.assert_array_equal(run(graph, {"x": np.zeros(n, np.float32)})["y"], np.arange(0, n + 1, 2))


def _require_eval(op: Any, graph: Graph, sizes: dict[str, int], opset: int) -> None:
    feeds = {}
    for node in graph.specialize(sizes).inputs:
        shape: Any = node.output.type.shape
        assert isinstance(node.op, Input)
        feeds[node.op.label] = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    expected = op.bind(sizes).eval(feeds["x0"])
    results = run(graph, feeds, opset)
    for i, value in enumerate(expected if isinstance(expected, tuple) else (expected,)):
        np.testing.assert_array_equal(results[f"y{i}"], value, strict=True)


# Sparse


def sparse_input(graph: Graph, name: str = "x") -> Value:
    """Return a sparse input of shape [batch, 3], made dense."""
    types = {"indices": "i64[n, 2]", "values": "f32[n]", "shape": "i64[2]"}
    parts = [graph.add(Input(f"{name}.{part}", parse_type(type))).output for part, type in types.items()]
    return graph.add(SparseToDense((BATCH, 3)), *parts, origin=Origin(name, "InputLayer")).output


SPARSE_FEEDS = {
    "x.indices": np.array([[0, 1], [1, 2], [0, 1]]),
    "x.values": np.array([5, 6, 7], np.float32),
    "x.shape": np.array([2, 3]),
}
DENSE = np.array([[0, 12, 0], [0, 0, 6]], np.float32)


@pytest.mark.parametrize("opset", [16, 21])
def test_a_size_may_be_that_of_a_sparse_input(opset: int) -> None:
    graph = Graph()
    flat = graph.add(Reshape((1, 3, BATCH)), graph.add(Reshape((3, BATCH)), sparse_input(graph)).output).output
    graph.add(Output("y"), graph.add(Expand((2, BATCH, 3, BATCH)), flat).output)
    graph.add(Output("repeated"), graph.add(Tile((BATCH,)), graph.add(Reshape((3 * BATCH,)), flat).output).output)
    outputs = run(graph, SPARSE_FEEDS, opset)
    np.testing.assert_array_equal(outputs["y"], np.broadcast_to(DENSE.reshape(3, 2), (2, 2, 3, 2)))
    np.testing.assert_array_equal(outputs["repeated"], np.tile(DENSE.ravel(), 2))


def test_a_size_of_a_sparse_input_is_known_before_it_is_read() -> None:
    graph = Graph()
    graph.add(Output("first"), graph.add(Range(0, 2 * BATCH, 1)).output)
    graph.add(Output("y"), sparse_input(graph))
    outputs = run(graph, SPARSE_FEEDS)
    np.testing.assert_array_equal(outputs["first"], np.arange(4))
    np.testing.assert_array_equal(outputs["y"], DENSE)


def test_all_that_an_opset_cannot_say_is_listed_at_once() -> None:
    graph = Graph()
    for name in ("a", "b"):
        graph.add(Output(f"{name}.y"), graph.add(Reshape((3 * BATCH,)), sparse_input(graph, name)).output)
    with pytest.raises(UnsupportedError) as caught:
        to_model_proto(graph, opset=15)
    assert str(caught.value) == (
        "layer a (InputLayer), layer b (InputLayer): a sparse input needs opset 16 or newer (ScatterND that adds); "
        "received opset 15"
    )


def test_reasons_are_listed_one_by_one() -> None:
    graph = Graph()
    graph.add(Output("dense"), sparse_input(graph))
    graph.add(Output("lost"), graph.add(Range(0, symbol("lost"), 1)).output)
    with pytest.raises(UnsupportedError) as caught:
        to_model_proto(graph, opset=15)
    heading, first, second = str(caught.value).split("\n")
    assert heading == "the model cannot be written as ONNX, for 2 reasons:"
    assert first.startswith("  layer x (InputLayer): a sparse input needs opset 16")
    assert second.startswith("  operator Range: the size 'lost' is needed")


# Recurrent


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (0, ["result"]),
        (1, ["LSTM/output_0", "result"]),
        (2, ["LSTM/output_0", "", "result"]),
    ],
)
def test_outputs_that_nobody_reads_are_absent_but_for_the_first(read: int, expected: list[str]) -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[length, batch, 3]"))).output
    weights = [weight(graph, np.ones(shape, np.float32)) for shape in ((1, 16, 3), (1, 16, 4), (1, 32))]
    node = graph.add(LSTM(4, "forward", (SIGMOID, TANH, TANH)), x, *weights)
    graph.add(Output("result"), node.outputs[read])
    (written,) = to_model_proto(graph).graph.node
    assert list(written.output) == expected
    assert run(graph, {"x": np.zeros((2, 5, 3), np.float32)})["result"].shape[-2:] == (5, 4)


@pytest.mark.parametrize("is_bidirectional", [False, True])
@pytest.mark.parametrize("cls", [layers.LSTM, layers.GRU, layers.SimpleRNN], ids=lambda cls: cls.__name__)
def test_the_quantizer_of_onnxruntime_prepares_recurrent_layers(
    cls: Any, is_bidirectional: bool, tmp_path: Path
) -> None:
    """It takes a file with two absent first outputs for a cyclic one."""
    inputs = KerasInput(shape=(None, 3), name="x")
    inner = [cls(4, return_sequences=True), cls(4)]
    first, last = [layers.Bidirectional(layer) for layer in inner] if is_bidirectional else inner
    model = Model(inputs, [layers.Dense(2)(last(first(layers.Masking()(inputs)))), cls(2)(inputs)])
    path = export_graph(model.to_graph(), tmp_path / "model.onnx").path
    quant_pre_process(str(path), str(tmp_path / "prepared.onnx"), skip_symbolic_shape=True)
    onnx.checker.check_model(str(tmp_path / "prepared.onnx"), full_check=True)


# Dropout


def dropout_graph(op: Dropout, training: bool | None, shape: str = "batch, 1000, 4", negated: bool = False) -> Graph:
    """`training` None: an input of that name with default false. `negated`: before and behind the operator."""
    graph = Graph()
    x = graph.add(Input("x", parse_type(f"f32[{shape}]"))).output
    source = Input("training", TensorType(DType.BOOL, ())) if training is None else constant(np.array(training))
    x = graph.add(Neg(), x).output if negated else x
    y = graph.add(op, x, graph.add(source).output).output
    graph.add(Output("y"), graph.add(Neg(), y).output if negated else y)
    return graph


def dropouts(graph: Graph, feeds: dict[str, Array], opset: int | None, runs: int = 3) -> list[Array]:
    from kir.exporters.onnx_file.session import make_session, run_session

    model = to_model_proto(graph, opset=opset)
    onnx.checker.check_model(model, full_check=True)
    session = make_session(model.SerializeToString())
    return [run_session(session, feeds)["y"] for _ in range(runs)]


NOISE_SHAPES = (None, (BATCH, 1000, 1), (1, 1000, 4), (BATCH, 1, 4))


@pytest.mark.parametrize("opset", [13, 15, 21])
@pytest.mark.parametrize("training", [True, None])
@pytest.mark.parametrize("noise_shape", NOISE_SHAPES, ids=str)
@pytest.mark.parametrize("rate", [0.2, 0.75])
def test_dropout_in_training_drops_scales_and_draws_anew(
    rate: float, noise_shape: Any, training: bool | None, opset: int
) -> None:
    x = np.ones((500 if noise_shape == NOISE_SHAPES[-1] else 3, 1000, 4), np.float32)
    feeds = {"x": x} if training else {"x": x, "training": np.array(True)}
    first, second, third = dropouts(dropout_graph(Dropout(rate, noise_shape, None), training), feeds, opset)
    for drawn in (first, second, third):
        np.testing.assert_allclose(np.unique(drawn), [0, 1 / (1 - rate)], rtol=1e-6)
        assert abs((drawn == 0).mean() - rate) < 0.05
        if noise_shape is not None:
            axis = noise_shape.index(1)
            assert (drawn == np.take(drawn, [0], axis)).all()
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("training", [True, None])
@pytest.mark.parametrize("noise_shape", NOISE_SHAPES, ids=str)
def test_dropout_in_the_middle_of_a_model_stays(noise_shape: Any, training: bool | None, opset: int) -> None:
    """onnxruntime takes a plain Dropout out unless it is next to an input or an output of the model."""
    graph = dropout_graph(Dropout(0.5, noise_shape, None), training, negated=True)
    feeds = {"x": np.ones((30, 1000, 4), np.float32)} | ({} if training else {"training": np.array(True)})
    first, second = dropouts(graph, feeds, opset, 2)
    assert set(np.unique(first)) == {0, 2}
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("noise_shape", [None, (3, 1)], ids=str)
def test_dropout_of_known_shape_is_not_folded(noise_shape: Any, opset: int) -> None:
    op = Dropout(0.5, None if noise_shape is None else (300, 1), None)
    first, second, _ = dropouts(dropout_graph(op, True, "300, 4"), {"x": np.ones((300, 4), np.float32)}, opset)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("noise_shape", NOISE_SHAPES, ids=str)
def test_dropout_without_training_is_the_identity(noise_shape: Any, opset: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 1000, 4)).astype(np.float32)
    graph = dropout_graph(Dropout(0.5, noise_shape, 3), None)
    (drawn,) = dropouts(graph, {"x": x, "training": np.array(False)}, opset, runs=1)
    np.testing.assert_array_equal(drawn, x)


@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_dropout_without_a_training_input_is_one_node_and_the_identity(rate: float) -> None:
    graph = graph_of(Dropout(rate, None, None), "f32[batch, 4]")
    assert op_types(graph) == ["Dropout"]
    x = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(run(graph, {"x0": x})["y0"], x)


@pytest.mark.parametrize("noise_shape", [None, (BATCH, 1, 4)], ids=str)
def test_a_rate_of_1_drops_everything(noise_shape: Any) -> None:
    graph = dropout_graph(Dropout(1.0, noise_shape, None), True)
    (drawn,) = dropouts(graph, {"x": np.ones((2, 1000, 4), np.float32)}, None, runs=1)
    assert not drawn.any()


@pytest.mark.parametrize("noise_shape", [None, (BATCH, 1000, 1)], ids=str)
def test_a_seed_gives_every_session_the_same_draws(noise_shape: Any) -> None:
    graph = dropout_graph(Dropout(0.5, noise_shape, 11), True)
    feeds = {"x": np.ones((2, 1000, 4), np.float32)}
    (first,), (again,) = dropouts(graph, feeds, None, 1), dropouts(graph, feeds, None, 1)
    np.testing.assert_array_equal(first, again)


def test_a_training_input_chooses_and_a_constant_does_not() -> None:
    noisy = Dropout(0.5, (BATCH, 1, 4), None)
    assert Counter(op_types(dropout_graph(noisy, None)))["Where"] == 2
    assert Counter(op_types(dropout_graph(noisy, True)))["Where"] == 1
