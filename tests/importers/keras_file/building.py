"""How the cases build their models.

A builder takes the size of the time axis (None for unknown) and gives a Keras model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

Builder = Callable[[Any], Any]


def chain(shape: tuple[Any, ...], *layers: Callable[[], Any], dtype: str = "float32") -> Builder:
    """Return a Sequential; -2 in the shape stands for the time axis."""

    def build(time: Any) -> Any:
        given = tuple(time if size == -2 else size for size in shape)
        return keras.Sequential([keras.Input(given, dtype=dtype), *[make() for make in layers]])

    return build


def functional(*shapes: Any, dtype: str = "float32") -> Callable[[Callable[..., Any]], Builder]:
    """Return a functional model of inputs of these shapes, whose outputs the decorated function gives."""

    def decorate(outputs: Callable[..., Any]) -> Builder:
        def build(time: Any) -> Any:
            inputs = [
                keras.Input(tuple(time if size == -2 else size for size in shape), dtype=dtype) for shape in shapes
            ]
            return keras.Model(inputs, outputs(*inputs))

        return build

    return decorate
