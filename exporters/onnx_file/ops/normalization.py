"""Operators that normalize."""

from __future__ import annotations

from dataclasses import replace

from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.expression import Expression
from kir.exporters.onnx_file.ops.table import Names, emit, exports, names_of, scalar_like
from kir.ir.types import DType, TensorType
from kir.ops.normalization import BatchNormalization, InstanceNormalization, LayerNormalization
from kir.ops.reduce import ReduceMean


@exports(BatchNormalization)
def batch_normalization(
    emitter: Emitter,
    op: BatchNormalization,
    x: FileTensor,
    scale: FileTensor,
    bias: FileTensor,
    mean: FileTensor,
    variance: FileTensor,
) -> Names:
    """Write one node. ONNX's epsilon is a float32: in float64 it is added to the variance instead."""
    inputs, epsilon = names_of([x, scale, bias, mean, variance]), op.epsilon
    if x.type.dtype is DType.FLOAT64 and epsilon:
        inputs[-1], epsilon = _sum(emitter, variance, epsilon), 0.0
    return emitter.node("BatchNormalization", inputs, epsilon=epsilon)


@exports(LayerNormalization)
def layer_normalization(
    emitter: Emitter, op: LayerNormalization, x: FileTensor, scale: FileTensor, bias: FileTensor | None = None
) -> Names:
    """Write one node since opset 17. In float64 write a formula: ONNX's epsilon is a float32."""
    if emitter.opset >= 17 and x.type.dtype is not DType.FLOAT64:
        return emitter.node("LayerNormalization", names_of([x, scale, bias]), axis=op.axis, epsilon=op.epsilon)
    factor, shift = Expression.of(emitter, scale), None if bias is None else Expression.of(emitter, bias)
    return _normalized(emitter, x, tuple(range(op.axis, x.type.rank)), op.epsilon, factor, shift).name


@exports(InstanceNormalization)
def instance_normalization(
    emitter: Emitter, op: InstanceNormalization, x: FileTensor, scale: FileTensor, bias: FileTensor
) -> Names:
    """Write one node; in float64, for which onnxruntime has no kernel, a formula."""
    if x.type.dtype is not DType.FLOAT64:
        return emitter.node("InstanceNormalization", names_of([x, scale, bias]), epsilon=op.epsilon)
    axes = emitter.constant(range(1, x.type.rank - 1), "axes")
    factor, shift = (
        replace(Expression.of(emitter, vector), name=emitter.node("Unsqueeze", [vector.name, axes]))
        for vector in (scale, bias)
    )
    return _normalized(emitter, x, tuple(range(2, x.type.rank)), op.epsilon, factor, shift).name


def _normalized(
    emitter: Emitter, x: FileTensor, axes: tuple[int, ...], epsilon: float, scale: Expression, bias: Expression | None
) -> Expression:
    """Return the formula of the two; floats of 16 bits are computed in float32."""
    own = Expression.of(emitter, x)
    dtype = DType.FLOAT32 if own.dtype.itemsize < 4 else own.dtype

    def widened(value: Expression) -> Expression:
        return value if value.dtype is dtype else value.cast(dtype)

    def mean(value: Expression) -> Expression:
        (name,) = emit(emitter, ReduceMean(axes, True), FileTensor(value.name, TensorType(dtype, x.type.shape)))
        return replace(value, name=name)

    wide = widened(own)
    centered = wide - mean(wide)
    result = centered / (mean(centered * centered) + epsilon).apply("Sqrt") * widened(scale)
    result = result if bias is None else result + widened(bias)
    return result if own.dtype is dtype else result.cast(own.dtype)


def _sum(emitter: Emitter, x: FileTensor, number: float) -> str:
    if x.value is not None:
        return emitter.constant(x.value + number, "variance", x.value.dtype)
    return emitter.node("Add", [x.name, scalar_like(emitter, number, x)])
