"""Meanings of operators that compute with the integers that stand for floats: those of ONNX, and of onnxruntime's own.

Sums of products of integers are exact, in float64. What they stand for is computed in the precision of the scales.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kir.errors import ShapeError
from kir.ir.op import Array
from kir.ir.types import as_dtype
from kir.ops.convolution import Conv
from kir.ops.elementwise import Sigmoid
from kir.ops.meanings.table import Carried, means, stands_for
from kir.ops.quantization import DequantizeLinear, DynamicQuantizeLinear, QuantizeLinear
from kir.ops.windows import SAME, Padding, Window

MICROSOFT = "com.microsoft"
Resolved = tuple[Any, tuple[Array | None, ...]]


def dequantized(x: Array, scale: Array, zero_point: Array | None = None, axis: int = 1) -> Array:
    return DequantizeLinear(axis, 0).eval(x, scale, zero_point)


def quantized(x: Array, scale: Array, zero_point: Array | None, dtype: np.dtype[Any], axis: int = 1) -> Array:
    return QuantizeLinear(axis, 0, as_dtype(dtype)).eval(x, scale, zero_point)


def _zero_like(x: Array, zero_point: Array | None) -> Array:
    return np.zeros((), x.dtype) if zero_point is None else zero_point


# Products


def _shifted(x: Array, zero_point: Array | None, axis: int) -> Array:
    """Return the distances from the zero point, which is one number, or a vector along an axis, in float64."""
    if zero_point is None:
        return x.astype(np.float64)
    shape = [-1 if place == axis else 1 for place in range(x.ndim)]
    return np.asarray(x - zero_point.astype(np.float64).reshape(() if zero_point.size == 1 else shape))


def _padding(auto_pad: str, pads: tuple[int, ...], windows: list[Window], sizes: tuple[int, ...]) -> Padding:
    if auto_pad == "SAME_UPPER":
        return SAME
    if auto_pad == "SAME_LOWER":
        both = [window.same_padding(size) for window, size in zip(windows, sizes, strict=True)]
        return (*(after for _, after in both), *(before for before, _ in both))
    return (0,) * (2 * len(windows)) if auto_pad == "VALID" or not pads else pads


def _convolved(x: Array, kernel: Array, settings: dict[str, Any]) -> Array:
    """Return a convolution of float64 arrays by the attributes of ONNX's Conv."""
    ones = (1,) * (x.ndim - 2)
    strides, dilations = settings["strides"] or ones, settings["dilations"] or ones
    windows = [Window(*each) for each in zip(kernel.shape[2:], strides, dilations, strict=True)]
    padding = _padding(settings["auto_pad"], settings["pads"], windows, x.shape[2:])
    return np.asarray(Conv(strides, dilations, settings["group"], padding).eval(x, kernel))


@means("ConvInteger")
def conv_integer(
    x: Array,
    kernel: Array,
    x_zero_point: Array | None = None,
    kernel_zero_point: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] = (),
    group: int = 1,
    kernel_shape: tuple[int, ...] = (),
    pads: tuple[int, ...] = (),
    strides: tuple[int, ...] = (),
) -> Array:
    settings = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}
    sums = _convolved(_shifted(x, x_zero_point, 1), _shifted(kernel, kernel_zero_point, 0), settings)
    return sums.astype(np.int64).astype(np.int32)


@means("QLinearConv")
def qlinear_conv(
    x: Array,
    x_scale: Array,
    x_zero_point: Array,
    kernel: Array,
    kernel_scale: Array,
    kernel_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
    bias: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] = (),
    group: int = 1,
    kernel_shape: tuple[int, ...] = (),
    pads: tuple[int, ...] = (),
    strides: tuple[int, ...] = (),
) -> Array:
    """Return the quantized convolution; the bias has the scale of the products."""
    settings = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}
    sums = _convolved(_shifted(x, x_zero_point, 1), _shifted(kernel, kernel_zero_point, 0), settings)
    along = (-1, *(1,) * (x.ndim - 2))
    if bias is not None:
        sums = sums + bias.reshape(along)
    scale = kernel_scale.reshape(()) if kernel_scale.size == 1 else kernel_scale.reshape(along)
    return _requantized(sums, x_scale.reshape(()) * scale, y_scale, y_zero_point)


def _requantized(sums: Array, scale: Array, y_scale: Array, y_zero_point: Array) -> Array:
    """Return exact sums times a scale as integers of another scale; in the precision of the scales."""
    factor = np.asarray(scale / y_scale.reshape(()))
    with np.errstate(all="ignore"):
        levels = np.rint(sums.astype(factor.dtype) * factor) + y_zero_point.reshape(()).astype(factor.dtype)
    info = np.iinfo(y_zero_point.dtype)
    return np.asarray(np.clip(levels, info.min, info.max)).astype(y_zero_point.dtype)


def _along_columns(parameter: Array) -> Array:
    """Return a parameter of the columns of a matrix as NumPy broadcasts it; of each row of matrices, as it is."""
    return parameter.reshape(()) if parameter.size == 1 else parameter


def _along_rows(parameter: Array) -> Array:
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter[:, None] if parameter.ndim == 1 else parameter


@means("QLinearMatMul")
def qlinear_matmul(
    a: Array,
    a_scale: Array,
    a_zero_point: Array,
    b: Array,
    b_scale: Array,
    b_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
) -> Array:
    sums = (a.astype(np.float64) - _along_rows(a_zero_point)) @ (b.astype(np.float64) - _along_columns(b_zero_point))
    return _requantized(sums, _along_rows(a_scale) * _along_columns(b_scale), y_scale, y_zero_point)


@means("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(
    a: Array,
    b: Array,
    a_scale: Array,
    b_scale: Array,
    a_zero_point: Array | None = None,
    b_zero_point: Array | None = None,
    bias: Array | None = None,
) -> Array:
    sums = (a.astype(np.float64) - _zero_like(a, a_zero_point)) @ (
        b.astype(np.float64) - _along_columns(_zero_like(b, b_zero_point))
    )
    scale = _along_rows(a_scale) * _along_columns(b_scale)
    result = sums.astype(scale.dtype) * scale
    return np.asarray(result if bias is None else result + bias).astype(a_scale.dtype, copy=False)


@means("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(
    a: Array, b: Array, b_scale: Array, b_zero_point: Array | None = None, bias: Array | None = None
) -> Array:
    """Return the product of `a`, which is rounded to 256 levels first, and `b`."""
    levels, scale, zero_point = DynamicQuantizeLinear().eval(a)
    return matmul_integer_to_float(levels, b, scale, b_scale, zero_point, b_zero_point, bias)


@means("MatMulNBits", domain=MICROSOFT)
def matmul_n_bits(
    a: Array,
    b: Array,
    scales: Array,
    zero_points: Array | None = None,
    group_indices: Array | None = None,
    bias: Array | None = None,
    *,
    K: int,
    N: int,
    bits: int = 4,
    block_size: int,
    accuracy_level: int = 0,
) -> Array:
    """Return a @ Bᵀ + bias, where B has N rows of K numbers of a few bits, packed, with a scale for each block."""
    blocks = -(-K // block_size)
    levels = _unpacked(b.reshape(N, blocks, -1), bits)[..., :block_size].astype(np.float64)
    if zero_points is None:
        zero: Array = np.asarray(2.0 ** (bits - 1))
    elif zero_points.dtype == np.uint8:
        zero = _unpacked(zero_points.reshape(N, -1), bits)[:, :blocks, None].astype(np.float64)
    else:
        zero = zero_points.reshape(N, blocks, 1).astype(np.float64)
    wide = scales.reshape(N, blocks, 1)
    if group_indices is None:
        weights = ((levels - zero) * wide).reshape(N, -1)[:, :K]
    else:
        chosen = group_indices[:K]
        flat = levels.reshape(N, -1)[:, :K]
        shift = zero if zero.ndim == 0 else zero[:, chosen, 0]
        weights = (flat - shift) * wide[:, chosen, 0]
    result = a.astype(np.float64) @ weights.astype(np.float64).T
    return np.asarray(result if bias is None else result + bias).astype(a.dtype)


def _unpacked(packed: Array, bits: int) -> Array:
    """Return the numbers of a few bits each that the last axis holds, the lowest bits first."""
    if bits not in (2, 4, 8):
        raise ShapeError(f"MatMulNBits has bits={bits}; expected 2, 4 or 8")
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (packed[..., None] >> shifts) & np.uint8(2**bits - 1)
    return numbers.reshape(*packed.shape[:-1], -1)


@means("FusedMatMul", domain=MICROSOFT)
def fused_matmul(
    a: Array,
    b: Array,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
) -> Array:
    """Return alpha · a @ b; `transBatch` moves the first axis before the last but one, `trans` swaps the last two."""
    factors = []
    for x, swaps, moves in ((a, transA, transBatchA), (b, transB, transBatchB)):
        moved = np.moveaxis(x, 0, -2) if moves else x
        factors.append(np.swapaxes(moved, -1, -2) if swaps and moved.ndim > 1 else moved)
    return np.asarray(factors[0] @ factors[1] * a.dtype.type(alpha)).astype(a.dtype, copy=False)


# Elementwise


@means("QLinearAdd", domain=MICROSOFT)
def qlinear_add(
    a: Array,
    a_scale: Array,
    a_zero_point: Array | None,
    b: Array,
    b_scale: Array,
    b_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
) -> Array:
    result = dequantized(a, a_scale, a_zero_point) + dequantized(b, b_scale, b_zero_point)
    return quantized(result, y_scale, y_zero_point, a.dtype)


@means("QLinearMul", domain=MICROSOFT)
def qlinear_mul(
    a: Array,
    a_scale: Array,
    a_zero_point: Array | None,
    b: Array,
    b_scale: Array,
    b_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
) -> Array:
    result = dequantized(a, a_scale, a_zero_point) * dequantized(b, b_scale, b_zero_point)
    return quantized(result, y_scale, y_zero_point, a.dtype)


@means("QLinearSigmoid", domain=MICROSOFT)
def qlinear_sigmoid(
    x: Array, x_scale: Array, x_zero_point: Array | None, y_scale: Array, y_zero_point: Array | None = None
) -> Array:
    return quantized(Sigmoid().eval(dequantized(x, x_scale, x_zero_point)), y_scale, y_zero_point, x.dtype)


@means("QLinearLeakyRelu", domain=MICROSOFT)
def qlinear_leaky_relu(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    alpha: float = 0.01,
) -> Array:
    real = dequantized(x, x_scale, x_zero_point)
    return quantized(np.where(real < 0, real * real.dtype.type(alpha), real), y_scale, y_zero_point, x.dtype)


@means("QLinearSoftmax", domain=MICROSOFT)
def qlinear_softmax(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    axis: int = -1,
    opset: int,
) -> Array:
    real = dequantized(x, x_scale, x_zero_point)
    over: Any = axis if opset >= 13 else tuple(range(axis % x.ndim, x.ndim))
    powers = np.exp(real - real.max(axis=over, keepdims=True))
    return quantized(powers / powers.sum(axis=over, keepdims=True), y_scale, y_zero_point, x.dtype)


@means("QLinearGlobalAveragePool", domain=MICROSOFT)
def qlinear_global_average_pool(
    x: Array,
    x_scale: Array,
    x_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
    *,
    channels_last: int = 0,
) -> Array:
    axes = tuple(range(1, x.ndim - 1)) if channels_last else tuple(range(2, x.ndim))
    sums = _shifted(x, x_zero_point, 1).sum(axis=axes, keepdims=True)
    count = x_scale.dtype.type(np.prod([x.shape[axis] for axis in axes]))
    return _requantized(sums, np.asarray(x_scale.reshape(()) / count), y_scale, y_zero_point)


@means("QLinearConcat", domain=MICROSOFT)
def qlinear_concat(y_scale: Array, y_zero_point: Array, *rest: Array, axis: int) -> Array:
    """Return tensors, each of which comes with a scale and a zero point, with one scale, one after the other."""
    parts = [
        x
        if scale == y_scale and zero_point == y_zero_point
        else quantized(dequantized(x, scale, zero_point), y_scale, y_zero_point, y_zero_point.dtype)
        for x, scale, zero_point in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
    ]
    return np.concatenate(parts, axis)


@stands_for("QuantizeLinear", domain=MICROSOFT)
def quantize_linear(
    x: Array, scale: Array, zero_point: Array | None = None, *, op: Carried, axis: int = 1, block_size: int = 0
) -> Resolved:
    operator = QuantizeLinear(axis % max(x.ndim, 1), block_size, op.types[0].dtype)
    return operator, (x, scale, zero_point)


@stands_for("DequantizeLinear", domain=MICROSOFT)
def dequantize_linear(
    x: Array, scale: Array, zero_point: Array | None = None, *, axis: int = 1, block_size: int = 0
) -> Resolved:
    return DequantizeLinear(axis % max(x.ndim, 1), block_size), (x, scale, zero_point)
