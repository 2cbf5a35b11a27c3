"""Convolutions, with the names of `keras.ops`. Operators have the channels in front: channels_last is transposed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kir import config
from kir.arguments import choice, per_axis
from kir.backend.dispatch import TensorLike, operation, promote_float, shape_of
from kir.dims import is_known
from kir.errors import ShapeError
from kir.ops import convolution as ops
from kir.ops.shape import Reshape, Transpose
from kir.ops.windows import MAX_SPATIAL, SAME, Padding, Window, settle_padding
from kir.trace import emit
from kir.types import format_shape

__all__ = ["conv", "conv1d", "conv2d", "conv3d", "depthwise_conv", "depthwise_conv2d"]

CHANNELS_FIRST = "channels_first"


@operation
def conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Any:
    """The convolution over 1 to 3 spatial axes with a kernel (*k, channels/groups, filters).

    Args:
        padding: "valid", "same", or "causal": all zeros in front.
        data_format: "channels_last", (batch, *spatial, channels), or "channels_first"; `image_data_format()` if None.

    Source: https://keras.io/api/ops/nn/
    """
    x, kernel = promote_float(inputs, kernel)
    return convolve(x, kernel, None, strides, padding, data_format, dilation_rate)


conv1d = conv2d = conv3d = conv


@operation
def depthwise_conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Any:
    """The convolution of each channel on its own with a kernel (*k, channels, depth_multiplier)."""
    x, kernel = promote_float(inputs, kernel)
    return convolve(x, merge_depth(kernel), None, strides, padding, data_format, dilation_rate)


depthwise_conv2d = depthwise_conv


def convolve(
    x: Any,
    kernel: Any,
    bias: Any,
    strides: int | Sequence[int],
    padding: str,
    data_format: str | None,
    dilation_rate: int | Sequence[int],
) -> Any:
    """The convolution of floats with a kernel (*k, channels/groups, filters), and a bias (filters,) or None.

    Raises:
        ShapeError: x has not as many axes as the kernel, or not a multiple of its channels.
    """
    rank = spatial_rank("conv", x)
    data_format = config.standardize_data_format(data_format, "conv")
    channels = shape_of(x)[channel_axis(rank, data_format)]
    # As many channels as the kernel has belong to one group.
    divisor = shape_of(kernel)[-2] if len(shape_of(kernel)) == rank + 2 else 0
    if not is_known(channels) or not is_known(divisor) or divisor < 1 or channels % divisor:
        raise ShapeError(
            f"conv of {rank} spatial axes received {format_shape(shape_of(x))} with {data_format} and a kernel "
            f"{format_shape(shape_of(kernel))}; expected a kernel (*k, channels/groups, filters)"
        )
    windows = make_windows("conv", shape_of(kernel)[:rank], strides, dilation_rate)
    x = to_channels_first(x, data_format)
    op = ops.Conv(
        tuple(window.stride for window in windows),
        tuple(window.dilation for window in windows),
        channels // divisor,
        make_padding("conv", padding, windows, shape_of(x)[2:], ("valid", SAME, "causal")),
    )
    return from_channels_first(emit(op, x, kernel_in_front(kernel), bias), data_format)


def spatial_rank(owner: str, x: Any) -> int:
    """How many spatial axes (batch, *spatial, channels) has.

    Raises:
        ShapeError: not 1 to 3.
    """
    rank = len(shape_of(x)) - 2
    if not 1 <= rank <= MAX_SPATIAL:
        raise ShapeError(
            f"{owner} received {format_shape(shape_of(x))}; expected a batch, channels and 1 to {MAX_SPATIAL} "
            f"spatial axes"
        )
    return rank


def channel_axis(rank: int, data_format: str) -> int:
    """The axis of the channels."""
    return 1 if data_format == CHANNELS_FIRST else rank + 1


def make_windows(
    owner: str, sizes: Any, strides: int | Sequence[int], dilation_rate: int | Sequence[int] = 1
) -> list[Window]:
    """The window along each spatial axis.

    Raises:
        InvalidArgumentError: not one number of 1 or more for each axis.
    """
    rank = len(sizes)
    all_strides = per_axis(owner, "strides", strides, rank)
    dilations = per_axis(owner, "dilation_rate", dilation_rate, rank)
    return [Window(*each) for each in zip(sizes, all_strides, dilations, strict=True)]


def make_padding(
    owner: str, padding: str, windows: list[Window], sizes: Any, allowed: tuple[str, ...] = ("valid", SAME)
) -> Padding:
    """Keras's padding as that of an operator: in numbers where they do not depend on unknown sizes.

    Raises:
        InvalidArgumentError: it is none of those allowed.
    """
    padding = choice(owner, "padding", padding.lower() if isinstance(padding, str) else padding, allowed)
    if padding == "causal":
        return (*(window.extent - 1 for window in windows), *(0 for _ in windows))
    return settle_padding(windows, sizes, SAME if padding == SAME else (0,) * (2 * len(windows)))


def to_channels_first(x: Any, data_format: str) -> Any:
    """(batch, *spatial, channels) as (batch, channels, *spatial); itself if it is that already."""
    rank = len(shape_of(x))
    return x if data_format == CHANNELS_FIRST else emit(Transpose((0, rank - 1, *range(1, rank - 1))), x)


def from_channels_first(x: Any, data_format: str) -> Any:
    """The inverse of `to_channels_first`."""
    return x if data_format == CHANNELS_FIRST else emit(Transpose((0, *range(2, len(shape_of(x))), 1)), x)


def kernel_in_front(kernel: Any) -> Any:
    """A kernel (*k, a, b) as (b, a, *k)."""
    rank = len(shape_of(kernel))
    return emit(Transpose((rank - 1, rank - 2, *range(rank - 2))), kernel)


def merge_depth(kernel: Any) -> Any:
    """A depthwise kernel (*k, channels, multiplier) as that of a convolution of groups: (*k, 1, filters)."""
    *sizes, channels, multiplier = shape_of(kernel)
    return emit(Reshape((*sizes, 1, channels * multiplier)), kernel)
