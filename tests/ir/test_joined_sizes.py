"""Unknown sizes that meet on one axis: nothing is guessed, and the model exports as Keras would run it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from kir import Input, Model
from kir import backend as K
from kir.errors import ShapeError
from kir.exporters.pipeline import export_model
from kir.ir.dims import symbol
from kir.ir.types import broadcast_dim, join_sizes
from kir.layers import LSTM, Add, Concatenate, Dense, Dot, Flatten, Masking, Reshape


@pytest.fixture
def pair() -> list:  # type: ignore[type-arg]
    return [Input(shape=(None, 4), name="a"), Input(shape=(None, 4), name="b")]


def feeds(a: int, b: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {n: generator.normal(size=(2, s, 4)).astype(np.float32) for n, s in (("a", a), ("b", b))}


def test_joining_is_commutative_associative_and_idempotent() -> None:
    a, b, c = map(symbol, "abc")
    assert join_sizes(a, b) == join_sizes(b, a)
    assert broadcast_dim(broadcast_dim(a, b), c) == broadcast_dim(a, broadcast_dim(c, b))
    assert broadcast_dim(broadcast_dim(a, b), a) == broadcast_dim(a, b)


def test_computed_sizes_are_not_joined() -> None:
    with pytest.raises(ShapeError, match="give both the same name"):
        join_sizes(symbol("a"), symbol("b") * 2)  # type: ignore[arg-type]


def test_two_unknown_lengths_add_and_broadcast(pair: list, tmp_path: Path) -> None:  # type: ignore[type-arg]
    model = Model(pair, Dense(3, name="y")(Add()(pair)))
    assert model.output_shape == (None, None, 3)
    assert export_model(model, tmp_path / "m.onnx").verification is not None
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    for a, b in ((5, 5), (1, 6), (6, 1)):
        given = feeds(a, b)
        np.testing.assert_allclose(session.run(None, given)[0], model.predict(given), atol=1e-6)


def test_lengths_that_contradict_are_an_error_when_the_model_runs(pair: list) -> None:  # type: ignore[type-arg]
    model = Model(pair, Add(name="sum")(pair))
    with pytest.raises(ShapeError, match=r"sum \(Add\).*\(2, 3, 4\), \(2, 5, 4\)"):
        model.predict(feeds(3, 5))


@pytest.mark.parametrize(
    "join",
    [
        lambda a, b: Concatenate(axis=-1)([a, b]),
        lambda a, b: Dot(axes=1)([a, b]),
        lambda a, b: Reshape((-1, 2))(a * b),
        lambda a, b: LSTM(3, return_sequences=True)(a + b),
        lambda a, b: LSTM(3)(Add()([Masking()(a), b])),
        lambda a, b: Flatten()(K.sum(a * b, axis=-1, keepdims=True) * b),
    ],
)
def test_what_follows_a_joined_size_exports(pair: list, join, tmp_path: Path) -> None:  # type: ignore[no-untyped-def, type-arg]
    result = export_model(Model(pair, join(*pair)), tmp_path / "m.onnx")
    assert result.verification is not None
    assert result.verification.passed


def test_a_joined_size_can_be_fixed(pair: list) -> None:  # type: ignore[type-arg]
    graph = Model(pair, Reshape((-1, 2))(Add()(pair))).to_graph()
    fixed = graph.specialize({"a_1": 3, "b_1": 3})
    fixed.check()
    assert str(fixed.outputs[0].output.type) == "f32[batch, 6, 2]"
