"""Operators that normalize over one axis: Softmax and its logarithm. Floats of 16 bits are computed in float32."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from kir.errors import ShapeError
from kir.op import Array, Op
from kir.ops.elementwise import require_dtype, widen
from kir.types import FLOATS, TensorType


@dataclass(frozen=True)
class _Normalization(Op):
    """One float input `x`, of rank 1 or more; the result has its type."""

    axis: int

    def infer(self, x: TensorType) -> TensorType:
        require_dtype(self, "x", x, FLOATS)
        if not 0 <= self.axis < x.rank:
            expected = f"an axis from 0 to {x.rank - 1}" if x.rank else "no scalar"
            raise ShapeError(f"{self} received {x} of rank {x.rank}; expected {expected}")
        return x

    def eval(self, x: Array) -> Array:
        wide = widen(x)
        with np.errstate(all="ignore"):
            # The largest exponential is then 1: none overflows, and their sum is no less than 1.
            shifted = wide - np.max(wide, axis=self.axis, keepdims=True, initial=-np.inf)
            return self.compute(shifted).astype(x.dtype, copy=False)

    @abstractmethod
    def compute(self, shifted: Array) -> Array:
        """The result for an array whose largest element along the axis is 0."""


class Softmax(_Normalization):
    """``exp(x) / sum(exp(x))`` along `axis`. ONNX: Softmax since opset 13."""

    def compute(self, shifted: Array) -> Array:
        exponentials = np.exp(shifted)
        return exponentials / np.sum(exponentials, axis=self.axis, keepdims=True)


class LogSoftmax(_Normalization):
    """``log(softmax(x))`` along `axis`. ONNX: LogSoftmax since opset 13."""

    def compute(self, shifted: Array) -> Array:
        return shifted - np.log(np.sum(np.exp(shifted), axis=self.axis, keepdims=True))
