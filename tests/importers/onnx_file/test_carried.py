"""Files with operators that kir does not know, or whose parameters are computed: carried through, and verified."""

from __future__ import annotations

from pathlib import Path

import pytest

import kir
from kir.exporters.pipeline import ExportResult
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
    assert result.file.opset == result.graph.provenance.opset


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
