"""The names of TensorFlow, as kir has them: what scripts import, and what files of Keras 2 record.

Source: https://www.tensorflow.org/api_docs/python/tf
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from kir import config
from kir.importers.tensorflow_functions import arrays, images, linear, mathematics, nn, resizing
from kir.importers.tensorflow_functions.signatures import FUNCTIONS
from kir.ir.trace import Tensor
from kir.ir.types import DType

# The modules that enter their functions in FUNCTIONS.
GROUPS = (arrays, images, linear, mathematics, nn, resizing)

Function = Callable[..., Any]

# TensorFlow 2.16 is the first with Keras 3, whose numbers kir computes.
VERSION = "2.16.0"

_VERSION_1 = "compat.v1"


def decorate(function: Function | None = None, **options: object) -> Any:
    """Return the function itself, as `@tf.function`."""
    return function if function is not None else lambda decorated: decorated


def _list_nothing(*args: object, **kwargs: object) -> list[Any]:
    return []


def _set_nothing(*args: object, **kwargs: object) -> None:
    """Do nothing: devices and threads mean nothing for an export."""


class ResizeMethod:
    """The words of `tf.image.resize`."""

    AREA = "area"
    BICUBIC = "bicubic"
    BILINEAR = "bilinear"
    GAUSSIAN = "gaussian"
    LANCZOS3 = "lanczos3"
    LANCZOS5 = "lanczos5"
    MITCHELLCUBIC = "mitchellcubic"
    NEAREST_NEIGHBOR = "nearest"


_DEVICES = {
    "list_physical_devices": _list_nothing,
    "set_visible_devices": _set_nothing,
    "set_memory_growth": _set_nothing,
}
_DTYPES = {dtype.keras_name: dtype.keras_name for dtype in DType if dtype is not DType.STRING}
# What is no function of tensors.
_OTHERS: Mapping[str, Mapping[str, Any]] = {
    "": _DTYPES
    | {
        "__version__": VERSION,
        "Tensor": Tensor,
        "device": contextlib.nullcontext,
        "function": decorate,
        "get_logger": lambda: logging.getLogger("tensorflow"),
        "name_scope": contextlib.nullcontext,
        "newaxis": None,
    },
    "config": _DEVICES,
    "config.experimental": _DEVICES,
    "dtypes": _DTYPES,
    "image": {"ResizeMethod": ResizeMethod},
    "random": {"set_seed": config.set_random_seed},
}


def _in_modules() -> dict[str, dict[str, Any]]:
    """Return the names by module. What TensorFlow 1 had is what there is today, unless it says otherwise."""
    found: dict[str, dict[str, Any]] = {module: dict(names) for module, names in _OTHERS.items()}
    for path, function in FUNCTIONS.items():
        module, _, name = path.rpartition(".")
        found.setdefault(module, {})[name] = function
    modules = [module for module in found if not module.startswith(_VERSION_1) and module != "__operators__"]
    for module in modules:
        former = f"{_VERSION_1}.{module}" if module else _VERSION_1
        found[former] = found[module] | found.get(former, {})
    return found | {"compat": {}}


# The names in each module of TensorFlow, but for `keras`.
NAMESPACES: Mapping[str, Mapping[str, Any]] = _in_modules()


def function_at(path: str) -> Function | None:
    """Return the function of tensors that TensorFlow has at a path, such as "math.exp"; None if kir has none."""
    return FUNCTIONS.get(path) or FUNCTIONS.get(path.removeprefix(f"{_VERSION_1}."))
