"""What stands in the model: names, metadata, signature, versions; and outputs in all their forms."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from kir.errors import GraphError, InvalidArgumentError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.build import OPSET_WITH_FAST_MEANS, check_opset, reserve_labels
from kir.exporters.onnx_file.session import NEWEST_FULL_OPSET
from kir.ir.graph import Graph
from kir.ir.op import Op
from kir.ir.structural import Data, Input, Output
from kir.ir.types import parse_type
from kir.ops.elementwise import Add, Gelu, Relu
from kir.ops.pooling import AveragePool
from tests.exporters.onnx_file.graphs import OPSETS, mlp, run, two_outputs, weight


def test_nodes_carry_the_path_of_their_layer() -> None:
    nodes = to_model_proto(mlp()).graph.node
    assert [node.name for node in nodes] == [
        "encoder/dense_0/Gemm",
        "encoder/dense_0/Relu",
        "encoder/dense_1/Gemm",
        "encoder/dense_1/Relu",
    ]
    assert list(nodes[0].output) == ["encoder/dense_0/Gemm/output"]
    for node in nodes:
        described = {entry.key: entry.value for entry in node.metadata_props}
        assert described == {"kir.layer": node.name.rpartition("/")[0], "kir.class": "Dense"}


def test_initializers_carry_their_labels() -> None:
    names = [tensor.name for tensor in to_model_proto(mlp()).graph.initializer]
    assert names == [f"encoder/dense_{i}/{kind}" for i in (0, 1) for kind in ("kernel", "bias")]


def test_equal_labels_are_told_apart_and_give_way_to_inputs() -> None:
    graph = Graph()
    x = graph.add(Input("w", parse_type("f32[2]"))).output
    for value in (1, 2):
        x = graph.add(Add(), x, weight(graph, np.full(2, value, np.float32), "w")).output
    graph.add(Output("y"), x)
    assert [tensor.name for tensor in to_model_proto(graph).graph.initializer] == ["w_1", "w_2"]
    np.testing.assert_array_equal(run(graph, {"w": np.zeros(2, np.float32)})["y"], [3, 3])


def test_signature_is_that_of_the_graph() -> None:
    model = to_model_proto(two_outputs())
    assert [value.name for value in model.graph.input] == ["x"]
    assert [value.name for value in model.graph.output] == ["a", "b", "copy", "x", "c", "flat"]
    shape = model.graph.input[0].type.tensor_type.shape
    assert [dim.dim_param or dim.dim_value for dim in shape.dim] == ["batch", 2]
    (flat,) = model.graph.output[-1].type.tensor_type.shape.dim
    assert flat.dim_param == "2*batch"


@pytest.mark.parametrize("opset", OPSETS)
def test_outputs_keep_their_names_whatever_they_read(opset: int) -> None:
    x = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    outputs = run(two_outputs(), {"x": x}, opset)
    expected = {"a": 2 * x, "b": 2 * x, "copy": x, "x": x, "c": [3, 4], "flat": 2 * x.ravel()}
    for name, value in expected.items():
        np.testing.assert_array_equal(outputs[name], value)


def test_an_output_needs_no_node_of_its_own() -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[2]"))).output
    graph.add(Output("y"), graph.add(Relu(), x).output)
    (node,) = to_model_proto(graph).graph.node
    assert (node.op_type, list(node.input), list(node.output)) == ("Relu", ["x"], ["y"])


def test_an_input_with_a_default_may_be_left_out() -> None:
    graph = Graph()
    default = Data(np.array([1.0, 2.0], np.float32))
    x = graph.add(Input("x", parse_type("f32[2]"), default)).output
    graph.add(Output("y"), graph.add(Add(), x, x).output)
    np.testing.assert_array_equal(run(graph, {})["y"], [2, 4])
    np.testing.assert_array_equal(run(graph, {"x": np.array([5, 5], np.float32)})["y"], [10, 10])


def test_dead_nodes_and_their_weights_are_left_out() -> None:
    graph = mlp()
    graph.add(Relu(), weight(graph, np.zeros(3, np.float32), "dead"))
    model = to_model_proto(graph)
    assert len(model.graph.node) == 4
    assert "dead" not in {tensor.name for tensor in model.graph.initializer}


def test_versions() -> None:
    model = to_model_proto(mlp(), opset=13)
    assert (model.ir_version, model.opset_import[0].version) == (10, 13)
    newest = to_model_proto(mlp(), opset=onnx.defs.onnx_opset_version())
    assert newest.ir_version >= onnx.helper.find_min_ir_version_for(list(newest.opset_import))
    assert model.producer_name == "kir"


def test_the_default_opset_is_the_newest_that_onnxruntime_supports() -> None:
    assert to_model_proto(mlp()).opset_import[0].version == NEWEST_FULL_OPSET == check_opset(None)


def pooled(op: Op, dilation: int = 1) -> Graph:
    """Return an operator behind an average."""
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[batch, 3, 8]"))).output
    mean = graph.add(AveragePool((2,), (1,), (dilation,), (0, 0), False, False), x).output
    graph.add(Output("y"), graph.add(op, mean).output)
    return graph


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (pooled(Relu()), OPSET_WITH_FAST_MEANS),
        (pooled(Relu(), dilation=2), NEWEST_FULL_OPSET),
        (pooled(Gelu(approximate=False)), NEWEST_FULL_OPSET),
    ],
    ids=["an average", "with dilations", "with what takes more nodes"],
)
def test_the_default_opset_is_older_where_averages_are_faster(graph: Graph, expected: int) -> None:
    """AveragePool has dilations since opset 19, and Gelu is an operator since opset 20."""
    assert to_model_proto(graph).opset_import[0].version == expected
    assert to_model_proto(graph, opset=21).opset_import[0].version == 21


@pytest.mark.parametrize("opset", [12, 0, -1, 1000])
def test_other_opsets_are_refused(opset: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"opset {opset}; expected 13 to"):
        to_model_proto(mlp(), opset=opset)


def test_no_names_are_shared_by_values() -> None:
    graph = to_model_proto(two_outputs()).graph
    produced = [name for node in graph.node for name in node.output]
    produced += [tensor.name for tensor in graph.initializer]
    assert len(set(produced)) == len(produced)


def test_input_and_computed_output_of_one_name_are_refused() -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[2]"))).output
    graph.add(Output("x"), graph.add(Relu(), x).output)
    with pytest.raises(GraphError, match="'x' names both an input and an output"):
        reserve_labels(graph)


def test_an_empty_name_is_refused() -> None:
    graph = Graph()
    graph.add(Output("y"), graph.add(Input("", parse_type("f32[2]"))).output)
    with pytest.raises(GraphError, match="named ''"):
        reserve_labels(graph)
