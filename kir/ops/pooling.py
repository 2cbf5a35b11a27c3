"""Pooling: one number for each window. Floats of 16 bits are averaged in float32 and rounded once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kir.ir.op import Array, Op
from kir.ir.types import FLOATS, DType, TensorType, as_dtype
from kir.ops.precision import WideOp, require_dtype
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

COMPARED_DTYPES = FLOATS | {DType.INT8, DType.UINT8}  # what ONNX's MaxPool takes


@dataclass(frozen=True)
class _Pool(Op):
    """A pooling of x[N, C, *spatial] with 1 to 3 spatial axes.

    Args:
        kernel_shape: the number of elements of the window along each spatial axis.
        strides: the step of the window.
        dilations: the distance between its elements.
        padding: how far windows may reach over the start of each spatial axis, then over the end of each; or "same": so
            far that there are ceil(size / stride) windows, with the odd element at the end.
        ceil_mode: whether the last window may reach over the end, if it starts before it.
    """

    kernel_shape: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: Padding
    ceil_mode: bool

    def windows(self) -> list[Window]:
        """Return the window along each spatial axis."""
        return [Window(*each) for each in zip(self.kernel_shape, self.strides, self.dilations, strict=True)]

    def infer_shape(self, x: TensorType) -> TensorType:
        """Return the type of the result.

        Raises:
            ShapeError: the attributes do not fit x, or it is too small.
        """
        sizes = {"kernel_shape": self.kernel_shape, "strides": self.strides, "dilations": self.dilations}
        check_spatial(self, x, self.padding, **sizes)
        return x.with_shape((*x.shape[:2], *count_windows(self, x, self.windows(), self.padding, self.ceil_mode)))

    def counts(self, x: Array) -> tuple[int, ...]:
        """Return the number of windows along each spatial axis."""
        return count_windows_of(self, x, self.windows(), self.padding, self.ceil_mode)

    def reach(self, x: Array, counts: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return how far the windows reach over x, before and after each spatial axis."""
        windows = self.windows()
        pads = explicit_padding(windows, x.shape[2:], self.padding)
        ends = [(count - 1) * w.stride + w.extent for count, w in zip(counts, windows, strict=True)]
        return [
            (before, max(after, end - size - before))
            for (before, after), end, size in zip(pads, ends, x.shape[2:], strict=True)
        ]


@dataclass(frozen=True)
class MaxPool(_Pool):
    """The largest element of each window; padding does not count.

    ONNX: MaxPool since opset 12; "same" is SAME_UPPER. Keras: `ops.max_pool`.
    """

    def infer(self, x: TensorType) -> TensorType:
        require_dtype(self, "x", x, COMPARED_DTYPES)
        return self.infer_shape(x)

    def eval(self, x: Array) -> Array:
        counts = self.counts(x)
        least = -np.inf if as_dtype(x.dtype).is_float else np.iinfo(x.dtype).min
        source = padded(x, self.reach(x, counts), least)
        result = np.full((*x.shape[:2], *counts), least, x.dtype)
        for _, places in offsets(self.windows(), counts):
            np.maximum(result, source[:, :, *places], out=result)
        return result


@dataclass(frozen=True)
class AveragePool(WideOp, _Pool):
    """The mean of each window: of its elements in x or, if `count_include_pad`, in x and the padding, which is zero.

    ONNX: AveragePool since opset 11, with dilations since 19; "same" is SAME_UPPER. Keras: `ops.average_pool`.
    """

    count_include_pad: bool

    def infer(self, x: TensorType) -> TensorType:
        require_dtype(self, "x", x, FLOATS)
        return self.infer_shape(x)

    def compute(self, x: Array) -> Array:
        counts = self.counts(x)
        source = padded(x, self.reach(x, counts))
        result = np.zeros((*x.shape[:2], *counts), x.dtype)
        for _, places in offsets(self.windows(), counts):
            result += source[:, :, *places]
        return np.asarray(np.divide(result, self.divisors(x, counts), out=result))

    def divisors(self, x: Array, counts: tuple[int, ...]) -> Any:
        """Return the number of elements of each window, as an array of the spatial axes, or as one number for all."""
        windows = self.windows()
        pads = explicit_padding(windows, x.shape[2:], self.padding)
        total = np.ones((), x.dtype)
        for w, count, size, (before, after) in zip(windows, counts, x.shape[2:], pads, strict=True):
            first, end = (0, before + size + after) if self.count_include_pad else (before, before + size)
            places = np.arange(count)[:, None] * w.stride + np.arange(w.size) * w.dilation
            total = total[..., None] * ((places >= first) & (places < end)).sum(axis=1).astype(total.dtype)
        largest = math.prod(self.kernel_shape)
        return total if (total != largest).any() else total.dtype.type(largest)
