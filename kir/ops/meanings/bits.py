"""Operators that compute each element by itself, and those on bits."""

from __future__ import annotations

import numpy as np

from kir.ir.op import Array
from kir.ops.meanings.table import means


@means("BitwiseAnd")
def bitwise_and(a: Array, b: Array) -> Array:
    """Return the bits that both have."""
    return a & b


@means("BitwiseOr")
def bitwise_or(a: Array, b: Array) -> Array:
    """Return the bits that one of both has."""
    return a | b


@means("BitwiseNot")
def bitwise_not(x: Array) -> Array:
    """Return the bits that it does not have."""
    return ~x


@means("BitShift")
def bit_shift(x: Array, places: Array, *, direction: str) -> Array:
    """Return the bits so many places further on; those that reach the end are lost."""
    bits = x.dtype.itemsize * 8
    if direction == "LEFT":
        return np.where(places < bits, np.left_shift(x, np.minimum(places, bits - 1)), 0).astype(x.dtype)
    halves = np.right_shift(x, np.minimum(places, bits - 1).astype(x.dtype))
    return np.where((places < bits) | (x < 0), halves, 0).astype(x.dtype)


@means("SwiGLU")
def swi_glu(gate: Array, x: Array, *, alpha: float = 1.0) -> Array:
    """Return ``gate * sigmoid(alpha * gate) * x``."""
    return np.asarray(gate / (1 + np.exp(-alpha * gate)) * x)
