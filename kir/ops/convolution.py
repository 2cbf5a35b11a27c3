"""Convolutions. Floats of 16 bits are multiplied in float32 and rounded once."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from kir.errors import ShapeError
from kir.ir.dims import Dim, is_known
from kir.ir.op import Array
from kir.ir.types import FLOATS, Shape, TensorType, agree_dim, type_of
from kir.ops.precision import WideOp, require_dtype, require_same_dtype
from kir.ops.windows import (
    Padding,
    Window,
    check_spatial,
    count_windows,
    count_windows_of,
    explicit_padding,
    offsets,
    padded,
)

# Intermediate results have so many elements, to be read while they are in the cache: the columns of a matrix product,
# which is slow when small, and the product of two arrays.
COLUMN_ELEMENTS = 1 << 18
CACHED_ELEMENTS = 1 << 17

# Products of fewer elements BLAS may sum in another order where one factor is transposed.
LARGE_KERNEL = 1 << 18


@dataclass(frozen=True)
class _Convolution(WideOp):
    """A convolution of x[N, C, *spatial] with 1 to 3 spatial axes.

    Args:
        strides: the step of the window along each spatial axis.
        dilations: the distance between its elements.
        groups: into how many independent groups the channels of x and of the result are divided.
    """

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int

    def windows(self, sizes: tuple[int, ...]) -> list[Window]:
        """Return the window along each spatial axis of a kernel of these sizes."""
        return [Window(*each) for each in zip(sizes, self.strides, self.dilations, strict=True)]

    def known_kernel(
        self, layout: str, padding: Padding, x: TensorType, kernel: TensorType, bias: TensorType | None
    ) -> tuple[int, tuple[int, ...]]:
        """Return the first size of the kernel, which `groups` divides, and its spatial sizes.

        Raises:
            ShapeError: the types do not fit each other or the attributes.
        """
        check_spatial(self, x, padding, strides=self.strides, dilations=self.dilations)
        if kernel.rank != x.rank or (bias is not None and bias.rank != 1):
            given = f"x {x}, kernel {kernel}" + (f", bias {bias}" if bias else "")
            raise ShapeError(f"{self.name} received {given}; expected x[N, C, *spatial], kernel{layout} and bias[M]")
        require_same_dtype(self, x=x, kernel=kernel, bias=bias)
        require_dtype(self, "x", x, FLOATS)
        first, _, *sizes = kernel.shape
        known = tuple(size for size in (first, *sizes) if is_known(size) and size > 0)
        if len(known) != kernel.rank - 1:
            raise ShapeError(f"{self.name} received the kernel {kernel}; expected known sizes of 1 or more")
        if self.groups < 1 or known[0] % self.groups:
            raise ShapeError(f"{self.name} received groups={self.groups} and the kernel {kernel}; expected a divisor")
        return known[0], known[1:]

    def agree_bias(self, units: Dim, kernel: TensorType, bias: TensorType | None) -> Dim:
        """Return the number of channels of the result, on which the kernel and the bias agree."""
        if bias is None:
            return units
        return agree_dim(units, bias.shape[0], f"{self.name} of kernel {kernel} and bias {bias}, filters")


@dataclass(frozen=True)
class Conv(_Convolution):
    """Sums of windows of x[N, C, *spatial] times kernel[M, C/groups, *k], plus bias[M]: [N, M, *windows].

    Args:
        padding: the zeros before each spatial axis, then after each; or "same": as many as give ceil(size / stride)
            windows, the odd one at the end.

    ONNX: Conv since opset 11; "same" is SAME_UPPER. Keras: `ops.conv`, `ops.depthwise_conv`.
    """

    padding: Padding

    def infer(self, x: TensorType, kernel: TensorType, bias: TensorType | None = None) -> TensorType:
        units, sizes = self.known_kernel("[M, C/groups, *k]", self.padding, x, kernel, bias)
        channels = kernel.shape[1] * self.groups
        agree_dim(x.shape[1], channels, f"{self} of x {x} and kernel {kernel}, channels")
        counts = count_windows(self, x, self.windows(sizes), self.padding)
        return x.with_shape((x.shape[0], self.agree_bias(units, kernel, bias), *counts))

    def compute(self, x: Array, kernel: Array, bias: Array | None = None) -> Array:
        windows = self.windows(kernel.shape[2:])
        pads = explicit_padding(windows, x.shape[2:], self.padding)
        counts = count_windows_of(self, x, windows, self.padding)
        result = _convolve(padded(x, pads), kernel, windows, counts, self.groups)
        if bias is not None:
            result += bias.reshape(-1, *[1] * len(windows))
        return result


@dataclass(frozen=True)
class ConvTranspose(_Convolution):
    """The sum of a kernel[C, M/groups, *k] for each element of x[N, C, *spatial], times that element, plus bias[M].

    It is the transpose of `Conv` as a linear map: each element adds to the window that Conv would have read for it. The
    result is [N, M, *sizes], with the sizes
    ``(size - 1) * stride + (k - 1) * dilation + 1 - padding before and after + output_padding``.

    Args:
        padding: how much is cut off before each spatial axis, then after each.
        output_padding: how much each axis grows at its end; windows that reach there count.

    ONNX: ConvTranspose since opset 11. Keras: `ops.conv_transpose`.
    """

    padding: tuple[int, ...]
    output_padding: tuple[int, ...]

    def infer(self, x: TensorType, kernel: TensorType, bias: TensorType | None = None) -> TensorType:
        channels, sizes = self.known_kernel("[C, M/groups, *k]", self.padding, x, kernel, bias)
        if len(self.output_padding) != len(sizes) or min(self.output_padding) < 0:
            raise ShapeError(f"{self} received {x}; expected an output_padding of {len(sizes)} numbers of 0 or more")
        agree_dim(x.shape[1], channels, f"{self} of x {x} and kernel {kernel}, channels")
        units = self.agree_bias(kernel.shape[1] * self.groups, kernel, bias)
        return x.with_shape((x.shape[0], units, *self._output_sizes(x, self.windows(sizes))))

    def compute(self, x: Array, kernel: Array, bias: Array | None = None) -> Array:
        windows = self.windows(kernel.shape[2:])
        rank = len(windows)
        sizes = [size for size in self._output_sizes(type_of(x), windows) if is_known(size)]
        before = self.padding[:rank]
        ends = [(n - 1) * w.stride + w.extent for n, w in zip(x.shape[2:], windows, strict=True)]
        room = [max(end, first + size) for end, first, size in zip(ends, before, sizes, strict=True)]
        total = _scatter(x, kernel, windows, self.groups, room)
        inner = tuple(slice(first, first + size) for first, size in zip(before, sizes, strict=True))
        result = total[:, :, *inner]
        if bias is not None:
            result = result + bias.reshape(-1, *[1] * rank)
        return np.ascontiguousarray(result)

    def _output_sizes(self, x: TensorType, windows: list[Window]) -> Shape:
        rank = len(windows)
        sizes = [
            (size - 1) * w.stride + w.extent - before - after + extra
            for size, w, before, after, extra in zip(
                x.shape[2:], windows, self.padding[:rank], self.padding[rank:], self.output_padding, strict=True
            )
        ]
        for axis, size in enumerate(sizes):
            if is_known(size) and size < 1 and x.shape[2 + axis] != 0:
                raise ShapeError(f"{self} of {x} leaves nothing along spatial axis {axis}; expected less padding")
        return tuple(0 if x.shape[2 + axis] == 0 else size for axis, size in enumerate(sizes))


def _scatter(x: Array, kernel: Array, windows: list[Window], groups: int, room: list[int]) -> Array:
    """Return the sum of the windows for all elements of x, by a matrix product for each element of the kernel."""
    samples, channels, units = x.shape[0], x.shape[1], kernel.shape[1]
    # As in `_convolve`: the same bits for every memory layout.
    x, kernel = np.ascontiguousarray(x), np.ascontiguousarray(kernel)
    columns = x.reshape(samples, groups, channels // groups, -1)
    total = np.zeros((samples, groups * units, *room), x.dtype)
    for index, places in offsets(windows, x.shape[2:]):
        element: tuple[slice | int, ...] = (slice(None), slice(None), *index)
        rows = kernel[element].reshape(groups, channels // groups, units)
        product = np.matmul(rows.transpose(0, 2, 1), columns)
        total[:, :, *places] += product.reshape(samples, -1, *x.shape[2:])
    return total


def _convolve(x: Array, kernel: Array, windows: list[Window], counts: tuple[int, ...], groups: int) -> Array:
    result = np.empty((x.shape[0], kernel.shape[0], *counts), x.dtype)
    if not result.size:
        return result
    # The same bits for every memory layout of x: products of transposed arrays are summed in another order.
    x = np.ascontiguousarray(x)
    if kernel.shape[1] == 1 and groups > 1:
        _convolve_depthwise(x, kernel, windows, result)
        return result
    rows = _kernel_rows(kernel, groups)
    if all(window.size == 1 for window in windows):
        _convolve_points(x, rows, windows, result)
    else:
        for sample, target in zip(x, result, strict=True):
            _convolve_sample(sample, rows, windows, target)
    return result


def _kernel_rows(kernel: Array, groups: int) -> Array:
    """Return the kernel [M, C/groups, *k] as [groups, M/groups, *k · C/groups], aligned in memory.

    In memory the filters are the last axis, as in Keras, whose kernels need no copy. Those of a large kernel stay where
    they lie: to turn them takes as long as the product with a small image. What is not aligned NumPy would copy element
    by element at each product.
    """
    units, channels, *sizes = kernel.shape
    terms, spatial = math.prod(sizes) * channels, range(2, kernel.ndim)
    if kernel.size < LARGE_KERNEL or kernel.strides[0] == min(kernel.strides):
        lying = np.require(kernel.transpose(*spatial, 1, 0), requirements=("C", "A"))
        return lying.reshape(terms, groups, units // groups).transpose(1, 2, 0)
    lying = np.require(kernel.transpose(0, *spatial, 1), requirements=("C", "A"))
    return lying.reshape(groups, units // groups, terms)


def _convolve_points(x: Array, rows: Array, windows: list[Window], result: Array) -> None:
    """Compute the result for a kernel of one element: a matrix product at each place."""
    groups, units, channels = rows.shape
    places = x[(slice(None), slice(None), *(slice(None, None, window.stride) for window in windows))]
    columns = places.reshape(x.shape[0], groups, channels, -1)
    np.matmul(rows, columns, out=result.reshape(x.shape[0], groups, units, -1))


def _convolve_depthwise(x: Array, kernel: Array, windows: list[Window], result: Array) -> None:
    """Compute the result for single channels: a product and a sum for each element of the kernel, few rows at a time.

    NumPy's innermost loop runs along the last axis in memory: that is made the channels if they are many.
    """
    samples, channels, *_ = x.shape
    counts = result.shape[2:]
    multiplier = kernel.shape[0] // channels
    target = result.reshape(samples, channels, multiplier, *counts)
    weights = np.ascontiguousarray(kernel.reshape(channels * multiplier, -1).T)
    weights = weights.reshape(-1, channels, multiplier, *[1] * len(windows))
    step = max(1, CACHED_ELEMENTS // (channels * multiplier * math.prod(counts[1:])))
    shape = (channels, multiplier, min(step, counts[0]), *counts[1:])
    if channels > counts[-1]:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        scratch = np.moveaxis(np.empty((2, *shape[2:], *shape[:2]), x.dtype), (-2, -1), (1, 2))
    else:
        scratch = np.empty((2, *shape), x.dtype)
    for sample, start in itertools.product(range(samples), range(0, counts[0], step)):
        rows = slice(start, min(start + step, counts[0]))
        first = start * windows[0].stride
        total, product = scratch[:, :, :, : rows.stop - start]
        for number, (_, places) in enumerate(offsets(windows, total.shape[2:])):
            read = slice(places[0].start + first, places[0].stop + first, places[0].step)
            elements = x[(sample, slice(None), None, read, *places[1:])]
            np.multiply(elements, weights[number], out=product if number else total)
            if number:
                total += product
        target[sample, :, :, rows] = total


def _convolve_sample(x: Array, rows: Array, windows: list[Window], result: Array) -> None:
    """Compute the result for one sample: the kernel times columns, which are windows, for a few rows at a time."""
    groups, units, terms = rows.shape
    counts = result.shape[1:]
    row = math.prod(counts[1:])
    step = max(1, COLUMN_ELEMENTS // (groups * terms * row))
    # All windows as a view: [groups, *k, C/groups, *counts]. A step longer than its axis is never taken, and cut to it.
    channels = len(x) // groups
    axes = list(zip(x.strides[1:], x.shape[1:], windows, strict=True))
    view = as_strided(
        x,
        (groups, *(w.size for w in windows), channels, *counts),
        (
            channels * x.strides[0],
            *(stride * min(w.dilation, size) for stride, size, w in axes),
            x.strides[0],
            *(stride * min(w.stride, size) for stride, size, w in axes),
        ),
        writeable=False,
    )
    first = 2 + len(windows)
    target = result.reshape(groups, units, -1)
    for start in range(0, counts[0], step):
        part = view[(slice(None),) * first + (slice(start, start + step),)]
        np.matmul(rows, part.reshape(groups, terms, -1), out=target[..., start * row : (start + step) * row])
