"""What is right for an output although it is not near the reference, as arrays that a proof can hold.

These are the cases of `kir.numerics.compare.errors_of`, written out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kir.ir.op import Array
from kir.numerics.compare import errors_of
from kir.numerics.expected import Expected
from kir.numerics.rounding_sizes import finfo, is_float_array


def right_instead(expected: Expected, dtype: np.dtype[Any]) -> list[Array]:
    """Return arrays of which each element is right, too; it is that of the reference where nothing else is.

    Args:
        expected: of one output.
        dtype: of the output.
    """
    found: list[Array] = []
    for array in _candidates(expected, dtype):
        known = [expected.reference, *found]
        if not any(_equal(array, one) for one in known):
            found.append(array)
    return found


def _candidates(expected: Expected, dtype: np.dtype[Any]) -> Iterator[Array]:
    """Yield such arrays, of which some may be equal."""
    reference = expected.reference
    for special in expected.special:
        yield np.where(special != 0, special, reference)
    if expected.vanishing is not None:
        yield np.where(expected.vanishing, 0, reference)
    overflows = np.broadcast_to(expected.overflows, reference.shape)
    if overflows.any():
        too_large = overflows & (np.abs(reference) + expected.allowed > float(finfo(dtype).max))
        yield np.where(too_large, np.copysign(np.inf, reference), reference)
        yield np.where(overflows, np.nan, reference)
        for infinity in (np.inf, -np.inf):
            yield np.where(overflows & np.isnan(expected.special[0]), infinity, reference)
    own = None if expected.unmoved is None else expected.unmoved()
    # Most often it is near the reference, and says nothing more.
    if own is not None and own.shape == reference.shape:
        wide = own.astype(np.float64) if is_float_array(own) else own
        near = Expected(reference, expected.allowed, expected.special, expected.vanishing)
        wrong = ~(errors_of(near, own) <= expected.allowed)
        if wrong.any():
            yield np.where(wrong, wide, reference)
            if is_float_array(own):
                yield from _other_overflows(np.where(wrong, wide, reference), reference)


def _other_overflows(own: Array, reference: Array) -> Iterator[Array]:
    """Yield NaN where an infinity has overflowed, and infinities where NaN has."""
    overflows = ~np.isfinite(own) & np.isfinite(reference)
    yield np.where(overflows, np.nan, reference)
    for infinity in (np.inf, -np.inf):
        yield np.where(overflows & np.isnan(own), infinity, reference)


def _equal(a: Array, b: Array) -> bool:
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
