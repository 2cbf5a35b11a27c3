"""Fused operators, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.meanings.single_nodes import MICROSOFT, Array, Numbers, check, has_meaning

f = Numbers()
ACTIVATIONS: list[tuple[str, list[float]]] = [
    *(("Relu", []), ("Tanh", []), ("Sigmoid", []), ("LeakyRelu", [0.2])),
    *(("Clip", [-0.5, 0.7]), ("HardSigmoid", [0.3, 0.4])),
]


@pytest.mark.parametrize(("activation", "parameters"), ACTIVATIONS)
def test_products(activation: str, parameters: list[float]) -> None:
    how = {"activation": activation, "activation_params": parameters or None, "domain": MICROSOFT}
    check("FusedConv", f(2, 4, 6, 7), f(6, 2, 3, 3), f(6), group=2, pads=[1, 0, 1, 2], strides=[2, 1], **how)
    check("FusedConv", f(2, 4, 6, 7), f(6, 4, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2], **how)
    check("FusedConv", f(2, 4, 6, 7), f(6, 4, 3, 3), f(6), f(2, 6, 4, 5), **how)
    if activation != "Clip":
        given = dict(zip(("activation_alpha", "activation_beta"), parameters, strict=False))
        gemm = {"activation": activation, "domain": MICROSOFT, **given}
        check("FusedGemm", f(3, 4), f(4, 5), f(5), alpha=0.5, beta=2.0, **gemm)
        check("FusedGemm", f(4, 3), f(5, 4), f(3, 5), transA=1, transB=1, **gemm)


def test_an_unknown_activation_has_no_meaning() -> None:
    assert not has_meaning("FusedConv", domain=MICROSOFT, activation="Other")


def test_transposed_products() -> None:
    check("FusedMatMul", f(2, 3, 4), f(2, 4, 5), alpha=0.5, domain=MICROSOFT)
    check("FusedMatMul", f(2, 4, 3), f(2, 5, 4), transA=1, transB=1, domain=MICROSOFT)
    check("FusedMatMul", f(3, 2, 4), f(2, 4, 5), transBatchA=1, domain=MICROSOFT)
    check("FusedMatMul", f(2, 3, 4), f(4, 2, 5), transBatchB=1, domain=MICROSOFT)


def test_activations() -> None:
    check("BiasGelu", f(3, 4), f(4), domain=MICROSOFT)
    check("Gelu", f(3, 4), domain=MICROSOFT)
    check("FastGelu", f(3, 4), f(4), domain=MICROSOFT)
    check("FastGelu", f(3, 4), domain=MICROSOFT)
    check("QuickGelu", f(3, 4), domain=MICROSOFT)
    check("QuickGelu", f(3, 4), alpha=1.0, domain=MICROSOFT)


def test_normalizations() -> None:
    check("SimplifiedLayerNormalization", f(2, 3, 4), f(4), outputs=2, version=17)
    check("SimplifiedLayerNormalization", f(2, 3, 4), f(3, 4), axis=1, outputs=2, version=17)
    x = f(2, 3, 8)
    check("SkipLayerNormalization", x, f(2, 3, 8), f(8), f(8), domain=MICROSOFT)
    check("SkipLayerNormalization", x, f(3, 8), f(8), f(8), f(8), epsilon=1e-3, domain=MICROSOFT)
    check("SkipLayerNormalization", x, f(1, 3, 8), f(8), None, f(8), domain=MICROSOFT)
    check("SkipSimplifiedLayerNormalization", x, f(2, 3, 8), f(8), domain=MICROSOFT)
    check("SkipSimplifiedLayerNormalization", x, f(2, 3, 8), f(8), f(8), epsilon=1e-3, domain=MICROSOFT)


def test_embeddings() -> None:
    tables, scales = (f(5, 8), f(6, 8)), (f(8), f(8))
    mask = np.array([[1, 1, 0], [1, 0, 0]], np.int32)

    def ids(end: int) -> Array:
        return f.integers(end, 2, 3, dtype=np.int32)

    how = {"domain": MICROSOFT, "epsilon": 1e-5, "constants": [2, 3, 5, 6]}
    check("EmbedLayerNormalization", ids(5), ids(2), *tables, f(2, 8), *scales, mask, outputs=2, **how)
    check("EmbedLayerNormalization", ids(5), ids(2), *tables, f(2, 8), *scales, outputs=3, **how)
    check("EmbedLayerNormalization", ids(5), None, *tables, None, *scales, None, ids(6), outputs=2, **how)
