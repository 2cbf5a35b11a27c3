"""Pairs of graphs that differ in what a test says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kir.ir.graph import Graph, Origin, Value
from kir.ir.op import Op
from kir.ir.structural import Input, Output, constant
from kir.ir.types import parse_type
from kir.modeling.comparison import Comparison, compare_graphs
from kir.ops.elementwise import Relu
from kir.ops.linear import Dense
from tests.passes.building import known_size

WIDTH = 4


class Layers:
    """Writes layers one behind the other; the weights of a layer follow from `seed` and its place."""

    def __init__(self, input: str = "x", type: str = f"f32[batch, {WIDTH}]", seed: int = 0) -> None:
        self.graph = Graph("model")
        self.dtype = parse_type(type).dtype.numpy
        self.value = self.graph.add(Input(input, parse_type(type))).output
        self.seed = seed

    def dense(self, name: str, weights: int, units: int = WIDTH, activation: Op | None = None) -> Layers:
        """Return a Dense layer with weights of this number, and an activation after it, by default Relu."""
        origin = Origin(name, "Dense")
        generator = np.random.default_rng([self.seed, weights])
        kernel = generator.normal(size=(known_size(self.value, -1), units)).astype(self.dtype)
        read = [self.weight(kernel, name, "kernel"), self.weight(np.zeros(units, self.dtype), name, "bias")]
        self.value = self.graph.add(Dense(), self.value, *read, origin=origin).output
        self.value = self.graph.add(activation or Relu(), self.value, origin=origin).output
        return self

    def layer(self, name: str, op: Op, *others: Value) -> Layers:
        """Return a layer of one operator, which reads what is there and perhaps more."""
        self.value = self.graph.add(op, self.value, *others, origin=Origin(name, op.name)).output
        return self

    def weight(self, array: Any, layer: str, name: str) -> Value:
        return self.graph.add(constant(array, f"{layer}/{name}"), origin=Origin(layer, "Dense")).output

    def finish(self, output: str = "y") -> Graph:
        self.graph.add(Output(output), self.value)
        return self.graph


def chain(
    names: Sequence[str], weights: Sequence[int] | None = None, seed: int = 0, activations: dict[int, Op] | None = None
) -> Graph:
    """Dense layers with these names, and weights of these numbers; by default their places."""
    layers = Layers(seed=seed)
    for place, name in enumerate(names):
        number = place if weights is None else weights[place]
        layers.dense(name, number, activation=(activations or {}).get(place))
    return layers.finish()


def automatic(count: int) -> list[str]:
    """Return the names that Keras gives to Dense layers."""
    return [f"dense_{place}" if place else "dense" for place in range(count)]


def diff(a: Graph, b: Graph, **options: Any) -> Comparison:
    """Return a comparison that does not run the graphs; the same must come out, turned round, the other way round."""
    turned = compare_graphs(b, a, run=False, **options)
    comparison = compare_graphs(a, b, run=False, **options)
    assert comparison.differences == turned.differences
    assert comparison.structure.same == turned.structure.same
    assert places(comparison.structure.added) == places(turned.structure.removed)
    assert places(comparison.structure.removed) == places(turned.structure.added)
    return comparison


def places(parts: Sequence[Any]) -> list[str]:
    return sorted(part.place for part in parts)
