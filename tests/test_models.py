"""Every example model exports, verifies, and runs in onnxruntime at other batch sizes; and the promised node counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from kir import Input, Model, Sequential
from kir import backend as K
from kir.exporters.pipeline import ExportOptions, ExportResult, export_model
from kir.importers.script import load_script
from kir.layers import LSTM, Activation, Dense, Dropout, Flatten, Masking, Permute, RepeatVector, Reshape

MODELS = sorted((Path(__file__).parent.parent / "models").glob("*.py"))
LOOPS = {"Loop", "Scan", "If"}


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def export(model: Model, folder: Path, **options: object) -> list[str]:
    export_model(model, folder / "model.onnx", ExportOptions(**options))  # type: ignore[arg-type]
    return operators(folder / "model.onnx")


def run_with_batch(path: Path, batch: int) -> dict[str, np.ndarray]:
    """Run a file on random inputs with every unknown size but the batch set to 5."""
    session = onnxruntime.InferenceSession(path)
    generator = np.random.default_rng(0)
    feeds = {}
    for entry in session.get_inputs():
        shape = [size if isinstance(size, int) else batch if size == "batch" else 5 for size in entry.shape]
        if entry.type == "tensor(float)":
            feeds[entry.name] = generator.normal(size=shape).astype(np.float32)
        elif entry.name.endswith(".indices"):
            feeds[entry.name] = np.stack([np.zeros(5, np.int64), np.arange(5)], axis=1)
        elif entry.name.endswith(".shape"):
            feeds[entry.name] = np.array([batch, 50])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))


@pytest.mark.parametrize("script", MODELS, ids=lambda path: path.stem)
def test_an_example_exports_verifies_and_runs(script: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    result = export_model(load_script(script), path)
    assert result.verification is not None
    assert result.verification.passed
    onnx.checker.check_model(path, full_check=True)
    assert not LOOPS & set(operators(path))
    for batch in (1, 7):
        for name, array in run_with_batch(path, batch).items():
            assert array.shape[0] == batch, name
            assert np.isfinite(array).all(), name


@pytest.mark.parametrize("script", MODELS, ids=lambda path: path.stem)
@pytest.mark.parametrize("options", [{"opset": 13}, {"level": 0}, {"training": True}, {"losses": True}], ids=str)
def test_an_example_exports_with_other_options(script: Path, options: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = load_script(script)
    if script.stem == "sparse_ratings" and "opset" in options:
        options = {"opset": 16}  # ScatterND adds from there on
    result: ExportResult = export_model(model, path, ExportOptions(**options))  # type: ignore[arg-type]
    assert result.verification is not None
    onnx.checker.check_model(path, full_check=True)


@pytest.mark.parametrize("script", MODELS, ids=lambda path: path.stem)
def test_an_example_gives_the_same_bytes_twice(script: Path, tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export_model(load_script(script), tmp_path / name, ExportOptions(verify=False))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_the_convolutional_network_is_ten_nodes_without_a_transpose(tmp_path: Path) -> None:
    model = load_script(next(path for path in MODELS if path.stem == "small_cnn"))
    assert export(model, tmp_path) == ["Reshape", *["Conv", "Relu", "MaxPool"] * 2, "Reshape", "Gemm", "Softmax"]


def test_the_mnist_perceptron_is_seven_nodes(tmp_path: Path) -> None:
    model = Sequential(
        [
            Input(shape=(28, 28)),
            Flatten(),
            Dense(128, activation="relu"),
            Dropout(0.2),
            Dense(64),
            Activation("relu"),
            Dropout(0.2),
            Dense(10, activation="softmax"),
        ]
    )
    assert export(model, tmp_path) == ["Reshape", "Gemm", "Relu", "Gemm", "Relu", "Gemm", "Softmax"]


def test_a_chain_of_redundant_reshapes_is_one_node(tmp_path: Path) -> None:
    model = Sequential(
        [
            Input(shape=(4, 6)),
            Reshape((24,)),
            Flatten(),
            Reshape((2, 3, 4)),
            Permute((3, 1, 2)),
            Permute((2, 3, 1)),
            Flatten(),
            Reshape((1, 24)),
            Permute((2, 1)),
            Reshape((-1, 8)),
        ]
    )
    assert export(model, tmp_path) == ["Reshape"]


def test_a_masked_stack_of_two_lstms_is_at_most_sixteen_nodes(tmp_path: Path) -> None:
    model = Sequential(
        [Input(shape=(None, 8)), Masking(), LSTM(16, return_sequences=True), LSTM(8), Dense(3, activation="softmax")]
    )
    nodes = export(model, tmp_path)
    assert len(nodes) <= 16, nodes
    assert nodes.count("LSTM") == 2


def test_a_hundred_and_fifty_blocks_are_three_hundred_nodes(tmp_path: Path) -> None:
    blocks = [layer for _ in range(150) for layer in (Dense(8), Activation("relu"), Dropout(0.1))]
    model = Sequential([Input(shape=(8,)), *blocks])
    for layer in model.layers:
        if isinstance(layer, Dense):
            layer.set_weights([layer.get_weights()[0], np.full(8, 0.1, np.float32)])
    assert export(model, tmp_path) == ["Gemm", "Relu"] * 150


def test_repeated_vectors_cost_no_expansion_where_broadcasting_does(tmp_path: Path) -> None:
    x = Input(shape=(4,))
    sequence = Input(shape=(3, 4))
    assert export(Model([x, sequence], RepeatVector(3)(x) + sequence), tmp_path) == ["Reshape", "Add"]


@pytest.mark.slow
def test_ten_thousand_layers_build_export_and_load(tmp_path: Path) -> None:
    model = Sequential([Input(shape=(4,), name="x"), *[Dense(4, activation="relu") for _ in range(10_000)]])
    nodes = export(model, tmp_path, verify=False)
    assert len(nodes) == 20_000
    x = np.ones((1, 4), np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    np.testing.assert_allclose(session.run(None, {"x": x})[0], model.predict(x), rtol=1e-4)


@pytest.mark.slow
def test_a_hundred_thousand_operators_build_optimise_and_export(tmp_path: Path) -> None:
    y: Any = (x := Input(shape=(4,), name="x"))
    for index in range(50_000):
        y = K.maximum(y + x, float(index % 7))
    nodes = export(Model(x, y), tmp_path, verify=False)
    assert len(nodes) == 100_000
