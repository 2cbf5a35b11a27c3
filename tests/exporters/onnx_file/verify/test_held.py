"""Which graph a file holds."""

from __future__ import annotations

from pathlib import Path

import onnx

from kir import passes
from kir.exporters.onnx_file.build import value_names
from kir.exporters.onnx_file.verify.file import names_in_file
from kir.exporters.onnx_file.verify.held import holds_graph
from kir.exporters.onnx_file.write import export_graph
from tests.exporters.onnx_file.test_verify import cnn, mlp


def test_a_file_holds_the_graph_that_it_was_written_of(tmp_path: Path) -> None:
    graph = mlp()
    passes.run(graph, passes.pipeline(2))
    export_graph(graph, tmp_path / "m.onnx", opset=17)
    assert holds_graph(tmp_path / "m.onnx", graph)
    assert not holds_graph(tmp_path / "m.onnx", cnn())
    assert names_in_file(graph, tmp_path / "m.onnx") == value_names(graph, 17)


def test_no_file_of_an_opset_that_is_never_written_holds_a_graph(tmp_path: Path) -> None:
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    del model.opset_import[:]
    onnx.save(model, tmp_path / "m.onnx")
    assert not holds_graph(tmp_path / "m.onnx", mlp())
