"""Two graphs in float64: what rounding explains, and what it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.errors import ShapeError
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.numerics.compare import expect_runs
from kir.numerics.equivalence import Equivalence, _MovedConstant, are_same
from kir.numerics.rounded_constants import RoundedConstant
from kir.ops.elementwise import Add, Div, Erf, Exp, Gelu, Greater, Mul, Round, Sub, Tanh
from kir.ops.linear import MatMul
from kir.ops.reduce import ArgMax, ReduceSum
from kir.ops.shape import Reshape
from tests.passes.building import Build

GENERATOR = np.random.default_rng(0)
KERNEL = GENERATOR.standard_normal((6, 6)).astype(np.float32)
SCALE = (GENERATOR.random(6) + 0.5).astype(np.float32)


def differences(original: Graph, rewritten: Graph) -> list[str]:
    equivalence = Equivalence(original, rewritten, 0)
    return [report.name for run in expect_runs(original, 0) for report in equivalence.find_differences(run)]


def scaled(kernel: Any = KERNEL, scale: Any = SCALE, after: Any = None) -> Graph:
    build = Build("f32[batch, 6]")
    y = build(MatMul(), build.inputs[0], kernel)
    y = y if scale is None else build(Mul(), y, scale)
    return build.finish(y if after is None else build(after, y))


def folded(factor: float = 1.0, after: Any = None) -> Graph:
    return scaled((KERNEL.astype(np.float64) * SCALE * factor).astype(np.float32), None, after)


@pytest.mark.parametrize("cheap_work", [10**8, 0])
def test_constants_that_were_rounded_may_move_by_that(cheap_work: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kir.numerics.equivalence.CHEAP_WORK", cheap_work)
    assert differences(scaled(), folded()) == []
    assert differences(scaled(), folded(1 + 1e-5)) != []


@pytest.mark.parametrize("after", [ArgMax(1, False), Round(), ReduceSum((0,), False)], ids=str)
def test_what_rounding_turns_over_is_not_settled(after: Any) -> None:
    assert differences(scaled(after=after), folded(after=after)) == []
    assert differences(scaled(after=after), folded(-1, after)) != []


def test_one_weight_of_a_graph_from_elsewhere_shows() -> None:
    wrong = KERNEL.copy()
    wrong[2, 3] *= np.float32(1 + 1e-5)
    assert differences(scaled(), scaled(KERNEL.copy(), SCALE.copy())) == []
    assert differences(scaled(), scaled(wrong, SCALE.copy())) != []


def test_sums_in_another_order_are_equal() -> None:
    def joined(left: bool) -> Graph:
        build = Build("f32[batch, 6]")
        x = build.inputs[0]
        first, second, third = (build(Tanh(), build(Mul(), x, number)) for number in KERNEL[:3, 0])
        if left:
            return build.finish(build(Add(), build(Add(), first, second), third))
        return build.finish(build(Add(), first, build(Add(), second, third)))

    assert differences(joined(True), joined(False)) == []


def test_a_difference_that_nearly_cancels_is_judged_by_its_rounding() -> None:
    """The own precision gives the same zero for both, so that only float64 runs with roundings tell what is right."""

    def cancelling(order: int) -> Graph:
        build = Build("f32[batch, 6]")
        x = build(Exp(), build.inputs[0])
        big = np.float32(3e7)
        y = build(Sub(), build(Add(), x, big), big) if order else build(Add(), x, build(Sub(), big, big))
        return build.finish(y)

    assert differences(cancelling(0), cancelling(1)) == differences(cancelling(1), cancelling(0)) == []


def test_a_comparison_that_is_another_one_shows() -> None:
    def compared(number: float) -> Graph:
        build = Build("f32[batch, 6]")
        return build.finish(build(Greater(), build.inputs[0], np.float32(number)))

    assert differences(compared(0.25), compared(0.25)) == []
    assert differences(compared(0.25), compared(-0.25)) != []


def test_numbers_that_were_taken_for_exact_ones_may_be_rounded() -> None:
    def gelu(root: float) -> Graph:
        build = Build("f32[batch, 6]")
        x = build.inputs[0]
        part = build(Add(), build(Erf(), build(Mul(), x, np.float32(root))), np.float32(1))
        return build.finish(build(Mul(), build(Mul(), x, part), np.float32(0.5)))

    build = Build("f32[batch, 6]")
    recognised = build.finish(build(Gelu(False), build.inputs[0]))
    assert differences(gelu(np.sqrt(0.5)), recognised) == []
    assert differences(gelu(0.707), recognised) != []


def test_infinities_stay_where_they_are() -> None:
    def reciprocal(sign: float) -> Graph:
        build = Build("f32[batch, 6]")
        zero = build(Mul(), build.inputs[0], np.float32(0))
        return build.finish(build(Div(), np.float32(sign), build(Mul(), zero, zero)))

    assert differences(reciprocal(1), reciprocal(1)) == []
    assert differences(reciprocal(1), reciprocal(-1)) == ["y0"] * 3


def test_a_graph_that_does_not_run_raises() -> None:
    original = scaled()
    build = Build("f32[1, 6]")
    fixed = build.finish(build(Reshape((1, 6)), build.inputs[0]))
    with pytest.raises(ShapeError):
        differences(original, fixed)


def test_graphs_are_the_same_if_their_operators_and_values_are() -> None:
    graph = scaled()
    assert are_same(graph, graph.copy())
    assert not are_same(graph, scaled(scale=SCALE + 1))
    assert not are_same(graph, folded())

    def difference(swapped: bool) -> Graph:
        build = Build("f32[6]", "f32[6]")
        a, b = build.inputs
        return build.finish(build(Sub(), *((b, a) if swapped else (a, b))))

    assert are_same(difference(False), difference(False))
    assert not are_same(difference(False), difference(True))


def test_moved_constants_are_as_far_off_as_roundings() -> None:
    build = Build()
    where = np.zeros(KERNEL.shape, bool)
    where[1, 2] = True
    constant = build.constant(KERNEL).node
    for chosen in (None, where):
        moved: Array = _MovedConstant(RoundedConstant(constant, chosen), np.random.default_rng(0))()
        roundings = np.abs(moved - KERNEL) / np.abs(KERNEL) / np.finfo(np.float32).eps
        assert 0 < roundings.max() <= 2
        if chosen is not None:
            assert np.flatnonzero(roundings).tolist() == np.flatnonzero(where).tolist()
