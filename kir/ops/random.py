"""Operators that draw random numbers. Their results differ from call to call, so they are never merged or folded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.op import Array, Op
from kir.ir.types import FLOATS, DType, Shape, TensorType, broadcast_shapes, format_shape
from kir.ops.precision import require_dtype, widen

SCALAR_BOOL = TensorType(DType.BOOL, ())


@dataclass(frozen=True)
class Dropout(Op):
    """Zeros in random places of `x`, and the rest scaled by ``1 / (1 - rate)``, if `training` is given and true.

    Otherwise it is the identity. Each element is kept with probability ``1 - rate``; the choice is drawn in
    `noise_shape` (the shape of `x` if None), and broadcast to `x`. A `seed` draws the same choice at every call.

    ONNX: Dropout since opset 13, or RandomUniformLike for a noise shape. Keras: `layers.Dropout`.

    Raises:
        InvalidArgumentError: `rate` is outside [0, 1].
    """

    rate: float
    noise_shape: Shape | None
    seed: int | None

    deterministic = False  # two equal ones draw differently

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise InvalidArgumentError(f"Dropout received rate={self.rate!r}; expected a number from 0 to 1")

    def infer(self, x: TensorType, training: TensorType | None = None) -> TensorType:
        require_dtype(self, "x", x, FLOATS)
        if training is not None and training != SCALAR_BOOL:
            raise ShapeError(f"{self} received training of type {training}; expected {SCALAR_BOOL}")
        if self.noise_shape is not None and broadcast_shapes(x.shape, self.noise_shape) != x.shape:
            raise ShapeError(
                f"{self} received x of shape {format_shape(x.shape)}; expected a noise shape that broadcasts to it"
            )
        return x

    def eval(self, x: Array, training: Array | None = None) -> Array:
        if training is None or not training:
            return x
        shape: Any = x.shape if self.noise_shape is None else self.noise_shape
        kept = np.random.default_rng(self.seed).random(shape) >= self.rate
        with np.errstate(all="ignore"):
            scaled = widen(x) / (1 - self.rate) if self.rate < 1 else widen(x)
            return np.where(kept, scaled, 0).astype(x.dtype, copy=False)


@dataclass(frozen=True)
class RandomNormalLike(Op):
    """Numbers of a normal distribution, in the shape and dtype of `x`, whose elements do not matter.

    A `seed` draws the same ones at every call. ONNX: RandomNormalLike since opset 1.
    """

    mean: float
    scale: float
    seed: int | None

    deterministic = False  # two equal ones draw differently

    def infer(self, x: TensorType) -> TensorType:
        require_dtype(self, "x", x, FLOATS)
        return x

    def eval(self, x: Array) -> Array:
        drawn = np.random.default_rng(self.seed).normal(self.mean, self.scale, x.shape)
        return np.asarray(drawn).astype(x.dtype)
