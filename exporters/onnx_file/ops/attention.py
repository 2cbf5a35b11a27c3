"""Attention."""

from __future__ import annotations

import math
from typing import Any

from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import Names, emit, exports, names_of, scalar_like
from kir.ir.dims import Dim, divide_exactly, product
from kir.ir.op import Op
from kir.ir.types import DType, TensorType
from kir.ops.attention import Attention
from kir.ops.elementwise import Add, Equal, Mul, Where
from kir.ops.linear import MatMul
from kir.ops.nn import Softmax
from kir.ops.reduce import ReduceMax
from kir.ops.shape import Reshape, Transpose


@exports(Attention)
def attention(
    emitter: Emitter, op: Attention, q: FileTensor, k: FileTensor, v: FileTensor, bias: FileTensor | None = None
) -> Names:
    """Write one node since opset 23. Before, and in float64, which onnxruntime lacks, write plain operators."""
    if emitter.opset < 23 or q.type.dtype is DType.FLOAT64:
        return _attend_plainly(emitter, op, q, k, v, bias)
    return emitter.node(
        "Attention",
        names_of([q, k, v] if bias is None else [q, k, v, bias]),
        q_num_heads=op.heads,
        kv_num_heads=op.key_heads,
        scale=op.scale,
    )


def _attend_plainly(
    emitter: Emitter, op: Attention, q: FileTensor, k: FileTensor, v: FileTensor, bias: FileTensor | None
) -> str:
    """Write attention with rows of one matrix for the heads that share keys. Queries that may look nowhere get 0."""

    def apply(op: Op, *inputs: FileTensor) -> FileTensor:
        (name,) = emit(emitter, op, *inputs)
        type: Any = op.infer(*(value.type for value in inputs))
        return FileTensor(name, type)

    def scalar(number: float) -> FileTensor:
        return FileTensor(scalar_like(emitter, number, q), TensorType(q.type.dtype, ()))

    def split(x: FileTensor, heads: int, *order: int) -> FileTensor:
        batch, steps, features = x.type.shape
        size: Any = divide_exactly(features, heads)
        return apply(Transpose(order), apply(Reshape((batch, steps, heads, size)), x))

    def grouped(x: FileTensor, heads: int) -> FileTensor:
        batch, given, rows, columns = x.type.shape
        shape: tuple[Dim, ...] = (batch, heads, product((given, rows)) // heads, columns)
        return x if given == heads else apply(Reshape(shape), x)

    query = apply(Mul(), split(q, op.heads, 0, 2, 1, 3), scalar(op.scale))
    scores = apply(MatMul(), grouped(query, op.key_heads), split(k, op.key_heads, 0, 2, 3, 1))
    if op.key_heads != op.heads:
        scores = apply(Reshape((q.type.shape[0], op.heads, q.type.shape[1], k.type.shape[1])), scores)
    if bias is None:
        weights = apply(Softmax(3), scores)
    else:
        scores = apply(Add(), scores, bias)
        is_nowhere = apply(Equal(), apply(ReduceMax((3,), True), scores), scalar(-math.inf))
        weights = apply(Where(), is_nowhere, scalar(0), apply(Softmax(3), scores))
    means = apply(MatMul(), grouped(weights, op.key_heads), split(v, op.key_heads, 0, 2, 1, 3))
    size = means.type.shape[3]
    if op.key_heads != op.heads:
        means = apply(Reshape((q.type.shape[0], op.heads, q.type.shape[1], size)), means)
    joined = Reshape((q.type.shape[0], q.type.shape[1], product((size, op.heads))))
    return apply(joined, apply(Transpose((0, 2, 1, 3)), means)).name
