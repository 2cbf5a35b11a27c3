from typing import Any

import numpy as np
import pytest

from kir.ir.dims import symbol
from kir.ir.graph import Value
from kir.ir.types import DType
from kir.ops.elementwise import Cast, Equal, Where
from kir.ops.recurrent import GRU, LSTM, SIGMOID, TANH
from kir.ops.shape import Reshape
from kir.passes.keep_states import keep_states
from tests.passes.building import Build, left, weights

BATCH = symbol("batch")
GATES = {
    LSTM: (4, LSTM(4, "forward", (SIGMOID, TANH, TANH))),
    GRU: (3, GRU(4, "forward", (SIGMOID, TANH), linear_before_reset=True)),
}


def choose(b: Build, initial: Value, final: Value, lens: Value, number: int = 0) -> Any:
    test = b(Equal(), lens, np.asarray(number, np.int32))
    return b(Where(), b(Reshape((BATCH, 1)), test), initial, final)


def recurrent(b: Build, cls: Any, x: Value, lens: Value | None, *states: Value) -> Any:
    count, op = GATES[cls]
    given = weights(1, 4 * count, 6), weights(1, 4 * count, 4), weights(1, 8 * count)
    return b(op, x, *given, lens, *states)


def lstm(slot: int, choice: Any) -> Any:
    def build(b: Build, x: Value, h: Value, c: Value, lens: Value) -> Any:
        return choice(b, (h, c)[slot - 1], recurrent(b, LSTM, x, lens, h, c)[slot], lens)

    return build


CASES = {
    "the state of an LSTM": (lstm(1, choose), ["LSTM"]),
    "its cell": (lstm(2, choose), ["LSTM"]),
    "the state of a GRU": (lambda b, x, h, c, lens: choose(b, h, recurrent(b, GRU, x, lens, h)[1], lens), ["GRU"]),
    "not of another state": (
        lambda b, x, h, c, lens: choose(b, c, recurrent(b, LSTM, x, lens, h, c)[1], lens),
        ["Equal", "LSTM", "Reshape", "Where"],
    ),
    "not of another length": (
        lstm(1, lambda b, initial, final, lens: choose(b, initial, final, lens, 1)),
        ["Equal", "LSTM", "Reshape", "Where"],
    ),
    "not the other way round": (
        lstm(1, lambda b, initial, final, lens: choose(b, final, initial, lens)),
        ["Equal", "LSTM", "Reshape", "Where"],
    ),
    "not without the lengths": (
        lambda b, x, h, c, lens: choose(b, h, recurrent(b, LSTM, x, None, h, c)[1], lens),
        ["Equal", "LSTM", "Reshape", "Where"],
    ),
}


@pytest.mark.parametrize(("build", "expected"), CASES.values(), ids=CASES)
def test_keep_states(build: Any, expected: list[str]) -> None:
    """Sequences are of no steps or of one."""

    def with_lens(b: Build, x: Value, h: Value, c: Value, any_steps: Value) -> Any:
        return build(b, x, h, c, b(Cast(DType.INT32), any_steps))

    inputs = "f32[5, batch, 6]", "f32[1, batch, 4]", "f32[1, batch, 4]", "bool[batch]"
    assert sorted(left(keep_states, with_lens, *inputs, special=False)) == sorted([*expected, "Cast"])
