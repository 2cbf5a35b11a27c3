"""Operators of neural networks."""

from __future__ import annotations

from functools import partial

from kir.importers.onnx_file.ops.table import IMPORTERS
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.dims import product
from kir.ir.types import normalize_axis
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.shape import Reshape


def _normalization(cls: type[Softmax | LogSoftmax], call: OperatorCall, x: Operand) -> Operand:
    """Read a softmax; before opset 13 everything from the axis on is one axis."""
    rank = x.type.rank
    axis = normalize_axis(call.attributes.integer("axis", -1 if call.opset >= 13 else 1), max(rank, 1))
    if call.opset >= 13 or axis == rank - 1:
        return call.add(cls(axis), x)
    shape = x.type.shape
    flat = call.add(Reshape((product(shape[:axis]), product(shape[axis:]))), x)
    return call.add(Reshape(shape), call.add(cls(1), flat))


IMPORTERS["Softmax"] = partial(_normalization, Softmax)
IMPORTERS["LogSoftmax"] = partial(_normalization, LogSoftmax)
