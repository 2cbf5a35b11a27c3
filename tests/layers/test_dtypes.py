"""The dtype of each layer's output, by those of its input and of its policy: what `predict` of Keras 3 gives.

Keras declares other dtypes than it computes here and there (for images of integers, for averages of them, for encoded
lookups); what counts is what comes out. The tables say what Keras 3.15 gives on TensorFlow, where 64 bits stay 64 bits
as they do here; NumPy's backend makes many of those 32, since parts of it run in jax.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from kir import Input, Model, layers
from kir import backend as K
from kir.exporters.pipeline import export_model

INTEGERS = ("uint8", "int32", "int64", "bool")
FLOATS = ("float16", "bfloat16", "float32", "float64")
# The policies, and what they compute in.
POLICIES = {"float32": "float32", "float64": "float64", "float16": "float16", "mixed_float16": "float16"}

IMAGE, SEQUENCE = (6, 6, 3), (5, 4)

# Integers come out in the compute dtype.
COMPUTE: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    **dict.fromkeys(
        ("AugMix", "AutoContrast", "CutMix", "MixUp", "RandAugment", "RandomColorJitter", "RandomElasticTransform"),
        (IMAGE, {}),
    ),
    **dict.fromkeys(
        ("RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomInvert", "RandomPerspective", "Solarization"),
        (IMAGE, {}),
    ),
    **dict.fromkeys(
        ("RandomColorDegeneration", "RandomHue", "RandomPosterization", "RandomRotation", "RandomSharpness"),
        (IMAGE, {"factor": 0.2}),
    ),
    "CenterCrop": (IMAGE, {"height": 3, "width": 3}),
    "RandomCrop": (IMAGE, {"height": 6, "width": 6}),
    "RandomShear": (IMAGE, {"x_factor": 0.2}),
    "RandomTranslation": (IMAGE, {"height_factor": 0.2, "width_factor": 0.2}),
    "RandomZoom": (IMAGE, {"height_factor": 0.2}),
    "Rescaling": (IMAGE, {"scale": 0.5}),
    "Normalization": (IMAGE, {"mean": 1.0, "variance": 2.0}),
    "BatchNormalization": (SEQUENCE, {}),
    "Dense": (SEQUENCE, {"units": 2}),
    "EinsumDense": (SEQUENCE, {"equation": "abc,cd->abd", "output_shape": (None, 3)}),
    "Embedding": ((4,), {"input_dim": 5, "output_dim": 2}),
    "GRU": (SEQUENCE, {"units": 2}),
    "GroupNormalization": (SEQUENCE, {"groups": 2}),
    "LSTM": (SEQUENCE, {"units": 2}),
    "LayerNormalization": (SEQUENCE, {}),
    "SimpleRNN": (SEQUENCE, {"units": 2}),
}

# Integers stay what they are.
KEEP: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    **dict.fromkeys(
        ("ActivityRegularization", "Cropping1D", "Flatten", "GlobalMaxPooling1D", "Identity", "ReLU", "UpSampling1D"),
        (SEQUENCE, {}),
    ),
    **dict.fromkeys(("AlphaDropout", "Dropout", "GaussianDropout", "SpatialDropout1D"), (SEQUENCE, {"rate": 0.2})),
    **dict.fromkeys(("RMSNormalization", "ZeroPadding1D"), (SEQUENCE, {})),
    "Activation": (SEQUENCE, {"activation": "relu"}),
    "GaussianNoise": (SEQUENCE, {"stddev": 0.2}),
    "Permute": (SEQUENCE, {"dims": (2, 1)}),
    "RandomBrightness": (IMAGE, {"factor": 0.2}),
    "RandomGrayscale": (IMAGE, {}),
    "RepeatVector": ((4,), {"n": 2}),
    "Reshape": (SEQUENCE, {"target_shape": (4, 5)}),
    "Resizing": (IMAGE, {"height": 4, "width": 4}),
    "UpSampling2D": (IMAGE, {"interpolation": "bilinear"}),
}
# ReLU of booleans is an error in Keras; so are bilinear images of them.
NO_BOOLEANS = {"Activation", "ReLU", "RandomBrightness", "Resizing", "UpSampling2D", "GlobalMaxPooling1D"}


def output_dtype(name: str, dtypes: list[str], shape: tuple[int, ...], **options: Any) -> str:
    inputs = [Input(shape, dtype=dtype) for dtype in dtypes]
    return str(getattr(layers, name)(**options)(inputs if len(inputs) > 1 else inputs[0]).dtype)


@pytest.mark.parametrize("name", COMPUTE)
def test_integers_become_the_compute_dtype(name: str) -> None:
    shape, options = COMPUTE[name]
    for (policy, compute), dtype in itertools.product(POLICIES.items(), (*INTEGERS, *FLOATS)):
        assert output_dtype(name, [dtype], shape, dtype=policy, **options) == compute, (policy, dtype)


@pytest.mark.parametrize("name", KEEP)
def test_integers_stay(name: str) -> None:
    shape, options = KEEP[name]
    for (policy, compute), dtype in itertools.product(POLICIES.items(), (*INTEGERS, *FLOATS)):
        if dtype == "bool" and name in NO_BOOLEANS:
            continue
        expected = compute if dtype in FLOATS else dtype
        assert output_dtype(name, [dtype], shape, dtype=policy, **options) == expected, (policy, dtype)


# Of two dtypes of integers, what sums and the like are in, and averages.
MERGED = {
    ("uint8", "uint8"): ("uint8", "float32"),
    ("uint8", "int32"): ("int32", "float64"),
    ("uint8", "int64"): ("int64", "float64"),
    ("uint8", "bool"): ("uint8", "float32"),
    ("int32", "int32"): ("int32", "float64"),
    ("int32", "int64"): ("int64", "float64"),
    ("int32", "bool"): ("int32", "float64"),
    ("int64", "int64"): ("int64", "float64"),
    ("int64", "bool"): ("int64", "float64"),
}


@pytest.mark.parametrize("name", ["Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"])
def test_merged_dtypes(name: str) -> None:
    options = {"axes": 1} if name == "Dot" else {}
    for (first, second), merged in MERGED.items():
        for pair in ([first, second], [second, first]):
            for policy in POLICIES:
                expected = merged[name == "Average"]
                assert output_dtype(name, pair, (4,), dtype=policy, **options) == expected, (policy, pair)
    for (policy, compute), dtype, other in itertools.product(POLICIES.items(), FLOATS, (*INTEGERS, *FLOATS)):
        for pair in ([dtype, other], [other, dtype]):
            assert output_dtype(name, pair, (4,), dtype=policy, **options) == compute, (policy, pair)


@pytest.mark.parametrize("policy", [None, *POLICIES])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "int64"),
        ({"invert": True}, "int64"),
        ({"mask_token": 0}, "int64"),
        ({"num_oov_indices": 3}, "int64"),
        ({"output_mode": "multi_hot"}, "int64"),
        ({"output_mode": "one_hot"}, "int64"),
        ({"output_mode": "count"}, "int64"),
        ({"output_mode": "tf_idf", "idf_weights": [0.5, 0.5]}, "float32"),
    ],
)
def test_looked_up_integers(policy: str | None, options: dict[str, Any], expected: str) -> None:
    for dtype in ("uint8", "int32", "int64", "float32"):
        assert output_dtype("IntegerLookup", [dtype], (4,), dtype=policy, vocabulary=[1, 2], **options) == expected


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
def test_encoded_categories_have_the_dtype_of_weights(mode: str) -> None:
    for policy, expected in {**POLICIES, "mixed_float16": "float32"}.items():
        options = {"num_tokens": 5, "output_mode": mode, "dtype": policy}
        assert output_dtype("CategoryEncoding", ["int64"], (4,), **options) == expected


DRAWN = np.random.default_rng(0).integers(0, 200, (2, 6, 6, 3))
# A layer, its input, and what comes out.
VALUES: dict[str, tuple[Any, Any, Any]] = {
    "RandomBrightness": (layers.RandomBrightness(0.2), DRAWN.astype(np.uint8), DRAWN.astype(np.uint8)),
    "MaxPooling2D": (
        layers.MaxPooling2D(3),
        DRAWN.astype(np.int32) - 90,
        DRAWN.reshape(2, 2, 3, 2, 3, 3).max((2, 4)).astype(np.int32) - 90,
    ),
    "GlobalMaxPooling2D": (layers.GlobalMaxPooling2D(), DRAWN.astype(np.int16), DRAWN.max((1, 2)).astype(np.int16)),
    "RMSNormalization": (
        layers.RMSNormalization(),
        DRAWN.astype(np.int32),
        (DRAWN / np.sqrt((DRAWN**2.0).mean(-1, keepdims=True) + 1e-6)).astype(np.int32),
    ),
    "Average": (
        layers.Lambda(lambda x: layers.Average()([x, x[:, ::-1]])),
        DRAWN.astype(np.int32),
        (DRAWN + DRAWN[:, ::-1]) / 2.0,
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str, tmp_path: Path) -> None:
    layer, array, expected = VALUES[name]
    x = Input(array.shape[1:], dtype=str(array.dtype), name="x")
    model = Model(x, layer(x))
    export_model(model, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for result in (model.predict(array), session.run(None, {"x": array})[0]):
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result, expected)


def test_maxima_of_64_bits_are_not_rounded() -> None:
    """float64, in which smaller integers are pooled, would round them."""
    with pytest.raises(Exception, match=r"MaxPool.*received x of type i64"):
        K.max_pool(np.zeros((1, 4, 1), np.int64), 2)
