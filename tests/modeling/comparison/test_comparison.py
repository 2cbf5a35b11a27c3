"""The comparison as a whole: from Python, as JSON, and as text."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import kir
from kir.errors import InvalidArgumentError
from kir.ir.graph import Graph
from kir.layers import Dense, Dropout, Input
from kir.modeling.comparison import compare_graphs, default_level
from kir.modeling.comparison.comparison import Comparison
from kir.modeling.comparison.text import SHOWN, describe
from kir.modeling.sequential import Sequential
from kir.ops.elementwise import Add, Gelu, Mul, Relu
from tests.modeling.comparison.graphs import Layers, automatic, chain


def model(units: int = 3, drop: bool = False) -> Sequential:
    layers = [Dense(units, activation="relu", name="hidden"), *([Dropout(0.5, name="drop")] if drop else [])]
    made = Sequential([Input((4,), name="x"), *layers, Dense(2, name="y")])
    made.set_weights([np.full(weight.shape, 0.5, np.float32) for weight in made.weights])
    return made


def lines(a: Graph, b: Graph, everything: bool = False, **options: Any) -> list[str]:
    return list(describe(compare_graphs(a, b, **options), ("a", "b"), everything))


def test_models_are_compared_as_they_are() -> None:
    assert kir.compare(model(), model()).same
    comparison = kir.compare(model(), model(drop=True))
    assert comparison.level == 0
    assert comparison.differences == ("structure",)
    assert [part.layer for part in comparison.structure.added] == ["drop (Dropout)"]


def test_a_model_and_a_graph_are_compared_behind_the_passes() -> None:
    from kir.exporters.onnx_file import to_model_proto
    from kir.importers.onnx_file import import_graph

    for subject in (model(), model(drop=True)):
        comparison = kir.compare(subject, import_graph(to_model_proto(subject.to_graph())))
        assert comparison.level == 2
        assert comparison.same
        assert not comparison.structure.renamed
    assert not kir.compare(model(), import_graph(to_model_proto(model(drop=True).to_graph())), level=0).same


def test_the_default_level() -> None:
    graph = chain(["a"])
    assert [default_level(a, b) for a in (model(), graph) for b in (model(), graph)] == [0, 2, 2, 0]


def test_an_unknown_level() -> None:
    with pytest.raises(InvalidArgumentError, match="level 3"):
        kir.compare(chain(["a"]), chain(["a"]), level=3)


def test_neither_graph_is_changed() -> None:
    a, b = model(drop=True).to_graph(), model().to_graph()
    texts = str(a), str(b)
    compare_graphs(a, b, level=2)
    assert (str(a), str(b)) == texts


def keys(document: Any) -> Any:
    """Return the names in a document, without its values; of a list those of its first entry."""
    if isinstance(document, dict):
        return {name: keys(value) for name, value in document.items()}
    return [keys(document[0])] if isinstance(document, list) and document else None


def test_the_json_document_is_stable() -> None:
    a, b = Layers(), Layers("z")
    a.dense("first", 0).layer("scale", Mul(), a.weight(np.ones(4, np.float32), "scale", "factor")).dense("second", 1)
    b.dense("first", 9, activation=Gelu(False)).dense("again", 1)
    b.layer("shift", Add(), b.weight(np.ones(4, np.float32), "shift", "offset"))
    document = json.loads(json.dumps(compare_graphs(a.finish(), b.finish(), run=False).to_json(), allow_nan=False))
    part = {"place": None, "layer": None, "whole": None, "operators": [None], "after": [None]}
    assert keys(document) == {
        "same": None,
        "differences": [None],
        "level": None,
        "signature": {
            "inputs": {"x": None},
            "outputs": {"y": None},
            "compatible": None,
            "changes": [{"role": None, "name_a": None, "name_b": None, "a": None, "b": None}],
        },
        "structure": {
            "same": None,
            "changed": [
                {
                    "place_a": None,
                    "place_b": None,
                    "layer": None,
                    "changes": [{"what": None, "a": None, "b": None}],
                }
            ],
            "added": [part],
            "removed": [part],
            "renamed": [{"a": None, "b": None, "nodes": None}],
        },
        "weights": {
            "equal": None,
            "rounding_only": None,
            "changed": [
                {
                    "name_a": None,
                    "name_b": None,
                    "kind": None,
                    "type_a": None,
                    "type_b": None,
                    "max_abs": None,
                    "max_rel": None,
                    "count": None,
                    "values": None,
                    "outliers": None,
                }
            ],
            "added": [{"name": None, "type": None}],
            "removed": [{"name": None, "type": None}],
        },
        "numbers": {"report": None, "reason": None, "problem": None},
        "random_weights": [None],
    }
    assert document["differences"] == ["signature", "structure", "weights"]


def test_infinite_distances_are_text_in_json() -> None:
    a, b = chain(["a"]), chain(["a"])
    for node in b.nodes():
        if node.op.name == "Constant" and node.output.type.rank == 2:
            node.op.value.array[0, 0] = np.inf  # type: ignore[attr-defined]
    changed = compare_graphs(a, b, run=False).to_json()["weights"]["changed"]
    assert changed[0]["max_abs"] == "inf"


def test_the_text_of_equal_graphs() -> None:
    assert lines(chain(["a", "b"]), chain(["a", "b"])) == [
        "no differences between a and b",
        "  signature  the same: 1 input, 1 output",
        "  structure  the same: 4 nodes",
        "  weights    the same: 4",
        "  numbers    not run: equal graphs with equal weights compute the same",
    ]


def test_the_text_of_other_names() -> None:
    found = lines(chain(["a", "b"]), chain(["a", "c"]))
    assert found[0] == "no differences between a and b, but for names inside"
    assert found[-2:] == ["names", "  ~ b -> c (2 nodes)"]


def test_the_text_of_a_change_an_addition_and_other_weights() -> None:
    a = Layers().dense("first", 0).dense("second", 1).finish()
    b = Layers().dense("first", 9, activation=Gelu(False)).dense("new", 5).dense("second", 1).finish()
    found = lines(a, b, run=False, level=2)
    assert found[0] == "a and b differ in structure and weights"
    assert found[2] == "  structure  1 added, 1 changed; 1 node the same, after the passes of -O2"
    assert found[3] == "  weights    2 added, 1 changed; 3 the same"
    assert "  + new (Dense) after first: Dense(activation=Relu)" in found
    assert "  ~ first/Dense: activation Relu -> Gelu(approximate=False)" in found
    assert "  + new/kernel: f32[4, 4]" in found
    assert any(line.startswith("  ~ first/kernel: f32[4, 4], max abs ") for line in found)


def test_the_text_of_results() -> None:
    found = lines(chain(["a"]), chain(["a"], seed=1))
    assert found[4] == "  numbers    different in 1 of 1 output, 3 runs of random inputs, seed 0"
    assert found[-1].startswith("  y ")
    assert "different in" in found[-1]
    again = Layers().dense("a", 0).layer("again", Relu()).finish()
    found = lines(chain(["a"]), again)
    assert found[-2].endswith("same")
    assert found[-1] == "-O2 compares what the passes leave of both"
    assert lines(chain(["a"]), again, level=2)[-1].startswith("  numbers    not run")


def test_the_text_of_rounding() -> None:
    a, b = chain(["a"]), chain(["a"])
    for node in b.nodes():
        if node.op.name == "Constant" and node.output.type.rank == 2:
            node.op.value.array[:] *= np.float32(1 + 2e-7)  # type: ignore[attr-defined]
    found = lines(a, b)
    assert found[0] == "a and b differ in weights"
    assert found[3] == "  weights    1 changed by rounding alone; 1 the same"
    assert found[4].startswith("  numbers    the same within rounding")
    assert any(line.endswith(", by rounding alone") for line in found)


def test_long_lists_are_cut_with_a_count() -> None:
    a, b = chain(automatic(50)), chain(automatic(50), seed=1)
    found = lines(a, b, run=False)
    assert found[-1] == f"  … and {50 - SHOWN} more (--all shows them)"
    assert len(lines(a, b, everything=True, run=False)) == len(found) + 50 - SHOWN - 1


def test_a_comparison_holds_no_graph() -> None:
    """So that it can be kept while the models go."""
    comparison = compare_graphs(chain(["a"]), chain(["b"], seed=1))
    assert isinstance(comparison, Comparison)
    assert "Graph" not in repr(comparison)
