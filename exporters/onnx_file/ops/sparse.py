"""Sparse inputs."""

from __future__ import annotations

from kir.errors import UnsupportedError
from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import Names, exports, zero_tensor
from kir.ops.sparse import SparseToDense


@exports(SparseToDense)
def sparse_to_dense(
    emitter: Emitter, op: SparseToDense, indices: FileTensor, values: FileTensor, size: FileTensor
) -> Names:
    if emitter.opset < 16:
        raise UnsupportedError(
            f"a sparse input needs opset 16 or newer (ScatterND that adds); received opset {emitter.opset}"
        )
    zeros = emitter.node("ConstantOfShape", [size.name], value=zero_tensor(values.type.dtype))
    return emitter.node("ScatterND", [zeros, indices.name, values.name], reduction="add")
