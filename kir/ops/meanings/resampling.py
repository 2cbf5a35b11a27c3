"""Resize and Upsample: images of another size, axis by axis.

Where an element lies, and what its neighbours weigh, is computed in float32, as runtimes do: which of two neighbours is
the nearer may hang on it, and weights of cubic curves cancel.
Where ONNX's own implementation and onnxruntime differ, this is onnxruntime's: corners are aligned in whole numbers of
elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from kir.ir.op import Array
from kir.ir.types import TensorType
from kir.ops.meanings.table import means

f32 = np.float32
TIE = 1e-6  # nearer to the middle of two elements than this, onnxruntime takes a place to lie there


@dataclass(frozen=True)
class Axis:
    """How one axis is resized: `start` and `end` are those of the region, as parts of the axis."""

    given: int
    wanted: int
    scale: np.float32
    start: float | np.float32 = 0.0
    end: float | np.float32 = 1.0

    def places(self, transformation: str) -> Array:
        """Return where the wanted elements lie among the given ones: float32 [wanted]."""
        index = np.arange(self.wanted, dtype=f32)
        given, wanted = f32(self.given), f32(self.wanted)
        match transformation:
            case "half_pixel":
                return (index + f32(0.5)) / self.scale - f32(0.5)
            case "pytorch_half_pixel":
                return (index + f32(0.5)) / self.scale - f32(0.5) if self.wanted > 1 else index * 0
            case "half_pixel_symmetric":
                offset = given / f32(2) * (f32(1) - wanted / (self.scale * given))
                return offset + (index + f32(0.5)) / self.scale - f32(0.5)
            case "asymmetric":
                return index / self.scale
            case "tf_half_pixel_for_nn":
                return (index + f32(0.5)) / self.scale
            case "align_corners":
                return index * (given - f32(1)) / (wanted - f32(1)) if self.wanted > 1 else index * 0
            case "tf_crop_and_resize":
                if self.wanted == 1:
                    return f32(0.5) * (self.start + self.end) * (given - f32(1)) + index * 0
                step = index * (self.end - self.start) * (given - f32(1)) / (wanted - f32(1))
                return self.start * (given - f32(1)) + step
        raise ValueError(f"ONNX has no coordinate_transformation_mode={transformation!r}")


@dataclass(frozen=True)
class Method:
    """The attributes of a Resize that say how elements are made of others."""

    mode: str = "nearest"
    nearest_mode: str = "round_prefer_floor"
    coordinate_transformation_mode: str = "half_pixel"
    cubic_coeff_a: float = -0.75
    exclude_outside: int = 0
    antialias: int = 0

    def nearest(self, axis: Axis) -> Array:
        """Return the index of the given element that each wanted one is: int64 [wanted]."""
        places = axis.places(self.coordinate_transformation_mode)
        return np.clip(_nearest(places, self.nearest_mode, axis.scale < 1), 0, axis.given - 1).astype(np.int64)

    def weights(self, axis: Axis) -> Array:
        """Return the weights of the given elements in each wanted one: float32 [wanted, given]."""
        places = axis.places(self.coordinate_transformation_mode)
        if self.antialias:
            reach = max(1.0, 1 / float(axis.scale))
        else:
            reach = 1.0
            places = places if self.mode == "cubic" else np.clip(places, 0, axis.given - 1)
        radius = 2 if self.mode == "cubic" else 1
        first = np.floor(places - radius * reach).astype(np.int64)
        neighbours = first[:, None] + np.arange(int(np.ceil(2 * radius * reach)) + 2)
        kernel = partial(_cubic, self.cubic_coeff_a) if self.mode == "cubic" else _linear
        weights = kernel(np.abs(neighbours.astype(f32) - places[:, None]) / f32(reach))
        if self.exclude_outside:
            weights = np.where((neighbours < 0) | (neighbours >= axis.given), 0, weights)
        if self.antialias or self.exclude_outside:
            weights = weights / weights.sum(1, keepdims=True)
        # What lies outside is the element at the edge.
        result = np.zeros((axis.wanted, axis.given), f32)
        rows = np.arange(axis.wanted)[:, None]
        np.add.at(result, (rows, np.clip(neighbours, 0, axis.given - 1)), weights)
        return result


def _nearest(places: Array, mode: str, shrinks: np.bool) -> Array:
    match mode:
        case "round_prefer_floor":
            return np.ceil(places.astype(np.float64) - 0.5 - TIE)
        case "round_prefer_ceil":
            return np.floor(places.astype(np.float64) + 0.5 + TIE)
        case "floor":
            return np.floor(places)
        case "ceil":
            return np.ceil(places)
        case "simple":  # of opset 10 and before
            return np.ceil(places) if shrinks else np.trunc(places)
    raise ValueError(f"ONNX has no nearest_mode={mode!r}")


def _linear(x: Array) -> Array:
    return np.asarray(np.maximum(0, 1 - x))


def _cubic(a: float, x: Array) -> Array:
    near = ((f32(a) + 2) * x - (f32(a) + 3)) * x * x + 1
    far = ((f32(a) * x - 5 * f32(a)) * x + 8 * f32(a)) * x - 4 * f32(a)
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _is_clear(settings: Mapping[str, Any], types: tuple[TensorType, ...]) -> bool:
    """Return whether runtimes agree: on how integers between others are rounded, and on which element is nearer."""
    # The places are sums of three numbers here, which runtimes round in an order of their own.
    is_symmetric = settings.get("coordinate_transformation_mode") == "half_pixel_symmetric"
    mode = settings.get("mode", "nearest")
    if mode != "nearest":
        return types[0].dtype.is_float and (mode == "linear" or not is_symmetric)
    return not is_symmetric


@means("Resize", before=11)
def resize_by_factors(x: Array, scales: Array, *, mode: str = "nearest") -> Array:
    """Return an image of other sizes, as Resize did before opset 11."""
    return upsample(x, scales, mode=mode)


@means("Resize", since=11, more=[field.name for field in fields(Method)], when=_is_clear)
def resize(
    x: Array,
    roi: Array | None = None,
    scales: Array | None = None,
    sizes: Array | None = None,
    *,
    axes: tuple[int, ...] | None = None,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    **how: Any,
) -> Array:
    """Return an image of other sizes, given as factors or as numbers of elements, perhaps for some axes only."""
    method = Method(**how)
    chosen = tuple(axis % x.ndim for axis in axes) if axes else tuple(range(x.ndim))
    given = np.array([x.shape[axis] for axis in chosen])
    if scales is not None and scales.size:
        factors = scales.astype(f32)
        wanted = np.floor(factors * given.astype(f32)).astype(np.int64)
    else:
        assert sizes is not None, "a Resize has scales or sizes"
        factors, wanted = _of_sizes(given, sizes, keep_aspect_ratio_policy)
    regions = np.zeros(2 * len(chosen), f32) if roi is None or not roi.size else roi.astype(f32)
    if roi is None or not roi.size:
        regions[len(chosen) :] = 1
    starts, ends = np.split(regions, 2)
    resized = [Axis(*each) for each in zip(given.tolist(), wanted.tolist(), factors, starts, ends, strict=True)]
    return _resize(x, dict(zip(chosen, resized, strict=True)), method, extrapolation_value)


@means("Upsample", before=9)
def upsample_by_attribute(x: Array, *, scales: tuple[float, ...], mode: str = "nearest") -> Array:
    """Return an image of other sizes."""
    return upsample(x, np.array(scales, f32), mode=mode)


@means("Upsample", since=9, before=10)
def upsample(x: Array, factors: Array, *, mode: str = "nearest") -> Array:
    """Return an image of other sizes."""
    factors = factors.astype(f32)
    wanted = np.floor(factors * np.array(x.shape, f32)).astype(np.int64)
    axes = [Axis(*each) for each in zip(x.shape, wanted.tolist(), factors, strict=True)]
    method = Method("linear" if mode == "bilinear" else mode, "simple", "asymmetric")
    return _resize(x, dict(enumerate(axes)), method, 0.0)


def _of_sizes(given: Array, sizes: Array, policy: str) -> tuple[Array, Array]:
    """Return the factors and the sizes; a policy other than "stretch" takes one factor for all."""
    factors = sizes.astype(f32) / given.astype(f32)
    if policy == "stretch":
        return factors, sizes
    factor = factors.min() if policy == "not_larger" else factors.max()
    return np.full(len(sizes), factor), np.floor(factor * given.astype(f32) + f32(0.5)).astype(np.int64)


def _resize(x: Array, axes: dict[int, Axis], method: Method, outside: float) -> Array:
    is_changed = any(axis.given != axis.wanted or axis.scale != 1 for axis in axes.values())
    # onnxruntime returns an image that keeps its sizes as it is, whatever the region.
    crops = is_changed and method.coordinate_transformation_mode == "tf_crop_and_resize"
    axes = {number: axis for number, axis in axes.items() if crops or axis.scale != 1 or axis.given != axis.wanted}
    if not x.size or any(not axis.wanted for axis in axes.values()):
        shape = [axes[number].wanted if number in axes else size for number, size in enumerate(x.shape)]
        return np.zeros(shape, x.dtype)
    result = x
    for number, axis in sorted(axes.items(), reverse=True):
        result = _apply(result, number, method, axis)
    if crops:
        for number, axis in axes.items():
            places = axis.places(method.coordinate_transformation_mode)
            is_outside = (places < 0) | (places > axis.given - 1)
            moved = np.moveaxis(result, number, 0)
            moved[is_outside] = outside
    return result


def _apply(x: Array, number: int, method: Method, axis: Axis) -> Array:
    if method.mode == "nearest":
        return np.take(x, method.nearest(axis), number)
    weights = method.weights(axis).astype(x.dtype)
    return np.moveaxis(np.moveaxis(x, number, -1) @ weights.T, -1, number)
