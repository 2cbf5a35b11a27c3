"""Comparison of the runs before and after a pass."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kir.ir.op import Array
from kir.ir.types import as_dtype, rounding_unit


def find_difference(
    before: Mapping[str, Array], after: Mapping[str, Array], exact: bool, tolerance: float
) -> str | None:
    """Return a message on the first difference between two runs that is too large; None if there is none.

    Exact means bit for bit, but for NaNs, which are all equal. Otherwise an element may be off by `tolerance` roundings
    of its dtype, relative to the largest finite element of the array; NaNs and infinities stay where they are.
    """
    if list(before) != list(after):
        return f"the outputs {list(after)} were {list(before)}"
    for label, old in before.items():
        new = after[label]
        if (old.dtype, old.shape) != (new.dtype, new.shape):
            return f"output {label!r} is {new.dtype}{new.shape} and was {old.dtype}{old.shape}"
        wrong = _find_wrong(old, new, exact, tolerance)
        if wrong.any():
            first = tuple(int(i) for i in np.argwhere(wrong)[0])
            allowed = "expected the same bits" if exact else f"expected at most {tolerance:g} roundings between them"
            return (
                f"output {label!r} differs in {int(wrong.sum())} of {old.size} elements; the first is at {first}: "
                f"{old[first]!r} before, {new[first]!r} after; {allowed}"
            )
    return None


def _find_wrong(old: Array, new: Array, exact: bool, tolerance: float) -> Array:
    if not as_dtype(old.dtype).is_float:
        return np.asarray(old != new)
    both_nan = np.isnan(old) & np.isnan(new)
    if exact:
        signs = np.signbit(old) != np.signbit(new)
        return np.asarray(((old != new) | signs) & ~both_nan)
    old, new, unit = old.astype(np.float64), new.astype(np.float64), rounding_unit(as_dtype(old.dtype))
    finite = np.isfinite(old) & np.isfinite(new)
    scale = float(np.abs(old[finite]).max()) if finite.any() else 0.0
    with np.errstate(invalid="ignore"):
        near = finite & (np.abs(old - new) <= tolerance * unit * scale)
    return np.asarray(~(near | both_nan | (old == new)))
