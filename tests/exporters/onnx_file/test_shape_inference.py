"""Types agree with onnx shape inference wherever that knows an answer, and know more."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from kir import passes
from kir.exporters.onnx_file import export_graph, to_model_proto
from kir.exporters.onnx_file.build import value_names
from kir.exporters.onnx_file.emitter import onnx_dtype
from kir.exporters.onnx_file.session import NEWEST_FULL_OPSET
from kir.importers.onnx_file import import_graph
from kir.importers.script import load_script
from kir.ir.graph import Graph
from kir.ir.types import TensorType
from tests.ops.cases import Case, all_cases

MODELS = sorted((Path(__file__).parents[3] / "models").glob("*.py"))


def inferred_types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto.Tensor]:
    """What onnx infers for every tensor of a model, data propagation included, without what the file says.

    With what the file says, `strict_mode` makes a contradiction an error.
    """
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    del model.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    return {value.name: value.type.tensor_type for value in graph.value_info}


def contradictions(names: dict[str, TensorType], inferred: dict[str, onnx.TypeProto.Tensor]) -> list[str]:
    """Return the tensors for which both know a rank, a size or a dtype, and they differ."""
    found = []
    for name, ours in names.items():
        if name not in inferred:
            continue
        theirs = inferred[name]
        if theirs.elem_type and helper.tensor_dtype_to_np_dtype(theirs.elem_type) != ours.dtype.numpy:
            found.append(f"{name}: {ours} against {TensorProto.DataType.Name(theirs.elem_type)}")
        if not theirs.HasField("shape"):
            continue
        dims = list(theirs.shape.dim)
        if len(dims) != ours.rank:
            found.append(f"{name}: {ours} against rank {len(dims)}")
            continue
        for dim, size in zip(dims, ours.shape, strict=True):
            if dim.HasField("dim_value") and isinstance(size, int) and dim.dim_value != size:
                found.append(f"{name}: {ours} against {dim.dim_value}")
    return found


def known_types(graph: Graph) -> dict[str, TensorType]:
    return {name: value.type for value, name in value_names(graph, NEWEST_FULL_OPSET).items()}


def stated_types(model: onnx.ModelProto) -> dict[str, str]:
    """Return the types that a file states of its inner values, as text."""
    return {
        value.name: f"{value.type.tensor_type.elem_type}"
        f"{[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]}"
        for value in model.graph.value_info
    }


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_file_states_the_types_of_all_values(path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Other tools accept them: onnx's full check, and onnxruntime without a warning."""
    graph = load_script(path).to_graph()
    written = export_graph(graph, tmp_path / "m.onnx")
    model = onnx.load(str(written.path))
    onnx.checker.check_model(str(written.path), full_check=True)
    labels = {value.name for value in (*model.graph.input, *model.graph.output)}
    constants = {tensor.name for tensor in model.graph.initializer}
    expected = {
        name: f"{onnx_dtype(value.type.dtype)}{[dim if isinstance(dim, int) else str(dim) for dim in value.type.shape]}"
        for value, name in value_names(graph, written.opset).items()
        if name not in labels | constants
    }
    stated = stated_types(model)
    assert expected.items() <= stated.items()
    capfd.readouterr()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 2  # warnings
    onnxruntime.InferenceSession(str(written.path), options, providers=["CPUExecutionProvider"])
    assert capfd.readouterr().err == ""
    again = export_graph(import_graph(written.path), tmp_path / "again.onnx", opset=written.opset)
    assert again.path.read_bytes() == written.path.read_bytes()


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_an_operator_agrees(case: Case) -> None:
    graph = case.graph()
    for sizes in ({}, *case.runs()):
        fixed = graph.specialize(sizes)
        assert contradictions(known_types(fixed), inferred_types(to_model_proto(fixed))) == []


@pytest.mark.parametrize("script", MODELS, ids=lambda path: path.stem)
@pytest.mark.parametrize("level", [0, 2])
def test_an_example_agrees_and_knows_every_size_that_onnx_knows(script: Path, level: int) -> None:
    graph = load_script(script).to_graph()
    passes.run(graph, passes.pipeline(level))
    names, inferred = known_types(graph), inferred_types(to_model_proto(graph))
    assert contradictions(names, inferred) == []
    less = [
        name
        for name, ours in names.items()
        if name in inferred
        for dim, size in zip(inferred[name].shape.dim, ours.shape, strict=False)
        if dim.HasField("dim_value") and not isinstance(size, int)
    ]
    assert less == []
