"""The command line: exit codes, streams, JSON, and that nothing is left behind by a failure."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from kir.cli import _run
from kir.exporters.onnx_file.write import write_graph
from tests.tiers import first_of_each

ROOT = Path(__file__).parent.parent
SCRIPT = """
from kir import Input, Sequential
from kir.layers import Dense, Dropout
model = Sequential([Input(shape=(4,), name="x"), Dense(3, activation="relu"), Dropout(0.5), Dense(2, name="y")])
"""


@dataclass
class Result:
    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def kir(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in a folder that holds SCRIPT as model.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(SCRIPT)

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = _run(list(arguments))
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"__pycache__"}


def test_export_writes_verifies_and_says_what_it_did(kir: Command, tmp_path: Path) -> None:
    result = kir("export", "model.py", "-o", "out.onnx")
    assert result.code == 0, result.err
    assert "out.onnx: 3 nodes" in result.out
    assert "x: f32[batch, 4]" in result.out
    assert "y: f32[batch, 2]" in result.out
    assert result.err == ""
    assert files(tmp_path) == {"model.py", "out.onnx"}
    onnx.checker.check_model("out.onnx", full_check=True)


def test_export_as_json_prints_one_document(kir: Command) -> None:
    document = json.loads(kir("export", "model.py", "-o", "out.onnx", "--json").out)
    assert document["nodes"] == 3
    assert document["verification"]["passed"] is True
    assert document["outputs"] == {"y": "f32[batch, 2]"}


def test_the_same_model_gives_the_same_bytes(kir: Command, tmp_path: Path) -> None:
    kir("export", "model.py", "-o", "a.onnx")
    kir("export", "model.py", "-o", "b.onnx", "--no-verify")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_options_reach_the_file(kir: Command) -> None:
    result = kir(
        "export", "model.py", "-o", "out.onnx", "--opset", "17", "--batch", "3", "--metadata", "author=me", "-O0"
    )
    assert result.code == 0, result.err
    model = onnx.load("out.onnx")
    assert model.opset_import[0].version == 17
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 3
    assert {"author": "me"}.items() <= {p.key: p.value for p in model.metadata_props}.items()


def test_input_shapes_fix_and_name_sizes(kir: Command) -> None:
    assert kir("export", "model.py", "-o", "out.onnx", "--input-shapes", "x:rows,4").code == 0
    assert onnx.load("out.onnx").graph.input[0].type.tensor_type.shape.dim[0].dim_param == "rows"


def test_training_keeps_dropout_behind_a_switch(kir: Command) -> None:
    result = kir("export", "model.py", "-o", "out.onnx", "--training")
    assert result.code == 0, result.err
    model = onnx.load("out.onnx")
    assert [value.name for value in model.graph.input] == ["x", "training_mode"]
    assert "Dropout" in [node.op_type for node in model.graph.node]


def test_print_after_shows_the_graph_on_standard_error(kir: Command) -> None:
    result = kir("export", "model.py", "-o", "out.onnx", "--print-after", "fuse-activations", "--no-verify")
    assert "activation=Relu" in result.err
    assert "activation=Relu" not in result.out
    assert "not verified" in result.out


def test_weights_are_loaded(kir: Command, tmp_path: Path) -> None:
    from kir.importers.script import load_script

    model = load_script(tmp_path / "model.py")
    model.set_weights([np.full(w.shape, 0.5, np.float32) for w in model.weights])
    model.save_weights(tmp_path / "half.npz")
    assert kir("export", "model.py", "-o", "out.onnx", "--weights", "half.npz").code == 0
    kernel = next(t for t in onnx.load("out.onnx").graph.initializer if t.name == "y/kernel")
    assert (onnx.numpy_helper.to_array(kernel) == 0.5).all()


def test_verify_agrees_with_what_export_wrote(kir: Command) -> None:
    kir("export", "model.py", "-o", "out.onnx", "--no-verify")
    result = kir("verify", "model.py", "out.onnx")
    assert result.code == 0, result.out + result.err
    document = json.loads(kir("verify", "model.py", "out.onnx", "--json").out)
    assert document["passed"] is True


def test_verify_finds_a_changed_weight_and_bisect_names_its_layer(kir: Command) -> None:
    kir("export", "model.py", "-o", "out.onnx", "--no-verify")
    model = onnx.load("out.onnx")
    tensor = next(t for t in model.graph.initializer if t.name == "y/kernel")
    changed = onnx.numpy_helper.to_array(tensor) * np.float32(1.01)
    tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))
    onnx.save(model, "out.onnx")
    result = kir("verify", "model.py", "out.onnx", "--bisect")
    assert result.code == 1
    assert "y (Dense)" in result.out
    assert kir("verify", "model.py", "out.onnx", "--json").code == 1


def test_verify_with_own_data(kir: Command) -> None:
    kir("export", "model.py", "-o", "out.onnx", "--no-verify")
    np.savez("in.npz", x=np.ones((5, 4)))
    np.save("in.npy", np.ones((5, 4), np.float32))
    assert kir("run", "out.onnx", "in.npy", "-o", "right.npz").code == 0
    result = kir("verify", "model.py", "out.onnx", "--data", "in.npz", "--expect", "right.npz")
    assert result.code == 0
    assert "5 rows of in.npz" in result.out
    np.save("wrong.npy", np.zeros((5, 2)))
    result = kir("verify", "model.py", "out.onnx", "--data", "in.npz", "--expect", "wrong.npy", "--json")
    assert result.code == 1
    said = next(one for one in json.loads(result.out)["statements"] if one["part"] == "expect")
    assert said["problems"][0]["tensor"] == "y"
    assert kir("export", "model.py", "-o", "b.onnx", "--data", "wrong.npy").code == 2
    assert kir("export", "model.py", "-o", "b.onnx", "--expect", "right.npz").code == 2


def test_a_proof_is_written_and_checked(kir: Command) -> None:
    assert kir("export", "model.py", "-o", "out.onnx", "--proof", "p.npz").code == 0
    result = kir("verify", "out.onnx", "--proof", "p.npz")
    assert result.code == 0
    assert "3 probes of p.npz" in result.out
    Path("out.onnx").write_bytes(Path("out.onnx").read_bytes() + b"\x72\x00")  # an empty metadata entry
    result = kir("verify", "out.onnx", "--proof", "p.npz")
    assert result.code == 1
    assert "has changed since the proof was written" in result.out
    assert kir("verify", "out.onnx", "--proof", "model.py").code == 2
    for arguments, message in (
        (["out.onnx"], "expected MODEL and FILE; received out.onnx"),
        (["model.py", "out.onnx", "--proof", "p.npz"], "expected FILE; received model.py out.onnx"),
        (["out.onnx", "--proof", "p.npz", "--bisect"], "--bisect says something of MODEL"),
    ):
        result = kir("verify", *arguments)
        assert result.code == 2
        assert message in result.err


def test_verify_compares_two_onnx_files(kir: Command) -> None:
    kir("export", "model.py", "-o", "a.onnx", "--no-verify")
    kir("export", "model.py", "-o", "b.onnx", "--no-verify", "-O0", "--opset", "15")
    result = kir("verify", "a.onnx", "b.onnx")
    assert result.code == 0, result.out + result.err


def test_summary_inspect_run_passes_and_ops_print_something(kir: Command, tmp_path: Path) -> None:
    kir("export", "model.py", "-o", "out.onnx", "--no-verify")
    np.save(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    assert "dense (Dense)" in kir("summary", "model.py").out
    assert "Dense(" in kir("summary", "model.py", "--ops").out
    assert "Gemm 2" in kir("inspect", "out.onnx").out
    assert "shape [2, 2]" in kir("run", "out.onnx", "x.npy", "-o", "y.npz").out
    assert np.load(tmp_path / "y.npz")["y"].shape == (2, 2)
    assert "fuse-activations" in kir("passes").out
    assert "InstanceNormalization " in kir("ops").out


def test_inspect_counts_what_is_inside(kir: Command, tmp_path: Path) -> None:
    (tmp_path / "texts.py").write_text(
        "from kir import Input, Sequential\nfrom kir.layers import TextVectorization\n"
        "model = Sequential([Input((), dtype='string'), TextVectorization(vocabulary=['fox'])])\n"
    )
    assert kir("export", "texts.py", "-o", "texts.onnx", "--no-verify").code == 0
    printed = kir("inspect", "texts.onnx").out
    assert "Loop 1" in printed
    assert re.search(r"inside +7: Slice 2, .*StringConcat 1", printed)
    assert "com.microsoft 1" in printed
    assert json.loads(kir("inspect", "texts.onnx", "--json").out)["inner_operators"]["StringConcat"] == 1


def test_inspect_prints_the_first_of_many_layers(kir: Command, tmp_path: Path) -> None:
    layers = "".join(f"layers.Dense(4, name='d{index}', activation='relu'), " for index in range(30))
    text = f"from kir import Sequential, layers\nmodel = Sequential([layers.Input((4,)), {layers}])\n"
    (tmp_path / "deep.py").write_text(text)
    assert kir("export", "deep.py", "-o", "deep.onnx").code == 0
    printed = kir("inspect", "deep.onnx").out
    assert "d19 2 and 10 more" in printed
    assert "d20 2" not in printed
    assert "d29" in kir("inspect", "deep.onnx", "--json").out


# Each in a folder that holds what `kir export model.py -o out.onnx` wrote, and an input.
COMMANDS = [
    ["diff", "model.py", "out.onnx"],
    ["export", "model.py", "-o", "again.onnx"],
    ["inspect", "out.onnx"],
    ["ops"],
    ["passes"],
    ["plot", "model.py", "-o", "page.html"],
    ["run", "out.onnx", "x.npy", "-o", "y.npz"],
    ["summary", "model.py"],
    ["verify", "model.py", "out.onnx"],
]


@pytest.mark.parametrize("command", first_of_each(lambda command: command[0], COMMANDS), ids=lambda command: command[0])
def test_every_command_prints_text_or_one_json_document(kir: Command, tmp_path: Path, command: list[str]) -> None:
    kir("export", "model.py", "-o", "out.onnx", "--no-verify")
    np.save(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    printed, document = kir(*command), kir(*command, "--json")
    assert (printed.code, document.code) == (0, 0), printed.err + document.err
    assert printed.out
    json.loads(document.out)


FAILURES: list[tuple[str, list[str], int, str]] = [
    ("no such script", ["export", "missing.py", "-o", "out.onnx"], 2, "there is no file missing.py"),
    ("another kind of file", ["export", "notes.txt", "-o", "out.onnx"], 2, "expected a script"),
    ("another ending", ["export", "model.py", "-o", "out.txt"], 2, "ends in .onnx"),
    ("no folder", ["export", "model.py", "-o", "no/out.onnx"], 2, "there is no folder"),
    ("a folder as target", ["export", "model.py", "-o", "folder.onnx"], 2, "it is a folder"),
    ("an unknown provider", ["export", "model.py", "-o", "out.onnx", "--provider", "quantum"], 2, "cpu"),
    ("a provider not installed", ["export", "model.py", "-o", "out.onnx", "--provider", "cuda"], 2, "cpu"),
    ("an opset too old", ["export", "model.py", "-o", "out.onnx", "--opset", "9"], 2, "13"),
    ("an unknown pass", ["export", "model.py", "-o", "out.onnx", "--passes", "magic"], 2, "fold-constants"),
    ("an unknown input", ["export", "model.py", "-o", "out.onnx", "--input-shapes", "z:1,4"], 2, "inputs are x"),
    ("another size", ["export", "model.py", "-o", "out.onnx", "--input-shapes", "x:1,5"], 2, "only unknown sizes"),
    ("a negative size", ["export", "model.py", "-o", "out.onnx", "--input-shapes", "x:-1,4"], 2, "received '-1'"),
    ("a size too large", ["export", "model.py", "-o", "out.onnx", "--input-shapes", f"x:{2**63},4"], 2, str(2**63)),
    ("a batch too large", ["export", "model.py", "-o", "out.onnx", "--batch", str(2**63)], 2, str(2**63)),
    ("weights of ONNX", ["verify", "model.onnx", "model.onnx", "--weights", "w.npz"], 2, "--weights is for models of"),
    ("a batch of ONNX", ["verify", "model.onnx", "model.onnx", "--batch", "3"], 2, "--batch is for models of layers"),
    ("a computed size", ["export", "model.py", "-o", "out.onnx", "--input-shapes", "x:a-b,4"], 2, "received 'a-b'"),
    (
        "a shape given twice",
        ["export", "model.py", "-o", "out.onnx", "--input-shapes", "x:1,4", "--input-shapes", "x:2,4"],
        2,
        "the shape of 'x' twice",
    ),
    ("a batch that is fixed", ["export", "fixed.py", "-o", "out.onnx", "--batch", "5"], 2, "their shapes are (3, 4)"),
    ("a negative seed", ["export", "model.py", "-o", "out.onnx", "--seed", "-1"], 2, "x>=0"),
    ("no array", ["run", "model.onnx", "notes.txt"], 2, "notes.txt is no .npy or .npz file"),
    ("bad metadata", ["export", "model.py", "-o", "out.onnx", "--metadata", "author"], 2, "KEY=VALUE"),
    ("missing weights", ["export", "model.py", "-o", "out.onnx", "--weights", "w.npz"], 2, "there is no file w.npz"),
    ("an unknown option", ["export", "model.py", "-o", "out.onnx", "--fast"], 2, "--fast"),
    ("a branching Lambda", ["export", "branch.py", "-o", "out.onnx"], 2, "branch.py"),
    ("a syntax error", ["export", "syntax.py", "-o", "out.onnx"], 2, "syntax.py:2"),
    ("no model", ["export", "empty.py", "-o", "out.onnx"], 2, "no model"),
    ("two models", ["export", "two.py", "-o", "out.onnx"], 2, "2 models"),
    ("no ONNX file", ["inspect", "notes.txt"], 2, "not an ONNX"),
    ("a missing ONNX file", ["run", "missing.onnx"], 2, "missing.onnx"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES])
def test_a_failure_says_what_is_wrong_and_leaves_nothing_behind(
    kir: Command, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "notes.txt").write_text("not a model")
    (tmp_path / "folder.onnx").mkdir()
    head = "from kir import Input, Sequential\nfrom kir.layers import Dense, Lambda\n"
    (tmp_path / "branch.py").write_text(
        f"{head}model = Sequential([Input((3,)), Lambda(lambda x: x if x[0, 0] > 0 else -x)])\n"
    )
    (tmp_path / "fixed.py").write_text(f"{head}model = Sequential([Input((4,), batch_size=3), Dense(2)])\n")
    kir("export", "model.py", "-o", "model.onnx", "--no-verify")
    (tmp_path / "syntax.py").write_text("x = 1\nmodel = = 2\n")
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "two.py").write_text(f"{head}a, b = Sequential([Input((3,))]), Sequential([Input((3,))])\n")
    before = files(tmp_path)
    result = kir(*arguments)
    assert result.code == code, result.out + result.err
    assert message in result.err
    assert "Traceback" not in result.err
    assert result.out == ""
    assert files(tmp_path) == before


def test_a_failure_leaves_the_file_that_was_there(kir: Command, tmp_path: Path) -> None:
    (tmp_path / "out.onnx").write_bytes(b"precious")
    assert kir("export", "model.py", "-o", "out.onnx", "--opset", "9").code == 2
    assert (tmp_path / "out.onnx").read_bytes() == b"precious"


def test_a_mismatch_writes_nothing_and_is_exit_code_1(
    kir: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kir.exporters import pipeline

    def export_wrong(graph: Any, path: Path, **options: Any) -> Any:
        report = write_graph(graph, path, **options)
        model = onnx.load(path)
        tensor = next(t for t in model.graph.initializer if t.name.endswith("kernel"))
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * np.float32(1.1), tensor.name))
        onnx.save(model, path)
        return report

    monkeypatch.setattr(pipeline, "write_graph", export_wrong)
    (tmp_path / "out.onnx").write_bytes(b"precious")
    result = kir("export", "model.py", "-o", "out.onnx", "--bisect")
    assert result.code == 1
    assert "dense (Dense)" in result.err
    assert (tmp_path / "out.onnx").read_bytes() == b"precious"
    assert files(tmp_path) == {"model.py", "out.onnx"}


def test_errors_are_json_too(kir: Command) -> None:
    document = json.loads(kir("export", "missing.py", "-o", "out.onnx", "--json").out)
    assert document["exit_code"] == 2
    assert "missing.py" in document["error"]
    document = json.loads(kir("export", "model.py", "--json").out)
    assert (document["exit_code"], document["error"]) == (2, "Missing option '-o' / '--output'.")


def test_debug_prints_a_traceback(kir: Command) -> None:
    assert "Traceback" in kir("--debug", "export", "missing.py", "-o", "out.onnx").err


def test_a_bug_is_exit_code_4(kir: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from kir.exporters import pipeline

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("impossible")

    monkeypatch.setattr(pipeline, "lower", broken)
    result = kir("export", "model.py", "-o", "out.onnx")
    assert result.code == 4
    assert "bug in kir: impossible" in result.err
    assert "Traceback" in result.err


def test_an_interrupt_is_exit_code_130_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        SCRIPT + "import time, pathlib\npathlib.Path('started').touch()\nfor _ in range(600): time.sleep(0.1)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "kir.cli", "export", "slow.py", "-o", "out.onnx"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        # Those who run the tests may ignore interrupts (nohup), which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert files(tmp_path) == {"slow.py", "started"}


def test_version_and_help(kir: Command) -> None:
    from kir import __version__

    assert __version__ in kir("--version").out
    assert "export" in kir("--help").out
    assert kir("nonsense").code == 2


def test_batch_fixes_a_batch_of_another_name(kir: Command, tmp_path: Path) -> None:
    (tmp_path / "named.py").write_text(
        "from kir import Input, Sequential\nfrom kir.layers import Dense\n"
        "model = Sequential([Input(batch_shape=('rows', 4), name='x'), Dense(2)])\n"
    )
    assert "x: f32[5, 4]" in kir("export", "named.py", "-o", "out.onnx", "--batch", "5").out


def test_a_missing_package_is_no_bug(kir: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "kir.exporters.onnx_file.inspect", raising=False)
    result = kir("inspect", "model.onnx")
    assert result.code == 2
    assert "onnx" in result.err
    assert "install kir with its dependencies" in result.err


LONG = "a" * 300
# How files look that are none, by what is in them.
CONTENTS = {"empty": b"", "text": b"hello", "json": b'{"a": 1}', "list": b"[1, 2", "noise": bytes(range(128, 256)) * 30}
USES = [
    ["summary", "{}"],
    ["summary", "{}", "--ops"],
    ["export", "{}", "-o", "out.onnx"],
    ["export", "{}", "-o", "out.py"],
    ["plot", "{}", "-o", "out.svg"],
    ["verify", "{}", "model.onnx"],
    ["verify", "model.py", "{}"],
    ["diff", "{}", "model.py"],
    ["inspect", "{}"],
    ["run", "{}"],
    ["run", "model.onnx", "{}"],
    ["export", "model.py", "-o", "out.onnx", "--weights", "{}"],
]


@pytest.mark.parametrize("use", USES, ids=" ".join)
def test_whatever_is_no_model_is_an_error_of_the_user(kir: Command, tmp_path: Path, use: list[str]) -> None:
    kir("export", "model.py", "-o", "model.onnx", "--no-verify")
    Path("loop.onnx").symlink_to("loop.onnx")
    names = ["", "-", ".", "/", "~", "no/x.onnx", "model.py/x", "model.py:", "loop.onnx", LONG, os.devnull]
    for ending in (".py", ".onnx", ".keras", ".h5", ".json", ".npz", ".npy"):
        names += [f"missing{ending}", f"{LONG}{ending}", f"folder{ending}"]
        Path(f"folder{ending}").mkdir()
        for content, data in CONTENTS.items():
            Path(f"{content}{ending}").write_bytes(data)
            names.append(f"{content}{ending}")
    before = files(tmp_path)
    for name in names:
        result = kir(*[argument.format(name) for argument in use])
        assert (result.code, "Traceback" in result.err) in [(2, False), (3, False)], (name, result.err)
    assert files(tmp_path) == before


@pytest.mark.skipif(sys.getfilesystemencoding() != "utf-8", reason="Python takes the names of files for ASCII here")
@pytest.mark.parametrize("name", ["my model.py", "a:b.py", "a:b.py:model", "n\nl.py", "ünï.py", "[bold].py", "-x.py"])
def test_a_script_may_have_any_name(kir: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / name.removesuffix(":model")).write_text(SCRIPT)
    for command in (["summary"], ["export", "-o", "-out [x] é.onnx", "--no-verify"], ["plot", "-o", "-out [x] é.svg"]):
        result = kir(*command, "--", name)
        assert result.code == 0, result.err
    assert kir("verify", "--", name, "-out [x] é.onnx").code == 0


def test_a_folder_that_is_gone_is_an_error_of_the_user(kir: Command, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    result = kir("export", "model.py", "-o", "out.onnx")
    assert result.code == 2
    assert "cannot use the current folder" in result.err


HALF = "\ud800"


@pytest.mark.parametrize(
    "text",
    [
        f"Sequential([Input((4,), name={HALF!a}), Dense(2)])",
        f"Sequential([Input((4,)), Dense(2, name={HALF!a})])",
        f"Sequential([Input((4,)), Dense(2, activation='relu', name={HALF!a}), Dense(2)])",
        f"Sequential([Input((4,)), Dense(2)], name={HALF!a})",
        f"Sequential([Input((1,), dtype='string'), StringLookup(vocabulary=[{HALF!a}])])",
    ],
)
def test_half_of_a_character_in_a_name_is_shown_and_not_exported(kir: Command, tmp_path: Path, text: str) -> None:
    head = "from kir import Input, Sequential\nfrom kir.layers import Dense, StringLookup\n"
    (tmp_path / "half.py").write_text(f"{head}model = {text}\n")
    json.loads(kir("summary", "half.py", "--json").out)
    for name in ("half.svg", "half.dot", "half.html", "half.mmd"):
        assert kir("plot", "half.py", "-o", name).code == 0
    before = files(tmp_path)
    for name in ("out.onnx", "out.py"):
        result = kir("export", "half.py", "-o", name)
        assert result.code == 2, result.err
        assert r"\ud800" in result.err
        assert "half of a character" in result.err
    assert files(tmp_path) == before


def test_half_of_a_character_in_a_keras_file(kir: Command, tmp_path: Path) -> None:
    inputs = {"class_name": "InputLayer", "config": {"batch_shape": [None, 4], "name": "x", "dtype": "float32"}}
    dense = {"class_name": "Dense", "config": {"name": HALF, "units": 2}}
    model = {"class_name": "Sequential", "config": {"name": "m", "layers": [inputs, dense]}}
    (tmp_path / "model.json").write_text(json.dumps(model))
    result = kir("export", "model.json", "-o", "out.onnx")
    assert result.code == 2
    assert r"\ud800" in result.err


@pytest.mark.parametrize("option", [("--metadata", "author=\udce9"), ("--input-shapes", "\udce9:1,4")], ids=str)
def test_an_argument_that_is_no_text_is_an_error(kir: Command, option: tuple[str, str]) -> None:
    result = kir("export", "model.py", "-o", "out.onnx", *option)
    assert result.code == 2
    assert "not UTF-8" in result.err


def test_a_path_that_is_no_text_is_an_error_where_onnxruntime_must_open_it(kir: Command) -> None:
    for arguments in (["export", "model.py", "-o", "\udce9.onnx"], ["export", "model.py", "-o", "\udce9.py"]):
        result = kir(*arguments)
        assert result.code == 2, result.err
        assert "not UTF-8" in result.err


def test_names_are_no_markup(kir: Command, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(SCRIPT.replace('"y")])', '"[/y]")], name="[bold]m[/]")'))
    result = kir("summary", "model.py")
    assert result.code == 0, result.err
    assert 'Model: "[bold]m[/]"' in result.out
    assert "[/y]" in result.out
