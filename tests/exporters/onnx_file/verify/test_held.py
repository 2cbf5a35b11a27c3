"""Which graph a file holds: kir's own at any level and opset, what others wrote, and what cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import kir
from kir import passes
from kir.api import load
from kir.errors import UnsupportedError
from kir.exporters.onnx_file.build import value_names
from kir.exporters.onnx_file.verify.held import Held, find_held, hold_written
from kir.exporters.onnx_file.write import export_graph
from kir.exporters.pipeline import ExportResult
from kir.importers.onnx_file import import_named
from kir.ir.graph import Graph
from kir.modeling.lower import lower
from kir.modeling.model import Model

MODELS = sorted((Path(__file__).parents[4] / "models").glob("*.py"))


def graph_of(path: Path, training: bool = False) -> Graph:
    model = load(path)
    assert isinstance(model, Model)
    return lower(model, training=training)


def small() -> Graph:
    return graph_of(next(path for path in MODELS if path.stem == "small_cnn"))


def exported(graph: Graph, path: Path, level: int = 2, training: bool = False, opset: int | None = None) -> Graph:
    written = graph.copy()
    passes.run(written, passes.pipeline(level, training, opset))
    export_graph(written, path, opset=opset)
    return written


def find(graph: Graph, path: Path, training: bool = False) -> Held:
    return find_held(graph, path, training, partial(import_named, strict=True))


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_files_of_kir_are_found_at_every_level_and_opset(model: Path, training: bool, tmp_path: Path) -> None:
    graph, path = graph_of(model, training), tmp_path / "m.onnx"
    for level, opset in [(2, None), (2, 13), (2, 23), (1, 17), (0, 18), (0, None)]:
        try:
            exported(graph, path, level, training, opset)
        except UnsupportedError:
            continue
        held = find(graph, path, training)
        assert held.is_written, f"level {level}, opset {opset}"
        assert held.statement.passed, str(held.statement)
        found = onnx.load(path, load_external_data=False)
        names = {name for node in found.graph.node for name in node.output if name}
        assert names.issuperset(held.names[value] for value in held.names if value.node.inputs)


def change(path: Path, plant: Callable[[ModelProto], object]) -> None:
    model = onnx.load(path)
    plant(model)
    onnx.save(model, path)


def move_weight(model: ModelProto, part: Any = (0, 0, 0, 0)) -> None:
    stored = next(one for one in model.graph.initializer if len(one.dims) == 4)
    array = numpy_helper.to_array(stored).copy()
    array[part] += 1
    stored.CopyFrom(numpy_helper.from_array(array, stored.name))


@pytest.mark.parametrize("level", passes.LEVELS)
def test_the_level_with_the_fewest_differences_is_taken(level: int, tmp_path: Path) -> None:
    graph, path = small(), tmp_path / "m.onnx"
    exported(graph, path, level)
    change(path, move_weight)
    held = find(graph, path)
    assert held.is_written
    (problem,) = held.statement.problems
    assert "element [0, 0, 0, 0] is " in str(problem)


def rename_values(model: ModelProto) -> None:
    """Give every value in between another name, and leave no trace of layers."""
    ends = {value.name for value in (*model.graph.input, *model.graph.output)}
    names = {name: f"v{i}" for i, name in enumerate(one for node in model.graph.node for one in node.output)}
    names |= {tensor.name: f"w{i}" for i, tensor in enumerate(model.graph.initializer)}
    for node in model.graph.node:
        node.name = ""
        del node.metadata_props[:]
        for part in (node.input, node.output):
            part[:] = [name if name in ends else names.get(name, "") for name in part]
    for value in (*model.graph.value_info, *model.graph.initializer):
        value.name = names[value.name]
    model.producer_name = "somebody"
    del model.metadata_props[:]


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_renamed_files_are_read(model: Path, tmp_path: Path) -> None:
    graph, path = graph_of(model), tmp_path / "m.onnx"
    exported(graph, path)
    change(path, rename_values)
    held = find(graph, path)
    assert not held.is_written
    assert held.graph is not None
    assert held.statement.passed
    assert "kir did not write the file as it stands (somebody" in held.statement.covered
    present = {name for node in onnx.load(path).graph.node for name in node.output if name}
    computed = [name for value, name in held.names.items() if value.node.inputs]
    assert computed
    assert present.issuperset(computed)


def test_what_is_not_of_the_model_is_not_shown(tmp_path: Path) -> None:
    graph, path = small(), tmp_path / "m.onnx"
    exported(graph, path)
    change(path, rename_values)
    covered = find(graph, path).statement
    assert not covered.not_shown
    change(path, lambda model: move_weight(model, ...))
    statement = find(graph, path).statement
    assert statement.passed
    assert any("144 elements differ, by up to 1" in str(one) for one in statement.not_shown)


def test_a_file_that_cannot_be_read_is_said_not_to_be(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])
    node = helper.make_node("Unheard", ["x"], ["y"], domain="com.example")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("com.example", 1)]
    onnx.save(
        helper.make_model(helper.make_graph([node], "g", [value], [output]), opset_imports=imports), tmp_path / "m.onnx"
    )
    held = find(small(), tmp_path / "m.onnx")
    assert held.graph is None
    assert held.statement.verdict == "not run"
    assert "kir did not write the file as it stands (an unknown tool), and cannot" in held.statement.not_run
    assert "com.example.Unheard" in held.statement.not_run


def test_saturated_outputs_of_a_fused_operator_show_nothing(tmp_path: Path) -> None:
    """FusedGemm is known and not kir's own, and the units are saturated."""
    bias = kir.initializers.Constant(-1e4)
    model = kir.Sequential([kir.Input((4,), name="x"), kir.layers.Dense(2, "sigmoid", bias_initializer=bias, name="y")])
    file = tmp_path / "m.onnx"
    kir.export(model, file, verify=False)
    proto = onnx.load(file)
    gemm = next(node for node in proto.graph.node if node.op_type == "Gemm")
    fused = helper.make_node("FusedGemm", gemm.input, ["y"], domain="com.microsoft", activation="Sigmoid")
    del proto.graph.node[:]
    proto.graph.node.append(fused)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(proto, file)
    report = kir.verify(model, file)
    verdicts = {one.part: one.verdict for one in report.statements}
    assert verdicts == {**dict.fromkeys(("file", "passes", "operators", "alone"), "pass"), "outputs": "nothing"}
    assert report.passed
    assert not kir.verify(model, file, strict=True).passed


def test_names_are_those_of_the_file(tmp_path: Path) -> None:
    graph = exported(small(), tmp_path / "m.onnx", opset=17)
    held = hold_written(graph, tmp_path / "m.onnx")
    assert held.graph is graph
    assert held.names == value_names(graph, 17)


@pytest.mark.parametrize("source", [rename_values, lambda model: None], ids=["renamed", "own"])
def test_verify_says_what_it_compared(source: Callable[[ModelProto], None], tmp_path: Path) -> None:
    model = MODELS[0]
    kir.export(model, tmp_path / "m.onnx", verify=False)
    change(tmp_path / "m.onnx", source)
    report = kir.verify(model, tmp_path / "m.onnx")
    assert report.passed
    assert report.statements[0].part == "file"


@pytest.mark.parametrize("model", ["mnist_mlp", "spatial_dropout"])
def test_renamed_training_exports_verify(model: str, tmp_path: Path) -> None:
    source = next(path for path in MODELS if path.stem == model)
    kir.export(source, tmp_path / "m.onnx", verify=False, training=True)
    change(tmp_path / "m.onnx", rename_values)
    report = kir.verify(source, tmp_path / "m.onnx", training=True)
    assert report.passed, str(report)
    (training,) = (statement for statement in report.statements if statement.part == "training")
    assert not training.not_shown


def test_a_renamed_training_export_of_another_rate_fails(tmp_path: Path) -> None:
    source = next(path for path in MODELS if path.stem == "mnist_mlp")
    kir.export(source, tmp_path / "m.onnx", verify=False, training=True)
    change(tmp_path / "m.onnx", rename_values)

    def raise_rate(model: ModelProto) -> None:
        name = next(node.input[1] for node in model.graph.node if node.op_type == "Dropout")
        rate = next(one for one in model.graph.initializer if one.name == name)
        rate.CopyFrom(numpy_helper.from_array(np.array(0.9, np.float32), name))

    change(tmp_path / "m.onnx", raise_rate)
    report = kir.verify(source, tmp_path / "m.onnx", training=True)
    assert "elements were kept; expected" in str([problem for part, problem in report.problems if part == "training"])


def test_a_changed_weight_that_no_output_shows_fails(tmp_path: Path) -> None:
    model = next(path for path in MODELS if path.stem == "mnist_mlp")
    kir.export(model, tmp_path / "m.onnx", verify=False)

    def flip(proto: ModelProto) -> None:
        stored = max(proto.graph.initializer, key=lambda one: int(np.prod(one.dims)))
        raw = bytearray(stored.raw_data)
        raw[400] ^= 1
        stored.raw_data = bytes(raw)

    change(tmp_path / "m.onnx", flip)
    report = kir.verify(model, tmp_path / "m.onnx")
    assert not report.passed
    assert all(output.passed for output in report.outputs)
    (problem,) = report.statements[0].problems
    assert "1 of 100,352 elements differ" in str(problem)


def test_an_export_of_a_file_names_what_was_read(tmp_path: Path) -> None:
    exported(small(), tmp_path / "m.onnx", level=0)
    result = kir.export(tmp_path / "m.onnx", tmp_path / "n.onnx")
    assert isinstance(result, ExportResult)
    assert result.source is not None
    assert "named values of the file are those that were read in it" in result.source.statements[0].covered


def test_a_node_that_somebody_added_to_a_file_of_kir_is_wrong(tmp_path: Path) -> None:
    graph, path = small(), tmp_path / "m.onnx"
    exported(graph, path)
    change(path, add_clip)
    held = find(graph, path)
    assert held.is_written
    assert any("Clip" in str(problem) and problem.layer for problem in held.statement.problems), held.statement
    change(path, lambda model: setattr(model, "producer_name", "another tool"))
    assert not find(graph, path).is_written


def add_clip(model: ModelProto) -> None:
    """Put a Clip that no usual value meets after the first convolution."""
    place, node = next((at, node) for at, node in enumerate(model.graph.node) if node.op_type == "Conv")
    name, node.output[0] = node.output[0], "before"
    model.graph.initializer.append(numpy_helper.from_array(np.array(1e6, np.float32), "end"))
    model.graph.node.insert(place + 1, helper.make_node("Clip", ["before", "", "end"], [name]))
