"""Ifs, Loops and Scans that carry, capture or compute more than is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.ir.control import ControlOp
from kir.ir.graph import Graph, Node
from kir.ir.structural import Constant
from kir.ops.control import Loop, Scan
from kir.ops.elementwise import Abs, Add, Exp, Less, Mul, Neg, Not, Where
from kir.passes.simplify_control import simplify_control
from tests.passes.bodies import ROWS, STACKED, if_, inner_names, loop, scan
from tests.passes.building import Build, Builder, op_names, optimize


def simplified(build: Builder, *inputs: str) -> tuple[Graph, Node]:
    """Return the graph after the pass, and its node with graphs inside."""
    graph = optimize(simplify_control, build, *inputs)
    (node,) = (node for node in graph.order() if isinstance(node.op, ControlOp))
    return graph, node


def keep(b: Build, x: Any, *rest: Any) -> Any:
    return b(Neg(), x)


def test_an_output_that_nothing_reads_goes_with_what_computes_it() -> None:
    def build(b: Build, x: Any, condition: Any) -> Any:
        two = lambda b, x: (b(Neg(), x), b(Exp(), x))  # noqa: E731
        return if_(b, condition, two, two, x, types=(ROWS, ROWS))[0]

    graph, _ = simplified(build, ROWS, "bool[]")
    assert inner_names(graph) == ["Neg", "Neg"]


def test_a_state_on_which_nothing_but_itself_depends_goes() -> None:
    def step(b: Build, i: Any, going: Any, x: Any, y: Any, z: Any) -> Any:
        return going, b(Neg(), x), b(Exp(), b(Add(), y, z)), b(Abs(), z)

    def build(b: Build, x: Any) -> Any:
        return loop(b, 20, step, 3, x, x, x, types=(ROWS,) * 3)[0]

    graph, node = simplified(build)
    assert inner_names(graph) == ["Neg"]
    assert isinstance(node.op, Loop)
    assert node.op.carried == 1


def test_a_state_on_which_one_that_is_read_depends_stays() -> None:
    def step(b: Build, i: Any, going: Any, x: Any, y: Any) -> Any:
        return going, b(Add(), x, y), b(Abs(), y)

    graph, _ = simplified(lambda b, x: loop(b, 20, step, 2, x, x, types=(ROWS, ROWS))[0])
    assert inner_names(graph) == ["Add", "Abs"]


def test_a_state_on_which_the_condition_depends_stays() -> None:
    def step(b: Build, i: Any, going: Any, count: Any, x: Any) -> Any:
        count = b(Add(), count, np.asarray(1))
        return b(Less(), count, np.asarray(5)), count, b(Neg(), x)

    graph, _ = simplified(lambda b, x, start: loop(b, 9, step, 2, start, x, types=("i64[]", ROWS))[1], ROWS, "i64[]")
    assert sorted(inner_names(graph)) == ["Add", "Less", "Neg"]


def test_a_state_that_is_handed_on_is_captured() -> None:
    def step(b: Build, i: Any, going: Any, x: Any, w: Any) -> Any:
        return going, b(Add(), x, w), w, b(Mul(), w, x)

    def build(b: Build, x: Any, w: Any) -> Any:
        return loop(b, 20, step, 2, x, w, types=(ROWS, ROWS, STACKED))

    graph, node = simplified(build, ROWS, ROWS)
    assert isinstance(node.op, Loop)
    assert (node.op.carried, len(node.inputs)) == (1, 4)
    assert graph.outputs[1].inputs[0] is graph.inputs[1].output


def test_captured_values_are_captured_once_and_constants_are_inside() -> None:
    weights = np.ones((1, 4), np.float32)

    def branch(b: Build, x: Any, same: Any, w: Any, unread: Any) -> Any:
        return b(Add(), b(Mul(), x, w), same)

    def build(b: Build, x: Any, condition: Any) -> Any:
        return if_(b, condition, branch, keep, x, x, b.constant(weights, "w"), x)

    _, node = simplified(build, ROWS, "bool[]")
    assert len(node.inputs) == 2
    then = node.op.bodies()[0].graph
    (inside,) = (one.op for one in then.order() if isinstance(one.op, Constant))
    assert inside.value.array is weights
    assert inside.label == "w"


@pytest.mark.parametrize("condition", ["bool[]", "bool[1]"])
def test_the_condition_is_known_in_each_branch(condition: str) -> None:
    def branch(b: Build, given: Any, x: Any) -> Any:
        return b(Where(), given, b(Neg(), x), x)

    _, node = simplified(lambda b, x, given: if_(b, given, branch, branch, given, x), ROWS, condition)
    found = [
        one.op.value.array.all()
        for body in node.op.bodies()
        for one in body.graph.order()
        if isinstance(one.op, Constant)
    ]
    assert found == [True, False]


def test_a_negated_condition_swaps_the_branches() -> None:
    other: Builder = lambda b, x: b(Exp(), x)  # noqa: E731
    graph, _ = simplified(lambda b, x, c: if_(b, b(Not(), c), keep, other, x), ROWS, "bool[]")
    assert op_names(graph) == ["If"]
    assert inner_names(graph) == ["Exp", "Neg"]


def test_an_output_that_is_the_same_in_both_branches_is_that_value() -> None:
    def build(b: Build, x: Any, y: Any, condition: Any) -> Any:
        then = lambda b, x, y: (y, b(Neg(), x), b.constant([1.0, 2.0]))  # noqa: E731
        other = lambda b, x, y: (y, x, b.constant([1.0, 2.0]))  # noqa: E731
        return if_(b, condition, then, other, x, y, types=(ROWS, ROWS, "f64[2]"))

    graph, node = simplified(build, ROWS, ROWS, "bool[]")
    assert len(node.outputs) == 1
    assert graph.outputs[0].inputs[0] is graph.inputs[1].output
    assert isinstance(graph.outputs[2].inputs[0].node.op, Constant)  # type: ignore[union-attr]


def test_an_if_all_of_whose_outputs_are_decided_is_gone() -> None:
    graph = optimize(simplify_control, lambda b, x, c: if_(b, c, lambda b, x: x, lambda b, x: x, x), ROWS, "bool[]")
    assert op_names(graph) == []


def test_equal_outputs_are_one() -> None:
    def step(b: Build, i: Any, going: Any, x: Any) -> Any:
        y = b(Neg(), x)
        return going, b(Exp(), x), y, y

    _, node = simplified(lambda b, x: loop(b, 20, step, 1, x, types=(ROWS, STACKED, STACKED)))
    assert len(node.outputs) == 2


def test_the_condition_of_a_loop_holds_inside_and_is_absent_where_it_begins_true() -> None:
    def build(b: Build, x: Any) -> Any:
        return loop(b, 20, lambda b, i, going, x: (going, b(Neg(), x)), 1, x, going=np.asarray(True))

    _, node = simplified(build)
    assert node.inputs[1] is None
    following = node.op.bodies()[0].graph.outputs[0].inputs[0]
    assert isinstance(following.node.op, Constant)


def test_a_scan_keeps_only_sequences_that_it_reads() -> None:
    def build(b: Build, x: Any, y: Any) -> Any:
        step = lambda b, s, x, y: (b(Add(), s, x), x)  # noqa: E731
        start = np.zeros(4, np.float32)
        return scan(b, step, 1, b.constant(start), x, y, slices=("f32[4]",) * 2, types=("f32[4]", ROWS))

    graph, node = simplified(build, ROWS, ROWS)
    assert isinstance(node.op, Scan)
    assert node.op.axes == (0,)
    assert len(node.outputs) == 1
    assert graph.outputs[1].inputs[0] is graph.inputs[0].output


def test_a_scan_that_reads_no_sequence_keeps_one_to_count_steps() -> None:
    def build(b: Build, x: Any, y: Any) -> Any:
        step = lambda b, s, x, y: (b(Add(), s, s),)  # noqa: E731
        return scan(b, step, 1, b.constant(np.ones(4, np.float32)), x, y, slices=("f32[4]",) * 2, types=("f32[4]",))

    _, node = simplified(build, ROWS, ROWS)
    assert isinstance(node.op, Scan)
    assert node.op.axes == (0,)
