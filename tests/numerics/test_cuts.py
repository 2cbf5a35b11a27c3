"""Where graphs are cut: at the last free value before something bends it."""

from __future__ import annotations

from typing import Any

import numpy as np

from kir.ir.graph import Graph
from kir.ir.interpreter import run
from kir.ir.types import BATCH
from kir.numerics.cuts import find_cuts, is_bounded, split_activations
from kir.ops.convolution import Conv
from kir.ops.elementwise import Add, Mul, Relu, Tanh
from kir.ops.linear import Dense, MatMul
from kir.ops.recurrent import RNN
from kir.ops.reduce import ReduceMean
from kir.ops.shape import Concat, Reshape, Transpose
from tests.passes.building import Build, make_feeds

KERNEL = np.random.default_rng(0).standard_normal((6, 6)).astype(np.float32)
SCALE = np.float32(2)


def cuts(graph: Graph) -> list[str]:
    """Return the layer of each cut, and what bends it."""
    found = find_cuts(graph).items()
    return [f"{value.node.origin}: {', '.join(sorted(op.__name__ for op in bending))}" for value, bending in found]


def test_the_cut_is_the_last_of_the_values_that_may_be_merged() -> None:
    build = Build("f32[batch, 6]")
    y = build(Mul(), build(Dense(), build.inputs[0], KERNEL), SCALE)
    y = build(Transpose((1, 0, 2)), build(Reshape((BATCH, 2, 3)), y))
    assert cuts(build.finish(build(Relu(), y))) == ["layer_2 (Mul): Relu"]


def test_a_value_that_is_bounded_is_no_cut() -> None:
    build = Build("f32[batch, 6]")
    y = build(Add(), build(Relu(), build.inputs[0]), SCALE)
    assert cuts(build.finish(build(Tanh(), y))) == []


def test_what_is_added_to_another_value_is_cut_before() -> None:
    build = Build("f32[batch, 6]")
    x = build.inputs[0]
    assert cuts(build.finish(build(Tanh(), build(Add(), x, build(Dense(), x, KERNEL))))) == ["layer_1 (Dense): Add"]


def test_several_free_values_stay_free_together() -> None:
    build = Build("f32[batch, 6]")
    halves = [build(Dense(), build.inputs[0], KERNEL) for _ in range(2)]
    assert cuts(build.finish(build(Tanh(), build(Concat(1), *halves)))) == ["layer_3 (Concat): Tanh"]
    build = Build("f32[6, 6]")
    a, b = (build(MatMul(), build.inputs[0], KERNEL) for _ in range(2))
    assert cuts(build.finish(build(Tanh(), build(MatMul(), a, b)))) == ["layer_3 (MatMul): Tanh"]


def test_an_output_bends_what_nothing_else_continues() -> None:
    def ending(continues: bool) -> Graph:
        build = Build("f32[batch, 6]")
        y = build(Dense(), build.inputs[0], KERNEL)
        return build.finish((y, build(ReduceMean((1,), False), y)) if continues else y)

    assert cuts(ending(False)) == ["layer_1 (Dense): Output"]
    assert cuts(ending(True)) == ["layer_2 (ReduceMean): Output"]


def test_recurrent_layers_are_cut_within_their_bounds() -> None:
    build = Build("f32[5, batch, 6]")
    weights = KERNEL[None], KERNEL[None], np.zeros((1, 12), np.float32)
    layer = RNN(6, "forward", (("Tanh", 0.0, 0.0),))
    y, _ = build(layer, build.inputs[0], *weights)
    y, _ = build(layer, build(Reshape((5, BATCH, 6)), y), *weights)
    first, second = find_cuts(build.finish(y))
    assert is_bounded(first)
    assert is_bounded(second)
    build = Build("f32[batch, 3, 8, 8]")
    conv = build(Conv((1, 1), (1, 1), 1, "same"), build.inputs[0], np.ones((2, 3, 3, 3), np.float32))
    (cut,) = find_cuts(build.finish(build(Relu(), conv)))
    assert not is_bounded(cut)


def test_activations_are_split_off() -> None:
    def dense(activation: Any) -> Graph:
        build = Build("f32[batch, 6]")
        return build.finish(build(Dense(activation), build.inputs[0], KERNEL))

    graph = dense(Tanh())
    split, given = split_activations(graph)
    (cut,) = find_cuts(split)
    assert given[cut] is graph.outputs[0].inputs[0]
    feeds = make_feeds(graph, special=False)
    np.testing.assert_array_equal(run(split, feeds)["y0"], run(graph, feeds)["y0"])
    plain = dense(None)
    assert split_activations(plain) == (plain, {})
