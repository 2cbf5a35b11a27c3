"""Which passes a graph went through, and whether its nodes name layers: from its history, or from the graph itself."""

from __future__ import annotations

import pytest

from kir import Input, Sequential, passes
from kir.exporters.script.graphs import finished_passes, names_operators
from kir.ir.graph import Graph, Origin, Provenance
from kir.layers import BatchNormalization, Dense


def optimised(level: int, kind: str) -> Graph:
    graph = Sequential([Input((4,)), Dense(3), BatchNormalization()]).to_graph()
    graph.provenance = Provenance(kind)  # type: ignore[arg-type]
    passes.run(graph, passes.pipeline(level))
    return graph


@pytest.mark.parametrize("level", passes.LEVELS)
def test_a_history_from_layers_on_names_the_passes(level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = optimised(level, "keras file")
    monkeypatch.delattr(passes, "run")  # nothing is tried
    assert finished_passes(graph) == passes.pipeline(level)


def test_the_passes_of_a_file_are_those_that_find_nothing_to_do() -> None:
    assert finished_passes(optimised(2, "onnx file")) == passes.pipeline(2)
    assert finished_passes(optimised(1, "onnx file")) != passes.pipeline(2)


@pytest.mark.parametrize(("kind", "expected"), [("keras file", False), ("onnx file", True), ("python", True)])
def test_layers_of_the_user_may_be_called_like_operators(kind: str, expected: bool) -> None:
    graph = optimised(0, kind)
    for node in graph.order():
        node.origin = Origin("mine", "Gemm")
    assert names_operators(graph) is expected
