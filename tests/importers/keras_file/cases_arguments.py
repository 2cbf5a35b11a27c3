"""Models of real Keras whose layers have the arguments that those of `cases.py` leave at their defaults.

Many layers are in one model, side by side, so that an argument costs little. test_complete.py says what is missing.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers as L
from keras import ops

from tests.importers.keras_file.building import Builder, chain, functional


def side_by_side(x: Any, *layers: Any) -> list[Any]:
    return [layer(x) for layer in layers]


def named(rank: int, name: str) -> Any:
    """Return the layer of Keras for images of so many axes: "Conv" is Conv2D, "ConvTranspose" Conv2DTranspose."""
    return getattr(L, f"{name.removesuffix('Transpose')}{rank}D{'Transpose' * name.endswith('Transpose')}")


def windows(rank: int, x: Any, **options: Any) -> list[Any]:
    """Return every layer that moves a window over a channels-last image of 4 channels, or over a channels-first one."""
    strided = {"strides": 2, "padding": "same", "activation": "relu", "use_bias": False, **options}
    dilated = {"dilation_rate": 2, **options}
    layers = [
        named(rank, "Conv")(6, 2, groups=2, **strided),
        named(rank, "Conv")(3, 2, **dilated),
        named(rank, "ConvTranspose")(3, 3, output_padding=1, **strided),
        named(rank, "ConvTranspose")(3, 2, **dilated),
        named(rank, "MaxPooling")(3, strides=1, padding="same", **options),
        named(rank, "AveragePooling")(3, strides=1, padding="same", **options),
        named(rank, "GlobalMaxPooling")(keepdims=True, **options),
        named(rank, "GlobalAveragePooling")(keepdims=True, **options),
    ]
    if rank < 3:
        layers += [
            named(rank, "DepthwiseConv")(2, depth_multiplier=2, **strided),
            named(rank, "DepthwiseConv")(2, **dilated),
            named(rank, "SeparableConv")(3, 2, depth_multiplier=2, **strided),
            named(rank, "SeparableConv")(3, 2, **dilated),
        ]
    return side_by_side(x, *layers)


@functional((-2, 4), (4, -2))
def windows_1d(last: Any, first: Any) -> Any:
    other = {"data_format": "channels_first"}
    pads = [L.Cropping1D((1, 2))(last), L.ZeroPadding1D((2, 1), **other)(first)]
    return [*windows(1, last), *windows(1, first, **other), *pads]


@functional((-2, 6, 4), (4, -2, 6))
def windows_2d(last: Any, first: Any) -> Any:
    other = {"data_format": "channels_first"}
    moved = [
        L.Cropping2D(((0, 1), (2, 1)), **other),
        L.ZeroPadding2D(((1, 0), (2, 1)), **other),
        L.SpatialDropout2D(0.2, seed=1, **other),
        L.CenterCrop(3, 4, **other),
    ]
    return [*windows(2, last), *windows(2, first, **other), *side_by_side(first, *moved)]


@functional((-2, 4, 5, 4), (4, 4, -2, 5))
def windows_3d(last: Any, first: Any) -> Any:
    other = {"data_format": "channels_first"}
    moved = [
        L.Cropping3D((1, 0, 2), **other),
        L.ZeroPadding3D(((1, 0), 1, 2), **other),
        L.UpSampling3D((1, 2, 3), **other),
        L.SpatialDropout3D(0.2, **other),
    ]
    return [*windows(3, last), *windows(3, first, **other), *side_by_side(first, *moved)]


@functional((3, -2), (3, -2, 6), (3, 7, -2, 5))
def adaptive_channels_first(*images: Any) -> Any:
    pools = [(rank, f"Adaptive{kind}Pooling") for rank in (1, 2, 3) for kind in ("Average", "Max")]
    return [named(rank, name)(2, data_format="channels_first")(images[rank - 1]) for rank, name in pools]


@functional((5, 6, 3), (3, -2, 6))
def resizing(last: Any, first: Any) -> Any:
    layers = [
        L.Resizing(3, 9, pad_to_aspect_ratio=True, fill_mode="constant", fill_value=2.0),
        L.Resizing(3, 4, "bicubic", antialias=True),
        L.Resizing(3, 4, "lanczos3"),
    ]
    return [*side_by_side(last, *layers), L.Resizing(3, 9, "nearest", data_format="channels_first")(first)]


@functional((-2, 4))
def masked_chain(x: Any) -> Any:
    """Return every layer that passes a mask on, and what the mask then does."""
    x = L.Masking(1.0)(L.Rescaling(1.0, offset=1.0)(L.Masking()(x)))
    layers = [
        L.Activation("tanh"),
        L.ELU(0.5),
        L.LeakyReLU(0.1),
        L.PReLU(shared_axes=[1]),
        L.ReLU(6.0),
        L.Identity(),
        L.Dropout(0.5),
        L.SpatialDropout1D(0.5),
        L.GaussianNoise(0.1),
        L.GaussianDropout(0.1),
        L.AlphaDropout(0.1),
        L.ActivityRegularization(0.1),
        L.BatchNormalization(momentum=0.9, scale=False),
        L.LayerNormalization(center=False),
        L.GroupNormalization(2, epsilon=0.1, center=False, scale=False),
        L.UnitNormalization(),
        L.Normalization(mean=0.1, variance=2.0),
        L.Dense(3),
        L.TimeDistributed(L.Dense(4)),
        L.Pipeline([L.Rescaling(2.0), L.Dense(4)]),
    ]
    for layer in layers:
        x = layer(x)
    return [x, L.LSTM(3)(x)]


@functional((-2, 4), (-2, 4))
def masked_merging(x: Any, y: Any) -> Any:
    """Layers that merge masks as well; the means are of the steps that are left."""
    x, y = L.Masking()(x), L.Masking()(L.Rescaling(0.5)(y))
    layers = [L.Add(), L.Subtract(), L.Multiply(), L.Average(), L.Maximum(), L.Minimum()]
    layers += [L.Concatenate(), L.Concatenate(axis=1)]
    dot = L.Dot(axes=2, normalize=True)([x, y])
    return [*[L.GlobalAveragePooling1D()(layer([x, y])) for layer in layers], dot]


@functional((-2, 3, 4), (-2, 3, 4, 2))
def masked_images(x: Any, y: Any) -> Any:
    return [L.SpatialDropout2D(0.2)(L.Masking()(x)), L.SpatialDropout3D(0.2)(L.Masking()(y))]


# What a recurrent layer does with its gates, steps and states; the dropouts mean nothing at inference.
GATES: dict[str, Any] = {"activation": "relu", "use_bias": False, "dropout": 0.1, "recurrent_dropout": 0.2}
MORE_GATES: dict[str, Any] = {**GATES, "recurrent_activation": "hard_sigmoid"}
STEPS: dict[str, Any] = {
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "zero_output_for_mask": True,
}


@functional((-2, 3), (4,), (4,))
def recurrent(x: Any, h: Any, c: Any) -> Any:
    x = L.Masking()(x)
    return [
        *L.LSTM(4, unit_forget_bias=False, **MORE_GATES, **STEPS)(x, initial_state=[h, c]),
        *L.GRU(4, reset_after=False, **MORE_GATES, **STEPS)(x, initial_state=h),
        *L.SimpleRNN(4, **GATES, **STEPS)(x, initial_state=h),
        *L.RNN(L.LSTMCell(4, unit_forget_bias=False, **MORE_GATES), **STEPS)(x, initial_state=[h, c]),
        L.RNN([L.GRUCell(4, **MORE_GATES), L.SimpleRNNCell(4, **GATES)])(x, initial_state=[h, c]),
    ]


@functional((-2, 3), (4,), (4,))
def bidirectional_states(x: Any, h: Any, c: Any) -> Any:
    masked = L.Masking()(x)
    layers = [L.Bidirectional(L.GRU(4, **options)) for options in ({}, {"return_sequences": True})]
    both = L.Bidirectional(L.LSTM(4, return_state=True), merge_mode=None)(masked, initial_state=[h, c, c, h])
    return [*[layer(masked) for layer in layers], *both, layers[0](x, initial_state=[h, c])]


def stateful_cells(time: Any) -> Any:
    given = keras.Input(batch_shape=(3, time, 3))
    steps = L.SimpleRNN(2, stateful=True, return_sequences=True)(given)
    return keras.Model(given, L.RNN([L.GRUCell(4), L.LSTMCell(2)], stateful=True)(steps))


def stateful_images(time: Any) -> Any:
    shapes = [(3, *(4, 5, 4, 3)[:axes], 2) for axes in (2, 3, 4)]
    inputs = [keras.Input(batch_shape=shape) for shape in shapes]
    return keras.Model(inputs, [named(i, "ConvLSTM")(2, 2, stateful=True)(x) for i, x in enumerate(inputs, 1)])


def images_over_time(rank: int, x: Any, state: Any, steps: Any) -> list[Any]:
    """ConvLSTMs of images with 2 channels. Keras's NumPy backend takes a mask only when it unrolls."""
    layer = named(rank, "ConvLSTM")
    dilated = layer(3, 2, dilation_rate=2, unit_forget_bias=False, unroll=True, **MORE_GATES, **STEPS)
    strided = layer(2, 3, strides=2, padding="same", data_format="channels_first")
    channels_first = ops.transpose(x, (0, 1, rank + 2, *range(2, rank + 2)))
    return [
        *dilated(x, mask=ops.greater(steps, 0.0)),
        strided(channels_first),
        layer(2, 1)(x, initial_state=[state, state]),
    ]


@functional((3, 5, 2), (5, 2), (3,))
def conv_lstm_1d(*inputs: Any) -> Any:
    return images_over_time(1, *inputs)


@functional((3, 5, 4, 2), (5, 4, 2), (3,))
def conv_lstm_2d(*inputs: Any) -> Any:
    return images_over_time(2, *inputs)


@functional((2, 3, 4, 5, 2), (3, 4, 5, 2), (2,))
def conv_lstm_3d(*inputs: Any) -> Any:
    return images_over_time(3, *inputs)


@functional((-2, 4), (-2, 4))
def attention(x: Any, y: Any) -> Any:
    mask = [ops.greater(ops.sum(z, axis=-1), -1.0) for z in (x, y)]
    additive = L.AdditiveAttention(use_scale=False, dropout=0.1)
    return [
        L.Attention(dropout=0.1, seed=1)([x, y], mask=mask),
        *additive([x, y], mask=mask, return_attention_scores=True, use_causal_mask=True),
        L.AdditiveAttention()([L.Masking()(x), L.Masking()(y)]),
    ]


@functional((3, -2, 4))
def attention_axes(x: Any) -> Any:
    return L.MultiHeadAttention(2, 3, attention_axes=2)(x, x)


@functional((-2, 4), (-2, 4))
def attention_masks(x: Any, y: Any) -> Any:
    kept, other = (ops.greater(ops.sum(z, axis=-1), -1.0) for z in (x, y))
    pairs = ops.greater(ops.matmul(x, ops.transpose(y, (0, 2, 1))), -1.0)
    masks = {"query_mask": kept, "value_mask": other, "key_mask": other, "attention_mask": pairs}
    options = {"dropout": 0.1, "use_bias": False}
    layers = [L.MultiHeadAttention(2, 3, **options), L.GroupQueryAttention(3, 4, 2, **options)]
    in_turn = [layer(x, y, **{name: mask}) for layer in layers for name, mask in masks.items()]
    return [*[layer(x, y, key=y, **masks) for layer in layers], *in_turn]


@functional((-2,), (-2,), dtype="int32")
def categories(x: Any, y: Any) -> Any:
    weights = ops.cast(y, "float32") + 0.5
    layers = [L.CategoryEncoding(5, output_mode=mode) for mode in ("one_hot", "multi_hot")]
    counted = L.CategoryEncoding(5, output_mode="count")(x, count_weights=weights)
    return [*side_by_side(x, *layers), counted]


@functional((-2, 3))
def discretization(x: Any) -> Any:
    learned = L.Discretization(num_bins=3, epsilon=0.1, output_mode="count")
    learned.bin_boundaries = [-0.4, 0.3]  # as adapt does, which needs TensorFlow
    return [learned(x), L.Discretization([-0.5, 0.5])(x)]


@functional((-2,), dtype="int32")
def reversible_embedding_options(x: Any) -> Any:
    layer = L.ReversibleEmbedding(4, 3, mask_zero=True, reverse_dtype="float32")
    return [layer(L.LSTM(3, return_sequences=True)(layer(x)), reverse=True)]


@functional((-2, 16))
def spectrograms(x: Any) -> Any:
    """Of signals of two channels, eight times as long as the time axis."""
    x = L.Reshape((-1, 2))(x)
    options = {"frame_step": 3, "fft_length": 16, "frame_length": 8}
    layers = [
        L.STFTSpectrogram("real", window="hamming", periodic=True, padding="same", expand_dims=True, **options),
        L.STFTSpectrogram("magnitude", scaling="spectrum", **options),
        L.STFTSpectrogram("log", window=None, scaling=None, **options),
    ]
    channels_first = L.STFTSpectrogram("imag", data_format="channels_first", expand_dims=True, **options)
    return [*side_by_side(x, *layers), channels_first(L.Permute((2, 1))(x))]


@functional((-2, 16))
def mel_spectrograms(x: Any) -> Any:
    options = {"sequence_length": 24, "sampling_rate": 8000, "min_freq": 50.0, "max_freq": 3000.0}
    decibels = {"top_db": 60.0, "min_power": 1e-6, "ref_power": 0.5}
    layers = [
        L.MelSpectrogram(32, 8, num_mel_bins=5, window="hamming", power_to_db=False, mag_exp=1.5, **options),
        L.MelSpectrogram(32, 8, num_mel_bins=5, **options, **decibels),
    ]
    return side_by_side(L.Flatten()(x), *layers)


@functional((-2, 4), (-2,))
def unknown_sizes(x: Any, row: Any) -> Any:
    return [
        *side_by_side(x, L.Flatten(), L.Reshape((-1, 2)), L.SpectralNormalization(L.Dense(3))),
        L.RepeatVector(3)(row),
    ]


@functional((4, -2, 4))
def normalizations(x: Any) -> Any:
    renorm = {"renorm": True, "renorm_clipping": {"rmax": 2.0, "rmin": 0.5, "dmax": 1.0}, "renorm_momentum": 0.9}
    layers = [
        L.BatchNormalization(axis=1, center=False, **renorm),
        L.LayerNormalization(axis=1, rms_scaling=True),
        L.GroupNormalization(2, axis=1),
        L.RMSNormalization(axis=1, epsilon=0.1),  # whose scale Keras lines up with the last axis
    ]
    return side_by_side(x, *layers)


@functional((3,), (4,), (2,))
def stacked_cells_alone(x: Any, h: Any, other: Any) -> Any:
    output, states = L.StackedRNNCells([L.GRUCell(4), L.SimpleRNNCell(2)])(x, [h, other])
    return [output, *states]


CHAINS: dict[str, Builder] = {
    "unrolled_too": chain(
        (5, 3),
        lambda: L.LSTM(4, unroll=True, return_sequences=True),
        lambda: L.GRU(4, unroll=True, return_sequences=True),
        lambda: L.SimpleRNN(4, unroll=True, return_sequences=True),
        lambda: L.RNN(L.LSTMCell(3), unroll=True),
    ),
}

CASES: dict[str, Builder] = CHAINS | {
    "windows_1d": windows_1d,
    "windows_2d": windows_2d,
    "windows_3d": windows_3d,
    "adaptive_channels_first": adaptive_channels_first,
    "resizing_options": resizing,
    "masked_chain": masked_chain,
    "masked_merging": masked_merging,
    "masked_images": masked_images,
    "recurrent_options": recurrent,
    "bidirectional_states": bidirectional_states,
    "stateful_cells": stateful_cells,
    "stateful_images": stateful_images,
    "conv_lstm_1d_options": conv_lstm_1d,
    "conv_lstm_2d_options": conv_lstm_2d,
    "conv_lstm_3d_options": conv_lstm_3d,
    "attention_options": attention,
    "attention_axes": attention_axes,
    "attention_masks": attention_masks,
    "categories": categories,
    "discretization_options": discretization,
    "reversible_embedding_options": reversible_embedding_options,
    "spectrograms": spectrograms,
    "mel_spectrograms": mel_spectrograms,
    "unknown_sizes": unknown_sizes,
    "normalizations": normalizations,
    "stacked_cells_alone": stacked_cells_alone,
}
