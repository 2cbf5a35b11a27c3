"""The dtypes of the functions of the backend, for every pair of dtypes, against what Keras declares.

On NumPy's backend Keras makes 64 bits of results 32; on TensorFlow, as here, they stay. Both count as one here.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from kir import backend as K
from kir.ir.structural import Input
from kir.ir.trace import Tracer
from kir.ir.types import TensorType, as_dtype

DTYPES = [
    *("bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64"),
    *("float16", "bfloat16", "float32", "float64"),
]
BINARY = [
    "add", "arctan2", "divide", "divide_no_nan", "dot", "equal", "floor_divide", "greater", "greater_equal", "hypot",
    "inner", "isclose", "less", "less_equal", "logaddexp", "logical_and", "logical_or", "logical_xor", "matmul",
    "maximum", "minimum", "mod", "multiply", "not_equal", "outer", "power", "subtract", "true_divide", "vdot",
]  # fmt: skip
# Without erf, reciprocal, round and rsqrt, for some dtypes of which Keras declares another dtype than it computes.
UNARY = [
    "abs", "all", "any", "arccos", "arcsin", "arctan", "ceil", "cos", "deg2rad", "exp", "expm1", "floor", "isfinite",
    "isinf", "isnan", "log", "log1p", "logical_not", "max", "mean", "min", "negative", "prod", "ptp", "rad2deg",
    "sign", "sin", "sort", "sqrt", "square", "std", "sum", "tanh", "trunc", "var",
]  # fmt: skip
# Of a product of small integers, Keras declares 32 bits where kir computes them, and computes 8 bits here and there.
PRODUCTS = {"dot", "inner", "matmul", "outer", "vdot"}


def without_64(dtype: str) -> str:
    return {"float64": "float32", "int64": "int32"}.get(dtype, dtype)


def kir_dtype(name: str, *dtypes: str) -> str:
    tracer = Tracer()
    inputs = [tracer.add(Input(f"x{i}", TensorType(as_dtype(dtype), (2, 2))))[0] for i, dtype in enumerate(dtypes)]
    return without_64(str(getattr(K, name)(*inputs).dtype))


def keras_dtype(name: str, *dtypes: str) -> Any:
    """None where Keras refuses them."""
    try:
        return without_64(getattr(ops, name)(*[keras.KerasTensor((2, 2), dtype) for dtype in dtypes]).dtype)
    except (TypeError, ValueError):
        return None


@pytest.mark.parametrize("name", BINARY)
def test_two_dtypes(name: str) -> None:
    found = {pair: (kir_dtype(name, *pair), keras_dtype(name, *pair)) for pair in pairs(name)}
    assert {pair: both for pair, both in found.items() if both[0] != both[1]} == {}


def pairs(name: str) -> list[tuple[str, str]]:
    every = list(itertools.product(DTYPES, DTYPES))
    small = {"bool", "int8", "uint8"}
    return [pair for pair in every if not (name in PRODUCTS and set(pair) <= small) and not _is_left_out(name, pair)]


def _is_left_out(name: str, pair: tuple[str, str]) -> bool:
    """Return whether kir refuses booleans, or Keras declares them to stay what they do not stay."""
    return name in ("floor_divide", "hypot", "power", "subtract") and pair == ("bool", "bool")


@pytest.mark.parametrize("name", UNARY)
def test_one_dtype(name: str) -> None:
    is_signed = name in ("negative", "ptp", "sign")
    given = [dtype for dtype in DTYPES if not (is_signed and (dtype == "bool" or dtype.startswith("u")))]
    found = {dtype: (kir_dtype(name, dtype), keras_dtype(name, dtype)) for dtype in given}
    assert {dtype: both for dtype, both in found.items() if both[0] != both[1]} == {}


@pytest.mark.parametrize("dtype", ["int16", "uint16"])
def test_extremes_of_16_bits(dtype: str) -> None:
    x = np.array([[3, 1], [200, 7]], dtype)
    np.testing.assert_array_equal(K.max(x, axis=0), [200, 7])
    np.testing.assert_array_equal(K.min(x, axis=1), [1, 7])


def test_powers_of_unsigned_integers_wrap_around() -> None:
    x = np.array([3, 2**31], np.uint32)
    np.testing.assert_array_equal(K.power(x, np.array([4, 3], np.uint32)), x ** np.array([4, 3], np.uint32))


def test_booleans_are_sorted_and_differ() -> None:
    x = np.array([True, False, False, True])
    np.testing.assert_array_equal(K.sort(x), [False, False, True, True])
    np.testing.assert_array_equal(K.diff(x), [True, False, True])
