"""From a model to a graph: names, sizes, layers, defaults, what is carried through, and the way back."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, TensorProto, helper

from kir import Model, passes
from kir.errors import FormatError, UnsupportedError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.formulas import FLOAT64_FORMULAS
from kir.exporters.onnx_file.session import make_session, run_session
from kir.importers.onnx_file import import_graph
from kir.importers.script import load_script
from kir.ir.dims import symbol
from kir.ir.graph import Graph, Origin
from kir.ir.interpreter import run
from kir.ir.op import Op, input_names
from kir.ir.structural import Constant, Input, Output
from kir.ops.control import If
from kir.ops.elementwise import Acosh
from kir.ops.opaque import Opaque
from kir.passes.fuse_activations import fuse_activations
from tests.exporters.onnx_file.graphs import graph_of, two_outputs
from tests.importers.onnx_file.models import INT64, model, node, operators, value, with_trilu
from tests.test_random_models import models
from tests.versions import needs_onnxruntime

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "models").glob("*.py"))

# The way back


def assert_comes_back(graph: Graph, opset: int | None = None) -> None:
    """Exported, imported and put together again it has the same text; exported again, the same bytes."""
    written = to_model_proto(graph, opset=opset)
    imported = import_graph(written)
    passes.run(imported, passes.RECOGNITION, check=True)
    difference = difflib.unified_diff(str(graph).splitlines(), str(imported).splitlines(), lineterm="", n=1)
    assert str(imported) == str(graph), "\n".join(difference)
    assert to_model_proto(imported, opset=opset).SerializeToString() == written.SerializeToString()


@given(models(), st.sampled_from([0, 1, 2]), st.booleans())
@settings(max_examples=100)
def test_random_models_come_back(given: Model, level: int, training: bool) -> None:
    """Dense and its activation are written alike fused or not, and come back fused."""
    graph = given.to_graph(training=training)
    passes.run(graph, passes.pipeline(level, training))
    fuse_activations(graph)
    assert_comes_back(graph)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_models_come_back(path: Path, training: bool) -> None:
    graph = load_script(path).to_graph(training=training)
    passes.run(graph, passes.pipeline(2, training))
    graph.metadata["author"] = "somebody"
    assert_comes_back(graph)


def test_copies_under_other_names_come_back() -> None:
    assert_comes_back(two_outputs())


@needs_onnxruntime("1.29", "no Cos of float64")
@pytest.mark.parametrize("cls", FLOAT64_FORMULAS, ids=lambda cls: cls.__name__)
def test_formulas_of_float64_come_back_as_formulas(cls: type[Op]) -> None:
    """They are no single operator then, and compute the same."""
    op = cls(*(0.25 if field.type == "float" else False for field in dataclasses.fields(cls)))
    graph = graph_of(op, *["f64[n]"] * len(input_names(cls)))
    written = to_model_proto(graph)
    imported = import_graph(written)
    imported.check()
    low = 1.0 if cls is Acosh else -1.0
    feeds = {f"x{i}": np.linspace(low, low + 1.99, 9) for i in range(len(graph.inputs))}
    expected = run_session(make_session(written.SerializeToString()), feeds)["y0"]
    np.testing.assert_allclose(run(imported, feeds)["y0"], expected, rtol=1e-12, atol=1e-13)


# Names


def test_inputs_outputs_and_weights_keep_their_names() -> None:
    given = model([node("Add", "x w", "y")], {"x": ["N", 2]}, constants={"w": np.ones(2, np.float32)})
    given.metadata_props.add(key="author", value="somebody")
    graph = import_graph(given)
    assert str(graph).splitlines() == [
        "graph made",
        "metadata 'author': 'somebody'",
        "symbols N",
        "%0: f32[N, 2] = Input(label='x')",
        "%1: f32[2] = Constant([1.0, 1.0], label='w')",
        "%2: f32[N, 2] = Add(a=%0, b=%1)  # y (Add)",
        "%3: f32[N, 2] = Output(label='y')(value=%2)",
    ]
    assert graph.order()[2].origin == Origin("y", "Add")


def test_sizes_without_a_name_get_their_own() -> None:
    graph = import_graph(model([node("Relu", "x", "y")], {"x": [None, 3], "z": [None, "a b"]}))
    shapes = [str(n.output.type) for n in graph.inputs]
    assert shapes == ["f32[x_0, 3]", "f32[z_0, a_b]"]


def test_an_initializer_that_is_an_input_is_its_default() -> None:
    given = model([node("Relu", "x", "y")], {"x": [2]}, constants={"x": np.ones(2, np.float32)})
    graph = import_graph(given)
    assert isinstance(graph.inputs[0].op, Input)
    assert run(graph, {})["y"].tolist() == [1, 1]
    given.ir_version = 3  # when every initializer was an input
    assert import_graph(given).inputs == ()


def test_a_default_of_another_type_is_refused() -> None:
    with pytest.raises(FormatError, match="default of type"):
        import_graph(model([node("Relu", "x", "y")], {"x": [2]}, constants={"x": [1, 2]}))


def test_sizes_can_be_given() -> None:
    given = model([node("Add", "x z", "y")], {"x": ["N", "T"], "z": ["M", "T"]})
    with pytest.raises(FormatError, match="sizes 3 and 4"):
        import_graph(given, shapes={"x": [symbol("N"), 3], "z": [symbol("M"), 4]})
    graph = import_graph(given, shapes={"z": [symbol("N"), symbol("T")]})
    assert str(graph.outputs[0].output.type) == "f32[N, T]"
    assert str(import_graph(given, batch=4).outputs[0].output.type) == "f32[4, T]"


@pytest.mark.parametrize("shape", [[2], [2, 5]])
def test_sizes_that_do_not_fit_are_refused(shape: list[int]) -> None:
    given = model([node("Relu", "x", "y")], {"x": ["N", 4]})
    with pytest.raises(FormatError, match=r"has the shape \(N, 4\)"):
        import_graph(given, shapes={"x": shape})
    with pytest.raises(FormatError, match="no input 'z'"):
        import_graph(given, shapes={"z": [1]})


def test_an_input_without_a_rank() -> None:
    given = model([node("Relu", "x", "y")], [value("x", None)])
    with pytest.raises(UnsupportedError, match="no rank"):
        import_graph(given, strict=True)
    assert str(import_graph(given).inputs[0].output.type) == "tensor(float)"
    assert str(import_graph(given, shapes={"x": [2]}).outputs[0].output.type) == "f32[2]"


def test_only_weights_that_are_read_are_there() -> None:
    given = model([node("Reshape", "x s", "y")], {"x": [4]}, constants={"s": [2, 2], "unused": [1.0]})
    assert not [n for n in import_graph(given).nodes() if isinstance(n.op, Constant)]


def test_a_chain_of_many_nodes() -> None:
    """Nothing recurses, and nothing is quadratic, though the sizes double with every node."""
    count = 20_000
    nodes = [node("Shape", "x", "s0"), *(node("Add", f"s{i} s{i}", f"s{i + 1}") for i in range(count))]
    graph = import_graph(model(nodes, {"x": ["N"]}, f"s{count}"))
    assert graph.get_node_count() > count / 2


# Operators that are carried through


def test_unknown_operators_are_carried_through() -> None:
    attribute = {"alpha": 0.5, "text": "ä", "numbers": [1, 2]}
    nodes = [
        node("Relu", "x", "r"),
        node("Magic", "r _ w", "m unused", domain="com.example", **attribute),
        node("Hardmax", "m", "h", axis=1),
        node("Relu", "h", "y"),
    ]
    given = model(nodes, {"x": ["N", 3]}, constants={"w": [1.0]}, domains={"com.example": 2})
    given.graph.value_info.extend([value("m", ["N", 3]), value("unused", [1], INT64)])
    with pytest.raises(UnsupportedError, match=r"com\.example\.Magic"):
        import_graph(given, strict=True)
    with pytest.warns(UserWarning, match=r"1 of 4 nodes: com\.example\.Magic; --strict says why"):
        graph = import_graph(given)
    graph.check()
    passes.run(graph, passes.pipeline(2), check=True)
    written = to_model_proto(graph, opset=17)
    magic, hardmax = (n for n in written.graph.node if n.op_type in ("Magic", "Hardmax"))
    assert list(magic.attribute) == list(nodes[1].attribute)
    assert magic.domain == "com.example"
    assert len(magic.input) == 3
    assert magic.input[1] == ""
    assert list(hardmax.attribute) == list(nodes[2].attribute)
    assert {entry.domain: entry.version for entry in written.opset_import} == {"": 17, "com.example": 2}
    assert str(import_graph(written)) == str(graph)


def test_carried_operators_run_in_onnxruntime(tmp_path: Path) -> None:
    given = model([node("Hardmax", "x", "h"), node("Neg", "h", "y")], {"x": ["N", 3]})
    graph = import_graph(given)
    feeds = {"x": np.array([[1, 3, 2], [5, 1, 1]], np.float32)}
    written = to_model_proto(graph)
    expected = run_session(make_session(given.SerializeToString()), feeds)
    assert np.array_equal(run_session(make_session(written.SerializeToString()), feeds)["y"], expected["y"])
    assert np.array_equal(run(graph, feeds)["y"], expected["y"])
    graph.save(tmp_path / "graph.kir")
    assert str(Graph.load(tmp_path / "graph.kir")) == str(graph)


def test_carried_operators_on_constants_are_folded() -> None:
    nodes = [node("Hardmax", "c", "h"), node("Mul", "x h", "y")]
    given = model(nodes, {"x": ["N", 3]}, constants={"c": np.array([[1, 3, 2]], np.float32)})
    given.graph.value_info.append(value("h", ["M", 3]))
    graph = import_graph(given)
    assert [str(n.output.type) for n in graph.order() if isinstance(n.op, Opaque)] == ["f32[1, 3]"]
    passes.run(graph, passes.pipeline(2), check=True)
    assert operators(graph) == ["Mul"]


def test_operators_without_a_meaning_do_not_run() -> None:
    graph = import_graph(with_trilu())
    with pytest.raises(UnsupportedError, match=r"does not know what com\.microsoft\.Trilu computes"):
        run(graph, {"x": np.ones((1, 3), np.float32)})


def test_sizes_of_carried_operators_can_be_bound() -> None:
    graph = import_graph(model([node("Hardmax", "x", "y")], {"x": ["N", 3]}))
    assert str(graph.specialize({"N": 2}).outputs[0].output.type) == "f32[2, 3]"
    (op,) = (n.op for n in graph.order() if isinstance(n.op, Opaque))
    assert op.symbols() == {"N"}


def test_another_definition_of_a_carried_operator_is_refused() -> None:
    given = model([node("GridSample", "x g", "y")], {"x": [1, 1, 3, 3], "g": [1, 2, 2, 2]}, opset=16)
    graph = import_graph(given)
    assert to_model_proto(graph).opset_import[0].version == 16
    with pytest.raises(UnsupportedError, match=r"leave --opset out, or write that opset \(--opset 16\)"):
        to_model_proto(graph, opset=21)


def test_carried_operators_of_opsets_that_kir_does_not_write_are_converted() -> None:
    given = model([node("Hardmax", "x", "y")], {"x": [2, 3]}, opset=11)
    with pytest.warns(UserWarning, match="the file is of opset 11; ONNX's converter made it opset 13"):
        graph = import_graph(given)
    feeds = {"x": np.array([[1, 3, 2], [5, 1, 1]], np.float32)}
    expected = run_session(make_session(given.SerializeToString()), feeds)["y"]
    assert np.array_equal(run(graph, feeds)["y"], expected)
    assert to_model_proto(graph).opset_import[0].version == 13


def branching() -> ModelProto:
    """Return an If whose branches read a value and a weight from outside, and call their own values alike."""

    def branch(op_type: str) -> GraphProto:
        inner = [
            helper.make_node("Constant", [], ["c"], value_float=2.0),
            helper.make_node(op_type, ["hidden", "c"], ["scaled"]),
            helper.make_node("Add", ["scaled", "w"], ["result"]),
        ]
        return helper.make_graph(inner, op_type, [], [value("result", ["N", 3])])

    nodes = [
        node("Relu", "x", "hidden"),
        node("If", "flag", "chosen", then_branch=branch("Mul"), else_branch=branch("Div")),
        node("Identity", "chosen", "same"),
        node("Neg", "same", "y"),
    ]
    inputs = [value("x", ["N", 3]), value("flag", [], TensorProto.BOOL)]
    given = model(nodes, inputs, constants={"w": np.ones(3, np.float32)}, opset=21)
    given.graph.value_info.append(value("chosen", ["N", 3]))
    given.graph.output[0].CopyFrom(value("y", ["N", 3]))
    return given


def test_subgraphs_read_from_outside() -> None:
    given = branching()
    graph = import_graph(given)
    graph.check()
    (found,) = (n for n in graph.order() if isinstance(n.op, If))
    assert len(found.inputs) == 2  # the weight is a constant inside
    passes.run(graph, passes.pipeline(2), check=True)
    written = to_model_proto(graph)
    onnx.checker.check_model(written, full_check=True)
    assert str(import_graph(written)) == str(graph)
    for flag in (True, False):
        feeds = {"x": np.array([[1, -3, 2]], np.float32), "flag": np.array(flag)}
        before, after = (run_session(make_session(m.SerializeToString()), feeds)["y"] for m in (given, written))
        np.testing.assert_array_equal(after, before)


def test_values_that_subgraphs_read_stay() -> None:
    """The sum before the activation is read by the subgraph too."""
    given = branching()
    given.graph.node[0].op_type = "Neg"
    given.graph.output.append(value("hidden", ["N", 3]))
    graph = import_graph(given)
    passes.run(graph, passes.pipeline(2), check=True)
    feeds = {"x": np.array([[1, -3, 2]], np.float32), "flag": np.array(True)}
    written = to_model_proto(graph)
    assert run_session(make_session(written.SerializeToString()), feeds)["hidden"].tolist() == [[-1, 3, -2]]


def test_subgraphs_that_read_what_nothing_gives() -> None:
    given = branching()
    del given.graph.initializer[:]
    with pytest.raises(FormatError, match="a graph inside reads 'w', which nothing before it gives"):
        import_graph(given)


def test_functions_of_the_model_are_put_in_place_of_their_calls() -> None:
    """As onnxscript and jax2onnx write layers; also those that call others."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    inner = helper.make_function("own", "twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], opsets)
    calls = [helper.make_node("twice", ["a"], ["t"], domain="own"), helper.make_node("Relu", ["t"], ["b"])]
    outer = helper.make_function("own", "layer", ["a"], ["b"], calls, opsets)
    nodes = [node("layer", "x", "h", domain="own"), node("layer", "h", "y", domain="own")]
    given = model(nodes, {"x": ["N", 3]}, domains={"own": 1})
    given.functions.extend([inner, outer])
    graph = import_graph(given)
    assert [text.split("(")[0] for text in operators(graph)] == ["Add", "Relu", "Add", "Relu"]
    assert run(graph, {"x": np.array([[1, -1, 2]], np.float32)})["y"].tolist() == [[4, 0, 8]]


def test_what_reads_a_value_of_an_unknown_type_is_carried_too() -> None:
    nodes = [node("Magic", "x", "h", domain="com.example"), node("Relu", "h", "y")]
    graph = import_graph(model(nodes, {"x": [2]}, domains={"com.example": 1}))
    assert [type(n.op) for n in graph.order()] == [Input, Opaque, Opaque, Output]
    assert str(graph.outputs[0].output.type) == "tensor(undefined)"
    written = to_model_proto(graph)
    assert [n.op_type for n in written.graph.node] == ["Magic", "Relu"]
    assert str(import_graph(written)) == str(graph)
