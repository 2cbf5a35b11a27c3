"""Keras's constraints: projections of weights, applied after each step of training, as functions of NumPy arrays.

Source: https://keras.io/api/layers/constraints/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from kir import config
from kir.errors import ShapeError
from kir.ir.op import Array
from kir.modeling.registry import Configurable, Registry
from kir.support.arguments import integers, number, ordered

Axis: TypeAlias = int | Sequence[int]


class Constraint(Configurable):
    """The base of all constraints; by itself it changes nothing."""

    def __call__(self, w: Array) -> Array:
        """Return the projected weights: the shape and dtype of `w`."""
        return w


class NonNeg(Constraint):
    """Replaces negative weights by 0."""

    def __call__(self, w: Array) -> Array:
        return np.maximum(w, 0)


class MaxNorm(Constraint):
    """Scales weights down to a Euclidean norm of at most `max_value` along `axis` (one axis, or several together).

    Raises, when called:
        ShapeError: `w` lacks the axis.
    """

    def __init__(self, max_value: float = 2, axis: Axis = 0) -> None:
        self.max_value = number("MaxNorm", "max_value", max_value, 0)
        self.axis = _checked_axis("MaxNorm", axis)

    def __call__(self, w: Array) -> Array:
        norms = _norms(w, self.axis)
        return _scaled(w, norms, np.clip(norms, 0, self.max_value))


class UnitNorm(Constraint):
    """Scales weights to a Euclidean norm of 1 along `axis` (one axis, or several together).

    Raises, when called:
        ShapeError: `w` lacks the axis.
    """

    def __init__(self, axis: Axis = 0) -> None:
        self.axis = _checked_axis("UnitNorm", axis)

    def __call__(self, w: Array) -> Array:
        return _scaled(w, _norms(w, self.axis), 1)


class MinMaxNorm(Constraint):
    """Moves the Euclidean norm along `axis` towards the range from `min_value` to `max_value`.

    `rate` 1 moves it there at once, a smaller rate that part of the way.

    Raises, when called:
        ShapeError: `w` lacks the axis.
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axis = 0) -> None:
        self.min_value = number("MinMaxNorm", "min_value", min_value, 0)
        self.max_value = number("MinMaxNorm", "max_value", max_value, 0)
        ordered("MinMaxNorm", "min_value", min_value, "max_value", max_value)
        self.rate = number("MinMaxNorm", "rate", rate, 0, 1)
        self.axis = _checked_axis("MinMaxNorm", axis)

    def __call__(self, w: Array) -> Array:
        norms = _norms(w, self.axis)
        inside = np.clip(norms, self.min_value, self.max_value)
        return _scaled(w, norms, self.rate * inside + (1 - self.rate) * norms)


def _checked_axis(owner: str, axis: Axis) -> Axis:
    integers(owner, "axis", axis)
    return axis


def _norms(w: Array, axis: Axis) -> Array:
    axes = axis if isinstance(axis, int) else tuple(axis)
    try:
        return np.asarray(np.sqrt(np.sum(np.square(w), axis=axes, keepdims=True)))
    except ValueError as error:
        raise ShapeError(f"a norm over axis {axis} of weights of shape {np.shape(w)} does not exist") from error


def _scaled(w: Array, norms: Array, desired: Array | int) -> Array:
    # As in Keras, epsilon keeps a zero column zero. Dividing first: 1 / epsilon would overflow in float16.
    return np.asarray(w / (config.epsilon() + norms) * desired)


_REGISTRY = Registry("constraint", (Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm), aliases={})

# Described at `Registry`.
get = _REGISTRY.get
serialize = _REGISTRY.serialize
deserialize = _REGISTRY.deserialize

# Keras exports each class under a function-like name, too.
max_norm = MaxNorm
min_max_norm = MinMaxNorm
non_neg = NonNeg
unit_norm = UnitNorm
