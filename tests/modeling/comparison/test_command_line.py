"""`kir diff`: everything that kir reads against everything, exit codes, and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from kir.cli import _run

HEAD = "from kir import Input, Sequential\nfrom kir.layers import Dense, Dropout\n"
SCRIPT = f"""{HEAD}
def build(activation="relu", drop=()):
    return Sequential([
        Input((4,), name="x"), Dense(3, activation=activation, name="hidden"), *drop, Dropout(0.5), Dense(2, name="y")
    ])
model, gelu, dropped = build(), build("gelu"), build(drop=[Dropout(0.1, name="drop")])
"""
Diff = Callable[..., tuple[int, str, str]]


@pytest.fixture
def diff(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Diff:
    """Run `kir diff` in a folder that holds SCRIPT as model.py."""
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(SCRIPT)

    def run(*arguments: str, command: str = "diff") -> tuple[int, str, str]:
        capsys.readouterr()
        code = _run([command, *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def export(diff: Diff, model: str, file: str, *options: str) -> None:
    code, out, err = diff(model, "-o", file, "--no-verify", *options, command="export")
    assert code == 0, out + err


def test_a_model_and_what_export_wrote_have_no_differences(diff: Diff) -> None:
    export(diff, "model.py:model", "model.onnx")
    code, out, err = diff("model.py:model", "model.onnx")
    assert (code, err) == (0, "")
    assert out.startswith("no differences between model.py:model and model.onnx\n")
    assert diff("model.onnx", "model.py:model")[0] == 0


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2"])
def test_export_at_any_level(diff: Diff, level: str) -> None:
    export(diff, "model.py:dropped", "model.onnx", level, "--opset", "15")
    assert diff("model.py:dropped", "model.onnx")[0] == 0


def test_a_training_export_with_the_losses(diff: Diff) -> None:
    export(diff, "model.py:dropped", "model.onnx", "--training", "--losses", "--batch", "3")
    options = ("--training", "--losses", "--batch", "3")
    code, out, _ = diff("model.py:dropped", "model.onnx", *options)
    assert code == 0, out
    assert diff("model.py:dropped", "model.onnx")[0] == 1


def test_scripts_show_what_passes_would_hide(diff: Diff) -> None:
    code, out, _ = diff("model.py:model", "model.py:dropped")
    assert code == 1
    assert "+ drop (Dropout) after hidden" in out


def test_a_changed_activation(diff: Diff) -> None:
    code, out, _ = diff("model.py:model", "model.py:gelu", "--no-run")
    assert code == 1
    assert "~ hidden: Relu -> Gelu(approximate=False)" in out
    assert "not run, as asked" in out


def test_a_changed_weight_of_an_onnx_file(diff: Diff) -> None:
    export(diff, "model.py:model", "a.onnx")
    model = onnx.load("a.onnx")
    tensor = next(t for t in model.graph.initializer if t.name == "y/kernel")
    changed = onnx.numpy_helper.to_array(tensor).copy()
    changed[1, 1] += 1
    tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))
    onnx.save(model, "b.onnx")
    code, out, _ = diff("a.onnx", "b.onnx")
    assert code == 1
    assert "a.onnx and b.onnx differ in weights and numbers" in out
    assert "~ y/kernel: f32[3, 2], max abs 1, " in out
    assert "1 of 6 elements" in out


def test_metadata_counts_between_onnx_files_only(diff: Diff) -> None:
    export(diff, "model.py:model", "a.onnx")
    export(diff, "model.py:model", "b.onnx", "--metadata", "author=me")
    code, out, _ = diff("a.onnx", "b.onnx")
    assert code == 1
    assert "+ metadata author: me" in out
    assert diff("model.py:model", "b.onnx")[0] == 0


def test_keras_files_against_scripts_and_onnx(diff: Diff) -> None:
    import keras

    model = keras.Sequential(
        [
            keras.Input((4,), name="x"),
            keras.layers.Dense(3, activation="relu", name="hidden"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2, name="y"),
        ]
    )
    model.save("model.keras")
    model.save("model.h5")
    model.save_weights("model.weights.h5")
    Path("model.json").write_text(model.to_json())
    export(diff, "model.keras", "model.onnx")
    others = [["model.h5"], ["model.onnx"], ["model.json", "--weights-b", "model.weights.h5"]]
    others += [["model.py:model", "--weights-b", "model.weights.h5"]]
    for other in others:
        code, out, err = diff("model.keras", *other)
        assert code == 0, out + err
    code, out, _ = diff("model.keras", "model.py:model")
    assert code == 1
    assert "differ in weights and numbers" in out


def test_json_is_one_document(diff: Diff) -> None:
    code, out, _ = diff("model.py:model", "model.py:gelu", "--json")
    document = json.loads(out)
    assert code == 1
    assert (document["a"], document["b"], document["same"]) == ("model.py:model", "model.py:gelu", False)
    assert document["differences"] == ["structure", "weights", "numbers"]
    assert document["numbers"]["report"]["passed"] is False


def test_an_operator_that_kir_does_not_know_is_compared(diff: Diff) -> None:
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    for name, scale in (("a.onnx", 1.0), ("b.onnx", 2.0)):
        x, h, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", 3, 2, 2]) for n in "xhy")
        node = onnx.helper.make_node("Trilu", ["x"], ["h"], name="norm", domain="com.microsoft")
        scaled = onnx.helper.make_node("Mul", ["h", "s"], ["y"], name="scale")
        weight = onnx.numpy_helper.from_array(np.array([scale], np.float32), "s")
        graph = onnx.helper.make_graph([node, scaled], "g", [x], [y], [weight], value_info=[h])
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), name)
    code, out, err = diff("a.onnx", "b.onnx")
    assert code == 1, err
    assert "a.onnx and b.onnx differ in weights" in out
    assert "only a runtime does" in out
    assert diff("a.onnx", "a.onnx")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["model.py:model", "missing.onnx"], 2, "missing.onnx"),
        (["notes.txt", "model.py:model"], 2, "cannot read notes.txt"),
        (["model.py:model"], 2, "Missing argument 'B'"),
        (["model.py:model", "model.py:gelu", "-O", "3"], 2, "0<=x<=2"),
        (["a.onnx", "a.onnx", "--custom-objects", "model.py"], 2, "for models of layers"),
        (["model.py:model", "a.onnx", "--weights-b", "w.npz"], 2, "a.onnx is an ONNX file"),
        (["model.py:model", "a.onnx", "--custom-objects", "model.py"], 2, "--custom-objects is for Keras files"),
        (["model.keras", "a.onnx"], 3, "Mystery"),
    ],
)
def test_failures_say_what_is_wrong(diff: Diff, arguments: list[str], code: int, message: str) -> None:
    Path("notes.txt").write_text("not a model")
    export(diff, "model.py:model", "a.onnx")
    if "model.keras" in arguments:
        _save_mystery()
    found, out, err = diff(*arguments)
    assert found == code, out + err
    assert message in err
    assert out == ""


def _save_mystery() -> None:
    """A Keras file with a layer that kir does not know."""
    import keras

    class Mystery(keras.layers.Layer):
        def call(self, x: object) -> object:
            return x

    keras.Sequential([keras.Input((4,)), Mystery()]).save("model.keras")
