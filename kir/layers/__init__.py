"""The layers, one class per Keras layer. Type checkers read `__init__.pyi`, which a test compares with this file.

A module is imported when the first of its names is asked for (PEP 562): start-up time, for a model has few of them.
"""

import importlib

_NAMES = {
    "kir.layers.activations": "ELU Activation LeakyReLU PReLU ReLU Softmax",
    "kir.layers.applications": "CustomScaleLayer LayerScale StochasticDepth",
    "kir.layers.attention": "AdditiveAttention Attention GroupQueryAttention MultiHeadAttention",
    "kir.layers.audio": "MelSpectrogram STFTSpectrogram",
    "kir.layers.augmentation": (
        "AugMix AutoContrast CutMix Equalization MixUp Pipeline RandAugment RandomBrightness "
        "RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing "
        "RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective "
        "RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation "
        "RandomZoom Solarization"
    ),
    "kir.layers.categorical": "CategoryEncoding Discretization IntegerLookup StringLookup",
    "kir.layers.conv_lstm": "ConvLSTM1D ConvLSTM2D ConvLSTM3D",
    "kir.layers.convolutional": (
        "Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose DepthwiseConv1D DepthwiseConv2D "
        "SeparableConv1D SeparableConv2D"
    ),
    "kir.layers.core": "Dense Identity Lambda Masking TernaryDense",
    "kir.layers.einsum_dense": "EinsumDense",
    "kir.layers.embedding": "Embedding ReversibleEmbedding",
    "kir.layers.hashing": "HashedCrossing Hashing",
    "kir.layers.image": "CenterCrop Resizing",
    "kir.layers.merging": (
        "Add Average Concatenate Dot Maximum Minimum Multiply Subtract add average concatenate dot maximum minimum "
        "multiply subtract"
    ),
    "kir.layers.normalization": (
        "BatchNormalization GroupNormalization LayerNormalization RMSNormalization SpectralNormalization "
        "UnitNormalization"
    ),
    "kir.layers.pooling": (
        "AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D "
        "AdaptiveMaxPooling2D AdaptiveMaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D "
        "GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D "
        "GlobalMaxPooling2D GlobalMaxPooling3D MaxPooling1D MaxPooling2D MaxPooling3D"
    ),
    "kir.layers.preprocessing": "Normalization Rescaling",
    "kir.layers.regularization": (
        "ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise SpatialDropout1D "
        "SpatialDropout2D SpatialDropout3D"
    ),
    "kir.layers.reshaping": (
        "Cropping1D Cropping2D Cropping3D Flatten Permute RepeatVector Reshape UpSampling1D UpSampling2D "
        "UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D"
    ),
    "kir.layers.rnn": "GRU LSTM RNN SimpleRNN",
    "kir.layers.rnn_cells": "GRUCell LSTMCell SimpleRNNCell StackedRNNCells",
    "kir.layers.text": "TextVectorization",
    "kir.layers.wrappers": "Bidirectional TimeDistributed Wrapper",
    "kir.modeling.input": "Input InputLayer",
    "kir.modeling.layer": "Layer",
}
# Keras's other names.
_OTHER_NAMES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "Convolution1DTranspose": "Conv1DTranspose",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Convolution3DTranspose": "Conv3DTranspose",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
    "MaxPool1D": "MaxPooling1D",
    "MaxPool2D": "MaxPooling2D",
    "MaxPool3D": "MaxPooling3D",
    "AvgPool1D": "AveragePooling1D",
    "AvgPool2D": "AveragePooling2D",
    "AvgPool3D": "AveragePooling3D",
    "GlobalMaxPool1D": "GlobalMaxPooling1D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "GlobalMaxPool3D": "GlobalMaxPooling3D",
    "GlobalAvgPool1D": "GlobalAveragePooling1D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalAvgPool3D": "GlobalAveragePooling3D",
}
_HOME_OF_NAME = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted({*_HOME_OF_NAME, *_OTHER_NAMES})


def __getattr__(name: str) -> object:
    """Import what a public name stands for, or a module of this package, on first use."""
    own_name = _OTHER_NAMES.get(name, name)
    if own_name in _HOME_OF_NAME:
        value: object = getattr(importlib.import_module(_HOME_OF_NAME[own_name]), own_name)
        globals()[name] = value
        return value
    if f"kir.layers.{name}" in _NAMES:
        return importlib.import_module(f"kir.layers.{name}")
    from kir.layers.unsupported import UNSUPPORTED  # start-up time: only errors need it

    reason = f": it {UNSUPPORTED[name]}" if name in UNSUPPORTED else ""
    raise AttributeError(f"module 'kir.layers' has no attribute {name!r}{reason}")


def __dir__() -> list[str]:
    """Return the public names, and what is in the module already."""
    return sorted({*globals(), *__all__})
