"""Real Keras as a witness: it agrees, it disagrees, it cannot be asked, and it dies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kir
from kir import cli
from kir.errors import CrashError, ProviderError, UsageError
from kir.exporters.onnx_file.verify.against_keras import arrays_for_keras
from kir.exporters.onnx_file.verify.keras_process import SECRET, one_line
from kir.importers.load import Reading
from kir.layers import LSTM, Dense, Input
from kir.numerics.report import Statement

# A process that imports Keras takes two seconds.
pytestmark = pytest.mark.slow

OWN_LAYER = """
import os, sys
import keras

@keras.saving.register_keras_serializable(package="own")
class Scale(keras.layers.Layer):
    def __init__(self, factor=2.0, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}
"""
SCRIPT = (
    OWN_LAYER
    + """
x, z = keras.Input((4,), name="x"), keras.Input((4,), name="a")
h = Scale(3.0)(x) + keras.layers.Lambda(lambda t: t * 2)(z)
model = keras.Model({"x": x, "a": z}, {"second": keras.layers.Dense(2)(h), "first": h})
"""
)


def statement(result: Any) -> Statement:
    report = getattr(result, "verification", result)
    return next(one for one in report.statements if one.part == "keras")


def save_with_own_layer(path: Path) -> None:
    defined: dict[str, Any] = {}
    exec(OWN_LAYER, defined)
    keras.Sequential([keras.Input((3,)), defined["Scale"](3.0, name="y")]).save(path)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def test_a_file_of_keras_is_read_by_keras_itself(target: Path, tmp_path: Path) -> None:
    words = keras.Input((None,), dtype="int32", name="words")
    steps = keras.layers.Embedding(20, 4, mask_zero=True)(words)
    model = keras.Model(words, [keras.layers.LSTM(3, name="y")(steps), steps])
    model.save(tmp_path / "model.keras")
    result = kir.export(tmp_path / "model.keras", target, against="keras", strict=True)
    said = statement(result)
    assert said.passed
    assert said.covered.startswith(f"Keras {keras.__version__} with numpy on Python {sys.version.split()[0]}, ")
    assert "model.keras, on 3 probes: largest error 0." in said.covered


@pytest.mark.parametrize("kind", ["script", "live", "of kir"])
def test_a_script_and_models_in_memory(target: Path, tmp_path: Path, kind: str) -> None:
    source: Any = kir.Sequential([Input((None, 3), name="x"), LSTM(2), Dense(2, activation="gelu")])
    saved = "as kir saves it"
    if kind == "script":
        source, saved = tmp_path / "model.py", "as Keras saves it"
        source.write_text(SCRIPT)
    elif kind == "live":
        source, saved = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), "as Keras saves it"
    said = statement(kir.export(source, target, against="keras", strict=True))
    assert said.passed
    assert saved in said.covered


def test_what_kir_reads_otherwise_than_keras_fails(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="y")]).save(path)
    load = Reading.load

    def misread(self: Reading, source: Any) -> Any:
        model: Any = load(self, source)
        model.set_weights([np.asarray(weight) + 1e-4 for weight in model.get_weights()])
        return model

    monkeypatch.setattr(Reading, "load", misread)
    kir.export(path, target)
    report = kir.verify(path, target, against="keras")
    assert {part for part, _ in report.problems} == {"keras"}
    assert "y: Keras computes something else" in str(report)


def test_own_layers_of_a_file(target: Path, tmp_path: Path) -> None:
    code, path = tmp_path / "own.py", tmp_path / "model.keras"
    code.write_text(OWN_LAYER)
    save_with_own_layer(path)
    assert statement(kir.export(path, target, custom_objects=code, against="keras")).passed
    code.write_text(OWN_LAYER + 'if sys.argv[0].endswith("keras_child.py"):\n    os.abort()\n')
    with pytest.raises(CrashError, match=r"Keras died of signal SIGABRT while loading .*model\.keras"):
        kir.verify(path, target, custom_objects=code, against="keras")
    code.write_text(OWN_LAYER + 'assert not sys.argv[0].endswith("keras_child.py"), "a reason"\n')
    said = statement(kir.verify(path, target, custom_objects=code, against="keras"))
    assert said.verdict == "not run"
    assert "cannot load" in said.not_run
    assert "AssertionError: a reason" in said.not_run


def test_what_keras_cannot_run_is_not_shown(target: Path, tmp_path: Path) -> None:
    path, code = tmp_path / "model.keras", tmp_path / "own.py"
    code.write_text(OWN_LAYER)
    save_with_own_layer(path)
    # While Keras finds shapes, batches are of more than 50.
    fails = "if isinstance(x, np.ndarray) and len(x) < 50:\n            raise ValueError('two\\nlines')"
    code.write_text("import numpy as np\n" + OWN_LAYER.replace("return x *", f"{fails}\n        return x *"))
    said = statement(kir.export(path, target, custom_objects=code, against="keras"))
    assert said.passed
    assert len(said.not_shown) == 3
    assert "two lines" in str(said.not_shown[0])


def test_what_keras_refuses_is_left_out(target: Path, tmp_path: Path) -> None:
    words = keras.Input((3,), dtype="int64")
    path = tmp_path / "model.keras"
    keras.Model(words, keras.layers.CategoryEncoding(5, output_mode="multi_hot")(words)).save(path)
    said = statement(kir.export(path, target, against="keras", data=np.array([[0, 1, 7], [1, 2, 3]])))
    assert said.passed
    assert "left out: Keras fails on" in said.covered
    assert "is out of bounds for axis 1" in said.covered
    assert not said.not_shown


def test_keras_or_its_backend_is_not_installed(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, saved = kir.Sequential([Input((3,)), Dense(2)]), tmp_path / "model.keras"
    model.save(saved)
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    (folder / "keras.py").write_text("raise ModuleNotFoundError(\"No module named 'keras'\")")
    with pytest.raises(
        ProviderError, match=r"--against keras needs keras; it is not installed for .*pip install keras"
    ):
        kir.export(model, target, against="keras")
    (folder / "keras.py").write_text("raise ModuleNotFoundError(\"No module named 'tensorflow'\")")
    assert cli.run_arguments(["export", str(saved), "-o", str(target), "--against", "keras"]) == 2
    assert "choose a backend that is installed: KERAS_BACKEND=numpy, jax" in capsys.readouterr().err
    assert not target.exists()


def test_what_cannot_be_saved_for_keras_is_not_run(target: Path) -> None:
    model = kir.Sequential([Input((3,), name="x"), kir.layers.Lambda(lambda x: x * 2, name="twice")])
    said = statement(kir.export(model, target, against="keras"))
    assert said.verdict == "not run"
    assert "layer 'twice' has a function without a name" in said.not_run


def test_a_graph_has_nothing_that_keras_knows(target: Path, tmp_path: Path) -> None:
    kir.export(kir.Sequential([Input((3,)), Dense(2)]), target)
    for call in (
        lambda: kir.export(target, tmp_path / "b.onnx", against="keras"),
        lambda: kir.verify(target, target, against="keras"),
    ):
        with pytest.raises(UsageError, match="--against"):
            call()


def test_keras_is_not_imported_here(tmp_path: Path) -> None:
    saved = tmp_path / "model.keras"
    kir.Sequential([Input((3,)), Dense(2)]).save(saved)
    program = (
        "import sys, kir\n"
        f"print(kir.export({str(saved)!r}, {str(tmp_path / 'm.onnx')!r}, against='keras'))\n"
        "assert 'keras' not in sys.modules and 'jax' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "keras      pass  Keras" in done.stdout


def test_float64_that_keras_computes_in_float32_is_not_shown(target: Path) -> None:
    model = kir.Sequential([Input((8, 2), dtype="float64"), kir.layers.MaxPooling1D(dtype="float64", name="y")])
    said = statement(kir.export(model, target, against="keras"))
    assert said.passed
    assert "y: Keras computes it in float32" in str(said.not_shown[0])


@pytest.mark.quick
@pytest.mark.parametrize(
    ("feeds", "expected"),
    [
        ({"x": [1.0]}, [[1.0]]),
        ({"x": [1.0], "training_mode": False}, [[1.0]]),
        ({"x": [1.0], "memory.state_0": [2.0]}, None),
    ],
)
def test_what_keras_is_fed(feeds: dict[str, Any], expected: Any) -> None:
    model = kir.Sequential([Input((1,), name="x"), Dense(1)])
    arrays = arrays_for_keras(model, {name: np.asarray(value) for name, value in feeds.items()})
    assert (None if arrays is None else [array.tolist() for array in arrays]) == expected


@pytest.mark.quick
def test_a_sparse_input_becomes_dense() -> None:
    model = kir.Sequential([Input((4,), sparse=True, name="x"), Dense(1)])
    parts = {"x.indices": np.array([[0, 1], [1, 3]]), "x.values": np.array([5.0, 7.0]), "x.shape": np.array([2, 4])}
    arrays = arrays_for_keras(model, parts)
    assert arrays is not None
    assert arrays[0].tolist() == [[0, 5, 0, 0], [0, 0, 0, 7]]


@pytest.mark.quick
def test_messages_of_keras_are_one_line() -> None:
    assert one_line("\x1b[1mbold\x1b[0m and\a loud") == "bold and loud"
    assert (
        one_line("A could not be loaded. Exception encountered: B failed. Exception encountered: two\nlines")
        == "two lines"
    )
    assert len(one_line("x" * 10_000)) < 600


@pytest.mark.quick
def test_secrets_stay_here() -> None:
    hidden = ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "OPENAI_API_KEY"]
    assert all(SECRET.search(name) for name in hidden)
    assert not any(SECRET.search(name) for name in ("KERAS_BACKEND", "PATH", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH"))
