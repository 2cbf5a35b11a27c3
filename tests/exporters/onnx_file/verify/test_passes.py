"""The graphs before and after the passes are compared: a wrong pass is named with the layer, right ones are not."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir import passes
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.verify.file import verify_file
from kir.importers.script import load_script
from kir.ir.graph import Graph, Node, Value
from kir.ir.structural import Constant, constant
from kir.modeling.lower import lower
from kir.numerics.report import Statement
from kir.ops.convolution import Conv
from kir.ops.elementwise import Add, Clip, Elu, Maximum, Mul, Relu, Sub, Tanh
from kir.ops.linear import Dense, MatMul
from kir.ops.nn import Softmax
from kir.ops.shape import Transpose
from kir.passes.rewrite import Pass, exact_pass, given, rewrite, rule
from tests.passes.building import Build

MODELS = sorted((Path(__file__).parents[4] / "models").glob("*.py"))
GENERATOR = np.random.default_rng(0)


def weight(*shape: int, dtype: Any = np.float32) -> Any:
    return (GENERATOR.standard_normal(shape) / np.sqrt(shape[-1])).astype(dtype)


def model_of(graph: Graph) -> bytes:
    return bytes(to_model_proto(graph).SerializeToString())


def statement_of(reference: Graph, written: Graph) -> Statement:
    report = verify_file(reference, model_of(written), written=written)
    return next(statement for statement in report.statements if statement.part == "passes")


def optimised(reference: Graph) -> Graph:
    written = reference.copy()
    passes.run(written, passes.pipeline())
    return written


# Wrong passes


@rule(Transpose)
def drop(graph: Graph, node: Node) -> Value | None:
    return node.inputs[0] if given(node.inputs[0]).type == node.output.type else None


@rule(Sub)
def swap(graph: Graph, node: Node) -> Value | None:
    a, b = map(given, node.inputs)
    return graph.add(Sub(), b, a, origin=node.origin).output if isinstance(b.node.op, Constant) else None


@rule(Elu)
def merge(graph: Graph, node: Node) -> Value | None:
    others = (other for other in graph.order() if isinstance(other.op, Elu) and other.inputs == node.inputs)
    first = next(others)
    return None if first is node else first.output


@exact_pass
def drop_transposes(graph: Graph) -> int:
    return rewrite(graph, (drop,))


@exact_pass
def swap_operands(graph: Graph) -> int:
    return rewrite(graph, (swap,))


@exact_pass
def merge_activations(graph: Graph) -> int:
    return rewrite(graph, (merge,))


def transposed_square() -> Graph:
    build = Build("f32[6, 6]")
    hidden = build(Tanh(), build(MatMul(), build.inputs[0], weight(6, 6)))
    return build.finish(build(MatMul(), build(Transpose((1, 0)), hidden), weight(6, 4)))


def difference() -> Graph:
    build = Build("f32[batch, 6]")
    return build.finish(build(Tanh(), build(Sub(), build(Tanh(), build.inputs[0]), weight(6))))


def two_activations() -> Graph:
    build = Build("f32[batch, 6]")
    hidden = build(Tanh(), build.inputs[0])
    return build.finish(build(Add(), build(Elu(1.0), hidden), build(Elu(1.1), hidden)))


@pytest.mark.parametrize(
    ("wrong", "build", "layer"),
    [
        (drop_transposes, transposed_square, "layer_4 (MatMul)"),
        (swap_operands, difference, "layer_2 (Sub)"),
        (merge_activations, two_activations, "layer_3 (Elu)"),
    ],
    ids=["drop", "swap", "merge"],
)
def test_a_wrong_pass_is_named(
    monkeypatch: pytest.MonkeyPatch, wrong: Pass, build: Callable[[], Graph], layer: str
) -> None:
    monkeypatch.setattr(passes, "PASSES", (*passes.PASSES[:9], wrong, *passes.PASSES[9:]))
    reference = build()
    statement = statement_of(reference, optimised(reference))
    (problem,) = statement.problems
    assert f"the pass {wrong.name} " in problem.text
    assert (problem.layer, problem.tensor) == (layer, "y0")
    assert problem.error is not None
    assert problem.allowed is not None
    assert problem.error > problem.allowed


def scaled_convolutions() -> Graph:
    build = Build("f32[batch, 3, 8, 8]")
    x = build.inputs[0]
    for channels in (3, 8, 8):
        conv = build(Conv((1, 1), (1, 1), 1, "same"), x, weight(8, channels, 3, 3) / 3)
        x = build(Relu(), build(Mul(), conv, np.abs(weight(8, 1, 1)) + 0.5))
    return build.finish(x)


def test_a_scale_that_is_folded_wrongly_by_a_little_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("kir.passes.fold_affine")  # the package has the pass under this name
    find = module.find_affine

    def find_wrongly(node: Node | None, axis: int | None) -> Any:
        affine = find(node, axis)
        return affine and replace(affine, scale=affine.scale * (1 + 1e-5))

    monkeypatch.setattr(module, "find_affine", find_wrongly)
    reference = scaled_convolutions()
    (problem,) = statement_of(reference, optimised(reference)).problems
    assert "the pass fold-affine " in problem.text
    assert problem.layer == "layer_1 (Conv)"  # which the Mul became a part of


# Wrong passes of which the outputs show nothing


@rule(Clip)
def drop_bound(graph: Graph, node: Node) -> Value | None:
    x, low = map(given, node.inputs[:2])
    return graph.add(Maximum(), x, low, origin=node.origin).output


@rule(Dense)
def scale_kernel(graph: Graph, node: Node) -> Value | None:
    kernel = given(node.inputs[1]).node.op
    if not isinstance(kernel, Constant) or kernel.value.array.max() != 1e9:
        return None
    scaled = graph.add(constant((kernel.value.array * 1.5).astype(np.float32)))
    return graph.add(Dense(), node.inputs[0], scaled.output, origin=node.origin).output


@exact_pass
def drop_bounds(graph: Graph) -> int:
    return rewrite(graph, (drop_bound,))


@exact_pass
def scale_kernels(graph: Graph) -> int:
    return rewrite(graph, (scale_kernel,))


def bounded() -> Graph:
    build = Build("f32[batch, 6]")
    hidden = build(Dense(), build(Tanh(), build.inputs[0]), weight(6, 6) / 3)
    return build.finish(build(Dense(), build(Clip(), hidden, np.float32(0), np.float32(6)), weight(6, 3)))


def saturated() -> Graph:
    build = Build("f32[batch, 6]")
    logits = build(Dense(), build(Tanh(), build.inputs[0]), 1e9 * np.eye(6, 3, dtype=np.float32))
    return build.finish(build(Softmax(1), logits))


@pytest.mark.parametrize(
    ("wrong", "build", "layer"),
    [(drop_bounds, bounded, "layer_3 (Clip)"), (scale_kernels, saturated, "layer_2 (Dense)")],
    ids=["bound", "scale"],
)
def test_a_wrong_pass_is_named_where_the_outputs_hide_it(
    monkeypatch: pytest.MonkeyPatch, wrong: Pass, build: Callable[[], Graph], layer: str
) -> None:
    monkeypatch.setattr(passes, "PASSES", (*passes.PASSES[:9], wrong, *passes.PASSES[9:]))
    reference = build()
    statement = statement_of(reference, optimised(reference))
    (problem,) = statement.problems
    assert problem.text.startswith(f"the pass {wrong.name} changed what it means, on numbers that are fed to it")
    assert problem.layer == layer
    assert problem.tensor
    assert problem.error is not None
    assert problem.allowed is not None
    assert problem.error > problem.allowed


def test_a_graph_that_fails_after_the_passes_is_reported() -> None:
    reference, build = difference(), Build("f32[3, 6]")
    written = build.finish(build(Tanh(), build.inputs[0]))
    report = verify_file(reference, model_of(reference), written=written)
    (problem,) = [problem for part, problem in report.problems if part == "passes"]
    assert problem.text.startswith("the graph after the passes fails on inputs that the model takes: input 'x0'")


# Right passes


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_right_passes_agree(model: Path) -> None:
    reference = lower(load_script(model))
    statement = statement_of(reference, optimised(reference))
    assert statement.passed
    assert (
        "in float64 before and after the passes" in statement.covered or model.stem == "hadamard"
    )  # where nothing changes


@pytest.mark.parametrize("dtype", ["f16", "f32"])
def test_folded_constants_are_rounded_once(dtype: str) -> None:
    build = Build(f"{dtype}[batch, 5]")
    precision = build.inputs[0].type.dtype.numpy
    y = build(Dense(), build.inputs[0], weight(5, 7, dtype=precision))
    reference = build.finish(build(Add(), build(Mul(), y, weight(7, dtype=precision)), weight(7, dtype=precision)))
    statement = statement_of(reference, optimised(reference))
    assert statement.passed
    assert "but for the rounding of 1 constant " in statement.covered


def test_passes_that_change_nothing_need_no_run() -> None:
    reference = difference()
    assert statement_of(reference, reference.copy()).covered == "the passes changed nothing"
