"""What the sizes of inputs must be for a graph to work, and how large they must be to reach all that stands in it.

A window of 9 elements, 16 apart, computes as one of 1 element does on an axis shorter than 17: only the padding around
it meets the others. So whoever runs a graph on some inputs must know from which sizes on they show everything.

A demand is a size that occurs in the graph, with the least value that it should have. What it asks of the inputs,
through strides, crops and padding, is solved for: `kir.numerics.least_sizes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kir.ir.dims import Dim, Min, Operation, Sym
from kir.ir.graph import Graph, Node, Value
from kir.numerics.cost import MOVEMENTS
from kir.ops.attention import Attention
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.resize import Resize
from kir.ops.shape import CumSum, Gather, Pad, Range, Slice, TopK
from kir.ops.spectral import STFT
from kir.ops.windows import SAME, Padding, Window, split_padding

# Runtimes cut long axes into tiles of 8 to 64 elements: past them, a fault of a later tile shows.
MANY_STEPS = 67

Borders = tuple[int, int]  # how many elements at the start and at the end of an axis depend on padding


@dataclass
class Demands:
    """What sizes should be, at least: a number for each size that occurs in the graph.

    Attributes:
        must: the graph works from there on. A size may fall while those of the inputs grow: it bounds them from above.
        near: each operator for itself shows all that it does: every window lies in its input, with all of its elements,
            recurrent layers and others that go along an axis make `MANY_STEPS`, and cuts at a fixed place cut.
        far: some element of each result depends on no padding, through all operators before it.
    """

    must: dict[Sym, int] = field(default_factory=dict)
    near: dict[Sym, int] = field(default_factory=dict)
    far: dict[Sym, int] = field(default_factory=dict)


def demands_of(graph: Graph, names: Sequence[str]) -> Demands:
    """Return the demands on sizes that follow from those with the given names alone. O(nodes)."""
    demands, decided = Demands(), frozenset(names)
    borders: dict[tuple[Value, int], Borders] = {}
    for node in (node for one in graph.graphs() for node in one.order()):
        groups = {"must": _musts(node), "near": _nears(node), "far": _fars(node, borders)}
        for group, found in groups.items():
            known: dict[Sym, int] = getattr(demands, group)
            for dim, least in found:
                if isinstance(dim, Sym) and least > known.get(dim, 0) and dim.names() <= decided:
                    known[dim] = least
    for dim in {dim for value in (demands.must, demands.near) for dim in value}:
        for larger in _cuts(dim):
            demands.near.setdefault(larger, 1)
    demands.must = {dim: least for dim, least in demands.must.items() if least > 1 or not _is_positive(dim)}
    return demands


Found = Iterator[tuple[Dim, int]]


def _musts(node: Node) -> Found:
    for value in node.outputs:
        for dim in value.type.shape:
            yield dim, 1
    op, source = node.op, node.inputs[0] if node.inputs else None
    if isinstance(op, Slice) and source is not None:
        for axis, start, end in zip(op.axes, op.starts, op.ends, strict=True):
            # Up to the end of an axis is inside.
            yield source.type.shape[axis] - start + 1, 1
            yield source.type.shape[axis] - end + 1, 1
    elif isinstance(op, Pad) and op.mode == "reflect" and source is not None:
        for dim, *pads in zip(source.type.shape, op.before, op.after, strict=True):
            yield from ((dim, pad + 1) for pad in pads if isinstance(pad, int))
    elif isinstance(op, Gather) and (positions := _range_behind(node.inputs[1])) is not None and source is not None:
        yield source.type.shape[op.axis] - positions.stop + 1, 1


def _range_behind(value: Value | None) -> Range | None:
    """Return the range of positions that a value is, possibly converted or reshaped."""
    while value is not None and isinstance(value.node.op, MOVEMENTS):
        value = value.node.inputs[0]
    return value.node.op if value is not None and isinstance(value.node.op, Range) and value.node.op.step > 0 else None


def _nears(node: Node) -> Found:
    op, source = node.op, node.inputs[0] if node.inputs else None
    if source is None:
        return
    shape = source.type.shape
    if isinstance(op, ConvTranspose):
        for dim, window in zip(shape[2:], _windows(node), strict=True):
            yield dim, -(-window.extent // window.stride)
    elif isinstance(op, Conv | MaxPool | AveragePool):
        for dim, window in zip(shape[2:], _windows(node), strict=True):
            yield dim, window.extent
    elif isinstance(op, RNN | GRU | LSTM):
        yield shape[0], MANY_STEPS
    elif isinstance(op, CumSum | TopK | Softmax | LogSoftmax):
        yield shape[op.axis], MANY_STEPS
    elif isinstance(op, Attention) and node.inputs[1] is not None:
        yield node.inputs[1].type.shape[-2], MANY_STEPS
    elif isinstance(op, STFT) and node.inputs[1] is not None:
        window_length = node.inputs[1].type.shape[0]
        yield shape[1], window_length + op.step if isinstance(window_length, int) else 1


def _windows(node: Node) -> list[Window]:
    op, kernel = node.op, node.inputs[1] if len(node.inputs) > 1 else None
    if isinstance(op, MaxPool | AveragePool):
        return op.windows()
    assert isinstance(op, Conv | ConvTranspose)
    assert kernel is not None
    return op.windows(tuple([size for size in kernel.type.shape[2:] if isinstance(size, int)]))


def _cuts(dim: Sym) -> Iterator[Sym]:
    """Yield the differences that must be positive for what is cut at a fixed place, as min(length, 40), to be cut."""
    pending: list[Dim] = [dim]
    while pending:
        one = pending.pop()
        for monomial, _ in one.terms if isinstance(one, Sym) else ():
            for atom in monomial:
                if isinstance(atom, Operation):
                    pending += atom.operands
                if isinstance(atom, Min):
                    known = [size for size in atom.operands if isinstance(size, int)]
                    unknown = [size for size in atom.operands if isinstance(size, Sym)]
                    if known and unknown:
                        difference = unknown[0] - known[0]
                        assert isinstance(difference, Sym)
                        yield difference


def _is_positive(dim: Sym) -> bool:
    """Return whether a size is a sum of products of names, and so at least 1 where these are."""
    return all(
        coefficient > 0 and all(isinstance(atom, str) for atom in monomial) for monomial, coefficient in dim.terms
    )


# Padding along the way


def _fars(node: Node, borders: dict[tuple[Value, int], Borders]) -> Found:
    """Yield the sizes of results with the elements at their borders; `borders` takes in those of unknown sizes."""
    for value in node.outputs:
        for axis, dim in enumerate(value.type.shape):
            if isinstance(dim, Sym):
                border = _border(node, axis, dim, borders)
                if border != (0, 0):
                    borders[value, axis] = border
                    yield dim, sum(border) + 1


def _border(node: Node, axis: int, dim: Sym, borders: dict[tuple[Value, int], Borders]) -> Borders:
    op, source = node.op, node.inputs[0] if node.inputs else None
    if source is None:
        return 0, 0
    before, after = borders.get((source, axis), (0, 0))
    if isinstance(op, Conv | ConvTranspose | MaxPool | AveragePool) and axis >= 2:
        window = _windows(node)[axis - 2]
        if isinstance(op, ConvTranspose):
            whole = window.extent - 1
            return before * window.stride + whole, after * window.stride + whole
        start, end = _pads(window, op.padding, axis - 2, len(source.type.shape) - 2)
        return -(-(before + start) // window.stride), -(-(after + end) // window.stride)
    if isinstance(op, Pad):
        pads = (op.before[axis], op.after[axis])
        start, end = [pad if isinstance(pad, int) else 0 for pad in pads]
        return before + start, after + end
    if isinstance(op, Resize):
        factor = _factor(dim, source.type.shape[axis])
        return -(-before * factor[0] // factor[1]), -(-after * factor[0] // factor[1])
    if isinstance(op, Slice) and axis in op.axes:
        first = op.starts[op.axes.index(axis)]
        return max(before - first, 0) if isinstance(first, int) else before, after
    inherited = [
        borders[value, place]
        for value in node.inputs
        if value is not None
        for place, size in enumerate(value.type.shape)
        if size == dim and (value, place) in borders
    ]
    return max((b for b, _ in inherited), default=0), max((a for _, a in inherited), default=0)


def _pads(window: Window, padding: Padding, axis: int, rank: int) -> Borders:
    if padding == SAME:
        return (window.extent - 1) // 2, window.extent // 2
    return split_padding(padding, rank)[axis] or (0, 0)


def _factor(wanted: Dim, given: Dim) -> tuple[int, int]:
    """Return the quotient of two sizes, as a fraction; 1 where it depends on their names."""
    if isinstance(wanted, Sym) and isinstance(given, Sym):
        larger, smaller = wanted // given, given // wanted
        if isinstance(larger, int) and larger > 0:
            return larger, 1
        if isinstance(smaller, int) and smaller > 0:
            return 1, smaller
    return 1, 1
