"""Expand that broadcasting makes needless."""

from __future__ import annotations

from kir.errors import ShapeError
from kir.ir.graph import Graph, Node, Value
from kir.ops.elementwise import BINARY, UNARY, Where
from kir.ops.shape import Expand, Reshape, Tile, Transpose
from kir.passes.rewrite import (
    add_constant,
    add_for,
    constant_array,
    exact_pass,
    given,
    op_of,
    producer,
    rewrite,
    rule,
    with_input,
)


@exact_pass
def expand_constants(graph: Graph) -> int:
    """f(x, Expand(y)) → f(x, y)

    1. f broadcasts, and its result has the same type without the Expand.
    2. f(Expand(x)) of one operand: Expand(f(x)), which computes fewer elements (and folds when x is constant). Only
       if nothing else reads the Expand.
    3. Expand(Expand(x)): Expand(x).
    4. Reshape or Transpose of an Expand of one constant number: an Expand of that number.
    5. Tile of axes of size 1: Expand.
    6. Reshape(Expand(Reshape(x))) whose outer Reshape only adds or removes axes of size 1: Expand(Reshape(x)).

    Exact: Expand and broadcasting both repeat elements.
    """
    if not graph.has_any(Expand, Tile):
        return 0
    return rewrite(graph, (drop_expand, sink_expand, join_expands, move_uniform, tile_as_expand, expand_last))


@rule(*BINARY, Where)
def drop_expand(graph: Graph, node: Node) -> Value | None:
    for slot in range(len(node.inputs)):
        expand = producer(node, Expand, slot=slot)
        if expand is not None:
            inputs = with_input(node, slot, expand.inputs[0])
            if _has_type(node, inputs):
                return add_for(graph, node, node.op, *inputs)
    return None


def _has_type(node: Node, inputs: tuple[Value | None, ...]) -> bool:
    try:
        return bool(node.op.infer(*[given(value).type for value in inputs]) == node.output.type)
    except ShapeError:  # two symbolic sizes that only the Expand made equal
        return False


@rule(*UNARY, above=[Expand], once=True)
def sink_expand(graph: Graph, node: Node, expand: Node) -> Value:
    return add_for(graph, expand, expand.op, add_for(graph, node, node.op, expand.inputs[0]))


@rule(Expand, above=[Expand])
def join_expands(graph: Graph, node: Node, inner: Node) -> Value:
    return add_for(graph, node, node.op, inner.inputs[0])


@rule(Reshape, Transpose, above=[Expand])
def move_uniform(graph: Graph, node: Node, expand: Node) -> Value | None:
    array = constant_array(expand.inputs[0])
    if array is None or array.size != 1:
        return None
    number = add_constant(graph, given(expand.inputs[0]).node, array.reshape(()))
    return add_for(graph, node, Expand(node.output.type.shape), number)


@rule(Tile)
def tile_as_expand(graph: Graph, node: Node) -> Value | None:
    x, repeats = given(node.inputs[0]), op_of(node, Tile).repeats
    is_expand = all(size == 1 or count == 1 for size, count in zip(x.type.shape, repeats, strict=True))
    return add_for(graph, node, Expand(node.output.type.shape), x) if is_expand else None


@rule(Reshape, above=[Expand, Reshape], once=True)
def expand_last(graph: Graph, node: Node, expand: Node, inner: Node) -> Value | None:
    expanded, wanted = expand.output.type.shape, node.output.type.shape
    if [size for size in expanded if size != 1] != [size for size in wanted if size != 1]:
        return None
    before = (1,) * (len(expanded) - inner.output.type.rank) + inner.output.type.shape
    sizes = iter([old for old, new in zip(before, expanded, strict=True) if new != 1])
    shape = tuple(1 if size == 1 else next(sizes) for size in wanted)
    return add_for(graph, node, Expand(wanted), add_for(graph, inner, Reshape(shape), inner.inputs[0]))
