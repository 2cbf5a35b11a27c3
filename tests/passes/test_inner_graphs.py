"""Passes on graphs inside operators, and Loops that are smaller as their steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from kir.ir.types import parse_type
from kir.ops.control import Loop
from kir.ops.elementwise import Exp, Mul, Neg, Sin
from kir.ops.shape import Concat
from kir.passes import PASSES, pipeline
from kir.passes.inner_graphs import count_operators
from tests.passes.bodies import LOOP, ROWS, body, if_, inner_names, loop
from tests.passes.building import Build, Builder, f32, left, op_names, optimize


def test_passes_run_inside_at_any_depth() -> None:
    def inner(b: Build, x: Any) -> Any:
        return b(Exp(), b(Neg(), b(Neg(), b(Mul(), x, f32(1.0)))))

    def outer(b: Build, x: Any, condition: Any) -> Any:
        return if_(b, condition, inner, lambda b, x: b(Sin(), x), x)

    def build(b: Build, x: Any, first: Any, second: Any) -> Any:
        return if_(b, first, outer, lambda b, x, condition: x, x, second)

    graph = optimize(PASSES, build, ROWS, "bool[]", "bool[]")
    (node,) = (node for node in graph.order() if node.op.bodies())
    assert inner_names(node.op.bodies()[0].graph) == ["Exp", "Sin"]


def test_only_the_passes_of_the_level_run_inside() -> None:
    def step(b: Build, i: Any, going: Any, x: Any) -> Any:
        return going, b(Neg(), b(Neg(), x))

    assert left(pipeline(0), lambda b, x: loop(b, 20, step, 1, x)) == ["Loop"]


def test_a_loop_is_its_steps_where_they_are_fewer() -> None:
    def build(b: Build, x: Any) -> Any:
        op = Loop((parse_type("f32[last, 4]"),), body(grow, *LOOP, "f32[rows, 4]", ROWS), 1)
        return b(op, np.asarray(3), None, x, x)

    grow: Builder = lambda b, i, going, h, x: (going, b(Concat(0), h, x))  # noqa: E731
    graph = optimize(PASSES, build)
    assert op_names(graph) == ["Concat"]
    assert graph.outputs[0].output.type == parse_type("f32[4*batch, 4]")


def test_a_loop_of_more_steps_than_that_stays() -> None:
    step: Builder = lambda b, i, going, x: (going, b(Sin(), b(Mul(), x, x)))  # noqa: E731
    graph = optimize(PASSES, lambda b, x: loop(b, 5, step, 1, x))
    assert op_names(graph) == ["Loop"]
    assert count_operators(graph) == 3
