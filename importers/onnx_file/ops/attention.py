"""Attention."""

from __future__ import annotations

import math

import numpy as np

from kir.errors import ShapeError, UnsupportedError
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.dims import divide_exactly, product
from kir.ir.types import DType
from kir.ops.attention import Attention
from kir.ops.elementwise import Add, Cast, Where
from kir.ops.shape import Expand, Reshape, Transpose, Trilu


@imports("Attention")
def attention(
    call: OperatorCall, q: Operand, k: Operand, v: Operand, mask: Operand | None = None, *others: Operand | None
) -> Results:
    """Read attention with the heads in the last axis, or in an axis of their own after the batch's.

    A mask of booleans becomes numbers to add. Its axes of size 1 are made as long as the queries and keys.
    """
    _refuse_the_rest(call, others)
    has_heads = len(q.type.shape) == 4
    if has_heads:
        heads, key_heads = (_known_heads(x) for x in (q, k))
    else:
        heads, key_heads = (call.attributes.integer(name, 0) for name in ("q_num_heads", "kv_num_heads"))
        if min(heads, key_heads) < 1:
            raise ShapeError("an Attention of three axes needs q_num_heads and kv_num_heads")
    flat = [_join_heads(call, x) if has_heads else x for x in (q, k, v)]
    size = divide_exactly(flat[0].type.shape[2], heads)
    scale = call.attributes.number("scale", 0.0)
    if not scale:
        if not isinstance(size, int):
            raise UnsupportedError("an Attention without a scale, of heads of unknown size")
        scale = 1 / math.sqrt(size)
    biases = [] if mask is None else [_as_bias(call, mask, flat[0], flat[1])]
    if call.attributes.integer("is_causal", 0):
        biases.append(_causal_bias(call, flat[0], flat[1]))
    bias = [call.add(Add(), *biases)] if len(biases) > 1 else biases
    result = call.add(Attention(heads, key_heads, scale), *flat, *bias)
    if has_heads:
        batch, steps, features = result.type.shape
        split = call.add(Reshape((batch, steps, heads, divide_exactly(features, heads) or 0)), result)
        result = call.add(Transpose((0, 2, 1, 3)), split)
    return [result, None, None, None]


def _refuse_the_rest(call: OperatorCall, others: tuple[Operand | None, ...]) -> None:
    for name in ("qk_matmul_output_mode", "softmax_precision"):
        if call.attributes.integer(name, 0):
            raise UnsupportedError(f"an Attention with {name}; kir has those without")
    if call.attributes.number("softcap", 0.0):
        raise UnsupportedError("an Attention with softcap; kir has those without")
    if any(other is not None for other in others):
        raise UnsupportedError("an Attention with past keys and values, or their number; kir has those without")
    if any(call.translator.reads.get(name) for name in call.outputs[1:] if name):
        raise UnsupportedError("further outputs of an Attention are used; kir has its first one only")


def _known_heads(x: Operand) -> int:
    heads = x.type.shape[1]
    if not isinstance(heads, int):
        raise UnsupportedError(f"an Attention of an unknown number of heads: {x.type}")
    return heads


def _join_heads(call: OperatorCall, x: Operand) -> Operand:
    """Return x[batch, heads, steps, size] as [batch, steps, heads · size]."""
    batch, heads, steps, size = x.type.shape
    return call.add(Reshape((batch, steps, product((heads, size)))), call.add(Transpose((0, 2, 1, 3)), x))


def _as_bias(call: OperatorCall, mask: Operand, q: Operand, k: Operand) -> Operand:
    last = (q.type.shape[1], k.type.shape[1])
    if mask.type.dtype is DType.BOOL:
        mask = _choose(call, mask, q)
    shape = (*(1,) * (2 - mask.type.rank), *mask.type.shape)
    is_short = any(size == 1 and wanted != 1 for size, wanted in zip(shape[-2:], last, strict=True))
    return call.add(Expand((*shape[:-2], *last)), mask) if is_short or mask.type.rank < 2 else mask


def _causal_bias(call: OperatorCall, q: Operand, k: Operand) -> Operand:
    """Return what to add so that no query looks at a later key."""
    steps = (q.type.shape[1], k.type.shape[1])
    everywhere = call.add(Expand(steps), call.translator.constant(np.ones(()), DType.FLOAT32))
    return _choose(call, call.add(Cast(DType.BOOL), call.add(Trilu(upper=False), everywhere)), q)


def _choose(call: OperatorCall, kept: Operand, q: Operand) -> Operand:
    """Return nothing to add where scores are kept, and minus infinity where not."""
    numbers = [call.translator.constant(np.float64(number), q.type.dtype) for number in (0.0, -math.inf)]
    return call.add(Where(), kept, *numbers)
