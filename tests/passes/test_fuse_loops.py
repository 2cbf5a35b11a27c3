from typing import Any

import numpy as np
import pytest

from kir.ir.body import Body
from kir.ir.dims import symbol
from kir.ir.types import parse_type
from kir.ops.control import Loop, Scan
from kir.ops.elementwise import Add, Less, Mul, Relu, Tanh
from kir.ops.linear import Dense
from kir.ops.shape import Expand, Gather, Size
from kir.passes import run
from kir.passes.fuse_loops import fuse_loops
from tests.passes.building import Build, f32, left, make_feeds, op_names, weights
from tests.passes.test_fuse_steps import UNITS, gru_after, gru_before, lstm, rnn

BATCH, TIME = symbol("batch"), symbol("time")
STATE, SEQUENCE = "f32[batch, 4]", "f32[time, batch, 3]"
ONE = np.asarray(1, np.int64)


def zeros(b: Build) -> Any:
    return b(Expand((BATCH, UNITS)), f32(0))


def run_cell(cell: Any, b: Build, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
    found = cell(b, x, *states)
    return (found[0], list(found)) if isinstance(found, tuple) else (found, [found])


def loop(
    cell: Any = rnn,
    states: int = 1,
    begin: int = 0,
    pace: int = 1,
    trips: Any = None,
    place: Any = None,
    read: Any = None,
) -> Any:
    """A Loop as tf2onnx writes it: it counts by itself, and its condition compares the count with the length."""

    def build(b: Build, x: Any) -> Any:
        inner = Build("i64[]", "bool[]", "i64[]", *[STATE] * states, SEQUENCE, "i64[]")
        _, goes_on, count, *given, whole, limit = inner.inputs
        part = inner(Gather(0), whole, count if place is None else np.asarray(place, np.int64))
        output, new = run_cell(cell, inner, part, given)
        following = inner(Add(), count, pace * ONE)
        holds = inner(Less(), following, limit) if trips is None else goes_on
        shown = output if read is None else read(inner, output)
        body = Body(inner.finish((holds, following, *new, shown)))
        types = tuple(parse_type(text) for text in ["i64[]", *[STATE] * states, "f32[steps, batch, 4]"])
        length = b(Size(TIME))
        number = None if trips is None else trips(b, length)
        results = b(
            Loop(types, body, 1 + states), number, None, np.asarray(begin, np.int64), *[zeros(b)] * states, x, length
        )
        return tuple(results[1:])

    return build


def scan(cell: Any = rnn, backwards: bool = False, output_reversed: bool = False, axis: int = 0) -> Any:
    def build(b: Build, x: Any) -> Any:
        inner = Build(STATE, "f32[batch, 3]")
        output, new = run_cell(cell, inner, inner.inputs[1], inner.inputs[:1])
        body = Body(inner.finish((*new, output)))
        stacked = "f32[time, batch, 4]" if axis == 0 else "f32[batch, time, 4]"
        types = (parse_type(STATE), parse_type(stacked))
        return b(Scan(types, body, 1, (0,), (backwards,), (axis,), (output_reversed,)), zeros(b), x)

    return build


FOUND = {
    "rnn": (loop(), "RNN"),
    "gru": (loop(gru_after), "GRU"),
    "gru, reset before": (loop(gru_before), "GRU"),
    "lstm": (loop(lstm, 2), "LSTM"),
    "counted by trips": (loop(trips=lambda b, length: length), "RNN"),
    "scan": (scan(), "RNN"),
    "scan, backwards": (scan(backwards=True), "RNN"),
    "scan, backwards and turned again": (scan(backwards=True, output_reversed=True), "RNN"),
    "scan, turned": (scan(gru_after, output_reversed=True), "GRU"),
    "scan, batch first": (scan(axis=1), "RNN"),
}


@pytest.mark.parametrize("case", FOUND)
def test_loops_become_an_operator(case: str) -> None:
    build, expected = FOUND[case]
    names = left_of(build)
    assert expected in names
    assert not {"Loop", "Scan"} & set(names)


def left_of(build: Any) -> list[str]:
    """The operators that are left; a Loop may be fewer nodes than an operator with its Reshapes, and is far slower."""
    b = Build(SEQUENCE)
    graph = b.finish(build(b, *b.inputs))
    run(graph, (fuse_loops,), check=True, feeds=make_feeds(graph, special=False))
    return op_names(graph)


def mixed(b: Build, x: Any, h: Any) -> Any:
    return b(Add(), rnn(b, x, h), h)


NOT_FOUND = {
    "always the same element": loop(place=0),
    "fewer steps": loop(trips=lambda b, length: b(Add(), length, -ONE)),
    "an output that is no state": loop(read=lambda b, y: b(Mul(), y, f32(2))),
    "the state is added": loop(mixed),
    "one gate has another activation": loop(lambda b, x, h, c: lstm(b, x, h, c, forget=Relu()), 2),
    "the gates of a gru differ": loop(lambda b, x, h: gru_after(b, x, h, reset=Relu())),
    "the state is not read": loop(lambda b, x, h: b(Tanh(), b(Dense(), x, weights(3, UNITS)))),
    "scan of another recurrence": scan(mixed),
}


@pytest.mark.parametrize("case", NOT_FOUND)
def test_other_loops_stay(case: str) -> None:
    names = left(fuse_loops, NOT_FOUND[case], SEQUENCE, special=False)
    assert not {"RNN", "GRU", "LSTM"} & set(names)


def test_another_count_stays() -> None:
    for options in ({"begin": -1}, {"pace": -1}):
        b = Build(SEQUENCE)
        graph = b.finish(loop(**options)(b, *b.inputs))
        assert fuse_loops(graph) == 0
