"""Sizes that a function computed with tensors: `K.concatenate([K.expand_dims(K.shape(x)[0], -1), [1, 1]], 0)`.

Where a size or a shape is wanted, the sizes that such a tensor is made of are read back from the nodes that made it.
Floats are read as exact quotients, so that `K.cast(K.cast(n, "float32") / 2, "int32")` is `n // 2`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kir.ir.dims import Dim, Sym, divide_exactly, maximum, minimum, product
from kir.ir.graph import Value
from kir.ir.op import Array, Op
from kir.ir.structural import Constant
from kir.ir.trace import Tensor
from kir.ir.types import DType
from kir.ops.elementwise import (
    Abs,
    Add,
    Cast,
    Ceil,
    Clip,
    Div,
    Equal,
    Floor,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Maximum,
    Minimum,
    Mod,
    Mul,
    Neg,
    Not,
    Sub,
    Where,
)
from kir.ops.reduce import ReduceMax, ReduceMin, ReduceProd, ReduceSum
from kir.ops.shape import Concat, Expand, Gather, Reshape, Size, Slice, Split, Transpose

# Shapes are short, and a table of more numbers is data.
MAX_LENGTH = 256

# A tensor that more nodes made than this is no size that somebody wrote.
MAX_NODES = 1024

# float16 and bfloat16 hold few sizes exactly.
FLOATS = (DType.FLOAT32, DType.FLOAT64)

# Fractions of a power of two up to here leave sizes exact in float32; others, such as 0.1, round them.
MAX_DENOMINATOR = 1 << 10


class NoSizeError(Exception):
    """A tensor depends on more than sizes, or on sizes in a way that no size can."""


@dataclass(frozen=True, slots=True)
class Quotient:
    """A size divided by a positive integer."""

    numerator: Dim
    denominator: int = 1

    def __add__(self, other: Quotient) -> Quotient:
        a, b, common = _with_one_denominator(self, other)
        return Quotient(a + b, common)

    def __sub__(self, other: Quotient) -> Quotient:
        a, b, common = _with_one_denominator(self, other)
        return Quotient(a - b, common)

    def __mul__(self, other: Quotient) -> Quotient:
        return Quotient(self.numerator * other.numerator, self.denominator * other.denominator)

    def __truediv__(self, other: Quotient) -> Quotient:
        top, bottom = self.numerator * other.denominator, self.denominator * other.numerator
        if isinstance(bottom, int) and bottom <= 0:
            raise NoSizeError
        exact = divide_exactly(top, bottom)
        if exact is not None:
            return Quotient(exact)
        if isinstance(bottom, Sym):
            raise NoSizeError
        return Quotient(top, bottom)

    def __mod__(self, other: Quotient) -> Quotient:
        a, b, common = _with_one_denominator(self, other)
        if isinstance(b, int) and b <= 0:
            raise NoSizeError
        return Quotient(a % b, common)

    def __neg__(self) -> Quotient:
        return Quotient(-self.numerator, self.denominator)

    def floor(self) -> Dim:
        return self.numerator // self.denominator

    def smaller(self, other: Quotient) -> Quotient:
        a, b, common = _with_one_denominator(self, other)
        return Quotient(minimum(a, b), common)

    def larger(self, other: Quotient) -> Quotient:
        a, b, common = _with_one_denominator(self, other)
        return Quotient(maximum(a, b), common)


def _with_one_denominator(a: Quotient, b: Quotient) -> tuple[Dim, Dim, int]:
    return a.numerator * b.denominator, b.numerator * a.denominator, a.denominator * b.denominator


def _of_number(number: Any) -> Quotient:
    try:
        top, bottom = number.as_integer_ratio()
    except (OverflowError, ValueError):  # infinity, NaN
        raise NoSizeError from None
    if bottom > MAX_DENOMINATOR:
        raise NoSizeError
    return Quotient(top, bottom)


def _each(function: Callable[..., Quotient]) -> Callable[..., Array]:
    """Make the rule of an elementwise operator."""
    elementwise = np.frompyfunc(function, function.__code__.co_argcount, 1)
    return lambda op, *inputs: np.asarray(elementwise(*inputs), object)


_FLOOR = np.frompyfunc(lambda a: Quotient(a.floor()), 1, 1)


def _clip(op: Clip, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    x = x if low is None else np.asarray(np.frompyfunc(Quotient.larger, 2, 1)(x, low), object)
    return x if high is None else np.asarray(np.frompyfunc(Quotient.smaller, 2, 1)(x, high), object)


def _fold(function: Callable[[Quotient, Quotient], Quotient]) -> Callable[..., Array]:
    """Make the rule of an operator that reduces a tensor of rank 1."""

    def fold(op: Any, x: Array) -> Array:
        if x.ndim != 1 or not x.size:
            raise NoSizeError
        result = np.array(functools.reduce(function, x.tolist()), object)
        return result.reshape(1) if op.keepdims else result

    return fold


def _truth(value: bool) -> Quotient:
    return Quotient(int(value))


def _difference(a: Quotient, b: Quotient) -> int:
    """Return a number with the sign of a - b, where that is known."""
    difference = (a - b).numerator
    if isinstance(difference, Sym):
        raise NoSizeError
    return difference


# What each operator makes of sizes, which lie in arrays of objects.
_RULES: Mapping[type[Op], Callable[..., Any]] = {
    Constant: lambda op: np.asarray(np.frompyfunc(_of_number, 1, 1)(op.value.array.astype(object)), object),
    Size: lambda op: np.array(Quotient(op.dim), object),
    Cast: lambda op, x: x,
    Add: _each(lambda a, b: a + b),
    Sub: _each(lambda a, b: a - b),
    Mul: _each(lambda a, b: a * b),
    Div: _each(lambda a, b: a / b),
    Mod: _each(lambda a, b: a % b),
    Neg: _each(lambda a: -a),
    Abs: lambda op, x: x,
    Floor: _each(lambda a: Quotient(a.floor())),
    Ceil: _each(lambda a: Quotient(-(-a).floor())),
    Minimum: _each(lambda a, b: a.smaller(b)),
    Maximum: _each(lambda a, b: a.larger(b)),
    Clip: _clip,
    ReduceSum: _fold(lambda a, b: a + b),
    ReduceProd: _fold(lambda a, b: a * b),
    ReduceMin: _fold(lambda a, b: a.smaller(b)),
    ReduceMax: _fold(lambda a, b: a.larger(b)),
    Equal: _each(lambda a, b: _truth(a == b or _difference(a, b) == 0)),
    Greater: _each(lambda a, b: _truth(_difference(a, b) > 0)),
    GreaterOrEqual: _each(lambda a, b: _truth(_difference(a, b) >= 0)),
    Less: _each(lambda a, b: _truth(_difference(a, b) < 0)),
    LessOrEqual: _each(lambda a, b: _truth(_difference(a, b) <= 0)),
    Not: _each(lambda a: _truth(a.numerator == 0)),
    Where: _each(lambda condition, a, b: a if condition.numerator else b),
    **dict.fromkeys((Concat, Expand, Gather, Reshape, Slice, Split, Transpose), lambda op, *inputs: op.eval(*inputs)),
}


def sizes_in(x: Tensor) -> tuple[Dim, ...] | None:
    """Return the elements of an integer tensor of rank 0 or 1 that depends on sizes alone; None for any other."""
    if len(x.shape) > 1 or not x.type.dtype.is_integer:
        return None
    try:
        items = _read(x.value)
    except NoSizeError:
        return None
    return tuple(item.floor() for item in items.ravel().tolist())


def is_made_of_sizes(x: Tensor) -> bool:
    """Return whether a tensor depends on sizes alone, so that its numbers are known as soon as they are."""
    if len(x.shape) > 2 or not _may_hold_sizes(x.value):
        return False
    try:
        _read(x.value)
    except NoSizeError:
        return False
    return True


def _read(wanted: Value) -> Array:
    """Return the quotients in a tensor.

    Raises:
        NoSizeError: it depends on anything but sizes.
    """
    found: dict[Value, Array] = {}
    pending = [wanted]
    while pending:
        value = pending[-1]
        node = value.node
        if value in found:
            pending.pop()
            continue
        if type(node.op) not in _RULES or not _may_hold_sizes(value) or len(found) > MAX_NODES:
            raise NoSizeError
        missing = [given for given in node.inputs if given is not None and given not in found]
        if missing:
            pending.extend(missing)
            continue
        inputs = [None if given is None else found[given] for given in node.inputs]
        if isinstance(node.op, Gather):
            inputs[1] = _known_numbers(inputs[1])
        results = _RULES[type(node.op)](node.op, *inputs)
        for output, result in zip(node.outputs, results if isinstance(results, tuple) else (results,), strict=True):
            # Integers have no fraction; sizes are not negative, so that it is rounded down.
            found[output] = np.asarray(_FLOOR(result), object) if output.type.dtype.is_integer else result
    return found[wanted]


def _known_numbers(quotients: Any) -> Array:
    """Return the numbers in indices, which must not be symbolic."""
    numbers = [quotient.floor() for quotient in quotients.ravel().tolist()]
    if any(isinstance(number, Sym) for number in numbers):
        raise NoSizeError
    return np.asarray(numbers, np.int64).reshape(quotients.shape)


def _may_hold_sizes(value: Value) -> bool:
    count, dtype = product(value.type.shape), value.type.dtype
    return (
        (dtype.is_integer or dtype in FLOATS or dtype is DType.BOOL) and isinstance(count, int) and count <= MAX_LENGTH
    )
