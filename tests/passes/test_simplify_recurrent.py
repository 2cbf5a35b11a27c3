from typing import Any

import numpy as np
import pytest

from kir.ir.dims import symbol
from kir.ops.recurrent import GRU, LSTM, RNN, SIGMOID, TANH
from kir.ops.shape import Concat, Expand, Gather, Reshape, Slice, Transpose
from kir.passes.simplify_recurrent import simplify_recurrent
from tests.passes.building import Build, f32, op_names, optimize, weights

BATCH, TIME = symbol("batch"), symbol("time")
SEQUENCES = "f32[time, batch, 6]"
LAST, FIRST = (TIME - 1, TIME), (0, 1)


def lstm(b: Build, x: Any, *others: Any, direction: str = "forward") -> Any:
    count = 2 if direction == "bidirectional" else 1
    given = weights(count, 16, 6), weights(count, 16, 4), weights(count, 32)
    return b(LSTM(4, direction, (SIGMOID, TANH, TANH) * count), x, *given, *others)


def zeros(b: Build) -> Any:
    return b(Reshape((1, BATCH, 4)), b(Expand((BATCH, 4)), f32(0)))


def step(b: Build, y: Any, bounds: Any = LAST, axis: int = 0) -> Any:
    return b(Slice((axis,), bounds[:1], bounds[1:], (1,)), y)


def squeezed(b: Build, y: Any) -> Any:
    return b(Reshape((TIME, BATCH, 4)), y)


def of_direction(b: Build, x: Any, index: int, bounds: Any) -> Any:
    y = lstm(b, x, direction="bidirectional")[0]
    return step(b, squeezed(b, b(Slice((1,), (index,), (index + 1,), (1,)), y)), bounds)


def with_states(*states: Any) -> Any:
    return lambda b, x: lstm(b, x, None, *[state(b) for state in states])[0]


def numbers(value: float) -> Any:
    return lambda b: b(Expand((1, BATCH, 4)), f32(value))


CASES = {
    "1": (with_states(zeros, zeros), ["LSTM"]),
    "1 one of two": (with_states(zeros, numbers(1)), ["Expand", "LSTM"]),
    "1 joined": (
        lambda b, x: lstm(b, x, None, *[b(Concat(0), zeros(b), zeros(b))] * 2, direction="bidirectional")[0],
        ["LSTM"],
    ),
    "1 not others": (with_states(numbers(1), numbers(2)), ["Expand", "Expand", "LSTM"]),
    "1 not -0.0": (with_states(numbers(-0.0), numbers(-0.0)), ["Expand", "Expand", "LSTM"]),
    "2": (lambda b, x: step(b, squeezed(b, lstm(b, x)[0])), ["LSTM", "Reshape"]),
    "2 gathered": (
        lambda b, x: b(Gather(0), squeezed(b, lstm(b, x)[0]), np.asarray(-1, np.int64)),
        ["LSTM", "Reshape"],
    ),
    "2 batch first": (
        lambda b, x: step(b, b(Transpose((1, 0, 2)), squeezed(b, lstm(b, x)[0])), axis=1),
        ["LSTM", "Reshape"],
    ),
    "2 directions merged with units": (
        lambda b, x: step(b, squeezed(b, b(Transpose((0, 2, 1, 3)), lstm(b, x)[0]))),
        ["LSTM", "Reshape"],
    ),
    "2 in reverse": (
        lambda b, x: step(b, squeezed(b, lstm(b, x, direction="reverse")[0]), FIRST),
        ["LSTM", "Reshape"],
    ),
    "2 not the first": (lambda b, x: step(b, squeezed(b, lstm(b, x)[0]), FIRST), ["LSTM", "Reshape", "Slice"]),
    "2 not the last in reverse": (
        lambda b, x: step(b, squeezed(b, lstm(b, x, direction="reverse")[0])),
        ["LSTM", "Reshape", "Slice"],
    ),
    "2 not of sequences of their own length": (
        lambda b, x: step(b, b(Reshape((TIME, 3, 4)), lstm(b, x, np.asarray([1, 5, 2], np.int32))[0])),
        ["LSTM", "Reshape", "Slice"],
    ),
    "2 not of another axis": (
        lambda b, x: step(b, squeezed(b, lstm(b, x)[0]), (0, 1), axis=1),
        ["LSTM", "Reshape", "Slice"],
    ),
    "3 forwards": (lambda b, x: of_direction(b, x, 0, LAST), ["LSTM", "Slice", "Reshape"]),
    "3 backwards": (lambda b, x: of_direction(b, x, 1, FIRST), ["LSTM", "Slice", "Reshape"]),
    "3 not the other step": (lambda b, x: of_direction(b, x, 1, LAST), ["LSTM", "Slice", "Reshape", "Slice"]),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    sequences = "f32[time, 3, 6]" if "length" in case else SEQUENCES
    assert sorted(op_names(optimize(simplify_recurrent, build, sequences, special=False))) == sorted(expected)


OTHERS = RNN(4, "forward", (TANH,)), GRU(4, "forward", (SIGMOID, TANH), True)


@pytest.mark.parametrize("op", OTHERS, ids=["RNN", "GRU"])
def test_2_every_operator(op: Any) -> None:
    def build(b: Build, x: Any) -> Any:
        rows = 4 * op.gates
        y = b(op, x, weights(1, rows, 6), weights(1, rows, 4), weights(1, 2 * rows))[0]
        return step(b, squeezed(b, y))

    assert op_names(optimize(simplify_recurrent, build, SEQUENCES, special=False)) == [op.name, "Reshape"]
