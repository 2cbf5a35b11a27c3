"""Operators between floats and the integers that stand for them."""

from __future__ import annotations

from typing import Any

from kir.errors import UnsupportedError
from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import Names, exports, names_of
from kir.ir.types import DType
from kir.ops.quantization import DequantizeLinear, DynamicQuantizeLinear, MatMulInteger, QuantizeLinear


@exports(QuantizeLinear)
def quantize_linear(
    emitter: Emitter, op: QuantizeLinear, x: FileTensor, scale: FileTensor, zero_point: FileTensor | None = None
) -> Names:
    """Write one node; the zero point says the dtype, which is a number of 0 where there is none."""
    _require_opset(emitter, op, op.dtype)
    names = names_of([x, scale, zero_point])
    if zero_point is None and op.dtype is not DType.UINT8:
        names[2] = emitter.constant(0 if scale.type.rank == 0 else [0], "zero_point", op.dtype.numpy)
        if scale.type.shape not in ((), (1,)):
            raise UnsupportedError(f"{op} with a scale for each index or block needs a zero point of {op.dtype}")
    return emitter.node("QuantizeLinear", names, **_attributes(op, scale))


@exports(DequantizeLinear)
def dequantize_linear(
    emitter: Emitter, op: DequantizeLinear, x: FileTensor, scale: FileTensor, zero_point: FileTensor | None = None
) -> Names:
    _require_opset(emitter, op, x.type.dtype)
    return emitter.node("DequantizeLinear", names_of([x, scale, zero_point]), **_attributes(op, scale))


def _attributes(op: QuantizeLinear | DequantizeLinear, scale: FileTensor) -> dict[str, Any]:
    axis: dict[str, Any] = {} if scale.type.rank == 0 else {"axis": op.axis}
    return {**axis, "block_size": op.block_size} if op.block_size else axis


def _require_opset(emitter: Emitter, op: QuantizeLinear | DequantizeLinear, dtype: DType) -> None:
    """Raise UnsupportedError where the opset has no such QuantizeLinear or DequantizeLinear."""
    since = 13
    if op.block_size or dtype in (DType.INT16, DType.UINT16, DType.INT4, DType.UINT4):
        since = 21
    if dtype in (DType.INT2, DType.UINT2):
        since = 25
    if emitter.opset < since:
        raise UnsupportedError(f"{op} of {dtype} has no ONNX form at opset {emitter.opset}; it has one since {since}")


@exports(DynamicQuantizeLinear)
def dynamic_quantize_linear(emitter: Emitter, op: DynamicQuantizeLinear, x: FileTensor) -> Names:
    return emitter.nodes("DynamicQuantizeLinear", [x.name], 3)


@exports(MatMulInteger)
def matmul_integer(emitter: Emitter, op: MatMulInteger, *inputs: FileTensor | None) -> Names:
    return emitter.node("MatMulInteger", names_of(inputs))
