"""Models with masked recurrent layers, put together from their graphs as passes left them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kir import Input, Model, Sequential, passes
from kir import layers as L
from kir.ir.graph import Graph
from kir.lift.recognise import recognise
from kir.lift.recurrent import assemble_recurrent_model


def optimised(*layers: L.Layer) -> tuple[Model, Graph]:
    model = Sequential([Input((5, 3)), *layers], name="m")
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    graph = model.to_graph()
    passes.run(graph, passes.pipeline())
    return model, graph


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.LSTM(4),
        lambda: L.GRU(4, return_sequences=True),
        lambda: L.SimpleRNN(4, go_backwards=True),
        lambda: L.Bidirectional(L.LSTM(4, return_sequences=True)),
    ],
    ids=["lstm", "gru", "simple_rnn", "bidirectional"],
)
def test_the_layers_and_their_weights_are_found(make: Callable[[], L.Layer]) -> None:
    model, graph = optimised(L.Masking(0.5), make(), L.Dense(2))
    found = assemble_recurrent_model(graph, recognise(graph, finished=passes.pipeline()))
    assert found is not None
    assert [(type(one), one.name) for one in found.layers[1:]] == [(type(one), one.name) for one in model.layers]
    assert [weight.array.tolist() for weight in found.weights] == [weight.array.tolist() for weight in model.weights]
    assert found.output_names == model.output_names


def test_without_masks_nothing_is_assembled() -> None:
    _, graph = optimised(L.LSTM(4))
    assert assemble_recurrent_model(graph, recognise(graph, finished=passes.pipeline())) is None


def test_a_layer_that_nobody_knows_is_in_the_way() -> None:
    _, graph = optimised(L.Masking(0.5), L.LSTM(4), L.Lambda(lambda x: x * x - 1))
    assert assemble_recurrent_model(graph, recognise(graph, finished=passes.pipeline())) is None
