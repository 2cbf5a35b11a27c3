"""The exporters themselves, where they are installed; `foreign` builds what they write where they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir.exporters.pipeline import ExportOptions, SourceFile, export_model, export_reference
from kir.importers.onnx_file import import_graph
from kir.modeling.model import Model
from tests.importers.onnx_file import foreign

NOT_INSTALLED = "{} is too heavy for the tests' dependencies; pip install {} to run this"


def installed(name: str) -> Any:
    return pytest.importorskip(name, reason=NOT_INSTALLED.format(name, name), exc_type=ImportError)


def assert_becomes_small(given: Path, make: Callable[[], Model]) -> None:
    """The file is read, verified, and has no more nodes in the end than kir's own of such a model."""
    own = export_model(make(), given.with_name("own.onnx"), ExportOptions(verify=False))
    result = export_reference(import_graph(given), given.with_name("small.onnx"), source=SourceFile(given))
    assert result.verification is not None
    assert result.verification.passed
    assert result.file.node_count <= own.file.node_count


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("kind", ["MLP", "LSTM"])
def test_torch(kind: str, dynamo: bool, tmp_path: Path) -> None:
    torch = installed("torch")
    if dynamo:
        installed("onnxscript")
    nn = torch.nn

    class Last(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.LSTM(6, 4, batch_first=True)
            self.head = nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.steps(x)[0][:, -1, :])

    flat = nn.Sequential(nn.Flatten(), nn.Linear(20, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3), nn.Softmax(-1))
    module, shape, make = {
        "MLP": (flat, (3, 4, 5), foreign.mlp),
        "LSTM": (Last(), (3, 7, 6), foreign.last_of_lstm),
    }[kind]
    sizes = {0: "batch", 1: "time"} if kind == "LSTM" else {0: "batch"}
    given = tmp_path / "given.onnx"
    how: dict[str, Any] = (
        {"dynamic_shapes": (sizes,), "external_data": False} if dynamo else {"dynamic_axes": {"x": sizes}}
    )
    names = {"input_names": ["x"], "output_names": ["y"]}
    torch.onnx.export(module.eval(), (torch.randn(*shape),), str(given), dynamo=dynamo, verbose=False, **names, **how)
    assert_becomes_small(given, make)


def random_weights() -> list[Any]:
    """Kernels and biases of the two Dense layers of `foreign.mlp`."""
    random = np.random.default_rng(0)
    return [random.normal(size=size).astype(np.float32) for size in ((20, 8), 8, (8, 3), 3)]


def test_tf2onnx(tmp_path: Path) -> None:
    tf2onnx, tf = installed("tf2onnx"), installed("tensorflow")
    first, first_bias, second, second_bias = random_weights()
    signature = [tf.TensorSpec([None, 4, 5], tf.float32, name="x")]

    def compute(x: Any) -> Any:
        hidden = tf.nn.relu(tf.matmul(tf.reshape(x, [-1, 20]), first) + first_bias)
        return tf.nn.softmax(tf.matmul(hidden, second) + second_bias)

    given = tmp_path / "given.onnx"
    function = tf.function(compute, input_signature=signature)
    tf2onnx.convert.from_function(function, input_signature=signature, opset=17, output_path=str(given))
    assert_becomes_small(given, foreign.mlp)


def test_jax2onnx(tmp_path: Path) -> None:
    jax2onnx, jax = installed("jax2onnx"), installed("jax")
    first, first_bias, second, second_bias = random_weights()

    def compute(x: Any) -> Any:
        hidden = jax.nn.relu(x.reshape(x.shape[0], 20) @ first + first_bias)
        return jax.nn.softmax(hidden @ second + second_bias)

    given = tmp_path / "given.onnx"
    given.write_bytes(jax2onnx.to_onnx(compute, [("B", 4, 5)]).SerializeToString())
    assert_becomes_small(given, foreign.mlp)
