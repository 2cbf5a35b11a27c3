"""Operators that reduce over axes."""

from __future__ import annotations

from dataclasses import replace

from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.expression import Expression
from kir.exporters.onnx_file.ops.table import Names, exports
from kir.ir.types import DType
from kir.ops.reduce import (
    ReduceL1,
    ReduceL2,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    ReduceSumSquare,
)


@exports(ReduceMean)
def reduce_mean(emitter: Emitter, op: ReduceMean, x: FileTensor) -> Names:
    """The mean of each channel of images is a pooling, which onnxruntime computes in the layout of the convolutions."""
    if x.type.rank == 4 and op == ReduceMean((2, 3), True) and x.type.dtype is DType.FLOAT32:
        return emitter.node("GlobalAveragePool", [x.name])
    return reduce(emitter, op, x)


@exports(ReduceLogSumExp)
def reduce_log_sum_exp(emitter: Emitter, op: ReduceLogSumExp, x: FileTensor) -> Names:
    """For floats of 16 bits onnxruntime (1.32 is the newest known) writes it out as Log(ReduceSum(Exp(x))) at opset 18,
    and that overflows: there it is computed in float32."""
    if emitter.opset != 18 or x.type.dtype.itemsize > 2:
        return reduce(emitter, op, x)
    own = Expression.of(emitter, x)
    wide = own.cast(DType.FLOAT32)
    result = reduce(emitter, op, FileTensor(wide.name, x.type.with_dtype(DType.FLOAT32)))
    assert isinstance(result, str)
    return replace(wide, name=result).cast(own.dtype).name


Reduction = (
    ReduceL1
    | ReduceL2
    | ReduceLogSumExp
    | ReduceMax
    | ReduceMean
    | ReduceMin
    | ReduceProd
    | ReduceSum
    | ReduceSumSquare
)


@exports(ReduceL1, ReduceL2, ReduceMax, ReduceMin, ReduceProd, ReduceSum, ReduceSumSquare)
def reduce(emitter: Emitter, op: Reduction, x: FileTensor) -> Names:
    """The axes became an input at opset 13 for ReduceSum, and at 18 for all. A scalar has none: all of none."""
    if not op.axes:
        return emitter.node(op.name, [x.name], keepdims=op.keepdims)
    if emitter.opset >= 18 or isinstance(op, ReduceSum):
        return emitter.node(op.name, [x.name, emitter.constant(op.axes, "axes")], keepdims=op.keepdims)
    return emitter.node(op.name, [x.name], axes=op.axes, keepdims=op.keepdims)
