"""What every function of the backend stands on: operands, result dtypes, and recording on functional tensors.

A function of the backend is written once, for symbolic tensors and for arrays: it converts its operands to one
dtype and emits operators (see `kir.ir.trace.emit`). `operation` adds the third kind of operand: the tensors between the
layers of a functional model, on which the call is recorded as a layer.

Dtypes follow Keras 3 (https://keras.io/api/utils/backend_utils/): Python numbers, NumPy scalars and symbolic sizes
are weak, so they take the dtype of the tensor beside them. Two readings of that rule:

1. 64 bits stay 64 bits when a tensor has them, as with Keras on TensorFlow.
2. An array of 64 bits beside symbolic tensors counts as one of 32 bits, since 64 is only NumPy's default.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from kir import config
from kir.backend.shape_tensors import sizes_in
from kir.errors import InvalidArgumentError, ShapeError, TraceError
from kir.ir.dims import Dim, Sym
from kir.ir.op import Op
from kir.ir.trace import SymbolicOperators, Tensor, Tracer, Variable, current_tracer, emit
from kir.ir.types import DType, as_dtype, normalize_axes, normalize_axis
from kir.ops.elementwise import Cast
from kir.ops.shape import Concat, Reshape, Size

TensorLike = Any  # a Tensor, a functional tensor, an array, a number, or a list of those
Function = TypeVar("Function", bound=Callable[..., Any])

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


def operation(function: Function) -> Function:
    """Makes a function work on functional tensors too: given one, the call is recorded as a layer of the model."""

    @functools.wraps(function)
    def apply(*args: Any, **kwargs: Any) -> Any:
        functional = _functional_in((*args, *kwargs.values()))
        return function(*args, **kwargs) if functional is None else functional.record(apply, args, kwargs)

    return apply  # type: ignore[return-value]


def _functional_in(values: Iterable[Any]) -> Any:
    """The first tensor of a functional model among the values and in lists of them; None if there is none."""
    for value in values:
        if isinstance(value, (list, tuple)):
            found = _functional_in(value)
            if found is not None:
                return found
        elif isinstance(value, SymbolicOperators) and not isinstance(value, Tensor):
            return value
    return None


# Operands


def operand(x: TensorLike) -> Any:
    """A Tensor, an array, a Python number or a symbolic size: whatever the caller gave, in one of these forms.

    Raises:
        TraceError: it is none of these and no list of them.
    """
    if isinstance(x, (Tensor, np.ndarray, bool, int, float, Sym)):
        return x
    if isinstance(x, Variable):
        return x.traced()
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, (list, tuple)):
        return _from_list(x)
    array = np.asarray(x)
    if array.dtype == object and not isinstance(x, str):
        raise TraceError(f"cannot use {x!r} of type {type(x).__name__} as a tensor; expected a tensor, array or number")
    return array


def _from_list(values: list[Any] | tuple[Any, ...]) -> Any:
    if _holds_symbolic(values):
        return emit_stack(promote(*values), 0)
    array = np.asarray(values)
    if array.dtype == np.float64 and not _holds_arrays(values):
        return array.astype(as_dtype(config.floatx()).numpy)
    if array.dtype == np.int64 and not _holds_arrays(values):
        return array.astype(np.int32) if _fits_int32(array) else array
    return array


def _holds_symbolic(values: Iterable[Any]) -> bool:
    return any(
        _holds_symbolic(value) if isinstance(value, (list, tuple)) else isinstance(value, (Tensor, Sym))
        for value in values
    )


def _holds_arrays(values: Iterable[Any]) -> bool:
    return any(
        _holds_arrays(value) if isinstance(value, (list, tuple)) else isinstance(value, (np.ndarray, np.generic))
        for value in values
    )


def _fits_int32(array: np.ndarray[Any, Any]) -> bool:
    limits = np.iinfo(np.int32)
    return not array.size or bool(limits.min <= array.min() and array.max() <= limits.max)


def shape_of(x: Any) -> tuple[Dim, ...]:
    """The shape of an operand."""
    return tuple(x.shape) if isinstance(x, (Tensor, np.ndarray)) else ()


def rank_of(x: Any) -> int:
    """The rank of an operand."""
    return len(shape_of(x))


def axis_of(x: Any, axis: Any, what: str = "axis") -> int:
    """One axis of an operand, counted from the front.

    Raises:
        ShapeError: out of range.
        InvalidArgumentError: not an integer.
    """
    return normalize_axis(as_integer(axis, what), rank_of(x), what)


def axes_of(x: Any, axis: Any, what: str = "axis") -> tuple[int, ...]:
    """Axes of an operand, sorted and counted from the front: one, several, or for None all.

    Raises:
        ShapeError: out of range, or given twice.
        InvalidArgumentError: not integers.
    """
    if axis is None:
        return tuple(range(rank_of(x)))
    given = axis if isinstance(axis, (list, tuple)) else (axis,)
    return normalize_axes([as_integer(one, what) for one in given], rank_of(x), what)


def as_integer(value: Any, what: str) -> int:
    """A Python int.

    Raises:
        InvalidArgumentError: the value is none, such as a symbolic one.
    """
    size = as_size(value, what)
    if isinstance(size, Sym):
        raise _not_known(value, what)
    return size


def as_size(value: Any, what: str) -> Dim:
    """An int or a symbolic size, also where a tensor was computed from sizes, such as `K.cast(x.shape[0], "int64")`.

    Raises:
        InvalidArgumentError: the value is neither.
    """
    if isinstance(value, Sym):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iu":
        return int(value)
    sizes = sizes_in(value) if isinstance(value, Tensor) and rank_of(value) == 0 else None
    if sizes is None:
        raise _not_known(value, what)
    return sizes[0]


def _not_known(value: Any, what: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{what} must be an integer known while tracing, but it is {value!r}")


def as_shape(shape: Any, what: str = "shape") -> tuple[Dim, ...]:
    """A shape of ints and symbolic sizes, given as a sequence, an integer array, one size, or a tensor made of sizes.

    Raises:
        InvalidArgumentError: a size is neither; a symbolic tensor cannot be a size, `x.shape` can.
        TraceError: the tensor depends on more than sizes.
    """
    if isinstance(shape, Tensor):
        sizes = sizes_in(shape)
        if sizes is None:
            raise TraceError(
                f"{what} cannot be a symbolic tensor; give a tuple made from x.shape, such as (x.shape[0], -1)"
            )
        return sizes
    if isinstance(shape, (int, np.integer, Sym)):
        return (as_size(shape, what),)
    return tuple(as_size(size, f"a size of {what}") for size in shape)


# Dtypes


def result_dtype(*values: Any) -> DType:
    """The dtype in which operands meet; `float` among them asks for a float at least."""
    symbolic = any(isinstance(value, Tensor) for value in values)
    return _strong(_least_upper_bound(frozenset(_kind(value, symbolic) for value in values)))


def _kind(value: Any, symbolic: bool) -> DType | str:
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


def promote(*values: TensorLike) -> list[Any]:
    """The values as Tensors or arrays of one dtype, that of `result_dtype`."""
    operands = [operand(value) for value in values]
    dtype = result_dtype(*operands)
    near = next((x for x in operands if isinstance(x, Tensor)), None)
    return [convert(x, dtype, near) for x in operands]


def promote_float(*values: TensorLike) -> list[Any]:
    """The values as Tensors or arrays of one float dtype; integers become `floatx`."""
    operands = [operand(value) for value in values]
    dtype = result_dtype(*operands, float)
    near = next((x for x in operands if isinstance(x, Tensor)), None)
    return [convert(x, dtype, near) for x in operands]


def tensor(x: TensorLike) -> Any:
    """One value as a Tensor or an array, of its own dtype, or for a Python number of Keras's default."""
    return promote(x)[0]


def floating(x: TensorLike) -> Any:
    """One value as a Tensor or an array of floats."""
    return promote_float(x)[0]


def convert(x: Any, dtype: DType, near: Any = None) -> Any:
    """An operand as a Tensor or an array of the dtype; a symbolic size is read in the trace that `near` belongs to."""
    if isinstance(x, Sym):
        x = emit_source(Size(x), near)
    if isinstance(x, Tensor):
        return x if x.type.dtype is dtype else emit(Cast(dtype), x)
    array = np.asarray(x)
    return array if array.dtype == dtype.numpy else array.astype(dtype.numpy)


def dtype_of(x: Any) -> DType:
    """The dtype of a Tensor or an array."""
    return x.type.dtype if isinstance(x, Tensor) else as_dtype(x.dtype)


def scalar(value: Any, like: Any) -> Any:
    """A constant in the dtype of a Tensor or an array, as an operand beside it."""
    return np.asarray(value, dtype_of(like).numpy)


def emit_source(op: Op, near: Any = None) -> Tensor:
    """An operator without inputs, added to the trace that `near` belongs to, or else to the one that is open.

    Raises:
        TraceError: no trace is open.
    """
    tracer: Tracer | None = near.tracer if isinstance(near, Tensor) else current_tracer()
    if tracer is None:
        raise TraceError(f"{op} needs a symbolic size outside of any traced function; use it inside a Lambda")
    return tracer.add(op)[0]


def emit_new_axes(x: Any, axis: Any) -> Any:
    """A Tensor or an array with axes of size 1 more, at the given places of the result.

    Raises:
        ShapeError: a place is out of range.
    """
    given = axis if isinstance(axis, (list, tuple)) else (axis,)
    rank = rank_of(x) + len(given)
    places = {as_integer(one, "axis") for one in given}
    if not all(-rank <= place < rank for place in places):
        raise ShapeError(f"axis={axis} is out of range for a result of rank {rank}; expected {-rank} to {rank - 1}")
    places = {place % rank for place in places}
    sizes = iter(shape_of(x))
    return emit(Reshape(tuple(1 if place in places else next(sizes) for place in range(rank))), x)


def emit_stack(values: Sequence[Any], axis: int) -> Any:
    """Stacks Tensors or arrays of one dtype along a new axis."""
    grown = [emit_new_axes(value, axis) for value in values]
    return emit(Concat(axis_of(grown[0], axis)), *grown)
