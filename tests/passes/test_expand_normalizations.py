"""Unlike the other passes this one makes graphs larger, so the tests count operators themselves."""

from typing import Any

import numpy as np
import pytest

from kir import passes
from kir.ir.graph import Graph
from kir.ops.convolution import Conv
from kir.ops.normalization import LayerNormalization
from kir.ops.shape import Transpose
from kir.passes.expand_normalizations import expand_normalizations
from kir.passes.fold_affine import fold_affine
from kir.passes.layouts import invert
from tests.passes.building import Build, make_feeds, op_names, weights

IMAGE = "f32[batch, 6, 5, 4]"
LAST = (0, 2, 3, 1)
FIRST = (0, 3, 1, 2)
FORMULA = ["ReduceMean", "Sub", "ReduceSumSquare", "Add", "Sqrt", "Div", "Mul"]
STAYS = ["Transpose", "LayerNormalization", "Transpose"]


def between(*vectors: Any, there: tuple[int, ...] = LAST, back: tuple[int, ...] = FIRST, axis: int = 3) -> Any:
    """Return a normalization between two Transposes."""
    return lambda b, x: b(Transpose(back), b(LayerNormalization(axis, 0.1), b(Transpose(there), x), *vectors))


def apply(build: Any, *types: str, also: tuple[passes.Pass, ...] = ()) -> Graph:
    b = Build(*types)
    graph = b.finish(build(b, *b.inputs))
    feeds = make_feeds(graph, special=False)
    passes.run(graph, (expand_normalizations, *also), check=True, feeds=feeds)
    return graph


def read_before(b: Any, x: Any) -> Any:
    turned = b(Transpose(LAST), x)
    return b(Transpose(FIRST), b(LayerNormalization(3, 0.1), turned, weights(6))), turned


def read_behind(b: Any, x: Any) -> Any:
    normal = b(LayerNormalization(3, 0.1), b(Transpose(LAST), x), weights(6))
    return b(Transpose(FIRST), normal), normal


def scaled_by_a_value(b: Any, x: Any, scale: Any) -> Any:
    return between(scale)(b, x)


CASES: dict[str, tuple[Any, list[str]]] = {
    "1": (between(weights(6), weights(6, seed=2)), [*FORMULA, "Add"]),
    "1 without a bias": (between(weights(6)), FORMULA),
    "1 with a bias of zeros": (between(weights(6), np.zeros(6, np.float32)), FORMULA),
    "1 several axes": (
        between(weights(6, 5), weights(6, 5, seed=2), there=(0, 3, 1, 2), back=(0, 2, 3, 1), axis=2),
        [*FORMULA, "Add"],
    ),
    "1 in another order": (
        between(weights(4, 6), weights(4, 6, seed=2), there=(0, 2, 3, 1), back=invert((0, 2, 3, 1)), axis=2),
        [*FORMULA, "Add"],
    ),
    "1 not if they do not cancel": (between(weights(6), back=(0, 3, 2, 1)), STAYS),
    "1 not if another reads the first": (read_before, STAYS),
    "1 not if another reads it": (read_behind, STAYS),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    assert op_names(apply(build, IMAGE)) == expected


def test_other_ranks_stay() -> None:
    build = between(weights(6), there=(0, 2, 1), back=(0, 2, 1), axis=2)
    assert op_names(apply(build, "f32[batch, 6, time]")) == STAYS


def test_half_precision_stays() -> None:
    assert op_names(apply(between(weights(6).astype(np.float16)), IMAGE.replace("f32", "f16"))) == STAYS


def test_a_scale_that_is_computed_stays() -> None:
    assert op_names(apply(scaled_by_a_value, IMAGE, "f32[6]")) == STAYS


def test_unknown_sizes() -> None:
    assert op_names(apply(between(weights(6)), "f32[batch, 6, time, 4]")) == FORMULA


@pytest.mark.parametrize(("padding", "left"), [((0, 0, 0, 0), 0), ((1, 1, 1, 1), 1)])
def test_a_convolution_takes_scale_and_bias_unless_it_pads(padding: tuple[int, ...], left: int) -> None:
    """Of zeros that are padded there is nothing to shift."""

    def build(b: Any, x: Any) -> Any:
        normal = between(weights(6), weights(6, seed=2))(b, x)
        return b(Conv((3, 3), (1, 1), 1, padding), normal, weights(3, 6, 3, 3))

    names = op_names(apply(build, IMAGE, also=(fold_affine,)))
    assert names == [*FORMULA[:-1], *["Mul", "Add"][: 2 * left], "Conv"]
