"""Operators of training steps, against their formulas; ONNX's own tests have them all."""

from __future__ import annotations

import numpy as np

from kir.ops.meanings.training import adam, batch_normalization
from tests.ops.meanings.oracle import floats


def test_a_batch_is_normalized_by_its_own_statistics() -> None:
    x, zeros, ones = floats(5, 3, 4), np.zeros(3, np.float32), np.ones(3, np.float32)
    y, mean, variance = batch_normalization(x, ones, zeros, zeros, ones, training_mode=1, momentum=0.75)
    np.testing.assert_allclose(y.mean((0, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(y.var((0, 2)), 1, rtol=1e-4)
    np.testing.assert_allclose(mean, x.mean((0, 2)) / 4, rtol=1e-4)
    np.testing.assert_allclose(variance, 0.75 + x.var((0, 2)) / 4, rtol=1e-5)


def test_the_first_step_of_adam_is_as_long_as_its_rate() -> None:
    gradients, zeros = np.array([3.0, -0.2], np.float32), np.zeros(2, np.float32)
    x, first, second = adam(np.array(0.1), np.array(1), zeros, gradients, zeros, zeros)
    np.testing.assert_allclose(x, [-0.1, 0.1], rtol=1e-5)
    np.testing.assert_allclose(first, gradients * 0.1, rtol=1e-5)
    np.testing.assert_allclose(second, gradients**2 * 0.001, rtol=1e-5)
