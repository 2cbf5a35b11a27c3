"""Subclasses of keras.Model in scripts, where Keras is not installed, compared with real Keras."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model, Sequential, layers
from kir.errors import InvalidArgumentError, KirError, UnsupportedError
from kir.importers.script import load_script
from kir.support.trees import flatten
from tests.importers.test_keras_stand_in import assert_exports, draw, write

HEAD = """
import numpy as np
import keras
from keras import Model, layers, ops
"""

# Each leaves one model, `model`, whose inputs are known in another way.
SCRIPTS = {
    "called on an array": """
class Classifier(Model):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [layers.Dense(units, activation="relu") for _ in range(2)]
        self.norm = layers.BatchNormalization()
        self.drop = layers.Dropout(0.5)
        self.head = layers.Dense(2)

    def call(self, x, training=None):
        for block in self.blocks:
            x = self.norm(block(x), training=training)
        if training:
            x = self.drop(x)
        return ops.softmax(self.head(x))

model = Classifier(4, name="classifier")
model(np.zeros((2, 5), "float32"))
""",
    "called on an Input": """
class Pair(keras.Model):
    def __init__(self):
        super().__init__()
        self.left, self.right = layers.Dense(3), layers.Dense(3, use_bias=False)

    def call(self, inputs):
        a, b = inputs
        return {"sum": self.left(a) + self.right(b), "left": self.left(a)}

model = Pair()
model([keras.Input((4,)), keras.Input((2,))])
""",
    "built": """
class Steps(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([layers.Masking(), layers.GRU(4, return_sequences=True)])
        self.pool = layers.GlobalAveragePooling1D()
        self.scale = self.add_weight(shape=(4,), initializer="ones", name="scale")

    def call(self, inputs, mask=None):
        return self.pool(self.encoder(inputs)) * self.scale

model = Steps()
model.build((None, 5, 3))
""",
    "fed to predict": """
class Inner(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units, activation="tanh")

    def call(self, inputs):
        return self.dense(inputs)

class Outer(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = Inner(4)
        self.others = {"b": Inner(4), "a": layers.Dense(4)}

    def build(self, input_shape):
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="bias")
        super().build(input_shape)

    def call(self, inputs):
        x = inputs + self.bias
        return self.inner(x) * self.others["b"](x) - self.others["a"](x)

model = Outer()
model.predict(np.zeros((2, 3), "float32"), verbose=0)
""",
    "inside a functional one": """
class Residual(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units)

    def call(self, inputs):
        return inputs + self.dense(inputs)

x = keras.Input((3,))
block = Residual(3)
model = Model(x, layers.Dense(2)(block(block(x))))
del block
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_subclassed_model_computes_what_keras_does(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, HEAD + SCRIPTS[name])
    keras.utils.clear_session()
    reference = runpy.run_path(str(path))["model"]
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "keras", None)
        model = load_script(path, "model")
    feeds = draw(model)
    given = feeds if len(feeds) > 1 else feeds[0]
    reference(given)
    for weight in reference.weights:
        weight.assign(np.random.default_rng(len(weight.shape)).uniform(0.2, 0.8, weight.shape))
    reference.save_weights(tmp_path / "trained.weights.h5")
    assert [layer.name for layer in model.layers] == [layer.name for layer in reference.layers]
    model.load_weights(tmp_path / "trained.weights.h5")
    for output, wanted in zip(flatten(model.predict(given)), flatten(reference(given)), strict=True):
        np.testing.assert_allclose(output, np.asarray(wanted), rtol=1e-5, atol=2e-6)
    model.save_weights(tmp_path / "again.weights.h5")
    before = [np.asarray(one) for one in reference.get_weights()]
    reference.load_weights(tmp_path / "again.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(before, reference.get_weights(), strict=True))
    assert_exports(model, tmp_path)


@pytest.mark.parametrize("name", ["called on an array", "fed to predict"])
def test_a_live_subclassed_model_keeps_its_weights(name: str, tmp_path: Path) -> None:
    keras.utils.clear_session()
    trained = """
if keras.backend.backend() != "kir":
    for weight in model.weights:
        weight.assign(np.full(weight.shape, 0.3))
"""
    model = load_script(write(tmp_path, HEAD + SCRIPTS[name] + trained))
    assert type(model).__module__ == "script"
    assert all((weight == np.float32(0.3)).all() for weight in model.get_weights())
    assert_exports(model, tmp_path)


def test_the_encoder_of_a_model_with_a_training_step_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
import keras
from keras import layers, ops

class Sampling(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(3)

    def call(self, inputs):
        mean, log_var = inputs
        epsilon = keras.random.normal(shape=ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_var) * epsilon

class VAE(keras.Model):
    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        self.loss_tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.loss_tracker]

    def train_step(self, data):
        raise AssertionError

    def call(self, inputs):
        return self.decoder(self.encoder(inputs)[0])

x = keras.Input((6,), name="image")
encoder = keras.Model(x, [layers.Dense(2)(x), layers.Dense(2)(x)], name="encoder")
code = keras.Input((2,))
decoder = keras.Model(code, layers.Dense(6)(code), name="decoder")
vae = VAE(encoder, decoder)
vae.compile(optimizer=keras.optimizers.Adam())
vae.fit(keras.ops.zeros((3, 6)), epochs=30, batch_size=128)
"""
    path = write(tmp_path, text)
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.warns(UserWarning, match="'vae' was not trained"):
        assert load_script(path, "encoder").output_shape == [(None, 2), (None, 2)]
    with pytest.warns(UserWarning, match="'vae' was not trained"):
        model = load_script(path)
    assert (model.name, model.input_shape, model.output_shape) == ("vae", (None, 6), (None, 6))
    assert_exports(model, tmp_path)


class Small(Model):
    def __init__(self) -> None:
        super().__init__(name="small")
        self.dense = layers.Dense(2)

    def call(self, inputs: object) -> object:  # type: ignore[override]
        return self.dense(inputs)


def test_a_model_without_inputs_says_what_it_needs(tmp_path: Path) -> None:
    model = Small()
    assert not hasattr(model, "inputs")
    assert model.layers == [model.dense]
    for use in (model.to_graph, model.summary, lambda: model.output_names, lambda: model.export(tmp_path / "m.onnx")):
        with pytest.raises(InvalidArgumentError, match=r"Small 'small' is a subclass of Model that has no inputs yet"):
            use()
    model.build((None, 3))
    assert model.output_shape == (None, 2)
    assert [w.path for w in model.weights] == ["dense/kernel", "dense/bias"] or len(model.weights) == 2


def test_a_functional_model_with_a_call_of_its_own_is_run_by_that() -> None:
    class Doubled(Model):
        def call(self, inputs: Any, mask: Any = None) -> Any:
            return 2 * super().call(inputs, mask)

    x = Input((3,))
    y = layers.Dense(2)(x)
    model, plain = Doubled(x, y), Model(x, y)
    feed = np.ones((1, 3), "float32")
    np.testing.assert_allclose(model.predict(feed), 2 * plain.predict(feed), rtol=1e-6)
    np.testing.assert_allclose(model(feed), 2 * plain(feed), rtol=1e-6)


def test_a_subclass_without_a_call_needs_inputs_and_outputs() -> None:
    class Nothing(Model):
        pass

    with pytest.raises(InvalidArgumentError, match="or define call in the subclass"):
        Nothing()


def test_a_file_of_a_subclassed_model_is_not_written(tmp_path: Path) -> None:
    model = Small()
    model(np.zeros((1, 3), "float32"))
    for one in (model, Sequential([layers.Dense(3, input_shape=(3,)), model])):
        with pytest.raises(UnsupportedError, match=r"is a subclass of Model.*; use save_weights"):
            one.save(tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []


def test_a_call_that_cannot_be_traced_is_named() -> None:
    class Branch(Model):
        def call(self, inputs: object) -> object:  # type: ignore[override]
            return inputs if inputs else None

    with pytest.raises(KirError, match=r"layer branch \(Branch\): a branch on a symbolic value"):
        Branch()(np.zeros((1, 3), "float32"))
