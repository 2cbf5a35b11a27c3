"""CategoryEncoding and Discretization against real Keras.

Keras builds its lookup layers with TensorFlow only: what they are compared with are the examples of Keras's
documentation, and what TensorFlow 2.21 gave for the others.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model, layers
from kir.errors import InvalidArgumentError, UnsupportedError
from kir.layers import CategoryEncoding, Dense, Discretization, IntegerLookup, StringLookup
from tests.oracle import assert_same_config
from tests.tiers import first_of_each

WORDS = np.array([["a", "c", "d", "d"], ["d", "z", "b", "z"]], object)
NUMBERS = np.array([[12, 1138, 42, 42], [42, 1000, 36, 1000]])


def compare(name: str, x: Any, **options: Any) -> Model:
    """One layer in both libraries on the same numbers, by the interpreter and as a verified file."""
    given = Input(x.shape[1:], dtype=str(x.dtype))
    layer = getattr(layers, name)(**options)
    theirs = getattr(keras.layers, name)(**options, name=layer.name)
    assert_same_config(layer, theirs)
    model = Model(given, layer(given))
    wanted = np.asarray(theirs(x))
    result = model.predict(x)
    assert result.dtype == wanted.dtype
    np.testing.assert_array_equal(result, wanted)
    return model


INDICES = np.array([[0, 3, 1], [1, 1, 2], [-1, 2, 3]])


@pytest.mark.parametrize(
    ("x", "options"),
    [
        (INDICES, {"num_tokens": 4}),
        (INDICES, {"num_tokens": 4, "output_mode": "one_hot"}),
        (INDICES, {"num_tokens": 5, "output_mode": "count"}),
        (INDICES[:, :1], {"num_tokens": 4, "output_mode": "one_hot"}),
        (INDICES[:, :1], {"num_tokens": 4, "output_mode": "multi_hot"}),
        (INDICES[:, 0], {"num_tokens": 4, "output_mode": "one_hot"}),
        (INDICES[:, 0], {"num_tokens": 4, "output_mode": "count"}),
        (INDICES.astype("int32"), {"num_tokens": 4, "dtype": "float16"}),
    ],
)
def test_category_encoding(x: Any, options: dict[str, Any], tmp_path: Any) -> None:
    compare("CategoryEncoding", x, **options).export(tmp_path / "m.onnx")


def test_category_encoding_counts_with_weights() -> None:
    x, weights = Input((3,), dtype="int64"), Input((3,))
    model = Model([x, weights], CategoryEncoding(4, "count")(x, count_weights=weights))
    given = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]], np.float32)
    wanted = np.asarray(keras.layers.CategoryEncoding(4, "count")(INDICES, count_weights=given))
    np.testing.assert_allclose(model.predict([INDICES, given]), wanted, rtol=1e-6)


VALUES = np.array([[-1.5, 0.0, 0.25], [0.5, 99, np.nan], [1.0, -0.0, np.inf]], np.float32)
BOUNDARIES = [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("x", "options"),
    [
        (VALUES, {}),
        (VALUES, {"output_mode": "one_hot"}),
        (VALUES, {"output_mode": "multi_hot"}),
        (VALUES, {"output_mode": "count"}),
        (VALUES[:, :1], {"output_mode": "one_hot"}),
        (VALUES, {"epsilon": 0.1}),
        (np.array([[0, 1], [-3, 2]], np.int64), {}),
    ],
)
def test_discretization(x: Any, options: dict[str, Any], tmp_path: Any) -> None:
    compare("Discretization", x, bin_boundaries=BOUNDARIES, **options).export(tmp_path / "m.onnx")


def test_discretization_that_learned_its_boundaries() -> None:
    theirs = keras.layers.Discretization(num_bins=4)
    theirs.update_state(np.random.default_rng(0).normal(size=1000))  # what adapt does with arrays
    theirs.finalize_state()
    ours = Discretization.from_config(theirs.get_config())
    x = Input((3,))
    np.testing.assert_array_equal(Model(x, ours(x)).predict(VALUES), np.asarray(theirs(VALUES)))


LOOKUPS: list[tuple[Any, Any, Any]] = [
    (StringLookup(vocabulary=["a", "b", "c", "d"]), WORDS, [[1, 3, 4, 4], [4, 0, 2, 0]]),
    (StringLookup(vocabulary=["[UNK]", "a", "b", "c", "d"]), WORDS, [[1, 3, 4, 4], [4, 0, 2, 0]]),
    (StringLookup(vocabulary=["b", "c", "d"], mask_token="a"), WORDS, [[0, 3, 4, 4], [4, 1, 2, 1]]),
    (StringLookup(vocabulary=["a", "b", "c", "d"], num_oov_indices=0), WORDS[:1], [[0, 2, 3, 3]]),
    (
        StringLookup(vocabulary=["a", "b", "c", "d"], output_mode="multi_hot"),
        WORDS,
        [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]],
    ),
    (StringLookup(vocabulary=["a", "b", "c", "d"], output_mode="count"), WORDS, [[0, 1, 0, 1, 2], [2, 0, 1, 0, 1]]),
    (
        StringLookup(vocabulary=["a", "b", "c", "d"], output_mode="count", max_tokens=7, pad_to_max_tokens=True),
        WORDS,
        [[0, 1, 0, 1, 2, 0, 0], [2, 0, 1, 0, 1, 0, 0]],
    ),
    (
        StringLookup(vocabulary=["b", "c", "d"], mask_token="a", output_mode="count"),
        WORDS,
        [[0, 0, 1, 2], [2, 1, 0, 1]],
    ),
    (
        StringLookup(vocabulary=["a", "b", "c", "d"], output_mode="one_hot"),
        WORDS[:, :1],
        [[0, 1, 0, 0, 0], [0, 0, 0, 0, 1]],
    ),
    (
        StringLookup(vocabulary=["a", "b", "c", "d"], output_mode="tf_idf", idf_weights=[0.25, 0.75, 0.6, 0.4]),
        WORDS,
        [[0, 0.25, 0, 0.6, 0.8], [1.0, 0, 0.75, 0, 0.4]],
    ),
    (
        StringLookup(
            vocabulary=["[UNK]", "a", "b", "c", "d"], output_mode="tf_idf", idf_weights=[0.9, 0.25, 0.75, 0.6, 0.4]
        ),
        WORDS,
        [[0, 0.25, 0, 0.6, 0.8], [1.8, 0, 0.75, 0, 0.4]],
    ),
    (
        StringLookup(vocabulary=["a", "b", "c", "d"], invert=True),
        np.array([[1, 3, 4], [4, 0, 2]]),
        [["a", "c", "d"], ["d", "[UNK]", "b"]],
    ),
    (
        StringLookup(vocabulary=["a", "b"], invert=True, mask_token="", oov_token="?"),
        np.array([[0, 1, 2, 3, 9]]),
        [["", "?", "a", "b", "?"]],
    ),
    (IntegerLookup(vocabulary=[12, 36, 1138, 42]), NUMBERS, [[1, 3, 4, 4], [4, 0, 2, 0]]),
    (
        IntegerLookup(vocabulary=[12, 36, 1138, 42], num_oov_indices=2),
        np.array([[12, 1138, 42], [37, 1000, 36]]),
        [[2, 4, 5], [1, 0, 3]],
    ),
    (
        IntegerLookup(vocabulary=[36, 1138, 42], num_oov_indices=3, mask_token=12),
        np.array([[12, 1138, 42], [37, 1000, -1]]),
        [[0, 5, 6], [2, 2, 3]],
    ),
    (IntegerLookup(vocabulary=[12, 36], output_mode="multi_hot"), NUMBERS, [[1, 1, 0], [1, 0, 1]]),
    (IntegerLookup(vocabulary=[12, 36], invert=True), np.array([[1, 2, 0]]), [[12, 36, -1]]),
]


@pytest.mark.parametrize(("layer", "x", "wanted"), first_of_each(lambda row: type(row[0]), LOOKUPS))
def test_lookup(layer: Any, x: Any, wanted: Any, tmp_path: Any) -> None:
    given = Input(x.shape[1:], dtype=layer.input_dtype)
    model = Model(given, layer(given))
    result = model.predict(x)
    if result.dtype == object:
        assert result.tolist() == wanted
    else:
        np.testing.assert_allclose(result, wanted, rtol=1e-6)
    assert model.export(tmp_path / "m.onnx").verification.passed
    again = type(layer).from_config(layer.get_config())
    assert Model(given, again(given)).predict(x).tolist() == result.tolist()


def test_a_lookup_is_one_node_and_feeds_an_embedding_or_a_dense() -> None:
    x = Input((2,), dtype="string")
    model = Model(x, Dense(3)(StringLookup(vocabulary=["a", "b"], output_mode="multi_hot")(x)))
    assert model.predict(WORDS[:, :2]).shape == (2, 3)
    assert StringLookup(vocabulary=["a"]).get_vocabulary() == ["[UNK]", "a"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: CategoryEncoding(), InvalidArgumentError, "num_tokens must be an integer"),
        (lambda: CategoryEncoding(3, "int"), InvalidArgumentError, "output_mode must be one of"),
        (lambda: Discretization(), InvalidArgumentError, "bin_boundaries or num_bins"),
        (lambda: Discretization([2, 1]), InvalidArgumentError, "must rise"),
        (lambda: StringLookup(vocabulary=["a", "a"]), InvalidArgumentError, "each once"),
        (lambda: StringLookup(vocabulary=[]), InvalidArgumentError, "must have tokens"),
        (lambda: StringLookup(vocabulary=[1]), InvalidArgumentError, "must be text; received 1"),
        (lambda: StringLookup(vocabulary="words.txt"), InvalidArgumentError, "read the file"),
        (lambda: IntegerLookup(vocabulary=["1"]), InvalidArgumentError, "must be an integer; received '1'"),
        (lambda: StringLookup(vocabulary=["a", "b"], max_tokens=2), InvalidArgumentError, "larger than max_tokens=2"),
        (lambda: StringLookup(vocabulary=["a"], num_oov_indices=2), UnsupportedError, "by a hash"),
        (lambda: StringLookup(invert=True, output_mode="count"), InvalidArgumentError, "output_mode='int'"),
        (lambda: StringLookup(pad_to_max_tokens=True), InvalidArgumentError, "needs max_tokens"),
        (lambda: StringLookup(vocabulary=["a"], output_mode="tf_idf"), InvalidArgumentError, "idf_weights"),
        (
            lambda: StringLookup(vocabulary=["a"], output_mode="tf_idf", idf_weights=[1, 2, 3]),
            InvalidArgumentError,
            "received 3 idf_weights for 1 tokens",
        ),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_without_a_vocabulary_or_boundaries_nothing_can_be_computed() -> None:
    x = Input((2,), dtype="string")
    with pytest.raises(InvalidArgumentError, match="has no vocabulary"):
        StringLookup()(x)
    with pytest.raises(InvalidArgumentError, match="has no bin_boundaries"):
        Discretization(num_bins=3)(Input((2,)))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "uint32"])
def test_integers_of_any_dtype_are_looked_up_backwards(dtype: str) -> None:
    indices = np.array([[1, 0], [2, 3]], dtype)
    words = layers.StringLookup(vocabulary=["ok", "warn"], invert=True)(indices)
    numbers = layers.IntegerLookup(vocabulary=[7, 9], invert=True)(indices)
    assert words.tolist() == [["ok", "[UNK]"], ["warn", "[UNK]"]]
    assert numbers.tolist() == [[7, -1], [9, -1]]
    assert numbers.dtype == np.int64


@pytest.mark.parametrize(
    "make",
    [
        lambda **kwargs: CategoryEncoding(3, **kwargs),
        lambda **kwargs: Discretization([1, 2], output_mode="multi_hot", **kwargs),
        lambda **kwargs: IntegerLookup(vocabulary=[1, 2], output_mode="count", **kwargs),
    ],
)
def test_sparse_outputs_are_dense_with_a_word(make: Any) -> None:
    with pytest.warns(UserWarning, match="has sparse=True; its output is dense here, with the same numbers"):
        layer = make(sparse=True)
    x, given = np.array([[0, 1, 2]]), Input((3,), dtype="int64")
    expected = Model(given, make()(given)).predict(x)
    np.testing.assert_array_equal(Model(given, layer(given)).predict(x), expected)
