"""Conversion and new axes, which the other functions of the backend build on."""

from __future__ import annotations

from typing import Any

from kir.backend.dispatch import TensorLike, convert, emit_new_axes, operand, operation, tensor
from kir.ir.types import as_dtype

__all__ = ["cast", "expand_dims"]


@operation
def cast(x: TensorLike, dtype: Any) -> Any:
    """x in another dtype, by Keras's or NumPy's name of it. Floats lose their fraction as integers."""
    return convert(operand(x), as_dtype(dtype))


@operation
def expand_dims(x: TensorLike, axis: Any = -1) -> Any:
    """New axes of size 1, at the given places of the result."""
    return emit_new_axes(tensor(x), axis)
