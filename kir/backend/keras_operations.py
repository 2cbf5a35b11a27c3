"""Keras's operations between layers, such as `x + 1` or `keras.ops.mean(x, axis=1)`, as functions of `kir.backend`.

Source: https://keras.io/api/ops/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kir import activations
from kir import backend as K
from kir.backend.indexing import Index, IndexPart
from kir.errors import UnsupportedError
from kir.ir.trace import Tensor, TensorLike
from kir.ir.types import Axis
from kir.support.naming import snake_case

# Named as in kir.backend, in snake case.
_SAME = """
Abs Absolute Add All Amax Amin Any Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argsort
Array Average BroadcastTo Cast Ceil Celu Clip Concatenate ConvertToTensor Cos Cosh CountNonzero Cumsum Deg2rad Diff
Divide DivideNoNan Dot DotProductAttention Einsum Elu EmptyLike Equal Erf Exp Exp2 ExpandDims Expm1 Flip Floor
FloorDivide Fmod FullLike Gelu GetItem Glu Greater GreaterEqual HardShrink HardSigmoid HardSilu HardTanh Hstack Hypot
Inner Isclose Isfinite Isinf Isnan LeakyRelu Less LessEqual Log Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp
LogicalAnd LogicalNot LogicalOr LogicalXor Logsumexp Matmul Max Maximum Mean Min Minimum Mish Mod Moments Moveaxis
Multiply NanToNum Ndim Negative Norm Normalize NotEqual OneHot OnesLike Outer Pad Power Prod Ptp Rad2deg Ravel
Reciprocal Relu Relu6 Repeat Reshape Roll Round Rsqrt Selu Sigmoid Sign Silu Sin Sinh Size Slice SliceUpdate SoftShrink
Softmax Softplus Softsign Sort SparsePlus SparseSigmoid Sparsemax Split Sqrt Square Squareplus Squeeze Stack Std
StopGradient Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh TanhShrink Tensordot Threshold Tile TopK Transpose Tril
Triu TrueDivide Trunc Unstack Var Vdot Vstack Where ZerosLike
AdaptiveAveragePool AdaptiveMaxPool AveragePool Conv ConvTranspose DepthwiseConv MaxPool SeparableConv
"""


def _get_item(x: TensorLike, key: Index | list[IndexPart]) -> Tensor:
    """Return ``x[key]``; JSON has no tuples, and Keras takes a list for one."""
    return K.get_item(x, tuple(key) if isinstance(key, list) else key)


def _append(x1: TensorLike, x2: TensorLike, axis: int | None = None) -> Tensor:
    return K.concatenate([K.ravel(x1), K.ravel(x2)], 0) if axis is None else K.concatenate([x1, x2], axis)


def _all_close(
    x1: TensorLike, x2: TensorLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    return K.all(K.isclose(x1, x2, rtol, atol, equal_nan))


def _select(condlist: Sequence[TensorLike], choicelist: Sequence[TensorLike], default: TensorLike = 0) -> TensorLike:
    """Return, for each element, the choice of the first condition that is true."""
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        default = K.where(condition, choice, default)
    return default


def _heaviside(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return 0 below 0, 1 above, and x2 at 0."""
    return K.where(K.isnan(x1), x1, K.where(K.equal(x1, 0), x2, K.where(K.greater(x1, 0), 1.0, 0.0)))


def _layer_norm(
    x: TensorLike,
    gamma: TensorLike | None = None,
    beta: TensorLike | None = None,
    axis: Axis = -1,
    epsilon: float | None = None,
    rms_scaling: bool = False,
) -> Tensor:
    """Return x without its mean, divided by its deviation; see `LayerNorm` in keras/src/ops/nn.py."""
    if rms_scaling:
        raise UnsupportedError("LayerNorm with rms_scaling=True is not supported; use keras.ops.rms_normalization")
    centered = K.subtract(x, K.mean(x, axis=axis, keepdims=True))
    variance = K.mean(K.square(centered), axis=axis, keepdims=True)
    result = K.multiply(centered, K.rsqrt(K.add(variance, 1e-7 if epsilon is None else epsilon)))
    result = result if gamma is None else K.multiply(result, gamma)
    return result if beta is None else K.add(result, beta)


def _moments(x: TensorLike, axes: Axis, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    return K.moments(x, tuple(axes) if isinstance(axes, list) else axes, keepdims)


OPERATIONS: dict[str, Callable[..., Any]] = {name: getattr(K, snake_case(name)) for name in _SAME.split()} | {
    "AllClose": _all_close,
    "Append": _append,
    "Conj": K.identity,
    "Conjugate": K.identity,
    "Copy": K.identity,
    "CropImages": K.image.crop_images,
    "ExtractPatches": K.image.extract_patches,
    "Fabs": K.absolute,
    "Fliplr": lambda x: K.flip(x, axis=1),
    "Flipud": lambda x: K.flip(x, axis=0),
    "Full": lambda fill_value, shape, dtype=None: K.full(shape, fill_value, dtype),
    "GetItem": _get_item,
    "Heaviside": _heaviside,
    "Hsplit": lambda x, indices_or_sections: K.split(x, indices_or_sections, axis=1 if len(x.shape) > 1 else 0),
    "Isneginf": lambda x: K.equal(x, -np.inf),
    "Isposinf": lambda x: K.equal(x, np.inf),
    "LayerNorm": _layer_norm,
    "Moments": _moments,
    "ReLU": activations.relu,
    "PadImages": K.image.pad_images,
    "Real": K.identity,
    "Resize": K.image.resize,
    "Select": _select,
    "Size": lambda x: K.cast(K.size(x), "int32"),
    "Vsplit": lambda x, indices_or_sections: K.split(x, indices_or_sections, axis=0),
}
