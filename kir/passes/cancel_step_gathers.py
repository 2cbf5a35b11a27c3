"""Masked recurrent layers: what is gathered between them for nothing.

A masked recurrent layer reads its valid steps gathered to the front and spreads its results over all steps again (see
`kir.layers.steps.Steps`). Behind the valid steps it reads nothing, so what stands there may be anything:

    gather(x)       GatherND(x, order)                      order = TopK(mask): valid steps first
    spread(y)       GatherND(y, index)                      index = CumSum(mask) - 1, times mask before the -1, or not
    gather(spread(y)) is y, as far as it is read
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kir.ir.graph import Graph, Node, Value
from kir.ops.elementwise import ELEMENTWISE, Cast, Mul, Sub, Where
from kir.ops.linear import Dense
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.reduce import ReduceSum
from kir.ops.shape import Concat, CumSum, GatherND, Reshape, TopK, Transpose
from kir.passes.rewrite import Replacement, add_for, given, producer, rewrite, rounding_pass, rule, uniform
from kir.passes.simplify import is_boolean

BATCH_AND_TIME = Transpose((1, 0, 2))
LENS_SLOT = 4


# Nothing is computed differently, but a Dense between two layers sees its rows in another order, and products of
# matrices round differently from row to row.
@rounding_pass(tolerance=64)
def cancel_step_gathers(graph: Graph) -> int:
    """LSTM(gather(Dense(spread(y))), lens) → LSTM(Dense(y), lens)

    Where a recurrent operator reads the valid steps of a masked sequence, and between are only operators that compute
    each step by itself (elementwise ones, Dense, Softmax):

    1. Steps that were spread by the same mask just before are read as they were.
    2. x * mask and Where(mask, x, …), with the same mask, are x: the masked steps are not read.

    Source: the identity above; Keras's masks, https://keras.io/guides/understanding_masking_and_padding/
    """
    return rewrite(graph, (read_steps_directly,))


@dataclass(frozen=True, slots=True)
class Gathering:
    """How a recurrent node reads the valid steps: the value they come from, their order, and the mask."""

    source: Value
    order: Value
    mask: Value


@rule(RNN, GRU, LSTM)
def read_steps_directly(graph: Graph, node: Node) -> Replacement:
    gathering = find_gathering(node)
    if gathering is None:
        return None
    # 1. Up to where the steps were spread, past what works on each step by itself and what zeroes masked steps.
    path: list[tuple[Node, int]] = []
    value, unmasked = gathering.source, False
    while (spread := find_spread(value, gathering.mask)) is None:
        without_mask = find_unmasked(value, gathering.mask)
        slot = find_step_slot(value.node) if graph.is_read_once(value.node) else None
        if without_mask is not None:
            value, unmasked = without_mask, True
        elif slot is not None:
            path.append((value.node, slot))
            value = given(value.node.inputs[slot])
        else:
            break
    # 2. Down again.
    if spread is not None:
        x = rebuild(graph, path, spread)
    elif unmasked:
        gathered = add_for(graph, node, GatherND(1), rebuild(graph, path, value), gathering.order)
        x = add_for(graph, node, BATCH_AND_TIME, gathered)
    else:
        return None
    return graph.add(node.op, x, *node.inputs[1:], origin=node.origin).outputs


def find_gathering(node: Node) -> Gathering | None:
    """How a recurrent node reads the valid steps of a masked sequence; None if it does not."""
    lens = producer(node, ReduceSum, slot=LENS_SLOT) if len(node.inputs) > LENS_SLOT else None
    turned = producer(node, Transpose)
    gather = producer(turned, GatherND) if turned and turned.op == BATCH_AND_TIME else None
    top = producer(gather, TopK, slot=1) if gather and gather.op == GatherND(1) else None
    if lens is None or gather is None or top is None or lens.inputs[0] is not top.inputs[0]:
        return None
    counted, order = given(top.inputs[0]), given(gather.inputs[1])
    mask = find_mask(counted)
    is_whole = top.op == TopK(counted.type.shape[1], 1) and order is top.outputs[1]
    if mask is None or not is_whole or counted.type.rank != 3 or lens.op != ReduceSum((1, 2), False):
        return None
    return Gathering(given(gather.inputs[0]), order, mask)


def find_mask(value: Value) -> Value | None:
    """What stands for the mask behind a value with the same elements, as booleans or numbers, in whatever shape."""
    while isinstance(value.node.op, Reshape) or (
        isinstance(value.node.op, Cast) and is_boolean(given(value.node.inputs[0]))
    ):
        value = given(value.node.inputs[0])
    return value if is_boolean(value) else None


def find_spread(value: Value, mask: Value) -> Value | None:
    """y [time, batch, …] if `value` is spread(y) for this mask."""
    node = value.node
    turned = producer(node, Transpose) if node.op == GatherND(1) else None
    if turned is None or turned.op != BATCH_AND_TIME:
        return None
    y = given(turned.inputs[0])
    index = given(node.inputs[1])
    if is_count(index, mask):
        # The first of the rows is what stands before the first valid step.
        before_and_y = y.node.inputs if y.node.op == Concat(0) else ()
        is_preceded = len(before_and_y) == 2 and given(before_and_y[0]).type.shape[0] == 1
        return before_and_y[1] if is_preceded else None
    if not isinstance(index.node.op, Sub) or uniform(index.node.inputs[1]) != 1:
        return None
    count = given(index.node.inputs[0])
    if isinstance(count.node.op, Mul):
        a, b = map(given, count.node.inputs)
        both = (is_count(a, mask) and _is_mask(b, mask)) or (is_count(b, mask) and _is_mask(a, mask))
        return y if both else None
    return y if is_count(count, mask) else None


def is_count(value: Value, mask: Value) -> bool:
    """Whether a value is the number of valid steps up to each step."""
    return value.node.op == CumSum(1) and _is_mask(given(value.node.inputs[0]), mask)


def _is_mask(value: Value, mask: Value) -> bool:
    """Whether a value [batch, time, 1] is the mask as numbers."""
    return value.type.rank == 3 and value.type.shape[2] == 1 and find_mask(value) is mask


def find_unmasked(value: Value, mask: Value) -> Value | None:
    """x if `value` is x at the valid steps: x * mask, or Where(mask, x, anything)."""
    if not isinstance(value.node.op, Mul | Where):
        return None
    a, b = [given(operand) for operand in value.node.inputs[:2]]
    pairs = [(a, b), (b, a)] if isinstance(value.node.op, Mul) else [(a, b)]
    return next((x for flags, x in pairs if x.type == value.type and _is_mask(flags, mask)), None)


def find_step_slot(node: Node) -> int | None:
    """The input slot of a node that computes each step [batch, time, …] by itself; None for other nodes."""
    first = node.inputs[0] if node.inputs else None
    if first is None or len(node.outputs) != 1 or node.output.type.rank != 3:
        return None
    if isinstance(node.op, Dense) or node.op in (Softmax(2), LogSoftmax(2)):
        return 0
    if type(node.op) not in ELEMENTWISE:
        return None
    slots = [slot for slot, value in enumerate(node.inputs) if value is not None and not _is_same_at_every_step(value)]
    return slots[0] if len(slots) == 1 and given(node.inputs[slots[0]]).type.shape == node.output.type.shape else None


def _is_same_at_every_step(value: Value) -> bool:
    return all(size == 1 for size in value.type.shape[:-1])


def rebuild(graph: Graph, path: Sequence[tuple[Node, int]], value: Value) -> Value:
    """The nodes of the path, from the last to the first, on another value."""
    for node, slot in reversed(path):
        inputs = (*node.inputs[:slot], value, *node.inputs[slot + 1 :])
        value = add_for(graph, node, node.op, *inputs)
    return value
