"""Files that other tools rewrote: they verify when they are right, and a weight that is slightly off is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, numpy_helper

import kir
from kir.exporters.onnx_file.verify.matched import match_graphs
from kir.ir.graph import Graph, Origin, Value
from kir.ir.op import Array, Op
from kir.ir.structural import Input, Output, constant
from kir.ir.types import parse_type
from kir.ops.elementwise import Abs, Relu
from kir.ops.linear import Dense

MODELS = sorted((Path(__file__).parents[4] / "models").glob("*.py"))
SMALL_CNN = next(path for path in MODELS if path.stem == "small_cnn")


def optimise(level: str) -> Callable[[Path, Path], None]:
    def rewrite(source: Path, target: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        options.optimized_model_filepath = str(target)
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])

    return rewrite


def slim(source: Path, target: Path) -> None:
    onnx.save(pytest.importorskip("onnxslim").slim(str(source)), target)


def simplify(source: Path, target: Path) -> None:
    onnx.save(pytest.importorskip("onnxsim").simplify(onnx.load(source))[0], target)


REWRITERS: dict[str, Callable[[Path, Path], None]] = {
    "basic": optimise("ORT_ENABLE_BASIC"),
    "extended": optimise("ORT_ENABLE_EXTENDED"),
    "onnxslim": slim,
    "onnxsim": simplify,
}


@pytest.mark.parametrize("tool", REWRITERS)
@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_rewritten_files_verify(model: Path, tool: str, tmp_path: Path) -> None:
    kir.export(model, tmp_path / "m.onnx", verify=False, level=0)
    REWRITERS[tool](tmp_path / "m.onnx", tmp_path / "n.onnx")
    report = kir.verify(model, tmp_path / "n.onnx")
    assert report.passed, str(report)


def moved_weights(model: ModelProto) -> Iterator[str]:
    """Move the median element of each larger weight by 1e-5 of itself, one after the other, and yield its name."""
    for stored in model.graph.initializer:
        array = numpy_helper.to_array(stored)
        if array.size < 100 or array.dtype != np.float32:
            continue
        moved, before = array.copy(), stored.SerializeToString()
        moved.flat[np.abs(array).argsort(axis=None)[array.size // 2]] *= np.float32(1 + 1e-5)
        stored.CopyFrom(numpy_helper.from_array(moved, stored.name))
        yield stored.name
        stored.ParseFromString(before)


@pytest.mark.parametrize("tool", ["basic", "onnxslim"])
def test_a_weight_that_is_slightly_off_is_seen_in_a_rewritten_file(tool: str, tmp_path: Path) -> None:
    kir.export(SMALL_CNN, tmp_path / "m.onnx", verify=False, level=0)
    REWRITERS[tool](tmp_path / "m.onnx", tmp_path / "n.onnx")
    model = onnx.load(tmp_path / "n.onnx")
    names = []
    for name in moved_weights(model):
        onnx.save(model, tmp_path / "n.onnx")
        report = kir.verify(SMALL_CNN, tmp_path / "n.onnx")
        (problem,) = (problem for part, problem in report.problems if part == "file")
        assert problem.tensor == name
        assert problem.layer in ("conv2d", "conv2d_1", "digit")
        names.append(name)
    assert len(names) == 3


def graph_of(kernel: Array, *ops: Op) -> Graph:
    graph = Graph("dense")
    x = graph.add(Input("x", parse_type(f"f32[batch, {len(kernel)}]"))).output
    values: list[Value] = [graph.add(constant(kernel, "dense/kernel")).output]
    x = graph.add(Dense(), x, *values, origin=Origin("dense", "Dense")).output
    for op in ops:
        x = graph.add(op, x, origin=Origin("activation", "Activation")).output
    graph.add(Output("y"), x)
    return graph


KERNEL = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)


def test_a_kernel_that_was_computed_otherwise_is_not_shown() -> None:
    folded = (KERNEL.astype(np.float64) * (1 + 2**-22)).astype(np.float32)
    statement = match_graphs(graph_of(KERNEL), graph_of(folded), False)
    assert statement.passed
    (finding,) = statement.not_shown
    assert "elements differ, by up to" in str(finding)
    assert "1 of 1 operators and 0 of 1 weights are those of the model" in statement.covered


def test_a_sum_that_cancels_out_is_no_damage() -> None:
    other = -KERNEL * np.random.default_rng(1).normal(1, 0.1, KERNEL.shape).astype(np.float32)
    moved = np.nextafter(other, np.float32(9))
    statement = match_graphs(graph_of(KERNEL + other), graph_of(KERNEL + moved), False)
    assert statement.passed


def test_a_few_elements_that_differ_are_damage() -> None:
    damaged = KERNEL.copy()
    damaged[3, 4] *= np.float32(1 + 1e-5)
    (problem,) = match_graphs(graph_of(KERNEL), graph_of(damaged), False).problems
    assert str(problem).startswith(
        "dense/kernel of layer dense: 1 of 2,000 elements differ by more than rounding, by up"
    )


def test_other_operators_are_not_shown() -> None:
    statement = match_graphs(graph_of(KERNEL, Relu()), graph_of(KERNEL, Abs()), False)
    assert statement.passed
    assert "Abs" in str(statement.not_shown)
    assert {finding.layer for finding in statement.not_shown} <= {"activation", "dense"}


def test_the_page_of_a_rewritten_file_shows_the_graph_that_was_read(tmp_path: Path) -> None:
    kir.export(SMALL_CNN, tmp_path / "m.onnx", verify=False, level=0)
    REWRITERS["basic"](tmp_path / "m.onnx", tmp_path / "n.onnx")
    report = kir.verify(SMALL_CNN, tmp_path / "n.onnx", report=tmp_path / "page.html")
    assert report.passed
    assert "conv2d" in (tmp_path / "page.html").read_text(encoding="utf-8")


# Two files


def test_two_files_are_compared_as_graphs(tmp_path: Path) -> None:
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    kir.export(SMALL_CNN, first, verify=False, level=0)
    REWRITERS["basic"](first, second)
    report = kir.verify(first, second)
    assert report.passed, str(report)
    assert {statement.part for statement in report.statements} >= {"file", "passes", "outputs"}
    assert "are those of the first file" in report.statements[0].covered
    model = onnx.load(second)
    next(moved_weights(model))
    onnx.save(model, second)
    assert not kir.verify(first, second).passed


def test_files_that_onnxruntime_fused_are_compared(tmp_path: Path) -> None:
    model = next(path for path in MODELS if path.stem == "mnist_mlp")
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    kir.export(model, first, verify=False, level=0)
    REWRITERS["extended"](first, second)
    report = kir.verify(first, second)
    assert report.passed
    statements = {statement.part: statement for statement in report.statements}
    assert statements["operators"].verdict == "pass"
    assert statements["outputs"].verdict == "pass"
