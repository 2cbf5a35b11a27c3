"""RNN, GRU and LSTM with all that ONNX has: peepholes, clipped gates, coupled gates, both layouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kir.ir.op import Array
from kir.ops.meanings.table import along, means
from kir.ops.recurrent import FUNCTIONS, Function

# Of activations with parameters: their defaults.
ALPHA = {"LeakyRelu": 0.01, "Elu": 1.0, "ThresholdedRelu": 1.0, "HardSigmoid": 0.2, "Affine": 0.0, "ScaledTanh": 0.0}
BETA = {"HardSigmoid": 0.5, "Affine": 0.0, "ScaledTanh": 0.0}
WITHOUT_DEFAULT = ("affine", "scaledtanh")  # ONNX has no such operators any more
ATTRIBUTES = (
    *("activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size", "layout"),
    "output_sequence",
)
KNOWN = {name.lower(): name for name in FUNCTIONS}

# From the product of the input at a step with the weights, and the states, to the next states.
Step = Callable[[Array, list[Array]], list[Array]]


def has_known_activations(settings: Mapping[str, Any], types: object) -> bool:
    """Return whether all activations are known, with what they cannot do without."""
    names = [name.lower() for name in settings.get("activations", ())]
    lacks_parameters = not settings.get("activation_alpha") and any(name in WITHOUT_DEFAULT for name in names)
    return all(name in KNOWN for name in names) and not lacks_parameters


@means("RNN", more=ATTRIBUTES, ranges={4: along(0, 0, extra=1)}, when=has_known_activations)
def rnn(x: Array, kernel: Array, recurrent: Array, *optional: Array | None, **how: Any) -> tuple[Array, ...]:
    """Return the states after each step, and the last ones."""
    return _run(_rnn_step, ("Tanh",), 1, x, kernel, recurrent, optional, how)


@means("GRU", more=(*ATTRIBUTES, "linear_before_reset"), ranges={4: along(0, 0, extra=1)}, when=has_known_activations)
def gru(x: Array, kernel: Array, recurrent: Array, *optional: Array | None, **how: Any) -> tuple[Array, ...]:
    """Return the states after each step, and the last ones."""
    return _run(_gru_step, ("Sigmoid", "Tanh"), 1, x, kernel, recurrent, optional, how)


@means("LSTM", more=(*ATTRIBUTES, "input_forget"), ranges={4: along(0, 0, extra=1)}, when=has_known_activations)
def lstm(x: Array, kernel: Array, recurrent: Array, *optional: Array | None, **how: Any) -> tuple[Array, ...]:
    """Return the states after each step, the last ones, and the last states of the cells."""
    return _run(_lstm_step, ("Sigmoid", "Tanh", "Tanh"), 2, x, kernel, recurrent, optional, how)


MakeStep = Callable[[Sequence[Function], Array, Array, Array, dict[str, object]], Step]


def _run(
    make_step: MakeStep,
    defaults: tuple[str, ...],
    states: int,
    x: Array,
    kernel: Array,
    recurrent: Array,
    optional: tuple[Array | None, ...],
    how: dict[str, Any],
) -> tuple[Array, ...]:
    given = [*optional, *[None] * (5 - len(optional))]
    bias, lengths, rest = given[0], given[1], given[2:]
    units, directions = recurrent.shape[2], len(kernel)
    is_batch_first = bool(how.get("layout"))
    x = x.swapaxes(0, 1) if is_batch_first else x
    initial = [
        np.zeros((directions, x.shape[1], units), x.dtype)
        if state is None
        else (state.swapaxes(0, 1) if is_batch_first else state)
        for state in rest[:states]
    ]
    views = rest[2] if states == 2 else None
    peepholes = np.zeros((directions, 3 * units), x.dtype) if views is None else views
    bias = np.zeros((directions, 2 * kernel.shape[1]), x.dtype) if bias is None else bias
    lengths = np.full(x.shape[1], len(x)) if lengths is None else lengths
    functions = _functions(defaults * directions, how)
    outputs, finals = [], []
    for direction in range(directions):
        own = functions[direction * len(defaults) : (direction + 1) * len(defaults)]
        input_bias, state_bias = np.split(bias[direction], 2)
        step = make_step(own, recurrent[direction], state_bias, peepholes[direction], how)
        is_backwards = how.get("direction") == "reverse" or direction == 1
        gates = x @ kernel[direction].T + input_bias
        output, final = _steps(step, gates, [state[direction] for state in initial], lengths, is_backwards)
        outputs.append(output)
        finals.append(final)
    y = np.stack(outputs, 1)
    lasts = [np.stack([final[number] for final in finals]) for number in range(states)]
    if is_batch_first:
        y, lasts = y.transpose(2, 0, 1, 3), [last.swapaxes(0, 1) for last in lasts]
    return y, *lasts


def _steps(step: Step, gates: Array, states: list[Array], lengths: Array, backwards: bool) -> tuple[Array, list[Array]]:
    """Return the outputs [time, batch, units], 0 after a sequence's end, and the last states."""
    output = np.zeros((*gates.shape[:2], states[0].shape[-1]), gates.dtype)
    rows = np.arange(gates.shape[1])
    for number in range(len(gates)):
        place = np.maximum(lengths - 1 - number, 0) if backwards else np.full(len(rows), number)
        is_running = (number < lengths)[:, None]
        following = step(gates[place, rows], states)
        states = [np.where(is_running, new, old) for new, old in zip(following, states, strict=True)]
        output[place, rows] = np.where(is_running, states[0], output[place, rows])
    return output, states


def _functions(defaults: tuple[str, ...], how: dict[str, Any]) -> list[Function]:
    names = [str(name) for name in how.get("activations", defaults)]
    alphas, betas = iter(how.get("activation_alpha", ())), iter(how.get("activation_beta", ()))
    return [
        FUNCTIONS[name](
            next(alphas, ALPHA[name]) if name in ALPHA else 0.0, next(betas, BETA[name]) if name in BETA else 0.0
        )
        for name in (KNOWN[name.lower()] for name in names)
    ]


def _clipped(x: Array, how: dict[str, Any]) -> Array:
    """Return what goes into an activation, within the bounds that the attribute `clip` sets."""
    limit = float(how.get("clip", 0.0) or 0.0)
    return np.clip(x, -limit, limit) if limit else x


def _rnn_step(functions: Sequence[Function], recurrent: Array, bias: Array, _: Array, how: dict[str, Any]) -> Step:
    (f,) = functions
    return lambda gates, states: [f(_clipped(gates + states[0] @ recurrent.T + bias, how))]


def _gru_step(functions: Sequence[Function], recurrent: Array, bias: Array, _: Array, how: dict[str, Any]) -> Step:
    f, g = functions
    units = recurrent.shape[1]

    def step(gates: Array, states: list[Array]) -> list[Array]:
        (h,) = states
        opened = gates[:, : 2 * units] + h @ recurrent[: 2 * units].T + bias[: 2 * units]
        z, r = np.split(f(_clipped(opened, how)), 2, 1)
        if how.get("linear_before_reset"):
            hidden = r * (h @ recurrent[2 * units :].T + bias[2 * units :])
        else:
            hidden = (r * h) @ recurrent[2 * units :].T + bias[2 * units :]
        n = g(_clipped(gates[:, 2 * units :] + hidden, how))
        return [(1 - z) * n + z * h]

    return step


def _lstm_step(
    functions: Sequence[Function], recurrent: Array, bias: Array, peepholes: Array, how: dict[str, Any]
) -> Step:
    f, g, h = functions
    input_view, output_view, forget_view = np.split(peepholes, 3)

    def step(gates: Array, states: list[Array]) -> list[Array]:
        output, cell = states
        i, o, forget, c = np.split(gates + output @ recurrent.T + bias, 4, 1)
        i = f(_clipped(i + input_view * cell, how))
        forget = 1 - i if how.get("input_forget") else f(_clipped(forget + forget_view * cell, how))
        cell = forget * cell + i * g(_clipped(c, how))
        return [f(_clipped(o + output_view * cell, how)) * h(cell), cell]

    return step
