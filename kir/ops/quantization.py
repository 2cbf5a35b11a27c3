"""Operators between floats and the integers, or floats of 8 bits, that stand for them: q = x / scale + zero point.

A scale, and a zero point, is one number (of rank 0, or a vector of one element), a vector with a number for each index
along `axis`, or a tensor of the rank of `x` with a number for each block of `block_size` elements along `axis`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from kir.errors import ShapeError
from kir.ir.dims import Dim, Sym
from kir.ir.op import Array, Op
from kir.ir.types import FLOATS, DType, TensorType, agree_dim, format_shape
from kir.ops.precision import require_dtype, widen

BYTES = frozenset({DType.INT8, DType.UINT8})
QUANTIZED = BYTES | {DType.INT16, DType.UINT16, DType.INT4, DType.UINT4, DType.INT2, DType.UINT2}
DEQUANTIZED = QUANTIZED | {DType.INT32}

SCALES = FLOATS - {DType.FLOAT64}

UINT8_LEVELS = 255


@dataclass(frozen=True)
class _Linear(Op):
    axis: int
    block_size: int

    def _require_parameter(self, name: str, given: TensorType, x: TensorType) -> None:
        """Refuse a scale or a zero point that does not fit x."""
        if given.rank == 0 or given.shape == (1,):
            return
        expected: list[tuple[Dim, ...]] = []
        if 0 <= self.axis < x.rank:
            along = x.shape[self.axis]
            if not self.block_size:
                expected = [(along,)]
            elif isinstance(along, Sym):
                expected = [given.shape]  # known when it runs
            else:
                blocks = -(-along // self.block_size)
                expected = [(*x.shape[: self.axis], blocks, *x.shape[self.axis + 1 :])]
        if not expected or len(expected[0]) != given.rank:
            raise ShapeError(f"{self} of {x} received the {name} {given}; expected one number, or one for each index")
        for wanted, size in zip(expected[0], given.shape, strict=True):
            agree_dim(wanted, size, f"{self} of {x} received the {name} of shape {format_shape(given.shape)}")

    def aligned(self, parameter: Array, x: Array) -> Array:
        """Return a scale or a zero point with a number for every element of x, as NumPy broadcasts."""
        if parameter.ndim == 0 or parameter.shape == (1,):
            return parameter.reshape(())
        if not self.block_size:
            return parameter.reshape([-1 if axis == self.axis else 1 for axis in range(x.ndim)])
        return np.repeat(parameter, self.block_size, self.axis).take(range(x.shape[self.axis]), self.axis)


@dataclass(frozen=True)
class QuantizeLinear(_Linear):
    """``x / scale`` rounded to the nearest integer, halves to even, plus the zero point, within the range of `dtype`.

    ONNX: QuantizeLinear since opset 13; 16 bits and blocks since 21.
    """

    dtype: DType

    def infer(self, x: TensorType, scale: TensorType, zero_point: TensorType | None = None) -> TensorType:
        require_dtype(self, "x", x, SCALES | {DType.INT32})
        require_dtype(self, "scale", scale, SCALES)
        self._require_parameter("scale", scale, x)
        if self.dtype not in QUANTIZED:
            known = ", ".join(sorted(map(str, QUANTIZED)))
            raise ShapeError(f"{self} cannot give {self.dtype}; expected one of {known}")
        if zero_point is not None:
            require_dtype(self, "zero_point", zero_point, frozenset({self.dtype}))
            self._require_parameter("zero_point", zero_point, x)
        return x.with_dtype(self.dtype)

    def divide(self, x: Array, scale: Array) -> Array:
        """Return ``x / scale``, in float32 at least; where that is NaN, the result has no definition."""
        return np.asarray(widen(x) / self.aligned(widen(scale), x))

    def eval(self, x: Array, scale: Array, zero_point: Array | None = None) -> Array:
        with np.errstate(all="ignore"):
            divided = np.rint(self.divide(x, scale))
            if zero_point is not None:
                divided = divided + self.aligned(zero_point, x).astype(divided.dtype)
            info: Any = ml_dtypes.iinfo(self.dtype.numpy)  # type: ignore[no-untyped-call]
            return np.asarray(np.clip(divided, int(info.min), int(info.max))).astype(self.dtype.numpy)


@dataclass(frozen=True)
class DequantizeLinear(_Linear):
    """``(x - zero point) * scale``, in the dtype of the scale. ONNX: DequantizeLinear since opset 13."""

    def infer(self, x: TensorType, scale: TensorType, zero_point: TensorType | None = None) -> TensorType:
        require_dtype(self, "x", x, DEQUANTIZED)
        require_dtype(self, "scale", scale, SCALES)
        self._require_parameter("scale", scale, x)
        if zero_point is not None:
            require_dtype(self, "zero_point", zero_point, frozenset({x.dtype}))
            self._require_parameter("zero_point", zero_point, x)
        return x.with_dtype(scale.dtype)

    def eval(self, x: Array, scale: Array, zero_point: Array | None = None) -> Array:
        factor = self.aligned(widen(scale), x)
        levels = x.astype(np.int64)
        if zero_point is not None:
            levels = levels - self.aligned(zero_point.astype(np.int64), x)
        with np.errstate(all="ignore"):
            return np.asarray(levels.astype(factor.dtype) * factor).astype(scale.dtype, copy=False)


@dataclass(frozen=True)
class DynamicQuantizeLinear(Op):
    """`x` in 256 levels that reach from its smallest element, or 0, to its largest, or 0; their scale; the level of 0.

    ONNX: DynamicQuantizeLinear since opset 11.
    """

    def infer(self, x: TensorType) -> tuple[TensorType, TensorType, TensorType]:
        require_dtype(self, "x", x, frozenset({DType.FLOAT32}))
        return x.with_dtype(DType.UINT8), TensorType(DType.FLOAT32, ()), TensorType(DType.UINT8, ())

    def eval(self, x: Array) -> tuple[Array, Array, Array]:
        low, high = (np.asarray(bound, x.dtype) for bound in (x.min(initial=0), x.max(initial=0)))
        scale = np.asarray((high - low) / x.dtype.type(UINT8_LEVELS)) if high > low else np.ones((), x.dtype)
        with np.errstate(all="ignore"):
            zero_point = np.clip(np.rint(-low / scale), 0, UINT8_LEVELS).astype(np.uint8)
            levels = np.clip(np.rint(x / scale) + zero_point, 0, UINT8_LEVELS).astype(np.uint8)
        return levels, scale, np.asarray(zero_point)


@dataclass(frozen=True)
class MatMulInteger(Op):
    """The product of ``a - a_zero_point`` and ``b - b_zero_point``, bytes as i32. ONNX: MatMulInteger since opset 10.

    Zero points are one number, or a vector with one for each row of `a`, or for each column of `b`.
    """

    def infer(
        self,
        a: TensorType,
        b: TensorType,
        a_zero_point: TensorType | None = None,
        b_zero_point: TensorType | None = None,
    ) -> TensorType:
        from kir.ops.linear import MatMul

        for name, given, zero_point in (("a", a, a_zero_point), ("b", b, b_zero_point)):
            require_dtype(self, name, given, BYTES)
            if zero_point is not None:
                require_dtype(self, f"{name}_zero_point", zero_point, frozenset({given.dtype}))
                if zero_point.rank > 1:
                    raise ShapeError(f"{self} received {name}_zero_point {zero_point}; expected a number or a vector")
        return MatMul().infer(a.with_dtype(DType.INT32), b.with_dtype(DType.INT32))

    def eval(self, a: Array, b: Array, a_zero_point: Array | None = None, b_zero_point: Array | None = None) -> Array:
        left, right = a.astype(np.float64), b.astype(np.float64)  # in which the sums of products of bytes are exact
        if a_zero_point is not None:
            left = left - (a_zero_point if a_zero_point.size == 1 else a_zero_point[:, None])
        if b_zero_point is not None:
            right = right - b_zero_point
        return np.asarray(left @ right).astype(np.int64).astype(np.int32)
