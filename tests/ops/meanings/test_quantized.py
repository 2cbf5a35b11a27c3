"""Operators on integers that stand for floats, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.ops.meanings.quantized import MICROSOFT
from tests.ops.meanings.oracle import Array, check, floats

SCALE, OTHER, RESULT = (np.array(number, np.float32) for number in (0.013, 0.021, 0.07))


def integers(*shape: int, dtype: str = "uint8", seed: int = 0) -> Array:
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max + 1, shape).astype(dtype)


def number(given: int, dtype: str = "uint8") -> Array:
    return np.array(given, dtype)


@pytest.mark.parametrize("settings", [{}, {"pads": (1, 0, 2, 1), "strides": (2, 1)}, {"auto_pad": "SAME_LOWER"}])
def test_convolutions(settings: dict[str, Any]) -> None:
    x, kernel, few = integers(2, 4, 7, 6), integers(6, 2, 3, 2, seed=1), integers(6, 2, 3, 2, seed=2) // 4
    check("ConvInteger", x, kernel, number(3), number(9), dtypes="i32", version=10, group=2, **settings)
    zeros = number(100), few, OTHER, number(30)
    check("QLinearConv", x, SCALE, *zeros, RESULT, number(9), version=10, group=2, **settings)
    scales = np.linspace(0.001, 0.02, 6, dtype=np.float32), np.zeros(6, np.int8)
    bias = np.arange(-300, 300, 100, dtype=np.int32)
    signed = (few.astype(np.int16) - 32).astype(np.int8)
    check("QLinearConv", x, SCALE, number(7), signed, *scales, RESULT, number(9), bias, version=10, group=2, **settings)


def test_products() -> None:
    a, b = integers(2, 3, 8), integers(8, 5, dtype="int8", seed=1) // 2
    quantized = a, SCALE, number(7), b, OTHER, number(2, "int8")
    check("QLinearMatMul", *quantized, np.array(0.3, np.float32), number(9), version=10)
    columns = np.linspace(0.001, 0.02, 5, dtype=np.float32)
    bias = floats(5)
    check(
        "MatMulIntegerToFloat", a, b, SCALE, columns, number(3), None, bias, dtypes="f32", domain=MICROSOFT, version=1
    )
    x = floats(3, 8)
    check("DynamicQuantizeMatMul", x, b, OTHER, number(2, "int8"), bias, domain=MICROSOFT, version=1)


@pytest.mark.parametrize("settings", [{}, {"transA": 1}, {"transB": 1, "alpha": 0.3}, {"transBatchA": 1}])
def test_fused_products(settings: dict[str, Any]) -> None:
    shapes = {"transA": ((2, 3, 4), (2, 3, 5)), "transB": ((2, 4, 3), (5, 3)), "transBatchA": ((4, 2, 3), (2, 3, 5))}
    a, b = next((shapes[name] for name in settings if name in shapes), ((2, 4, 3), (2, 3, 5)))
    check("FusedMatMul", floats(*a), floats(*b, seed=1), domain=MICROSOFT, version=1, **settings)


@pytest.mark.parametrize("zero", ["none", "packed"])
@pytest.mark.parametrize("bits", [4, 8])
def test_products_of_few_bits(bits: int, zero: str) -> None:
    inner, outer, block = 40, 6, 16
    blocks, per_byte = -(-inner // block), 8 // bits
    packed = integers(outer, blocks, block // per_byte)
    scales = np.abs(floats(outer * blocks, seed=1)) + 0.1
    zeros = None if zero == "none" else integers(outer * -(-blocks // per_byte), seed=2)
    settings: dict[str, Any] = {"K": inner, "N": outer, "bits": bits, "block_size": block}
    check("MatMulNBits", floats(3, inner), packed, scales, zeros, domain=MICROSOFT, version=1, **settings)


def test_elementwise() -> None:
    a, b = integers(3, 4), integers(4, seed=1)
    both = a, SCALE, number(100), b, OTHER, number(7)
    for name in ("QLinearAdd", "QLinearMul"):
        check(name, *both, RESULT, number(11), domain=MICROSOFT, version=1)
    result = np.array(1 / 256, np.float32)
    check("QLinearSigmoid", a, OTHER, number(128), result, number(0), domain=MICROSOFT, version=1)
    check("QLinearLeakyRelu", a, OTHER, number(128), SCALE, number(9), domain=MICROSOFT, version=1, alpha=0.2)
    check("QLinearSoftmax", a, OTHER, number(128), result, number(0), domain=MICROSOFT, version=1, axis=-1, opset=13)


def test_pooling_and_joining() -> None:
    x = integers(2, 3, 5, 4)
    check("QLinearGlobalAveragePool", x, SCALE, number(100), OTHER, number(90), domain=MICROSOFT, version=1)
    parts = x, SCALE, number(100), x // 2, OTHER, number(3)
    check("QLinearConcat", OTHER, number(3), *parts, dtypes="u8", domain=MICROSOFT, version=1, axis=1)


def test_the_operators_of_onnx_in_the_domain_of_onnxruntime() -> None:
    x = floats(2, 3)
    check("QuantizeLinear", x, SCALE, number(5, "uint16"), dtypes="u16", domain=MICROSOFT, version=1)
    levels = integers(2, 3, dtype="int16")
    check("DequantizeLinear", levels, SCALE, number(5, "int16"), dtypes="f32", domain=MICROSOFT, version=1)
