"""Fourier transforms, windows and mel scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kir.ir.op import Array
from kir.ops.meanings.table import means
from kir.ops.precision import widen

if TYPE_CHECKING:
    from kir.ops.opaque import Opaque


# Of a length that is no power of 2, Bluestein's algorithm makes three transforms of up to four times the length, each
# of as many levels as that has bits; this is for 1024 steps.
LEVELS = 3 * 12


@means("DFT", since=20, roundings=LEVELS)
def dft_along_input(
    x: Array, length: Array | None = None, axis: Array | None = None, *, inverse: int = 0, onesided: int = 0
) -> Array:
    """Return the discrete Fourier transform on an axis that is an input."""
    return dft(x, length, axis=-2 if axis is None else int(axis.reshape(())), inverse=inverse, onesided=onesided)


@means("DFT", before=20, roundings=LEVELS)
def dft(x: Array, length: Array | None = None, *, axis: int = 1, inverse: int = 0, onesided: int = 0) -> Array:
    """Return the discrete Fourier transform on an axis; the last one holds real and imaginary parts."""
    axis %= x.ndim
    signal = x[..., 0] + (1j * x[..., 1] if x.shape[-1] == 2 else 0)
    size = None if length is None else int(length.reshape(()))
    if inverse and onesided:
        real = np.fft.irfft(signal, size, axis)
        return real[..., None].astype(x.dtype)
    if onesided:
        found = np.fft.rfft(signal.real, size, axis)
    else:
        found = (np.fft.ifft if inverse else np.fft.fft)(signal, size, axis)
    return np.stack([found.real, found.imag], -1).astype(x.dtype)


@means("STFT", roundings=LEVELS)
def stft(
    signal: Array, step: Array, window: Array | None = None, length: Array | None = None, *, onesided: int = 1
) -> Array:
    """Return the spectrum of each frame of signals [batch, steps, 1 or 2]: [batch, frames, bins, 2]."""
    hop = int(step.reshape(()))
    if length is not None:
        size = int(length.reshape(()))
    else:
        assert window is not None, "an STFT has a window or a length"
        size = len(window)
    frames = 1 + (signal.shape[1] - size) // hop
    places = np.arange(frames)[:, None] * hop + np.arange(size)
    numbers = signal[..., 0] + (1j * signal[..., 1] if signal.shape[-1] == 2 else 0)
    framed = numbers[:, places] * (1 if window is None else window)
    found = np.fft.rfft(framed.real) if onesided else np.fft.fft(framed)
    return np.stack([found.real, found.imag], -1).astype(signal.dtype)


def _some_steps(types: object, settings: object) -> list[int]:
    """Return how long windows are made where their length is an input."""
    return [64]


@means("BlackmanWindow", ranges={0: _some_steps})
def blackman_window(size: Array, *, op: Opaque, periodic: int = 1, output_datatype: int = 1) -> Array:
    """Return Blackman's window."""
    return _cosines(size, periodic, op, 0.42, -0.5, 0.08)


@means("HannWindow", ranges={0: _some_steps})
def hann_window(size: Array, *, op: Opaque, periodic: int = 1, output_datatype: int = 1) -> Array:
    """Return Hann's window."""
    return _cosines(size, periodic, op, 0.5, -0.5)


@means("HammingWindow", ranges={0: _some_steps})
def hamming_window(size: Array, *, op: Opaque, periodic: int = 1, output_datatype: int = 1) -> Array:
    """Return Hamming's window, with 25/46 as ONNX has it."""
    return _cosines(size, periodic, op, 25 / 46, -21 / 46)


def _cosines(size: Array, periodic: int, op: Opaque, *factors: float) -> Array:
    """Return a sum of cosines in the precision of the result, whose ends cancel."""
    dtype = widen(np.zeros((), op.types[0].dtype.numpy)).dtype
    count = int(size.reshape(()))
    steps = np.float64(count if periodic else count - 1)  # of one step onnxruntime makes NaN, if it is not periodic
    angle = (2 * np.pi * np.arange(count) / steps).astype(dtype)
    parts = [dtype.type(factor) * np.cos(number * angle) for number, factor in enumerate(factors)]
    return np.asarray(sum(parts[1:], parts[0]))


@means("MelWeightMatrix")
def mel_weight_matrix(
    bins: Array, length: Array, rate: Array, lower: Array, upper: Array, *, op: Opaque, output_datatype: int = 1
) -> Array:
    """Return the weights of a spectrum's lines in each band of the mel scale: [lines, bands]."""
    count, size = int(bins.reshape(())), int(length.reshape(()))
    low, high = (2595 * np.log10(1 + float(hertz.reshape(())) / 700) for hertz in (lower, upper))
    mels = np.arange(count + 2) * ((high - low) / (count + 2)) + low
    edges = 700 * (10 ** (mels / 2595) - 1)
    places = np.floor((size + 1) * edges / int(rate.reshape(()))).astype(np.int64)
    result = np.zeros((size // 2 + 1, count))
    for band in range(count):
        low_place, center, high_place = places[band : band + 3].tolist()
        rising = center - low_place
        if rising == 0:
            result[center, band] = 1
        else:
            for place in range(low_place, center + 1):
                result[place, band] = (place - low_place) / rising
        for place in range(center, high_place):
            result[place, band] = (high_place - place) / (high_place - center)
    return result.astype(op.types[0].dtype.numpy)


@means("EyeLike", exact=True)
def eye_like(x: Array, *, op: Opaque, k: int = 0, dtype: int = 0) -> Array:
    """Return ones on a diagonal and zeros elsewhere, in the shape of x."""
    rows, columns = x.shape
    return np.eye(rows, columns, k).astype(op.types[0].dtype.numpy)


@means("Det")
def det(x: Array) -> Array:
    """Return the determinants of matrices [..., n, n]."""
    return np.asarray(np.linalg.det(x)).astype(x.dtype)


@means("Inverse", domain="com.microsoft")
def inverse(x: Array) -> Array:
    """Return the inverses of matrices [..., n, n]."""
    return np.linalg.inv(x)
