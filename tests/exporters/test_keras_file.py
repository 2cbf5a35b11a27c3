"""What kir writes as Keras does, read by the real Keras and by kir."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.activations import activations as keras_activations
from keras.src.ops import core, image, linalg, math, nn
from keras.src.ops import numpy as keras_numpy

from kir import Input, Model, Sequential, layers, regularizers
from kir import backend as K
from kir.backend.keras_operations import OPERATIONS
from kir.errors import FormatError, UnsupportedError
from kir.exporters.keras_file import _CONFIG_ARGUMENTS, CALL_ARGUMENTS, OPERATION_MODULES
from kir.importers.keras_file import load_keras_model, model_from_config
from kir.modeling.functional import KerasTensor
from kir.support.trees import flatten


def shared() -> Model:
    left, right = Input((4,), name="left"), Input((4,), name="right")
    dense = layers.Dense(
        3, "relu", kernel_initializer="he_normal", kernel_regularizer="l2", kernel_constraint="max_norm", name="both"
    )
    joined = layers.Add()([dense(left), dense(right)])
    return Model({"left": left, "right": right}, [joined, layers.Dense(2)(joined)])


def nested() -> Model:
    x = Input((3,))
    block = Model(x, layers.Dense(3, "tanh")(x), name="block")
    tail = Sequential([layers.Dense(3), layers.Dense(2)], name="tail")
    start = Input((3,))
    return Model(start, [tail(block(block(start))), block(start)])


def wrappers() -> Model:
    x = Input((5, 3))
    inner = Sequential([Input((3,)), layers.Dense(4)])
    y = layers.TimeDistributed(inner)(x)
    return Model(x, layers.Bidirectional(layers.LSTM(3), merge_mode="sum")(layers.Masking(0.5)(y)))


def operations() -> Model:
    x, y = Input((4,)), Input((4,))
    z = 2.0 - x[:, 1:3] * K.mean(y, axis=-1, keepdims=True)
    parts = K.split(K.concatenate([z, K.clip(y, -0.5, 0.5)], axis=1), 2, axis=-1)
    scores = K.einsum("ab,cb->ac", parts[0], np.eye(3, dtype="float32"))
    return Model([x, y], [scores, K.where(x > 0, K.gelu(y, approximate=False), K.pad(y[:, :2], [[0, 0], [1, 1]]))])


def attention() -> Model:
    x = Input((4, 6))
    y = layers.MultiHeadAttention(2, 3)(x, value=x, use_causal_mask=True)
    heads = K.reshape(y, (-1, 4, 2, 3))
    return Model(x, [y, K.dot_product_attention(heads, heads, heads, is_causal=True)])


def chain() -> Model:
    return Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(2, kernel_regularizer=regularizers.L1L2(0.1, 0.2)),
        ]
    )


def one_list() -> Model:
    x = Input((3,), name="x")
    return Model([x], {"b": layers.Dense(2)(x), "a": layers.ReLU(max_value=1)(x)}, trainable=False)


def unusual() -> Model:
    """Classes whose names in Keras are not those that scripts use, or not public."""
    x = Input((4, 6))
    y = layers.StochasticDepth(0.2)(layers.LayerScale(0.1, 6)(layers.GroupQueryAttention(3, 4, 2)(x, x)))
    y = layers.Dense(3, activation=layers.LeakyReLU(0.2), dtype="mixed_float16")(y)
    return Model(x, layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])(layers.Discretization([0.2, 0.5])(y)))


MODELS = [unusual, shared, nested, wrappers, operations, attention, chain, one_list]


def known_sizes(x: KerasTensor) -> list[int]:
    return [size for size in x.shape[1:] if size is not None]


def feeds_of(model: Model) -> list[Any]:
    random = np.random.default_rng(3)
    return [random.normal(size=(3, *known_sizes(x))).astype("float32") for x in model.inputs]


def given_to(model: Any, feeds: list[Any]) -> Any:
    """Return the arrays as a model of either library takes them."""
    names = [x.name for x in model.inputs]
    structure = feeds[0] if type(model).__name__ == "Sequential" else model.input
    if isinstance(structure, dict):
        return {key: feeds[names.index(structure[key].name)] for key in structure}
    return feeds if isinstance(structure, list) else feeds[0]


def assert_same_results(model: Model, other: Any, feeds: list[Any]) -> None:
    results = other(given_to(other, feeds))
    for ours, theirs in zip(flatten(model.predict(given_to(model, feeds))), flatten(results), strict=True):
        np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", MODELS)
def test_keras_reads_the_description_and_writes_the_same(make: Callable[[], Model]) -> None:
    model = make()
    theirs = keras.models.model_from_json(model.to_json())
    assert [layer.name for layer in theirs.layers] == [layer.name for layer in model.layers]
    assert [type(layer).__name__ for layer in theirs.layers] == [layer.keras_class_name for layer in model.layers]
    again = model_from_config(json.loads(theirs.to_json()))
    again.set_weights(model.get_weights())
    assert_same_results(model, again, feeds_of(model))


@pytest.mark.parametrize("make", MODELS)
def test_keras_computes_the_same_from_a_saved_file(make: Callable[[], Model], tmp_path: Path) -> None:
    model = make()
    for weight in model.weights:
        weight.assign(np.random.default_rng(weight.size).uniform(0.1, 0.9, weight.shape))
    model.save(tmp_path / "model.keras")
    feeds = feeds_of(model)
    assert_same_results(model, keras.models.load_model(tmp_path / "model.keras"), feeds)
    assert_same_results(model, load_keras_model(tmp_path / "model.keras"), feeds)
    first = (tmp_path / "model.keras").read_bytes()
    model.save(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_bytes() == first


@pytest.mark.parametrize("make", MODELS)
def test_a_model_is_made_again_from_its_config(make: Callable[[], Model]) -> None:
    model = make()
    again = type(model).from_config(json.loads(json.dumps(model.get_config())))
    assert type(again) is type(model)
    again.set_weights(model.get_weights())
    assert again.to_json() == model.to_json()
    assert str(again.to_graph()) == str(model.to_graph())


def test_a_function_without_a_name_is_not_saved(tmp_path: Path) -> None:
    """Keras would write its bytecode, which kir never writes nor reads."""
    x = Input((3,))
    model = Model(x, layers.Lambda(lambda x: x + 1, name="plus")(x))
    with pytest.raises(UnsupportedError, match="layer 'plus' has a function without a name"):
        model.save(tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []


def named_function(x: Any) -> Any:
    return K.square(x)


def test_a_function_with_a_name_is_saved_by_it(tmp_path: Path) -> None:
    x = Input((3,))
    model = Model(x, layers.Lambda(named_function)(x))
    model.save(tmp_path / "model.keras")
    again = load_keras_model(tmp_path / "model.keras", custom_objects={"named_function": named_function})
    assert_same_results(model, again, feeds_of(model))


def test_keras_reads_what_has_unknown_sizes_with_names(tmp_path: Path) -> None:
    model = Sequential([Input(("steps", 3)), layers.LSTM(2)])
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").input_shape == (None, None, 3)


def test_what_is_no_operation_of_keras_is_said() -> None:
    x = Input((3,))
    with pytest.raises(UnsupportedError, match=r"batch_flatten .*is no operation that Keras's files hold; put it into"):
        Model(x, K.batch_flatten(x)).to_json()
    with pytest.raises(UnsupportedError, match="no unknown size such as h"):
        Model(y := Input(("h", 2)), K.reshape(y, (-1, y.type.shape[1]))).to_json()


def test_a_config_that_is_none_of_keras_is_refused() -> None:
    layer = {"module": "keras.layers", "class_name": "Unheard", "config": {"name": "a"}}
    with pytest.raises(UnsupportedError, match=r"Unheard of module .keras\.layers. is not a class of Keras"):
        Sequential.from_config({"name": "s", "layers": [layer]})
    with pytest.raises(FormatError, match="has no list of layers"):
        Model.from_config({"name": "s", "layers": 3})


def classes_of_keras() -> dict[str, tuple[str, Any]]:
    modules = {"ops.numpy": keras_numpy, "ops.nn": nn, "ops.math": math, "ops.core": core, "ops.image": image}
    modules |= {"ops.linalg": linalg, "activations.activations": keras_activations}
    return {
        name: (module, value)
        for module, holder in modules.items()
        for name, value in vars(holder).items()
        if isinstance(value, type) and value.__module__ == f"keras.src.{module}"
    }


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_operations_are_described_as_in_keras(name: str) -> None:
    """By the module of the class; and by which arguments are those of a call, and which the config."""
    known = classes_of_keras()
    if name not in known:
        # Another Keras wrote the name.
        return
    module, cls = known[name]
    assert OPERATION_MODULES.get(name, "ops.numpy") == module
    ignored = {"self", "name", "kwargs"}
    called = set(inspect.signature(cls.call).parameters) - ignored
    config = set(inspect.signature(cls.__init__).parameters) - ignored
    # By definition of kir's own function: what is neither is never written.
    is_of_call = CALL_ARGUMENTS - _CONFIG_ARGUMENTS.get(name, set())
    assert called <= is_of_call
    assert not config & is_of_call
