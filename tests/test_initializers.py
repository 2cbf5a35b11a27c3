"""Initializers draw what Keras draws: bit for bit with a seed, from the same distribution without one."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras.src.initializers import ALL_OBJECTS_DICT as KERAS_NAMES

from kir import config, initializers
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.types import DType

FAN_SCALED = ["GlorotUniform", "GlorotNormal", "LecunUniform", "LecunNormal", "HeUniform", "HeNormal"]
FIXED: list[tuple[str, dict[str, Any]]] = [
    ("Zeros", {}),
    ("Ones", {}),
    ("Constant", {}),
    ("Constant", {"value": 2.5}),
    ("Constant", {"value": [1, 2, 3, 4, 5]}),
    ("Identity", {}),
]
RANDOM: list[tuple[str, dict[str, Any]]] = [
    ("RandomNormal", {}),
    ("RandomNormal", {"mean": 1.0, "stddev": 2.0}),
    ("RandomUniform", {}),
    ("RandomUniform", {"minval": -1, "maxval": 3}),
    ("TruncatedNormal", {}),
    ("TruncatedNormal", {"mean": -1.0, "stddev": 2}),
    ("Orthogonal", {}),
    ("Orthogonal", {"gain": 2.0}),
    ("VarianceScaling", {}),
    ("VarianceScaling", {"scale": 2.0, "mode": "fan_out", "distribution": "Uniform"}),
    ("VarianceScaling", {"scale": 0.5, "mode": "fan_avg", "distribution": "untruncated_normal"}),
    ("VarianceScaling", {"distribution": "normal", "input_axes": (1,), "output_axes": [0]}),
    *((name, {}) for name in FAN_SCALED),
    *((name, {"input_axes": [1], "output_axes": [0]}) for name in FAN_SCALED),
]
SEEDED = [(name, {**arguments, "seed": 1234}) for name, arguments in RANDOM]


@pytest.fixture(autouse=True)
def fresh_settings() -> Iterator[None]:
    config.reset()
    yield
    config.reset()


def make(name: str, arguments: dict[str, Any]) -> Any:
    return getattr(initializers, name)(**arguments)


@pytest.mark.parametrize(("name", "arguments"), [*FIXED, *SEEDED])
@pytest.mark.parametrize("dtype", ["float32", "float64", None])
@pytest.mark.parametrize("shape", [(4, 5), (7, 5), (3, 5)])
def test_values_are_those_of_keras(name: str, arguments: dict[str, Any], dtype: str | None, shape: Any) -> None:
    ours = make(name, arguments)(shape, dtype)
    theirs = np.asarray(getattr(keras.initializers, name)(**arguments)(shape, dtype))
    assert ours.dtype == (dtype or "float32")
    if name == "Orthogonal" and dtype == "float64":  # Keras's NumPy backend factors in float32 and returns that
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("name", "arguments"), SEEDED)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 3, 8)])
def test_convolution_kernels_are_those_of_keras(name: str, arguments: dict[str, Any], shape: Any) -> None:
    theirs = getattr(keras.initializers, name)(**arguments)(shape)
    np.testing.assert_array_equal(make(name, arguments)(shape), np.asarray(theirs))


@pytest.mark.parametrize("shape", [(), (5,), (0,), (0, 3)])
@pytest.mark.parametrize("name", ["Zeros", "RandomNormal", "RandomUniform", "TruncatedNormal", *FAN_SCALED])
def test_vectors_scalars_and_empty_shapes(name: str, shape: tuple[int, ...]) -> None:
    assert make(name, {})(shape).shape == shape


@pytest.mark.parametrize(("name", "arguments"), [*FIXED, *SEEDED])
@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16, DType.FLOAT64, np.float32])
def test_any_way_of_naming_a_dtype_works(name: str, arguments: dict[str, Any], dtype: Any) -> None:
    values = make(name, arguments)((4, 5), dtype)
    expected = np.dtype(np.float64) if dtype is DType.FLOAT64 else np.dtype(dtype)
    assert values.dtype == expected
    reference = make(name, arguments)((4, 5), "float64")
    np.testing.assert_allclose(values.astype("float64"), reference, rtol=1e-2, atol=1e-2)


def test_the_default_dtype_is_floatx() -> None:
    config.set_floatx("bfloat16")
    assert initializers.GlorotUniform()((2, 2)).dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize("name", ["Zeros", "Ones", "Constant", "Identity"])
def test_integers_and_booleans(name: str) -> None:
    for dtype in ("int32", "bool"):
        values = make(name, {})((3, 3), dtype)
        assert values.dtype == dtype
        np.testing.assert_array_equal(values, make(name, {})((3, 3)).astype(dtype))


# Statistics.

MANY = (200, 300)
LIMITS = {
    "GlorotUniform": math.sqrt(6 / (200 + 300)),
    "LecunUniform": math.sqrt(3 / 200),
    "HeUniform": math.sqrt(6 / 200),
}
VARIANCES = {
    "GlorotUniform": 2 / 500,
    "GlorotNormal": 2 / 500,
    "LecunUniform": 1 / 200,
    "LecunNormal": 1 / 200,
    "HeUniform": 2 / 200,
    "HeNormal": 2 / 200,
    "RandomNormal": 0.05**2,
    "TruncatedNormal": (0.05 * 0.87962566103423978) ** 2,
    "RandomUniform": 0.1**2 / 12,
}


@pytest.mark.parametrize("name", VARIANCES)
def test_mean_and_variance_follow_the_formula_and_keras(name: str) -> None:
    values = make(name, {})(MANY)
    theirs = np.asarray(getattr(keras.initializers, name)(seed=99)(MANY))
    deviation = math.sqrt(VARIANCES[name])
    # The mean of n values is within 4·deviation/sqrt(n) of 0 in all but 1 of 16,000 cases; the seed is fixed.
    assert abs(values.mean()) < 4 * deviation / math.sqrt(values.size)
    assert values.std() == pytest.approx(deviation, rel=0.015)
    np.testing.assert_allclose(
        np.quantile(values, [0.1, 0.3, 0.7, 0.9]), np.quantile(theirs, [0.1, 0.3, 0.7, 0.9]), atol=0.03 * deviation
    )


@pytest.mark.parametrize("name", LIMITS)
def test_uniform_values_fill_their_limits(name: str) -> None:
    largest = np.abs(make(name, {})(MANY)).max()
    assert 0.999 * LIMITS[name] < largest <= LIMITS[name] * (1 + 1e-6)


@pytest.mark.parametrize("name", ["GlorotNormal", "LecunNormal", "HeNormal"])
def test_truncated_values_end_at_two_deviations(name: str) -> None:
    bound = 2 * math.sqrt(VARIANCES[name]) / 0.87962566103423978
    largest = np.abs(make(name, {})(MANY)).max()
    assert 0.99 * bound < largest <= bound * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6), (3, 3, 2, 5), (2, 2, 10)])
def test_orthogonal_rows_or_columns_are_orthonormal(shape: tuple[int, ...]) -> None:
    matrix = initializers.Orthogonal(gain=3.0)(shape, "float64").reshape(-1, shape[-1]) / 3.0
    rows, columns = matrix.shape
    product = matrix @ matrix.T if rows < columns else matrix.T @ matrix
    np.testing.assert_allclose(product, np.eye(min(rows, columns)), atol=1e-12)


@given(st.lists(st.integers(0, 6), max_size=5))
def test_fans_are_those_of_keras(shape: list[int]) -> None:
    assert initializers.compute_fans(shape) == keras.src.initializers.random_initializers.compute_fans(shape)


# Seeds.


@pytest.mark.parametrize(("name", "arguments"), [*RANDOM, *SEEDED])
def test_the_same_object_draws_the_same_values_twice(name: str, arguments: dict[str, Any]) -> None:
    initializer = make(name, arguments)
    np.testing.assert_array_equal(initializer((4, 5)), initializer((4, 5)))


def test_without_a_seed_objects_differ_and_repeat_after_reset() -> None:
    def draw() -> Any:
        return [initializers.GlorotUniform()((3, 3)) for _ in range(3)]

    first = draw()
    assert not np.array_equal(first[0], first[1])
    config.reset()
    np.testing.assert_array_equal(draw(), first)
    config.set_random_seed(1)
    assert not np.array_equal(draw()[0], first[0])


def test_seeds_differ_in_their_low_32_bits() -> None:
    draws = [initializers.RandomNormal(seed=seed)((8,)) for seed in (0, 1, -1, 2**32 - 1, 2**32)]
    assert not np.array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[2], draws[3])
    np.testing.assert_array_equal(draws[0], draws[4])


def test_a_saved_seed_generator_counts_as_its_initial_seed() -> None:
    saved = keras.initializers.serialize(keras.initializers.RandomNormal(seed=keras.random.SeedGenerator(5)))
    found: Any = initializers.get(saved)
    np.testing.assert_array_equal(found((4,)), initializers.RandomNormal(seed=5)((4,)))
    assert initializers.serialize(found) == saved


# Names and configs.


@pytest.mark.parametrize(("name", "arguments"), [*FIXED, *RANDOM, *SEEDED])
def test_config_is_that_of_keras_and_makes_the_same_object(name: str, arguments: dict[str, Any]) -> None:
    ours = initializers.serialize(make(name, arguments))
    theirs = keras.initializers.serialize(getattr(keras.initializers, name)(**arguments))
    assert ours == theirs
    assert initializers.serialize(initializers.get(theirs)) == theirs
    assert keras.initializers.serialize(keras.initializers.get(ours)) == theirs


def test_a_gain_of_identity_survives_saving_here_and_in_keras() -> None:
    saved = initializers.serialize(initializers.Identity(gain=2.0))
    found: Any
    for found in (initializers.get(saved), keras.initializers.get(saved)):
        np.testing.assert_array_equal(found((2, 2)), 2 * np.eye(2))


def test_a_constant_array_survives_saving_here_and_in_keras() -> None:
    values = np.arange(6.0).reshape(2, 3)
    ours = initializers.serialize(initializers.Constant(values))
    theirs = keras.initializers.serialize(keras.initializers.Constant(values))
    found: Any
    for found in (initializers.get(ours), initializers.get(theirs), keras.initializers.get(ours)):
        np.testing.assert_array_equal(found((2, 3)), values)


def test_the_dtype_in_a_config_of_tensorflow_1_is_ignored() -> None:
    found = initializers.get({"class_name": "GlorotUniform", "config": {"seed": 3, "dtype": "float32"}})
    assert isinstance(found, initializers.GlorotUniform)
    assert found.seed == 3


@pytest.mark.parametrize("name", sorted(set(KERAS_NAMES) - {"Initializer", "initializer"}))
def test_every_keras_name_makes_keras_class(name: str) -> None:
    assert type(initializers.get(name)).__name__ == KERAS_NAMES[name].__name__


def test_every_public_keras_name_is_here() -> None:
    assert {name for name in vars(keras.initializers) if not name.startswith("_")} <= set(vars(initializers))


@pytest.mark.parametrize("side", ["real", "imag"])
@pytest.mark.parametrize(
    "options",
    [{}, {"window": "hamming", "periodic": True}, {"window": None}, {"window": [1, 2, 3, 2, 1], "scaling": "spectrum"}],
)
def test_stft_is_that_of_keras(side: str, options: dict[str, Any]) -> None:
    ours, theirs = initializers.STFT(side, **options), keras.initializers.STFT(side, **options)
    np.testing.assert_allclose(ours((5, 1, 5)), np.asarray(theirs((5, 1, 5))), atol=1e-6)
    assert ours.get_config() == theirs.get_config()


def test_stft_is_for_known_windows_and_rank_3() -> None:
    with pytest.raises(InvalidArgumentError, match="window must be one of boxcar, hann"):
        initializers.STFT(window="round")
    with pytest.raises(ShapeError, match="rank 3"):
        initializers.STFT()((3, 4))


def test_a_misspelt_name_is_corrected() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'glorot_unifrom'; did you mean 'glorot_uniform'\? .*HeNormal"):
        initializers.get("glorot_unifrom")


def test_an_array_is_the_value_for_its_own_shape_only() -> None:
    values = np.arange(6).reshape(2, 3)
    found: Any = initializers.get(values)
    drawn = found((2, 3))
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn, values)
    with pytest.raises(ShapeError, match=r"has shape \(2, 3\), but the weight has shape \(3,\)"):
        found((3,))
    with pytest.raises(InvalidArgumentError, match="cannot be saved"):
        initializers.serialize(found)


def test_own_subclass_and_function() -> None:
    class Halves(initializers.Initializer):
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return np.full(shape, 0.5, dtype)

    def thirds(shape: Any, dtype: Any = None) -> Any:
        return np.full(shape, 1 / 3, dtype)

    assert isinstance(initializers.get(Halves), Halves)
    assert initializers.get(thirds) is thirds
    saved = initializers.serialize(Halves())
    assert saved is not None
    assert isinstance(initializers.deserialize(saved, {"Halves": Halves}), Halves)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("RandomNormal", {"stddev": -1}, "stddev must be a finite number of at least 0; received stddev=-1"),
        ("RandomNormal", {"mean": "0"}, "mean must be a finite number; received mean='0'"),
        (
            "TruncatedNormal",
            {"stddev": float("nan")},
            "stddev must be a finite number of at least 0; received stddev=nan",
        ),
        ("TruncatedNormal", {"mean": None}, "mean must be a finite number; received mean=None"),
        ("RandomUniform", {"minval": 2, "maxval": 1}, "minval must not exceed maxval; received minval=2 and maxval=1"),
        ("RandomUniform", {"maxval": float("inf")}, "maxval must be a finite number; received maxval=inf"),
        ("VarianceScaling", {"scale": 0}, "scale must be positive; received scale=0"),
        ("VarianceScaling", {"scale": "1"}, "scale must be a finite number of at least 0; received scale='1'"),
        ("VarianceScaling", {"mode": "fan"}, "mode must be one of 'fan_in', 'fan_out', 'fan_avg'; received mode='fan'"),
        (
            "VarianceScaling",
            {"distribution": 3},
            "distribution must be one of 'uniform', .*; received distribution='3'",
        ),
        ("VarianceScaling", {"input_axes": 0}, "input_axes must be a tuple of integers; received input_axes=0"),
        (
            "GlorotUniform",
            {"output_axes": ["a"]},
            r"GlorotUniform: output_axes must be .*; received output_axes=\['a'\]",
        ),
        ("GlorotUniform", {"seed": 1.5}, "GlorotUniform: seed must be None or an integer, but it is 1.5"),
        ("HeNormal", {"seed": True}, "HeNormal: seed must be None or an integer, but it is True"),
        ("Orthogonal", {"gain": float("nan")}, "Orthogonal: gain must be a finite number; received gain=nan"),
        ("Identity", {"gain": "1"}, "Identity: gain must be a finite number; received gain='1'"),
        ("Constant", {"value": "1"}, "Constant: value must be a real number or an array of them, but it is '1'"),
        ("Constant", {"value": None}, "Constant: value must be a real number or an array of them, but it is None"),
        ("Constant", {"value": [[1], [1, 2]]}, r"Constant: value must be .*, but it is \[\[1\], \[1, 2\]\]"),
    ],
)
def test_a_refused_argument_is_repeated(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        make(name, arguments)


@pytest.mark.parametrize(
    ("initializer", "shape", "message"),
    [
        (initializers.Identity(), (2, 2, 2), r"Identity: the shape must be of rank 2, but it is \(2, 2, 2\)"),
        (initializers.Orthogonal(0.5), (4,), r"Orthogonal: the shape must be of rank 2 or more, but it is \(4,\)"),
        (initializers.Constant([1, 2]), (3,), r"a value of shape \(2,\) does not broadcast to shape \(3,\)"),
        (initializers.Zeros(), (None, 3), r"known integers of at least 0, but it is \(None, 3\)"),
        (initializers.HeNormal(), (-1, 3), r"known integers of at least 0, but it is \(-1, 3\)"),
        (initializers.HeNormal(1, [2], [0]), (2, 3), r"the axes \[2\] are not all in a weight of shape \(2, 3\)"),
    ],
)
def test_a_refused_shape_is_repeated(initializer: Any, shape: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        initializer(shape)


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="unknown dtype 'float31'"):
        initializers.Zeros()((2,), "float31")
