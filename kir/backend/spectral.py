"""Fourier transforms of signals, with the names of `keras.ops`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kir.backend.dispatch import convert, dtype_of, operand, shape_of, tensor
from kir.backend.shapes import pad, reshape
from kir.errors import InvalidArgumentError
from kir.ir.dims import product
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ops import spectral as ops
from kir.ops.spectral import make_window

__all__ = ["stft"]


def stft(
    x: TensorLike,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: str | npt.ArrayLike | None = "hann",
    center: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return the short-time Fourier transform of [..., time] in two parts, real and imaginary.

    Both are [..., frames, fft_length // 2 + 1].

    Args:
        x: signals of f32 or f64.
        sequence_length: how many samples are transformed at once.
        sequence_stride: how far frames are apart.
        fft_length: the samples of a frame with the zeros at its ends; at least sequence_length.
        window: "hann", "hamming", or as many numbers as sequence_length.
        center: whether frames are centered at every stride; the signal is mirrored at its ends for that.

    Raises:
        InvalidArgumentError: an argument is none of these.

    Source: https://keras.io/api/ops/fft/
    """
    if not 1 <= sequence_length <= fft_length or sequence_stride < 1:
        raise InvalidArgumentError(
            f"K.stft needs 1 <= sequence_length <= fft_length and sequence_stride >= 1; received {sequence_length}, "
            f"{fft_length} and {sequence_stride}"
        )
    signal = tensor(x)
    *leading, _ = shape_of(signal)
    if center:
        signal = pad(signal, [(0, 0)] * len(leading) + [(fft_length // 2, fft_length // 2)], mode="reflect")
    before = (fft_length - sequence_length) // 2
    weights = np.pad(
        make_window("K.stft", window, sequence_length, periodic=True),
        (before, fft_length - sequence_length - before),
    )
    flat = reshape(signal, (product(leading), shape_of(signal)[-1], 1))
    factors = convert(operand(weights), dtype_of(flat), flat)
    spectrum = emit(ops.STFT(sequence_stride), flat, factors)
    whole = reshape(spectrum, (*leading, *shape_of(spectrum)[1:]))
    return whole[..., 0], whole[..., 1]
