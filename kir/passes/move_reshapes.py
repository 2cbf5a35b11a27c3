"""Reshapes that cancel across elementwise operators."""

from __future__ import annotations

from collections.abc import Mapping

from kir.ir.graph import Graph, Node, Value
from kir.ir.structural import Constant
from kir.ir.types import Shape
from kir.ops.elementwise import ELEMENTWISE
from kir.ops.shape import Concat, Reshape
from kir.passes.rewrite import add_constant, add_for, constant_array, exact_pass, given, op_of, rewrite, rule

# A Reshape passes at most so many elementwise operators. Without a limit, looking up from each of many Reshapes without
# a partner would be quadratic; a formula of a layer has ten operators.
MAX_RUN = 32


@exact_pass
def move_reshapes(graph: Graph) -> int:
    """Reshape(f(Reshape(x))) → Reshape(f(x))

    f is a run of elementwise operators whose values nothing else reads.

    1. f of one operand: as above; without the outer Reshape too, where the two cancel.
    2. f with side operands that are scalars, or have only trailing axes that the inner Reshape leaves alone.
    3. f(Reshape(a), Reshape(b)), both from one shape to one shape: Reshape(f(a, b)).

    4. Concat(Reshape(a), Reshape(b)) along the first axis that the Reshapes do not leave alone: Reshape(Concat(a, b)).

    A Reshape moves only where one disappears, so this ends and never adds a node.
    Exact: elementwise operators compute every element on its own.
    """
    rules = (cancel_reshapes, join_equal_reshapes, concat_reshapes)
    return rewrite(graph, rules) if graph.has_any(Reshape) else 0


@rule(Reshape)
def cancel_reshapes(graph: Graph, node: Node) -> Value | None:
    # 1. Climb to the inner Reshape, noting each node and the slot that leads on.
    path: list[tuple[Node, int]] = []
    above = given(node.inputs[0]).node
    while len(path) < MAX_RUN and above.op.__class__ in ELEMENTWISE and graph.is_read_once(above):
        slots = full_slots(above)
        if len(slots) != 1:
            return None
        path.append((above, slots[0]))
        above = given(above.inputs[slots[0]]).node
    if not path or not isinstance(above.op, Reshape) or not graph.is_read_once(above):
        return None
    # 2. Check the side operands, which must fit x too.
    kept = count_common_trailing(given(above.inputs[0]).type.shape, above.output.type.shape)
    if not all(can_pass(passed, [slot], kept) for passed, slot in path):
        return None
    # 3. Rebuild the nodes below it.
    value = given(above.inputs[0])
    for passed, slot in reversed(path):
        value = add_on(graph, passed, {slot: value}, kept)
    return value if value.type == node.output.type else add_for(graph, node, node.op, value)


@rule(*ELEMENTWISE)
def join_equal_reshapes(graph: Graph, node: Node) -> Value | None:
    slots = full_slots(node)
    reshapes = [given(node.inputs[slot]).node for slot in slots]
    if len(reshapes) < 2 or not isinstance(reshapes[0].op, Reshape):
        return None
    first, before = reshapes[0], given(reshapes[0].inputs[0]).type.shape
    for reshape in reshapes:
        is_same = reshape.op == first.op and given(reshape.inputs[0]).type.shape == before
        if not is_same or not graph.is_read_once(reshape):
            return None
    kept = count_common_trailing(before, first.output.type.shape)
    if not can_pass(node, slots, kept):
        return None
    moved = {slot: given(reshape.inputs[0]) for slot, reshape in zip(slots, reshapes, strict=True)}
    return add_for(graph, node, first.op, add_on(graph, node, moved, kept))


@rule(Concat)
def concat_reshapes(graph: Graph, node: Node) -> Value | None:
    axis = op_of(node, Concat).axis
    inner = [given(value).node for value in node.inputs]
    if len(inner) < 2 or not all(isinstance(part.op, Reshape) and graph.is_read_once(part) for part in inner):
        return None
    values = [given(part.inputs[0]) for part in inner]
    first = values[0].type.shape
    for value, part in zip(values, inner, strict=True):
        shape = value.type.shape
        is_alike = len(shape) == len(first) > axis and shape[axis + 1 :] == first[axis + 1 :]
        # Before the axis nothing changes, so that each index there has the elements of all parts one after another.
        if not is_alike or shape[:axis] != part.output.type.shape[:axis]:
            return None
    return add_for(graph, node, Reshape(node.output.type.shape), add_for(graph, node, node.op, *values))


def full_slots(node: Node) -> list[int]:
    """Return the input slots whose value has the shape of the result and is no constant."""
    shape = node.output.type.shape
    return [
        slot
        for slot, value in enumerate(node.inputs)
        if value is not None and value.type.shape == shape and not isinstance(value.node.op, Constant)
    ]


def can_pass(node: Node, slots: list[int], kept: int) -> bool:
    """Return whether a Reshape can pass an elementwise node that reads reshaped values in these slots.

    The other operands must have at most the `kept` last axes; a constant may have more if their sizes are 1.
    """
    sides = [value for slot, value in enumerate(node.inputs) if value is not None and slot not in slots]
    return all(value.type.rank <= kept or _has_ones_before(value, kept) for value in sides)


def _has_ones_before(value: Value, kept: int) -> bool:
    array = constant_array(value)
    return array is not None and all(size == 1 for size in array.shape[: array.ndim - kept])


def add_on(graph: Graph, node: Node, moved: Mapping[int, Value], kept: int) -> Value:
    """Add an elementwise node again, on the values before the Reshapes, by slot; see `can_pass`."""
    inputs: list[Value | None] = list(node.inputs)
    for slot, value in enumerate(node.inputs):
        array = constant_array(value)
        if slot in moved:
            inputs[slot] = moved[slot]
        elif value is not None and array is not None and array.ndim > kept:
            inputs[slot] = add_constant(graph, value.node, array.reshape(array.shape[array.ndim - kept :]))
    return add_for(graph, node, node.op, *inputs)


def count_common_trailing(a: Shape, b: Shape) -> int:
    """Return the number of equal sizes at the ends of two shapes."""
    count = 0
    while count < min(len(a), len(b)) and a[-1 - count] == b[-1 - count]:
        count += 1
    return count
