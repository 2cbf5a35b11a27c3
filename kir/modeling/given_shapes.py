"""Shapes as the user's scripts, and Keras's files, write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from kir.errors import InvalidArgumentError
from kir.ir.dims import Sym
from kir.support.arguments import integers, optional_integer
from kir.support.limits import MAX_INT64

# None is an unknown size, text the name of one.
GivenSize: TypeAlias = int | str | Sym | None
GivenShape: TypeAlias = int | Sequence[GivenSize]


def first_layer_shape(
    owner: str,
    input_shape: GivenShape | None,
    batch_input_shape: GivenShape | None,
    input_dim: int | None,
    batch_size: int | None,
) -> tuple[GivenSize, ...] | None:
    """Return the full input shape that a first layer of a Sequential declares, with None for unknown sizes, or None."""
    batch_size = optional_integer(owner, "batch_size", batch_size, 1)
    if batch_input_shape is not None:
        return check_shape(owner, "batch_input_shape", batch_input_shape)
    if input_shape is not None:
        return (batch_size, *check_shape(owner, "input_shape", input_shape))
    if input_dim is not None:
        return (batch_size, *integers(owner, "input_dim", input_dim, 1))
    return None


def check_shape(owner: str, name: str, shape: object) -> tuple[GivenSize, ...]:
    """Return a shape that a user gave as a tuple: sizes, None for unknown ones, text for those with a name.

    Raises:
        InvalidArgumentError: it is not a tuple or list of those, or one size.
    """
    items = (shape,) if isinstance(shape, int) else shape
    if not isinstance(items, list | tuple) or not all(
        size is None or isinstance(size, str | Sym) or _is_size(size) for size in items
    ):
        raise InvalidArgumentError(
            f"{owner}: {name} must be a tuple of sizes, with None for an unknown one; received {name}={shape!r}"
        )
    return tuple(int(size) if isinstance(size, np.integer) else size for size in items)


def _is_size(given: object) -> bool:
    return isinstance(given, int | np.integer) and not isinstance(given, bool) and 0 <= int(given) <= MAX_INT64


def shapes_with_none(shape: object) -> Any:
    """Return a shape, or lists and dicts of shapes, with None for unknown sizes."""
    if isinstance(shape, Mapping):
        return {name: shapes_with_none(one) for name, one in shape.items()}
    if isinstance(shape, list | tuple):
        return type(shape)(shapes_with_none(one) for one in shape)
    return shape if isinstance(shape, int) else None
