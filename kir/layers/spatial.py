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
