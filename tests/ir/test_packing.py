"""Elements of few bits, as files pack them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from onnx import numpy_helper

from kir.ir.packing import packed, stored_bytes, unpacked
from kir.ir.types import NARROW, DType


@pytest.mark.parametrize("dtype", sorted(NARROW, key=str), ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (0, 3)])
def test_bytes_are_those_of_onnx_and_come_back(dtype: DType, shape: tuple[int, ...]) -> None:
    lowest = 0 if str(dtype).startswith("u") else -2
    array = np.random.default_rng(0).integers(lowest, 2, shape).astype(dtype.numpy)
    data = packed(array)
    assert packed(array).nbytes == stored_bytes(dtype.numpy, math.prod(shape))
    assert data.tobytes() == numpy_helper.from_array(array).raw_data
    again = unpacked(np.frombuffer(data.tobytes(), np.uint8), dtype.numpy, shape)
    assert again.dtype == dtype.numpy
    assert again.shape == shape
    assert again.tobytes() == array.tobytes()


def test_other_arrays_stay_as_they_are() -> None:
    array = np.arange(3)
    assert packed(array) is array
    assert stored_bytes(array.dtype, 3) == 24
