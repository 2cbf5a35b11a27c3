"""Operators that bring elements to mean 0 and variance 1, then scale and shift them: BatchNormalization and its kin.

Floats of 16 bits are computed in float32 and rounded once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kir.errors import ShapeError
from kir.ir.op import Array, Op
from kir.ir.types import FLOATS, TensorType, agree_dim
from kir.ops.precision import WideOp, require_dtype, require_same_dtype


@dataclass(frozen=True)
class BatchNormalization(WideOp):
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias`` along axis 1, with statistics that are given.

    x[n, c, ...], and scale[c], bias[c], mean[c] and variance[c] of its dtype.

    ONNX: BatchNormalization since opset 9. Keras: `layers.BatchNormalization`.
    """

    epsilon: float

    def infer(
        self, x: TensorType, scale: TensorType, bias: TensorType, mean: TensorType, variance: TensorType
    ) -> TensorType:
        if x.rank < 2:
            raise ShapeError(f"{self} received x {x}; expected x[n, c, ...]")
        _require_vectors(self, x, scale=scale, bias=bias, mean=mean, variance=variance)
        return x

    def compute(self, x: Array, *vectors: Array) -> Array:
        scale, bias, mean, variance = (_column(vector, x) for vector in vectors)
        result: Array = x - mean
        result *= scale / np.sqrt(variance + x.dtype.type(self.epsilon))
        result += bias
        return result


@dataclass(frozen=True)
class LayerNormalization(WideOp):
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias``, with the statistics of the axes from `axis` on.

    x[..., s...], and scale[s...] and bias[s...] of its dtype. The variance is divided by the number of elements.

    ONNX: LayerNormalization since opset 17. Keras: `layers.LayerNormalization`.
    """

    axis: int
    epsilon: float

    def infer(self, x: TensorType, scale: TensorType, bias: TensorType | None = None) -> TensorType:
        if not 0 <= self.axis < x.rank:
            raise ShapeError(f"{self} received x {x}; expected an axis from 0 to {x.rank - 1}")
        given = {"scale": scale} if bias is None else {"scale": scale, "bias": bias}
        require_same_dtype(self, x=x, **given)
        require_dtype(self, "x", x, FLOATS)
        for name, weight in given.items():
            if weight.rank != x.rank - self.axis:
                raise ShapeError(f"{self} of x {x} received {name} {weight}; expected {x.rank - self.axis} axes")
            for size, wanted in zip(weight.shape, x.shape[self.axis :], strict=True):
                agree_dim(size, wanted, f"{self} of x {x} and {name} {weight}")
        return x

    def compute(self, x: Array, scale: Array, bias: Array | None = None) -> Array:
        result = _standardize(x, tuple(range(self.axis, x.ndim)), self.epsilon) * scale
        return result if bias is None else result + bias


@dataclass(frozen=True)
class InstanceNormalization(WideOp):
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias``, with the statistics of all axes but the first two.

    x[n, c, ...] with one axis or more after the channels, scale[c] and bias[c] of its dtype. The variance is divided
    by the number of elements.

    ONNX: InstanceNormalization since opset 6. Keras: `layers.GroupNormalization(groups=-1)`.
    """

    epsilon: float

    def infer(self, x: TensorType, scale: TensorType, bias: TensorType) -> TensorType:
        if x.rank < 3:
            raise ShapeError(f"{self} received x {x}; expected x[n, c, ...], of rank 3 or more")
        _require_vectors(self, x, scale=scale, bias=bias)
        return x

    def compute(self, x: Array, scale: Array, bias: Array) -> Array:
        return _standardize(x, tuple(range(2, x.ndim)), self.epsilon) * _column(scale, x) + _column(bias, x)


def _column(vector: Array, x: Array) -> Array:
    """Return one number for each channel in a shape that broadcasts to x[n, c, ...]."""
    return vector.reshape(-1, *(1,) * (x.ndim - 2))


def _standardize(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    """Return x with mean 0 and variance 1 along the axes, but for epsilon."""
    count = max(math.prod(x.shape[axis] for axis in axes), 1)
    centered = x - np.sum(x, axis=axes, keepdims=True, dtype=x.dtype) / x.dtype.type(count)
    variance = np.sum(np.square(centered), axis=axes, keepdims=True, dtype=x.dtype) / x.dtype.type(count)
    return np.asarray(centered / np.sqrt(variance + x.dtype.type(epsilon)))


def _require_vectors(op: Op, x: TensorType, **vectors: TensorType) -> None:
    """Refuse vectors that do not have one element for each channel of a float x[n, c, ...]."""
    require_same_dtype(op, x=x, **vectors)
    require_dtype(op, "x", x, FLOATS)
    for name, vector in vectors.items():
        if vector.rank != 1:
            raise ShapeError(f"{op} received {name} {vector}; expected a vector, of {x.shape[1]} elements")
        agree_dim(vector.shape[0], x.shape[1], f"{op} of x {x} and {name} {vector}, axis 1")
