"""Arithmetic on sizes: the integers of rank 0 and 1 that ONNX files compute from shapes, evaluated symbolically.

An exporter that knows no symbolic shapes writes a Reshape as Shape, Gather, Mul, Concat and so on. Each function here
computes what one such node gives, from what is known of its inputs, or says None where that depends on the sizes.

Differences of sizes are taken not to be negative, as sizes are not; so integer division, which ONNX rounds toward zero,
is floor division.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kir.errors import FormatError, KirError
from kir.importers.onnx_file.reading import Array
from kir.ir.dims import Dim, Sym, minimum, product

# Shapes are short, and a table of more integers is data.
MAX_LENGTH = 256
# Sizes of real models have a few factors. What grows past that comes from no shape, and costs time.
MAX_TERMS = 64
# A bound of a Slice from here on says "to the end": no axis is as long, and tf2onnx writes this number.
HUGE = 10**9
LARGEST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Sizes:
    """Known integers: one if `is_scalar` (an i64[] value), else those of an i64[n] value."""

    items: tuple[Dim, ...]
    is_scalar: bool = False

    @property
    def is_known(self) -> bool:
        return all(isinstance(item, int) for item in self.items)


Rule = Callable[..., Sizes | None]


def sizes_of_array(array: Array) -> Sizes | None:
    """Return the elements of a short array of integers or booleans, None for any other."""
    if array.ndim > 1 or array.size > MAX_LENGTH or array.dtype.kind not in "iub":
        return None
    return Sizes(tuple(map(int, array.ravel().tolist())), array.ndim == 0)


def elementwise(function: Callable[[Dim, Dim], Dim | None]) -> Rule:
    """Return a rule that applies a function to pairs of elements, with broadcasting."""

    def rule(*inputs: Sizes) -> Sizes | None:
        result = inputs[0]
        for other in inputs[1:]:
            count = max(len(result.items), len(other.items))
            if {len(result.items), len(other.items)} - {1, count}:
                return None
            pairs = zip(_stretch(result, count), _stretch(other, count), strict=True)
            items = [function(a, b) for a, b in pairs]
            combined = bounded(items, result.is_scalar and other.is_scalar)
            if combined is None:
                return None
            result = combined
        return result

    return rule


def _stretch(sizes: Sizes, count: int) -> tuple[Dim, ...]:
    return sizes.items * count if len(sizes.items) == 1 else sizes.items


def bounded(items: Sequence[Dim | None], is_scalar: bool = False) -> Sizes | None:
    """Return the items as Sizes, None if one is missing, overflows, or is a longer sum than any size is."""
    checked = [item for item in items if item is not None and _is_reasonable(item)]
    return Sizes(tuple(checked), is_scalar) if len(checked) == len(items) else None


def _is_reasonable(item: Dim) -> bool:
    if isinstance(item, int):
        return -LARGEST - 1 <= item <= LARGEST
    if len(item.terms) > MAX_TERMS:
        return False
    return all(abs(coefficient) <= LARGEST and len(atoms) <= MAX_TERMS for atoms, coefficient in item.terms)


def _divide(a: Dim, b: Dim) -> Dim | None:
    if isinstance(a, int) and isinstance(b, int):
        return None if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return None if isinstance(b, int) and b <= 0 else a // b


def _modulo(a: Dim, b: Dim) -> Dim | None:
    return None if isinstance(b, int) and b <= 0 else a % b


def _largest(a: Dim, b: Dim) -> Dim | None:
    """Return the size, of a size and a number up to 0. Two sizes cannot be compared."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return next((x for x, y in ((a, b), (b, a)) if x == y or (isinstance(y, int) and y <= 0)), None)


def _smallest(a: Dim, b: Dim) -> Dim | None:
    """Return the size, of a size and a huge number, which says "to the end"."""
    return next((x for x, y in ((a, b), (b, a)) if isinstance(y, int) and y >= HUGE), minimum(a, b))


def _equal(a: Dim, b: Dim) -> Dim | None:
    """Return 1 or 0; a size is none of the negative numbers."""
    if a == b:
        return 1
    if all(isinstance(x, int) for x in (a, b)) or any(isinstance(x, int) and x < 0 for x in (a, b)):
        return 0
    return None


def choose(condition: Sizes, a: Sizes, b: Sizes) -> Sizes | None:
    """Compute Where: items of a where the condition, which is known, holds, else of b."""
    count = max(len(sizes.items) for sizes in (condition, a, b))
    if not condition.is_known or any(len(sizes.items) not in (1, count) for sizes in (condition, a, b)):
        return None
    columns = zip(*(_stretch(sizes, count) for sizes in (condition, a, b)), strict=True)
    items = [x if chosen else y for chosen, x, y in columns]
    return Sizes(tuple(items), condition.is_scalar and a.is_scalar and b.is_scalar)


def concat(*inputs: Sizes) -> Sizes | None:
    """Compute a Concat along axis 0."""
    items = [item for sizes in inputs for item in sizes.items]
    return None if len(items) > MAX_LENGTH or any(sizes.is_scalar for sizes in inputs) else Sizes(tuple(items))


def gather(data: Sizes, indices: Sizes) -> Sizes | None:
    """Compute a Gather along axis 0."""
    count = len(data.items)
    if data.is_scalar or not all(isinstance(i, int) and -count <= i < count for i in indices.items):
        return None
    return Sizes(tuple(data.items[operator.index(i)] for i in indices.items), indices.is_scalar)  # type: ignore[arg-type]


def slice_(
    data: Sizes, starts: Sizes, ends: Sizes, axes: Sizes | None = None, steps: Sizes | None = None
) -> Sizes | None:
    """Compute a Slice along axis 0, of known bounds."""
    bounds = [sizes.items for sizes in (starts, ends, steps or Sizes((1,)))]
    if data.is_scalar or not all(len(items) == 1 and isinstance(items[0], int) for items in bounds):
        return None
    start, end, step = (operator.index(items[0]) for items in bounds)  # type: ignore[arg-type]
    if step == 0:
        return None
    count = len(data.items)
    end_of_python = None if step < 0 and end < -count else end
    return Sizes(data.items[slice(start, end_of_python, step)])


def total(data: Sizes) -> Dim | None:
    """Return the product of all items."""
    result = bounded([product(data.items)])
    return None if result is None else result.items[0]


def safely(rule: Callable[[], Sizes | None]) -> Sizes | None:
    """Return what the rule gives; None where sizes cannot say it (a division by 0, or a sum past any use)."""
    try:
        return rule()
    except KirError:
        return None


ELEMENTWISE: dict[str, Rule] = {
    "Add": elementwise(lambda a, b: a + b),
    "Sub": elementwise(lambda a, b: a - b),
    "Mul": elementwise(lambda a, b: a * b),
    "Div": elementwise(_divide),
    "Mod": elementwise(_modulo),
    "Max": elementwise(_largest),
    "Min": elementwise(_smallest),
    "Equal": elementwise(_equal),
    "Neg": lambda a: Sizes(tuple(-item for item in a.items), a.is_scalar),
    "Where": choose,
}


def is_negative(dim: Dim) -> bool:
    """Return whether a size is below 0 for all values of the names, which are positive."""
    if isinstance(dim, Sym):
        return all(coefficient < 0 for _, coefficient in dim.terms)
    return dim < 0


def counts_from_end(bound: Dim, size: Dim) -> bool:
    """Return whether a bound of a Slice is counted from the end of its axis.

    1. A negative number, or a sum of negative terms.
    2. A difference that is a plain sum when counted from the end: the exporter writes ``start - size``.
    """
    if is_negative(bound):
        return True
    return isinstance(bound, Sym) and not _is_plain(bound) and _is_plain(bound + size)


def _is_plain(dim: Dim) -> bool:
    if isinstance(dim, Sym):
        return all(coefficient > 0 for _, coefficient in dim.terms)
    return dim >= 0


def require_fit(what: str, declared: Sequence[Dim], given: Sequence[Dim], has_rank: bool) -> None:
    """Do nothing, if a shape that is given fits the one that a file declares.

    Raises:
        FormatError: it does not.
    """
    fits = len(declared) == len(given) and all(
        not isinstance(size, int) or size == wanted for size, wanted in zip(declared, given, strict=True)
    )
    if has_rank and not fits:
        shown = ", ".join(map(str, declared))
        raise FormatError(f"{what} has the shape ({shown}); that cannot be ({', '.join(map(str, given))})")
