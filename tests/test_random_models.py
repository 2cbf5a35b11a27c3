"""Random models of core layers: the optimised graph, and onnxruntime, compute what the layers mean."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kir import Input, Model, passes
from kir import backend as K
from kir.exporters.pipeline import export_model
from kir.ir.interpreter import run
from kir.layers import (
    GRU,
    LSTM,
    Activation,
    ActivityRegularization,
    Add,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    Identity,
    Lambda,
    Multiply,
    Permute,
    RepeatVector,
    Reshape,
    SpatialDropout1D,
)
from kir.modeling.functional import KerasTensor
from kir.support.naming import reset_names

ACTIVATIONS = [
    "relu",
    "tanh",
    "sigmoid",
    "softmax",
    "gelu",
    "elu",
    "softplus",
    "silu",
    "hard_sigmoid",
    "leaky_relu",
    None,
]
LAMBDAS: list[Callable[[Any], Any]] = [
    lambda x: x**2,
    lambda x: x * 0.5 - 1.0,
    lambda x: K.l2_normalize(x, axis=-1),
    lambda x: np.exp(-np.abs(x)),
    lambda x: K.concatenate([K.relu(x), K.relu(-x)], axis=-1),
    lambda x: x - K.mean(x, axis=-1, keepdims=True),
    lambda x: K.where(x > 0, x, 0.1 * x),
    lambda x: x[..., ::-1],
]


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Return a functional model of one to eight random layers, now and then with a branch."""
    reset_names()
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    x = inputs = Input(shape=shape, name="x")
    for _ in range(draw(st.integers(1, 8))):
        x = draw(st.sampled_from(applicable(x)))(draw, x)
    return Model(inputs, x)


def applicable(x: KerasTensor) -> list[Callable[[st.DrawFn, KerasTensor], KerasTensor]]:
    """Return the steps that can follow a tensor of this rank and size."""
    steps: list[Callable[[st.DrawFn, KerasTensor], KerasTensor]]
    steps = [dense, activation, dropout, keep_shape, reshape, permute, traced, branch]
    if len(x.shape) == 2:
        steps.append(lambda draw, x: RepeatVector(draw(st.integers(1, 3)))(x))
    if len(x.shape) == 3:
        steps += [recurrent, lambda draw, x: SpatialDropout1D(0.3)(x)]
    return steps


def dense(draw: st.DrawFn, x: KerasTensor) -> KerasTensor:
    layer = Dense(draw(st.integers(1, 6)), activation=draw(st.sampled_from(ACTIVATIONS)), use_bias=draw(st.booleans()))
    return layer(x)


def activation(draw: st.DrawFn, x: KerasTensor) -> KerasTensor:
    return Activation(draw(st.sampled_from([name for name in ACTIVATIONS if name])))(x)


def dropout(draw: st.DrawFn, x: KerasTensor) -> KerasTensor:
    return Dropout(draw(st.sampled_from([0.0, 0.5])))(x)


def keep_shape(draw: st.DrawFn, x: KerasTensor) -> KerasTensor:
    return draw(st.sampled_from([Identity, ActivityRegularization]))()(x)


def reshape(draw: st.DrawFn, x: KerasTensor) -> KerasTensor:
    size = int(np.prod(known_sizes(x)))
    factors = [n for n in range(1, size + 1) if size % n == 0]
    first = draw(st.sampled_from(factors))
    layer = draw(st.sampled_from([Flatten(), Reshape((first, -1)), Reshape((-1,)), Reshape((1, first, size // first))]))
    return layer(x)


def permute(draw: st.DrawFn, x: KerasTensor) -> KerasTensor:
    return Permute(draw(st.permutations(range(1, len(x.shape)))))(x)


def traced(draw: st.DrawFn, x: KerasTensor) -> KerasTensor:
    return Lambda(draw(st.sampled_from(LAMBDAS)))(x)


def recurrent(draw: st.DrawFn, x: KerasTensor) -> KerasTensor:
    cls = draw(st.sampled_from([LSTM, GRU]))
    return cls(draw(st.integers(1, 4)), return_sequences=draw(st.booleans()), go_backwards=draw(st.booleans()))(x)


def branch(draw: st.DrawFn, x: KerasTensor) -> KerasTensor:
    other = dense(draw, x) if draw(st.booleans()) else x
    if other.shape == x.shape:
        return draw(st.sampled_from([Add, Multiply]))()([x, other])
    return Concatenate()([x, other])


def known_sizes(x: KerasTensor) -> list[int]:
    return [size for size in x.shape[1:] if size is not None]


@pytest.mark.slow
@given(models(), st.integers(1, 4))
@settings(max_examples=60)
def test_optimised_graphs_compute_the_same(model: Model, batch: int) -> None:
    graph = model.to_graph()
    graph.check()
    before = len(graph.order())
    feeds = {"x": np.random.default_rng(0).normal(size=(batch, *known_sizes(model.inputs[0]))).astype(np.float32)}
    expected = run(graph, feeds)
    for level in (1, 2):
        optimised = graph.copy()
        passes.run(optimised, passes.pipeline(level), check=True, feeds=feeds)
        assert len(optimised.order()) <= before
        for name, array in run(optimised, feeds).items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-5)
            assert array.shape == expected[name].shape


@given(models())
@settings(max_examples=40)
def test_onnxruntime_computes_the_same(model: Model) -> None:
    with tempfile.TemporaryDirectory() as folder:
        result = export_model(model, Path(folder) / "model.onnx")
    assert result.verification is not None
    assert result.verification.passed
