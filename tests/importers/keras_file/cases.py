"""Models built with real Keras, one or more for each layer that kir has, as (name, builder) pairs.

A builder takes the size of the time axis (None for unknown) and gives a Keras model. Names are varied on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers as L
from keras import ops
from keras.src.applications.convnext import LayerScale, StochasticDepth
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from tests.importers.keras_file.building import Builder, chain, functional
from tests.importers.keras_file.cases_arguments import CASES as ARGUMENTS
from tests.layers.test_augmentation import CLASSES as AUGMENTATIONS
from tests.layers.test_augmentation import OPTIONS as AUGMENTATION_OPTIONS

# Keras 3.15 fails to save these as .h5, and cannot put Equalization into a model: test_augmentation.py has that.
NOT_HDF5 = {"Solarization"} | {
    f"Random{what}" for what in ("Brightness", "ColorDegeneration", "Posterization", "Saturation", "Sharpness")
}


def augmentations(*names: str) -> list[Callable[..., Any]]:
    return [lambda name=name: getattr(L, name)(**AUGMENTATION_OPTIONS.get(name, {})) for name in names]


CHAINS: dict[str, Builder] = {
    "dense": chain((8,), lambda: L.Dense(5)),
    "dense_rank_3": chain((-2, 8), lambda: L.Dense(5, activation="relu", use_bias=False)),
    "dense_gelu": chain((8,), lambda: L.Dense(5, activation="gelu"), lambda: L.Dense(3, activation="softmax")),
    "dense_regularized": chain(
        (8,),
        lambda: L.Dense(
            4,
            kernel_regularizer=keras.regularizers.L1L2(1e-3, 1e-2),
            bias_regularizer="l2",
            activity_regularizer="l1",
            kernel_constraint=keras.constraints.MaxNorm(2),
            bias_constraint="non_neg",
            kernel_initializer=keras.initializers.VarianceScaling(2.0),
            bias_initializer=keras.initializers.RandomNormal(seed=3),
        ),
    ),
    "frozen": chain((8,), lambda: L.Dense(5, trainable=False), lambda: L.Dense(3)),
    "activation": chain((-2, 8), lambda: L.Activation("tanh"), lambda: L.Activation("hard_sigmoid")),
    "relu": chain(
        (-2, 8), lambda: L.ReLU(), lambda: L.ReLU(max_value=6.0), lambda: L.ReLU(1.0, negative_slope=0.1, threshold=0.2)
    ),
    "leaky_relu": chain((-2, 8), lambda: L.LeakyReLU(0.1), lambda: L.ELU(0.5)),
    "prelu": chain((3, 4), lambda: L.PReLU(), lambda: L.PReLU(shared_axes=[1], alpha_regularizer="l2")),
    "prelu_shared": chain((-2, 8), lambda: L.PReLU(shared_axes=[1])),
    "softmax": chain((-2, 3, 4), lambda: L.Softmax(axis=(2, 3)), lambda: L.Softmax(axis=2)),
    "embedding": chain(
        (-2,),
        lambda: L.Embedding(3, 4, embeddings_initializer="glorot_normal", embeddings_regularizer="l2"),
        lambda: L.Dense(2),
        dtype="int32",
    ),
    "embedding_mask": chain((-2,), lambda: L.Embedding(3, 4, mask_zero=True), lambda: L.LSTM(2), dtype="int32"),
    "embedding_of_floats": chain((4,), lambda: L.Embedding(4, 2, weights=np.eye(4, 2)), lambda: L.Flatten()),
    "einsum_dense": chain(
        (-2, 4),
        lambda: L.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de", activation="relu"),
        lambda: L.EinsumDense("abde,dec->abc", (None, 4), bias_axes="c"),
        lambda: L.EinsumDense("...x,xy->...y", 3),
    ),
    "noise": chain(
        (-2, 4),
        lambda: L.GaussianNoise(0.1, seed=1),
        lambda: L.GaussianDropout(0.2),
        lambda: L.AlphaDropout(0.3, noise_shape=(None, 1, 4), seed=2),
        lambda: L.Dense(2),
    ),
    "layers_as_activations": chain(
        (8,), lambda: L.Dense(4, activation=L.LeakyReLU(0.1)), lambda: L.Activation(L.ReLU(6))
    ),
    "cropping": chain((-2, 4, 5), lambda: L.Cropping2D(((0, 1), (1, 0))), lambda: L.ZeroPadding2D(1)),
    "cropping_1d": chain((-2, 3), lambda: L.ZeroPadding1D((1, 2)), lambda: L.Cropping1D(1), lambda: L.UpSampling1D(3)),
    "cropping_3d": chain(
        (-2, 4, 5, 2),
        lambda: L.Cropping3D((0, 1, 1)),
        lambda: L.ZeroPadding3D(((1, 0), 1, 2)),
        lambda: L.UpSampling3D(2),
    ),
    "up_sampling": chain(
        (2, -2, 3),
        lambda: L.UpSampling2D((2, 3), data_format="channels_first"),
        lambda: L.UpSampling2D(2, data_format="channels_first", interpolation="bilinear"),
    ),
    "up_sampling_bicubic": chain((4, 5, 2), lambda: L.UpSampling2D(interpolation="bicubic"), lambda: L.UpSampling2D()),
    "resizing": chain(
        (-2, 5, 2),
        lambda: L.Resizing(6, 7),
        lambda: L.CenterCrop(5, 4),
        lambda: L.Resizing(3, 8, "nearest", crop_to_aspect_ratio=True),
    ),
    "dropout": chain((8,), lambda: L.Dropout(0.5, noise_shape=(None, 1), seed=1), lambda: L.Dense(3)),
    "spatial_dropout_1d": chain((-2, 8), lambda: L.SpatialDropout1D(0.3)),
    "spatial_dropout_2d": chain((4, 5, 6), lambda: L.SpatialDropout2D(0.3, data_format="channels_first")),
    "spatial_dropout_3d": chain((2, 3, 4, 5), lambda: L.SpatialDropout3D(0.3)),
    "flatten": chain((4, 3), lambda: L.Flatten(), lambda: L.Dense(2)),
    "flatten_channels_first": chain((4, 3, 5), lambda: L.Flatten(data_format="channels_first")),
    "reshape": chain((12,), lambda: L.Reshape((3, -1)), lambda: L.Reshape((2, 6))),
    "permute": chain((-2, 8), lambda: L.Permute((2, 1))),
    "repeat_vector": chain((8,), lambda: L.RepeatVector(3)),
    "identity": chain((-2, 8), lambda: L.Identity(), lambda: L.Dense(2)),
    "activity_regularization": chain((8,), lambda: L.ActivityRegularization(l1=0.1, l2=0.2)),
    "augmentation": chain(
        (3, -2, 3),
        *augmentations(*sorted({cls.__name__ for cls in AUGMENTATIONS} - NOT_HDF5 - {"Equalization", "RandomCrop"})),
    ),
    "augmentation_not_hdf5": chain((3, -2, 3), *augmentations(*sorted(NOT_HDF5))),
    "random_crop": chain((3, 5, 3), *augmentations("RandomCrop")),
    "stft_spectrogram": chain((40, 2), lambda: L.STFTSpectrogram("psd", frame_length=8), lambda: L.Dense(2)),
    "mel_spectrogram": chain((100,), lambda: L.MelSpectrogram(fft_length=32, sequence_stride=8, num_mel_bins=5)),
    "pipeline": chain(
        (6, 5, 3),
        lambda: L.Pipeline([L.Rescaling(0.5), L.RandomFlip(), L.Normalization(mean=[1, 2, 3], variance=[4, 5, 6])]),
        lambda: L.Pipeline([L.Dense(2), L.Dense(3), L.RandomFlip()]),
    ),
    "category_encoding": chain((-2,), lambda: L.CategoryEncoding(5), lambda: L.Dense(2), dtype="int32"),
    "discretization": chain((-2, 3), lambda: L.Discretization([-0.5, 0.5], output_mode="one_hot")),
    "masking": chain((-2, 3), lambda: L.Masking(0.0), lambda: L.LSTM(4)),
    "masking_sequences": chain(
        (-2, 3), lambda: L.Masking(0.0), lambda: L.GRU(4, return_sequences=True), lambda: L.Dense(2)
    ),
    "simple_rnn": chain((-2, 3), lambda: L.SimpleRNN(4, return_sequences=True)),
    "lstm": chain((-2, 3), lambda: L.LSTM(4, return_sequences=True), lambda: L.LSTM(3, go_backwards=True)),
    "gru": chain((-2, 3), lambda: L.GRU(4, reset_after=False), lambda: L.Dense(2)),
    "gru_reset_after": chain((-2, 3), lambda: L.GRU(4, use_bias=False)),
    "bidirectional": chain((-2, 3), lambda: L.Bidirectional(L.LSTM(4, return_sequences=True)), lambda: L.Dense(2)),
    "bidirectional_sum": chain(
        (-2, 3), lambda: L.Bidirectional(L.GRU(4), merge_mode="sum", backward_layer=L.GRU(4, go_backwards=True))
    ),
    "rnn": chain((-2, 3), lambda: L.RNN(L.LSTMCell(4, name="the cell"), return_sequences=True), lambda: L.Dense(2)),
    "rnn_gru_cell": chain((-2, 3), lambda: L.Masking(), lambda: L.RNN(L.GRUCell(4, reset_after=False))),
    "rnn_stacked": chain(
        (-2, 3),
        lambda: L.Masking(),
        lambda: L.RNN([L.LSTMCell(4), L.SimpleRNNCell(3), L.LSTMCell(2), L.GRUCell(4)], go_backwards=True),
    ),
    "rnn_stacked_twice": chain(
        (-2, 3), lambda: L.RNN(L.StackedRNNCells([L.GRUCell(4), L.StackedRNNCells([L.GRUCell(2), L.GRUCell(3)])]))
    ),
    "bidirectional_rnn": chain(
        (-2, 3), lambda: L.Bidirectional(L.RNN([L.LSTMCell(4), L.GRUCell(2)], return_sequences=True))
    ),
    "unrolled": chain((5, 3), lambda: L.LSTM(4, activation="gelu"), lambda: L.Dense(2)),
    "conv_lstm_1d": chain((4, 5, 2), lambda: L.ConvLSTM1D(3, 2, return_sequences=True), lambda: L.ConvLSTM1D(2, 2)),
    "conv_lstm_2d": chain((3, 2, 5, 4), lambda: L.ConvLSTM2D(2, 3, padding="same", data_format="channels_first")),
    "conv_lstm_3d": chain((2, 3, 4, 3, 2), lambda: L.ConvLSTM3D(2, 2, strides=2)),
    "time_distributed": chain((-2, 6), lambda: L.TimeDistributed(L.Dense(3, name="inner dense"))),
    "time_distributed_model": chain(
        (-2, 4, 3),
        lambda: L.TimeDistributed(keras.Sequential([L.Flatten(), L.Dense(3)], name="each")),
        lambda: L.LSTM(2),
    ),
    "conv_1d": chain((-2, 3), lambda: L.Conv1D(4, 3, padding="causal"), lambda: L.Conv1D(2, 2, activation="relu")),
    "conv_2d": chain(
        (-2, 6, 4),
        lambda: L.Conv2D(4, 3, strides=2, padding="same", groups=2),
        lambda: L.Conv2D(2, (1, 2), use_bias=False, activation="relu"),
    ),
    "conv_2d_channels_first": chain((2, -2, 6), lambda: L.Conv2D(4, 3, padding="same", data_format="channels_first")),
    "conv_3d": chain((-2, 4, 5, 2), lambda: L.Conv3D(3, 2, dilation_rate=(1, 2, 1))),
    "conv_1d_transpose": chain((-2, 3), lambda: L.Conv1DTranspose(4, 3, 2), lambda: L.SeparableConv1D(2, 2)),
    "conv_2d_transpose": chain((-2, 3, 4), lambda: L.Conv2DTranspose(2, 3, (2, 1), "same", output_padding=(1, 0))),
    "conv_3d_transpose": chain((-2, 2, 3, 2), lambda: L.Conv3DTranspose(3, 2, 2, use_bias=False)),
    "depthwise_conv_1d": chain((-2, 3), lambda: L.DepthwiseConv1D(2, depth_multiplier=2, activation="relu")),
    "depthwise_conv_2d": chain((-2, 6, 4), lambda: L.DepthwiseConv2D(3, 2, "same"), lambda: L.SeparableConv2D(3, 2)),
    "max_pooling_1d": chain((-2, 3), lambda: L.MaxPooling1D(2), lambda: L.GlobalMaxPooling1D()),
    "max_pooling_2d": chain((-2, 6, 4), lambda: L.MaxPooling2D((2, 3), 2, "same"), lambda: L.GlobalMaxPooling2D()),
    "max_pooling_3d": chain((-2, 4, 5, 2), lambda: L.MaxPooling3D(2, 1), lambda: L.GlobalMaxPooling3D(keepdims=True)),
    "average_pooling_1d": chain((-2, 3), lambda: L.AveragePooling1D(2, padding="same")),
    "average_pooling_2d": chain((4, -2, 6), lambda: L.AveragePooling2D(3, 2, data_format="channels_first")),
    "average_pooling_3d": chain((-2, 4, 5, 2), lambda: L.AveragePooling3D(2), lambda: L.GlobalAveragePooling3D()),
    "global_average_pooling_1d": chain((-2, 3), lambda: L.Masking(), lambda: L.GlobalAveragePooling1D()),
    "global_average_pooling_2d": chain((-2, 6, 4), lambda: L.GlobalAveragePooling2D(keepdims=True)),
    "adaptive_pooling_1d": chain((7, 3), lambda: L.AdaptiveAveragePooling1D(5), lambda: L.AdaptiveMaxPooling1D(2)),
    "adaptive_pooling_2d": chain((7, 6, 3), lambda: L.AdaptiveAveragePooling2D(5), lambda: L.AdaptiveMaxPooling2D(2)),
    "adaptive_pooling_3d": chain(
        (7, 6, 5, 3), lambda: L.AdaptiveAveragePooling3D(5), lambda: L.AdaptiveMaxPooling3D((2, 1, 3))
    ),
    "nested_sequential": chain(
        (8,),
        lambda: keras.Sequential([L.Dense(4), L.Dense(4)], name="a"),
        lambda: keras.Sequential([L.Dense(4), keras.Sequential([L.Dense(3)], name="c")], name="b"),
    ),
    "batch_normalization": chain((-2, 5), lambda: L.BatchNormalization(epsilon=0.1), lambda: L.Dense(2)),
    "batch_normalization_renorm": chain(
        (3, 4), lambda: L.BatchNormalization(axis=1, renorm=True, center=False), lambda: L.BatchNormalization()
    ),
    "layer_normalization": chain((-2, 5), lambda: L.LayerNormalization(axis=-1, epsilon=0.1), lambda: L.Dense(2)),
    "layer_normalization_axes": chain((3, 4, 5), lambda: L.LayerNormalization(axis=[1, 3], scale=False)),
    "group_normalization": chain((-2, 6), lambda: L.GroupNormalization(3), lambda: L.GroupNormalization(-1)),
    "rms_normalization": chain((-2, 5), lambda: L.RMSNormalization(), lambda: L.Dense(2)),
    "unit_normalization": chain((-2, 5), lambda: L.UnitNormalization(axis=[1, 2])),
    "spectral_normalization": chain((5,), lambda: L.SpectralNormalization(L.Dense(3), power_iterations=2)),
    "rescaling": chain((4, 4, 3), lambda: L.Rescaling([0.5, 2.0, 4.0], offset=-1.0)),
    "normalization": chain((-2, 5), lambda: L.Normalization(), lambda: L.Normalization(None, 0.5, 2.0, invert=True)),
    "layer_scale": chain((-2, 5), lambda: LayerScale(0.1, 5), lambda: StochasticDepth(0.3)),
    "names": chain((8,), lambda: L.Dense(4, name="größe: (1) ∑ [x]"), lambda: L.Dense(4, name="dense.kernel:0")),
    "float64": chain((8,), lambda: L.Dense(4, dtype="float64"), lambda: L.Dense(3, dtype="float64"), dtype="float64"),
    "mixed_float16": chain((8,), lambda: L.Dense(4, dtype="mixed_float16"), lambda: L.Dense(3, dtype="float32")),
    "float16": chain((8,), lambda: L.Dense(4, dtype="float16"), lambda: L.Activation("relu", dtype="float16")),
}


@functional((-2, 3))
def masked_explicitly(x: Any) -> Any:
    mask = ops.any(ops.not_equal(x, 0.0), axis=-1)
    return L.LSTM(4)(L.Dense(3)(x), mask=mask)


@functional((-2, 3))
def scaled_residual(x: Any) -> Any:
    return CustomScaleLayer(0.25)([x, L.Dense(3, activation="relu")(x)])


@functional((-2, 4), (-2, 4))
def softmax_masked(x: Any, y: Any) -> Any:
    return L.Softmax()(x, mask=ops.greater(y, 0.0))


@functional((-2,), dtype="int32")
def reversible_embedding(x: Any) -> Any:
    tied, untied = L.ReversibleEmbedding(4, 3), L.ReversibleEmbedding(5, 3, tie_weights=False, logit_soft_cap=2.0)
    return [tied(L.Dense(3)(tied(x)), reverse=True), untied(untied(x), reverse=True)]


@functional((4, 5, 2))
def images(x: Any) -> Any:
    padded = ops.image.pad_images(x, top_padding=1, left_padding=2, target_height=6, target_width=8)
    cropped = ops.image.crop_images(x, top_cropping=1, left_cropping=0, target_height=2, target_width=3)
    return [padded, cropped, ops.image.resize(x, (6, 3), interpolation="bicubic"), ops.image.resize(x, (3, 9))]


@functional((-2, 4), (-2, 4))
def attention(x: Any, y: Any) -> Any:
    masked = L.Masking()(y)
    scored = L.Attention(use_scale=True, score_mode="concat")([x, y], return_attention_scores=True)
    return [L.Attention()([x, masked], use_causal_mask=True), *scored, L.AdditiveAttention()([x, y, masked])]


@functional((-2, 4), (-2, 6))
def multi_head_attention(x: Any, y: Any) -> Any:
    both = L.MultiHeadAttention(2, 3, value_dim=5, output_shape=6)(x, y)
    masked = L.MultiHeadAttention(2, 3, use_bias=False)(L.Masking()(y), y, use_causal_mask=True)
    named = L.MultiHeadAttention(3, 2)(query=x, value=x, return_attention_scores=True)
    return [both, masked, *named, L.MultiHeadAttention(2, 3, use_gate=True, sliding_window=2)(y, y, y)]


@functional((-2, 4), (-2, 4))
def group_query_attention(x: Any, y: Any) -> Any:
    masked = L.GroupQueryAttention(3, 4, 2, use_bias=False)(L.Masking()(y), y, use_causal_mask=True)
    named = L.GroupQueryAttention(2, 3, 1)(query=x, value=y, return_attention_scores=True)
    return [masked, *named, L.GroupQueryAttention(3, 6, 2, use_gate=True, sliding_window=2)(y, y, y)]


@functional((-2, 2, 3), (-2, 2, 3), (2, 1, 1))
def dot_product_attention(x: Any, y: Any, bias: Any) -> Any:
    masked = ops.dot_product_attention(x, y, y, bias=bias, mask=bias > 0, scale=0.7)
    return [ops.dot_product_attention(x, y, y * 2.0), ops.nn.dot_product_attention(x, y, y, is_causal=True), masked]


@functional((8,))
def shared_layer(x: Any) -> Any:
    dense, other = L.Dense(8, activation="tanh"), L.Dense(8)
    return [dense(other(dense(x))), other(x)]


@functional((8,), (8,))
def shared_model(x: Any, y: Any) -> Any:
    given = keras.Input((8,), name="given")
    inner = keras.Model(given, [L.Dense(4, name="d")(given), L.Dense(2)(given)], name="inner model")
    a, b = inner(x)
    c, d = inner(y)
    return [L.Concatenate()([a, c]), L.Add()([b, d]), inner(x + y)[1]]


@functional((8,))
def nested_output(x: Any) -> Any:
    given = keras.Input((8,))
    inner = keras.Model(given, {"b": L.Dense(4)(given), "a": given * 2.0})
    outputs = inner(x)
    again = inner(outputs["a"])
    return {"second": again["b"], "first": outputs["b"]}


@functional((8,))
def same_names(x: Any) -> Any:
    def make(name: str) -> Any:
        given = keras.Input((8,), name="x")
        return keras.Model(given, L.Dense(8, name="d")(L.Dense(8, name="e")(given)), name=name)

    return make("left")(x) - make("right")(L.Dense(8, name="d")(x))


@functional((8,))
def frozen_inside(x: Any) -> Any:
    inner = keras.Sequential([L.Dense(8, name="p"), L.Dense(8, name="q"), L.Dense(8, name="r")], name="inner")
    y = inner(x)
    inner.layers[1].trainable = False
    return y


@functional((-2, 3), (4,), (4,))
def initial_state(x: Any, h: Any, c: Any) -> Any:
    sequence, last, cell = L.LSTM(4, return_sequences=True, return_state=True)(x, initial_state=[h, c])
    return [L.LSTM(4)(sequence, initial_state=[last, cell]), cell]


@functional((-2, 4), (-2, 4))
def merging(x: Any, y: Any) -> Any:
    merged = [layer()([x, y]) for layer in (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)]
    return [*merged, L.Concatenate(axis=1)([x, y]), L.Concatenate()([x, y]), L.Dot(axes=2)([x, y])]


@functional((4, 3))
def operators(x: Any) -> Any:
    return [1 - x, 2.0 / (x * x + 1), -x, abs(x) ** 0.5, x @ ops.transpose(x, (0, 2, 1)), x // 0.5, x % 0.7]


@functional((4, 6))
def indexing(x: Any) -> Any:
    return [x[:, 0], x[:, 1:3, ::2], x[..., -1], x[:, ::-1], x[:, None, 2, :], x[0:1, :]]


@functional((4, 3))
def arrays(x: Any) -> Any:
    table = np.arange(12, dtype="float32").reshape(4, 3)
    return [x + table, ops.where(x > table / 10, x, 0.0), ops.take(x, np.array([2, 0]), axis=1), ops.matmul(x, table.T)]


@functional((3,))
def by_keyword(x: Any) -> Any:
    y = L.Dense(3)(inputs=x)
    return ops.where(condition=ops.greater(x1=y, x2=x), x1=x, x2=y)


@functional((3,), (4,), (4,))
def cells_alone(x: Any, h: Any, c: Any) -> Any:
    output, [h, c] = L.LSTMCell(4)(x, [h, c])
    output, [state] = L.GRUCell(4)(output, [h])
    return [L.SimpleRNNCell(4)(output, [state])[0], c]


def stateful(time: Any) -> Any:
    given = keras.Input(batch_shape=(3, time, 3))
    return keras.Model(given, L.GRU(2, stateful=True)(L.LSTM(4, stateful=True, return_sequences=True)(given)))


def dict_inputs(time: Any) -> Any:
    left, right = keras.Input((time, 3), name="left"), keras.Input((3,), name="right", dtype="int32")
    total = ops.sum(left, axis=1) + ops.cast(right, "float32")
    return keras.Model({"z": left, "a": right}, {"out/1": total, "b": L.Dense(2)(total)})


def several_inputs(time: Any) -> Any:
    left, right = keras.Input((time, 3), name="left"), keras.Input((5,), name="right")
    y = L.Concatenate(name="joined")([L.LSTM(2)(left), right])
    return keras.Model([left, right], [L.Dense(1, activation="sigmoid", name="score")(y), y])


def policy_bfloat16(time: Any) -> Any:
    given = keras.Input((8,))
    return keras.Model(given, L.Dense(3, dtype="float32")(L.Dense(4, dtype="bfloat16")(given)))


def fixed_batch(time: Any) -> Any:
    given = keras.Input(batch_shape=(3, 4))
    return keras.Model(given, L.Dense(2)(given))


def deferred(time: Any) -> Any:
    model = keras.Sequential([L.Dense(4), L.Dense(2)])
    model.build((None, 8))
    return model


FUNCTIONALS: dict[str, Builder] = {
    build.__name__: build for build in (dict_inputs, stateful, several_inputs, policy_bfloat16, fixed_batch, deferred)
} | {
    "masked_explicitly": masked_explicitly,
    "softmax_masked": softmax_masked,
    "attention": attention,
    "multi_head_attention": multi_head_attention,
    "group_query_attention": group_query_attention,
    "dot_product_attention": dot_product_attention,
    "images": images,
    "reversible_embedding": reversible_embedding,
    "scaled_residual": scaled_residual,
    "shared_layer": shared_layer,
    "shared_model": shared_model,
    "nested_output": nested_output,
    "same_names": same_names,
    "frozen_inside": frozen_inside,
    "initial_state": initial_state,
    "cells_alone": cells_alone,
    "merging": merging,
    "operators": operators,
    "indexing": indexing,
    "arrays": arrays,
    "by_keyword": by_keyword,
}

CASES = CHAINS | FUNCTIONALS | ARGUMENTS
