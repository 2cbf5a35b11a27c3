"""Models of tf_keras (Keras 2), one or more for each of its layers: what make_keras2_files.py writes into files.

Where a layer's meaning may differ between Keras 2 and 3, there is a model for it: layouts, activations, masks, states,
and inputs that are no float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers as L

Builder = Callable[[], Any]
MODELS: dict[str, Builder] = {}
# What computes the outputs of a model that cannot run here, with the weights of its file.
STAND_INS: dict[str, Builder] = {}


def model(function: Builder) -> Builder:
    """Add the model that a function builds, under the function's name."""
    MODELS[function.__name__] = function
    return function


def chain(name: str, shape: tuple[Any, ...], *layers: Callable[..., Any], dtype: str = "float32") -> None:
    """Add a functional model: one layer after the other."""

    def build() -> Any:
        x = given = L.Input(shape, dtype=dtype)
        for make in layers:
            x = make()(x)
        return keras.Model(given, x)

    MODELS[name] = build


def sequential(name: str, *layers: Callable[[], Any]) -> None:
    """Add a Sequential, whose first layer has `input_shape`."""
    MODELS[name] = lambda: keras.Sequential([make() for make in layers])


def merge(name: str, layer: Callable[[], Any], *inputs: tuple[tuple[Any, ...], str]) -> None:
    """Add a model of one layer that takes several inputs, of these shapes and dtypes."""

    def build() -> Any:
        given = [L.Input(shape, dtype=dtype) for shape, dtype in inputs]
        return keras.Model(given, layer()(given))

    MODELS[name] = build


def with_policy(policy: str, build: Builder) -> Builder:
    """Build a model under a dtype policy."""

    def build_with_policy() -> Any:
        keras.mixed_precision.set_global_policy(policy)
        try:
            return build()
        finally:
            keras.mixed_precision.set_global_policy("float32")

    return build_with_policy


P = functools.partial

# Activations

ACTIVATIONS = [
    *("elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "linear", "log_softmax", "mish", "relu", "relu6"),
    *("selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh"),
]
for one in ACTIVATIONS:
    chain(f"activation_{one}", (4,), P(L.Activation, one))
for function in (tf.nn.gelu, tf.nn.leaky_relu, tf.nn.log_softmax, tf.nn.relu, tf.nn.silu, tf.nn.softmax, tf.math.tanh):
    chain(f"activation_tf_{function.__name__}", (4,), P(L.Dense, 3, activation=function))
chain("activation_crelu", (4,), P(L.Activation, tf.nn.crelu))
chain("dense_hard_sigmoid", (4,), P(L.Dense, 3, activation="hard_sigmoid"))
chain("activation_is_a_layer", (4,), lambda: L.Dense(3, activation=L.LeakyReLU(alpha=0.1)))
chain("activation_names_a_layer", (4,), lambda: L.Dense(3, activation="LeakyReLU"), lambda: L.Dense(2, "ELU"))
chain("leaky_relu", (4,), L.LeakyReLU, P(L.LeakyReLU, alpha=0.1))
chain("elu", (4,), L.ELU, P(L.ELU, alpha=0.5))
chain("relu", (4,), L.ReLU)
chain("relu_options", (6,), P(L.ReLU, max_value=1.0, negative_slope=0.25, threshold=0.5))
chain("thresholded_relu", (6,), P(L.ThresholdedReLU, theta=0.25))
chain("prelu", (3, 4), L.PReLU, P(L.PReLU, shared_axes=[1]))
chain("softmax", (3, 4), L.Softmax, P(L.Softmax, axis=1), P(L.Softmax, axis=[1, 2]))


@model
def softmax_mask() -> Any:
    x, mask = L.Input((4,)), L.Input((4,), dtype="bool")
    return keras.Model([x, mask], [L.Softmax()(x, mask=mask), L.Softmax(robust_masking=True)(x, mask=mask)])


# Core

chain("dense", (4,), P(L.Dense, 3, activation="relu"))
chain("dense_3d", (None, 4), P(L.Dense, 3, use_bias=False))
chain("dense_of_integers", (4,), P(L.Dense, 3), dtype="int32")
chain("dense_float64", (4,), P(L.Dense, 3, dtype="float64"))
sequential("dense_sequential", P(L.Dense, 3, input_shape=(4,)), P(L.Dense, 2, activation="softmax"))
sequential("dense_input_dim", P(L.Dense, 3, input_dim=4))
chain("einsum_dense", (3, 4), P(L.EinsumDense, "abc,cd->abd", output_shape=(None, 5), bias_axes="d"))
chain("embedding", (3,), P(L.Embedding, 5, 2), dtype="int32")
chain("embedding_of_floats", (3,), P(L.Embedding, 5, 2))
chain("embedding_mask", (4,), P(L.Embedding, 5, 2, mask_zero=True), P(L.LSTM, 3), dtype="int32")
sequential("embedding_input_length", P(L.Embedding, 5, 2, input_length=3), L.Flatten)
chain("identity", (4,), L.Identity)
chain("masking", (4, 3), P(L.Masking, mask_value=0.0), P(L.SimpleRNN, 2))
chain("activity_regularization", (4,), P(L.ActivityRegularization, l1=0.1))
chain(
    "regularized", (4,), P(L.Dense, 3, kernel_regularizer=keras.regularizers.l1_l2(0.1, 0.2), bias_constraint="NonNeg")
)
for name in ("dropout", "alpha_dropout", "gaussian_dropout", "gaussian_noise"):
    layer = {
        "dropout": P(L.Dropout, 0.5, noise_shape=(None, 1), seed=1),
        "alpha_dropout": P(L.AlphaDropout, 0.5, noise_shape=(None, 1)),
        "gaussian_dropout": P(L.GaussianDropout, 0.5, seed=1),
        "gaussian_noise": P(L.GaussianNoise, 0.5),
    }[name]
    chain(name, (4,), layer)
chain("dropout_of_integers", (4,), P(L.Dropout, 0.5), dtype="int32")
chain("spatial_dropout_1d", (3, 4), P(L.SpatialDropout1D, 0.5))
chain("spatial_dropout_2d", (3, 4, 2), P(L.SpatialDropout2D, 0.5, data_format="channels_first"))
chain("spatial_dropout_3d", (2, 3, 4, 2), P(L.SpatialDropout3D, 0.5))

# Reshaping

chain("flatten", (3, 4), L.Flatten)
chain("flatten_channels_first", (3, 4), P(L.Flatten, data_format="channels_first"))
chain("flatten_scalars", (), L.Flatten)
chain("reshape", (12,), P(L.Reshape, (3, -1)), P(L.Reshape, (2, 6)))
chain("permute", (3, 4), P(L.Permute, (2, 1)))
chain("repeat_vector", (3,), P(L.RepeatVector, 2))
chain("cropping_1d", (6, 2), P(L.Cropping1D, (1, 2)))
chain("cropping_2d", (5, 6, 2), P(L.Cropping2D, ((1, 2), (0, 3))))
chain("cropping_2d_channels_first", (2, 5, 6), P(L.Cropping2D, 1, data_format="channels_first"))
chain("cropping_3d", (4, 5, 6, 2), P(L.Cropping3D, ((1, 2), (0, 3), (1, 1))))
chain("zero_padding_1d", (3, 2), P(L.ZeroPadding1D, (1, 2)))
chain("zero_padding_2d", (3, 4, 2), P(L.ZeroPadding2D, ((1, 2), (0, 3))))
chain("zero_padding_2d_channels_first", (2, 3, 4), P(L.ZeroPadding2D, 1, data_format="channels_first"))
chain("zero_padding_3d", (2, 3, 4, 1), P(L.ZeroPadding3D, 1))
chain("up_sampling_1d", (3, 2), P(L.UpSampling1D, 2))
chain("up_sampling_2d", (3, 4, 2), P(L.UpSampling2D, (2, 3)))
chain("up_sampling_2d_channels_first", (2, 3, 4), P(L.UpSampling2D, 2, data_format="channels_first"))
for one in ("bilinear", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic"):
    chain(f"up_sampling_2d_{one}", (3, 4, 1), P(L.UpSampling2D, (2, 3), interpolation=one))
chain("up_sampling_2d_of_integers", (3, 4, 1), P(L.UpSampling2D, 2, interpolation="bilinear"), dtype="uint8")
chain("up_sampling_3d", (2, 3, 2, 1), P(L.UpSampling3D, 2))

# Convolutions

chain("conv_1d", (7, 3), P(L.Conv1D, 4, 3, strides=2, padding="same", activation="relu"))
chain("conv_1d_causal", (7, 3), P(L.Conv1D, 4, 3, padding="causal", dilation_rate=2))
chain("conv_2d", (6, 7, 3), P(L.Conv2D, 4, (3, 2), strides=(2, 1), padding="same"))
chain("conv_2d_groups", (6, 7, 4), P(L.Conv2D, 4, 3, groups=2, dilation_rate=2, use_bias=False))
chain("conv_2d_hard_sigmoid", (6, 7, 3), P(L.Conv2D, 4, 3, activation="hard_sigmoid"))
chain("conv_3d", (4, 5, 4, 2), P(L.Conv3D, 3, 2, padding="same"))
chain("conv_1d_transpose", (5, 3), P(L.Conv1DTranspose, 2, 3, strides=2, padding="same", output_padding=1))
chain("conv_2d_transpose", (3, 4, 3), P(L.Conv2DTranspose, 2, 3, strides=2, padding="valid"))
chain("conv_2d_transpose_same", (3, 4, 3), P(L.Conv2DTranspose, 2, (3, 2), strides=(2, 3), padding="same"))
chain("conv_2d_transpose_output_padding", (3, 4, 3), P(L.Conv2DTranspose, 2, 3, strides=2, output_padding=1))
chain("conv_2d_transpose_dilated", (4, 5, 3), P(L.Conv2DTranspose, 2, 3, dilation_rate=2))
chain("conv_3d_transpose", (2, 3, 3, 2), P(L.Conv3DTranspose, 2, 2, strides=2))
chain("depthwise_conv_1d", (6, 3), P(L.DepthwiseConv1D, 3, depth_multiplier=2))
chain("depthwise_conv_2d", (5, 6, 3), P(L.DepthwiseConv2D, 3, strides=2, padding="same", depth_multiplier=2))
chain("depthwise_conv_2d_dilated", (6, 7, 3), P(L.DepthwiseConv2D, 3, dilation_rate=2, activation="hard_sigmoid"))
chain("separable_conv_1d", (6, 3), P(L.SeparableConv1D, 4, 3, padding="causal", depth_multiplier=2))
chain("separable_conv_2d", (5, 6, 3), P(L.SeparableConv2D, 4, 3, padding="same", activation="hard_sigmoid"))
chain("locally_connected_1d", (5, 2), P(L.LocallyConnected1D, 3, 2))
chain("locally_connected_2d_strides", (5, 7, 2), P(L.LocallyConnected2D, 3, (2, 3), strides=(1, 2), use_bias=False))
chain("locally_connected_1d_first", (2, 5), P(L.LocallyConnected1D, 3, 2, data_format="channels_first"))
chain("locally_connected_2d_first", (2, 4, 5), P(L.LocallyConnected2D, 3, 2, data_format="channels_first"))
chain("locally_connected_2d_matrix", (4, 5, 2), P(L.LocallyConnected2D, 3, 2, implementation=2))
chain("locally_connected_2d", (4, 5, 2), P(L.LocallyConnected2D, 3, 2))

# Pooling

for rank, shape in ((1, (7, 2)), (2, (5, 6, 2)), (3, (4, 5, 4, 1))):
    for kind in ("Average", "Max"):
        make = getattr(L, f"{kind}Pooling{rank}D")
        make_global = getattr(L, f"Global{kind}Pooling{rank}D")
        chain(f"{kind.lower()}_pooling_{rank}d", shape, P(make, 2, strides=2))
        chain(f"{kind.lower()}_pooling_{rank}d_same", shape, P(make, 3, strides=2, padding="same"))
        chain(f"global_{kind.lower()}_pooling_{rank}d", shape, make_global)
        chain(f"global_{kind.lower()}_pooling_{rank}d_kept", shape, P(make_global, keepdims=True))
        chain(f"global_{kind.lower()}_pooling_{rank}d_first", shape, P(make_global, data_format="channels_first"))
chain("global_average_pooling_1d_mask", (4, 3), L.Masking, L.GlobalAveragePooling1D)
chain("max_pooling_2d_of_integers", (4, 4, 1), P(L.MaxPooling2D, 2), dtype="int32")
chain("global_max_pooling_2d_of_integers", (4, 4, 1), L.GlobalMaxPooling2D, dtype="uint8")
chain("global_average_pooling_2d_of_integers", (4, 4, 1), L.GlobalAveragePooling2D, dtype="int32")

# Normalization

chain("batch_normalization", (3, 4), L.BatchNormalization)
chain("batch_normalization_axis", (3, 4), P(L.BatchNormalization, axis=1, scale=False, epsilon=0.1))
chain("batch_normalization_conv", (4, 5, 2), P(L.Conv2D, 3, 2), P(L.BatchNormalization, center=False))
chain("batch_normalization_renorm", (4,), P(L.BatchNormalization, renorm=True))
chain("batch_normalization_axes", (3, 4), P(L.BatchNormalization, axis=[1, 2]))
chain("sync_batch_normalization", (4,), L.experimental.SyncBatchNormalization)
chain("synchronized_batch_normalization", (4,), P(L.BatchNormalization, synchronized=True))
chain("layer_normalization", (3, 4), L.LayerNormalization)
chain("layer_normalization_axes", (3, 4), P(L.LayerNormalization, axis=[1, 2], epsilon=0.1, center=False))
chain("group_normalization", (3, 4), P(L.GroupNormalization, groups=2))
chain("unit_normalization", (3, 4), L.UnitNormalization, P(L.UnitNormalization, axis=1))
chain("spectral_normalization", (4,), lambda: L.SpectralNormalization(L.Dense(3)))

# Merging

FLOATS = ((3, 4), "float32")
INTEGERS = ((3, 4), "int32")
for one in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"):
    merge(f"{one.lower()}", getattr(L, one), FLOATS, FLOATS)
    merge(f"{one.lower()}_of_integers", getattr(L, one), INTEGERS, INTEGERS)
    merge(f"{one.lower()}_broadcast", getattr(L, one), FLOATS, ((1, 4), "float32"))
merge("add_broadcast_rank", L.Add, ((3, 4), "float32"), ((4,), "float32"))
merge("concatenate", L.Concatenate, FLOATS, FLOATS)
merge("concatenate_axis", P(L.Concatenate, axis=1), FLOATS, ((2, 4), "float32"))
merge("concatenate_of_integers", P(L.Concatenate, axis=1), INTEGERS, INTEGERS)
merge("dot", P(L.Dot, axes=(2, 2)), FLOATS, ((2, 4), "float32"))
merge("dot_normalized", P(L.Dot, axes=1, normalize=True), ((4,), "float32"), ((4,), "float32"))


@model
def concatenate_masks() -> Any:
    given = [L.Input((4, 3)), L.Input((4, 3))]
    masked = [L.Masking()(x) for x in given]
    return keras.Model(given, L.LSTM(2)(L.Concatenate()(masked)))


@model
def add_masks() -> Any:
    given = [L.Input((4, 3)), L.Input((4, 3))]
    masked = [L.Masking()(x) for x in given]
    return keras.Model(given, L.LSTM(2)(L.Add()(masked)))


# Attention


def attention(name: str, make: Callable[[], Any], **call: Any) -> None:
    def build() -> Any:
        given = [L.Input((3, 4)), L.Input((5, 4)), L.Input((5, 4))]
        return keras.Model(given, make()(given, **call))

    MODELS[name] = build


attention("attention", L.Attention)
attention("attention_scaled", P(L.Attention, use_scale=True), return_attention_scores=True)
attention("attention_concat", P(L.Attention, score_mode="concat"))
attention("additive_attention", L.AdditiveAttention)
attention("additive_attention_unscaled", P(L.AdditiveAttention, use_scale=False))


@model
def attention_causal() -> Any:
    given = [L.Input((4, 3)), L.Input((4, 3))]
    return keras.Model(given, L.Attention()(given, use_causal_mask=True))


@model
def attention_masks() -> Any:
    given = [L.Input((4, 3)), L.Input((4, 3))]
    masked = [L.Masking()(x) for x in given]
    return keras.Model(given, [L.Attention()(masked), L.AdditiveAttention()(masked)])


@model
def multi_head_attention() -> Any:
    query, value = L.Input((3, 4)), L.Input((5, 6))
    return keras.Model([query, value], L.MultiHeadAttention(2, 3)(query, value))


@model
def multi_head_attention_options() -> Any:
    query, value, key = L.Input((3, 4)), L.Input((5, 6)), L.Input((5, 2))
    layer = L.MultiHeadAttention(2, 3, value_dim=2, output_shape=7, use_bias=False, dropout=0.1)
    return keras.Model([query, value, key], layer(query, value, key, return_attention_scores=True))


@model
def multi_head_attention_causal() -> Any:
    x = L.Input((4, 3))
    return keras.Model(x, L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True))


@model
def multi_head_attention_mask() -> Any:
    x, mask = L.Input((4, 3)), L.Input((4, 4), dtype="bool")
    return keras.Model([x, mask], L.MultiHeadAttention(2, 3)(x, x, attention_mask=mask))


@model
def multi_head_attention_masking() -> Any:
    x = L.Input((4, 3))
    masked = L.Masking()(x)
    return keras.Model(x, L.MultiHeadAttention(2, 3)(masked, masked))


@model
def multi_head_attention_axes() -> Any:
    x = L.Input((2, 3, 4))
    return keras.Model(x, L.MultiHeadAttention(2, 3, attention_axes=(1, 2))(x, x))


# Recurrent layers

STEPS = (5, 3)
for one in ("SimpleRNN", "LSTM", "GRU"):
    make, name = getattr(L, one), {"SimpleRNN": "simple_rnn"}.get(one, one.lower())
    chain(name, STEPS, P(make, 4))
    chain(f"{name}_sequences", (None, 3), P(make, 4, return_sequences=True, go_backwards=True))
    chain(f"{name}_mask", STEPS, L.Masking, P(make, 4, return_sequences=True))
    chain(f"{name}_mask_backwards", STEPS, L.Masking, P(make, 4, go_backwards=True))
    chain(f"{name}_mask_zeros", STEPS, L.Masking, P(make, 4, return_sequences=True, zero_output_for_mask=True))
    chain(f"{name}_states", STEPS, P(make, 4, return_state=True, use_bias=False))
    chain(f"{name}_hard_sigmoid", STEPS, P(make, 4, activation="hard_sigmoid"))
    chain(f"{name}_unrolled", STEPS, P(make, 4, unroll=True))
    chain(f"{name}_cell", STEPS, lambda one=one: L.RNN(getattr(L, f"{one}Cell")(4)))
    chain(f"{name}_bidirectional", STEPS, lambda make=make: L.Bidirectional(make(4, return_sequences=True)))
    chain(f"{name}_unrolled_mask", STEPS, L.Masking, P(make, 4, unroll=True, return_sequences=True))
    chain(f"{name}_states_mask", STEPS, L.Masking, P(make, 4, return_state=True, return_sequences=True))
    chain(f"{name}_time_major", STEPS, P(make, 4, time_major=True)) if one != "SimpleRNN" else None
for one in ("LSTM", "GRU"):
    make, name = getattr(L, one), one.lower()
    chain(f"{name}_gates", (None, 3), P(make, 4, recurrent_activation="hard_sigmoid", return_sequences=True))
    chain(f"{name}_gates_masked", STEPS, L.Masking, P(make, 4, recurrent_activation="hard_sigmoid"))
    chain(
        f"{name}_gates_bidirectional",
        STEPS,
        lambda make=make: L.Bidirectional(make(4, recurrent_activation="hard_sigmoid"), merge_mode="sum"),
    )
    chain(
        f"{name}_cell_gates",
        STEPS,
        lambda one=one: L.RNN(getattr(L, f"{one}Cell")(4, recurrent_activation="hard_sigmoid")),
    )
    chain(f"{name}_v1", STEPS, P(getattr(tf.compat.v1.keras.layers, one), 4))
    # These run on GPUs alone: what they compute is what the other layer does, with weights from their file.
    make = getattr(tf.compat.v1.keras.layers, f"CuDNN{one}")
    chain(f"cudnn_{name}", STEPS, P(make, 4, return_sequences=True))
    chain(f"cudnn_{name}_bidirectional", STEPS, lambda make=make: L.Bidirectional(make(4)))
    options = {"recurrent_activation": "sigmoid"} | ({"reset_after": True} if one == "GRU" else {})
    make = P(getattr(L, one), 4, **options)
    chain("reference", STEPS, P(make, return_sequences=True))
    STAND_INS[f"cudnn_{name}"] = MODELS.pop("reference")
    chain("reference", STEPS, lambda make=make: L.Bidirectional(make()))
    STAND_INS[f"cudnn_{name}_bidirectional"] = MODELS.pop("reference")
chain("gru_reset_before", STEPS, P(L.GRU, 4, reset_after=False))
chain("lstm_stacked_cells", STEPS, lambda: L.RNN([L.LSTMCell(4), L.LSTMCell(2)], return_sequences=True))
chain("stacked_cells", STEPS, lambda: L.RNN(L.StackedRNNCells([L.GRUCell(4), L.SimpleRNNCell(2)])))
chain(
    "stacked_cells_states",
    STEPS,
    L.Masking,
    lambda: L.RNN([L.LSTMCell(4), L.GRUCell(2)], return_state=True, return_sequences=True),
)
for mode in ("concat", "sum", "mul", "ave"):
    chain(
        f"bidirectional_{mode}_mask",
        STEPS,
        L.Masking,
        lambda mode=mode: L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode=mode),
        lambda mode=mode: L.Bidirectional(L.GRU(3, return_state=True), merge_mode=mode),
    )
chain("bidirectional_apart", STEPS, L.Masking, lambda: L.Bidirectional(L.SimpleRNN(4, return_sequences=True), None))
chain("time_distributed", (3, 4), lambda: L.TimeDistributed(L.Dense(2, activation="hard_sigmoid")))
chain("time_distributed_conv", (3, 5, 5, 2), lambda: L.TimeDistributed(L.Conv2D(2, 2)))
chain(
    "bidirectional_modes",
    STEPS,
    lambda: L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode="ave"),
    lambda: L.Bidirectional(L.GRU(3), merge_mode="mul", backward_layer=L.GRU(3, go_backwards=True)),
)
for rank, sizes in ((1, (5,)), (2, (4, 5)), (3, (3, 4, 3))):
    make = getattr(L, f"ConvLSTM{rank}D")
    chain(f"conv_lstm_{rank}d", (3, *sizes, 2), P(make, 2, 2))
chain("conv_lstm_2d_sequences", (3, 4, 5, 2), P(L.ConvLSTM2D, 2, 2, padding="same", return_sequences=True))
chain("conv_lstm_2d_sigmoid", (3, 4, 5, 2), P(L.ConvLSTM2D, 2, 3, recurrent_activation="sigmoid", go_backwards=True))
chain(
    "conv_lstm_2d_first", (3, 2, 4, 5), P(L.ConvLSTM2D, 2, 2, data_format="channels_first", strides=2, padding="same")
)


@model
def lstm_initial_state() -> Any:
    x, h, c = L.Input((5, 3)), L.Input((4,)), L.Input((4,))
    return keras.Model([x, h, c], L.LSTM(4)(x, initial_state=[h, c]))


@model
def encoder_decoder() -> Any:
    x, y = L.Input((5, 3)), L.Input((None, 3))
    _, *states = L.LSTM(4, return_state=True, recurrent_activation="hard_sigmoid")(x)
    return keras.Model([x, y], L.LSTM(4, return_sequences=True)(y, initial_state=states))


@model
def lstm_stateful() -> Any:
    x = L.Input(batch_shape=(2, 3, 4))
    return keras.Model(x, L.LSTM(3, stateful=True)(x))


@model
def decoder_mask() -> Any:
    x, y = L.Input((5, 3)), L.Input((None, 3))
    _, *states = L.LSTM(4, return_state=True)(L.Masking()(x))
    return keras.Model([x, y], L.LSTM(4, return_sequences=True)(L.Masking()(y), initial_state=states))


@model
def decoder_mask_gru() -> Any:
    x, y = L.Input((5, 3)), L.Input((4, 3))
    state = L.GRU(4)(x)
    return keras.Model([x, y], L.GRU(4)(L.Masking()(y), initial_state=state))


@model
def decoder_mask_bidirectional() -> Any:
    x, y = L.Input((5, 3)), L.Input((4, 3))
    _, *states = L.Bidirectional(L.LSTM(4, return_state=True))(x)
    return keras.Model([x, y], L.Bidirectional(L.LSTM(4))(L.Masking()(y), initial_state=states))


@model
def decoder_mask_rnn() -> Any:
    x, y = L.Input((5, 3)), L.Input((4, 3))
    state = L.SimpleRNN(4)(x)
    return keras.Model([x, y], L.RNN(L.SimpleRNNCell(4), return_sequences=True)(L.Masking()(y), initial_state=state))


# What becomes of a mask

for name, layer in {
    "activation": P(L.Activation, "tanh"),
    "activity_regularization": L.ActivityRegularization,
    "alpha_dropout": P(L.AlphaDropout, 0.5),
    "attention": lambda: lambda x: L.Attention()([x, x]),
    "batch_normalization": L.BatchNormalization,
    "bidirectional": lambda: L.Bidirectional(L.GRU(2, return_sequences=True)),
    "conv_1d": P(L.Conv1D, 3, 2, padding="same"),
    "cropping_1d": P(L.Cropping1D, 1),
    "dense": P(L.Dense, 3),
    "dropout": P(L.Dropout, 0.5),
    "einsum_dense": P(L.EinsumDense, "abc,cd->abd", (None, 5)),
    "elu": L.ELU,
    "gaussian_noise": P(L.GaussianNoise, 0.5),
    "identity": L.Identity,
    "layer_normalization": L.LayerNormalization,
    "leaky_relu": L.LeakyReLU,
    "masking": P(L.Masking, 0.5),
    "max_pooling_1d": P(L.MaxPooling1D, 2),
    "multi_head_attention": lambda: lambda x: L.MultiHeadAttention(1, 2)(x, x),
    "normalization": P(L.Normalization, mean=1.0, variance=4.0, axis=None),
    "permute": P(L.Permute, (2, 1)),
    "prelu": L.PReLU,
    "relu": L.ReLU,
    "rescaling": P(L.Rescaling, 2.0),
    "reshape": P(L.Reshape, (5, 3)),
    "rnn": lambda: L.RNN(L.LSTMCell(2), return_sequences=True),
    "separable_conv_1d": P(L.SeparableConv1D, 2, 2),
    "spatial_dropout_1d": P(L.SpatialDropout1D, 0.5),
    "spectral_normalization": lambda: L.SpectralNormalization(L.Dense(2)),
    "thresholded_relu": P(L.ThresholdedReLU, 0.1),
    "time_distributed": lambda: L.TimeDistributed(L.Dense(2)),
    "unit_normalization": L.UnitNormalization,
    "up_sampling_1d": P(L.UpSampling1D, 2),
    "zero_padding_1d": P(L.ZeroPadding1D, 1),
}.items():
    chain(f"mask_{name}", (5, 3), L.Masking, layer, P(L.LSTM, 2, return_sequences=True))


def merge_masks(name: str, make: Callable[[], Any], masked: tuple[bool, bool]) -> None:
    def build() -> Any:
        given = [L.Input((5, 3)), L.Input((5, 3))]
        x = make()([L.Masking()(one) if is_masked else one for one, is_masked in zip(given, masked, strict=True)])
        return keras.Model(given, [x, L.SimpleRNN(2, return_sequences=True)(x)])

    MODELS[f"mask_{name}"] = build


for one in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract", "Concatenate"):
    merge_masks(f"{one.lower()}_both", getattr(L, one), (True, True))
    merge_masks(f"{one.lower()}_one", getattr(L, one), (False, True))
merge_masks("concatenate_steps_both", P(L.Concatenate, axis=1), (True, True))
merge_masks("dot_both", P(L.Dot, 2), (True, True))


chain(
    "mask_inside_time_distributed",
    (3, 4),
    lambda: L.TimeDistributed(L.Embedding(5, 2, mask_zero=True)),
    lambda: L.TimeDistributed(L.LSTM(3)),
    P(L.LSTM, 2, return_sequences=True),
    dtype="int32",
)
chain(
    "mask_of_a_model_in_time_distributed",
    (3, 4),
    lambda: L.TimeDistributed(keras.Sequential([L.Embedding(5, 2, mask_zero=True), L.LSTM(3)])),
    P(L.LSTM, 2, return_sequences=True),
    dtype="int32",
)
chain(
    "mask_from_a_model_in_time_distributed",
    (3, 4),
    lambda: L.TimeDistributed(keras.Sequential([L.Embedding(5, 2, mask_zero=True), L.LSTM(3, return_sequences=True)])),
    lambda: L.TimeDistributed(L.LSTM(3)),
    P(L.LSTM, 2, return_sequences=True),
    dtype="int32",
)
chain(
    "mask_of_steps_of_steps",
    (3, 4, 2),
    lambda: L.TimeDistributed(L.Masking()),
    lambda: L.TimeDistributed(L.Bidirectional(L.GRU(3))),
    P(L.GRU, 2, return_sequences=True),
)


@model
def mask_into_conv_lstm() -> Any:
    x, mask = L.Input((4, 3, 2)), L.Input((4,), dtype="bool")
    return keras.Model([x, mask], L.ConvLSTM1D(2, 2, return_sequences=True)(x, mask=mask))


@model
def mask_of_a_model_inside() -> Any:
    given = L.Input((5, 3))
    inner = keras.Model(given, L.Dense(3)(L.Masking()(given)))
    x = L.Input((5, 3))
    return keras.Model(x, L.LSTM(2)(inner(x)))


@model
def mask_given_to_a_call() -> Any:
    x, mask = L.Input((5, 3)), L.Input((5,), dtype="bool")
    return keras.Model([x, mask], [L.GRU(2)(x, mask=mask), L.GlobalAveragePooling1D()(x, mask=mask)])


# Models inside models


@model
def nested() -> Any:
    given = L.Input((4,))
    inner = keras.Model(given, L.Dense(4, activation="hard_sigmoid")(given))
    x = L.Input((4,))
    outer = keras.Sequential([L.Dense(4, activation="hard_sigmoid"), L.Dense(2)])
    return keras.Model(x, outer(inner(inner(x))))


@model
def several_outputs() -> Any:
    a, b = L.Input((4,)), L.Input((4,))
    shared = L.Dense(3)
    return keras.Model([a, b], [shared(a), shared(b), L.Add()([shared(a), shared(b)])])


@model
def dict_of_inputs() -> Any:
    given = {"b": L.Input((4,), name="b"), "a": L.Input((3,), name="a")}
    return keras.Model(given, L.Dense(2)(L.Concatenate()([given["a"], given["b"]])))


# Preprocessing

NUMBERS = [-1.0, 0.0, 0.5, 1.5]
chain("discretization", (6,), P(L.Discretization, NUMBERS))
chain("discretization_of_integers", (6,), P(L.Discretization, [0.0, 1.5, 3.0]), dtype="int32")
chain("discretization_one_hot", (1,), P(L.Discretization, NUMBERS, output_mode="one_hot"))
chain("discretization_multi_hot", (6,), P(L.Discretization, NUMBERS, output_mode="multi_hot"))
chain("discretization_count", (6,), P(L.Discretization, NUMBERS, output_mode="count"))
chain("category_encoding", (3,), P(L.CategoryEncoding, 4), dtype="int32")
chain("category_encoding_one_hot", (1,), P(L.CategoryEncoding, 4, output_mode="one_hot"), dtype="int64")
chain("category_encoding_count", (3,), P(L.CategoryEncoding, 4, output_mode="count"), dtype="int32")
chain("category_encoding_of_floats", (3,), P(L.CategoryEncoding, 4))
chain("integer_lookup", (4,), P(L.IntegerLookup, vocabulary=[2, 5, 3]), dtype="int64")
chain("integer_lookup_of_int32", (4,), P(L.IntegerLookup, vocabulary=[2, 5, 3]), dtype="int32")
chain("integer_lookup_mask", (4,), P(L.IntegerLookup, vocabulary=[2, 5, 3], mask_token=0), dtype="int64")
chain("integer_lookup_oov", (4,), P(L.IntegerLookup, vocabulary=[2, 5, 3], num_oov_indices=2), dtype="int64")
chain("integer_lookup_inverse", (4,), P(L.IntegerLookup, vocabulary=[2, 5, 3], invert=True), dtype="int64")
chain(
    "integer_lookup_multi_hot", (4,), P(L.IntegerLookup, vocabulary=[2, 5, 3], output_mode="multi_hot"), dtype="int64"
)
chain(
    "integer_lookup_tf_idf",
    (4,),
    P(L.IntegerLookup, vocabulary=[2, 5, 3], idf_weights=[0.5, 0.25, 2.0], output_mode="tf_idf"),
    dtype="int64",
)
WORDS = ["a", "b", "c"]
chain("string_lookup", (4,), P(L.StringLookup, vocabulary=WORDS), dtype="string")
chain("string_lookup_mask", (4,), P(L.StringLookup, vocabulary=WORDS, mask_token=""), dtype="string")
chain("string_lookup_count", (4,), P(L.StringLookup, vocabulary=WORDS, output_mode="count"), dtype="string")
chain("string_lookup_one_hot", (1,), P(L.StringLookup, vocabulary=WORDS, output_mode="one_hot"), dtype="string")
chain("string_lookup_inverse", (4,), P(L.StringLookup, vocabulary=WORDS, invert=True), dtype="int64")
chain("hashing", (3,), P(L.Hashing, 4), dtype="string")
merge("hashed_crossing", P(L.HashedCrossing, 4), ((1,), "string"), ((1,), "string"))
chain("text_vectorization", (1,), P(L.TextVectorization, vocabulary=WORDS), dtype="string")
chain("normalization", (4,), P(L.Normalization, mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 4.0, 0.0, 9.0]))
chain("normalization_inverse", (4,), P(L.Normalization, mean=2.0, variance=4.0, axis=None, invert=True))
chain(
    "normalization_axes",
    (2, 3),
    P(L.Normalization, axis=(1, 2), mean=[[1.0, 2, 3], [4, 5, 6]], variance=[[4.0, 1, 2], [9, 1, 2]]),
)
chain("normalization_axis", (2, 3), P(L.Normalization, axis=1, mean=[1.0, 2.0], variance=[4.0, 9.0]))
chain("rescaling_channels", (3, 2), P(L.Rescaling, [0.5, 2.0], offset=[1.0, -1.0]))
chain("normalization_of_integers", (4,), P(L.Normalization, mean=2.0, variance=4.0, axis=None), dtype="int32")


@model
def normalization_adapted() -> Any:
    layer = L.Normalization()
    layer.adapt(np.arange(12, dtype="float32").reshape(4, 3) ** 2)
    x = L.Input((3,))
    return keras.Model(x, layer(x))


@model
def discretization_adapted() -> Any:
    layer = L.Discretization(num_bins=4)
    layer.adapt(np.linspace(-2, 2, 50, dtype="float32"))
    x = L.Input((6,))
    return keras.Model(x, layer(x))


@model
def string_lookup_adapted() -> Any:
    layer = L.StringLookup()
    layer.adapt(["a", "b", "b", "c"])
    x = L.Input((4,), dtype="string")
    return keras.Model(x, layer(x))


IMAGE = (5, 6, 2)
for dtype in ("float32", "uint8"):
    kind = "" if dtype == "float32" else f"_{dtype}"
    chain(f"rescaling{kind}", IMAGE, P(L.Rescaling, 1 / 127.5, offset=-1), dtype=dtype)
    chain(f"center_crop{kind}", IMAGE, P(L.CenterCrop, 3, 4), dtype=dtype)
    chain(f"center_crop_larger{kind}", IMAGE, P(L.CenterCrop, 7, 8), dtype=dtype)
    chain(f"resizing{kind}", IMAGE, P(L.Resizing, 3, 7), dtype=dtype)
    chain(f"resizing_nearest{kind}", IMAGE, P(L.Resizing, 3, 7, interpolation="nearest"), dtype=dtype)
    chain(f"random_flip{kind}", IMAGE, P(L.RandomFlip, seed=1), dtype=dtype)
    chain(f"random_crop{kind}", IMAGE, P(L.RandomCrop, 3, 4), dtype=dtype)
    chain(f"random_rotation{kind}", IMAGE, P(L.RandomRotation, 0.2), dtype=dtype)
    chain(f"random_zoom{kind}", IMAGE, P(L.RandomZoom, 0.2), dtype=dtype)
    chain(f"random_translation{kind}", IMAGE, P(L.RandomTranslation, 0.2, 0.3), dtype=dtype)
    chain(f"random_contrast{kind}", IMAGE, P(L.RandomContrast, 0.2), dtype=dtype)
    chain(f"random_brightness{kind}", (5, 6, 3), P(L.RandomBrightness, 0.2), dtype=dtype)
    chain(f"random_height{kind}", IMAGE, P(L.RandomHeight, 0.2), dtype=dtype)
    chain(f"random_width{kind}", IMAGE, P(L.RandomWidth, 0.2), dtype=dtype)
chain("resizing_aspect", (6, 8, 1), P(L.Resizing, 4, 3, crop_to_aspect_ratio=True))
for one in ("bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic"):
    chain(f"resizing_{one}", (5, 6, 1), P(L.Resizing, 3, 8, interpolation=one))
chain(
    "preprocessing_then_conv", (8, 8, 3), P(L.Resizing, 6, 6), P(L.Rescaling, 1 / 255), P(L.Conv2D, 2, 3), dtype="uint8"
)

# Layers that no file of one layer can show, or that ONNX lacks

chain("lambda_layer", (4,), lambda: L.Lambda(lambda x: x * 2))
chain("random_fourier_features", (4,), P(L.experimental.RandomFourierFeatures, 3))

# Other precisions

MIXED: dict[str, tuple[tuple[int, ...], Callable[..., Any] | None]] = {
    "dense": ((4,), P(L.Dense, 3, activation="hard_sigmoid")),
    "conv_2d": ((5, 5, 2), P(L.Conv2D, 3, 2)),
    "batch_normalization": ((4,), L.BatchNormalization),
    "layer_normalization": ((4,), L.LayerNormalization),
    "lstm": ((5, 3), P(L.LSTM, 4)),
    "gru_gates": ((5, 3), P(L.GRU, 4, recurrent_activation="hard_sigmoid")),
    "embedding": ((3,), P(L.Embedding, 5, 2)),
    "rescaling": ((4, 4, 1), P(L.Rescaling, 0.5)),
    "resizing": ((4, 4, 1), P(L.Resizing, 3, 5)),
    "normalization": ((4,), P(L.Normalization, mean=1.0, variance=4.0, axis=None)),
    "category_encoding": ((3,), P(L.CategoryEncoding, 4)),
    "softmax": ((4,), L.Softmax),
    "multi_head_attention": ((4, 3), None),
}
for name, (given, make) in MIXED.items():
    dtype = "int32" if name in ("embedding", "category_encoding") else "float32"
    if make is not None:
        chain(f"mixed_float16_{name}", given, make, dtype=dtype)
        MODELS[f"mixed_float16_{name}"] = with_policy("mixed_float16", MODELS[f"mixed_float16_{name}"])
MODELS["mixed_float16_multi_head_attention"] = with_policy("mixed_float16", multi_head_attention)
chain("mixed_float16_layer", (4,), P(L.Dense, 3, dtype="mixed_float16"), P(L.Dense, 2))
chain("up_sampling_mixed", (3, 4, 1), P(L.UpSampling2D, 2, interpolation="bilinear", dtype="mixed_float16"))
chain("resizing_nearest_of_uint8_dtype", (5, 6, 2), P(L.Resizing, 3, 7, "nearest", dtype="uint8"), dtype="uint8")
chain("center_crop_of_uint8_dtype", (5, 6, 2), P(L.CenterCrop, 3, 4, dtype="uint8"), dtype="uint8")
chain("flatten_of_int_dtype", (3, 2), P(L.Flatten, dtype="int32"), P(L.Dense, 2))
chain("discretization_of_int32_dtype", (6,), P(L.Discretization, NUMBERS, dtype="int32"))
chain("category_encoding_of_int_dtype", (3,), P(L.CategoryEncoding, 4, dtype="int32"), dtype="int32")
chain("rescaling_float64", (3,), P(L.Rescaling, 0.1, dtype="float64"))
chain("embedding_float16", (3,), P(L.Embedding, 5, 2, dtype="float16"), dtype="int64")
chain("float64_into_float32", (3,), P(L.Dense, 2), dtype="float64")
chain("bool_into_flatten", (3, 2), L.Flatten, dtype="bool")
chain("activation_of_integers", (3,), P(L.Activation, "relu"), dtype="int32")
chain("relu_of_integers", (3,), L.ReLU, dtype="int32")
chain("gru_sequences_unknown", (None, 3), L.Masking, P(L.GRU, 4, return_sequences=True, activation="relu"))
chain("dense_float16", (4,), P(L.Dense, 3, dtype="float16"))

# Layers that do more to integers, and recurrent ones whose first or last steps are masked

chain("layer_normalization_of_integers", (4,), L.LayerNormalization, dtype="int32")
chain("layer_normalization_axis_of_uint8", (4, 3), P(L.LayerNormalization, axis=1), dtype="uint8")
chain("global_average_pooling_1d_of_integers", (4, 3), L.GlobalAveragePooling1D, dtype="int32")
chain("global_average_pooling_1d_of_bool", (4, 3), L.GlobalAveragePooling1D, dtype="bool")
chain("global_average_pooling_2d_of_bool", (4, 3, 2), L.GlobalAveragePooling2D, dtype="bool")
merge("average_of_uint8", L.Average, ((3, 4), "uint8"), ((3, 4), "uint8"))


@model
def global_average_pooling_1d_of_masked_integers() -> Any:
    x, mask = L.Input((4, 3), dtype="int32"), L.Input((4,), dtype="bool")
    return keras.Model([x, mask], L.GlobalAveragePooling1D()(x, mask=mask))


def masked_with_states(make: Callable[..., Any], state_count: int, **options: Any) -> Builder:
    """Return a sequence of outputs and the last output, of masked steps and given states."""

    def build() -> Any:
        x, *states = L.Input(STEPS), *[L.Input((4,)) for _ in range(state_count)]
        masked = L.Masking()(x)
        outputs = [
            make(return_sequences=whole, return_state=True, **options)(masked, initial_state=states)
            for whole in (True, False)
        ]
        return keras.Model([x, *states], outputs)

    return build


def bidirectional(make: Any, **options: Any) -> Any:
    return L.Bidirectional(make(4, **options), merge_mode="sum")


for one, count in (("SimpleRNN", 1), ("LSTM", 2), ("GRU", 1)):
    make, name = getattr(L, one), {"SimpleRNN": "simple_rnn"}.get(one, one.lower())
    MODELS[f"{name}_initial_mask"] = masked_with_states(P(make, 4), count)
    MODELS[f"{name}_initial_mask_unrolled"] = masked_with_states(P(make, 4), count, unroll=True)
    MODELS[f"{name}_initial_mask_relu"] = masked_with_states(P(make, 4, activation="elu"), count, go_backwards=True)
    MODELS[f"{name}_initial_mask_both"] = masked_with_states(P(bidirectional, make), 2 * count)
    for backwards in (False, True):
        options = {"unroll": True, "zero_output_for_mask": True, "go_backwards": backwards}
        suffix = "_backwards" if backwards else ""
        chain(f"{name}_unrolled_zeros{suffix}", STEPS, L.Masking, P(make, 4, return_sequences=True, **options))
    chain(f"{name}_unrolled_both", STEPS, L.Masking, P(bidirectional, make, return_sequences=True, unroll=True))
