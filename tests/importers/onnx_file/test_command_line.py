"""ONNX files as models of the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from kir.cli import _run
from kir.exporters.pipeline import SourceFile, export_reference
from kir.importers.onnx_file import import_graph
from tests.importers.onnx_file.models import INT64, model, node, value, with_trilu

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def kir(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in a folder that holds given.onnx: a Dense as others write it, with a detour."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    nodes = [
        node("Identity", "x", "same"),
        node("Transpose", "same", "turned", perm=[1, 0]),
        node("Transpose", "turned", "back", perm=[1, 0]),
        node("MatMul", "back k", "product"),
        node("Add", "product b", "sum"),
        node("Relu", "sum", "y"),
    ]
    weights = {
        "k": random.normal(size=(4, 3)).astype(np.float32),
        "b": random.normal(size=3).astype(np.float32),
    }
    given = model(nodes, {"x": ["N", 4]}, constants=weights)
    given.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, ["N", 3]))
    (tmp_path / "given.onnx").write_bytes(given.SerializeToString())

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = _run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def operators(path: str) -> list[str]:
    return [one.op_type for one in onnx.load(path).graph.node]


def test_export_makes_a_file_smaller_and_verifies_both(kir: Command) -> None:
    code, out, err = kir("export", "given.onnx", "-o", "smaller.onnx")
    assert code == 0, err
    assert operators("smaller.onnx") == ["Gemm", "Relu"]
    assert "verified in onnxruntime" in out
    assert "the file that was read computes the same" in out
    assert kir("verify", "given.onnx", "smaller.onnx")[0] == 0


def test_what_was_exported_is_exported_alike(kir: Command, tmp_path: Path) -> None:
    kir("export", "given.onnx", "-o", "a.onnx")
    kir("export", "a.onnx", "-o", "b.onnx", "--no-verify")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_what_a_file_computes_holds_where_it_states_another_rank(kir: Command, tmp_path: Path) -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Max", "s zero", "same"),  # which inference does not see through
        node("Concat", "one same", "sizes", axis=0),
        node("Reshape", "x sizes", "y"),
    ]
    wrong = model(nodes, {"x": ["N", 4]}, constants={"one": np.array([1]), "zero": np.array([0])})
    wrong.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, ["N", "M"]))
    (tmp_path / "wrong.onnx").write_bytes(wrong.SerializeToString())
    with pytest.warns(UserWarning, match=r"'y' is f32\[N, M\], and computes f32\[1, N, 4\], which holds"):
        code, out, err = kir("export", "wrong.onnx", "-o", "out.onnx")
    assert code == 0, err
    assert "output  y: f32[1, N, 4]" in out
    assert "the file that was read computes the same" in out


def test_export_as_json(kir: Command) -> None:
    document: dict[str, Any] = json.loads(kir("export", "given.onnx", "-o", "out.onnx", "--json")[1])
    assert document["source_verification"]["passed"] is True
    assert document["inputs"] == {"x": "f32[N, 4]"}


@pytest.mark.parametrize("option", [("--batch", "2"), ("--input-shapes", "x:2,4")])
def test_sizes_can_be_fixed(kir: Command, option: tuple[str, str]) -> None:
    code, out, err = kir("export", "given.onnx", "-o", "out.onnx", *option)
    assert code == 0, err
    assert "x: f32[2, 4]" in out
    assert "the file that was read" not in out


def test_summary_prints_the_graph(kir: Command) -> None:
    code, out, _ = kir("summary", "given.onnx", "--ops")
    assert code == 0
    assert "%5: f32[N, 3] = Dense(activation=None)(x=%2, kernel=%3, bias=%4)  # sum (Add)" in out
    assert "Dense(activation=Relu)" in kir("summary", "given.onnx", "--ops", "-O2")[1]
    assert json.loads(kir("summary", "given.onnx", "--ops", "--json")[1])["graph"][0] == "graph made"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("summary", "given.onnx"), "given.onnx has no layers"),
        (("summary", "given.onnx", "--ops", "--weights", "w.npz"), "--weights is for models of layers"),
        (("export", "given.onnx", "-o", "out.onnx", "--losses"), "--losses is for models of layers"),
        (("export", "missing.onnx", "-o", "out.onnx"), "there is no file"),
        (("export", "given.onnx", "-o", "out.onnx", "--input-shapes", "z:1"), "there is no input 'z'"),
    ],
)
def test_what_cannot_be_done_is_said(kir: Command, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = kir(*arguments)
    assert code == 2
    assert message in err


def test_everything_unsupported_is_listed(kir: Command, tmp_path: Path) -> None:
    given = model([node("Magic", "x s", "a"), node("NonZero", "a", "y")], {"x": [2]}, constants={"s": [1.0]})
    (tmp_path / "odd.onnx").write_bytes(given.SerializeToString())
    code, _, err = kir("export", "odd.onnx", "-o", "out.onnx", "--strict")
    assert code == 3
    assert "/a/Magic" in err
    assert not (tmp_path / "out.onnx").exists()


def test_a_file_that_was_read_wrong_is_found(kir: Command, tmp_path: Path) -> None:
    """As if the importer had taken another weight: the new file agrees with the graph, the given one does not."""
    from kir.errors import MismatchError

    given = onnx.load("given.onnx")
    graph = import_graph(given)
    bias = next(tensor for tensor in given.graph.initializer if tensor.name == "b")
    bias.raw_data = np.full(3, 9, np.float32).tobytes()
    (tmp_path / "other.onnx").write_bytes(given.SerializeToString())
    with pytest.raises(MismatchError, match=r"something else from .*other\.onnx than kir read in it"):
        export_reference(graph, tmp_path / "out.onnx", source=SourceFile(tmp_path / "other.onnx"))
    assert not (tmp_path / "out.onnx").exists()


def test_unknown_operators_are_carried_through(kir: Command, tmp_path: Path) -> None:
    nodes = [node("Identity", "x", "same"), node("Hardmax", "same", "h"), node("Neg", "h", "y")]
    given = model(nodes, {"x": ["N", 3]}, opset=17)
    given.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, ["N", 3]))
    (tmp_path / "odd.onnx").write_bytes(given.SerializeToString())
    code, out, err = kir("export", "odd.onnx", "-o", "out.onnx", "--strict")
    assert code == 0, err
    assert "2 of 2 operators" in out
    assert operators("out.onnx") == ["Hardmax", "Neg"]
    assert kir("verify", "odd.onnx", "out.onnx")[0] == 0
    assert "Hardmax" in kir("summary", "odd.onnx", "--ops")[1]
    assert kir("plot", "odd.onnx", "-o", "odd.svg")[0] == 0
    assert kir("inspect", "odd.onnx")[0] == 0


def test_carried_operators_are_verified_with_other_sizes(kir: Command, tmp_path: Path) -> None:
    given = model([node("Hardmax", "x", "y")], {"x": ["N", 3]}, opset=17)
    (tmp_path / "odd.onnx").write_bytes(given.SerializeToString())
    code, out, err = kir("export", "odd.onnx", "-o", "out.onnx", "--batch", "2")
    assert code == 0, err
    assert "x: f32[2, 3]" in out


def test_operators_without_a_meaning_are_taken_at_the_word_of_onnxruntime(kir: Command, tmp_path: Path) -> None:
    (tmp_path / "odd.onnx").write_bytes(with_trilu().SerializeToString())
    export = ("export", "odd.onnx", "-o", "out.onnx")
    code, out, err = kir(*export)
    assert code == 0, err
    assert "taken at onnxruntime's word" in out
    assert "com.microsoft.Trilu" in out
    code, out, err = kir(*export, "--strict")
    assert code == 3
    assert "no operator for com.microsoft.Trilu" in err
    assert "without --strict" in err


FILES_WITH_MEANINGS: dict[str, tuple[list[onnx.NodeProto], dict[str, list[int]], dict[str, list[int]]]] = {
    "indices": ([node("ScatterElements", "x i u", "y", axis=1)], {"x": [2, 5], "u": [2, 3]}, {"i": [2, 3]}),
    "labels": ([node("SoftmaxCrossEntropyLoss", "x i", "y")], {"x": [3, 5, 4]}, {"i": [3, 4]}),
    "places": ([node("GridSample", "x g", "y", mode="bicubic")], {"x": [1, 2, 5, 6], "g": [1, 3, 4, 2]}, {}),
    "turns": ([node("DFT", "x", "y", axis=1)], {"x": [1, 6, 2]}, {}),
    "chosen": ([node("NonZero", "x", "i"), node("Transpose", "i", "y")], {"x": [3, 4]}, {}),
    "distinct": ([node("Round", "x", "r"), node("Unique", "r", "y n i c")], {"x": [12]}, {}),
}


@pytest.mark.parametrize("name", FILES_WITH_MEANINGS)
def test_files_with_operators_that_only_have_a_meaning_are_proved(kir: Command, tmp_path: Path, name: str) -> None:
    nodes, floats, integers = FILES_WITH_MEANINGS[name]
    inputs = [value(key, shape) for key, shape in floats.items()]
    inputs += [value(key, shape, INT64) for key, shape in integers.items()]
    (tmp_path / "odd.onnx").write_bytes(model(nodes, inputs).SerializeToString())
    code, out, err = kir("export", "odd.onnx", "-o", "out.onnx")
    assert code == 0, err
    assert "taken at onnxruntime's word" not in out
