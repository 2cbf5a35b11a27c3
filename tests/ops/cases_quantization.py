"""Cases of the operators of kir.ops.quantization."""

from __future__ import annotations

import numpy as np

from kir.ir.types import DType, parse_type
from kir.ops.quantization import DequantizeLinear, DynamicQuantizeLinear, MatMulInteger, QuantizeLinear
from tests.ops.cases import Array, Case


def scale(*numbers: float, dtype: str = "float32") -> Array:
    return np.array(numbers if len(numbers) > 1 else numbers[0], dtype)


def zero(dtype: str, *numbers: int) -> Array:
    return np.array(numbers if len(numbers) > 1 else numbers[0], dtype)


BLOCKS = scale(*[0.1, 0.2, 0.3, 0.4]).reshape(2, 2)

QUANTIZE_CASES = [
    Case(QuantizeLinear(1, 0, DType.UINT8), (parse_type("f32[batch, 3]"), scale(0.013), zero("uint8", 128))),
    Case(QuantizeLinear(1, 0, DType.UINT8), (parse_type("f32[2, 3]"), scale(0.5), None)),
    Case(QuantizeLinear(1, 0, DType.UINT8), (parse_type("f32[2, 3]"), np.full(1, 0.5, "f4"), np.full(1, 7, "u1"))),
    Case(QuantizeLinear(1, 0, DType.INT8), (parse_type("f32[2, 3]"), scale(0.2), zero("int8", -3))),
    Case(
        QuantizeLinear(1, 0, DType.INT8),
        (parse_type("f32[batch, 3, n]"), scale(0.1, 0.01, 0.5), zero("int8", 0, -20, 5)),
    ),
    Case(QuantizeLinear(0, 0, DType.INT16), (parse_type("f32[2, 3]"), scale(1, 0.1), zero("int16", 5, 0)), since=21),
    Case(QuantizeLinear(1, 0, DType.UINT16), (parse_type("f32[2, 3]"), scale(1e-4), zero("uint16", 9)), since=21),
    Case(QuantizeLinear(1, 3, DType.INT8), (parse_type("f32[2, 5]"), BLOCKS, np.ones((2, 2), "i1")), since=21),
    Case(
        QuantizeLinear(1, 0, DType.INT8),
        (parse_type("f16[batch, 3]"), scale(0.01, dtype="float16"), zero("int8", 1)),
    ),
]

DEQUANTIZE_CASES = [
    Case(DequantizeLinear(1, 0), (np.array([[-8, 7, 3]]).astype("int4"), parse_type("f32[]"), None), since=21),
    Case(DequantizeLinear(1, 2), (np.array([[1, 15, 3]]).astype("uint4"), parse_type("f32[1, 2]"), None), since=21),
    Case(DequantizeLinear(1, 0), (parse_type("u8[batch, 3]"), scale(0.013), zero("uint8", 128)), 0, 255),
    Case(DequantizeLinear(1, 0), (parse_type("i8[2, 3]"), scale(0.5), None), -128, 127),
    Case(DequantizeLinear(1, 0), (parse_type("i32[3]"), scale(0.5), None), -1000, 1000),
    Case(DequantizeLinear(1, 0), (parse_type("i8[batch, 2, n]"), scale(0.1, 3), zero("int8", 0, -20)), -128, 127),
    Case(DequantizeLinear(0, 0), (parse_type("i16[2, 3]"), scale(0.1, 3), zero("int16", 0, 9)), -128, 127, since=21),
    Case(DequantizeLinear(1, 0), (parse_type("u16[2, 3]"), scale(0.1), None), 0, 127, since=21),
    Case(DequantizeLinear(1, 3), (parse_type("u8[2, 5]"), BLOCKS, np.ones((2, 2), "u1")), 0, 255, since=21),
    Case(
        DequantizeLinear(1, 0),
        (parse_type("u8[batch, 3]"), scale(0.013, dtype="float16"), zero("uint8", 8)),
        0,
        255,
    ),
]

MATMUL_CASES = [
    Case(MatMulInteger(), tuple(None if text is None else parse_type(text) for text in texts), 0, 127)
    for texts in [
        ("u8[batch, 3]", "u8[3, 4]"),
        ("u8[2, 3]", "i8[3, 4]", "u8[]", "i8[]"),
        ("i8[batch, length, 3]", "i8[3, 4]", "i8[]", "i8[4]"),
        ("u8[2, 3]", "u8[3, 4]", None, "u8[]"),
    ]
]

QUANTIZATION_CASES = [
    *QUANTIZE_CASES,
    *DEQUANTIZE_CASES,
    *MATMUL_CASES,
    Case(DynamicQuantizeLinear(), (parse_type("f32[batch, 3]"),)),
    Case(DynamicQuantizeLinear(), (parse_type("f32[4, 3]"),), low=0.5, high=3),
]
