"""Values that are the same in every step of a Loop or a Scan."""

from __future__ import annotations

from typing import Any

import numpy as np

from kir.ir.dims import symbol
from kir.ops.elementwise import Add, Exp, Mul
from kir.ops.shape import Expand, Gather
from kir.passes.move_invariants import move_invariants
from tests.passes.bodies import ROWS, inner_names, loop, scan
from tests.passes.building import Build, Builder, f32, op_names, optimize


def test_what_depends_on_captured_values_alone_is_computed_once() -> None:
    def step(b: Build, i: Any, going: Any, h: Any, w: Any) -> Any:
        scaled = b(Mul(), b(Exp(), w), f32(0.5))
        return going, b(Add(), b(Mul(), h, scaled), scaled)

    graph = optimize(move_invariants, lambda b, x, w: loop(b, 20, step, 1, x, w), ROWS, ROWS)
    assert op_names(graph) == ["Exp", "Mul", "Loop"]
    assert inner_names(graph) == ["Mul", "Add"]


def test_so_it_is_in_a_scan_and_as_an_output() -> None:
    def step(b: Build, s: Any, x: Any, w: Any) -> Any:
        return b(Add(), s, x), b(Exp(), w)

    def build(b: Build, x: Any, w: Any) -> Any:
        start = b.constant(np.zeros(4, np.float32))
        return scan(b, step, 1, start, x, w, slices=("f32[4]",), types=("f32[4]", ROWS))

    graph = optimize(move_invariants, build, ROWS, "f32[4]")
    assert op_names(graph) == ["Exp", "Scan"]


def gathering(b: Build, i: Any, going: Any, h: Any, table: Any, index: Any) -> Any:
    return b.constant(True), b(Add(), h, b(Gather(0), table, index))


def test_an_operator_that_may_refuse_its_inputs_moves_only_out_of_what_runs() -> None:
    def build(b: Build, x: Any, table: Any, index: Any, trips: Any) -> Any:
        return loop(b, 20, gathering, 1, x, table, b.constant(2))

    inputs = (ROWS, "f32[5, 4]", "i64[]", "i64[]")
    assert op_names(optimize(move_invariants, build, *inputs)) == ["Gather", "Loop"]
    never: Builder = lambda b, x, table, *rest: loop(b, 0, gathering, 1, x, table, b.constant(2))  # noqa: E731
    assert op_names(optimize(move_invariants, never, *inputs)) == ["Loop"]


def test_a_size_that_is_another_in_each_step_keeps_its_operator_inside() -> None:
    def step(b: Build, i: Any, going: Any, h: Any) -> Any:
        ones = b(Expand((symbol("rows"), 4)), f32(1.0))
        return going, b(Add(), h, ones)

    def build(b: Build, x: Any) -> Any:
        from kir.ir.types import parse_type
        from kir.ops.control import Loop
        from tests.passes.bodies import LOOP, body

        op = Loop((parse_type("f32[last, 4]"),), body(step, *LOOP, "f32[rows, 4]"), 1)
        return b(op, np.asarray(3), None, x)

    assert op_names(optimize(move_invariants, build)) == ["Loop"]
