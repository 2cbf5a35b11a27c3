"""Operators of neural networks."""

from __future__ import annotations

from typing import Any

from kir.importers.onnx_file.ops.table import Results, activation, imports
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.dims import product
from kir.ir.types import normalize_axis
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.shape import Reshape


def _normalization(cls: Any, call: OperatorCall, x: Operand) -> Operand:
    """Before opset 13 everything from the axis on is one axis."""
    rank = x.type.rank
    axis = normalize_axis(call.attributes.integer("axis", -1 if call.opset >= 13 else 1), max(rank, 1))
    if call.opset >= 13 or axis == rank - 1:
        return activation(call, cls(axis), x)
    shape = x.type.shape
    flat = call.add(Reshape((product(shape[:axis]), product(shape[axis:]))), x)
    return call.add(Reshape(shape), call.add(cls(1), flat))


@imports("Softmax")
def softmax(call: OperatorCall, x: Operand) -> Results:
    return _normalization(Softmax, call, x)


@imports("LogSoftmax")
def log_softmax(call: OperatorCall, x: Operand) -> Results:
    return _normalization(LogSoftmax, call, x)
