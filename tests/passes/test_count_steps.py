"""Loops whose number of steps can be counted in advance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.ir.interpreter import run as interpret
from kir.ir.structural import Constant
from kir.ir.types import DType
from kir.ops.control import Loop
from kir.ops.elementwise import Add, Cast, Less, Neg
from kir.passes.count_steps import count_steps
from tests.passes.bodies import ROWS, loop
from tests.passes.building import Build, Builder, make_feeds


def steps(build: Builder, *inputs: str) -> int | None:
    """Return how many trips the Loop has after the pass, None if these are not known."""
    b = Build(*(inputs or (ROWS,)))
    graph = b.finish(build(b, *b.inputs))
    feeds = make_feeds(graph)
    before = interpret(graph, feeds)
    count_steps(graph)
    graph.check()
    np.testing.assert_array_equal(interpret(graph, feeds)["y0"], before["y0"])
    (node,) = (node for node in graph.order() if isinstance(node.op, Loop))
    trips = node.inputs[0]
    return int(trips.node.op.value.array) if trips is not None and isinstance(trips.node.op, Constant) else None


def counting(b: Build, i: Any, going: Any, count: Any, x: Any) -> Any:
    count = b(Add(), count, np.asarray(2))
    return b(Less(), count, np.asarray(17)), count, b(Neg(), x)


def counted(trips: Any, start: Any, step: Builder = counting) -> Builder:
    def build(b: Build, x: Any, *rest: Any) -> Any:
        first = rest[0] if start is None else b.constant(start)
        return loop(b, trips, step, 2, first, x, types=("i64[]", ROWS))[1]

    return build


@pytest.mark.parametrize(
    ("trips", "start", "expected"),
    [(None, 3, 7), (None, 100, 1), (None, 15, 1), (2**31, 3, 7), (4, 3, 4), (0, 3, 0), (None, 13, 2), (None, 12, 3)],
)
def test_steps_are_counted(trips: Any, start: int, expected: int) -> None:
    assert steps(counted(trips, start)) == expected


def test_a_condition_may_depend_on_the_number_of_the_step() -> None:
    step: Builder = lambda b, i, going, k, x: (b(Less(), i, np.asarray(9)), k, b(Neg(), x))  # noqa: E731
    assert steps(counted(None, 0, step)) == 10


def test_what_depends_on_an_input_is_not_counted() -> None:
    assert steps(counted(50, None), ROWS, "i64[]") == 50  # as it was


def test_what_depends_on_floats_is_not_counted() -> None:
    def step(b: Build, i: Any, going: Any, k: Any, x: Any) -> Any:
        return b(Less(), b(Cast(DType.FLOAT32), k), np.asarray(9, np.float32)), b(Add(), k, np.asarray(1)), b(Neg(), x)

    b = Build(ROWS)
    graph = b.finish(counted(None, 0, step)(b, *b.inputs))
    assert count_steps(graph) == 0


def test_a_loop_that_never_ends_is_left_alone() -> None:
    step: Builder = lambda b, i, going, k, x: (b(Less(), k, np.asarray(9)), k, b(Neg(), x))  # noqa: E731
    b = Build(ROWS)
    graph = b.finish(counted(None, 0, step)(b, *b.inputs))
    assert count_steps(graph) == 0
