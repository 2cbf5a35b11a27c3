"""Going through layers and those inside them."""

from __future__ import annotations

from kir import Input, Model, Sequential
from kir.layers import LSTM, Bidirectional, Dense, Layer
from kir.modeling.weight_owner import is_of_kir, walk_layers


def test_each_layer_comes_once_and_after_its_owner() -> None:
    shared = Dense(2, name="shared")
    inner = Sequential([shared, Dense(2, name="other")], name="inner")
    x = Input((2,), name="x")
    model = Model(x, shared(inner(x)), name="outer")

    names = [layer.name for layer in walk_layers(model)]

    assert names[0] == "outer"
    assert sorted(names[1:]) == ["inner", "other", "shared", "x"]
    assert names.index("inner") < names.index("other")


class Holder(Layer):
    """A layer of the user's own, which owns what it is given."""

    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        self.held = layers


def test_layers_inside_wrappers_are_found() -> None:
    names = [type(layer).__name__ for layer in walk_layers(Bidirectional(LSTM(1)))]

    assert names == ["Bidirectional", "LSTM", "LSTM"]


def test_layers_that_share_layers_take_no_longer_for_it() -> None:
    layer: Layer = Dense(1)
    for _ in range(40):
        layer = Holder(Holder(layer), Holder(layer))

    assert len(list(walk_layers(layer))) == 1 + 3 * 40


def test_what_the_user_defines_is_not_of_kir() -> None:
    assert is_of_kir(Dense)
    assert not is_of_kir(Holder)
