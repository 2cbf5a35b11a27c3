"""The base of layers that treat spatial axes alike."""

from __future__ import annotations

from typing import ClassVar

from kir.errors import ShapeError
from kir.ir.types import Shape, format_shape
from kir.modeling.declared import DataFormat, DeclaredLayer


class SpatialLayer(DeclaredLayer):
    """The base of layers of (batch, *spatial, channels), with `rank` spatial axes; the channels may come first."""

    rank: ClassVar[int]
    takes_one_tensor = True

    data_format = DataFormat(default=None)

    @property
    def spatial_axes(self) -> list[int]:
        first = 2 if self.data_format == "channels_first" else 1
        return list(range(first, first + self.rank))

    @property
    def layout(self) -> str:
        """The axes of an input, for messages."""
        return f"(batch, {'channels, *spatial' if self.data_format == 'channels_first' else '*spatial, channels'})"

    def build(self, input_shape: Shape) -> None:
        """Check the rank.

        Raises:
            ShapeError: it is another.
        """
        if len(input_shape) != self.rank + 2:
            raise ShapeError(
                f"{type(self).__name__} needs an input of rank {self.rank + 2}, {self.layout}; received "
                f"{format_shape(input_shape)}"
            )
