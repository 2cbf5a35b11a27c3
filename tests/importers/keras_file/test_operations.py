"""Keras's operations between layers: each saved by Keras, read by kir, exported and compared in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from kir.backend.keras_operations import OPERATIONS
from kir.errors import FormatError, UnsupportedError
from kir.importers.keras_file import load_keras_model
from kir.importers.keras_file.operations import make_operation
from kir.support.limits import MAX_COUNT
from tests.importers.keras_file.compare import assert_same_numbers

# Operations on a float x (batch, 4, 6).
OF_ONE: dict[str, Callable[[Any], Any]] = {
    "AdaptiveAveragePool": lambda x: ops.adaptive_average_pool(x, (3,)),
    "AdaptiveMaxPool": lambda x: ops.adaptive_max_pool(x, (2,)),
    "AveragePool": lambda x: ops.average_pool(x, 3, 2, "same"),
    "MaxPool": lambda x: ops.max_pool(x, 2, 2, data_format="channels_first"),
    "SeparableConv": lambda x: ops.separable_conv(
        x, np.linspace(-1, 1, 24, dtype="float32").reshape(2, 6, 2), np.ones((1, 12, 2), "float32"), padding="same"
    ),
    "Abs": lambda x: abs(x),
    "Absolute": ops.absolute,
    "All": lambda x: ops.all(x > -1, axis=(1, 2), keepdims=True),
    "Amax": lambda x: ops.amax(x, axis=1),
    "Amin": lambda x: ops.amin(x, axis=1),
    "Any": lambda x: ops.any(x > 1, axis=-1),
    "Arccos": lambda x: ops.arccos(ops.tanh(x)),
    "Arccosh": lambda x: ops.arccosh(x * x + 1.5),
    "Arcsin": lambda x: ops.arcsin(ops.tanh(x)),
    "Arcsinh": ops.arcsinh,
    "Arctan": ops.arctan,
    "Arctanh": lambda x: ops.arctanh(ops.sin(x) / 2),
    "Argmax": lambda x: ops.argmax(x, axis=-1),
    "Argmin": lambda x: ops.argmin(x, axis=1, keepdims=True),
    "Argsort": lambda x: ops.argsort(x, axis=2),
    "Array": lambda x: ops.array(x, dtype="float32"),
    "Average": lambda x: ops.average(x, axis=1),
    "BroadcastTo": lambda x: ops.broadcast_to(x[:, :1], (3, 4, 6)),
    "Cast": lambda x: ops.cast(x * 10, "int32"),
    "Ceil": ops.ceil,
    "Celu": lambda x: ops.celu(x, alpha=0.7),
    "Clip": lambda x: ops.clip(x, -0.5, 0.25),
    "Concatenate": lambda x: ops.concatenate([x, x * 2], axis=1),
    "Conj": ops.conj,
    "Conjugate": ops.conjugate,
    "Conv": lambda x: ops.conv(x, np.linspace(-1, 1, 60, dtype="float32").reshape(2, 6, 5), padding="same"),
    "ConvertToTensor": lambda x: ops.convert_to_tensor(x),
    "Copy": ops.copy,
    "Cos": ops.cos,
    "Cosh": ops.cosh,
    "CropImages": lambda x: ops.image.crop_images(x, 1, 1, target_height=1, target_width=3),
    "ExtractPatches": lambda x: ops.image.extract_patches(x, (2, 3), strides=(1, 2), padding="same"),
    "CountNonzero": lambda x: ops.count_nonzero(ops.relu(x), axis=1),
    "Cumsum": lambda x: ops.cumsum(x, axis=1),
    "Deg2rad": ops.deg2rad,
    "DepthwiseConv": lambda x: ops.depthwise_conv(x, np.linspace(-1, 1, 24, dtype="float32").reshape(2, 6, 2)),
    "Diff": lambda x: ops.diff(x, n=2, axis=1),
    "PadImages": lambda x: ops.image.pad_images(x, 1, 2, target_height=6, target_width=9),
    "Resize": lambda x: ops.image.resize(x, (5, 3)),
    "Elu": lambda x: ops.elu(x, alpha=0.5),
    "EmptyLike": lambda x: ops.empty_like(x) * 0,
    "Erf": ops.erf,
    "Exp": ops.exp,
    "Exp2": ops.exp2,
    "ExpandDims": lambda x: ops.expand_dims(x, (1, -1)),
    "Expm1": ops.expm1,
    "Fabs": ops.fabs,
    "Flip": lambda x: ops.flip(x, axis=1),
    "Fliplr": ops.fliplr,
    "Flipud": ops.flipud,
    "Floor": ops.floor,
    "FullLike": lambda x: ops.full_like(x, 3.0) + x,
    "Gelu": lambda x: ops.gelu(x, approximate=False),
    "GetItem": lambda x: x[:, 1, ..., None],
    "Glu": lambda x: ops.glu(x, axis=-1),
    "HardShrink": lambda x: ops.hard_shrink(x, threshold=0.3),
    "HardSigmoid": ops.hard_sigmoid,
    "HardSilu": ops.hard_silu,
    "HardTanh": ops.hard_tanh,
    "Hsplit": lambda x: ops.hsplit(x, 2)[1],
    "Hstack": lambda x: ops.hstack([x, x]),
    "Isfinite": ops.isfinite,
    "Isinf": lambda x: ops.isinf(ops.log(x * 0)),
    "Isnan": lambda x: ops.isnan(ops.sqrt(x)),
    "Isneginf": lambda x: ops.isneginf(ops.log(x * 0)),
    "Isposinf": lambda x: ops.isposinf(1 / (x * 0)),
    "LayerNorm": lambda x: ops.layer_normalization(x, np.full(6, 2.0, "float32"), np.full(6, 0.5, "float32")),
    "LeakyRelu": lambda x: ops.leaky_relu(x, negative_slope=0.3),
    "Log": lambda x: ops.log(x * x + 1),
    "Log10": lambda x: ops.log10(x * x + 1),
    "Log1p": lambda x: ops.log1p(x * x),
    "Log2": lambda x: ops.log2(x * x + 1),
    "LogSigmoid": ops.log_sigmoid,
    "LogSoftmax": lambda x: ops.log_softmax(x, axis=1),
    "LogicalNot": lambda x: ops.logical_not(x > 0),
    "Logsumexp": lambda x: ops.logsumexp(x, axis=1, keepdims=True),
    "Max": lambda x: ops.max(x, axis=(1, 2)),
    "Mean": lambda x: ops.mean(x, axis=[1, 2], keepdims=True),
    "Min": lambda x: ops.min(x, axis=-1),
    "Moments": lambda x: ops.moments(x, axes=[1, 2])[1],
    "Moveaxis": lambda x: ops.moveaxis(x, [1], [2]),
    "NanToNum": lambda x: ops.nan_to_num(ops.sqrt(x), nan=2.5),
    "Negative": lambda x: -x,
    "Norm": lambda x: ops.norm(x),
    "Normalize": lambda x: ops.normalize(x, axis=-1, order=2),
    "OneHot": lambda x: ops.one_hot(ops.argmax(x, axis=-1), 6, axis=1),
    "OnesLike": lambda x: ops.ones_like(x) + x,
    "Pad": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 3)), constant_values=1.5),
    "Prod": lambda x: ops.prod(x, axis=1),
    "Ptp": lambda x: ops.ptp(x, axis=2),
    "Rad2deg": ops.rad2deg,
    "Ravel": ops.ravel,
    "ReLU": lambda x: keras.activations.relu(x, negative_slope=0.1, max_value=1.0, threshold=0.2),
    "Real": ops.real,
    "Reciprocal": lambda x: ops.reciprocal(x * x + 1),
    "Relu": ops.relu,
    "Relu6": ops.relu6,
    "Repeat": lambda x: ops.repeat(x, 2, axis=1),
    "Reshape": lambda x: ops.reshape(x, (-1, 3, 8)),
    "Roll": lambda x: ops.roll(x, 2, axis=1),
    "Round": lambda x: ops.round(x * 3, 1),
    "Rsqrt": lambda x: ops.rsqrt(x * x + 1),
    "Selu": ops.selu,
    "Sigmoid": ops.sigmoid,
    "Sign": ops.sign,
    "Silu": ops.silu,
    "Sin": ops.sin,
    "Sinh": ops.sinh,
    "Size": lambda x: x / ops.cast(ops.size(x), "float32"),
    "Slice": lambda x: ops.slice(x, [0, 1, 2], [3, 2, 3]),
    "SoftShrink": lambda x: ops.soft_shrink(x, threshold=0.2),
    "Softmax": lambda x: ops.softmax(x, axis=1),
    "Softplus": ops.softplus,
    "Softsign": ops.softsign,
    "Sort": lambda x: ops.sort(x, axis=1),
    "SparsePlus": ops.sparse_plus,
    "SparseSigmoid": ops.sparse_sigmoid,
    "Sparsemax": lambda x: ops.sparsemax(x, axis=-1),
    "Split": lambda x: ops.concatenate(ops.split(x, [1, 4], axis=2)[::-1], axis=2),
    "Sqrt": lambda x: ops.sqrt(x * x),
    "Square": ops.square,
    "Squareplus": lambda x: ops.squareplus(x, b=3),
    "Squeeze": lambda x: ops.squeeze(x[:, :1], axis=1),
    "Stack": lambda x: ops.stack([x, x + 1], axis=-1),
    "Std": lambda x: ops.std(x, axis=1),
    "StopGradient": ops.stop_gradient,
    "Sum": lambda x: ops.sum(x, axis=1, keepdims=True),
    "Swapaxes": lambda x: ops.swapaxes(x, 1, -1),
    "Tan": lambda x: ops.tan(x / 4),
    "Tanh": ops.tanh,
    "TanhShrink": ops.tanh_shrink,
    "Threshold": lambda x: ops.threshold(x, 0.1, -2.0),
    "Tile": lambda x: ops.tile(x, (1, 2, 3)),
    "TopK": lambda x: list(ops.top_k(x + np.arange(6, dtype="float32"), 2)),
    "Transpose": lambda x: ops.transpose(x, (0, 2, 1)),
    "Tril": lambda x: ops.tril(x, k=1),
    "Triu": lambda x: ops.triu(x, k=-1),
    "Trunc": lambda x: ops.trunc(x * 3),
    "Unstack": lambda x: ops.unstack(x, axis=1)[2],
    "Var": lambda x: ops.var(x, axis=[1]),
    "Vsplit": lambda x: ops.vsplit(x, [1])[0],
    "Vstack": lambda x: ops.vstack([x, x]),
    "ZerosLike": lambda x: ops.zeros_like(x) + x,
}

# Operations on two of those.
OF_TWO: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda x, y: x + y,
    "AllClose": lambda x, y: ops.cast(ops.all(ops.isclose(x, y), axis=1), "float32"),
    "Append": lambda x, y: ops.append(x, y, axis=2),
    "Arctan2": ops.arctan2,
    "Divide": ops.divide,
    "DivideNoNan": lambda x, y: ops.divide_no_nan(x, ops.relu(y)),
    "DotProductAttention": lambda x, y: ops.dot_product_attention(
        *[ops.reshape(each, (3, 4, 2, 3)) for each in (x, y, x + y)], is_causal=True
    ),
    "Dot": lambda x, y: ops.dot(x, np.ones((6, 2), "float32")) + ops.mean(y),
    "Einsum": lambda x, y: ops.einsum("bij,bkj->bik", x, y),
    "Equal": lambda x, y: ops.equal(ops.floor(x), ops.floor(y)),
    "FloorDivide": lambda x, y: x // (ops.abs(y) + 0.5),
    "Fmod": lambda x, y: ops.fmod(x, ops.abs(y) + 0.5),
    "Full": lambda x, y: ops.full((3, 4, 6), ops.mean(y)) + x,
    "Greater": lambda x, y: x > y,
    "GreaterEqual": lambda x, y: x >= y,
    "Heaviside": lambda x, y: ops.heaviside(ops.relu(x), y),
    "Hypot": ops.hypot,
    "Inner": lambda x, y: ops.inner(x, np.ones(6, "float32")) + ops.sum(y),
    "Isclose": lambda x, y: ops.isclose(x, y, rtol=0.5),
    "Less": lambda x, y: x < y,
    "LessEqual": lambda x, y: x <= y,
    "Logaddexp": ops.logaddexp,
    "LogicalAnd": lambda x, y: ops.logical_and(x > 0, y > 0),
    "LogicalOr": lambda x, y: ops.logical_or(x > 0, y > 0),
    "LogicalXor": lambda x, y: ops.logical_xor(x > 0, y > 0),
    "Matmul": lambda x, y: x @ ops.transpose(y, (0, 2, 1)),
    "Maximum": ops.maximum,
    "Minimum": ops.minimum,
    "Mod": lambda x, y: x % (ops.abs(y) + 0.5),
    "Multiply": lambda x, y: 2 * x * y,
    "NotEqual": lambda x, y: ops.floor(x) != ops.floor(y),
    "Outer": lambda x, y: ops.outer(x, np.array([1.0, 2.0], "float32")) + ops.mean(y),
    "Power": lambda x, y: ops.abs(x) ** y,
    "Select": lambda x, y: ops.select([x > 1, x > 0], [x, y], default=-1.0),
    "SliceUpdate": lambda x, y: ops.slice_update(x, [0, 1, 2], y[:, :2, :3]),
    "Subtract": lambda x, y: 1 - (x - y),
    "Take": lambda x, y: ops.take(x + y, [3, 0], axis=1),
    "TakeAlongAxis": lambda x, y: ops.take_along_axis(x, ops.argsort(y, axis=2), axis=2),
    "Tensordot": lambda x, y: ops.tensordot(x, np.ones((6, 3), "float32"), axes=1) + ops.mean(y),
    "TrueDivide": lambda x, y: x / (y * y + 1),
    "Vdot": lambda x, y: ops.vdot(x, y),
    "Where": lambda x, y: ops.where(x > y, x, 0.0),
}

# What Keras computes at once, and Mish, which fails in Keras on the tensors of a functional model.
NEVER_SAVED = {"Arange", "Mish", "Ndim"}


@pytest.mark.parametrize("name", [*OF_ONE, *OF_TWO])
def test_operation(name: str, tmp_path: Path) -> None:
    keras.utils.clear_session(free_memory=False)
    inputs = [keras.Input(batch_shape=(3, 4, 6), name=name) for name in ("x", "y")]
    outputs = OF_ONE[name](inputs[0]) if name in OF_ONE else OF_TWO[name](*inputs)
    reference = keras.Model(inputs[:1] if name in OF_ONE else inputs, outputs)
    reference.save(tmp_path / "model.keras")
    with np.errstate(all="ignore"):
        assert_same_numbers(load_keras_model(tmp_path / "model.keras"), reference, tmp_path / "model.onnx")


def test_conv_transpose(tmp_path: Path) -> None:
    """Keras 3.15 saves it, but mixes its arguments up when it runs it in a model: it is compared with the function."""
    kernel = np.linspace(-1, 1, 90, dtype="float32").reshape(3, 5, 6)
    given = keras.Input((4, 6))
    keras.Model(given, ops.conv_transpose(given, kernel, 2, "same")).save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(3, 4, 6)).astype("float32")
    expected = np.asarray(ops.conv_transpose(x, kernel, 2, "same"))
    np.testing.assert_allclose(load_keras_model(tmp_path / "model.keras").predict(x), expected, rtol=1e-5, atol=1e-5)


def test_every_operation_has_a_case() -> None:
    assert set(OPERATIONS) - set(OF_ONE) - set(OF_TWO) - {"ConvTranspose"} == NEVER_SAVED


def test_unknown_argument() -> None:
    with pytest.raises(FormatError, match="Mean has no argument 'where'; it has x, axis, keepdims"):
        make_operation("Mean", {"name": "m", "where": 1})


def test_argument_that_is_not_supported() -> None:
    with pytest.raises(UnsupportedError, match="OneHot with sparse=True"):
        make_operation("OneHot", {"name": "m", "num_classes": 3, "sparse": True})


@pytest.mark.parametrize("config", [{"num_classes": MAX_COUNT + 1}, {"num_classes": 10**18}])
def test_count_out_of_proportion(config: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="out of all proportion"):
        make_operation("OneHot", {"name": "m", **config})
