"""Arrays that are fed: of the right types, with all values at which something happens, in rows of several kinds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kir import Model, layers
from kir.errors import ShapeError
from kir.ir.graph import Graph, Value
from kir.ir.interpreter import run
from kir.ir.op import Array, Op
from kir.ir.structural import Data, Input, Output, constant
from kir.ir.types import NARROW, DType, parse_type
from kir.numerics.feeds import count_edges, random_feeds
from kir.numerics.inputs import shape_of_feeds
from kir.numerics.probe_sizes import choose_runs
from kir.ops.elementwise import Cast, Clip, Div, Greater, Mod, Mul, Pow
from kir.ops.linear import MatMul
from kir.ops.lookup import Lookup
from kir.ops.recurrent import RNN
from kir.ops.shape import Gather
from kir.ops.sparse import SparseToDense
from tests.numerics.graphs import graph_of

Build = Callable[[Graph, Value], Value]


def fed(build: Build, type: str, batch: int = 9, kind: int = 0) -> Array:
    graph, (x,) = graph_of(type)
    graph.add(Output("y"), build(graph, x))
    return random_feeds(graph, 0, {"batch": batch}, kind=kind)["x0"]


def number(graph: Graph, value: float, dtype: object = np.float32) -> Value:
    return graph.add(constant(np.asarray(value, dtype))).output  # type: ignore[call-overload]


def multiplied(graph: Graph, x: Value) -> Value:
    return graph.add(MatMul(), x, graph.add(constant(np.ones((x.type.shape[-1], 2), np.float32))).output).output


# Values


def test_an_input_may_have_another_shape_than_the_graph_says() -> None:
    graph, (x, other) = graph_of("f32[batch, 500]", "f32[batch, 3]")
    graph.add(Output("y"), multiplied(graph, x))
    graph.add(Output("z"), other)
    feeds = random_feeds(graph, 0, {"batch": 2}, shapes={"x0": (9, 7)})
    assert shape_of_feeds(feeds) == "x0 (9, 7), x1 (2, 3)"
    assert set(np.unique(np.abs(feeds["x0"][1]))) <= {0, 0.5, 1, 1.5, 2.5}


def test_rows_are_ordinary_but_for_some_with_edges_and_large_values() -> None:
    rows = np.abs(fed(multiplied, "f32[batch, 500]"))
    assert all(rows[row].max() < 20 for row in (0, 2, 4, 6, 8))
    assert all(set(np.unique(rows[row])) == {0, 0.5, 1, 1.5, 2.5} for row in (1, 5))
    assert all(rows[row].max() > 500 for row in (3, 7))
    assert all(rows[row].min() < 0.01 for row in (3, 7))


def test_a_single_row_is_of_the_kind_that_was_asked_for() -> None:
    ordinary, edges, wide = (np.abs(fed(multiplied, "f32[1, 500]", kind=kind)) for kind in range(3))
    assert ordinary.max() < 20
    assert edges.max() == 2.5
    assert wide.max() > 500


def test_halves_are_not_fed_what_overflows_in_them() -> None:
    def narrow(graph: Graph, x: Value) -> Value:
        return graph.add(Cast(DType.FLOAT16), x).output

    assert np.abs(fed(narrow, "f32[batch, 500]")).max() < 20


def test_every_column_meets_every_edge_and_its_neighbours() -> None:
    def build(graph: Graph, x: Value) -> Value:
        return graph.add(
            Clip(), graph.add(Mul(), x, number(graph, 0.25)).output, number(graph, 0), number(graph, 6)
        ).output

    graph, (x,) = graph_of("f32[batch, 7]")
    graph.add(Output("y"), build(graph, x))
    assert count_edges(graph) == 4
    array = random_feeds(graph, 0, {"batch": 9 + 6})["x0"]
    wanted = [24 + 2**-13, 24 - 2**-13, 2**-17, -(2**-17)]
    assert all(value in column for column in array.T for value in wanted)


def test_exact_edges_are_met_with_their_neighbours() -> None:
    array = fed(lambda graph, x: graph.add(Greater(), x, number(graph, 3)).output, "f32[batch, 40]")
    assert {3, 3 + 2**-22, 3 - 2**-22} <= set(array[1].tolist())


def test_no_denormal_numbers_are_fed_which_are_0_to_some_runtimes() -> None:
    array = fed(lambda graph, x: graph.add(Greater(), x, number(graph, 0)).output, "f32[batch, 40]")
    near_zero = array[(np.abs(array) < 1e-6) & (array != 0)]
    assert set(np.sign(near_zero)) == {-1, 1}
    assert np.abs(near_zero).min() > 1e-30


def test_a_long_row_meets_edges_in_a_few_places() -> None:
    row = fed(lambda graph, x: graph.add(Greater(), x, number(graph, 4.25)).output, "f32[1, 1000]")
    assert 5 < (row == 4.25).sum() < 100


def test_pixels_are_fed_where_a_model_scales_them() -> None:
    def build(graph: Graph, x: Value) -> Value:
        return multiplied(graph, graph.add(Mul(), x, number(graph, 1 / 255)).output)

    array = fed(build, "f32[batch, 4000]")
    assert set(np.unique(array[0])) == {*range(256)}
    assert {0, 127.5, 255} <= set(array[1])


def test_bytes_are_fed_all() -> None:
    array = fed(lambda graph, x: graph.add(Cast(DType.FLOAT32), x).output, "u8[batch, 4000]")
    assert set(np.unique(array[0])) == {*range(256)}


def test_numbers_are_near_those_that_a_model_normalizes() -> None:
    def build(graph: Graph, x: Value) -> Value:
        return multiplied(graph, graph.add(Div(), x, number(graph, 10)).output)

    assert 5 < fed(build, "f32[batch, 4000]")[0].std() < 15


@pytest.mark.parametrize(("rows", "count"), [(5, 50), (80, 50), (3_000_000, 50)])
def test_indices_go_through_the_table_and_count_from_its_end(rows: int, count: int) -> None:
    def build(graph: Graph, x: Value) -> Value:
        table = graph.add(constant(np.broadcast_to(np.zeros((), np.float32), (rows, 1)))).output
        return graph.add(Gather(0), table, x).output

    array = fed(build, f"i64[batch, {count}]")
    ordinary = set(array[[0, 2, 3, 4, 6, 7]].ravel().tolist())
    assert {0, rows - 1} <= ordinary
    assert len(ordinary) > min(rows, 6 * count) * 0.95
    assert {0, rows - 1, -1, -rows} == set(array[1])
    assert array.min() == -rows
    assert array.max() == rows - 1


@pytest.mark.parametrize(("type", "keys"), [("string[batch, 9]", ("lion", "tiger")), ("i64[batch, 9]", (3, 500))])
def test_all_keys_of_a_table_are_fed(type: str, keys: tuple[int | str, ...]) -> None:
    array = fed(lambda graph, x: graph.add(Lookup(keys, (0, 1), 2), x).output, type)
    assert set(keys) <= set(array[1].tolist())
    if type.startswith("string"):
        assert {"", "ΑΩ"} <= set(array[1].tolist()), "empty texts, and letters beyond ASCII"
    else:
        assert {2, 4, 499, 501} <= set(array.ravel().tolist())


def test_numbers_that_are_compared_only_are_as_large_as_they_can_be() -> None:
    array = fed(lambda graph, x: graph.add(Greater(), x, number(graph, 3, np.int32)).output, "i32[batch, 40]")
    assert {2, 3, 4, -(2**31), 2**31 - 1} <= set(array[1].tolist())


def test_booleans_are_masks_in_all_forms() -> None:
    array = fed(lambda graph, x: graph.add(Cast(DType.FLOAT32), x).output, "bool[batch, 8]")
    assert array[0].all()
    assert not array[1].any()
    assert array[2].tolist() == [True] * 4 + [False] * 4
    scalars = [fed(lambda graph, x: graph.add(Cast(DType.FLOAT32), x).output, "bool[]", kind=kind) for kind in (0, 1)]
    assert [bool(scalar) for scalar in scalars] == [True, False]


# Types and ranges


@pytest.mark.parametrize("dtype", list(DType), ids=str)
def test_feeds_have_the_dtype_and_shape(dtype: DType) -> None:
    graph, _ = graph_of(f"{dtype}[batch, 3]")
    array = random_feeds(graph, 0, {"batch": 5})["x0"]
    assert array.dtype == dtype.numpy
    assert array.shape == (5, 3)
    if dtype in NARROW:
        assert not np.isnan(array.astype(np.float32)).any()


def test_equal_seeds_give_equal_feeds_and_others_do_not() -> None:
    graph, _ = graph_of("f32[batch, 3]")
    first, again, other = (random_feeds(graph, seed, {"batch": 5})["x0"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_missing_size_is_an_error() -> None:
    graph, _ = graph_of("f32[batch, 3]")
    with pytest.raises(ShapeError, match=r"\(batch, 3\)"):
        random_feeds(graph, 0, {})


@pytest.mark.parametrize(
    ("op", "allowed"), [(Div(), {*range(-10, 11)} - {0}), (Mod(False), {*range(-10, 11)} - {0}), (Pow(), {*range(5)})]
)
def test_integers_suit_the_arithmetic(op: Op, allowed: set[int]) -> None:
    graph, (x,) = graph_of("i64[500]")
    graph.add(Output("y"), graph.add(op, graph.add(constant(np.int64(7))).output, x).output)
    fed = set(random_feeds(graph, 0, {})["x0"].tolist())
    assert allowed <= fed
    assert (0 in fed) == (0 in allowed)


def test_sequence_lengths_fit_the_time_axis() -> None:
    graph, (x, lens) = graph_of("f32[time, batch, 3]", "i32[batch]")
    weights = [graph.add(constant(np.zeros(shape, np.float32))).output for shape in ((1, 2, 3), (1, 2, 2), (1, 4))]
    node = graph.add(RNN(2, "forward", (("Tanh", 0.0, 0.0),)), x, *weights, lens)
    graph.add(Output("y"), node.outputs[0])
    assert set(random_feeds(graph, 0, {"time": 2, "batch": 200})["x1"].tolist()) == {0, 1, 2}


def test_sparse_inputs_agree() -> None:
    graph = Graph()
    parts = [("s.indices", "i64[n, 2]"), ("s.values", "f32[n]"), ("s.shape", "i64[2]")]
    values = [graph.add(Input(name, parse_type(type))).output for name, type in parts]
    shape = parse_type("f32[batch, 6]").shape
    graph.add(Output("y"), graph.add(SparseToDense(shape), *values).output)
    for sizes in (chosen.sizes for chosen in choose_runs(graph)):
        assert set(sizes) == {"batch"}
        feeds = random_feeds(graph, 0, sizes)
        dense = run(graph, feeds)["y"]
        assert dense.shape == (sizes["batch"], 6)
        places = tuple(feeds["s.indices"].T)
        assert len(set(zip(*places, strict=True))) == len(feeds["s.values"]) == sizes["batch"] * 2
        np.testing.assert_array_equal(dense[places], feeds["s.values"])
    assert np.abs(feeds["s.values"]).max() > 100, "values are of all kinds, as those of other inputs"


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


def test_texts_that_are_taken_apart_are_fed_known_words_between_their_separators() -> None:
    given = layers.Input((), dtype="string")
    model = Model(given, layers.TextVectorization(vocabulary=["fox", "dog"])(given))
    (x,) = random_feeds(model.to_graph(), 0, {"batch": 11}).values()
    text = " ".join(x.tolist())
    assert "fox" in text
    assert "DOG" in text
    assert {"!", "\t", "\n"} <= set(text)
    assert len(set(x.tolist())) > 8
