"""Convolutions, with the names of `keras.ops`. Operators have the channels in front: channels_last is transposed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kir import config
from kir.backend.dispatch import promote_float, shape_of
from kir.errors import ShapeError
from kir.ir.dims import is_known
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import Shape, format_shape
from kir.ops import convolution as ops
from kir.ops.shape import Reshape, Transpose
from kir.ops.windows import MAX_SPATIAL, SAME, Padding, Window, settle_padding
from kir.support.arguments import choice, per_axis

__all__ = [
    "conv", "conv1d", "conv2d", "conv3d", "conv_transpose", "depthwise_conv", "depthwise_conv2d", "separable_conv",
    "separable_conv2d",
]  # fmt: skip

CHANNELS_FIRST = "channels_first"


def conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Return the convolution over 1 to 3 spatial axes with a kernel (*k, channels/groups, filters).

    Args:
        padding: "valid", "same", or "causal": all zeros in front.
        data_format: "channels_last", (batch, *spatial, channels), or "channels_first"; `image_data_format()` if None.

    Source: https://keras.io/api/ops/nn/
    """
    x, kernel = promote_float(inputs, kernel)
    return convolve(x, kernel, None, strides, padding, data_format, dilation_rate)


conv1d = conv2d = conv3d = conv


def depthwise_conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Return the convolution of each channel on its own with a kernel (*k, channels, depth_multiplier)."""
    x, kernel = promote_float(inputs, kernel)
    return convolve(x, merge_depth(kernel), None, strides, padding, data_format, dilation_rate)


depthwise_conv2d = depthwise_conv


def separable_conv(
    inputs: TensorLike,
    depthwise_kernel: TensorLike,
    pointwise_kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Return a `depthwise_conv` followed by a `conv` with windows of size 1."""
    x, depthwise, pointwise = promote_float(inputs, depthwise_kernel, pointwise_kernel)
    return convolve_separably(x, depthwise, pointwise, None, strides, padding, data_format, dilation_rate)


separable_conv2d = separable_conv


def conv_transpose(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    output_padding: int | Sequence[int] | None = None,
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Return the transposed convolution over 1 to 3 spatial axes with a kernel (*k, filters, channels).

    Args:
        padding: "valid", or "same": size * strides elements.
        output_padding: how many elements more than ``(size - 1) * strides`` plus the window, or with "same" plus the
            window's size modulo 2. None gives what `padding` says.
        data_format: "channels_last", (batch, *spatial, channels), or "channels_first"; `image_data_format()` if None.

    Source: https://keras.io/api/ops/nn/
    """
    x, kernel = promote_float(inputs, kernel)
    return convolve_transposed(x, kernel, None, strides, padding, output_padding, data_format, dilation_rate)


def convolve_separably(
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    bias: Tensor | None,
    strides: int | Sequence[int],
    padding: str,
    data_format: str | None,
    dilation_rate: int | Sequence[int],
) -> Tensor:
    """See `separable_conv`; with a bias (filters,) or None."""
    data_format = config.standardize_data_format(data_format, "separable_conv")
    x = to_channels_first(x, data_format)
    x = convolve(x, merge_depth(depthwise), None, strides, padding, CHANNELS_FIRST, dilation_rate)
    return from_channels_first(convolve(x, pointwise, bias, 1, "valid", CHANNELS_FIRST, 1), data_format)


def convolve_transposed(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    strides: int | Sequence[int],
    padding: str,
    output_padding: int | Sequence[int] | None,
    data_format: str | None,
    dilation_rate: int | Sequence[int],
) -> Tensor:
    """See `conv_transpose`; with a bias (filters,) or None."""
    rank = spatial_rank("conv_transpose", x)
    data_format = config.standardize_data_format(data_format, "conv_transpose")
    windows = make_windows("conv_transpose", shape_of(kernel)[:rank], strides, dilation_rate)
    padding = choice("conv_transpose", "padding", str(padding).lower(), ("valid", SAME))
    extra = (
        [None] * rank
        if output_padding is None
        else per_axis("conv_transpose", "output_padding", output_padding, rank, 0)
    )
    cuts = [transposed_cuts(window, padding, more) for window, more in zip(windows, extra, strict=True)]
    op = ops.ConvTranspose(
        tuple(window.stride for window in windows),
        tuple(window.dilation for window in windows),
        1,
        (*(before for before, _ in cuts), *(max(after, 0) for _, after in cuts)),
        tuple(max(-after, 0) for _, after in cuts),
    )
    result = emit(op, to_channels_first(x, data_format), kernel_in_front(kernel), bias)
    return from_channels_first(result, data_format)


def transposed_cuts(window: Window, padding: str, output_padding: int | None) -> tuple[int, int]:
    """Return how many elements Keras cuts off either end of a transposed convolution; negative ones are added.

    Source: `_convert_conv_transpose_padding_args_from_keras_to_jax` in keras/src/backend/common/backend_utils.py
    """
    extent = window.extent
    if padding == "valid":
        return 0, -(max(window.stride - extent, 0) if output_padding is None else output_padding)
    kept = window.stride + extent - 2 if output_padding is None else extent + extent % 2 - 2 + output_padding
    front = min(kept - kept // 2, extent - 1)
    return extent - 1 - front, extent - 1 - (kept - front)


def convolve(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    strides: int | Sequence[int],
    padding: str,
    data_format: str | None,
    dilation_rate: int | Sequence[int],
) -> Tensor:
    """Return the convolution of floats with a kernel (*k, channels/groups, filters), and a bias (filters,) or None.

    Raises:
        ShapeError: x has other axes than the kernel, or no multiple of its channels.
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


def spatial_rank(owner: str, x: Tensor) -> int:
    """Return the number of spatial axes of (batch, *spatial, channels).

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
    """Return the axis of the channels."""
    return 1 if data_format == CHANNELS_FIRST else rank + 1


def make_windows(
    owner: str, sizes: Sequence[Any], strides: int | Sequence[int], dilation_rate: int | Sequence[int] = 1
) -> list[Window]:
    """Return the window along each spatial axis.

    Raises:
        InvalidArgumentError: not one number of 1 or more for each axis.
    """
    rank = len(sizes)
    all_strides = per_axis(owner, "strides", strides, rank)
    dilations = per_axis(owner, "dilation_rate", dilation_rate, rank)
    return [Window(*each) for each in zip(sizes, all_strides, dilations, strict=True)]


def make_padding(
    owner: str, padding: str, windows: list[Window], sizes: Shape, allowed: tuple[str, ...] = ("valid", SAME)
) -> Padding:
    """Return Keras's padding as an operator has it: in numbers, unless it depends on unknown sizes.

    Raises:
        InvalidArgumentError: it is none of those allowed.
    """
    padding = choice(owner, "padding", padding.lower() if isinstance(padding, str) else padding, allowed)
    if padding == "causal":
        return (*(window.extent - 1 for window in windows), *(0 for _ in windows))
    return settle_padding(windows, sizes, SAME if padding == SAME else (0,) * (2 * len(windows)))


def to_channels_first(x: Tensor, data_format: str) -> Tensor:
    """Return (batch, *spatial, channels) as (batch, channels, *spatial); itself if it is that already."""
    rank = len(shape_of(x))
    return x if data_format == CHANNELS_FIRST else emit(Transpose((0, rank - 1, *range(1, rank - 1))), x)


def from_channels_first(x: Tensor, data_format: str) -> Tensor:
    """Return the inverse of `to_channels_first`."""
    return x if data_format == CHANNELS_FIRST else emit(Transpose((0, *range(2, len(shape_of(x))), 1)), x)


def kernel_in_front(kernel: Tensor) -> Tensor:
    """Return a kernel (*k, a, b) as (b, a, *k)."""
    rank = len(shape_of(kernel))
    return emit(Transpose((rank - 1, rank - 2, *range(rank - 2))), kernel)


def merge_depth(kernel: Tensor) -> Tensor:
    """Return a depthwise kernel (*k, channels, multiplier) as that of a convolution of groups: (*k, 1, filters)."""
    *sizes, channels, multiplier = shape_of(kernel)
    return emit(Reshape((*sizes, 1, channels * multiplier)), kernel)
