"""Tensors made, cut, joined and put in another order, as in `tf` itself."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from kir import backend as K
from kir.backend.dispatch import as_integer, as_shape, axis_of, convert, dtype_of, operand, rank_of
from kir.backend.shape_tensors import sizes_in
from kir.errors import TraceError
from kir.importers.tensorflow_functions.signatures import (
    Sizes,
    alike,
    refuse,
    require_few,
    same,
    single,
    sizes_of,
    tensorflow,
    whole,
)
from kir.ir.dims import Sym, product
from kir.ir.trace import Tensor
from kir.ir.types import as_dtype
from kir.support.limits import MAX_ELEMENTS, MAX_UNROLLED

# Shapes


@tensorflow("shape compat.v1.shape")
def _shape(input: Any, out_type: Any = None) -> Any:
    sizes = Sizes(sizes_of(single(input)))
    return sizes if out_type in (None, "int32") else K.cast(sizes.traced(), out_type)


@tensorflow("size compat.v1.size")
def _size(input: Any, out_type: Any = None) -> Any:
    return convert(operand(product(sizes_of(single(input)))), as_dtype(out_type or "int32"))


@tensorflow("rank")
def _rank(input: Any) -> Any:
    return np.int32(rank_of(single(input)))


@tensorflow("reshape")
def _reshape(tensor: Any, shape: Any) -> Any:
    return K.reshape(single(tensor), shape)


@tensorflow("ensure_shape")
def _ensure_shape(x: Any, shape: Any) -> Any:
    return single(x)


@tensorflow("expand_dims")
def _expand_dims(input: Any, axis: Any = None) -> Any:
    return K.expand_dims(single(input), int(whole(axis)))


@tensorflow("squeeze")
def _squeeze(input: Any, axis: Any = None) -> Any:
    places = whole(axis)
    return K.squeeze(single(input), None if places in (None, []) else places)


@tensorflow("transpose")
def _transpose(a: Any, perm: Any = None, conjugate: bool = False) -> Any:
    return K.transpose(single(a), None if perm is None else _numbers(perm, "perm"))


def _numbers(given: Any, what: str) -> list[int]:
    """Return axes, which must be known."""
    return [as_integer(one, what) for one in as_shape(given, what)]


@tensorflow("broadcast_to")
def _broadcast_to(input: Any, shape: Any) -> Any:
    return K.broadcast_to(single(input), as_shape(shape))


@tensorflow("tile")
def _tile(input: Any, multiples: Any) -> Any:
    x, counts = single(input), as_shape(multiples, "multiples")
    require_few("tile", product((*sizes_of(x), *counts)), MAX_ELEMENTS)
    return K.tile(x, counts)


@tensorflow("repeat")
def _repeat(input: Any, repeats: Any, axis: Any = None) -> Any:
    x, counts = single(input), whole(repeats)
    require_few("repeat", product((*sizes_of(x), counts)) if isinstance(counts, int) else 0, MAX_ELEMENTS)
    return K.repeat(x, counts, axis=axis)


# Joining and cutting


@tensorflow("concat")
def _concat(values: Any, axis: Any) -> Any:
    kept = [value for value in values if not (isinstance(value, list | tuple) and not value)]
    parts = alike(*kept)
    return K.concatenate(parts, as_integer(whole(axis), "axis"))


@tensorflow("stack parallel_stack")
def _stack(values: Any, axis: Any = 0) -> Any:
    given = list(values) if isinstance(values, list | tuple) else [values]
    if len(given) == 1 and rank_of(single(given[0])) and not isinstance(values, list | tuple):
        return single(given[0])
    return K.stack(alike(*given), axis)


@tensorflow("unstack")
def _unstack(value: Any, num: Any = None, axis: Any = 0) -> Any:
    if isinstance(value, Sizes):
        return [value[place] for place in range(len(value))]
    x = single(value)
    count = sizes_of(x)[axis_of(x, axis)] if num is None else num
    require_few("unstack", count, MAX_UNROLLED)
    return K.unstack(x, num, axis)


@tensorflow("split")
def _split(value: Any, num_or_size_splits: Any, axis: Any = 0, num: Any = None) -> Any:
    """Split a tensor: TensorFlow takes the sizes of the parts, kir (as NumPy) where they begin."""
    x, parts = single(value), whole(num_or_size_splits)
    place = as_integer(whole(axis), "axis")
    if isinstance(parts, Tensor):
        parts = sizes_in(parts) if rank_of(parts) else as_integer(parts, "num_or_size_splits")
    if not isinstance(parts, list | tuple):
        require_few("split", parts, MAX_UNROLLED)
        return K.split(x, parts, place)
    sizes = list(as_shape(parts, "num_or_size_splits"))
    if -1 in [one for one in sizes if isinstance(one, int)]:
        known = [one for one in sizes if not (isinstance(one, int) and one == -1)]
        rest = sizes_of(x)[place]
        for one in known:
            rest = rest - one
        sizes = [rest if isinstance(one, int) and one == -1 else one for one in sizes]
    return K.split(x, list(itertools.accumulate(sizes))[:-1], place)


@tensorflow("slice")
def _slice(input_: Any, begin: Any, size: Any) -> Any:
    return K.slice(single(input_), as_shape(begin, "begin"), as_shape(size, "size"))


@tensorflow("strided_slice")
def _strided_slice(
    input_: Any,
    begin: Any,
    end: Any,
    strides: Any = None,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> Any:
    """Slice as Python's brackets do: each bit of a mask says what the entry of its place means."""
    starts, ends = as_shape(begin, "begin"), as_shape(end, "end")
    steps = (1,) * len(starts) if strides is None else as_shape(strides, "strides")
    key: list[Any] = []
    for place, (start, stop, step) in enumerate(zip(starts, ends, steps, strict=True)):
        bit = 1 << place
        if ellipsis_mask & bit:
            key.append(...)
        elif new_axis_mask & bit:
            key.append(None)
        elif shrink_axis_mask & bit:
            key.append(start)
        else:
            key.append(slice(None if begin_mask & bit else start, None if end_mask & bit else stop, step))
    return K.get_item(single(input_), tuple(key))


@tensorflow("__operators__.getitem")
def _get_item(tensor: Any, slice_spec: Any) -> Any:
    """Return ``tensor[slice_spec]``; a file has lists for tuples, and dicts for slices."""
    key = slice_spec if isinstance(slice_spec, list | tuple) else (slice_spec,)
    return K.get_item(single(tensor), tuple(_as_slice(one) for one in key))


def _as_slice(one: Any) -> Any:
    if isinstance(one, dict):
        return slice(*(one.get(name) for name in ("start", "stop", "step")))
    return one


@tensorflow("boolean_mask compat.v1.boolean_mask")
def _boolean_mask(tensor: Any, mask: Any, axis: Any = None) -> Any:
    raise refuse("boolean_mask", "of a symbolic tensor", "its size would depend on the data; use tf.where(mask, x, 0)")


@tensorflow("reverse")
def _reverse(tensor: Any, axis: Any) -> Any:
    return K.flip(single(tensor), _numbers(axis, "axis"))


@tensorflow("roll")
def _roll(input: Any, shift: Any, axis: Any) -> Any:
    return K.roll(single(input), whole(shift), whole(axis))


@tensorflow("pad")
def _pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0) -> Any:
    x, way = single(tensor), mode.lower()
    widths = _widths(paddings)
    if way == "symmetric":
        return _pad_symmetric(x, widths)
    return K.pad(x, widths, mode=way, **({"constant_values": constant_values} if way == "constant" else {}))


def _widths(paddings: Any) -> Any:
    if isinstance(paddings, Tensor):
        flat = sizes_in(K.reshape(paddings, (-1,)))
        if flat is None:
            raise TraceError("paddings cannot be a symbolic tensor; expected numbers and sizes")
        return list(zip(flat[::2], flat[1::2], strict=True))
    return [as_shape(pair, "paddings") for pair in whole(paddings)]


def _pad_symmetric(x: Any, widths: Any) -> Any:
    """Pad with what is next to the border, which is repeated too."""
    for axis, (before, after) in enumerate(widths):
        parts = [x]
        if before:
            parts.insert(0, K.flip(_part(x, axis, slice(None, before)), axis))
        if after:
            parts.append(K.flip(_part(x, axis, slice(-after, None)), axis))
        x = K.concatenate(parts, axis) if len(parts) > 1 else x
    return x


def _part(x: Any, axis: int, part: slice) -> Any:
    return K.get_item(x, (*[slice(None)] * axis, part))


@tensorflow("meshgrid")
def _meshgrid(*args: Any, indexing: str = "xy") -> Any:
    rows = alike(*args)
    order = [1, 0, *range(2, len(rows))] if indexing == "xy" and len(rows) > 1 else list(range(len(rows)))
    sizes = [product(sizes_of(row)) for row in rows]
    shape = [sizes[place] for place in order]
    return [
        K.broadcast_to(K.reshape(row, [-1 if place == one else 1 for place in order]), shape)
        for one, row in enumerate(rows)
    ]


# Making


@tensorflow("constant")
def _constant(value: Any, dtype: Any = None, shape: Any = None) -> Any:
    x = single(value) if dtype is None else convert(operand(value), as_dtype(dtype))
    if shape is None:
        return x
    sizes = as_shape(shape)
    return K.broadcast_to(x, sizes) if rank_of(x) == 0 else K.reshape(x, sizes)


@tensorflow("convert_to_tensor")
def _convert_to_tensor(value: Any, dtype: Any = None, dtype_hint: Any = None) -> Any:
    return single(value) if dtype is None else convert(operand(value), as_dtype(dtype))


@tensorflow("fill")
def _fill(dims: Any, value: Any) -> Any:
    filling = single(value)
    return K.full(as_shape(dims), filling, dtype_of(filling))


@tensorflow("zeros")
def _zeros(shape: Any, dtype: Any = "float32") -> Any:
    return K.zeros(as_shape(shape), dtype)


@tensorflow("ones")
def _ones(shape: Any, dtype: Any = "float32") -> Any:
    return K.ones(as_shape(shape), dtype)


@tensorflow("zeros_like")
def _zeros_like(input: Any, dtype: Any = None) -> Any:
    return K.zeros_like(single(input), dtype)


@tensorflow("ones_like")
def _ones_like(input: Any, dtype: Any = None) -> Any:
    return K.ones_like(single(input), dtype)


@tensorflow("compat.v1.zeros_like")
def _zeros_like_v1(tensor: Any, dtype: Any = None, optimize: bool = True) -> Any:
    return K.zeros_like(single(tensor), dtype)


@tensorflow("compat.v1.ones_like")
def _ones_like_v1(tensor: Any, dtype: Any = None, optimize: bool = True) -> Any:
    return K.ones_like(single(tensor), dtype)


@tensorflow("eye linalg.eye")
def _eye(num_rows: Any, num_columns: Any = None, batch_shape: Any = None, dtype: Any = "float32") -> Any:
    matrix = K.eye(num_rows, num_columns, dtype=dtype)
    return matrix if batch_shape is None else K.broadcast_to(matrix, (*as_shape(batch_shape), *sizes_of(matrix)))


same("identity stop_gradient grad_pass_through guarantee_const math.real math.conj", "input", K.identity)


@tensorflow("identity_n")
def _identity_n(input: Any) -> Any:
    return [single(one) for one in input]


@tensorflow("debugging.check_numerics compat.v1.check_numerics")
def _check_numerics(tensor: Any, message: str = "") -> Any:
    return single(tensor)


@tensorflow("saturate_cast dtypes.saturate_cast")
def _saturate_cast(value: Any, dtype: Any) -> Any:
    x, wanted = single(value), as_dtype(dtype)
    if wanted.is_integer:
        limits = np.iinfo(wanted.numpy)
        given = dtype_of(x)
        if given.is_float or np.iinfo(given.numpy).max > limits.max or np.iinfo(given.numpy).min < limits.min:
            x = K.clip(x, limits.min, limits.max)
    return convert(x, wanted)


def _cast_to(path: str, dtype: str) -> None:
    tensorflow(path)(lambda x: convert(single(x), as_dtype(dtype)))


for _name, _dtype in {
    "float": "float32",
    "double": "float64",
    **{name: name for name in ("bfloat16", "int32", "int64")},
}.items():
    _cast_to(f"compat.v1.to_{_name}", _dtype)


# Blocks


@tensorflow("nn.space_to_depth compat.v1.space_to_depth")
def _space_to_depth(input: Any, block_size: Any, data_format: str = "NHWC") -> Any:
    """Put blocks of pixels into the channels; those of one channel are apart by the number of channels."""
    x, block = single(input), int(whole(block_size))
    if data_format != "NHWC":
        x = K.transpose(x, (0, 2, 3, 1))
    x = _blocks_to_depth(x, block)
    return x if data_format == "NHWC" else K.transpose(x, (0, 3, 1, 2))


def _blocks_to_depth(x: Any, block: int) -> Any:
    """Put blocks into the channels; of unknown sizes, by slices, whose sizes are known when the graph runs."""
    batch, height, width, channels = sizes_of(x)
    if not isinstance(height, int) or not isinstance(width, int):
        parts = [x[:, row::block, column::block] for row in range(block) for column in range(block)]
        return K.concatenate(parts, -1)
    x = K.reshape(x, (batch, height // block, block, width // block, block, channels))
    x = K.transpose(x, (0, 1, 3, 2, 4, 5))
    return K.reshape(x, (batch, height // block, width // block, block * block * channels))


@tensorflow("nn.depth_to_space compat.v1.depth_to_space")
def _depth_to_space(input: Any, block_size: Any, data_format: str = "NHWC") -> Any:
    x, block = single(input), int(whole(block_size))
    if data_format != "NHWC":
        x = K.transpose(x, (0, 2, 3, 1))
    batch, height, width, channels = sizes_of(x)
    rest = channels // (block * block)
    x = K.transpose(K.reshape(x, (batch, height, width, block, block, rest)), (0, 1, 3, 2, 4, 5))
    x = K.reshape(x, (batch, height * block, width * block, rest))
    return x if data_format == "NHWC" else K.transpose(x, (0, 3, 1, 2))


@tensorflow("space_to_batch nn.space_to_batch space_to_batch_nd")
def _space_to_batch(input: Any, block_shape: Any, paddings: Any) -> Any:
    x, blocks, widths = single(input), _blocks(block_shape, paddings), _widths(paddings)
    count = len(blocks)
    x = K.pad(x, [(0, 0), *widths, *[(0, 0)] * (rank_of(x) - 1 - count)])
    batch, *sizes = sizes_of(x)
    split: list[Any] = [batch]
    for size, block in zip(sizes[:count], blocks, strict=True):
        split += [size // block, block]
    inner = sizes[count:]
    x = K.reshape(x, (*split, *inner))
    order = (*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count, 2), *range(2 * count + 1, rank_of(x)))
    x = K.transpose(x, order)
    spatial = [size // block for size, block in zip(sizes[:count], blocks, strict=True)]
    return K.reshape(x, (product([batch, *blocks]), *spatial, *inner))


@tensorflow("batch_to_space compat.v1.batch_to_space_nd")
def _batch_to_space(input: Any, block_shape: Any, crops: Any) -> Any:
    x, blocks, widths = single(input), _blocks(block_shape, crops), _widths(crops)
    count = len(blocks)
    batch, *sizes = sizes_of(x)
    whole_batch = batch // product(blocks)
    x = K.reshape(x, (*blocks, whole_batch, *sizes))
    order: list[int] = [count]
    for place in range(count):
        order += [count + 1 + place, place]
    x = K.transpose(x, (*order, *range(2 * count + 1, rank_of(x))))
    spatial = [size * block for size, block in zip(sizes[:count], blocks, strict=True)]
    x = K.reshape(x, (whole_batch, *spatial, *sizes[count:]))
    key = [slice(before, size - after) for size, (before, after) in zip(spatial, widths, strict=True)]
    return K.get_item(x, (slice(None), *key))


def _blocks(block_shape: Any, paddings: Any) -> list[Any]:
    blocks = whole(block_shape)
    return [blocks] * len(_widths(paddings)) if isinstance(blocks, int) else list(as_shape(blocks, "block_shape"))


@tensorflow("unravel_index")
def _unravel_index(indices: Any, dims: Any) -> Any:
    x = single(indices)
    result: list[Any] = []
    for size in reversed(as_shape(dims, "dims")):
        result.insert(0, K.mod(x, size))
        x = K.floor_divide(x, size)
    return K.stack(result, 0)


@tensorflow("get_static_value")
def _get_static_value(tensor: Any, partial: bool = False) -> Any:
    return None if isinstance(tensor, Tensor | Sym) else tensor
