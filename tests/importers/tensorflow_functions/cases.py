"""Calls of TensorFlow's functions: what make_values.py computes with TensorFlow, and test_values.py with kir.

A case is a function of TensorFlow (or of what stands in for it) and of tensors, and what these are.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

BATCH = 2


@dataclass(frozen=True)
class Given:
    """An input: its shape without the batch, its dtype, its range, and which sizes a model is not told."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    low: float = -3.0
    high: float = 3.0
    unknown: tuple[int, ...] = ()

    @property
    def declared(self) -> tuple[int | None, ...]:
        return tuple(None if axis in self.unknown else size for axis, size in enumerate(self.shape))

    def values(self, name: str) -> Any:
        """Return the same numbers for a name every time."""
        random = np.random.default_rng(zlib.crc32(name.encode()))
        shape = (BATCH, *self.shape)
        if self.dtype == "bool":
            return random.random(shape) < 0.6
        if np.dtype(self.dtype).kind in "iu":
            return random.integers(int(self.low), int(self.high), shape).astype(self.dtype)
        return np.round(random.uniform(self.low, self.high, shape), 2).astype(self.dtype)


@dataclass(frozen=True)
class Case:
    function: Callable[..., Any]
    given: tuple[Given, ...]

    def feeds(self, name: str) -> list[Any]:
        return [given.values(f"{name}/{index}") for index, given in enumerate(self.given)]


CASES: dict[str, Case] = {}


def case(name: str, function: Callable[..., Any], *given: Given) -> None:
    """Enter a case; its first word is the path of the function that it is about."""
    assert name not in CASES, name
    CASES[name] = Case(function, given)


X = Given((3, 4))
ROW = Given((4,))
POSITIVE = Given((4,), low=0.1)
UNIT = Given((4,), low=-0.9, high=0.9)
INTS = Given((4,), "int32", -7, 8)
COUNTS = Given((4,), "int32", 1, 5)
LONGS = Given((4,), "int64", -7, 8)
BYTES = Given((4,), "uint8", 1, 250)
BOOLS = Given((4,), "bool")
HALF = Given((4,), "float16")
DOUBLE = Given((4,), "float64")
STEPS = Given((5, 3), unknown=(0,))
IMAGE = Given((4, 6, 3), low=0, high=1)
COLOUR = Given((3, 3, 3), low=0, high=1)
OPEN = Given((4, 6, 3), low=0, high=1, unknown=(0, 1))
PIXELS = Given((4, 6, 3), "uint8", 0, 256)
MAPS = Given((6, 8, 4))

# Elements

for _name in [
    "abs",
    "ceil",
    "cos",
    "cosh",
    "erf",
    "exp",
    "expm1",
    "floor",
    "negative",
    "reciprocal",
    "round",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "square",
    "tan",
    "tanh",
]:
    case(f"math.{_name}", lambda tf, x, name=_name: getattr(tf.math, name)(x), ROW)
for _name in ["log", "log1p", "rsqrt", "sqrt"]:
    case(f"math.{_name}", lambda tf, x, name=_name: getattr(tf.math, name)(x), POSITIVE)
for _name in ["acos", "asin", "atan", "atanh", "asinh", "erfc"]:
    case(f"math.{_name}", lambda tf, x, name=_name: getattr(tf.math, name)(x), UNIT)
case("math.acosh", lambda tf, x: tf.math.acosh(x), Given((4,), low=1.5))
case("math.rint", lambda tf, x: tf.math.rint(x), ROW)
case("math.log_sigmoid", lambda tf, x: tf.math.log_sigmoid(x), ROW)
for _name in ["is_finite", "is_inf", "is_nan"]:
    case(f"math.{_name}", lambda tf, x, name=_name: getattr(tf.math, name)(1 / x), Given((4,), low=0, high=0.02))
for _name in ["softplus", "softsign"]:
    case(f"math.{_name}", lambda tf, x, name=_name: getattr(tf.nn, name)(x), ROW)
_TWO = "add subtract multiply divide maximum minimum floordiv floormod squared_difference greater less less_equal"
for _name in [
    *_TWO.split(),
    "greater_equal",
    "equal",
    "not_equal",
    "divide_no_nan",
    "multiply_no_nan",
    "truediv",
    "mod",
]:
    case(f"math.{_name}", lambda tf, x, y, name=_name: getattr(tf.math, name)(x, y), ROW, Given((4,)))
    if "no_nan" not in _name:
        case(f"math.{_name} integers", lambda tf, x, y, name=_name: getattr(tf.math, name)(x, y), INTS, COUNTS)
for _name in ["xdivy", "xlogy", "xlog1py"]:
    case(f"math.{_name}", lambda tf, x, y, name=_name: getattr(tf.math, name)(tf.round(x), y), UNIT, POSITIVE)
for _name in ["logical_and", "logical_or", "logical_xor"]:
    case(f"math.{_name}", lambda tf, x, y, name=_name: getattr(tf.math, name)(x, y), BOOLS, BOOLS)
case("math.logical_not", lambda tf, x: tf.logical_not(x), BOOLS)
case("math.pow", lambda tf, x: tf.pow(x, 2.5), POSITIVE)
case("math.pow square", lambda tf, x: x**2, ROW)
case("math.pow integers", lambda tf, x: x**3, INTS)
case("math.atan2", lambda tf, y, x: tf.atan2(y, x), ROW, Given((4,)))
case("math.add_n", lambda tf, x, y: tf.add_n([x, y, x]), ROW, ROW)
case("math.scalar_mul", lambda tf, x: tf.math.scalar_mul(2.5, x), ROW)
case("realdiv", lambda tf, x, y: tf.realdiv(x, y), ROW, POSITIVE)
case("truncatediv", lambda tf, x, y: tf.truncatediv(x, y), INTS, COUNTS)
case("truncatemod", lambda tf, x, y: tf.truncatemod(x, y), INTS, COUNTS)
case("math.polyval", lambda tf, x: tf.math.polyval([2.0, -1.0, 0.5], x), ROW)
case("math.truediv bytes", lambda tf, x: x / 3, BYTES)
case("operators on longs", lambda tf, x: x / 3, LONGS)
case("math.floordiv bytes", lambda tf, x: x // 3, BYTES)
case("operators on bytes", lambda tf, x: x * [1, 2, 3, 4], BYTES)
case("operators on half", lambda tf, x: x * [0.5, 1.0, 2.0, 3.0] + 1, HALF)
case("operators on double", lambda tf, x: 0.1 * x, DOUBLE)
case("math.subtract from 1", lambda tf, x: 1 - x, ROW)
case("operators", lambda tf, x: abs(-x) / 3 // 0.5 % 2 + 2.0**x, ROW)
case("comparisons", lambda tf, x: ((x > 0) & ~(x < 1)) | (x != 2), ROW)
case("clip_by_value", lambda tf, x: tf.clip_by_value(x, -1.0, 1), ROW)
case("clip_by_value integers", lambda tf, x: tf.clip_by_value(x, -2, 2), INTS)
case("clip_by_value vectors", lambda tf, x: tf.clip_by_value(x, [-1.0, -2.0, 0.0, 0.5], 1.0), ROW)
case("clip_by_norm", lambda tf, x: tf.clip_by_norm(x, 2.0, axes=1), ROW)
case("cast", lambda tf, x: tf.cast(x, "int32"), ROW)
case("cast half", lambda tf, x: tf.cast(x, tf.float16), ROW)
case("cast bool", lambda tf, x: tf.cast(x, tf.bool), INTS)
case("saturate_cast", lambda tf, x: tf.saturate_cast(x * 100, tf.uint8), ROW)
case("compat.v1.to_float", lambda tf, x: tf.compat.v1.to_float(x), INTS)
case("compat.v1.div", lambda tf, x: tf.compat.v1.div(x, 3.0), ROW)

# Reductions

for _name in ["mean", "sum", "prod", "max", "min", "logsumexp", "std", "variance", "euclidean_norm"]:
    case(f"math.reduce_{_name}", lambda tf, x, name=_name: getattr(tf.math, f"reduce_{name}")(x, axis=[1]), X)
    case(f"math.reduce_{_name} all", lambda tf, x, name=_name: getattr(tf.math, f"reduce_{name}")(x), X)
    case(
        f"math.reduce_{_name} kept",
        lambda tf, x, name=_name: getattr(tf.math, f"reduce_{name}")(x, [1, -1], keepdims=True),
        X,
    )
for _name in ["mean", "sum", "prod", "max", "min"]:
    case(f"math.reduce_{_name} integers", lambda tf, x, name=_name: getattr(tf.math, f"reduce_{name}")(x, 1), INTS)
case("math.reduce_sum bytes", lambda tf, x: tf.reduce_sum(x, 1), Given((4,), "uint8", 0, 60))
case("math.reduce_mean longs", lambda tf, x: tf.reduce_mean(x, axis=-1), LONGS)
case("math.reduce_mean unknown", lambda tf, x: tf.reduce_mean(x, axis=1), STEPS)
case("math.reduce_all", lambda tf, x: tf.reduce_all(x, 1), BOOLS)
case("math.reduce_any", lambda tf, x: tf.reduce_any(x, 1, keepdims=True), BOOLS)
case("math.count_nonzero", lambda tf, x: tf.math.count_nonzero(x, axis=1), INTS)
case("math.zero_fraction", lambda tf, x: tf.math.zero_fraction(tf.nn.relu(x)), ROW)
case("math.argmax", lambda tf, x: tf.argmax(x, -1), X)
case("math.argmax first", lambda tf, x: tf.math.argmax(x), X)
case("math.argmin", lambda tf, x: tf.argmin(x, axis=1, output_type=tf.int32), X)
case("math.cumsum", lambda tf, x: tf.cumsum(x, axis=1), X)
case("math.cumsum first", lambda tf, x: tf.math.cumsum(x), X)
case("math.cumsum exclusive", lambda tf, x: tf.cumsum(x, 1, exclusive=True, reverse=True), X)
case("math.cumsum integers", lambda tf, x: tf.cumsum(x, -1, reverse=True), INTS)
case("math.cumprod", lambda tf, x: tf.math.cumprod(x, axis=1), X)
case("math.cumprod exclusive", lambda tf, x: tf.math.cumprod(x, axis=-1, exclusive=True, reverse=True), X)
case("math.cumulative_logsumexp", lambda tf, x: tf.math.cumulative_logsumexp(x, axis=1), X)
case("math.l2_normalize", lambda tf, x: tf.math.l2_normalize(x, axis=-1), X)
case("math.l2_normalize axes", lambda tf, x: tf.nn.l2_normalize(x, [1, 2], epsilon=0.5), X)
case("math.top_k", lambda tf, x: tf.math.top_k(x, 2), X)
case("math.top_k values", lambda tf, x: tf.nn.top_k(x, k=3).values, ROW)
case("math.in_top_k", lambda tf, x, y: tf.math.in_top_k(y[:, 0], x, 2), ROW, Given((1,), "int32", 0, 4))
case("math.confusion_matrix", lambda tf, x, y: tf.math.confusion_matrix(x[0], y[0], 5), COUNTS, COUNTS)
case("math.unsorted_segment_sum", lambda tf, x: tf.math.unsorted_segment_sum(x, [1, 0], 3), X)
case("math.unsorted_segment_mean", lambda tf, x: tf.math.unsorted_segment_mean(x, [1, 1], 3), X)
case("math.unsorted_segment_sqrt_n", lambda tf, x: tf.math.unsorted_segment_sqrt_n(x, [1, 1], 3), X)
case("math.bincount", lambda tf, x: tf.math.bincount(x, minlength=6, maxlength=6, axis=-1), COUNTS)
case("math.invert_permutation", lambda tf, x: tf.math.invert_permutation(tf.argsort(x[0])), ROW)

# Shapes and pieces

case("shape", lambda tf, x: tf.shape(x), X)
case("shape unknown", lambda tf, x: tf.shape(x) * 2 + 1, STEPS)
case("shape long", lambda tf, x: tf.shape(x, out_type=tf.int64), STEPS)
case("size", lambda tf, x: tf.size(x), STEPS)
case("rank", lambda tf, x: tf.rank(x) + tf.zeros_like(tf.size(x)), X)
case("reshape", lambda tf, x: tf.reshape(x, [-1, 6]), X)
case("reshape by shape", lambda tf, x: tf.reshape(x, [tf.shape(x)[0], -1]), X)
case("reshape by product", lambda tf, x: tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1] * 3]), STEPS)
case("reshape by concat", lambda tf, x: tf.reshape(x, tf.concat([tf.shape(x)[:2], [3, 1]], 0)), STEPS)
case("reshape by stack", lambda tf, x: tf.reshape(x, tf.stack([-1, tf.reduce_prod(tf.shape(x)[1:])])), STEPS)
case("reshape unstacked", lambda tf, x: (lambda b, t, c: tf.reshape(x, [b * t, c]))(*tf.unstack(tf.shape(x))), STEPS)
case("cut at half", lambda tf, x: x[:, tf.cast(tf.shape(x)[1] / 2, tf.int32) :], STEPS)
case("cut by floor", lambda tf, x: x[:, : tf.shape(x)[1] // 2], STEPS)
case("cut by ceil", lambda tf, x: x[:, : tf.cast(tf.math.ceil(tf.shape(x)[1] / 2), tf.int32)], STEPS)
case("cut from the end", lambda tf, x: x[:, tf.shape(x)[1] - 2 :], STEPS)
case("expand_dims", lambda tf, x: tf.expand_dims(x, 1), ROW)
case("squeeze", lambda tf, x: tf.squeeze(tf.expand_dims(x, -1), [-1]), ROW)
case("squeeze all", lambda tf, x: tf.squeeze(x[:, :1, 1:2]), X)
case("transpose", lambda tf, x: tf.transpose(x, [0, 2, 1]), X)
case("transpose all", lambda tf, x: tf.transpose(x), X)
case("broadcast_to", lambda tf, x: tf.broadcast_to(x[:, None], [2, 3, 4]), ROW)
case("broadcast_to shape", lambda tf, x, y: tf.broadcast_to(x[:, :1], tf.shape(y)), STEPS, STEPS)
case("tile", lambda tf, x: tf.tile(x, [1, 2, 1]), X)
case("tile constant", lambda tf, x: tf.tile(tf.constant([[1.0, 2.0]]), [tf.shape(x)[0], 1]), ROW)
case("tile dynamic", lambda tf, x: tf.tile(x[:, :1], [1, tf.shape(x)[1], 1]), STEPS)
case("repeat", lambda tf, x: tf.repeat(x, 2, axis=1), X)
case("concat", lambda tf, x, y: tf.concat([x, y, x], -1), X, Given((3, 2)))
case("concat constant", lambda tf, x: tf.concat([x, tf.ones((1, 4))], axis=0), ROW)
case("concat values", lambda tf, x: tf.concat(values=[x, x], axis=1), X)
case("stack", lambda tf, x, y: tf.stack([x, y], axis=1), X, X)
case("stack last", lambda tf, x, y: tf.stack((x, y, x), -1), ROW, ROW)
case("unstack", lambda tf, x: tf.unstack(x, axis=1), X)
case("split", lambda tf, x: tf.split(x, 2, axis=2), X)
case("split sizes", lambda tf, x: tf.split(x, [1, -1], 1), X)
case("split rest", lambda tf, x: tf.split(x, [2, -1], 1), STEPS)
case("slice", lambda tf, x: tf.slice(x, [0, 1, 0], [-1, 2, 3]), X)
case("strided_slice", lambda tf, x: tf.strided_slice(x, [0, 0, 1], [2, 3, 4], [1, 2, 1]), X)
case("strided_slice masks", lambda tf, x: tf.strided_slice(x, [0, 1], [0, 2], begin_mask=1, end_mask=1), X)
case("brackets", lambda tf, x: x[:, -1], X)
case("brackets ellipsis", lambda tf, x: x[..., ::-1], X)
case("brackets newaxis", lambda tf, x: x[:, tf.newaxis, 1:-1, None], X)
case("brackets first", lambda tf, x: x[0], X)
case("brackets steps", lambda tf, x: x[:, ::2, 3:0:-2], X)
case("brackets tensor", lambda tf, x: x[:, tf.shape(x)[1] - 1], STEPS)
case("brackets all but last", lambda tf, x: x[:, :-1, 1] - x[:, 1:, 1], STEPS)
case("reverse", lambda tf, x: tf.reverse(x, [1, -1]), X)
case("roll", lambda tf, x: tf.roll(x, shift=1, axis=1), X)
case("roll axes", lambda tf, x: tf.roll(x, [1, -2], [1, 2]), X)
case("pad", lambda tf, x: tf.pad(x, [[0, 0], [1, 2], [0, 1]]), X)
case("pad value", lambda tf, x: tf.pad(x, tf.constant([[0, 0], [1, 0]]), constant_values=7), INTS)
case("pad reflect", lambda tf, x: tf.pad(x, [[0, 0], [1, 2], [2, 0]], "REFLECT"), X)
case("pad symmetric", lambda tf, x: tf.pad(x, [[0, 0], [1, 2], [3, 0]], mode="SYMMETRIC"), X)
case("pad dynamic", lambda tf, x: tf.pad(x, [[0, 0], [0, tf.shape(x)[1]], [0, 0]]), STEPS)
case("meshgrid", lambda tf, x: tf.meshgrid(x[0], tf.range(3.0)), ROW)
case("meshgrid ij", lambda tf, x: tf.meshgrid(x[0], x[1], indexing="ij"), ROW)
case("gather", lambda tf, x: tf.gather(x, [2, 0], axis=1), X)
case("gather first", lambda tf, x: tf.gather(x, [1, 1, 0]), X)
case("gather batch", lambda tf, x, i: tf.gather(x, i, batch_dims=1), X, Given((2,), "int32", 0, 3))
case("gather batch axis", lambda tf, x, i: tf.gather(x, i, axis=2, batch_dims=1), X, Given((2,), "int32", 0, 4))
case("gather batches", lambda tf, x, i: tf.gather(x, i, axis=-1, batch_dims=2), X, Given((3, 2), "int32", 0, 4))
case("gather by argmax", lambda tf, x: tf.gather(x, tf.argmax(x[:, :, 0], 1), batch_dims=1), X)
case("gather_nd", lambda tf, x: tf.gather_nd(x, [[0, 1], [1, 2]]), X)
case("gather_nd batch", lambda tf, x, i: tf.gather_nd(x, i, batch_dims=1), X, Given((5, 1), "int32", 0, 3))
case("nn.embedding_lookup", lambda tf, i: tf.nn.embedding_lookup(tf.reshape(tf.range(10.0), (5, 2)), i), COUNTS)
case("one_hot", lambda tf, i: tf.one_hot(i, 4), COUNTS)
case("one_hot values", lambda tf, i: tf.one_hot(i, 6, on_value=5, off_value=-1, axis=1), COUNTS)
case("one_hot dtype", lambda tf, i: tf.one_hot(i, depth=6, dtype=tf.int64), COUNTS)
case("where", lambda tf, x: tf.where(x > 0, x, 0.0), X)
case("where constant", lambda tf, x: tf.where(tf.constant([True, False, True, True]), x, -x), ROW)
case("where broadcast", lambda tf, x: tf.where(x[:, :1] > 0, x, tf.zeros_like(x)), X)
case("compat.v1.where", lambda tf, x: tf.compat.v1.where(x[:, 0, 0] > 0, x, -x), X)
case("sequence_mask", lambda tf, i: tf.sequence_mask(i, 5), COUNTS)
case("sequence_mask floats", lambda tf, i: tf.sequence_mask(i[:, 0], maxlen=5, dtype=tf.float32), COUNTS)
case("sequence_mask dynamic", lambda tf, i, x: tf.sequence_mask(i, tf.shape(x)[1]), COUNTS, STEPS)
case("reverse_sequence", lambda tf, x, i: tf.reverse_sequence(x, i[:, 0], seq_axis=1), X, Given((1,), "int32", 0, 4))
case("sort", lambda tf, x: tf.sort(x), X)
case("sort falling", lambda tf, x: tf.sort(x, axis=1, direction="DESCENDING"), X)
case("argsort", lambda tf, x: tf.argsort(x, axis=1), X)
case("argsort falling", lambda tf, x: tf.argsort(x, direction="DESCENDING"), X)
case("searchsorted", lambda tf, x: tf.searchsorted(tf.sort(x), x[:, ::-1] + 0.3), ROW)
case("searchsorted right", lambda tf, x: tf.searchsorted(tf.sort(x), x, side="right"), INTS)
case("tensor_scatter_nd_update", lambda tf, x: tf.tensor_scatter_nd_update(x, [[1, 2], [0, 0]], [9.0, 8.0]), ROW)
case("unravel_index", lambda tf, x: tf.unravel_index(x[0], [3, 4]), COUNTS)
case("boolean functions", lambda tf, x: tf.cast(x > 0, tf.float32) * x, ROW)

# Making

case("fill", lambda tf, x: tf.fill(tf.shape(x), 3.0) + x, ROW)
case("zeros", lambda tf, x: tf.zeros((tf.shape(x)[0], 3)) + 1, ROW)
case("ones", lambda tf, x: tf.ones([tf.shape(x)[0], tf.shape(x)[1]], dtype=tf.int32), STEPS)
case("zeros_like", lambda tf, x: tf.zeros_like(x) + 1, X)
case("ones_like", lambda tf, x: tf.ones_like(x, dtype=tf.int32), X)
case("range", lambda tf, x: tf.range(tf.shape(x)[1]), STEPS)
case("range floats", lambda tf, x: tf.range(0.0, 2.0, 0.5) * x, ROW)
case("range bounds", lambda tf, x: tf.range(1, tf.shape(x)[1], 2), STEPS)
case("range added", lambda tf, x: x + tf.cast(tf.range(tf.shape(x)[1]), tf.float32)[:, None], STEPS)
case("linspace", lambda tf, x: x + tf.linspace(0.0, 1.0, 4), ROW)
case("eye", lambda tf, x: tf.eye(4) + x[:, None], ROW)
case("constant", lambda tf, x: tf.constant([1, 2, 3, 4]) * x, INTS)
case("constant of dtype", lambda tf, x: tf.constant([1, 2, 3, 4], dtype=tf.float32) * x, ROW)
case("constant of shape", lambda tf, x: tf.constant(2.0, shape=[3, 1]) * x[:, None], ROW)
case("identity", lambda tf, x: tf.identity(tf.stop_gradient(x)), ROW)
case("convert_to_tensor", lambda tf, x: tf.convert_to_tensor(x) + tf.convert_to_tensor([1.0, 2.0, 3.0, 4.0]), ROW)
case("ensure_shape", lambda tf, x: tf.ensure_shape(x, [None, 4]), ROW)
case("nn.space_to_depth", lambda tf, x: tf.nn.space_to_depth(x, 2), IMAGE)
case("nn.depth_to_space", lambda tf, x: tf.nn.depth_to_space(x, 2), MAPS)
case("space_to_batch", lambda tf, x: tf.space_to_batch(x, [2, 2], [[0, 0], [1, 1]]), MAPS)
case(
    "batch_to_space",
    lambda tf, x: tf.batch_to_space(tf.space_to_batch(x, [2, 3], [[0, 0], [1, 0]]), [2, 3], [[1, 0], [0, 2]]),
    MAPS,
)

# Matrices

case("linalg.matmul", lambda tf, x, y: x @ y, X, Given((4, 2)))
case("linalg.matmul transposed", lambda tf, x, y: tf.matmul(x, y, transpose_b=True), X, Given((2, 4)))
case("linalg.matmul turned", lambda tf, x, y: tf.linalg.matmul(x, y, transpose_a=True), X, Given((3, 2)))
case("linalg.matmul constant", lambda tf, x: tf.matmul(x, tf.ones((4, 2))), ROW)
case("linalg.matvec", lambda tf, x, y: tf.linalg.matvec(x, y), X, ROW)
case("tensordot", lambda tf, x: tf.tensordot(x, tf.reshape(tf.range(8.0), (4, 2)), 1), X)
case("tensordot axes", lambda tf, x, y: tf.tensordot(x, y, [[1, 2], [1, 2]]), X, X)
case("einsum", lambda tf, x, y: tf.einsum("bij,bkj->bik", x, y), X, Given((2, 4)))
case("norm", lambda tf, x: tf.norm(x, axis=-1), X)
case("norm all", lambda tf, x: tf.norm(x), X)
case("norm one", lambda tf, x: tf.linalg.norm(x, ord=1, axis=1, keepdims=True), X)
case("linalg.normalize", lambda tf, x: tf.linalg.normalize(x, axis=-1), X)
case("linalg.matrix_transpose", lambda tf, x: tf.linalg.matrix_transpose(x), X)
case("linalg.cross", lambda tf, x, y: tf.linalg.cross(x, y), Given((2, 3)), Given((2, 3)))
case("linalg.band_part", lambda tf, x: tf.linalg.band_part(x, 1, 0), Given((4, 4)))
case("linalg.band_part lower", lambda tf, x: tf.linalg.band_part(x, -1, 0), Given((4, 4)))
case("linalg.diag", lambda tf, x: tf.linalg.diag(x), ROW)
case("linalg.diag_part", lambda tf, x: tf.linalg.diag_part(x), Given((4, 4)))
case("linalg.set_diag", lambda tf, x, y: tf.linalg.set_diag(x, y), Given((4, 4)), ROW)
case("linalg.trace", lambda tf, x: tf.linalg.trace(x), Given((4, 4)))

# Networks

for _name in ["elu", "relu", "relu6", "selu", "leaky_relu", "gelu", "silu", "swish", "crelu", "softmax", "log_softmax"]:
    case(f"nn.{_name}", lambda tf, x, name=_name: getattr(tf.nn, name)(x), X)
case("nn.leaky_relu alpha", lambda tf, x: tf.nn.leaky_relu(x, alpha=0.05), X)
case("nn.gelu tanh", lambda tf, x: tf.nn.gelu(x, approximate=True), X)
case("nn.silu beta", lambda tf, x: tf.nn.silu(x, beta=1.5), X)
case("nn.softmax axis", lambda tf, x: tf.nn.softmax(x, axis=1), X)
case("nn.relu integers", lambda tf, x: tf.nn.relu(x), INTS)
case("nn.bias_add", lambda tf, x: tf.nn.bias_add(x, [1.0, 2.0, 3.0]), IMAGE)
case("nn.bias_add first", lambda tf, x: tf.nn.bias_add(x, [1.0, 2.0, 3.0, 4.0], data_format="NCHW"), Given((4, 2, 3)))
case("nn.moments", lambda tf, x: tf.nn.moments(x, [1, 2]), IMAGE)
case("nn.moments kept", lambda tf, x: tf.nn.moments(x, axes=[1], keepdims=True), X)
case("nn.batch_normalization", lambda tf, x: tf.nn.batch_normalization(x, 0.5, 2.0, 0.1, 3.0, 0.001), X)
case("nn.local_response_normalization", lambda tf, x: tf.nn.local_response_normalization(x, 1, 1.5, 0.2, 0.75), MAPS)
case("nn.l2_loss", lambda tf, x: tf.nn.l2_loss(x), X)
case("nn.softmax_cross_entropy_with_logits", lambda tf, x, y: tf.nn.softmax_cross_entropy_with_logits(y, x), ROW, UNIT)
case(
    "nn.sparse_softmax_cross_entropy_with_logits",
    lambda tf, x, i: tf.nn.sparse_softmax_cross_entropy_with_logits(i, x),
    X,
    Given((3,), "int32", 0, 4),
)
case("nn.sigmoid_cross_entropy_with_logits", lambda tf, x, y: tf.nn.sigmoid_cross_entropy_with_logits(y, x), ROW, UNIT)
case(
    "nn.weighted_cross_entropy_with_logits",
    lambda tf, x, y: tf.nn.weighted_cross_entropy_with_logits(y, x, 2.0),
    ROW,
    UNIT,
)
case("nn.log_poisson_loss", lambda tf, x, y: tf.nn.log_poisson_loss(y, x), ROW, POSITIVE)


def _kernel(tf: Any, *shape: int) -> Any:
    return tf.reshape(tf.range(float(np.prod(shape))), shape) / float(np.prod(shape)) - 0.4


for _padding in ("SAME", "VALID"):
    case(
        f"nn.conv2d {_padding}",
        lambda tf, x, padding=_padding: tf.nn.conv2d(x, _kernel(tf, 3, 2, 4, 2), [1, 2, 1, 1], padding),
        MAPS,
    )
    case(
        f"nn.max_pool2d {_padding}",
        lambda tf, x, padding=_padding: tf.nn.max_pool2d(x, 3, 2, padding),
        MAPS,
    )
    case(
        f"nn.avg_pool2d {_padding}",
        lambda tf, x, padding=_padding: tf.nn.avg_pool2d(x, [3, 2], [2, 1], padding),
        MAPS,
    )
    case(
        f"nn.conv2d_transpose {_padding}",
        lambda tf, x, padding=_padding: tf.nn.conv2d_transpose(
            x, _kernel(tf, 2, 2, 3, 4), [2, 12, 16, 3], 2, padding=padding
        ),
        MAPS,
    )
case(
    "nn.conv2d explicit",
    lambda tf, x: tf.nn.conv2d(x, _kernel(tf, 3, 3, 4, 2), 1, [[0, 0], [1, 0], [2, 1], [0, 0]]),
    MAPS,
)
case("nn.conv2d dilated", lambda tf, x: tf.nn.conv2d(x, _kernel(tf, 2, 2, 4, 2), 1, "SAME", dilations=2), MAPS)
case("nn.conv2d grouped", lambda tf, x: tf.nn.conv2d(x, _kernel(tf, 2, 2, 2, 4), 1, "SAME"), MAPS)
case(
    "nn.conv2d_transpose odd",
    lambda tf, x: tf.nn.conv2d_transpose(x, _kernel(tf, 3, 3, 2, 4), [2, 11, 15, 2], [1, 2, 2, 1]),
    MAPS,
)
case(
    "nn.conv2d_transpose batch",
    lambda tf, x: tf.nn.conv2d_transpose(x, _kernel(tf, 3, 3, 2, 4), [tf.shape(x)[0], 12, 16, 2], 2),
    MAPS,
)
case("nn.conv1d", lambda tf, x: tf.nn.conv1d(x, _kernel(tf, 3, 4, 2), 2, "SAME"), Given((7, 4)))
case("nn.conv1d_transpose", lambda tf, x: tf.nn.conv1d_transpose(x, _kernel(tf, 3, 2, 4), [2, 14, 2], 2), Given((7, 4)))
case(
    "nn.conv3d",
    lambda tf, x: tf.nn.conv3d(x, _kernel(tf, 2, 2, 2, 2, 3), [1, 1, 1, 1, 1], "VALID"),
    Given((3, 4, 3, 2)),
)
case(
    "nn.convolution",
    lambda tf, x: tf.nn.convolution(x, _kernel(tf, 3, 3, 4, 2), padding="SAME", dilations=[2, 1]),
    MAPS,
)
case("nn.atrous_conv2d", lambda tf, x: tf.nn.atrous_conv2d(x, _kernel(tf, 2, 2, 4, 2), 2, "VALID"), MAPS)
case(
    "nn.depthwise_conv2d", lambda tf, x: tf.nn.depthwise_conv2d(x, _kernel(tf, 3, 3, 4, 2), [1, 2, 2, 1], "SAME"), MAPS
)
case(
    "nn.separable_conv2d",
    lambda tf, x: tf.nn.separable_conv2d(x, _kernel(tf, 3, 3, 4, 2), _kernel(tf, 1, 1, 8, 3), [1, 1, 1, 1], "SAME"),
    MAPS,
)
case("nn.max_pool", lambda tf, x: tf.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], "VALID"), MAPS)
case("nn.max_pool explicit", lambda tf, x: tf.nn.max_pool2d(x, 3, 2, [[0, 0], [1, 1], [1, 0], [0, 0]]), MAPS)
case("nn.max_pool1d", lambda tf, x: tf.nn.max_pool1d(x, 3, 2, "SAME"), Given((7, 4)))
case("nn.avg_pool1d", lambda tf, x: tf.nn.avg_pool1d(x, 2, 2, "VALID"), Given((7, 4)))
case("nn.avg_pool3d", lambda tf, x: tf.nn.avg_pool3d(x, 2, 1, "SAME"), Given((3, 4, 3, 2)))
case("nn.pool", lambda tf, x: tf.nn.pool(x, [2, 3], "AVG", strides=[1, 2], padding="SAME"), MAPS)
case("compat.v1.nn.max_pool", lambda tf, x: tf.compat.v1.nn.max_pool(x, [1, 3, 3, 1], [1, 2, 2, 1], "SAME"), MAPS)
case("compat.v1.nn.avg_pool", lambda tf, x: tf.compat.v1.nn.avg_pool(x, ksize=2, strides=2, padding="VALID"), MAPS)

# Images

for _method in ["bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic"]:
    for _size in ((7, 9), (3, 2)):
        case(
            f"image.resize {_method} {_size[0]}",
            lambda tf, x, method=_method, size=_size: tf.image.resize(x, size, method=method),
            IMAGE,
        )
    if _method not in ("nearest", "area"):
        case(
            f"image.resize {_method} antialias",
            lambda tf, x, method=_method: tf.image.resize(x, (2, 3), method, antialias=True),
            IMAGE,
        )
case("image.resize bytes", lambda tf, x: tf.image.resize(x, (3, 9)), PIXELS)
case("image.resize nearest bytes", lambda tf, x: tf.image.resize(x, [3, 9], "nearest"), PIXELS)
case("image.resize ratio", lambda tf, x: tf.image.resize(x, (8, 8), preserve_aspect_ratio=True), IMAGE)
case("image.resize one", lambda tf, x: tf.image.resize(x[0], (3, 3)), IMAGE)
case("image.resize unknown", lambda tf, x: tf.image.resize(x, tf.shape(x)[1:3] * 2), OPEN)
case("image.resize unknown nearest", lambda tf, x: tf.image.resize(x, tf.shape(x)[1:3] * 2, method="nearest"), OPEN)
case("image.resize like", lambda tf, x, y: tf.image.resize(x, tf.shape(y)[1:3]), OPEN, Given((3, 7, 1), unknown=(0, 1)))
for _number in (0, 1, 2):
    for _corners in (False, True):
        case(
            f"compat.v1.image.resize {_number} {_corners}",
            lambda tf, x, method=_number, corners=_corners: tf.compat.v1.image.resize(
                x, (7, 9), method, align_corners=corners
            ),
            IMAGE,
        )
        case(
            f"compat.v1.image.resize smaller {_number} {_corners}",
            lambda tf, x, method=_number, corners=_corners: tf.compat.v1.image.resize(x, (3, 4), method, corners),
            IMAGE,
        )
case("compat.v1.image.resize area", lambda tf, x: tf.compat.v1.image.resize(x, (3, 4), 3), IMAGE)
case("compat.v1.image.resize same", lambda tf, x: tf.compat.v1.image.resize(x, (4, 6)), PIXELS)
for _corners in (False, True):
    case(
        f"compat.v1.image.resize unknown {_corners}",
        lambda tf, x, corners=_corners: tf.compat.v1.image.resize(x, tf.shape(x)[1:3] * 2, align_corners=corners),
        OPEN,
    )
case(
    "compat.v1.image.resize_bilinear",
    lambda tf, x: tf.compat.v1.image.resize_bilinear(x, (8, 5), half_pixel_centers=True),
    IMAGE,
)
case(
    "compat.v1.image.resize_bilinear corners",
    lambda tf, x: tf.compat.v1.image.resize_bilinear(x, (8, 5), align_corners=True),
    PIXELS,
)
case(
    "compat.v1.image.resize_nearest_neighbor",
    lambda tf, x: tf.compat.v1.image.resize_nearest_neighbor(x, (7, 5)),
    PIXELS,
)
case("image.flip_left_right", lambda tf, x: tf.image.flip_left_right(x), IMAGE)
case("image.flip_up_down", lambda tf, x: tf.image.flip_up_down(x), IMAGE)
case("image.transpose", lambda tf, x: tf.image.transpose(x), IMAGE)
for _k in (1, 2, 3):
    case(f"image.rot90 {_k}", lambda tf, x, k=_k: tf.image.rot90(x, k), IMAGE)
case("image.central_crop", lambda tf, x: tf.image.central_crop(x, 0.5), IMAGE)
case("image.central_crop unknown", lambda tf, x: tf.image.central_crop(x, 0.5), OPEN)
case("image.crop_to_bounding_box", lambda tf, x: tf.image.crop_to_bounding_box(x, 1, 2, 2, 3), IMAGE)
case("image.pad_to_bounding_box", lambda tf, x: tf.image.pad_to_bounding_box(x, 1, 2, 7, 9), IMAGE)
case("image.resize_with_crop_or_pad", lambda tf, x: tf.image.resize_with_crop_or_pad(x, 7, 3), IMAGE)
case("image.resize_with_pad", lambda tf, x: tf.image.resize_with_pad(x, 5, 5), IMAGE)
case(
    "image.extract_patches",
    lambda tf, x: tf.image.extract_patches(x, [1, 2, 3, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID"),
    IMAGE,
)
case(
    "image.extract_patches same",
    lambda tf, x: tf.image.extract_patches(x, [1, 3, 3, 1], [1, 2, 2, 1], [1, 1, 1, 1], "SAME"),
    IMAGE,
)
case("image.per_image_standardization", lambda tf, x: tf.image.per_image_standardization(x), PIXELS)
case("image.adjust_brightness", lambda tf, x: tf.image.adjust_brightness(x, 0.2), IMAGE)
case("image.adjust_brightness bytes", lambda tf, x: tf.image.adjust_brightness(x, 0.2), PIXELS)
case("image.adjust_contrast", lambda tf, x: tf.image.adjust_contrast(x, 1.5), IMAGE)
case("image.adjust_gamma", lambda tf, x: tf.image.adjust_gamma(x, 0.5, 2), IMAGE)
case("image.adjust_saturation", lambda tf, x: tf.image.adjust_saturation(x, 0.5), COLOUR)
case("image.adjust_hue", lambda tf, x: tf.image.adjust_hue(x, 0.2), COLOUR)
case("image.rgb_to_grayscale", lambda tf, x: tf.image.rgb_to_grayscale(x), IMAGE)
case("image.rgb_to_grayscale bytes", lambda tf, x: tf.image.rgb_to_grayscale(x), PIXELS)
case("image.grayscale_to_rgb", lambda tf, x: tf.image.grayscale_to_rgb(x[..., :1]), IMAGE)
for _name in ["rgb_to_hsv", "hsv_to_rgb", "rgb_to_yuv", "yuv_to_rgb", "rgb_to_yiq", "yiq_to_rgb"]:
    case(f"image.{_name}", lambda tf, x, name=_name: getattr(tf.image, name)(x), COLOUR)
case("image.convert_image_dtype", lambda tf, x: tf.image.convert_image_dtype(x, tf.float32), PIXELS)
case("image.convert_image_dtype bytes", lambda tf, x: tf.image.convert_image_dtype(x, tf.uint8, saturate=True), IMAGE)
case("image.image_gradients", lambda tf, x: tf.image.image_gradients(x), IMAGE)
case("image.sobel_edges", lambda tf, x: tf.image.sobel_edges(x), IMAGE)
case("image.total_variation", lambda tf, x: tf.image.total_variation(x), IMAGE)
case("image.psnr", lambda tf, x, y: tf.image.psnr(x, y, 1.0), IMAGE, IMAGE)
