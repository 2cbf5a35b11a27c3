"""The base of layers that a script writes with Keras's names: `class Scale(keras.layers.Layer)`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from kir.layers.base import Layer, Weight, own_arguments, to_config
from kir.naming import snake_case
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
        weight = super().add_weight(
            given.get("name") or f"variable_{len(self.own_weights)}",
            tuple(shape) if isinstance(shape, list | tuple) else (shape,),
            given.get("initializer") or "glorot_uniform",
            given.get("regularizer"),
            given.get("constraint"),
            given.get("trainable", True),
            None if dtype is None else as_dtype(dtype),
        )
        if self.autocast and given.get("autocast", True) and weight.dtype.is_float:
            weight.compute_dtype = self.compute_dtype
        return weight

    def get_config(self) -> dict[str, Any]:
        """What all layers have, and those constructor's arguments that are attributes of their names.

        A class may keep the others as it likes, and add them in a `get_config` of its own.
        """
        kept = {name: to_config(getattr(self, name)) for name in own_arguments(type(self)) if hasattr(self, name)}
        return self.shared_config() | kept

    def owned_layers(self) -> dict[str, Layer]:
        """The layers that are attributes, or in lists, tuples and dicts that are, by where Keras's files have them.

        A container's layers are numbered by class: "blocks/dense", "blocks/dense_1", "blocks/container/dense".

        Source: `_save_container_state` in keras/src/saving/saving_lib.py
        """
        return {place: layer for name, value in vars(self).items() for place, layer in _layers_at(name, value)}


def _layers_at(place: str, value: Any) -> Iterator[tuple[str, Layer]]:
    """The layers that an attribute holds, each once and with its place in a file."""
    pending = [(place, value)]
    seen: set[int] = set()
    while pending:
        place, value = pending.pop()
        if not isinstance(value, Layer | list | tuple | dict) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Layer):
            yield place, value
            continue
        counts: Counter[str] = Counter()
        inner: list[tuple[str, Any]] = []
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, Layer | list | tuple | dict):
                name = snake_case(item.keras_class_name) if isinstance(item, Layer) else "container"
                inner.append((f"{place}/{name}_{counts[name]}" if counts[name] else f"{place}/{name}", item))
                counts[name] += 1
        pending.extend(reversed(inner))
