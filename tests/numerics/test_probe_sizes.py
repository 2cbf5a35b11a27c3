"""The sizes of probes: they fit, they reach what stands in the graph, and they cost little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kir import layers
from kir.backend import minimum, shape
from kir.errors import ShapeError
from kir.ir.dims import symbol
from kir.ir.graph import Graph
from kir.ir.interpreter import run
from kir.ir.op import Op
from kir.ir.structural import Output, constant
from kir.ir.types import DType
from kir.numerics.cost import ELEMENT_WORK, run_cost
from kir.numerics.feeds import random_feeds
from kir.numerics.probe_sizes import choose_runs
from kir.ops.convolution import Conv
from kir.ops.elementwise import Add, Cast, Relu
from kir.ops.linear import MatMul
from kir.ops.shape import Gather, Range, Slice, TopK
from tests.numerics.graphs import graph_of, lowered

Sizes = dict[str, int]


def sizes_of(graph: Graph, accepts: Callable[[Sizes], bool] | None = None) -> list[Sizes]:
    return [run.sizes for run in choose_runs(graph, accepts)]


def test_sizes_differ_between_runs_and_axes() -> None:
    graph, _ = graph_of("f32[batch, length, width]")
    assert sizes_of(graph) == [
        {"batch": 1, "length": 19, "width": 23},
        {"batch": 2, "length": 1, "width": 1},
        {"batch": 11, "length": 11, "width": 7},
    ]


def test_a_static_signature_still_runs_three_times() -> None:
    assert sizes_of(graph_of("f32[3, 4]")[0]) == [{}, {}, {}]


def test_the_first_size_of_all_inputs_is_the_batch_by_any_name() -> None:
    assert [sizes["n"] for sizes in sizes_of(graph_of("f32[n, 4]", "f32[n, length]")[0])] == [1, 2, 11]


def test_what_would_be_too_much_work_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, (x,) = graph_of("f32[batch, 3]")
    graph.add(Output("y"), graph.add(Relu(), x).output)
    work = [3 * batch * (ELEMENT_WORK + 1) for batch in (1, 2, 11)]
    assert [run.cost.work for run in choose_runs(graph)] == work
    monkeypatch.setattr("kir.numerics.probe_sizes.ENOUGH_WORK", sum(work) - 1)
    assert sizes_of(graph) == [{"batch": 1}, {"batch": 2}]
    monkeypatch.setattr("kir.numerics.probe_sizes.ENOUGH_WORK", work[0])
    assert sizes_of(graph) == [{"batch": 1}]
    monkeypatch.setattr("kir.numerics.probe_sizes.ENOUGH_WORK", 0)
    assert sizes_of(graph) == [{"batch": 1}], "one run there is in any case"


def test_lengths_that_would_be_too_much_work_are_shorter_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = lowered(dilated, (None, 1))
    long, *_ = choose_runs(graph)
    monkeypatch.setattr("kir.numerics.probe_sizes.ENOUGH_WORK", long.cost.work - 1)
    shorter, *_ = choose_runs(graph)
    assert shorter.sizes["x0_1"] < long.sizes["x0_1"]
    assert shorter.untried.startswith(f"batch 1, x0_1 {long.sizes['x0_1']} (past ")


def test_work_counts_the_products_of_an_element() -> None:
    graph, (x, kernel) = graph_of("f32[batch, 6, 9, 9]", "f32[8, 3, 2, 2]")
    node = graph.add(Conv((1, 1), (1, 1), 2, "same"), x, kernel)
    graph.add(Output("y"), graph.add(MatMul(), node.output, node.output).output)
    elements = 2 * 8 * 9 * 9
    assert run_cost(graph, {"batch": 2}).work == elements * (ELEMENT_WORK + 12) + elements * (ELEMENT_WORK + 9)


@pytest.mark.parametrize(
    ("op", "type", "fits"),
    [
        (Slice((1,), (0,), (9,), (1,)), "f32[batch, length]", lambda sizes: sizes["length"] >= 9),
        (TopK(20, 0), "f32[batch, length]", lambda sizes: sizes["batch"] >= 20),
    ],
    ids=["at least 9 steps", "a batch of 20"],
)
def test_sizes_satisfy_the_operators(op: Op, type: str, fits: object) -> None:
    assert callable(fits)
    graph, (x,) = graph_of(type)
    node = graph.add(op, x)
    graph.add(Output("y"), node.outputs[0])
    assert all(fits(sizes) for sizes in sizes_of(graph))


def test_a_size_that_only_a_constant_tells_is_found() -> None:
    graph, (x,) = graph_of("f32[batch, length]")
    graph.add(Output("y"), graph.add(Add(), x, graph.add(constant(np.ones(37, np.float32))).output).output)
    assert all(sizes["length"] in (1, 37) for sizes in sizes_of(graph))
    for sizes in sizes_of(graph):
        run(graph, random_feeds(graph, 0, sizes))


def test_no_sizes_is_an_error_that_names_them() -> None:
    graph, _ = graph_of("f32[batch, length]")
    with pytest.raises(ShapeError, match=r"batch, length.*--input-shapes"):
        sizes_of(graph, accepts=lambda sizes: False)


def test_a_batch_that_only_a_constant_tells_is_found() -> None:
    graph, (x,) = graph_of("f32[batch, 4]")
    three = graph.add(constant(np.ones((3, 4), np.float32))).output
    graph.add(Output("y"), graph.add(Add(), x, three).output)
    assert [sizes["batch"] for sizes in sizes_of(graph)] == [1, 3, 3]


def dilated(x: Any) -> Any:
    """Return a WaveNet's receptive field of 1 + 1 + 2 + … + 512 steps, and then windows of 8 in strides of 4."""
    for depth in range(10):
        x = layers.Conv1D(2, 2, dilation_rate=2**depth)(x)
    for _ in range(4):
        x = layers.Conv1D(2, 8, strides=4)(x)
    return x


def strided(x: Any) -> Any:
    for _ in range(5):
        x = layers.Conv2D(2, 7, strides=2)(x)
    return x


def cropped_from_two(x: Any, y: Any) -> Any:
    x, y = layers.Cropping1D(700)(x), layers.Cropping1D((0, 300))(y)
    return layers.Add()([layers.GlobalMaxPooling1D()(x), layers.GlobalMaxPooling1D()(y)])


@pytest.mark.parametrize(
    ("graph", "least"),
    [
        pytest.param(lambda: lowered(layers.Cropping1D(5000), (None, 4)), [10001], id="cropping"),
        pytest.param(lambda: lowered(dilated, (None, 1)), [1 + 1023 + 595], id="dilated convolutions"),
        pytest.param(lambda: lowered(strided, (None, None, 3)), [187, 187], id="strided convolutions"),
        pytest.param(lambda: lowered(cropped_from_two, (None, 4), (None, 4)), [1401, 301], id="two inputs"),
        pytest.param(
            lambda: lowered(layers.Cropping2D(((100, 0), (0, 900))), (None, None, 3)), [101, 901], id="rows, columns"
        ),
        pytest.param(
            lambda: lowered(layers.AveragePooling1D(500, strides=7), (None, 3)), [500], id="a window of 500 steps"
        ),
        pytest.param(
            lambda: lowered(layers.Lambda(lambda x: x[:, :5000]), (None, 3)), [5000], id="a slice of 5000 steps"
        ),
        pytest.param(
            lambda: lowered(layers.Lambda(lambda x: x[:, 300:-300]), (None, 3)), [601], id="a slice from both ends"
        ),
        pytest.param(lambda: lowered(layers.MaxPooling1D(64), (None, 3)), [64], id="pooling"),
        pytest.param(lambda: lowered(layers.Dense(2), (None, 3)), [1], id="no least size"),
    ],
)
def test_the_least_size_is_solved_for(graph: Callable[[], Graph], least: list[int]) -> None:
    given = graph()
    asked: list[Sizes] = []

    def accepts(sizes: Sizes) -> bool:
        asked.append(sizes)
        given.specialize(sizes)
        return True

    runs = sizes_of(given, accepts)
    assert list(runs[1].values()) == [2, *least]
    assert all(size >= low for sizes in runs for size, low in zip(list(sizes.values())[1:], least, strict=True))
    assert len(asked) == 3, "sizes that do not fit the types are not tried"


def tcn(x: Any) -> Any:
    for depth in range(6):
        x = layers.Conv1D(2, 3, dilation_rate=2**depth, padding="causal")(x)
    return x


def same_padded(x: Any) -> Any:
    for _ in range(3):
        x = layers.Conv2D(2, 9, padding="same")(layers.MaxPooling2D()(x))
    return x


def padded_apart(x: Any) -> Any:
    return layers.Conv1D(2, 201)(layers.ZeroPadding1D(100)(x))


def positions(by_range: bool) -> Graph:
    """Return a graph that adds the first rows of a table of 80 positions, by a slice or by their numbers."""
    graph, (x,) = graph_of("f32[batch, length, 3]")
    table = graph.add(constant(np.ones((80, 3), np.float32))).output
    length = x.type.shape[1]
    if by_range:
        numbers = graph.add(Cast(DType.INT32), graph.add(Range(0, length)).output).output
        rows = graph.add(Gather(0), table, numbers).output
    else:
        rows = graph.add(Slice((0,), (0,), (length,), (1,)), table).output
    graph.add(Output("y"), graph.add(Add(), x, rows).output)
    return graph


@pytest.mark.parametrize(
    ("graph", "long"),
    [
        pytest.param(lambda: lowered(tcn, (None, 1)), [127], id="1 + 2 (1 + 2 + … + 32) steps"),
        pytest.param(lambda: lowered(layers.Conv1D(2, 3, dilation_rate=60), (None, 1)), [187], id="a valid window"),
        pytest.param(lambda: lowered(same_padded, (None, None, 1)), [121, 127], id="padding, halved"),
        pytest.param(lambda: lowered(layers.LSTM(2), (None, 3)), [67], id="a recurrence"),
        pytest.param(lambda: lowered(layers.Dense(2), (None, 3)), [67], id="nothing"),
        pytest.param(
            lambda: lowered(layers.Lambda(lambda x: x[:, : minimum(shape(x)[1], 200)]), (None, 3)), [203], id="a cut"
        ),
        pytest.param(lambda: positions(by_range=False), [80], id="the last row of a table of positions"),
        pytest.param(lambda: positions(by_range=True), [80], id="the last of as many positions"),
        pytest.param(lambda: lowered(layers.Conv2D(2, (1, 99)), (None, None, 1)), [19, 121], id="columns alone"),
        pytest.param(lambda: lowered(padded_apart, (None, 1)), [203], id="padding of its own"),
    ],
)
def test_long_inputs_reach_everything(graph: Callable[[], Graph], long: list[int]) -> None:
    assert list(sizes_of(graph())[0].values()) == [1, *long]


def test_all_sizes_of_one_run_are_different_and_multiples_of_nothing() -> None:
    long, _, middle = sizes_of(lowered(strided, (None, None, 3)))
    for sizes in (long, middle):
        rows, columns = list(sizes.values())[1:]
        assert rows != columns
        assert all(size % factor for size in (rows, columns) for factor in (2, 3, 5))


def test_a_large_size_may_have_to_be_a_multiple() -> None:
    def halve_and_double(x: Any) -> Any:
        y = layers.UpSampling1D(8)(layers.MaxPooling1D(8)(x))
        return layers.Add()([layers.Cropping1D(400)(y), layers.Cropping1D(400)(x)])

    for sizes in sizes_of(lowered(halve_and_double, (16 * symbol("n"), 2))):
        assert 16 * sizes["n"] > 800
