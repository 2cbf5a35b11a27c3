"""Which gathers between masked recurrent operators are cancelled, and which must stay."""

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper

from kir.importers.onnx_file import import_graph
from kir.ir.graph import Graph, Value
from kir.ir.structural import Output
from kir.ir.types import DType
from kir.ops.elementwise import Add, Cast, Mul, Relu, Sub, Where
from kir.ops.linear import Dense
from kir.ops.nn import Softmax
from kir.ops.recurrent import LSTM, SIGMOID, TANH
from kir.ops.reduce import ReduceSum
from kir.ops.shape import Concat, CumSum, GatherND, Reshape, Slice, TopK, Transpose
from kir.passes import run
from kir.passes.cancel_step_gathers import cancel_step_gathers
from kir.passes.merge_common import merge_common
from tests.benchmarks.planted_errors import exported
from tests.benchmarks.planted_models import Subject
from tests.passes.building import Build

BATCH, TIME, FEATURES = 2, 5, 4
MASK = np.array([[0, 1, 0, 1, 1], [1, 0, 1, 0, 0]], bool)


def f32(*shape: int) -> Any:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


class Steps:
    """Writes what a masked recurrent layer writes."""

    def __init__(self, build: Build, mask: Value) -> None:
        self.build = build
        self.valid = build(Reshape((BATCH, TIME, 1)), mask)
        counted = build(Cast(DType.INT32), self.valid)
        self.order = build(TopK(TIME, 1), counted)[1]
        self.lens = build(ReduceSum((1, 2), False), counted)

    def gather(self, x: Value) -> Value:
        value: Value = self.build(GatherND(1), x, self.order)
        return value

    def spread(self, y: Value, zero_masked: bool = False, before: Any = None) -> Value:
        b = self.build
        counted = b(Cast(DType.INT64), self.valid)
        index = b(CumSum(1), counted)
        if before is not None:
            y = b(Concat(0), before, y)
        else:
            index = b(Mul(), index, counted) if zero_masked else index
            index = b(Sub(), index, np.asarray(1, np.int64))
        value: Value = b(GatherND(1), b(Transpose((1, 0, 2)), y), index)
        return value

    def run(self, x: Value) -> Value:
        """[time, batch, features] from (batch, time, features)."""
        op = LSTM(FEATURES, "forward", (SIGMOID, TANH, TANH))
        weights = f32(1, 16, FEATURES), f32(1, 16, FEATURES), f32(1, 32)
        y = self.build(op, self.build(Transpose((1, 0, 2)), self.gather(x)), *weights, self.lens)[0]
        value: Value = self.build(Reshape((TIME, BATCH, FEATURES)), y)
        return value


def optimize(program: Any) -> Graph:
    """Run the pass; what valid steps read must give equal numbers, so masked steps of the result are zeroed."""
    build = Build(f"f32[{BATCH}, {TIME}, {FEATURES}]", f"bool[{BATCH}, {TIME}]", f"bool[{BATCH}, {TIME}]")
    x, mask, other = build.inputs
    steps = Steps(build, mask)
    graph = build.finish(steps.spread(steps.run(program(build, steps, x, other)), zero_masked=True))
    feeds = {"x0": f32(BATCH, TIME, FEATURES), "x1": MASK, "x2": ~MASK}
    run(graph, [merge_common, cancel_step_gathers], check=True, feeds=feeds)
    return graph


def count_gathers(graph: Graph) -> int:
    return sum(isinstance(node.op, GatherND) for node in graph.order())


def two_layers(between: Any, **options: Any) -> int:
    """How many gathers are left of the four around two layers, with something between them."""
    return count_gathers(
        optimize(lambda b, steps, x, other: between(b, steps, steps.spread(steps.run(x), **options), other))
    )


@pytest.mark.parametrize("options", [{}, {"zero_masked": True}, {"before": f32(1, BATCH, FEATURES)}], ids=str)
def test_1_however_they_were_spread(options: dict[str, Any]) -> None:
    assert two_layers(lambda b, steps, y, other: y, **options) == 2


@pytest.mark.parametrize(
    "between",
    [
        lambda b, steps, y, other: b(Relu(), y),
        lambda b, steps, y, other: b(Add(), b(Mul(), f32(FEATURES), y), f32(1, 1, 1)),
        lambda b, steps, y, other: b(Dense(Relu()), y, f32(4, 4), f32(4)),
        lambda b, steps, y, other: b(Softmax(2), y),
        lambda b, steps, y, other: b(Where(), steps.valid, b(Relu(), y), np.asarray(0, np.float32)),
    ],
)
def test_1_past_what_works_on_each_step_by_itself(between: Any) -> None:
    assert two_layers(between) == 2


@pytest.mark.parametrize(
    "between",
    [
        lambda b, steps, y, other: b(Softmax(1), y),
        lambda b, steps, y, other: b(Add(), y, f32(TIME, 1)),
        lambda b, steps, y, other: b(Mul(), y, y),
        lambda b, steps, y, other: b(CumSum(1), y),
        lambda b, steps, y, other: b(Slice((1,), (TIME - 1,), (-1,), (-1,)), y),
    ],
)
def test_1_not_past_what_mixes_steps(between: Any) -> None:
    assert two_layers(between) == 4


def test_1_not_of_another_mask() -> None:
    def program(b: Build, steps: Steps, x: Value, other: Value) -> Value:
        others = Steps(b, other)
        return others.spread(others.run(x))

    assert count_gathers(optimize(program)) == 4


def test_1_nothing_is_computed_twice() -> None:
    def read_twice(b: Build, y: Value) -> Value:
        b.graph.add(Output("also"), y)
        return y

    assert two_layers(lambda b, steps, y, other: read_twice(b, b(Relu(), y))) == 4
    assert two_layers(lambda b, steps, y, other: read_twice(b, y)) == 3


@pytest.mark.parametrize(
    "zero",
    [
        lambda b, flags, x: b(Mul(), x, b(Cast(DType.FLOAT32), flags)),
        lambda b, flags, x: b(Mul(), b(Cast(DType.FLOAT32), flags), x),
        lambda b, flags, x: b(Where(), flags, x, np.asarray(0, np.float32)),
    ],
)
def test_2_zeroed_steps(zero: Any) -> None:
    def left(graph: Graph) -> int:
        zeroing = [node for node in graph.order() if isinstance(node.op, Mul | Where)]
        return sum(node.output.type.dtype.is_float for node in zeroing)

    assert left(optimize(lambda b, steps, x, other: zero(b, steps.valid, x))) == 0
    assert left(optimize(lambda b, steps, x, other: b(Relu(), zero(b, steps.valid, x)))) == 0
    reshaped = Reshape((BATCH, TIME, 1))
    assert left(optimize(lambda b, steps, x, other: zero(b, b(reshaped, other), x))) == 1


def test_2_not_of_values_at_masked_steps() -> None:
    graph = optimize(lambda b, steps, x, other: b(Where(), steps.valid, np.asarray(0, np.float32), x))
    assert any(isinstance(node.op, Where) for node in graph.order())


def test_1_not_of_another_axis_in_a_file_that_is_wrong() -> None:
    """Another tool turned the input of the first layer the wrong way: its steps are features."""
    file = exported(Subject("masked_lstm"), 0)
    index = next(index for index, node in enumerate(file.nodes) if node.name == "lstm/Transpose")
    turned = ModelProto()
    turned.CopyFrom(file.model)
    turned.graph.node[index].attribute[0].CopyFrom(helper.make_attribute("perm", [2, 0, 1]))
    graph = import_graph(turned)
    before = count_gathers(graph)
    run(graph, [merge_common, cancel_step_gathers])
    assert count_gathers(graph) == before
