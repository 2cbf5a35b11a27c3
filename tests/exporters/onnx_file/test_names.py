"""Names in an ONNX file."""

import pytest

from kir.errors import GraphError
from kir.exporters.onnx_file.names import reserve_labels
from kir.ir.graph import Graph
from kir.ir.structural import Input, Output
from kir.ir.types import parse_type
from kir.ops.elementwise import Relu
from kir.support.naming import Names, join_path


def test_a_taken_name_gets_the_first_free_suffix() -> None:
    names = Names(["x", "x_2"])
    assert [names.unique("x") for _ in range(3)] == ["x_1", "x_3", "x_4"]
    assert names.unique("x_1") == "x_1_1"


def test_many_equal_names_are_not_quadratic() -> None:
    names = Names()
    assert len({names.unique("Relu") for _ in range(100_000)}) == 100_000


def test_join_leaves_out_an_empty_path() -> None:
    assert (join_path("a/b", "Gemm"), join_path("", "Gemm")) == ("a/b/Gemm", "Gemm")


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
