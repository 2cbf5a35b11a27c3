"""Configs of Keras 1 and 2 in the words of Keras 3, which are those of kir's layers: names, defaults and functions.

A name may have another meaning there: `hard_sigmoid` is another function. Layers that compute something else than the
layer of that name in Keras 3 are classes of their own: see `keras2_layers`.

Source: https://github.com/keras-team/tf-keras
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kir import activations
from kir import backend as K
from kir.backend.dispatch import operation
from kir.errors import UnsupportedError
from kir.importers.keras_file.functions import OPS_FUNCTIONS, how_to_give
from kir.ir.trace import TensorLike
from kir.modeling.registry import KERAS_PACKAGES

Version = tuple[int, ...]

# What arguments were called in TensorFlow 2.3 to 2.5.
OLD_WORDS = {("CategoryEncoding", "max_tokens"): "num_tokens", ("Discretization", "bins"): "bin_boundaries"}
# The layers that may be given (time, batch, features).
RECURRENT = frozenset({"GRU", "LSTM", "RNN", "SimpleRNN"})
# The last release whose LSTM and GRU have `hard_sigmoid` by default; those of later ones, and of tf.keras, write it.
OLD_GATES: Version = (2, 2)

# What a layer's config says about how it was made, how Keras ran it or trained it; nothing for what it computes.
MEANINGLESS = frozenset({"ragged", "input_dtype"})
MEANINGLESS_FOR: Mapping[str, frozenset[str]] = {
    "MultiHeadAttention": frozenset({"query_shape", "key_shape", "value_shape"}),
    **{f"SpatialDropout{rank}D": frozenset({"noise_shape"}) for rank in (1, 2, 3)},
    **{
        f"Random{what}": frozenset({"rng_type"})
        for what in ("Brightness", "Contrast", "Crop", "Flip", "Height", "Rotation", "Translation", "Width", "Zoom")
    },
}


@operation
def crelu(x: TensorLike) -> Any:
    """Return relu of x and of -x, joined on the last axis: (…, n) → (…, 2n), as in tf.nn."""
    return K.concatenate([K.relu(x), K.relu(K.negative(x))], -1)


# Keras 2's own activations that are those of Keras 3.
SAME = (
    *("elu", "exponential", "gelu", "leaky_relu", "linear", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid"),
    *("silu", "softmax", "softplus", "softsign", "swish", "tanh"),
)
# Functions by the names that they have in files, where kir's activations have others or none.
ACTIVATIONS: Mapping[str, Callable[..., Any]] = {name: activations.ACTIVATIONS[name] for name in SAME} | {
    "crelu": crelu,
    "crelu_v2": crelu,
    "hard_sigmoid": activations.hard_sigmoid_of_keras_2,
    # TensorFlow's functions, given instead of Keras's, have names of their own.
    "log_softmax_v2": activations.log_softmax,
    "softmax_v2": activations.softmax,
}
# A layer without weights by its class name alone, as in Dense(4, activation="LeakyReLU").
LAYERS_AS_ACTIVATIONS: Mapping[str, Mapping[str, Any]] = {
    name: {"class_name": name, "config": {}} for name in ("ELU", "LeakyReLU", "ReLU", "Softmax")
}


def parse_version(text: str) -> Version:
    """Return the numbers that a version begins with: (2, 4, 0) for "2.4.0-tf"."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(number) for number in found.group().split(".")[:3]) if found else ()


def modern_arguments(name: str, arguments: Mapping[str, Any], written_by: str) -> dict[str, Any]:
    """Return the constructor arguments of kir's layer of a class name, from those that Keras 2 wrote.

    `written_by` is its version. Functions of the user's own stand in `arguments` already, in the place of their names.

    Raises:
        UnsupportedError: an argument asks for something that Keras 3, and kir, lack.
    """
    dropped = MEANINGLESS | MEANINGLESS_FOR.get(name, frozenset())
    modern = {OLD_WORDS.get((name, key), key): value for key, value in arguments.items() if key not in dropped}
    _require_same_meaning(name, modern)
    modern.pop("num_constants", None)
    if name not in RECURRENT:
        modern.pop("time_major", None)
    _set_old_defaults(name, modern, parse_version(written_by))
    if name == "UpSampling2D" and modern.get("interpolation") == "bilinear" and _measures_from_corners(written_by):
        modern["interpolation"] = "bilinear from corners"
    if name == "ThresholdedReLU":
        modern["threshold"] = modern.pop("theta", 1.0)
    axis = modern.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        modern["axis"] = axis[0]
    if not _is_of_floats(modern.get("dtype")):
        # Keras 2 casts the inputs of a layer of floats alone.
        modern["autocast"] = False
    return modern_activations(modern)


def modern_activations(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer's arguments with functions where activations are named that mean something else in Keras 3."""
    return {key: modern_activation(value) if key.endswith("activation") else value for key, value in arguments.items()}


def with_old_functions(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a layer of the user's own with functions for activations that mean something else today.

    All else stays as it is: only the layer knows what it is.
    """
    return {
        key: activations.hard_sigmoid_of_keras_2 if key.endswith("activation") and value == "hard_sigmoid" else value
        for key, value in config.items()
    }


def modern_activation(given: object) -> Any:
    """Return the function, or the config of a layer, that an activation's name or config stands for.

    Raises:
        UnsupportedError: Keras 2 has none of that name, whatever Keras 3 has.
    """
    if isinstance(given, str):
        return _known_activation(given)
    if not isinstance(given, Mapping):
        return given
    class_name, config = given.get("class_name"), given.get("config")
    if class_name in activations.LAYERS and isinstance(config, Mapping):
        return {**given, "config": modern_activations(config)}
    name = config if class_name in ("function", "Function") else class_name
    is_of_keras = str(given.get("module") or "builtins").split(".")[0] in {"builtins", *KERAS_PACKAGES}
    if isinstance(name, str) and is_of_keras and given.get("registered_name") in (None, "function", name):
        return _known_activation(name)
    return given


def _known_activation(name: str) -> Any:
    if name not in ACTIVATIONS and name not in LAYERS_AS_ACTIVATIONS:
        raise UnsupportedError(f"the activation {name!r} is none of Keras 2's own; {how_to_give(name)}")
    return ACTIVATIONS.get(name) or LAYERS_AS_ACTIVATIONS[name]


def old_function(value: object, name: str, module: str | None) -> Any:
    """Return a function of Keras 2 or TensorFlow that a Lambda names; None if it is of another module, or unknown.

    `value` is its description, and `module` where the config says that it is from: one of the user's own may have the
    name of one of Keras's.
    """
    if isinstance(value, Mapping):
        # Only activations are found by such a description.
        return ACTIVATIONS.get(name) if str(value.get("module")) == "builtins" else None
    parts = str(module).split(".")
    if parts[0] not in KERAS_PACKAGES:
        return None
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    if "keras" in parts or parts[0] == "tf_keras":
        return OPS_FUNCTIONS.get(name)
    from kir.importers import tensorflow_names  # start-up time: few files are so old

    found = [tensorflow_names.function_at(f"{place}{name}") for place in ("nn.", "math.", "linalg.", "")]
    return next((function for function in found if function is not None), None)


def _require_same_meaning(name: str, arguments: Mapping[str, Any]) -> None:
    if arguments.get("num_constants"):
        raise UnsupportedError(
            f"{name} whose cell is given constants, besides the states, is not supported; join them to each step of "
            f"the sequence, with RepeatVector and Concatenate"
        )


def _measures_from_corners(written_by: str) -> bool:
    """Return whether bilinear up-sampling measured places from the corners of images, and not from their edges."""
    version = parse_version(written_by)
    return version < (2, 2, 4) or (version < (2, 4) and "-tf" not in written_by)


def _set_old_defaults(name: str, arguments: dict[str, Any], version: Version) -> None:
    """Add the defaults that were others than they are in Keras 3, for configs that were written without them."""
    if name in ("GRU", "GRUCell"):
        arguments.setdefault("reset_after", False)
    is_gated = name in ("LSTM", "LSTMCell", "GRU", "GRUCell") and version[:2] <= OLD_GATES
    if is_gated or name.startswith("ConvLSTM"):
        arguments.setdefault("recurrent_activation", "hard_sigmoid")


def _is_of_floats(policy: object) -> bool:
    config = policy.get("config") if isinstance(policy, Mapping) else None
    name = config.get("name") if isinstance(config, Mapping) else policy
    return name is None or "float" in str(name)
