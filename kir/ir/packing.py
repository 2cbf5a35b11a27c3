"""Elements of fewer than 8 bits as files hold them: several in a byte, the first ones in the lowest bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kir.ir.op import Array
from kir.ir.types import NARROW_BITS

# By NumPy's dtypes, of which some are none of kir's.
_BITS = {dtype.numpy: bits for dtype, bits in NARROW_BITS.items()}


def is_narrow(dtype: np.dtype[Any]) -> bool:
    """Return whether a dtype is of `kir.ir.types.NARROW`."""
    return dtype in _BITS


def stored_bytes(dtype: np.dtype[Any], count: int) -> int:
    """Return how many bytes so many elements take in a file."""
    return -(-count * _BITS.get(dtype, 8 * dtype.itemsize) // 8)


def packed(array: Array) -> Array:
    """Return the bytes of an array of fewer than 8 bits for an element; any other array as it is."""
    bits = _BITS.get(array.dtype, 8)
    if bits == 8:
        return array
    per_byte = 8 // bits
    codes = np.ascontiguousarray(array).reshape(-1).view(np.uint8) & np.uint8(2**bits - 1)
    padded = np.concatenate([codes, np.zeros(-len(codes) % per_byte, np.uint8)]).reshape(-1, per_byte)
    return np.asarray(np.bitwise_or.reduce(padded << np.arange(0, 8, bits, dtype=np.uint8), axis=1))


def unpacked(data: Array, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
    """Return the elements of a narrow dtype that bytes hold, as `packed` gives them."""
    bits = _BITS[dtype]
    if bits == 8:
        return data.view(dtype).reshape(shape)
    codes = (data[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & np.uint8(2**bits - 1)
    codes = codes.reshape(-1)[: int(np.prod(shape, dtype=np.int64))]
    return codes.view(dtype).reshape(shape)
