"""Resizing and CenterCrop against real Keras, and the functions of `keras.ops.image`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kir import Model, layers
from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError
from kir.exporters.onnx_file.session import make_session, run_session
from kir.layers import CenterCrop, Input, Resizing
from tests.oracle import check_layer, draw_feeds, node_types

FIRST = {"data_format": "channels_first"}
INTERPOLATIONS = ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]


SIZES = [(5, 6), (6, 5), (7, 7), (1, 9), (9, 1), (1, 1), (30, 17)]


@pytest.mark.parametrize("ratio", ["crop_to_aspect_ratio", "pad_to_aspect_ratio"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("wanted", [(7, 7), (7, 2), (3, 9)])
@pytest.mark.parametrize(("data_format", "opset"), [("channels_last", None), ("channels_first", 13)])
def test_ratios_of_unknown_sizes_like_keras(
    ratio: str, interpolation: str, wanted: tuple[int, int], data_format: str, opset: int | None, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"interpolation": interpolation, "fill_value": 0.5, "data_format": data_format, ratio: True}
    is_last = data_format == "channels_last"
    model = Model(x := Input((None, None, 2) if is_last else (2, None, None)), Resizing(*wanted, **given)(x))
    model.export(tmp_path / "model.onnx", opset=opset)
    session = make_session(tmp_path / "model.onnx")
    reference = keras.layers.Resizing(*wanted, **given)
    for size in SIZES:
        images = draw_feeds((*size, 2) if is_last else (2, *size))[0]
        (computed,) = run_session(session, {model.input_names[0]: images}).values()
        np.testing.assert_allclose(computed, np.asarray(reference(images)), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(model.predict(images), computed, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("options", [{"height": 7, "width": 2}, {"height": 3, "width": 9, **FIRST}])
def test_resizing_like_keras(options: dict[str, Any], interpolation: str, antialias: bool) -> None:
    given: dict[str, Any] = {"interpolation": interpolation, "antialias": antialias, **options}
    check_layer("Resizing", ((5, 6, 5), "float32"), atol=1e-5, rtol=1e-5, **given)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS[:3])
@pytest.mark.parametrize("options", [{"height": 7, "width": 2}, {"height": 3, "width": 9, **FIRST}])
@pytest.mark.parametrize("shape", [(None, None, 2), (None, 4, None), (2, None, None)])
def test_unknown_sizes_like_keras(shape: tuple[Any, ...], options: dict[str, Any], interpolation: str) -> None:
    check_layer("Resizing", (shape, "float32"), atol=1e-5, rtol=1e-5, interpolation=interpolation, **options)


@pytest.mark.parametrize("ratio", ["crop_to_aspect_ratio", "pad_to_aspect_ratio"])
@pytest.mark.parametrize("options", [{"height": 7, "width": 2}, {"height": 3, "width": 9, **FIRST}])
@pytest.mark.parametrize("shape", [(5, 6, 7), (9, 4, 3)])
def test_ratios_like_keras(shape: tuple[int, ...], options: dict[str, Any], ratio: str) -> None:
    given = {ratio: True, "fill_value": 0.5, **options}
    check_layer("Resizing", (shape, "float32"), atol=1e-5, rtol=1e-5, **given)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "uint8"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_dtypes_like_keras(interpolation: str, dtype: str) -> None:
    tolerance = 4e-3 if dtype == "float16" else 1e-6
    options = {"height": 7, "width": 2, "interpolation": interpolation}
    policy = {"dtype": dtype} if "float" in dtype else {}
    check_layer("Resizing", ((5, 6, 2), dtype), atol=tolerance, rtol=tolerance, **options, **policy)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((5, 6, 2), {"height": 2, "width": 3}),
        ((5, 6, 2), {"height": 5, "width": 6}),
        ((2, 6, 7), {"height": 3, "width": 2, **FIRST}),
        ((None, None, 2), {"height": 3, "width": 2}),
        ((None, 6, 2), {"height": 3, "width": 6}),
        ((None, None, 2), {"height": 9, "width": 2}),
        ((2, None, 7), {"height": 30, "width": 7, **FIRST}),
        ((None, 6, 2), {"height": 3, "width": 9}),
        ((4, 6, 2), {"height": 7, "width": 3}),
        ((2, 3, 4), {"height": 7, "width": 9, **FIRST}),
    ],
)
def test_center_crop_like_keras(shape: tuple[Any, ...], options: dict[str, Any]) -> None:
    check_layer("CenterCrop", (shape, "float32"), atol=1e-5, rtol=1e-5, **options)


def test_the_nodes_are_few() -> None:
    assert node_types(check_layer("CenterCrop", ((5, 6, 2), "float32"), height=2, width=3)) == ["Slice"]
    resized = check_layer("Resizing", ((5, 6, 2), "float32"), height=2, width=3, atol=1e-6)
    assert node_types(resized) == ["Shape", "Concat", "Resize"]


# Functions

SMALLER, LARGER = {"target_height": 2, "target_width": 3}, {"target_height": 9, "target_width": 10}
FUNCTIONS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("resize", (2, 5, 6, 3), {"size": (3, 9)}),
    ("resize", (5, 6, 3), {"size": (3, 9)}),
    ("resize", (3, 5, 6), {"size": (3, 9), "interpolation": "bicubic", **FIRST}),
    ("resize", (5, 6, 3), {"size": (3, 9), "interpolation": "lanczos5", "antialias": True}),
    ("crop_images", (2, 5, 6, 3), {"top_cropping": 1, "left_cropping": 2, **SMALLER}),
    (
        "crop_images",
        (3, 5, 6),
        {"bottom_cropping": 1, "right_cropping": 2, "target_height": 2, "target_width": 3} | FIRST,
    ),
    ("crop_images", (5, 6, 3), {"top_cropping": 1, "bottom_cropping": 1, "left_cropping": 0, "right_cropping": 0}),
    ("pad_images", (2, 5, 6, 3), {"top_padding": 1, "left_padding": 2, **LARGER}),
    (
        "pad_images",
        (3, 5, 6),
        {"bottom_padding": 1, "right_padding": 2, "target_height": 9, "target_width": 10} | FIRST,
    ),
    ("pad_images", (5, 6, 3), {"top_padding": 1, "bottom_padding": 2, "left_padding": 0, "right_padding": 0}),
]


@pytest.mark.parametrize(("name", "shape", "options"), FUNCTIONS)
def test_functions_like_keras(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = np.asarray(getattr(keras.ops.image, name)(x, **options))
    np.testing.assert_allclose(getattr(K.image, name)(x, **options), expected, rtol=1e-5, atol=1e-5)


def test_images_of_unknown_sizes_are_padded_to_a_target(tmp_path: Path) -> None:
    options: dict[str, Any] = {"top_padding": 1, "left_padding": 2, **LARGER}
    model = Model(x := Input((None, None, 2), name="x"), K.image.pad_images(x, **options))
    model.export(tmp_path / "model.onnx")
    images = np.random.default_rng(0).normal(size=(2, 5, 6, 2)).astype("float32")
    expected = np.asarray(keras.ops.image.pad_images(images, **options))
    (computed,) = run_session(make_session(tmp_path / "model.onnx"), {"x": images}).values()
    np.testing.assert_array_equal(computed, expected)
    np.testing.assert_array_equal(model.predict(images), expected)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_resize_images_is_an_up_sampling(interpolation: str) -> None:
    x = draw_feeds((3, 4, 2))[0]
    expected = keras.layers.UpSampling2D((2, 3), interpolation=interpolation)(x)
    found = K.resize_images(x, 2, 3, "channels_last", interpolation)
    np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-5, atol=1e-5)


# Errors


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 9, 12, 3), {"size": 3}),
        ((2, 9, 12, 3), {"size": (2, 5)}),
        ((9, 12, 3), {"size": (3, 4), "padding": "same"}),
        ((2, 3, 9, 12), {"size": 4, "data_format": "channels_first"}),
        ((2, 9, 12, 3), {"size": 4, "padding": "same"}),
        ((2, 9, 12, 3), {"size": 3, "strides": (1, 2)}),
        ((3, 9, 12), {"size": 2, "strides": 1, "dilation_rate": 2, "data_format": "channels_first"}),
        ((2, 6, 9, 12, 2), {"size": (2, 3, 5)}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_patches_like_keras(shape: tuple[int, ...], options: dict[str, Any], dtype: str) -> None:
    x = np.random.default_rng(0).integers(-9, 9, shape).astype(dtype)
    patches = K.image.extract_patches(x, **options)
    assert patches.dtype == dtype
    np.testing.assert_array_equal(patches, np.asarray(keras.ops.image.extract_patches(x.astype("float32"), **options)))


def test_patches_of_images_of_unknown_sizes() -> None:
    model = Model(image := Input((None, None, 3)), K.image.extract_patches(image, 4))
    x = np.random.default_rng(0).normal(size=(2, 9, 13, 3)).astype("float32")
    np.testing.assert_array_equal(model.predict(x), np.asarray(keras.ops.image.extract_patches(x, 4)))


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: Resizing(0, 3), "height=0"),
        (lambda: Resizing(3, 2.5), "width=2.5"),  # type: ignore[arg-type]
        (lambda: Resizing(3, 3, "cubic"), "'cubic'"),
        (lambda: Resizing(3, 3, fill_mode="wrap"), "'wrap'"),
        (lambda: Resizing(3, 3, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), "received both"),
        (lambda: CenterCrop(3, "a"), "width='a'"),  # type: ignore[arg-type]
        (lambda: K.image.pad_images(np.zeros((3, 4, 1)), top_padding=1), "two of three"),
        (lambda: K.image.resize(np.zeros((3, 4, 1)), (1, 2, 3)), "(1, 2, 3)"),
        (lambda: K.image.extract_patches(np.zeros((3, 4, 1)), (0, 2)), "(0, 2)"),
    ],
)
def test_bad_arguments_are_repeated(make: Any, value: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        make()
    assert value in str(error.value)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (layers.Resizing(3, 3), (4,), r"rank 4, or 3.*\(batch, 4\)"),
        (layers.Resizing(3, 3, antialias=True), ("h", 4, 1), r"\(batch, h, 4, 1\).*without antialias"),
    ],
)
def test_shapes_that_do_not_fit(layer: Any, shape: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        layer(Input(shape))


def test_boxes_beside_the_images_of_a_training_set_mean_nothing() -> None:
    assert Resizing.from_config({"height": 2, "width": 3, "bounding_box_format": "xyxy"}).width == 3
