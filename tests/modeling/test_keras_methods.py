"""What all layers have in common, called as scripts call it, compared with real Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import kir
import kir.layers
from kir import Input, Model, Sequential, backend
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.modeling.input_spec import InputSpec

X = np.array([[[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]]], "float32")
MASK = np.array([[True, False, True]])
INDICES = np.array([[1, 0, 2]])

# Of the library's layers, given as `m`.
MASKS: dict[str, Callable[[Any], Any]] = {
    "Masking": lambda m: m.Masking(0.0).compute_mask(X),
    "Masking of masked": lambda m: m.Masking(0.0).compute_mask(X, MASK),
    "Embedding": lambda m: m.Embedding(4, 2, mask_zero=True).compute_mask(INDICES),
    "Embedding without": lambda m: m.Embedding(4, 2).compute_mask(INDICES),
    "sequence": lambda m: m.LSTM(2, return_sequences=True).compute_mask(X, MASK),
    "last step": lambda m: m.GRU(2).compute_mask(X, MASK),
    "states": lambda m: m.LSTM(2, return_state=True).compute_mask(X, MASK),
    "Bidirectional": lambda m: m.Bidirectional(m.LSTM(2, return_sequences=True)).compute_mask(X, MASK),
    "Add": lambda m: m.Add().compute_mask([X, X], [MASK, MASK]),
    "Add of one masked": lambda m: m.Add().compute_mask([X, X], [None, MASK]),
    "Add without": lambda m: m.Add().compute_mask([X, X], None),
    "Concatenate": lambda m: m.Concatenate(axis=1).compute_mask([X, X], [MASK, None]),
    "Concatenate without": lambda m: m.Concatenate(axis=1).compute_mask([X, X]),
    "Dot": lambda m: m.Dot(1).compute_mask([X, X]),
    "Attention": lambda m: m.Attention().compute_mask([X, X], [MASK, MASK]),
    "Attention without": lambda m: m.Attention().compute_mask([X, X]),
    "pooling": lambda m: m.GlobalAveragePooling1D().compute_mask(X, MASK),
    "Dense": lambda m: m.Dense(2).compute_mask(X, MASK),
    "Flatten": lambda m: m.Flatten().compute_mask(X, MASK),
    "TimeDistributed": lambda m: m.TimeDistributed(m.Dense(2)).compute_mask(X, MASK),
    "Lambda": lambda m: m.Lambda(lambda x: x, mask=lambda x, mask: mask).compute_mask(X, MASK),
}
SHAPES: dict[str, Callable[[Any], Any]] = {
    "Dense": lambda m: m.Dense(2).compute_output_shape((None, 3)),
    "a list": lambda m: m.Dense(2).compute_output_shape([None, 3]),
    "by name": lambda m: m.Dense(2).compute_output_shape(input_shape=(None, 3)),
    "Conv2D": lambda m: m.Conv2D(2, 3, strides=2, padding="same").compute_output_shape((None, None, 7, 3)),
    "Add": lambda m: m.Add().compute_output_shape([(None, 3), (None, 3)]),
    "LSTM": lambda m: m.LSTM(2, return_state=True).compute_output_shape((None, None, 3)),
    "two outputs": lambda m: m.Bidirectional(m.LSTM(2), merge_mode=None).compute_output_shape((None, 5, 3)),
    "sequences_shape": lambda m: m.Bidirectional(m.LSTM(2)).compute_output_shape(sequences_shape=(None, 5, 3)),
    "attention": lambda m: m.MultiHeadAttention(2, 3).compute_output_shape((None, 5, 4), (None, 6, 4)),
    "attention by name": lambda m: m.MultiHeadAttention(2, 3).compute_output_shape(
        query_shape=(None, 5, 4), value_shape=(None, 6, 4), key_shape=(None, 6, 4)
    ),
    "a list of inputs": lambda m: m.Attention().compute_output_shape([(None, 5, 4), (None, 6, 4)]),
    "Flatten": lambda m: m.Flatten().compute_output_shape((None, None, 3)),
    "Reshape": lambda m: m.Reshape((-1, 2)).compute_output_shape((None, 4)),
    "Lambda": lambda m: m.Lambda(lambda x: x * 2).compute_output_shape((None, 3)),
    "RNN": lambda m: m.RNN(m.StackedRNNCells([m.GRUCell(2), m.LSTMCell(3)])).compute_output_shape((4, 5, 6)),
}


def built(m: Any, **options: Any) -> Any:
    layer = m.Dense(2, name="one", **options)
    layer(X)
    layer.set_weights([np.ones((2, 2)), np.ones(2)])
    return layer


def frozen(m: Any) -> Any:
    layer = m.Bidirectional(m.LSTM(2))
    layer(X)
    layer.trainable = False
    before = len(layer.trainable_weights), layer.forward_layer.trainable, [w.trainable for w in layer.weights]
    layer.trainable = True
    return before, len(layer.trainable_weights), [w.trainable for w in layer.weights]


def frozen_order(m: Any) -> Any:
    layer = m.BatchNormalization()
    layer(X)
    layer.trainable = False
    return [w.name for w in layer.weights], [w.name for w in layer.non_trainable_variables]


def restored(m: Any) -> Any:
    layer = built(m)
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    other = m.Dense(2)
    other.build_from_config(layer.get_build_config())
    other.load_own_variables(store)
    return sorted(store), other.built, [np.asarray(one).tolist() for one in other.get_weights()]


def of_user(m: Any) -> Any:
    class Scaled(m.Layer):
        def __init__(self, size: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.size = size
            self.supports_masking = True
            self.inner = [m.Dense(size)]

        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="w")
            self.b = self.add_weight(name="b", shape=[1], initializer="zeros", trainable=False)
            self.c = self.add_variable((), "ones", dtype="int32", trainable=False, name="c")
            self.d = self.add_weight(shape=(3,), dtype="int32", name="d")
            super().build(input_shape)

        def call(self, states: Any) -> Any:
            return self.inner[0](states * self.w + self.b)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "size": self.size}

    layer = Scaled(3, name="me")
    output = layer(states=X)
    again = Scaled.from_config(layer.get_config())
    return {
        "names": [w.name for w in layer.weights],
        "dtypes": [str(w.dtype).replace("float32", "f32").replace("int32", "i32") for w in layer.weights],
        "own": [np.asarray(w.numpy()).tolist() for w in (layer.w, layer.b, layer.c, layer.d)],
        "trainable": [w.name for w in layer.trainable_variables],
        "others": [w.name for w in layer.non_trainable_variables],
        "shape": output.shape,
        "config": layer.get_config(),
        "again": again.size,
        "mask": np.asarray(layer.compute_mask(X, MASK)).tolist(),
        "count": layer.count_params(),
        "build": layer.get_build_config(),
        "state": (layer.built, layer.path, layer.input_spec, layer.metrics, layer.metrics_variables),
    }


BEHAVIOURS: dict[str, Callable[[Any], Any]] = {
    "inputs by name": lambda m: m.LayerNormalization()(inputs=X).shape,
    "sequences by name": lambda m: m.LSTM(2)(sequences=X).shape,
    "query by name": lambda m: m.MultiHeadAttention(2, 3)(query=X, value=X).shape,
    "a mask by name": lambda m: np.asarray(m.GlobalAveragePooling1D()(X, mask=MASK)).tolist(),
    "training by name": lambda m: m.Dropout(0.5)(X, training=False).shape,
    "names": lambda m: [w.name for w in built(m).variables],
    "build config": lambda m: built(m).get_build_config(),
    "no build config": lambda m: m.Dense(2).get_build_config(),
    "count": lambda m: built(m).count_params(),
    "dtypes": lambda m: [
        (one.dtype, one.compute_dtype, one.variable_dtype, one.input_dtype, one.dtype_policy.name)
        for one in (m.Dense(2), m.Dense(2, dtype="mixed_float16"), m.Dense(2, dtype="float64"))
    ],
    "losses": lambda m: [round(float(one), 6) for one in built(m, kernel_regularizer="l2").losses],
    "losses of a frozen layer": lambda m: list(built(m, kernel_regularizer="l2", trainable=False).losses),
    "stateless": lambda m: np.asarray(built(m).stateless_call([np.full((2, 2), 2.0), np.zeros(2)], [], X)[0]).tolist(),
    "stateless leaves the weights": lambda m: built(m).kernel.numpy().tolist(),
    "initial states": lambda m: [np.asarray(one).shape for one in m.LSTM(2).get_initial_state(batch_size=3)],
    "frozen": frozen,
    "frozen order": frozen_order,
    "restored": restored,
    "quantization": lambda m: m.Dense(2).quantization_mode,
    "of the user": of_user,
}


def plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_those_of_keras(name: str) -> None:
    assert plain(MASKS[name](kir.layers)) == plain(MASKS[name](keras.layers))


@pytest.mark.parametrize("name", SHAPES)
def test_output_shapes_are_those_of_keras(name: str) -> None:
    assert plain(SHAPES[name](kir.layers)) == plain(SHAPES[name](keras.layers))


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_layers_behave_as_those_of_keras(name: str) -> None:
    assert plain(BEHAVIOURS[name](kir.layers)) == plain(BEHAVIOURS[name](keras.layers))


def test_output_specs_record_no_call() -> None:
    x, layer = Input((3,), dtype="int32"), kir.layers.Dense(2)
    for spec in (layer.compute_output_spec(x), layer.symbolic_call(inputs=x)):
        assert (spec.shape, spec.dtype) == ((None, 2), "float32")
    assert layer.calls == []
    assert not hasattr(layer, "output")
    assert layer(x) is layer.output


def test_a_layer_whose_name_changes_can_be_found_and_removed() -> None:
    model = Sequential([Input((2,)), first := kir.layers.Dense(3), last := kir.layers.Dense(1)])
    first.name, last.name = "encoder", "head"
    assert model.get_layer("encoder") is model.get_layer(index=0) is first
    assert model.pop(rebuild=False) is last
    model.add(kir.layers.Dense(4, name="head"), rebuild=False)
    assert model.output_shape == (None, 4)
    assert [w.name for w in model.variables] == ["kernel", "bias"] * 2


def test_losses_of_a_call_are_added_to_those_of_the_model() -> None:
    class Penalty(kir.layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(0.1 * backend.mean(inputs))
            self.add_metric(inputs, name="seen")
            return inputs

    x = Input((2,))
    model = Model(x, kir.layers.Dense(1, kernel_regularizer="l1", kernel_initializer="ones")(Penalty()(x)))
    assert [round(float(one), 6) for one in model.losses] == [0.02]
    np.testing.assert_allclose(model.losses(np.full((3, 2), 5.0)), [0.5, 0.02], rtol=1e-6)
    np.testing.assert_allclose(model.predict(np.ones((1, 2))), [[2.0]])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (InputSpec(ndim=2), r"expects an input of ndim=2; received shape \(batch, 3, 2\)"),
        (InputSpec(min_ndim=4), "min_ndim=4"),
        (InputSpec(max_ndim=2), "max_ndim=2"),
        (InputSpec(axes={-1: 4}), "axes={-1: 4}"),
        (InputSpec(shape=(None, None, 3)), r"shape=\(None, None, 3\)"),
        ([InputSpec(ndim=3), InputSpec(ndim=3)], "expects 2 inputs; received 1"),
        (InputSpec(shape=(None, 3, 2), axes={1: 3}), None),
        (InputSpec(shape=(None, 3), allow_last_axis_squeeze=True), None),
    ],
)
def test_an_input_spec_is_checked(spec: Any, message: str | None) -> None:
    class Strict(kir.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.input_spec = spec

        def call(self, inputs: Any) -> Any:
            return inputs

    if message is None:
        assert Strict()(Input((3, 2))).shape == (None, 3, 2)
        return
    with pytest.raises(ShapeError, match=message):
        Strict()(Input((3, 2)))


def test_weights_made_as_in_keras_2() -> None:
    layer = kir.layers.Layer()
    weight = layer.add_weight("w", (2, 3), "float16", "ones", None, False)
    assert (weight.name, weight.shape, weight.dtype.keras_name, weight.trainable) == ("w", (2, 3), "float16", False)
    assert layer.add_weight((2,), "zeros", "int32", False).numpy().tolist() == [0, 0]
    with pytest.raises(InvalidArgumentError, match="at most 4 positional arguments; received 5"):
        layer.add_weight((2,), "zeros", "int32", False, True)


def test_a_variable_that_is_an_attribute_is_a_weight() -> None:
    from kir.importers.keras_functions import variable

    class Shift(kir.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.shift = variable([1.0, 2.0], name="shift")

        def call(self, inputs: Any) -> Any:
            return inputs + self.shift

    layer = Shift()
    assert layer(np.zeros((1, 2), "float32")).tolist() == [[1.0, 2.0]]
    assert [w.name for w in layer.weights] == ["shift"]


@pytest.mark.parametrize("call", [lambda one: one.quantize("int8"), lambda one: one.quantized_call(X)])
def test_what_kir_does_not_do_is_said(call: Callable[[Any], Any]) -> None:
    with pytest.raises(UnsupportedError, match="cannot be quantized"):
        call(kir.layers.Dense(2))
