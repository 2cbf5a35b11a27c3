"""Functions of `keras.models`, `keras.saving` and `keras.utils` for scripts that run where Keras is not installed.

Source: https://keras.io/api/
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kir import config
from kir.config import DTypePolicy, PolicyLike
from kir.config import as_dtype_policy as dtype_policy
from kir.errors import InvalidArgumentError, UnsupportedError
from kir.importers.keras_file import load_keras_model, model_from_config
from kir.ir.op import Array
from kir.ir.types import DTypeLike, as_dtype
from kir.modeling.layer import to_config
from kir.modeling.layer_classes import layer_from_config
from kir.modeling.model import Model
from kir.modeling.weight import Weight
from kir.support.naming import reset_names

# A class or a function of a script.
Registered: TypeAlias = "type[Any] | Callable[..., Any]"

# What scripts register, by "package>name" and by name, for the files that they load.
CUSTOM_OBJECTS: dict[str, Any] = {}

_uids: Counter[str] = Counter()


def register(package: str | Registered = "Custom", name: str | None = None) -> Any:
    """Return the class or function itself, which then knows its registered name: `register_keras_serializable`."""
    if callable(package):
        return register()(package)

    def decorate(registered: Registered) -> Any:
        own_name = name or registered.__name__
        setattr(registered, "_keras_registered_name", f"{package}>{own_name}")  # noqa: B010 (no type has it)
        CUSTOM_OBJECTS[f"{package}>{own_name}"] = CUSTOM_OBJECTS[own_name] = registered
        return registered

    return decorate


def registered_name(value: Registered) -> str:
    """Return the name that a class or function was registered under; its own if it was not."""
    return str(getattr(value, "_keras_registered_name", value.__name__))


def registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """Return what was registered under a name, or is among the given; None for nothing."""
    return {**(module_objects or {}), **_known_objects(custom_objects)}.get(name)


def custom_objects() -> dict[str, Any]:
    """Return what is registered, to be changed."""
    return CUSTOM_OBJECTS


@contextlib.contextmanager
def custom_object_scope(objects: Mapping[str, Any]) -> Iterator[None]:
    """Register these as well while the context is open."""
    before = dict(CUSTOM_OBJECTS)
    CUSTOM_OBJECTS.update(objects)
    try:
        yield
    finally:
        CUSTOM_OBJECTS.clear()
        CUSTOM_OBJECTS.update(before)


# Models


def load_model(
    filepath: str | Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, safe_mode: bool = True
) -> Model:
    """Return the model in a `.keras` or `.h5` file, with its weights.

    Raises:
        FormatError, UnsupportedError: see `load_keras_model`.
    """
    return load_keras_model(Path(filepath), custom_objects=_known_objects(custom_objects))


def _known_objects(given: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**CUSTOM_OBJECTS, **(given or {})}


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """Return the model that `to_json` described, with weights that its initializers draw."""
    return model_from_config(json.loads(json_string), _known_objects(custom_objects))


def save_model(
    model: Model, filepath: str | Path, overwrite: bool = True, zipped: bool | None = None, **options: object
) -> None:
    """See `kir.Model.save`."""
    model.save(filepath, overwrite, zipped, **options)


def save_weights(model: Model, filepath: str | Path, overwrite: bool = True, max_shard_size: object = None) -> None:
    """See `kir.Model.save_weights`."""
    model.save_weights(filepath, overwrite)


def load_weights(model: Model, filepath: str | Path, skip_mismatch: bool = False, **options: object) -> None:
    """See `kir.Model.load_weights`."""
    model.load_weights(filepath, skip_mismatch, **options)


def clone_model(model: Model, *args: object, **kwargs: object) -> Model:
    """Return the same layers once more, with weights that their initializers draw.

    Raises:
        UnsupportedError: the copy is to have other inputs or layers.
    """
    if any(value is not None for value in (*args, *kwargs.values())):
        raise UnsupportedError("clone_model takes the model alone here; call the function that builds it again instead")
    description = to_config(model)
    return model_from_config(json.loads(json.dumps(description)), CUSTOM_OBJECTS)


def deserialize(given: object, custom_objects: Mapping[str, Any] | None = None, **options: object) -> Any:
    """Return the layer or model that a config dict describes; anything else as it is."""
    if not isinstance(given, Mapping) or "class_name" not in given:
        return given
    if "layers" in given.get("config", {}):
        return model_from_config(dict(given), _known_objects(custom_objects))
    registered = registered_object(str(given.get("registered_name")), custom_objects)
    return layer_from_config(given) if registered is None else registered.from_config(given["config"])


def serialize(value: object) -> Any:
    """Return a layer, model, initializer, regularizer or constraint as a config dict; anything else as it is."""
    return to_config(value)


def plot_model(*args: object, **kwargs: object) -> None:
    """Draw nothing, and warn of that."""
    warnings.warn(
        "plot_model drew nothing: kir draws from the command line, kir plot model.py -o model.svg", stacklevel=2
    )


# Settings


def clear_session(free_memory: bool = True) -> None:
    """Start counting layer names anew."""
    reset_names()


def backend_name() -> str:
    """Return what computes, in place of "tensorflow"."""
    return "kir"


def set_dtype_policy(policy: PolicyLike) -> None:
    """Set the default policy of layers, by its name or as an object."""
    config.set_dtype_policy(dtype_policy(policy).name)


def default_dtype_policy() -> DTypePolicy:
    """Return the default policy of layers."""
    return dtype_policy(None)


def variable(
    initializer: npt.ArrayLike | Callable[..., Array],
    shape: Sequence[int] | None = None,
    dtype: DTypeLike | None = None,
    trainable: bool = True,
    autocast: bool = True,
    aggregation: object = "none",
    synchronization: object = "auto",
    name: str | None = None,
    **ignored: object,
) -> Weight:
    """Return a weight with the numbers that are given, or drawn by a function of shape and dtype: `keras.Variable`."""
    type = as_dtype(dtype or config.floatx())
    if not callable(initializer):
        array = np.asarray(initializer, type.numpy)
        return Weight(name or "variable", array.shape, type, lambda shape, dtype: array, None, None, trainable)
    return Weight(name or "variable", tuple(shape or ()), type, initializer, None, None, trainable)


def get_uid(prefix: str = "") -> int:
    """Return how often it was asked for this prefix, from 1 on."""
    _uids[prefix] += 1
    return _uids[prefix]


def standardize_dtype(dtype: DTypeLike | None) -> str:
    """Return Keras's name of a dtype, that of `floatx` for None."""
    return as_dtype(dtype or config.floatx()).keras_name


def is_float_dtype(dtype: DTypeLike) -> bool:
    """Return whether a dtype is one of floats."""
    return as_dtype(dtype).is_float


def is_int_dtype(dtype: DTypeLike) -> bool:
    """Return whether a dtype is one of integers."""
    return as_dtype(dtype).is_integer


# Data


def to_categorical(x: npt.ArrayLike, num_classes: int | None = None) -> Array:
    """Return one-hot rows of integers: (…,) → (…, num_classes)."""
    labels = np.asarray(x, np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    return np.eye(num_classes or int(labels.max()) + 1)[labels]


def normalize(x: npt.ArrayLike, axis: int = -1, order: int = 2) -> Array:
    """Return an array divided by its norm along an axis."""
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    norm[norm == 0] = 1
    return np.asarray(np.asarray(x) / np.expand_dims(norm, axis))


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: npt.DTypeLike = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: float = 0.0,
) -> Array:
    """Return sequences of one length, cut or filled up in front ("pre") or at the end: (sequences, maxlen, …).

    Raises:
        InvalidArgumentError: another way to cut or fill up.
    """
    for role, way in (("padding", padding), ("truncating", truncating)):
        if way not in ("pre", "post"):
            raise InvalidArgumentError(f"pad_sequences: {role} must be 'pre' or 'post'; received {way!r}")
    length = max((len(one) for one in sequences), default=0) if maxlen is None else maxlen
    sample = next((np.shape(one)[1:] for one in sequences if len(one)), ())
    padded = np.full((len(sequences), length, *sample), value, dtype=dtype)
    for row, one in zip(padded, sequences, strict=True):
        kept = one[max(0, len(one) - length) :] if truncating == "pre" else one[:length]
        if len(kept):
            row[slice(-len(kept), None) if padding == "pre" else slice(len(kept))] = kept
    return padded


def pack_x_y_sample_weight(x: object, y: object = None, sample_weight: object = None) -> Any:
    """Return what a data set gives for a step of training."""
    if y is None:
        return (x,) if isinstance(x, tuple | list) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: object) -> tuple[Any, Any, Any]:
    """Return the inputs, targets and weights in what a data set gives, None for those that are not there."""
    given = tuple(data) if isinstance(data, tuple | list) else (data,)
    return (*given, None, None)[:3]
