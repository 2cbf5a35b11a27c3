"""The subgraphs of a node: what they read from outside, and other names for all that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from onnx import AttributeProto, GraphProto, NodeProto


def walk_subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs in a node's attributes, and those in their nodes, in a fixed order."""
    pending = _own_subgraphs(node)
    while pending:
        graph = pending.pop()
        yield graph
        for inner in reversed(graph.node):
            pending += _own_subgraphs(inner)


def _own_subgraphs(node: NodeProto) -> list[GraphProto]:
    if not node.attribute:
        return []
    single = [attribute.g for attribute in node.attribute if attribute.type == AttributeProto.GRAPH]
    return (single + [graph for attribute in node.attribute for graph in attribute.graphs])[::-1]


def defined_names(node: NodeProto) -> dict[str, None]:
    """The names that the subgraphs of a node give to values, in order."""
    found: dict[str, None] = {}
    for graph in walk_subgraphs(node):
        found |= dict.fromkeys(value.name for value in (*graph.input, *graph.initializer))
        found |= dict.fromkeys(tensor.values.name for tensor in graph.sparse_initializer)
        found |= dict.fromkeys(name for inner in graph.node for name in inner.output if name)
    return found


def outer_names(node: NodeProto) -> list[str]:
    """The names that the subgraphs of a node read and do not give, in order."""
    graphs = list(walk_subgraphs(node))
    if not graphs:
        return []
    defined = defined_names(node)
    read: dict[str, None] = {}
    for graph in graphs:
        read |= dict.fromkeys(name for inner in graph.node for name in inner.input if name)
        read |= dict.fromkeys(value.name for value in graph.output)
    return [name for name in read if name not in defined]


def rename_values(node: NodeProto, rename: Callable[[str], str]) -> None:
    """Gives every value that the subgraphs of a node define or read another name, in place."""
    for graph in walk_subgraphs(node):
        for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            value.name = rename(value.name)
        for tensor in graph.sparse_initializer:
            tensor.values.name = rename(tensor.values.name)
        for inner in graph.node:
            for names in (inner.input, inner.output):
                names[:] = [rename(name) if name else "" for name in names]
