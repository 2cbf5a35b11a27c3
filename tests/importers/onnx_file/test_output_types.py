"""Where the types of carried operators' outputs come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from kir.errors import FormatError
from kir.importers.onnx_file import import_graph
from tests.importers.onnx_file.models import INT64, model, node, value

pytestmark = pytest.mark.filterwarnings("ignore:carried through")


def output_type(given: ModelProto, seen: Mapping[str, str] | None = None) -> str:
    """Return the type of the only output; `seen` is what a run would show."""

    def observe(content: bytes, folder: Path | None, names: Sequence[str]) -> Mapping[str, str]:
        assert content == given.SerializeToString()
        if seen is None:
            raise FormatError("it does not run")
        return {name: seen[name] for name in names if name in seen}

    return str(import_graph(given, observe=observe).outputs[0].output.type)


def unknown() -> ModelProto:
    made = [node("Magic", "x", "h", domain="com.example"), node("Neg", "h", "y")]
    return model(made, {"x": ["N", 3]}, domains={"com.example": 1})


def test_definitions_of_onnx_are_asked_with_the_sizes_that_are_known() -> None:
    """The size is one that only kir knows: N doubled."""
    nodes = [node("Concat", "x x", "d", axis=0), node("Hardmax", "d", "y")]
    assert output_type(model(nodes, {"x": ["N", 3]})) == "f32[2*N, 3]"


def test_sizes_that_depend_on_data_have_names_of_their_own() -> None:
    assert output_type(model([node("NonZero", "x", "y")], {"x": ["N", 3]})) == "i64[2, y_1]"


def test_what_the_file_states_counts_where_onnx_does_not_know() -> None:
    given = unknown()
    given.graph.value_info.append(value("h", ["N", None, 4], INT64))
    assert output_type(given) == "i64[N, h_1_1, 4]"


def test_a_run_shows_what_nobody_states() -> None:
    assert output_type(unknown(), {"h": "tensor(float)[N,?]"}) == "f32[N, h_1]"
    assert output_type(unknown(), {"h": "seq(tensor(float))"}) == "tensor(undefined)"
    assert output_type(unknown(), {}) == "tensor(undefined)"
    assert output_type(unknown()) == "tensor(undefined)"


def test_models_that_inference_fails_on_come_through() -> None:
    """It states a rank that contradicts its own nodes."""
    given = unknown()
    given.graph.node.insert(0, node("Transpose", "x", "t", perm=[0, 2, 1]))
    given.graph.value_info.append(value("h", ["N"]))
    given.graph.node[0].input[0] = "x"
    given.graph.input[0].CopyFrom(value("x", ["N", 3, 2]))
    given.graph.value_info.append(value("t", ["N"]))
    assert output_type(given) == "f32[N]"


def test_a_run_comes_first_for_graphs_inside() -> None:
    """One branch is never taken, and gives another rank."""
    taken = helper.make_graph([node("Relu", "x", "a")], "then", [], [ValueInfoProto(name="a")])
    never = helper.make_graph([node("Magic", "x", "b", domain="com.example")], "else", [], [ValueInfoProto(name="b")])
    nodes = [node("If", "flag", "y", then_branch=taken, else_branch=never)]
    inputs = [value("x", ["N", 3]), value("flag", [], TensorProto.BOOL)]
    given = model(nodes, inputs, domains={"com.example": 1})
    assert output_type(given, {"y": "tensor(float)[?,?,?]"}) == "f32[y_0, y_1, y_2]"
