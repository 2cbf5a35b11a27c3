"""Where models and graphs say that they were read from, from the importer to the lowered graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from kir import Input, Sequential, __version__
from kir.cli import run_arguments
from kir.exporters.pipeline import ExportOptions, export_model
from kir.importers.cutting import cut_model
from kir.importers.keras_file import load_keras_model
from kir.importers.onnx_file import import_graph
from kir.importers.script import load_script
from kir.ir.graph import Provenance
from kir.layers import Dense
from kir.passes import pipeline

RANDOM = "random, seed 0; give --weights FILE"
SCRIPT = """
{imports}
model = Sequential([Input((3,)), Dense(2, name="first"), Dense(1)])
"""


def test_a_script(tmp_path: Path) -> None:
    script = tmp_path / "model.py"
    script.write_text(SCRIPT.format(imports="from kir import Input, Sequential\nfrom kir.layers import Dense"))
    model = load_script(script)
    assert model.loaded_from == Provenance("script", "", script)
    assert cut_model(model, ["first"]).loaded_from == model.loaded_from
    assert model.to_graph().provenance == replace(model.loaded_from, random_weights=RANDOM)


def test_a_script_that_builds_a_model_of_keras(tmp_path: Path) -> None:
    script = tmp_path / "model.py"
    script.write_text(SCRIPT.format(imports="from keras import Input, Sequential\nfrom keras.layers import Dense"))
    model = load_script(script)
    assert model.loaded_from == Provenance("script", f"Keras {keras.__version__}", script)
    assert model.to_graph().provenance.random_weights == RANDOM


def test_a_file_of_keras(tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(file)
    expected = Provenance("keras file", f"Keras {keras.__version__}", file)
    model = load_keras_model(file)
    assert model.to_graph().provenance == model.loaded_from == expected


def test_what_was_built_and_what_is_written_from_it(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    model = Sequential([Input((3,)), Dense(2)])
    assert model.loaded_from == Provenance()
    result = export_model(model, file, ExportOptions(verify=False))
    random = "random, seed 0; give others with load_weights(FILE)"
    assert result.graph.provenance == Provenance(passes=tuple(p.name for p in pipeline()), random_weights=random)
    assert import_graph(file).provenance == Provenance("onnx file", f"kir {__version__}", file, opset=21)


MIXED = """
{imports}
model = Sequential([Input((3,)), Dense(4, name="first"), Dense(2, name="last", bias_initializer="ones")])
first, last = model.layers[-2:]
"""
BOTH = "[np.ones(w.shape) for w in model.get_weights()]"
# What a script does after that, and what is said of its weights.
SETTING = {
    "nothing": ("", RANDOM),
    "reading": ("copied = model.get_weights(); model.predict(np.ones((1, 3)), verbose=0)", RANDOM),
    "another seed": ("SEED", "random, seed 7; give --weights FILE"),
    "set_weights": (f"model.set_weights({BOTH})", ""),
    "set_weights of what was drawn": ("last.set_weights(last.get_weights())", RANDOM),
    "assigning": ("first.kernel.assign(np.ones((3, 4))); last.kernel.assign(last.kernel + 1)", ""),
    "assigning one": (
        "last.kernel.assign(np.ones((4, 2)))",
        "random (first/kernel, …: 1 of 2), seed 0; give --weights FILE",
    ),
    "load_weights": ("model.load_weights('given.weights.h5')", ""),
    "no random initializers": ("model = Sequential([Input((3,)), Dense(2, kernel_initializer='zeros')])", ""),
}
BY_KIR = "import numpy as np\nfrom kir import Input, Sequential\nfrom kir.layers import Dense"
BY_KERAS = "import numpy as np\nfrom keras import Input, Sequential\nfrom keras.layers import Dense"


@pytest.mark.parametrize("imports", [BY_KIR, BY_KERAS], ids=["kir", "keras"])
@pytest.mark.parametrize("case", SETTING)
def test_what_is_said_of_weights_that_nobody_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, imports: str
) -> None:
    doing, expected = SETTING[case]
    if case == "another seed":
        imports += "\nimport kir; kir.config.set_random_seed(7)"
        doing = ""
    monkeypatch.chdir(tmp_path)
    trained = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="first"), keras.layers.Dense(2, name="last")]
    )
    trained.set_weights([np.ones(weight.shape) for weight in trained.get_weights()])
    trained.save_weights("given.weights.h5")
    script = tmp_path / "model.py"
    script.write_text(MIXED.format(imports=imports) + doing)
    assert load_script(script).to_graph().provenance.random_weights == expected


@pytest.mark.filterwarnings("ignore:.*was not trained")
def test_what_is_said_of_weights_is_printed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script, file = tmp_path / "model.py", str(tmp_path / "model.onnx")
    script.write_text(MIXED.format(imports=BY_KIR))
    commands = (
        ["export", str(script), "-o", file],
        ["export", str(script), "-o", file, "--no-verify"],
        ["export", str(script), "-o", str(tmp_path / "written.py")],
        ["verify", str(script), file],
        ["summary", str(script)],
        ["diff", str(script), file],
    )
    for command in commands:
        assert run_arguments(command) == 0
        assert capsys.readouterr().out.count(RANDOM) == 1, command
        assert run_arguments([*command, "--json"]) == 0
        assert RANDOM in capsys.readouterr().out
    load_script(script).save_weights(tmp_path / "trained.npz")
    for command in (commands[0], commands[3], commands[4]):
        assert run_arguments([*command, "--weights", str(tmp_path / "trained.npz")]) == 0
        assert "random, seed" not in capsys.readouterr().out
    script.write_text(MIXED.format(imports=BY_KIR) + "model.fit(np.ones((1, 3)), np.ones((1, 2)))")
    assert run_arguments(commands[0]) == 0
    assert "random, seed" not in capsys.readouterr().out
