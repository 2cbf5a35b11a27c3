"""Layers that are found again in ONNX files, in the form in which passes left them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir import Input, Sequential, passes
from kir import layers as L
from kir.exporters.script import same_file
from kir.exporters.script.graphs import write_graph
from kir.exporters.script.script import Script
from kir.importers.keras_file import load_keras_model
from kir.ir.graph import Graph, Origin
from kir.ir.types import NARROW, as_dtype
from kir.lift.components import MAKERS
from kir.modeling.model import Model
from tests.exporters.script.round_trip import complaints, export_bytes, read, through_script
from tests.ops.cases import all_cases

FIRST: dict[str, Any] = {"data_format": "channels_first"}
IMAGE, SERIES, VOLUME = (6, 8, 9), (6, 8), (6, 4, 5, 6)

# Layers on an input of this shape, of which nothing but layers comes back.
CASES: dict[str, tuple[tuple[int, ...], Callable[[], list[L.Layer]]]] = {
    "conv_1d": (SERIES, lambda: [L.Conv1D(4, 3, strides=2, padding="same", activation="silu", **FIRST)]),
    "conv_1d_causal": (SERIES, lambda: [L.Conv1D(4, 3, padding="causal", dilation_rate=2, **FIRST)]),
    "conv_2d": (IMAGE, lambda: [L.Conv2D(6, (2, 3), groups=3, use_bias=False, activation="relu", **FIRST)]),
    "conv_3d": (VOLUME, lambda: [L.Conv3D(2, 2, dilation_rate=(1, 2, 1), **FIRST)]),
    "depthwise_1d": (SERIES, lambda: [L.DepthwiseConv1D(2, depth_multiplier=2, activation="relu", **FIRST)]),
    "depthwise_2d": (IMAGE, lambda: [L.DepthwiseConv2D(3, 2, "same", depth_multiplier=3, **FIRST)]),
    "separable_1d": (SERIES, lambda: [L.SeparableConv1D(5, 2, depth_multiplier=2, **FIRST)]),
    "separable_2d": (IMAGE, lambda: [L.SeparableConv2D(5, 3, 2, "same", activation="tanh", **FIRST)]),
    "transposed_1d": (SERIES, lambda: [L.Conv1DTranspose(4, 3, 2, **FIRST)]),
    "transposed_2d": (IMAGE, lambda: [L.Conv2DTranspose(4, 3, 2, "same", output_padding=1, **FIRST)]),
    "transposed_3d": (VOLUME, lambda: [L.Conv3DTranspose(2, 2, 2, "same", use_bias=False, **FIRST)]),
    "max_pooling": (IMAGE, lambda: [L.MaxPooling2D((2, 3), 2, "same", **FIRST)]),
    "average_pooling": (IMAGE, lambda: [L.AveragePooling2D(2, 1, **FIRST)]),
    "global_max_pooling": (IMAGE, lambda: [L.GlobalMaxPooling2D(keepdims=True, **FIRST)]),
    "global_average_pooling": (IMAGE, lambda: [L.GlobalAveragePooling2D(**FIRST)]),
    "global_pooling_of_steps": (SERIES, lambda: [L.GlobalAveragePooling1D()]),
    "adaptive_pooling": (IMAGE, lambda: [L.AdaptiveMaxPooling2D((4, 3), **FIRST)]),
    "zero_padding": (IMAGE, lambda: [L.ZeroPadding2D(((1, 0), (2, 3)))]),
    "zero_padding_of_steps": (SERIES, lambda: [L.ZeroPadding1D((1, 2))]),
    "zero_padding_in_front": (VOLUME, lambda: [L.ZeroPadding3D((0, 1, 2), **FIRST)]),
    "cropping": (IMAGE, lambda: [L.Cropping2D(((1, 0), (2, 3)))]),
    "cropping_of_steps": (SERIES, lambda: [L.Cropping1D((1, 2))]),
    "cropping_in_front": (VOLUME, lambda: [L.Cropping3D((0, 1, 2), **FIRST)]),
    "up_sampling": (IMAGE, lambda: [L.UpSampling2D((2, 3))]),
    "up_sampling_in_front": (IMAGE, lambda: [L.UpSampling2D(2, interpolation="bilinear", **FIRST)]),
    "up_sampling_of_steps": (SERIES, lambda: [L.UpSampling1D(3)]),
    "up_sampling_of_volumes": (VOLUME, lambda: [L.UpSampling3D((1, 2, 3))]),
    "batch_normalization": (SERIES, lambda: [L.ReLU(), L.BatchNormalization(axis=1, epsilon=0.01, scale=False)]),
    "layer_normalization": (IMAGE, lambda: [L.LayerNormalization(axis=[2, 3], epsilon=1e-5)]),
    "layer_normalization_bare": (SERIES, lambda: [L.LayerNormalization(scale=False, center=False)]),
    "group_normalization": (IMAGE, lambda: [L.GroupNormalization(6, axis=1)]),
    "group_normalization_of_channels": (IMAGE, lambda: [L.GroupNormalization(-1, axis=1, center=False)]),
    "rms_normalization": (SERIES, lambda: [L.RMSNormalization(epsilon=1e-5)]),
    "unit_normalization": (SERIES, lambda: [L.UnitNormalization(axis=[1, 2])]),
    "relu": (SERIES, lambda: [L.ReLU(), L.ReLU(6), L.ReLU(threshold=0.2), L.ReLU(1.0, 0.1, 0.2), L.ReLU(None, 0.3)]),
    "leaky_relu": (SERIES, lambda: [L.LeakyReLU(0.1), L.ELU(0.5), L.LeakyReLU()]),
    "prelu": (IMAGE, lambda: [L.PReLU(), L.PReLU(shared_axes=[1, 2])]),
    "softmax": (IMAGE, lambda: [L.Softmax(axis=1), L.Softmax()]),
    "embedding": ((5,), lambda: [L.Embedding(7, 3)]),
    "einsum_dense": (SERIES, lambda: [L.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de", name="e")]),
    "rescaling": (SERIES, lambda: [L.Rescaling(0.5, -1.0)]),
}


def with_weights(model: Model) -> Model:
    """Return the model with weights none of which is 0 or 1, so that no pass finds one to leave out."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return model


def classes_and_names(model: Any) -> list[tuple[str, str]]:
    return [(type(layer).__name__, layer.name) for layer in model.layers]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_layer_is_found_again(case: str, level: int, tmp_path: Path) -> None:
    shape, make = CASES[case]
    model = with_weights(Sequential([Input(shape), *make()], name="m"))
    first = export_bytes(model, tmp_path, level=level)
    again, text = through_script(read(first, tmp_path), tmp_path)
    assert export_bytes(again, tmp_path, level=level) == first, text
    assert classes_and_names(again) == classes_and_names(model), text


LAST = ["conv_1d", "conv_2d", "conv_3d", "separable_2d", "transposed_2d", "max_pooling", "adaptive_pooling"]


@pytest.mark.parametrize("case", LAST)
def test_a_layer_with_the_channels_last_is_found_where_its_transposes_are(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FIRST, "data_format", "channels_last")
    shape, make = CASES[case]
    model = Sequential([Input(shape), *make()], name="m")
    again, text = through_script(model.to_graph(), tmp_path)
    assert classes_and_names(again) == classes_and_names(model), text
    assert "data_format" not in text


def test_convolutions_come_back_as_the_passes_left_them(tmp_path: Path) -> None:
    model = Sequential(
        [
            Input((8, 9, 3), name="image"),
            L.ZeroPadding2D(1, name="pad"),
            L.Conv2D(4, 3, use_bias=False, name="conv"),
            L.BatchNormalization(name="bn"),
            L.ReLU(6, name="relu"),
            L.DepthwiseConv2D(3, padding="same", name="depthwise"),
            L.BatchNormalization(name="bn_2"),
            L.GlobalAveragePooling2D(name="pool"),
            L.Dense(2, name="dense"),
        ],
        name="m",
    )
    first = export_bytes(with_weights(model), tmp_path)
    again, text = through_script(read(first, tmp_path), tmp_path)
    assert export_bytes(again, tmp_path) == first, text
    assert complaints([tmp_path / "written.py"]) == "", text
    for line in (
        'Conv2D(4, (3, 3), padding="same", data_format="channels_first", name="conv")',
        'ReLU(max_value=6.0, name="relu")',
        'GlobalAveragePooling2D(data_format="channels_first", name="pool")',
    ):
        assert line in text, text


def test_without_the_same_bytes_layers_are_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Sequential([Input(IMAGE), L.Conv2D(4, 3, name="conv", **FIRST)], name="m")
    graph = read(export_bytes(model, tmp_path), tmp_path)
    assert "Traced" not in through_script(graph, tmp_path)[1]
    monkeypatch.setattr(same_file, "writes_same_bytes", lambda a, b: False)
    assert 'Traced(compute_conv, origin=Origin("conv", "Conv2D"), name="conv")' in through_script(graph, tmp_path)[1]


@pytest.mark.parametrize("name", sorted(cls.__name__ for cls in MAKERS))
def test_a_file_may_name_any_layer_for_any_operator(name: str) -> None:
    for index in np.random.default_rng(sum(name.encode())).permutation(len(graphs()))[:40]:
        for node in graphs()[index].order():
            node.origin = Origin("path", name)
        write_graph(Script(), graphs()[index], passes.pipeline())


@cache
def graphs() -> list[Graph]:
    """Return the graphs of all cases but those that no script can say: graphs inside, and elements of a few bits."""
    found = [case.graph() for case in all_cases() if not case.op.bodies()]
    return [graph for graph in found if graph.inputs and not any(map(is_narrow, graph.constant_arrays()))]


def is_narrow(array: np.ndarray[Any, Any]) -> bool:
    return as_dtype(array.dtype) in NARROW


def test_mobilenet(tmp_path: Path) -> None:
    import keras

    built = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), alpha=0.35, classes=3)
    built.save(tmp_path / "model.keras")
    model = with_weights(load_keras_model(tmp_path / "model.keras"))
    first = export_bytes(model, tmp_path)
    again, text = through_script(read(first, tmp_path), tmp_path)
    assert export_bytes(again, tmp_path) == first
    # The Transpose of the input, and a mean over one element.
    mean = next(layer.name for layer in built.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D))
    found = sorted(re.findall(r'Origin\("(.*)", "(.*)"\)', text))
    assert found == [("Conv1", "Conv2D"), (mean, "GlobalAveragePooling2D")]
    assert "emit" not in text
