"""The values that one input of a graph is fed: ordinary ones, those at which something happens, and wide ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kir.ir.op import Array
from kir.ir.types import NARROW, DType
from kir.numerics.rounding_sizes import epsilon
from kir.numerics.uses import IDENTITY, InputUse

MOST_WORDS = 12  # of a text that is taken apart
CAPITAL_SHARE = 0.1
KNOWN_SHARE = 0.7  # of what is looked up in a table: the rest is most likely unknown there
WORDS = ("", "a", "zebra", "ΑΩ", "two words")

HALVES = (0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.5, -2.5)
WHOLE = (0, 1, -1, 2, 10, -10)
# Where an input is scaled before it meets an edge, so many last places away rounding decides no more on which side.
CLEAR_STEPS = 64
PIXELS = 256
PIXEL_EDGES = (127.5, 255.0, 256.0)
PIXEL_SCALE = 50  # what is divided by this or more, or shifted so far, to become normal, is a pixel
WIDE_EXPONENTS = (-3.0, 3.0)  # of 10; 16 bits overflow soon
WIDE_EXPONENTS_OF_HALF = (-2.0, 1.0)
SMALL, SMALL_OF_HALF = 2.0**-20, 2.0**-6
WIDE_INTEGER = 1000
LARGE_ROW = 64  # a single ordinary row of so many elements has edges in a few of them
SPRINKLED_SHARE = 0.05
LARGE_TABLE = 1 << 20  # tables of more rows are not gone through


class InputValues:
    """The source of an input's values, in arrays of rows and columns or of the input's own shape.

    Args:
        dtype: of the input.
        use: what the graph does with its elements.
        start: the least integer; -inf if any will do.
        end: the one after the largest integer; inf if any will do.
        generator: of random values.
    """

    def __init__(self, dtype: DType, use: InputUse, start: float, end: float, generator: np.random.Generator) -> None:
        self.dtype = dtype
        self.use = use
        self.start = start
        self.end = end
        self.generator = generator

    def ordinary(self, shape: tuple[int, ...]) -> Array:
        """Return what most elements are."""
        if self.use.separators:
            return self._texts(shape)
        array = self._plain(shape)
        if self.use.keys:
            keys = np.asarray(self.use.keys, array.dtype)
            known = self.generator.random(shape) < KNOWN_SHARE
            array = np.where(known, self.generator.choice(keys, size=shape), array)
        return array

    def _texts(self, shape: tuple[int, ...]) -> Array:
        """Return texts of a few words each, most of them known, some in capital letters, between all separators."""
        generator, use = self.generator, self.use
        known, separators = (np.asarray(given, object) for given in (use.keys or WORDS, use.separators))
        texts = np.empty(shape, object)
        for place in range(texts.size):
            count = int(generator.integers(0, MOST_WORDS))
            words = np.where(
                generator.random(count) < KNOWN_SHARE, generator.choice(known, count), WORDS[place % len(WORDS)]
            )
            words = np.where(generator.random(count) < CAPITAL_SHARE, np.frompyfunc(str.upper, 1, 1)(words), words)
            texts.flat[place] = "".join(np.ravel([words, generator.choice(separators, count)], "F").tolist())
        return texts

    def _plain(self, shape: tuple[int, ...]) -> Array:
        generator, dtype = self.generator, self.dtype
        if dtype is DType.STRING:
            return generator.choice(np.asarray(WORDS, object), size=shape)
        if self.end < math.inf:
            return self._indices(shape)
        if dtype.is_float:
            return self._floats(shape)
        if dtype in NARROW:
            if dtype is DType.FLOAT8_E8M0FNU:  # has powers of 2 only: no 0 and no sign
                return generator.integers(1, 3, shape)
            return generator.integers(0 if dtype.value.startswith("u") else -2, 2, shape)
        if dtype.itemsize == 1:
            info = np.iinfo(dtype.numpy)
            return generator.integers(info.min, info.max + 1, shape, dtype=np.int64)
        return generator.integers(0 if dtype.value.startswith("u") else -10, 11, shape, dtype=np.int64)

    def _indices(self, shape: tuple[int, ...]) -> Array:
        """Return each index once, if there is room, and then again; else some, the first and the last among them."""
        start, size = int(max(self.start, 0)), math.prod(shape)
        count = max(int(self.end) - start, 1)
        if count > LARGE_TABLE:
            chosen = self.generator.integers(0, count, size)
        else:
            chosen = np.resize(self.generator.permutation(count), size)
        if count > size > 1:
            chosen[:2] = 0, count - 1
            self.generator.shuffle(chosen)
        return np.asarray(start + chosen, np.int64).reshape(shape)

    def _floats(self, shape: tuple[int, ...]) -> Array:
        normal = self.generator.standard_normal(shape)
        scales = [scale for scale in self.use.scales if scale[0]]
        if not scales or IDENTITY in scales:
            return np.asarray(normal * self.generator.choice([0.5, 1.0, 3.0]))
        if self._are_pixels():
            return self.generator.integers(0, PIXELS, shape).astype(np.float64)
        a, b = np.array(scales).T
        which = self.generator.integers(0, len(scales), shape)
        return np.asarray((normal - b[which]) / a[which])

    def _are_pixels(self) -> bool:
        """Return whether all elements are scaled as pixels are, by 1/255 or by the mean of a data set."""
        return bool(self.use.scales) and all(
            a and (abs(1 / a) >= PIXEL_SCALE or (abs(a) == 1 and PIXEL_SCALE <= abs(b) < PIXELS))
            for a, b in self.use.scales
        )

    def wide(self, shape: tuple[int, int]) -> Array:
        """Return rows of values of all sizes and both signs, each with one of the largest, past most clips."""
        if self.dtype is DType.STRING or self.dtype in NARROW or self.end < math.inf:
            return self.ordinary(shape)
        if not self.dtype.is_float:
            info = np.iinfo(self.dtype.numpy)
            low, high = max(info.min, -WIDE_INTEGER), min(info.max, WIDE_INTEGER)
            return self.generator.integers(low, high + 1, shape, dtype=np.int64)
        exponents = WIDE_EXPONENTS_OF_HALF if self.use.is_half else WIDE_EXPONENTS
        array = self.generator.choice([-1.0, 1.0], shape) * 10.0 ** self.generator.uniform(*exponents, shape)
        rows, columns = shape
        largest = self.generator.integers(0, columns, rows)
        array[np.arange(rows), largest] = np.resize([1.0, -1.0], rows) * 10.0 ** exponents[1]
        return array

    def small(self, ordinary: Array) -> Array:
        """Return ordinary floats made smaller; everything else as it is."""
        if not self.dtype.is_float or self.end < math.inf:
            return ordinary
        return np.asarray(ordinary * (SMALL_OF_HALF if self.use.is_half else SMALL))

    def edges(self, rows: int, columns: int, all_of_graph: bool, first: int = 0) -> Array:
        """Return the values where something happens, from the `first` on.

        With `all_of_graph` each column meets each of those that stand in the graph, if there are as many rows.
        """
        dtype, use = self.dtype, self.use
        of_graph: list[Any] = []
        if dtype in NARROW or (dtype is DType.STRING and use.separators):
            return self.ordinary((rows, columns))
        if dtype is DType.STRING:
            usual: Sequence[Any] = [*use.keys, *WORDS]
        elif self.end < math.inf:
            usual = self._edges_of_indices()
        elif dtype.is_float:
            of_graph = values_met(dtype, use)
            usual = [*HALVES, *(PIXEL_EDGES if self._are_pixels() else ())]
        else:
            info = np.iinfo(dtype.numpy)
            of_graph = [value for value in values_met(dtype, use) if info.min <= value <= info.max]
            usual = [value for value in WHOLE if info.min <= value] + ([info.min, info.max] if use.decides else [])
        places = first + np.arange(rows)[:, None] + np.arange(columns)
        values = np.asarray(list(dict.fromkeys([*of_graph, *usual])), object if dtype is DType.STRING else None)
        array = values[places % len(values)]
        if of_graph and all_of_graph:
            array[2:] = values[: len(set(of_graph))][places % len(set(of_graph))][2:]
        return np.asarray(array)

    def sprinkle(self, rows: Array) -> None:
        """Put values where something happens in a few places, where they hide nothing."""
        if rows.size >= LARGE_ROW and self.dtype.is_float and (met := values_met(self.dtype, self.use)):
            places = self.generator.random(rows.shape) < SPRINKLED_SHARE
            rows[places] = self.generator.choice(np.asarray(met), size=int(places.sum()))

    def _edges_of_indices(self) -> list[int]:
        start, end = int(max(self.start, 0)), int(self.end)
        known = [key for key in self.use.edges if start <= key < end and float(key).is_integer()]
        from_end = (
            self.use.indexed
            and self.use.counts_from_end
            and start == 0
            and not self.use.compared
            and not self.use.edges
        )
        return [start, max(end - 1, start), *map(int, known), *([-1, -end] if from_end and end > 0 else [])]


def values_met(dtype: DType, use: InputUse) -> list[Any]:
    """Return the values at which something happens, with their neighbours."""
    if dtype.is_float:
        exact, scaled = (
            _around(dtype, edges, steps) for edges, steps in ((use.edges, 1), (use.scaled_edges, CLEAR_STEPS))
        )
        # Whether what is scaled meets an edge itself, rounding decides.
        return [*exact.T.ravel().tolist(), *scaled[1:].T.ravel().tolist()]
    edges = [*use.edges, *use.scaled_edges]
    whole = [*use.keys, *map(math.floor, edges), *map(math.ceil, edges)]
    return [number + step for step in (0, 1, -1) for number in dict.fromkeys(whole)]


def _around(dtype: DType, edges: Sequence[float], steps: int) -> Array:
    """Return floats of a dtype, and those so many steps above and below each: [3, edges]."""
    at = np.asarray(edges, np.float64).astype(dtype.numpy).astype(np.float64)
    # Those of 0 are not the next ones: these are denormal, which some runtimes take for 0.
    exponents = np.floor(np.log2(np.where(at == 0, 1, np.abs(at))))
    step = steps * epsilon(dtype.numpy) * 2.0**exponents
    met = np.stack([at, at + step, at - step]).astype(dtype.numpy).astype(np.float64)
    return np.asarray(met[:, np.isfinite(met).all(axis=0)])
