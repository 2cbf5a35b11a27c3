"""`tf.linalg`: products, norms and parts of matrices."""

from __future__ import annotations

from typing import Any

from kir import backend as K
from kir.backend.dispatch import dtype_of, rank_of
from kir.importers.tensorflow_functions.signatures import (
    alike,
    refuse,
    require_operand,
    single,
    sizes_of,
    tensorflow,
    whole,
)
from kir.ir.trace import emit
from kir.ops.linear import MatMul


@tensorflow("linalg.matmul matmul")
def _matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    adjoint_a: bool = False,
    adjoint_b: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    output_type: Any = None,
    grad_a: bool = False,
    grad_b: bool = False,
) -> Any:
    x, y = alike(a, b)
    x = K.swapaxes(x, -1, -2) if transpose_a or adjoint_a else x
    y = K.swapaxes(y, -1, -2) if transpose_b or adjoint_b else y
    product = emit(MatMul(), x, y) if dtype_of(x).is_float else K.matmul(x, y)
    return product if output_type is None else K.cast(product, output_type)


@tensorflow("linalg.matvec")
def _matvec(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    adjoint_a: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
) -> Any:
    x, y = alike(a, b)
    return K.squeeze(_matmul(x, K.expand_dims(y, -1), transpose_a or adjoint_a), -1)


@tensorflow("einsum linalg.einsum")
def _einsum(equation: str, *inputs: Any, **kwargs: Any) -> Any:
    require_operand("einsum", inputs)
    return K.einsum(equation, *alike(*inputs))


@tensorflow("tensordot linalg.tensordot")
def _tensordot(a: Any, b: Any, axes: Any) -> Any:
    x, y = alike(a, b)
    given = whole(axes)
    if given == 0:
        return K.reshape(K.multiply(K.reshape(x, (-1, 1)), K.reshape(y, (1, -1))), (*sizes_of(x), *sizes_of(y)))
    return K.tensordot(x, y, given)


@tensorflow("norm linalg.norm")
def _norm(tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: Any = False) -> Any:
    x = single(tensor)
    if ord in ("euclidean", "fro"):
        return K.sqrt(K.sum(K.square(x), _axes(axis), bool(keepdims)))
    if axis is None:
        x = K.reshape(x, (-1,))
        return K.norm(x, ord, 0, bool(keepdims))
    return K.norm(x, ord, _axes(axis), bool(keepdims))


def _axes(axis: Any) -> Any:
    given = whole(axis)
    return tuple(given) if isinstance(given, list) else given


@tensorflow("linalg.normalize")
def _normalize(tensor: Any, ord: Any = "euclidean", axis: Any = None) -> Any:
    x = single(tensor)
    if axis is None and ord not in ("euclidean", "fro"):
        raise refuse("linalg.normalize", f"with ord={ord!r} over all axes")
    length = _norm(x, ord, axis, True)
    return K.divide(x, length), length


@tensorflow("linalg.matrix_transpose linalg.adjoint")
def _matrix_transpose(a: Any, conjugate: bool = False) -> Any:
    return K.swapaxes(single(a), -1, -2)


@tensorflow("linalg.cross")
def _cross(a: Any, b: Any) -> Any:
    x, y = alike(a, b)
    (x0, x1, x2), (y0, y1, y2) = ([K.get_item(one, (..., place)) for place in range(3)] for one in (x, y))
    parts = [(x1, y2, x2, y1), (x2, y0, x0, y2), (x0, y1, x1, y0)]
    return K.stack([K.subtract(K.multiply(a, b), K.multiply(c, d)) for a, b, c, d in parts], -1)


@tensorflow("linalg.band_part")
def _band_part(input: Any, num_lower: Any, num_upper: Any) -> Any:
    """Return the diagonals from `num_lower` below to `num_upper` above the main one; a negative number means all."""
    x = single(input)
    lower, upper = int(whole(num_lower)), int(whole(num_upper))
    x = x if lower < 0 else K.triu(x, -lower)
    return x if upper < 0 else K.tril(x, upper)


def _identity_of(x: Any) -> Any:
    return K.eye(sizes_of(x)[-2], sizes_of(x)[-1], dtype="bool")


@tensorflow("linalg.diag")
def _diag(diagonal: Any, k: Any = 0) -> Any:
    x = single(diagonal)
    if k != 0:
        raise refuse("linalg.diag", f"with k={k}")
    return K.where(K.eye(sizes_of(x)[-1], dtype="bool"), K.expand_dims(x, -1), K.zeros_like(K.expand_dims(x, -1)))


@tensorflow("linalg.tensor_diag compat.v1.diag")
def _tensor_diag(diagonal: Any) -> Any:
    x = single(diagonal)
    if rank_of(x) != 1:
        raise refuse("linalg.tensor_diag", f"of rank {rank_of(x)}")
    return _diag(x)


@tensorflow("linalg.diag_part")
def _diag_part(input: Any, k: Any = 0) -> Any:
    x = single(input)
    if k != 0:
        raise refuse("linalg.diag_part", f"with k={k}")
    rows, columns = sizes_of(x)[-2:]
    if rows != columns:
        raise refuse("linalg.diag_part", f"of matrices of {rows} rows and {columns} columns")
    return K.cast(K.sum(K.where(_identity_of(x), x, K.zeros_like(x)), -1), dtype_of(x))


@tensorflow("linalg.set_diag")
def _set_diag(input: Any, diagonal: Any, k: Any = 0) -> Any:
    x, own = alike(input, diagonal)
    if k != 0:
        raise refuse("linalg.set_diag", f"with k={k}")
    return K.where(_identity_of(x), K.expand_dims(own, -1), x)


@tensorflow("linalg.trace")
def _trace(x: Any) -> Any:
    x = single(x)
    return K.cast(K.sum(K.where(_identity_of(x), x, K.zeros_like(x)), (-2, -1)), dtype_of(x))
