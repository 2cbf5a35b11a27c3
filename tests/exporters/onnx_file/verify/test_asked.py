"""Operators of which only onnxruntime knows what they compute."""

from __future__ import annotations

import numpy as np
import pytest

from kir.errors import UnsupportedError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.verify.asked import AT_ITS_WORD, asking_onnxruntime
from kir.exporters.onnx_file.verify.file import verify_file
from kir.importers.onnx_file import import_graph
from kir.ir.interpreter import run
from kir.passes import pipeline
from kir.passes import run as run_passes
from tests.importers.onnx_file.models import with_trilu


def test_onnxruntime_computes_them_for_the_interpreter_in_both_precisions() -> None:
    graph = import_graph(with_trilu())
    feeds = {"x": np.array([[1, -1, 0.5]], np.float32)}
    x = np.maximum(feeds["x"], 0)
    with asking_onnxruntime("cpu"):
        for wide in (False, True):
            y = run(graph, feeds, wide)["y"]
            assert y.dtype == (np.float64 if wide else np.float32)
            np.testing.assert_allclose(y, -np.tril(x), rtol=1e-5)
    with pytest.raises(UnsupportedError, match="Trilu"):
        run(graph, feeds)


def test_the_rest_of_the_file_is_proved_by_parts() -> None:
    reference = import_graph(with_trilu())
    graph = reference.copy()
    run_passes(graph, pipeline(2))
    model = to_model_proto(graph)
    report = verify_file(reference, model.SerializeToString(), written=graph)
    assert report.passed
    assert [finding.text for part, finding in report.not_shown if part == "operators"] == [AT_ITS_WORD]
    assert "2 of 3 operators" in str(report)
    assert [one.not_run for one in report.statements] == [""] * len(report.statements)


@pytest.mark.parametrize("op_type", ["Relu", "Neg"])
def test_an_error_beside_them_is_found(op_type: str) -> None:
    graph = import_graph(with_trilu())
    model = to_model_proto(graph)
    next(node for node in model.graph.node if node.op_type == op_type).op_type = "Abs"
    assert not verify_file(graph, model.SerializeToString(), written=graph).passed
