"""Support vector machines of ai.onnx.ml. Source: Chang and Lin, LIBSVM, 2011; Wu, Lin and Weng, 2004."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from kir.ir.op import Array
from kir.ops.meanings.machine_learning import DOMAIN, as_features, as_labels, has_known_transform, transformed
from kir.ops.meanings.table import means

STEPS = 100  # of the search for probabilities, as in LIBSVM


def _kernel(x: Array, vectors: Array, kind: str, parameters: Sequence[float]) -> Array:
    """Return how alike each row of x and each vector are: [rows, vectors]."""
    gamma, shift, degree = parameters or (0.0, 0.0, 0.0)
    if kind == "RBF":
        return np.asarray(np.exp(-gamma * ((x[:, None] - vectors) ** 2).sum(-1)))
    product = x @ vectors.T
    if kind == "POLY":
        return np.asarray((gamma * product + shift) ** degree)
    return np.tanh(gamma * product + shift) if kind == "SIGMOID" else product


@means("SVMRegressor", domain=DOMAIN, when=has_known_transform)
def svm_regressor(
    x: Array,
    *,
    coefficients: Sequence[float],
    kernel_params: Sequence[float] = (),
    kernel_type: str = "LINEAR",
    n_supports: int = 0,
    one_class: int = 0,
    post_transform: str = "NONE",
    rho: Sequence[float],
    support_vectors: Sequence[float] = (),
) -> Array:
    """Return the weighted sum of how alike a row and the support vectors are; its sign if there is one class."""
    wide = as_features(x)
    weights = np.array(coefficients, wide.dtype)
    if n_supports:
        vectors = np.array(support_vectors, wide.dtype).reshape(n_supports, -1)
        result = _kernel(wide, vectors, kernel_type, kernel_params) @ weights
    else:
        result = wide @ weights
    result = (result + wide.dtype.type(rho[0]))[:, None].astype(wide.dtype)
    result = np.where(result > 0, 1, -1).astype(wide.dtype) if one_class else result
    return transformed(result, post_transform)


@means("SVMClassifier", domain=DOMAIN, when=has_known_transform)
def svm_classifier(
    x: Array,
    *,
    classlabels_ints: Sequence[int] = (),
    classlabels_strings: Sequence[str] = (),
    coefficients: Sequence[float],
    kernel_params: Sequence[float] = (),
    kernel_type: str = "LINEAR",
    post_transform: str = "NONE",
    prob_a: Sequence[float] = (),
    prob_b: Sequence[float] = (),
    rho: Sequence[float],
    support_vectors: Sequence[float] = (),
    vectors_per_class: Sequence[int] = (),
) -> tuple[Array, Array]:
    """Return the class of each row, and probabilities, or what each pair of classes decides."""
    wide = as_features(x)
    labels = as_labels(classlabels_ints, classlabels_strings)
    if not vectors_per_class:
        scores = wide @ np.array(coefficients, wide.dtype).reshape(len(labels), -1).T + wide.dtype.type(rho[0])
        return labels[scores.argmax(1)], transformed(scores, post_transform)
    count, starts = len(vectors_per_class), np.cumsum([0, *vectors_per_class])
    vectors = np.array(support_vectors, wide.dtype).reshape(starts[-1], -1)
    weights = np.array(coefficients, wide.dtype).reshape(count - 1, -1)
    alike = _kernel(wide, vectors, kernel_type, kernel_params)
    pairs = list(itertools.combinations(range(count), 2))
    decisions = np.zeros((len(wide), len(pairs)), wide.dtype)
    votes = np.zeros((len(wide), count), np.int64)
    for number, (i, j) in enumerate(pairs):
        own, other = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
        decision = alike[:, own] @ weights[j - 1, own] + alike[:, other] @ weights[i, other] + rho[number]
        decisions[:, number] = decision
        votes[np.arange(len(wide)), np.where(decision > 0, i, j)] += 1
    if not prob_a:
        if count == 2:
            scores = np.concatenate([-decisions, decisions], 1)
            return labels[votes.argmax(1)], transformed(scores, post_transform)
        return labels[votes.argmax(1)], transformed(decisions, post_transform)
    chances = _pairwise(decisions, pairs, count, prob_a, prob_b)
    scores = _probabilities(chances).astype(wide.dtype)
    return labels[votes.argmax(1)], transformed(scores, post_transform)


def _pairwise(
    decisions: Array, pairs: list[tuple[int, int]], count: int, a: Sequence[float], b: Sequence[float]
) -> Array:
    """Return how likely each class is against each other one: [rows, classes, classes]."""
    result = np.zeros((len(decisions), count, count))
    for number, (i, j) in enumerate(pairs):
        chance = 1 / (1 + np.exp(decisions[:, number].astype(np.float64) * a[number] + b[number]))
        result[:, i, j] = np.clip(chance, 1e-7, 1 - 1e-7)
        result[:, j, i] = 1 - result[:, i, j]
    return result


def _probabilities(chances: Array) -> Array:
    """Return the probabilities of classes that fit those of pairs best."""
    rows, count, _ = chances.shape
    matrix = -chances.swapaxes(1, 2) * chances
    diagonal = np.arange(count)
    matrix[:, diagonal, diagonal] = (chances.swapaxes(1, 2) ** 2).sum(2)
    result = np.full((rows, count), 1 / count)
    for row in range(rows):
        own, p = matrix[row], result[row]
        for _ in range(STEPS):
            product = own @ p
            expected = p @ product
            if np.abs(product - expected).max() < 0.005 / count:
                break
            for t in range(count):
                step = (expected - product[t]) / own[t, t]
                p[t] += step
                expected = (expected + step * (step * own[t, t] + 2 * product[t])) / (1 + step) ** 2
                product = (product + step * own[t]) / (1 + step)
                p /= 1 + step
    return result
