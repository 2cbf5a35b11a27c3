"""Scripts that import Keras or TensorFlow where they are not installed."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

from kir import Model
from kir.errors import KirError, ScriptError, UnsupportedError
from kir.exporters.pipeline import export_model
from kir.importers.keras_names import NAMESPACES
from kir.importers.keras_stand_in import StandIn
from kir.importers.script import load_script
from kir.modeling.lower import lower
from kir.support.trees import flatten

MNIST = """
from keras.datasets import mnist
from keras import layers, regularizers
import keras

BATCH, EPOCHS = 128, 20

model = keras.models.Sequential()
model.add(layers.Dense(32, activation="relu", input_shape=(784,), kernel_regularizer=regularizers.l2(1e-4)))
model.add(layers.Dropout(0.2))
model.add(layers.Dense(32, activation="relu", kernel_initializer=keras.initializers.HeNormal()))
model.add(layers.Dropout(0.2))
model.add(layers.Dense(10, activation="softmax"))
model.summary()
model.compile(
    loss=keras.losses.CategoricalCrossentropy(),
    optimizer=keras.optimizers.RMSprop(keras.optimizers.schedules.ExponentialDecay(1e-3, 100, 0.9)),
    metrics=["accuracy", keras.metrics.TopKCategoricalAccuracy(k=3)],
)
callbacks = [keras.callbacks.EarlyStopping(patience=3), keras.callbacks.ModelCheckpoint("best.weights.h5")]

if __name__ == "__main__":
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    model.fit(x_train, y_train, batch_size=BATCH, epochs=EPOCHS, callbacks=callbacks)
"""

TWO_BRANCHES = """
import keras
from keras import Input, Model, layers, ops

wide = Input(shape=(6,), name="wide")
deep = Input(shape=(8,), name="deep")
a = layers.Dense(5, activation="tanh")(wide)
b = layers.Dense(5, activation=keras.activations.gelu)(deep)
x = layers.concatenate([a, b])
x = x - ops.mean(x, axis=-1, keepdims=True)
x = x / ops.sqrt(ops.var(x, axis=-1, keepdims=True) + keras.backend.epsilon())
x = ops.where(x > 0, x, 0.1 * x)
score = layers.Dense(1, activation="sigmoid", name="score")(x)
classes = layers.Dense(3, name="classes")(x[:, 2:])
model = Model(inputs=[wide, deep], outputs=[score, ops.softmax(classes)])
model.compile("adam", loss=["binary_crossentropy", "categorical_crossentropy"], loss_weights=[1.0, 0.2])
"""

MASKED_LSTM = """
from keras.models import Sequential
from keras.layers import LSTM, Bidirectional, Dense, Dropout, Input, Masking

max_length, features = 12, 4
model = Sequential([
    Input(shape=(max_length, features)),
    Masking(mask_value=0.0),
    Bidirectional(LSTM(6, return_sequences=True)),
    Dropout(0.5),
    LSTM(5),
    Dense(1, activation="sigmoid"),
])
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
"""

AUTOENCODER = """
import numpy as np
import keras
from keras import layers

encoding_dim = 8

def make_encoder():
    image = keras.Input(shape=(7, 7), name="image")
    x = layers.Flatten()(image)
    return keras.Model(image, layers.Dense(encoding_dim, activation="relu", name="code")(x), name="encoder")

def make_decoder():
    code = keras.Input(shape=(encoding_dim,), name="encoded")
    x = layers.Dense(49, activation="sigmoid")(code)
    return keras.Model(code, layers.Reshape((7, 7))(x), name="decoder")

encoder, decoder = make_encoder(), make_decoder()
image = keras.Input(shape=(7, 7), name="picture")
autoencoder = keras.Model(image, decoder(encoder(image)), name="autoencoder")
autoencoder.compile(optimizer=keras.optimizers.Adam(learning_rate=1e-3), loss="mse")
"""

SHARED = """
import keras
from keras import layers, ops

def euclidean(pair):
    x, y = pair
    return ops.sqrt(ops.maximum(ops.sum(ops.square(x - y), axis=1, keepdims=True), keras.config.epsilon()))

def embedding():
    return keras.Sequential([keras.Input((10,)), layers.Dense(6, activation="relu"), layers.Dense(4)], name="embed")

shared = embedding()
left, right = keras.Input((10,), name="left"), keras.Input((10,), name="right")
distance = layers.Lambda(euclidean, output_shape=(1,))([shared(left), shared(right)])
siamese = keras.Model([left, right], distance)
"""

CUSTOM_LAYER = """
import keras
from keras import layers, ops

@keras.saving.register_keras_serializable(package="mine")
class Antirectifier(layers.Layer):
    def __init__(self, initializer="he_normal", **kwargs):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1] * 2, input_shape[-1]), initializer=self.initializer, name="kernel", trainable=True
        )
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, inputs):
        inputs = inputs - ops.mean(inputs, axis=-1, keepdims=True)
        mixed = ops.concatenate([ops.relu(inputs), ops.relu(-inputs)], axis=-1)
        return self.scale * ops.matmul(mixed, self.kernel)

    def get_config(self):
        return {**super().get_config(), "initializer": keras.initializers.serialize(self.initializer)}

class StopAtTarget(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = logs["loss"] < 0.1

model = keras.Sequential([keras.Input((9,)), layers.Dense(6), Antirectifier(), layers.Dense(2)])
"""

# Each runs in the real Keras, too.
SCRIPTS = {
    "mnist": MNIST,
    "two_branches": TWO_BRANCHES,
    "masked_lstm": MASKED_LSTM,
    "autoencoder": AUTOENCODER,
    "shared": SHARED,
    "custom_layer": CUSTOM_LAYER,
}

TF_LAMBDA = """
import tensorflow as tf
import tensorflow.keras.backend as K
from tensorflow import keras
from tensorflow.keras import layers
from tensorflow.keras.layers import Dense

tf.random.set_seed(3)
if tf.config.list_physical_devices("GPU"):
    raise SystemExit("no")

def antirectify(x):
    import tensorflow as tf
    x -= K.mean(x, axis=1, keepdims=True)
    x = K.l2_normalize(x, axis=1)
    return tf.concat([tf.nn.relu(x), tf.nn.relu(-x)], axis=1)

@tf.function
def pairwise(x):
    left, right = tf.split(x, [2, 4], axis=-1)
    return tf.reduce_sum(tf.matmul(left[:, :, tf.newaxis], right[:, tf.newaxis, :]), axis=[1, 2], name="sum")[:, None]

inputs = tf.keras.Input(shape=(3,), dtype=tf.float32)
x = layers.Lambda(antirectify)(inputs)
both = layers.Concatenate()([layers.Lambda(pairwise)(x), tf.keras.layers.Activation("tanh")(x)])
model = keras.Model(inputs, Dense(2, use_bias=False)(both))
model.compile(optimizer=tf.keras.optimizers.Adam(1e-3), loss=keras.losses.MeanSquaredError())
"""

UNDER_MAIN = """
import tensorflow as tf

def build_model(units=4):
    return tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(units)])

def train():
    (x, y), _ = tf.keras.datasets.mnist.load_data()
    model = build_model()
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    model.fit(dataset)
    return model

if __name__ == "__main__":
    train()
"""


@pytest.fixture
def no_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras cannot be imported; TensorFlow is not installed where these tests run."""
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.setitem(sys.modules, "tensorflow", None)


def write(folder: Path, text: str, name: str = "script.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def draw(model: Model) -> list[Any]:
    random = np.random.default_rng(0)
    shapes: list[Any] = [(3, *x.shape[1:]) for x in model.inputs]
    feeds = [random.normal(size=shape).astype("float32") for shape in shapes]
    for feed in feeds:
        feed[1, -1:] = 0.0
    return feeds


def assert_exports(model: Model, folder: Path) -> None:
    verification = export_model(model, folder / "model.onnx").verification
    assert verification is not None
    assert verification.passed


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_written_for_keras_exports_and_computes_what_keras_does(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, SCRIPTS[name])
    reference = next(value for value in reversed(runpy.run_path(str(path)).values()) if isinstance(value, keras.Model))
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "keras", None)
        model = load_script(path)
    assert type(model).__module__.startswith("kir.modeling.")
    assert len(model.get_weights()) == len(reference.get_weights())
    model.set_weights(reference.get_weights())
    feeds = draw(model)
    expected = reference(feeds if len(feeds) > 1 else feeds[0])
    for output, wanted in zip(flatten(model.predict(feeds)), flatten(expected), strict=True):
        np.testing.assert_allclose(output, np.asarray(wanted), rtol=1e-5, atol=2e-6)
    assert_exports(model, tmp_path)


@pytest.mark.usefixtures("no_keras")
def test_weights_that_keras_saved_fill_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, CUSTOM_LAYER)
    model = load_script(path)
    monkeypatch.undo()
    reference = runpy.run_path(str(path))["model"]
    reference.save_weights(tmp_path / "trained.weights.h5")
    model.load_weights(tmp_path / "trained.weights.h5")
    feeds = draw(model)
    np.testing.assert_allclose(model.predict(feeds), np.asarray(reference(feeds[0])), rtol=1e-5, atol=2e-6)


@pytest.mark.usefixtures("no_keras")
def test_a_script_for_tensorflow_computes_what_tensorflow_would(tmp_path: Path) -> None:
    model = load_script(write(tmp_path, TF_LAMBDA))
    x = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    centered = x - x.mean(axis=1, keepdims=True)
    normal = centered / np.linalg.norm(centered, axis=1, keepdims=True)
    both = np.concatenate([np.maximum(normal, 0), np.maximum(-normal, 0)], axis=1)
    pairs = both[:, :2].sum(axis=1) * both[:, 2:].sum(axis=1)
    expected = np.concatenate([pairs[:, None], np.tanh(both)], axis=1) @ model.get_weights()[0]
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=2e-6)
    assert_exports(model, tmp_path)


@pytest.mark.usefixtures("no_keras")
def test_a_model_built_by_a_function_is_found_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, UNDER_MAIN)
    assert_exports(load_script(path, "build_model"), tmp_path)
    with pytest.raises(ScriptError, match="functions: build_model, train"):
        load_script(path)
    with pytest.raises(UnsupportedError, match=r"mnist\.load_data: kir reads no data.*__main__.*--weights"):
        load_script(path, "train")


@pytest.mark.usefixtures("no_keras")
def test_a_module_beside_the_script_finds_the_names_too(tmp_path: Path) -> None:
    write(tmp_path, "from keras import layers\ndef head(x):\n    return layers.Dense(2)(x)\n", "blocks_of_the_model.py")
    text = (
        "import keras\nfrom blocks_of_the_model import head\nx = keras.Input((3,))\nmodel = keras.Model(x, head(x))\n"
    )
    assert load_script(write(tmp_path, text)).output_shape == (None, 2)
    del sys.modules["blocks_of_the_model"]


def test_the_names_are_gone_when_the_script_has_run(tmp_path: Path) -> None:
    before = dict(sys.modules), list(sys.meta_path)
    model = load_script(write(tmp_path, TF_LAMBDA))
    assert [name for name in sys.modules if name.startswith("tensorflow")] == []
    assert {name: sys.modules[name] for name in before[0]} == before[0]
    assert sys.meta_path == before[1]
    # Though the Lambda, which imports tensorflow, is traced again.
    assert model.to_graph().outputs


def test_the_names_are_gone_when_the_script_fails(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="ZeroDivisionError"):
        load_script(write(tmp_path, "import tensorflow as tf\nfrom tensorflow.keras import layers\n1 / 0\n"))
    assert "tensorflow" not in sys.modules
    assert sys.modules["keras"] is keras


@pytest.mark.parametrize(
    "text",
    [
        "import keras\nimport keras.layers as L\nmodel = keras.Sequential([keras.Input((3,)), L.Dense(2)])",
        "from keras.layers import *\nfrom keras.models import *\nmodel = Sequential([Input((3,)), Dense(2)])",
        "from keras.layers.core import Dense, Activation\nfrom keras import models\n"
        "model = models.Sequential([Dense(2, input_dim=3), Activation('relu')])",
        "import tensorflow.keras as keras\nmodel = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])",
        "from tensorflow.python.keras.layers import Dense, Input\nfrom tensorflow.keras import Model\n"
        "x = Input((3,))\nmodel = Model(x, Dense(2)(x))",
        "import tf_keras as keras\nmodel = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])",
        "try:\n    from keras.layers import CuDNNLSTM as LSTM\nexcept ImportError:\n    from keras.layers import LSTM\n"
        "import keras\nmodel = keras.Sequential([keras.Input((4, 3)), LSTM(2)])",
        "import keras, numpy as np\nlabels = keras.utils.to_categorical(np.array([[0], [2]]))\n"
        "assert labels.tolist() == [[1, 0, 0], [0, 0, 1]]\n"
        "assert int(keras.__version__.split('.')[0]) >= 3\nassert keras.backend.backend() == 'kir'\n"
        "keras.mixed_precision.set_global_policy('mixed_float16')\n"
        "assert keras.layers.Dense(2).compute_dtype == 'float16'\n"
        "assert keras.config.dtype_policy().name == 'mixed_float16'\n"
        "keras.config.set_dtype_policy(keras.DTypePolicy('float32'))\n"
        "class Data(keras.utils.Sequence):\n    pass\n"
        "model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(labels.shape[0])])",
    ],
)
@pytest.mark.usefixtures("no_keras")
def test_every_way_to_import(tmp_path: Path, text: str) -> None:
    assert load_script(write(tmp_path, text)).output_shape == (None, 2)


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("keras.layers.Desne(3)", UnsupportedError, r"keras\.layers\.Desne.*near it: Dense"),
        ("from keras.layers import ConvLSTM4D", UnsupportedError, r"no keras\.layers\.ConvLSTM4D.*ConvLSTM"),
        (
            "from keras.layers import TFSMLayer\nTFSMLayer(3)",
            UnsupportedError,
            r"keras\.layers\.TFSMLayer: .*runs code of another",
        ),
        ("import keras.layer", UnsupportedError, r"no keras\.layer .*near it: layers"),
        ("tf.keras.layers.Desne(3)", UnsupportedError, r"tensorflow\.keras\.layers\.Desne"),
        ("tf.reduce_maen(3)", UnsupportedError, "near it: reduce_mean"),
        ("keras.ops.maen(3)", UnsupportedError, "did you mean mean"),
        ("keras.backend.random_normal((2,))", UnsupportedError, "cannot be traced"),
        ("keras.datasets.mnist.load_data()", UnsupportedError, "reads no data"),
        ("keras.utils.get_file('a', 'b')", UnsupportedError, "reads no data"),
        ("keras.models.load_model('a.keras')", KirError, r"no file a\.keras"),
        ("keras.models.clone_model(None, input_tensors=1)", UnsupportedError, "call the function that builds it"),
        ("keras.applications.VGG16()", UnsupportedError, "where Keras is installed"),
        ("tf.data.Dataset.from_tensor_slices([])", UnsupportedError, r"tensorflow\.data\.Dataset"),
        ("with tf.GradientTape() as tape: pass", UnsupportedError, "does not train"),
        ("keras.Sequential([keras.Input((2,))]).train_step(None)", UnsupportedError, r"does not train.*--weights"),
        ("keras.ops.sum(keras.losses.mse(keras.Input((2,)), 1.0))", UnsupportedError, "mse computes nothing here"),
        (
            "class M(keras.Model):\n    def __init__(self): super().__init__()\nM()(np.ones((1, 2))) + 1",
            KirError,
            "define call",
        ),
    ],
)
@pytest.mark.usefixtures("no_keras")
def test_what_kir_has_not_is_said_with_the_line(tmp_path: Path, line: str, error: type[KirError], message: str) -> None:
    path = write(tmp_path, f"import keras\nimport numpy as np\nimport tensorflow as tf\n{line}\n")
    with pytest.raises(error, match=message) as caught:
        load_script(path)
    assert "script.py:" in "".join([str(caught.value), *caught.value.__notes__])


@pytest.mark.parametrize("module", ["activations", "constraints", "initializers", "layers", "ops", "regularizers"])
def test_every_name_is_one_of_keras(module: str) -> None:
    theirs = set(dir(getattr(keras, module)))
    if module == "ops":
        # Those of Keras's backend module under TensorFlow, which does not exist without it; and an activation.
        theirs |= {"batch_dot", "batch_flatten", "bias_add", "cast_to_floatx", "constant", "epsilon", "gather"}
        theirs |= {"floatx", "image_data_format", "int_shape", "is_keras_tensor", "l2_normalize", "permute_dimensions"}
        theirs |= {"conv1d", "conv2d", "conv3d", "depthwise_conv2d", "pool2d", "pool3d", "separable_conv2d"}
        theirs |= {"pow", "repeat_elements", "reverse", "set_epsilon", "set_floatx", "set_image_data_format"}
        theirs |= {"resize_images"}
        theirs |= {"spatial_2d_padding", "spatial_3d_padding", "temporal_padding", "variable", "flatten", "mish"}
    if module == "layers":
        # Of Keras 3.16, which is not out.
        theirs |= {"TernaryDense"}
    assert set(NAMESPACES[module]) - theirs == set()


@pytest.mark.parametrize(("backend", "real"), [("numpy", True), ("a_library_nobody_has", False)])
def test_keras_is_used_where_it_and_its_backend_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, real: bool
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "keras"]:
        monkeypatch.delitem(sys.modules, name)
    # Set by the script, as scripts do; put back behind the test.
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    text = (
        f"import os\nos.environ['KERAS_BACKEND'] = {backend!r}\nimport keras\nkind = keras.layers.Dense.__module__\n"
        f"assert kind.startswith({'keras.src' if real else 'kir.'!r}), kind\n"
        f"model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])\n"
    )
    assert load_script(write(tmp_path, text)).output_shape == (None, 2)
    for name in [name for name in sys.modules if name.partition(".")[0] == "keras"]:
        del sys.modules[name]


TRAINING = """
import numpy as np
import keras
from keras import callbacks, layers, losses, metrics, ops, optimizers
from keras.callbacks import Callback, EarlyStopping, ModelCheckpoint, TensorBoard
from keras.utils import PyDataset, pad_sequences, plot_model, to_categorical

x = pad_sequences([[1, 2, 3], [4]], maxlen=4, padding="post")
y = to_categorical([0, 1])

class Loss(losses.Loss):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(name="mine", **kwargs)
        self.factor = factor

    def call(self, y_true, y_pred):
        return self.factor * ops.mean(ops.square(y_true - y_pred))

class Hits(metrics.Metric):
    def __init__(self, **kwargs):
        super().__init__(name="hits", **kwargs)
        self.hits = self.add_weight(name="hits", initializer="zeros")

class Stop(Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True

model = keras.Sequential([keras.Input((4,)), layers.Dense(3, "relu"), layers.Dense(2, "softmax")])
rate = optimizers.schedules.CosineDecay(1e-3, 100)
model.compile(optimizers.AdamW(rate, weight_decay=1e-4), loss=Loss(), metrics=["accuracy", Hits()])
before = model.get_weights()
history = model.fit(x, y, epochs=3, validation_split=0.5, callbacks=[Stop(), EarlyStopping(), TensorBoard()])
assert history.history["loss"] == [] and model.metrics_names == ["loss", "accuracy", "hits"]
loss, accuracy, hits = model.evaluate(x, y, verbose=0)
print("accuracy:", accuracy, model.evaluate(x, y, return_dict=True)["loss"])
for step in range(3):
    model.train_on_batch(x, y)
print(model.predict(x).argmax(axis=-1), model.predict_on_batch(x).shape, model.optimizer.learning_rate)
model.summary(line_length=90, print_fn=print)
plot_model(model, "model.png", show_shapes=True)
model.save("model.keras")
model.save("model.h5")
keras.models.save_model(model, "folder")
model.save_weights("model.weights.h5")
model.save_weights("checkpoint")
model.export("folder")
model.export("model.onnx")
with open("model.json", "w") as file:
    file.write(model.to_json(indent=2))
"""


@pytest.mark.usefixtures("no_keras")
def test_a_training_script_gives_its_model_and_says_that_it_is_untrained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes no weights over those that it trained where it ran for real."""
    monkeypatch.chdir(tmp_path)
    saved = ["model.keras", "model.h5", "model.weights.h5", "model.onnx"]
    for name in saved:
        Path(name).write_text("trained")
    with pytest.warns(UserWarning, match="wrote nothing") as caught:
        model = load_script(write(tmp_path, TRAINING))
    said = "\n".join(str(one.message) for one in caught)
    assert "was not trained" in said
    assert "--weights FILE" in said
    assert "NaN" in said
    assert all(f"save({name!r}) wrote nothing" in said for name in ("model.keras", "model.h5", "folder"))
    assert all(f"save_weights({name!r}) wrote nothing" in said for name in ("model.weights.h5", "checkpoint"))
    assert all(f"export({name!r}) wrote nothing" in said for name in ("folder", "model.onnx"))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*saved, "model.json", "script.py"])
    assert [Path(name).read_text() for name in saved] == ["trained"] * len(saved)
    monkeypatch.undo()
    assert keras.models.model_from_json((tmp_path / "model.json").read_text()).output_shape == model.output_shape


@pytest.mark.usefixtures("no_keras")
def test_a_script_that_does_not_train_saves_and_loads_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = """
import keras
from keras import layers

@keras.saving.register_keras_serializable("mine")
class Scale(layers.Layer):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="w")
        super().build(input_shape)

    def call(self, inputs):
        return self.factor * self.w * inputs

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}

def build():
    return keras.Sequential([keras.Input((3,)), Scale(2.0), layers.Dense(2)])

first = build()
first.save("model.keras")
first.save_weights("model.weights.h5")
copy = keras.models.clone_model(first)
copy.fit(None)
copy.load_weights("model.weights.h5")
copy.save("copy.keras")
again = keras.models.model_from_json(first.to_json())
model = keras.saving.load_model("copy.keras")
"""
    with pytest.warns(UserWarning, match="was not trained"):
        model = load_script(write(tmp_path, text), "model")
    monkeypatch.undo()
    definitions = runpy.run_path(str(write(tmp_path, text.partition("first = ")[0], "definitions.py")))
    assert definitions["Scale"]
    reference = keras.models.load_model(tmp_path / "model.keras")
    feeds = draw(model)
    np.testing.assert_allclose(model.predict(feeds), np.asarray(reference(feeds[0])), rtol=1e-5, atol=2e-6)


# Names of Keras that a script cannot even import; what needs a function of tensors, `keras.ops` says itself.
NOT_TO_IMPORT: dict[str, str] = {}


def modules_of_keras() -> dict[str, Any]:
    found: dict[str, Any] = {}
    pending = [("", keras)]
    while pending:
        path, module = pending.pop()
        found[path] = module
        inner = {f"{path}.{name}".lstrip("."): getattr(module, name) for name in dir(module) if name[0] != "_"}
        pending += [
            (name, value)
            for name, value in inner.items()
            if isinstance(value, ModuleType) and value.__name__.startswith("keras.")
            if name.partition(".")[0] not in ("src", "ops") and name not in found
        ]
    return found


def test_every_name_of_keras_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be used says so when it is, so that the imports of a training script do not fail."""
    stand_in = StandIn(True)
    missing = set()
    for path, module in modules_of_keras().items():
        names = [name for name in dir(module) if name[0] != "_" and name not in ("src", "ops")]
        for name in names:
            try:
                getattr(stand_in.module(f"keras.{path}".rstrip(".")), name)
            except KirError:
                missing.add(f"{path}.{name}".lstrip("."))
    assert missing == set(NOT_TO_IMPORT)


LOSSES = {
    "a loss": ("keras.losses.CTC()", "self.loss(label, x)"),
    "a function": ("keras.losses.mse", "ops.mean(self.loss(label, x)) * 2"),
    "of the backend": (
        "keras.backend.ctc_batch_cost",
        "self.loss(label, x, ops.cast(ops.shape(x)[1], 'int64') * ops.ones((ops.shape(x)[0], 1), 'int64'), label)",
    ),
}
WITH_LOSS = """
import keras
from keras import layers, ops
class Loss(layers.Layer):
    def __init__(self):
        super().__init__(name="end")
        self.loss = {loss}
    def call(self, label, x):
        loss = {call}
        self.add_loss(loss)
        return x{result}
x, label = keras.Input((6, 4), name="x"), keras.Input((6, 3), name="label")
model = keras.Model([x, label], Loss()(label, layers.Dense(3, name="p")(x)))
"""


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.usefixtures("no_keras")
def test_a_loss_that_a_layer_adds_is_left_out(name: str, tmp_path: Path) -> None:
    loss, call = LOSSES[name]
    path = tmp_path / "script.py"
    path.write_text(WITH_LOSS.format(loss=loss, call=call, result=""))
    model = load_script(path)
    assert [type(node.op).__name__ for node in lower(model).order()].count("Opaque") == 0
    x = np.ones((2, 6, 4), np.float32)
    np.testing.assert_array_equal(model.predict([x, x[..., :3]]), model.get_layer("p")(x))
    with pytest.raises(UnsupportedError, match="in layer end: it computes nothing here, and an output depends on it"):
        lower(model, losses=True)


@pytest.mark.usefixtures("no_keras")
def test_an_output_that_depends_on_a_loss_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(WITH_LOSS.format(loss="keras.losses.CTC()", call="self.loss(label, x)", result=" * loss"))
    with pytest.raises(UnsupportedError, match="CTC in layer end: it computes nothing here"):
        lower(load_script(path))
