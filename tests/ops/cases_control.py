"""Cases of the operators with graphs inside."""

from __future__ import annotations

import numpy as np

from kir.ir.body import Body
from kir.ir.graph import Graph
from kir.ir.op import Op
from kir.ir.structural import Input, Output, constant
from kir.ir.types import parse_type
from kir.ops.control import If, Loop, Scan
from kir.ops.elementwise import Add, Less, Mul, Neg
from tests.ops.cases import Case


def branch(op: Op, type: str) -> Body:
    """Return op(x) of a captured x."""
    graph = Graph("body")
    graph.add(Output("output_0"), graph.add(op, graph.add(Input("captured_0", parse_type(type))).output).output)
    return Body(graph)


def constant_branch(type: str) -> Body:
    """Return [1.5, 2.5], whatever is captured."""
    graph = Graph("body")
    graph.add(Input("captured_0", parse_type(type)))
    graph.add(Output("output_0"), graph.add(constant([1.5, 2.5])).output)
    return Body(graph)


def steps(type: str, is_endless: bool = False) -> Body:
    """Return the body of a Loop: h ← h·w + h, as long as the step is below 3, or always; h·w is stacked."""
    graph = Graph("body")
    number = graph.add(Input("step", parse_type("i64[]"))).output
    holds = graph.add(Input("holds", parse_type("bool[]"))).output
    h = graph.add(Input("h", parse_type(type))).output
    w = graph.add(Input("captured_0", parse_type(type))).output
    product = graph.add(Mul(), h, w).output
    goes_on = holds if is_endless else graph.add(Less(), number, graph.add(constant(3)).output).output
    graph.add(Output("output_0"), goes_on)
    graph.add(Output("output_1"), graph.add(Add(), product, h).output)
    graph.add(Output("output_2"), product)
    return Body(graph)


def running_sum(type: str) -> Body:
    """Return the body of a Scan: s ← s + x, which is also what it gives."""
    graph = Graph("body")
    state = graph.add(Input("state", parse_type(type))).output
    total = graph.add(Add(), state, graph.add(Input("slice", parse_type(type))).output).output
    graph.add(Output("output_0"), total)
    graph.add(Output("output_1"), total)
    return Body(graph)


FIXED = "f32[2, 3]"
OPEN = "f32[batch, 3]"

CONTROL_CASES: list[Case] = [
    *(
        Case(
            If((parse_type(type),), branch(Neg(), type), branch(Neg(), type)),
            (parse_type("bool[]"), parse_type(type)),
        )
        for type in (FIXED, OPEN)
    ),
    Case(
        If((parse_type("f64[2]"),), branch(Neg(), "f64[2]"), constant_branch("f64[2]")),
        (parse_type("bool[1]"), parse_type("f64[2]")),
    ),
    *(
        Case(
            Loop((parse_type(type), parse_type(type.replace("[", "[steps, "))), steps(type), 1),
            (np.array(5), None, parse_type(type), parse_type(type)),
            samples=({"batch": 1, "steps": 4}, {"batch": 3, "steps": 4}),
        )
        for type in (FIXED, OPEN)
    ),
    Case(
        Loop((parse_type(FIXED), parse_type("f32[4, 2, 3]")), steps(FIXED, is_endless=True), 1),
        (np.array(4), None, parse_type(FIXED), parse_type(FIXED)),
    ),
    *(
        Case(
            Scan(
                (parse_type("f32[3]"), parse_type(type)),
                running_sum("f32[3]"),
                1,
                (axis,),
                (backwards,),
                (axis,),
                (not backwards,),
            ),
            (parse_type("f32[3]"), parse_type(type)),
        )
        for type, axis, backwards in (("f32[length, 3]", 0, False), ("f32[3, length]", 1, True), ("f32[4, 3]", 0, True))
    ),
]
