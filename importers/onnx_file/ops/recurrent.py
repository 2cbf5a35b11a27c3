"""RNN, GRU and LSTM."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from kir.errors import ShapeError, UnsupportedError
from kir.importers.onnx_file.ops.table import IMPORTERS, Results
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ops.onnx_forms import TAKES_ALPHA, TAKES_BETA
from kir.ops.recurrent import GRU, LSTM, RNN, Activation
from kir.ops.shape import Transpose

ACTIVATION_DEFAULTS: dict[str, tuple[float, float]] = {
    "Affine": (1.0, 0.0),
    "Elu": (1.0, 0.0),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01, 0.0),
    "ScaledTanh": (1.0, 1.0),
    "ThresholdedRelu": (1.0, 0.0),
}


def _recurrent(
    cls: type[RNN | GRU | LSTM],
    defaults: tuple[str, ...],
    call: OperatorCall,
    x: Operand,
    kernel: Operand,
    recurrent: Operand,
    *others: Operand | None,
) -> Results:
    bias, lens, *initial = (*others, *[None] * 5)[:5]
    if initial[2] is not None or (initial[1] is not None and cls is not LSTM):
        raise UnsupportedError(f"kir has no {cls.__name__} with peephole weights")
    if call.attributes.has("clip"):
        raise UnsupportedError(f"kir has no {cls.__name__} with clip")
    if call.attributes.integer("input_forget", 0):
        raise UnsupportedError(f"kir has no {cls.__name__} with input_forget=1")
    batch_first = bool(call.attributes.integer("layout", 0))
    direction = call.attributes.text("direction", "forward")
    if recurrent.type.rank != 3 or kernel.type.rank != 3:
        raise ShapeError(f"{cls.__name__} received weights {kernel.type} and {recurrent.type}; expected rank 3")
    units = call.attributes.integer("hidden_size", None) or recurrent.type.shape[-1]
    fields: dict[str, Any] = {"units": units, "direction": direction}
    fields["activations"] = _activations(call, defaults * (2 if direction == "bidirectional" else 1))
    if cls is GRU:
        fields["linear_before_reset"] = bool(call.attributes.integer("linear_before_reset", 0))
    if bias is None:
        wanted = (kernel.type.shape[0], 2 * kernel.type.shape[1])
        shape = [size for size in wanted if isinstance(size, int) and size <= 1 << 24]
        if len(shape) != len(wanted):
            raise UnsupportedError(f"{cls.__name__} without a bias has a kernel {kernel.type} of unknown size")
        bias = call.translator.constant(np.zeros(shape), x.type.dtype)
    states = [state and _turn(call, state, (1, 0, 2)) if batch_first else state for state in initial[: cls.states]]
    given = [_turn(call, x, (1, 0, 2)) if batch_first else x, kernel, recurrent, bias, lens, *states]
    while given[-1] is None:
        given.pop()
    results = call.translator.add_all(cls(**fields), *given)
    if not batch_first:
        return results
    return [_turn(call, results[0], (2, 0, 1, 3)), *(_turn(call, state, (1, 0, 2)) for state in results[1:])]


def _turn(call: OperatorCall, x: Operand, permutation: tuple[int, ...]) -> Operand:
    return call.add(Transpose(permutation), x)


def _activations(call: OperatorCall, defaults: tuple[str, ...]) -> tuple[Activation, ...]:
    """Return the activations; ONNX lists alpha and beta of those that take one, in order."""
    names = call.attributes.texts("activations", defaults)
    alphas = iter(call.attributes.numbers("activation_alpha", ()))
    betas = iter(call.attributes.numbers("activation_beta", ()))
    result: list[Activation] = []
    for name in names:
        alpha, beta = ACTIVATION_DEFAULTS.get(name, (0.0, 0.0))
        alpha = next(alphas, alpha) if name in TAKES_ALPHA else 0.0
        beta = next(betas, beta) if name in TAKES_BETA else 0.0
        result.append((name, alpha, beta))
    return tuple(result)


IMPORTERS["RNN"] = partial(_recurrent, RNN, ("Tanh",))
IMPORTERS["GRU"] = partial(_recurrent, GRU, ("Sigmoid", "Tanh"))
IMPORTERS["LSTM"] = partial(_recurrent, LSTM, ("Sigmoid", "Tanh", "Tanh"))
