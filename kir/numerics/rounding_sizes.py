"""The sizes of the terms that operators add up, in which their roundings are measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import ml_dtypes
import numpy as np

from kir.ir import structural
from kir.ir.op import Array, Op
from kir.ir.types import as_dtype
from kir.ops import (
    blocks,
    control,
    convolution,
    elementwise,
    linear,
    nn,
    normalization,
    ops_of,
    pooling,
    quantization,
    random,
    reduce,
    resize,
    shape,
    sparse,
    spectral,
)
from kir.ops.opaque import Opaque
from kir.support.caching import cached

# Operators whose rounding costs more to size than they cost to compute.
COSTLY_SIZES = frozenset(
    {
        *(linear.Dense, linear.MatMul, linear.Einsum, convolution.Conv, convolution.ConvTranspose),
        *(normalization.BatchNormalization, normalization.LayerNormalization, normalization.InstanceNormalization),
        pooling.AveragePool,
    }
)

# How many elements of a matrix product are sized at a time.
CACHED_ELEMENTS = 1 << 16

# Where a matrix product adds up few terms, up to this many products of single elements are formed at once.
SMALL_PRODUCT = 1 << 12

# Results that are representable, or rounded in the one way that IEEE 754 prescribes for them.
EXACT: frozenset[Any] = frozenset(
    {
        *(structural.Input, structural.Output, structural.Constant, structural.Assume),
        *(elementwise.Abs, elementwise.Neg, elementwise.Sign, elementwise.Floor, elementwise.Ceil, elementwise.Round),
        *(elementwise.Relu, elementwise.ThresholdedRelu, elementwise.Cast, elementwise.Where, elementwise.Clip),
        *(elementwise.Maximum, elementwise.Minimum, elementwise.Not, elementwise.IsNaN, elementwise.IsInf),
        *(elementwise.And, elementwise.Or, elementwise.Xor, elementwise.BitwiseXor, *elementwise.COMPARISONS),
        *(shape.Reshape, shape.Transpose, shape.Expand, shape.Concat, shape.Slice, shape.Split, shape.Pad, shape.Tile),
        *(blocks.DepthToSpace, blocks.SpaceToDepth),
        *(shape.Gather, shape.GatherND, shape.GatherElements, shape.ScatterND, shape.OneHot, shape.Range, shape.Size),
        *(shape.TopK, shape.Trilu, reduce.ReduceMax, reduce.ReduceMin, reduce.ArgMax, reduce.ArgMin, pooling.MaxPool),
        *(control.If, control.Loop, control.Scan),  # the operators inside round
    }
)


def is_exact(op: Op) -> bool:
    """Return whether every right implementation of an operator gives the same bits, whatever the dtypes."""
    return type(op) in EXACT or (isinstance(op, Opaque) and op.meaning is not None and op.meaning.exact)


@cached
def epsilon(dtype: np.dtype[Any]) -> float:
    """Return the distance from 1 to the next float."""
    return float(finfo(dtype).eps)


def finfo(dtype: np.dtype[Any]) -> Any:
    return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]


def sum_of_squared_partial_sums(a: Array, b: Array, blocks: int = 16) -> Array:
    """Return Σ Sₖ² over the partial sums Sₖ of the product of a[..., m, n] and b[..., n, p]; see `sum_blocks`."""
    if a.shape[-1] <= blocks and a.size * b.shape[-1] <= SMALL_PRODUCT:
        # Every term is a block of its own, and few calls of NumPy are faster than many.
        partial_sums = np.cumsum(a[..., :, None] * b[..., None, :, :], axis=-2)
        return np.asarray(np.square(partial_sums, out=partial_sums).sum(axis=-2))

    def block(start: int, end: int) -> tuple[int, Array, Array]:
        left, right = a[..., start:end], b[..., start:end, :]
        return end - start, left @ right, np.square(left) @ np.square(right)

    return sum_blocks(itertools.starmap(block, cut(a.shape[-1], blocks)))


def cut(count: int, blocks: int) -> list[tuple[int, int]]:
    """Divide 0 to `count` into that many ranges of about the same length, or into fewer of 1."""
    bounds = np.linspace(0, count, min(count, blocks) + 1).astype(int)
    return list(itertools.pairwise(bounds.tolist()))


def sum_blocks(blocks: Iterable[tuple[int, Array, Array]]) -> Array:
    """Return Σ Sₖ² over the partial sums Sₖ of a sum, of whose terms each block has k, with sum s and squared sum q.

    The terms are added in order from block to block, and in random order within a block. There a block begins at the
    partial sum S, and the expectation of its share is

        k S² + (k + 1) S s + (k + 1)(2k + 1) / 6k · s² + (k + 1)/6 · (q - s²/k)
    """
    before: Array | None = None
    total: Array | int = 0
    for count, s, q in blocks:
        k = float(count)
        square = np.square(s)
        share = np.maximum(q - square / k, 0)
        share *= (k + 1) / 6
        square *= (k + 1) * (2 * k + 1) / (6 * k)
        share += square
        if before is not None:
            share += (k * before + (k + 1) * s) * before
        total = share + total
        before = s if before is None else before + s
    return np.asarray(np.maximum(total, 0))


def _product_size(a: Array, b: Array) -> Array:
    (left, left_scale), (right, right_scale) = _safe_to_square(a), _safe_to_square(b)
    if right.ndim > 2:
        return np.asarray(np.sqrt(sum_of_squared_partial_sums(left, right)) * (left_scale * right_scale))
    # As many rows at a time as keep the sums in the cache.
    rows = left.reshape(-1, left.shape[-1])
    size = np.empty((len(rows), right.shape[1]), np.result_type(left, right))
    step = max(1, CACHED_ELEMENTS // max(right.shape[1], 1))
    for start in range(0, len(rows), step):
        size[start : start + step] = sum_of_squared_partial_sums(rows[start : start + step], right)
    np.sqrt(size, out=size)
    size *= left_scale * right_scale
    return size


def _safe_to_square(array: Array) -> tuple[Array, Any]:
    """Return the array and 1.

    If squares could overflow or vanish: the array in float64, where those of other samples do not vanish beside a large
    one. If they could there as well: divided by its largest element, and that.
    """
    largest = max(array.max(initial=0), -array.min(initial=0))
    if not 1e-6 < largest < 1e6:
        largest, array = float(_largest(array)), array.astype(np.float64)
        if not 1e-70 < largest < 1e70:
            return array / largest, largest
    return array, array.dtype.type(1)


def _matmul_size(op: linear.MatMul | linear.Dense, y: Array, a: Array, b: Array) -> Array:
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    if a.shape[-1] == 0:
        return np.abs(y)
    return np.broadcast_to(_product_size(left, right).reshape(y.shape), y.shape)


def _dense_size(op: linear.Dense, y: Array, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    # The bias may come first, and then is part of every partial sum.
    of_bias = 0 if bias is None else np.abs(bias) * math.sqrt(kernel.shape[0])
    return _matmul_size(op, y, x, kernel) + np.abs(y) + of_bias


def _conv_size(op: convolution.Conv, y: Array, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    return _convolution_size(op, y, x, kernel, bias, math.prod(kernel.shape[1:]))


def _conv_transpose_size(
    op: convolution.ConvTranspose, y: Array, x: Array, kernel: Array, bias: Array | None = None
) -> Array:
    overlapping = math.prod(-(-window.size // window.stride) for window in op.windows(kernel.shape[2:]))
    return _convolution_size(op, y, x, kernel, bias, overlapping * (x.shape[1] // op.groups))


def _convolution_size(
    op: convolution.Conv | convolution.ConvTranspose,
    y: Array,
    x: Array,
    kernel: Array,
    bias: Array | None,
    terms: int,
) -> Array:
    """Return the size as of Dense, with all terms in random order.

    That takes one more convolution, where blocks would take several. Of k terms with the sum s and the squared sum q,
    `sum_blocks` gives (k + 1)/6 · (q + 2 s²).
    """
    (x, x_scale), (kernel, kernel_scale) = _safe_to_square(x), _safe_to_square(kernel)
    column = None if bias is None else bias.reshape(-1, *[1] * (x.ndim - 2))
    scale = x_scale * kernel_scale
    size = op.eval(np.square(x), np.square(kernel))
    sums = y if column is None else y - column
    squares = np.square(sums if scale == 1 else sums / scale, dtype=size.dtype)
    squares *= 2
    size += squares
    size *= (terms + 1) / 6
    np.sqrt(size, out=size)
    if scale != 1:
        size *= scale
    if column is not None:
        size += np.abs(column) * math.sqrt(terms)
    size += np.abs(y)
    return size


def _stft_size(op: spectral.STFT, y: Array, x: Array, window: Array) -> Array:
    """Return the sizes of a transform's roundings: in each of its log₂ n rounds they are as large as all of the frame.

    A length that is no power of 2 is transformed by way of a convolution: three transforms of up to 4 times as many.
    """
    length = len(window)
    frames = np.lib.stride_tricks.sliding_window_view(x.reshape(x.shape[:2]), length, axis=1)[:, :: op.step] * window
    norm = np.linalg.norm(frames, axis=-1)[..., None]
    if length & (length - 1):
        size = norm * (3 * math.log2(4 * length)) + _chirp_size(y, frames)
    else:
        size = norm * max(math.log2(length), 1)
    return np.broadcast_to(size[..., None], y.shape)


def _chirp_size(y: Array, frames: Array) -> Array:
    """Return how far the roundings of the angles of Bluestein's transform move its results y[batch, frames, bins, 2].

    As 2jk = j² + k² - (k - j)², the transform is a convolution of numbers e^(iθ) of the angles θₘ = πm²/n, which are
    many turns, and off by as much of themselves as a rounding is. That turns the term fⱼ of result k by the errors of
    three angles, θₖ, θⱼ and θₖ₋ⱼ, each with a rounding of its own. What all angles are off by alike, as by the rounding
    of π, adds up to an error of the angle 2πjk/n. Source: L. Bluestein, "A linear filtering approach to the computation
    of discrete Fourier transform", IEEE Trans. Audio Electroacoust. 18, 1970.
    """
    length = frames.shape[-1]
    place = np.arange(length) / length
    bins = place[: y.shape[-2]]
    moments = frames**2 @ place[:, None] ** np.arange(5)
    # Σ fⱼ² (k - j)⁴, by powers of k.
    binomials = np.stack([math.comb(4, power) * (-1) ** power * bins ** (4 - power) for power in range(5)])
    squares = moments[..., 4:] + np.maximum(moments @ binomials, 0) + np.sum(y**2, axis=-1) * bins**4
    alike = 2 * bins * np.abs(np.fft.rfft(frames * place))
    return np.asarray(np.pi * length * (np.sqrt(squares) + alike))


def _einsum_size(op: linear.Einsum, y: Array, *operands: Array) -> Array:
    # Any order of summation is right: the bound √n |a|·|b| of Higham and Mary.
    terms = op.eval(*[np.ones_like(operand) for operand in operands])
    total = op.eval(*[np.abs(operand) for operand in operands])
    return np.asarray(total * np.sqrt(terms))


def _average_pool_size(op: pooling.AveragePool, y: Array, x: Array) -> Array:
    """Return the size of the mean of n terms in random order.

    Their partial sums have Σ Sₖ² = n/3 S² + n/6 Σ tₖ² (see `sum_blocks`).
    """
    counts = y.shape[2:]
    n = np.asarray(op.divisors(x, counts))
    sums = n / 3 * np.square(y * n) + n / 6 * op.eval(np.square(x)) * n
    return np.asarray(np.sqrt(sums) / n + np.abs(y))


def _norm_size(op: reduce.ReduceL2, y: Array, x: Array) -> Array:
    scale = _largest(x)
    return np.asarray(_sums_of(op.axes, np.square(x / scale), y) * scale / np.maximum(y / scale, 1e-30) + np.abs(y))


def _count(axes: tuple[int, ...], x: Array) -> int:
    """Return how many elements a reduction joins; 1 where there are none."""
    sizes: list[int] = [x.shape[axis] for axis in axes]
    return max(math.prod(sizes), 1)


def _sums_of(axes: tuple[int, ...], x: Array, y: Array) -> Array:
    """Return √(Σ Sₖ²) over the partial sums along the reduced axes, in the order of memory.

    Where all terms are equal but for rounding, their roundings are alike too: they add up as n instead of √n.
    """
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    terms = np.transpose(x, (*kept, *axes)).reshape(math.prod(x.shape[axis] for axis in kept), -1)
    sums = np.cumsum(terms, axis=1, dtype=np.float64)
    largest = np.max(terms, axis=1, initial=0)
    equal = np.ptp(terms, axis=1) <= 16 * epsilon(x.dtype) * largest if terms.shape[1] else False
    squares = np.sum(np.square(sums), axis=1) * np.where(equal, terms.shape[1], 1)
    return np.asarray(np.sqrt(squares).reshape(y.shape).astype(x.dtype))


def _cumulative_size(op: shape.CumSum, y: Array, x: Array) -> Array:
    ordered = np.flip(y, op.axis) if op.reverse else y
    squares = np.sqrt(np.cumsum(np.square(ordered.astype(np.float64)), axis=op.axis)).astype(y.dtype)
    return np.flip(squares, op.axis) if op.reverse else squares


def _batch_normalization_size(
    op: normalization.BatchNormalization,
    y: Array,
    x: Array,
    scale: Array,
    bias: Array,
    mean: Array,
    variance: Array,
) -> Array:
    # Usually written as x * factor + shift, where the two may cancel.
    column = (-1, *(1,) * (x.ndim - 2))
    factor = np.abs(scale) / np.sqrt(variance + x.dtype.type(op.epsilon))
    shift = np.abs(mean) * factor + np.abs(bias)
    size = np.abs(x)
    size *= factor.reshape(column)
    size += shift.reshape(column)
    size += np.abs(y)
    return size


def _standardized_size(
    op: normalization.LayerNormalization | normalization.InstanceNormalization,
    y: Array,
    x: Array,
    scale: Array,
    bias: Array | None = None,
) -> Array:
    """Return the size where the variance is computed as the mean of squares less the squared mean, which cancel."""
    if isinstance(op, normalization.LayerNormalization):
        axes = tuple(range(op.axis, x.ndim))
    else:
        axes, column = tuple(range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
        scale, bias = scale.reshape(column), None if bias is None else bias.reshape(column)
    root = math.sqrt(math.prod(x.shape[axis] for axis in axes))
    squares = np.mean(np.square(x), axis=axes, keepdims=True)
    centered = x - np.mean(x, axis=axes, keepdims=True)
    variance = np.mean(np.square(centered), axis=axes, keepdims=True) + x.dtype.type(op.epsilon)
    length = np.abs(centered) * (1 + squares / variance * root) + np.sqrt(squares) * root + np.abs(x)
    size = length / np.sqrt(variance) * np.abs(scale) + np.abs(y)
    return np.asarray(size if bias is None else size + np.abs(bias))


def _resize_size(op: resize.Resize, y: Array, x: Array) -> Array:
    """Return the size where the place of an element among m is off by up to m roundings.

    With it the weights of its neighbours are, as much as the kernel is steep there, and as large as the terms are that
    a weight is the sum of: also of a neighbour whose weight is 0.
    """
    if op.mode == "nearest":
        return np.zeros_like(y)
    resized = [axis for axis, sizes in enumerate(zip(x.shape, y.shape, strict=True)) if len(set(sizes)) > 1]
    weights = {axis: np.abs(resize.resize_weights(x.shape[axis], y.shape[axis], op.mode)) for axis in resized}
    size = _along_axes(x, weights) + np.abs(y)
    for axis in resized:
        size = size + _along_axes(x, weights | {axis: _weight_sizes(x.shape[axis], y.shape[axis], op.mode)})
    return np.asarray(size, x.dtype)


def _along_axes(x: Array, matrices: dict[int, Array]) -> Array:
    """Return |x| with a matrix applied along each axis."""
    size = np.abs(x)
    for axis, matrix in matrices.items():
        size = np.moveaxis(np.moveaxis(size, axis, -1) @ matrix.T.astype(x.dtype), -1, axis)
    return size


def _weight_sizes(given: int, wanted: int, mode: str) -> Array:
    """Return the size of the rounding of each given element's weight in each wanted one: [wanted, given]."""
    places = (np.arange(wanted) + 0.5) * (given / wanted) - 0.5
    distances = np.abs(places[:, None] - np.arange(given))
    kernel, step = resize.KERNELS[mode], 2.0**-10
    here = kernel(distances)
    ahead, behind = (np.abs(kernel(np.abs(distances + sign * step)) - here) for sign in (1, -1))
    slopes = np.maximum(ahead, behind) / step
    near, far = (distances < 1).astype(np.float64), (distances < 2).astype(np.float64)
    if mode == "linear":
        return np.asarray(slopes * given + near)
    # Keys's polynomials, all of whose terms are added up.
    inner = (1.5 * distances + 2.5) * distances**2 + 1
    outer = ((0.5 * distances + 2.5) * distances + 4) * distances + 2
    return np.asarray(slopes * given + near * inner + (far - near) * outer)


def _at_least_one(op: Op, y: Array, x: Array) -> Array:
    return np.maximum(np.abs(y), 1)


def _size_of_input(op: Op, y: Array, x: Array) -> Array:
    return np.maximum(np.abs(y), np.abs(x))


def _exponential_size(alpha: float, y: Array, x: Array) -> Array:
    return np.where(x > 0, np.abs(y), max(abs(alpha), 1) * 2)


# The size of one operator's rounding, from the operator, its result and its inputs.
SIZES: dict[type[Op], Callable[..., Array]] = {
    linear.MatMul: _matmul_size,
    linear.Dense: _dense_size,
    linear.Einsum: _einsum_size,
    convolution.Conv: _conv_size,
    convolution.ConvTranspose: _conv_transpose_size,
    pooling.AveragePool: _average_pool_size,
    spectral.STFT: _stft_size,
    reduce.ReduceSum: lambda op, y, x: _sums_of(op.axes, x, y),
    reduce.ReduceMean: lambda op, y, x: np.asarray(_sums_of(op.axes, x, y) / _count(op.axes, x) + np.abs(y)),
    reduce.ReduceL1: lambda op, y, x: _sums_of(op.axes, np.abs(x), y),
    reduce.ReduceL2: _norm_size,
    reduce.ReduceSumSquare: lambda op, y, x: _sums_of(op.axes, np.square(x), y) + np.abs(y),
    reduce.ReduceLogSumExp: lambda op, y, x: np.abs(y) + math.sqrt(_count(op.axes, x)),
    reduce.ReduceProd: lambda op, y, x: np.abs(y) * math.sqrt(_count(op.axes, x)),
    resize.Resize: _resize_size,
    shape.CumSum: _cumulative_size,
    nn.Softmax: lambda op, y, x: np.abs(y) * math.sqrt(x.shape[op.axis]),
    nn.LogSoftmax: lambda op, y, x: np.abs(y) + math.sqrt(x.shape[op.axis]),
    normalization.BatchNormalization: _batch_normalization_size,
    normalization.LayerNormalization: _standardized_size,
    normalization.InstanceNormalization: _standardized_size,
    elementwise.Sigmoid: _at_least_one,
    elementwise.Softplus: _at_least_one,
    elementwise.Sin: _at_least_one,
    elementwise.Cos: _at_least_one,
    elementwise.HardSigmoid: lambda op, y, x: np.asarray(np.abs(op.alpha * x) + abs(op.beta)),
    elementwise.Shrink: lambda op, y, x: np.asarray(np.abs(y) + abs(op.bias)),
    elementwise.Gelu: _size_of_input,
    elementwise.Mish: _size_of_input,
    elementwise.HardSwish: _size_of_input,
    elementwise.Elu: lambda op, y, x: _exponential_size(op.alpha, y, x),
    elementwise.Celu: lambda op, y, x: _exponential_size(op.alpha, y, x),
    elementwise.Selu: lambda op, y, x: _exponential_size(elementwise.SELU_ALPHA, y, x),
}

# Of these groups, an operator without a size of its own is rounded as its result is.
PLAIN = ops_of(elementwise, shape, reduce, nn, random, sparse) | {quantization.DequantizeLinear}


def size_as_computed(op: Op, dtype: np.dtype[Any], y: Array, size: Array) -> Array:
    """Return the size of the rounding of a result y, in the units of its dtype, of an operator computed in another one.

    onnxruntime resizes no float64. There kir writes casts to float32 and back, which round what goes in as well.
    """
    if isinstance(op, resize.Resize) and dtype == np.float64:
        return np.asarray((size + np.abs(y)) * (epsilon(np.dtype(np.float32)) / epsilon(dtype)))
    return size


def is_float_array(array: Array) -> bool:
    return array.dtype != object and as_dtype(array.dtype).is_float


def widen(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.itemsize == 2 and is_float_array(array) else array


def magnitude(array: Array) -> Array:
    return np.abs(widen(array)) if is_float_array(array) else array


def _largest(array: Array) -> Any:
    finite = np.abs(array[np.isfinite(array)])
    largest = finite.max(initial=0)
    return largest if largest > 0 else array.dtype.type(1)
