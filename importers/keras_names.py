"""What each module of Keras offers, as kir has it: `NAMESPACES["layers"]["Dense"]` is `kir.layers.Dense`.

Source: https://keras.io/api/
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

import kir.layers
from kir import activations, backend, config, constraints, initializers, regularizers
from kir.backend import image
from kir.errors import UnsupportedError
from kir.keras_tensor import KerasTensor
from kir.layers.base import DTypePolicy, dtype_policy
from kir.layers.unsupported import UNSUPPORTED
from kir.model import Model, Sequential
from kir.naming import reset_names
from kir.op import Array

# The first with `keras.ops`, whose numbers kir computes.
VERSION = "3.0.0"

TRAINING = (
    "kir exports models and does not train them; put what only training needs under "
    'if __name__ == "__main__": and load the weights with --weights'
)


class Inert:
    """An optimizer, loss, metric or callback: made from any arguments, for `compile`, which uses none of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass


class Refused:
    """Something of Keras that a script may import and mention, but not use.

    Args:
        name: its full name.
        reason: what to do instead.
    """

    def __init__(self, name: str, reason: str) -> None:
        self._name = name
        self._reason = reason

    def __getattr__(self, name: str) -> Refused:
        if name.startswith("_"):
            raise AttributeError(name)
        return Refused(f"{self._name}.{name}", self._reason)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise UnsupportedError(f"{self._name}: {self._reason}")


def inert_class(module: str, name: str) -> type[Inert]:
    """A class of that name whose objects do nothing."""
    return type(name, (Inert,), {"__module__": module})


def accept(*args: Any, **kwargs: Any) -> None:
    """A setting of Keras that means nothing for an export."""


def register(package: Any = "Custom", name: str | None = None) -> Any:
    """`@keras.saving.register_keras_serializable()`: the class or function itself, which knows its registered name."""
    if callable(package):
        return register()(package)

    def decorate(registered: Any) -> Any:
        registered._keras_registered_name = f"{package}>{name or registered.__name__}"
        return registered

    return decorate


def clear_session(free_memory: bool = True) -> None:
    """Starts counting layer names anew."""
    reset_names()


def backend_name() -> str:
    """What computes, in place of "tensorflow"."""
    return "kir"


def set_dtype_policy(policy: Any) -> None:
    """The default policy of layers, by its name or as an object."""
    config.set_dtype_policy(dtype_policy(policy).name)


def default_dtype_policy() -> DTypePolicy:
    """The default policy of layers."""
    return dtype_policy(None)


def to_categorical(x: Any, num_classes: int | None = None) -> Array:
    """One-hot rows of integers: (…,) → (…, num_classes).

    Source: https://keras.io/api/utils/python_utils/
    """
    labels = np.asarray(x, np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    return np.eye(num_classes or int(labels.max()) + 1)[labels]


def own_names(module: ModuleType, package: str) -> dict[str, Any]:
    """The public classes and functions of a module that were written in a package."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "").startswith(package)
    }


_SETTINGS = {
    "backend": backend_name,
    "epsilon": config.epsilon,
    "floatx": config.floatx,
    "image_data_format": config.image_data_format,
    "set_epsilon": config.set_epsilon,
    "set_floatx": config.set_floatx,
    "set_image_data_format": config.set_image_data_format,
}
_POLICIES = {
    "DTypePolicy": dtype_policy,
    "Policy": dtype_policy,
    "dtype_policy": default_dtype_policy,
    "global_policy": default_dtype_policy,
    "set_dtype_policy": set_dtype_policy,
    "set_global_policy": set_dtype_policy,
}
_OPS = {
    name: function
    for name, function in own_names(backend, "kir.backend").items()
    if not isinstance(function, type) and function is not backend.operation
}
_INITIALIZERS = {
    name: value
    for name, value in own_names(initializers, "kir.initializers").items()
    if value not in (initializers.RandomInitializer, initializers.compute_fans)
}
_LAYERS = {
    # Those of keras.applications have no public name.
    name: value
    for name, value in own_names(kir.layers, "kir.layers").items()
    if value.__module__ != "kir.layers.applications"
} | {
    "InputSpec": inert_class("keras.layers", "InputSpec"),
}
_MODELS = {"Model": Model, "Sequential": Sequential}
_SAVING = {
    "CustomObjectScope": contextlib.nullcontext,
    "custom_object_scope": contextlib.nullcontext,
    "get_custom_objects": dict,
    "register_keras_serializable": register,
}
_UTILS = _SAVING | {
    "clear_session": clear_session,
    "disable_interactive_logging": accept,
    "enable_interactive_logging": accept,
    "set_random_seed": config.set_random_seed,
    "to_categorical": to_categorical,
    # Bases of a script's own classes, which only training uses.
    "PyDataset": inert_class("keras.utils", "PyDataset"),
    "Sequence": inert_class("keras.utils", "Sequence"),
}

# Where Keras 1 and 2 kept the layers, too.
OLD_LAYER_MODULES = [
    "advanced_activations",
    "convolutional",
    "core",
    "embeddings",
    "local",
    "merge",
    "noise",
    "normalization",
    "pooling",
    "recurrent",
    "wrappers",
]

# The names in each module of Keras; "" is Keras itself.
NAMESPACES: Mapping[str, Mapping[str, Any]] = {
    "": _MODELS
    | {
        "Input": kir.layers.Input,
        "DTypePolicy": dtype_policy,
        "KerasTensor": KerasTensor,
        "InputSpec": _LAYERS["InputSpec"],
        "Layer": kir.layers.Layer,
        "Initializer": initializers.Initializer,
        "Regularizer": regularizers.Regularizer,
        "__version__": VERSION,
        "name_scope": contextlib.nullcontext,
    },
    "activations": activations.ACTIVATIONS
    | {"get": activations.get, "serialize": activations.serialize, "deserialize": activations.deserialize},
    "backend": _OPS | _SETTINGS | {"clear_session": clear_session, "name_scope": contextlib.nullcontext},
    "config": _SETTINGS
    | {"dtype_policy": default_dtype_policy, "set_dtype_policy": set_dtype_policy}
    | dict.fromkeys(
        (
            "disable_interactive_logging",
            "disable_traceback_filtering",
            "enable_interactive_logging",
            "enable_traceback_filtering",
            "enable_unsafe_deserialization",
        ),
        accept,
    ),
    "constraints": own_names(constraints, "kir.constraints"),
    "initializers": _INITIALIZERS,
    "layers": _LAYERS,
    **{f"layers.{name}": _LAYERS for name in OLD_LAYER_MODULES},
    "dtype_policies": {"DTypePolicy": dtype_policy, "get": dtype_policy},
    "mixed_precision": _POLICIES,
    "models": _MODELS,
    "ops": _OPS,
    **{f"ops.{name}": _OPS for name in ("core", "linalg", "math", "nn", "numpy")},
    "ops.image": own_names(image, "kir.backend.image"),
    "random": {"SeedGenerator": inert_class("keras.random", "SeedGenerator")},
    "regularizers": own_names(regularizers, "kir.regularizers"),
    "saving": _SAVING,
    "utils": _UTILS,
    "utils.np_utils": _UTILS,
}

# Modules of things that only `compile` and `fit` use: any name in them is that of a class whose objects do nothing.
INERT = frozenset({"callbacks", "losses", "metrics", "optimizers", "optimizers.legacy", "optimizers.schedules"})

_DATA = f"kir reads no data: {TRAINING}"
_FILES = "give the file to kir instead of a script: kir export model.keras -o model.onnx"
_NEEDS_KERAS = "kir has no such models; where Keras is installed, its own are used"
_RANDOM = (
    "it draws other numbers at every run, so that no file could be proved to compute the same; export the layers "
    "before it (kir export model.py:encoder), or leave it out where the model is not trained"
)
_PICTURES = "kir draws from the command line: kir plot model.py -o model.svg"

# The functions of keras.random. Layers that draw, such as Dropout and GaussianNoise, are there.
RANDOM_FUNCTIONS = (
    *("beta", "binomial", "categorical", "dropout", "gamma"),
    *("normal", "randint", "shuffle", "truncated_normal", "uniform"),
)

# What may be imported but not used: modules, with everything inside, and single names.
REFUSED: Mapping[str, str] = {
    "applications": _NEEDS_KERAS,
    "datasets": _DATA,
    "preprocessing": _DATA,
    **{f"layers.{name}": f"it {reason}" for name, reason in UNSUPPORTED.items()},
    "models.clone_model": "kir does not copy models; call the function that builds it twice",
    "models.load_model": _FILES,
    "models.model_from_json": _FILES,
    **{f"random.{name}": _RANDOM for name in RANDOM_FUNCTIONS},
    "saving.load_model": _FILES,
    "utils.array_to_img": _DATA,
    "utils.get_file": _DATA,
    "utils.image_dataset_from_directory": _DATA,
    "utils.img_to_array": _DATA,
    "utils.load_img": _DATA,
    "utils.model_to_dot": _PICTURES,
    "utils.pad_sequences": _DATA,
    "utils.plot_model": _PICTURES,
    "utils.split_dataset": _DATA,
    "utils.text_dataset_from_directory": _DATA,
    "utils.timeseries_dataset_from_array": _DATA,
    "utils.vis_utils": _PICTURES,
}
# The same for TensorFlow.
REFUSED_OF_TENSORFLOW: Mapping[str, str] = {
    "GradientTape": TRAINING,
    "compat": TRAINING,
    "data": _DATA,
    "distribute": TRAINING,
    "image": _DATA,
    "io": _DATA,
    "saved_model": "kir writes ONNX files: kir export model.py -o model.onnx",
    "train": TRAINING,
}
