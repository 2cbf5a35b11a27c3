"""Layers of the user's own, with layers and weights inside, by each way in which kir gets at them."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from kir import Model, config
from kir.errors import FormatError, UnsupportedError
from kir.importers.keras_file import load_keras_model
from kir.importers.keras_live import model_from_keras
from kir.importers.script import load_script, run_script
from kir.ir.graph import Provenance
from tests.importers.keras_file.compare import assert_same_numbers
from tests.importers.test_keras_stand_in import write

HEAD = """
import numpy as np
import keras
from keras import Input, Model, Sequential, layers, ops
"""

# Each script leaves one model, whose layers are found in its file by where Keras's own code puts them.
SCRIPTS = {
    "a list and a dict": """
@keras.saving.register_keras_serializable("mine")
class Blocks(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = []
        self.norm = layers.LayerNormalization()
        self.blocks.append(layers.Dense(4, activation="tanh"))
        self.blocks.append(layers.Dense(4))
        self.heads = {"b": layers.Dense(4), "a": [layers.Dense(4), (layers.Dense(4),)]}

    def call(self, x):
        for block in self.blocks:
            x = x + block(x)
        return self.norm(self.heads["b"](x) + 2 * self.heads["a"][0](x) - 3 * self.heads["a"][1][0](x))

x = Input((4,))
model = Model(x, Blocks()(x))
""",
    "one layer under two names": """
@keras.saving.register_keras_serializable("mine")
class Shared(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.last = layers.Dense(3)
        self._first = self.last
        self.all = [layers.Dense(3), self.last]

    def call(self, x):
        return self.last(self.all[0](x))

x = Input((3,))
model = Model(x, Shared()(x))
""",
    "models and wrappers inside": """
@keras.saving.register_keras_serializable("mine")
class Encoder(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.steps = [layers.Bidirectional(layers.GRU(3, return_sequences=True)), Sequential([layers.Dense(5)])]
        self.attention = layers.MultiHeadAttention(2, 3)

    def call(self, x):
        for step in self.steps:
            x = step(x)
        return self.attention(x, x)

x = Input((4, 3))
model = Model(x, Encoder()(x))
""",
    "layers built by hand": """
@keras.saving.register_keras_serializable("mine")
class Built(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(6)
        self.attention = layers.MultiHeadAttention(2, 3)

    def build(self, shape):
        self.inner.build(shape)
        self.attention.build((None, None, 6), (None, None, 6))
        self.scale = self.add_weight(shape=(6,), name="scale")
        super().build(shape)

    def call(self, x):
        x = self.inner(x)
        return self.attention(x, x) * self.scale

x = Input((4, 3))
model = Model(x, Built()(x))
""",
    "arithmetic of weights": """
@keras.saving.register_keras_serializable("mine")
class Affine(layers.Layer):
    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones", name="gamma")
        self.table = self.add_weight(shape=(3, shape[-1]), name="table")

    def call(self, x):
        x = (1 + self.gamma) * x + self.table[0] - np.tanh(self.gamma) / 2
        return x @ ops.transpose(self.table) + ops.sum(self.table[1:] * self.gamma, axis=0)[:3] - self.gamma.value[0]

x = Input((3,))
model = Model(x, Affine()(x))
""",
    "a token for each image": """
@keras.saving.register_keras_serializable("mine")
class ClassToken(layers.Layer):
    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")

    def call(self, x):
        tokens = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([tokens, x], axis=1)

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] + 1, shape[2])

x = Input((4, 3))
model = Model(x, ClassToken()(x))
""",
    "a mask tiled by a shape of tensors": """
@keras.saving.register_keras_serializable("mine")
class Causal(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(2, 3)

    def call(self, x):
        batch, steps = ops.shape(x)[0], x.shape[1]
        mask = ops.cast(ops.arange(steps)[:, None] >= ops.arange(steps), "int32")
        counts = ops.concatenate([ops.expand_dims(batch, -1), ops.convert_to_tensor([1, 1])], axis=0)
        return self.attention(x, x, attention_mask=ops.tile(mask[None], counts))

x = Input((4, 3))
model = Model(x, Causal()(x))
""",
    "the mask of the first input": """
@keras.saving.register_keras_serializable("mine")
class Decoder(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.attention = layers.MultiHeadAttention(2, 3)

    def call(self, inputs, mask=None):
        x, memory = inputs
        return x + self.attention(x, memory, query_mask=mask[0], value_mask=mask[1])

x, memory = Input((5, 3)), Input((5, 3))
y = Decoder()([layers.Masking()(x), layers.Masking()(memory)])
model = Model([x, memory], layers.LSTM(2)(y))
""",
    "mixed precision": """
keras.config.set_dtype_policy("mixed_float16")

@keras.saving.register_keras_serializable("mine")
class Scaled(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")
        self.inner = layers.Dense(3)

    def call(self, x):
        return self.inner(x * self.scale)

x = Input((4,))
model = Model(x, Scaled()(x))
""",
}


@pytest.fixture(params=SCRIPTS)
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    yield write(tmp_path, HEAD + SCRIPTS[request.param])
    keras.config.set_dtype_policy("float32")
    config.set_dtype_policy(None)


def trained(path: Path) -> Any:
    """Return the model of a script as Keras has it, with weights that nothing draws."""
    model = runpy.run_path(str(path))["model"]
    random = np.random.default_rng(0)
    model.set_weights([random.normal(scale=0.5, size=weight.shape) for weight in model.get_weights()])
    return model


def test_a_file_is_read_with_the_classes_of_its_script(script: Path, tmp_path: Path) -> None:
    reference = trained(script)
    reference.save(tmp_path / "model.keras")
    model = load_keras_model(tmp_path / "model.keras", custom_objects=run_script(script), on_lost_mask="warn")
    assert_same_numbers(model, reference, tmp_path / "model.onnx")


def test_a_live_model_is_read_with_the_classes_of_its_script(script: Path, tmp_path: Path) -> None:
    reference = trained(script)
    model = model_from_keras(reference, script, lambda: run_script(script))
    assert_same_numbers(model, reference, tmp_path / "model.onnx")


def test_weights_that_the_class_does_not_make_are_missed(tmp_path: Path) -> None:
    """As when its layers are kept where nobody looks for them; the model would go on with random numbers."""
    path = write(tmp_path, HEAD + SCRIPTS["one layer under two names"])
    trained(path).save(tmp_path / "model.keras")
    hidden = path.read_text().replace("self.all = [layers.Dense(3), self.last]", "self.all = {layers.Dense(3)}")
    path.write_text(hidden.replace("self.all[0]", "list(self.all)[0]"))
    with pytest.raises(
        FormatError, match=r"layer shared.* \(layers/shared/all/dense/vars\) has 2 weights, the model's 0"
    ):
        load_keras_model(tmp_path / "model.keras", custom_objects=run_script(path))


def test_a_file_with_more_variables_than_the_class_makes(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + SCRIPTS["a token for each image"])
    reference = trained(path)
    reference.save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "model.weights.h5", "a") as file:
        file["layers/class_token/vars/1"] = np.ones(3, "float32")
    model = model_from_keras(reference, path)
    assert isinstance(model, Model)
    ours = run_script(path)["model"]
    assert isinstance(ours, Model)
    with pytest.raises(FormatError, match=r"\(layers/class_token/vars\) has 2 weights, the model's 1"):
        ours.load_weights(tmp_path / "model.weights.h5")


def test_a_summary_of_arguments_that_are_kept_under_other_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    text = """
@keras.saving.register_keras_serializable("mine")
class Repeats(layers.Layer):
    def __init__(self, count, units, **kwargs):
        super().__init__(**kwargs)
        self.settings = {"count": count}
        self.units = units
        self.inner = [layers.Dense(units) for _ in range(count)]

    def call(self, x):
        return sum(layer(x) for layer in self.inner)

    def get_config(self):
        return {**super().get_config(), **self.settings, "units": self.units}

model = Sequential([Input((4,)), Repeats(2, 3, name="repeats")])
"""
    path = write(tmp_path, HEAD + text)
    reference = trained(path)
    reference.save(tmp_path / "model.keras")
    model = load_keras_model(tmp_path / "model.keras", custom_objects=run_script(path))
    given = model.get_layer("repeats").get_config()
    assert (given["name"], given["count"], given["units"], given["trainable"]) == ("repeats", 2, 3, True)
    model.summary()
    assert "count=2, units=3" in " ".join(capsys.readouterr().out.split())
    assert_same_numbers(model, reference, tmp_path / "model.onnx")


def test_globals_that_are_no_functions_mean_nothing(tmp_path: Path) -> None:
    """A script's tensors and layers may have the names that its layers have, or an activation's."""
    path = write(
        tmp_path,
        f"""{HEAD}
x = Input((4,), name="x")
relu = layers.ReLU(name="relu")
label = layers.Dense(3, activation="relu", name="label")(relu(x))
model = Model(x, label)
""",
    )
    reference = trained(path)
    reference.save(tmp_path / "model.keras")
    model = load_keras_model(tmp_path / "model.keras", custom_objects=run_script(path))
    assert_same_numbers(model, reference, tmp_path / "model.onnx")


def test_the_function_of_a_lambda_without_a_name(tmp_path: Path) -> None:
    keras.utils.clear_session()
    path = write(tmp_path, f"{HEAD}\nmodel = Sequential([Input((4,)), layers.Lambda(lambda x: 1 - x)])\n")
    reference = runpy.run_path(str(path))["model"]
    assert reference.layers[0].name == "lambda"
    reference.save(tmp_path / "model.keras")
    with pytest.raises(UnsupportedError, match="a function named 'lambda_'"):
        load_keras_model(tmp_path / "model.keras")
    for name in ("lambda_", "lambda"):
        model = load_keras_model(tmp_path / "model.keras", custom_objects={name: lambda x: 1 - x})
        assert_same_numbers(model, reference, tmp_path / "model.onnx")


def test_attributes_of_common_names_are_the_users_own(tmp_path: Path) -> None:
    """What kir's layers have for themselves is called otherwise."""
    source = """
class Convolution(layers.Conv2D):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.layout = "NHWC"

class Dropping(layers.SpatialDropout2D):
    def __init__(self, rate):
        super().__init__(rate)
        self.channel_axis = 3

class Pooling(layers.MaxPooling2D):
    paddings = [[0, 0], [1, 1], [1, 1], [0, 0]]

    def call(self, x):
        return super().call(ops.pad(x, self.paddings))

class Shifted(layers.Dense):
    def make_weight(self, size):
        return self.add_weight(shape=(size,), name="shift")

    def build(self, shape):
        super().build(shape)
        self.shift = self.make_weight(2)

    def call(self, x):
        return super().call(x) + self.shift

class Net(Model):
    def __init__(self):
        super().__init__()
        self.provenance = "here"
        self.steps = [Convolution(3, 2), Dropping(0.5), Pooling(2), Shifted(2)]

    def call(self, x):
        for step in self.steps:
            x = step(x)
        return x

model = Net()
model.build((None, 5, 5, 1))
"""
    script = write(tmp_path, "from kir import Model, backend as ops, layers" + source)
    graph = load_script(script).to_graph()
    assert replace(graph.provenance, random_weights="") == Provenance("script", "", script)
