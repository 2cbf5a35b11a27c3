"""Normalizations and losses, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.meanings.single_nodes import Numbers, check

f = Numbers()


@pytest.mark.parametrize("version", [11, 13])
def test_hardmax(version: int) -> None:
    for axis in (None, 0, 1, -1):
        check("Hardmax", np.round(f(2, 3, 4)), axis=axis, version=version)
    check("Hardmax", f(0, 3), version=version)


@pytest.mark.parametrize("p", [1, 2])
def test_lp_normalization(p: int) -> None:
    check("LpNormalization", np.concatenate([f(2, 3, 4), np.zeros((1, 3, 4), np.float32)]), p=p, axis=1)
    check("LpNormalization", np.array([[0, 0], [3, 4]], np.float32), p=p)


def test_moments() -> None:
    check("MeanVarianceNormalization", f(2, 3, 4, 5))
    check("MeanVarianceNormalization", f(2, 3, 4, 5), axes=[0, 2])
    check("GroupNormalization", f(2, 6, 4, 5), f(6), f(6), num_groups=3, version=21)
    check("GroupNormalization", f(2, 6, 4), f(3), f(3), num_groups=3, version=18)
    check("RMSNormalization", f(2, 3, 4), f(4))
    check("RMSNormalization", f(2, 3, 4), f(3, 4), axis=1, epsilon=1e-3)


def test_neighbouring_channels() -> None:
    check("LRN", f(2, 7, 3, 3), size=3)
    check("LRN", f(2, 7, 3, 3), size=5, alpha=0.1, beta=0.5, bias=2.0)


@pytest.mark.parametrize("ignored", [None, 1, -1])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_losses(reduction: str, ignored: int | None) -> None:
    target = f.integers(5, 3, 2)
    if ignored is not None:
        target[1] = ignored
    for weight in (None, np.abs(f(5))):
        how = {"reduction": reduction, "ignore_index": ignored}
        check("NegativeLogLikelihoodLoss", f(3, 5, 2), target, weight, **how)
        check("SoftmaxCrossEntropyLoss", f(3, 5, 2), target, weight, outputs=2, **how)
