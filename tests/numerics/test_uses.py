"""The uses of an input: which of its values matter, carried back through what moves and scales them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kir import layers
from kir.ir.dims import symbol
from kir.ir.graph import Graph, Origin, Value
from kir.ir.op import Op
from kir.ir.structural import Output, constant
from kir.ir.types import DType, parse_type
from kir.numerics.uses import MAX_EDGES, MAX_TRIPS, InputUse, find_use
from kir.ops.control import Loop
from kir.ops.elementwise import (
    Add,
    Cast,
    Clip,
    Div,
    Equal,
    Floor,
    Greater,
    HardSigmoid,
    Less,
    LessOrEqual,
    Maximum,
    Mod,
    Mul,
    Neg,
    Pow,
    Relu,
    Round,
    Shrink,
    Sub,
    ThresholdedRelu,
)
from kir.ops.lookup import Lookup
from kir.ops.shape import Gather, OneHot, Reshape
from kir.ops.text import JoinTexts, LowerCase, SplitText
from tests.numerics.graphs import graph_of, lowered
from tests.passes.bodies import LOOP, body, if_
from tests.passes.building import Build


def use_of(build: Callable[[Graph, Value], Value], type: str = "f32[batch, 4]") -> InputUse:
    graph, (x,) = graph_of(type)
    graph.add(Output("y"), build(graph, x))
    return find_use(graph, x.node)


def number(graph: Graph, value: float, dtype: Any = np.float32) -> Value:
    return graph.add(constant(np.asarray(value, dtype))).output


def with_constants(op: Op, *values: float) -> Callable[[Graph, Value], Value]:
    return lambda graph, x: graph.add(op, x, *(number(graph, value) for value in values)).outputs[0]


@pytest.mark.parametrize(
    ("build", "edges"),
    [
        (with_constants(Greater(), 0.5), {0.5}),
        (lambda graph, x: graph.add(LessOrEqual(), number(graph, 7), x).output, {7}),
        (with_constants(Equal(), -1), {-1}),
        (with_constants(Clip(), 0, 6), {0, 6}),
        (with_constants(Maximum(), 2), {2}),
        (with_constants(Mod(True), 4), {-4, 0, 2, 4}),
        (with_constants(Relu()), {0}),
        (with_constants(ThresholdedRelu(1.5)), {1.5}),
        (with_constants(Shrink(0.1, 0.75)), {-0.75, 0.75}),
        (with_constants(HardSigmoid(0.25, 0.5)), {-2, 2}),
        (with_constants(Round()), {-2.5, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2.5}),
        (with_constants(Cast(DType.INT32)), {-2.5, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2.5}),
    ],
)
def test_values_where_something_happens(build: Callable[[Graph, Value], Value], edges: set[float]) -> None:
    assert set(use_of(build).edges) == edges


def test_an_edge_further_on_is_carried_back() -> None:
    def scaled(graph: Graph, x: Value) -> Value:
        y = graph.add(Sub(), graph.add(Div(), x, number(graph, 127.5)).output, number(graph, 1)).output
        y = graph.add(Neg(), graph.add(Mul(), y, number(graph, 2)).output).output
        return graph.add(Greater(), y, number(graph, 1)).output

    assert use_of(scaled).edges == []
    assert use_of(scaled).scaled_edges == [pytest.approx(63.75)]


def test_edges_after_a_clip_count_too() -> None:
    def floored(graph: Graph, x: Value) -> Value:
        return graph.add(Greater(), graph.add(Floor(), x).output, number(graph, 40)).output

    assert 40 in use_of(floored).edges


def test_all_boundaries_of_a_discretization_are_edges() -> None:
    graph = lowered(layers.Discretization([0.5, 1.5, 30.0]), (4,))
    assert {0.5, 1.5, 30.0} <= set(find_use(graph, graph.inputs[0]).edges)


def test_of_a_large_constant_a_part_is_met() -> None:
    def compared(graph: Graph, x: Value) -> Value:
        bounds = graph.add(constant(np.arange(100_000, dtype=np.float32))).output
        return graph.add(Greater(), graph.add(Reshape((*x.type.shape, 1)), x).output, bounds).output

    edges = use_of(compared).edges
    assert 200 < len(edges) <= MAX_EDGES
    assert 0 in edges


@pytest.mark.parametrize(
    ("build", "scales"),
    [
        (lambda x: layers.Dense(2)(layers.Rescaling(1 / 255)(x)), [(1 / 255, 0)]),
        (lambda x: layers.Dense(2)(layers.Rescaling(1 / 127.5, offset=-1)(x)), [(1 / 127.5, -1)]),
        (
            lambda x: layers.Dense(2)(layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 4.0])(x)),
            [(0.5, -0.5), (0.5, -1)],
        ),
        (lambda x: layers.Dense(2)(x), [(1, 0)]),
    ],
    ids=["rescaled", "rescaled and shifted", "normalized", "as it is"],
)
def test_how_an_input_is_scaled(build: Callable[[Any], Any], scales: list[tuple[float, float]]) -> None:
    graph = lowered(build, (2,))
    assert find_use(graph, graph.inputs[0]).scales == [pytest.approx(scale, rel=1e-6) for scale in scales]


@pytest.mark.parametrize("dtype", ["i32", "i64", "u8", "f32"])
@pytest.mark.parametrize("target", ["Gather", "OneHot"])
def test_indices_are_found_after_cast_and_reshape(dtype: str, target: str) -> None:
    def build(graph: Graph, x: Value) -> Value:
        moved = graph.add(Reshape((*x.type.shape, 1)), graph.add(Cast(DType.INT64), x).output).output
        if target == "Gather":
            return graph.add(Gather(0), graph.add(constant(np.zeros((4, 2), np.float32))).output, moved).output
        return graph.add(OneHot(4, 3), moved, graph.add(constant(np.array([0.0, 1.0]))).output).output

    use = use_of(build, f"{dtype}[batch, 50]")
    assert use.indexed == [(0, 4)]
    assert use.counts_from_end == (target == "Gather")


def test_shifted_indices_are_shifted_back() -> None:
    def build(graph: Graph, x: Value) -> Value:
        table = graph.add(constant(np.zeros((4, 2), np.float32))).output
        return graph.add(Gather(0), table, graph.add(Sub(), x, number(graph, 3, np.int64)).output).output

    assert use_of(build, "i64[batch, 5]").indexed == [(3, 7)]


def test_an_embedding_takes_no_negative_indices() -> None:
    graph, (x,) = graph_of("i32[batch, 5]")
    table = graph.add(constant(np.zeros((4, 2), np.float32))).output
    graph.add(Output("y"), graph.add(Gather(0), table, x, origin=Origin("words", "Embedding")).output)
    assert not find_use(graph, x.node).counts_from_end


def test_keys_masks_and_divisors() -> None:
    graph = lowered(lambda x: layers.LSTM(2)(layers.Masking(-1.0)(x)), (None, 3))
    assert find_use(graph, graph.inputs[0]).compared == [-1.0]
    assert use_of(lambda graph, x: graph.add(Lookup((3, 5), (0, 1), 2), x).output, "i64[batch]").keys == [3, 5]
    divided = use_of(lambda graph, x: graph.add(Div(), number(graph, 7, np.int64), x).output, "i64[batch]")
    assert divided.divides
    raised = use_of(lambda graph, x: graph.add(Pow(), number(graph, 7, np.int64), x).output, "i64[batch]")
    assert raised.indexed == [(0, 5)]


def test_texts_are_followed_to_their_words() -> None:
    def build(graph: Graph, x: Value) -> Value:
        joined = graph.add(JoinTexts(), graph.add(SplitText("!?", 3), graph.add(LowerCase(), x).output).output).output
        words = graph.add(SplitText("", symbol("parts")), joined).output
        return graph.add(Lookup(("a", "b"), (1, 2), 0), words).output

    use = use_of(build, "str[batch]")
    assert use.keys == ["a", "b"]
    assert use.separators == ["!", "?", ""]


def test_what_is_compared_only_may_be_as_large_as_it_can() -> None:
    assert use_of(with_constants(Greater(), 3)).decides
    assert not use_of(with_constants(Add(), 3)).decides
    assert not use_of(with_constants(Relu())).decides


def test_halves_are_known_on_the_way() -> None:
    assert use_of(with_constants(Cast(DType.FLOAT16))).is_half
    assert use_of(with_constants(Relu()), "f16[batch]").is_half
    assert not use_of(with_constants(Relu())).is_half


def test_values_are_met_inside_operators_and_after_them() -> None:
    """A sampling rate that an If, and one in a branch of it, choose by; and a value that is given back."""

    def inner(b: Build, rate: Any) -> Any:
        return if_(b, b(Equal(), rate, np.asarray(8000)), negate, keep, rate, types=("i64[]",))

    b = Build("i64[]")
    (rate,) = b.inputs
    chosen = if_(b, b(Equal(), rate, np.asarray(16000)), keep, inner, rate, types=("i64[]",))
    graph = b.finish(b(Equal(), chosen, np.asarray(7)))
    assert sorted(find_use(graph, rate.node).edges) == [7, 8000, 16000]


def test_an_input_is_few_trips_of_a_loop_and_no_giant_bound_of_one() -> None:
    def step(b: Build, i: Any, going: Any, x: Any, limit: Any) -> Any:
        return b(Less(), i, limit), b(Neg(), x)

    b = Build("i64[]", "f32[4]", "i64[]")
    trips, x, limit = b.inputs
    op = Loop((parse_type("f32[4]"),), body(step, *LOOP, "f32[4]", "i64[]"), 1)
    graph = b.finish(b(op, trips, None, x, limit))
    assert find_use(graph, trips.node).indexed == [(0, MAX_TRIPS + 1)]
    assert not find_use(graph, limit.node).decides


def keep(b: Build, x: Any) -> Any:
    return x


def negate(b: Build, x: Any) -> Any:
    return b(Neg(), x)
