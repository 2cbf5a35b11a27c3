"""Exit codes, text and JSON of `kir export` and `kir verify`, for whatever a part of the verification may say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest

from kir.cli import run_arguments
from kir.exporters.onnx_file.verify import file
from kir.numerics.compare import Run
from kir.numerics.report import Finding, Statement

SCRIPT = """
from kir import Input, Sequential
from kir.layers import Dense
model = Sequential([Input((4,), name="x"), Dense(3, name="first"), Dense(2, name="y")])
"""
WRONG = Finding("kernel differs", "first (Dense)", "Dense", "first/kernel", 0.5, 0)
UNSEEN = Finding("no probe reached it", "first (Dense)", "Dense")

PASSING = Statement("passes", "all of it")
FAILING = Statement("passes", "all of it", (WRONG,))
VAGUE = Statement("operators", "most of it", not_shown=(UNSEEN,))
SKIPPED = Statement("passes", not_run="there is nothing to compare with")


@dataclass
class Stub:
    """A part that says what it is told to, or breaks off."""

    says: Statement | None

    def add(self, run: Run) -> None:
        assert run.feeds

    def statement(self) -> Statement:
        if self.says is None:
            raise ZeroDivisionError("an internal error")
        return self.says


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def kir(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command in a folder with model.py and given.onnx, with parts that make these statements."""
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(SCRIPT)
    assert run_arguments(["export", "model.py", "-o", "given.onnx", "--no-verify"]) == 0

    def run(says: list[Statement | None], *arguments: str) -> Result:
        monkeypatch.setattr(file, "parts_of", lambda subject: [Stub(one) for one in says])
        capsys.readouterr()
        code = run_arguments(list(arguments))
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


COMMANDS = {"export": ["export", "model.py", "-o", "new.onnx"], "verify": ["verify", "model.py", "given.onnx"]}
# What the parts say, and the exit code without and with --strict.
CASES: dict[str, tuple[list[Statement | None], int, int]] = {
    "all well": ([PASSING], 0, 0),
    "a part fails": ([FAILING, VAGUE], 1, 1),
    "something is not shown": ([PASSING, VAGUE], 0, 1),
    "a part did not run": ([PASSING, SKIPPED], 0, 1),
    "a part breaks off": ([PASSING, None], 4, 4),
}


@pytest.mark.parametrize("strict", [False, True], ids=["", "strict"])
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("case", CASES)
def test_exit_codes(kir: Callable[..., Result], command: str, case: str, strict: bool) -> None:
    says, loose, tight = CASES[case]
    expected = tight if strict else loose
    for options in ([], ["--json"]):
        result = kir(says, *COMMANDS[command], *(["--strict"] if strict else []), *options)
        assert result.code == expected, result.out + result.err
        assert Path("new.onnx").exists() == (command == "export" and expected == 0)
        if options:
            document = json.loads(result.out)
            report = document if command == "verify" and expected < 2 else document.get("verification")
            assert report is None if expected == 4 else report["passed"] is (expected == 0)
        Path("new.onnx").unlink(missing_ok=True)


def test_a_mismatch_opens_with_the_part_and_the_layer(kir: Callable[..., Result]) -> None:
    result = kir([FAILING], *COMMANDS["export"])
    assert result.err.startswith("error: passes: Dense of layer first (Dense): kernel differs: error 0.5, allowed 0\n")
    assert "--bisect" not in result.err
    document: dict[str, Any] = json.loads(kir([FAILING], *COMMANDS["export"], "--json").out)
    assert (document["kind"], document["exit_code"]) == ("MismatchError", 1)
    statements = {one["part"]: one for one in document["verification"]["statements"]}
    assert statements["passes"]["problems"] == [WRONG.to_json()]


def test_what_is_not_shown_is_a_warning_or_with_strict_an_error(kir: Callable[..., Result]) -> None:
    finding = "operators: Dense of layer first (Dense): no probe reached it"
    assert (
        f"not shown  1 finding (warning; --strict makes it fail)\n  {finding}" in kir([VAGUE], *COMMANDS["verify"]).out
    )
    assert f"  {finding}" in kir([VAGUE], *COMMANDS["export"]).out
    assert kir([VAGUE], *COMMANDS["export"], "--strict").err.startswith(f"error: {finding}\nNOT SHOWN to be right")
    document = json.loads(kir([VAGUE], *COMMANDS["export"], "--strict", "--json").out)
    assert (document["kind"], document["exit_code"]) == ("NotShownError", 1)
    assert document["verification"]["not_shown"] == [{"part": "operators", **UNSEEN.to_json()}]


def test_a_part_that_breaks_off_is_named(kir: Callable[..., Result]) -> None:
    result = kir([None], *COMMANDS["verify"])
    assert "bug in kir: an internal error" in result.err
    assert "in Stub, a part of the verification" in result.err
    document = json.loads(kir([None], *COMMANDS["verify"], "--json").out)
    assert (document["kind"], document["exit_code"]) == ("ZeroDivisionError", 4)
    assert "in Stub, a part" in document["notes"][0]


def test_the_page_has_the_statements(kir: Callable[..., Result]) -> None:
    result = kir([FAILING, SKIPPED], *COMMANDS["verify"], "--report", "page.html")
    assert result.code == 1
    text = Path("page.html").read_text(encoding="utf-8")
    assert "kernel differs" in text
    assert "there is nothing to compare with" in text


def test_strict_holds_for_two_files_and_for_scripts(kir: Callable[..., Result]) -> None:
    assert kir([], "verify", "given.onnx", "given.onnx", "--strict").code == 0
    assert kir([VAGUE], "export", "model.py", "-o", "new.py", "--strict").code == 1
    assert not Path("new.py").exists()
    assert kir([VAGUE], "export", "model.py", "-o", "new.py").code == 0


def test_strict_needs_the_verification(kir: Callable[..., Result]) -> None:
    result = kir([], *COMMANDS["export"], "--strict", "--no-verify")
    assert result.code == 2
    assert "--strict asks for more of the verification, which --no-verify leaves out" in result.err


@pytest.mark.parametrize("command", ["export", "verify"])
def test_help_says_what_strict_does(kir: Callable[..., Result], command: str) -> None:
    assert "--strict" in kir([], command, "--help").out


def test_a_changed_weight_fails_the_command(kir: Callable[..., Result]) -> None:
    model = onnx.load("given.onnx")
    kernel = next(one for one in model.graph.initializer if one.name == "y/kernel")
    kernel.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(kernel) * 2, kernel.name))
    onnx.save(model, "given.onnx")
    result = kir([PASSING], *COMMANDS["verify"])
    assert result.code == 1
    assert "file       FAIL" in result.out
    assert "y/kernel of layer y: element [0, 0] is " in result.out
    assert "outputs    FAIL" in result.out
    assert "--bisect" not in result.out  # the part "file" says where


def test_strict_holds_for_a_proof(kir: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    assert kir([], *COMMANDS["export"], "--proof", "proof.npz").code == 0
    check = ["verify", "new.onnx", "--proof", "proof.npz"]
    assert kir([], *check, "--strict").code == 0
    monkeypatch.setattr("kir.exporters.onnx_file.verify.check_proof._unsettled", lambda proof: [UNSEEN])
    assert kir([], *check).code == 0
    assert kir([], *check, "--strict").code == 1


LOSES_A_MASK = """
from kir import Input, Sequential
from kir.layers import Dense, Flatten, Masking
model = Sequential([Input((3, 4), name="x"), Masking(), Flatten(name="flat"), Dense(2, name="y")])
"""


def test_masks_that_end_are_told_in_the_report(kir: Callable[..., Result]) -> None:
    Path("model.py").write_text(LOSES_A_MASK)
    assert "--on-lost-mask warn" in kir([], "export", "model.py", "-o", "m.onnx").err
    read, note = ["model.py", "--on-lost-mask", "warn"], f"layer flat (Flatten): {file.LOST_MASK}"
    assert f"note       {note}" in kir([], "export", *read, "-o", "m.onnx").out
    assert "a mask ended at flat (Flatten)" in kir([], "export", *read, "-o", "m.onnx", "--no-verify").out
    assert json.loads(kir([], "export", *read, "-o", "m.onnx", "--json").out)["lost_masks"] == ["flat (Flatten)"]
    result = kir([PASSING], "verify", *read, "m.onnx", "--report", "page.html", "--strict")
    assert (result.code, note in result.out, note in Path("page.html").read_text()) == (0, True, True)
    notes = json.loads(kir([], "verify", *read, "m.onnx", "--json").out)["notes"]
    assert [one["layer"] for one in notes if one["text"] == file.LOST_MASK] == ["flat (Flatten)"]


@pytest.mark.parametrize("target", ["new.onnx", "new.py"])
def test_the_file_that_was_read_must_be_shown_too(
    kir: Callable[..., Result], target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    says = {True: VAGUE, False: PASSING}
    monkeypatch.setattr(file, "parts_of", lambda subject: [Stub(says[subject.model == Path("given.onnx")])])
    command = ["export", "given.onnx", "-o", target]
    assert run_arguments(command) == 0
    said = "the file that was read computes the same, in 3 runs, but for what was not shown: operators: Dense of layer"
    assert said in capsys.readouterr().out
    Path(target).unlink()
    assert run_arguments([*command, "--strict"]) == 1
    assert "not all was shown of given.onnx, the file that was read, as --strict asks" in capsys.readouterr().err
    assert not Path(target).exists()
