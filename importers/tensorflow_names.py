"""The names of TensorFlow, as kir has them: what scripts import, and what files of Keras 2 record.

Source: https://www.tensorflow.org/api_docs/python/tf
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from kir import backend as K
from kir import config
from kir.importers.tensorflow_functions import (
    arrays,
    drawn,
    images,
    linear,
    losses,
    mathematics,
    nn,
    picking,
    resizing,
    windows,
)
from kir.importers.tensorflow_functions.signatures import FUNCTIONS
from kir.ir.trace import Tensor
from kir.ir.types import DType, as_dtype

# The modules that enter their functions in FUNCTIONS.
GROUPS = (arrays, drawn, images, linear, losses, mathematics, nn, picking, resizing, windows)

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
    """Do nothing: devices, threads and checks mean nothing for an export."""


# Names of TensorFlow 1 for functions that have others today.
_FORMER_NAMES = """
accumulate_n:math.add_n bincount:math.bincount confusion_matrix:math.confusion_matrix cross:linalg.cross
div_no_nan:math.divide_no_nan erfc:math.erfc invert_permutation:math.invert_permutation lin_space:linspace
linalg.transpose:linalg.matrix_transpose logical_xor:math.logical_xor matrix_band_part:linalg.band_part
matrix_diag:linalg.diag matrix_diag_part:linalg.diag_part matrix_set_diag:linalg.set_diag
matrix_transpose:linalg.matrix_transpose mod:math.floormod nn.avg_pool_v2:nn.avg_pool nn.max_pool_v2:nn.max_pool
reverse_v2:reverse rint:math.rint squared_difference:math.squared_difference trace:linalg.trace
unsorted_segment_mean:math.unsorted_segment_mean unsorted_segment_sqrt_n:math.unsorted_segment_sqrt_n
unsorted_segment_sum:math.unsorted_segment_sum
"""
for _former, _, _path in (entry.partition(":") for entry in _FORMER_NAMES.split()):
    FUNCTIONS[f"{_VERSION_1}.{_former}"] = FUNCTIONS[_path]

# Checks of values, which an export leaves out.
_CHECKS = """
assert_all_finite assert_equal assert_greater assert_greater_equal assert_integer assert_less assert_less_equal
assert_near assert_negative assert_non_negative assert_non_positive assert_none_equal assert_positive
assert_proper_iterable assert_rank assert_rank_at_least assert_rank_in assert_same_float_dtype assert_scalar
assert_shapes assert_type Assert
"""


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
    | dict.fromkeys(_CHECKS.split(), _set_nothing)
    | {
        "__version__": VERSION,
        "Tensor": Tensor,
        "device": contextlib.nullcontext,
        "function": decorate,
        "as_dtype": lambda dtype: as_dtype(dtype).keras_name,
        "get_logger": lambda: logging.getLogger("tensorflow"),
        "is_tensor": K.is_tensor,
        "name_scope": contextlib.nullcontext,
        "newaxis": None,
    },
    "config": _DEVICES,
    "config.experimental": _DEVICES,
    "debugging": dict.fromkeys(_CHECKS.split(), _set_nothing),
    "dtypes": _DTYPES | {"as_dtype": lambda dtype: as_dtype(dtype).keras_name},
    "image": {"ResizeMethod": ResizeMethod},
    "random": {"set_seed": config.set_random_seed},
}


def _in_modules() -> dict[str, dict[str, Any]]:
    """Return the names by module. What TensorFlow 1 had is what there is today, unless it says otherwise."""
    found: dict[str, dict[str, Any]] = {module: dict(names) for module, names in _OTHERS.items()}
    for path, function in FUNCTIONS.items():
        module, _, name = path.rpartition(".")
        if module.startswith("keras."):
            continue
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
