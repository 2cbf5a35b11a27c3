"""STFT: what the table of cases cannot say. Window functions against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import get_window

from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.types import parse_type
from kir.ops.spectral import STFT, WINDOWS, make_window


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


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("length", [1, 2, 7, 64])
def test_named_windows(name: str, periodic: bool, length: int) -> None:
    np.testing.assert_allclose(make_window("x", name, length, periodic), get_window(name, length, periodic), atol=1e-14)


def test_numbers_and_none() -> None:
    assert make_window("x", None, 3, False).tolist() == [1, 1, 1]
    assert make_window("x", [1, 2], 2, False).tolist() == [1, 2]


def test_what_is_no_window() -> None:
    with pytest.raises(InvalidArgumentError, match="Here: window must be one of boxcar"):
        make_window("Here", "oval", 3, False)
    with pytest.raises(InvalidArgumentError, match=r"must have 3 numbers; received \(2,\)"):
        make_window("Here", [1, 2], 3, False)
