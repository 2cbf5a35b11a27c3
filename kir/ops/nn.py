"""Operators that normalize over one axis: Softmax and its logarithm. Floats of 16 bits are computed in float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kir.errors import ShapeError
from kir.ir.op import Array
from kir.ir.types import FLOATS, TensorType
from kir.ops.precision import WideOp, require_dtype


@dataclass(frozen=True)
class _Normalization(WideOp):
    """One float input `x`, of rank 1 or more; the result has its type."""

    axis: int

    def infer(self, x: TensorType) -> TensorType:
        require_dtype(self, "x", x, FLOATS)
        if not 0 <= self.axis < x.rank:
            expected = f"an axis from 0 to {x.rank - 1}" if x.rank else "no scalar"
            raise ShapeError(f"{self} received {x} of rank {x.rank}; expected {expected}")
        return x

    def shift(self, x: Array) -> Array:
        # By the largest element: its exponential is then 1, so that none overflows, and their sum is no less than 1.
        return x - np.maximum.reduce(x, axis=self.axis, keepdims=True, initial=-np.inf)


class Softmax(_Normalization):
    """``exp(x) / sum(exp(x))`` along `axis`. ONNX: Softmax since opset 13."""

    def compute(self, x: Array) -> Array:
        exponentials = np.exp(self.shift(x))
        exponentials /= np.add.reduce(exponentials, axis=self.axis, keepdims=True)
        return exponentials


class LogSoftmax(_Normalization):
    """``log(softmax(x))`` along `axis`. ONNX: LogSoftmax since opset 13."""

    def compute(self, x: Array) -> Array:
        shifted = self.shift(x)
        return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=self.axis, keepdims=True)))
