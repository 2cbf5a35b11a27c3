"""The constants of a rewritten graph that were computed and rounded, such as a kernel with a scale multiplied into it.

All others hold numbers of the original graph, in another order or shape, or numbers of few digits.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from kir.ir.graph import Graph, Node
from kir.ir.op import Array
from kir.ir.structural import Constant
from kir.numerics.rounding_sizes import finfo

# So many elements tell whether a constant was made of numbers of the original, or computed from them.
SAMPLE = 64

BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


@dataclass(frozen=True)
class RoundedConstant:
    """A float constant whose numbers may be off by a rounding; `where` says which, None if all."""

    node: Node
    where: Array | None = None

    @property
    def array(self) -> Array:
        return _array_of(self.node)


def rounded_constants(original: Graph, rewritten: Graph, largest: float = math.inf) -> list[RoundedConstant]:
    """Return the float constants of `rewritten` that hold numbers of its own, of up to `largest` elements.

    1. A part of an array of the original, in the same memory, has none; nor has one with the same bits in any order.
    2. A number of half of the digits of its dtype, such as 0.5 or those of an identity matrix, is exact, whoever made
       it.
    3. If the graphs share no memory, as when one was read from a file, numbers of the original are found one by one:
       one weight that was changed shows among all others. Where most numbers are others, the rest came about by chance.

    O(constants · log(constants)), and O(elements · log(elements)) where a constant lies in other memory.
    """
    known = _Known([_array_of(node) for node in _float_constants(original)])
    nodes = [node for node in _float_constants(rewritten) if not known.has_memory_of(_array_of(node))]
    are_apart = len(nodes) == len(_float_constants(rewritten))
    found = (_find_own_numbers(known, node, are_apart) for node in nodes if _array_of(node).size <= largest)
    return [one for one in found if one is not None]


def recognised_constants(original: Graph, rewritten: Graph) -> list[RoundedConstant]:
    """Return the numbers of `original` that `rewritten` may have taken for exact ones, such as √2 in a Gelu.

    They are single numbers that it does not have any more, and not of half of the digits of their dtype.
    """
    return [one for one in rounded_constants(rewritten, original, largest=1) if one.array.size == 1]


def _float_constants(graph: Graph) -> list[Node]:
    nodes = (node for one in graph.graphs() for node in one.order())
    return [node for node in nodes if isinstance(node.op, Constant) and node.output.type.dtype.is_float]


def _array_of(node: Node) -> Array:
    assert isinstance(node.op, Constant)
    return node.op.value.array


def _find_own_numbers(known: _Known, node: Node, one_by_one: bool) -> RoundedConstant | None:
    array = _array_of(node).reshape(-1)
    sample = array[:: max(1, array.size // SAMPLE)]
    own = ~_have_few_digits(sample)
    if not own.any() and not (own := ~_have_few_digits(array)).any():
        return None
    if known.has_numbers_of(array):
        return None
    if not one_by_one or 2 * np.count_nonzero(own & ~known.has_each(sample)) > sample.size:
        return RoundedConstant(node)
    where = ~(known.has_each(array) | _have_few_digits(array))
    return RoundedConstant(node, where.reshape(_array_of(node).shape)) if where.any() else None


class _Known:
    """The constants of the original graph: where they lie and, once that is asked for, what they hold."""

    def __init__(self, arrays: list[Array]) -> None:
        self._arrays = arrays
        bounds = sorted(np.lib.array_utils.byte_bounds(array) for array in arrays)
        self._starts = [start for start, _ in bounds]
        self._ends = [end for _, end in bounds]
        self._ends_of: dict[tuple[np.dtype[np.generic], int], list[tuple[tuple[int, int], Array]]] = {}
        self._sums: dict[int, tuple[int, int]] = {}  # by the id of one of the arrays
        self._sorted: dict[np.dtype[np.generic], Array] = {}

    def has_memory_of(self, array: Array) -> bool:
        """Return whether an array is a part of one of these. O(log(constants))."""
        start, end = np.lib.array_utils.byte_bounds(array)
        place = bisect_right(self._starts, start) - 1
        return place >= 0 and end <= self._ends[place]

    def has_numbers_of(self, array: Array) -> bool:
        """Return whether one of these has the same bits in any order. O(elements of all of that size)."""
        kind = (array.dtype, array.size)
        if kind not in self._ends_of:
            alike = [one for one in self._arrays if (one.dtype, one.size) == kind]
            self._ends_of[kind] = [(_end_bits(one), one) for one in alike]
        if not self._ends_of[kind]:
            return False
        ends = _end_bits(array)  # take a fraction of the time of the sums, and tell nearly all arrays apart
        same_ends = [one for other, one in self._ends_of[kind] if other == ends]
        return bool(same_ends) and _sum_bits(array) in map(self._sum_of, same_ends)

    def _sum_of(self, array: Array) -> tuple[int, int]:
        if id(array) not in self._sums:
            self._sums[id(array)] = _sum_bits(array)
        return self._sums[id(array)]

    def has_each(self, array: Array) -> Array:
        """Return which elements of a flat array are in one of these. O(elements · log(elements))."""
        if array.dtype not in self._sorted:
            alike = [one.ravel() for one in self._arrays if one.dtype == array.dtype]
            self._sorted[array.dtype] = np.sort(np.concatenate(alike or [np.zeros(0, array.dtype)]))
        numbers = self._sorted[array.dtype]
        if not numbers.size:
            return np.zeros(array.shape, bool)
        places = np.minimum(np.searchsorted(numbers, array), numbers.size - 1)
        return np.asarray(numbers[places] == array)


def _bits_of(array: Array) -> Array:
    return np.ascontiguousarray(array).view(BITS[array.dtype.itemsize]).ravel()


def _end_bits(array: Array) -> tuple[int, int]:
    """Return the least and the greatest of the bits of all elements."""
    bits = _bits_of(array)
    return int(bits.min(initial=np.iinfo(bits.dtype).max)), int(bits.max(initial=0))


def _sum_bits(array: Array) -> tuple[int, int]:
    """Return two sums over the bits of all elements, which depend on no order."""
    bits = _bits_of(array).astype(np.uint64)
    return int(bits.sum(dtype=np.uint64)), int(np.dot(bits, bits))


def _have_few_digits(array: Array) -> Array:
    """Return which numbers need no more than half of the digits of their dtype; so do infinities and NaN."""
    digits = int(finfo(array.dtype).nmant) // 2
    wide = array.astype(np.float64)
    mantissas = np.frexp(wide)[0] * 2.0 ** (digits + 1)
    return np.asarray((mantissas == np.rint(mantissas)) | ~np.isfinite(wide))
