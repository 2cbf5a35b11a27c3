"""Operators on sparse tensors in coordinate form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kir.errors import ShapeError
from kir.ir.op import Array, Op
from kir.ir.types import DType, Shape, TensorType


@dataclass(frozen=True)
class SparseToDense(Op):
    """The dense tensor of `values[n]` at `indices[n, rank]`; values at equal indices add up.

    `shape` is the shape of the result, perhaps with unknown sizes; `size[rank]` is its value at run time.
    ONNX: ConstantOfShape, then ScatterND with reduction "add" (opset 16).
    """

    introduces_sizes = True

    shape: Shape

    def infer(self, indices: TensorType, values: TensorType, size: TensorType) -> TensorType:
        rank = len(self.shape)
        if indices.dtype is not DType.INT64 or indices.rank != 2 or indices.shape[1] != rank:
            raise ShapeError(f"indices of a sparse tensor of rank {rank} must be i64[n, {rank}]; received {indices}")
        if values.shape != indices.shape[:1]:
            raise ShapeError(f"a sparse tensor needs one value for each of its indices {indices}; received {values}")
        if size != TensorType(DType.INT64, (rank,)):
            raise ShapeError(f"the shape of a sparse tensor of rank {rank} must be i64[{rank}]; received {size}")
        return values.with_shape(self.shape)

    def eval(self, indices: Array, values: Array, size: Array) -> Array:
        dense = np.zeros(tuple(size.tolist()), values.dtype)
        np.add.at(dense, tuple(indices.T), values)
        return dense
