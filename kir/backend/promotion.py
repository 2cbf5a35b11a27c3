"""The dtype in which operands meet, as in Keras 3 (https://keras.io/api/utils/backend_utils/).

Python numbers, NumPy scalars and symbolic sizes are weak: they take the dtype of the tensor beside them. Two readings
of that rule:

1. 64 bits stay 64 bits when a tensor has them, as with Keras on TensorFlow.
2. An array of 64 bits beside symbolic tensors counts as one of 32 bits, since 64 is only NumPy's default.
"""

from __future__ import annotations

import functools

import numpy as np

from kir import config
from kir.errors import InvalidArgumentError
from kir.ir.dims import Sym
from kir.ir.trace import Tensor
from kir.ir.types import DType, as_dtype

WEAK_INT = "int"
WEAK_FLOAT = "float"

# For each dtype the next wider ones: the promotion lattice of Keras and JAX, without its complex numbers.
_WIDER: dict[DType | str, tuple[DType | str, ...]] = {
    DType.BOOL: (WEAK_INT,),
    WEAK_INT: (DType.UINT8, DType.INT8),
    DType.UINT8: (DType.INT16, DType.UINT16),
    DType.UINT16: (DType.INT32, DType.UINT32),
    DType.UINT32: (DType.INT64, DType.UINT64),
    DType.UINT64: (WEAK_FLOAT,),
    DType.INT8: (DType.INT16,),
    DType.INT16: (DType.INT32,),
    DType.INT32: (DType.INT64,),
    DType.INT64: (WEAK_FLOAT,),
    WEAK_FLOAT: (DType.BFLOAT16, DType.FLOAT16),
    DType.BFLOAT16: (DType.FLOAT32,),
    DType.FLOAT16: (DType.FLOAT32,),
    DType.FLOAT32: (DType.FLOAT64,),
    DType.FLOAT64: (),
    DType.STRING: (),
}
_HALVED = {DType.FLOAT64: DType.FLOAT32, DType.INT64: DType.INT32, DType.UINT64: DType.UINT32}


def result_dtype(*values: object) -> DType:
    """Return the dtype in which operands meet; `float` among them asks for a float at least."""
    symbolic = any(isinstance(value, Tensor) for value in values)
    return _strong(_least_upper_bound(frozenset(_kind(value, symbolic) for value in values)))


def _kind(value: object, symbolic: bool) -> DType | str:
    if isinstance(value, Tensor):
        return value.type.dtype
    if isinstance(value, np.ndarray):
        dtype = as_dtype(value.dtype)
        return _HALVED.get(dtype, dtype) if symbolic else dtype
    if isinstance(value, bool):
        return DType.BOOL
    if isinstance(value, (int, Sym)):
        return WEAK_INT
    return value if isinstance(value, DType) else WEAK_FLOAT


@functools.cache
def _least_upper_bound(kinds: frozenset[DType | str]) -> DType | str:
    common = frozenset.intersection(*[_upper_bounds(kind) for kind in kinds])
    for kind in common:
        if common <= _upper_bounds(kind):
            return kind
    names = ", ".join(sorted(map(str, kinds)))
    raise InvalidArgumentError(f"no dtype holds values of {names}; cast one of them with K.cast first")


@functools.cache
def _upper_bounds(kind: DType | str) -> frozenset[DType | str]:
    return frozenset({kind}).union(*[_upper_bounds(wider) for wider in _WIDER[kind]])


def _strong(kind: DType | str) -> DType:
    if isinstance(kind, DType):
        return kind
    return DType.INT32 if kind == WEAK_INT else as_dtype(config.floatx())
