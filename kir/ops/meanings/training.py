"""Meanings of operators that training steps are made of; no draw of random numbers is among them.

Sources: ONNX's BatchNormalization since opset 14, and the operators of the domain ai.onnx.preview.training.
"""

from __future__ import annotations

import numpy as np

from kir.ir.op import Array
from kir.ops.meanings.table import means
from kir.ops.precision import widen

TRAINING = "ai.onnx.preview.training"


@means("BatchNormalization", since=14)
def batch_normalization(
    x: Array,
    scale: Array,
    bias: Array,
    mean: Array,
    variance: Array,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> tuple[Array, ...]:
    """Return x normalized by the statistics of the batch, and the running statistics with these mixed in."""
    along = (-1, *(1,) * (x.ndim - 2))
    wide = widen(x)
    if not training_mode:
        batch_mean, batch_variance = mean, variance
    else:
        axes = (0, *range(2, x.ndim))
        batch_mean, batch_variance = np.mean(wide, axes), np.var(wide, axes)
    factor = scale / np.sqrt(batch_variance + epsilon)
    y = (wide - batch_mean.reshape(along)) * factor.reshape(along) + bias.reshape(along)
    running = [
        np.asarray(old * momentum + new * (1 - momentum)).astype(old.dtype)
        for old, new in ((mean, batch_mean), (variance, batch_variance))
    ]
    return np.asarray(y).astype(x.dtype), *running


@means("Momentum", domain=TRAINING)
def momentum(
    rate: Array, step: Array, *rest: Array, alpha: float, beta: float, norm_coefficient: float, mode: str
) -> tuple[Array, ...]:
    """Return the tensors after a step along their gradients, and the momenta."""
    count = len(rest) // 3
    found: list[tuple[Array, Array]] = []
    for x, gradient, velocity in zip(rest[:count], rest[count : 2 * count], rest[2 * count :], strict=True):
        regular = norm_coefficient * x + gradient
        new = alpha * velocity + (beta if step > 0 else 1.0) * regular
        direction = regular + alpha * new if mode == "nesterov" else new
        found.append((x - rate * direction, new))
    return _in_order(found, rest[0])


@means("Adagrad", domain=TRAINING)
def adagrad(
    rate: Array,
    step: Array,
    *rest: Array,
    decay_factor: float = 0.0,
    epsilon: float = 0.0,
    norm_coefficient: float = 0.0,
) -> tuple[Array, ...]:
    """Return the tensors after a step along their gradients, and the sums of squared gradients."""
    count = len(rest) // 3
    found: list[tuple[Array, Array]] = []
    for x, gradient, squares in zip(rest[:count], rest[count : 2 * count], rest[2 * count :], strict=True):
        regular = norm_coefficient * x + gradient
        new = squares + regular * regular
        found.append((x - rate / (1 + step * decay_factor) * regular / (np.sqrt(new) + epsilon), new))
    return _in_order(found, rest[0])


@means("Adam", domain=TRAINING)
def adam(
    rate: Array,
    step: Array,
    *rest: Array,
    alpha: float = 0.9,
    beta: float = 0.999,
    epsilon: float = 0.0,
    norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
) -> tuple[Array, ...]:
    """Return the tensors after a step along their gradients, and the means of gradients and of their squares."""
    count = len(rest) // 4
    groups = [rest[start : start + count] for start in range(0, len(rest), count)]
    corrected = rate * np.sqrt(1 - beta**step) / (1 - alpha**step) if step > 0 else rate
    found: list[tuple[Array, ...]] = []
    for x, gradient, mean, squares in zip(*groups, strict=True):
        regular = norm_coefficient * x + gradient
        first = alpha * mean + (1 - alpha) * regular
        second = beta * squares + (1 - beta) * regular * regular
        moved = x - corrected * first / (np.sqrt(second) + epsilon)
        found.append(((1 - norm_coefficient_post) * moved, first, second))
    return _in_order(found, rest[0])


def _in_order(found: list[tuple[Array, Array]] | list[tuple[Array, ...]], like: Array) -> tuple[Array, ...]:
    """Return all new tensors, then all of what belongs to each, kind by kind."""
    return tuple([np.asarray(one).astype(like.dtype) for kind in zip(*found, strict=True) for one in kind])
