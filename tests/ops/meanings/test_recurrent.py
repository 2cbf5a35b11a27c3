"""Recurrent layers with all their attributes, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.meanings.single_nodes import Numbers, check, has_meaning

f = Numbers()
TIME, BATCH, FEATURES, UNITS = 5, 3, 4, 2
LENGTHS = np.array([5, 3, 1], np.int32)
LAYERS: dict[str, tuple[int, int, list[dict[str, Any]]]] = {
    "RNN": (1, 1, [{"activations": ["Relu"]}, {"activations": ["LeakyRelu"], "activation_alpha": [0.3]}]),
    "GRU": (
        *(3, 1),
        [{"linear_before_reset": 1}, {"activations": ["HardSigmoid", "Softsign"], "linear_before_reset": 1}],
    ),
    "LSTM": (
        *(4, 2),
        [
            {"input_forget": 1},
            {"activations": ["HardSigmoid", "Affine", "Elu"], "activation_alpha": [0.3, 0.4, 0.5]}
            | {"activation_beta": [0.6, 0.7]},
        ],
    ),
}


@pytest.mark.parametrize("op_type", LAYERS)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_recurrent_layers(op_type: str, direction: str) -> None:
    gates, states, variants = LAYERS[op_type]
    count = 2 if direction == "bidirectional" else 1
    for how in ({}, {"clip": 0.3}, *variants):
        lists = {name: value * count for name, value in how.items() if isinstance(value, list)}
        for lengths in (None, LENGTHS):
            inputs = [
                *(f(TIME, BATCH, FEATURES), f(count, gates * UNITS, FEATURES), f(count, gates * UNITS, UNITS)),
                *(f(count, 2 * gates * UNITS), lengths, *[f(count, BATCH, UNITS)] * states),
            ]
            inputs += [f(count, 3 * UNITS)] if op_type == "LSTM" else []
            check(
                op_type,
                *inputs,
                outputs=1 + states,
                hidden_size=UNITS,
                direction=direction,
                version=14,
                **(how | lists),
            )


def test_activations_without_what_they_need_have_no_meaning() -> None:
    assert has_meaning("RNN", "f32[1,1,1,1]", activations=["relu"])
    assert not has_meaning("RNN", "f32[1,1,1,1]", activations=["ScaledTanh"])
    assert not has_meaning("RNN", "f32[1,1,1,1]", activations=["Other"])
