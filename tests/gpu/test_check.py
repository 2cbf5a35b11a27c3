"""The checks of tests/gpu on the CPU, which every machine has: they run, and they say what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kir.ir.graph import Graph
from kir.ir.structural import Input, Output
from kir.ir.types import parse_type
from kir.numerics.report import Finding, Statement, VerificationReport
from kir.ops.elementwise import Relu
from kir.ops.recurrent import RNN, TANH
from tests.exporters.onnx_file.graphs import weight
from tests.gpu import check

RUN = Path(__file__).with_name("run.sh")


def test_right_models_pass_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    """The second and the sixth of 14 models and 4 random exports, and so on."""
    assert check.main(["--provider", "cpu", "--exports", "4", "--errors", "0", "--part", "2/4"]) == 0
    assert "5 passed" in capsys.readouterr().out


def report(passed: bool, notes: tuple[Finding, ...] = ()) -> VerificationReport:
    problems = () if passed else (Finding("differs"),)
    return VerificationReport((), 1, "cpu", 0, "", (Statement("operators", "", problems),), notes)


def relu() -> Graph:
    graph = Graph()
    graph.add(Output("y"), graph.add(Relu(), graph.add(Input("x", parse_type("f32[batch, 3]"))).output).output)
    return graph


def masked_recurrence() -> Graph:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[5, batch, 4]"))).output
    lengths = graph.add(Input("lengths", parse_type("i32[batch]"))).output
    kernel = weight(graph, np.full((1, 4, 4), 0.5, np.float32))
    graph.add(Output("y"), graph.add(RNN(4, "forward", (TANH,)), x, kernel, kernel, None, lengths).outputs[0])
    return graph


@pytest.mark.parametrize(
    ("provider", "graph", "reports", "kind"),
    [
        ("cpu", relu(), {"cpu": report(True)}, "passed"),
        ("openvino", relu(), {"openvino": report(True, (Finding("ran on the CPU"),))}, "passed, some nodes on the CPU"),
        ("openvino", relu(), {"openvino": report(False)}, check.FALSE_ALARM),
        ("openvino", masked_recurrence(), {"openvino": report(False)}, "the provider is wrong, as is known"),
        ("cuda", masked_recurrence(), {"cuda": report(False)}, check.FALSE_ALARM),
        ("cuda-tf32", relu(), {"cuda-tf32": report(False), "cuda": report(True)}, "passed without TF32"),
        ("cuda-tf32", relu(), {"cuda-tf32": report(False), "cuda": report(False)}, check.FALSE_ALARM),
    ],
)
def test_what_becomes_of_a_right_model(
    provider: str, graph: Graph, reports: dict[str, VerificationReport], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "verify_file", lambda graph, path, provider, written: reports[provider])
    options = replace(next(check.right_models("cpu", 0)).options, provider=provider)
    assert check.check_right(check.Right("one", graph, options))[0] == kind


@pytest.mark.slow
def test_the_script_runs_on_the_cpu() -> None:
    environment = {**os.environ, "PYTHON": sys.executable, "EXPORTS": "6", "ERRORS": "6"}
    done = subprocess.run(["bash", RUN, "cpu"], env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "all is right with cpu" in done.stdout
    assert "error seen" in done.stdout


@pytest.mark.slow
def test_without_time_left_nothing_is_called_right() -> None:
    environment = {**os.environ, "PYTHON": sys.executable, "SECONDS_IN_ALL": "60"}
    done = subprocess.run(["bash", RUN, "cpu"], env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 1
    assert "too few to check anything" in done.stderr
    assert "all is right" not in done.stdout


@pytest.mark.slow
def test_the_script_says_what_is_wrong() -> None:
    """A provider that does not exist: nothing is verified, and nothing is said to be right."""
    environment = {**os.environ, "PYTHON": sys.executable, "WHEELS": "/nowhere"}
    done = subprocess.run(["bash", RUN, "quantum"], env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode != 0
    assert "unknown provider 'quantum'" in done.stdout
    assert "all is right" not in done.stdout
