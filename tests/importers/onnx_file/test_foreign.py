"""What other exporters write of core-layer models: read, made as small as kir's own files, and verified."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kir.exporters.onnx_file.session import make_session, run_session
from kir.exporters.pipeline import ExportOptions, SourceFile, export_model, export_reference
from kir.importers.onnx_file import import_graph
from tests.importers.onnx_file.foreign import CASES


@pytest.mark.parametrize("name", CASES)
def test_files_become_as_small_as_those_of_kir(name: str, tmp_path: Path) -> None:
    model = CASES[name].make()
    proto = CASES[name].write(model)
    given, small = tmp_path / "given.onnx", tmp_path / "small.onnx"
    given.write_bytes(proto.SerializeToString())
    own = export_model(model, tmp_path / "own.onnx", ExportOptions(verify=False))
    options = ExportOptions(opset=own.file.opset)
    result = export_reference(import_graph(given), small, options, source=SourceFile(given))
    assert result.verification is not None
    assert result.source is not None
    assert result.verification.passed
    assert result.source.passed
    assert result.file.node_count <= own.file.node_count
    # Both files, and kir's own model, compute the same.
    random = np.random.default_rng(0)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in proto.graph.input}
    feeds = {
        name: random.normal(size=[dim.dim_value or 5 for dim in shape]).astype(np.float32)
        for name, shape in shapes.items()
    }
    before, after = (run_session(make_session(path), feeds)["y0"] for path in (given, small))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
    predicted = model.predict(list(feeds.values()) if len(feeds) > 1 else feeds["x"])
    np.testing.assert_allclose(after, predicted, rtol=1e-4, atol=1e-5)
