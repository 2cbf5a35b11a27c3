"""What every function of the backend stands on: operands, axes and sizes, and recording on functional tensors.

A function of the backend is written once, for symbolic tensors and for arrays: it converts its operands to one
dtype (see `kir.backend.promotion`) and emits operators (see `kir.ir.trace.emit`). `operation` adds the third kind of
operand: the tensors between the layers of a functional model, on which the call is recorded as a layer. The package
makes operations of the functions that it offers, so that those inside call each other without it.

To a type checker, everything that the backend computes with and returns is a Tensor. Functional tensors and arrays,
which take its place where all operands are of that kind, have the same operators.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar, cast

import numpy as np

from kir import config
from kir.backend.promotion import result_dtype
from kir.backend.shape_tensors import sizes_in
from kir.errors import InvalidArgumentError, ShapeError, TraceError
from kir.ir.dims import Dim, Sym
from kir.ir.op import Array, Op
from kir.ir.trace import SymbolicOperators, Tensor, TensorLike, Tracer, Variable, current_tracer, emit
from kir.ir.types import Axis, DType, Shape, as_dtype, normalize_axes, normalize_axis
from kir.ops.elementwise import Cast
from kir.ops.shape import Concat, Reshape, Size

P = ParamSpec("P")
Result = TypeVar("Result")
# What `operand` gives.
Operand: TypeAlias = "Tensor | Array | int | float | Sym"
# What `as_size` and `as_shape` read: tensors may be made of sizes.
SizeLike: TypeAlias = "Dim | np.integer[Any] | Tensor | Array"
ShapeLike: TypeAlias = "SizeLike | Sequence[SizeLike]"


def operation(function: Callable[P, Result]) -> Callable[P, Result]:
    """Make a function work on functional tensors too: given one, the call is recorded as a layer of the model."""

    @functools.wraps(function)
    def apply(*args: P.args, **kwargs: P.kwargs) -> Result:
        functional = _functional_in((*args, *kwargs.values()))
        return function(*args, **kwargs) if functional is None else functional.record(apply, args, kwargs)

    return apply


def _functional_in(values: Iterable[object]) -> Any:
    """Return the first tensor of a functional model among the values and in lists of them; None if there is none."""
    for value in values:
        if isinstance(value, slice):
            value = (value.start, value.stop, value.step)
        if isinstance(value, (list, tuple)):
            found = _functional_in(value)
            if found is not None:
                return found
        elif isinstance(value, SymbolicOperators) and not isinstance(value, Tensor):
            return value
    return None


def record_calls(namespace: dict[str, Any], names: Iterable[str]) -> None:
    """Make operations of the functions of these names; one that has several names stays one function."""
    made: dict[Any, Any] = {}
    for name in names:
        function = namespace[name]
        if function not in made:
            made[function] = operation(function)
            made[function].__module__ = namespace["__name__"]
        namespace[name] = made[function]


class FunctionOfOne(Protocol):
    """A function of one tensor."""

    def __call__(self, x: TensorLike) -> Tensor: ...


def of_floats(module: str, name: str, op: Op, doc: str) -> FunctionOfOne:
    """Make the function of that module, name and docstring that applies an operator to x as floats."""

    def apply(x: TensorLike) -> Tensor:
        return emit(op, floating(x))

    apply.__module__, apply.__name__, apply.__qualname__, apply.__doc__ = module, name, name, doc
    return apply


class FunctionOfTwo(Protocol):
    """A function of two tensors."""

    def __call__(self, x1: TensorLike, x2: TensorLike) -> Tensor: ...


def of_two(module: str, name: str, op: Op, doc: str, on_booleans: Op | None = None) -> FunctionOfTwo:
    """Make the function of that module, name and docstring that applies an operator to two tensors of one dtype.

    Args:
        on_booleans: the operator for booleans; without one they count as int32.
    """

    def apply(x1: TensorLike, x2: TensorLike) -> Tensor:
        a, b = promote(x1, x2)
        if on_booleans is not None and dtype_of(a) is DType.BOOL:
            return emit(on_booleans, a, b)
        return emit(op, numeric(a), numeric(b))

    apply.__module__, apply.__name__, apply.__qualname__, apply.__doc__ = module, name, name, doc
    return apply


# Operands


def operand(x: TensorLike) -> Operand:
    """Return a Tensor, an array, a Python number or a symbolic size: what the caller gave, in one of these forms.

    Raises:
        TraceError: it is none of these and no list of them.
    """
    if isinstance(x, (Tensor, np.ndarray, bool, int, float, Sym)):
        return x
    if isinstance(x, Variable) or hasattr(x, "traced"):
        # Of kir, or of the Keras whose layer is traced.
        return cast(Variable, x).traced()
    if isinstance(x, np.generic):
        number: bool | int | float = x.item()
        return number
    if isinstance(x, (list, tuple)):
        return _from_list(x)
    array = np.asarray(x)
    if array.dtype == object and not isinstance(x, str):
        raise TraceError(f"cannot use {x!r} of type {type(x).__name__} as a tensor; expected a tensor, array or number")
    return array


def _from_list(values: Sequence[TensorLike]) -> Tensor | Array:
    if _holds(values, (Tensor, Sym)):
        return emit_stack(promote(*values), 0)
    array = np.asarray(values)
    if array.dtype == np.float64 and not _holds(values, (np.ndarray, np.generic)):
        return array.astype(as_dtype(config.floatx()).numpy)
    if array.dtype == np.int64 and not _holds(values, (np.ndarray, np.generic)):
        return array.astype(np.int32) if _fits_int32(array) else array
    return array


def _holds(values: Iterable[object], kinds: tuple[type, ...]) -> bool:
    """Return whether one of the values, or of those in lists of them, is of these kinds."""
    return any(
        _holds(value, kinds) if isinstance(value, (list, tuple)) else isinstance(value, kinds) for value in values
    )


def _fits_int32(array: Array) -> bool:
    limits = np.iinfo(np.int32)
    return not array.size or bool(limits.min <= array.min() and array.max() <= limits.max)


def promote(*values: TensorLike) -> list[Tensor]:
    """Return the values as Tensors or arrays of one dtype, that of `result_dtype`."""
    operands = [operand(value) for value in values]
    return _converted(operands, result_dtype(*operands))


def promote_float(*values: TensorLike) -> list[Tensor]:
    """Return the values as Tensors or arrays of one float dtype; integers become `floatx`."""
    operands = [operand(value) for value in values]
    return _converted(operands, result_dtype(*operands, float))


def _converted(operands: Sequence[Operand], dtype: DType) -> list[Tensor]:
    near = next((x for x in operands if isinstance(x, Tensor)), None)
    return [convert(x, dtype, near) for x in operands]


def tensor(x: TensorLike) -> Tensor:
    """Return one value as a Tensor or an array, of its own dtype, or for a Python number of Keras's default."""
    return promote(x)[0]


def floating(x: TensorLike) -> Tensor:
    """Return one value as a Tensor or an array of floats."""
    return promote_float(x)[0]


def numeric(x: Tensor) -> Tensor:
    """Return booleans as int32, anything else as it is."""
    return convert(x, DType.INT32) if dtype_of(x) is DType.BOOL else x


def convert(x: Operand, dtype: DType, near: object = None) -> Tensor:
    """Return an operand as a Tensor or an array of the dtype.

    A symbolic size is read in the trace that `near` belongs to, if that is a Tensor, else in the one that is open.
    """
    if isinstance(x, Sym):
        x = emit_source(Size(x), near)
    if isinstance(x, Tensor):
        return x if x.type.dtype is dtype else emit(Cast(dtype), x)
    array = np.asarray(x)
    return cast(Tensor, array if array.dtype == dtype.numpy else array.astype(dtype.numpy))


def dtype_of(x: Tensor | Array) -> DType:
    """Return the dtype of a Tensor or an array."""
    return x.type.dtype if isinstance(x, Tensor) else as_dtype(x.dtype)


def scalar(value: float | Array, like: Tensor) -> Tensor:
    """Return a constant in the dtype of a Tensor or an array, as an operand beside it."""
    return cast(Tensor, np.asarray(value, dtype_of(like).numpy))


# Axes and sizes


def shape_of(x: Operand) -> Shape:
    """Return the shape of an operand."""
    return tuple(x.shape) if isinstance(x, (Tensor, np.ndarray)) else ()


def rank_of(x: Operand) -> int:
    """Return the rank of an operand."""
    return len(shape_of(x))


def axis_of(x: Operand, axis: object, what: str = "axis") -> int:
    """Return one axis of an operand, counted from the front.

    Raises:
        ShapeError: out of range.
        InvalidArgumentError: not an integer.
    """
    return normalize_axis(as_integer(axis, what), rank_of(x), what)


def axes_of(x: Operand, axis: Axis, what: str = "axis") -> tuple[int, ...]:
    """Return axes of an operand, sorted and counted from the front: one, several, or for None all.

    Raises:
        ShapeError: out of range, or given twice.
        InvalidArgumentError: not integers.
    """
    if axis is None:
        return tuple(range(rank_of(x)))
    return normalize_axes([as_integer(one, what) for one in listed(axis)], rank_of(x), what)


def listed(given: object) -> Sequence[Any]:
    """Return a list or a tuple as it is, and anything else as the only one of several."""
    return given if isinstance(given, (list, tuple)) else (given,)


def as_integer(value: object, what: str) -> int:
    """Return a Python int.

    Raises:
        InvalidArgumentError: the value is none, such as a symbolic one.
    """
    size = as_size(value, what)
    if isinstance(size, Sym):
        raise _not_known(value, what)
    return size


def as_size(value: object, what: str) -> Dim:
    """Return an int or a symbolic size.

    A tensor computed from sizes gives its size: `K.cast(x.shape[0], "int64")` is `x.shape[0]`.

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


def _not_known(value: object, what: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{what} must be an integer known while tracing, but it is {value!r}")


def as_shape(shape: ShapeLike, what: str = "shape") -> Shape:
    """Return a shape of ints and symbolic sizes from a sequence, an integer array, one size, or a tensor made of sizes.

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


# Emitting


def emit_source(op: Op, near: object = None) -> Tensor:
    """Add an operator without inputs to the trace that `near` belongs to, if that is a Tensor, or to the one open.

    Raises:
        TraceError: no trace is open.
    """
    tracer: Tracer | None = near.tracer if isinstance(near, Tensor) else current_tracer()
    if tracer is None:
        raise TraceError(f"{op} needs a symbolic size outside of any traced function; use it inside a Lambda")
    return tracer.add(op)[0]


def emit_new_axes(x: Tensor, axis: Axis) -> Tensor:
    """Add axes of size 1 to a Tensor or an array, at the given places of the result.

    Raises:
        ShapeError: a place is out of range.
    """
    given = listed(axis)
    rank = rank_of(x) + len(given)
    places = {as_integer(one, "axis") for one in given}
    if not all(-rank <= place < rank for place in places):
        raise ShapeError(f"axis={axis} is out of range for a result of rank {rank}; expected {-rank} to {rank - 1}")
    places = {place % rank for place in places}
    sizes = iter(shape_of(x))
    return emit(Reshape(tuple(1 if place in places else next(sizes) for place in range(rank))), x)


def emit_stack(values: Sequence[Tensor], axis: int) -> Tensor:
    """Stack Tensors or arrays of one dtype along a new axis."""
    grown = [emit_new_axes(value, axis) for value in values]
    return emit(Concat(axis_of(grown[0], axis)), *grown)
