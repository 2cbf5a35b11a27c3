"""The float64 numbers that were meant by the float32 ones in an ONNX file, whose attributes are float32."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

# Of 0.16666667 a sixth was meant; 0.1 was meant as it stands. Fractions of constants that people write are this small.
MAX_DENOMINATOR = 64
MAX_DIGITS = 6


def intended(number: float) -> float:
    """Return the simplest float64 among those that round to a float32: a short decimal, or else a small fraction.

    A number that is no float32 is returned as it is.
    """
    single = np.float32(number)
    if not math.isfinite(number) or float(single) != number:
        return float(number)
    decimal = str(single)
    if len(decimal.split("e")[0].strip("-0.").replace(".", "")) > MAX_DIGITS:
        fraction = float(Fraction(number).limit_denominator(MAX_DENOMINATOR))
        if np.float32(fraction) == single:
            return fraction
    return float(decimal)
