"""MelSpectrogram and STFTSpectrogram against real Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model
from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError
from kir.layers import MelSpectrogram, STFTSpectrogram
from tests.oracle import assert_matches_keras, assert_same_config, build_both, draw_feeds, node_types

SPECTROGRAMS: list[dict[str, Any]] = [
    {},
    *[{"mode": mode} for mode in ("magnitude", "psd", "real", "imag", "stft")],
    {"frame_step": 3},
    {"fft_length": 16},
    {"fft_length": 12, "padding": "same"},
    {"window": "hamming", "periodic": True},
    {"window": None},
    {"window": [1.0, 2.0, 3.0, 4.0, 4.0, 3.0, 2.0, 1.0], "scaling": None},
    {"scaling": "spectrum", "mode": "magnitude"},
    {"expand_dims": True},
    {"expand_dims": True, "mode": "stft", "padding": "same"},
]


def check(name: str, shape: tuple[int | None, ...], options: dict[str, Any], atol: float) -> Any:
    """As `check_layer`, on signals that are long enough for a few frames."""

    def build(library: Any, x: Any) -> Any:
        return getattr(library, name)(name="checked", **options)(x)

    model, reference = build_both(build, shape)
    assert_same_config(model.get_layer("checked"), reference.get_layer("checked"))
    return assert_matches_keras(model, reference, draw_feeds(shape, unknown=150), atol=atol, rtol=1e-4)


@pytest.mark.parametrize("options", SPECTROGRAMS)
@pytest.mark.parametrize("time", [40, None])
@pytest.mark.parametrize("channels", [1, 2])
def test_stft_spectrogram(options: dict[str, Any], time: int | None, channels: int) -> None:
    # The weights are random here, so that amplitudes near 0, whose logarithms tell more, hardly occur.
    check("STFTSpectrogram", (time, channels), {"frame_length": 8} | options, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"expand_dims": True}, {"mode": "stft"}])
def test_channels_first(options: dict[str, Any]) -> None:
    """Keras's convolution in this format runs on few backends: the other format, turned, says what is expected."""
    x = np.random.default_rng(0).normal(size=(3, 2, 40)).astype(np.float32)
    given, turned = Input((2, 40)), Input((40, 2))
    model = Model(given, STFTSpectrogram(frame_length=8, data_format="channels_first", **options)(given))
    reference = Model(turned, STFTSpectrogram(frame_length=8, **options)(turned))
    expected = reference.predict(x.transpose(0, 2, 1))
    axes = (0, 3, 1, 2) if "expand_dims" in options else (0, 2, 1)
    np.testing.assert_allclose(model.predict(x), expected.transpose(axes), rtol=1e-4, atol=1e-5)


def test_the_angle_of_clear_tones() -> None:
    """Compared as points on a circle, of frequencies that the sound has."""
    x = np.random.default_rng(0).normal(size=(2, 40, 1)).astype(np.float32)
    given = Input((40, 1))
    model = Model(given, STFTSpectrogram("angle", frame_length=8)(given))
    expected = np.asarray(keras.layers.STFTSpectrogram("angle", frame_length=8)(x))
    inner = slice(1, -1)  # the first and the last are real, and their angle is 0 or ±π by the sign of a rounding
    for function in (np.cos, np.sin):
        ours, theirs = function(model.predict(x)), function(expected)
        np.testing.assert_allclose(ours[..., inner], theirs[..., inner], atol=2e-3)


def test_untrained_weights_are_those_of_keras() -> None:
    ours, theirs = STFTSpectrogram(frame_length=16), keras.layers.STFTSpectrogram(frame_length=16)
    ours(Input((40, 1)))
    theirs.build((None, 40, 1))
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, np.asarray(b), atol=1e-6)


MEL: list[dict[str, Any]] = [
    {},
    {"sequence_length": 48},
    {"window": "hamming"},
    {"num_mel_bins": 9, "min_freq": 100.0, "max_freq": 4000.0},
    {"sampling_rate": 8000},
    {"power_to_db": False},
    {"mag_exp": 1.0, "power_to_db": False},
    {"top_db": 20.0, "ref_power": 2.0, "min_power": 1e-6},
]


@pytest.mark.parametrize("options", MEL)
@pytest.mark.parametrize("time", [200, None])
def test_mel_spectrogram(options: dict[str, Any], time: int | None) -> None:
    sizes = {"fft_length": 64, "sequence_stride": 16, "num_mel_bins": 12} | options
    assert "STFT" in node_types(check("MelSpectrogram", (time,), sizes, atol=1e-3))


def test_an_exported_spectrogram_verifies(tmp_path: Any) -> None:
    x = Input((None,), name="sound")
    model = Model(x, MelSpectrogram(fft_length=128, sequence_stride=32, num_mel_bins=10)(x))
    assert model.export(tmp_path / "m.onnx").verification.passed


@pytest.mark.parametrize("center", [False, True])
def test_k_stft(center: bool) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 50)).astype(np.float32)
    arguments = (10, 4, 16)
    expected = keras.ops.stft(x, *arguments, center=center)
    for ours, theirs in zip(K.stft(x, *arguments, center=center), expected, strict=True):
        np.testing.assert_allclose(ours, np.asarray(theirs), atol=1e-5)
    with pytest.raises(InvalidArgumentError, match="sequence_length <= fft_length"):
        K.stft(x, 10, 4, 8)


def test_what_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="mode must be one of"):
        STFTSpectrogram("loud")
    with pytest.raises(InvalidArgumentError, match="must not exceed frame_length=8"):
        STFTSpectrogram(frame_length=8, frame_step=9)
    with pytest.raises(InvalidArgumentError, match="must not be less than sequence_length"):
        MelSpectrogram(fft_length=8, sequence_length=9)
    with pytest.raises(ShapeError, match=r"needs \(batch, time, channels\)"):
        STFTSpectrogram()(Input((40,)))
