"""Images sampled at places that are computed: GridSample and AffineGrid."""

from __future__ import annotations

import itertools

import numpy as np

from kir.ir.op import Array
from kir.ops.meanings.table import means

CUBIC_COEFFICIENT = -0.75


@means("GridSample")
def grid_sample(
    x: Array, grid: Array, *, mode: str = "linear", padding_mode: str = "zeros", align_corners: int = 0
) -> Array:
    """Return what images [N, C, *spatial] have at the places grid [N, *wanted, axes] gives, from -1 to 1, last first.

    Places outside have 0, the element at the edge, or that of the image mirrored at its edges.
    """
    places = [_denormalized(grid[..., -1 - axis], size, bool(align_corners)) for axis, size in enumerate(x.shape[2:])]
    if mode == "nearest":
        places = [np.rint(place) for place in places]
    limits = [(0.0, size - 1.0) if align_corners else (-0.5, size - 0.5) for size in x.shape[2:]]
    if padding_mode != "zeros" and mode not in ("cubic", "bicubic"):
        places = [
            _inside(place, size, limit, padding_mode)
            for place, size, limit in zip(places, x.shape[2:], limits, strict=True)
        ]
    neighbours = [_neighbours(place, mode) for place in places]
    result = np.zeros((*x.shape[:2], *grid.shape[1:-1]), x.dtype)
    for choice in itertools.product(*neighbours):
        weight = np.ones(grid.shape[:-1], grid.dtype)
        indices = []
        for (index, factor), size, limit in zip(choice, x.shape[2:], limits, strict=True):
            if padding_mode == "zeros":
                factor = np.where((index < 0) | (index >= size), 0, factor)
            else:
                index = _inside(index, size, limit, padding_mode)
            indices.append(np.clip(np.nan_to_num(index), 0, size - 1).astype(np.int64))
            weight = weight * factor
        batch = np.arange(len(x)).reshape(-1, *[1] * (grid.ndim - 2))
        result += np.moveaxis(x[batch, :, *indices], -1, 1) * weight[:, None]
    return result


def _denormalized(place: Array, size: int, aligned: bool) -> Array:
    return (place + 1) / 2 * (size - 1) if aligned else ((place + 1) * size - 1) / 2


def _inside(place: Array, size: int, limit: tuple[float, float], padding_mode: str) -> Array:
    """Return the places with those outside the limits moved inside."""
    low, high = limit
    is_outside = (place < low) | (place > high)
    if padding_mode == "border":
        return np.where(is_outside, np.clip(place, 0, size - 1), place)
    span = high - low
    if not span:
        return np.where(is_outside, low, place)
    distance = np.where(place < low, low - place, place - high)
    turns = np.floor(distance / span)
    rest = distance - turns * span
    starts_low = (place < low) == (turns % 2 == 0)
    return np.where(is_outside, np.where(starts_low, low + rest, high - rest), place)


def _neighbours(place: Array, mode: str) -> list[tuple[Array, Array]]:
    """Return the indices along one axis that count at each place, with their weights."""
    if mode == "nearest":
        return [(place, np.ones_like(place))]
    first = np.floor(place)
    rest = place - first
    if mode in ("linear", "bilinear"):
        return [(first, 1 - rest), (first + 1, rest)]
    return [(first + step, _cubic(np.abs(rest - step))) for step in (-1, 0, 1, 2)]


def _cubic(x: Array) -> Array:
    a = CUBIC_COEFFICIENT
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, far)


@means("AffineGrid")
def affine_grid(theta: Array, size: Array, *, align_corners: int = 0) -> Array:
    """Return the places of a grid for `grid_sample` under affine maps theta [N, axes, axes + 1]."""
    spatial = size.tolist()[2:]
    axes = [
        # Of a single place onnxruntime takes the last.
        np.linspace(1, -1, count)[::-1] if align_corners else (2 * np.arange(count) + 1) / count - 1
        for count in spatial
    ]
    # The last spatial axis comes first in a place, and after all a 1 for the shift.
    places = np.stack([*np.meshgrid(*axes, indexing="ij")[::-1], np.ones(spatial)], -1).astype(theta.dtype)
    flat = places.reshape(-1, places.shape[-1]) @ theta.swapaxes(1, 2)
    return flat.reshape(len(theta), *spatial, -1)
