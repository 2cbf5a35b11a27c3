"""Regions of images: RoiAlign, MaxRoiPool and NonMaxSuppression."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kir.ir.op import Array
from kir.ops.meanings.table import along, means

MOST_BOXES = 100  # of each class: as many are asked for when inputs are made up


@means(
    "RoiAlign",
    before=16,
    ranges={2: along(0, 0)},
    more=("mode", "output_height", "output_width", "sampling_ratio", "spatial_scale"),
)
def roi_align_without_shift(x: Array, rois: Array, batch_indices: Array, **how: Any) -> Array:
    """Return what `roi_align` does of regions whose corners are at pixels."""
    return roi_align(x, rois, batch_indices, coordinate_transformation_mode="output_half_pixel", **how)


@means("RoiAlign", since=16, ranges={2: along(0, 0)})
def roi_align(
    x: Array,
    rois: Array,
    batch_indices: Array,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Array:
    """Return each region [x1, y1, x2, y2] of images [N, C, H, W] in cells, means (or maxima) of samples between pixels.

    A maximum is that of the four pixels at each sample, by their weights.
    """
    is_half = coordinate_transformation_mode == "half_pixel"
    corners = rois * x.dtype.type(spatial_scale) - x.dtype.type(0.5 if is_half else 0)
    counts = (output_height, output_width)
    result = np.zeros((len(rois), x.shape[1], *counts), x.dtype)
    for number, (corner, image) in enumerate(zip(corners, batch_indices.tolist(), strict=True)):
        axes = [_samples(corner[1 - axis], corner[3 - axis], counts[axis], sampling_ratio, is_half) for axis in (0, 1)]
        (low_y, high_y, weight_y), (low_x, high_x, weight_x) = (
            _neighbours(places, size) for places, size in zip(axes, x.shape[2:], strict=True)
        )
        if not all(places.size for places in axes):
            continue
        parts = [
            x[image][:, ys[:, None], xs] * (wy[:, None] * wx)
            for ys, wy in ((low_y, weight_y[0]), (high_y, weight_y[1]))
            for xs, wx in ((low_x, weight_x[0]), (high_x, weight_x[1]))
        ]
        combined = np.sum(parts, axis=0) if mode == "avg" else np.max(parts, axis=0)
        cells = combined.reshape(x.shape[1], output_height, -1, output_width, len(axes[1]) // output_width)
        result[number] = cells.mean((2, 4)) if mode == "avg" else cells.max((2, 4))
    return result


def _samples(start: Array, end: Array, count: int, ratio: int, is_half: bool) -> Array:
    """Return the places of all samples along one axis, cell by cell."""
    length = end - start if is_half else np.maximum(end - start, 1)
    cell = length / count
    per_cell = ratio if ratio > 0 else max(math.ceil(cell), 0)
    steps = (np.arange(count)[:, None] + (np.arange(per_cell) + 0.5) / max(per_cell, 1)).ravel()
    return np.asarray(start + steps * cell).astype(start.dtype)


def _neighbours(places: Array, size: int) -> tuple[Array, Array, tuple[Array, Array]]:
    """Return the indices before and after each place, and their weights; places far outside have none."""
    counts = (places >= -1) & (places <= size)
    inside = np.clip(places, 0, size - 1)
    low = np.floor(inside).astype(np.int64)
    high = np.minimum(low + 1, size - 1)
    rest = inside - low
    return low, high, (np.where(counts, 1 - rest, 0), np.where(counts, rest, 0))


@means("MaxRoiPool", exact=True)
def max_roi_pool(x: Array, rois: Array, *, pooled_shape: tuple[int, ...], spatial_scale: float = 1.0) -> Array:
    """Return the largest pixel in each cell of regions [image, x1, y1, x2, y2] of images [N, C, H, W]."""
    result = np.zeros((len(rois), x.shape[1], *pooled_shape), x.dtype)
    for number, roi in enumerate(rois):
        corners = np.floor(roi[1:].astype(np.float32) * np.float32(spatial_scale) + np.float32(0.5)).astype(np.int64)
        rows, columns = (
            _cells(int(corners[1 - axis]), int(corners[3 - axis]), pooled_shape[axis], x.shape[2 + axis])
            for axis in (0, 1)
        )
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                pixels = x[int(roi[0]), :, row, column]
                if pixels.size:
                    result[number, :, i, j] = pixels.max((1, 2))
    return result


def _cells(start: int, end: int, count: int, size: int) -> list[slice]:
    length = np.float32(max(end - start + 1, 1)) / np.float32(count)
    firsts = [math.floor(np.float32(i) * length) + start for i in range(count)]
    lasts = [math.ceil(np.float32(i + 1) * length) + start for i in range(count)]
    return [slice(min(max(first, 0), size), min(max(last, 0), size)) for first, last in zip(firsts, lasts, strict=True)]


@means("NonMaxSuppression", exact=True, ranges={2: lambda types, settings: [MOST_BOXES]})
def non_max_suppression(
    boxes: Array,
    scores: Array,
    most: Array | None = None,
    iou_threshold: Array | None = None,
    score_threshold: Array | None = None,
    *,
    center_point_box: int = 0,
) -> Array:
    """Return [image, class, box] of the boxes with the best scores that overlap no better one by more than a part."""
    limit = 0 if most is None else int(most.reshape(()))
    overlap = 0.0 if iou_threshold is None else iou_threshold.reshape(())
    chosen: list[tuple[int, int, int]] = []
    for image, (own_boxes, own_scores) in enumerate(zip(boxes, scores, strict=True)):
        low, high = _corners(own_boxes, bool(center_point_box))
        for kind, points in enumerate(own_scores):
            # Of equal scores the first box comes first.
            order = np.argsort(-points, kind="stable")
            if score_threshold is not None:
                order = order[points[order] > score_threshold.reshape(())]
            kept: list[int] = []
            for box in order.tolist():
                if len(kept) >= limit:
                    break
                if not (_overlaps(low, high, box, kept) > overlap).any():
                    kept.append(box)
            chosen += [(image, kind, box) for box in kept]
    return np.array(chosen, np.int64).reshape(-1, 3)


def _corners(boxes: Array, is_centered: bool) -> tuple[Array, Array]:
    """Return the least and the greatest corner of boxes: float [boxes, 2]."""
    if is_centered:
        return boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    return np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])


def _overlaps(low: Array, high: Array, box: int, others: list[int]) -> Array:
    """Return what part of the union of a box and each other one they have in common; 0 for boxes without an area."""
    common = np.maximum(np.minimum(high[box], high[others]) - np.maximum(low[box], low[others]), 0).prod(-1)
    area, areas = (high[box] - low[box]).prod(), (high[others] - low[others]).prod(-1)
    union = area + areas - common
    is_sound = (area > 0) & (areas > 0) & (union > 0)
    return np.where(is_sound, common / np.where(is_sound, union, 1), 0)
