"""`tf.image.resize` in all its versions: images channels last, of rank 4, or 3 without a batch.

| function                     | place of element i of n, of m elements     | beyond the border          |
|------------------------------|--------------------------------------------|----------------------------|
| tf.image.resize              | (i + 0.5) · m / n − 0.5                    | left out                   |
| tf.compat.v1.image.resize    | i · m / n                                  | the border is repeated     |
| the same with align_corners  | i · (m − 1) / (n − 1)                      | the border is repeated     |

Source: https://www.tensorflow.org/api_docs/python/tf/image/resize
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kir import backend as K
from kir.backend.dispatch import as_shape, convert, rank_of
from kir.backend.image import weigh
from kir.importers.tensorflow_functions.signatures import refuse, require_few, single, sizes_of, tensorflow, whole
from kir.ir.op import Array
from kir.ir.types import DType
from kir.ops.resize import KERNELS
from kir.support.limits import MAX_COUNT, MAX_ELEMENTS

# TensorFlow 1 numbers them.
_NUMBERED = ("bilinear", "nearest", "bicubic", "area")
_CHANNELS_LAST = "channels_last"


@tensorflow("image.resize")
def _resize(
    images: Any, size: Any, method: Any = "bilinear", preserve_aspect_ratio: bool = False, antialias: bool = False
) -> Any:
    return resize(single(images), as_shape(size), method, preserve_aspect_ratio, antialias)


def resize(
    x: Any, size: tuple[Any, ...], method: Any, preserve_aspect_ratio: bool = False, antialias: bool = False
) -> Any:
    """Return the images in another size: in their dtype by "nearest", else in float32."""
    kind = _name(method)
    size = _at_their_ratio(x, size) if preserve_aspect_ratio else size
    if kind == "nearest":
        return _nearest(x, size, lambda n, m: (np.arange(n, dtype=np.float32) + np.float32(0.5)) * _ratio(m, n))
    x = convert(x, DType.FLOAT32)
    if kind in ("bilinear", "bicubic") and not antialias and not _are_known(x, size):
        return K.image.resize(x, size, kind, data_format=_CHANNELS_LAST)
    if kind == "bilinear" and not antialias:
        return K.image.resize(x, size, kind, data_format=_CHANNELS_LAST)
    return _by_weights(x, size, kind, lambda n, m: weights_of(kind, n, m, antialias))


def _name(method: Any) -> str:
    given = whole(method)
    return _NUMBERED[given] if isinstance(given, int) else str(given).lower()


def _ratio(given: int, wanted: int) -> np.float32:
    return np.float32(given) / np.float32(wanted)


def _at_their_ratio(x: Any, size: tuple[Any, ...]) -> tuple[Any, ...]:
    given = sizes_of(x)[-3:-1]
    if not _are_known(x, size):
        raise refuse("image.resize", "with preserve_aspect_ratio=True of unknown sizes", "fix the Input's shape")
    scale = min(np.float32(size[0]) / np.float32(given[0]), np.float32(size[1]) / np.float32(given[1]))
    return tuple(int(np.round(scale * np.float32(one))) for one in given)


def _are_known(x: Any, size: tuple[Any, ...]) -> bool:
    return all(isinstance(one, int) for one in (*sizes_of(x)[-3:-1], *size))


def _axes(x: Any) -> tuple[int, int]:
    return rank_of(x) - 3, rank_of(x) - 2


def _nearest(x: Any, size: tuple[Any, ...], places: Callable[[int, int], Array]) -> Any:
    if not _are_known(x, size):
        return K.image.resize(x, size, "nearest", data_format=_CHANNELS_LAST)
    for axis, wanted in zip(_axes(x), size, strict=True):
        given = sizes_of(x)[axis]
        require_few("image.resize", wanted, MAX_COUNT)
        indices = np.minimum(np.floor(places(wanted, given)).astype(np.int64), given - 1)
        x = x if np.array_equal(indices, np.arange(given)) else K.take(x, indices, axis)
    return x


def _by_weights(x: Any, size: tuple[Any, ...], kind: str, weights: Callable[[int, int], Array]) -> Any:
    if not _are_known(x, size):
        raise refuse("image.resize", f"with method={kind!r} of unknown sizes", "fix the Input's shape")
    for axis, wanted in zip(_axes(x), size, strict=True):
        require_few("image.resize", wanted * sizes_of(x)[axis], MAX_ELEMENTS)
        x = weigh(x, axis, weights(wanted, sizes_of(x)[axis]))
    return x


def weights_of(kind: str, wanted: int, given: int, antialias: bool = False) -> Array:
    """Return how much of each old element goes into each new one, by TensorFlow's kernel of that name: [new, old]."""
    ratio = given / wanted
    places = (np.arange(wanted) + 0.5) * ratio - 0.5
    if kind == "area":
        return _area(np.arange(wanted) * ratio, ratio, given)
    if kind == "bicubic" and not antialias:
        # TensorFlow has a table of the kernel, of 1024 places between two elements.
        places = np.floor(places) + np.round((places - np.floor(places)) * 1024) / 1024
    widened = max(ratio, 1.0) if antialias else 1.0
    kernel = _KERNELS.get(kind)
    if kernel is None:
        raise refuse("image.resize", f"with method={kind!r}", f"expected one of {', '.join(sorted(_KERNELS))}")
    weights = kernel(np.abs(places[:, None] - np.arange(given)) / widened)
    total = weights.sum(1, keepdims=True)
    return np.asarray(weights / np.where(np.abs(total) > 1e-7, total, 1))


def _area(starts: Array, ratio: float, given: int) -> Array:
    """Return how much of each new element lies in each old one."""
    first = starts[:, None]
    overlaps = np.minimum(first + ratio, np.arange(given) + 1) - np.maximum(first, np.arange(given))
    return np.asarray(np.maximum(overlaps, 0) / ratio)


def _gaussian(x: Array) -> Array:
    return np.where(x < 1.5, np.exp(-2 * x * x), 0)


def _mitchell_cubic(x: Array) -> Array:
    near = (7 * x - 12) * x * x / 6 + 8 / 9
    far = ((-7 / 3 * x + 12) * x - 20) * x / 6 + 16 / 9
    return np.where(x < 1, near, np.where(x < 2, far, 0))


_KERNELS: Mapping[str, Callable[[Array], Array]] = {
    "bilinear": KERNELS["linear"],
    "bicubic": KERNELS["cubic"],
    "lanczos3": KERNELS["lanczos3"],
    "lanczos5": KERNELS["lanczos5"],
    "gaussian": _gaussian,
    "mitchellcubic": _mitchell_cubic,
}

# TensorFlow 1


@tensorflow("compat.v1.image.resize compat.v1.image.resize_images")
def _resize_v1(
    images: Any, size: Any, method: Any = 0, align_corners: bool = False, preserve_aspect_ratio: bool = False
) -> Any:
    x, wanted = single(images), as_shape(size)
    wanted = _at_their_ratio(x, wanted) if preserve_aspect_ratio else wanted
    if sizes_of(x)[-3:-1] == wanted:
        return x
    return _resize_from_corners(x, wanted, _name(method), align_corners, False)


def _resize_from_corners(x: Any, size: tuple[Any, ...], kind: str, align_corners: Any, half_pixel_centers: Any) -> Any:
    if half_pixel_centers:
        return resize(x, size, kind)
    if kind == "nearest":
        rounding = np.float32(0.5 if align_corners else 0)
        return _nearest_from_corners(x, size, bool(align_corners), rounding)
    x = convert(x, DType.FLOAT32)
    if kind == "bilinear":
        return _bilinear_from_corners(x, size, bool(align_corners))
    if kind == "area" and align_corners:
        raise refuse("compat.v1.image.resize", "with method=AREA and align_corners=True")
    if kind == "area":
        return _by_weights(x, size, kind, lambda n, m: weights_of("area", n, m))
    return _by_weights(x, size, kind, lambda n, m: _cubic_from_corners(n, m, bool(align_corners)))


def _scale(given: int, wanted: int, align_corners: bool) -> np.float32:
    if align_corners and wanted > 1:
        return np.float32(given - 1) / np.float32(wanted - 1)
    return _ratio(given, wanted)


def _nearest_from_corners(x: Any, size: tuple[Any, ...], align_corners: bool, rounding: np.float32) -> Any:
    if not _are_known(x, size):
        raise refuse("compat.v1.image.resize", "with method=NEAREST_NEIGHBOR of unknown sizes", "fix the Input's shape")
    return _nearest(x, size, lambda n, m: np.arange(n, dtype=np.float32) * _scale(m, n, align_corners) + rounding)


def _bilinear_from_corners(x: Any, size: tuple[Any, ...], align_corners: bool) -> Any:
    for axis, wanted in zip(_axes(x), size, strict=True):
        given = sizes_of(x)[axis]
        if isinstance(given, int) and isinstance(wanted, int):
            require_few("image.resize", wanted * given, MAX_ELEMENTS)
            x = weigh(x, axis, linear_from_corners(wanted, given, align_corners))
        else:
            x = _blend_axis(x, axis, wanted, align_corners)
    return x


def linear_from_corners(wanted: int, given: int, align_corners: bool) -> Array:
    """Return the weights of TensorFlow 1, in which old and new elements begin at the same place: [new, old]."""
    places = np.arange(wanted, dtype=np.float32) * _scale(given, wanted, align_corners)
    lower = np.floor(places).astype(np.int64)
    fraction = (places - lower).astype(np.float32)
    weights = np.zeros((wanted, given))
    rows = np.arange(wanted)
    np.add.at(weights, (rows, np.minimum(lower, given - 1)), 1 - fraction)
    np.add.at(weights, (rows, np.minimum(lower + 1, given - 1)), fraction)
    return weights


def _blend_axis(x: Any, axis: int, wanted: Any, align_corners: bool) -> Any:
    """Return one axis in an unknown size: each element between two neighbours, whose places are whole numbers.

    Element i lies at i · m / n: its lower neighbour is the quotient, and the remainder over n the weight of the upper.
    """
    given = sizes_of(x)[axis]
    last = K.cast(given, "int64") - 1
    top, bottom = (last, K.maximum(K.cast(wanted, "int64") - 1, 1)) if align_corners else (last + 1, wanted)
    scaled = K.multiply(K.arange(wanted, dtype="int64"), top)
    bottom = K.cast(bottom, "int64")
    lower = K.floor_divide(scaled, bottom)
    rest = K.divide(K.cast(K.subtract(scaled, K.multiply(lower, bottom)), "float32"), K.cast(bottom, "float32"))
    rest = K.reshape(rest, (-1, *(1,) * (rank_of(x) - axis - 1)))
    below, above = (K.take(x, K.minimum(place, last), axis) for place in (lower, K.add(lower, 1)))
    return K.add(below, K.multiply(K.subtract(above, below), rest))


def _cubic_from_corners(wanted: int, given: int, align_corners: bool) -> Array:
    """Return the weights of TensorFlow 1, whose curve has another coefficient, -0.75, than that of TensorFlow 2."""
    places = np.arange(wanted, dtype=np.float32) * _scale(given, wanted, align_corners)
    lower = np.floor(places).astype(np.int64)
    fraction = np.round((places - lower) * 1024) / 1024
    weights = np.zeros((wanted, given))
    for offset in (-1, 0, 1, 2):
        x = np.abs(fraction - offset)
        near = (1.25 * x - 2.25) * x * x + 1
        far = ((-0.75 * x + 3.75) * x - 6) * x + 3
        np.add.at(weights, (np.arange(wanted), np.clip(lower + offset, 0, given - 1)), np.where(x <= 1, near, far))
    return weights


def _enter_method(name: str, kind: str) -> None:
    def call(images: Any, size: Any, align_corners: Any = False, half_pixel_centers: Any = False) -> Any:
        return _resize_from_corners(single(images), as_shape(size), kind, align_corners, half_pixel_centers)

    tensorflow(f"compat.v1.image.resize_{name}")(call)


_enter_method("bilinear", "bilinear")
_enter_method("nearest_neighbor", "nearest")
_enter_method("bicubic", "bicubic")
_enter_method("area", "area")
