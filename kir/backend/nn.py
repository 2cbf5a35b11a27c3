"""Activations and normalization, with the names of `keras.ops`: what `kir.activations` offers by name.

Integers become floats. Each is the one operator that ONNX has for it, or the fewest that give Keras's numbers.
"""

from __future__ import annotations

import numpy as np

from kir import config
from kir.backend.basic import cast
from kir.backend.comparison import greater, less, less_equal, where
from kir.backend.creation import arange
from kir.backend.dispatch import (
    FunctionOfOne,
    axes_of,
    axis_of,
    dtype_of,
    floating,
    of_floats,
    rank_of,
    scalar,
    shape_of,
    tensor,
)
from kir.backend.elementwise import add, divide, exp, maximum, multiply, negative, sqrt, square, subtract, tanh
from kir.backend.ordering import cumsum
from kir.backend.reduce import logsumexp, max, norm, sum
from kir.backend.shapes import reshape, split
from kir.config import standardize_data_format
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import product
from kir.ir.op import Op
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import Axis
from kir.ops import elementwise as ops
from kir.ops import nn
from kir.ops.shape import TopK

__all__ = [
    "batch_normalization", "bias_add", "celu", "elu", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "l2_normalize", "leaky_relu", "log_sigmoid", "log_softmax", "mish", "normalize",
    "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus",
    "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh_shrink", "threshold",
]  # fmt: skip

# The lower bound of the sum of squares in TensorFlow's l2_normalize, which K.l2_normalize is.
L2_EPSILON = 1e-12


def _activation(name: str, op: Op, doc: str) -> FunctionOfOne:
    return of_floats(__name__, name, op, doc)


sigmoid = _activation("sigmoid", ops.Sigmoid(), "Return ``1 / (1 + exp(-x))``.")
hard_sigmoid = _activation(
    "hard_sigmoid",
    ops.HardSigmoid(1 / 6, 0.5),
    "Return ``x / 6 + 0.5`` between 0 and 1, as Keras 3 defines it (Keras 2 had ``0.2 * x + 0.5``).",
)
sparse_sigmoid = _activation("sparse_sigmoid", ops.HardSigmoid(0.5, 0.5), "Return ``(x + 1) / 2`` between 0 and 1.")
hard_silu = _activation("hard_silu", ops.HardSwish(), "Return ``x * hard_sigmoid(x)``.")
softplus = _activation("softplus", ops.Softplus(), "Return ``log(exp(x) + 1)``.")
softsign = _activation("softsign", ops.Softsign(), "Return ``x / (|x| + 1)``.")
mish = _activation("mish", ops.Mish(), "Return ``x * tanh(softplus(x))``.")
selu = _activation(
    "selu", ops.Selu(), "Return ``1.0507 * elu(x, 1.67326)``, with the constants to all digits of the dtype."
)


def relu(
    x: TensorLike,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    *,
    alpha: float | None = None,
) -> Tensor:
    """Return ``max(x, 0)``; or, with the arguments:

    | x                          | result                              |
    |----------------------------|-------------------------------------|
    | max_value or more          | max_value                           |
    | above the threshold        | x                                   |
    | below                      | ``negative_slope * (x - threshold)``|

    `alpha` is the name that Keras 2 gives the slope.
    """
    x = tensor(x)
    slope = negative_slope if alpha is None else alpha
    if not slope:
        return _positive_part(x, max_value, threshold)
    if max_value is None and not threshold:
        return leaky_relu(x, slope)
    negative_part = _positive_part(subtract(threshold, x) if threshold else negative(x), None, 0)
    return subtract(_positive_part(x, max_value, threshold), multiply(slope, negative_part))


def _positive_part(x: Tensor, max_value: float | None, threshold: float) -> Tensor:
    if not dtype_of(x).is_float:
        x = where(greater(x, threshold), x, 0) if threshold else maximum(x, 0)
    elif threshold:
        x = emit(ops.ThresholdedRelu(float(threshold)), x)
    elif max_value is None:
        return emit(ops.Relu(), x)
    return x if max_value is None else _clip(x, 0, max_value)


def _clip(x: Tensor, low: float, high: float) -> Tensor:
    return emit(ops.Clip(), x, scalar(low, x), scalar(high, x))


def relu6(x: TensorLike) -> Tensor:
    """Return x between 0 and 6."""
    return _clip(tensor(x), 0, 6)


def leaky_relu(x: TensorLike, negative_slope: float = 0.2) -> Tensor:
    """Return x, and ``negative_slope * x`` below 0."""
    return emit(ops.LeakyRelu(float(negative_slope)), floating(x))


def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Return x, and ``alpha * (exp(x) - 1)`` below 0."""
    return emit(ops.Elu(float(alpha)), floating(x))


def celu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Return x, and ``alpha * (exp(x / alpha) - 1)`` below 0."""
    return emit(ops.Celu(float(alpha)), floating(x))


def gelu(x: TensorLike, approximate: bool = True) -> Tensor:
    """Return x times the normal distribution's share below x, exactly or with Tanh."""
    return emit(ops.Gelu(bool(approximate)), floating(x))


def silu(x: TensorLike) -> Tensor:
    """Return ``x * sigmoid(x)``."""
    x = floating(x)
    return multiply(x, emit(ops.Sigmoid(), x))


def log_sigmoid(x: TensorLike) -> Tensor:
    """Return ``log(sigmoid(x))``, as ``-softplus(-x)``."""
    return negative(softplus(negative(floating(x))))


def hard_tanh(x: TensorLike) -> Tensor:
    """Return x between -1 and 1."""
    return _clip(floating(x), -1, 1)


def tanh_shrink(x: TensorLike) -> Tensor:
    """Return ``x - tanh(x)``."""
    x = floating(x)
    return subtract(x, tanh(x))


def soft_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """Return x moved towards 0 by the threshold, and 0 within it."""
    return emit(ops.Shrink(bias=float(threshold), lambd=float(threshold)), floating(x))


def hard_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """Return x, and 0 where it is within the threshold."""
    return emit(ops.Shrink(bias=0.0, lambd=float(threshold)), floating(x))


def threshold(x: TensorLike, threshold: float, default_value: float) -> Tensor:
    """Return x above the threshold, else the default value, in x's dtype."""
    x = tensor(x)
    if default_value == 0 and dtype_of(x).is_float:
        return emit(ops.ThresholdedRelu(float(threshold)), x)
    return where(greater(x, threshold), x, scalar(default_value, x))


def squareplus(x: TensorLike, b: float = 4) -> Tensor:
    """Return ``(x + sqrt(x² + b)) / 2``."""
    x = floating(x)
    return divide(add(x, sqrt(add(square(x), b))), 2)


def sparse_plus(x: TensorLike) -> Tensor:
    """Return 0 up to -1, ``(x + 1)² / 4`` up to 1, then x."""
    x = floating(x)
    curve = multiply(0.25, square(add(x, 1)))
    return where(less_equal(x, -1), 0, where(less(x, 1), curve, x))


def glu(x: TensorLike, axis: int = -1) -> Tensor:
    """Return ``a * sigmoid(b)``, where a and b are the halves of x along the axis.

    Raises:
        ShapeError: the size of the axis is odd.
    """
    a, b = split(floating(x), 2, axis)
    return multiply(a, sigmoid(b))


def softmax(x: TensorLike, axis: Axis = -1) -> Tensor:
    """Return ``exp(x) / sum(exp(x))`` along an axis, or over several together."""
    x = floating(x)
    axes = axes_of(x, axis)
    if not axes or axes[-1] - axes[0] + 1 != len(axes):
        powers = exp(subtract(x, max(x, axis, keepdims=True)))
        return divide(powers, sum(powers, axis, keepdims=True))
    first, last = axes[0], axes[-1]
    if first == last:
        return emit(nn.Softmax(first), x)
    # Neighbouring axes become one axis, and are split again at the end.
    sizes = shape_of(x)
    joined = reshape(x, (*sizes[:first], product(sizes[first : last + 1]), *sizes[last + 1 :]))
    return reshape(emit(nn.Softmax(first), joined), sizes)


def log_softmax(x: TensorLike, axis: Axis = -1) -> Tensor:
    """Return the logarithm of `softmax`."""
    x = floating(x)
    if not isinstance(axis, (list, tuple)):
        return emit(nn.LogSoftmax(axis_of(x, axis)), x)
    return subtract(x, logsumexp(x, axis, keepdims=True))


def sparsemax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return ``max(x - τ, 0)``, with Keras's τ.

    For sorted x and their running sums s, the support are the elements with ``x > (s - 1) / rank``. τ is
    ``(Σ s - 1) / count`` over the support, where Martins & Astudillo (https://arxiv.org/abs/1602.02068) have the last s
    in place of Σ s; a model trained with Keras needs Keras's numbers.
    """
    x = floating(x)
    axis = axis_of(x, axis)
    size = shape_of(x)[axis]
    falling, _ = emit(TopK(size, axis), x)
    sums = cumsum(falling, axis)
    ranks = reshape(
        arange(1, size + 1, dtype=dtype_of(x)), tuple(size if one == axis else 1 for one in range(rank_of(x)))
    )
    support = greater(falling, divide(subtract(sums, 1), ranks))
    count = sum(cast(support, dtype_of(x)), axis, keepdims=True)
    total = sum(where(support, sums, 0), axis, keepdims=True)
    return maximum(subtract(x, divide(subtract(total, 1), count)), 0)


# Normalization


def l2_normalize(x: TensorLike, axis: Axis = None) -> Tensor:
    """Return x divided by its Euclidean norm along an axis (by default all), or by 1e-6 if that is larger."""
    x = floating(x)
    return divide(x, maximum(norm(x, None, axis, keepdims=True), np.sqrt(L2_EPSILON)))


def normalize(x: TensorLike, axis: Axis = -1, order: int = 2, epsilon: float | None = None) -> Tensor:
    """Return x divided by its norm of an order along an axis, or by `epsilon` (1e-7 unless set) if that is larger."""
    x = floating(x)
    if not isinstance(order, int) or order < 1:
        raise InvalidArgumentError(f"K.normalize: order must be an integer of at least 1, but it is {order!r}")
    x = x if rank_of(x) else reshape(x, (1,))
    length = norm(x, None if order == 2 else order, axis, keepdims=True)
    return divide(x, maximum(length, config.epsilon() if epsilon is None else epsilon))


def bias_add(x: TensorLike, bias: TensorLike, data_format: str | None = None) -> Tensor:
    """Return x plus a bias along its channel axis; a bias of more axes has one for each but the batch.

    Raises:
        ShapeError: the bias has neither 1 axis nor one less than x.
    """
    x, bias = tensor(x), tensor(bias)
    if rank_of(bias) not in (1, rank_of(x) - 1):
        raise ShapeError(f"K.bias_add: a bias of rank {rank_of(bias)} does not fit x of rank {rank_of(x)}")
    if standardize_data_format(data_format) == "channels_first" and rank_of(x) > 2:
        sizes = shape_of(bias)
        channels_first = (*sizes[-1:], *sizes[:-1]) if len(sizes) > 1 else (*sizes, *(1,) * (rank_of(x) - 2))
        bias = reshape(bias, channels_first)
    return add(x, bias)


def batch_normalization(
    x: TensorLike,
    mean: TensorLike,
    variance: TensorLike,
    axis: int = -1,
    offset: TensorLike | None = None,
    scale: TensorLike | None = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """Return ``(x - mean) / sqrt(variance + epsilon) * scale + offset``, with one of each per slice of the axis."""
    x = floating(x)
    place = axis_of(x, axis)
    sizes = tuple(shape_of(x)[place] if one == place else 1 for one in range(rank_of(x)))
    mean, variance = reshape(mean, sizes), reshape(variance, sizes)
    factor = divide(1.0 if scale is None else reshape(scale, sizes), sqrt(add(variance, epsilon)))
    result = multiply(subtract(x, mean), factor)
    return result if offset is None else add(result, reshape(offset, sizes))


swish = silu
hard_swish = hard_silu
