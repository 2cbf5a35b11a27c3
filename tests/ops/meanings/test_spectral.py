"""Fourier transforms, windows and matrices, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.meanings.single_nodes import MICROSOFT, Numbers, check

f = Numbers()


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("inverse", [0, 1])
def test_dft(inverse: int, parts: int) -> None:
    for axis in (1, 2):
        check("DFT", f(2, 6, 5, parts), axis=axis, inverse=inverse, version=17, rtol=1e-4)
        check("DFT", f(2, 6, 5, parts), None, np.array(axis), inverse=inverse, version=20, rtol=1e-4)
    for length in (4, 8):
        check("DFT", f(2, 6, parts), np.array(length), axis=1, inverse=inverse, version=17, rtol=1e-4)
    if parts == 1 and not inverse:
        check("DFT", f(2, 6, 1), onesided=1, version=17, rtol=1e-4)


@pytest.mark.parametrize("onesided", [0, 1])
def test_stft(onesided: int) -> None:
    check("STFT", f(2, 20, 1), np.array(3), f(8), np.array(8), onesided=onesided, version=17, rtol=1e-4)
    check("STFT", f(2, 20, 1), np.array(3), f(8), onesided=onesided, version=17, rtol=1e-4)


@pytest.mark.parametrize("window", ["BlackmanWindow", "HannWindow", "HammingWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows(window: str, periodic: int) -> None:
    check(window, np.array(10), periodic=periodic, version=17, constants=[0])


def test_mel_weight_matrix() -> None:
    numbers = [np.array(number) for number in (8, 16, 8192)]
    edges = [np.array(hertz, np.float32) for hertz in (0, 4096)]
    check("MelWeightMatrix", *numbers, *edges, version=17, constants=range(5))


@pytest.mark.parametrize("k", [0, 1, -2])
def test_eye_like(k: int) -> None:
    check("EyeLike", f(3, 4), k=k)
    check("EyeLike", f.integers(3, 3, 4), k=k, dtype=1)


def test_matrices() -> None:
    check("Det", f(2, 3, 3), rtol=1e-4)
    check("Inverse", f(2, 3, 3), rtol=1e-3, domain=MICROSOFT)
