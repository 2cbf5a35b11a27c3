"""Support vector machines, against onnxruntime."""

from __future__ import annotations

import pytest

from tests.ops.meanings.single_nodes import ML, Numbers, check

f = Numbers()


@pytest.mark.parametrize("kernel", ["LINEAR", "RBF", "POLY", "SIGMOID"])
def test_regressor(kernel: str) -> None:
    how = {"kernel_type": kernel, "kernel_params": [0.3, 0.1, 2.0], "rho": [0.2], "domain": ML, "version": 1}
    vectors = {"n_supports": 4, "support_vectors": f(12).tolist(), "coefficients": f(4).tolist()}
    for one_class in (0, 1):
        check("SVMRegressor", f(6, 3), one_class=one_class, rtol=1e-4, **vectors, **how)


@pytest.mark.parametrize("kernel", ["LINEAR", "RBF", "POLY", "SIGMOID"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_classifier(count: int, kernel: str) -> None:
    sizes = [2, 3, 2, 1][:count]
    total, pairs = sum(sizes), count * (count - 1) // 2
    how = {
        "vectors_per_class": sizes,
        "coefficients": f((count - 1) * total).tolist(),
        "support_vectors": f(3 * total).tolist(),
        "kernel_type": kernel,
        "kernel_params": [0.3, 0.1, 2.0],
        "rho": f(pairs).tolist(),
    }
    check("SVMClassifier", f(6, 3), classlabels_ints=[4, 5, 6, 7][:count], outputs=2, domain=ML, rtol=1e-4, **how)
    chances = {"prob_a": (-abs(f(pairs))).tolist(), "prob_b": f(pairs).tolist()}
    labels = list("abcd")[:count]
    check("SVMClassifier", f(6, 3), classlabels_strings=labels, outputs=2, domain=ML, rtol=1e-4, **how, **chances)
