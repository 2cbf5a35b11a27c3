"""The nodes of one graph put into another, and sizes that become known because of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kir.ir.dims import Dim, Sym
from kir.ir.graph import Graph, Node, Origin, Value, learn_sizes
from kir.ir.op import Op, output_types
from kir.ir.structural import Input, Output
from kir.ir.types import TensorType


def inline(graph: Graph, inner: Graph, inputs: Sequence[Value], origin: Origin | None = None) -> list[Value]:
    """Add the nodes of another graph, which read `inputs` for its inputs, and return what its outputs read.

    Both share the names of sizes; where an input has another size than the inner graph says, that one follows from it.
    Nodes that come from no layer get `origin`. O(nodes + edges of the inner graph).

    Raises:
        ShapeError: an operator cannot work with one of the sizes.
    """
    values: dict[Value | None, Value | None] = {None: None}
    sizes: dict[str, Dim] = {}
    for node, given in zip(inner.inputs, inputs, strict=True):
        values[node.output] = given
        learn_sizes(node.output.type, given.type, sizes)
    results: list[Value] = []
    for node in inner.order():
        if isinstance(node.op, Input):
            continue
        read = [values[value] for value in node.inputs]
        if isinstance(node.op, Output):
            (value,) = read
            assert value is not None
            results.append(value)
            continue
        new = graph.add(node.op.bind(sizes) if sizes else node.op, *read, origin=node.origin or origin)
        for old, value in zip(node.outputs, new.outputs, strict=True):
            values[old] = value
            learn_sizes(old.type, value.type, sizes)
    return results


def type_names(types: Iterable[TensorType]) -> frozenset[str]:
    """Return the names of the sizes in types."""
    dims = (dim for type in types for dim in type.shape if isinstance(dim, Sym))
    return frozenset[str]().union(*(dim.names() for dim in dims))


def first_places(order: Iterable[Node]) -> dict[str, Node]:
    """Return the first of some nodes in the types of whose outputs a size occurs, by the name of the size."""
    places: dict[str, Node] = {}
    for node in order:
        for name in type_names(value.type for value in node.outputs):
            places.setdefault(name, node)
    return places


def match_types(old: TensorType, new: TensorType) -> dict[str, Dim] | None:
    """Return the sizes with which one type is another, None if no single names of sizes make it that."""
    if (old.dtype, old.rank) != (new.dtype, new.rank):
        return None
    found: dict[str, Dim] = {}
    for dim, other in zip(old.shape, new.shape, strict=True):
        if dim == other:
            continue
        if not isinstance(dim, Sym) or dim.name is None or found.setdefault(dim.name, other) != other:
            return None
    return found


def refine(nodes: Iterable[Node], sizes: Mapping[str, Dim]) -> None:
    """Give symbolic sizes values, or other names, in the nodes themselves. O(nodes + edges).

    Nodes and values stay the same objects, with other operators and types.

    Args:
        nodes: all that have one of the sizes, each after those that it reads. No input is among them.
        sizes: what each size is.

    Raises:
        ShapeError: an operator cannot work with one of the sizes; nothing was changed.
    """
    known = dict(sizes)
    types: dict[Value, TensorType] = {}  # the new ones
    changes: list[tuple[Node, Op, tuple[TensorType, ...]]] = []
    for node in nodes:
        op = node.op.bind(known) if node.op.symbols() else node.op
        outputs = tuple(value.type for value in node.outputs)
        if op is not node.op or any(value in types for value in node.inputs):
            outputs = output_types(
                op, [None if value is None else types.get(value, value.type) for value in node.inputs]
            )
            changes.append((node, op, outputs))
        for value, type in zip(node.outputs, outputs, strict=True):
            if type != value.type:
                types[value] = type
                learn_sizes(value.type, type, known)
    for node, op, outputs in changes:
        node.op = op
        for value, type in zip(node.outputs, outputs, strict=True):
            value.type = type
