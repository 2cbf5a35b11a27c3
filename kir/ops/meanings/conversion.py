"""Meanings of conversions between element types, and of quantization to floats of 8 bits and fewer."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from kir.errors import UnsupportedError
from kir.ir.op import Array
from kir.ir.packing import is_narrow
from kir.ir.types import DType
from kir.ops.meanings.table import Carried, means
from kir.ops.precision import widen
from kir.ops.quantization import DequantizeLinear

NARROW_INTEGERS = frozenset(dtype.numpy for dtype in (DType.INT4, DType.UINT4, DType.INT2, DType.UINT2))
# By the numbers of ONNX's `TensorProto.DataType`.
FLOATS_BY_NUMBER = {1: DType.FLOAT32, 10: DType.FLOAT16, 11: DType.FLOAT64, 16: DType.BFLOAT16}
POWERS_OF_TWO = DType.FLOAT8_E8M0FNU.numpy


@means("Cast", since=6)
def cast(x: Array, *, op: Carried, to: int, saturate: int = 1, round_mode: str = "up") -> Array:
    return _converted(x, op.types[0].dtype.numpy, saturate, round_mode)


@means("CastLike")
def cast_like(x: Array, like: Array, *, op: Carried, saturate: int = 1, round_mode: str = "up") -> Array:
    return _converted(x, op.types[0].dtype.numpy, saturate, round_mode)


@means("BitCast", exact=True)
def bit_cast(x: Array, *, op: Carried, to: int) -> Array:
    """Return the same bits as elements of another type, which is as wide."""
    own = FLOATS_BY_NUMBER.get(to, op.types[0].dtype).numpy
    if x.dtype.itemsize != own.itemsize:  # floats that were widened for the reference
        if own.itemsize != 4:
            raise UnsupportedError("BitCast of floats of 16 bits has no reference in float64")
        x = x.astype(np.float32)
    return np.ascontiguousarray(x).view(own).reshape(x.shape).astype(op.types[0].dtype.numpy, copy=False)


def _converted(x: Array, dtype: np.dtype[Any], saturate: int, round_mode: str) -> Array:
    """Return the elements in another type; floats of 8 bits and fewer end at the largest, if they are to saturate."""
    if dtype.kind == "O":
        if x.dtype.kind not in "iu":
            raise UnsupportedError(f"Cast of {x.dtype} to texts, which runtimes write in different ways")
        return x.astype(str).astype(object)
    if not is_narrow(x.dtype) and not is_narrow(dtype):
        return (x.astype(np.float64) if x.dtype.kind == "O" else x).astype(dtype)
    wide = x.astype(np.float32) if is_narrow(x.dtype) else x
    if dtype in NARROW_INTEGERS:
        # Integers lose their upper bits; floats are cut to integers first.
        return np.asarray(wide).astype(np.int64).astype(np.int8).astype(dtype)
    if dtype == POWERS_OF_TWO:
        return _powers_of_two(wide.astype(np.float32), saturate, round_mode)
    return to_narrow_floats(wide, dtype, saturate) if is_narrow(dtype) else wide.astype(dtype)


def to_narrow_floats(x: Array, dtype: np.dtype[Any], saturate: int = 1) -> Array:
    """Return floats of 8 bits or fewer, of which the largest stand for all that do not fit, infinities too."""
    info = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    wide = x.astype(np.float32)
    if saturate or dtype == DType.FLOAT4_E2M1FN.numpy:
        wide = np.clip(wide, float(info.min), float(info.max))
    return wide.astype(dtype)


def _powers_of_two(x: Array, saturate: int, round_mode: str) -> Array:
    """Return the exponents of float32, rounded: half of the mantissa counts up for "nearest", any of it for "up"."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    exponents, mantissas = ((bits >> 23) & 0xFF).astype(np.int64), bits & 0x7FFFFF
    rounds_up = {"up": mantissas > 0, "down": np.zeros(x.shape, bool), "nearest": mantissas >= 1 << 22}[round_mode]
    rounded = exponents + rounds_up
    limit = 254 if saturate else 255
    codes = np.where(np.isnan(x), 255, np.minimum(rounded, limit)).astype(np.uint8)
    return codes.reshape(x.shape).view(POWERS_OF_TWO)


@means("QuantizeLinear", since=10)
def quantize_linear(
    x: Array,
    scale: Array,
    zero_point: Array | None = None,
    *,
    op: Carried,
    axis: int = 1,
    saturate: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
) -> Array:
    """Return ``x / scale`` in floats of 8 bits or fewer, which have the zero point 0."""
    dtype = op.types[0].dtype
    if dtype.numpy in NARROW_INTEGERS or not is_narrow(dtype.numpy):
        raise UnsupportedError(f"QuantizeLinear to {dtype.keras_name} with a precision of its own")
    aligned = DequantizeLinear(axis % max(x.ndim, 1), block_size).aligned(widen(scale), x)
    return to_narrow_floats(np.asarray(widen(x) / aligned), dtype.numpy, saturate)


@means("DequantizeLinear", since=10)
def dequantize_linear(
    x: Array,
    scale: Array,
    zero_point: Array | None = None,
    *,
    op: Carried,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Array:
    aligned = DequantizeLinear(axis % max(x.ndim, 1), block_size).aligned(widen(scale), x)
    levels = x.astype(aligned.dtype)
    if zero_point is not None:
        levels = levels - DequantizeLinear(axis % max(x.ndim, 1), block_size).aligned(
            zero_point.astype(aligned.dtype), x
        )
    return np.asarray(levels * aligned).astype(op.types[0].dtype.numpy, copy=False)
