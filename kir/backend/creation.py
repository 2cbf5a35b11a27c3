"""New values: constants, ranges and fills, with the names of `keras.ops` and `keras.backend`.

With known sizes these are arrays; a symbolic size makes a symbolic tensor of the trace that is open.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from kir import config
from kir.backend.basic import cast, expand_dims
from kir.backend.comparison import equal, less_equal
from kir.backend.dispatch import (
    Operand,
    ShapeLike,
    SizeLike,
    as_integer,
    as_shape,
    as_size,
    convert,
    dtype_of,
    emit_source,
    operand,
    shape_of,
    tensor,
)
from kir.backend.elementwise import add, divide, multiply, subtract
from kir.backend.promotion import result_dtype
from kir.errors import LimitError, TraceError
from kir.ir.dims import Dim, Sym, maximum, product
from kir.ir.op import Array
from kir.ir.structural import constant as constant_op
from kir.ir.trace import SymbolicOperators, Tensor, TensorLike, emit
from kir.ir.types import DType, DTypeLike, as_dtype
from kir.ops.elementwise import Cast
from kir.ops.shape import Expand, Range
from kir.support.limits import MAX_COUNT, MAX_ELEMENTS

__all__ = [
    "arange", "array", "constant", "convert_to_tensor", "empty", "empty_like", "eye", "full", "full_like",
    "is_keras_tensor", "is_tensor", "linspace", "ones", "ones_like", "tri", "variable", "zeros", "zeros_like",
]  # fmt: skip

Number: TypeAlias = "SizeLike | float"


def convert_to_tensor(x: TensorLike, dtype: DTypeLike | None = None) -> Tensor:
    """Return x as a Tensor or an array, in its own dtype unless another is given."""
    return tensor(x) if dtype is None else convert(operand(x), as_dtype(dtype))


def constant(
    value: TensorLike, dtype: DTypeLike | None = None, shape: ShapeLike | None = None, name: str | None = None
) -> Tensor:
    """Return a constant array, `floatx` unless another dtype is given; a `shape` is filled with the value."""
    array = convert(operand(value), as_dtype(dtype or config.floatx()))
    return array if shape is None else convert(np.broadcast_to(array, as_shape(shape)), dtype_of(array))  # type: ignore[arg-type]


def variable(value: TensorLike, dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """Return `constant` of the value: nothing is trained here."""
    return constant(value, dtype, None, name)


def is_tensor(x: object) -> bool:
    """Return whether x is a symbolic tensor or an array."""
    return isinstance(x, (SymbolicOperators, np.ndarray))


def is_keras_tensor(x: object) -> bool:
    """Return whether x is a tensor between the layers of a functional model."""
    return isinstance(x, SymbolicOperators) and not isinstance(x, Tensor)


def full(shape: ShapeLike, fill_value: TensorLike, dtype: DTypeLike | None = None) -> Tensor:
    """Return a tensor of the shape, filled with a value."""
    return _fill(as_shape(shape), operand(fill_value), as_dtype(dtype or config.floatx()))


def _fill(shape: tuple[Dim, ...], value: Operand, dtype: DType, near: Tensor | None = None) -> Tensor:
    if isinstance(value, (Tensor, Sym)):
        return emit(Expand(shape), convert(value, dtype, near))
    array = convert(value, dtype)
    if not any(isinstance(size, Sym) for size in shape):
        if product(shape) > MAX_ELEMENTS:
            raise LimitError(
                f"a constant of {product(shape)} elements is out of all proportion; expected {MAX_ELEMENTS}"
            )
        return convert(np.broadcast_to(array, shape).copy(), dtype)  # type: ignore[arg-type]
    return emit(Expand(shape), emit_source(constant_op(array), near))


def zeros(shape: ShapeLike, dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """Return a tensor of the shape, filled with 0."""
    return full(shape, 0, dtype)


def ones(shape: ShapeLike, dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """Return a tensor of the shape, filled with 1."""
    return full(shape, 1, dtype)


def full_like(x: TensorLike, fill_value: TensorLike, dtype: DTypeLike | None = None) -> Tensor:
    """Return a tensor of the shape of x, filled with a value, in the dtype of x unless another is given."""
    like = tensor(x)
    wanted = dtype_of(like) if dtype is None else as_dtype(dtype)
    return _fill(shape_of(like), operand(fill_value), wanted, like)


def zeros_like(x: TensorLike, dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """Return a tensor of the shape of x, filled with 0."""
    return full_like(x, 0, dtype)


def ones_like(x: TensorLike, dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """Return a tensor of the shape of x, filled with 1."""
    return full_like(x, 1, dtype)


def arange(
    start: SizeLike | float,
    stop: SizeLike | float | None = None,
    step: SizeLike | float | None = None,
    dtype: DTypeLike | None = None,
) -> Tensor:
    """Return the numbers from start (or 0) up to stop, which is left out: int32 for integers and sizes, else `floatx`.

    Raises:
        TraceError: with a symbolic size, a bound or the step is no integer.
        LimitError: there are more than `MAX_COUNT`.
    """
    stride: Any = 1 if step is None else step
    first: Any = 0 if stop is None else start
    last: Any = start if stop is None else stop
    given = [operand(value) for value in (start, stop, step) if value is not None]
    wanted = result_dtype(*given) if dtype is None else as_dtype(dtype)
    if any(isinstance(one, (Sym, Tensor)) for one in given):
        if any(isinstance(one, float) and not one.is_integer() for one in given):
            raise TraceError(f"K.arange{tuple(given)} cannot be traced; expected integers and sizes such as x.shape[0]")
        first, last, stride = (int(one) if isinstance(one, float) else one for one in (first, last, stride))
        first, last, stride = as_size(first, "start"), as_size(last, "stop"), as_integer(stride, "step")
    if isinstance(first, Sym) or isinstance(last, Sym):
        numbers = Range(first, last, stride)
        return emit(Cast(wanted), emit_source(numbers)) if wanted is not DType.INT64 else emit_source(numbers)
    _require_few((last - first) / (stride or 1), "arange")
    return convert(np.arange(first, last, stride), wanted)


def _require_few(count: float, what: str) -> None:
    """Raise LimitError before an array is made that no model has, such as one of a size that a file asks for."""
    if count > MAX_COUNT:
        raise LimitError(f"{what} of {count:.3g} numbers is out of all proportion; at most {MAX_COUNT} are made")


def linspace(
    start: float | Array,
    stop: float | Array,
    num: SizeLike = 50,
    endpoint: bool = True,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Tensor:
    """Return `num` numbers, evenly spaced from start to stop, which are known.

    Raises:
        TraceError: `num` is a symbolic size, and start and stop are no numbers but arrays.
    """
    wanted = as_dtype(dtype or config.floatx())
    count = as_size(num, "num")
    if isinstance(count, int):
        _require_few(count, "linspace")
        return convert(np.linspace(start, stop, count, endpoint, axis=axis), wanted)
    if np.ndim(start) or np.ndim(stop):
        raise TraceError(f"K.linspace of {count} numbers takes a number each for start and stop; received arrays")
    intervals = maximum(count - 1, 1) if endpoint else count
    fractions = divide(cast(arange(count), wanted), cast(intervals, wanted))
    return add(multiply(fractions, float(stop) - float(start)), float(start))


def eye(N: SizeLike, M: SizeLike | None = None, k: int = 0, dtype: DTypeLike | None = None) -> Tensor:
    """Return the matrix with 1 on the k-th diagonal and 0 elsewhere."""
    return cast(equal(_columns_minus_rows(N, M), k), dtype or config.floatx())


def tri(N: SizeLike, M: SizeLike | None = None, k: int = 0, dtype: DTypeLike | None = None) -> Tensor:
    """Return the matrix with 1 up to the k-th diagonal and 0 above it."""
    return cast(less_equal(_columns_minus_rows(N, M), k), dtype or config.floatx())


def _columns_minus_rows(rows: SizeLike, columns: SizeLike | None) -> Tensor:
    return subtract(arange(rows if columns is None else columns), expand_dims(arange(rows), 1))


array = convert_to_tensor
empty = zeros
empty_like = zeros_like
