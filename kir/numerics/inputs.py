"""The inputs of a graph: their symbolic sizes, and which of them make up one sparse tensor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kir.errors import ShapeError
from kir.ir.dims import Sym, substitute
from kir.ir.graph import Graph, Node
from kir.ir.op import Array
from kir.ir.structural import Input
from kir.ir.types import Shape, TensorType, format_shape
from kir.ops.sparse import SparseToDense


def input_symbols(graph: Graph) -> list[str]:
    """Return the names of the sizes that feeds decide, in the order of the inputs; no counts of sparse inputs."""
    counts = {parts[1].output.type.shape[0] for parts, _ in sparse_inputs(graph)}
    shapes = [node.output.type.shape for node in graph.inputs] + [type.shape for _, type in sparse_inputs(graph)]
    dims = [dim for shape in shapes for dim in shape if isinstance(dim, Sym) and dim not in counts]
    return list(dict.fromkeys(name for dim in dims for name in sorted(dim.names())))


def sparse_inputs(graph: Graph) -> list[tuple[tuple[Node, Node, Node], TensorType]]:
    """Return the inputs for indices, values and shape of each sparse tensor, and the type of the tensor."""
    found: dict[Node, tuple[tuple[Node, Node, Node], TensorType]] = {}
    for node in graph.inputs:
        for reader in graph.consumers(node):
            if isinstance(reader.op, SparseToDense):
                indices, values, size = (value.node for value in reader.inputs if value is not None)
                if all(isinstance(part.op, Input) for part in (indices, values, size)):
                    found[indices] = (indices, values, size), reader.output.type
    return list(found.values())


def known_shape(type: TensorType, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Return the shape of a type with these sizes.

    Raises:
        ShapeError: one is missing.
    """
    known: list[int] = []
    for dim in type.shape:
        size = substitute(dim, sizes)
        if not isinstance(size, int):
            raise ShapeError(f"no value was given for the sizes in {format_shape(type.shape)}; received {dict(sizes)}")
        known.append(size)
    return tuple(known)


def shape_of_feeds(feeds: Mapping[str, Array]) -> str:
    """Return the shapes of feeds, for messages."""
    shapes: dict[str, Shape] = {name: np.shape(array) for name, array in feeds.items()}
    return ", ".join(f"{name} {format_shape(shape)}" for name, shape in shapes.items()) or "no inputs"
