"""Zeros around an image, just before windows move over it."""

from __future__ import annotations

from dataclasses import replace

from kir.ir.dims import Dim, is_known
from kir.ir.graph import Graph, Node, Value
from kir.ops.convolution import Conv
from kir.ops.elementwise import Relu, Sigmoid
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.shape import Pad, Slice
from kir.passes.rewrite import add_for, constant_array, exact_pass, given, op_of, rewrite, rule


@exact_pass
def fold_pads(graph: Graph) -> int:
    """Conv(Pad(x)) → Conv(x), with padding

    The Pad puts zeros around the spatial axes.

    1. Conv with explicit padding: the sizes are added.
    2. AveragePool that counts its padding, or has none: the sizes are added, and counted. The padding must be smaller
       than the window, as onnxruntime asks.
    3. MaxPool likewise, where no element of x is below 0: padding that does not count is then as good as zeros.
    4. Slice(Pad(x)) → Pad(Slice(x)), for steps of 1 and a Pad that nothing else reads. What is left of the Pad may go
       into a convolution.

    Exact: the windows hold the same elements.
    """
    return rewrite(graph, (fold_into_conv, fold_into_average, fold_into_maximum, slice_first))


@rule(Conv, above=[Pad])
def fold_into_conv(graph: Graph, node: Node, pad: Node) -> Value | None:
    return _fold(graph, node, pad, op_of(node, Conv))


@rule(AveragePool, above=[Pad])
def fold_into_average(graph: Graph, node: Node, pad: Node) -> Value | None:
    op = op_of(node, AveragePool)
    if op.ceil_mode or isinstance(op.padding, str) or (any(op.padding) and not op.count_include_pad):
        return None
    return _fold(graph, node, pad, replace(op, count_include_pad=True), op.kernel_shape)


@rule(MaxPool, above=[Pad, (Relu, Sigmoid)])
def fold_into_maximum(graph: Graph, node: Node, pad: Node, positive: Node) -> Value | None:
    op = op_of(node, MaxPool)
    if op.ceil_mode or isinstance(op.padding, str) or any(op.padding):
        return None
    return _fold(graph, node, pad, op, op.kernel_shape)


def _fold(
    graph: Graph, node: Node, pad: Node, op: Conv | AveragePool | MaxPool, limits: tuple[int, ...] | None = None
) -> Value | None:
    """Add the operator with the padding of the Pad as its own; None if it is not below the limits, if there are any."""
    pads = _find_zeros(pad)
    if pads is None or isinstance(op.padding, str):
        return None
    padding = tuple(a + b for a, b in zip(op.padding, pads, strict=True))
    if limits is not None and any(size >= limit for size, limit in zip(padding, limits * 2, strict=True)):
        return None
    return add_for(graph, node, replace(op, padding=padding), pad.inputs[0], *node.inputs[1:])


@rule(Slice, above=[Pad], once=True)
def slice_first(graph: Graph, node: Node, pad: Node) -> Value | None:
    op, padding = op_of(node, Slice), op_of(pad, Pad)
    if padding.mode != "constant" or set(op.steps) != {1}:
        return None
    x, padded = given(pad.inputs[0]), pad.output.type.shape
    before, after = list(padding.before), list(padding.after)
    bounds: dict[int, tuple[Dim, Dim]] = {}
    for axis, start, end in zip(op.axes, op.starts, op.ends, strict=True):
        size = x.type.shape[axis]
        cuts = _find_cuts(size, before[axis] - start, after[axis] - (padded[axis] - end))
        if cuts is None:
            return None
        before[axis], after[axis], front, back = cuts
        if front or back:
            bounds[axis] = (front, size - back)
    if bounds:
        starts, ends = zip(*bounds.values(), strict=True)
        x = add_for(graph, node, Slice(tuple(bounds), starts, ends, (1,) * len(bounds)), x)
    pads = Pad(tuple(before), tuple(after))
    return add_for(graph, pad, pads, x, *pad.inputs[1:]) if any((*before, *after)) else x


def _find_cuts(size: Dim, front: Dim, back: Dim) -> tuple[int, int, int, int] | None:
    """Return the padding before and after an axis, and the numbers of its own elements to cut off before and after.

    None if that is unknown, or there are too few to cut. An unknown size is at least 1.

    Args:
        size: of the axis.
        front: the padding that the Slice leaves before the axis; negative if it cuts off elements of the axis.
        back: likewise after the axis.
    """
    if not (isinstance(front, int) and isinstance(back, int)):
        return None
    cuts = max(-front, 0), max(-back, 0)
    return None if sum(cuts) > (size if isinstance(size, int) else 1) else (max(front, 0), max(back, 0), *cuts)


def _find_zeros(pad: Node) -> tuple[int, ...] | None:
    """Return the numbers of zeros before, then after, each spatial axis; None if unknown, or other axes grow too."""
    op = op_of(pad, Pad)
    value = (*pad.inputs, None)[1]
    number = constant_array(value)
    if op.mode != "constant" or (value is not None and (number is None or number.any())):
        return None
    if any((*op.before[:2], *op.after[:2])):
        return None
    pads = (*op.before[2:], *op.after[2:])
    known = tuple(filter(is_known, pads))
    return known if given(pad.inputs[0]).type.dtype.is_float and len(known) == len(pads) else None
