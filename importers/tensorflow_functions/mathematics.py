"""`tf.math`: functions of elements, reductions and sums along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kir import backend as K
from kir.backend.dispatch import convert, dtype_of, rank_of
from kir.errors import TraceError
from kir.importers.tensorflow_functions.signatures import (
    alike,
    refuse,
    require_few,
    require_operand,
    same,
    single,
    sizes_of,
    tensorflow,
    whole,
)
from kir.ir.dims import product
from kir.ir.trace import Tensor, emit
from kir.ir.types import DType, as_dtype
from kir.ops import elementwise as ops
from kir.ops.shape import CumSum
from kir.support.limits import MAX_UNROLLED

# Functions of one float, of the same name.
_OF_FLOATS = "cos cosh erf exp expm1 log1p log_sigmoid reciprocal rsqrt sigmoid sin sinh sqrt tan tanh"
for _name in _OF_FLOATS.split():
    same(f"math.{_name} {_name}", "x", getattr(K, _name))
for _name in ("acos", "acosh", "asin", "asinh", "atan", "atanh"):
    same(f"math.{_name} {_name}", "x", getattr(K, f"arc{_name[1:]}"))
for _name in ("is_finite", "is_inf", "is_nan"):
    same(f"math.{_name} {_name} debugging.{_name}", "x", getattr(K, _name.replace("_", "")))
same("math.log log", "x", K.log)
same("math.abs abs", "x", K.absolute)
same("math.negative negative", "x", K.negative)
same("math.ceil ceil", "x", K.ceil)
same("math.floor floor", "x", K.floor)
same("math.round round math.rint", "x", K.round)
same("math.sign sign", "x", K.sign)
same("math.square square", "x", K.square)
same("math.softplus nn.softplus", "features", K.softplus)
same("math.softsign nn.softsign", "features", K.softsign)
same("math.logical_not logical_not", "x", K.logical_not)
same("nn.sigmoid", "x", K.sigmoid)
same("nn.tanh", "x", K.tanh)


def _of_two(paths: str, function: Callable[[Any, Any], Any]) -> None:
    def call(x: Any, y: Any) -> Any:
        return function(*alike(x, y))

    tensorflow(paths)(call)


def _in_dtype(op: Any) -> Callable[[Any, Any], Any]:
    """Return the function of two tensors that emits an operator; 8 and 16 bits stay as they are."""
    return lambda x, y: emit(op, x, y)


_of_two("math.add add __operators__.add", lambda x, y: K.add(x, y))
_of_two("math.subtract subtract", _in_dtype(ops.Sub()))
_of_two("math.multiply multiply", lambda x, y: K.multiply(x, y))
_of_two("math.maximum maximum", lambda x, y: K.maximum(x, y))
_of_two("math.minimum minimum", lambda x, y: K.minimum(x, y))
_of_two("math.pow pow", lambda x, y: _power(x, y))
_of_two("math.floordiv floordiv compat.v1.floor_div", K.floor_divide)
_of_two("math.floormod math.mod floormod", K.mod)
_of_two("truncatemod", K.fmod)
_of_two("math.divide_no_nan", K.divide_no_nan)
_of_two("math.logical_and logical_and", K.logical_and)
_of_two("math.logical_or logical_or", K.logical_or)
_of_two("math.logical_xor", K.logical_xor)
_of_two("math.greater greater", K.greater)
_of_two("math.greater_equal greater_equal", K.greater_equal)
_of_two("math.less less", K.less)
_of_two("math.less_equal less_equal", K.less_equal)
_of_two("math.equal equal", K.equal)
_of_two("math.not_equal not_equal", K.not_equal)
_of_two("math.squared_difference", lambda x, y: K.square(emit(ops.Sub(), x, y)))
_of_two("math.multiply_no_nan", lambda x, y: K.where(K.equal(y, 0), 0, K.multiply(x, y)))
_of_two("math.xdivy", lambda x, y: K.where(K.equal(x, 0), 0, K.divide(x, y)))
_of_two("math.xlogy", lambda x, y: K.where(K.equal(x, 0), 0, K.multiply(x, K.log(y))))
_of_two("math.xlog1py", lambda x, y: K.where(K.equal(x, 0), 0, K.multiply(x, K.log1p(y))))
_of_two("realdiv", lambda x, y: K.divide(x, y))


def _power(x: Any, y: Any) -> Any:
    exponent = y if not isinstance(y, Tensor) and y.ndim == 0 else None
    return K.square(x) if exponent is not None and exponent == 2 else K.power(x, y)


@tensorflow("__operators__.eq")
def _eq(self: Any, other: Any = None) -> Any:
    require_operand("equal", other)
    return K.equal(*alike(self, other))


@tensorflow("__operators__.ne")
def _ne(self: Any, other: Any = None) -> Any:
    require_operand("not_equal", other)
    return K.not_equal(*alike(self, other))


@tensorflow("math.truediv math.divide truediv divide compat.v1.div")
def _divide(x: Any, y: Any) -> Any:
    """Divide in floats: integers of 32 and 64 bits in float64, of 8 and 16 bits in float32."""
    a, b = alike(x, y)
    dtype = dtype_of(a)
    if dtype.is_integer:
        wide = DType.FLOAT64 if dtype.itemsize > 2 else DType.FLOAT32
        a, b = convert(a, wide), convert(b, wide)
    return K.divide(a, b)


@tensorflow("truncatediv")
def _divide_to_0(x: Any, y: Any) -> Any:
    a, b = alike(x, y)
    if dtype_of(a).is_float:
        return K.trunc(K.divide(a, b))
    return emit(ops.Div(), a, b)


@tensorflow("math.atan2 atan2")
def _atan2(y: Any, x: Any) -> Any:
    return K.arctan2(*alike(y, x))


@tensorflow("math.erfc")
def _erfc(x: Any) -> Any:
    return K.subtract(1.0, K.erf(x))


@tensorflow("math.add_n add_n math.accumulate_n")
def _add_n(inputs: Any) -> Any:
    given = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    total, *others = alike(*given)
    for one in others:
        total = K.add(total, one)
    return total


@tensorflow("math.scalar_mul scalar_mul")
def _scalar_mul(scalar: Any, x: Any) -> Any:
    x, scalar = alike(x, scalar)
    return K.multiply(scalar, x)


@tensorflow("clip_by_value")
def _clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any) -> Any:
    x, low, high = alike(t, clip_value_min, clip_value_max)
    return K.clip(x, low, high)


@tensorflow("clip_by_norm")
def _clip_by_norm(t: Any, clip_norm: Any, axes: Any = None) -> Any:
    x, limit = alike(t, clip_norm)
    length = K.sqrt(K.sum(K.square(x), _axes(axes), keepdims=True))
    return K.multiply(x, K.divide(limit, K.maximum(length, limit)))


@tensorflow("nn.sigmoid_cross_entropy_with_logits")
def _sigmoid_cross_entropy(labels: Any = None, logits: Any = None) -> Any:
    x, z = alike(logits, labels)
    return K.add(K.subtract(K.relu(x), K.multiply(x, z)), K.log1p(K.exp(K.negative(K.absolute(x)))))


# Reductions


def _axes(axis: Any) -> Any:
    """Return axes as integers: None, one, or a tuple of them."""
    axis = whole(axis)
    return tuple(axis) if isinstance(axis, list) else axis


def _reduction(paths: str, function: Callable[..., Any], keeps_dtype: bool = False) -> None:
    def call(input_tensor: Any, axis: Any = None, keepdims: Any = False) -> Any:
        x = single(input_tensor)
        result = function(_in_wide_integers(x) if keeps_dtype else x, _axes(axis), bool(keepdims))
        return convert(result, dtype_of(x)) if keeps_dtype else result

    tensorflow(paths)(call)


def _in_wide_integers(x: Any) -> Any:
    """Return small and unsigned integers in a dtype that ONNX sums: what does not fit wraps around in either."""
    dtype = dtype_of(x)
    if not dtype.is_integer or dtype in (DType.INT32, DType.INT64):
        return x
    return convert(x, DType.INT32 if dtype.itemsize < 4 else DType.INT64)


def _mean(x: Any, axis: Any, keepdims: bool) -> Any:
    """Return the mean; of integers in their dtype, without a fraction."""
    if not dtype_of(x).is_integer:
        return K.mean(x, axis, keepdims)
    total = K.sum(convert(x, DType.INT64), axis, keepdims)
    axes = range(rank_of(x)) if axis is None else [one % rank_of(x) for one in np.atleast_1d(axis)]
    count = K.cast(product(sizes_of(x)[one] for one in axes), "int64")
    return emit(ops.Div(), total, count)


_reduction("math.reduce_mean reduce_mean", _mean, keeps_dtype=True)
_reduction("math.reduce_sum reduce_sum", K.sum, keeps_dtype=True)
_reduction("math.reduce_prod reduce_prod", K.prod, keeps_dtype=True)
_reduction("math.reduce_max reduce_max", K.max)
_reduction("math.reduce_min reduce_min", K.min)
_reduction("math.reduce_all reduce_all", K.all)
_reduction("math.reduce_any reduce_any", K.any)
_reduction("math.reduce_logsumexp reduce_logsumexp", K.logsumexp)
_reduction("math.reduce_std", K.std)
_reduction("math.reduce_variance", K.var)
_reduction(
    "math.reduce_euclidean_norm", lambda x, axis, keepdims: K.sqrt(K.sum(K.square(x), axis, keepdims)), keeps_dtype=True
)


@tensorflow("math.count_nonzero")
def _count_nonzero(input: Any, axis: Any = None, keepdims: Any = False, dtype: Any = "int64") -> Any:
    is_other = K.cast(K.not_equal(single(input), 0), "int64")
    return K.cast(K.sum(is_other, _axes(axis), bool(keepdims)), dtype or "int64")


@tensorflow("compat.v1.count_nonzero")
def _count_nonzero_v1(input_tensor: Any, axis: Any = None, keepdims: Any = False, dtype: Any = "int64") -> Any:
    return _count_nonzero(input_tensor, axis, keepdims, dtype)


@tensorflow("math.zero_fraction nn.zero_fraction")
def _zero_fraction(value: Any) -> Any:
    return K.mean(K.cast(K.equal(single(value), 0), "float32"))


def _index_of(paths: str, function: Callable[..., Any]) -> None:
    def call(input: Any, axis: Any = None, output_type: Any = "int64") -> Any:
        place = 0 if axis is None else int(whole(axis))
        return K.cast(function(single(input), place), output_type)

    tensorflow(paths)(call)


_index_of("math.argmax argmax compat.v1.arg_max", K.argmax)
_index_of("math.argmin argmin compat.v1.arg_min", K.argmin)


@tensorflow("math.cumsum cumsum")
def _cumsum(x: Any, axis: Any = 0, exclusive: Any = False, reverse: Any = False) -> Any:
    x = single(x)
    op = CumSum(int(whole(axis)) % rank_of(x), bool(exclusive), bool(reverse))
    return convert(emit(op, _in_wide_integers(x)), dtype_of(x))


@tensorflow("math.cumulative_logsumexp")
def _cumulative_logsumexp(x: Any, axis: Any = 0, exclusive: Any = False, reverse: Any = False) -> Any:
    x = single(x)
    place = int(whole(axis)) % rank_of(x)
    if exclusive:
        raise refuse("math.cumulative_logsumexp", "with exclusive=True", "put the first element in front")
    top = K.max(x, place, keepdims=True)
    return K.add(K.log(_cumsum(K.exp(K.subtract(x, top)), place, False, reverse)), top)


@tensorflow("math.cumprod compat.v1.cumprod")
def _cumprod(x: Any, axis: Any = 0, exclusive: Any = False, reverse: Any = False) -> Any:
    """Multiply element by element: the number of elements along the axis must be known."""
    x = single(x)
    place = int(whole(axis)) % rank_of(x)
    size = sizes_of(x)[place]
    if not isinstance(size, int):
        raise TraceError(f"math.cumprod along an axis of the unknown size {size}; fix it in the Input's shape")
    require_few("math.cumprod", size, MAX_UNROLLED)
    parts = K.split(x, size, place) if size > 1 else [x]
    parts = parts[::-1] if reverse else parts
    products = [parts[0]]
    for part in parts[1:]:
        products.append(K.multiply(products[-1], part))
    if exclusive:
        products = [K.ones_like(parts[0]), *products[:-1]]
    return K.concatenate(products[::-1] if reverse else products, place)


@tensorflow("math.polyval")
def _polyval(coeffs: Any, x: Any) -> Any:
    total, *others = [alike(x, one)[1] for one in coeffs]
    for one in others:
        total = K.add(one, K.multiply(total, x))
    return total


@tensorflow("math.l2_normalize nn.l2_normalize linalg.l2_normalize")
def _l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12) -> Any:
    x = single(x)
    total = K.sum(K.square(x), _axes(axis), keepdims=True)
    return K.multiply(x, K.rsqrt(K.maximum(total, epsilon)))


class TopK(NamedTuple):
    """The largest elements, and where they are."""

    values: Any
    indices: Any


@tensorflow("math.top_k nn.top_k")
def _top_k(input: Any, k: Any = 1, sorted: bool = True, index_type: Any = "int32") -> Any:
    values, indices = K.top_k(single(input), whole(k), sorted)
    return TopK(values, K.cast(indices, index_type))


@tensorflow("math.in_top_k nn.in_top_k")
def _in_top_k(targets: Any, predictions: Any, k: Any) -> Any:
    """Return whether fewer than k classes are above the target's; all of them must be finite."""
    scores = single(predictions)
    own = K.take_along_axis(scores, K.expand_dims(K.cast(targets, "int64"), -1), -1)
    above = K.sum(K.cast(K.greater(scores, own), "int32"), -1)
    return K.logical_and(K.less(above, whole(k)), K.all(K.isfinite(own), -1))


@tensorflow("compat.v1.nn.in_top_k compat.v1.math.in_top_k")
def _in_top_k_v1(predictions: Any, targets: Any, k: Any) -> Any:
    return _in_top_k(targets, predictions, k)


@tensorflow("math.confusion_matrix")
def _confusion_matrix(
    labels: Any, predictions: Any, num_classes: Any = None, weights: Any = None, dtype: Any = "int32"
) -> Any:
    if num_classes is None:
        raise refuse("math.confusion_matrix", "without num_classes", "its size would depend on the data")
    rows, columns = (K.one_hot(single(one), int(whole(num_classes)), dtype="float32") for one in (labels, predictions))
    if weights is not None:
        rows = K.multiply(rows, K.expand_dims(K.cast(weights, "float32"), -1))
    return K.cast(K.matmul(K.transpose(rows), columns), dtype)


@tensorflow("math.bincount")
def _bincount(
    arr: Any,
    weights: Any = None,
    minlength: Any = None,
    maxlength: Any = None,
    dtype: Any = "int32",
    axis: Any = None,
    binary_output: bool = False,
) -> Any:
    if minlength is None or minlength != maxlength:
        raise refuse("math.bincount", "unless minlength and maxlength are one number", "its size depends on the data")
    x = single(arr)
    hot = K.one_hot(x, int(minlength), dtype=dtype if weights is None else dtype_of(single(weights)))
    if weights is not None:
        hot = K.multiply(hot, K.expand_dims(single(weights), -1))
    axes = tuple(range(rank_of(x))) if axis is None else (rank_of(x) - 1,)
    return K.max(hot, axes) if binary_output else K.cast(K.sum(hot, axes), dtype_of(hot).keras_name)


# Segments


def _segments(paths: str, combine: str) -> None:
    def call(data: Any, segment_ids: Any, num_segments: Any) -> Any:
        values, count = single(data), int(whole(num_segments))
        ids = single(segment_ids)
        if rank_of(ids) != 1:
            raise refuse(paths, "with segment_ids of more than one axis")
        hot = K.transpose(K.one_hot(ids, count, dtype=dtype_of(values)))
        rows = K.reshape(values, (sizes_of(values)[0], -1))
        total = K.matmul(hot, rows)
        if combine != "sum":
            filled = K.maximum(K.sum(hot, 1, keepdims=True), 1)
            total = K.divide(total, filled if combine == "mean" else K.sqrt(filled))
        return K.reshape(total, (count, *sizes_of(values)[1:]))

    tensorflow(paths)(call)


_segments("math.unsorted_segment_sum", "sum")
_segments("math.unsorted_segment_mean", "mean")
_segments("math.unsorted_segment_sqrt_n", "sqrt_n")


# Others


@tensorflow("linspace")
def _linspace(start: Any, stop: Any, num: Any, axis: int = 0) -> Any:
    return K.linspace(whole(start), whole(stop), num, axis=axis)


@tensorflow("range")
def _range(start: Any, limit: Any = None, delta: Any = 1, dtype: Any = None) -> Any:
    bounds = [whole(one) for one in ((0, start) if limit is None else (start, limit))]
    if dtype is None and any(isinstance(one, Tensor) for one in bounds):
        found = next(one for one in bounds if isinstance(one, Tensor))
        dtype = found.dtype if dtype_of(found).is_integer else None
    first, last = bounds
    return K.arange(first, last, whole(delta), dtype=dtype)


@tensorflow("cast dtypes.cast")
def _cast(x: Any, dtype: Any) -> Any:
    """Convert to another dtype: floats to integers without their fraction."""
    return convert(single(x), as_dtype(dtype))
