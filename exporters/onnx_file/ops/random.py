"""Dropout, and random choices and numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from kir.exporters.onnx_file.emitter import Emitter, FileTensor, onnx_dtype
from kir.exporters.onnx_file.ops.table import Names, exports, scalar_like
from kir.ir.dims import Dim
from kir.ir.types import DType
from kir.ops.random import Dropout, RandomNormalLike


@exports(Dropout)
def dropout(emitter: Emitter, op: Dropout, x: FileTensor, training: FileTensor | None = None) -> Names:
    """Write a Dropout; with a noise shape, or a rate of 1, which ONNX excludes, a random choice.

    onnxruntime (1.32 is the newest known) takes a Dropout in the middle of a model out, whatever its training input
    says, unless something reads its mask. So the mask is applied once more: to what it made 0 already.
    """
    if training is None or (op.noise_shape is None and op.rate < 1):
        # In float16 the ratio, and with it the scale, would be too coarse.
        dtype = np.float64 if x.type.dtype is DType.FLOAT64 else np.float32
        ratio = emitter.constant(op.rate, "ratio", dtype) if op.rate < 1 else ""
        if training is None:
            return emitter.node("Dropout", [x.name, ratio], seed=op.seed)
        dropped, kept = emitter.nodes("Dropout", [x.name, ratio, training.name], 2, seed=op.seed)
        return emitter.node("Where", [kept, dropped, scalar_like(emitter, 0, x)])
    scale = 1 / (1 - op.rate) if op.rate < 1 else 1.0
    scaled = emitter.node("Mul", [x.name, scalar_like(emitter, scale, x)])
    kept = _draw(emitter, 1 - op.rate, x.type.shape if op.noise_shape is None else op.noise_shape, op.seed)
    dropped = emitter.node("Where", [kept, scaled, scalar_like(emitter, 0, x)])
    if training.value is not None and training.value.item():
        return dropped
    return emitter.node("Where", [training.name, dropped, x.name])


@exports(RandomNormalLike)
def random_normal_like(emitter: Emitter, op: RandomNormalLike, x: FileTensor) -> Names:
    """Write random numbers. onnxruntime draws float32 and float64; others are drawn in float32 and rounded."""
    is_drawn = x.type.dtype in (DType.FLOAT32, DType.FLOAT64)
    dtype = x.type.dtype if is_drawn else DType.FLOAT32
    seed = None if op.seed is None else float(op.seed)
    drawn = emitter.node("RandomNormalLike", [x.name], dtype=onnx_dtype(dtype), mean=op.mean, scale=op.scale, seed=seed)
    return drawn if is_drawn else emitter.node("Cast", [drawn], to=onnx_dtype(x.type.dtype))


def _draw(emitter: Emitter, probability: float, shape: Sequence[Dim], seed: int | None) -> str:
    """Return booleans of a shape, each true with the given probability.

    Neither a Dropout of ones, which onnxruntime folds into a constant, nor Bernoulli: onnxruntime runs the function
    that defines it in the ONNX standard, and that is true with the probability that it should be false with.
    """
    chance = emitter.constant(probability, "probability", np.float32)
    template = emitter.node("Expand", [chance, emitter.sizes(shape)])
    uniform = emitter.node(
        "RandomUniformLike", [template], dtype=TensorProto.FLOAT, seed=None if seed is None else float(seed)
    )
    return emitter.node("Less", [uniform, chance])
