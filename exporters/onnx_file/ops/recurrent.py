"""RNN, GRU and LSTM."""

from __future__ import annotations

import numpy as np

from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import Names, exports, names_of
from kir.ops.onnx_forms import TAKES_ALPHA, TAKES_BETA
from kir.ops.recurrent import GRU, LSTM, RNN


@exports(RNN, LSTM, GRU)
def recurrent(emitter: Emitter, op: RNN | GRU | LSTM, *inputs: FileTensor | None) -> Names:
    """Write one node, without the outputs that nobody reads."""
    outputs = emitter.nodes(
        op.name,
        names_of(inputs),
        op.states + 1,
        used=emitter.used,
        hidden_size=op.units,
        direction=op.direction,
        activations=[name for name, _, _ in op.activations],
        activation_alpha=[alpha for name, alpha, _ in op.activations if name in TAKES_ALPHA] or None,
        activation_beta=[beta for name, _, beta in op.activations if name in TAKES_BETA] or None,
        linear_before_reset=op.linear_before_reset if isinstance(op, GRU) else None,
    )
    lens, *initial = (*inputs[4:], None, None, None)[:3]
    return (outputs[0], *(_keep_state(emitter, lens, *pair) for pair in zip(initial, outputs[1:], strict=False)))


def _keep_state(emitter: Emitter, lens: FileTensor | None, initial: FileTensor | None, final: str) -> str:
    """Return the state after a sequence; after one of no steps that is the initial one, and onnxruntime says 0."""
    if lens is None or initial is None or not final or (initial.value is not None and not initial.value.any()):
        return final
    is_empty = emitter.node("Equal", [lens.name, emitter.constant(0, "zero", np.int32)])
    column = emitter.node("Unsqueeze", [is_empty, emitter.constant([1], "axes")])
    return emitter.node("Where", [column, initial.name, final])
