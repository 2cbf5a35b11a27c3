"""Attention of several heads, with the name of `keras.ops`, and the products that the attention layers are made of.

The layers' masks and products are not among the functions of `keras.ops`, and therefore not in `__all__`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from kir.backend.basic import cast, expand_dims
from kir.backend.comparison import largest_float, less_equal, logical_and, where
from kir.backend.creation import arange
from kir.backend.dispatch import convert, dtype_of, operand, promote_float, rank_of, shape_of
from kir.backend.elementwise import add, multiply
from kir.backend.linear import matmul, reshape_to
from kir.backend.nn import softmax
from kir.backend.shapes import transpose
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import Dim, divide_exactly, product
from kir.ir.trace import Tensor, TensorLike
from kir.ir.types import format_shape

__all__ = ["dot_product_attention"]


def dot_product_attention(
    query: TensorLike,
    key: TensorLike,
    value: TensorLike,
    bias: TensorLike | None = None,
    mask: TensorLike | None = None,
    scale: TensorLike | None = None,
    is_causal: bool = False,
    flash_attention: object = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    """Return, for each query, the mean of the values weighted by how well it fits their keys.

    All are (batch, steps, heads, size). Keys and values may have fewer heads, each of which serves as many neighbouring
    heads of the queries. A query that may look nowhere gets the mean of all values.

    Args:
        query, key, value: the steps of the queries may be others than those of keys and values.
        bias: is added to the scores, and broadcasts to (batch, heads, queries, keys).
        mask: where a query may look; broadcasts likewise.
        scale: of the scores; ``1 / sqrt(size)`` if None.
        is_causal: whether no query looks at a later key.
        flash_attention: accepted; it asks Keras for another kernel, not for other numbers.
        attn_logits_soft_cap: must be None; Keras has it on TPUs alone.

    Raises:
        InvalidArgumentError: attn_logits_soft_cap is given.
        ShapeError: an operand has no four axes, or the heads of the queries are no multiple of those of the keys.
    """
    if attn_logits_soft_cap is not None:
        raise InvalidArgumentError(
            f"K.dot_product_attention received attn_logits_soft_cap={attn_logits_soft_cap!r}, which Keras has on TPUs "
            "alone; leave it out"
        )
    query, key, value = promote_float(query, key, value)
    for name, given in (("query", query), ("key", key), ("value", value)):
        if rank_of(given) != 4:
            raise ShapeError(
                f"K.dot_product_attention needs a {name} (batch, steps, heads, size); received "
                f"{format_shape(shape_of(given))}"
            )
    # Where the file may have ONNX's Attention, from opset 23 on, the pass fuse_attention makes one of what follows.
    # onnxruntime's own MultiHeadAttention, 0.66 to 1.01 of the time, runs nowhere else. Measured by:
    # python -m tests.benchmarks.attention.
    query = multiply(query, 1 / math.sqrt(_known_size(key)) if scale is None else scale)
    scores = attention_scores(query, key)
    if bias is not None:
        scores = add(scores, convert(operand(bias), dtype_of(scores), scores))
    kept = merge_masks(
        None if mask is None else cast(mask, "bool"),
        causal_mask(shape_of(query)[1], shape_of(key)[1]) if is_causal else None,
    )
    if kept is not None:
        # As in Keras: of the same order as the lowest number there is, so that no score is lower.
        scores = where(kept, scores, -0.7 * largest_float(dtype_of(scores)))
    return attention_means(softmax(scores), value)


def _known_size(key: Tensor) -> int:
    size = shape_of(key)[-1]
    if not isinstance(size, int):
        raise ShapeError(
            f"K.dot_product_attention received a key of shape {format_shape(shape_of(key))}, whose last size is "
            "unknown; give the scale"
        )
    return size


def attention_scores(query: Tensor, key: Tensor, axes: Sequence[int] = (1,)) -> Tensor:
    """Return how well each key fits each query: (others…, heads, queries…, keys…).

    Args:
        query, key: (batch, …, heads, size). The key may have fewer heads.
        axes: those that the steps are along; the other ones in front of the heads count as parts of the batch.
    """
    last = rank_of(query) - 1
    others = _others(axes, last)
    rows, columns = (tuple(shape_of(x)[axis] for axis in axes) for x in (query, key))
    batch = tuple(shape_of(query)[axis] for axis in others)
    size = shape_of(query)[-1]
    # The queries of the heads that share keys are rows of one matrix: nothing needs to be repeated.
    left = _grouped(transpose(query, (*others, *axes, last)), batch, shape_of(key)[-2], product(rows), size)
    right_sizes = (*(shape_of(key)[axis] for axis in others), size, product(columns))
    right = reshape_to(transpose(key, (*others, last, *axes)), right_sizes)
    return reshape_to(matmul(left, right), (*batch, *rows, *columns))


def attention_means(fractions: Tensor, value: Tensor, axes: Sequence[int] = (1,)) -> Tensor:
    """Return the means of the values, in the order of the queries: (batch, …, heads, size).

    Args:
        fractions: of each key for each query, in the order of `attention_scores`.
        value: (batch, …, heads, size), perhaps with fewer heads than the fractions.
        axes: as of the scores.
    """
    last = rank_of(value) - 1
    others = _others(axes, last)
    # The fractions' own sizes: masks may have given unknown lengths other names than the values'.
    sizes = shape_of(fractions)
    batch, rows, columns = sizes[: len(others)], sizes[len(others) : -len(axes)], sizes[-len(axes) :]
    left = _grouped(fractions, batch, shape_of(value)[-2], product(rows), product(columns))
    steps = product(shape_of(value)[axis] for axis in axes)
    right_sizes = (*(shape_of(value)[axis] for axis in others), steps, shape_of(value)[-1])
    right = reshape_to(transpose(value, (*others, *axes, last)), right_sizes)
    means = reshape_to(matmul(left, right), (*batch, *rows, shape_of(value)[-1]))
    order = (*others, *axes, last)
    return transpose(means, [order.index(axis) for axis in range(last + 1)])


def _others(axes: Sequence[int], last: int) -> tuple[int, ...]:
    return tuple(axis for axis in range(last) if axis not in axes)


def _grouped(x: Tensor, batch: Sequence[Dim], heads: Dim, rows: Dim, columns: Dim) -> Tensor:
    """Return x with the rows of neighbouring heads joined, so that `heads` of them remain."""
    repeats = divide_exactly(batch[-1], heads)
    if repeats is None:
        raise ShapeError(f"the query has {batch[-1]} heads; expected a multiple of the {heads} of the keys and values")
    return reshape_to(x, (*batch[:-1], heads, product((repeats, rows)), columns))


def causal_mask(queries: Dim, keys: Dim) -> Tensor:
    """Return whether a key is no later than a query: (queries, keys)."""
    return less_equal(arange(keys), expand_dims(arange(queries), 1))


def merge_masks(*masks: Tensor | None) -> Tensor | None:
    """Return where all masks are true; those that are None do not count, and the result is None if all are."""
    merged: Tensor | None = None
    for mask in masks:
        if mask is not None:
            merged = mask if merged is None else logical_and(merged, mask)
    return merged
