"""Needless gathers between masked recurrent layers.

A masked recurrent layer reads its valid steps gathered to the front, and spreads its results over all steps again (see
`kir.layers.steps.Steps`). After the valid steps it reads nothing, so that the rest may be anything:

    gather(x)            GatherND(x, order)     order = TopK(mask): valid steps first
    spread(y)            GatherND(y, index)     index = CumSum(mask) - 1, or CumSum(mask) * mask - 1
    gather(spread(y))    y, in all steps that are read
"""

from __future__ import annotations

from dataclasses import dataclass

from kir.ir.graph import Graph, Node, Value
from kir.ops.elementwise import ELEMENTWISE, Cast, Mul, Sub, Where
from kir.ops.linear import Dense
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.reduce import ReduceSum
from kir.ops.shape import Concat, CumSum, GatherND, Reshape, TopK, Transpose
from kir.passes.rewrite import (
    Replacement,
    add_for,
    both_orders,
    given,
    is_number,
    producer,
    producers,
    rebuild,
    rewrite,
    rounding_pass,
    rule,
)
from kir.passes.simplify import is_boolean

BATCH_AND_TIME = Transpose((1, 0, 2))
LENS_SLOT = 4


@rounding_pass(tolerance=64)
def cancel_step_gathers(graph: Graph) -> int:
    """LSTM(gather(Dense(spread(y))), lens) → LSTM(Dense(y), lens)

    A recurrent operator reads the valid steps of a masked sequence. Above the gather are only operators that compute
    each step by itself (elementwise ones, Dense, Softmax), up to

    1. a spread by the same mask: its steps are read as they were;
    2. x * mask or Where(mask, x, …), with the same mask: x, since the masked steps are not read.

    Rounding: a Dense between two layers gets its rows in another order, and products of matrices round differently from
    row to row.
    Source: the identity above; Keras's masks, https://keras.io/guides/understanding_masking_and_padding/
    """
    return rewrite(graph, (read_steps_directly,))


@dataclass(frozen=True, slots=True)
class Gathering:
    """How a recurrent node reads valid steps: from which value, in which order, by which mask."""

    source: Value
    order: Value
    mask: Value


@rule(RNN, GRU, LSTM)
def read_steps_directly(graph: Graph, node: Node) -> Replacement:
    gathering = find_gathering(node)
    if gathering is None:
        return None
    # 1. Climb to where the steps were spread, past operators on single steps and past what zeroes masked steps.
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
    # 2. Rebuild the path below it. A graph that was read may be wrong: its steps are then another axis than the time.
    if spread is not None and spread.type.shape[:2] != given(node.inputs[0]).type.shape[:2]:
        return None
    if spread is not None:
        x = rebuild(graph, path, spread)
    elif unmasked:
        gathered = add_for(graph, node, GatherND(1), rebuild(graph, path, value), gathering.order)
        x = add_for(graph, node, BATCH_AND_TIME, gathered)
    else:
        return None
    return graph.add(node.op, x, *node.inputs[1:], origin=node.origin).outputs


def find_gathering(node: Node) -> Gathering | None:
    """Return how a recurrent node reads the valid steps of a masked sequence; None if it reads something else."""
    lens = producer(node, ReduceSum, slot=LENS_SLOT) if len(node.inputs) > LENS_SLOT else None
    above = producers(node, Transpose, GatherND)
    if lens is None or [each.op for each in above] != [BATCH_AND_TIME, GatherND(1)]:
        return None
    gather = above[1]
    top = producer(gather, TopK, slot=1)
    if top is None or lens.inputs[0] is not top.inputs[0]:
        return None
    counted, order = given(top.inputs[0]), given(gather.inputs[1])
    mask = find_mask(counted)
    is_whole = top.op == TopK(counted.type.shape[1], 1) and order is top.outputs[1]
    if mask is None or not is_whole or counted.type.rank != 3 or lens.op != ReduceSum((1, 2), False):
        return None
    return Gathering(given(gather.inputs[0]), order, mask)


def find_mask(value: Value) -> Value | None:
    """Return the booleans that a value holds, before they were cast or reshaped; None if it holds something else."""
    while isinstance(value.node.op, Reshape) or (
        isinstance(value.node.op, Cast) and is_boolean(given(value.node.inputs[0]))
    ):
        value = given(value.node.inputs[0])
    return value if is_boolean(value) else None


def find_spread(value: Value, mask: Value) -> Value | None:
    """Return y [time, batch, …] if `value` is spread(y) for this mask."""
    node = value.node
    turned = producer(node, Transpose) if node.op == GatherND(1) else None
    if turned is None or turned.op != BATCH_AND_TIME:
        return None
    y = given(turned.inputs[0])
    index = given(node.inputs[1])
    if is_count(index, mask):
        # The index counts from 1: row 0 is what stands before the first valid step.
        before_and_y = y.node.inputs if y.node.op == Concat(0) else ()
        is_preceded = len(before_and_y) == 2 and given(before_and_y[0]).type.shape[0] == 1
        return before_and_y[1] if is_preceded else None
    if not isinstance(index.node.op, Sub) or not is_number(index.node.inputs[1], 1):
        return None
    count = given(index.node.inputs[0])
    if isinstance(count.node.op, Mul):
        return y if any(is_count(a, mask) and _is_mask(b, mask) for a, b in both_orders(count.node)) else None
    return y if is_count(count, mask) else None


def is_count(value: Value, mask: Value) -> bool:
    """Return whether a value is the number of valid steps up to each step."""
    return value.node.op == CumSum(1) and _is_mask(given(value.node.inputs[0]), mask)


def _is_mask(value: Value, mask: Value) -> bool:
    """Return whether a value [batch, time, 1] is the mask as numbers."""
    return value.type.rank == 3 and value.type.shape[2] == 1 and find_mask(value) is mask


def find_unmasked(value: Value, mask: Value) -> Value | None:
    """Return x if `value` is x at the valid steps: x * mask, or Where(mask, x, anything)."""
    if isinstance(value.node.op, Mul):
        pairs = both_orders(value.node)
    elif isinstance(value.node.op, Where):
        pairs = [(given(value.node.inputs[0]), given(value.node.inputs[1]))]
    else:
        return None
    return next((x for flags, x in pairs if x.type == value.type and _is_mask(flags, mask)), None)


def find_step_slot(node: Node) -> int | None:
    """Return the slot through which a node reads steps [batch, time, …] that it computes one by one; else None."""
    first = node.inputs[0] if node.inputs else None
    if first is None or len(node.outputs) != 1 or node.output.type.rank != 3:
        return None
    if isinstance(node.op, Dense) or node.op in (Softmax(2), LogSoftmax(2)):
        return 0
    if type(node.op) not in ELEMENTWISE:
        return None
    # An operand with sizes of 1 but for the last axis is the same at every step.
    slots = [
        slot for slot, value in enumerate(node.inputs) if value and any(size != 1 for size in value.type.shape[:-1])
    ]
    return slots[0] if len(slots) == 1 and given(node.inputs[slots[0]]).type.shape == node.output.type.shape else None
