"""Conversion and new axes, which the other functions of the backend build on."""

from __future__ import annotations

from kir.backend.dispatch import convert, emit_new_axes, operand, tensor
from kir.ir.trace import Tensor, TensorLike
from kir.ir.types import Axis, DTypeLike, as_dtype

__all__ = ["cast", "expand_dims"]


def cast(x: TensorLike, dtype: DTypeLike) -> Tensor:
    """Return x in another dtype, by Keras's or NumPy's name of it. Floats lose their fraction as integers."""
    return convert(operand(x), as_dtype(dtype))


def expand_dims(x: TensorLike, axis: Axis = -1) -> Tensor:
    """Return x with new axes of size 1, at the given places of the result."""
    return emit_new_axes(tensor(x), axis)
