"""Windows over images [N, C, *spatial] that kir's own poolings and convolutions do not have."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kir.ir.op import Array
from kir.ir.types import as_dtype
from kir.ops.meanings.table import means
from kir.ops.windows import Window, explicit_padding, offsets

Numbers = tuple[int, ...]

WINDOWS = ("strides", "dilations", "pads", "auto_pad", "ceil_mode")  # attributes that `Windows.over` takes


@dataclass(frozen=True)
class Windows:
    """Windows over axes of known sizes: how many there are, and how far they reach over the start and the end."""

    windows: list[Window]
    sizes: Numbers
    pads: list[tuple[int, int]]
    counts: Numbers

    @classmethod
    def over(
        cls,
        sizes: Numbers,
        kernel_shape: Numbers,
        strides: Numbers | None = None,
        dilations: Numbers | None = None,
        pads: Numbers | None = None,
        auto_pad: str = "NOTSET",
        ceil_mode: int = 0,
    ) -> Windows:
        """Return the windows that an operator's attributes describe."""
        rank = len(sizes)
        ones = (1,) * rank
        windows = [Window(*each) for each in zip(kernel_shape, strides or ones, dilations or ones, strict=True)]
        padding: str | Numbers = pads or (0,) * 2 * rank
        if auto_pad == "VALID":
            padding = (0,) * 2 * rank
        elif auto_pad.startswith("SAME"):
            padding = "same"
        reach = explicit_padding(windows, sizes, padding)
        if auto_pad == "SAME_LOWER":
            reach = [(after, before) for before, after in reach]
        counts = tuple(int(w.count(s, p, bool(ceil_mode))) for w, s, p in zip(windows, sizes, reach, strict=True))  # type: ignore[arg-type]
        return cls(windows, sizes, reach, counts)

    def padded(self, x: Array, value: float = 0) -> Array:
        """Return x with elements around it, as many as the windows reach."""
        widths = [
            (before, max((count - 1) * w.stride + w.extent - size - before, after))
            for w, size, (before, after), count in zip(self.windows, self.sizes, self.pads, self.counts, strict=True)
        ]
        leading = [(0, 0)] * (x.ndim - len(widths))
        return np.asarray(np.pad(x, [*leading, *widths], constant_values=value))

    def places(self) -> Iterator[tuple[slice, ...]]:
        """Yield, for each element of a window, its places in all of them, as slices of what `padded` returns."""
        return (places for _, places in offsets(self.windows, self.counts))


@means("LpPool", more=WINDOWS)
def lp_pool(x: Array, *, p: int = 2, kernel_shape: Numbers, **how: Any) -> Array:
    """Return the p-norm of each window."""
    windows = Windows.over(x.shape[2:], kernel_shape, **how)
    powers = windows.padded(np.abs(x) ** p)
    total = np.zeros((*x.shape[:2], *windows.counts), x.dtype)
    for places in windows.places():
        total += powers[:, :, *places]
    return np.asarray(total ** (1 / p)).astype(x.dtype)


@means("GlobalLpPool")
def global_lp_pool(x: Array, *, p: int = 2) -> Array:
    """Return the p-norm of each image."""
    axes = tuple(range(2, x.ndim))
    return np.asarray((np.abs(x) ** p).sum(axes, keepdims=True) ** (1 / p)).astype(x.dtype)


@means("MaxPool", exact=True, more=WINDOWS)
def max_pool(x: Array, *, kernel_shape: Numbers, storage_order: int = 0, **how: Any) -> tuple[Array, ...]:
    """Return the largest element of each window, and its index among all elements of x, rows or columns first."""
    windows = Windows.over(x.shape[2:], kernel_shape, **how)
    least = -np.inf if as_dtype(x.dtype).is_float else np.iinfo(x.dtype).min
    order = "F" if storage_order else "C"
    size = math.prod(x.shape[2:])
    own = np.arange(size).reshape(x.shape[2:], order=order)  # type: ignore[call-overload]
    indices = windows.padded((np.arange(math.prod(x.shape[:2])) * size).reshape(*x.shape[:2], *[1] * own.ndim) + own)
    values, is_inside = windows.padded(x, least), windows.padded(np.ones(x.shape[2:], bool))
    largest = np.full((*x.shape[:2], *windows.counts), least, x.dtype)
    index = np.full(largest.shape, -1)
    for places in windows.places():
        found = values[:, :, *places]
        is_larger = is_inside[places] & ((found > largest) | (index < 0))
        largest = np.where(is_larger, found, largest)
        index = np.where(is_larger, indices[:, :, *places], index)
    return (largest, index)


@means("NhwcMaxPool", domain="com.microsoft", exact=True, more=WINDOWS)
def nhwc_max_pool(x: Array, *, kernel_shape: Numbers, **how: Any) -> Array:
    """Return the largest element of each window of images whose channels come last."""
    return np.moveaxis(max_pool(np.moveaxis(x, -1, 1), kernel_shape=kernel_shape, **how)[0], 1, -1)


@means("MaxUnpool", exact=True)
def max_unpool(
    x: Array,
    indices: Array,
    output_shape: Array | None = None,
    *,
    kernel_shape: Numbers,
    strides: Numbers | None = None,
    pads: Numbers | None = None,
) -> Array:
    """Return an image of zeros with the elements at their indices; without a shape, the least one that gives x.

    ONNX's own test takes indices to be those of that least image whatever the shape; onnxruntime, those of the result.
    """
    rank = x.ndim - 2
    steps, padding = strides or (1,) * rank, pads or (0,) * 2 * rank
    sizes = [
        (size - 1) * step + kernel - padding[axis] - padding[axis + rank]
        for axis, (size, step, kernel) in enumerate(zip(x.shape[2:], steps, kernel_shape, strict=True))
    ]
    shape = [*x.shape[:2], *sizes] if output_shape is None else output_shape.tolist()
    result = np.zeros(math.prod(shape), x.dtype)
    result[indices.ravel()] = x.ravel()
    return result.reshape(shape)


@means("Col2Im")
def col2im(
    x: Array,
    image_shape: Array,
    block_shape: Array,
    *,
    strides: Numbers | None = None,
    dilations: Numbers | None = None,
    pads: Numbers | None = None,
) -> Array:
    """Return images [N, C, *image] that are the sums of blocks x[N, C * block, number]."""
    sizes, kernel = tuple(image_shape.tolist()), tuple(block_shape.tolist())
    windows = Windows.over(sizes, kernel, strides, dilations, pads)
    columns = x.reshape(len(x), -1, math.prod(kernel), *windows.counts)
    result = windows.padded(np.zeros((len(x), x.shape[1] // math.prod(kernel), *sizes), x.dtype))
    for number, places in enumerate(windows.places()):
        result[:, :, *places] += columns[:, :, number]
    inner = (slice(before, before + size) for (before, _), size in zip(windows.pads, sizes, strict=True))
    return result[:, :, *inner]


@means("DeformConv", roundings=4.0, more=("strides", "dilations", "pads"))
def deform_conv(
    x: Array,
    weights: Array,
    offset: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    *,
    kernel_shape: Numbers | None = None,
    group: int = 1,
    offset_group: int = 1,
    **how: Any,
) -> Array:
    """Return a convolution of images [N, C, H, W] whose windows have their elements moved, each by its own offset."""
    kernel = kernel_shape or weights.shape[2:]
    windows = Windows.over(x.shape[2:], kernel, **how)
    batch, count = len(x), math.prod(kernel)
    moves = offset.reshape(batch, offset_group, count, 2, *windows.counts)
    strength = np.ones((batch, offset_group, count, 1, 1), x.dtype)
    if mask is not None:
        strength = mask.reshape(batch, offset_group, count, *windows.counts)
    channels = x.reshape(batch, offset_group, -1, *x.shape[2:])
    taken = np.zeros((batch, *channels.shape[1:3], count, *windows.counts), x.dtype)
    for number, index in enumerate(itertools.product(*map(range, kernel))):
        places = [
            moves[:, :, number, axis]
            + (index[axis] * w.dilation - windows.pads[axis][0] + np.arange(windows.counts[axis]) * w.stride).reshape(
                (-1, 1) if axis == 0 else (1, -1)
            )
            for axis, w in enumerate(windows.windows)
        ]
        taken[:, :, :, number] = _between(channels, places) * strength[:, :, number, None]
    columns = taken.reshape(batch, group, -1, math.prod(windows.counts))
    rows = weights.reshape(group, len(weights) // group, -1)
    result = (rows @ columns).reshape(batch, len(weights), *windows.counts)
    return result if bias is None else result + bias[:, None, None]


def _between(x: Array, places: list[Array]) -> Array:
    """Return what images [N, G, C, H, W] have at places [N, G, *wanted] between pixels; outside is 0."""
    batch, groups = np.ogrid[: x.shape[0], : x.shape[1]]
    result = np.zeros((*x.shape[:3], *places[0].shape[2:]), x.dtype)
    firsts = [np.floor(place) for place in places]
    for steps in itertools.product((0, 1), repeat=2):
        weight = np.ones(places[0].shape, x.dtype)
        indices = []
        for step, place, first, size in zip(steps, places, firsts, x.shape[3:], strict=True):
            index = first + step
            is_inside = (index >= 0) & (index < size)
            weight = weight * np.where(is_inside, 1 - np.abs(place - index), 0)
            indices.append(np.clip(index, 0, size - 1).astype(np.int64))
        found = x[batch[..., None, None], groups[..., None, None], :, *indices]
        result += np.moveaxis(found * weight[..., None], -1, 2)
    return result
