"""Operators that look every element up in a table of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.op import Array, Op
from kir.ir.types import DType, TensorType

# How many entries of a table are printed.
MAX_SHOWN = 4


@dataclass(frozen=True)
class Lookup(Op):
    """For each element of `x` the value at its key, or `default` if it is no key; of two equal keys the first counts.

    Keys are texts or 64-bit integers, and so are the values with their default.
    ONNX: LabelEncoder of the domain ai.onnx.ml, since its version 2.

    Raises:
        InvalidArgumentError: there are no keys, not as many values as keys, or items of different kinds.
    """

    keys: tuple[int | str, ...]
    values: tuple[int | str, ...]
    default: int | str

    def __post_init__(self) -> None:
        if not self.keys or len(self.keys) != len(self.values):
            raise InvalidArgumentError(
                f"a lookup needs as many values as keys, and one at least; received {len(self.keys)} keys and "
                f"{len(self.values)} values"
            )
        for what, items in (("keys", self.keys), ("values", (*self.values, self.default))):
            if not all(type(item) is type(items[0]) for item in items) or type(items[0]) not in (int, str):
                raise InvalidArgumentError(f"the {what} of a lookup must be all texts or all integers")

    def infer(self, x: TensorType) -> TensorType:
        wanted = table_dtype(self.keys[0])
        if x.dtype is not wanted:
            raise ShapeError(f"a lookup with keys such as {self.keys[0]!r} needs an input of {wanted}; received {x}")
        return TensorType(table_dtype(self.default), x.shape)

    def eval(self, x: Array) -> Array:
        table = dict(zip(reversed(self.keys), reversed(self.values), strict=True))
        found = np.empty(x.size, table_dtype(self.default).numpy)
        found[:] = [table.get(item, self.default) for item in x.ravel().tolist()]
        return found.reshape(x.shape)

    def __str__(self) -> str:
        return f"Lookup(keys={_shown(self.keys)}, values={_shown(self.values)}, default={self.default!r})"


def table_dtype(item: int | str) -> DType:
    """Return the element type of a table with such keys or values."""
    return DType.STRING if isinstance(item, str) else DType.INT64


def _shown(items: tuple[int | str, ...]) -> str:
    listed = ", ".join(map(repr, items[:MAX_SHOWN]))
    return f"({listed})" if len(items) <= MAX_SHOWN else f"({listed}, … {len(items) - MAX_SHOWN} more)"
