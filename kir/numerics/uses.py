"""The uses of an input: which of its values matter to a graph, because something happens at them.

An input is followed through operators that move, convert, scale and shift its elements, or that pass some of them on
unchanged, to those that compare them, round them, clip them, look them up or select with them. What is wanted there is
carried back: where ``x * (1 / 255)`` is compared with 0.5, that x is 127.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kir.ir.control import ControlOp
from kir.ir.dims import Dim
from kir.ir.graph import Graph, Node, Value
from kir.ir.structural import Constant, Output
from kir.ir.types import DType
from kir.numerics.cost import MOVEMENTS
from kir.ops import elementwise, reduce, shape
from kir.ops.control import Loop
from kir.ops.elementwise import COMPARISONS, Add, Cast, Clip, Div, Equal, Maximum, Minimum, Mod, Mul, Neg, Pow, Sub
from kir.ops.lookup import Lookup
from kir.ops.opaque import Opaque
from kir.ops.pooling import MaxPool
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.shape import Gather, GatherElements, GatherND, OneHot
from kir.ops.text import SplitText

SEQUENCE_LENS = 4  # the slot of a recurrent operator for the number of steps per sequence
MAX_EXPONENT = 4  # of integers: larger ones overflow, negative ones have no integer power

MAX_TRIPS = 5  # of a Loop that an input gives

# Of a constant with many elements so many are met, evenly chosen among all, and of an input's values altogether.
MAX_CONSTANTS = 256
MAX_EDGES = 512
MAX_SCALES = 16  # as many channels may be scaled each in its own way

# Operators that go on with some of the elements of their first input as they are, or rounded.
PASSING = (
    *(elementwise.Relu, Clip, Maximum, Minimum, elementwise.Round, elementwise.Floor, elementwise.Ceil),
    *(MaxPool, reduce.ReduceMax, reduce.ReduceMin, shape.Pad, shape.Tile),
)

# Where an activation changes from one formula to another.
AT_ZERO = (
    *(elementwise.Relu, elementwise.Abs, elementwise.Sign, elementwise.LeakyRelu, elementwise.Elu, elementwise.Celu),
    *(elementwise.Selu, elementwise.PRelu),
)
TIES = (-2.5, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.5)

Scale = tuple[float, float]  # z = a * x + b
IDENTITY: Scale = (1.0, 0.0)


@dataclass
class InputUse:
    """What a graph does with the elements of an input.

    Attributes:
        indexed: ranges that integers must lie in, from a number up to and without a size.
        compared: the constants that elements are compared with for equality: they mark masked steps.
        keys: those of tables that elements are looked up in.
        separators: the characters that texts are taken apart at; "" where every character is a part.
        divides: whether integers must not be 0.
        counts_from_end: whether indices may be negative.
        edges: the values at which something happens, without their neighbours.
        scaled_edges: those that become such values by arithmetic, as far as its rounding lets them.
        scales: how elements are scaled and shifted before anything else is computed from them.
        decides: whether elements are compared and looked up only, so that no value is too large.
        is_half: whether elements are converted to floats of 16 bits, which soon overflow.
    """

    indexed: list[tuple[int, Dim]] = field(default_factory=list)
    compared: list[Any] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)
    separators: list[str] = field(default_factory=list)
    divides: bool = False
    counts_from_end: bool = True
    edges: list[float] = field(default_factory=list)
    scaled_edges: list[float] = field(default_factory=list)
    scales: list[Scale] = field(default_factory=list)
    decides: bool = True
    is_half: bool = False


@dataclass(frozen=True)
class _Path:
    """A value on the way from an input: its elements are some of those of the input, scaled.

    `is_exact` says that they are the same numbers, but for their dtype.
    """

    graph: Graph
    value: Value
    scales: tuple[Scale, ...] = (IDENTITY,)
    is_exact: bool = True
    around: tuple[tuple[Graph, Node], ...] = ()  # the operators whose graphs this one is inside of, and their graphs

    def goes_on(self, value: Value, scales: tuple[Scale, ...], is_exact: bool) -> _Path:
        return replace(self, value=value, scales=scales, is_exact=is_exact)


def find_use(graph: Graph, node: Node) -> InputUse:
    """Return what a graph does with the elements of an input. O(readers on the way)."""
    use = InputUse(is_half=is_half(node.output.type.dtype))
    pending = [_Path(graph, node.output)]
    seen = {node.output}
    while pending:
        path = pending.pop()
        for reader in path.graph.uses(path.value):
            for new in _follow(use, path, reader.node, reader.slot):
                if new.value not in seen:
                    seen.add(new.value)
                    pending.append(new)
    use.edges, use.scaled_edges = _limited(use.edges), _limited(use.scaled_edges)
    return use


def _limited(edges: Sequence[float]) -> list[float]:
    """Return different numbers, evenly chosen if there are many."""
    finite = list(dict.fromkeys(edge for edge in edges if math.isfinite(edge)))
    return finite[:: max(1, -(-len(finite) // MAX_EDGES))]


def _follow(use: InputUse, path: _Path, node: Node, slot: int) -> Iterator[_Path]:
    """Take one reader into account, and yield the values that are made of the same elements."""
    op = node.op
    is_scaled = path.scales != (IDENTITY,)
    (use.scaled_edges if is_scaled else use.edges).extend(_invert(_edges(node, slot), path.scales))
    use.is_half |= isinstance(op, Cast) and is_half(op.dtype)
    if isinstance(op, ControlOp):
        if isinstance(op, Loop):
            use.decides = False  # what its condition depends on is not so large that it never ends
        if isinstance(op, Loop) and slot == 0:
            use.indexed.append((0, MAX_TRIPS + 1))
            use.counts_from_end = False
        else:
            yield from _enter(path, node, slot)
    elif isinstance(op, Output) and path.around:
        yield from _leave(path, node)
    elif isinstance(op, MOVEMENTS) or (isinstance(op, Gather) and slot == 0):
        yield from (path.goes_on(output, path.scales, path.is_exact) for output in node.outputs)
    elif (scales := _scaled(path, node, slot)) is not None:
        use.decides = False
        yield path.goes_on(node.output, scales, path.is_exact and _is_whole(scales))
    elif isinstance(op, PASSING) and slot == 0:
        use.decides = False
        yield path.goes_on(node.output, path.scales, is_exact=False)
    elif isinstance(op, Lookup):
        use.keys.extend(op.keys)
    elif path.value.type.dtype is DType.STRING and any(made.type.dtype is DType.STRING for made in node.outputs):
        # Texts that are made of texts, in one way or another.
        if isinstance(op, SplitText):
            use.separators.extend(op.separators or ("",))
        yield from (path.goes_on(made, (IDENTITY,), True) for made in node.outputs if made.type.dtype is DType.STRING)
    elif isinstance(op, Equal):
        if path.scales == (IDENTITY,) and path.is_exact:
            use.compared.extend(_constant_elements(node.inputs[1 - slot])[:1])
    elif type(op) not in COMPARISONS:
        _take_in(use, path, node, slot)


def _enter(path: _Path, node: Node, slot: int) -> Iterator[_Path]:
    """Yield an input of an operator inside its graphs: of a state its first value, of a sequence its slices."""
    op = node.op
    assert isinstance(op, ControlOp)
    around = (*path.around, (path.graph, node))
    for body in op.bodies():
        inside = slot - len(node.inputs) + len(body.graph.inputs)
        if inside >= 0:
            value = body.graph.inputs[inside].output
            yield replace(path, graph=body.graph, value=value, around=around)


def _leave(path: _Path, output: Node) -> Iterator[_Path]:
    """Yield the output of the operator around that an output of a graph inside becomes."""
    *around, (graph, node) = path.around
    place = path.graph.outputs.index(output) - len(path.graph.outputs) + len(node.outputs)
    if place >= 0:
        yield replace(path, graph=graph, value=node.outputs[place], around=tuple(around))


def _take_in(use: InputUse, path: _Path, node: Node, slot: int) -> None:
    """Take a reader into account that computes something else."""
    op = node.op
    use.divides |= isinstance(op, Div | Mod) and slot == 1
    ranges = _indexed_sizes(node, slot) if path.is_exact else []
    for shift in {int(shift) for _, shift in path.scales}:
        use.indexed += [(-shift, size - shift) for size in ranges]
    # Keras's Embedding takes no negative indices in all of its backends.
    is_embedding = node.origin is not None and "Embedding" in node.origin.layer
    use.counts_from_end &= isinstance(op, Gather | GatherElements) and not is_embedding
    if not ranges:
        use.scales += path.scales
    if not isinstance(op, Output):
        use.decides = False


def _scaled(path: _Path, node: Node, slot: int) -> tuple[Scale, ...] | None:
    """Return how an operator that scales or shifts its input by constants does so to the elements of the path."""
    op = node.op
    if isinstance(op, Neg):
        return tuple([(-a, -b) for a, b in path.scales])
    if not isinstance(op, Add | Sub | Mul | Div) or (isinstance(op, Div) and slot == 1):
        return None
    constants = _constant_elements(node.inputs[1 - slot])[:MAX_SCALES]
    if not constants:
        return None
    found: dict[Scale, None] = {}
    for a, b in path.scales:
        for c in map(float, constants):
            if isinstance(op, Add):
                found[a, b + c] = None
            elif isinstance(op, Sub):
                found[(a, b - c) if slot == 0 else (-a, c - b)] = None
            elif c not in (0, math.inf, -math.inf):
                factor = 1 / c if isinstance(op, Div) else c
                found[a * factor, b * factor] = None
    return tuple(found)[:MAX_SCALES] or None


def _is_whole(scales: Sequence[Scale]) -> bool:
    """Return whether elements are shifted by one whole number only."""
    return len(scales) == 1 and scales[0][0] == 1 and float(scales[0][1]).is_integer()


def _invert(edges: Sequence[float], scales: Sequence[Scale]) -> list[float]:
    """Return the elements of the input that become one of the edges."""
    return [(edge - b) / a for edge in edges for a, b in scales if a]


def _edges(node: Node, slot: int) -> list[float]:
    """Return the values of one input of an operator at which what it computes changes its form."""
    op = node.op
    if isinstance(op, Clip) and slot == 0:
        return [float(bound) for value in node.inputs[1:] for bound in _constant_elements(value)]
    if type(op) in COMPARISONS or isinstance(op, Maximum | Minimum):
        return [float(bound) for bound in _constant_elements(node.inputs[1 - slot])]
    if isinstance(op, Mod) and slot == 0:
        return [float(bound * k) for bound in _constant_elements(node.inputs[1]) for k in (-1, 0, 0.5, 1)]
    if slot != 0:
        return []
    if isinstance(op, AT_ZERO):
        return [0.0]
    if isinstance(op, elementwise.ThresholdedRelu):
        return [op.alpha]
    if isinstance(op, elementwise.HardSigmoid):
        return [-op.beta / op.alpha, (1 - op.beta) / op.alpha] if op.alpha else []
    if isinstance(op, elementwise.HardSwish):
        return [-3.0, 3.0]
    if isinstance(op, elementwise.Shrink):
        return [-op.lambd, op.lambd]
    first = node.inputs[0]
    is_truncating = isinstance(op, Cast) and not op.dtype.is_float and first is not None and first.type.dtype.is_float
    return (
        list(TIES) if is_truncating or isinstance(op, elementwise.Round | elementwise.Floor | elementwise.Ceil) else []
    )


def _indexed_sizes(node: Node, slot: int) -> list[Dim]:
    """Return the sizes that the input in a slot selects from."""
    op, data = node.op, node.inputs[0]
    if data is None:  # the absent number of rounds of a Loop
        return []
    if isinstance(op, Gather | GatherElements) and slot == 1:
        return [data.type.shape[op.axis]]
    if isinstance(op, GatherND) and slot == 1:
        return list(data.type.shape[op.batch_dims :])
    if isinstance(op, RNN | GRU | LSTM) and slot == SEQUENCE_LENS:
        return [data.type.shape[0] + 1]
    if isinstance(op, Pow) and slot == 1 and not data.type.dtype.is_float:
        return [MAX_EXPONENT + 1]
    if isinstance(op, Opaque) and op.meaning is not None and slot in op.meaning.ranges:
        types = [None if value is None else value.type for value in node.inputs]
        return list(op.meaning.ranges[slot](types, dict(op.settings)))
    return [op.depth] if isinstance(op, OneHot) and slot == 0 else []


def is_half(dtype: DType) -> bool:
    """Return whether a dtype is of floats of 16 bits."""
    return dtype.is_float and dtype.itemsize == 2


def _constant_elements(value: Value | None) -> list[Any]:
    """Return elements of a constant, possibly converted or reshaped, as plain numbers; none of any other value."""
    while value is not None and isinstance(value.node.op, MOVEMENTS):
        value = value.node.inputs[0]
    if value is None or not isinstance(value.node.op, Constant):
        return []
    array = value.node.op.value.array.ravel()
    if array.dtype == object:
        return list(dict.fromkeys(array.tolist()))[:MAX_CONSTANTS]
    step = max(1, -(-array.size // MAX_CONSTANTS))
    return list(
        dict.fromkeys(np.asarray(array[::step], np.float64 if array.dtype.kind not in "iub" else None).tolist())
    )
