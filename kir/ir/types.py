"""Types of values: an element type and a symbolic shape. `str(t)` is "f32[batch, 28, 28]"."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from kir.errors import InvalidArgumentError, ShapeError, UndecidedSizesError
from kir.ir.dim_parser import parse_dim
from kir.ir.dims import Dim, Sym, symbol
from kir.support.limits import MAX_INT64, MAX_RANK
from kir.support.onnx_types import TYPE_TEXT

Shape = tuple[Dim, ...]
# One axis, several, or all (or, where a function says so, the flattened tensor's).
Axis: TypeAlias = int | Sequence[int] | None
DTypeLike: TypeAlias = "DType | str | np.dtype[Any] | type[Any]"  # what `as_dtype` reads

# Between the names of sizes that met on one axis; `kir.support.naming.symbol_name` keeps it out of given names.
JOINT = ":"


class DType(enum.Enum):
    """An element type; the value is its short printed name."""

    BOOL = "bool"
    INT8 = "i8"
    INT16 = "i16"
    INT32 = "i32"
    INT64 = "i64"
    UINT8 = "u8"
    UINT16 = "u16"
    UINT32 = "u32"
    UINT64 = "u64"
    FLOAT16 = "f16"
    BFLOAT16 = "bf16"
    FLOAT32 = "f32"
    FLOAT64 = "f64"
    STRING = "str"
    INT4 = "i4"
    UINT4 = "u4"
    INT2 = "i2"
    UINT2 = "u2"
    FLOAT8_E4M3FN = "f8e4m3fn"
    FLOAT8_E4M3FNUZ = "f8e4m3fnuz"
    FLOAT8_E5M2 = "f8e5m2"
    FLOAT8_E5M2FNUZ = "f8e5m2fnuz"
    FLOAT8_E8M0FNU = "f8e8m0fnu"
    FLOAT4_E2M1FN = "f4e2m1fn"

    # Members are compared by identity. Types are hashed all the time, and Enum's own hash is a function in Python.
    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.value

    @property
    def keras_name(self) -> str:
        """The name that Keras and NumPy use: "float32", "bool", "string"."""
        return self.name.lower()

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype (bfloat16 and those of `NARROW` from ml_dtypes, strings as objects)."""
        return _NUMPY[self]

    @property
    def is_float(self) -> bool:
        return self in FLOATS

    @property
    def is_integer(self) -> bool:
        return self in INTEGERS

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.numpy.itemsize


FLOATS = frozenset({DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64})
# The precision of each float dtype, with the leading bit that is not stored.
SIGNIFICAND_BITS = {DType.BFLOAT16: 8, DType.FLOAT16: 11, DType.FLOAT32: 24, DType.FLOAT64: 53}
SIGNED_INTEGERS = frozenset({DType.INT8, DType.INT16, DType.INT32, DType.INT64})
INTEGERS = SIGNED_INTEGERS | {DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64}

# Element types that values are only stored in: they stand for others, and only conversions and movements take them. In
# memory each element has a byte; files pack those of fewer bits.
NARROW_BITS = {
    **dict.fromkeys((DType.INT4, DType.UINT4, DType.FLOAT4_E2M1FN), 4),
    **dict.fromkeys((DType.INT2, DType.UINT2), 2),
    **dict.fromkeys((DType.FLOAT8_E4M3FN, DType.FLOAT8_E4M3FNUZ, DType.FLOAT8_E5M2, DType.FLOAT8_E5M2FNUZ), 8),
    DType.FLOAT8_E8M0FNU: 8,
}
NARROW = frozenset(NARROW_BITS)

_NUMPY: dict[DType, np.dtype[Any]] = {
    dtype: np.dtype(getattr(ml_dtypes, dtype.name.lower()) if dtype in NARROW else dtype.name.lower())
    for dtype in DType
    if dtype not in (DType.BFLOAT16, DType.STRING)
}
_NUMPY[DType.BFLOAT16] = np.dtype(ml_dtypes.bfloat16)
_NUMPY[DType.STRING] = np.dtype(object)
_FROM_NUMPY = {numpy_dtype: dtype for dtype, numpy_dtype in _NUMPY.items()}


@cache
def rounding_unit(dtype: DType) -> float:
    """Return the largest relative error of rounding to a float dtype: half the spacing of floats at 1."""
    return math.ldexp(1.0, -SIGNIFICAND_BITS[dtype])


def as_dtype(given: DTypeLike) -> DType:
    """Return the DType for a DType, a Keras name ("float32"), a short name ("f32") or a NumPy dtype.

    Raises:
        InvalidArgumentError: there is no such dtype; the message lists those that exist.
    """
    if isinstance(given, DType):
        return given
    if isinstance(given, np.dtype) and given in _FROM_NUMPY:
        return _FROM_NUMPY[given]
    if isinstance(given, str):
        for dtype in DType:
            if given in (dtype.value, dtype.name.lower()):
                return dtype
    try:
        numpy_dtype = np.dtype(given)
    except (TypeError, ValueError):  # a ValueError of text that is nearly a dtype
        numpy_dtype = None
    if numpy_dtype is not None:
        if numpy_dtype.kind in "US":
            return DType.STRING
        if numpy_dtype.newbyteorder("=") in _FROM_NUMPY:
            return _FROM_NUMPY[numpy_dtype.newbyteorder("=")]
    known = ", ".join(dtype.keras_name for dtype in DType)
    raise InvalidArgumentError(f"unknown dtype {given!r}; expected one of {known}")


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor's element type and shape. Sizes are ints or symbolic; there is no unknown rank."""

    dtype: DType
    shape: Shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    def with_shape(self, shape: Iterable[Dim]) -> TensorType:
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: DType) -> TensorType:
        return TensorType(dtype, self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class CarriedType(TensorType):
    """The type of a value that carried operators alone compute with: no tensor, or one that kir cannot describe.

    That is a sequence, a map, an optional or a sparse tensor; a tensor of unknown rank, or of an element type that kir
    lacks. `text` says which, see `kir.support.onnx_types`. Element type and shape say nothing. No other operator than
    `Opaque`, `Input` and `Output` takes such a value.
    """

    text: str

    def with_shape(self, shape: Iterable[Dim]) -> TensorType:
        return self

    def with_dtype(self, dtype: DType) -> TensorType:
        return self

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def carried_type(text: str) -> CarriedType:
    """Return the type of a value that no operator but a carried one can take."""
    return CarriedType(DType.STRING, (), text)


def parse_type(text: str) -> TensorType:
    """Return the type that a text such as "f32[batch, 28]" says: the inverse of ``str(type)``.

    Raises:
        ShapeError: the text is not a printed type.
    """
    if TYPE_TEXT.fullmatch(text):
        return carried_type(text)
    match = re.fullmatch(r"([a-z0-9]+)\[(.*)\]", text)
    if match is None:
        raise ShapeError(f"{text!r} is not a type; expected text like 'f32[batch, 28]'")
    dims = _split(match[2]) if match[2].strip() else []
    return TensorType(as_dtype(match[1]), tuple(parse_dim(part) for part in dims))


def _split(text: str) -> list[str]:
    """Split a text at the commas outside of parentheses."""
    parts = [""]
    depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def require_sizes(type: TensorType) -> TensorType:
    """Return the type itself, if a tensor can have its sizes: if ONNX and NumPy write them in 64 bits.

    Raises:
        ShapeError: a size is negative or no integer, the sizes, or their product, need more than 64 bits, or there are
            more than `MAX_RANK`.
    """
    if len(type.shape) > MAX_RANK:
        raise ShapeError(f"there can be no tensor of {len(type.shape)} axes; expected at most {MAX_RANK}")
    # NumPy multiplies the other sizes of an empty tensor, too, with the bytes of an element. One that is as large and
    # not empty is never computed.
    most = MAX_INT64 // DType.FLOAT64.itemsize if 0 in type.shape else MAX_INT64
    count = 1
    for dim in type.shape:
        if isinstance(dim, Sym):
            is_whole = all(abs(coefficient) <= MAX_INT64 for _, coefficient in dim.terms)
        else:
            is_whole = not isinstance(dim, bool) and 0 <= dim <= MAX_INT64
            count *= dim or 1
        if not is_whole or count > most:
            raise ShapeError(
                f"there can be no tensor of type {type}; expected sizes, and a product of them, from 0 to {most}"
            )
    return type


def type_of(array: np.ndarray[Any, Any]) -> TensorType:
    return TensorType(_FROM_NUMPY.get(array.dtype) or as_dtype(array.dtype), array.shape)


def broadcast_dim(a: Dim, b: Dim) -> Dim:
    """Return the size to which two sizes broadcast, as in NumPy.

    A symbolic size broadcasts with a concrete one other than 1 to the concrete one: any other value of the symbol would
    be an error at run time. Two different symbols give a third; see `join_sizes`.

    Raises:
        ShapeError: the sizes contradict, or cannot be joined.
    """
    if a == b or (isinstance(b, int) and b == 1):
        return a
    if isinstance(a, int) and a == 1:
        return b
    if isinstance(a, Sym) and isinstance(b, Sym):
        return join_sizes(a, b)
    if isinstance(a, Sym):
        return b
    if isinstance(b, Sym):
        return a
    raise ShapeError(f"sizes {a} and {b} do not broadcast; expected equal sizes or a 1")


def agree_dim(a: Dim, b: Dim, what: str) -> Dim:
    """Return the one size that two sizes must both be; `what` names the place for the message.

    Of a symbolic size and a concrete one it is the concrete one: any other value of the symbol would be an error at run
    time. Two different symbols give a third; see `join_sizes`.

    Raises:
        ShapeError: the sizes contradict, or cannot be joined; the message opens with `what`.
    """
    if a == b or (isinstance(a, int) and isinstance(b, Sym)):
        return a
    if isinstance(a, Sym) and isinstance(b, int):
        return b
    if isinstance(a, Sym) and isinstance(b, Sym):
        try:
            return join_sizes(a, b)
        except UndecidedSizesError as error:
            raise UndecidedSizesError(f"{what}: {error}", error.sizes) from error
    raise ShapeError(f"{what}: sizes {a} and {b} differ; expected equal sizes")


def join_sizes(a: Sym, b: Sym) -> Sym:
    """Return the size of an axis on which two unknown sizes meet: a symbol named after both, known when the graph runs.

    Nothing is guessed: joining is commutative, associative and idempotent, as broadcasting is, so that sizes which
    meet in another order are the same symbol.

    Raises:
        UndecidedSizesError: one of them is a computed size, which has no name to join.
    """
    if a.name is None or b.name is None:
        raise UndecidedSizesError(
            f"cannot decide whether the sizes {a} and {b} fit; give both the same name (Input(shape=('length', …))) or "
            f"concrete sizes (--input-shapes NAME:1,3,224)",
            (a, b),
        )
    return symbol(JOINT.join(sorted({*a.name.split(JOINT), *b.name.split(JOINT)})))


def with_joined(dim: Dim, sizes: Mapping[str, int]) -> dict[str, Dim]:
    """Return sizes by name with those of the joined names in a size, as far as the sizes that met there are known."""
    found: dict[str, Dim] = dict(sizes)
    for name in dim.names() if isinstance(dim, Sym) else ():
        met = [sizes.get(part) for part in name.split(JOINT)]
        known = [size for size in met if size is not None]
        if len(met) > 1 and len(known) == len(met):
            # Others than 1 are equal; none is larger than 0 if one is 0.
            found[name] = max(known) if min(known) else 0
    return found


def broadcast_shapes(*shapes: Sequence[Dim]) -> Shape:
    """Return the shape to which all given shapes broadcast, as in NumPy and in ONNX's multidirectional broadcasting.

    Raises:
        ShapeError: see `broadcast_dim`; the message names all the shapes.
    """
    if all(shape == shapes[0] for shape in shapes[1:]) and shapes:
        return tuple(shapes[0])
    result: list[Dim] = []
    for shape in shapes:
        result = [*(1 for _ in range(len(shape) - len(result))), *result]
        offset = len(result) - len(shape)
        for axis, dim in enumerate(shape):
            try:
                result[offset + axis] = broadcast_dim(result[offset + axis], dim)
            except ShapeError as error:
                message = f"shapes {', '.join(map(format_shape, shapes))} do not fit: {error}"
                if isinstance(error, UndecidedSizesError):
                    raise UndecidedSizesError(message, error.sizes) from None
                raise ShapeError(message) from None
    return tuple(result)


def format_shape(shape: Iterable[Dim | None]) -> str:
    """Return a text such as "(batch, 28, 28)", with Python's trailing comma after a single size."""
    sizes = [str(dim) for dim in shape]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


def normalize_axis(axis: int, rank: int, what: str = "axis") -> int:
    """Return an axis counted from the front.

    Raises:
        ShapeError: it is outside [-rank, rank).
    """
    if not -rank <= axis < rank:
        raise ShapeError(f"{what}={axis} is out of range for a tensor of rank {rank}; expected {-rank} to {rank - 1}")
    return axis % rank


def normalize_axes(axes: Iterable[int], rank: int, what: str = "axis") -> tuple[int, ...]:
    """Return axes counted from the front, sorted.

    Raises:
        ShapeError: one is out of range or given twice.
    """
    normalized = sorted(normalize_axis(axis, rank, what) for axis in axes)
    if len(set(normalized)) != len(normalized):
        raise ShapeError(f"{what}={tuple(axes)} names an axis twice for a tensor of rank {rank}")
    return tuple(normalized)


BATCH = symbol("batch")


def shape_with_none(shape: Sequence[Dim]) -> tuple[int | None, ...]:
    """Return a shape as Keras writes it: unknown sizes are None."""
    return tuple(None if isinstance(dim, Sym) else dim for dim in shape)
