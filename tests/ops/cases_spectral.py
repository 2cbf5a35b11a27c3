"""Cases of the Fourier transforms."""

from __future__ import annotations

import numpy as np

from kir.ir.types import parse_type
from kir.ops.spectral import STFT
from tests.ops.cases import Case

WINDOW = np.array([0.1, 0.5, 1, 1, 0.5, 0.1], np.float32)
LONGER = ({"batch": 1, "length": 6, "n": 8}, {"batch": 3, "length": 13, "n": 5})

SPECTRAL_CASES: list[Case] = [
    Case(STFT(2), (parse_type("f32[2, 12, 1]"), WINDOW), since=17),
    Case(STFT(1), (parse_type("f32[1, 6, 1]"), WINDOW), since=17),
    Case(STFT(4), (parse_type("f32[batch, length, 1]"), WINDOW), samples=LONGER, since=17),
    Case(STFT(3), (parse_type("f64[2, 9, 1]"), WINDOW[:4].astype(np.float64)), since=17),
    Case(STFT(2), (parse_type("f32[2, 12, 1]"), parse_type("f32[5]")), since=17),
    Case(STFT(4), (parse_type("f32[batch, length]"), WINDOW), samples=LONGER, since=17),
    Case(STFT(160), (parse_type("f32[2, 560]"), parse_type("f32[400]")), ulps=8 * 400, since=17),
]
