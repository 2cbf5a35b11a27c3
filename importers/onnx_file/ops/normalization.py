"""Operators that normalize."""

from __future__ import annotations

from kir.errors import UnsupportedError
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.types import DType, normalize_axis
from kir.ops.elementwise import Add, Cast, Mul, Reciprocal, Sqrt, Sub
from kir.ops.normalization import BatchNormalization, InstanceNormalization, LayerNormalization
from kir.ops.reduce import ReduceMean


@imports("BatchNormalization")
def batch_normalization(
    call: OperatorCall, x: Operand, scale: Operand, bias: Operand, mean: Operand, variance: Operand
) -> Results:
    """Read a BatchNormalization of given statistics; kir does not compute those of a batch."""
    epsilon = call.attributes.number("epsilon", 1e-5)
    call.attributes.number("momentum", 0.9)
    if call.attributes.integer("training_mode", 0):
        raise UnsupportedError("a BatchNormalization in training mode; kir has those with given statistics only")
    if not call.attributes.integer("spatial", 1):
        raise UnsupportedError("a BatchNormalization with spatial=0; kir has those with one mean for each channel only")
    if any(call.translator.reads.get(name) for name in call.outputs[1:] if name):
        raise UnsupportedError("the statistics that a BatchNormalization gives are used; kir has none")
    return [call.add(BatchNormalization(epsilon), x, scale, bias, mean, variance), *[None] * 4]


@imports("LayerNormalization")
def layer_normalization(call: OperatorCall, x: Operand, scale: Operand, bias: Operand | None = None) -> Results:
    """Read a LayerNormalization; where its mean and inverse deviation are used, they are computed beside it."""
    axis = normalize_axis(call.attributes.integer("axis", -1), x.type.rank)
    epsilon = call.attributes.number("epsilon", 1e-5)
    if call.attributes.integer("stash_type", 1) != 1:
        raise UnsupportedError("a LayerNormalization with a stash_type other than 1; kir's is computed in float32")
    result = call.add(LayerNormalization(axis, epsilon), x, scale, *([] if bias is None else [bias]))
    if not any(call.translator.reads.get(name) for name in call.outputs[1:] if name):
        return [result, None, None]
    return [result, *_statistics(call, x, axis, epsilon)]


def _statistics(call: OperatorCall, x: Operand, axis: int, epsilon: float) -> tuple[Operand, Operand]:
    """Return mean and inverse deviation over the axes from one on, which stay with size 1; in float32 at least."""
    wide = x if x.type.dtype in (DType.FLOAT32, DType.FLOAT64) else call.add(Cast(DType.FLOAT32), x)
    axes = tuple(range(axis, x.type.rank))
    mean = call.add(ReduceMean(axes, True), wide)
    distance = call.add(Sub(), wide, mean)
    variance = call.add(ReduceMean(axes, True), call.add(Mul(), distance, distance))
    shifted = call.add(Add(), variance, call.translator.constant(epsilon, wide.type.dtype))
    return mean, call.add(Reciprocal(), call.add(Sqrt(), shifted))


@imports("InstanceNormalization")
def instance_normalization(call: OperatorCall, x: Operand, scale: Operand, bias: Operand) -> Results:
    return call.add(InstanceNormalization(call.attributes.number("epsilon", 1e-5)), x, scale, bias)
