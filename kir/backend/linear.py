"""Products of matrices, with the names of `keras.ops` and the batched ones of `keras.backend`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from kir.backend.basic import expand_dims
from kir.backend.dispatch import axes_of, axis_of, convert, dtype_of, listed, promote, rank_of, shape_of
from kir.backend.elementwise import multiply
from kir.backend.shapes import flatten, reshape, transpose
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import Dim, product
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import DType
from kir.ops import linear as ops

__all__ = ["batch_dot", "dot", "einsum", "inner", "matmul", "outer", "tensordot", "vdot"]
# Of how many axes, or of which ones of either operand.
Contraction: TypeAlias = "int | Sequence[int | Sequence[int]]"


def _emit_product(op: ops.MatMul | ops.Einsum, *values: Tensor) -> Tensor:
    """Emit the product of values of one dtype: of small integers as int32, which i8 stays, as in Keras."""
    given = dtype_of(values[0])
    if given in ops.MULTIPLIED_DTYPES:
        return emit(op, *values)
    result = emit(op, *[convert(value, DType.INT32) for value in values])
    return result if given is DType.INT8 else convert(result, given)


def matmul(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the matrix product over the last two axes; leading axes broadcast."""
    return _emit_product(ops.MatMul(), *promote(x1, x2))


def dot(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the product over the last axis of x and the second to last of y (the last of a vector).

    x[a..., k] and y[b..., k, c] give [a..., b..., c].
    """
    a, b = promote(x, y)
    if 0 in (rank_of(a), rank_of(b)):
        return multiply(a, b)
    if rank_of(b) <= 2:
        return matmul(a, b)
    return tensordot(a, b, ((rank_of(a) - 1,), (rank_of(b) - 2,)))


def batch_dot(x: TensorLike, y: TensorLike, axes: int | Sequence[int] | None = None) -> Tensor:
    """Return the product of each sample of x with that of y, over one axis of each, as in Keras 2.

    x[batch, a..., k] and y[batch, k, b...] give [batch, a..., b...]. `axes` are the two contracted axes, or one for
    both; by default the last of x, and the last but one of y (the last of a y of rank 2). Two vectors for each sample
    give [batch, 1].

    Raises:
        ShapeError: a rank below 2, or the contracted sizes differ.
        InvalidArgumentError: the batch axis is to be contracted.
    """
    a, b = promote(x, y)
    if rank_of(a) < 2 or rank_of(b) < 2:
        raise ShapeError(f"K.batch_dot needs ranks of 2 or more, but they are {rank_of(a)} and {rank_of(b)}")
    if axes is None:
        axes = (rank_of(a) - 1, rank_of(b) - (1 if rank_of(b) == 2 else 2))
    given = tuple(axes) if isinstance(axes, (list, tuple)) else (axes, axes)
    first, second = axis_of(a, given[0], "axes"), axis_of(b, given[1], "axes")
    if 0 in (first, second):
        raise InvalidArgumentError(f"K.batch_dot cannot contract the batch axis: axes={axes!r}; add an axis in front")
    a_free = [axis for axis in range(1, rank_of(a)) if axis != first]
    b_free = [axis for axis in range(1, rank_of(b)) if axis != second]
    batch, size = shape_of(a)[0], shape_of(a)[first]
    a_sizes, b_sizes = [shape_of(a)[axis] for axis in a_free], [shape_of(b)[axis] for axis in b_free]
    left = reshape_to(transpose(a, (0, *a_free, first)), (batch, product(a_sizes), size))
    right_sizes = (shape_of(b)[0], shape_of(b)[second], product(b_sizes))
    right = reshape_to(transpose(b, (0, second, *b_free)), right_sizes)
    return reshape_to(matmul(left, right), (batch, *(a_sizes + b_sizes or [1])))


def reshape_to(x: Tensor, shape: Sequence[Dim]) -> Tensor:
    """Return x in the shape; x itself if it has that."""
    return x if shape_of(x) == tuple(shape) else reshape(x, tuple(shape))


def tensordot(x1: TensorLike, x2: TensorLike, axes: Contraction = 2) -> Tensor:
    """Return the product over the last `axes` axes of x1 and the first of x2, or over those that `axes` names.

    Raises:
        ShapeError: the contracted sizes differ.
    """
    a, b = promote(x1, x2)
    a_axes, b_axes = _contracted(a, b, axes)
    a_free = [axis for axis in range(rank_of(a)) if axis not in a_axes]
    b_free = [axis for axis in range(rank_of(b)) if axis not in b_axes]
    size = product(shape_of(a)[axis] for axis in a_axes)
    a_sizes, b_sizes = [shape_of(a)[axis] for axis in a_free], [shape_of(b)[axis] for axis in b_free]
    # Leading axes of x1 broadcast in MatMul by themselves; only several contracted ones must become one.
    left = transpose(a, (*a_free, *a_axes))
    left = left if len(a_axes) == 1 and a_free else reshape_to(left, (product(a_sizes), size))
    right = reshape_to(transpose(b, (*b_axes, *b_free)), (size, product(b_sizes)))
    return reshape_to(matmul(left, right), (*a_sizes, *b_sizes))


def _contracted(a: Tensor, b: Tensor, axes: Contraction) -> tuple[list[int], list[int]]:
    if isinstance(axes, int):
        return list(range(rank_of(a) - axes, rank_of(a))), list(range(axes))
    first, second = (listed(one) for one in axes)
    if len(first) != len(second):
        raise InvalidArgumentError(f"axes={axes!r} must name as many axes of each operand")
    for operand, named in ((a, first), (b, second)):
        axes_of(operand, named, "axes")
    return [axis_of(a, axis) for axis in first], [axis_of(b, axis) for axis in second]


def inner(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the product over the last axes; of a scalar, the plain product."""
    a, b = promote(x1, x2)
    return multiply(a, b) if 0 in (rank_of(a), rank_of(b)) else tensordot(a, b, ((-1,), (-1,)))


def outer(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return every element of x1 times every one of x2: a matrix."""
    a, b = promote(x1, x2)
    return multiply(expand_dims(flatten(a), 1), flatten(b))


def vdot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the sum of the products of all elements: a scalar."""
    a, b = promote(x1, x2)
    return matmul(flatten(a), flatten(b))


def einsum(subscripts: str, *operands: TensorLike) -> Tensor:
    """Return Einstein's summation, such as ``einsum("bij,bjk->bik", x, y)``."""
    return _emit_product(ops.Einsum(subscripts), *promote(*operands))
