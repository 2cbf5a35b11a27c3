"""Movements of elements next to a Dense."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kir.ir.dims import is_known
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array
from kir.ir.structural import Constant
from kir.ir.types import Shape
from kir.ops.elementwise import ELEMENTWISE, UNARY
from kir.ops.linear import Dense
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.shape import Expand, Gather, Pad, Reshape, Slice, Tile, Transpose
from kir.passes.rewrite import (
    Replacement,
    add_constant,
    add_for,
    constant_array,
    given,
    is_number,
    op_of,
    rewrite,
    rounding_pass,
    rule,
)

# The longest run of movements, and the most operators between them and the Dense layers.
MAX_RUN = 8
MAX_OPERATORS = 16

# A larger map of places costs more to make than it ever saves.
MAX_PLACES = 2**22

NOTHING = -1  # the place of a zero that a Pad puts in


@rounding_pass(tolerance=1024, changes_weights=True)
def fold_movements(graph: Graph) -> int:
    """Dense(Tile(x), kernel) → Dense(x, rows of the kernel added up)

    A movement is a run of Reshape, Transpose, Slice, Gather, Pad, Tile and Expand along known axes behind those that a
    Dense leaves alone, whose values nothing else reads.

    1. A movement before a Dense goes into the rows of its kernel, if x has no more features than what was moved.
    2. A movement behind a Dense goes into the columns of its kernel and bias, if they are no more than before. Between
       the two may be elementwise operators, of several Dense too.
    3. Rows that repeat are multiplied once: Dense(Reshape(Tile(x))) becomes Tile(Dense(Reshape(x))). Tile moves behind
       elementwise operators of one operand.

    Kernels and biases are constants that nothing else reads. A Reshape is added only where another movement goes.

    Rounding: sums are formed in another order.
    """
    if not graph.has_any(Dense):
        return 0
    return rewrite(graph, (fold_before, fold_behind, repeat_behind, sink_tile))


# Places: where the elements behind the first `lead` axes come from


def _find_mover(node: Node, lead: int) -> Callable[[Array], Array] | None:
    """Return what a node does to an array of places, if it moves elements behind the first axes only."""
    if not node.inputs or not isinstance(node.op, Reshape | Transpose | Slice | Gather | Pad | Tile | Expand):
        return None
    before, after = given(node.inputs[0]).type.shape, node.output.type.shape
    if len(before) < lead or before[:lead] != after[:lead] or not _is_small(before[lead:], after[lead:]):
        return None
    sizes = tuple(size for size in after[lead:] if isinstance(size, int))
    op = node.op
    if isinstance(op, Reshape):
        return lambda places: places.reshape(sizes)
    if isinstance(op, Transpose):
        order = tuple(axis - lead for axis in op.permutation[lead:])
        return (lambda places: places.transpose(order)) if min(order, default=0) >= 0 else None
    if isinstance(op, Slice):
        moved = Slice(tuple(axis - lead for axis in op.axes), op.starts, op.ends, op.steps)
        return moved.eval if min(op.axes) >= lead else None
    if isinstance(op, Gather):
        indices = constant_array(node.inputs[1])
        return None if indices is None or op.axis < lead else lambda places: places.take(indices, op.axis - lead)
    if isinstance(op, Tile):
        return Tile(op.repeats[lead:]).eval if set(op.repeats[:lead]) <= {1} else None
    if isinstance(op, Expand):
        return (lambda places: np.broadcast_to(places, sizes)) if len(before) == len(after) else None
    fills = (*node.inputs, None)[1]
    if op.mode != "constant" or (fills is not None and not is_number(fills, 0)):
        return None
    widths = list(zip(op.before, op.after, strict=True))
    return lambda places: np.pad(places, widths[lead:], constant_values=NOTHING)  # type: ignore[arg-type]


def _is_small(*shapes: Shape) -> bool:
    for shape in shapes:
        count = 1
        for size in shape:
            if not is_known(size):
                return False
            count *= size
        if count > MAX_PLACES:
            return False
    return True


def _find_run(graph: Graph, value: Value, lead: int) -> list[Node]:
    """Return the movements that compute a value, the last one first."""
    run: list[Node] = []
    while len(run) < MAX_RUN and _find_mover(value.node, lead) is not None and graph.is_read_once(value.node):
        run.append(value.node)
        value = given(value.node.inputs[0])
    return run


def _find_places(run: Sequence[Node], lead: int) -> Array:
    """Return for each element behind the run the place where it was before, counted behind the first axes."""
    shape = given(run[-1].inputs[0]).type.shape[lead:]
    places: Array = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)  # type: ignore[arg-type]
    for node in reversed(run):
        mover = _find_mover(node, lead)
        assert mover is not None, "the run has movements only"
        places = np.asarray(mover(places))
    return places


def _flatten(graph: Graph, node: Node, x: Value, lead: int) -> Value:
    """Return x with one axis behind the first ones."""
    sizes = [size for size in x.type.shape[lead:] if isinstance(size, int)]
    shape = (*x.type.shape[:lead], int(np.prod(sizes, dtype=np.int64)))
    return x if x.type.shape == shape else add_for(graph, node, Reshape(shape), x)


# 1. Before a Dense


@rule(Dense)
def fold_before(graph: Graph, node: Node) -> Value | None:
    kernel = _find_weight(graph, node.inputs[1])
    lead = node.output.type.rank - 1
    run = _find_run(graph, given(node.inputs[0]), lead) if kernel is not None else []
    while run and kernel is not None:
        x = given(run[-1].inputs[0])
        places = _find_places(run, lead).reshape(-1)
        features = _count(x, lead)
        if len(run) > (x.type.rank != lead + 1) and 0 < features <= places.size:
            rows = np.zeros((features, kernel.shape[1]))
            np.add.at(rows, places[places != NOTHING], kernel[places != NOTHING].astype(np.float64))
            weight = _with_array(graph, given(node.inputs[1]), rows.astype(kernel.dtype))
            return add_for(graph, node, node.op, _flatten(graph, run[-1], x, lead), weight, *node.inputs[2:])
        run.pop()
    return None


def _count(x: Value, lead: int) -> int:
    return int(np.prod([size for size in x.type.shape[lead:] if isinstance(size, int)], dtype=np.int64))


def _find_weight(graph: Graph, value: Value | None) -> Array | None:
    """Return a constant that nothing else reads; None for any other value."""
    return constant_array(value) if value is not None and graph.is_read_once(value.node) else None


def _with_array(graph: Graph, old: Value, array: Array) -> Value:
    return add_constant(graph, old.node, np.ascontiguousarray(array), op_of(old.node, Constant).label)


# 2. Behind a Dense


@rule(Reshape, Transpose, Slice, Gather)
def fold_behind(graph: Graph, node: Node) -> Value | None:
    value = node.output
    run: list[Node] = [node]
    while len(run) < MAX_RUN and (inner := given(run[-1].inputs[0]).node) and _is_movement(graph, inner):
        run.append(inner)
    value = given(run[-1].inputs[0])
    lead = value.type.rank - 1
    if lead < 1 or not all(_find_mover(passed, lead) for passed in run):
        return None
    flat = len(node.output.type.shape) == lead + 1
    if len(run) <= (not flat) or not graph.is_read_once(value.node):
        return None
    operators = _find_operators(graph, value)
    if operators is None:
        return None
    places = _find_places(run, lead).reshape(-1)
    if places.size > _count(value, lead) or not places.size or (places == NOTHING).any():
        return None
    if not flat and np.array_equal(places, np.arange(_count(value, lead))):
        return None  # a Reshape says the same
    moved = _rebuild(graph, operators, places)[value]
    return moved if flat else add_for(graph, node, Reshape(node.output.type.shape), moved)


def _is_movement(graph: Graph, node: Node) -> bool:
    return isinstance(node.op, Reshape | Transpose | Slice | Gather) and graph.is_read_once(node)


def _find_operators(graph: Graph, value: Value) -> list[Node] | None:
    """Return the operators down to Dense layers that compute a value, in order; None if something else does."""
    waiting, found = [value.node], list[Node]()
    while waiting:
        node = waiting.pop()
        if not graph.is_read_once(node) or len(found) == MAX_OPERATORS:
            return None
        found.append(node)
        if isinstance(node.op, Dense):
            weights = node.inputs[1:]
            if isinstance(node.op.activation, Softmax | LogSoftmax):
                return None
            if any(_find_weight(graph, weight) is None for weight in weights):
                return None
            continue
        if type(node.op) not in ELEMENTWISE:
            return None
        for operand in node.inputs:
            if operand is None or operand.type.shape == ():
                continue
            if isinstance(operand.node.op, Constant):
                if operand.type.shape not in (value.type.shape[-1:], (1,)):
                    return None
            elif operand.type.shape == value.type.shape:
                waiting.append(operand.node)
            else:
                return None
    return found[::-1]


def _rebuild(graph: Graph, operators: Sequence[Node], places: Array) -> dict[Value, Value]:
    """Add operators again, for the features in these places; return the new values by the old ones."""
    moved: dict[Value, Value] = {}
    for node in operators:
        inputs: list[Value | None] = []
        for slot, value in enumerate(node.inputs):
            array = constant_array(value)
            if value is None or (slot == 0 and isinstance(node.op, Dense)):
                inputs.append(value)
            elif array is not None:
                is_feature = array.ndim > 0 and (isinstance(node.op, Dense) or array.shape != (1,))
                inputs.append(_with_array(graph, value, array[..., places]) if is_feature else value)
            else:
                inputs.append(moved.get(value, value))
        moved[node.output] = add_for(graph, node, node.op, *inputs)
    return moved


# 3. Rows that repeat


@rule(Dense)
def repeat_behind(graph: Graph, node: Node) -> Replacement:
    value = given(node.inputs[0])
    lead = value.type.rank - 2
    if lead < 1 or isinstance(op_of(node, Dense).activation, Softmax | LogSoftmax):
        return None
    run = _find_run(graph, value, lead)
    if len(run) < 2:
        return None
    places = _find_places(run, lead)
    rows, features = places.shape
    x = given(run[-1].inputs[0])
    count = _count(x, lead) // features
    if not 0 < count < rows or count * features != _count(x, lead) or rows % count:
        return None
    if not np.array_equal(places, np.tile(np.arange(count * features).reshape(count, features), (rows // count, 1))):
        return None
    shape = (*x.type.shape[:lead], count, features)
    each = add_for(graph, run[-1], Reshape(shape), x) if x.type.shape != shape else x
    product = add_for(graph, node, node.op, each, *node.inputs[1:])
    return add_for(graph, run[-1], Tile((1,) * lead + (rows // count, 1)), product)


@rule(*UNARY, above=[Tile], once=True)
def sink_tile(graph: Graph, node: Node, tile: Node) -> Value | None:
    if len(node.inputs) != 1:
        return None
    return add_for(graph, tile, tile.op, add_for(graph, node, node.op, tile.inputs[0]))
