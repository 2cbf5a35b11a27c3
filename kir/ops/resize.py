"""Resize: images of another size. Floats of 16 bits are computed in float32 and rounded once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kir.errors import ShapeError
from kir.ir.dims import is_known
from kir.ir.op import Array
from kir.ir.types import FLOATS, Shape, TensorType, format_shape
from kir.ops.precision import WideOp, require_dtype

CUBIC_COEFFICIENT = -0.5  # Keys's, as in Keras; ONNX's own default is -0.75


@dataclass(frozen=True)
class Resize(WideOp):
    """The same image in another shape. Axis by axis, element i of n comes from m elements:

    | mode    | element i                                                                                    |
    |---------|----------------------------------------------------------------------------------------------|
    | nearest | is element ``floor(i * m / n)``                                                              |
    | linear  | lies at ``(i + 0.5) * m / n - 0.5``, between its 2 neighbours                                |
    | cubic   | lies there, on Keys's curve through its 4 neighbours                                         |

    Neighbours outside are left out, and the weights of the others scaled to a sum of 1. onnxruntime has linear and
    cubic for 2 neighbouring axes of 4, the last two or those before the last (cubic there by whole factors alone).
    ONNX: Resize since opset 13.
    """

    shape: Shape
    mode: str

    def infer(self, x: TensorType) -> TensorType:
        require_dtype(self, "x", x, FLOATS)
        if self.mode not in MODES:
            raise ShapeError(f"{self} has mode={self.mode!r}; expected one of {', '.join(MODES)}")
        if len(self.shape) != x.rank or any(isinstance(size, int) and size < 1 for size in self.shape):
            raise ShapeError(
                f"{self} received {x}; expected {x.rank} sizes of 1 or more, but they are {format_shape(self.shape)}"
            )
        return x.with_shape(self.shape)

    def compute(self, x: Array) -> Array:
        for axis, (given, wanted) in enumerate(zip(x.shape, self.shape, strict=True)):
            assert is_known(wanted), "sizes are bound before an operator runs"
            if given != wanted:
                x = _resize_axis(x, axis, wanted, self.mode)
        return x


def _resize_axis(x: Array, axis: int, wanted: int, mode: str) -> Array:
    if mode == "nearest":
        return np.asarray(np.take(x, np.arange(wanted) * x.shape[axis] // wanted, axis))
    weights = resize_weights(x.shape[axis], wanted, mode)
    return np.moveaxis(np.moveaxis(x, axis, -1) @ weights.T.astype(x.dtype), -1, axis)


def resize_weights(given: int, wanted: int, kernel: str, antialias: bool = False) -> Array:
    """Return the weights of the given elements in each wanted one: float64 [wanted, given].

    Args:
        given: the number of elements before.
        wanted: the number of elements after.
        kernel: a name of `KERNELS`.
        antialias: widens the kernel to a wanted element where these are fewer.
    """
    ratio = given / wanted
    places = (np.arange(wanted) + 0.5) * ratio - 0.5
    distances = np.abs(places[:, None] - np.arange(given)) / (max(ratio, 1.0) if antialias else 1.0)
    weights = KERNELS[kernel](distances)
    total = weights.sum(1, keepdims=True)
    # An element without neighbours has a sum near 0.
    is_covered = np.abs(total) > 1000 * np.finfo(np.float32).eps
    return np.where(is_covered, weights / np.where(is_covered, total, 1), 0)


def _linear(x: Array) -> Array:
    return np.asarray(np.maximum(0, 1 - x))


def _cubic(x: Array) -> Array:
    near = ((1.5 * x - 2.5) * x) * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(radius: int, x: Array) -> Array:
    return np.where(x > radius, 0, np.sinc(x) * np.sinc(x / radius))


MODES = ("nearest", "linear", "cubic")
KERNELS: dict[str, Callable[[Array], Array]] = {
    "linear": _linear,
    "cubic": _cubic,
    "lanczos3": lambda x: _lanczos(3, x),
    "lanczos5": lambda x: _lanczos(5, x),
}
