"""Random inputs: sizes that the graph accepts, indices in range, masked steps, sparse tensors, defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kir import Model, layers
from kir.errors import ShapeError
from kir.ir.dims import symbol
from kir.ir.graph import Graph, Value
from kir.ir.op import Op
from kir.ir.structural import Data, Input, Output, constant
from kir.ir.types import DType, parse_type
from kir.modeling.lower import lower
from kir.numerics.cost import ELEMENT_WORK, run_cost
from kir.numerics.feeds import choose_sizes, find_use, masked_steps, random_feeds, shape_of_feeds
from kir.numerics.interpreter import run
from kir.ops.convolution import Conv
from kir.ops.elementwise import Add, Cast, Div, Equal, Mod, Pow, Relu
from kir.ops.linear import MatMul
from kir.ops.recurrent import RNN
from kir.ops.shape import Gather, OneHot, Reshape, Slice, TopK
from kir.ops.sparse import SparseToDense


def graph_of(*types: str) -> tuple[Graph, list[Value]]:
    """Return a graph with inputs x0, x1, … of these types."""
    graph = Graph()
    return graph, [graph.add(Input(f"x{index}", parse_type(type))).output for index, type in enumerate(types)]


def test_sizes_differ_between_runs_and_axes() -> None:
    graph, _ = graph_of("f32[batch, length, width]")
    assert choose_sizes(graph) == [
        {"batch": 1, "length": 1, "width": 1},
        {"batch": 2, "length": 4, "width": 3},
        {"batch": 7, "length": 5, "width": 8},
    ]


def test_a_static_signature_still_runs_three_times() -> None:
    assert choose_sizes(graph_of("f32[3, 4]")[0]) == [{}, {}, {}]


@pytest.mark.parametrize(("type", "batches"), [("f32[batch, 3]", (1, 2)), ("f32[5, 3]", (5, 5))])
def test_what_is_work_enough_runs_twice(type: str, batches: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    graph, (x,) = graph_of(type)
    node = graph.add(Relu(), x)
    graph.add(Output("y"), node.output)
    wanted = choose_sizes(graph)
    work = [run_cost(graph, sizes).work for sizes in wanted]
    assert work[:2] == [batch * 3 * (ELEMENT_WORK + 1) for batch in batches]
    monkeypatch.setattr("kir.numerics.feeds.ENOUGH_WORK", sum(work))
    assert choose_sizes(graph) == wanted
    monkeypatch.setattr("kir.numerics.feeds.ENOUGH_WORK", sum(work) - 1)
    assert choose_sizes(graph) == wanted[:2]


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
    assert all(fits(sizes) for sizes in choose_sizes(graph))


def test_a_size_that_only_a_constant_tells_is_found() -> None:
    graph, (x,) = graph_of("f32[batch, length]")
    graph.add(Output("y"), graph.add(Add(), x, graph.add(constant(np.ones(37, np.float32))).output).output)
    assert all(sizes["length"] in (1, 37) for sizes in choose_sizes(graph))
    for sizes in choose_sizes(graph):
        run(graph, random_feeds(graph, 0, sizes))


def test_no_sizes_is_an_error_that_names_them() -> None:
    graph, _ = graph_of("f32[batch, length]")
    with pytest.raises(ShapeError, match=r"batch, length.*--input-shapes"):
        choose_sizes(graph, accepts=lambda sizes: False)


@pytest.mark.parametrize("dtype", list(DType), ids=str)
def test_feeds_have_the_dtype_and_shape(dtype: DType) -> None:
    graph, _ = graph_of(f"{dtype}[batch, 3]")
    array = random_feeds(graph, 0, {"batch": 5})["x0"]
    assert array.dtype == dtype.numpy
    assert array.shape == (5, 3)


def test_equal_seeds_give_equal_feeds_and_others_do_not() -> None:
    graph, _ = graph_of("f32[batch, 3]")
    first, again, other = (random_feeds(graph, seed, {"batch": 5})["x0"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_missing_size_is_an_error() -> None:
    graph, _ = graph_of("f32[batch, 3]")
    with pytest.raises(ShapeError, match=r"\(batch, 3\)"):
        random_feeds(graph, 0, {})


@pytest.mark.parametrize("dtype", ["i32", "i64", "u8", "f32"])
@pytest.mark.parametrize("target", ["Gather", "OneHot"])
def test_indices_fit_behind_cast_and_reshape(dtype: str, target: str) -> None:
    graph, (x,) = graph_of(f"{dtype}[batch, 50]")
    moved = graph.add(Reshape((*x.type.shape, 1)), graph.add(Cast(DType.INT64), x).output).output
    if target == "Gather":
        table = graph.add(constant(np.zeros((4, 2), np.float32))).output
        graph.add(Output("y"), graph.add(Gather(0), table, moved).output)
    else:
        graph.add(Output("y"), graph.add(OneHot(4, 3), moved, graph.add(constant(np.array([0.0, 1.0]))).output).output)
    assert find_use(graph, x.node).indexed == [4]
    assert sorted(np.unique(random_feeds(graph, 0, {"batch": 7})["x0"])) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("op", "allowed"), [(Div(), {*range(-10, 11)} - {0}), (Mod(False), {*range(-10, 11)} - {0}), (Pow(), {*range(5)})]
)
def test_integers_suit_the_arithmetic(op: Op, allowed: set[int]) -> None:
    graph, (x,) = graph_of("i64[500]")
    graph.add(Output("y"), graph.add(op, graph.add(constant(np.int64(7))).output, x).output)
    assert set(random_feeds(graph, 0, {})["x0"].tolist()) == allowed


def test_sequence_lengths_fit_the_time_axis() -> None:
    graph, (x, lens) = graph_of("f32[time, batch, 3]", "i32[batch]")
    weights = [graph.add(constant(np.zeros(shape, np.float32))).output for shape in ((1, 2, 3), (1, 2, 2), (1, 4))]
    node = graph.add(RNN(2, "forward", (("Tanh", 0.0, 0.0),)), x, *weights, lens)
    graph.add(Output("y"), node.outputs[0])
    assert set(random_feeds(graph, 0, {"time": 2, "batch": 200})["x1"].tolist()) == {0, 1, 2}


@pytest.mark.parametrize(("type", "value"), [("f32[batch, 9, 3]", -1.0), ("i32[batch, 9]", 0)])
def test_masked_steps(type: str, value: float) -> None:
    graph, (x,) = graph_of(type)
    mask_value = graph.add(constant(np.asarray(value, x.type.dtype.numpy))).output
    graph.add(Output("y"), graph.add(Equal(), x, mask_value).output)
    array = random_feeds(graph, 0, {"batch": 12})["x0"]
    equal = (array == value).reshape(12, 9, -1)
    masked = equal.all(axis=2)
    assert not equal[0].any()
    assert masked[1].all()
    assert masked[2].tolist() == [False] * 5 + [True] * 4
    assert masked[3].tolist() == [True] * 5 + [False] * 4
    has_hole = [(np.diff(row.astype(int)) > 0).any() and (np.diff(row.astype(int)) < 0).any() for row in masked[4:]]
    assert any(has_hole)


def test_masked_steps_of_one_sequence_are_random() -> None:
    masked = masked_steps((1, 100), np.random.default_rng(0))
    assert 10 < masked.sum() < 90


def test_sparse_inputs_agree() -> None:
    graph = Graph()
    parts = [("s.indices", "i64[n, 2]"), ("s.values", "f32[n]"), ("s.shape", "i64[2]")]
    values = [graph.add(Input(name, parse_type(type))).output for name, type in parts]
    shape = parse_type("f32[batch, 6]").shape
    graph.add(Output("y"), graph.add(SparseToDense(shape), *values).output)
    for sizes in choose_sizes(graph):
        assert set(sizes) == {"batch"}
        feeds = random_feeds(graph, 0, sizes)
        dense = run(graph, feeds)["y"]
        assert dense.shape == (sizes["batch"], 6)
        assert np.count_nonzero(dense) == len(feeds["s.values"]) == sizes["batch"] * 2


def test_defaults_are_fed_on_request_and_the_training_switch_is_off() -> None:
    graph = Graph()
    graph.add(Input("x", parse_type("f32[2]"), Data(np.zeros(2, np.float32))))
    graph.add(Input("training_mode", parse_type("bool[]"), Data(np.array(True))))
    assert set(random_feeds(graph, 0, {})) == {"training_mode"}
    assert set(random_feeds(graph, 0, {}, feed_defaults=True)) == {"x", "training_mode"}
    assert not random_feeds(graph, 0, {})["training_mode"]


def test_bounds_limit_integers_that_the_graph_says_nothing_about() -> None:
    graph, _ = graph_of("i64[100]")
    assert set(np.unique(random_feeds(graph, 0, {}, bounds={"x0": 2})["x0"])) == {0, 1}


def test_shapes_for_messages() -> None:
    assert shape_of_feeds({"x": np.zeros((2, 3)), "y": np.zeros(())}) == "x (2, 3), y ()"
    assert shape_of_feeds({}) == "no inputs"


def test_a_batch_that_only_a_constant_tells_is_found() -> None:
    graph, (x,) = graph_of("f32[batch, 4]")
    three = graph.add(constant(np.ones((3, 4), np.float32))).output
    graph.add(Output("y"), graph.add(Add(), x, three).output)
    assert [sizes["batch"] for sizes in choose_sizes(graph)] == [1, 3, 3]


def lowered(build: Callable[..., Any], *shapes: tuple[Any, ...]) -> Graph:
    """Return the graph of a model of layers on inputs x0, x1, …"""
    inputs = [layers.Input(shape, name=f"x{index}") for index, shape in enumerate(shapes)]
    return lower(Model(inputs, build(*inputs)))


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
    asked: list[dict[str, int]] = []

    def accepts(sizes: dict[str, int]) -> bool:
        asked.append(sizes)
        given.specialize(sizes)
        return True

    first, *others = choose_sizes(given, accepts)
    assert list(first.values()) == [1, *least]
    assert all(size >= low for sizes in others for size, low in zip(list(sizes.values())[1:], least, strict=True))
    assert len(asked) == 3, "sizes that do not fit the types are not tried"


def test_large_inputs_come_in_small_batches() -> None:
    assert [sizes["batch"] for sizes in choose_sizes(lowered(layers.Cropping1D(5000), (None, 4)))] == [1, 2, 1]


def test_a_large_size_may_have_to_be_a_multiple() -> None:
    def halve_and_double(x: Any) -> Any:
        y = layers.UpSampling1D(8)(layers.MaxPooling1D(8)(x))
        return layers.Add()([layers.Cropping1D(400)(y), layers.Cropping1D(400)(x)])

    for sizes in choose_sizes(lowered(halve_and_double, (16 * symbol("n"), 2))):
        assert 16 * sizes["n"] > 800
