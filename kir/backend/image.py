"""Images: resized, cropped and padded, with the names of `keras.ops.image`. They are of rank 4, or 3 without a batch.

Source: https://keras.io/api/ops/image/
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kir import config
from kir.backend.basic import cast, expand_dims
from kir.backend.convolution import conv
from kir.backend.dispatch import (
    SizeLike,
    as_size,
    convert,
    dtype_of,
    emit_source,
    rank_of,
    record_calls,
    shape_of,
    tensor,
)
from kir.backend.elementwise import clip, multiply, round
from kir.backend.indexing import emit_slice
from kir.backend.linear import matmul
from kir.backend.reduce import max as reduce_max
from kir.backend.reduce import min as reduce_min
from kir.backend.reduce import sum as reduce_sum
from kir.backend.shapes import pad, reshape, squeeze, transpose
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import Dim, divide_exactly, is_known, maximum, minimum, product
from kir.ir.op import Array
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import DType, format_shape
from kir.ops.elementwise import Div, Mul
from kir.ops.resize import Resize, resize_weights
from kir.ops.shape import Expand, Gather, Range
from kir.support.arguments import boolean, choice, per_axis

__all__ = ["resize_images"]

INTERPOLATIONS = {
    "nearest": "nearest",
    "bilinear": "linear",
    "bicubic": "cubic",
    "lanczos3": "lanczos3",
    "lanczos5": "lanczos5",
}


def resize(
    images: TensorLike,
    size: Sequence[SizeLike],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Tensor:
    """Resize images to (height, width). Integers are computed in float32, and rounded.

    Bilinear works on unknown sizes as one operator, and bicubic where it must; with known ones bicubic is two products
    with constant matrices, which onnxruntime computes many times as fast, as are Lanczos and everything antialiased.

    Args:
        images: of rank 4, or 3 without a batch.
        size: height and width.
        interpolation: "nearest", "bilinear", "bicubic", "lanczos3" or "lanczos5".
        antialias: whether each new element comes from all old ones that it covers.
        crop_to_aspect_ratio: first cuts the images to the new ratio of height and width.
        pad_to_aspect_ratio: first pads them to it, with `fill_value`.
        fill_mode: only "constant".
        fill_value: what is padded with.
        data_format: `kir.config.image_data_format()` if None.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        ShapeError: the rank is another, or a size must be known and is not.
    """
    owner = "image.resize"
    choice(owner, "interpolation", interpolation, tuple(INTERPOLATIONS))
    choice(owner, "fill_mode", fill_mode, ("constant",))
    boolean(owner, "antialias", antialias)
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise InvalidArgumentError(f"{owner} takes one of crop_to_aspect_ratio and pad_to_aspect_ratio")
    x = tensor(images)
    axes = image_axes(x, data_format)
    wanted = tuple(as_size(one, "a size of image.resize") for one in size)
    if len(wanted) != 2:
        raise InvalidArgumentError(f"{owner}: size must be (height, width); received size={size!r}")
    if crop_to_aspect_ratio:
        x = crop_to_ratio(x, axes, wanted)
    elif pad_to_aspect_ratio:
        x = _padded_to_ratio(x, axes, wanted, fill_value)
    sizes = {axis: size for axis, size in zip(axes, wanted, strict=True) if shape_of(x)[axis] != size}
    if not sizes:
        return x
    if interpolation == "nearest":
        return _pick_nearest(x, sizes)
    given = dtype_of(x)
    result = _interpolate(x if given.is_float else cast(x, "float32"), sizes, INTERPOLATIONS[interpolation], antialias)
    return result if given.is_float else convert(clip(round(result), reduce_min(x), reduce_max(x)), given)


def image_axes(x: Tensor, data_format: str | None) -> tuple[int, int]:
    """Return the axes of height and width.

    Raises:
        ShapeError: the rank is neither 4 nor 3.
    """
    rank = rank_of(x)
    if rank not in (3, 4):
        raise ShapeError(
            f"images must be of rank 4, or 3 without a batch; received the shape {format_shape(shape_of(x))}"
        )
    first = config.standardize_data_format(data_format) == "channels_first"
    return (rank - 2, rank - 1) if first else (rank - 3, rank - 2)


def _interpolate(x: Tensor, sizes: Mapping[int, Dim], kernel: str, antialias: bool) -> Tensor:
    given = shape_of(x)
    shape = tuple(sizes.get(axis, size) for axis, size in enumerate(given))
    are_known = all(is_known(given[axis]) and is_known(size) for axis, size in sizes.items())
    is_plain = kernel in ("linear", "cubic") and not antialias
    if is_plain and (not are_known or (kernel == "linear" and dtype_of(x) is not DType.FLOAT64)):
        return _emit_resize(x, shape, kernel)
    for axis, size in sizes.items():
        before = shape_of(x)[axis]
        if not is_known(before) or not is_known(size):
            raise ShapeError(
                f"images of shape {format_shape(given)} cannot be resized to {format_shape(shape)} so: only bilinear, "
                f"bicubic and nearest, without antialias, work on unknown sizes; give concrete ones"
            )
        x = weigh(x, axis, resize_weights(before, size, kernel, antialias))
    return x


def _emit_resize(x: Tensor, shape: tuple[Dim, ...], kernel: str) -> Tensor:
    """Emit a Resize of images with a batch, on axes that onnxruntime has a kernel for."""
    if len(shape) == 3:
        return squeeze(_emit_resize(expand_dims(x, 0), (1, *shape), kernel), 0)
    given = shape_of(x)
    is_whole = all(divide_exactly(wanted, size) is not None for size, wanted in zip(given, shape, strict=True))
    is_of_last_axes = given[1] == shape[1]
    if kernel != "cubic" or is_whole or is_of_last_axes:
        return emit(Resize(shape, kernel), x)
    # One axis after the other, each as one of the last two. Transposed ones would not do: onnxruntime takes transposes
    # around a Resize away, and then refuses it.
    batch, height, width, channels = shape
    x = emit(
        Resize((1, batch, height, given[2] * channels), kernel), reshape(x, (1, batch, given[1], given[2] * channels))
    )
    x = emit(Resize((1, batch * height, width, channels), kernel), reshape(x, (1, batch * height, given[2], channels)))
    return reshape(x, shape)


def weigh(x: Tensor, axis: int, weights: Array) -> Tensor:
    """Multiply weights [n, m] with one axis of size m."""
    weights = weights.astype(dtype_of(x).numpy)
    sizes = shape_of(x)
    if axis == len(sizes) - 1:
        return matmul(x, np.ascontiguousarray(weights.T))
    rest = sizes[axis + 1 :]
    rows = x if len(rest) == 1 else reshape(x, (*sizes[: axis + 1], product(rest)))
    result = matmul(weights, rows)
    return result if len(rest) == 1 else reshape(result, (*sizes[:axis], weights.shape[0], *rest))


def _pick_nearest(x: Tensor, sizes: Mapping[int, Dim]) -> Tensor:
    """Pick elements: i of n is ``floor((i + 0.5) * m / n)`` of m, computed in integers, so that nothing is rounded."""
    for axis, n in sizes.items():
        m = shape_of(x)[axis]
        if is_known(m) and is_known(n):
            indices: Any = (2 * np.arange(n, dtype=np.int64) + 1) * m // (2 * n)
        else:
            count = emit_source(Range(1, 2 * n + 1, 2), x)
            indices = emit(Div(), emit(Mul(), count, _size(m, x)), _size(2 * n, x))
        x = emit(Gather(axis), x, indices)
    return x


def _size(dim: Dim, near: Tensor) -> Tensor:
    return convert(dim, DType.INT64, near)


def repeat_axes(x: Tensor, factors: Mapping[int, int]) -> Tensor:
    """Repeat every element along some axes, as many times as `factors` has for each.

    onnxruntime repeats rows of elements fastest by Expand (3.5 times as fast as by Resize), and single elements by
    Resize (160 times as fast as by Expand). It has no Resize of float64, which would be rounded to float32.
    """
    factors = {axis: factor for axis, factor in factors.items() if factor != 1}
    sizes = shape_of(x)
    result = tuple(size * factors.get(axis, 1) for axis, size in enumerate(sizes))
    if not factors:
        return x
    if len(sizes) - 1 in factors and dtype_of(x).is_float and dtype_of(x) is not DType.FLOAT64:
        return emit(Resize(result, "nearest"), x)
    grown: list[Dim] = []
    repeated: list[Dim] = []
    for axis, size in enumerate(sizes):
        grown += [size, 1] if axis in factors else [size]
        repeated += [size, factors[axis]] if axis in factors else [size]
    return reshape(emit(Expand(tuple(repeated)), reshape(x, tuple(grown))), result)


def resize_images(
    x: TensorLike, height_factor: int, width_factor: int, data_format: str | None, interpolation: str = "nearest"
) -> Tensor:
    """Enlarge images by whole factors, as `keras.backend` has it; "nearest" repeats rows and columns."""
    x = tensor(x)
    axes = image_axes(x, data_format)
    factors = (int(height_factor), int(width_factor))
    if interpolation == "nearest":
        return repeat_axes(x, dict(zip(axes, factors, strict=True)))
    size = [shape_of(x)[axis] * factor for axis, factor in zip(axes, factors, strict=True)]
    return resize(x, size, interpolation, data_format=data_format)


# Cropping and padding


def crop_images(
    images: TensorLike,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:
    """Cut rows and columns off images: two of three say how many for each axis, as one follows from the others.

    The three are how many at the front, how many at the end, and how many are left.

    Raises:
        InvalidArgumentError: not two of three are given.
    """
    x = tensor(images)
    rows, columns = image_axes(x, data_format)
    for axis, before, after, target in (
        (rows, top_cropping, bottom_cropping, target_height),
        (columns, left_cropping, right_cropping, target_width),
    ):
        size = shape_of(x)[axis]
        start, end = _two_of_three("crop_images", before, after, None if target is None else size - target)
        x = x if (start, end) == (0, 0) else emit_slice(x, axis, start, size - end)
    return x


def pad_images(
    images: TensorLike,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:
    """Add rows and columns of 0 to images: two of three say how many for each axis, as one follows from the others.

    The three are how many at the front, how many at the end, and how many there are afterwards.

    Raises:
        InvalidArgumentError: not two of three are given.
    """
    x = tensor(images)
    widths: list[tuple[Dim, Dim]] = [(0, 0)] * rank_of(x)
    rows, columns = image_axes(x, data_format)
    for axis, before, after, target in (
        (rows, top_padding, bottom_padding, target_height),
        (columns, left_padding, right_padding, target_width),
    ):
        total = None if target is None else target - shape_of(x)[axis]
        widths[axis] = _two_of_three("pad_images", before, after, total)
    return _with_borders(x, widths)


def extract_patches(
    images: TensorLike,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Return the contents of windows of images, (batch, rows, columns, height * width * channels), or of volumes.

    Windows side by side are the same elements in another order. Others are picked by a convolution.

    Args:
        images: of rank 4, or 3 without a batch; volumes have one more.
        size: of a window, one for both axes or one for each; three sizes are those of volumes.
        strides: from one window to the next; `size` if None.
        dilation_rate: from one element of a window to the next.
        padding: "valid", or "same", which pads with 0.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        ShapeError: the rank is another, or the number of channels is not known.
    """
    owner = "image.extract_patches"
    spatial = len(size) if isinstance(size, (list, tuple)) else 2
    sizes = per_axis(owner, "size", size, spatial)
    steps = sizes if strides is None else per_axis(owner, "strides", strides, spatial)
    dilations = per_axis(owner, "dilation_rate", dilation_rate, spatial)
    choice(owner, "padding", padding, ("valid", "same"))
    x = tensor(images)
    if rank_of(x) == spatial + 1:
        return squeeze(extract_patches(expand_dims(x, 0), sizes, steps, dilations, padding, data_format), 0)
    if rank_of(x) != spatial + 2:
        raise ShapeError(
            f"{owner} with size={size!r} takes rank {spatial + 2}, or {spatial + 1} without a batch; received the "
            f"shape {format_shape(shape_of(x))}"
        )
    if config.standardize_data_format(data_format) == "channels_first":
        x = transpose(x, (0, *range(2, spatial + 2), 1))
        patches = extract_patches(x, sizes, steps, dilations, padding, "channels_last")
        return transpose(patches, (0, spatial + 1, *range(1, spatial + 1)))
    given = shape_of(x)[1:-1]
    is_whole = all(divide_exactly(length, one) is not None for length, one in zip(given, sizes, strict=True))
    if steps == sizes and set(dilations) == {1} and (padding == "valid" or is_whole):
        return _cut_into(x, sizes)
    channels = shape_of(x)[-1]
    if not is_known(channels):
        raise ShapeError(f"{owner}: the number of channels of {format_shape(shape_of(x))} must be known")
    count = math.prod(sizes) * channels
    kernel = np.eye(count, dtype=np.float32).reshape(*sizes, channels, count)
    dtype = dtype_of(x)
    floats = x if dtype.is_float else cast(x, "float32")
    patches = conv(floats, kernel.astype(dtype_of(floats).numpy), steps, padding, "channels_last", dilations)
    return convert(patches, dtype)


def _cut_into(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Cut (batch, *spatial, channels) into windows side by side, without what is left over at the ends."""
    batch, *given, channels = shape_of(x)
    counts = [length // size for length, size in zip(given, sizes, strict=True)]
    split: list[Dim] = []
    for axis, (count, size) in enumerate(zip(counts, sizes, strict=True), 1):
        x = x if count * size == shape_of(x)[axis] else emit_slice(x, axis, 0, count * size)
        split += [count, size]
    spatial = len(sizes)
    # From (batch, rows, height, columns, width, channels) to (batch, rows, columns, height, width, channels).
    order = (0, *range(1, 2 * spatial, 2), *range(2, 2 * spatial + 1, 2), 2 * spatial + 1)
    cut = transpose(reshape(x, (batch, *split, channels)), order)
    return reshape(cut, (batch, *counts, product((*sizes, channels))))


def _two_of_three(owner: str, before: Dim | None, after: Dim | None, total: Dim | None) -> tuple[Dim, Dim]:
    if [before, after, total].count(None) != 1:
        raise InvalidArgumentError(
            f"image.{owner} needs two of three for each axis: how much at the front, how much at the end, the target; "
            f"received {before}, {after} and a difference of {total}"
        )
    if before is None:
        assert total is not None
        assert after is not None
        return total - after, after
    if after is None:
        assert total is not None
        return before, total - before
    return before, after


def crop_to_ratio(x: Tensor, axes: tuple[int, int], wanted: tuple[Dim, ...]) -> Tensor:
    for axis, size in zip(axes, sizes_at_ratio(x, axes, wanted), strict=True):
        given = shape_of(x)[axis]
        start = (given - size) // 2
        x = x if given == size else emit_slice(x, axis, start, start + size)
    return x


def sizes_at_ratio(x: Tensor, axes: tuple[int, int], wanted: tuple[Dim, ...]) -> tuple[Dim, Dim]:
    """Return the height and the width of the largest window in images that has the ratio of the wanted size."""
    height, width = (
        minimum(ideal, shape_of(x)[axis]) for axis, ideal in zip(axes, _at_ratio(x, axes, wanted, least=1), strict=True)
    )
    return height, width


def _padded_to_ratio(x: Tensor, axes: tuple[int, int], wanted: tuple[Dim, ...], fill_value: float) -> Tensor:
    widths: list[tuple[Dim, Dim]] = [(0, 0)] * rank_of(x)
    for axis, ideal in zip(axes, _at_ratio(x, axes, wanted, least=0), strict=True):
        given = shape_of(x)[axis]
        # The same on both sides, as in Keras: half of an odd difference is cut off.
        widths[axis] = ((maximum(ideal, given) - given) // 2,) * 2
    return _with_borders(x, widths, fill_value)


def _with_borders(x: Tensor, widths: Sequence[tuple[Dim, Dim]], value: float = 0.0) -> Tensor:
    return x if all(width == (0, 0) for width in widths) else pad(x, widths, constant_values=value)


def _at_ratio(x: Tensor, axes: tuple[int, int], wanted: tuple[Dim, ...], least: int) -> tuple[Dim, Dim]:
    """Return the height that fits the width of the images at the wanted ratio, and the width that fits their height."""
    (height, width), (rows, columns) = (shape_of(x)[axis] for axis in axes), wanted
    return _scaled(width, rows, columns, least), _scaled(height, columns, rows, least)


def _scaled(size: Dim, times: Dim, by: Dim, least: int) -> Dim:
    """Return ``size * times / by`` for a size of 1 or more: rounded down, but at least `least`."""
    scaled = size * times // by
    is_enough = is_known(times) and is_known(by) and times // by >= least
    return scaled if is_enough else maximum(scaled, least)


GRAY = (0.2989, 0.5870, 0.1140)  # what red, green and blue count


def rgb_to_grayscale(images: TensorLike, data_format: str | None = None) -> Tensor:
    """Return images of one channel, the weighted sum of three; those of one channel stay as they are.

    Raises:
        ShapeError: they have another rank than 3 or 4, or another number of channels.
    """
    x = tensor(images)
    axis = rank_of(x) - (3 if config.standardize_data_format(data_format, "K.image") == "channels_first" else 1)
    shape = shape_of(x)
    if rank_of(x) not in (3, 4) or shape[axis] not in (1, 3):
        raise ShapeError(f"rgb_to_grayscale takes images of 1 or 3 channels; received {format_shape(shape)}")
    if shape[axis] == 1:
        return x
    computed = x if dtype_of(x).is_float else cast(x, config.floatx())
    weights = np.asarray(GRAY).astype(dtype_of(computed).numpy)
    spread = weights.reshape([-1 if one == axis else 1 for one in range(rank_of(x))])
    return convert(reduce_sum(multiply(computed, spread), axis, True), dtype_of(x))


# `K.image` is a namespace, too.
record_calls(globals(), ("crop_images", "extract_patches", "pad_images", "resize", "rgb_to_grayscale"))
