"""The layer at which two graphs part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.ir.graph import Graph
from kir.ir.types import DType
from kir.numerics.first_layer import find_first_layer
from kir.ops.elementwise import Add, Cast, Mul, Tanh
from kir.ops.linear import MatMul
from kir.ops.shape import Transpose
from tests.passes.building import Build

GENERATOR = np.random.default_rng(0)
FIRST, SECOND, SCALE = (GENERATOR.standard_normal(shape) for shape in ((6, 6), (6, 4), (4,)))
FEEDS = {"x0": GENERATOR.standard_normal((3, 6))}


def layers(first: Any = FIRST, second: Any = SECOND, scale: Any = SCALE) -> Graph:
    build = Build("f64[3, 6]")
    hidden = build(Tanh(), build(MatMul(), build.inputs[0], first))
    return build.finish(build(Tanh(), build(Mul(), build(MatMul(), hidden, second), scale)))


@pytest.mark.parametrize(
    ("changed", "layer"),
    [
        ({}, None),
        ({"first": FIRST.T}, "layer_1"),
        ({"second": SECOND * (1 + 1e-5)}, "layer_3"),
        ({"scale": -SCALE}, "layer_4"),
    ],
    ids=str,
)
def test_the_first_layer_with_other_values_is_named(changed: dict[str, Any], layer: str | None) -> None:
    found = find_first_layer(layers(), layers(**changed), FEEDS)
    assert (found and found.path) == layer


def test_layers_that_were_joined_with_the_next_do_not_count() -> None:
    joined = layers(second=SECOND * SCALE, scale=np.ones(4))
    assert find_first_layer(layers(), joined, FEEDS) is None


def test_elements_may_stand_in_another_order() -> None:
    build = Build("f64[3, 6]")
    across = build(MatMul(), FIRST.T.copy(), build(Transpose((1, 0)), build.inputs[0]))
    hidden = build(Tanh(), across)
    product = build(MatMul(), SECOND.T.copy(), hidden)
    moved = build.finish(build(Tanh(), build(Transpose((1, 0)), build(Mul(), product, SCALE[:, None]))))
    assert find_first_layer(layers(), moved, FEEDS) is None


def test_of_two_branches_the_wrong_one_is_named() -> None:
    def branches(number: float) -> Graph:
        build = Build("f64[3, 6]")
        x = build.inputs[0]
        return build.finish(build(Add(), build(Mul(), x, np.array(2.5)), build(Mul(), x, np.array(number))))

    found = find_first_layer(branches(3.0), branches(3.1), FEEDS)
    assert found is not None
    assert found.path == "layer_2"


def test_values_may_be_large() -> None:
    """Their cubes overflow."""
    large = layers(scale=SCALE * 1e200)
    assert find_first_layer(large, large, FEEDS) is None


@pytest.mark.parametrize(("rounds", "layer"), [(False, None), (True, "layer_3")])
def test_fewer_bits_count_where_the_graph_runs_in_its_own_precision(rounds: bool, layer: str | None) -> None:
    """A value that goes through float16 is the same number in float64."""
    build = Build("f64[3, 6]")
    hidden = build(Tanh(), build(MatMul(), build.inputs[0], FIRST))
    hidden = build(Cast(DType.FLOAT64), build(Cast(DType.FLOAT16), hidden))
    narrow = build.finish(build(Tanh(), build(Mul(), build(MatMul(), hidden, SECOND), SCALE)))
    found = find_first_layer(layers(), narrow, FEEDS, rounds=rounds)
    assert (found and found.path) == layer


def test_an_output_that_is_wrong_does_not_speak_for_the_layers_before_it() -> None:
    """Its elements are exchanged: the same numbers, in another order."""
    exchanged = layers(second=SECOND[:, ::-1], scale=SCALE[::-1])
    assert find_first_layer(layers(), exchanged, FEEDS) is None
    found = find_first_layer(layers(), exchanged, FEEDS, wrong=["y0"])
    assert found is not None
    assert found.path == "layer_5"
