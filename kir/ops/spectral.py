"""Fourier transforms, and the window functions that fade a frame of a signal out at its ends.

Sources of the windows: F. J. Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform",
Proc. IEEE 66, 1978; https://docs.scipy.org/doc/scipy/reference/signal.windows.html, whose names and numbers these are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import Dim, is_known
from kir.ir.op import Array, Op
from kir.ir.types import DType, TensorType
from kir.ops.precision import require_dtype, require_same_dtype

DTYPES = frozenset({DType.FLOAT32, DType.FLOAT64})


@dataclass(frozen=True)
class STFT(Op):
    """The discrete Fourier transform of every frame of a real signal x[batch, time], times window[n].

    x may also be [batch, time, 1]. Frames begin every `step` samples and lie within the signal. The result is
    [batch, frames, n // 2 + 1, 2]: the frequencies from 0 to half of the sampling rate, as real and imaginary parts.

    ONNX: STFT since opset 17. Keras: `ops.stft`.
    """

    step: int

    def infer(self, x: TensorType, window: TensorType) -> TensorType:
        if x.rank not in (2, 3) or x.shape[2:] not in ((), (1,)) or window.rank != 1 or self.step < 1:
            raise ShapeError(
                f"{self} received x {x}, window {window}; expected x[batch, time] or x[batch, time, 1], and window[n]"
            )
        length = window.shape[0]
        if not isinstance(length, int) or length < 1:
            raise ShapeError(f"{self} received window {window}; expected a known size of 1 or more")
        require_same_dtype(self, x=x, window=window)
        require_dtype(self, "x", x, DTYPES)
        return x.with_shape((x.shape[0], self.count(x.shape[1], length), length // 2 + 1, 2))

    def eval(self, x: Array, window: Array) -> Array:
        count = self.count(x.shape[1], len(window))
        assert is_known(count), "an array has known sizes"
        if not count or not x.shape[0]:
            return np.zeros((x.shape[0], count, len(window) // 2 + 1, 2), x.dtype)
        frames = sliding_window_view(x.reshape(x.shape[:2]), len(window), axis=1)[:, :: self.step]
        spectrum = np.fft.rfft(frames * window)
        return np.stack([spectrum.real, spectrum.imag], axis=-1).astype(x.dtype, copy=False)

    def count(self, time: Dim, length: int) -> Dim:
        """Return the number of frames of a signal."""
        if isinstance(time, int) and time < length:
            raise ShapeError(f"{self} received a signal of {time} samples; expected one frame, {length}, or more")
        return (time - length) // self.step + 1


# Windows

# The coefficients of sums of cosines: a₀ - a₁ cos x + a₂ cos 2x - …
COSINE_SUMS: dict[str, tuple[float, ...]] = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}
WINDOWS = (*COSINE_SUMS, "bartlett", "cosine")


def make_window(owner: str, window: npt.ArrayLike | None, length: int, periodic: bool) -> Array:
    """Return a window of float64[length], from its name, its numbers, or None for ones.

    Args:
        owner: whose argument it is, for messages.
        window: one of `WINDOWS`, or `length` numbers.
        length: at least 1.
        periodic: whether the window is one period, after which its first value would come again; else it is symmetric.

    Raises:
        InvalidArgumentError: there is no such window, or there are not as many numbers.
    """
    if window is None:
        return np.ones(length)
    if isinstance(window, str):
        if window not in WINDOWS:
            raise InvalidArgumentError(
                f"{owner}: window must be one of {', '.join(WINDOWS)}, or its numbers; received window={window!r}"
            )
        return _named(window, length, periodic)
    numbers = np.asarray(window, np.float64)
    if numbers.shape != (length,):
        raise InvalidArgumentError(f"{owner}: window must have {length} numbers; received {numbers.shape}")
    return numbers


def _named(name: str, length: int, periodic: bool) -> Array:
    if length == 1:
        return np.ones(1)
    count = length + periodic
    steps = np.arange(count)
    if name == "bartlett":
        values = 1 - np.abs(2 * steps / (count - 1) - 1)
    elif name == "cosine":
        values = np.sin(np.pi / count * (steps + 0.5))
    else:
        angle = 2 * np.pi * steps / (count - 1)
        values = sum((-1) ** k * a * np.cos(k * angle) for k, a in enumerate(COSINE_SUMS[name]))
    return np.asarray(values[:length], np.float64)
