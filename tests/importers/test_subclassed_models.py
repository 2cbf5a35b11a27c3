"""Subclasses of keras.Model, by each way in which kir gets at them, compared with real Keras."""

from __future__ import annotations

import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model, Sequential, layers
from kir.api import load
from kir.errors import InvalidArgumentError, KirError, UnsupportedError
from kir.exporters.onnx_file.session import make_session, run_session
from kir.exporters.pipeline import export_model
from kir.importers.cutting import cut_model
from kir.importers.keras_file import load_keras_model
from kir.importers.script import load_script, run_script
from kir.support.trees import flatten
from tests.importers import subclassed_models
from tests.importers.test_keras_stand_in import assert_exports, draw, write
from tests.modeling.test_attribute_paths import names_in

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


@dataclass(frozen=True)
class Guide:
    """A model of `subclassed_models` with random weights, in a script and in files of Keras, and what it computes."""

    folder: Path
    reference: Any
    example: Any
    outputs: list[Any]

    @property
    def script(self) -> Path:
        return self.folder / "script.py"

    def assert_same(self, model: Model, folder: Path) -> None:
        """The exported file is verified, and gives Keras's outputs in onnxruntime."""
        assert_exports(model, folder)
        feeds = dict(zip(model.input_names, model._flat_inputs(self.example), strict=True))
        computed = run_session(make_session(folder / "model.onnx"), feeds)
        for name, wanted in zip(model.output_names, self.outputs, strict=True):
            assert computed[name].shape == wanted.shape
            np.testing.assert_allclose(computed[name], wanted, rtol=0, atol=1e-5 * max(1, np.abs(wanted).max()))


@pytest.fixture(scope="module", params=subclassed_models.MODELS)
def guide(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Guide:
    keras.utils.clear_session()
    folder = tmp_path_factory.mktemp("guide")
    path = write(folder, subclassed_models.HEAD + subclassed_models.MODELS[request.param])
    names = runpy.run_path(str(path), run_name="script")
    reference, example = names["model"], names["example"]()
    random = np.random.default_rng(5)
    for weight in reference.weights:
        is_variance = "variance" in weight.path
        weight.assign(random.uniform(0.2, 0.8, weight.shape) if is_variance else random.normal(0, 0.5, weight.shape))
    reference.save(folder / "model.keras")
    reference.save_weights(folder / "model.weights.h5")
    return Guide(folder, reference, example, [np.asarray(one) for one in flatten(reference(example))])


def test_a_script_without_keras(guide: Guide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "keras", None)
        model = load_script(guide.script)
    model.load_weights(guide.folder / "model.weights.h5")
    guide.assert_same(model, tmp_path)


def test_a_file_with_its_classes(guide: Guide, tmp_path: Path) -> None:
    model = load_keras_model(guide.folder / "model.keras", custom_objects=run_script(guide.script))
    guide.assert_same(model, tmp_path)


def test_a_live_model(guide: Guide, tmp_path: Path) -> None:
    model = load(guide.reference)
    assert isinstance(model, Model)
    guide.assert_same(model, tmp_path)


def test_a_script_with_keras(guide: Guide, tmp_path: Path) -> None:
    guide.assert_same(load_script(guide.script, weights=guide.folder / "model.weights.h5"), tmp_path)


@pytest.mark.parametrize("name", ["called on an array", "fed to predict"])
def test_a_live_subclassed_model_keeps_its_weights(name: str, tmp_path: Path) -> None:
    keras.utils.clear_session()
    trained = """
if keras.backend.backend() != "kir":
    for weight in model.weights:
        weight.assign(np.full(weight.shape, 0.3))
"""
    model = load_script(write(tmp_path, HEAD + SCRIPTS[name] + trained))
    assert type(model) is Model
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


def test_a_subclass_without_a_call_can_be_made_and_not_called() -> None:
    class Trained(Model):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

    model = Trained(layers.Dense(2))
    assert model.layers == [model.inner]
    with pytest.raises(InvalidArgumentError, match=r"Trained 'trained' needs a call, or inputs and outputs"):
        model(np.zeros((1, 3), "float32"))


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


VAE = """
class Sampling(layers.Layer):
    def call(self, inputs):
        mean, log_variance = inputs
        return mean + ops.exp(0.5 * log_variance) * keras.random.normal(ops.shape(mean))

x = keras.Input((6,))
mean, log_variance = layers.Dense(2, name="mean")(x), layers.Dense(2)(x)
encoder = Model(x, [mean, Sampling(name="sampling")([mean, log_variance])], name="encoder")
encoder.summary()

class Decoder(Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(6)

    def call(self, z):
        return self.dense(z)

class VAE(Model):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def call(self, x):
        if ops.mean(x) > 0:
            return None
        return self.decoder(self.encoder(x)[1])

decoder = Decoder()
vae = VAE(encoder, decoder)
vae.build((None, 6))
vae.fit(np.zeros((2, 6)), epochs=1)
vae(np.zeros((2, 6)))
images = vae.predict(np.zeros((2, 6)))
vae.summary()
decoder(np.zeros((2, 2), "float32"))
"""


@pytest.fixture
def vae(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "keras", None)
    return write(tmp_path, HEAD + VAE)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_error_is_that_of_the_model_that_is_exported(vae: Path, tmp_path: Path) -> None:
    assert_exports(load_script(vae, "decoder"), tmp_path)
    with pytest.raises(KirError, match=r"layer vae \(VAE\): a branch on a symbolic value") as caught:
        load_script(vae, "vae")
    assert f"at {vae}:30" in caught.value.__notes__
    with pytest.raises(KirError, match="branch on a symbolic value"):
        load_script(vae)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_result_that_is_not_there_is_missed_where_it_is_used(vae: Path) -> None:
    for use in (
        "images + 1",
        "images.shape",
        "len(images)",
        "np.asarray(images)",
        "images[0]",
        "for x in images: pass",
    ):
        write(vae.parent, f"{HEAD}{VAE}{use}\n")
        with pytest.raises(KirError, match="branch on a symbolic value"):
            load_script(vae, "decoder")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_numbers_are_refused_in_outputs_alone(vae: Path, tmp_path: Path) -> None:
    encoder = load_script(vae, "encoder")
    with pytest.raises(UnsupportedError, match=r"keras\.random\.normal in layer sampling: .*--outputs LAYER"):
        export_model(encoder, tmp_path / "model.onnx")
    assert_exports(cut_model(encoder, ["mean"]), tmp_path)


def test_a_variable_called_model_is_the_one_of_a_script(tmp_path: Path) -> None:
    text = "a, model, b = [kir.Sequential([kir.Input((3,)), kir.layers.Dense(n, name=f'd{n}')]) for n in (1, 2, 3)]\n"
    path = write(tmp_path, f"import kir\n{text}both = kir.Sequential([model])\n")
    assert load_script(path).output_shape == (None, 2)
    assert load_script(path, "b").output_shape == (None, 3)


def test_a_file_whose_classes_are_not_given_says_which_script_it_needs(tmp_path: Path) -> None:
    register = "@keras.saving.register_keras_serializable()\n"
    text = f"{HEAD}{register}class Half(Model):\n    def call(self, x):\n        return x / 2\n"
    path = write(tmp_path, f"{text}model = Half()\nmodel(np.ones((1, 2)))\n")
    runpy.run_path(str(path), run_name="__main__")["model"].save(tmp_path / "model.keras")
    for given, message in (
        (None, r"the model: Half .* the script that defines it with --custom-objects file\.py"),
        ({"Other": layers.Dense}, r"--custom-objects file\.py .*; those that were given are Other"),
    ):
        with pytest.raises(UnsupportedError, match=message):
            load(tmp_path / "model.keras", custom_objects=given)
    # What is in the script after its classes may be more than kir can do.
    trains = write(tmp_path, f"{text}data = keras.datasets.mnist.load_data()\nmodel = 1 / 0\n", "trains.py")
    with pytest.warns(
        UserWarning, match=r"gives what it defined before it ended with an error: .*trains\.py:\d+.*no data"
    ):
        assert isinstance(load(tmp_path / "model.keras", custom_objects=trains), Model)
    with pytest.raises(UnsupportedError, match="reads no data"):
        run_script(write(tmp_path, "import keras\ndata = keras.datasets.mnist.load_data()\n", "data.py"))


def test_shapes_of_several_arguments_are_given(tmp_path: Path) -> None:
    """Keras notes the shape of the first one alone."""
    register = "@keras.saving.register_keras_serializable()\n"
    text = f"""{register}class Two(Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, a, b):
        return self.dense(a) + b

model = Two()
model(np.zeros((2, 4), "float32"), np.zeros((2, 3), "float32"))
"""
    path = write(tmp_path, HEAD + text)
    reference = runpy.run_path(str(path))["model"]
    reference.save(tmp_path / "model.keras")
    shapes: Any = {"a": ["batch", 4], "b": ["batch", 3]}
    feeds = [np.ones((2, 4), "float32"), np.ones((2, 3), "float32")]
    for source, objects in ((reference, None), (tmp_path / "model.keras", path)):
        with pytest.raises(KirError, match=r"missing .* 'b'"):
            load(source, custom_objects=objects)
        model = load(source, custom_objects=objects, input_shapes=shapes)
        assert isinstance(model, Model)
        np.testing.assert_allclose(model.predict(feeds), np.asarray(reference(*feeds)), rtol=1e-6)


def test_names_are_attribute_paths_however_the_model_is_read(
    guide: Guide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = names_in(load(guide.reference), tmp_path)  # type: ignore[arg-type]
    model = load(guide.folder / "model.keras", custom_objects=guide.script)
    assert names_in(model, tmp_path) == live  # type: ignore[arg-type]
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "keras", None)
        model = load_script(guide.script, weights=guide.folder / "model.weights.h5")
        assert names_in(model, tmp_path) == live


@pytest.mark.parametrize("policy", ["default", "of the layers"])
def test_layers_of_mixed_precision_compute_in_float16(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_default = policy == "default"
    text = f"""
{"keras.config.set_dtype_policy('mixed_float16')" if is_default else ""}
class Mixed(Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, "relu"{"" if is_default else ", dtype='mixed_float16'"})
        self.head = layers.Dense(2, dtype="float32")

    def call(self, x):
        return self.head(self.dense(x))

model = Mixed()
model(np.zeros((2, 4), "float32"))
"""
    path = write(tmp_path, HEAD + text)
    before = keras.config.dtype_policy()
    try:
        reference = runpy.run_path(str(path))["model"]
        live = load(reference)
    finally:
        keras.config.set_dtype_policy(before)
    assert isinstance(live, Model)
    feed = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    np.testing.assert_allclose(live.predict(feed), np.asarray(reference(feed)), rtol=2e-3, atol=2e-3)
    monkeypatch.setitem(sys.modules, "keras", None)
    for model in (live, load_script(path)):
        dtypes = {node.outputs[0].type.dtype.name for node in model.to_graph().nodes() if node.origin and node.outputs}
        assert {"FLOAT16", "FLOAT32"} <= dtypes
        assert_exports(model, tmp_path)
