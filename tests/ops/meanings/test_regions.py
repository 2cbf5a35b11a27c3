"""Regions of images, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.meanings.single_nodes import Numbers, check

f = Numbers()
REGIONS = np.array(
    [[0, 0, 3, 4], [1, 1, 9, 9], [-5, -3, 2, 2], [2, 2, 2, 2], [0.3, 1.2, 30, 40]],
    np.float32,
)
IMAGES = np.array([0, 1, 1, 0, 1])


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 2, 3])
def test_roi_align(mode: str, ratio: int) -> None:
    how: dict[str, Any] = {
        "mode": mode,
        "sampling_ratio": ratio,
        "output_height": 3,
        "output_width": 2,
        "spatial_scale": 0.7,
    }
    for transformation in ("half_pixel", "output_half_pixel", None):
        kind = {"coordinate_transformation_mode": transformation, "version": 16}
        check("RoiAlign", f(2, 3, 8, 10), REGIONS, IMAGES, **kind, **how)
    check("RoiAlign", f(2, 3, 8, 10), REGIONS, IMAGES, version=10, **how)
    check("RoiAlign", f(2, 3, 8, 10), REGIONS[:0], IMAGES[:0], version=16, **how)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_max_roi_pool(scale: float) -> None:
    regions = np.array([[0, 0, 0, 3, 4], [1, 1, 1, 9, 9], [0, 2, 2, 2, 2], [1, 3, 1, 40, 50]], np.float32)
    check("MaxRoiPool", f(2, 3, 8, 10), regions, pooled_shape=[3, 2], spatial_scale=scale, version=13)


@pytest.mark.parametrize("center", [0, 1])
@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.5, 1.0])
def test_non_max_suppression(overlap: float, center: int) -> None:
    boxes, scores = (f.generator.uniform(0, 1, shape).astype(np.float32) for shape in ((2, 12, 4), (2, 3, 12)))
    scores[0, 0, :4] = 0.5  # ties
    boxes[0, 3] = boxes[0, 2]
    limit = np.array([overlap], np.float32)
    for most in (0, 3, 100):
        for least in (None, np.array([0.3], np.float32)):
            check("NonMaxSuppression", boxes, scores, [most], limit, least, center_point_box=center)
    check("NonMaxSuppression", boxes, scores)
    check("NonMaxSuppression", boxes[:, :0], scores[:, :, :0], [4])
