"""Scripts that build their model with the real Keras, where it is installed."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kir import Model
from kir.errors import FormatError, KirError, ScriptError, TraceError, UnsupportedError
from kir.importers.keras_file import load_keras_model
from kir.importers.keras_live import _put_vocabulary, is_keras_model, layers_inside, model_from_keras
from kir.importers.script import load_script, run_script
from kir.layers import IntegerLookup
from kir.support.trees import flatten
from tests.importers.test_keras_stand_in import SCRIPTS, assert_exports, draw, write

ROOT = Path(__file__).parent.parent.parent
HEAD = "import numpy as np\nimport keras\nfrom keras import Input, Model, Sequential, layers, ops\n"


def run(path: Path) -> Any:
    """Return the last model that a script leaves behind, as Keras has it."""
    return next(value for value in reversed(runpy.run_path(str(path)).values()) if isinstance(value, keras.Model))


def assert_same(model: Model, reference: Any) -> None:
    feeds = draw(model)
    expected = reference(feeds if len(feeds) > 1 else feeds[0])
    for output, wanted in zip(flatten(model.predict(feeds)), flatten(expected), strict=True):
        np.testing.assert_allclose(output, np.asarray(wanted), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("mode", ["int", "tf_idf"])
def test_a_lookup_layer_has_the_vocabulary_that_it_was_given_last(mode: str) -> None:
    """Keras's own lookup layers need TensorFlow: what is asked of one is here in its place."""
    live: Any = types.SimpleNamespace(
        output_mode=mode,
        idf_weights_const=np.array([2, 3, 1, 0], np.float32),
        get_vocabulary=lambda include_special_tokens=True: [-1, 7, 5] if include_special_tokens else [7, 5],
    )
    config = {"vocabulary": [5], "output_mode": mode} | ({"idf_weights": [0.5]} if mode == "tf_idf" else {})
    _put_vocabulary(config, live)
    computed = IntegerLookup.from_config(config)(np.array([[5, 5, 9]]))
    np.testing.assert_array_equal(computed, [[2, 2, 0]] if mode == "int" else [[2, 0, 2]])


def check(folder: Path, text: str) -> Model:
    """Return the model of a script, which computes what Keras computes and exports."""
    path = write(folder, HEAD + text)
    reference = run(path)
    model = model_from_keras(reference, path)
    assert_same(model, reference)
    assert_exports(model, folder)
    return model


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_model_of_keras_becomes_one_of_kir(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, SCRIPTS[name])
    reference = run(path)
    # What training leaves behind: no longer what the initializers draw.
    random = np.random.default_rng(0)
    reference.set_weights([random.normal(scale=0.5, size=weight.shape) for weight in reference.get_weights()])
    model = model_from_keras(reference, path)
    assert (model.name, model.input_names) == (
        reference.name,
        [x._keras_history.operation.name for x in reference.inputs],
    )
    assert [layer.name for layer in model.layers] == [layer.name for layer in reference.layers]
    assert_same(model, reference)
    assert_exports(model, tmp_path)


@pytest.mark.parametrize("name", ["mnist", "autoencoder", "shared"])
def test_a_script_is_loaded_with_the_same_weights_every_time(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, SCRIPTS[name])
    wanted = {"mnist": None, "autoencoder": "autoencoder", "shared": "siamese"}[name]
    first, second = load_script(path, wanted), load_script(path, wanted)
    assert type(first).__module__.startswith("kir.modeling.")
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_a_model_inside_another_is_no_candidate(tmp_path: Path) -> None:
    path = write(tmp_path, SCRIPTS["autoencoder"])
    assert load_script(path).name == "autoencoder"
    assert load_script(path, "encoder").name == "encoder"
    assert load_script(path, "make_decoder").name == "decoder"


LAMBDAS = {
    "python's operators": "f = lambda x: (x ** 2 + 1) / 3",
    "keras.ops": "f = lambda x: ops.softmax(ops.matmul(x, ops.transpose(x)), axis=-1)[:, :1] + keras.ops.tanh(x)",
    "numpy": "def f(x):\n    return np.tanh(x) * np.float32(2)",
    "an imported function": "from keras.ops import relu, mean\nf = lambda x: relu(x) - mean(x, axis=1, keepdims=True)",
    "an activation": "f = keras.activations.gelu",
    "a function of keras.ops": "f = ops.square",
    "an import inside": "def f(x):\n    from keras import ops as o\n    import numpy\n    return o.exp(numpy.tanh(x))",
    "a helper": "def g(x):\n    return ops.tanh(x)\ndef f(x):\n    return h(g(x))\ndef h(x):\n    return ops.sin(x)",
    "a closure": "def make(inner):\n    def f(x):\n        return inner(x) ** 3\n    return f\nf = make(ops.sin)",
    "recursion": (
        "def make():\n    def f(x, n=2):\n        return ops.sin(f(x, n - 1)) if n else x\n    return f\nf = make()"
    ),
    "defaults": "def f(x, inner=ops.cos, *, outer=ops.abs):\n    return outer(inner(x))",
    "a partial function": "import functools\nf = functools.partial(ops.clip, x_min=-0.5, x_max=0.5)",
    "a method": "class A:\n    def f(self, x):\n        return ops.relu(x)\nf = A().f",
    "an array of the script": "table = np.arange(4, dtype='float32')\nf = lambda x: ops.add(x, table)",
}


@pytest.mark.parametrize("name", LAMBDAS)
def test_the_function_of_a_lambda_is_traced(name: str, tmp_path: Path) -> None:
    check(tmp_path, f"{LAMBDAS[name]}\nmodel = Sequential([Input((4,)), layers.Lambda(f)])\n")


def test_functions_of_a_lambda_beside_the_main_one(tmp_path: Path) -> None:
    check(
        tmp_path,
        """
def swap(pair, factor):
    return [pair[1] * factor, ops.abs(pair[0])]

def shapes(given):
    return [given[1], given[0]]

x, y = Input((3,)), Input((5,))
a, b = layers.Lambda(swap, output_shape=shapes, arguments={"factor": 2.5})([x, y])
model = Model([x, y], [layers.Dense(2)(a), b])
""",
    )


def test_a_mask_of_a_lambda(tmp_path: Path) -> None:
    check(
        tmp_path,
        """
x = Input((5, 3))
y = layers.Masking()(x)
y = layers.Lambda(lambda x: ops.tanh(x), mask=lambda x, mask: ops.logical_not(mask))(y)
model = Model(x, layers.LSTM(4)(y))
""",
    )


def test_lambdas_of_one_name_in_different_models(tmp_path: Path) -> None:
    check(
        tmp_path,
        """
def make(function):
    return Sequential([Input((3,)), layers.Lambda(function, name="same")])

x = Input((3,))
model = Model(x, layers.add([make(lambda x: ops.sin(x))(x), make(lambda x: ops.exp(x))(x)]))
""",
    )


def test_a_module_beside_the_script_holds_the_function(tmp_path: Path) -> None:
    write(tmp_path, "from keras import ops\n\ndef half(x):\n    return ops.tanh(x) / 2\n", "halves_of_the_model.py")
    path = write(
        tmp_path,
        f"{HEAD}from halves_of_the_model import half\nmodel = Sequential([Input((3,)), layers.Lambda(half)])\n",
    )
    model = load_script(path)
    np.testing.assert_allclose(model.predict(np.ones((1, 3), "float32")), np.full((1, 3), np.tanh(1) / 2), rtol=1e-6)
    del sys.modules["halves_of_the_model"]


def test_activations_and_initializers_of_the_script(tmp_path: Path) -> None:
    check(
        tmp_path,
        """
def twice(x):
    return 2 * ops.tanh(x)

class Halves(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return ops.full(shape, 0.5, dtype)

x = Input((4, 3))
y = layers.Dense(3, activation=twice, kernel_initializer=Halves())(x)
y = layers.TimeDistributed(layers.Dense(2, activation=lambda x: ops.relu(x) + 0.1))(y)
model = Model(x, layers.Activation(ops.sigmoid)(layers.GRU(3)(y)))
""",
    )


def test_operations_between_layers(tmp_path: Path) -> None:
    check(
        tmp_path,
        """
x = Input((4, 3))
y = ops.reshape(x, (-1, 12)) + 1
z = ops.concatenate([y[:, :5], ops.mean(x, axis=1)], axis=-1)
model = Model(x, keras.activations.relu(ops.where(z > 0.5, z, -z) @ np.ones((8, 2), "float32")))
""",
    )


def test_a_layer_of_the_script_is_traced_by_its_call(tmp_path: Path) -> None:
    model = check(
        tmp_path,
        """
class Scale(layers.Layer):
    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis
        self.supports_masking = True

    def build(self, input_shape):
        self.gamma = self.add_weight(shape=(input_shape[self.axis],), initializer="random_normal", name="gamma")

    def call(self, x, training=None):
        return self.gamma * self.normal(x)

    def normal(self, x):
        return x - ops.mean(x, axis=self.axis, keepdims=True)

x = Input((5, 3))
model = Model(x, layers.LSTM(2)(Scale(name="scale")(layers.Masking()(x))))
""",
    )
    assert type(model.get_layer("scale")).__name__ == "Lambda"


def test_a_functional_model_of_a_class_of_the_script(tmp_path: Path) -> None:
    check(
        tmp_path,
        """
class Net(Model):
    def __init__(self, units):
        x = Input((3,), name="x")
        super().__init__(x, layers.Dense(units)(x))
        self.units = units

model = Net(4)
""",
    )
    chain = "class Chain(Sequential):\n    pass\ninner = Chain([Input((3,)), layers.Dense(2)], name='inner')\n"
    check(tmp_path, f"{chain}model = Sequential([Input((3,)), inner, layers.Dense(4)])\n")
    check(tmp_path, f"{chain}model = inner\n")


SUBCLASSED = """
class Net(Model):
    def __init__(self):
        super().__init__(name="net")
        self.inner = layers.Dense(3, activation="relu")
        self.outer = layers.Dense(2)

    def call(self, x):
        return self.outer(self.inner(x))

net = Net()
net.build((None, 4))
"""


def test_a_subclassed_model_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    made = SUBCLASSED.replace("net = Net()\nnet.build((None, 4))", "def make():\n    return Net()")
    with pytest.raises(FormatError, match=r"'net' has no input shape yet; give it with --input-shapes x:batch,…"):
        load_script(write(tmp_path, HEAD + made), "make")
    # Keras only notes the shape.
    assert load_script(write(tmp_path, HEAD + SUBCLASSED)).output_shape == (None, 2)
    check(tmp_path, f"{SUBCLASSED}net(np.zeros((1, 4), 'float32'))\nmodel = net\n")
    check(tmp_path, f"{SUBCLASSED}inputs = Input((4,))\nmodel = Model(inputs, net.call(inputs))\n")


def test_a_model_with_a_call_of_its_own_is_run_by_that(tmp_path: Path) -> None:
    chain = """
class Doubled(Sequential):
    def call(self, x, training=None, mask=None):
        return 2 * super().call(x)

class Shifted(Model):
    def call(self, x, training=None, mask=None):
        return 1 + super().call(x)

x = Input((3,))
"""
    check(tmp_path, f"{chain}model = Doubled([x, layers.Dense(2)])\n")
    check(tmp_path, f"{chain}model = Shifted(x, layers.Dense(2)(x))\n")
    check(tmp_path, f"{chain}y = Doubled([layers.Dense(2)])(x)\nmodel = Model(x, Shifted(x, layers.Dense(3)(y))(x))\n")


def test_the_weights_of_a_file_are_those_of_every_layer(tmp_path: Path) -> None:
    text = """
class Scale(layers.Layer):
    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones", name="gamma")

    def call(self, x):
        return x * self.gamma + (1 - self.gamma)

class Both(Model):
    def __init__(self):
        super().__init__()
        self.scale = Scale()

    def call(self, x):
        return self.scale(x) - (1 - self.scale.gamma)

x = Input((3,))
model = Model(x, Both()(Scale()(x)))
"""
    path = write(tmp_path, HEAD + text)
    reference = run(path)
    kept = [np.array(one) for one in reference.get_weights()]
    random = np.random.default_rng(0)
    reference.set_weights([random.normal(size=one.shape) for one in kept])
    reference.save_weights(tmp_path / "model.weights.h5")
    assert_same(load_script(path, weights=tmp_path / "model.weights.h5"), reference)
    untrained = run(path)
    model = model_from_keras(untrained, weights=tmp_path / "model.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(untrained.get_weights(), kept, strict=True))
    assert_same(model, reference)
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(FormatError, match=r"other\.weights\.h5 do not fit the model"):
        load_script(path, weights=tmp_path / "other.weights.h5")


def test_a_sequential_needs_its_input_shape(tmp_path: Path) -> None:
    text = f"{HEAD}model = Sequential([layers.Dense(2)])\n"
    with pytest.raises(FormatError, match=r"no input shape yet.*keras\.Input"):
        load_script(write(tmp_path, text))
    assert load_script(write(tmp_path, f"{text}model.build((None, 3))\n")).input_shape == (None, 3)


def test_everything_that_kir_has_not_is_listed(tmp_path: Path) -> None:
    equalize = "layers.ContrastLimitedAdaptiveHistogramEqualization"
    text = f"x = Input((8, 8, 3))\nmodel = Model(x, {equalize}(name='one')({equalize}(name='two')(x)))\n"
    with pytest.raises(UnsupportedError, match=r"(?s)2 of its layers.*two: .*no histogram.*one: .*no histogram"):
        load_script(write(tmp_path, HEAD + text))


def test_a_layer_that_owns_layers_need_not_be_a_global(tmp_path: Path) -> None:
    check(
        tmp_path,
        """
def make():
    class Block(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    return Block()

model = Sequential([Input((3,)), make()])
""",
    )


def test_a_function_that_cannot_be_traced_is_named(tmp_path: Path) -> None:
    text = "def f(x):\n    return np.sort(x, kind='heapsort')\nmodel = Sequential([Input((3,)), layers.Lambda(f)])\n"
    with pytest.raises(TraceError, match=r"script\.py:5.*np\.sort.*heapsort"):
        load_script(write(tmp_path, HEAD + text))


def test_a_layer_need_not_have_a_config(tmp_path: Path) -> None:
    check(
        tmp_path,
        """
class Times(layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x) * ops.cast(2, x.dtype)

model = Sequential([Input((3,)), Times(ops.sin), layers.Dense(2)])
""",
    )


def test_a_model_that_keras_cannot_describe_says_why(tmp_path: Path) -> None:
    text = "import functools\nf = functools.partial(ops.clip, x_min=0, x_max=1)\n"
    text += "model = Sequential([Input((3,)), layers.Dense(2, activation=f)])\n"
    with pytest.raises(UnsupportedError, match=r"cannot describe the model.*functools\.partial"):
        load_script(write(tmp_path, HEAD + text))


def test_two_models_are_too_many(tmp_path: Path) -> None:
    text = f"{HEAD}a = Sequential([Input((3,)), layers.Dense(2)])\nb = Sequential([Input((3,)), layers.Dense(2)])\n"
    with pytest.raises(ScriptError, match=r"2 models behind \(a, b\)"):
        load_script(write(tmp_path, text))
    assert load_script(write(tmp_path, text), "b").output_shape == (None, 2)


def test_what_is_a_model_of_keras() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.Sequential([keras.layers.Dense(2, name="inner")])])
    assert [is_keras_model(value) for value in (model, model.layers[0], keras.layers.Dense(2), Model, 3)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert "inner" in [layer.name for layer in layers_inside(model)]


@pytest.mark.slow
def test_another_backend(tmp_path: Path) -> None:
    path = write(
        tmp_path, f"{HEAD}model = Sequential([Input((3,)), layers.Lambda(lambda x: ops.tanh(x)), layers.Dense(2)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "kir.cli", "export", str(path), "-o", str(tmp_path / "model.onnx")],
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "verified in onnxruntime" in done.stdout


MASK_INTO_FLATTEN = """
x = Input((4, 3))
model = Model(x, layers.Dense(2)(layers.Flatten()(layers.Masking()(x))))
"""


@pytest.mark.parametrize("installed", [True, False])
def test_a_mask_that_is_lost_is_a_warning_as_in_keras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "keras", None)
    path = write(tmp_path, HEAD + MASK_INTO_FLATTEN)
    with pytest.warns(UserWarning, match="mask ends here"):
        assert load_script(path).output_shape == (None, 2)
    with pytest.raises(KirError, match="--on-lost-mask warn"):
        load_script(path, on_lost_mask="error")


def test_the_script_of_a_saved_model_gives_its_functions(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"""{HEAD}
@keras.saving.register_keras_serializable(package="mine")
class Scale(layers.Layer):
    def build(self, input_shape):
        self.gamma = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gamma")

    def call(self, x):
        return ops.tanh(x) * self.gamma

def double(x):
    return ops.add(x, x)

if __name__ == "__main__":
    model = Sequential([Input((3,)), Scale(), layers.Lambda(double), layers.Dense(2, activation=double)])
""",
    )
    reference = runpy.run_path(str(path), run_name="__main__")["model"]
    reference.set_weights([np.full(weight.shape, 0.3) for weight in reference.get_weights()])
    reference.save(tmp_path / "model.keras")
    model = load_keras_model(tmp_path / "model.keras", custom_objects=run_script(path))
    assert_same(model, reference)
