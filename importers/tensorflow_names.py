"""The functions of TensorFlow that models are written with, as functions of `kir.backend`.

Only what differs is written out: names, argument names and defaults.

Source: https://www.tensorflow.org/api_docs/python/tf
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kir import backend as K
from kir import config
from kir.backend.shapes import PadWidth
from kir.ir.trace import Tensor, TensorLike
from kir.ir.types import Axis, DType, DTypeLike

Function = Callable[..., Any]

# TensorFlow 2.16 is the first with Keras 3, whose numbers kir computes.
VERSION = "2.16.0"

# The name in TensorFlow and in kir.backend; where it is one word it is the same in both.
_REDUCTIONS = """
sum mean max min prod any all logsumexp std variance:var
"""
_MATH = """
abs acos:arccos acosh:arccosh add argmax argmin asin:arcsin asinh:arcsinh atan:arctan atan2:arctan2 atanh:arctanh ceil
cos cosh cumsum divide divide_no_nan equal erf exp expm1 floor floordiv:floor_divide floormod:mod greater greater_equal
is_finite:isfinite is_inf:isinf is_nan:isnan less less_equal log log1p log_sigmoid logical_and logical_not logical_or
logical_xor maximum minimum mod multiply negative not_equal pow reciprocal round rsqrt sigmoid sign sin sinh softplus
sqrt square subtract tan tanh truediv:true_divide
"""
_ARRAYS = """
broadcast_to cast constant convert_to_tensor einsum expand_dims eye identity linspace ones ones_like range:arange
reshape reverse:flip shape squeeze stack stop_gradient tensordot tile transpose unstack where zeros zeros_like
"""
_NN = """
bias_add elu leaky_relu log_softmax moments relu relu6 selu sigmoid silu softmax softplus softsign swish tanh
"""

# Argument names of TensorFlow whose meaning does not depend on the function.
_RENAMED = {
    "alpha": "negative_slope",
    "features": "x",
    "input": "x",
    "input_tensor": "x",
    "keep_dims": "keepdims",
    "logits": "x",
    "multiples": "repeats",
    "perm": "axes",
    "tensor": "x",
    "values": "x",
}
_OF_TWO = """
add divide equal greater greater_equal less less_equal logical_and logical_or maximum minimum multiply not_equal pow
subtract
"""
_OPERANDS = {
    "where": {"x": "x1", "y": "x2"},
    "transpose": {"a": "x"},
    "einsum": {"equation": "subscripts"},
    "reshape": {"shape": "newshape"},
    "eye": {"num_rows": "N", "num_columns": "M"},
    "tensordot": {"a": "x1", "b": "x2"},
    "broadcast_to": {"input": "x", "shape": "shape"},
    **{key: {"x": "x1", "y": "x2"} for key in _OF_TWO.split()},
}
# Defaults in which TensorFlow differs from kir.backend.
_DEFAULTS = {key: {"axis": 0} for key in ("argmax", "argmin", "cumsum")}


def _function(name: str, function: Function) -> Function:
    """Return a function of kir.backend under TensorFlow's argument names; `name=` is dropped."""
    renamed = _RENAMED | _OPERANDS.get(name, {})
    defaults: Mapping[str, int] = _DEFAULTS.get(name, {})

    @functools.wraps(function)
    def call(*args: object, name: object = None, **kwargs: object) -> Any:
        missing = {} if len(args) > 1 else {key: value for key, value in defaults.items() if key not in kwargs}
        return function(*args, **{renamed.get(key, key): value for key, value in kwargs.items()}, **missing)

    return call


def _table(entries: str, prefix: str = "") -> dict[str, Function]:
    pairs = [(entry.partition(":")[0], entry.rpartition(":")[2]) for entry in entries.split()]
    return {f"{prefix}{name}": _function(name, getattr(K, ours)) for name, ours in pairs}


def _concat(values: Sequence[TensorLike], axis: int, name: object = None) -> Any:
    return K.concatenate(values, axis=axis)


def _split(
    value: TensorLike, num_or_size_splits: int | Sequence[int], axis: int = 0, num: object = None, name: object = None
) -> Any:
    """Split a tensor: TensorFlow takes the sizes of the parts, kir (as NumPy) where they begin."""
    if isinstance(num_or_size_splits, int):
        return K.split(value, num_or_size_splits, axis)
    return K.split(value, list(itertools.accumulate(num_or_size_splits))[:-1], axis)


def _matmul(
    a: TensorLike, b: TensorLike, transpose_a: bool = False, transpose_b: bool = False, name: object = None
) -> Any:
    return K.matmul(K.swapaxes(a, -1, -2) if transpose_a else a, K.swapaxes(b, -1, -2) if transpose_b else b)


def _gather(params: TensorLike, indices: TensorLike, axis: int = 0, name: object = None) -> Any:
    return K.take(params, indices, axis=axis)


def _clip_by_value(t: TensorLike, clip_value_min: TensorLike, clip_value_max: TensorLike, name: object = None) -> Any:
    return K.clip(t, clip_value_min, clip_value_max)


def _norm(
    tensor: TensorLike, ord: float | str = "euclidean", axis: Axis = None, keepdims: bool = False, name: object = None
) -> Any:
    return K.norm(tensor, None if ord == "euclidean" else ord, axis, keepdims)


def _pad(
    tensor: TensorLike, paddings: PadWidth, mode: str = "CONSTANT", constant_values: float = 0, name: object = None
) -> Any:
    constant = {"constant_values": constant_values} if mode.lower() == "constant" else {}
    return K.pad(tensor, paddings, mode=mode.lower(), **constant)


def _l2_normalize(x: TensorLike, axis: Axis = None, epsilon: float = 1e-12, name: object = None) -> Any:
    total = K.sum(K.square(x), axis=axis, keepdims=True)
    return K.multiply(x, K.rsqrt(K.maximum(total, epsilon)))


def _gelu(features: TensorLike, approximate: bool = False, name: object = None) -> Any:
    return K.gelu(features, approximate=approximate)


def _squared_difference(x: TensorLike, y: TensorLike, name: object = None) -> Any:
    return K.square(K.subtract(x, y))


def _one_hot(
    indices: TensorLike, depth: int, axis: int = -1, dtype: DTypeLike | None = None, name: object = None
) -> Any:
    return K.one_hot(indices, depth, axis=axis, dtype=dtype or "float32")


def decorate(function: Function | None = None, **options: object) -> Any:
    """Return the function itself, as `@tf.function`."""
    return function if function is not None else lambda decorated: decorated


def _list_nothing(*args: object, **kwargs: object) -> list[Any]:
    return []


def _set_nothing(*args: object, **kwargs: object) -> None:
    """Do nothing: devices and threads mean nothing for an export."""


_REDUCING = _table(_REDUCTIONS, "reduce_")
_MATHEMATICS = _table(_MATH) | _REDUCING | {"squared_difference": _squared_difference, "l2_normalize": _l2_normalize}
_LINALG = {"matmul": _matmul, "norm": _norm, "l2_normalize": _l2_normalize}
_DEVICES = {
    "list_physical_devices": _list_nothing,
    "set_visible_devices": _set_nothing,
    "set_memory_growth": _set_nothing,
}

# The names in each module of TensorFlow, but for `keras`.
NAMESPACES: Mapping[str, Mapping[str, Any]] = {
    "": _MATHEMATICS
    | _table(_ARRAYS)
    | {dtype.keras_name: dtype.keras_name for dtype in DType if dtype is not DType.STRING}
    | {
        "__version__": VERSION,
        "Tensor": Tensor,
        "clip_by_value": _clip_by_value,
        "concat": _concat,
        "device": contextlib.nullcontext,
        "function": decorate,
        "gather": _gather,
        "get_logger": lambda: logging.getLogger("tensorflow"),
        "matmul": _matmul,
        "name_scope": contextlib.nullcontext,
        "newaxis": None,
        "norm": _norm,
        "one_hot": _one_hot,
        "pad": _pad,
        "split": _split,
    },
    "config": _DEVICES,
    "config.experimental": _DEVICES,
    "linalg": _LINALG,
    "math": _MATHEMATICS,
    "nn": _table(_NN) | {"gelu": _gelu, "l2_normalize": _l2_normalize},
    "random": {"set_seed": config.set_random_seed},
}
