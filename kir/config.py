"""Process-wide settings, with the names of `keras.config`, and the source of default random seeds.

The defaults come from the same file that Keras reads: `$KERAS_HOME/keras.json`, else `~/.keras/keras.json`. It is read
once, when a setting is first needed, and never written. Nothing but these few values belongs here: whatever a model
needs is an argument of the model.

Source: https://keras.io/api/utils/config_utils/
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from kir.errors import InvalidArgumentError
from kir.ir.types import DType, DTypeLike, as_dtype
from kir.support.arguments import choice, integer, number

OWNER = "kir.config"  # whose arguments the messages speak of
DATA_FORMATS = ("channels_first", "channels_last")
FLOATX_NAMES = ("bfloat16", "float16", "float32", "float64")
LOST_MASK_ACTIONS = ("error", "warn", "ignore")
LARGEST_SEED = 2**32 - 1

# Fixed, so that a script that sets no seed still builds the same weights at every run.
DEFAULT_SEED = 0


@dataclass
class _Settings:
    image_data_format: str = "channels_last"
    floatx: str = "float32"
    dtype_policy: str | None = None
    epsilon: float = 1e-7
    on_lost_mask: str = "error"
    seed: int = DEFAULT_SEED
    seeds_taken: int = 0


def image_data_format() -> str:
    """Return the default `data_format` of layers: "channels_first" or "channels_last"."""
    return _settings().image_data_format


def set_image_data_format(data_format: str) -> None:
    """Set the default `data_format` of layers made from now on.

    Raises:
        InvalidArgumentError: neither "channels_first" nor "channels_last".
    """
    _settings().image_data_format = _checked_data_format(data_format)


def standardize_data_format(data_format: str | None, owner: str = OWNER) -> str:
    """Return the data format that an argument of `owner` means: itself in lower case, or the default for None.

    Raises:
        InvalidArgumentError: neither None, "channels_first" nor "channels_last".
    """
    return image_data_format() if data_format is None else _checked_data_format(data_format, owner)


def floatx() -> str:
    """Return the default float dtype of weights and inputs, as Keras names it: "float32"."""
    return _settings().floatx


def set_floatx(value: str) -> None:
    """Set the default float dtype of weights and inputs made from now on.

    Raises:
        InvalidArgumentError: not one of "bfloat16", "float16", "float32", "float64".
    """
    _settings().floatx = _checked_floatx(value)


def dtype_policy() -> str:
    """Return the default policy of layers, by its name: `floatx` unless set."""
    return _settings().dtype_policy or floatx()


def set_dtype_policy(name: str | None) -> None:
    """Set the default policy of layers made from now on, such as "mixed_float16"; None is `floatx`.

    Raises:
        InvalidArgumentError: there is no such policy.
    """
    _settings().dtype_policy = None if name is None else as_dtype_policy(name).name


@contextlib.contextmanager
def own_dtype_policy() -> Iterator[None]:
    """Make `floatx` the default policy while open, until another is set; afterwards, what was set before."""
    before = _settings().dtype_policy
    set_dtype_policy(None)
    try:
        yield
    finally:
        set_dtype_policy(before)


def epsilon() -> float:
    """Return the small number that keeps divisions finite, 1e-7 unless set."""
    return _settings().epsilon


def set_epsilon(value: float) -> None:
    """Set the small number that keeps divisions finite.

    Raises:
        InvalidArgumentError: not a positive finite number.
    """
    _settings().epsilon = _checked_epsilon(value)


def on_lost_mask() -> str:
    """Return what happens when a mask reaches a layer that cannot carry it: "error" unless set."""
    return _settings().on_lost_mask


def set_on_lost_mask(action: str) -> None:
    """Set what happens to models built from now on when a mask reaches a layer that cannot carry it.

    Args:
        action: "error" refuses the model; "warn" is Keras 3's behaviour, a warning, and the mask ends there;
            "ignore" says nothing.

    Raises:
        InvalidArgumentError: another action.
    """
    _settings().on_lost_mask = choice(OWNER, "on_lost_mask", action, LOST_MASK_ACTIONS)


@contextlib.contextmanager
def lost_masks(action: str) -> Iterator[None]:
    """Do what `set_on_lost_mask` says while open; afterwards, what was set before."""
    before = on_lost_mask()
    set_on_lost_mask(action)
    try:
        yield
    finally:
        set_on_lost_mask(before)


def set_random_seed(seed: int) -> None:
    """Restart every source of random numbers: kir's own, Python's `random` and `numpy.random`, as in Keras.

    Raises:
        InvalidArgumentError: not an integer from 0 to 2**32 - 1.
    """
    checked = integer(OWNER, "seed", seed, 0)
    if checked > LARGEST_SEED:
        raise InvalidArgumentError(f"{OWNER}: seed must be at most {LARGEST_SEED}; received seed={seed!r}")
    _settings().seed, _settings().seeds_taken = checked, 0
    random.seed(checked)
    np.random.seed(checked)


def random_seed() -> int:
    """Return the seed that `set_random_seed` set; 0 unless it did."""
    return _settings().seed


def next_seed() -> int:
    """Return the next default seed, from 0 to 2**32 - 1: the n-th call gives the n-th child of the process's seed."""
    return take_seed()()


def take_seed() -> Callable[[], int]:
    """Take the next default seed, and return what computes it.

    Most initializers never draw, and for these `numpy.random` is not even imported: start-up time.
    """
    settings = _settings()
    settings.seeds_taken += 1
    return functools.partial(_child_seed, settings.seed, settings.seeds_taken - 1)


def _child_seed(seed: int, index: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(1)[0])


def reset() -> None:
    """Forget everything that was set and drawn; `keras.json` is read again when next needed."""
    _settings.cache_clear()


@functools.cache
def _settings() -> _Settings:
    path = _keras_json()
    settings = _Settings()
    for name, value in _read_object(path).items():
        if name in _CHECKS:
            _take_from_file(settings, path, name, value)
    return settings


def _keras_json() -> Path:
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return Path(os.path.expanduser(home), "keras.json")


def _read_object(path: Path) -> Mapping[str, Any]:
    """Return the JSON object in the file; nothing if there is no file, nor, with a warning, if it cannot be read."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        return _warn_unusable(path, str(error))
    return read if isinstance(read, dict) else _warn_unusable(path, f"it holds {read!r}, not an object")


def _warn_unusable(path: Path, reason: str) -> Mapping[str, Any]:
    warnings.warn(f"{path} is ignored and the defaults are used: {reason}", stacklevel=2)
    return {}


def _take_from_file(settings: _Settings, path: Path, name: str, value: object) -> None:
    try:
        setattr(settings, name, _CHECKS[name](value))
    except InvalidArgumentError as error:
        warnings.warn(f"{name!r} in {path} is ignored and its default is used: {error}", stacklevel=2)


def _checked_data_format(value: object, owner: str = OWNER) -> str:
    lowered = str(value).lower()
    return lowered if lowered in DATA_FORMATS else str(choice(owner, "data_format", value, DATA_FORMATS))


def _checked_floatx(value: object) -> str:
    return str(choice(OWNER, "floatx", value, FLOATX_NAMES))


def _checked_epsilon(value: object) -> float:
    checked = number(OWNER, "epsilon", value, 0)
    if checked == 0:
        raise InvalidArgumentError(f"{OWNER}: epsilon must be positive; received epsilon={value!r}")
    return checked


_CHECKS: dict[str, Callable[[object], str | float]] = {
    "image_data_format": _checked_data_format,
    "floatx": _checked_floatx,
    "epsilon": _checked_epsilon,
}


@dataclass(frozen=True, slots=True)
class DTypePolicy:
    """The dtype that a layer computes in, and the one that its weights are kept in.

    Source: https://keras.io/api/mixed_precision/policy/
    """

    name: str
    compute: DType
    variable: DType

    def get_config(self) -> dict[str, Any]:
        return {
            "module": "keras",
            "class_name": "DTypePolicy",
            "config": {"name": self.name},
            "registered_name": None,
        }


# What `as_dtype_policy` reads.
PolicyLike: TypeAlias = "DTypePolicy | DTypeLike | Mapping[str, Any] | None"


def as_dtype_policy(given: PolicyLike) -> DTypePolicy:
    """Return the policy for a name ("float32", "mixed_float16"), a config, a dtype or a policy; None is the default.

    Raises:
        InvalidArgumentError: there is no such policy.
    """
    if isinstance(given, DTypePolicy):
        return given
    if isinstance(given, Mapping):
        given = cast("str | None", given.get("config", {}).get("name"))
    if given is None:
        given = dtype_policy()
    if isinstance(given, str) and given.startswith("mixed_"):
        compute = as_dtype(given.removeprefix("mixed_"))
        if not compute.is_float:
            raise InvalidArgumentError(f"there is no dtype policy {given!r}; expected mixed_float16 or mixed_bfloat16")
        return DTypePolicy(given, compute, DType.FLOAT32)
    dtype = as_dtype(given)
    return DTypePolicy(dtype.keras_name, dtype, dtype)
