"""Cases of the operators of kir.ops.recurrent."""

from __future__ import annotations

from typing import Any

import numpy as np

from kir.ir.types import parse_type
from kir.ops.recurrent import GRU, LSTM, RNN, SIGMOID, TANH
from tests.ops.cases import Array, Case, Sizes

UNITS, FEATURES = 4, 3

# Every sequence length from 0 to `length` may be drawn.
LONG: tuple[Sizes, ...] = ({"batch": 1, "length": 2}, {"batch": 5, "length": 6})

OPS: dict[str, Any] = {
    "rnn": lambda direction, count: RNN(UNITS, direction, (TANH,) * count),
    "gru": lambda direction, count: GRU(UNITS, direction, (SIGMOID, TANH) * count, linear_before_reset=False),
    "gru_after": lambda direction, count: GRU(UNITS, direction, (SIGMOID, TANH) * count, linear_before_reset=True),
    "lstm": lambda direction, count: LSTM(UNITS, direction, (SIGMOID, TANH, TANH) * count),
}


def weights(gates: int, count: int) -> tuple[Array, ...]:
    """Return a kernel, a recurrent kernel and a bias for `count` directions."""
    random = np.random.default_rng(gates * 10 + count)
    shapes = [(count, gates * UNITS, FEATURES), (count, gates * UNITS, UNITS), (count, 2 * gates * UNITS)]
    return tuple(random.uniform(-1, 1, shape).astype(np.float32) for shape in shapes)


def case(name: str, direction: str, *inputs: str | None, **options: Any) -> Case:
    """Return a row with drawn x, sequence_lens and initial states, given as texts of types, and constant weights."""
    count = 2 if direction == "bidirectional" else 1
    op = OPS[name](direction, count)
    x, *optional = (None if text is None else parse_type(text) for text in inputs)
    return Case(op, (x, *weights(op.gates, count), *optional), ulps=64, **options)


RECURRENT_CASES: list[Case] = [
    *(
        case(name, direction, x)
        for name in OPS
        for direction in ("forward", "reverse", "bidirectional")
        for x in (f"f32[5, 2, {FEATURES}]", f"f32[length, batch, {FEATURES}]")
    ),
    *(
        case(name, direction, f"f32[length, batch, {FEATURES}]", "i32[batch]", state, low=0, samples=LONG)
        for name in OPS
        for direction, state in (
            ("forward", None),
            ("reverse", f"f32[1, batch, {UNITS}]"),
            ("bidirectional", f"f32[2, batch, {UNITS}]"),
        )
    ),
    case("lstm", "forward", f"f32[length, batch, {FEATURES}]", None, None, f"f32[1, batch, {UNITS}]"),
    case("gru", "forward", f"f32[length, batch, {FEATURES}]", None, f"f32[1, batch, {UNITS}]"),
]
