"""Operators that hold a graph together: its inputs, its outputs, its constants.

All three are ordinary nodes, so that a graph output is an ordinary use and rewriting needs no special cases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from kir.errors import ShapeError
from kir.ir.dims import Dim
from kir.ir.op import Array, Op
from kir.ir.types import Shape, TensorType, type_of

# Comparing constants up to this size by content merges repeated scalars, shapes and small tables; weights
# above it are almost never equal, and hashing them would read every byte of a memory-mapped file.
MAX_COMPARED_BYTES = 4096


@dataclass(frozen=True, eq=False)
class Data:
    """An array by reference, with an equality that is cheap: by content when small, by identity when large.

    The array must not be written to. A memory-mapped one stays on disk until it is read.
    """

    array: Array

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        array = self.array
        if array.nbytes > MAX_COMPARED_BYTES:
            return (id(array),)
        if array.dtype == object:
            return ("object", array.shape, tuple(array.ravel().tolist()))
        return (array.dtype, array.shape, array.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Data) and (self.array is other.array or self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        if self.array.size <= 8:
            return repr(self.array.tolist())
        digest = hashlib.sha256(np.ascontiguousarray(self.array).data).hexdigest()[:12] if self._is_plain else "…"
        return f"<{type_of(self.array)} {digest}>"

    @property
    def _is_plain(self) -> bool:
        return self.array.dtype != object and self.array.nbytes <= MAX_COMPARED_BYTES


@dataclass(frozen=True)
class Input(Op):
    """A graph input. One with a `default` may be left out of the feeds (in ONNX: also an initializer).

    Every input is itself: two of one type are not equal values, so `label` is part of the operator.
    """

    label: str
    type: TensorType
    default: Data | None = None

    deterministic = False  # it is never merged or folded, even with a default

    def infer(self) -> TensorType:
        return self.type

    def eval(self) -> Array:
        if self.default is None:
            raise ShapeError(f"input {self.label!r} has no value; feed one of type {self.type}")
        return self.default.array


@dataclass(frozen=True)
class Output(Op):
    """A graph output, which keeps the name that the user gave it through every rewrite of its value."""

    label: str

    deterministic = False  # two outputs of one value are two outputs
    takes_carried = True

    def infer(self, value: TensorType) -> TensorType:
        return value

    def eval(self, value: Array) -> Array:
        return value


@dataclass(frozen=True)
class Constant(Op):
    """A tensor known when the graph is built; `label` names the weight and does not count for equality."""

    value: Data
    label: str | None = field(default=None, compare=False)

    def infer(self) -> TensorType:
        return type_of(self.value.array)

    def eval(self) -> Array:
        return self.value.array


@dataclass(frozen=True)
class Assume(Op):
    """A tensor whose sizes are taken to be others, since the file says that they are equal: an *assumption*.

    Nothing is written for it. Where it runs, the sizes are compared.
    """

    shape: Shape

    def infer(self, x: TensorType) -> TensorType:
        for taken, expected in self.equalities(x):
            if isinstance(taken, int) and isinstance(expected, int):
                raise ShapeError(f"the file takes {taken} and {expected} to be one size; expected equal sizes")
        return x.with_shape(self.shape)

    def equalities(self, x: TensorType) -> Iterator[tuple[Dim, Dim]]:
        """Yield each two sizes that are taken to be equal.

        Raises:
            ShapeError: the ranks differ.
        """
        if x.rank != len(self.shape):
            raise ShapeError(f"{self} received {x}; expected a tensor of rank {len(self.shape)}")
        return ((a, b) for a, b in zip(x.shape, self.shape, strict=True) if a != b)

    def eval(self, x: Array) -> Array:
        return self._check(x, type_of(x))

    def prepare(self, *types: TensorType | None) -> Callable[[Array], Array]:
        (type,) = types
        assert type is not None
        return partial(self._check, type=type)

    def _check(self, x: Array, type: TensorType) -> Array:
        if x.shape != self.shape:
            columns = [(a, b, c) for a, b, c in zip(type.shape, x.shape, self.shape, strict=True) if b != c]
            wrong = " and ".join(f"{dim}, which is {size}, to be {taken}" for dim, size, taken in columns)
            raise ShapeError(f"the file takes {wrong}; feed inputs of sizes that fit (kir inspect lists what it takes)")
        return x


def constant(given: npt.ArrayLike, label: str | None = None) -> Constant:
    """Return the Constant of an array-like, in NumPy's dtype for it."""
    array = np.asarray(given)
    if array.dtype.kind in "US":
        array = array.astype(object)
    return Constant(Data(array), label)


TRAINING_INPUT = "training_mode"
