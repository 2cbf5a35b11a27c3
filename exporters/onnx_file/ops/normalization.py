"""Operators that normalize."""

from __future__ import annotations

from kir.exporters.onnx_file.emitter import Emitter, Tensor
from kir.exporters.onnx_file.ops.table import Names, exports, names_of, scalar_like
from kir.ops.normalization import BatchNormalization
from kir.types import DType


@exports(BatchNormalization)
def batch_normalization(
    emitter: Emitter, op: BatchNormalization, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Names:
    """ONNX's epsilon is a float32: in float64 it is added to the variance instead."""
    inputs, epsilon = names_of([x, scale, bias, mean, variance]), op.epsilon
    if x.type.dtype is DType.FLOAT64 and epsilon:
        inputs[-1], epsilon = _sum(emitter, variance, epsilon), 0.0
    return emitter.node("BatchNormalization", inputs, epsilon=epsilon)


def _sum(emitter: Emitter, x: Tensor, number: float) -> str:
    if x.value is not None:
        return emitter.constant(x.value + number, "variance", x.value.dtype)
    return emitter.node("Add", [x.name, scalar_like(emitter, number, x)])
