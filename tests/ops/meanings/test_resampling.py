"""Resize and Upsample against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.meanings.single_nodes import Array, Numbers, check, has_meaning

f = Numbers()
X = f(1, 2, 5, 7)
BYTES = f.integers(255, 1, 2, 5, 7, dtype=np.uint8)

TRANSFORMATIONS = [
    *("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "asymmetric", "align_corners", "tf_crop_and_resize"),
]
SIZES: list[dict[str, Any]] = [
    {"scales": [1, 1, 1.6, 2 / 7]},
    {"scales": [1, 1, 2, 3]},
    {"sizes": [1, 2, 1, 3]},
    {"sizes": [1, 2, 11, 13]},
    {"sizes": [1, 2, 4, 5]},
]


def resize(x: Array, scales: Any = None, sizes: Any = None, roi: Any = None, version: int = 19, **how: Any) -> None:
    given = [None if part is None else np.array(part, np.float32) for part in (roi, scales)]
    last = None if sizes is None else np.array(sizes)
    check("Resize", x, *given, last, version=version, constants=[2 if sizes is None else 3], **how)


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("size", SIZES)
def test_all_modes(transformation: str, size: dict[str, Any]) -> None:
    roi = [0, 0, 0.1, -0.2, 1, 1, 0.8, 1.1] if transformation == "tf_crop_and_resize" else None
    how = {"roi": roi, "coordinate_transformation_mode": transformation, "extrapolation_value": 3.0, **size}
    if transformation != "half_pixel_symmetric":
        for nearest in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
            resize(X, mode="nearest", nearest_mode=nearest, **how)
        resize(BYTES, mode="nearest", **how)
    resize(X, mode="linear", **how)
    for outside in (0, 1):
        if transformation == "half_pixel_symmetric":
            continue
        resize(X, mode="cubic", exclude_outside=outside, rtol=1e-4, **how)
        resize(X, mode="linear", antialias=1, exclude_outside=outside, **how)
        resize(X, mode="cubic", antialias=1, exclude_outside=outside, cubic_coeff_a=-0.5, **how)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_aspect_ratios(mode: str, policy: str) -> None:
    resize(X, sizes=[8, 9], axes=[2, 3], mode=mode, keep_aspect_ratio_policy=policy)
    resize(X, sizes=[3, 9], axes=[2, 3], mode=mode, keep_aspect_ratio_policy=policy)


def test_axes_and_ranks() -> None:
    resize(X, scales=[2, 0.5], axes=[-1, 2], mode="nearest")
    resize(X, scales=[2, 0.5], axes=[3, 2], mode="linear")
    crop: dict[str, Any] = {"roi": [0.1, -0.2, 0.8, 1.1], "coordinate_transformation_mode": "tf_crop_and_resize"}
    resize(X, sizes=[4, 9], axes=[2, 3], mode="linear", **crop)
    resize(f(1, 5, 7, 2), scales=[1, 1.5, 0.7, 1], mode="linear")
    resize(f(5, 7), scales=[1.5, 0.7], mode="cubic")
    resize(f(1, 2, 4, 5, 6), scales=[1, 1, 1.5, 0.7, 2], mode="linear")
    resize(f(2, 3, 8), scales=[1, 1, 0.4], mode="linear")
    resize(f(0, 3, 8, 2), scales=[1, 1, 2, 2], mode="linear")
    resize(f(1, 1, 50, 50), scales=[1, 1, 0.37, 1.13], roi=[], mode="linear", version=11)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_old_versions(mode: str) -> None:
    for factors in ([1, 1, 2, 2], [1, 1, 0.6, 0.4], [1, 1, 1.7, 0.8]):
        check("Resize", X, np.array(factors, np.float32), mode=mode, version=10, constants=[1])
    check("Upsample", X, np.array([1, 1, 2, 3], np.float32), mode=mode, version=9, constants=[1])
    check("Upsample", X, scales=[1.0, 1.0, 2.0, 3.0], mode=mode, version=7)


def test_an_image_that_keeps_its_sizes_is_not_cropped() -> None:
    crop: dict[str, Any] = {"roi": [0, 0, 0, 0, 1, 1, 1, 0.5], "coordinate_transformation_mode": "tf_crop_and_resize"}
    resize(X, sizes=X.shape, mode="linear", **crop)


def test_corners_are_aligned_in_whole_numbers() -> None:
    resize(X, scales=[1, 1, 0.5, 0.6], mode="linear", coordinate_transformation_mode="align_corners")


def test_what_runtimes_round_in_their_own_ways_has_no_meaning() -> None:
    assert has_meaning("Resize", "u8[1,2]", mode="nearest")
    assert not has_meaning("Resize", "u8[1,2]", mode="linear")
    assert not has_meaning("Resize", "f32[1,2]", coordinate_transformation_mode="half_pixel_symmetric")
    assert not has_meaning("Resize", "f32[1,2]", mode="cubic", coordinate_transformation_mode="half_pixel_symmetric")
    assert has_meaning("Resize", "f32[1,2]", mode="linear", coordinate_transformation_mode="half_pixel_symmetric")
