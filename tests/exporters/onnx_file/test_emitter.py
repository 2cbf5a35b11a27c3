"""Sizes computed when the model runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kir.errors import UnsupportedError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.emitter import Emitter
from kir.ir.dim_parser import parse_dim
from kir.ir.dims import Dim, substitute, symbol
from kir.ir.graph import Graph
from kir.ir.structural import Input, Output
from kir.ir.types import parse_type
from kir.ops.shape import Size
from kir.support.naming import Names
from tests.exporters.onnx_file.graphs import run

TEXTS = (
    "a",
    "a*b",
    "2*a*b + 3*b - 1",
    "(a + 1)//2",
    "(a - b)//3",
    "-1 - (a - 1)//4",
    "7 - a",
    "a*a//(b + 1)",
    "((a + 2)//3 + b)//(a + b)",
    "a % 4",
)


def graph_of_sizes(dims: list[Dim]) -> Graph:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[a, 3, b]"))).output
    for i, dim in enumerate(dims):
        graph.add(Output(f"y{i}"), graph.add(Size(dim)).output)
    graph.add(Output("x"), x)
    return graph


@pytest.mark.parametrize("opset", [13, 15, 21])
@pytest.mark.parametrize("text", TEXTS)
def test_composite_sizes_equal_python(text: str, opset: int) -> None:
    dim = parse_dim(text)
    graph = graph_of_sizes([dim])
    for a, b in ((1, 1), (2, 5), (5, 2), (6, 1), (9, 4)):
        (result, _) = run(graph, {"x": np.zeros((a, 3, b), np.float32)}, opset).values()
        assert result == substitute(dim, {"a": a, "b": b}), (text, a, b)


@given(
    st.tuples(*[st.integers(-5, 5)] * 4),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=3),
)
def test_floor_division_rounds_down_for_any_sign(
    coefficients: tuple[int, ...], divisor: int, sizes: list[tuple[int, int]]
) -> None:
    a, b = symbol("a"), symbol("b")
    p, q, r, s = coefficients
    dim = (p * a + q * b + r) // divisor + s
    session_graph = graph_of_sizes([dim])
    for first, second in sizes:
        feeds = {"x": np.zeros((first, 3, second), np.float32)}
        assert run(session_graph, feeds)["y0"] == substitute(dim, {"a": first, "b": second})


def test_a_size_is_computed_once() -> None:
    dim = parse_dim("a*b + 1")
    model = to_model_proto(graph_of_sizes([dim, dim, parse_dim("a*b")]))
    assert sum(node.op_type == "Shape" for node in model.graph.node) == 2
    assert sum(node.op_type == "Add" for node in model.graph.node) == 1


def test_neighbouring_sizes_are_read_at_once() -> None:
    a, b = symbol("a"), symbol("b")
    emitter = Emitter(21, Names(["x"]))
    emitter.offer("x", (a, 3, b), composite=True)
    emitter.sizes((5, a, 3, b, 7, 8))
    assert [node.op_type for node in emitter.graph.node] == ["Shape", "Concat"]
    assert [array.tolist() for _, array in emitter.initializers] == [[5], [7, 8]]


def test_known_sizes_are_one_shared_initializer() -> None:
    emitter = Emitter(21, Names())
    assert emitter.sizes((2, 3)) == emitter.sizes((2, 3)) != emitter.sizes((3, 2))
    assert len(emitter.graph.node) == 0
    assert len(emitter.initializers) == 2


def test_a_size_of_no_input_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="the size 'lost' is needed"):
        to_model_proto(graph_of_sizes([parse_dim("lost + 1")]))


def test_a_composite_size_is_read_from_a_shape_only_if_it_may_be() -> None:
    for composite, expected in ((True, ["Shape"]), (False, ["Shape", "Mul"])):
        emitter = Emitter(21, Names(["x"]))
        emitter.offer("x", (2 * symbol("a"), symbol("a")), composite=composite)
        emitter.size(2 * symbol("a"))
        assert [node.op_type for node in emitter.graph.node] == expected


def test_a_size_is_read_from_the_first_value_that_has_it() -> None:
    emitter = Emitter(21, Names(["x", "y"]))
    for name in ("x", "y"):
        emitter.offer(name, (symbol("a"),), composite=False)
    emitter.size(symbol("a"))
    assert [list(node.input) for node in emitter.graph.node] == [["x"]]
