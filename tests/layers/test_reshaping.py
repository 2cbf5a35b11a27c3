"""The reshaping layers against real Keras."""

from __future__ import annotations

from typing import Any

import pytest

from kir import config, layers
from kir.errors import InvalidArgumentError, ShapeError
from kir.layers import Flatten, Input, Masking, Permute, RepeatVector, Reshape
from tests.oracle import check_layer, node_types

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Flatten", (4, 3), {}),
    ("Flatten", (4, 3, 2), {"data_format": "channels_last"}),
    ("Flatten", (4, 3, 2), {"data_format": "channels_first"}),
    ("Flatten", (2, None, 3), {"data_format": "channels_first"}),
    ("Flatten", (7,), {"data_format": "channels_first"}),
    ("Flatten", (), {}),
    ("Flatten", (), {"data_format": "channels_first"}),
    ("Flatten", (None, 3), {}),
    ("Flatten", (None, None, 2), {}),
    ("Reshape", (12,), {"target_shape": (3, 4)}),
    ("Reshape", (12,), {"target_shape": [12]}),
    ("Reshape", (3, 4), {"target_shape": (-1, 2, 2)}),
    ("Reshape", (3, 4), {"target_shape": (-1,)}),
    ("Reshape", (1,), {"target_shape": ()}),
    ("Reshape", (None, 6), {"target_shape": (-1, 3)}),
    ("Reshape", (None, 6), {"target_shape": (2, -1, 3)}),
    ("Permute", (4, 3), {"dims": (2, 1)}),
    ("Permute", (4, 3), {"dims": (1, 2)}),
    ("Permute", (4, 3, 2), {"dims": [3, 1, 2]}),
    ("Permute", (None, 3, 2), {"dims": (3, 1, 2)}),
    ("RepeatVector", (4,), {"n": 3}),
    ("RepeatVector", (4,), {"n": 1}),
    ("RepeatVector", (None,), {"n": 2}),
]


FIRST, LAST = {"data_format": "channels_first"}, {"data_format": "channels_last"}
SPATIAL_CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Cropping1D", (5, 2), {}),
    ("Cropping1D", (None, 2), {"cropping": 1}),
    ("Cropping1D", (None, 2), {"cropping": (0, 2)}),
    ("Cropping1D", (5, 2), {"cropping": [0, 0]}),
    ("Cropping2D", (4, 5, 2), {}),
    ("Cropping2D", (4, 5, 2), {"cropping": 1}),
    ("Cropping2D", (None, None, 2), {"cropping": (0, 1)}),
    ("Cropping2D", (2, None, 6), {"cropping": ((1, 0), (2, 3)), **FIRST}),
    ("Cropping3D", (3, 4, 5, 2), {}),
    ("Cropping3D", (3, None, 5, 2), {"cropping": ((0, 0), (1, 0), (0, 2)), **LAST}),
    ("Cropping3D", (2, 3, 4, 5), {"cropping": (1, 0, 2), **FIRST}),
    ("ZeroPadding1D", (None, 2), {}),
    ("ZeroPadding1D", (3, 2), {"padding": (0, 2)}),
    ("ZeroPadding1D", (3, None), {"padding": 2, **FIRST}),
    ("ZeroPadding2D", (None, 4, 2), {}),
    ("ZeroPadding2D", (3, 4, 2), {"padding": 2}),
    ("ZeroPadding2D", (3, 4, 2), {"padding": ((1, 0), (2, 3)), **FIRST}),
    ("ZeroPadding3D", (2, 3, 4, 1), {}),
    ("ZeroPadding3D", (2, None, 4, 1), {"padding": (0, 1, 2), **LAST}),
    ("ZeroPadding3D", (2, 3, 4, 2), {"padding": ((1, 0), (2, 3), (0, 0)), **FIRST}),
    ("UpSampling1D", (None, 3), {}),
    ("UpSampling1D", (4, 3), {"size": 3}),
    ("UpSampling1D", (4, 3), {"size": 1}),
    ("UpSampling2D", (3, None, 2), {}),
    ("UpSampling2D", (3, 4, 2), {"size": 3}),
    ("UpSampling2D", (3, 4, 2), {"size": (1, 2)}),
    ("UpSampling2D", (2, None, 4), {"size": [2, 3], **FIRST}),
    ("UpSampling2D", (2, 3, 4), {"size": (2, 1), **FIRST}),
    ("UpSampling3D", (2, None, 3, 2), {}),
    ("UpSampling3D", (2, 3, 4, 2), {"size": (1, 2, 3), **LAST}),
    ("UpSampling3D", (2, 3, None, 4), {"size": 2, **FIRST}),
]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("name", "shape", "options"), CASES + SPATIAL_CASES)
def test_like_keras(name: str, shape: tuple[Any, ...], options: dict[str, Any], dtype: str) -> None:
    check_layer(name, (shape, dtype), dtype=dtype, **options)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("format", [FIRST, LAST], ids=str)
@pytest.mark.parametrize(
    ("interpolation", "shape"),
    [
        ("bilinear", (3, 4, 5)),
        ("bilinear", (None, None, None)),
        ("bicubic", (3, 4, 5)),
        ("bicubic", (None, None, None)),
        ("lanczos3", (3, 4, 5)),
        ("lanczos5", (3, 4, 5)),
        ("BILINEAR", (3, 4, 5)),
    ],
)
def test_interpolation_like_keras(
    interpolation: str, shape: tuple[Any, ...], format: dict[str, str], dtype: str
) -> None:
    tolerance = 4e-3 if dtype == "float16" else 1e-5
    options = {"size": (2, 3), "interpolation": interpolation, **format}
    check_layer("UpSampling2D", (shape, dtype), dtype=dtype, atol=tolerance, rtol=tolerance, **options)


@pytest.mark.parametrize(
    ("name", "shape", "options", "nodes"),
    [
        ("Cropping2D", (4, 5, 2), {"cropping": 1}, ["Slice"]),
        ("ZeroPadding2D", (4, 5, 2), {}, ["Pad"]),
        ("UpSampling1D", (4, 3), {}, ["Reshape", "Expand", "Reshape"]),
        ("UpSampling2D", (4, 5, 2), {}, ["Reshape", "Expand", "Reshape"]),
        ("UpSampling2D", (2, None, None), FIRST, ["Resize"]),
        ("UpSampling2D", (None, None, 2), {"interpolation": "bilinear"}, ["Resize"]),
        ("UpSampling2D", (None, None, 2), {"interpolation": "bicubic"}, ["Resize"]),
        ("UpSampling2D", (2, 4, 5), {"interpolation": "bicubic", **FIRST}, ["MatMul", "MatMul"]),
        ("UpSampling3D", (2, 3, 4, 5), FIRST, ["Resize"]),
    ],
)
def test_the_nodes_are_few(name: str, shape: tuple[Any, ...], options: dict[str, Any], nodes: list[str]) -> None:
    assert node_types(check_layer(name, (shape, "float32"), rtol=1e-5, atol=1e-5, **options)) == nodes


@pytest.mark.parametrize(
    ("name", "shape"), [("UpSampling2D", (2, None, 4)), ("UpSampling3D", (2, 3, 4, 5))], ids=["2D", "3D"]
)
def test_repeated_float64_is_not_rounded_to_float32(name: str, shape: tuple[Any, ...]) -> None:
    model = check_layer(name, (shape, "float64"), dtype="float64", data_format="channels_first")
    assert not {"Resize", "Cast"} & set(node_types(model))


def test_lanczos_needs_known_sizes() -> None:
    with pytest.raises(ShapeError, match=r"\(batch, h, 4, 5\).*only bilinear, bicubic and nearest"):
        layers.UpSampling2D(interpolation="lanczos3")(Input(("h", 4, 5)))


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        ("Cropping1D", 2),
        ("Cropping2D", 3),
        ("ZeroPadding1D", 2),
        ("ZeroPadding2D", 3),
        ("UpSampling1D", 2),
        ("UpSampling2D", 3),
        ("UpSampling3D", 4),
    ],
)
def test_spatial_layers_keep_integers(name: str, rank: int) -> None:
    check_layer(name, ((3, 4, 5, 6)[:rank], "int32"))


@pytest.mark.parametrize("name", ["Flatten", "Reshape", "Permute", "RepeatVector"])
def test_integers_stay_integers(name: str) -> None:
    options: dict[str, dict[str, object]] = {
        "Reshape": {"target_shape": (2, 3)},
        "Permute": {"dims": (1,)},
        "RepeatVector": {"n": 2},
    }
    layer = getattr(layers, name)(**options.get(name, {}))
    assert layer(Input((6,), dtype="int32")).dtype == "int32"


def test_flatten_is_one_reshape() -> None:
    assert node_types(check_layer("Flatten", (4, 3))) == ["Reshape"]


def test_unknown_sizes_multiply() -> None:
    assert str(Flatten()(Input(("time", 8))).type) == "f32[batch, 8*time]"


def test_flatten_takes_the_data_format_that_is_set() -> None:
    config.set_image_data_format("channels_first")
    try:
        assert Flatten().data_format == "channels_first"
    finally:
        config.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: Flatten(data_format="channels_middle"), "channels_middle"),
        (lambda: Flatten(data_format=3), "3"),  # type: ignore[arg-type]
        (lambda: Reshape((3, -2)), "-2"),
        (lambda: Reshape((-1, -1)), "-1, -1"),
        (lambda: Reshape((2.5,)), "2.5"),  # type: ignore[arg-type]
        (lambda: Reshape("ab"), "ab"),  # type: ignore[arg-type]
        (lambda: Permute((0, 1)), "(0, 1)"),
        (lambda: Permute((1, 1)), "(1, 1)"),
        (lambda: Permute((1, 3)), "(1, 3)"),
        (lambda: Permute((1.0, 2.0)), "1.0"),  # type: ignore[arg-type]
        (lambda: RepeatVector(0), "0"),
        (lambda: RepeatVector(2.0), "2.0"),  # type: ignore[arg-type]
        (lambda: RepeatVector(True), "True"),
        (lambda: RepeatVector("3"), "'3'"),  # type: ignore[arg-type]
        (lambda: layers.Cropping1D((1, 2, 3)), "(1, 2, 3)"),
        (lambda: layers.Cropping1D(-1), "-1"),
        (lambda: layers.Cropping2D((1, 2, 3)), "(1, 2, 3)"),
        (lambda: layers.Cropping2D(((1, 2, 3), 1)), "((1, 2, 3), 1)"),
        (lambda: layers.Cropping3D(1.5), "1.5"),  # type: ignore[arg-type]
        (lambda: layers.ZeroPadding1D("a"), "'a'"),  # type: ignore[arg-type]
        (lambda: layers.ZeroPadding2D(((1, -2), (1, 1))), "((1, -2), (1, 1))"),
        (lambda: layers.ZeroPadding3D((1, 1)), "(1, 1)"),
        (lambda: layers.UpSampling1D(0), "size=0"),
        (lambda: layers.UpSampling2D((1, 2, 3)), "(1, 2, 3)"),
        (lambda: layers.UpSampling2D(interpolation="linear"), "'linear'"),
        (lambda: layers.UpSampling3D((2, 0, 1)), "(2, 0, 1)"),
        (lambda: layers.ZeroPadding2D(data_format="first"), "'first'"),
    ],
)
def test_bad_arguments_are_repeated(make: Any, value: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        make()
    assert value in str(error.value)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (Reshape((5, 2)), (12,), ["(batch, 12)", "(batch, 5, 2)"]),
        (Reshape((-1, 5)), (12,), ["(batch, 12)", "(batch, -1, 5)"]),
        (Reshape((-1, 2)), ("time", 3), ["(batch, time, 3)", "(batch, -1, 2)"]),
        (Reshape((3, 4)), ("n",), ["(batch, n)", "(batch, 3, 4)", "concrete sizes"]),
        (Permute((2, 1)), (3,), ["rank 3", "(batch, 3)"]),
        (RepeatVector(2), (3, 4), ["(batch, features)", "(batch, 3, 4)"]),
        (layers.Cropping1D(2), (4, 3), ["cropping=(2, 2)", "axis 1", "(batch, 4, 3)"]),
        (layers.Cropping2D(((0, 0), (3, 2)), "channels_first"), (1, 4, 5), ["axis 3", "(batch, 1, 4, 5)"]),
        (layers.ZeroPadding2D(), (4, 3), ["rank 4", "(batch, 4, 3)"]),
        (layers.UpSampling3D(), (4, 3), ["rank 5", "(batch, 4, 3)"]),
    ],
)
def test_shapes_that_do_not_fit_are_repeated(layer: Any, shape: tuple[Any, ...], expected: list[str]) -> None:
    with pytest.raises(ShapeError) as error:
        layer(Input(shape))
    assert all(part in str(error.value) for part in [layer.name, *expected])


def test_a_scalar_has_no_batch_to_keep() -> None:
    with pytest.raises(ShapeError, match="scalar"):
        Flatten()(Input(batch_shape=()))


@pytest.mark.parametrize("layer", [Flatten(), Reshape((3, 5)), Permute((2, 1))])
def test_a_mask_cannot_pass(layer: Any) -> None:
    masked = Masking()(Input((5, 3)))
    with pytest.raises(InvalidArgumentError, match=layer.name):
        layer(masked)
    config.set_on_lost_mask("warn")
    try:
        with pytest.warns(UserWarning, match="the mask ends here"):
            assert layer(masked).mask_type is None
    finally:
        config.set_on_lost_mask("error")
