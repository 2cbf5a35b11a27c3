"""STFT: what the table of cases cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from kir.errors import ShapeError
from kir.ir.types import parse_type
from kir.ops.spectral import STFT


def test_a_wave_stands_at_its_frequency() -> None:
    wave = np.cos(2 * np.pi * 3 * np.arange(16) / 16)[None, :, None]
    spectrum = STFT(16).eval(wave, np.ones(16))
    expected = np.zeros((1, 1, 9, 2))
    expected[0, 0, 3, 0] = 8
    np.testing.assert_allclose(spectrum, expected, atol=1e-12)


def test_no_signals_have_no_spectra() -> None:
    assert STFT(2).eval(np.zeros((0, 8, 1), np.float32), np.ones(4, np.float32)).shape == (0, 3, 3, 2)


@pytest.mark.parametrize(
    ("x", "window", "step"),
    [
        ("f32[2, 3, 1]", "f32[4]", 1),
        ("f32[4]", "f32[4]", 1),
        ("f32[2, 8, 2]", "f32[4]", 1),
        ("f32[2, 8, 1]", "f32[n]", 1),
        ("f32[2, 8, 1]", "f32[4]", 0),
    ],
)
def test_what_has_no_frames_is_refused(x: str, window: str, step: int) -> None:
    with pytest.raises(ShapeError, match="received"):
        STFT(step).infer(parse_type(x), parse_type(window))
