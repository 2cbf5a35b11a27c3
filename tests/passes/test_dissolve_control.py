"""Ifs, Loops and Scans of which one knows in advance what they run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.ir.dims import symbol
from kir.ir.types import parse_type
from kir.ops.control import Loop
from kir.ops.elementwise import Add, Exp, Mul, Neg
from kir.ops.shape import Concat, Reshape, Size
from kir.passes.dissolve_control import dissolve_control
from kir.passes.simplify_control import simplify_control
from tests.passes.bodies import ROWS, STACKED, if_, loop, scan
from tests.passes.building import Build, Builder, left, optimize

negate: Builder = lambda b, x: b(Neg(), x)  # noqa: E731
power: Builder = lambda b, x: b(Exp(), x)  # noqa: E731


@pytest.mark.parametrize(("condition", "expected"), [(True, "Neg"), ([True], "Neg"), (False, "Exp")])
def test_a_known_condition_chooses_a_branch(condition: Any, expected: str) -> None:
    assert left(dissolve_control, lambda b, x: if_(b, np.asarray(condition), negate, power, x)) == [expected]


def test_equal_branches_are_one() -> None:
    build: Builder = lambda b, x, c: if_(b, c, negate, negate, x)  # noqa: E731
    assert left(dissolve_control, build, ROWS, "bool[]") == ["Neg"]


def test_different_branches_stay() -> None:
    build: Builder = lambda b, x, c: if_(b, c, negate, power, x)  # noqa: E731
    assert left(dissolve_control, build, ROWS, "bool[]") == ["If"]


def test_sizes_that_depended_on_the_branch_are_known_in_all_that_follows() -> None:
    def build(b: Build, x: Any) -> Any:
        joined = lambda b, x: b(Concat(0), x, x)  # noqa: E731
        first = if_(b, np.asarray(True), joined, negate, x, types=("f32[one, 4]",))
        second = if_(b, np.asarray(True), joined, negate, first, types=("f32[two, 4]",))
        return b(Reshape((symbol("two") * 4,)), b(Neg(), second))

    graph = optimize(dissolve_control, build)
    assert graph.outputs[0].output.type == parse_type("f32[16*batch]")


def test_a_branch_whose_type_contradicts_what_is_said_of_the_output_stays() -> None:
    build: Builder = lambda b, x: if_(b, np.asarray(True), negate, negate, x, types=("f32[2*batch, 4]",))  # noqa: E731
    b = Build(ROWS)
    graph = b.finish(build(b, *b.inputs))
    assert dissolve_control(graph) == 0


def double(b: Build, i: Any, going: Any, x: Any) -> Any:
    return going, b(Add(), x, x), b(Mul(), x, x)


@pytest.mark.parametrize("steps", [0, -3])
def test_a_loop_of_no_step_is_what_it_was_given(steps: int) -> None:
    build: Builder = lambda b, x: loop(b, steps, double, 1, x, types=(ROWS, STACKED))  # noqa: E731
    graph = optimize((simplify_control, dissolve_control), build)
    assert graph.outputs[0].inputs[0] is graph.inputs[0].output
    assert graph.outputs[1].output.type == parse_type("f32[0, batch, 4]")


def test_a_loop_whose_condition_is_false_never_begins() -> None:
    build: Builder = lambda b, x, n: loop(b, None, double, 1, x, types=(ROWS, STACKED), going=np.asarray(False))  # noqa: E731
    assert left(dissolve_control, build, ROWS, "i64[]") == ["Expand"]


def test_a_loop_of_one_step_is_that_step() -> None:
    build: Builder = lambda b, x: loop(b, 1, double, 1, x, types=(ROWS, STACKED))  # noqa: E731
    assert left((simplify_control, dissolve_control), build) == ["Add", "Mul", "Reshape"]


def test_a_scan_of_one_step_is_that_step() -> None:
    def build(b: Build, x: Any) -> Any:
        step = lambda b, s, x: (b(Add(), s, x),)  # noqa: E731
        return scan(b, step, 1, b.constant(np.zeros(4, np.float32)), x, slices=("f32[4]",), types=("f32[4]",))

    assert left(dissolve_control, build, "f32[1, 4]") == ["Reshape", "Add"]


def test_a_scan_of_one_step_stays_where_that_has_more_nodes() -> None:
    def build(b: Build, x: Any) -> Any:
        step = lambda b, s, x: (b(Add(), s, x), b(Neg(), x))  # noqa: E731
        start = b.constant(np.zeros(4, np.float32))
        return scan(b, step, 1, start, x, slices=("f32[4]",), types=("f32[4]", "f32[1, 4]"))

    assert left(dissolve_control, build, "f32[1, 4]") == ["Scan"]


@pytest.mark.parametrize("trips", [20, Size(symbol("batch"))])
def test_a_loop_stacks_as_many_results_as_it_has_steps(trips: Any) -> None:
    def build(b: Build, x: Any) -> Any:
        count = b(trips) if isinstance(trips, Size) else b.constant(trips)
        step: Builder = lambda b, i, going, x: (b.constant(True), b(Neg(), x), x)  # noqa: E731
        from tests.passes.bodies import LOOP, body

        op = Loop((parse_type(ROWS), parse_type(STACKED)), body(step, *LOOP, ROWS), 1)
        return b(op, count, None, x)[1]

    graph = optimize(dissolve_control, build)
    size = "20" if isinstance(trips, int) else "batch"
    assert graph.outputs[0].output.type == parse_type(f"f32[{size}, batch, 4]")
