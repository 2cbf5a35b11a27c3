"""Windows over images, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.meanings.single_nodes import MICROSOFT, Numbers, check

f = Numbers()
WINDOWS: list[dict[str, Any]] = [
    {},
    {"pads": [1, 0, 1, 1], "strides": [2, 1]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    {"auto_pad": "VALID"},
    {"dilations": [2, 1]},
    {"ceil_mode": 1, "strides": [2, 3]},
]


@pytest.mark.parametrize("how", WINDOWS)
def test_lp_pool(how: dict[str, Any]) -> None:
    for p in (1, 2, 3):
        check("LpPool", f(2, 3, 7, 8), kernel_shape=[3, 2], p=p, version=18, **how)


def test_pools_of_other_ranks() -> None:
    check("LpPool", f(2, 3, 7), kernel_shape=[3], version=18)
    check("GlobalLpPool", f(2, 3, 7, 4), p=1, version=18)
    check("GlobalLpPool", f(2, 3, 7, 4), version=18)
    check("MaxPool", f(2, 3, 5, 6, 7), kernel_shape=[3, 2, 2], outputs=2)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("how", WINDOWS)
def test_max_pool_with_indices(how: dict[str, Any], order: int) -> None:
    ones, small = np.ones((1, 2, 7, 8), np.float32), f.integers(9, 1, 2, 7, 8, dtype=np.uint8)
    for x in (f(2, 3, 7, 8), ones, small, ones - np.float32(np.inf)):
        check("MaxPool", x, kernel_shape=[3, 2], storage_order=order, outputs=2, **how)


def test_nhwc_max_pool() -> None:
    x = f.integers(255, 2, 6, 7, 3, dtype=np.uint8)
    check("NhwcMaxPool", x, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1], domain=MICROSOFT)


def test_max_unpool() -> None:
    indices = np.array([[[[0, 2], [9, 11]], [[16, 18], [25, 27]]]])
    x = f(1, 2, 2, 2)
    check("MaxUnpool", x, indices, kernel_shape=[2, 2], strides=[2, 2])
    check("MaxUnpool", x, indices, np.array([1, 2, 4, 4]), kernel_shape=[2, 2], strides=[2, 2])
    check("MaxUnpool", x, indices, np.array([1, 2, 5, 5]), kernel_shape=[2, 2], strides=[2, 2])


def test_col2im() -> None:
    check("Col2Im", f(2, 12, 20), [5, 6], [2, 2], version=18)
    check("Col2Im", f(2, 12, 20), [5, 6], [2, 2], pads=[1, 0, 0, 1], dilations=[2, 2], version=18)


@pytest.mark.parametrize("has_mask", [False, True])
@pytest.mark.parametrize(("group", "offset_group"), [(1, 1), (2, 1), (2, 2)])
def test_deform_conv(group: int, offset_group: int, has_mask: bool) -> None:
    kernel = f(6, 4 // group, 3, 2)
    masks = [f(2, offset_group * 6, *size) if has_mask else None for size in ((5, 5), (3, 4))]
    how = {"group": group, "offset_group": offset_group, "version": 19, "rtol": 1e-4}
    offsets = f(2, offset_group * 12, 5, 5)
    check("DeformConv", f(2, 4, 6, 5), kernel, offsets, f(6), masks[0], pads=[1, 0, 0, 1], **how)
    offsets = f(2, offset_group * 12, 3, 4) * 3
    check("DeformConv", f(2, 4, 6, 7), kernel, offsets, None, masks[1], strides=[2, 2], pads=[1, 1, 1, 1], **how)
