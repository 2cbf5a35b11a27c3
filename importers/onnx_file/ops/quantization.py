"""Operators between floats and the integers that stand for them."""

from __future__ import annotations

from kir.errors import UnsupportedError
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.reading import read_dtype
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.types import DType, normalize_axis
from kir.ops.quantization import (
    DEQUANTIZED,
    QUANTIZED,
    DequantizeLinear,
    DynamicQuantizeLinear,
    MatMulInteger,
    QuantizeLinear,
)

DEFAULT_AXIS = 1


@imports("QuantizeLinear")
def quantize_linear(call: OperatorCall, x: Operand, scale: Operand, zero_point: Operand | None = None) -> Results:
    number = call.attributes.integer("output_dtype", 0)
    given = DType.UINT8 if zero_point is None else zero_point.type.dtype
    dtype = read_dtype(number, "QuantizeLinear's output") if number else given
    call.attributes.integer("saturate", 1)  # says something of floats of 8 bits only
    if dtype not in QUANTIZED:
        raise UnsupportedError(f"QuantizeLinear to {dtype.keras_name}")
    if call.attributes.integer("precision", 0):
        raise UnsupportedError("QuantizeLinear with a precision of its own")
    axis, block_size = _attributes(call, x, scale)
    op = QuantizeLinear(axis, block_size, dtype)
    return call.add(op, x, scale, *([] if zero_point is None else [zero_point]))


@imports("DequantizeLinear")
def dequantize_linear(call: OperatorCall, x: Operand, scale: Operand, zero_point: Operand | None = None) -> Results:
    number = call.attributes.integer("output_dtype", 0)
    if x.type.dtype not in DEQUANTIZED or (number and read_dtype(number, "an output") is not scale.type.dtype):
        raise UnsupportedError(f"DequantizeLinear of {x.type.dtype.keras_name}, or to another dtype than the scale's")
    axis, block_size = _attributes(call, x, scale)
    return call.add(DequantizeLinear(axis, block_size), x, scale, *([] if zero_point is None else [zero_point]))


def _attributes(call: OperatorCall, x: Operand, scale: Operand) -> tuple[int, int]:
    axis = call.attributes.integer("axis", DEFAULT_AXIS)
    block_size = call.attributes.integer("block_size", 0)
    if scale.type.rank == 0:
        return DEFAULT_AXIS, 0
    if scale.type.shape == (1,) and not -x.type.rank <= axis < x.type.rank:
        return DEFAULT_AXIS, 0
    return normalize_axis(axis, x.type.rank), block_size


@imports("DynamicQuantizeLinear")
def dynamic_quantize_linear(call: OperatorCall, x: Operand) -> Results:
    return call.translator.add_all(DynamicQuantizeLinear(), x)


@imports("MatMulInteger")
def matmul_integer(call: OperatorCall, *inputs: Operand | None) -> Results:
    if any(x is not None and x.type.rank > 1 for x in inputs[2:]):
        raise UnsupportedError("MatMulInteger with a zero point for each row of each matrix")
    return call.translator.add_all(MatMulInteger(), *inputs)[0]
