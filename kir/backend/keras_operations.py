"""Keras's operations between layers, such as `x + 1` or `keras.ops.mean(x, axis=1)`, as functions of `kir.backend`.

Source: https://keras.io/api/ops/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
Append Conj Conjugate Copy Fabs Fliplr Flipud Heaviside Hsplit Isneginf Isposinf Real Select Vsplit
AdaptiveAveragePool AdaptiveMaxPool AveragePool Conv ConvTranspose DepthwiseConv MaxPool SeparableConv
"""


def _get_item(x: TensorLike, key: Index | list[IndexPart]) -> Tensor:
    """Return ``x[key]``; JSON has no tuples, and Keras takes a list for one."""
    return K.get_item(x, tuple(key) if isinstance(key, list) else key)


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
    return K.layer_normalization(x, gamma, beta, axis, epsilon)


def _moments(x: TensorLike, axes: Axis, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    return K.moments(x, tuple(axes) if isinstance(axes, list) else axes, keepdims)


OPERATIONS: dict[str, Callable[..., Any]] = {name: getattr(K, snake_case(name)) for name in _SAME.split()} | {
    "AllClose": K.allclose,
    "CropImages": K.image.crop_images,
    "ExtractPatches": K.image.extract_patches,
    "Full": lambda fill_value, shape, dtype=None: K.full(shape, fill_value, dtype),
    "GetItem": _get_item,
    "LayerNorm": _layer_norm,
    "Moments": _moments,
    "ReLU": activations.relu,
    "PadImages": K.image.pad_images,
    "Resize": K.image.resize,
    "Size": lambda x: K.cast(K.size(x), "int32"),
}
