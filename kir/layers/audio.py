"""Keras's preprocessing layers for sounds.

Source: https://keras.io/api/layers/preprocessing_layers/audio_preprocessing/
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kir import backend as K
from kir import config
from kir.errors import InvalidArgumentError, ShapeError
from kir.initializers import STFT
from kir.ir.op import Array
from kir.ir.trace import Tensor, emit
from kir.ir.types import Shape, format_shape
from kir.modeling.declared import DataFormat, DeclaredLayer
from kir.modeling.weight import Weight
from kir.ops.convolution import Conv
from kir.ops.shape import Concat, Transpose
from kir.support.arguments import integer, number, optional_integer
from kir.support.declarations import Boolean, Choice, Integer, Number, OptionalChoice, OptionalInteger, Unchecked

MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")

# The mel scale: 1127 ln(1 + f / 700), as the Hidden Markov Model Toolkit has it.
MEL_BREAK_HERTZ = 700.0
MEL_HIGH_QUOTIENT = 1127.0


class STFTSpectrogram(DeclaredLayer):
    """The spectrum of every frame of a signal: (batch, time, channels) → (batch, frames, channels · frequencies).

    The transform is a convolution whose kernels are weights, and may have been trained. All channels share them.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 3, or its number of channels is unknown.

    Source: https://keras.io/api/layers/preprocessing_layers/audio_preprocessing/stft_spectrogram/
    """

    takes_one_tensor = True

    mode: Choice = Choice(
        *MODES,
        default="log",
        doc='"log" or "magnitude" of the amplitude; "psd", the power spectral density; "real", "imag" or "stft" '
        'for the parts, the last for both; "angle"',
    )
    frame_length: Integer = Integer(1, default=256, doc="samples in a frame")
    frame_step: OptionalInteger = OptionalInteger(
        1, default=None, doc="how far frames are apart; half of the length if None"
    )
    fft_length: Unchecked = Unchecked(
        default=None, doc="the samples of a frame with the zeros after it; the next power of two if None"
    )
    window: Unchecked = Unchecked(default="hann", doc="a window's name, its numbers, or None")
    periodic: Boolean = Boolean(default=False, doc="see `kir.ops.spectral.make_window`")
    scaling: OptionalChoice = OptionalChoice(
        "density", "spectrum", default="density", doc='"density", "spectrum" or None'
    )
    padding: Choice = Choice("valid", "same", default="valid", doc='"valid" or "same"')
    expand_dims: Boolean = Boolean(default=False, doc="(batch, frames, frequencies, channels) instead")
    data_format: DataFormat = DataFormat(
        default=None,
        doc='"channels_first" for (batch, channels, time) → (batch, channels · frequencies, frames), or expanded '
        "(batch, channels, frames, frequencies)",
    )

    def finish_init(self) -> None:
        self.fft_length = optional_integer(self.name_in_messages, "fft_length", self.fft_length, self.frame_length)
        if self.step > self.frame_length:
            raise InvalidArgumentError(
                f"{self.name_in_messages}: frame_step must not exceed frame_length={self.frame_length}; received "
                f"frame_step={self.frame_step}"
            )

    @property
    def step(self) -> int:
        """The distance between the starts of frames, in samples."""
        return self.frame_step or self.frame_length // 2

    @property
    def frequencies(self) -> int:
        """How many there are, from 0 to half of the sampling rate."""
        return int(self.fft_length or 2 ** math.ceil(math.log2(self.frame_length))) // 2 + 1

    def build(self, input_shape: Shape) -> None:
        """Make kernels of (frame_length, 1, frequencies), for the real and the imaginary part."""
        shape = (self.frame_length, 1, self.frequencies)

        def add(side: str) -> Weight:
            initializer = STFT(side, self.window, self.scaling, self.periodic)
            return self.new_weight(f"{side}_kernel", shape, initializer)

        self.real_kernel = None if self.mode == "imag" else add("real")
        self.imag_kernel = None if self.mode == "real" else add("imag")

    def call(self, inputs: Tensor) -> Any:
        if len(inputs.shape) != 3:
            raise ShapeError(f"STFTSpectrogram needs (batch, time, channels); received {format_shape(inputs.shape)}")
        signal = inputs if self.data_format == "channels_first" else emit(Transpose((0, 2, 1)), inputs)
        channels = signal.shape[1]
        if not isinstance(channels, int):
            raise ShapeError(f"STFTSpectrogram needs a known number of channels; received {format_shape(inputs.shape)}")
        return self._arranged(self._result(self._parts(signal, channels), channels), channels)

    def _parts(self, signal: Tensor, channels: int) -> Tensor:
        """Return the real and imaginary parts that are needed: (batch, channels, parts · frequencies, frames)."""
        kernels = [self.read(weight, signal) for weight in (self.real_kernel, self.imag_kernel) if weight is not None]
        kernel = emit(Concat(2), *kernels) if len(kernels) > 1 else kernels[0]
        alone = K.reshape(signal, (signal.shape[0] * channels, 1, signal.shape[2]))
        padding = "same" if self.padding == "same" else (0, 0)
        found = emit(Conv((self.step,), (1,), 1, padding), alone, emit(Transpose((2, 1, 0)), kernel))
        return K.reshape(found, (signal.shape[0], channels, *found.shape[1:]))

    def _result(self, parts: Tensor, channels: int) -> Any:
        if self.mode in ("real", "imag", "stft"):
            return parts
        batch, _, _, frames = parts.shape
        apart = K.reshape(parts, (batch, channels, 2, self.frequencies, frames))
        if self.mode == "angle":
            return K.arctan2(apart[:, :, 1], apart[:, :, 0])
        power = K.sum(K.square(apart), axis=2)
        if self.mode == "psd":
            # The frequencies that a real signal has twice: all but the first and the last.
            return power + K.pad(power[:, :, 1:-1], [(0, 0), (0, 0), (1, 1), (0, 0)])
        magnitude = K.sqrt(K.maximum(power, config.epsilon()))
        return magnitude if self.mode == "magnitude" else K.log(K.maximum(magnitude, config.epsilon()))

    def _arranged(self, result: Tensor, channels: int) -> Any:
        """Bring (batch, channels, frequencies, frames) to the axes that were asked for."""
        batch, _, count, frames = result.shape
        if self.expand_dims:
            return emit(Transpose((0, 1, 3, 2) if self.data_format == "channels_first" else (0, 3, 2, 1)), result)
        joined = K.reshape(result, (batch, channels * count, frames))
        return joined if self.data_format == "channels_first" else emit(Transpose((0, 2, 1)), joined)


class MelSpectrogram(DeclaredLayer):
    """The loudness of a sound in each band of frequencies over time: (batch, samples) → (batch, num_mel_bins, frames).

    Bands are equally wide on the mel scale. A signal without a batch is taken too. As in Keras, with `power_to_db` the
    loudest element of the whole batch says how quiet an element can be.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind, or fft_length is less than sequence_length.

    Source: https://keras.io/api/layers/preprocessing_layers/audio_preprocessing/mel_spectrogram/
    """

    limits = "opset 17 or newer"
    takes_one_tensor = True

    fft_length: Integer = Integer(1, default=2048, doc="samples of a frame with the zeros at its ends")
    sequence_stride: Integer = Integer(1, default=512, doc="how far frames are apart")
    sequence_length: Unchecked = Unchecked(default=None, doc="samples in a frame; fft_length if None")
    window: Unchecked = Unchecked(default="hann", doc='"hann" or another window\'s name, or its numbers')
    sampling_rate: Integer = Integer(1, default=16000, doc="samples in a second")
    num_mel_bins: Integer = Integer(1, default=128, doc="how many bands")
    min_freq: Number = Number(
        0, default=20.0, doc="where they begin and end, in Hertz; max_freq is half of the sampling rate if None"
    )
    max_freq: Unchecked = Unchecked(
        default=None, doc="where they begin and end, in Hertz; max_freq is half of the sampling rate if None"
    )
    power_to_db: Boolean = Boolean(default=True, doc="decibels instead of powers")
    top_db: Number = Number(
        default=80.0, doc="how many decibels below the loudest element all quieter ones are cut off"
    )
    mag_exp: Number = Number(default=2.0, doc="the power that magnitudes are raised to")
    min_power: Number = Number(default=1e-10, doc="the least power that counts, so that its logarithm is finite")
    ref_power: Number = Number(default=1.0, doc="the power of 0 decibels")

    def finish_init(self) -> None:
        owner = self.name_in_messages
        self.sequence_length = integer(owner, "sequence_length", self.sequence_length or self.fft_length, 1)
        if self.fft_length < self.sequence_length:
            raise InvalidArgumentError(
                f"{owner}: fft_length must not be less than sequence_length; received {self.fft_length}, "
                f"{self.sequence_length}"
            )
        self.max_freq = number(owner, "max_freq", self.max_freq or int(self.sampling_rate / 2), 0)

    def call(self, inputs: Tensor) -> Any:
        # Fourier transforms are of f32 and f64 only.
        dtype = self.dtype_policy.compute.keras_name
        signal = K.cast(inputs, dtype if dtype == "float64" else "float32")
        real, imag = K.stft(signal, self.sequence_length, self.sequence_stride, self.fft_length, self.window)
        power = K.square(real) + K.square(imag)
        bands = K.matmul(power if self.mag_exp == 2 else power ** (self.mag_exp / 2), self._mel_matrix(signal.dtype))
        result = self._decibels(bands) if self.power_to_db else bands
        return K.cast(K.swapaxes(result, -1, -2), dtype)

    def _decibels(self, bands: Tensor) -> Any:
        # One factor for the natural logarithm, and the decibels of the reference power.
        reference = 10 * math.log10(max(abs(self.ref_power), self.min_power))
        loudness = 10.0 * K.log10(K.maximum(bands, self.min_power)) - reference
        return K.maximum(loudness, K.max(loudness) - self.top_db)

    def _mel_matrix(self, dtype: str) -> Array:
        """Return what each of fft_length // 2 + 1 frequencies adds to each band: triangles that rise to 1 and fall.

        Source: `linear_to_mel_weight_matrix` of Keras, after the Hidden Markov Model Toolkit.
        """
        frequencies = _to_mel(np.linspace(0, self.sampling_rate / 2, self.fft_length // 2 + 1)[1:])[:, None]
        edges = np.linspace(_to_mel(self.min_freq), _to_mel(self.max_freq), self.num_mel_bins + 2)
        low, center, high = edges[:-2], edges[1:-1], edges[2:]
        rising, falling = (frequencies - low) / (center - low), (high - frequencies) / (high - center)
        # The first frequency, 0, is in no band.
        return np.pad(np.maximum(0, np.minimum(rising, falling)), [(1, 0), (0, 0)]).astype(dtype)


def _to_mel(hertz: Any) -> Any:
    return MEL_HIGH_QUOTIENT * np.log(1 + hertz / MEL_BREAK_HERTZ)
