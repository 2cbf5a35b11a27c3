from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kir.ir.dims import symbol
from kir.ops.elementwise import Add, Maximum, Minimum, Mul, Relu, Sigmoid, Sub, Tanh
from kir.ops.linear import Dense
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.shape import Concat, Expand, Gather, Reshape, Split
from kir.passes import PASSES
from kir.passes.fuse_steps import fuse_steps
from tests.passes.building import Build, f32, left, optimize, weights

BATCH = symbol("batch")
TIME, UNITS, SIZE = 4, 4, 3
TIME_FIRST, BATCH_FIRST = "f32[4, batch, 3]", "f32[batch, 4, 3]"

Cell = Callable[..., Any]


def slices(b: Build, x: Any) -> list[Any]:
    """Cut steps as tf2onnx does."""
    return [b(Reshape((BATCH, SIZE)), part) for part in b(Split(0, (1,) * TIME), x)]


def gathered(b: Build, x: Any, axis: int = 0) -> list[Any]:
    """Cut steps as PyTorch does."""
    return [b(Gather(axis), x, np.asarray(t, np.int64)) for t in range(TIME)]


def zeros(b: Build) -> Any:
    return b(Expand((BATCH, UNITS)), f32(0))


def stacked(b: Build, states: list[Any]) -> Any:
    return b(Concat(0), *[b(Reshape((1, BATCH, UNITS)), state) for state in states])


def kernels(gates: int, seed: int = 1) -> tuple[Any, Any, Any]:
    return (
        weights(SIZE, gates * UNITS, seed=seed),
        weights(UNITS, gates * UNITS, seed=seed + 1),
        weights(gates * UNITS, seed=seed + 2),
    )


def split(b: Build, x: Any, count: int) -> Any:
    return b(Split(1, (UNITS,) * count), x)


# One step each: from x and the states to the output and the states


def rnn(b: Build, x: Any, h: Any, activation: Any = None, seed: int = 1) -> Any:
    w, r, bias = kernels(1, seed)
    return b(activation or Tanh(), b(Add(), b(Dense(), x, w, bias), b(Dense(), h, r)))


def gru_after(b: Build, x: Any, h: Any, gate: Any = None, reset: Any = None, order: Any = (0, 1, 2)) -> Any:
    w, r, bias = kernels(3)
    parts, hidden = split(b, b(Dense(), x, w, bias), 3), split(b, b(Dense(), h, r, weights(12, seed=9)), 3)
    update, reset_at, new = order
    z = b(gate or Sigmoid(), b(Add(), parts[update], hidden[update]))
    opened = b(reset or Sigmoid(), b(Add(), parts[reset_at], hidden[reset_at]))
    n = b(Tanh(), b(Add(), parts[new], b(Mul(), opened, hidden[new])))
    return b(Add(), b(Mul(), z, h), b(Mul(), b(Sub(), f32(1), z), n))


def gru_before(b: Build, x: Any, h: Any, mirrored: bool = True, gate: Any = None, read: Any = None) -> Any:
    """TensorFlow's old GRUCell: one product for both gates of x and h side by side."""
    both = b(Dense(), b(Concat(1), x, h), weights(SIZE + UNITS, 2 * UNITS), weights(2 * UNITS, seed=3))
    r, z = split(b, b(gate or Sigmoid(), both), 2)
    joined = b(Concat(1), x, b(Mul(), r, h if read is None else read))
    n = b(Tanh(), b(Dense(), joined, weights(SIZE + UNITS, UNITS, seed=4)))
    kept, new = (n, h) if mirrored else (h, n)
    return b(Add(), new, b(Mul(), z, b(Sub(), kept, new)))


def lstm(b: Build, x: Any, h: Any, c: Any, forget: Any = None, order: Any = (0, 1, 2, 3)) -> Any:
    w, r, bias = kernels(4)
    parts = split(b, b(Add(), b(Add(), b(Dense(), x, w), b(Dense(), h, r)), bias), 4)
    i, f, g, o = (parts[place] for place in order)
    kept = b(Mul(), b(forget or Sigmoid(), f), c)
    c = b(Add(), kept, b(Mul(), b(Sigmoid(), i), b(Tanh(), g)))
    return b(Mul(), b(Sigmoid(), o), b(Tanh(), c)), c


def hard(b: Build, x: Any, h: Any) -> Any:
    w, r, bias = kernels(1)
    total = b(Add(), b(Dense(), x, w, bias), b(Dense(), h, r))
    scaled = b(Add(), b(Mul(), total, f32(0.2)), f32(0.5))
    return b(Maximum(), b(Minimum(), scaled, f32(1)), f32(0))


def run_steps(cell: Cell, cut: Any = slices, backwards: bool = False, first: Any = zeros) -> Any:
    def build(b: Build, x: Any) -> list[Any]:
        h = first(b)
        states = []
        for part in cut(b, x)[:: -1 if backwards else 1]:
            h = cell(b, part, h)
            states.append(h)
        return states

    return build


def last(cell: Cell, **options: Any) -> Any:
    return lambda b, x: run_steps(cell, **options)(b, x)[-1]


def every(cell: Cell, **options: Any) -> Any:
    return lambda b, x: stacked(b, run_steps(cell, **options)(b, x))


def run_lstm(b: Build, x: Any, read: str = "hc", **options: Any) -> Any:
    h, c = zeros(b), zeros(b)
    outputs, cells = [], []
    for part in gathered(b, x):
        h, c = lstm(b, part, h, c, **options)
        outputs.append(h)
        cells.append(c)
    results = {"h": h, "c": c, "y": stacked(b, outputs), "inner": cells[1]}
    return tuple(results[name] for name in read.split())


FOUND = {
    "rnn": (last(rnn), ["RNN", "Reshape"]),
    "rnn, all outputs": (every(rnn), ["RNN", "Reshape"]),
    "rnn, backwards": (last(rnn, backwards=True), ["RNN", "Reshape"]),
    "rnn, all outputs backwards": (every(rnn, backwards=True), ["RNN", "Reshape", "Slice"]),
    "rnn, relu": (last(lambda b, x, h: rnn(b, x, h, Relu())), ["RNN", "Reshape"]),
    "rnn, hard sigmoid": (last(hard), ["RNN", "Reshape"]),
    "rnn, a first state": (
        last(rnn, first=lambda b: b(Expand((BATCH, UNITS)), f32(0.5))),
        ["Expand", "RNN", "Reshape"],
    ),
    "gru, reset after": (last(gru_after), ["GRU", "Reshape"]),
    "gru, gathered": (every(gru_after, cut=gathered), ["GRU", "Reshape"]),
    "gru, other order": (last(lambda b, x, h: gru_after(b, x, h, order=(1, 2, 0))), ["GRU", "Reshape"]),
    "gru, reset before": (last(lambda b, x, h: gru_before(b, x, h, False)), ["GRU", "Reshape"]),
    "gru, update turned around": (last(gru_before), ["GRU", "Reshape"]),
    "lstm": (lambda b, x: run_lstm(b, x, "h c y"), ["LSTM", "Reshape", "Reshape", "Reshape"]),
    "lstm, other order": (lambda b, x: run_lstm(b, x, "h", order=(3, 1, 0, 2)), ["LSTM", "Reshape"]),
    "two layers": (
        lambda b, x: run_steps(
            lambda b, x, h: b(Tanh(), b(Add(), b(Dense(), x, weights(4, 4)), b(Dense(), h, weights(4, 4, seed=7)))),
            cut=lambda b, x: run_steps(rnn)(b, x),
        )(b, x)[-1],
        ["RNN", "Reshape", "RNN", "Reshape"],
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_steps_become_an_operator(case: str) -> None:
    build, expected = FOUND[case]
    assert left(PASSES, build, TIME_FIRST, special=False) == expected


def test_time_after_batch() -> None:
    names = left(PASSES, last(rnn, cut=lambda b, x: gathered(b, x, 1)), BATCH_FIRST, special=False)
    assert names == ["Transpose", "RNN", "Reshape"]


def test_some_steps_of_a_sequence() -> None:
    names = left(fuse_steps, last(rnn, cut=lambda b, x: gathered(b, x)[1:]), TIME_FIRST, special=False)
    assert names[-3:] == ["RNN", "Reshape", "Gather"]


def test_a_first_step_whose_zeros_were_folded() -> None:
    def build(b: Build, x: Any) -> Any:
        parts = slices(b, x)
        w, _, bias = kernels(1)
        h = b(Tanh(), b(Dense(), parts[0], w, bias))
        for part in parts[1:]:
            h = rnn(b, part, h)
        return h

    assert left(PASSES, build, TIME_FIRST, special=False) == ["RNN", "Reshape"]


def test_attributes() -> None:
    def find(build: Any, kind: type[Any]) -> Any:
        graph = optimize(fuse_steps, build, TIME_FIRST, special=False)
        return next(node.op for node in graph.order() if isinstance(node.op, kind))

    assert find(last(gru_after), GRU).linear_before_reset
    assert not find(last(gru_before), GRU).linear_before_reset
    assert find(last(rnn, backwards=True), RNN).direction == "reverse"
    assert find(lambda b, x: run_lstm(b, x, "h"), LSTM).direction == "forward"
    assert find(last(hard), RNN).activations == (("HardSigmoid", 1.0, 0.0),)


def alternating(b: Build, x: Any) -> Any:
    h = zeros(b)
    for number, part in enumerate(slices(b, x)):
        h = rnn(b, part, h, seed=1 + 5 * (number % 2))
    return h


NOT_FOUND = {
    "weights alternate": alternating,
    "one gate has another activation": lambda b, x: run_lstm(b, x, "h", forget=Relu()),
    "the gates of a gru differ": last(lambda b, x, h: gru_after(b, x, h, reset=Relu())),
    "an update turned around that is no sigmoid": last(lambda b, x, h: gru_before(b, x, h, gate=Relu())),
    "the reset state is another value": last(lambda b, x, h: gru_before(b, x, h, read=zeros(b))),
    "a number differs": last(
        lambda b, x, h: b(Add(), b(Mul(), f32(0.5), h), b(Mul(), b(Sub(), f32(2), rnn(b, x, h)), rnn(b, x, h)))
    ),
    "the state is added": last(lambda b, x, h: b(Add(), rnn(b, x, h), h)),
    "the cell of a step is read": lambda b, x: run_lstm(b, x, "h inner"),
    "steps out of order": last(rnn, cut=lambda b, x: [gathered(b, x)[t] for t in (2, 0, 3, 1)]),
    "one step": lambda b, x: rnn(b, slices(b, x)[0], zeros(b)),
}


@pytest.mark.parametrize("case", NOT_FOUND)
def test_other_steps_stay(case: str) -> None:
    names = left(fuse_steps, NOT_FOUND[case], TIME_FIRST, special=False)
    assert not {"RNN", "GRU", "LSTM"} & set(names)


def test_steps_that_are_read_inside_stay() -> None:
    def build(b: Build, x: Any) -> Any:
        h, totals = zeros(b), []
        w, r, bias = kernels(1)
        for part in slices(b, x):
            totals.append(b(Add(), b(Dense(), part, w, bias), b(Dense(), h, r)))
            h = b(Tanh(), totals[-1])
        return h, totals[2]

    assert "RNN" not in left(fuse_steps, build, TIME_FIRST, special=False)
