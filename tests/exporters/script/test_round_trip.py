"""model.py → ONNX → model.py → ONNX gives the same bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from kir import Input, layers, passes
from kir.errors import FormatError, UnsupportedError
from kir.importers.script import load_script
from kir.ir.graph import Graph
from kir.ir.types import NARROW, as_dtype
from kir.modeling.model import Model
from tests.exporters.onnx_file.graphs import mlp, two_outputs
from tests.exporters.script.round_trip import ROOT, complaints, export_bytes, graph_bytes, read, through_script
from tests.ops.cases import Case, all_cases
from tests.test_random_models import models

SCRIPTS = sorted((ROOT / "models").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("options", [{}, {"level": 0}, {"level": 1}, {"losses": True}, {"opset": 16}], ids=str)
def test_an_example_survives(script: Path, options: dict[str, object], tmp_path: Path) -> None:
    first = export_bytes(load_script(script), tmp_path, **options)
    model, _ = through_script(read(first, tmp_path), tmp_path)
    again = {name: value for name, value in options.items() if name != "losses"}
    assert export_bytes(model, tmp_path, **again) == first
    assert complaints([tmp_path / "written.py"]) == ""
    assert complaints([tmp_path / "written.py"], width=120) == ""


@pytest.mark.slow
@given(models())
@settings(max_examples=150)
def test_random_models_survive(model: Model) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = export_bytes(model, folder)
        again, text = through_script(read(first, folder), folder)
        assert export_bytes(again, folder) == first, text


@pytest.mark.parametrize("graph", [mlp(), two_outputs()], ids=["mlp", "two_outputs"])
def test_a_graph_survives(graph: Graph, tmp_path: Path) -> None:
    first = graph_bytes(graph, tmp_path)
    model, text = through_script(read(first, tmp_path), tmp_path)
    assert export_bytes(model, tmp_path, level=0) == first, text


@pytest.mark.parametrize("options", [{}, {"level": 1}, {"opset": 13}], ids=str)
def test_a_constant_that_layers_share_keeps_its_name(options: dict[str, object], tmp_path: Path) -> None:
    """Three equal biases of one attention become one, which is read where the script is run in another order."""
    x = Input((4, 8), name="x")
    attention = layers.MultiHeadAttention(2, 4)
    first = export_bytes(Model(x, attention(attention(x, x), x)), tmp_path, **options)
    model, text = through_script(read(first, tmp_path), tmp_path)
    assert export_bytes(model, tmp_path, **options) == first, text
    assert complaints([tmp_path / "written.py"]) == "", text


@pytest.mark.parametrize("ratio", ["crop_to_aspect_ratio", "pad_to_aspect_ratio"])
@pytest.mark.parametrize("size", [(7, 7), (3, 9)])
def test_the_smaller_of_two_unknown_sizes_survives(size: tuple[int, int], ratio: str, tmp_path: Path) -> None:
    x = Input((None, None, 3), name="x")
    options: dict[str, Any] = {ratio: True}
    resized = layers.Resizing(*size, **options, name="resized")
    first = export_bytes(Model(x, resized(x)), tmp_path)
    model, text = through_script(read(first, tmp_path), tmp_path)
    assert export_bytes(model, tmp_path) == first, text
    assert "minimum(x.shape[1], " in text


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_every_operator_survives(case: Case, tmp_path: Path) -> None:
    """An operator of which no row passes here cannot be written as a script."""
    graph = read(graph_bytes(case.graph(), tmp_path), tmp_path)
    if not graph.inputs:
        with pytest.raises(UnsupportedError, match="has no inputs"):
            through_script(graph, tmp_path)
        return
    if any(as_dtype(array.dtype) in NARROW for array in graph.constant_arrays()):
        with pytest.raises(FormatError, match=r"a .safetensors file cannot hold .*; write a .npz file"):
            through_script(graph, tmp_path)
        return
    if any(node.op.bodies() for node in graph.nodes()):
        with pytest.raises(UnsupportedError, match="holds a graph, which a script cannot say"):
            through_script(graph, tmp_path)
        return
    passes.run(graph, passes.RECOGNITION)
    first = graph_bytes(graph, tmp_path)
    model, text = through_script(graph, tmp_path)
    assert export_bytes(model, tmp_path, level=0) == first, text


@pytest.mark.parametrize("name", ["masked_lstm", "speech", "siamese", "mnist_mlp"])
def test_layers_are_recognised_in_an_optimised_file(name: str, tmp_path: Path) -> None:
    first = export_bytes(load_script(ROOT / "models" / f"{name}.py"), tmp_path)
    _, text = through_script(read(first, tmp_path), tmp_path)
    assert "Traced" not in text
    assert "K." not in text
    expected = {
        "masked_lstm": 'LSTM(32, return_sequences=True, name="lstm")',
        "speech": 'GRU(24, return_sequences=True, name="gru")',
        "siamese": 'alike = Dot(1, normalize=True, name="alike")([embed, embed_1])',
        "mnist_mlp": 'Dense(128, activation="relu", name="dense")',
    }
    assert expected[name] in text


def test_a_training_export_survives_with_its_switch(tmp_path: Path) -> None:
    first = export_bytes(load_script(ROOT / "models" / "monte_carlo_dropout.py"), tmp_path, training=True)
    model, _ = through_script(read(first, tmp_path), tmp_path)
    assert "training_mode" in model.input_names
    assert export_bytes(model, tmp_path, training=True) == first
