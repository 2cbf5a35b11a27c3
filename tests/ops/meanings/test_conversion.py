"""Conversions between element types, against onnxruntime where it has kernels; ONNX's own tests have the others."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from kir.errors import UnsupportedError
from kir.ir.types import parse_type
from kir.ops.opaque import Opaque
from tests.ops.meanings.oracle import check

NUMBERS = np.array([0, -0.3, 1.75, 17.1, 500, -1e6, np.inf, np.nan], np.float32)


@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize(
    ("number", "name"), [(TensorProto.FLOAT8E4M3FN, "float8_e4m3fn"), (TensorProto.FLOAT8E5M2, "float8_e5m2")]
)
def test_floats_of_8_bits(number: int, name: str, saturate: int) -> None:
    (y,) = check("Cast", NUMBERS, dtypes=name, to=number, saturate=saturate)
    check("Cast", y, dtypes="f32", to=TensorProto.FLOAT)


def test_quantization_to_floats_of_8_bits() -> None:
    scale, zero = np.array(0.5, np.float32), np.zeros((), "float8_e4m3fn")
    (y,) = check("QuantizeLinear", NUMBERS[:5], scale, zero, dtypes="float8_e4m3fn")
    check("DequantizeLinear", y, scale, zero, dtypes="f32")


def test_bits_of_numbers() -> None:
    x = np.array([1.5, -2.0], np.float32)
    op = Opaque("", "BitCast", 26, (("to", TensorProto.INT32),), (parse_type("i32[2]"),))
    assert op.eval(x).tolist() == x.view(np.int32).tolist()
    assert op.widen().eval(x.astype(np.float64)).tolist() == x.view(np.int32).tolist()


def test_texts() -> None:
    check("Cast", np.array([1, -20]), dtypes="str", to=TensorProto.STRING)
    check("Cast", np.array(["1.5", "-2"], object), dtypes="f32", to=TensorProto.FLOAT)
    op = Opaque("", "Cast", 21, (("to", TensorProto.STRING),), (parse_type("str[1]"),))
    with pytest.raises(UnsupportedError, match="texts"):
        op.eval(np.ones(1, np.float32))
