"""Nodes of one origin, and the registry of the functions that guess which call of a layer they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from kir import activations
from kir.errors import KirError
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array, Op
from kir.ir.structural import Constant, Input
from kir.ir.trace import Tensor, Tracer
from kir.ir.types import TensorType
from kir.lift.arrays import array_of
from kir.modeling.layer import Layer

T = TypeVar("T")


@dataclass
class Component:
    """Nodes of one origin that hang together, in the graph's order, and what they read of others.

    Nodes that are foreign are of a file that names no layers: then names and labels need not stay.
    """

    nodes: list[Node]
    inputs: list[Value]
    is_foreign: bool = False

    @property
    def path(self) -> str:
        origin = self.nodes[0].origin
        assert origin is not None
        return origin.path

    @property
    def layer_class(self) -> str:
        """The class of the layer; empty if the nodes are foreign."""
        origin = self.nodes[0].origin
        return "" if origin is None or self.is_foreign else origin.layer

    @property
    def source(self) -> Value:
        """The first value that is read; a component that reads nothing is no layer's."""
        return self.inputs[0]

    @property
    def result(self) -> TensorType:
        """The type of what the last node gives first."""
        return self.nodes[-1].outputs[0].type

    def first(self, *operators: type[Op]) -> Node | None:
        """Return the first node with one of the operators."""
        return next((node for node in self.nodes if isinstance(node.op, operators)), None)

    def arrays_at(self, *operators: type[Op]) -> list[Array]:
        """Return the arrays that nodes with one of the operators have beside a value."""
        found = [array_of(value) for node in self.nodes if isinstance(node.op, operators) for value in node.inputs]
        return [array for array in found if array is not None]


@dataclass
class Guess:
    """A call of a layer that a component may be.

    Attributes:
        inputs: what the layer is called on; a list, of a layer that takes one.
        arguments: those of its constructor, which may refuse them.
        weights: its weights in the order of `set_weights`, or a function that sets them.
    """

    inputs: Value | list[Value]
    arguments: Mapping[str, object]
    weights: Sequence[Array] | Callable[[Layer], None] = ()

    @property
    def takes_list(self) -> bool:
        return isinstance(self.inputs, list)

    @property
    def values(self) -> list[Value]:
        return self.inputs if isinstance(self.inputs, list) else [self.inputs]

    def argument(self, values: Sequence[T]) -> T | Sequence[T]:
        """Return what the layer is called on, where these stand for the inputs."""
        return values if self.takes_list else values[0]

    def set_weights(self, layer: Layer) -> None:
        """Give the layer, which is built by now, its weights.

        Raises:
            ShapeError: it has others.
        """
        if callable(self.weights):
            self.weights(layer)
        elif self.weights:
            layer.set_weights(self.weights)


# By class of layer: what gives the calls of the layer that a component may be, the likeliest first.
MAKERS: dict[type[Layer], Callable[[Component, type[Layer]], Iterator[Guess]]] = {}


def makes(
    *classes: type[Layer], of: type[Op] | tuple[type[Op], ...] = Op
) -> Callable[[Callable[..., Iterator[Guess]]], Callable[..., Iterator[Guess]]]:
    """Register a function that guesses calls of layers of these classes.

    It is given a component, the class that is wanted, the first node with one of the operators `of`, and its operator.
    """

    def register(function: Callable[..., Iterator[Guess]]) -> Callable[..., Iterator[Guess]]:
        def guesses(component: Component, cls: type[Layer]) -> Iterator[Guess]:
            node = component.first(*of) if isinstance(of, tuple) else component.first(of)
            return iter(()) if node is None else function(component, cls, node, node.op)

        MAKERS.update(dict.fromkeys(classes, guesses))
        return function

    return register


# What makers ask of nodes


def inputs_of(node: Node) -> list[Value]:
    """Return what a node reads, constants left out."""
    return [value for value in node.inputs if value is not None and not isinstance(value.node.op, Constant)]


def constants_of(node: Node) -> list[Array]:
    """Return the arrays that a node reads as they are."""
    ops = [value.node.op for value in node.inputs if value is not None]
    return [op.value.array for op in ops if isinstance(op, Constant)]


def activations_of(type: TensorType, operators: Sequence[Op], *, is_single: bool = False) -> list[str]:
    """Return the names of activations that begin with one of the operators, and with `is_single` are nothing more."""
    return [name for name, op, count in _first_operators(type) if op in operators and (count == 1 or not is_single)]


@cache
def _first_operators(type: TensorType) -> list[tuple[str, Op, int]]:
    """Return the activations that work on a type, each with an operator that reads its input and its number of nodes.

    Those of most nodes come first.
    """
    found: list[tuple[str, Op, int]] = []
    for name, function in activations.NAMED.items():
        graph = Graph()
        x = Tracer(graph).add(Input("x", type))[0]
        try:
            if isinstance(function(x), Tensor):
                nodes = graph.nodes()
                found += [(name, node.op, len(nodes) - 1) for node in nodes if x.value in node.inputs]
        except (KirError, TypeError):  # it needs more arguments, or cannot work on such a tensor
            continue
    return sorted(found, key=lambda one: -one[2])
