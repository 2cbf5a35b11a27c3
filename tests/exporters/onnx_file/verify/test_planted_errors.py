"""`kir verify` sees each kind of error that is planted in a file, and names its layer.

Every error is planted twice: in the file as kir wrote it, and in the same file made to look like another tool's, which
has no layers of its own to name. How many errors of each kind are seen in general says
`tests.benchmarks.planted_errors`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from kir.cli import run_arguments
from tests.benchmarks.planted_errors import changed, disguise
from tests.benchmarks.planted_files import Change, File
from tests.benchmarks.planted_kinds import HIDDEN_KINDS, KINDS
from tests.benchmarks.planted_models import SCRIPTS

HEAD = """
import numpy as np
from kir import Input, Model, Sequential, layers
from kir import backend as K
"""

# Of each kind of layers one small model, whose weights are random.
MODELS = {
    "causal": """
model = Sequential([Input(shape=(None, 3), name="x"),
    layers.Conv1D(4, 3, dilation_rate=8, padding="causal", name="wide"),
    layers.Conv1D(2, 3, strides=2, name="short")])
""",
    "table": """
model = Sequential([Input(shape=(None,), dtype="int32", name="x"), layers.Embedding(30_000, 4, name="words"),
    layers.LayerNormalization(name="norm"), layers.GlobalAveragePooling1D(name="mean"),
    layers.Dense(3, activation="softmax", name="label")])
""",
    "threshold": """
x = Input(shape=(6,), name="x")
y = layers.Dense(4, name="logits")(x)
whole = layers.Lambda(K.round, name="whole")(x)
reached = layers.Lambda(lambda y: K.cast(y >= 0.5, "float32"), name="reached")(x)
model = Model(x, [y, whole, reached])
""",
    "picture": """
model = Sequential([Input(shape=(12, 10, 3), name="x"),
    layers.Conv2D(4, 3, padding="same", activation="relu6", name="first"),
    layers.DepthwiseConv2D(3, strides=2, padding="same", name="second"),
    layers.LeakyReLU(negative_slope=0.2, name="leaky"),
    layers.Flatten(), layers.Dense(3, name="scores")])
""",
    "recurrent": """
model = Sequential([Input(shape=(None, 3), name="x"), layers.LSTM(4, return_sequences=True, name="steps"),
    layers.Dense(2, name="scores")])
""",
    "square": """
x = Input(shape=(8,), name="x")
y = layers.Lambda(lambda x: x - K.mean(x, axis=-1, keepdims=True), name="centred")(x)
model = Model(x, layers.Dense(8, activation="relu", bias_initializer="random_normal", name="square")(y))
""",
    "dead": """
model = Sequential([Input(shape=(6,), name="x"), layers.Dense(5, activation="tanh", name="first"),
    layers.Dense(4, activation="relu", name="dead"), layers.Dense(2, name="last")])
model.get_layer("dead").set_weights([np.ones((5, 4), "float32"), np.full(4, -1e6, "float32")])
""",
    "bounded": """
model = Sequential([Input(shape=(6,), name="x"), layers.Dense(5, activation="tanh", name="first"),
    layers.Dense(4, name="second"), layers.ReLU(6.0, name="bound"), layers.Dense(2, name="last")])
""",
    "saturated": """
model = Sequential([Input(shape=(6,), name="x"), layers.Dense(5, activation="tanh", name="first"),
    layers.Dense(4, activation="softmax", name="sharp")])
model.get_layer("sharp").set_weights([1e6 * np.eye(5, 4, dtype="float32"), np.zeros(4, "float32")])
""",
    "nan": """
model = Sequential([Input(shape=(6,), name="x"), layers.Dense(5, activation="tanh", name="first"),
    layers.Dense(4, name="broken")])
model.get_layer("broken").set_weights([np.ones((5, 4), "float32"), np.full(4, np.nan, "float32")])
""",
}


@dataclass(frozen=True)
class Case:
    """An error: which model, which kind of change, and words that pick one change of the kind."""

    kind: str
    model: str
    words: str
    layer: str


CASES = [
    Case("dilation", "causal", "wide.*dilations", "wide"),
    Case("dilation, same shapes", "causal", "wide", "wide"),
    Case("padding", "causal", r"wide.*pads \[15, 1\]", "wide"),
    Case("padding", "picture", "second.*pads", "second"),
    Case("stride", "causal", r"short.*strides \[3\]", "short"),
    Case("axis", "table", "label.*axis 0", "label"),
    Case("epsilon", "table", "norm.*epsilon 0.0011", "norm"),
    Case("alpha", "picture", "leaky.*alpha 0.2002", "leaky"),
    Case("direction", "recurrent", "reverse", "steps"),
    Case("layout", "picture", "first.*Reshape", "first"),
    Case("transB", "square", "transB 1", "square"),
    Case("keepdims", "square", "keepdims 0", "centred"),
    Case("comparison", "threshold", "Greater for GreaterOrEqual", "reached"),
    Case("round half up", "threshold", "", "whole"),
    Case("clip at 100", "threshold", "logits.*ends at 100", "logits"),
    Case("relu for relu6", "picture", "", "first"),
    Case("rows swapped", "table", r"words.* of axis 0", "words"),
    Case("mask if any for if all", "masked_lstm", "ReduceMin", "masking"),
    Case("from step 40 on", "recurrent", "steps/LSTM", "steps"),
    Case("from batch element 9 on", "square", "square", "square"),
    Case("bias dropped", "square", "", "square"),
    Case("values through float16", "square", "centred", "centred"),
    Case("hidden: noise", "dead", "first/kernel", "first"),
    Case("hidden: noise", "saturated", "first/kernel", "first"),
    Case("hidden: noise", "nan", "first/kernel", "first"),
    *[Case("median weight", script.stem, "kernel|constant", "") for script in SCRIPTS],
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that exports a model once, and returns its script and its file."""
    folder = tmp_path_factory.mktemp("models")
    scripts = {script.stem: script for script in SCRIPTS}

    def export(name: str) -> tuple[Path, Path]:
        script, file = scripts.get(name, folder / f"{name}.py"), folder / f"{name}.onnx"
        if not file.exists():
            if name in MODELS:
                script.write_text(HEAD + MODELS[name])
            assert run_arguments(["export", str(script), "-o", str(file)]) == 0
        return script, file

    return export


def plant(file: File, case: Case) -> Change:
    """Return the first change of the case's kind that its words pick."""
    kind = (KINDS | HIDDEN_KINDS)[case.kind]
    changes = (change for seed in range(20) for change in kind(file, np.random.default_rng(seed)))
    return next(change for change in changes if re.search(case.words, change.text))


def names(cases: list[Case]) -> list[str]:
    return [f"{case.kind}, {case.model}".replace(" ", "-") for case in cases]


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_an_error_is_seen_and_its_layer_named(
    case: Case, exported: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script, path = exported(case.model)
    file = File(onnx.load(path))
    change = plant(file, case)
    onnx.save(changed(file.model, change), tmp_path / "bad.onnx")
    capsys.readouterr()
    assert run_arguments(["verify", str(script), str(tmp_path / "bad.onnx"), "--json"]) == 1
    statements = json.loads(capsys.readouterr().out)["statements"]
    problems = [problem for statement in statements for problem in statement["problems"]]
    layers = [problem["layer"].partition(" (")[0] for problem in problems if problem["layer"]]
    assert layers[0] in change.layers
    assert case.layer in change.layers | {""}


# Of these the model's own inputs show nothing: numbers are fed to the stretches.
FED = [
    Case("relu for relu6", "bounded", "", "bound"),
    Case("clip at 100", "bounded", "last.*ends at 100", "last"),
    Case("values scaled", "saturated", "first", "first"),
]


@pytest.mark.parametrize("case", [*CASES, *FED], ids=names([*CASES, *FED]))
def test_an_error_is_seen_in_a_file_of_another_tool(case: Case, exported: Any, tmp_path: Path) -> None:
    script, path = exported(case.model)
    file = File(onnx.load(path))
    onnx.save(disguise(changed(file.model, plant(file, case)))[0], tmp_path / "bad.onnx")
    assert run_arguments(["verify", str(script), str(tmp_path / "bad.onnx")]) == 1


@pytest.mark.parametrize("model", [*MODELS, "masked_lstm"])
def test_a_right_file_of_another_tool_passes(model: str, exported: Any, tmp_path: Path) -> None:
    script, path = exported(model)
    onnx.save(disguise(onnx.load(path))[0], tmp_path / "good.onnx")
    assert run_arguments(["verify", str(script), str(tmp_path / "good.onnx")]) == 0


def test_a_recurrence_in_another_layout_is_refused(exported: Any, tmp_path: Path) -> None:
    """onnxruntime has no kernel for it, so that there is nothing to compare."""
    script, path = exported("recurrent")
    model = onnx.load(path)
    node = next(node for node in model.graph.node if node.op_type == "LSTM")
    node.attribute.append(helper.make_attribute("layout", 1))
    onnx.save(model, tmp_path / "bad.onnx")
    assert run_arguments(["verify", str(script), str(tmp_path / "bad.onnx")]) != 0
