"""`kir export MODEL -o model.py`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kir.cli import _run

Command = Callable[..., tuple[int, str, str]]

SCRIPT = """
from kir import Input, Sequential
from kir.layers import Dense, Dropout
model = Sequential([Input((4,), name="x"), Dense(3, activation="relu"), Dropout(0.5), Dense(2, name="y")], name="m")
"""


@pytest.fixture
def kir(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in a folder that holds SCRIPT as model.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(SCRIPT)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = _run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_there_and_back_gives_the_same_bytes(kir: Command, tmp_path: Path) -> None:
    for source, output in (("model.py", "a.onnx"), ("a.onnx", "b.py"), ("b.py", "c.onnx"), ("model.py", "d.py")):
        code, out, err = kir("export", source, "-o", output)
        assert code == 0, err
        assert "verified" in out
    assert "exports to the same ONNX file, byte for byte" in out
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "c.onnx").read_bytes()
    assert "Dropout" not in (tmp_path / "b.py").read_text()
    assert "Dropout" in (tmp_path / "d.py").read_text()


def test_one_json_document(kir: Command) -> None:
    code, out, _ = kir("export", "model.py", "-o", "d.py", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["file"] == "d.py"
    assert re.fullmatch(r"d\.[0-9a-f]{16}\.safetensors", document["weights"])
    assert document["same_onnx_bytes"] is True
    assert document["verification"]["passed"] is True


def test_unverified(kir: Command, tmp_path: Path) -> None:
    code, out, _ = kir("export", "model.py", "-o", "d.py", "--no-verify")
    assert code == 0
    assert "not verified" in out
    assert len(list(tmp_path.glob("d.*.safetensors"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--opset", "13"], "--opset is for ONNX files"),
        (["-O", "0", "--training"], "--training, -O is for ONNX files"),
        (["--metadata", "a=b"], "--metadata is for ONNX files"),
        (["--bisect"], "--bisect is for ONNX files"),
        (["--external-data", "yes"], "--external-data is for ONNX files"),
        (["--batch", "2"], "--batch and --input-shapes are for ONNX files"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    kir: Command, arguments: list[str], message: str, tmp_path: Path
) -> None:
    code, _, err = kir("export", "model.py", "-o", "d.py", *arguments)
    assert code == 2
    assert message in err
    assert not (tmp_path / "d.py").exists()


def test_the_script_that_is_read_is_not_overwritten(kir: Command, tmp_path: Path) -> None:
    code, _, err = kir("export", "model.py:model", "-o", "./model.py")
    assert code == 2
    assert "is the script that would be read" in err
    assert (tmp_path / "model.py").read_text() == SCRIPT
