"""The interpreter: plans, precision, intermediate values, and what it says about wrong feeds."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest

from kir.errors import LimitError, ShapeError
from kir.ir.dims import symbol
from kir.ir.graph import Graph, Node
from kir.ir.interpreter import Plan, run, run_all
from kir.ir.structural import Constant, Data, Input, Output, constant
from kir.ir.types import DType, parse_type
from kir.ops.control import If
from kir.ops.elementwise import Add, Cast, Exp, Mul, Neg
from kir.ops.shape import Reshape
from tests.passes.bodies import body, loop
from tests.passes.building import Build, f32

BATCH = symbol("batch")


def make_graph() -> Graph:
    """y = reshape(exp(x) + 1)"""
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[batch, 2]"))).output
    one = graph.add(constant(np.float32(1))).output
    total = graph.add(Add(), graph.add(Exp(), x).output, one).output
    graph.add(Output("y"), graph.add(Reshape((BATCH * 2,)), total).output)
    return graph


def test_runs_with_any_value_of_a_symbolic_size() -> None:
    for batch in (0, 1, 5):
        x = np.linspace(-1, 1, 2 * batch, dtype=np.float32).reshape(batch, 2)
        result = run(make_graph(), {"x": x})["y"]
        np.testing.assert_array_equal(result, (np.exp(x) + 1).reshape(-1))
        assert result.dtype == np.float32


def test_wide_computes_in_float64_from_the_same_feeds() -> None:
    x = np.array([[0.1, 0.2]], np.float32)
    result = run(make_graph(), {"x": x}, wide=True)["y"]
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, np.exp(x.astype(np.float64)).reshape(-1) + 1)


def test_wide_keeps_casts_to_a_narrow_float_wide_and_integers_as_they_are() -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("i32[3]"))).output
    graph.add(Output("y"), graph.add(Cast(DType.FLOAT16), x).output)
    graph.add(Output("z"), graph.add(Neg(), x).output)
    result = run(graph, {"x": np.arange(3, dtype=np.int32)}, wide=True)
    assert result["y"].dtype == np.float64
    assert result["z"].dtype == np.int32


def test_all_intermediate_values_can_be_had() -> None:
    graph = make_graph()
    values = run_all(graph, {"x": np.zeros((1, 2), np.float32)})
    assert len(values) == len(graph.order())
    assert {str(value.node.op): array.tolist() for value, array in values.items()}["Exp"] == [[1.0, 1.0]]


def test_what_is_no_longer_needed_is_freed() -> None:
    graph = Graph()
    value = graph.add(Input("x", parse_type("f32[1000]"))).output
    for _ in range(20):
        value = graph.add(Neg(), value).output
    graph.add(Output("y"), value)
    alive: list[weakref.ref[Any]] = []
    most = 0

    def observe(node: Node, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> tuple[Any, ...]:
        nonlocal most
        alive.append(weakref.ref(outputs[0]))
        most = max(most, sum(ref() is not None for ref in alive))
        return outputs

    Plan(graph).run({"x": np.zeros(1000, np.float32)}, observe)
    assert most <= 3


def test_an_observer_may_change_what_flows_on() -> None:
    result = Plan(make_graph()).run(
        {"x": np.zeros((1, 2), np.float32)}, lambda node, _, out: tuple(2 * a for a in out) if node.op == Exp() else out
    )
    assert result["y"].tolist() == [3.0, 3.0]


def test_an_input_with_a_default_may_be_left_out() -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[2]"), Data(np.array([1, 2], np.float32)))).output
    graph.add(Output("y"), graph.add(Mul(), x, x).output)
    assert run(graph, {})["y"].tolist() == [1.0, 4.0]
    assert run(graph, {"x": np.array([3, 3], np.float32)})["y"].tolist() == [9.0, 9.0]


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "'x' is missing"),
        ({"x": np.zeros((1, 2), np.float32), "z": np.zeros(1)}, "no input 'z'"),
        ({"x": np.zeros((1, 2))}, "float64; expected float32"),
        ({"x": np.zeros(2, np.float32)}, r"\(2,\); expected f32\[batch, 2\]"),
        ({"x": np.zeros((1, 3), np.float32)}, r"\(1, 3\)"),
    ],
)
def test_feeds_that_do_not_fit_are_named(feeds: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        run(make_graph(), feeds)


def test_feeds_are_checked_again_when_another_shape_comes() -> None:
    plan = Plan(make_graph())
    for batch in (2, 3, 2):
        assert plan.run({"x": np.zeros((batch, 2), np.float32)})["y"].shape == (2 * batch,)
        with pytest.raises(ShapeError, match="expected"):
            plan.run({"x": np.zeros((batch, 3), np.float32)})


def test_an_input_may_be_an_output_twice() -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[2]"))).output
    for name in ("a", "b"):
        graph.add(Output(name), x)
    graph.add(Output("c"), graph.add(Neg(), x).output)
    result = run(graph, {"x": np.ones(2, np.float32)})
    assert {name: array.tolist() for name, array in result.items()} == {"a": [1, 1], "b": [1, 1], "c": [-1, -1]}


def test_inputs_that_share_a_size_must_agree() -> None:
    graph = Graph()
    for name in ("a", "b"):
        graph.add(Output(f"{name}_out"), graph.add(Input(name, parse_type("f32[batch]"))).output)
    with pytest.raises(ShapeError, match="batch"):
        run(graph, {"a": np.zeros(2, np.float32), "b": np.zeros(3, np.float32)})


def test_a_plan_may_run_again_and_again() -> None:
    plan = Plan(make_graph())
    for batch in (3, 1, 4):
        assert plan.run({"x": np.zeros((batch, 2), np.float32)})["y"].tolist() == [2.0] * (2 * batch)


@pytest.mark.parametrize("size", ["2", "n"])
def test_a_plan_may_read_other_constants_inside_operators(size: str) -> None:
    type = f"f32[{size}]"
    inner = body(lambda b, x: b(Mul(), x, f32(3.0)), type)
    outer = body(lambda b, x: b(If((parse_type(type),), inner, inner), b.constant(True), x), type)
    b = Build(type)
    graph = b.finish(b(If((parse_type(type),), outer, outer), b.constant(False), *b.inputs))
    (factor,) = (node for node in inner.graph.order() if isinstance(node.op, Constant))
    plan = Plan(graph, wide=True)
    x = np.ones(2, np.float32)
    moved = plan.reading({factor: lambda: np.asarray(5.0)})
    np.testing.assert_array_equal(moved.run({"x0": x})["y0"], [5.0, 5.0])
    np.testing.assert_array_equal(plan.run({"x0": x})["y0"], [3.0, 3.0])


def test_a_loop_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kir.ops.control.MAX_STEPS", 100)
    b = Build("f32[]")
    graph = b.finish(loop(b, None, lambda b, i, going, x: (going, x), 1, *b.inputs, types=("f32[]",)))
    with pytest.raises(LimitError, match="did not end within"):
        run(graph, {"x0": np.float32(1)})
