"""Types agree with onnx shape inference wherever that knows an answer, and know more."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from kir import passes
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.build import value_names
from kir.exporters.onnx_file.session import NEWEST_FULL_OPSET
from kir.graph import Graph
from kir.importers.script import load_script
from kir.types import TensorType
from tests.ops.cases import Case, all_cases

MODELS = sorted((Path(__file__).parents[3] / "models").glob("*.py"))


def inferred_types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto.Tensor]:
    """What onnx infers for every tensor of a model, data propagation included."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    return {value.name: value.type.tensor_type for value in graph.value_info}


def contradictions(names: dict[str, TensorType], inferred: dict[str, onnx.TypeProto.Tensor]) -> list[str]:
    """The tensors for which both know a rank, a size or a dtype, and they differ."""
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
