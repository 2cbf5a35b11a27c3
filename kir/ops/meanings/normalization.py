"""Normalizations and losses."""

from __future__ import annotations

import math

import numpy as np

from kir.ir.op import Array
from kir.ops.meanings.table import along, means

# Losses are summed up one after the other: the errors of a thousand such sums add up to 32 times that of one.
ONE_BY_ONE = 32.0


@means("Hardmax", exact=True, before=13)
def hardmax(x: Array, *, axis: int = 1) -> Array:
    """Return 1 for the first of the largest elements from an axis on, and 0 for the others."""
    rows = x.reshape(math.prod(x.shape[: axis % x.ndim]), math.prod(x.shape[axis % x.ndim :]))
    result = np.zeros_like(rows)
    if rows.size:
        result[np.arange(len(rows)), rows.argmax(1)] = 1
    return result.reshape(x.shape)


@means("LpNormalization")
def lp_normalization(x: Array, *, axis: int = -1, p: int = 2) -> Array:
    """Return x divided by its norm on an axis, and 0 where that is 0."""
    norm = np.abs(x).sum(axis, keepdims=True) if p == 1 else np.sqrt((x * x).sum(axis, keepdims=True))
    return np.where(norm == 0, 0, x / np.where(norm == 0, 1, norm)).astype(x.dtype)


@means("MeanVarianceNormalization")
def mean_variance_normalization(x: Array, *, axes: tuple[int, ...] = (0, 2, 3)) -> Array:
    """Return x less its mean, divided by its standard deviation, both over some axes."""
    centered = x - x.mean(axes, keepdims=True)
    return np.asarray(centered / (np.sqrt((centered * centered).mean(axes, keepdims=True)) + x.dtype.type(1e-9)))


@means("GroupNormalization", since=21)
def group_normalization(
    x: Array, scale: Array, bias: Array, *, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1
) -> Array:
    """Return x[N, C, *spatial] normalized within groups of channels, and scaled by channel."""
    groups = x.reshape(len(x), num_groups, -1)
    centered = groups - groups.mean(-1, keepdims=True)
    normal = centered / np.sqrt((centered * centered).mean(-1, keepdims=True) + x.dtype.type(epsilon))
    shape = (-1, *[1] * (x.ndim - 2))
    return np.asarray(normal.reshape(x.shape) * scale.reshape(shape) + bias.reshape(shape))


@means("GroupNormalization", before=21)
def group_normalization_scaled_by_group(
    x: Array, scale: Array, bias: Array, *, num_groups: int, epsilon: float = 1e-5
) -> Array:
    """Return x[N, C, *spatial] normalized within groups of channels, and scaled by group."""
    repeated = (np.repeat(part, x.shape[1] // num_groups) for part in (scale, bias))
    return group_normalization(x, *repeated, num_groups=num_groups, epsilon=epsilon)


@means("RMSNormalization")
def rms_normalization(x: Array, scale: Array, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Array:
    """Return x divided by the root of its mean square over the last axes, from `axis` on, and scaled."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    return np.asarray(x / np.sqrt((x * x).mean(axes, keepdims=True) + x.dtype.type(epsilon)) * scale)


@means("LRN")
def lrn(x: Array, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Array:
    """Return x[N, C, *spatial] divided by a power of what the squares of `size` neighbouring channels sum up to."""
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    squares = np.pad(x * x, [(0, 0), (before, after), *[(0, 0)] * (x.ndim - 2)])
    total = sum((squares[:, i : i + x.shape[1]] for i in range(size)), np.zeros_like(x))
    return np.asarray(x / (bias + alpha / size * total) ** beta).astype(x.dtype)


@means("NegativeLogLikelihoodLoss", roundings=ONE_BY_ONE, ranges={1: along(0, 1)})
def negative_log_likelihood_loss(
    x: Array, target: Array, weight: Array | None = None, *, reduction: str = "mean", ignore_index: int | None = None
) -> Array:
    """Return minus what x[N, C, *d] has at the class target[N, *d], weighted by class; ignored ones count nothing."""
    is_ignored = np.zeros(target.shape, bool) if ignore_index is None else target == ignore_index
    classes = np.where(is_ignored, 0, target)
    chosen = np.take_along_axis(x, classes[:, None], 1)[:, 0]
    factor = np.ones(target.shape, x.dtype) if weight is None else weight[classes]
    factor = np.where(is_ignored, 0, factor).astype(x.dtype)
    losses = -chosen * factor
    if reduction == "none":
        return losses
    total = np.asarray(losses.sum())
    return total if reduction == "sum" else np.asarray(total / factor.sum())


@means("SoftmaxCrossEntropyLoss", roundings=ONE_BY_ONE, ranges={1: along(0, 1)})
def softmax_cross_entropy_loss(
    x: Array, target: Array, weight: Array | None = None, *, reduction: str = "mean", ignore_index: int | None = None
) -> tuple[Array, Array]:
    """Return the loss of scores x[N, C, *d], and their log-softmax over the classes."""
    shifted = x - x.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    loss = negative_log_likelihood_loss(logs, target, weight, reduction=reduction, ignore_index=ignore_index)
    return loss, logs
