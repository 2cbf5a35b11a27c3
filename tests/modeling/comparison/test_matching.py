"""Which node is which: what was added, removed or changed is what somebody did."""

from __future__ import annotations

import numpy as np
import pytest

from kir.ir.graph import Graph
from kir.ir.op import Op
from kir.ir.structural import Output, constant
from kir.modeling.comparison import compare_graphs
from kir.modeling.comparison.comparison import Comparison
from kir.ops.elementwise import Add, Exp, Gelu, Mul, Relu, Sub, Tanh
from kir.ops.random import Dropout
from kir.ops.shape import Concat
from tests.modeling.comparison.graphs import Layers, automatic, chain, diff, places

NAMES = [f"block{place}" for place in range(6)]


def renamed(comparison: Comparison) -> dict[str, str]:
    return {renaming.a: renaming.b for renaming in comparison.structure.renamed}


@pytest.mark.parametrize("names", [NAMES, automatic(6)])
def test_a_graph_is_itself(names: list[str]) -> None:
    comparison = diff(chain(names), chain(names))
    assert comparison.same
    assert comparison.structure.same == 12
    assert comparison.weights.equal == 12
    assert not comparison.structure.renamed


@pytest.mark.parametrize("names", [NAMES, automatic(6)])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("place", [0, 3, 5])
def test_a_changed_activation_is_one_change_whatever_the_weights(names: list[str], seed: int, place: int) -> None:
    comparison = diff(chain(names), chain(names, seed=seed, activations={place: Gelu(False)}))
    (change,) = comparison.structure.changed
    assert change.place_a == f"{names[place]}/Relu"
    assert [(one.what, one.a, one.b) for one in change.changes] == [
        ("operator", "Relu", "Gelu(approximate=False)"),
    ]
    assert comparison.structure.same == 11
    assert not comparison.structure.added
    assert not comparison.structure.renamed


@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_layer_added_between_named_ones(place: int) -> None:
    names = [*NAMES[:place], "new", *NAMES[place:]]
    comparison = diff(chain(NAMES), chain(names, seed=1))
    assert places(comparison.structure.added) == ["new"]
    assert comparison.structure.same == 12
    assert not comparison.structure.changed
    assert not comparison.structure.renamed
    assert comparison.structure.added[0].after == (NAMES[place - 1] if place else "input x",)


@pytest.mark.parametrize("place", [0, 2, 5])
def test_weights_tell_which_layer_was_added_when_automatic_names_shift(place: int) -> None:
    numbers = [*range(place), 100, *range(place, 6)]
    comparison = diff(chain(automatic(6)), chain(automatic(7), numbers))
    assert places(comparison.structure.added) == [automatic(7)[place]]
    assert renamed(comparison) == {automatic(7)[i]: automatic(7)[i + 1] for i in range(place, 6)}
    assert comparison.weights.equal == 12
    assert not comparison.weights.changed


def test_shapes_tell_it_when_all_weights_changed() -> None:
    a, b = Layers(), Layers(seed=1)
    for place, units in enumerate([8, 16, 32]):
        a.dense(automatic(4)[place], place, units)
    for place, units in enumerate([8, 8, 16, 32]):
        b.dense(automatic(4)[place], place, units)
    comparison = diff(a.finish(), b.finish())
    assert places(comparison.structure.added) == ["dense_1"]
    assert renamed(comparison) == {"dense_1": "dense_2", "dense_2": "dense_3"}
    assert {change.kind for change in comparison.weights.changed} == {"values"}


def test_operators_between_two_changes_follow_their_layers_and_not_shifted_names() -> None:
    """The activations between the added layer and the changed one have no weights that tell which they are."""
    numbers = [0, 1, 100, 2, 3, 4, 5, 6, 7]
    comparison = diff(chain(automatic(8)), chain(automatic(9), numbers, activations={6: Tanh()}))
    assert places(comparison.structure.added) == ["dense_2"]
    assert [change.place_a for change in comparison.structure.changed] == ["dense_5/Relu"]
    assert comparison.structure.same == 15


def test_an_operator_added_in_the_middle_explains_what_is_read_behind_it() -> None:
    a = Layers().dense("first", 0).dense("second", 1)
    b = Layers().dense("first", 0).layer("drop", Dropout(0.5, None, None)).dense("second", 1)
    comparison = diff(a.finish(), b.finish())
    (part,) = comparison.structure.added
    assert (part.place, part.layer, part.after) == ("drop", "drop (Dropout)", ("first",))
    assert part.operators == ("Dropout(rate=0.5, noise_shape=None, seed=None)",)
    assert not comparison.structure.changed


def test_a_residual_connection_is_one_added_node() -> None:
    a = Layers().dense("first", 0)
    b = Layers().dense("first", 0)
    start = b.graph.inputs[0].output
    comparison = diff(a.dense("second", 1).finish(), b.layer("sum", Add(), start).dense("second", 1).finish())
    assert places(comparison.structure.added) == ["sum"]
    assert comparison.structure.added[0].after == ("first", "input x")
    assert not comparison.structure.changed


@pytest.mark.parametrize("seed", [0, 1])
def test_other_names_are_no_difference(seed: int) -> None:
    comparison = diff(chain(automatic(6)), chain(NAMES, seed=seed))
    assert comparison.differences == (("weights",) if seed else ())
    assert renamed(comparison) == dict(zip(automatic(6), NAMES, strict=True))


def test_other_names_and_weights_and_both_ends_changed_leave_neighbours() -> None:
    ends: dict[int, Op] = {0: Tanh(), 5: Tanh()}
    comparison = diff(chain(automatic(6)), chain(NAMES, seed=1, activations=ends))
    assert renamed(comparison) == dict(zip(automatic(6), NAMES, strict=True))
    assert [change.place_a for change in comparison.structure.changed] == ["dense/Relu", "dense_5/Relu"]
    assert comparison.structure.same == 10


def test_an_operator_added_to_a_chain_that_is_otherwise_new() -> None:
    a, b = Layers(), Layers(seed=1)
    for place in range(4):
        a.dense(f"a{place}", place, activation=Tanh() if place in (0, 3) else None)
        b.dense(f"b{place}", place)
        if place == 1:
            b.layer("drop", Dropout(0.5, None, None))
    comparison = diff(a.finish(), b.finish())
    assert places(comparison.structure.added) == ["drop"]
    assert [change.place_a for change in comparison.structure.changed] == ["a0/Tanh", "a3/Tanh"]


def test_what_one_graph_has_alone_is_told_by_layer() -> None:
    def graph(more: bool) -> Graph:
        layers = Layers().dense("first", 0)
        if more:
            layers.layer("first", Exp()).layer("first", Tanh()).layer("new", Exp()).layer("new", Gelu(False))
        return layers.dense("last", 1).finish()

    partial, whole = diff(graph(False), graph(True)).structure.added
    assert (partial.place, partial.whole, partial.operators, partial.after) == ("first", False, ("Exp", "Tanh"), ())
    assert (whole.place, whole.whole, whole.after) == ("new", True, ("first",))


def branches(order: list[int], seed: int = 0) -> Graph:
    """Four branches from the input, built in this order, concatenated in another."""
    layers = Layers(seed=seed)
    start = layers.value
    ends = {}
    for place in order:
        layers.value = start
        ends[place] = layers.dense(f"branch{place}", place).dense(f"top{place}", 10 + place).value
    layers.value = ends[0]
    return layers.layer("join", Concat(1), ends[1], ends[2], ends[3]).finish()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_in_which_branches_were_built_is_no_difference(seed: int) -> None:
    comparison = diff(branches([0, 1, 2, 3]), branches([3, 1, 0, 2], seed))
    assert comparison.differences == (("weights",) if seed else ())
    assert not comparison.structure.renamed


def two_inputs(op: type[Add] | type[Sub], turned: bool) -> Graph:
    layers = Layers()
    start = layers.value
    first = layers.dense("first", 0).value
    layers.value = start
    second = layers.dense("second", 1).value
    layers.value, other = (second, first) if turned else (first, second)
    return layers.layer("both", op(), other).finish()


def test_inputs_in_another_order_count_where_they_do() -> None:
    assert diff(two_inputs(Add, False), two_inputs(Add, True)).same
    (change,) = diff(two_inputs(Sub, False), two_inputs(Sub, True)).structure.changed
    assert [(one.what, one.a, one.b) for one in change.changes] == [
        ("input a", "first/Relu", "second/Relu"),
        ("input b", "second/Relu", "first/Relu"),
    ]


def test_an_output_that_reads_another_node_is_named() -> None:
    def graph(place: str) -> Graph:
        layers = Layers()
        values = {"first": layers.dense("first", 0).value, "second": layers.dense("second", 1).value}
        layers.graph.add(Output("z"), values["second"])
        layers.value = values[place]
        return layers.finish()

    (change,) = diff(graph("first"), graph("second")).structure.changed
    assert change.place_a == "output y"
    assert [(one.a, one.b) for one in change.changes] == [("first/Relu", "second/Relu")]


def test_a_weight_where_something_was_computed_is_another_input() -> None:
    def graph(fixed: bool) -> Graph:
        layers = Layers()
        start = layers.value
        other = layers.weight(np.ones(4, np.float32), "scale", "factor") if fixed else layers.layer("e", Exp()).value
        layers.value = start
        return layers.layer("scale", Mul(), other).finish()

    comparison = diff(graph(True), graph(False))
    (change,) = comparison.structure.changed
    assert change.place_a == "scale/Mul"
    assert [(one.what, one.a, one.b) for one in change.changes] == [("input b", "scale/factor", "e/Exp")]
    assert [weight.name for weight in comparison.weights.removed] == ["scale/factor"]


def test_graphs_without_any_names_match_by_structure() -> None:
    def graph(last: float) -> Graph:
        layers = Layers()
        value = layers.value
        for factor in (2.0, 3.0, last):
            scale = layers.graph.add(constant(np.float32(factor))).output
            value = layers.graph.add(Mul(), layers.graph.add(Relu(), value).output, scale).output
        layers.value = value
        return layers.finish()

    comparison = diff(graph(4.0), graph(5.0))
    assert comparison.differences == ("weights",)
    assert comparison.structure.same == 6
    (change,) = comparison.weights.changed
    assert change.values == ("4.0", "5.0")


@pytest.mark.slow
@pytest.mark.parametrize("names", [[f"block{place}" for place in range(25_000)], automatic(25_000)])
def test_100_000_nodes_with_a_change_in_the_middle(names: list[str]) -> None:
    count = len(names)
    a, b = Layers(), Layers()
    for place, name in enumerate(names):
        a.layer(name, Relu()).layer(name, Exp())
        b.layer(name, Relu()).layer(name, Tanh() if place == count // 2 else Exp())
        if place == count // 3:
            b.layer("new", Gelu(False))
    comparison = compare_graphs(a.finish(), b.finish(), run=False)
    assert [change.place_a for change in comparison.structure.changed] == [f"{names[count // 2]}/Exp"]
    assert places(comparison.structure.added) == ["new"]
    assert comparison.structure.same == 2 * count - 1


@pytest.mark.slow
def test_a_value_that_20_000_nodes_read() -> None:
    def graph(changed: int) -> Graph:
        layers = Layers()
        start = layers.value
        values = []
        for place in range(20_000):
            layers.value = start
            values.append(layers.layer(f"branch{place}", Tanh() if place == changed else Relu()).value)
        layers.value = values[0]
        return layers.layer("join", Concat(1), *values[1:]).finish()

    comparison = compare_graphs(graph(-1), graph(15_000), run=False)
    assert [change.place_a for change in comparison.structure.changed] == ["branch15000/Relu"]
