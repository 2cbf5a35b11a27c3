"""Operators that reduce over axes."""

from __future__ import annotations

from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import Names, exports
from kir.ir.types import DType
from kir.ops import reduce as ops


@exports(ops.ReduceMean)
def reduce_mean(emitter: Emitter, op: ops.ReduceMean, x: FileTensor) -> Names:
    """Write a mean; that of each channel of images is a pooling, computed in the layout of convolutions."""
    if x.type.rank == 4 and op == ops.ReduceMean((2, 3), True) and x.type.dtype is DType.FLOAT32:
        return emitter.node("GlobalAveragePool", [x.name])
    return reduce(emitter, op, x)


Reduction = (
    ops.ReduceL1
    | ops.ReduceL2
    | ops.ReduceLogSumExp
    | ops.ReduceMax
    | ops.ReduceMean
    | ops.ReduceMin
    | ops.ReduceProd
    | ops.ReduceSum
    | ops.ReduceSumSquare
)


@exports(ops.ReduceL1, ops.ReduceL2, ops.ReduceLogSumExp, ops.ReduceMax, ops.ReduceMin, ops.ReduceProd)
@exports(ops.ReduceSum, ops.ReduceSumSquare)
def reduce(emitter: Emitter, op: Reduction, x: FileTensor) -> Names:
    """Write a reduction. The axes became an input at opset 13 for ReduceSum, and at 18 for all. A scalar has none."""
    if not op.axes:
        return emitter.node(op.name, [x.name], keepdims=op.keepdims)
    if emitter.opset >= 18 or isinstance(op, ops.ReduceSum):
        return emitter.node(op.name, [x.name, emitter.constant(op.axes, "axes")], keepdims=op.keepdims)
    return emitter.node(op.name, [x.name], axes=op.axes, keepdims=op.keepdims)
