"""Graphs that give the same ONNX file."""

from __future__ import annotations

from collections.abc import Sequence

from kir import passes
from kir.exporters.onnx_file.build import build
from kir.ir.graph import Graph
from kir.lift.arrays import is_same_array
from kir.modeling.lower import lower
from kir.modeling.model import Model
from kir.passes import Pass


def writes_same_bytes(a: Graph, b: Graph) -> bool:
    """Return whether two graphs give the same ONNX file, byte for byte. Neither is written."""
    parts = [build(graph, None, {}) for graph in (a, b)]
    heads = [
        [
            message.SerializeToString(deterministic=True)
            for message in (one.model_head, one.graph_head, one.graph_tail, one.model_tail)
        ]
        for one in parts
    ]
    weights = [one.initializers for one in parts]
    return (
        heads[0] == heads[1]
        and len(weights[0]) == len(weights[1])
        and all(x[0] == y[0] and is_same_array(x[1], y[1]) for x, y in zip(*weights, strict=True))
    )


def has_graph(model: Model, graph: Graph, finished: Sequence[Pass]) -> bool:
    """Return whether a model has a graph, after the passes that the graph went through."""
    made = lower(model)
    passes.run(made, finished)
    return writes_same_bytes(made, graph)
