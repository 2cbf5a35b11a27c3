"""Settings: where the defaults come from, what is refused, and that default seeds repeat."""

import json
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kir import config
from kir.errors import InvalidArgumentError, KirError
from kir.layers import Dense


@pytest.fixture
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    config.reset()
    yield tmp_path
    config.reset()


def test_defaults_without_a_file_are_those_of_keras(keras_home: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settings = (config.image_data_format(), config.floatx(), config.epsilon())
    assert settings == ("channels_last", "float32", 1e-7)
    assert settings == (keras.config.image_data_format(), keras.config.floatx(), keras.config.epsilon())


def test_defaults_come_from_keras_json(keras_home: Path) -> None:
    written = {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 1e-5, "backend": "torch"}
    (keras_home / "keras.json").write_text(json.dumps(written))
    assert config.image_data_format() == "channels_first"
    assert config.floatx() == "float64"
    assert config.epsilon() == 1e-5


def test_keras_json_is_read_in_the_home_folder_without_keras_home(
    keras_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(keras_home))
    (keras_home / ".keras").mkdir()
    (keras_home / ".keras" / "keras.json").write_text('{"image_data_format": "channels_first"}')
    assert config.image_data_format() == "channels_first"


def test_keras_json_is_read_once_and_again_after_reset(keras_home: Path) -> None:
    assert config.image_data_format() == "channels_last"
    (keras_home / "keras.json").write_text('{"image_data_format": "channels_first"}')
    assert config.image_data_format() == "channels_last"
    config.reset()
    assert config.image_data_format() == "channels_first"


def test_the_file_is_never_written(keras_home: Path) -> None:
    config.set_image_data_format("channels_first")
    assert list(keras_home.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"{", b"", b"[]", b"3", b"\xff\xfe", b'{"image_data_format": "channels_middle"}', b'{"image_data_format": 3}'],
)
def test_a_broken_file_warns_and_leaves_the_defaults(keras_home: Path, content: bytes) -> None:
    (keras_home / "keras.json").write_bytes(content)
    with pytest.warns(UserWarning, match=r"keras\.json is ignored"):
        assert config.image_data_format() == "channels_last"


def test_a_folder_in_place_of_the_file_warns(keras_home: Path) -> None:
    (keras_home / "keras.json").mkdir()
    with pytest.warns(UserWarning, match=r"keras\.json is ignored"):
        assert config.floatx() == "float32"


def test_one_broken_value_leaves_the_others(keras_home: Path) -> None:
    (keras_home / "keras.json").write_text('{"epsilon": -1, "floatx": "float16"}')
    with pytest.warns(UserWarning, match="'epsilon'.*-1"):
        assert (config.epsilon(), config.floatx()) == (1e-7, "float16")


@pytest.mark.parametrize("given", ["channels_first", "channels_last", "Channels_First"])
def test_data_format_is_set_and_standardized(keras_home: Path, given: str) -> None:
    assert config.standardize_data_format(given) == given.lower()
    config.set_image_data_format(given)
    assert config.image_data_format() == given.lower()
    assert config.standardize_data_format(None) == given.lower()


@pytest.mark.parametrize("given", ["float16", "bfloat16", "float32", "float64"])
def test_floatx_is_set(keras_home: Path, given: str) -> None:
    config.set_floatx(given)
    assert config.floatx() == given


def test_the_policy_of_layers_is_that_of_floatx_unless_set(keras_home: Path) -> None:
    config.set_floatx("float64")
    assert config.dtype_policy() == "float64"
    config.set_dtype_policy("mixed_float16")
    assert (config.dtype_policy(), Dense(2).dtype_policy.name, Dense(2, dtype="float32").dtype) == (
        "mixed_float16",
        "mixed_float16",
        "float32",
    )
    with config.own_dtype_policy():
        assert config.dtype_policy() == "float64"
        config.set_dtype_policy("float16")
    assert config.dtype_policy() == "mixed_float16"
    config.set_dtype_policy(None)
    assert config.dtype_policy() == "float64"


def test_epsilon_is_set(keras_home: Path) -> None:
    config.set_epsilon(1e-3)
    assert config.epsilon() == 1e-3


@pytest.mark.parametrize(
    ("set_value", "value"),
    [
        (config.set_image_data_format, "channels_middle"),
        (config.standardize_data_format, "NCHW"),
        (config.set_floatx, "float8"),
        (config.set_floatx, None),
        (config.set_dtype_policy, "mixed_int8"),
        (config.set_epsilon, 0),
        (config.set_epsilon, float("nan")),
        (config.set_epsilon, "small"),
        (config.set_epsilon, True),
        (config.set_random_seed, 1.5),
        (config.set_random_seed, True),
        (config.set_random_seed, -1),
        (config.set_random_seed, 2**32),
    ],
)
def test_a_refused_value_is_repeated_and_changes_nothing(keras_home: Path, set_value: Any, value: Any) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        set_value(value)
    assert repr(value) in str(raised.value)
    assert isinstance(raised.value, KirError)
    assert (config.image_data_format(), config.floatx(), config.epsilon()) == ("channels_last", "float32", 1e-7)


def test_default_seeds_differ_and_repeat_after_reset(keras_home: Path) -> None:
    first = [config.next_seed() for _ in range(100)]
    assert len(set(first)) == 100
    assert all(0 <= seed < 2**32 for seed in first)
    config.reset()
    assert [config.next_seed() for _ in range(100)] == first


def test_default_seeds_are_the_same_in_a_new_process(keras_home: Path) -> None:
    program = "from kir import config; print([config.next_seed() for _ in range(3)])"
    checkout = Path(__file__).parent.parent
    printed = subprocess.run([sys.executable, "-c", program], cwd=checkout, check=True, capture_output=True, text=True)
    assert json.loads(printed.stdout) == [config.next_seed() for _ in range(3)]


def test_a_default_seed_is_the_next_child_of_the_seed_sequence(keras_home: Path) -> None:
    config.set_random_seed(7)
    expected = [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(7).spawn(3)]
    assert [config.next_seed() for _ in range(3)] == expected


def test_set_random_seed_restarts_python_and_numpy_too(keras_home: Path) -> None:
    def draw() -> tuple[float, float, int]:
        config.set_random_seed(11)
        return random.random(), float(np.random.random()), config.next_seed()

    assert draw() == draw()
    keras.utils.set_random_seed(11)
    assert draw()[:2] == (random.Random(11).random(), float(np.random.RandomState(11).random()))
