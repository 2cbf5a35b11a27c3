"""What natural inputs show of operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.ir.graph import Graph, Node
from kir.ir.op import Array, Op
from kir.ir.structural import Input
from kir.ir.types import type_of
from kir.numerics.coverage import Coverage
from kir.ops.control import If
from kir.ops.elementwise import Clip, Greater, Maximum, Relu, Round, Sigmoid, Tanh, Where
from kir.ops.lookup import Lookup
from kir.ops.nn import Softmax
from kir.ops.reduce import ArgMax
from kir.ops.shape import Gather, Reshape
from tests.passes.bodies import body
from tests.passes.building import Builder

X = np.linspace(-2, 2, 9, dtype=np.float32)


def node_of(op: Op, *inputs: Array | None) -> Node:
    graph = Graph()
    given = [x if x is None else graph.add(Input(f"x{i}", type_of(x))).output for i, x in enumerate(inputs)]
    return graph.add(op, *given)


def why(op: Op, *runs: tuple[Array | None, ...]) -> str:
    """Return why some runs of an operator say little of it; "" if they say enough."""
    node, coverage = node_of(op, *runs[0]), Coverage()
    for inputs in runs:
        y: Any = op.eval(*inputs)
        coverage.add(node, op, inputs, y)
    return coverage.weak().get(node, "")


@pytest.mark.parametrize(
    ("op", "inputs", "reason"),
    [
        (Reshape((3, 3)), (X,), ""),
        (Reshape((3, 3)), (X * 0 + 2,), "its result is 2 on all probes"),
        (Reshape((0, 3)), (X[:0],), "no probe gave it an element"),
        (Tanh(), (X * np.float32(np.nan),), "its result is NaN or infinite on all probes"),
        (Tanh(), (X,), ""),
        (Tanh(), (np.array([-50, 40], np.float32),), "it is saturated on all probes"),
        (Sigmoid(), (np.array([-50, 40], np.float32),), "it is saturated on all probes"),
        (Softmax(0), (np.array([-50, 40], np.float32),), "it is saturated on all probes"),
        (Softmax(0), (X,), ""),
        (Relu(), (X,), ""),
        (Relu(), (X - 9,), "its result is 0 on all probes"),
        (Relu(), (X + 9,), "not seen: x below 0"),
        (Clip(), (X, np.float32(-1), np.float32(1)), ""),
        (Clip(), (X, np.float32(-1), np.float32(7)), "not seen: x above its range"),
        (Clip(), (X, np.float32(-1), None), ""),
        (Greater(), (X, X[::-1]), ""),
        (Greater(), (X, X + 1), "its result is 0 on all probes"),
        (Greater(), (X, X[::-1] + np.float32(0.1)), "not seen: a equal to b"),
        (Maximum(), (X, X - 1), "not seen: a below b, a equal to b"),
        (Where(), (X > 0, X, X), ""),
        (Where(), (X > 9, X, X), "not seen: the condition true"),
        (Round(), (X,), ""),
        (Round(), (X + np.float32(0.1),), "not seen: halves"),
        (ArgMax(0, False), (np.stack([X, X[::-1]]),), ""),
        (ArgMax(0, False), (np.stack([X, X[::-1] + np.float32(0.1)]),), "not seen: equal elements"),
        (Gather(0), (X, np.arange(9)), ""),
        (Gather(0), (X, np.array([0, -1, 8])), "2 of 9 rows were read"),
        (Lookup((1, 2), (5, 6), 0), (np.array([1, 2, 3]),), ""),
        (Lookup((1, 2), (5, 6), 0), (np.array([1, 2]),), "2 of 3 rows were read"),
    ],
    ids=str,
)
def test_what_one_run_shows(op: Op, inputs: tuple[Array | None, ...], reason: str) -> None:
    assert why(op, inputs) == reason


def test_runs_show_more_together() -> None:
    assert why(Relu(), (X + 9,), (X - 9,)) == ""
    assert why(Reshape((9,)), (X * 0 + 2,), (X * 0 + 3,)) == ""
    assert why(Gather(0), (X, np.arange(5)), (X, np.arange(5) + 4)) == ""


def test_a_branch_that_no_probe_takes_is_not_seen() -> None:
    other: Builder = lambda b, x: b(Sigmoid(), x)  # noqa: E731
    op = If((type_of(X),), body(lambda b, x: b(Relu(), x), "f32[9]"), body(other, "f32[9]"))
    yes, no = np.asarray(True), np.asarray(False)
    assert why(op, (yes, X), (yes, -X)) == "not seen: the condition false"
    assert why(op, (yes, X), (no, -X)) == ""
