""".keras → model.py → ONNX gives the same bytes as .keras → ONNX, for every layer; and so does .onnx → model.py."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from kir.importers.keras_file import load_keras_model
from tests.exporters.script.round_trip import complaints, export_bytes, read, through_script
from tests.importers.keras_file.cases import CASES


@pytest.mark.parametrize("name", CASES)
def test_a_keras_file_becomes_a_script(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CASES[name](5).save(path)
        model = load_keras_model(path)
    expected = export_bytes(model, tmp_path)
    again, text = through_script(model, tmp_path)
    assert export_bytes(again, tmp_path) == expected, text
    assert complaints([tmp_path / "written.py"]) == "", text
    of_graph, text = through_script(read(expected, tmp_path), tmp_path)
    assert export_bytes(of_graph, tmp_path) == expected, text
    assert complaints([tmp_path / "written.py"]) == "", text
