"""Operators that onnxruntime's optimisers write: activations, normalizations and products with what comes next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kir.ir.op import Array
from kir.ops.convolution import Conv
from kir.ops.elementwise import Elu, Gelu, HardSigmoid, LeakyRelu, Relu, Sigmoid, Softplus, Softsign, Tanh
from kir.ops.meanings.pooling import Windows
from kir.ops.meanings.table import along, means

DOMAIN = "com.microsoft"

ACTIVATIONS: dict[str, Callable[..., Array]] = {
    "": lambda x: x,
    "Relu": lambda x: Relu().compute(x),
    "Tanh": lambda x: Tanh().compute(x),
    "Sigmoid": lambda x: Sigmoid().compute(x),
    "Softplus": lambda x: Softplus().compute(x),
    "Softsign": lambda x: Softsign().compute(x),
    "Elu": lambda x, alpha=1.0: Elu(alpha).compute(x),
    "LeakyRelu": lambda x, alpha=0.01: LeakyRelu(alpha).compute(x),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: HardSigmoid(alpha, beta).compute(x),
    "Clip": lambda x, low=-np.inf, high=np.inf: np.clip(x, x.dtype.type(low), x.dtype.type(high)),
}


def has_known_activation(settings: Mapping[str, Any], types: object) -> bool:
    """Return whether `ACTIVATIONS` has the activation of a fused operator."""
    return settings.get("activation", "") in ACTIVATIONS


def activated(x: Array, name: str, parameters: Sequence[float] = ()) -> Array:
    """Return what an activation named in an attribute makes of x."""
    return np.asarray(ACTIVATIONS[name](x, *parameters))


@means("FusedConv", domain=DOMAIN, when=has_known_activation)
def fused_conv(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    added: Array | None = None,
    *,
    activation: str = "",
    activation_params: Sequence[float] = (),
    kernel_shape: Sequence[int] = (),
    group: int = 1,
    strides: tuple[int, ...] | None = None,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    auto_pad: str = "NOTSET",
) -> Array:
    """Return a convolution, plus another tensor if there is one, behind an activation."""
    windows = Windows.over(x.shape[2:], kernel.shape[2:], strides, dilations, pads, auto_pad)
    reach = tuple(before for before, _ in windows.pads) + tuple(after for _, after in windows.pads)
    ones = (1,) * (x.ndim - 2)
    result = Conv(strides or ones, dilations or ones, group, reach).compute(x, kernel)
    if bias is not None:
        result = result + bias.reshape(-1, *ones)
    return activated(result if added is None else result + added, activation, activation_params)


@means("FusedGemm", domain=DOMAIN, when=has_known_activation)
def fused_gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    *,
    transA: int = 0,
    transB: int = 0,
    alpha: float = 1.0,
    beta: float = 1.0,
    activation: str = "",
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
) -> Array:
    """Return an activation of ``alpha * a @ b + beta * c``."""
    result = a.dtype.type(alpha) * ((a.T if transA else a) @ (b.T if transB else b))
    result = result if c is None else result + a.dtype.type(beta) * c
    given = [number for number in (activation_alpha, activation_beta) if number is not None]
    return activated(result, activation, given)


@means("FusedMatMul", "TransposeMatMul", domain=DOMAIN)
def fused_mat_mul(
    a: Array,
    b: Array,
    *,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
    alpha: float = 1.0,
) -> Array:
    """Return ``alpha * a @ b``, of matrices that are transposed, or whose first axis stands before their last one."""
    a, b = (np.moveaxis(x, 0, -2) if batch else x for x, batch in ((a, transBatchA), (b, transBatchB)))
    a = a.swapaxes(-1, -2) if transA and a.ndim > 1 else a
    b = b.swapaxes(-1, -2) if transB and b.ndim > 1 else b
    return np.asarray(a.dtype.type(alpha) * (a @ b))


@means("BiasGelu", domain=DOMAIN)
def bias_gelu(x: Array, bias: Array) -> Array:
    """Return the GELU of ``x + bias``."""
    return Gelu(approximate=False).compute(x + bias)


@means("Gelu", domain=DOMAIN)
def gelu(x: Array) -> Array:
    """Return the GELU."""
    return Gelu(approximate=False).compute(x)


@means("FastGelu", domain=DOMAIN)
def fast_gelu(x: Array, bias: Array | None = None) -> Array:
    """Return the GELU of ``x + bias`` by tanh."""
    return Gelu(approximate=True).compute(x if bias is None else x + bias)


@means("QuickGelu", domain=DOMAIN)
def quick_gelu(x: Array, *, alpha: float = 1.702) -> Array:
    """Return ``x * sigmoid(alpha * x)``."""
    return x * Sigmoid().compute(x * x.dtype.type(alpha))


@means("BiasAdd", domain=DOMAIN)
def bias_add(x: Array, bias: Array, skip: Array) -> Array:
    """Return the sum of all."""
    return x + bias + skip


@means("SimplifiedLayerNormalization")
def simplified_layer_normalization(
    x: Array, scale: Array, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> tuple[Array, ...]:
    """Return x divided by the root of its mean square over the last axes and scaled, and that divisor's reciprocal."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    factor = 1 / np.sqrt((x * x).mean(axes, keepdims=True) + x.dtype.type(epsilon))
    return (x * factor * scale, factor)


@means("SkipLayerNormalization", domain=DOMAIN)
def skip_layer_normalization(
    x: Array,
    skip: Array,
    scale: Array,
    shift: Array | None = None,
    bias: Array | None = None,
    *,
    epsilon: float = 1e-12,
) -> tuple[Array | None, ...]:
    """Return the layer normalization of a sum, and as the fourth result the sum."""
    total = x + skip if bias is None else x + skip + bias
    centered = total - total.mean(-1, keepdims=True)
    factor = 1 / np.sqrt((centered * centered).mean(-1, keepdims=True) + x.dtype.type(epsilon))
    result = centered * factor * scale
    return (result if shift is None else result + shift, total - centered, factor, total)


@means("SkipSimplifiedLayerNormalization", domain=DOMAIN)
def skip_simplified_layer_normalization(
    x: Array, skip: Array, scale: Array, bias: Array | None = None, *, epsilon: float = 1e-12
) -> tuple[Array | None, ...]:
    """Return a sum divided by the root of its mean square and scaled, and as the fourth result the sum."""
    total = x + skip if bias is None else x + skip + bias
    result, factor = simplified_layer_normalization(total, scale, epsilon=epsilon)
    return (result, np.zeros_like(factor), factor, total)


@means("EmbedLayerNormalization", domain=DOMAIN, ranges={0: along(2, 0), 1: along(4, 0), 8: along(3, 0)})
def embed_layer_normalization(
    ids: Array,
    segments: Array | None,
    words: Array,
    positions: Array,
    kinds: Array | None,
    scale: Array,
    shift: Array,
    mask: Array | None = None,
    places: Array | None = None,
    *,
    epsilon: float = 1e-12,
    mask_index_type: int = 1,
) -> tuple[Array, ...]:
    """Return the layer normalization of a token's, its place's and its segment's rows; the mask's length; the sum."""
    total = words[ids] + positions[np.arange(ids.shape[1]) if places is None else places]
    if segments is not None and kinds is not None:
        total = total + kinds[segments]
    centered = total - total.mean(-1, keepdims=True)
    deviation = np.sqrt((centered * centered).mean(-1, keepdims=True) + total.dtype.type(epsilon))
    lengths = np.zeros(len(ids), np.int32) if mask is None else mask.astype(bool).sum(1).astype(np.int32)
    return (centered / deviation * scale + shift, lengths, total)
