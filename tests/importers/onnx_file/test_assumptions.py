"""Sizes that a file takes to be equal, and that cannot be proved to be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

import kir
from kir.cli import run_arguments
from kir.errors import FormatError, ShapeError
from kir.exporters.pipeline import ExportResult
from kir.importers.onnx_file import import_graph
from kir.ir.interpreter import run
from tests.importers.onnx_file.models import INT64, model, node, value

KERNEL = np.full((1, 1, 3, 3), 0.1, np.float32)


def pyramid(joined: str = "Add") -> ModelProto:
    """Return a network that halves an image five times, doubles it once, and joins that with what it halved four times.

    Sizes fit if they are multiples of 32, and for some others.
    """
    halved = [
        node("Conv", f"{'x' if depth == 0 else f'h{depth}'} k", f"h{depth + 1}", strides=[2, 2], pads=[1, 1, 1, 1])
        for depth in range(5)
    ]
    doubled = node("Resize", "h5 _ twice", "up", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    attributes = {"axis": 1} if joined == "Concat" else {}
    nodes = [*halved, doubled, node(joined, "up h4", "sum", **attributes), node("Relu", "sum", "y")]
    return model(nodes, {"x": ["N", 1, "h", "w"]}, constants={"k": KERNEL, "twice": np.array([1, 1, 2, 2], np.float32)})


@pytest.mark.parametrize("joined", ["Add", "Concat"])
def test_sizes_that_must_be_equal_are_taken_to_be(joined: str, tmp_path: Path) -> None:
    """Probes have sizes for which they are, and nothing is written for it."""
    (tmp_path / "given.onnx").write_bytes(pyramid(joined).SerializeToString())
    result = kir.export(tmp_path / "given.onnx", tmp_path / "out.onnx")
    assert isinstance(result, ExportResult)
    assert result.verification is not None
    assert result.verification.passed
    assert result.file.node_count == 8
    assert result.to_json()["assumptions"] == ["2*((h + 31)//32) = (h + 15)//16", "2*((w + 31)//32) = (w + 15)//16"]
    assert "assumes 2*((h + 31)//32) = (h + 15)//16" in str(result)


def test_other_sizes_are_refused_by_name_where_it_runs() -> None:
    graph = import_graph(pyramid())
    assert run(graph, {"x": np.ones((1, 1, 64, 32), np.float32)})["y"].shape == (1, 1, 4, 2)
    with pytest.raises(ShapeError, match=r"takes 2\*\(\(h \+ 31\)//32\), which is 4, to be 3"):
        run(graph, {"x": np.ones((1, 1, 48, 32), np.float32)})
    with pytest.raises(ShapeError, match="the file takes 4 and 3 to be one size"):
        graph.specialize({"h": 48, "w": 32})
    assert graph.specialize({"h": 64, "w": 32}).assumptions() == []


def test_assumptions_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "given.onnx").write_bytes(pyramid().SerializeToString())
    assert run_arguments(["inspect", str(tmp_path / "given.onnx")]) == 0
    assert "assumes     2*((h + 31)//32) = (h + 15)//16" in capsys.readouterr().out
    assert run_arguments(["inspect", str(tmp_path / "given.onnx"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["assumptions"]) == 2


def test_a_reshape_says_what_a_size_is() -> None:
    """The shape of the Expand comes from numbers, and its last axis goes with the Reshape."""
    nodes = [node("Expand", "x s", "e"), node("Reshape", "e r", "y")]
    inputs = [value("x", [2, 1]), value("s", [2], INT64)]
    graph = import_graph(model(nodes, inputs, constants={"r": [2, 3]}))
    (assumed,) = graph.assumptions()
    assert assumed.endswith(" = 3")
    feeds = {"x": np.ones((2, 1), np.float32), "s": np.array([2, 3])}
    assert run(graph, feeds)["y"].shape == (2, 3)


def test_sizes_that_are_known_to_differ_are_errors() -> None:
    with pytest.raises(FormatError, match="cannot reshape"):
        import_graph(model([node("Reshape", "x r", "y")], {"x": [2, 3]}, constants={"r": [2, 2]}))


def test_a_squeezed_size_is_taken_to_be_one() -> None:
    halved = node("Conv", "x k", "half", strides=[2, 2], pads=[1, 1, 1, 1])
    nodes = [halved, node("Squeeze", "half axes", "y")]
    graph = import_graph(model(nodes, {"x": ["N", 1, "h", 6]}, constants={"k": KERNEL, "axes": [2]}))
    assert graph.assumptions() == ["(h + 1)//2 = 1"]
    assert run(graph, {"x": np.ones((2, 1, 2, 6), np.float32)})["y"].shape == (2, 1, 3)
    with pytest.raises(ShapeError, match=r"takes \(h \+ 1\)//2, which is 2, to be 1"):
        run(graph, {"x": np.ones((2, 1, 4, 6), np.float32)})
