"""Operators that bring elements to mean 0 and variance 1, then scale and shift them: BatchNormalization and its kin.

Floats of 16 bits are computed in float32 and rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kir.errors import ShapeError
from kir.op import Array, Op
from kir.ops.elementwise import require_dtype, require_same_dtype, widen
from kir.types import FLOATS, TensorType, agree_dim


@dataclass(frozen=True)
class BatchNormalization(Op):
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
        _require_vectors(self, 1, x, scale=scale, bias=bias, mean=mean, variance=variance)
        return x

    def eval(self, x: Array, scale: Array, bias: Array, mean: Array, variance: Array) -> Array:
        column = (-1, *(1,) * (x.ndim - 2))
        wide_scale, wide_bias, wide_mean, wide_variance = (
            widen(vector).reshape(column) for vector in (scale, bias, mean, variance)
        )
        with np.errstate(all="ignore"):
            factor = wide_scale / np.sqrt(wide_variance + x.dtype.type(self.epsilon))
            return np.asarray((widen(x) - wide_mean) * factor + wide_bias).astype(x.dtype, copy=False)


def _require_vectors(op: Op, axis: int, x: TensorType, **vectors: TensorType) -> None:
    """Refuses vectors that have not one element for each slice of a float x along the axis."""
    require_same_dtype(op, x=x, **vectors)
    require_dtype(op, "x", x, FLOATS)
    for name, vector in vectors.items():
        if vector.rank != 1:
            raise ShapeError(f"{op} received {name} {vector}; expected a vector, of {x.shape[axis]} elements")
        agree_dim(vector.shape[0], x.shape[axis], f"{op} of x {x} and {name} {vector}, axis {axis}")
