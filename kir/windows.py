"""Window functions: weights that fade a frame of a signal out at its ends.

Sources: F. J. Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform", Proc. IEEE 66,
1978; https://docs.scipy.org/doc/scipy/reference/signal.windows.html, whose names and numbers these are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kir.errors import InvalidArgumentError
from kir.ir.op import Array

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
NAMES = (*COSINE_SUMS, "bartlett", "cosine")


def make_window(owner: str, window: Any, length: int, periodic: bool) -> Array:
    """A window of float64[length], from its name, its numbers, or None for ones.

    Args:
        owner: whose argument it is, for messages.
        window: one of `NAMES`, or `length` numbers.
        length: at least 1.
        periodic: one period of the window, whose first value would come again, and not a symmetric one.

    Raises:
        InvalidArgumentError: there is no such window, or there are not as many numbers.
    """
    if window is None:
        return np.ones(length)
    if isinstance(window, str):
        if window not in NAMES:
            raise InvalidArgumentError(
                f"{owner}: window must be one of {', '.join(NAMES)}, or its numbers; received window={window!r}"
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
