"""Pooling, with the names of `keras.ops`. Operators have the channels in front: channels_last is transposed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kir import config
from kir.backend.convolution import (
    channel_axis,
    from_channels_first,
    make_padding,
    make_windows,
    spatial_rank,
    to_channels_first,
)
from kir.backend.dispatch import convert, dtype_of, floating, shape_of, tensor
from kir.backend.indexing import take
from kir.backend.reduce import max, mean
from kir.backend.shapes import concatenate
from kir.errors import LimitError, ShapeError
from kir.ir.dims import is_known
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import DType, format_shape
from kir.ops.pooling import COMPARED_DTYPES, AveragePool, MaxPool
from kir.ops.windows import Padding, Window
from kir.support.arguments import choice, per_axis
from kir.support.limits import MAX_COUNT

__all__ = ["adaptive_average_pool", "adaptive_max_pool", "average_pool", "max_pool", "pool2d", "pool3d"]


def max_pool(
    inputs: TensorLike,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Return the largest element of each window over 1 to 3 spatial axes.

    Args:
        strides: as `pool_size` if None.
        padding: "valid", or "same": ceil(size / stride) windows, of which only what lies in the input counts.
        data_format: "channels_last", (batch, *spatial, channels), or "channels_first"; `image_data_format()` if None.

    Source: https://keras.io/api/ops/nn/
    """
    return _pool(tensor(inputs), "max", pool_size, strides, padding, data_format)


def average_pool(
    inputs: TensorLike,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Return the mean of each window over 1 to 3 spatial axes; see `max_pool`."""
    return _pool(floating(inputs), "avg", pool_size, strides, padding, data_format)


def pool2d(
    x: TensorLike,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Tensor:
    """Return the `max_pool` of x, or the `average_pool` if `pool_mode` is "avg"."""
    mode = choice("pool2d", "pool_mode", pool_mode, ("max", "avg"))
    return (max_pool if mode == "max" else average_pool)(x, pool_size, strides, padding, data_format)


pool3d = pool2d


def adaptive_max_pool(inputs: TensorLike, output_size: int | Sequence[int], data_format: str | None = None) -> Tensor:
    """Return the largest element of each of `output_size` windows along each spatial axis, which cover it evenly.

    Raises:
        ShapeError: a spatial size is 0 where the output has more than one element.
    """
    return _adaptive_pool(tensor(inputs), "max", output_size, data_format)


def adaptive_average_pool(
    inputs: TensorLike, output_size: int | Sequence[int], data_format: str | None = None
) -> Tensor:
    """Return the mean of each of the windows of `adaptive_max_pool`."""
    return _adaptive_pool(floating(inputs), "avg", output_size, data_format)


def _pool(
    x: Tensor,
    mode: str,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None,
    padding: str,
    data_format: str | None,
) -> Tensor:
    rank = spatial_rank("pool", x)
    data_format = config.standardize_data_format(data_format, "pool")
    sizes = per_axis("pool", "pool_size", pool_size, rank)
    windows = make_windows("pool", sizes, sizes if strides is None else strides)
    x = to_channels_first(x, data_format)
    settled = make_padding("pool", padding, windows, shape_of(x)[2:])
    return from_channels_first(_emit_pool(x, mode, windows, settled), data_format)


def _emit_pool(x: Tensor, mode: str, windows: list[Window], padding: Padding) -> Tensor:
    sizes = tuple(window.size for window in windows)
    strides = tuple(window.stride for window in windows)
    ones = (1,) * len(windows)
    if mode == "max":
        given = dtype_of(x)
        # float64 holds every integer of up to 32 bits.
        is_held = given in COMPARED_DTYPES or given.itemsize > 4
        op = MaxPool(sizes, strides, ones, padding, ceil_mode=False)
        return convert(emit(op, x if is_held else convert(x, DType.FLOAT64)), given)
    return emit(AveragePool(sizes, strides, ones, padding, ceil_mode=False, count_include_pad=False), x)


def _adaptive_pool(x: Tensor, mode: str, output_size: int | Sequence[int], data_format: str | None) -> Tensor:
    """Pool axis by axis: a mean of means of equally many elements is their mean."""
    rank = spatial_rank("adaptive_pool", x)
    data_format = config.standardize_data_format(data_format, "adaptive_pool")
    counts = per_axis("adaptive_pool", "output_size", output_size, rank)
    first = 2 if channel_axis(rank, data_format) == 1 else 1
    single = [first + axis for axis, count in enumerate(counts) if count == 1]
    if single:
        x = max(x, axis=single, keepdims=True) if mode == "max" else mean(x, axis=single, keepdims=True)
    if len(single) == rank:
        return x
    x = to_channels_first(x, data_format)
    for axis, count in enumerate(counts):
        if count > 1:
            x = _adapt(x, mode, axis, count)
    return from_channels_first(x, data_format)


def _adapt(x: Tensor, mode: str, axis: int, count: int) -> Tensor:
    """Pool one spatial axis over windows, of which some may have one element more than the others."""
    size = shape_of(x)[2 + axis]
    if count > MAX_COUNT:
        raise LimitError(f"adaptive pooling to {count} elements is out of all proportion; at most {MAX_COUNT} are made")
    if not is_known(size):
        return _adapt_unknown(x, mode, 2 + axis, count)
    if size < 1:
        raise ShapeError(
            f"adaptive pooling to {count} elements received {format_shape(shape_of(x))}, in which spatial axis {axis} "
            f"is empty"
        )
    starts = np.arange(count) * size // count
    lengths = -(-np.arange(1, count + 1) * size // count) - starts
    small = int(lengths.min())
    if size % count == 0:
        return _pool_axis(x, mode, axis, small, small)
    pooled = [_pool_axis(x, mode, axis, length, 1) for length in range(small, int(lengths.max()) + 1)]
    # Of all windows of each length, those that are wanted.
    places = np.where(lengths == small, starts, starts + size - small + 1)
    return take(concatenate(pooled, axis=2 + axis) if len(pooled) > 1 else pooled[0], places, axis=2 + axis)


def _adapt_unknown(x: Tensor, mode: str, axis: int, count: int) -> Tensor:
    """Pool as `_adapt` does, by slices whose bounds are computed when the graph runs."""
    size = shape_of(x)[axis]
    pooled = []
    for place in range(count):
        start, end = place * size // count, ((place + 1) * size + count - 1) // count
        window = x[(*[slice(None)] * axis, slice(start, end))]
        pooled.append(
            max(window, axis=axis, keepdims=True) if mode == "max" else mean(window, axis=axis, keepdims=True)
        )
    return concatenate(pooled, axis=axis)


def _pool_axis(x: Tensor, mode: str, axis: int, size: int, stride: int) -> Tensor:
    rank = len(shape_of(x)) - 2
    windows = [Window(size, stride, 1) if each == axis else Window(1, 1, 1) for each in range(rank)]
    return _emit_pool(x, mode, windows, (0,) * (2 * rank))
