"""The base of layers that a script writes with Keras's names: `class Scale(keras.layers.Layer)`."""

from __future__ import annotations

from typing import Any

from kir.layers.base import Layer, Weight
from kir.types import as_dtype

# The arguments by position. What else there is means nothing for an export.
WEIGHT_ARGUMENTS = ("shape", "initializer", "dtype", "trainable")
OLD_WEIGHT_ARGUMENTS = ("name", "shape", "dtype", "initializer", "regularizer", "trainable", "constraint")


class UserLayer(Layer):
    """`kir.layers.Layer`, with weights made and read as in Keras.

    Source: https://keras.io/guides/making_new_layers_and_models_via_subclassing/
    """

    def add_weight(self, *args: Any, **kwargs: Any) -> Weight:
        """A new weight, by the arguments of Keras 3, or of Keras 2, which began with the name.

        Raises:
            ShapeError: a size is not known.
        """
        names = OLD_WEIGHT_ARGUMENTS if args and isinstance(args[0], str) else WEIGHT_ARGUMENTS
        given = dict(zip(names, args, strict=False)) | kwargs
        shape, dtype = given.get("shape") or (), given.get("dtype")
        return super().add_weight(
            given.get("name") or f"variable_{len(self.own_weights)}",
            tuple(shape) if isinstance(shape, list | tuple) else (shape,),
            given.get("initializer") or "glorot_uniform",
            given.get("regularizer"),
            given.get("constraint"),
            given.get("trainable", True),
            None if dtype is None else as_dtype(dtype),
        )

    def owned_layers(self) -> dict[str, Layer]:
        """The layers that are attributes, by the attribute's name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Layer)}
