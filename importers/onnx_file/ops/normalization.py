"""Operators that normalize."""

from __future__ import annotations

from kir.errors import UnsupportedError
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.translate import Call, Operand
from kir.ops.normalization import BatchNormalization


@imports("BatchNormalization")
def batch_normalization(
    call: Call, x: Operand, scale: Operand, bias: Operand, mean: Operand, variance: Operand
) -> Results:
    """The statistics of a batch, which training computes, are none of kir's."""
    epsilon = call.attributes.number("epsilon", 1e-5)
    call.attributes.number("momentum", 0.9)
    if call.attributes.integer("training_mode", 0):
        raise UnsupportedError("a BatchNormalization in training mode; kir has those with given statistics only")
    if not call.attributes.integer("spatial", 1):
        raise UnsupportedError("a BatchNormalization with spatial=0; kir has those with one mean for each channel only")
    if any(call.translator.reads.get(name) for name in call.outputs[1:] if name):
        raise UnsupportedError("the statistics that a BatchNormalization gives are used; kir has none")
    return [call.add(BatchNormalization(epsilon), x, scale, bias, mean, variance), *[None] * 4]
