"""Probes: errors of many kinds show in numbers alone, and equal seeds give equal probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kir import layers
from kir.ir.graph import Graph, Value
from kir.ir.op import Op
from kir.ir.structural import Constant, Data, Output, constant
from kir.ir.types import DType
from kir.numerics.compare import verify_graphs
from kir.numerics.probes import choose_probes
from kir.ops.elementwise import (
    Add,
    Cast,
    Clip,
    Equal,
    Floor,
    Greater,
    GreaterOrEqual,
    Less,
    Maximum,
    Mul,
    Relu,
    Round,
    Where,
)
from kir.ops.linear import MatMul
from kir.ops.reduce import ReduceMax, ReduceMin
from kir.ops.shape import Gather, Range, Reshape, Slice
from tests.numerics.graphs import graph_of, lowered
from tests.passes.building import Build

Pair = tuple[Graph, Graph]


def rebuilt(graph: Graph, old: type[Op], change: Callable[[Any], Op]) -> Pair:
    """Return a graph, and a copy whose first node of an operator has another operator on the same inputs."""
    wrong = graph.copy()
    node = next(node for node in wrong.order() if isinstance(node.op, old))
    wrong.replace(node.output, wrong.add(change(node.op), *node.inputs).output)
    return graph, wrong


def changed(graph: Graph, label: str, change: Callable[[Any], None]) -> Pair:
    """Return a graph, and a copy with another constant of this label."""
    wrong = graph.copy()
    for node in wrong.order():
        if isinstance(node.op, Constant) and node.op.label == label:
            array = node.op.value.array.copy()
            change(array)
            wrong.replace(node.output, wrong.add(Constant(Data(array), label)).output)
    return graph, wrong


def number(graph: Graph, value: float) -> Value:
    return graph.add(constant(np.float32(value))).output


def both(build: Callable[[Graph, Value, bool], Value], type: str = "f32[batch, 6]") -> Pair:
    """Return two graphs, which a function builds right and wrong."""
    graphs = []
    for is_right in (True, False):
        graph, (x,) = graph_of(type)
        graph.add(Output("y"), build(graph, x, is_right))
        graphs.append(graph)
    return graphs[0], graphs[1]


def dense(graph: Graph, x: Value) -> Value:
    kernel = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32) / 3
    return graph.add(MatMul(), x, graph.add(constant(kernel)).output).output


def six(graph: Graph, x: Value, is_right: bool) -> Value:
    return graph.add(Clip(), x, number(graph, 0), number(graph, 6)).output if is_right else graph.add(Relu(), x).output


def hundred(graph: Graph, x: Value, is_right: bool) -> Value:
    return x if is_right else graph.add(Clip(), x, number(graph, -100), number(graph, 100)).output


def compared(graph: Graph, x: Value, is_right: bool) -> Value:
    op = Greater() if is_right else GreaterOrEqual()
    return graph.add(Cast(DType.FLOAT32), graph.add(op, x, number(graph, 0.3)).output).output


def compared_pixel(graph: Graph, x: Value, is_right: bool) -> Value:
    y = graph.add(Mul(), x, number(graph, 1 / 255)).output
    bound = number(graph, 0.3 if is_right else 0.30002)
    return graph.add(Cast(DType.FLOAT32), graph.add(Greater(), y, bound).output).output


def compared_feature(graph: Graph, x: Value, is_right: bool) -> Value:
    return compared(graph, graph.add(Slice((1,), (4,), (5,), (1,)), x).output, is_right)


def rounded(graph: Graph, x: Value, is_right: bool) -> Value:
    if is_right:
        return graph.add(Round(), x).output
    return graph.add(Floor(), graph.add(Add(), x, number(graph, 0.5)).output).output


def wrong_from(axis: int, place: int) -> Callable[[Graph, Value, bool], Value]:
    """Return what is the same, and wrong by a thousandth from a place on an axis on."""

    def build(graph: Graph, x: Value, is_right: bool) -> Value:
        places = graph.add(Range(0, x.type.shape[axis])).output
        early = graph.add(Less(), places, graph.add(constant(np.int64(place))).output).output
        shape = [1] * x.type.rank
        early = graph.add(Reshape((*shape[:axis], x.type.shape[axis], *shape[axis + 1 :])), early).output
        late = number(graph, 1 if is_right else 1.001)
        return graph.add(Mul(), x, graph.add(Where(), early, number(graph, 1), late).output).output

    return build


def swap_rows(table: Any) -> None:
    table[[0, -1]] = table[[-1, 0]]


def causal(x: Any) -> Any:
    for dilation in (1, 2, 4, 8, 16):
        x = layers.Conv1D(3, 3, dilation_rate=dilation, padding="causal", name=f"conv_{dilation}")(x)
    return x


def far_taps(kernel: Any) -> None:
    kernel[0] += 1


def masking(x: Any) -> Any:
    return layers.GRU(3)(layers.Masking(-1.0)(x))


def masking_together(x: Any, y: Any) -> Any:
    return layers.GRU(3)(layers.Masking()(layers.Concatenate()([x, y])))


def masked_by_the_user(graph: Graph, x: Value, is_right: bool) -> Value:
    """Return whether all steps are masked, or any is."""
    op = ReduceMin((1,), False) if is_right else ReduceMax((1,), False)
    return graph.add(op, graph.add(Cast(DType.INT32), x).output).output


def counted_from_the_end(graph: Graph, x: Value, is_right: bool) -> Value:
    table = graph.add(constant(np.arange(50, dtype=np.float32))).output
    indices = x if is_right else graph.add(Maximum(), x, graph.add(constant(np.int64(0))).output).output
    return graph.add(Gather(0), table, indices).output


def moved_crop(op: Slice) -> Op:
    return Slice(op.axes, (op.starts[0] - 1,), (op.ends[0] - 1,), op.steps)


def looked_up(graph: Graph, x: Value, is_right: bool) -> Value:
    table = np.random.default_rng(0).standard_normal((5000, 2)).astype(np.float32)
    if not is_right:
        swap_rows(table)
    return graph.add(Gather(0), graph.add(constant(table)).output, x).output


def positions(graph: Graph, x: Value, is_right: bool) -> Value:
    table = np.zeros((512, 3), np.float32)
    table[-1] = 0 if is_right else 1e-3
    rows = graph.add(Slice((0,), (0,), (x.type.shape[1],), (1,)), graph.add(constant(table)).output).output
    return graph.add(Add(), x, rows).output


PLANTED: dict[str, Callable[[], Pair]] = {
    "relu for relu6 on the input": lambda: both(six),
    "relu for relu6 after a product": lambda: both(lambda graph, x, is_right: six(graph, dense(graph, x), is_right)),
    "clip at 100": lambda: both(hundred),
    "clip at 100 after a product": lambda: both(lambda graph, x, is_right: hundred(graph, dense(graph, x), is_right)),
    ">= for >": lambda: both(compared),
    "another threshold of a scaled input": lambda: both(compared_pixel),
    ">= for > of one feature": lambda: both(compared_feature),
    ">= for > of a scalar per row": lambda: both(compared, "f32[batch, 1]"),
    "round half up for half even": lambda: both(rounded),
    "wrong from step 40 on": lambda: both(wrong_from(1, 40), "f32[batch, length, 2]"),
    "wrong from batch element 9 on": lambda: both(wrong_from(0, 8)),
    "first and last row of a table": lambda: both(looked_up, "i64[batch, 3]"),
    "the last position": lambda: both(positions, "f32[batch, length, 3]"),
    "masked if any feature is, for all": lambda: rebuilt(
        lowered(masking, (None, 3)),
        ReduceMax,
        lambda op: ReduceMin(op.axes, op.keepdims),
    ),
    "masked if any feature of two inputs is, for all": lambda: rebuilt(
        lowered(masking_together, (None, 2), (None, 1)), ReduceMax, lambda op: ReduceMin(op.axes, op.keepdims)
    ),
    "a mask of the user's, any step for all": lambda: both(masked_by_the_user, "bool[batch, length]"),
    "an index that counts from the end": lambda: both(counted_from_the_end, "i64[batch, 4]"),
    "far taps of a causal convolution": lambda: changed(lowered(causal, (None, 2)), "conv_16/kernel", far_taps),
    "a large crop by one": lambda: rebuilt(lowered(layers.Cropping1D(5000), (None, 4)), Slice, moved_crop),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_errors_show_in_numbers(kind: str) -> None:
    right, wrong = PLANTED[kind]()
    assert verify_graphs(right, right.copy()).passed
    assert not verify_graphs(right, wrong).passed


def test_equal_seeds_give_equal_probes() -> None:
    graph = lowered(masking, (None, 3))
    bytes_of = [
        [array.tobytes() for probe in choose_probes(graph, seed) for array in probe.feeds().values()]
        for seed in (3, 3, 4)
    ]
    assert bytes_of[0] == bytes_of[1]
    assert bytes_of[0] != bytes_of[2]


def test_a_probe_says_what_it_is_for() -> None:
    long, least, large = choose_probes(lowered(causal, (None, 2)), 0)
    assert str(long) == "batch 1, x0_1 67: past the padding of all windows together"
    assert str(least) == "batch 2, x0_1 1: the least sizes"
    assert str(large) == "batch 11, x0_1 11: a batch past 8"
    assert long.batch == "batch"


def test_a_batch_has_rows_for_all_values_that_are_to_be_met() -> None:
    graph = lowered(layers.Discretization([0.5, 1.5, 3.0]), (1,))
    assert [probe.sizes["batch"] for probe in choose_probes(graph, 0)] == [1, 2, 11 + 9]
    graph = lowered(layers.Discretization([float(bound) for bound in range(100)]), (1,))
    assert choose_probes(graph, 0)[-1].sizes["batch"] == 64


def test_an_input_of_one_number_meets_each_that_the_graph_chooses_by() -> None:
    b = Build("i64[]")
    (rate,) = b.inputs
    rates = (8000, 11025, 16000, 22050, 44100)
    graph = b.finish(tuple(b(Equal(), rate, np.asarray(one)) for one in rates))
    probes = choose_probes(graph, 0)
    met = {int(probe.feeds()["x0"]) for probe in probes}
    assert met > set(rates)
    assert len(probes) <= 3 + len(rates)
