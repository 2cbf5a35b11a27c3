"""TensorFlow's hashes of integers, FarmHash's Fingerprint64 of their decimal digits and FingerprintCat64, in tensors.

All is computed in int64, whose sums and products wrap around as those of uint64 do.

Source: https://github.com/google/farmhash (farmhashna::Hash64); tensorflow/core/platform/fingerprint.h
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kir import backend as K
from kir.ir.op import Array
from kir.ir.trace import Tensor, emit
from kir.ops.elementwise import BitwiseXor, Div

# More digits, or a sign and so many, an int64 does not have.
MOST_DIGITS = 19
# What each of four bytes stands for: more would not be summed exactly in float64, as verification does.
BYTES = np.asarray([1, 1 << 8, 1 << 16, 1 << 24], np.int64)
ZERO, MINUS = ord("0"), ord("-")


def _signed(constant: int) -> int:
    return constant - (1 << 64) if constant >= 1 << 63 else constant


K0, K1, K2 = (_signed(one) for one in (0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F))
CAT_FACTOR = _signed(0xC6A4A7935BD1E995)
# The hash of no feature, that a cross begins with.
CROSS_KEY = 0xDECAFCAFFE


def hash_buckets(x: Tensor, count: int) -> Any:
    """Return `tf.strings.to_hash_bucket_fast(tf.as_string(x), count)` of int64, as int64."""
    return modulo(fingerprint_of_decimals(x), count)


def cross_buckets(columns: list[Tensor], count: int) -> Any:
    """Return the bucket of each combination, as `tf.sparse.cross_hashed` computes it from int64."""
    crossed: Any = np.int64(CROSS_KEY)
    for column in columns:
        crossed = fingerprint_cat(crossed, column)
    return modulo(crossed, count)


def modulo(hashed: Any, count: int) -> Any:
    """Return the remainder of hashes, which are uint64, by a count."""
    # A negative int64 stands for itself and 2 ** 64.
    return K.mod(K.mod(hashed, count) + K.where(hashed < 0, (1 << 64) % count, 0), count)


def fingerprint_cat(first: Any, second: Any) -> Any:
    """Return the fingerprint of two fingerprints."""
    result = _xor(_xor(first, np.int64(CAT_FACTOR)), _shift_mix(second * CAT_FACTOR) * CAT_FACTOR)
    result = _shift_mix(result * CAT_FACTOR) * CAT_FACTOR
    return _shift_mix(result)


def fingerprint_of_decimals(x: Tensor) -> Any:
    """Return the Fingerprint64 of the decimal digits of int64, with a sign before those of negative numbers.

    FarmHash has another formula for each of 1 to 3, 4 to 7, 8 to 16, and 17 to 32 bytes: all are computed, and one is
    taken.
    """
    digits = _Decimals(x)
    length = digits.length
    short = _hash_up_to_3(digits)
    result = K.where(length < 4, short, _hash_up_to_7(digits))
    result = K.where(length < 8, result, _hash_up_to_16(digits))
    return K.where(length < 17, result, _hash_up_to_20(digits))


class _Decimals:
    """The bytes of decimal numbers: `length` of them, the first of which is a sign in negative ones."""

    def __init__(self, x: Tensor) -> None:
        self.is_negative = K.cast(x < 0, "int64")
        # The smallest number has no opposite in int64: the last digit is kept apart, all others are of a tenth.
        tenth = emit(Div(), x, K.full_like(x, 10))
        self.last, self.tenth = K.abs(x - tenth * 10), K.abs(tenth)
        powers = [10**exponent for exponent in range(MOST_DIGITS - 1)]
        self.count = sum((K.cast(self.tenth >= power, "int64") for power in powers), start=K.ones_like(x))
        self.length = self.count + self.is_negative

    def read(self, start: Any, size: int) -> Any:
        """Return `size` bytes from a place on, the first one lowest; bytes beyond the end are arbitrary."""
        place = K.expand_dims(start, -1) + np.arange(size, dtype=np.int64)
        exponent = K.expand_dims(self.length - 1, -1) - place
        # The last digit aside, exponents count from the tens.
        power = K.take(_powers(), K.clip(exponent - 1, 0, MOST_DIGITS - 2))
        digit = K.mod(K.expand_dims(self.tenth, -1) // power, 10)
        digit = K.where(exponent <= 0, K.expand_dims(self.last, -1), digit)
        is_sign = exponent >= K.expand_dims(self.count, -1)
        found = K.where(is_sign, MINUS, digit + ZERO)
        parts = [K.sum(found[..., first : first + 4] * BYTES[: size - first], -1) for first in range(0, size, 4)]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1] * (1 << 32)


def _powers() -> Array:
    return np.asarray([10**exponent for exponent in range(MOST_DIGITS - 1)], np.int64)


def _hash_up_to_3(digits: _Decimals) -> Any:
    length = digits.length
    first, middle, last = (digits.read(place, 1) for place in (length * 0, length // 2, length - 1))
    y, z = first + middle * 256, length + last * 4
    return _shift_mix(_xor(y * K2, z * K0)) * K2


def _hash_up_to_7(digits: _Decimals) -> Any:
    length = digits.length
    first, last = digits.read(length * 0, 4), digits.read(length - 4, 4)
    return _hash_16(length + first * 8, last, length * 2 + K2)


def _hash_up_to_16(digits: _Decimals) -> Any:
    length = digits.length
    factor = length * 2 + K2
    a, b = digits.read(length * 0, 8) + K2, digits.read(length - 8, 8)
    return _hash_16(_rotate(b, 37) * factor + a, (_rotate(a, 25) + b) * factor, factor)


def _hash_up_to_20(digits: _Decimals) -> Any:
    length = digits.length
    factor = length * 2 + K2
    a, b = digits.read(length * 0, 8) * K1, digits.read(length * 0 + 8, 8)
    c, d = digits.read(length - 8, 8) * factor, digits.read(length - 16, 8) * K2
    return _hash_16(_rotate(a + b, 43) + _rotate(c, 30) + d, a + _rotate(b + K2, 18) + c, factor)


def _hash_16(u: Any, v: Any, factor: Any) -> Any:
    a = _shift_mix(_xor(u, v) * factor)
    return _shift_mix(_xor(v, a) * factor) * factor


def _shift_mix(x: Any) -> Any:
    return _xor(x, _shifted(x, 47))


def _shifted(x: Any, count: int) -> Any:
    """Return the bits of int64 moved down, with zeros above."""
    return K.mod(x // (1 << count), 1 << (64 - count))


def _rotate(x: Any, count: int) -> Any:
    """Return the bits moved down, those that fall out put above."""
    return _shifted(x, count) + x * _signed(1 << (64 - count))


def _xor(a: Any, b: Any) -> Any:
    return emit(BitwiseXor(), a, b)
