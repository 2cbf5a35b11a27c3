"""Small graphs for the tests of the numerics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kir import Model, layers
from kir.ir.graph import Graph, Value
from kir.ir.structural import Input
from kir.ir.types import parse_type
from kir.modeling.lower import lower


def graph_of(*types: str) -> tuple[Graph, list[Value]]:
    """Return a graph with inputs x0, x1, … of these types."""
    graph = Graph()
    return graph, [graph.add(Input(f"x{index}", parse_type(type))).output for index, type in enumerate(types)]


def lowered(build: Callable[..., Any], *shapes: tuple[Any, ...], dtype: str = "float32") -> Graph:
    """Return the graph of a model of layers on inputs x0, x1, …"""
    inputs = [layers.Input(shape, name=f"x{index}", dtype=dtype) for index, shape in enumerate(shapes)]
    return lower(Model(inputs, build(*inputs)))
