"""Files with operators that kir does not know, or whose parameters are computed: carried through, and verified."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, TypeProto, ValueInfoProto, helper

import kir
from kir.errors import UnsupportedError
from kir.exporters.pipeline import ExportResult
from kir.importers.onnx_file import import_graph
from kir.ops.opaque import Opaque
from tests.importers.onnx_file.models import INT64, model, node, value

FOLDER = Path(__file__).parent / "carried"

# What each file stands for, and how many nodes it may have at most.
FILES = {
    "contrib": ("operators of onnxruntime's own domain, whose types only a run of the model tells", 4),
    "dq_reshape": ("an operator that later opsets define otherwise", 3),
    "dynamic_quantized_opset21": ("a dynamically quantized transformer", 123),
    "nms": ("a number of rows that depends on the data", 4),
    "qdq": ("a convolution between quantizations", 8),
    "mxnet8": ("an Upsample of opset 8, written as a Resize", 5),
    "sequence": ("a sequence of tensors between operators", 4),
    "sparse": ("a sparse initializer, which becomes dense", 1),
    "train": ("a BatchNormalization in training mode, whose new statistics are outputs", 2),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore:carried through")
def test_files_come_through_verified(name: str, tmp_path: Path) -> None:
    _, most = FILES[name]
    result = kir.export(FOLDER / f"{name}.onnx", tmp_path / "out.onnx")
    assert isinstance(result, ExportResult)
    assert result.verification is not None
    assert result.verification.passed
    assert result.file.node_count <= most
    assert result.file.opset == max(13, result.graph.provenance.opset or 0)


# Operators with parameters that the model computes: the node, what else it reads, and whether the rest knows its rank.
COMPUTED = {
    "Pad": (node("Pad", "x i", "h"), [4]),
    "Slice": (node("Slice", "x i j", "h"), [2]),
    "Expand": (node("Expand", "x i", "h"), [2]),
    "Reshape": (node("Reshape", "x i", "h"), [2]),
    "ReduceSum": (node("ReduceSum", "x i", "h", keepdims=1), [1]),
    "Tile": (node("Tile", "x i", "h"), [2]),
    "TopK": (node("TopK", "x i", "h h2"), [1]),
    "CumSum": (node("CumSum", "x i", "h"), []),
    "Unsqueeze": (node("Unsqueeze", "x i", "h"), [1]),
    "Trilu": (node("Trilu", "x i", "h"), []),
}


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.filterwarnings("ignore:carried through")
def test_computed_parameters_are_carried(name: str, tmp_path: Path) -> None:
    """What is before and after such a node is optimised as ever: two Negs cancel."""
    computed, shape = COMPUTED[name]
    nodes = [
        node("Identity", "p", "i"),
        node("Identity", "q", "j"),
        computed,
        node("Neg", "h", "n"),
        node("Neg", "n", "y"),
    ]
    inputs = [value("x", ["N", 4]), value("p", shape, INT64), value("q", shape, INT64)]
    given = model(nodes, inputs, opset=18)
    if "j" not in computed.input:
        del given.graph.node[1], given.graph.input[2]
    (tmp_path / "given.onnx").write_bytes(given.SerializeToString())
    result = kir.export(tmp_path / "given.onnx", tmp_path / "out.onnx", verify=False)
    assert isinstance(result, ExportResult)
    assert [n.op.op_type for n in result.graph.order() if isinstance(n.op, Opaque)] == [name]
    assert result.file.node_count == 1


ML = "ai.onnx.ml"


def classifier() -> ModelProto:
    """Return a classifier as scikit-learn's converter writes it, whose scores are a map for each row."""
    scores = {"coefficients": [1.0, 2, 3, 4, 5, 6], "intercepts": [0.1, 0.2, 0.3], "post_transform": "SOFTMAX"}
    nodes = [
        node("LinearClassifier", "x", "label s", domain=ML, classlabels_ints=[0, 1, 2], **scores),
        node("ZipMap", "s", "p", domain=ML, classlabels_int64s=[0, 1, 2]),
    ]
    given = model(nodes, {"x": ["N", 2]}, "label p", domains={ML: 3}, opset=17)
    maps = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    given.graph.output[1].type.CopyFrom(helper.make_sequence_type_proto(maps))
    return given


def split() -> ModelProto:
    given = model([node("SplitToSequence", "x", "q", axis=0)], {"x": ["N", 3]}, "q")
    given.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("q", TensorProto.FLOAT, None))
    return given


def optional() -> ModelProto:
    nodes = [node("Optional", "x", "o"), node("OptionalGetElement", "o", "g"), node("Relu", "g", "y")]
    return model(nodes, {"x": ["N", 2]}, opset=18)


def without_rank() -> ModelProto:
    x = ValueInfoProto(name="x", type=TypeProto(tensor_type=TypeProto.Tensor(elem_type=TensorProto.FLOAT)))
    return model([node("Relu", "x", "h"), node("Shape", "h", "y")], [x])


def weight_of(dtype: int, opset: int) -> ModelProto:
    nodes = [node("DequantizeLinear", "w scale", "d"), node("MatMul", "x d", "y")]
    given = model(nodes, {"x": ["N", 2]}, constants={"scale": np.float32(0.5)}, opset=opset)
    given.graph.initializer.append(helper.make_tensor("w", dtype, [2, 2], [1, 2, 3, 4]))
    return given


# Values that are no tensors, or none that kir can describe: the model, and how many nodes it has afterwards.
NO_TENSORS = {
    "a sequence of maps as an output": (classifier(), 2),
    "a sequence as an output": (split(), 1),
    "an optional": (optional(), 3),
    "an input without a rank": (without_rank(), 2),
    "weights of float8": (weight_of(TensorProto.FLOAT8E4M3FN, 19), 1),
}


@pytest.mark.parametrize("name", NO_TENSORS)
@pytest.mark.filterwarnings("ignore:carried through")
def test_values_that_are_no_tensors_come_through_verified(name: str, tmp_path: Path) -> None:
    given, count = NO_TENSORS[name]
    (tmp_path / "given.onnx").write_bytes(given.SerializeToString())
    result = kir.export(tmp_path / "given.onnx", tmp_path / "out.onnx")
    assert isinstance(result, ExportResult)
    assert result.verification is not None
    assert result.verification.passed
    assert result.file.node_count == count
    result.graph.save(tmp_path / "graph.kir")
    assert str(kir.Graph.load(tmp_path / "graph.kir")) == str(result.graph)


@pytest.mark.filterwarnings("ignore:carried through")
def test_what_cannot_be_fed_cannot_be_verified(tmp_path: Path) -> None:
    sequence = helper.make_tensor_sequence_value_info("q", TensorProto.FLOAT, [None, 3])
    given = model([node("ConcatFromSequence", "q", "y", axis=0)], [sequence])
    (tmp_path / "given.onnx").write_bytes(given.SerializeToString())
    with pytest.raises(UnsupportedError, match=r"the input 'q' is seq\(tensor\(float\)\[\?,3\]\)"):
        kir.export(tmp_path / "given.onnx", tmp_path / "out.onnx")
    result = kir.export(tmp_path / "given.onnx", tmp_path / "out.onnx", verify=False)
    assert isinstance(result, ExportResult)
    assert result.file.node_count == 1


def test_the_oldest_opsets_are_converted() -> None:
    given = model([node("Relu", "x", "y", consumed_inputs=[0])], {"x": [2]}, opset=1)
    with pytest.warns(UserWarning, match="the file is of opset 1; ONNX's converter made it opset 13"):
        graph = import_graph(given)
    assert graph.provenance.opset == 13
    broken = model([node("Magic", "x", "y")], {"x": [2]}, opset=1)
    with pytest.raises(UnsupportedError, match="written in opset 1, and ONNX's converter cannot"):
        import_graph(broken)
