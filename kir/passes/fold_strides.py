"""Elements that are left out just before a convolution of 1 by 1."""

from __future__ import annotations

from dataclasses import replace

from kir.ir.graph import Graph, Node, Value
from kir.ops.convolution import Conv
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.shape import Slice
from kir.ops.windows import SAME
from kir.passes.rewrite import add_for, exact_pass, given, op_of, rewrite, rule


@exact_pass
def fold_strides(graph: Graph) -> int:
    """Conv(x[..., ::2, ::2]) → Conv(x), with strides

    The Conv has a kernel of 1 by 1 and no padding. What it reads is

    1. a Slice of every n-th element of spatial axes, from the first one on;
    2. a MaxPool or an AveragePool whose windows are single elements, without padding.

    Exact: the products are the same.
    """
    return rewrite(graph, (fold_stride,))


@rule(Conv)
def fold_stride(graph: Graph, node: Node) -> Value | None:
    x, kernel = map(given, node.inputs[:2])
    op = op_of(node, Conv)
    if any(size != 1 for size in kernel.type.shape[2:]) or not _pads_nothing(op):
        return None
    strides = _find_strides(x.node)
    if strides is None:
        return None
    product = tuple(a * b for a, b in zip(op.strides, strides, strict=True))
    return add_for(graph, node, replace(op, strides=product), x.node.inputs[0], *node.inputs[1:])


def _pads_nothing(op: Conv | MaxPool | AveragePool) -> bool:
    # A window of one element never reaches over the end, so that "same" pads nothing.
    return op.padding == SAME or not any(op.padding)


def _find_strides(node: Node) -> tuple[int, ...] | None:
    """Return n for each spatial axis of which a node keeps every n-th element; None if it does anything else."""
    if isinstance(node.op, MaxPool | AveragePool):
        is_single = set(node.op.kernel_shape) == {1} and _pads_nothing(node.op)
        return node.op.strides if is_single else None
    return _find_steps(node, node.op) if isinstance(node.op, Slice) else None


def _find_steps(node: Node, op: Slice) -> tuple[int, ...] | None:
    shape = given(node.inputs[0]).type.shape
    if min(op.steps) < 1 or any(op.starts) or any(shape[a] != end for a, end in zip(op.axes, op.ends, strict=True)):
        return None
    steps = dict(zip(op.axes, op.steps, strict=True))
    return None if steps.keys() & {0, 1} else tuple(steps.get(axis, 1) for axis in range(2, len(shape)))
