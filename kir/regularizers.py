"""Keras's regularizers: penalties on weights and outputs that are added to a loss.

Each is called with an array, or with a symbolic tensor that takes part in NumPy's `__array_ufunc__` and
`__array_function__` protocols, and returns a scalar of the same kind. So nothing here may convert its argument with
`np.asarray`, or look at its values.

Source: https://keras.io/api/layers/regularizers/
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from kir import config
from kir.errors import ShapeError
from kir.ir.op import Array
from kir.ir.trace import SymbolicOperators
from kir.ir.types import as_dtype
from kir.modeling.registry import Configurable, Registry
from kir.support.arguments import choice, number

# What works with NumPy's functions: an array, or a symbolic tensor.
Penalized: TypeAlias = SymbolicOperators | Array

ORTHOGONAL_MODES = ("rows", "columns")


class Regularizer(Configurable):
    """The base of all regularizers; its own penalty is 0."""

    def __call__(self, x: Penalized) -> Any:
        return 0.0


class L1(Regularizer):
    """The penalty l1·Σ|x|."""

    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = number("L1", "l1", 0.01 if l1 is None else l1, 0)

    def __call__(self, x: Penalized) -> Any:
        return self.l1 * np.sum(np.abs(x))


class L2(Regularizer):
    """The penalty l2·Σx²."""

    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = number("L2", "l2", 0.01 if l2 is None else l2, 0)

    def __call__(self, x: Penalized) -> Any:
        return self.l2 * np.sum(np.square(x))


class L1L2(Regularizer):
    """The penalty l1·Σ|x| + l2·Σx²; a term whose coefficient is 0 is not computed."""

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = number("L1L2", "l1", 0.0 if l1 is None else l1, 0)
        self.l2 = number("L1L2", "l2", 0.0 if l2 is None else l2, 0)

    def __call__(self, x: Penalized) -> Any:
        penalty: Any = 0.0
        if self.l1:
            penalty = penalty + L1(self.l1)(x)
        if self.l2:
            penalty = penalty + L2(self.l2)(x)
        return penalty


class OrthogonalRegularizer(Regularizer):
    """The mean |cosine| of the angle between two different rows, or columns, times `factor`.

    Raises, when called:
        ShapeError: x is not of rank 2, or the number of its rows (columns) is unknown.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = number("OrthogonalRegularizer", "factor", factor, 0)
        self.mode = choice("OrthogonalRegularizer", "mode", mode, ORTHOGONAL_MODES)

    def __call__(self, x: Penalized) -> Any:
        if len(x.shape) != 2:
            raise ShapeError(f"OrthogonalRegularizer: the input must be of rank 2, but its shape is {tuple(x.shape)}")
        return self._mean_cosine_of_rows(x if self.mode == "rows" else np.transpose(x))

    def _mean_cosine_of_rows(self, x: Penalized) -> Any:
        size = x.shape[0]
        if not isinstance(size, int):
            raise ShapeError(f"OrthogonalRegularizer: the number of {self.mode} must be known, but it is {size}")
        length = np.sqrt(np.sum(np.square(x), axis=1, keepdims=True))
        unit = x / np.maximum(length, config.epsilon())
        cosines = np.matmul(unit, np.transpose(unit))
        between_different_rows = cosines * (1 - np.eye(size, dtype=as_dtype(x.dtype).numpy))
        pairs = size * (size - 1) / 2
        return self.factor * 0.5 * np.sum(np.abs(between_different_rows)) / pairs


_REGISTRY = Registry("regularizer", (L1, L1L2, L2, OrthogonalRegularizer, Regularizer), aliases={"l1_l2": L1L2})

# Described at `Registry`.
get = _REGISTRY.get
serialize = _REGISTRY.serialize
deserialize = _REGISTRY.deserialize

# Keras exports each class under a function-like name, too.
l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer
