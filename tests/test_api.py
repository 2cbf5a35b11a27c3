"""The functions of the package: what they take, and how their results show."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest

import kir
from kir.errors import FormatError, InvalidArgumentError, UsageError
from kir.exporters.pipeline import ExportResult
from kir.exporters.script import ScriptReport
from kir.ir.graph import Graph, Provenance
from kir.ir.structural import Input, Output
from kir.ir.types import parse_type
from kir.layers import Dense
from kir.modeling.summary import Summary
from kir.ops.elementwise import Neg

SCRIPT = """
from kir import Input, Sequential
from kir.layers import Dense
model = Sequential([Input((3,), name="x"), Dense(4, activation="relu", name="first"), Dense(2, name="y")])
"""
FUNCTIONS = ("load", "export", "verify", "summary", "plot", "diff")


def keras_model(name: str = "net") -> keras.Model:
    x = keras.Input((3,), name="x")
    first = keras.layers.Dense(4, "relu", name="first")(x)
    return keras.Model(x, keras.layers.Dense(2, name="y")(first), name=name)


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, object]:
    """One model in each form that `kir.load` takes, all with the same signature."""
    (tmp_path / "model.py").write_text(SCRIPT)
    model = keras_model()
    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "model.h5")
    (tmp_path / "model.json").write_text(model.to_json())
    model.save_weights(tmp_path / "model.weights.h5")
    own = kir.load(tmp_path / "model.py")
    assert isinstance(own, kir.Model)
    kir.export(own, tmp_path / "model.onnx", verify=False)
    paths = {name: tmp_path / f"model.{name}" for name in ("py", "keras", "h5", "onnx")}
    return {**paths, "named": f"{tmp_path / 'model.py'}:model", "live": model, "model": own, "graph": own.to_graph()}


NAMES = ("py", "named", "keras", "h5", "onnx", "live", "model", "graph")


@pytest.mark.parametrize("name", NAMES)
def test_everything_can_be_loaded_and_exported(sources: dict[str, object], tmp_path: Path, name: str) -> None:
    loaded = kir.load(sources[name])  # type: ignore[arg-type]
    assert isinstance(loaded, kir.Graph if name in ("onnx", "graph") else kir.Model)
    result = kir.export(sources[name], tmp_path / "out.onnx")  # type: ignore[arg-type]
    assert isinstance(result, ExportResult)
    assert result.verification is not None
    assert result.verification.passed
    assert [entry.name for entry in onnx.load(tmp_path / "out.onnx").graph.input] == ["x"]


@pytest.mark.parametrize("name", NAMES)
def test_everything_can_be_verified_and_compared(sources: dict[str, object], tmp_path: Path, name: str) -> None:
    source = sources[name]
    kir.export(source, tmp_path / "out.onnx", verify=False)  # type: ignore[arg-type]
    assert kir.verify(source, tmp_path / "out.onnx").passed  # type: ignore[arg-type]
    assert kir.diff(source, tmp_path / "out.onnx", level=2).same  # type: ignore[arg-type]


def test_a_live_model_of_keras_computes_the_same() -> None:
    model = keras_model()
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    loaded = kir.load(model)
    assert isinstance(loaded, kir.Model)
    np.testing.assert_allclose(loaded.predict(x), model.predict(x, verbose=0), rtol=1e-5)
    assert loaded.loaded_from == Provenance("keras model", f"Keras {keras.__version__}")


def test_the_lambda_of_a_live_model_is_traced() -> None:
    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Lambda(lambda t: keras.ops.relu(t) + scaled(t))(x))
    loaded = kir.load(model)
    data = np.array([[-1.0, 0.5, 2.0]], np.float32)
    assert isinstance(loaded, kir.Model)
    np.testing.assert_allclose(loaded.predict(data), model.predict(data, verbose=0), rtol=1e-6)


def scaled(x: object) -> object:
    return keras.ops.multiply(x, 2.0)


def test_weights_outputs_and_shapes_are_keywords(sources: dict[str, object], tmp_path: Path) -> None:
    loaded = kir.load(tmp_path / "model.json", weights=tmp_path / "model.weights.h5", outputs=["first"])
    assert isinstance(loaded, kir.Model)
    assert [str(x.shape) for x in loaded.outputs] == ["(None, 4)"]
    result = kir.export(loaded, tmp_path / "out.onnx", batch=5, verify=False)
    assert isinstance(result, ExportResult)
    assert [str(node.output.type) for node in result.graph.inputs] == ["f32[5, 3]"]
    result = kir.export(loaded, tmp_path / "out.onnx", input_shapes={"x": ("rows", 3)}, verify=False)
    assert isinstance(result, ExportResult)
    assert [str(node.output.type) for node in result.graph.inputs] == ["f32[rows, 3]"]


def test_the_method_of_a_model_takes_all_options(tmp_path: Path) -> None:
    model = kir.Sequential([kir.Input((3,), name="x"), kir.layers.Dense(2, name="y")])
    x, proof = np.ones((4, 3), np.float32), tmp_path / "m.proof.npz"
    asked: dict[str, Any] = {
        "expect": {"y": np.asarray(model.predict(x))},
        "against": "keras",
        "strict": True,
        "proof": proof,
    }
    result = model.export(tmp_path / "m.onnx", data=x, **asked, opset_version=18)
    said = {one.part: one.verdict for one in result.verification.statements}
    assert said.items() >= {"data": "pass", "keras": "pass", "proof": "pass"}.items()
    assert (result.file.opset, result.verification.strict) == (18, True)
    assert kir.check_proof(tmp_path / "m.onnx", proof).passed
    assert isinstance(model.export(tmp_path / "m.py"), ScriptReport)
    with pytest.raises(InvalidArgumentError, match="--against expects keras; received 'torch'"):
        model.export(tmp_path / "m.onnx", against="torch")


def test_a_script_is_exported_by_its_name(sources: dict[str, object], tmp_path: Path) -> None:
    report = kir.export(tmp_path / "model.keras", tmp_path / "written.py")
    assert isinstance(report, ScriptReport)
    assert report.same_bytes
    assert "the script was run" in str(report)


def test_a_graph_that_is_given_stays_as_it_is(sources: dict[str, object], tmp_path: Path) -> None:
    graph = sources["graph"]
    before = str(graph)
    kir.export(graph, tmp_path / "out.onnx", verify=False)  # type: ignore[arg-type]
    kir.summary(graph, ops=True, level=2)  # type: ignore[arg-type]
    assert str(graph) == before


REFUSED = [
    (lambda folder: kir.load(3), InvalidArgumentError, "cannot load 3; expected a script"),  # type: ignore[arg-type]
    (lambda folder: kir.load(folder / "missing.keras"), FormatError, "there is no file"),
    (lambda folder: kir.load(folder / "model.onnx", weights="w.npz"), UsageError, "--weights is for models of layers"),
    (lambda folder: kir.load(folder / "model.py", custom_objects={"f": abs}), InvalidArgumentError, "--custom-objects"),
    (lambda folder: kir.load(Graph(), outputs=["a"]), UsageError, "--outputs is for what is read"),
    (lambda folder: kir.export(Graph(), folder / "out.onnx", batch=2), UsageError, "--batch is for what is read"),
    (
        lambda folder: kir.load(folder / "model.onnx", input_shapes={"x": (-1,)}),
        InvalidArgumentError,
        "received '-1'",
    ),
    (lambda folder: kir.export(folder / "model.py", folder / "out.txt"), InvalidArgumentError, "ends in .onnx or .py"),
    (lambda folder: kir.export(folder / "model.py", folder / "out.py", level=1), UsageError, "-O is for ONNX files"),
    (lambda folder: kir.export(folder / "model.py", folder / "model.py"), UsageError, "the script that would be read"),
    (lambda folder: kir.summary(folder / "model.onnx"), UsageError, "has no layers"),
    (lambda folder: kir.verify(folder / "model.onnx", "b.onnx", bisect=True), UsageError, "--bisect is for models"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_what_does_not_go_together_is_refused(sources, tmp_path, call, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        call(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shapes": {"x": [None, 3]}}, "received 'None' in 'x:None,3'"),
        ({"input_shapes": {"x": "ab"}}, r"must map names of inputs to lists of sizes; received \{'x': 'ab'\}"),
        ({"input_shapes": {"x": 3}}, "must map names of inputs to lists of sizes"),
        ({"input_shapes": "x:2,3"}, "must map names of inputs to lists of sizes; received 'x:2,3'"),
        ({"batch": 0}, "batch must be an integer of at least 1; received 0"),
        ({"batch": "n"}, "batch must be an integer of at least 1; received 'n'"),
        ({"outputs": "first"}, "outputs must be a list of names of layers; received 'first'"),
    ],
)
def test_options_of_other_types_are_refused(sources, options, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidArgumentError, match=message):
        kir.load(sources["py"], **options)


def test_results_show_in_a_line_and_in_notebooks(sources: dict[str, object], tmp_path: Path) -> None:
    result = kir.export(tmp_path / "model.py", tmp_path / "out.onnx")
    report = kir.verify(tmp_path / "model.py", tmp_path / "out.onnx")
    summary = kir.summary(tmp_path / "model.py")
    comparison = kir.diff(tmp_path / "model.py", tmp_path / "model.keras")
    assert isinstance(summary, Summary)
    script = kir.export(tmp_path / "model.py", tmp_path / "written.py", verify=False)
    for shown in (result, report, summary, script, comparison, sources["graph"], sources["model"]):
        assert len(repr(shown)) < 300
        assert "\n" not in repr(shown)
        assert "<" in shown._repr_html_()  # type: ignore[attr-defined]
    assert repr(comparison) == "<Comparison: differs in weights, numbers>"
    assert repr(report).startswith("<VerificationReport passed: 3 runs in cpu, worst 'y' with ")
    assert repr(sources["graph"]) == "<Graph 'sequential': 9 nodes, 1 input, 1 output>"
    assert "first (Dense)" in str(summary)


def test_names_of_files_are_escaped_in_notebooks(tmp_path: Path) -> None:
    model = kir.Sequential([kir.Input((3,), name="<script>x</script>"), Dense(2)])
    result = kir.export(model, tmp_path / "out.onnx", verify=False)
    assert "&lt;script&gt;x" in result._repr_html_()
    assert "<script>" not in result._repr_html_()


def test_huge_graphs_show_as_a_line_in_notebooks() -> None:
    graph = Graph("huge")
    value = graph.add(Input("x", parse_type("f32[batch, 4]"))).output
    for _ in range(10_000):
        value = graph.add(Neg(), value).output
    graph.add(Output("y"), value)
    assert "10002 nodes, 1 input, 1 output&gt; is too large to draw here" in graph._repr_html_()
    assert graph._repr_svg_() is None


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_option_is_a_documented_keyword(name: str) -> None:
    function = getattr(kir, name)
    parameters = inspect.signature(function).parameters.values()
    assert all(one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY) for one in parameters)
    described = inspect.getdoc(function) or ""
    listed = {word.strip() for line in described.splitlines() for word in line.partition(":")[0].split(",")}
    assert {one.name for one in parameters} <= listed
    assert not [one.name for one in parameters if one.annotation in ("Any", inspect.Parameter.empty)]


def test_dir_shows_the_public_names_alone() -> None:
    program = "import kir, kir.ir.graph; kir.layers, kir.Model; print(*dir(kir))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == sorted(kir.__all__)
