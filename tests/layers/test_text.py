"""TextVectorization: what TensorFlow gave (see write_text_values.py), by the interpreter and in onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir import Input, Model, Sequential
from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.session import make_session
from kir.importers.keras_file.keras2_layers import TextVectorization as OfKeras2
from kir.importers.onnx_file import import_graph
from kir.ir.interpreter import run
from kir.layers import LSTM, Dense, Embedding, GlobalAveragePooling1D, Lambda, TextVectorization
from kir.ops.control import Loop
from tests.tiers import first_of_each

VALUES = json.loads((Path(__file__).parent / "text_values.json").read_text())
WORDS = ["the", "quick", "fox", "stop", "dont"]


def computed(model: Model, x: Any) -> Any:
    """Return what the interpreter and onnxruntime both give."""
    result = model.predict(x)
    session = make_session(to_model_proto(model.to_graph()).SerializeToString())
    (found,) = session.run({session.get_inputs()[0].name: x}).values()
    np.testing.assert_array_equal(found, result, strict=True)
    return result


@pytest.mark.parametrize(
    "case",
    first_of_each(lambda case: case["options"].get("output_mode"), VALUES["cases"]),
    ids=lambda case: f"{len(case['texts'])}-{case['options']}"[:80],
)
def test_texts_become_the_indices_that_keras_gives(case: Any) -> None:
    x = np.array(case["texts"], object)
    given = Input(x.shape[1:], dtype="string")
    layer = TextVectorization(vocabulary=case["vocabulary"] or VALUES["vocabulary"], **case["options"])
    wanted = np.array(case["result"], case["dtype"]).reshape(case["shape"])
    np.testing.assert_array_equal(computed(Model(given, layer(given)), x), wanted, strict=True)


@pytest.mark.parametrize("batch", [0, 1, 9])
def test_a_known_batch(batch: int) -> None:
    x = np.array(["The fox!"] * batch, object)
    given = Input(batch_shape=(batch,), dtype="string")
    assert computed(Model(given, TextVectorization(vocabulary=WORDS)(given)), x).tolist() == [[2, 4]] * batch


@pytest.mark.parametrize(
    ("options", "rest"),
    [
        ({}, [Embedding(7, 4), GlobalAveragePooling1D(), Dense(2)]),
        ({}, [Embedding(7, 4, mask_zero=True), LSTM(3), Dense(2)]),
        ({"output_sequence_length": 4, "ngrams": 2}, [Embedding(7, 4), GlobalAveragePooling1D()]),
        ({"output_mode": "count"}, [Dense(2)]),
        ({"output_mode": "tf_idf", "idf_weights": [1.0, 2, 3, 4, 5]}, [Dense(2)]),
    ],
)
def test_classifiers_of_texts_are_verified(options: dict[str, Any], rest: list[Any], tmp_path: Path) -> None:
    model = Sequential([Input((1,), dtype="string"), TextVectorization(vocabulary=WORDS, **options), *rest])
    report = model.export(tmp_path / "m.onnx")
    assert report.verification is not None
    assert report.verification.passed


def test_a_shared_layer_has_a_length_for_each_call() -> None:
    layer = TextVectorization(vocabulary=WORDS, standardize=None)
    a, b = Input((), dtype="string"), Input((), dtype="string")
    first, second = (node.inputs[0] for node in Model([a, b], [layer(a), layer(b)]).to_graph().outputs)
    assert first is not None
    assert second is not None
    assert first.type.shape[1] != second.type.shape[1]


def test_vectors_of_keras_2_are_floats() -> None:
    x = np.array(["the fox", "fox fox"], object)
    given = Input((), dtype="string")
    layer = OfKeras2(vocabulary=["fox"], output_mode="count", dtype="string")
    result = computed(Model(given, layer(given)), x)
    np.testing.assert_array_equal(result, np.array([[1, 1], [0, 2]], np.float32), strict=True)


def test_a_vocabulary_is_set_later() -> None:
    layer = TextVectorization(max_tokens=4)
    layer.set_vocabulary(["fox", "the"])
    assert layer.get_vocabulary() == ["", "[UNK]", "fox", "the"]
    assert layer.get_vocabulary(include_special_tokens=False) == ["fox", "the"]
    assert layer.vocabulary_size() == layer.get_config()["vocabulary_size"] == 4
    again = TextVectorization.from_config(layer.get_config())
    given = Input((1,), dtype="string")
    assert Model(given, again(given)).predict(np.array([["A FOX"]], object)).tolist() == [[1, 2]]


def test_the_opset_without_an_operator_that_joins_is_refused() -> None:
    given = Input((1,), dtype="string")
    model = Model(given, TextVectorization(vocabulary=WORDS)(given))
    with pytest.raises(UnsupportedError, match="texts are joined since opset 20"):
        to_model_proto(model.to_graph(), opset=19)
    lower = Model(given, TextVectorization(vocabulary=WORDS, standardize="lower")(given))
    to_model_proto(lower.to_graph(), opset=13)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ragged": True}, UnsupportedError, "ONNX has no ragged tensors"),
        ({"output_mode": "one_hot"}, UnsupportedError, "ragged in Keras"),
        ({"standardize": str.lower}, UnsupportedError, "function of its own as standardize"),
        ({"split": {"class_name": "function", "config": "f"}}, UnsupportedError, "function of its own as split"),
        ({"standardize": "upper"}, InvalidArgumentError, "standardize='upper'"),
        ({"output_mode": "count", "output_sequence_length": 3}, InvalidArgumentError, "goes with output_mode='int'"),
        ({"ngrams": 0}, InvalidArgumentError, "ngrams"),
        ({"vocabulary": ["a", "a"]}, InvalidArgumentError, "each once"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TextVectorization(**options)


def test_rows_of_texts_are_not_split() -> None:
    with pytest.raises(ShapeError, match=r"of the shape \(batch,\) or \(batch, 1\)"):
        TextVectorization(vocabulary=WORDS)(Input((3,), dtype="string"))


@pytest.mark.parametrize("mode", ["multi_hot", "count"])
def test_a_large_vocabulary_is_counted(mode: str) -> None:
    words = [f"w{number}" for number in range(1200)]
    layer = TextVectorization(vocabulary=words, output_mode=mode)
    x = np.array(["w0 w1199 w0", "", "w7 w8 unknown words"], object)
    wanted = np.zeros((3, 1201), np.int64)
    wanted[[0, 0, 2, 2, 2], [1, 1200, 8, 9, 0]] = [2 if mode == "count" else 1, 1, 1, 1, 2 if mode == "count" else 1]
    given = Input((), dtype="string")
    model = Model(given, layer(given))
    np.testing.assert_array_equal(computed(model, x), wanted)
    assert computed(model, x[:0]).shape == (0, 1201)


def test_the_number_of_words_is_known_before_it_is_asked_for() -> None:
    given = Input((), dtype="string")
    found = TextVectorization(vocabulary=WORDS)(given)
    model = Model(given, Lambda(lambda x: K.arange(x.shape[1]) * 2 + K.sum(x) * 0)(found))
    assert computed(model, np.array(["a b c", "d"], object)).tolist() == [0, 2, 4]


def test_a_file_that_was_written_is_read_with_its_loop() -> None:
    given = Input((), dtype="string", name="x")
    model = Model(given, TextVectorization(vocabulary=WORDS)(given))
    graph = import_graph(to_model_proto(model.to_graph()))
    assert graph.has_any(Loop)
    x = np.array(["don't the-fox", "!", ""], object)
    np.testing.assert_array_equal(next(iter(run(graph, {"x": x}).values())), model.predict(x))
