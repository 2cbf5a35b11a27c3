"""Where a graph can be cut into stretches: values that can be any numbers, before a function bends them.

What a Dense, a convolution or a BatchNormalization computes has no bounds, no sign and no ties, whatever it was given;
and a recurrent layer has no bounds but those of tanh. Whoever rewrites a graph may take the range of other values for
granted, as that of a Relu, but not that of these; and scales, shifts, layouts and further products may be merged with
them in many ways. So the cut is where the last of them ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Op
from kir.ir.structural import Input, Output
from kir.ops.blocks import DepthToSpace, SpaceToDepth
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.elementwise import Add, Cast, Div, Mul, Neg, Sub
from kir.ops.linear import Dense, Einsum, MatMul
from kir.ops.normalization import BatchNormalization
from kir.ops.pooling import AveragePool
from kir.ops.random import Dropout
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.reduce import ReduceMean, ReduceSum
from kir.ops.shape import Concat, Expand, Pad, Reshape, Slice, Split, Transpose

# What computes a free value of any other, given that the rest is constant.
PRODUCTS = (Dense, Conv, ConvTranspose, MatMul, Einsum, BatchNormalization)

# The first result of these is free within (-1, 1).
RECURRENT = (RNN, GRU, LSTM)

# What keeps a free value free with constants beside it, and may be merged with the product before.
AFFINE = (*PRODUCTS, Add, Sub, Mul, Div, Neg, AveragePool, ReduceMean, ReduceSum, Expand, Pad, Slice, Split)

# The same with several free values.
JOINING = (MatMul, Einsum, Concat)

# What only moves elements.
MOVES = (Reshape, Transpose, DepthToSpace, SpaceToDepth, Dropout, Cast)


def split_activations(graph: Graph) -> tuple[Graph, Mapping[Value, Value]]:
    """Return a graph in which every Dense stands apart from its activation, and of its values those that were there.

    It is the same one if all do. O(nodes).
    """
    if not any(isinstance(node.op, Dense) and node.op.activation is not None for node in graph.order()):
        return graph, {}
    split = Graph(graph.name)
    known: dict[Value, Value] = {}
    values: dict[Value | None, Value | None] = {None: None}
    for node in graph.order():
        inputs = [values[value] for value in node.inputs]
        if isinstance(node.op, Dense) and node.op.activation is not None:
            linear = split.add(Dense(), *inputs, origin=node.origin)
            known[linear.output] = node.output
            new = split.add(node.op.activation, linear.output, origin=node.origin)
        else:
            new = split.add(node.op, *inputs, origin=node.origin)
        values.update(zip(node.outputs, new.outputs, strict=True))
        known.update(zip(new.outputs, node.outputs, strict=True))
    return split, known


def find_cuts(graph: Graph) -> dict[Value, frozenset[type[Op]]]:
    """Return the free values that something bends, in order, and the operators that do. O(nodes + edges).

    An Output does, where nothing keeps the value free as well: another graph may merge that with it.
    """
    free = _find_free(graph)
    bending: dict[Value, set[type[Op]]] = {}
    continued: set[Value] = set()
    for node in graph.order():
        is_bending = free.isdisjoint(node.outputs) or isinstance(node.op, RECURRENT)
        for value in node.inputs:
            if value in free and is_bending:
                bending.setdefault(_before_moves(value), set()).add(type(node.op))
            elif value in free and not isinstance(node.op, MOVES):
                continued.add(_before_moves(value))
    return {
        value: frozenset(bending[value])
        for node in graph.order()
        for value in node.outputs
        if value in bending and (value not in continued or bending[value] != {Output})
    }


def is_bounded(value: Value) -> bool:
    """Return whether a cut has no values but those from -1 to 1."""
    return isinstance(value.node.op, RECURRENT)


def _find_free(graph: Graph) -> set[Value]:
    constant: set[Value] = set()
    free: set[Value] = set()
    for node in graph.order():
        read = [value for value in node.inputs if value is not None and value not in constant]
        if not read and not isinstance(node.op, Input):
            constant.update(node.outputs)
        elif isinstance(node.op, RECURRENT):
            free.add(node.outputs[0])
        elif _is_free(node, read, free):
            free.update(node.outputs)
    return free


def _is_free(node: Node, read: list[Value], free: Collection[Value]) -> bool:
    """Return whether a node computes free values; `read` is what it reads beside constants."""
    op = node.op
    if not read or not all(value.type.dtype.is_float for value in node.outputs):
        return False
    if isinstance(op, Dropout):
        return node.inputs[0] in free
    if len(read) > 1:
        return isinstance(op, JOINING) and all(value in free for value in read)
    if isinstance(op, MatMul | Einsum):
        return True
    if node.inputs[0] is not read[0]:
        return isinstance(op, Add | Sub | Mul) and read[0] in free
    return isinstance(op, PRODUCTS) or (isinstance(op, (*AFFINE, *MOVES, Concat)) and read[0] in free)


def _before_moves(value: Value) -> Value:
    """Return what a free value was before its elements only moved; all of it is free."""
    while isinstance(value.node.op, MOVES):
        source = value.node.inputs[0]
        assert source is not None
        value = source
    return value
