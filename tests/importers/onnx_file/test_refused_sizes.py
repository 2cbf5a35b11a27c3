"""Files that run at few sizes only, and say so only when they run: these sizes are found, for each branch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, helper, numpy_helper

from kir.cli import _run
from tests.importers.onnx_file.models import node, value

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def kir(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = _run(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return run


def branch(name: str, length: int) -> GraphProto:
    """Return a graph that takes rows of one length; a value in it has another rank for a single row."""
    kernel = numpy_helper.from_array(np.ones((2, 1, length), np.float32) / length, f"{name}_w")
    constants = {"one": [1], "last": [2], "first": [0]}
    alone = helper.make_graph(
        [node("Squeeze", f"{name}_s {name}_first", f"{name}_a")], "alone", [], [untyped(f"{name}_a")]
    )
    several = helper.make_graph([node("Identity", f"{name}_s", f"{name}_b")], "several", [], [untyped(f"{name}_b")])
    nodes = [
        node("Unsqueeze", f"x {name}_one", f"{name}_u"),
        node("Conv", f"{name}_u {name}_w", f"{name}_c"),
        node("Squeeze", f"{name}_c {name}_last", f"{name}_s"),
        node("Shape", f"{name}_s", f"{name}_h"),
        node("Gather", f"{name}_h {name}_first", f"{name}_g"),
        node("Equal", f"{name}_g {name}_one", f"{name}_e"),
        node("If", f"{name}_e", f"{name}_r", then_branch=alone, else_branch=several),
        node("ReduceSum", f"{name}_r", f"{name}_y", keepdims=0),
    ]
    made = [numpy_helper.from_array(np.array(given, np.int64), f"{name}_{key}") for key, given in constants.items()]
    return helper.make_graph(nodes, name, [], [untyped(f"{name}_y")], [kernel, *made])


def untyped(name: str) -> onnx.ValueInfoProto:
    return onnx.ValueInfoProto(name=name)


def sampled(high: int, low: int) -> ModelProto:
    """Return a model that takes rows of one length at a rate of 16000, and of another one at other rates."""
    rate = numpy_helper.from_array(np.array(16000, np.int64), "rate")
    nodes = [
        node("Equal", "sr rate", "is_high"),
        node("If", "is_high", "y", then_branch=branch("high", high), else_branch=branch("low", low)),
    ]
    inputs = [value("x", [None, None]), value("sr", [], onnx.TensorProto.INT64)]
    graph = helper.make_graph(nodes, "g", inputs, [value("y", None)], [rate])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(("high", "low", "sizes"), [(384, 384, "x_1 384"), (512, 256, "x_1 256 and 512")])
def test_sizes_that_run_are_found(kir: Command, tmp_path: Path, high: int, low: int, sizes: str) -> None:
    onnx.save(sampled(high, low), "given.onnx")
    code, out, err = kir("export", "given.onnx", "-o", "out.onnx")
    assert code == 0, err
    assert sizes in out
    assert "found by running the file that was read at" in out


def test_a_file_that_runs_at_none_is_refused_with_what_to_do(kir: Command, tmp_path: Path) -> None:
    onnx.save(sampled(777, 777), "given.onnx")
    code, _, err = kir("export", "given.onnx", "-o", "out.onnx")
    assert code == 3, err
    assert "found no inputs that onnxruntime runs given.onnx on" in err
    assert "--input-shapes x:1,512" in err
    assert "--no-verify" in err
    assert not (tmp_path / "out.onnx").exists()
    code, _, err = kir("export", "given.onnx", "-o", "out.onnx", "--input-shapes", "x:1,777")
    assert code == 0, err


def test_sizes_that_do_not_fit_a_branch_are_refused_with_what_to_do(kir: Command, tmp_path: Path) -> None:
    """As types they must fit both branches: onnxruntime would not load the file."""
    onnx.save(sampled(512, 256), "given.onnx")
    code, _, err = kir("export", "given.onnx", "-o", "out.onnx", "--input-shapes", "x:1,512")
    assert code == 3
    assert "leave them unknown" in err
    assert not (tmp_path / "out.onnx").exists()


def test_what_no_sizes_were_found_for_is_said(kir: Command, tmp_path: Path) -> None:
    onnx.save(sampled(777, 512), "given.onnx")
    code, out, err = kir("export", "given.onnx", "-o", "out.onnx")
    assert code == 0, err
    assert "not run, as" in out
    assert kir("export", "given.onnx", "-o", "out.onnx", "--strict")[0] == 3
