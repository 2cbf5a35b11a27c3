"""Inputs, outputs and metadata."""

from __future__ import annotations

import numpy as np

from kir.ir.graph import Graph
from kir.ir.structural import Data, Input, Output
from kir.ir.types import parse_type
from kir.modeling.comparison import compare_graphs
from kir.modeling.comparison.signature import SignatureChange
from kir.ops.elementwise import Add
from tests.modeling.comparison.graphs import Layers


def signature(inputs: dict[str, str], output: str = "y", default: float | None = None) -> Graph:
    """Return the sum of inputs of these types; the last one may have a default."""
    graph = Graph()
    last = list(inputs)[-1]
    values = [
        graph.add(Input(name, parse_type(type), None if default is None or name != last else scalar(default))).output
        for name, type in inputs.items()
    ]
    total = values[0]
    for value in values[1:]:
        total = graph.add(Add(), total, value).output
    graph.add(Output(output), total)
    return graph


def scalar(number: float) -> Data:
    return Data(np.array(number, np.float32))


def changes(a: Graph, b: Graph) -> tuple[SignatureChange, ...]:
    return compare_graphs(a, b, run=False).signature.changes


def test_names_of_sizes_do_not_count() -> None:
    a = signature({"x": "f32[batch, time]", "z": "f32[batch, time]"})
    b = signature({"x": "f32[N, batch]", "z": "f32[N, batch]"})
    assert changes(a, b) == ()
    assert compare_graphs(a, b).same


def test_sizes_that_must_agree_in_one_model_only_count() -> None:
    a, b = signature({"x": "f32[batch, time]"}), signature({"x": "f32[n, n]"})
    assert changes(a, b)[0] == SignatureChange("input", "x", "x", "f32[batch, time]", "f32[batch, batch]")


def test_dtypes_and_shapes_count() -> None:
    found = changes(signature({"x": "f32[batch, 4]"}), signature({"x": "f16[batch, 4]"}))
    assert found == (
        SignatureChange("input", "x", "x", "f32[batch, 4]", "f16[batch, 4]"),
        SignatureChange("output", "y", "y", "f32[batch, 4]", "f16[batch, 4]"),
    )
    assert changes(signature({"x": "f32[batch, 4]"}), signature({"x": "f32[3, 4]"}))[0].b == "f32[3, 4]"


def test_other_names_are_found_by_type_then_by_order() -> None:
    a = signature({"first": "f32[batch, 4]", "second": "f32[batch, 1]"})
    b = signature({"1": "f32[batch, 1]", "4": "f32[batch, 4]"}, "out")
    comparison = compare_graphs(a, b, run=False)
    assert comparison.signature.inputs == {"first": "4", "second": "1"}
    assert comparison.signature.outputs == {"y": "out"}
    assert comparison.signature.is_compatible


def test_what_is_left_is_paired_in_order_if_as_much_is_left() -> None:
    a = signature({"x": "f32[batch, 4]", "first": "f32[4]", "second": "f32[1]"})
    b = signature({"x": "f32[batch, 4]", "1": "f32[batch, 4]", "2": "f32[batch, 1]"})
    assert compare_graphs(a, b, run=False).signature.inputs == {"x": "x", "first": "1", "second": "2"}


def test_added_and_removed_inputs() -> None:
    a, b = signature({"x": "f32[4]"}), signature({"x": "f32[4]", "z": "f32[4]"})
    assert changes(a, b) == (SignatureChange("input", None, "z", None, "f32[4]"),)
    assert changes(b, a) == (SignatureChange("input", "z", None, "f32[4]", None),)
    assert not compare_graphs(a, b).signature.is_compatible


def test_defaults_count() -> None:
    types = {"x": "f32[4]", "z": "f32[]"}
    assert changes(signature(types, default=1), signature(types, default=1)) == ()
    (change,) = changes(signature(types, default=1), signature(types, default=2))
    assert (change.a, change.b) == ("f32[] = 1.0", "f32[] = 2.0")
    assert changes(signature(types), signature(types, default=2))[0].a == "f32[]"


def test_metadata_counts_when_asked_for() -> None:
    a, b = Layers().finish(), Layers().finish()
    a.metadata = {"author": "me", "old": "1"}
    b.metadata = {"author": "you", "new": "1"}
    assert changes(a, b) == (
        SignatureChange("metadata", "author", "author", "me", "you"),
        SignatureChange("metadata", "old", None, "1", None),
        SignatureChange("metadata", None, "new", None, "1"),
    )
    assert compare_graphs(a, b, metadata=False).same
