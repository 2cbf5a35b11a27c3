"""Live layers of Keras that kir has no class for: those that own layers, and those of packages."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import Input, Model, layers, ops

import kir
from kir.errors import TraceError
from kir.importers.keras_backend import functions
from kir.importers.keras_file.operations import MEANINGLESS
from kir.importers.keras_layers import LiveLayer
from kir.ir.graph import Graph
from kir.ir.structural import Constant
from kir.support.trees import flatten
from tests.importers.test_keras_stand_in import assert_exports


def check(reference: Any, *, length: int = 5) -> kir.Model:
    """Return kir's model of a live one; it computes what Keras computes, and exports."""
    model = kir.load(reference)
    assert isinstance(model, kir.Model)
    rng = np.random.default_rng(1)
    feeds = []
    for x in reference.inputs:
        shape = tuple(size or (2 if axis == 0 else length) for axis, size in enumerate(x.shape))
        whole = rng.integers(0, 3, shape) if "int" in x.dtype else rng.normal(size=shape)
        feeds.append(whole.astype(x.dtype))
    expected = reference(feeds if len(feeds) > 1 else feeds[0])
    for output, wanted in zip(flatten(model.predict(feeds)), flatten(expected), strict=True):
        np.testing.assert_allclose(output, np.asarray(wanted), rtol=1e-5, atol=2e-6)
    return model


class Block(layers.Layer):
    """A transformer's block, with what packages do: layers in a list, a variable, sizes, a mask, keyword arguments."""

    def __init__(self, heads: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(heads, 4)
        self.norms = [layers.LayerNormalization() for _ in range(2)]
        self.feed_forward = [layers.Dense(12, "relu"), layers.Dense(6)]
        self.drop = layers.Dropout(0.5)
        self.supports_masking = True

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), initializer="random_normal", name="scale")
        self.attention.build(shape, shape)
        for norm in self.norms:
            norm.build(shape)
        self.feed_forward[0].build(shape)
        self.feed_forward[1].build((*shape[:-1], 12))

    def call(self, x: Any, offset: Any = None, mask: Any = None, training: Any = False) -> Any:
        length = ops.shape(x)[1]
        causal = ops.arange(length)[:, None] >= ops.arange(length)[None, :]
        if mask is not None:
            causal = ops.logical_and(causal[None], ops.expand_dims(mask, 1))
        attended = self.attention(query=x, value=x, attention_mask=causal, training=training)
        x = self.norms[0](x + self.drop(attended, training=training) * self.scale)
        hidden = x if offset is None else x + ops.reshape(offset, (ops.shape(x)[0], 1, -1))
        for layer in self.feed_forward:
            hidden = layer(hidden)
        return self.norms[1](x + hidden)


def labels_of(graph: Graph) -> list[str]:
    """Return the names of the weights in a graph."""
    return [node.op.label for node in graph.nodes() if isinstance(node.op, Constant) and node.op.label]


def block_model() -> Any:
    tokens = Input((None,), dtype="int32", name="tokens")
    offset = Input((6,), name="offset")
    x = layers.Embedding(5, 6, mask_zero=True)(tokens)
    x = Block()(x, offset=offset)
    return Model([tokens, offset], layers.LSTM(3)(Block(name="last")(x)))


def test_a_layer_that_owns_layers_is_traced_as_it_is(tmp_path: Path) -> None:
    reference = block_model()
    model = check(reference)
    assert isinstance(model.get_layer("last"), LiveLayer)
    assert model.count_params() == reference.count_params()
    assert_exports(model, tmp_path)


def test_nodes_and_weights_have_the_paths_of_the_layers_inside() -> None:
    graph = check(block_model()).to_graph()
    paths = {node.origin.path for node in graph.nodes() if node.origin is not None}
    inside = {path.partition("/")[2] for path in paths if path.startswith("last/")}
    assert {"attention/query", "drop", "norms/0", "norms/1", "feed_forward/0", "feed_forward/1"} <= inside
    assert {path.partition("/")[0] for path in inside} == {"attention", "drop", "norms", "feed_forward"}
    labels = labels_of(graph)
    assert "last/scale" in labels
    assert len(labels) == len(set(labels))


def test_keras_computes_as_ever_afterwards() -> None:
    reference = block_model()
    before = layers.Layer.__call__, ops.add.__globals__["backend"].numpy.add
    check(reference)
    assert (layers.Layer.__call__, ops.add.__globals__["backend"].numpy.add) == before
    assert keras.config.is_traceback_filtering_enabled()


class Positions(layers.Layer):
    """Position embeddings, which are computed with numbers alone, of a variable of the layer's own."""

    def __init__(self) -> None:
        super().__init__()
        self.table = layers.Embedding(16, 4)
        self.table.build(None)
        self.built = True

    def compute_output_shape(self, shape: Any) -> Any:
        return shape

    def call(self, x: Any) -> Any:
        return x + self.table(ops.arange(x.shape[1])) + ops.matmul(x, ops.transpose(self.table.embeddings[:4]))


class Tied(layers.Layer):
    """A layer that computes with another's variable."""

    def __init__(self, other: Any) -> None:
        super().__init__()
        self.other = other

    def call(self, x: Any) -> Any:
        return ops.matmul(x, ops.transpose(self.other.kernel)) + self.other.bias[0]


class Recurrent(layers.Layer):
    """A layer with recurrent and convolutional layers, wrappers, and a model inside."""

    def __init__(self) -> None:
        super().__init__()
        self.both = layers.Bidirectional(layers.GRU(3, return_sequences=True))
        self.each = layers.TimeDistributed(layers.Dense(4))
        self.model = keras.Sequential([Input((None, 4)), layers.Conv1D(5, 2, padding="causal"), layers.ReLU()])
        inner = Input((5,))
        self.functional = Model(inner, layers.Dense(2)(inner) * 2)

    def call(self, x: Any) -> Any:
        return self.functional(ops.mean(self.model(self.each(self.both(x))), axis=1))


class SomeOutputs(layers.Layer):
    """A layer with outputs in a dict, one of which does not depend on the input."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2, activity_regularizer="l2")

    def call(self, inputs: Any) -> Any:
        a, b = inputs
        joined = ops.concatenate([self.dense(a), ops.split(b, 2, axis=-1)[1]], axis=-1)
        return {"joined": joined, "largest": ops.max(joined, axis=-1), "constant": ops.ones((2, 2))}


def tied() -> Any:
    x = Input((3,))
    dense = layers.Dense(4)
    return Model(x, Tied(dense)(dense(x)))


def some_outputs() -> Any:
    inputs = [Input((3,)), Input((4,))]
    return Model(inputs, SomeOutputs()(inputs))


def of(layer: Any, shape: Any) -> Any:
    x = Input(shape)
    return Model(x, layer(x))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: of(Positions(), (5, 4)), id="numbers alone"),
        pytest.param(tied, id="another layer's variables"),
        pytest.param(lambda: of(Recurrent(), (None, 4)), id="recurrent layers, wrappers and models inside"),
        pytest.param(some_outputs, id="lists and dicts"),
        pytest.param(lambda: of(layers.TimeDistributed(Positions()), (2, 5, 4)), id="inside a wrapper"),
    ],
)
def test_what_layers_do(make: Any) -> None:
    check(make())


def test_the_dtypes_are_those_of_the_policies() -> None:
    x = Input((None, 6))
    inner = Block(name="half", dtype="mixed_float16")
    for layer in (inner.attention, *inner.norms, *inner.feed_forward, inner.drop):
        layer.dtype_policy = "mixed_float16"
    reference = Model(x, inner(x))
    model = kir.load(reference)
    assert isinstance(model, kir.Model)
    assert model.outputs[0].dtype == reference.outputs[0].dtype == "float16"


class Unsupported(layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return ops.qr(self.dense(x))[0]


def test_what_kir_has_not_is_named_with_its_layer() -> None:
    with pytest.raises(TraceError, match=r"unsupported.*keras\.ops\.qr.*not supported"):
        kir.load(of(Unsupported(), (3,)))


def test_a_layer_that_is_called_twice_has_its_weights_once() -> None:
    block, x = Block(), Input((4, 6))
    graph = check(Model(x, block(block(x)))).to_graph()
    labels = labels_of(graph)
    assert labels
    assert len(labels) == len(set(labels))


def test_functions_have_the_parameters_of_keras_s_backends() -> None:
    """Keras calls its backend's functions by position as well as by name."""
    backend = ops.add.__globals__["backend"]
    different = set()
    for part in ("core", "numpy", "nn", "math", "linalg", "image"):
        module = getattr(backend, part)
        for name, function in vars(module).items():
            if not inspect.isfunction(function) or function.__module__ != module.__name__ or name not in functions():
                continue
            wanted = [one for one in inspect.signature(function).parameters if one not in MEANINGLESS]
            if list(inspect.signature(functions()[name]).parameters)[: len(wanted)] != wanted:
                different.add(name)
    # Called by position as far as both agree, and by keywords that both have.
    assert different == {"dot", "einsum", "geomspace", "identity", "logspace", "multi_hot"}


def test_what_two_keras_call_alike_is_not_mixed_up() -> None:
    assert "switch" not in functions()


def dense_and_embedding() -> Any:
    x = Input((4,), dtype="int32")
    return Model(x, layers.EinsumDense("abc,cd->abd", (None, 5))(layers.Dense(6)(layers.Embedding(9, 8)(x))))


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_quantized_layer_computes_in_integers(mode: str, tmp_path: Path) -> None:
    reference = dense_and_embedding()
    reference.quantize(mode)
    assert_exports(check(Model(reference.inputs, reference.outputs)), tmp_path)


def test_a_layer_with_lora_weights_is_read_with_them() -> None:
    reference = dense_and_embedding()
    for layer in reference.layers[1:]:
        layer.enable_lora(2)
        for variable in layer.trainable_variables:
            variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    check(reference)


class Chooses(layers.Layer):
    """A layer that chooses between functions by a tensor, and calls one whose gradient is given."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x: Any) -> Any:
        @ops.custom_gradient  # type: ignore[untyped-decorator]
        def doubled(x: Any) -> Any:
            return x * 2, lambda *args, upstream=None: upstream

        hidden = doubled(self.dense(x))
        return ops.cond(ops.max(x) > 1e6, lambda: hidden, lambda: hidden * 3)


def test_functions_of_functions() -> None:
    check(of(Chooses(), (3,)))
