"""A graph inside an operator: what an If, a Loop or a Scan runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from kir.ir.dims import Dim, Sym
from kir.ir.graph import Graph
from kir.ir.op import Inner, Op
from kir.ir.structural import Input, Output
from kir.ir.types import TensorType


class Body(Inner):
    """A graph as an attribute of an operator. It is closed and no longer edited: a pass makes a new one of a copy.

    What it reads of the graph around it are inputs like any others, so that every pass sees the use. It shares the
    names of sizes with the graph around it; sizes that arise inside have names of their own. Equal structures with
    equal constants are equal bodies, whatever their layers, as with nodes.
    """

    def __init__(self, graph: Graph, wide: bool = False) -> None:
        self.graph = graph
        self.wide = wide  # whether it runs in float64

    @cached_property
    def inputs(self) -> tuple[TensorType, ...]:
        """The types of the inputs, in order."""
        return tuple(node.output.type for node in self.graph.inputs)

    @cached_property
    def outputs(self) -> tuple[TensorType, ...]:
        """The types of the outputs, in order."""
        return tuple(node.output.type for node in self.graph.outputs)

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        order = self.graph.order()
        numbers = {node: number for number, node in enumerate(order)}
        nodes = tuple(
            (_nameless(node.op), tuple(value and (numbers[value.node], value.index) for value in node.inputs))
            for node in order
        )
        return self.wide, nodes

    @cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Body) and self._hash == other._hash and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"<{len(self.graph.order())} nodes>"

    def bind(self, sizes: Mapping[str, Dim]) -> Body:
        """Return the body with symbolic sizes replaced; itself where it has none of them."""
        return self if self.symbols().isdisjoint(sizes) else Body(self.graph.specialize(sizes), self.wide)

    def widen(self) -> Body:
        """Return the body for a run in float64."""
        return Body(self.graph, wide=True)

    def symbols(self) -> frozenset[str]:
        """Return the names of the sizes in the body, of its own ones, too."""
        return self._symbols

    @cached_property
    def _symbols(self) -> frozenset[str]:
        order = self.graph.order()
        dims = (dim for node in order for value in node.outputs for dim in value.type.shape if isinstance(dim, Sym))
        return frozenset[str]().union(*(node.op.symbols() for node in order), *(dim.names() for dim in dims))

    def rewritten(self, rewrite: Callable[[Graph], int]) -> Body:
        """Return the body after a pass on a copy of it; itself where that changes nothing."""
        graph = self.graph.copy()
        return Body(graph) if rewrite(graph) else self


def _nameless(op: Op) -> object:
    """Return what counts for equality: inputs and outputs are known by their places, and their labels are names."""
    if isinstance(op, Input):
        return Input, op.type
    return Output if isinstance(op, Output) else op
