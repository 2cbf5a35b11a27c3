"""Where models and graphs say that they were read from, from the importer to the lowered graph."""

from __future__ import annotations

from pathlib import Path

import keras

from kir import Input, Sequential, __version__
from kir.exporters.pipeline import ExportOptions, export_model
from kir.importers.cutting import cut_model
from kir.importers.keras_file import load_keras_model
from kir.importers.onnx_file import import_graph
from kir.importers.script import load_script
from kir.ir.graph import Provenance
from kir.layers import Dense
from kir.passes import pipeline

SCRIPT = """
{imports}
model = Sequential([Input((3,)), Dense(2, name="first"), Dense(1)])
"""


def test_a_script(tmp_path: Path) -> None:
    script = tmp_path / "model.py"
    script.write_text(SCRIPT.format(imports="from kir import Input, Sequential\nfrom kir.layers import Dense"))
    model = load_script(script)
    assert model.loaded_from == Provenance("script", "", script)
    assert model.to_graph().provenance == cut_model(model, ["first"]).loaded_from == model.loaded_from


def test_a_script_that_builds_a_model_of_keras(tmp_path: Path) -> None:
    script = tmp_path / "model.py"
    script.write_text(SCRIPT.format(imports="from keras import Input, Sequential\nfrom keras.layers import Dense"))
    assert load_script(script).loaded_from == Provenance("script", f"Keras {keras.__version__}", script)


def test_a_file_of_keras(tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(file)
    assert load_keras_model(file).loaded_from == Provenance("keras file", f"Keras {keras.__version__}", file)


def test_what_was_built_and_what_is_written_from_it(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    model = Sequential([Input((3,)), Dense(2)])
    assert model.loaded_from == Provenance()
    result = export_model(model, file, ExportOptions(verify=False))
    assert result.graph.provenance == Provenance(passes=tuple(p.name for p in pipeline()))
    assert import_graph(file).provenance == Provenance("onnx file", f"kir {__version__}", file)
