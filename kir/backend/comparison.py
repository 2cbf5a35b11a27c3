"""Comparison, logic and choice, element by element, with the names of `keras.ops`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import ml_dtypes
import numpy as np

from kir.backend.basic import expand_dims
from kir.backend.dispatch import (
    convert,
    dtype_of,
    floating,
    of_floats,
    of_two,
    operand,
    promote,
    promote_float,
    rank_of,
    scalar,
    tensor,
)
from kir.errors import ShapeError, TraceError
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import DType
from kir.ops import elementwise as ops

__all__ = [
    "equal", "greater", "greater_equal", "isclose", "isfinite", "isinf", "isnan", "less", "less_equal", "logical_and",
    "logical_not", "logical_or", "logical_xor", "nan_to_num", "not_equal", "switch", "where",
]  # fmt: skip


equal = of_two(
    __name__, "equal", ops.Equal(), "Return whether x1 equals x2; NaN equals nothing.", on_booleans=ops.Equal()
)
less = of_two(__name__, "less", ops.Less(), "Return whether ``x1 < x2``.")
less_equal = of_two(__name__, "less_equal", ops.LessOrEqual(), "Return whether ``x1 <= x2``.")
greater = of_two(__name__, "greater", ops.Greater(), "Return whether ``x1 > x2``.")
greater_equal = of_two(__name__, "greater_equal", ops.GreaterOrEqual(), "Return whether ``x1 >= x2``.")
isnan = of_floats(__name__, "isnan", ops.IsNaN(), "Return whether x is NaN.")
isinf = of_floats(__name__, "isinf", ops.IsInf(), "Return whether x is infinite, of either sign.")


def not_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether x1 differs from x2."""
    return emit(ops.Not(), equal(x1, x2))


def isfinite(x: TensorLike) -> Tensor:
    """Return whether x is neither infinite nor NaN."""
    x = floating(x)
    return less(emit(ops.Abs(), x), np.inf)


def isclose(x1: TensorLike, x2: TensorLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Return whether ``|x1 - x2| <= atol + rtol * |x2|``, or both are the same infinity (or, if asked, NaN)."""
    a, b = promote_float(x1, x2)
    tolerance = emit(ops.Add(), emit(ops.Mul(), emit(ops.Abs(), b), scalar(rtol, b)), scalar(atol, b))
    is_near = logical_and(less_equal(emit(ops.Abs(), emit(ops.Sub(), a, b)), tolerance), isfinite(b))
    result = logical_or(is_near, equal(a, b))
    return logical_or(result, logical_and(isnan(a), isnan(b))) if equal_nan else result


def nan_to_num(x: TensorLike, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """Return x with NaN and the infinities replaced; None stands for the dtype's largest and smallest numbers."""
    x = tensor(x)
    if not dtype_of(x).is_float:
        return x
    limit = largest_float(dtype_of(x))
    x = where(isnan(x), scalar(nan, x), x)
    x = where(equal(x, np.inf), scalar(limit if posinf is None else posinf, x), x)
    return where(equal(x, -np.inf), scalar(-limit if neginf is None else neginf, x), x)


def largest_float(dtype: DType) -> float:
    """Return the largest finite number of a float dtype."""
    return float(ml_dtypes.finfo(dtype.numpy).max)  # type: ignore[no-untyped-call]


# Logic: whatever is not 0 is true.


def _booleans(*values: TensorLike) -> list[Tensor]:
    return [convert(operand(value), DType.BOOL) for value in values]


def logical_and(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether both are true."""
    return emit(ops.And(), *_booleans(x1, x2))


def logical_or(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether any is true."""
    return emit(ops.Or(), *_booleans(x1, x2))


def logical_xor(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether exactly one is true."""
    return emit(ops.Xor(), *_booleans(x1, x2))


def logical_not(x: TensorLike) -> Tensor:
    """Return whether x is false."""
    return emit(ops.Not(), *_booleans(x))


# Choice


def where(condition: TensorLike, x1: TensorLike | None = None, x2: TensorLike | None = None) -> Tensor:
    """Return x1 where the condition is true, else x2; all three broadcast.

    Raises:
        TraceError: x1 or x2 is missing: how many elements are true is only known when the model runs.
    """
    if x1 is None or x2 is None:
        raise TraceError(
            "K.where(condition) alone gives a shape that depends on the data; give K.where(condition, a, b)"
        )
    (choice,) = _booleans(condition)
    then, other = promote(x1, x2)
    if dtype_of(then) is DType.BOOL:
        # onnxruntime has no kernel that chooses between booleans.
        return logical_or(logical_and(choice, then), logical_and(logical_not(choice), other))
    return emit(ops.Where(), choice, then, other)


Branch: TypeAlias = "TensorLike | Callable[[], TensorLike]"


def switch(condition: TensorLike, then_expression: Branch, else_expression: Branch) -> Tensor:
    """Return `then_expression` where the condition is true, else `else_expression`, as in Keras 2. Both are computed.

    Each is a tensor or a function without arguments. A condition of lower rank chooses along the first axes.
    """
    then, other = (operand(given() if callable(given) else given) for given in (then_expression, else_expression))
    condition = tensor(condition)
    rank = max(rank_of(then), rank_of(other))
    if rank_of(condition) > rank:
        raise ShapeError(
            f"K.switch: the condition has rank {rank_of(condition)}; expected at most {rank}, as the values"
        )
    if 0 < rank_of(condition) < rank:
        condition = expand_dims(condition, tuple(range(rank_of(condition), rank)))
    return where(condition, then, other)
