"""Sampling at computed places, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.meanings.single_nodes import Array, Numbers, check

f = Numbers()


def places(*shape: int) -> Array:
    return f.generator.uniform(-1.7, 1.7, shape).astype(np.float32)


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_grid_sample(mode: str, padding: str, aligned: int) -> None:
    how = {"padding_mode": padding, "align_corners": aligned}
    for width in (6, 1):
        check("GridSample", f(2, 3, 5, width), places(2, 4, 3, 2), mode=mode, version=20, rtol=1e-4, **how)
    check("GridSample", f(0, 3, 5, 6), places(0, 4, 3, 2), mode=mode, version=20, **how)
    if mode != "cubic":
        check("GridSample", f(2, 3, 4, 5, 6), places(2, 4, 3, 2, 3), mode=mode, version=20, rtol=1e-4, **how)
    old = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    check("GridSample", f(2, 3, 5, 6), places(2, 4, 3, 2), mode=old, version=16, rtol=1e-4, **how)


@pytest.mark.parametrize("aligned", [0, 1])
def test_affine_grid(aligned: int) -> None:
    for size in ([2, 3, 4, 5], [2, 3, 1, 5]):
        check("AffineGrid", f(2, 2, 3), size, align_corners=aligned, version=20)
    check("AffineGrid", f(2, 3, 4), [2, 3, 4, 5, 6], align_corners=aligned, version=20)
