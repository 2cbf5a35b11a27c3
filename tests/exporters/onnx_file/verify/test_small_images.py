"""Small images: sizes at which a window or a result is empty are known from the types, and not tried."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from kir import layers
from kir.errors import KirError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.verify import small_images
from kir.exporters.onnx_file.verify.file import verify_file
from kir.exporters.onnx_file.verify.small_images import takes_shapes
from kir.numerics.report import VerificationReport
from tests.numerics.graphs import lowered

Build = Callable[[Any], Any]


def chain(make: Callable[[], Any]) -> Build:
    """Return what applies new layers to an image until a window of 3 moved by 2 fits into 75 pixels no more."""

    def build(x: Any) -> Any:
        for _ in range(5):  # 75, 37, 18, 8, 3, 1
            x = make()(x)
        return x

    return build


def up_and_down(x: Any) -> Any:
    """Return an image of 75 pixels joined with its thirds made three times as large, read by a window of 20."""
    third = layers.MaxPooling2D(3, 3)(x)
    return layers.AveragePooling2D(20)(
        layers.Concatenate()([x, layers.UpSampling2D(3, interpolation="bilinear")(third)])
    )


BUILDS: dict[str, Build] = {
    "MaxPool": chain(lambda: layers.MaxPooling2D(3, 2)),
    "AveragePool": chain(lambda: layers.AveragePooling2D(3, 2)),
    "Conv": chain(lambda: layers.Conv2D(4, 3, 2)),
    "Conv, dilated": lambda x: layers.Conv2D(4, 3, dilation_rate=20)(x),
    "DepthwiseConv": chain(lambda: layers.DepthwiseConv2D(3, 2)),
    "GlobalPool": lambda x: layers.GlobalMaxPooling2D()(chain(lambda: layers.MaxPooling2D(3, 2))(x)),
    "unequal sides": lambda x: layers.MaxPooling2D((1, 40))(layers.MaxPooling2D((40, 1))(x)),
    "one side": lambda x: layers.MaxPooling2D((1, 40))(x),
    "cropped at the start": lambda x: layers.Cropping2D(((30, 0), (20, 0)))(x),
    "cropped before a mean": lambda x: layers.GlobalAveragePooling2D()(layers.Cropping2D(((30, 0), (20, 0)))(x)),
    "padded": lambda x: layers.GlobalMaxPooling2D()(chain(lambda: layers.MaxPooling2D(3, 2, padding="same"))(x)),
    "resized": up_and_down,
}


def takes(build: Build, height: int, width: int) -> bool:
    """Return whether the model can be built at a size, with something left of the image."""
    try:
        graph = lowered(build, (height, width, 3))
    except KirError:
        return False
    return all(dim != 0 for node in graph.nodes() for value in node.outputs for dim in value.type.shape)


@pytest.mark.parametrize("name", BUILDS)
def test_a_graph_takes_the_sizes_at_which_its_model_can_be_built(name: str) -> None:
    build = BUILDS[name]
    graph = lowered(build, (75, 75, 3))
    for height, width in ((75, 75), (63, 63), (62, 63), (63, 62), (41, 75), (39, 75), (32, 32), (31, 63), (20, 20)):
        expected = takes(build, height, width)
        if name == "resized":  # by three, whole
            expected = height % 3 == width % 3 == 0 and min(height, width) >= 20
        assert takes_shapes(graph, {"x0": (1, height, width, 3)}) == expected, (height, width)


def test_a_graph_that_has_a_size_built_in_takes_no_other() -> None:
    graph = lowered(lambda x: layers.Dense(2)(layers.Flatten()(layers.MaxPooling2D(3)(x))), (75, 75, 3))
    assert takes_shapes(graph, {"x0": (1, 75, 75, 3)})
    assert not takes_shapes(graph, {"x0": (1, 32, 32, 3)})


def test_symbols_have_the_sizes_of_the_images() -> None:
    graph = lowered(BUILDS["MaxPool"], (None, None, 3))
    assert takes_shapes(graph, {"x0": (1, 63, 63, 3)})
    assert not takes_shapes(graph, {"x0": (1, 63, 62, 3)})


def pooled(x: Any) -> Any:
    """Return branches that are joined where 5 poolings left nothing of 32 pixels, and of 120 two."""
    for _ in range(4):
        x = layers.MaxPooling2D(3, 2)(x)
    branches = [layers.MaxPooling2D(3, 2)(x), layers.Conv2D(3, 3, 2)(x)]
    return layers.GlobalAveragePooling2D()(layers.Concatenate()(branches))


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> Callable[[Build], VerificationReport]:
    """Return what verifies a model of images of 120 pixels as if it were a costly one."""
    monkeypatch.setattr("kir.numerics.probe_sizes.ENOUGH_WORK", 0)
    monkeypatch.setattr("kir.exporters.onnx_file.verify.batches.CHEAP_WORK", 0)

    def verify(build: Build) -> VerificationReport:
        graph = lowered(build, (120, 120, 3))
        return verify_file(graph, to_model_proto(graph).SerializeToString())

    return verify


def covered_by_outputs(report: VerificationReport) -> str:
    (covered,) = (one.covered for one in report.statements if one.part == "outputs")
    return covered


def test_a_batch_runs_at_full_size_where_small_images_are_too_small(
    verified: Callable[[Build], VerificationReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kir.exporters.onnx_file.mapped.LeanModel.session_resized", None)  # it is not tried
    report = verified(pooled)
    assert report.passed
    assert not report.not_shown
    assert "a row of it in batches of 11)" in covered_by_outputs(report)


def test_a_batch_runs_small_where_a_window_fits(verified: Callable[[Build], VerificationReport]) -> None:
    report = verified(chain(lambda: layers.MaxPooling2D(3, 2, padding="same")))
    assert report.passed
    assert "at 32×32 pixels)" in covered_by_outputs(report)


def test_the_death_of_onnxruntime_at_a_small_size_is_no_mismatch(
    verified: Callable[[Build], VerificationReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(session: Any, feeds: Any) -> Any:
        session._worker.call("running small images", os.abort)

    monkeypatch.setattr(small_images, "run_session", die)
    report = verified(chain(lambda: layers.MaxPooling2D(3, 2, padding="same")))
    assert report.passed
    assert "a row of it in batches of 11)" in covered_by_outputs(report)
