"""Arrays in and out of onnxruntime: element types that NumPy has not, sequences and maps."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from kir.ir.op import Array
from kir.ir.packing import packed, stored_bytes, unpacked
from kir.ir.types import DType
from kir.ops.onnx_forms import TYPE_NAMES

if TYPE_CHECKING:
    from onnxruntime import OrtValue


def _is_table(value: object) -> bool:
    """Return whether a value is a list of maps of the same keys."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return False
    return bool(value) and all(one.keys() == value[0].keys() for one in value)


def flat(results: Mapping[str, Any]) -> dict[str, Array]:
    """Return outputs as arrays. Those of a sequence are called "name[0]", "name[1]", …, of a map "name[key]".

    Maps of the same keys, one for each row, become an array for each key; an optional without a value is absent.
    """
    found: dict[str, Array] = {}
    pending = list(results.items())[::-1]
    while pending:
        name, value = pending.pop()
        if _is_table(value):
            value = {key: np.array([one[key] for one in value]) for key in value[0]}
        if isinstance(value, list | dict):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            pending += [(f"{name}[{key}]", item) for key, item in items][::-1]
        elif value is not None:
            array = np.asarray(value)
            found[name] = array.astype(object) if array.dtype.kind in "US" else array
    return found


def ort_value(onnxruntime: ModuleType, array: Array) -> Any:
    """Return an array as onnxruntime takes it."""
    number = next((number for number, dtype in _OF_ML_DTYPES.items() if dtype.numpy == array.dtype), None)
    if number is None:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)
    bits = packed(np.ascontiguousarray(array)).view(np.uint16 if array.dtype.itemsize == 2 else np.uint8)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, number)


# By the numbers of `TensorProto.DataType`, without importing onnx: what NumPy arrays of onnxruntime cannot hold.
_OF_ML_DTYPES = {
    16: DType.BFLOAT16,
    17: DType.FLOAT8_E4M3FN,
    18: DType.FLOAT8_E4M3FNUZ,
    19: DType.FLOAT8_E5M2,
    20: DType.FLOAT8_E5M2FNUZ,
    21: DType.UINT4,
    22: DType.INT4,
    23: DType.FLOAT4_E2M1FN,
    24: DType.FLOAT8_E8M0FNU,
    25: DType.UINT2,
    26: DType.INT2,
}
AS_BYTES = {f"tensor({TYPE_NAMES[dtype]})" for dtype in _OF_ML_DTYPES.values()}


def to_array(value: OrtValue) -> Array:
    """Return an array. onnxruntime gives none of some types: the bytes are copied from where they lie (on the CPU)."""
    dtype = _OF_ML_DTYPES.get(value.element_type())
    if dtype is None:
        return np.asarray(value.numpy())
    shape = tuple(value.shape())
    count = stored_bytes(dtype.numpy, math.prod(shape))
    data = np.frombuffer(ctypes.string_at(value.data_ptr(), count), np.uint8)
    if dtype is DType.BFLOAT16:
        return data.view(dtype.numpy).reshape(shape).copy()
    return unpacked(data, dtype.numpy, shape)
