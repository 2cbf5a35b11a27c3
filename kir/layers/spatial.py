"""The base of layers that treat spatial axes alike."""

from __future__ import annotations

from typing import ClassVar, Protocol

from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.types import Shape, format_shape
from kir.modeling.declared import DataFormat, DeclaredLayer


class Strided(Protocol):
    """A layer whose windows move, and may have gaps."""

    strides: tuple[int, ...]
    dilation_rate: tuple[int, ...]

    @property
    def name_in_messages(self) -> str: ...


def refuse_strides_with_dilation(layer: Strided) -> None:
    """Raise InvalidArgumentError if windows move by more than 1 and have gaps, which Keras cannot compute either."""
    if max(layer.strides) > 1 and max(layer.dilation_rate) > 1:
        raise InvalidArgumentError(
            f"{layer.name_in_messages}: strides and dilation_rate must not both be more than 1, as in Keras; "
            f"received strides={layer.strides} and dilation_rate={layer.dilation_rate}"
        )


class FixedRankLayer(DeclaredLayer):
    """The base of layers of (batch, *spatial, channels), with `rank` spatial axes."""

    rank: ClassVar[int]
    takes_one_tensor = True

    @property
    def layout_in_messages(self) -> str:
        """The axes of an input, for messages."""
        return "the batch included"

    @property
    def spatial_axes(self) -> list[int]:
        """The axes between the batch and the channels."""
        return list(range(1, 1 + self.rank))

    def build(self, input_shape: Shape) -> None:
        """Check the rank.

        Raises:
            ShapeError: it is another.
        """
        if len(input_shape) != self.rank + 2:
            raise ShapeError(
                f"{type(self).__name__} needs an input of rank {self.rank + 2}, {self.layout_in_messages}; received "
                f"{format_shape(input_shape)}"
            )


class SpatialLayer(FixedRankLayer):
    """The base of layers of (batch, *spatial, channels), or with the channels first."""

    data_format = DataFormat(default=None)

    @property
    def layout_in_messages(self) -> str:
        """The axes of an input, for messages."""
        return f"(batch, {'channels, *spatial' if self.data_format == 'channels_first' else '*spatial, channels'})"

    @property
    def spatial_axes(self) -> list[int]:
        """The axes that are neither the batch nor the channels."""
        first = 2 if self.data_format == "channels_first" else 1
        return list(range(first, first + self.rank))
