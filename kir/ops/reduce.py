"""Operators that reduce axes to one element each: sums, norms, extremes, and where the extremes are.

Floats of 16 bits are reduced in float32 and rounded once.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np

from kir.errors import ShapeError
from kir.ir.dims import Dim
from kir.ir.op import Array, Op
from kir.ir.types import FLOATS, DType, TensorType
from kir.ops.precision import NUMBERS, WideOp, require_dtype

SUMMABLE = FLOATS | {DType.INT32, DType.INT64, DType.UINT32, DType.UINT64}  # the element types of ONNX's ReduceSum
ORDERED = SUMMABLE | {DType.INT8, DType.UINT8}  # those of ONNX's ReduceMax


@dataclass(frozen=True)
class _Reduce(WideOp, accepted=SUMMABLE):
    """One input `x`; `axes` become 1 or, without `keepdims`, vanish. The result has the dtype of `x`.

    At least one axis is reduced, unless `x` is a scalar.
    """

    axes: tuple[int, ...]
    keepdims: bool

    @property
    def reduced(self) -> tuple[int, ...]:
        return self.axes

    def along(self, axes: tuple[int, ...]) -> Self:
        """Return the same reduction of other axes."""
        return replace(self, axes=axes)

    def infer(self, x: TensorType) -> TensorType:
        require_dtype(self, "x", x, self.accepted)
        _require_axes(self, self.axes, x)
        if not self.axes and x.rank:
            raise ShapeError(f"{self} received {x}; expected at least one axis")
        return x.with_shape(_reduced_shape(x, self.axes, self.keepdims))

    def compute(self, x: Array) -> Array:
        result = np.asarray(self.reduce(x))
        return result if self.keepdims else result.squeeze(self.axes)

    @abstractmethod
    def reduce(self, x: Array) -> Array:
        """Return the result for an array of 32 bits or more, with every reduced axis kept as 1."""

    def _sum(self, x: Array) -> Array:
        return np.add.reduce(x, axis=self.axes, keepdims=True, dtype=x.dtype)


class ReduceSum(_Reduce):
    """The sum; 0 of nothing. Integers wrap around. ONNX: ReduceSum since opset 13."""

    def reduce(self, x: Array) -> Array:
        return self._sum(x)


class ReduceMean(_Reduce, accepted=FLOATS):
    """The arithmetic mean; nan of nothing. ONNX: ReduceMean since opset 18."""

    def reduce(self, x: Array) -> Array:
        return np.asarray(self._sum(x) / math.prod(x.shape[axis] for axis in self.axes))


class ReduceMax(_Reduce, accepted=ORDERED):
    """The largest element; nan if one is nan; the lowest value of the dtype of nothing.

    ONNX: ReduceMax since opset 18.
    """

    def reduce(self, x: Array) -> Array:
        return np.maximum.reduce(x, axis=self.axes, keepdims=True, initial=_limits(x.dtype)[0])


class ReduceMin(_Reduce, accepted=ORDERED):
    """The smallest element; nan if one is nan; the highest value of the dtype of nothing.

    ONNX: ReduceMin since opset 18.
    """

    def reduce(self, x: Array) -> Array:
        return np.minimum.reduce(x, axis=self.axes, keepdims=True, initial=_limits(x.dtype)[1])


class ReduceProd(_Reduce):
    """The product; 1 of nothing. Integers wrap around. ONNX: ReduceProd since opset 18."""

    def reduce(self, x: Array) -> Array:
        return np.asarray(np.prod(x, axis=self.axes, keepdims=True, dtype=x.dtype))


class ReduceL1(_Reduce):
    """The sum of absolute values. ONNX: ReduceL1 since opset 18."""

    def reduce(self, x: Array) -> Array:
        return self._sum(np.abs(x))


class ReduceL2(_Reduce, accepted=FLOATS):
    """The square root of the sum of squares. ONNX: ReduceL2 since opset 18."""

    def reduce(self, x: Array) -> Array:
        return np.sqrt(self._sum(np.square(x)))


class ReduceLogSumExp(_Reduce, accepted=FLOATS):
    """``log(sum(exp(x)))``, without overflow; -inf of nothing. ONNX: ReduceLogSumExp since opset 18."""

    def reduce(self, x: Array) -> Array:
        highest = np.max(x, axis=self.axes, keepdims=True, initial=-np.inf)
        shift = np.where(np.isfinite(highest), highest, x.dtype.type(0))  # inf - inf would be nan
        return np.asarray(np.log(self._sum(np.exp(x - shift))) + shift)


class ReduceSumSquare(_Reduce):
    """The sum of squares. ONNX: ReduceSumSquare since opset 18."""

    def reduce(self, x: Array) -> Array:
        return self._sum(np.square(x))


@dataclass(frozen=True)
class _Place(WideOp):
    """The int64 index along `axis` of an extreme element; the first of equals, and the first nan if there is one."""

    axis: int
    keepdims: bool

    @property
    def reduced(self) -> tuple[int, ...]:
        return (self.axis,)

    def along(self, axes: tuple[int, ...]) -> Self:
        """Return the same operator along another axis, the only one of `axes`."""
        (axis,) = axes
        return replace(self, axis=axis)

    def infer(self, x: TensorType) -> TensorType:
        require_dtype(self, "x", x, NUMBERS)
        _require_axes(self, (self.axis,), x)
        if x.shape[self.axis] == 0:
            raise ShapeError(f"{self} received {x}; expected at least one element along axis {self.axis}")
        return TensorType(DType.INT64, _reduced_shape(x, (self.axis,), self.keepdims))


class ArgMax(_Place):
    """The index of the largest element, the first of equals. ONNX: ArgMax since opset 13."""

    def compute(self, x: Array) -> Array:
        return np.asarray(np.argmax(x, axis=self.axis, keepdims=self.keepdims))


class ArgMin(_Place):
    """The index of the smallest element, the first of equals. ONNX: ArgMin since opset 13."""

    def compute(self, x: Array) -> Array:
        return np.asarray(np.argmin(x, axis=self.axis, keepdims=self.keepdims))


Reduction: TypeAlias = _Reduce | _Place
# All operators whose reduced axes become 1 with `keepdims`, and vanish without.
REDUCTIONS: tuple[type[Reduction], ...] = (
    *(ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceL1, ReduceL2, ReduceLogSumExp, ReduceSumSquare),
    *(ArgMax, ArgMin),
)


def _require_axes(op: Op, axes: tuple[int, ...], x: TensorType) -> None:
    if len(set(axes)) != len(axes) or not all(0 <= axis < x.rank for axis in axes):
        expected = f"different axes from 0 to {x.rank - 1}" if x.rank else "no axes for a scalar"
        raise ShapeError(f"{op} received {x} of rank {x.rank}; expected {expected}")


def _reduced_shape(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> tuple[Dim, ...]:
    if keepdims:
        return tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    return tuple(size for axis, size in enumerate(x.shape) if axis not in axes)


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.kind == "b":
        return False, True
    return (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
