"""Fourier transforms of signals, with the names of `keras.ops`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kir.backend.basic import cast, expand_dims
from kir.backend.creation import arange
from kir.backend.dispatch import convert, dtype_of, floating, operand, rank_of, shape_of, tensor
from kir.backend.elementwise import add, cos, divide, mod, multiply, negative, sin, subtract
from kir.backend.linear import matmul
from kir.backend.shapes import pad, reshape
from kir.errors import InvalidArgumentError
from kir.ir.dims import Dim, product
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import DType
from kir.ops import spectral as ops
from kir.ops.spectral import make_window

__all__ = ["fft", "fft2", "ifft2", "rfft", "stft"]


def fft(x: Sequence[TensorLike]) -> tuple[Tensor, Tensor]:
    """Return the discrete Fourier transform of the last axis, from real and imaginary parts to the same.

    Source: https://keras.io/api/ops/fft/
    """
    real, imaginary = (floating(part) for part in x)
    return _transformed(real, imaginary, -1, 1)


def fft2(x: Sequence[TensorLike]) -> tuple[Tensor, Tensor]:
    """Return the discrete Fourier transform of the last two axes, see `fft`."""
    return _transformed(*fft(x), -2, 1)


def ifft2(x: Sequence[TensorLike]) -> tuple[Tensor, Tensor]:
    """Return the inverse of `fft2`."""
    real, imaginary = (floating(part) for part in x)
    real, imaginary = _transformed(*_transformed(real, imaginary, -1, -1), -2, -1)
    count = convert(operand(product(shape_of(real)[-2:])), dtype_of(real), real)
    return divide(real, count), divide(imaginary, count)


def rfft(x: TensorLike, fft_length: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the first half of the discrete Fourier transform of the last axis of real numbers, in two parts.

    Args:
        x: floats.
        fft_length: the samples that are transformed: the signal is cut, or gets zeros at its end.
    """
    signal = floating(x)
    length = shape_of(signal)[-1]
    if fft_length is not None and fft_length != length:
        if not isinstance(length, int):
            raise InvalidArgumentError(f"K.rfft with fft_length={fft_length} needs a signal of a known length")
        signal = pad(signal, [(0, 0)] * (rank_of(signal) - 1) + [(0, max(0, fft_length - length))])[..., :fft_length]
        length = fft_length
    cosines, sines = _waves(length, dtype_of(signal), signal)
    half = length // 2 + 1
    return matmul(signal, cosines[:, :half]), negative(matmul(signal, sines[:, :half]))


def _transformed(real: Tensor, imaginary: Tensor, axis: int, direction: int) -> tuple[Tensor, Tensor]:
    """Return the sums over an axis, which is -1 or -2, of the numbers times exp(-2πi jk/n), or its inverse."""
    cosines, sines = _waves(shape_of(real)[axis], dtype_of(real), real)

    def times(x: Tensor, waves: Tensor) -> Tensor:
        return matmul(x, waves) if axis == -1 else matmul(waves, x)

    sines = sines if direction == 1 else negative(sines)
    return (
        add(times(real, cosines), times(imaginary, sines)),
        subtract(times(imaginary, cosines), times(real, sines)),
    )


def _waves(length: Dim, dtype: DType, near: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos and sin of 2π jk/n as matrices (n, n): a product, for a size that may be unknown.

    The angles are reduced as integers, so that those of long signals are exact.
    """
    steps = arange(length, dtype="int64")
    turns = mod(multiply(expand_dims(steps, 1), expand_dims(steps, 0)), cast(operand(length), "int64"))
    angles = multiply(divide(cast(turns, "float32"), cast(operand(length), "float32")), 2 * np.pi)
    return convert(cos(angles), dtype, near), convert(sin(angles), dtype, near)


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
