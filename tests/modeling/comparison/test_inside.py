"""Graphs inside operators are compared, too."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from kir.ir.body import Body
from kir.ir.dims import symbol
from kir.ir.graph import Graph, Origin
from kir.ir.op import Op
from kir.ir.structural import Input, Output, constant
from kir.ir.types import DType, TensorType, parse_type
from kir.modeling.comparison import compare_graphs
from kir.modeling.comparison.text import describe
from kir.ops.control import If, Loop
from kir.ops.elementwise import Abs, Add, Exp, Neg, Relu


def branch(op: Op, size: str) -> Body:
    graph = Graph("branch")
    x = graph.add(Input(f"x_of_{op.name}", TensorType(DType.FLOAT32, (symbol(size),)))).output
    graph.add(Output(f"y_of_{op.name}"), graph.add(op, x).output)
    return Body(graph)


def looped(inner: Op, *ops: Op, shift: float = 1.0, name: str = "repeat", size: str = "n") -> Graph:
    """Return a graph with a Loop of an If, one branch of which has `inner`, an Add of a constant, and the operators."""
    type = TensorType(DType.FLOAT32, (symbol(size),))
    body = Graph("body")
    body.add(Input(f"{name}_step", parse_type("i64[]")))
    goes_on = body.add(Input(f"{name}_goes_on", parse_type("bool[]"))).output
    x = body.add(Input(f"{name}_x", type)).output
    x = body.add(If((type,), branch(Neg(), size), branch(inner, size)), goes_on, x).output
    x = body.add(Add(), x, body.add(constant(np.array([shift], np.float32), "shift")).output).output
    for op in ops:
        x = body.add(op, x).output
    body.add(Output(f"{name}_again"), goes_on)
    body.add(Output(f"{name}_y"), x)
    graph = Graph("looped")
    trips = graph.add(constant(2)).output
    given = graph.add(Input("given", type)).output
    made = graph.add(Loop((type,), Body(body), 1), trips, None, given, origin=Origin("repeat", "Repeat")).output
    graph.add(Output("result"), made)
    return graph


def test_names_inside_and_of_sizes_do_not_count() -> None:
    comparison = compare_graphs(looped(Abs(), Relu()), looped(Abs(), Relu(), name="again", size="rows"))
    assert comparison.same
    # A Loop, an If, an Add, a Relu, and one operator in each branch.
    assert comparison.structure.same == 6
    assert comparison.weights.equal == 2


def test_what_differs_inside_is_named_with_its_place() -> None:
    a, b = looped(Abs(), Relu()), looped(Exp(), shift=2.0)
    comparison = compare_graphs(a, b, run=False)
    assert comparison.differences == ("structure", "weights")
    [changed] = comparison.structure.changed
    assert changed.place_a == "repeat/Loop/body/If/else_branch/Abs"
    assert [asdict(change) for change in changed.changes] == [{"what": "operator", "a": "Abs", "b": "Exp"}]
    [removed] = comparison.structure.removed
    assert (removed.place, removed.operators) == ("repeat/Loop/body/Relu", ("Relu",))
    [weight] = comparison.weights.changed
    assert (weight.name_a, weight.values) == ("repeat/Loop/body/shift", ("[1.0]", "[2.0]"))
    text = "\n".join(describe(comparison, ("a", "b")))
    assert "  ~ repeat/Loop/body/If/else_branch: Abs -> Exp" in text
    assert "  - repeat/Loop/body/Relu after" in text


def test_operators_of_one_name_have_places_of_their_own() -> None:
    def twice(second: Op) -> Graph:
        graph = Graph("twice")
        condition = graph.add(Input("condition", parse_type("bool[]"))).output
        x = graph.add(Input("x", parse_type("f32[n]"))).output
        for op in (Abs(), second):
            x = graph.add(If((parse_type("f32[n]"),), branch(Neg(), "n"), branch(op, "n")), condition, x).output
        graph.add(Output("y"), x)
        return graph

    comparison = compare_graphs(twice(Abs()), twice(Exp()), run=False)
    [changed] = comparison.structure.changed
    assert changed.place_a in ("If/else_branch/Abs", "If_1/else_branch/Abs")
