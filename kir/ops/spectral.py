"""Fourier transforms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kir.errors import ShapeError
from kir.ir.dims import Dim
from kir.ir.op import Array, Op
from kir.ir.types import DType, TensorType
from kir.ops.elementwise import require_dtype, require_same_dtype

DTYPES = frozenset({DType.FLOAT32, DType.FLOAT64})


@dataclass(frozen=True)
class STFT(Op):
    """The discrete Fourier transform of every frame of a real signal x[batch, time, 1], times window[n].

    Frames begin every `step` samples and lie within the signal. The result is [batch, frames, n // 2 + 1, 2]: the
    frequencies from 0 to half of the sampling rate, as real and imaginary parts.

    ONNX: STFT since opset 17. Keras: `ops.stft`.
    """

    step: int

    def infer(self, x: TensorType, window: TensorType) -> TensorType:
        if x.rank != 3 or x.shape[2] != 1 or window.rank != 1 or self.step < 1:
            raise ShapeError(f"{self} received x {x}, window {window}; expected x[batch, time, 1] and window[n]")
        length = window.shape[0]
        if not isinstance(length, int) or length < 1:
            raise ShapeError(f"{self} received window {window}; expected a known size of 1 or more")
        require_same_dtype(self, x=x, window=window)
        require_dtype(self, "x", x, DTYPES)
        return x.with_shape((x.shape[0], self.count(x.shape[1], length), length // 2 + 1, 2))

    def eval(self, x: Array, window: Array) -> Array:
        count = self.count(x.shape[1], len(window))
        if not isinstance(count, int) or not count or not x.shape[0]:
            return np.zeros((x.shape[0], count, len(window) // 2 + 1, 2), x.dtype)
        frames = sliding_window_view(x[..., 0], len(window), axis=1)[:, :: self.step]
        spectrum = np.fft.rfft(frames * window)
        return np.stack([spectrum.real, spectrum.imag], axis=-1).astype(x.dtype, copy=False)

    def count(self, time: Dim, length: int) -> Dim:
        """How many frames a signal has."""
        if isinstance(time, int) and time < length:
            raise ShapeError(f"{self} received a signal of {time} samples; expected one frame, {length}, or more")
        return (time - length) // self.step + 1
