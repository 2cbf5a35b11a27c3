"""Hashes of integers, against the numbers of TensorFlow 2.21: real Keras has these layers on TensorFlow alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kir
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.exporters.onnx_file.session import make_session, run_session
from kir.layers import HashedCrossing, Hashing, Input, IntegerLookup
from kir.modeling.functional import KerasTensor

# One number at least of each length, 1 to 20 bytes, of both signs.
NUMBERS = [
    0,
    7,
    -7,
    42,
    -42,
    123,
    -999,
    2026,
    -2026,
    12345,
    -54321,
    123456,
    -654321,
    1234567,
    -7654321,
    12345678,
    -12345678,
    987654321,
    -987654321,
    1234567890,
    98765432109,
    -98765432109,
    123456789012,
    1234567890123,
    -12345678901234,
    12345678901234,
    123456789012345,
    -123456789012345,
    1234567890123456,
    12345678901234567,
    -12345678901234567,
    123456789012345678,
    1234567890123456789,
    -1234567890123456789,
    9223372036854775807,
    -9223372036854775808,
]
# tf.strings.to_hash_bucket_fast(tf.as_string(NUMBERS), 1000003)
BUCKETS = [
    537292,
    929154,
    985360,
    59059,
    208105,
    501751,
    743512,
    169538,
    187173,
    779109,
    515158,
    51347,
    457400,
    22860,
    685263,
    470335,
    763783,
    454816,
    15771,
    999984,
    691454,
    853124,
    20301,
    263757,
    287716,
    321027,
    926500,
    909409,
    857634,
    774961,
    600803,
    325472,
    908116,
    225514,
    121738,
    400334,
]
# tf.sparse.cross_hashed([NUMBERS, NUMBERS reversed], 1000003), and with NUMBERS * 3 - 1 as a third column
CROSSES = [
    435983,
    548545,
    783939,
    31971,
    390896,
    138191,
    777322,
    480080,
    182765,
    723931,
    589629,
    364796,
    30752,
    116685,
    960382,
    437948,
    28467,
    840367,
    625252,
    228853,
    122627,
    294774,
    302901,
    5673,
    529273,
    943283,
    201788,
    655973,
    873030,
    971161,
    479815,
    39000,
    686356,
    55945,
    839915,
    994871,
]
THREE = [
    695064,
    678643,
    938726,
    51270,
    251482,
    827431,
    486848,
    311521,
    538911,
    343392,
    467061,
    805170,
    585563,
    91386,
    464881,
    355234,
    674762,
    363072,
    622821,
    122787,
    218699,
    659100,
    107065,
    522694,
    286170,
    101755,
    530722,
    988711,
    921563,
    431403,
    285206,
    916018,
    128496,
    515995,
    477818,
    406135,
]


def inputs(count: int = 1, shape: tuple[int, ...] = (), dtype: str = "int64") -> list[KerasTensor]:
    return [Input(shape, dtype=dtype, name=f"x{index}") for index in range(count)]


def test_buckets_of_integers_are_those_of_tensorflow(tmp_path: Path) -> None:
    (x,) = inputs()
    model = kir.Model(x, Hashing(1000003)(x))
    assert model.predict(np.array(NUMBERS)).tolist() == BUCKETS
    kir.export(model, tmp_path / "m.onnx")
    (given,) = run_session(make_session(tmp_path / "m.onnx"), {"x0": np.array(NUMBERS)}).values()
    assert given.dtype == np.int64
    assert given.tolist() == BUCKETS


@pytest.mark.parametrize(("count", "expected"), [(2, CROSSES), (3, THREE)])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_crosses_of_integers_are_those_of_tensorflow(
    shape: tuple[int, ...], count: int, expected: list[int], tmp_path: Path
) -> None:
    columns = [np.array(NUMBERS), np.array(NUMBERS)[::-1], np.array(NUMBERS) * 3 - 1][:count]
    given = inputs(count, shape)
    model = kir.Model(given, HashedCrossing(1000003)(given))
    x = [column.reshape(-1, *shape) for column in columns]
    assert np.asarray(model.predict(x)).ravel().tolist() == expected
    kir.export(model, tmp_path / "m.onnx")
    feeds = {f"x{index}": np.ascontiguousarray(column) for index, column in enumerate(x)}
    (found,) = run_session(make_session(tmp_path / "m.onnx"), feeds).values()
    assert found.ravel().tolist() == expected


def run(layer: Any, x: Any, dtype: str = "int64") -> Any:
    x = np.asarray(x, dtype)
    (given,) = inputs(shape=x.shape[1:], dtype=dtype)
    return kir.Model(given, layer(given)).predict(x)


def test_a_mask_value_has_a_bin_of_its_own() -> None:
    bins = run(Hashing(11), [[1], [5], [7]]) * 0 + run(Hashing(10), [[1], [5], [7]]) + 1
    masked = run(Hashing(11, mask_value=5), [[1], [5], [7]])
    assert masked.tolist() == [bins[0].tolist(), [0], bins[2].tolist()]
    assert run(Hashing(1, mask_value=5), [[1], [5]]).tolist() == [[0], [0]]


def test_floats_are_hashed_as_integers() -> None:
    assert run(Hashing(100), [[1.9, -3.2]], "float32").tolist() == run(Hashing(100), [[1, -3]]).tolist()


@pytest.mark.parametrize(("mode", "dtype"), [("one_hot", "float32"), ("multi_hot", "float32"), ("count", "float16")])
def test_modes(mode: str, dtype: str) -> None:
    x = [[1], [2], [3]] if mode == "one_hot" else [[1, 2, 1], [3, 4, 5]]
    layer = Hashing(6, output_mode=mode, dtype=None if dtype == "float32" else dtype)
    found, bins = run(layer, x), run(Hashing(6), x)
    marks = np.eye(6)[bins]
    expected = {"one_hot": marks[:, 0], "multi_hot": marks.max(1), "count": marks.sum(1)}[mode]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


def test_one_hot_crosses() -> None:
    given = inputs(2, (1,), "int32")
    x = [np.array([[1], [2]], np.int32), np.array([[3], [4]], np.int32)]
    bins = kir.Model(given, HashedCrossing(6)(given)).predict(x)
    found = kir.Model(given, HashedCrossing(6, output_mode="one_hot")(given)).predict(x)
    np.testing.assert_array_equal(found, np.eye(6, dtype=np.float32)[np.asarray(bins)[:, 0]])


def test_unknown_integers_are_spread_by_their_hash() -> None:
    lookup = IntegerLookup(vocabulary=[1, 2], num_oov_indices=7, oov_method="farmhash")
    assert run(lookup, [[1, 2, 99, -5]]).tolist() == [[7, 8, *run(Hashing(7), [[99, -5]])[0].tolist()]]


def test_configs() -> None:
    for layer in (Hashing(5, mask_value=2, output_mode="count"), HashedCrossing(5, output_mode="one_hot")):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    assert HashedCrossing(5).get_config()["dtype"] == "int64"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Hashing(3, salt=5), UnsupportedError, "salt=5, and hashes by SipHash64"),
        (lambda: Hashing(0), InvalidArgumentError, "num_bins"),
        (lambda: Hashing(3)(Input((2,), dtype="string")), UnsupportedError, "hashes texts: ONNX has no operator"),
        (lambda: HashedCrossing(3)(inputs(1)), InvalidArgumentError, "crosses at least two inputs"),
        (lambda: HashedCrossing(3)(inputs(2, (2,))), ShapeError, r"of one shape, \(batch,\) or \(batch, 1\)"),
        (lambda: HashedCrossing(3)(inputs(2, dtype="float32")), InvalidArgumentError, "crosses integers"),
        (
            lambda: IntegerLookup(vocabulary=[1], num_oov_indices=2, oov_method="farmhash", salt=3),
            UnsupportedError,
            "salt=3, and hashes by SipHash64",
        ),
    ],
)
def test_refusals(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
