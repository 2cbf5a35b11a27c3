"""What a layer expects of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from kir.errors import ShapeError
from kir.ir.types import format_shape


@dataclass
class InputSpec:
    """The rank, shape and dtype that a layer of the user's own expects of an input; None where it does not matter.

    Args:
        dtype: accepted; inputs are cast to what the layer computes in.
        shape: the full shape, with None for sizes that do not matter.
        ndim: the rank.
        max_ndim: the highest rank.
        min_ndim: the lowest rank.
        axes: the size of axes, by their index.
        allow_last_axis_squeeze: whether a last axis of size 1 may be missing, or there, against `shape`.
        name: accepted.
        optional: whether the input may be None.

    Source: https://keras.io/api/layers/base_layer/
    """

    dtype: Any = None
    shape: Sequence[int | None] | None = None
    ndim: int | None = None
    max_ndim: int | None = None
    min_ndim: int | None = None
    axes: Mapping[int, int | None] | None = None
    allow_last_axis_squeeze: bool = False
    name: str | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        if self.shape is not None:
            self.shape = tuple(self.shape)
            self.ndim = len(self.shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        names = ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes", "optional")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return what `get_config` described."""
        return cls(**config)

    def check(self, shape: Sequence[Any], owner: str) -> None:
        """Raise ShapeError unless a shape, with whatever stands for unknown sizes, is as expected."""
        rank = len(shape)
        is_squeezed = self.allow_last_axis_squeeze and self.ndim is not None and abs(rank - self.ndim) == 1
        sizes = dict(self.axes or {})
        if self.shape is not None and not is_squeezed:
            sizes |= dict(enumerate(self.shape))
        is_rank = self.ndim in (None, rank) or is_squeezed
        is_rank = is_rank and rank >= (self.min_ndim or 0) and (self.max_ndim is None or rank <= self.max_ndim)
        if not is_rank or any(not _fits(shape, axis, size) for axis, size in sizes.items()):
            expected = {name: value for name, value in self.get_config().items() if value is not None and value != {}}
            expected.pop("optional")
            wanted = ", ".join(f"{name}={value}" for name, value in expected.items())
            raise ShapeError(f"{owner} expects an input of {wanted}; received shape {format_shape(shape)}")


def _fits(shape: Sequence[Any], axis: int, size: int | None) -> bool:
    given = shape[axis] if -len(shape) <= axis < len(shape) else 0
    return size is None or not isinstance(given, int) or given == size
