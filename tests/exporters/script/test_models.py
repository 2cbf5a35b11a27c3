"""From models of layers to scripts: layers as they are, and nothing from a name ever becomes code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir import Input, Model, Sequential, config
from kir import backend as K
from kir.errors import InvalidArgumentError
from kir.importers.script import load_script
from kir.initializers import HeNormal, RandomNormal
from kir.ir.graph import Origin
from kir.ir.trace import constant
from kir.layers import (
    GRU,
    LSTM,
    Activation,
    Add,
    Bidirectional,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    Lambda,
    Layer,
    Masking,
    TimeDistributed,
)
from kir.modeling.operation import Operation, Traced
from kir.regularizers import L2
from tests.exporters.script.round_trip import ROOT, complaints, export_bytes, through_script

SCRIPTS = sorted((ROOT / "models").glob("*.py"))
OPTIONS = [{}, {"level": 0}, {"training": True}, {"losses": True}, {"sizes": {"batch": 3}}]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_an_example_exports_to_the_same_bytes(script: Path, options: dict[str, Any], tmp_path: Path) -> None:
    model = load_script(script)
    again, _ = through_script(model, tmp_path)
    assert export_bytes(again, tmp_path, **options) == export_bytes(model, tmp_path, **options)
    assert complaints([tmp_path / "written.py"]) == ""
    assert complaints([tmp_path / "written.py"], width=120) == ""


def shared() -> Model:
    a, b = Input((4,), name="a"), Input((4,), name="b")
    layer = Dense(3, name="twice")
    return Model({"b": b, "a": a}, {"out": layer(a), "sum": Add()([layer(a), layer(b)])})


def nested() -> Model:
    x = Input((4,))
    inner = Model(x, Dense(4, kernel_regularizer=L2(0.1))(x), name="inner")
    middle = Sequential([Input((4,)), inner, Activation("relu")], name="middle")
    y = Input((4,), name="y")
    return Model(y, [middle(y), inner(middle(y))], name="outer")


def operations() -> Model:
    x = Input((3, 4), name="x")
    y = K.concatenate([x + 1, 2 * x, K.mean(x, axis=-1, keepdims=True)], axis=-1)
    z = Operation(lambda a: a - K.max(a, axis=1, keepdims=True), name="mine")(y)
    return Model(x, [K.softmax(z), y[:, 0]])


def masks() -> Model:
    x = Input((None, 4), name="x")
    y = Masking(mask_value=np.array([0, 1, 2, 3], np.float32))(x)
    y = Bidirectional(LSTM(3, return_sequences=True), merge_mode="sum")(y)
    y = Lambda(lambda x, mask=None: x * K.cast(K.expand_dims(mask), "float32"), mask=lambda x, mask: mask)(y)
    y = TimeDistributed(Dense(2))(y)
    return Model(x, GRU(2, go_backwards=True, kernel_initializer=RandomNormal(stddev=0.2))(y))


def functions() -> Model:
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    x, y = Input((4,), name="x"), Input((3,), name="y")
    first, second = Lambda(lambda pair: [pair[0] @ table.T, pair[1] ** 2], name="two")([x, y])
    third = Lambda(lambda d: d["a"] * 0.5 - d["b"], name="dict")({"a": first, "b": second})
    return Model([x, y], [third, Lambda(lambda x: x[..., ::-1][:, :2])(third)])


def frozen() -> Model:
    model = Sequential([Input((4, 4)), Flatten(), Dense(3, trainable=False), Dropout(0.5, seed=3)], name="frozen")
    model.trainable = False
    return model


def half() -> Model:
    return Sequential([Input((4,), dtype="float16"), Dense(2, dtype="mixed_float16"), Dense(2, dtype="bfloat16")])


def named() -> Model:
    x = Input(batch_shape=(2, "length", 3), name="x")
    model = Model(x, [Dense(2, kernel_initializer=HeNormal(seed=4))(x), Dense(2)(x)])
    model.output_names = ["z", "a"]
    model.metadata["author"] = 'me, "myself"\n'
    return model


def default() -> Model:
    x = Input(tensor=np.array([[1.0, 2.0]], np.float32), name="x")
    return Model(x, Concatenate()([x, x]))


class Doubled(Layer):
    """A layer of a user's own: only its graph can be written."""

    def call(self, x: Any) -> Any:
        return x * 2


def of_a_user() -> Model:
    return Sequential([Input((4,)), Dense(3, name="a"), Doubled(name="b"), Dense(2, activation=lambda x: x * K.erf(x))])


MODELS = [shared, nested, operations, masks, functions, frozen, half, named, default, of_a_user]


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize("options", [{}, {"level": 0}], ids=str)
def test_a_model_exports_to_the_same_bytes(build: Any, options: dict[str, Any], tmp_path: Path) -> None:
    model = build()
    again, text = through_script(model, tmp_path)
    assert export_bytes(again, tmp_path, **options) == export_bytes(model, tmp_path, **options), text
    assert complaints([tmp_path / "written.py"]) == "", text


def test_a_chain_is_a_sequential_with_only_what_was_said(tmp_path: Path) -> None:
    x = Input((28, 28), name="pixels")
    model = Model(x, Dense(10, activation="softmax", name="digits")(Flatten(name="flat")(x)), name="mnist")
    _, text = through_script(model, tmp_path)
    [weights] = tmp_path.glob("written.*.safetensors")
    assert text == (
        '"""A model, written by kir. Its weights lie beside it, in a .safetensors file."""\n'
        "\n"
        "from pathlib import Path\n"
        "\n"
        "from kir import Input, Sequential\n"
        "from kir.layers import Dense, Flatten\n"
        "\n"
        "model = Sequential(\n"
        "    [\n"
        '        Input(shape=(28, 28), name="pixels"),\n'
        '        Flatten(name="flat"),\n'
        '        Dense(10, activation="softmax", name="digits"),\n'
        "    ],\n"
        '    name="mnist",\n'
        ")\n"
        "model.load_weights(\n"
        f'    Path(__file__).resolve().with_suffix("{"".join(weights.suffixes)}"),\n'
        ")\n"
    )


def test_shared_layers_and_structures_are_kept(tmp_path: Path) -> None:
    again, text = through_script(shared(), tmp_path)
    assert text.count('Dense(3, name="twice")') == 1
    assert again.output_names == ["out", "sum"]
    assert set(again.predict({"a": np.ones((2, 4), np.float32), "b": np.ones((2, 4), np.float32)})) == {"out", "sum"}


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", ""], ["a", 1]])
def test_output_names_must_be_different_texts(names: list[Any]) -> None:
    model = named()
    with pytest.raises(InvalidArgumentError, match=r"2 outputs, which need as many different names; received \['a'"):
        model.output_names = names
    assert model.output_names == ["z", "a"]


def test_a_traced_function_says_where_its_nodes_come_from() -> None:
    x = Input((4,), name="x")
    table = np.ones(4, np.float32)
    origin = Origin("lstm", "LSTM")
    y = Traced(lambda x: x + constant(table, label="lstm/bias"), origin=origin, name="a")(x)
    z = Traced(lambda x: K.relu(x * constant(table, label="lstm/bias")), name="b")(y)
    nodes = Model(x, z).to_graph().order()
    assert [node.origin for node in nodes if node.op.name in ("Add", "Mul", "Relu")] == [origin, None, None]
    assert len([node for node in nodes if node.op.name == "Constant"]) == 1


def test_settings_that_the_model_was_built_with_are_written(tmp_path: Path) -> None:
    before = config.floatx()
    config.set_floatx("float64")
    try:
        model = Sequential([Input((4,)), Dense(2)])
        expected = export_bytes(model, tmp_path)
        _, text = through_script(model, tmp_path)
        config.set_floatx("float32")
        again = load_script(tmp_path / "written.py")
        assert 'config.set_floatx("float64")' in text
        assert export_bytes(again, tmp_path) == expected
    finally:
        config.set_floatx(before)


EVIL = [
    '"); import os; os.system("touch pwned") #',
    "x\nimport os\nos.system('touch pwned')\n",
    '"""\nraise SystemExit\n"""',
    "../../etc/passwd",
    "\\",
    "lambda",
    "{0.__class__}",
    "model",
    "K",
    "\u202eevil",
]


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("as_graph", [False, True], ids=["model", "graph"])
def test_hostile_names_stay_names(evil: str, as_graph: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x = Input((4,), name=f"in{evil}")
    y = Dense(3, name=evil)(x)
    y = Lambda(lambda x: x * np.ones((2, 3), np.float32)[:1] + 1, name=f"f{evil}")(y)
    model = Model(x, {f"out{evil}": Activation("relu", name=f"act{evil}")(y)}, name=f"m{evil}")
    model.metadata[evil] = evil
    expected = export_bytes(model, tmp_path)
    again, text = through_script(model.to_graph() if as_graph else model, tmp_path)
    assert export_bytes(again, tmp_path) == expected, text
    assert again.metadata == {evil: evil}
    assert complaints([tmp_path / "written.py"]) == "", text
    [weights] = tmp_path.glob("written.*.safetensors")
    assert set(tmp_path.iterdir()) == {tmp_path / "exported.onnx", tmp_path / "written.py", weights}


@pytest.mark.slow
def test_ten_thousand_layers(tmp_path: Path) -> None:
    model = Sequential([Input((4,), name="x"), *[Dense(4, activation="relu") for _ in range(10_000)]])
    again, text = through_script(model, tmp_path)
    assert text.count("Dense(4") == 10_000
    assert len(again.layers) == 10_000
