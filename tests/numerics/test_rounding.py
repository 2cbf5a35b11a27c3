"""Monte-Carlo arithmetic: the partial sums, the operators that are exact, the bounds that come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from kir.errors import ShapeError
from kir.ir.graph import Graph, Node
from kir.ir.interpreter import Plan
from kir.ir.op import Array, Op
from kir.ir.structural import Input, Output, constant
from kir.ir.types import TensorType, parse_type
from kir.numerics.compare import compare
from kir.numerics.expected import MULTIPLE, Expected
from kir.numerics.rounding import RUNS, RUNS_AT_FIRST, RandomRounding, measure, measure_as_needed
from kir.numerics.rounding_sizes import EXACT, SIZES, epsilon, sum_of_squared_partial_sums
from kir.ops import all_ops
from kir.ops.convolution import Conv
from kir.ops.elementwise import Div, Exp, Mul, Relu, Sigmoid, Sign, Sub, Tanh
from kir.ops.linear import MatMul
from kir.ops.nn import LogSoftmax
from kir.ops.pooling import MaxPool
from kir.ops.reduce import ArgMax, ReduceL2, ReduceSum


def expect(graph: Graph, feeds: dict[str, Array], seed: int = 0, threads: int = 1) -> dict[str, Expected]:
    reference, own = Plan(graph, wide=True), Plan(graph)
    return measure(
        lambda observe: reference.run(feeds, observe),
        lambda observe: own.run(feeds, observe),
        seed,
        threads=threads,
    )


def graph_of(type: str, *ops: Op) -> Graph:
    graph = Graph()
    value = graph.add(Input("x", parse_type(type))).output
    for op in ops:
        value = graph.add(op, value).output
    graph.add(Output("y"), value)
    return graph


def test_partial_sums_of_blocks_of_one_term_are_exact() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((3, 16)), generator.standard_normal((16, 4))
    sums = np.cumsum(a[:, :, None] * b[None], axis=1)
    np.testing.assert_allclose(sum_of_squared_partial_sums(a, b, blocks=16), np.square(sums).sum(axis=1))


def test_partial_sums_within_a_block_are_those_of_a_random_order() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((1, 12)) + 0.3, generator.standard_normal((12, 1))
    terms = a[0] * b[:, 0]
    orders = [np.square(np.cumsum(generator.permutation(terms))).sum() for _ in range(20_000)]
    np.testing.assert_allclose(sum_of_squared_partial_sums(a, b, blocks=1)[0, 0], np.mean(orders), rtol=0.02)


def test_partial_sums_cover_the_rounding_of_a_long_product() -> None:
    generator = np.random.default_rng(0)
    a, b = (generator.random(shape).astype(np.float32) for shape in ((8, 4000), (4000, 8)))
    total = np.zeros((8, 8), np.float32)
    for index in range(4000):
        total += a[:, index, None] * b[None, index]
    errors = np.abs(total - a.astype(np.float64) @ b.astype(np.float64))
    size = np.sqrt(sum_of_squared_partial_sums(a, b)) * epsilon(np.dtype(np.float32))
    assert (errors < 3 * size).all()
    assert errors.max() > size.max() / 100


def test_a_convolution_is_rounded_as_the_product_that_it_is() -> None:
    """One window that covers x: a Dense of everything in it."""
    generator = np.random.default_rng(0)
    x, kernel = generator.standard_normal((2, 6, 4, 5)), generator.standard_normal((3, 6, 4, 5))
    op = Conv((1, 1), (1, 1), 1, (0,) * 4)
    size = SIZES[Conv](op, op.eval(x, kernel), x, kernel).reshape(2, 3)
    rows, columns = x.reshape(2, -1), kernel.reshape(3, -1).T
    expected = np.sqrt(sum_of_squared_partial_sums(rows, columns, blocks=1)) + np.abs(rows @ columns)
    np.testing.assert_allclose(size, expected)


@pytest.mark.parametrize("large", [1e30, np.nan])
def test_a_sample_is_rounded_alike_beside_a_large_one(large: float) -> None:
    generator = np.random.default_rng(0)
    x, kernel = (generator.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 8, 8), (4, 3, 3, 3)))
    matrix = generator.standard_normal((8, 5)).astype(np.float32)
    beside = x.copy()
    beside[1] *= 1e30
    beside[1, 0, 0, 0] = large
    conv = Conv((1, 1), (1, 1), 1, (0,) * 4)
    for op, weights in ((conv, kernel), (MatMul(), matrix)):
        sizes = [SIZES[type(op)](op, op.eval(one, weights), one, weights) for one in (x, beside)]
        np.testing.assert_allclose(sizes[1][0], sizes[0][0], rtol=1e-4)
        assert np.isfinite(sizes[1][1, -1, -1, -1])


def test_groups_of_a_convolution_are_rounded_on_their_own() -> None:
    generator = np.random.default_rng(0)
    x, kernel, bias = (generator.standard_normal(shape) for shape in ((2, 4, 6), (6, 2, 3), (6,)))
    both = Conv((1,), (1,), 2, (1, 1))
    size = SIZES[Conv](both, both.eval(x, kernel, bias), x, kernel, bias)
    alone = Conv((1,), (1,), 1, (1, 1))
    parts = [(x[:, :2], kernel[:3], bias[:3]), (x[:, 2:], kernel[3:], bias[3:])]
    expected = [SIZES[Conv](alone, alone.eval(*part), *part) for part in parts]
    np.testing.assert_allclose(size, np.concatenate(expected, axis=1))


@pytest.mark.parametrize("op", [Relu(), ArgMax(1, False)], ids=str)
def test_exact_operators_are_not_moved(op: Op) -> None:
    array = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    graph = graph_of("f32[3, 4]", op)
    result = Plan(graph).run({"x": array}, RandomRounding(np.random.default_rng(0)))["y"]
    np.testing.assert_array_equal(result, op.eval(array))


def test_exact_operators_exist() -> None:
    assert set(all_ops().values()) >= EXACT


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_moves_are_of_the_size_of_a_rounding(dtype: Any) -> None:
    rounding = RandomRounding(np.random.default_rng(0))
    ones = np.ones(10_000, dtype)
    moved = rounding.move(ones, ones)
    assert moved.dtype == dtype
    assert 0 < np.abs(moved.astype(np.float64) - 1).max() <= 2 * epsilon(np.dtype(dtype))


def test_roundings_are_spread_evenly_about_what_is_common() -> None:
    zeros = np.zeros(100_001, np.float32)  # an odd number: the last random bits are of no use
    steps = RandomRounding(np.random.default_rng(0)).move(zeros, np.ones_like(zeros)) / epsilon(zeros.dtype)
    own = steps - (steps.max() + steps.min()) / 2
    counts, _ = np.histogram(own, 10, (-1, 1))
    np.testing.assert_allclose(counts, 10_000, rtol=0.05)
    assert abs(np.corrcoef(own[1:], own[:-1])[0, 1]) < 0.01


def test_infinities_nan_and_integers_are_not_moved() -> None:
    rounding = RandomRounding(np.random.default_rng(0))
    special = np.array([np.inf, -np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(rounding.move(special, np.abs(special)), special)
    np.testing.assert_array_equal(rounding.move_relative(np.arange(3)), np.arange(3))


@pytest.mark.parametrize("threads", [1, 2])
def test_more_runs_are_made_only_where_they_are_needed(threads: int) -> None:
    graph = graph_of("f32[3, 40]", Sigmoid(), Exp())
    reference, own = Plan(graph, wide=True), Plan(graph)
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)}
    runs: list[object] = []

    def run(observe: Any) -> dict[str, Array]:
        runs.append(observe)
        return own.run(feeds, observe)

    expected = measure_as_needed(lambda observe: reference.run(feeds, observe), run, 0, threads)["y"]
    assert compare("y", expected, own.run(feeds)["y"]).passed
    assert len(runs) == RUNS_AT_FIRST
    wrong = compare("y", expected, own.run(feeds)["y"] + np.float32(1e-3))
    assert not wrong.passed
    assert len([one for one in runs if one is not None]) == RUNS
    all_at_once = measure(lambda observe: reference.run(feeds, observe), run, 0, threads=threads)["y"]
    assert expected.widened is not None
    widened = expected.widened()
    np.testing.assert_array_equal(widened.allowed, all_at_once.allowed)
    assert (widened.allowed >= expected.allowed).all()
    assert widened.allowed[wrong.element] == wrong.allowed


@pytest.mark.parametrize("seed", [29, 39, 42, 48])
def test_runs_are_made_until_both_sides_of_a_sign_show(seed: int) -> None:
    """The sign of what cancels but for its rounding is any: five runs of these seeds all end on one side."""
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[1, 1]"))).output
    two, four, some = (graph.add(constant(np.float32(number))).output for number in (2, 4, 0.035))
    sign = graph.add(Sign(), graph.add(Sub(), graph.add(Mul(), x, two).output, four).output).output
    graph.add(Output("y"), graph.add(Relu(), graph.add(Sub(), some, sign).output).output)
    reference, own, feeds = Plan(graph, wide=True), Plan(graph), {"x": np.full((1, 1), 2, np.float32)}
    expected = measure_as_needed(lambda look: reference.run(feeds, look), lambda look: own.run(feeds, look), seed)["y"]
    for right in (0.0, 0.035, 1.035):
        assert compare("y", expected, np.full((1, 1), right, np.float32)).passed
    assert not compare("y", expected, np.full((1, 1), 20, np.float32)).passed


def test_equal_seeds_give_equal_bounds() -> None:
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)}
    first, again, other = (expect(graph_of("f32[3, 4]", Sigmoid()), feeds, seed)["y"].allowed for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_runs_side_by_side_give_the_same_bounds() -> None:
    kernel = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[3, 4]"))).output
    product = graph.add(MatMul(), x, graph.add(constant(kernel)).output).output
    graph.add(Output("y"), graph.add(Sigmoid(), product).output)
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)}
    alone = expect(graph, feeds)["y"]
    for threads in (2, 6):
        np.testing.assert_array_equal(expect(graph, feeds, threads=threads)["y"].allowed, alone.allowed)


def test_an_error_of_a_run_side_by_side_ends_all() -> None:
    begun: list[int] = []

    def own(observe: object) -> dict[str, Array]:
        begun.append(1)
        raise ShapeError("does not fit")

    with pytest.raises(ShapeError, match="does not fit"):
        measure(lambda observe: {"y": np.zeros(1)}, own, 0, threads=2)
    assert len(begun) == 1


def test_overflow_in_the_own_precision_is_expected() -> None:
    expected = expect(graph_of("f32[2]", Exp()), {"x": np.array([1, 200], np.float32)})["y"]
    assert [special.tolist() for special in expected.special] == [[0, np.inf]]
    assert np.isfinite(expected.allowed).all()


def test_where_the_own_precision_overflows_a_wider_execution_is_right_too() -> None:
    """s / s and s - s² of a sum of squares s, which is too large for float16 in the second row."""
    graph = Graph()
    x = graph.add(Input("x", parse_type("f16[2, 4]"))).output
    s = graph.add(ReduceSum((1,), True), graph.add(Mul(), x, x).output).output
    graph.add(Output("one"), graph.add(Div(), s, s).output)
    graph.add(Output("large"), graph.add(Sub(), s, graph.add(Mul(), s, s).output).output)
    feeds = {"x": np.array([[1, 2, 3, 4], [300, 200, -300, 100]], np.float16)}
    expected = expect(graph, feeds)
    own = Plan(graph).run(feeds)
    assert np.isnan(own["one"]).tolist() == np.isnan(own["large"]).tolist() == [[False], [True]]
    for name, wide in Plan(graph, wide=True).run(feeds).items():
        with np.errstate(over="ignore"):
            assert compare(name, expected[name], wide.astype(np.float16)).passed
        assert compare(name, expected[name], own[name]).passed
    for wrong in ([1, 1.1], [1.1, 1], [1.1, np.nan], [np.nan, 1], [1, 0]):
        assert not compare("one", expected["one"], np.array(wrong, np.float16)[:, None]).passed


def test_where_the_own_precision_overflows_no_element_is_bounded_by_luck() -> None:
    """x·W · s/s, where s overflows and makes all NaN: every element is bounded as it is without the factor s/s."""
    rng = np.random.default_rng(0)
    graph = Graph()
    x = graph.add(Input("x", parse_type("f16[4, 64]"))).output
    weights = graph.add(constant(rng.normal(size=(64, 300)).astype(np.float16))).output
    product = graph.add(MatMul(), x, weights).output
    squares = graph.add(Mul(), x, x).output
    s = graph.add(ReduceSum((1,), True), graph.add(Mul(), squares, squares).output).output
    graph.add(Output("plain"), product)
    graph.add(Output("y"), graph.add(Mul(), product, graph.add(Div(), s, s).output).output)
    found = expect(graph, {"x": rng.uniform(20, 40, size=(4, 64)).astype(np.float16)})
    assert found["y"].overflows.all()
    assert not found["plain"].overflows.any()
    assert found["y"].allowed.min() > found["plain"].allowed.min() / 2
    assert np.median(found["y"].allowed) > np.median(found["plain"].allowed) / 2
    assert np.median(found["y"].allowed) < np.median(found["plain"].allowed) * 2


def test_large_values_may_stay_wide_up_to_their_norm() -> None:
    """x / |x|, where a runtime keeps a chain of large x wide, but not the norm: that is x / inf."""
    graph = Graph()
    value = graph.add(Input("x", parse_type("f16[2, 4]"))).output
    for factor in (300.0, *[1.0] * 20):
        value = graph.add(Mul(), value, graph.add(constant(np.array(factor, np.float16))).output).output
    norm = graph.add(ReduceL2((1,), True), value).output
    graph.add(Output("y"), graph.add(Div(), value, norm).output)
    feeds = {"x": np.array([[1, 2, 3, 4], [300, 400, -400, 500]], np.float16)}
    for seed in range(3):
        found = expect(graph, feeds, seed)["y"]
        right = found.reference.astype(np.float16)
        zeros = np.array([right[0], np.zeros(4)], np.float16)
        for actual in (right, zeros, Plan(graph).run(feeds)["y"]):
            assert compare("y", found, actual).passed
        for wrong in (
            zeros[::-1],
            right * np.array([[1], [1.1]], np.float16),
            zeros + np.array([[0], [0.1]], np.float16),
        ):
            assert not compare("y", found, wrong).passed


@pytest.mark.parametrize("dtype", ["f16", "f32"])
def test_a_zero_that_random_roundings_move_may_be_divided_by(dtype: str) -> None:
    """s / s, where s is exactly 0 in the own precision and only there."""
    graph = Graph()
    x = graph.add(Input("x", parse_type(f"{dtype}[2, 2]"))).output
    s = graph.add(LogSoftmax(1), x).output
    graph.add(Output("y"), graph.add(Div(), s, s).output)
    feeds = {"x": np.array([[30, 0], [1, 0]], x.type.dtype.numpy)}
    found, own = expect(graph, feeds)["y"], Plan(graph).run(feeds)["y"]
    np.testing.assert_array_equal(own, np.array([[np.nan, 1], [1, 1]]))
    np.testing.assert_array_equal(found.reference, np.ones((2, 2)))
    assert compare("y", found, own).passed
    assert compare("y", found, np.ones_like(own)).passed
    for place in ((0, 1), (1, 0), (1, 1)):
        wrong = own.copy()
        wrong[place] = np.nan
        assert not compare("y", found, wrong).passed


def test_a_choice_that_rounding_decides_is_left_open() -> None:
    graph = graph_of("f32[1, 2]", Sigmoid(), ArgMax(1, False))
    close = np.array([[0.3, np.nextafter(np.float32(0.3), 1)]], np.float32)
    assert np.isinf(expect(graph, {"x": close})["y"].allowed).all()
    assert (expect(graph, {"x": np.array([[0.1, 0.9]], np.float32)})["y"].allowed == 0).all()


def test_cancellation_widens_the_bound() -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[1, 2000]"))).output
    weights = np.repeat(np.array([1, -1], np.float32), 1000)[:, None]
    doubled = graph.add(Mul(), x, x).output
    graph.add(Output("y"), graph.add(MatMul(), doubled, graph.add(constant(weights)).output).output)
    expected = expect(graph, {"x": np.full((1, 2000), 1.1, np.float32)})["y"]
    assert expected.reference[0, 0] == 0
    assert 1e-3 < expected.allowed[0, 0] < 10


def test_a_formula_that_errs_alike_at_every_node_is_allowed() -> None:
    """A runtime whose Tanh is always too small by one rounding, through 1000 of them; and one node allows no more."""
    array = np.linspace(0.5, 2, 8, dtype=np.float32)[None]
    result = array
    for _ in range(1000):
        result = np.tanh(result) * np.float32(1 - 2**-23)
    chain = expect(graph_of("f32[1, 8]", *[Tanh()] * 1000), {"x": array})["y"]
    assert compare("y", chain, result).passed
    assert not compare("y", chain, result * np.float32(1.001)).passed
    single = expect(graph_of("f32[1, 8]", Tanh()), {"x": array})["y"]
    assert (single.allowed <= MULTIPLE * 3 * epsilon(np.dtype(np.float32)) * np.abs(single.reference)).all()


def test_equal_terms_are_rounded_alike() -> None:
    graph = graph_of("f32[1, 100000]", ReduceSum((1,), False))
    array = np.full((1, 100_000), 0.1, np.float32)
    total = np.float32(0)
    for number in array[0]:
        total += number
    expected = expect(graph, {"x": array})["y"]
    error = abs(float(total) - float(expected.reference[0]))
    assert error < float(expected.allowed[0])


@dataclass(frozen=True)
class Third(Op):
    """An operator that the table of sizes does not know: a sum with a cancellation inside."""

    def infer(self, x: TensorType) -> TensorType:
        return x

    def eval(self, x: Array) -> Array:
        return (x + x.dtype.type(1000)) - x.dtype.type(1000)


def test_an_unknown_operator_is_rounded_through_its_inputs() -> None:
    array = np.full(500, 777.7, np.float32)
    allowed = expect(graph_of("f32[500]", Third()), {"x": array})["y"].allowed
    assert (allowed > MULTIPLE * 1e-5).all()
    assert (allowed < 0.1).all()


def test_observer_sees_inputs_and_outputs() -> None:
    seen: list[tuple[str, Any, Any]] = []

    def observe(node: Node, inputs: tuple[Array | None, ...], outputs: tuple[Array, ...]) -> tuple[Array, ...]:
        seen.append((node.op.name, inputs, outputs))
        return outputs

    Plan(graph_of("f32[1]", Relu())).run({"x": np.array([-1], np.float32)}, observe)
    assert seen[0] == ("Relu", (np.array([-1], np.float32),), (np.array([0], np.float32),))


@pytest.mark.parametrize("name", ["SimpleRNN", "GRU", "LSTM"])
def test_every_step_of_a_recurrent_layer_is_rounded(name: str) -> None:
    """More features than units, and more units than gates of one: no two axes are of one size."""
    from kir import Input, Model, layers

    steps = Input(shape=(7, 6), name="steps")
    graph = Model(steps, getattr(layers, name)(5, name="last")(steps)).to_graph()
    feeds = {"steps": np.random.default_rng(0).normal(size=(3, 7, 6)).astype(np.float32)}
    reference, own = Plan(graph, wide=True), Plan(graph)
    found = measure(lambda observe: reference.run(feeds, observe), lambda observe: own.run(feeds, observe), 0)["last"]
    error = np.abs(own.run(feeds)["last"] - found.reference)
    assert (error <= found.allowed).all()
    assert (found.allowed < 1e-4).all()
    assert found.allowed.any()


def test_what_a_max_pool_makes_of_nan_is_not_settled() -> None:
    """onnxruntime passes over NaN, and begins at the lowest finite number."""
    graph = graph_of("f32[1, 1, 6]", MaxPool((2,), (2,), (1,), (0, 0), False), Exp())
    x = np.array([[[np.nan, 1, -np.inf, -np.inf, 2, 3]]], np.float32)
    (expected,) = expect(graph, {"x": x}).values()
    assert np.isinf(expected.allowed).tolist() == [[[True, False, False]]]
    for right in ([np.nan, 0, np.exp(3)], [np.exp(1), 0, np.exp(3)]):
        assert compare("y", expected, np.array([[right]], np.float32)).passed
    assert not compare("y", expected, np.array([[[1, 0, 3]]], np.float32)).passed
