"""Attention in single operators, where the file may have it as one."""

from __future__ import annotations

import numpy as np

from kir.ir.dims import product
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Op
from kir.ir.types import DType
from kir.ops.attention import Attention
from kir.ops.elementwise import Add, Mul, Where
from kir.ops.linear import MatMul
from kir.ops.nn import Softmax
from kir.ops.shape import Reshape, Transpose
from kir.passes.rewrite import add_constant, add_for, both_orders, given, rewrite, rounding_pass, rule, uniform

HEADS_FIRST = Transpose((0, 2, 1, 3))
KEYS_LAST = Transpose((0, 2, 3, 1))

# A number below this stands for minus infinity: added to any score, it leaves nothing of it.
LOWEST = -1e30


@rounding_pass(tolerance=1024, opset=23)
def fuse_attention(graph: Graph) -> int:
    """softmax(q · k * scale + bias) · v → Attention(q, k, v, bias)

    All values are (batch, steps, heads, size), and nothing else reads the values between.

    1. The heads come first in the products: by Transpose(0, 2, 1, 3) of queries, values and the result, and by
       Transpose(0, 2, 3, 1) of the keys.
    2. The scale is a number that multiplies the queries, or missing.
    3. The bias is added to the scores, or Where chooses between the scores and a number near the lowest; that number is
       then the bias of the scores that are not chosen. A bias has an axis for the queries and one for the keys.
    4. If keys and values have fewer heads, Reshapes make one matrix of the queries that share a head.
    5. The dtype is float32: of 16 bits, onnxruntime's operator computes in float32 what the single operators do not.

    Only for files of opset 23 and newer, where Attention is an operator; with onnxruntime 1.32 on the CPU it takes 0.56
    to 0.88 of the time (tests/benchmarks/attention.py).

    Rounding: sums are formed in another order.
    """
    return rewrite(graph, (fuse,))


@rule(Transpose)
def fuse(graph: Graph, node: Node) -> Value | None:
    if node.op != HEADS_FIRST or node.output.type.dtype is not DType.FLOAT32:
        return None
    means = _find(graph, node.inputs[0], MatMul)
    softmax = _find(graph, means.inputs[0], Softmax) if means else None
    value = _turned_by(HEADS_FIRST, given(means.inputs[1]).node) if means else None
    if softmax is None or value is None or softmax.op != Softmax(3):
        return None
    for scores, mask, lowest in _unmask(graph, given(softmax.inputs[0])):
        products = _find(graph, scores, MatMul)
        query = _turned_by(HEADS_FIRST, _find(graph, products.inputs[0], Transpose)) if products else None
        key = _turned_by(KEYS_LAST, given(products.inputs[1]).node) if products else None
        if query is not None and key is not None and _fits(query, key, value, mask, softmax, node):
            if lowest is not None:
                zero = add_constant(graph, node, np.zeros((), lowest.type.dtype.numpy))
                mask = add_for(graph, node, Where(), mask, zero, lowest)
            return _add_attention(graph, node, query, key, value, mask)
    return None


def _find(graph: Graph, value: Value | None, op: type[Op]) -> Node | None:
    """Return the node that computes a value, past a Reshape that groups rows, if it has this operator and one use."""
    node = given(value).node
    if isinstance(node.op, Reshape) and graph.is_read_once(node):
        node = given(node.inputs[0]).node
    return node if isinstance(node.op, op) and graph.is_read_once(node) else None


def _turned_by(turn: Transpose, node: Node | None) -> Value | None:
    """Return the input of a node that is this Transpose."""
    return node.inputs[0] if node is not None and node.op == turn else None


def _unmask(graph: Graph, value: Value) -> list[tuple[Value, Value | None, Value | None]]:
    """Return what the operands of a softmax may be: scores, the mask, and the number for what the mask excludes.

    scores + mask            (scores, mask, None), and the same with the operands swapped
    Where(mask, scores, c)   (scores, mask, c)
    anything else            (scores, None, None)
    """
    node = value.node
    if not isinstance(node.op, Add | Where) or not graph.is_read_once(node):
        return [(value, None, None)]
    if isinstance(node.op, Add):
        return [(scores, mask, None) for scores, mask in both_orders(node)]
    condition, scores, lowest = map(given, node.inputs)
    number = uniform(lowest)
    return [(scores, condition, lowest)] if number is not None and -np.inf < number < LOWEST else []


def _fits(query: Value, key: Value, value: Value, mask: Value | None, softmax: Node, result: Node) -> bool:
    """Return whether all sizes are those of attention; those of other groups and broadcasts are not."""
    batch, queries, heads, size = query.type.shape
    keys, key_heads = key.type.shape[1:3]
    is_grouped = isinstance(heads, int) and isinstance(key_heads, int) and heads % key_heads == 0
    last = (queries, keys)
    return (
        is_grouped
        and key.type.shape == (batch, keys, key_heads, size)
        and value.type.shape[:3] == (batch, keys, key_heads)
        and softmax.output.type.shape == (batch, heads, *last)
        and result.output.type.shape == (batch, queries, heads, value.type.shape[3])
        and (mask is None or (2 <= mask.type.rank <= 4 and mask.type.shape[-2:] == last))
    )


def _add_attention(graph: Graph, node: Node, query: Value, key: Value, value: Value, bias: Value | None) -> Value:
    query, scale = _take_scale(graph, query)
    heads, key_heads = (int(x.type.shape[2]) for x in (query, key))  # type: ignore[arg-type]
    operands = [_join_heads(graph, node, x) for x in (query, key, value)] + ([] if bias is None else [bias])
    attended = add_for(graph, node, Attention(heads, key_heads, scale), *operands)
    return add_for(graph, node, Reshape(node.output.type.shape), attended)


def _join_heads(graph: Graph, node: Node, x: Value) -> Value:
    batch, steps, heads, size = x.type.shape
    return add_for(graph, node, Reshape((batch, steps, product((heads, size)))), x)


def _take_scale(graph: Graph, query: Value) -> tuple[Value, float]:
    """Return the queries before their scale, and the scale, in the digits that a file gives back.

    The scale must be above 0, since ONNX multiplies queries and keys with its root.
    """
    node = query.node
    number = uniform(node.inputs[1]) if isinstance(node.op, Mul) and graph.is_read_once(node) else None
    if number is None or not number > 0 or given(node.inputs[0]).type != query.type:
        return query, 1.0
    return given(node.inputs[0]), float(str(np.float32(number)))
