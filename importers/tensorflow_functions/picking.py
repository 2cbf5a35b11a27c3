"""Elements picked by their places, put in order, and scattered, as in `tf` itself."""

from __future__ import annotations

from typing import Any

from kir import backend as K
from kir.backend.dispatch import axis_of, convert, dtype_of, operand, rank_of
from kir.importers.tensorflow_functions.signatures import (
    alike,
    refuse,
    single,
    sizes_of,
    tensorflow,
    whole,
)
from kir.ir.trace import emit
from kir.ir.types import DType, as_dtype
from kir.ops import shape as ops

# Picking


def _axis_or(axis: Any, batch_dims: Any) -> int:
    return int(whole(batch_dims) or 0) if axis is None else int(whole(axis))


@tensorflow("gather")
def _gather(params: Any, indices: Any, validate_indices: Any = None, axis: Any = None, batch_dims: Any = 0) -> Any:
    """Pick slices along an axis; the first `batch_dims` axes of both belong together."""
    x, index = single(params), _index(indices)
    batch = int(whole(batch_dims) or 0) % max(rank_of(index) + 1, 1)
    place = axis_of(x, _axis_or(axis, batch))
    if not batch:
        return K.take(x, index, place)
    sizes = sizes_of(x)
    if place > batch:
        x = K.moveaxis(x, place, batch)
    own = sizes_of(index)[batch:]
    picked = emit(ops.GatherND(batch), x, K.expand_dims(K.cast(index, "int64"), -1))
    rest = rank_of(x) - batch - 1
    if place > batch and rest:
        before = place - batch
        first = batch + len(own)
        order = [*range(batch), *range(first, first + before), *range(batch, first)]
        picked = K.transpose(picked, (*order, *range(first + before, first + rest)))
    assert len(sizes) == rank_of(x)
    return picked


def _index(indices: Any) -> Any:
    found = single(indices)
    return found if dtype_of(found) in (DType.INT32, DType.INT64) else K.cast(found, "int64")


@tensorflow("gather_nd")
def _gather_nd(params: Any, indices: Any, batch_dims: Any = 0) -> Any:
    return emit(ops.GatherND(int(whole(batch_dims))), single(params), K.cast(_index(indices), "int64"))


@tensorflow("compat.v1.batch_gather")
def _batch_gather(params: Any, indices: Any) -> Any:
    return _gather(params, indices, batch_dims=rank_of(single(indices)) - 1)


@tensorflow("nn.embedding_lookup")
def _embedding_lookup(params: Any, ids: Any, max_norm: Any = None) -> Any:
    if max_norm is not None:
        raise refuse("nn.embedding_lookup", f"with max_norm={max_norm}", "clip the table beforehand")
    is_list = isinstance(params, list | tuple) and len(params) == 1 and rank_of(single(params[0])) > 1
    return K.take(single(params[0] if is_list else params), _index(ids), 0)


@tensorflow("compat.v1.nn.embedding_lookup")
def _embedding_lookup_v1(params: Any, ids: Any, partition_strategy: str = "mod", max_norm: Any = None) -> Any:
    return _embedding_lookup(params, ids, max_norm)


@tensorflow("one_hot")
def _one_hot(
    indices: Any, depth: Any, on_value: Any = None, off_value: Any = None, axis: Any = None, dtype: Any = None
) -> Any:
    hot = K.one_hot(single(indices), whole(depth), -1 if axis is None else axis, "bool")
    given = [value for value in (on_value, off_value) if value is not None]
    wanted = as_dtype(dtype) if dtype is not None else dtype_of(single(given[0])) if given else DType.FLOAT32
    on, off = (
        convert(operand(default if value is None else value), wanted)
        for value, default in ((on_value, 1), (off_value, 0))
    )
    return K.where(hot, on, off) if given else K.cast(hot, wanted)


@tensorflow("where compat.v1.where_v2")
def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None or y is None:
        raise refuse("where", "without x and y", "its size would depend on the data; give tf.where(condition, x, y)")
    return K.where(condition, *alike(x, y))


@tensorflow("compat.v1.where")
def _where_v1(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Choose; a condition of one axis chooses whole slices along the first."""
    if x is not None and y is not None:
        chosen, a = single(condition), single(x)
        if rank_of(chosen) == 1 and rank_of(a) > 1:
            condition = K.expand_dims(chosen, tuple(range(1, rank_of(a))))
    return _where(condition, x, y)


@tensorflow("sequence_mask")
def _sequence_mask(lengths: Any, maxlen: Any = None, dtype: Any = "bool") -> Any:
    if maxlen is None:
        raise refuse("sequence_mask", "without maxlen", "its size would depend on the data")
    steps = K.arange(whole(maxlen), dtype="int64")
    return K.cast(K.less(steps, K.expand_dims(K.cast(single(lengths), "int64"), -1)), dtype)


@tensorflow("reverse_sequence")
def _reverse_sequence(input: Any, seq_lengths: Any, seq_axis: Any = None, batch_axis: Any = None) -> Any:
    """Reverse the first steps of each sample, as many as it has."""
    x, steps, samples = single(input), int(whole(seq_axis)), int(whole(batch_axis) or 0)
    x = K.moveaxis(x, (samples, steps), (0, 1))
    lengths = K.expand_dims(K.cast(single(seq_lengths), "int64"), 1)
    places = K.expand_dims(K.arange(sizes_of(x)[1], dtype="int64"), 0)
    indices = K.where(K.less(places, lengths), K.subtract(K.subtract(lengths, 1), places), places)
    picked = emit(ops.GatherND(1), x, K.expand_dims(indices, -1))
    return K.moveaxis(picked, (0, 1), (samples, steps))


# Order


def _direction(direction: str) -> bool:
    return direction.upper() == "DESCENDING"


@tensorflow("sort")
def _sort(values: Any, axis: Any = -1, direction: str = "ASCENDING") -> Any:
    x = single(values)
    sorted_values = K.sort(x, axis)
    return K.flip(sorted_values, axis) if _direction(direction) else sorted_values


@tensorflow("argsort")
def _argsort(values: Any, axis: Any = -1, direction: str = "ASCENDING", stable: bool = False) -> Any:
    """Return the indices that sort; of equal elements the first comes first in either direction."""
    x = single(values)
    place = axis_of(x, axis)
    op = ops.TopK(sizes_of(x)[place], place, largest=_direction(direction))
    return K.cast(emit(op, x)[1], "int32")


@tensorflow("searchsorted")
def _searchsorted(sorted_sequence: Any, values: Any, side: str = "left", out_type: Any = "int32") -> Any:
    bounds, x = alike(sorted_sequence, values)
    compare = K.less if side == "left" else K.less_equal
    before = compare(K.expand_dims(bounds, -2), K.expand_dims(x, -1))
    return K.cast(K.sum(K.cast(before, "int32"), -1), out_type)


@tensorflow("math.invert_permutation")
def _invert_permutation(x: Any) -> Any:
    return K.cast(K.argsort(single(x)), dtype_of(single(x)))


# Scattering


@tensorflow("tensor_scatter_nd_update compat.v1.tensor_scatter_update")
def _tensor_scatter_nd_update(tensor: Any, indices: Any, updates: Any) -> Any:
    x, given = alike(tensor, updates)
    return emit(ops.ScatterND(), x, K.cast(_index(indices), "int64"), given)
