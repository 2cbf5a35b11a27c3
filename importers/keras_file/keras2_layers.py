"""Layers of Keras 2 that compute something else than those of the same name in Keras 3, or that Keras 3 lacks.

They are made for files of Keras 1 and 2 alone; see `OLD_LAYERS`.

Source: https://github.com/keras-team/tf-keras
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np

from kir import backend as K
from kir import layers
from kir.backend.image import crop_to_ratio, image_axes, weigh
from kir.errors import UnsupportedError
from kir.importers.keras_file import keras2_attention, keras2_masks, locally_connected
from kir.importers.keras_file.keras1_layers import LAYERS_OF_KERAS_1
from kir.importers.keras_file.keras2_dropped import DROPPED_LAYERS
from kir.importers.keras_file.saved_layouts import use_cudnn_layout
from kir.importers.tensorflow_functions.resizing import linear_from_corners, weights_of
from kir.ir.op import Array
from kir.ir.trace import Tensor
from kir.ir.types import DType, Shape, format_shape, normalize_axes
from kir.layers.categorical import IndexLookup, encode
from kir.layers.keras2 import OfKeras2, OtherForIntegers, SameForFloat32, public_layers
from kir.layers.merging import Masks
from kir.layers.pooling import GlobalAveragePooling
from kir.layers.training_mode import TrainingMode
from kir.modeling.declared import Axes, DeclaredLayer
from kir.modeling.layer import Layer
from kir.modeling.weight import Weight
from kir.support.declarations import Argument, Unchecked

# TensorFlow divides these as float64, smaller integers as float32.
WIDE_INTEGERS = (DType.INT32, DType.INT64, DType.UINT32, DType.UINT64)


class Discretization(OfKeras2, layers.Discretization):
    """For each number how many of the boundaries it has reached. `dtype` is that of the *output*, int64 by default.

    Floats are compared as they are, integers as float32. A layer that adapted to data keeps, as a weight, a summary
    of them, from which the boundaries are made.

    Raises:
        UnsupportedError: when the weights are set, if the summary is too small for the number of bins.
    """

    def build(self, input_shape: Shape) -> None:
        """Make the weight of a layer that adapted to data: the summary that its boundaries come from."""
        self.summary: Weight | None = None
        if self.bin_boundaries is None:
            self.summary = self.new_weight(
                "summary", (self.bin_count - 1,), "zeros", trainable=False, dtype=DType.FLOAT32
            )
            self.summary.saved_shape = (2, None)
            self.summary.convert_saved = self._boundaries

    @property
    def bin_count(self) -> int:
        """The number of bins."""
        return int(self.num_bins or 1) if self.bin_boundaries is None else len(self.bin_boundaries) + 1

    def boundaries(self, x: Tensor) -> Any:
        """Return the boundaries that were given, or found."""
        return (
            super().boundaries(x)
            if self.summary is None
            else K.cast(self.read(self.summary, x, DType.FLOAT32), x.dtype)
        )

    def _boundaries(self, summary: Array) -> Array:
        """Return the boundaries [n] from the summary [2, m]: sorted numbers, and how many each stands for."""
        share = 1 / self.bin_count
        if summary.shape[1] * share < 1:
            raise UnsupportedError(
                f"Discretization {self.name!r} adapted to {summary.shape[1]} numbers, too few for {self.bin_count} "
                f"bins: give it bin_boundaries"
            )
        counts = summary[1].cumsum()
        found = np.interp(share + np.arange(0.0, 1.0, share), counts / counts[-1], summary[0])
        return np.asarray(found[:-1].astype(np.float32))

    def call(self, inputs: Tensor) -> Any:
        indices = self.find_bins(inputs if inputs.type.dtype.is_float else K.cast(inputs, "float32"))
        dtype = self.compute_type.keras_name
        return (
            K.cast(indices, dtype)
            if self.output_mode == "int"
            else encode(indices, self.output_mode, self.bin_count, dtype)
        )


class _EncodedLookup(OfKeras2, IndexLookup):
    """Tokens to indices and back; vectors are of the compute dtype."""

    def call(self, inputs: Tensor) -> Any:
        found = super().call(inputs)
        return found if self.invert or self.output_mode == "int" else K.cast(found, self.compute_type.keras_name)


class IntegerLookup(_EncodedLookup, layers.IntegerLookup):
    """Integers to indices of a vocabulary, and back."""


class StringLookup(_EncodedLookup, layers.StringLookup):
    """Texts to indices of a vocabulary, and back."""


class TextVectorization(OfKeras2, layers.TextVectorization):
    """Texts to the indices of their words; vectors are of the default float dtype. The layer's own dtype is string."""

    def call(self, inputs: Tensor) -> Any:
        found = super().call(inputs)
        return found if self.output_mode == "int" else K.cast(found, K.floatx())


class RandomBrightness(OfKeras2, layers.RandomBrightness):
    """Images that training makes darker or brighter, in the compute dtype."""

    keeps_dtype = False


class Resizing(SameForFloat32, layers.Resizing):
    """Images of another size. Integers become the compute dtype, a float unless the layer says otherwise.

    `interpolation` may be "area", "gaussian" or "mitchellcubic", too, for images of known sizes.
    """

    def __init__(self, height: int, width: int, interpolation: str = "bilinear", **kwargs: Any) -> None:
        super().__init__(height, width, _known_kernel(interpolation), **kwargs)
        self.interpolation = interpolation

    @property
    def is_in_keras_3(self) -> bool:
        return self.interpolation not in WEIGHTS

    def call(self, data: Tensor) -> Any:
        dtype = self.compute_type.keras_name
        x = K.cast(data, dtype if self.interpolation == "nearest" else "float32")
        if self.interpolation not in WEIGHTS:
            return K.cast(super().call(x), dtype)
        size, axes = (self.height, self.width), image_axes(x, self.data_format)
        x = crop_to_ratio(x, axes, size) if self.crop_to_aspect_ratio else x
        return K.cast(resize(x, dict(zip(axes, size, strict=True)), self.interpolation), dtype)


class UpSampling2D(SameForFloat32, layers.UpSampling2D):
    """Images so many times as high and as wide: of float32, unless elements are only repeated. See `Resizing`."""

    def __init__(
        self,
        size: int | Sequence[int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(size, data_format, _known_kernel(interpolation), **kwargs)
        self.interpolation = interpolation

    @property
    def is_in_keras_3(self) -> bool:
        return self.interpolation not in WEIGHTS

    def call(self, inputs: Tensor) -> Any:
        if self.interpolation not in WEIGHTS:
            return super().call(inputs if self.interpolation == "nearest" else K.cast(inputs, "float32"))
        x = K.cast(inputs, "float32")
        sizes = {axis: x.shape[axis] * count for axis, count in zip(self.spatial_axes, self.size, strict=True)}
        return resize(x, sizes, self.interpolation)


class RandomCrop(OfKeras2, layers.RandomCrop):
    """Random windows of images in training; at inference the middle of that ratio, resized."""

    def transform(self, images: Tensor) -> Any:
        """Return the images, of the size (height, width)."""
        size = (self.height, self.width)
        resized = K.image.resize(
            K.cast(images, "float32"), size, crop_to_aspect_ratio=True, data_format=self.data_format
        )
        return K.cast(resized, self.compute_type.keras_name)


def resize(x: Tensor, sizes: Mapping[int, Any], interpolation: str) -> Any:
    """Return images with axes of other sizes, by a kernel of `WEIGHTS`, as tf.image.resize computes it.

    Raises:
        UnsupportedError: a size is not known.
    """
    for axis, wanted in sizes.items():
        given = x.shape[axis]
        if not isinstance(given, int) or not isinstance(wanted, int):
            raise UnsupportedError(
                f"images are resized with interpolation={interpolation!r}, which needs known sizes; received "
                f"{format_shape(x.shape)}: fix them in the Input's shape or with --input-shapes"
            )
        x = weigh(x, axis, WEIGHTS[interpolation](wanted, given))
    return x


# From the numbers of new and old elements, how much of each old one goes into each new one: [new, old].
WEIGHTS: Mapping[str, Callable[[int, int], Array]] = {
    **{kind: functools.partial(weights_of, kind) for kind in ("area", "bicubic", "gaussian", "mitchellcubic")},
    "bilinear from corners": functools.partial(linear_from_corners, align_corners=False),
}


def _known_kernel(interpolation: str) -> str:
    """Return a name that Keras 3 knows, to be checked in place of one that it lacks."""
    return "bicubic" if interpolation in WEIGHTS else interpolation


class Average(SameForFloat32, keras2_masks.Average):
    """The mean of the inputs; of integers it is what TensorFlow's division gives, float64 for those of 32 bits."""

    def is_same_in_keras_3(self, dtypes: Collection[DType], has_masks: bool) -> bool:
        return not has_masks and super().is_same_in_keras_3(dtypes, has_masks)

    def merge(self, inputs: list[Any], masks: Masks) -> Any:
        """Return the mean, in which masked steps count as any others."""
        dtype = inputs[0].type.dtype
        if dtype.is_float:
            return super().merge(inputs, masks)
        # A sum that is too large for the integers wraps around.
        total = reduce(K.add, inputs)
        return K.cast(total, "float64" if dtype in WIDE_INTEGERS else "float32") / len(inputs)


class _GlobalAveragePooling(SameForFloat32, GlobalAveragePooling):
    """The mean of everything; that of integers is an integer, rounded towards 0."""

    def call(self, inputs: Tensor) -> Any:
        dtype = inputs.type.dtype
        if dtype.is_float:
            return super().call(inputs)
        if dtype is DType.BOOL:
            return super().call(K.cast(inputs, "float32"))
        _require_wide(dtype)
        return K.cast(super().call(K.cast(inputs, "float64")), dtype.keras_name)


def _require_wide(dtype: DType) -> None:
    """Raise UnsupportedError for small integers: TensorFlow keeps a sum in their type, which is soon too large."""
    if dtype not in WIDE_INTEGERS:
        raise UnsupportedError(f"the mean of {dtype}, whose sum may be too large for that, is not supported")


class GlobalAveragePooling1D(_GlobalAveragePooling, layers.GlobalAveragePooling1D):
    """Of (batch, steps, channels); that of integers which are masked is what TensorFlow's division gives, float64."""

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Any:
        dtype = inputs.type.dtype
        if mask is None:
            return super().call(inputs)
        if not dtype.is_float:
            _require_wide(dtype)
            inputs = K.cast(inputs, "float64")
        return layers.GlobalAveragePooling1D.call(self, inputs, mask)


class GlobalAveragePooling2D(_GlobalAveragePooling, layers.GlobalAveragePooling2D):
    """Of (batch, rows, columns, channels)."""


class GlobalAveragePooling3D(_GlobalAveragePooling, layers.GlobalAveragePooling3D):
    """Of (batch, x, y, z, channels)."""


class LayerNormalization(SameForFloat32, layers.LayerNormalization):
    """Mean 0 and variance 1 along axes, in the compute dtype, whatever the inputs have."""

    def call(self, inputs: Tensor) -> Any:
        return super().call(K.cast(inputs, self.compute_type.keras_name))


class SeparableConv1D(SameForFloat32, layers.SeparableConv1D):
    """A separable convolution over steps, where `padding` may be "causal", too: no window reaches past its step."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        **kwargs: Any,
    ) -> None:
        self.is_causal = isinstance(padding, str) and padding.lower() == "causal"
        super().__init__(filters, kernel_size, strides, "valid" if self.is_causal else padding, **kwargs)

    @property
    def is_in_keras_3(self) -> bool:
        return not self.is_causal

    def call(self, inputs: Tensor) -> Any:
        if not self.is_causal:
            return super().call(inputs)
        front = [(self.kernel_size[0] - 1) * self.dilation_rate[0], 0]
        widths = [[0, 0], front, [0, 0]] if self.data_format == "channels_last" else [[0, 0], [0, 0], front]
        return super().call(K.pad(inputs, widths))

    def get_config(self) -> dict[str, Any]:
        """Return the config with the padding that was given."""
        return super().get_config() | ({"padding": "causal"} if self.is_causal else {})


def _checked_axes(owner: str, name: str, given: object) -> int | list[int]:
    """Return one axis, or a list of several."""
    axes = Axes.check(owner, name, given)
    return axes[0] if isinstance(axes, list) and len(axes) == 1 else axes


class BatchNormalization(OfKeras2, layers.BatchNormalization):
    """Statistics for each slice along an axis, or for each place on several axes."""

    axis: Argument[int | Sequence[int], Any] = Argument(_checked_axes, default=-1)

    def is_same_in_keras_3(self, dtypes: Collection[DType], has_masks: bool) -> bool:
        return not isinstance(self.axis, list)

    def weight_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of each weight; of several axes it has the rank of the input."""
        if not isinstance(self.axis, list):
            return super().weight_shape(input_shape)
        axes = normalize_axes(self.axis, len(input_shape))
        return tuple(size if axis in axes else 1 for axis, size in enumerate(input_shape))

    def call(self, inputs: Tensor, training: TrainingMode = None, mask: Tensor | None = None) -> Any:
        if not isinstance(self.axis, list):
            return super().call(inputs, training, mask)
        x = self.promote(inputs)
        x = x if x.type.dtype.itemsize >= 4 else K.cast(x, "float32")
        read = partial(self.read, like=x, dtype=x.type.dtype)
        factor = K.rsqrt(read(self.moving_variance) + self.epsilon)
        factor = factor if self.gamma is None else factor * read(self.gamma)
        shift = -read(self.moving_mean) * factor
        return self.promote(x * factor + (shift if self.beta is None else shift + read(self.beta)))


class SyncBatchNormalization(BatchNormalization):
    """A BatchNormalization whose training several devices share."""

    is_same_in_keras_3 = OfKeras2.is_same_in_keras_3


class CuDNNLSTM(OfKeras2, layers.LSTM):
    """An LSTM, whose weights lie in files as the CuDNN library wants them: see `use_cudnn_layout`."""

    saved_group = ""

    def build(self, sequences_shape: Shape, initial_state_shape: object = None) -> None:
        """See `LSTMCell.build`."""
        super().build(sequences_shape, initial_state_shape)
        use_cudnn_layout(self)


class CuDNNGRU(OfKeras2, layers.GRU):
    """A GRU, whose weights lie in files as the CuDNN library wants them: see `use_cudnn_layout`."""

    saved_group = ""

    def build(self, sequences_shape: Shape, initial_state_shape: object = None) -> None:
        """See `GRUCell.build`."""
        super().build(sequences_shape, initial_state_shape)
        use_cudnn_layout(self)


class _RandomSize(OfKeras2, DeclaredLayer):
    """Images of a random size in training; as they are at inference."""

    factor: Unchecked = Unchecked()
    interpolation: Unchecked = Unchecked(default="bilinear")
    seed: Unchecked = Unchecked(default=None)

    def call(self, inputs: Tensor) -> Any:
        return inputs


class RandomHeight(_RandomSize):
    """Images of a random height in training; as they are at inference."""


class RandomWidth(_RandomSize):
    """Images of a random width in training; as they are at inference."""


class ReLU(OtherForIntegers, layers.ReLU):
    """`max(x, 0)`, with options; integers stay integers, unless a slope is the only option."""

    def call(self, inputs: Tensor) -> Any:
        is_leaky = self.max_value is None and not self.threshold
        if inputs.type.dtype.is_float or is_leaky:
            return super().call(inputs)
        # TensorFlow makes the options integers, too: a slope of 0.5 is 0.
        maximum = None if self.max_value is None else int(self.max_value)
        return K.relu(inputs, int(self.negative_slope), maximum, int(self.threshold))


class LeakyReLU(OtherForIntegers, layers.LeakyReLU):
    """`x` from 0 on, `negative_slope * x` below; without a slope, integers stay integers."""

    def call(self, inputs: Tensor) -> Any:
        return super().call(inputs) if self.negative_slope else K.relu(inputs)


class ThresholdedReLU(ReLU):
    """x above the threshold, else 0."""

    is_same_in_keras_3 = OfKeras2.is_same_in_keras_3


OLD_LAYERS: dict[str, type[Layer]] = {
    **LAYERS_OF_KERAS_1,
    **DROPPED_LAYERS,
    **keras2_masks.MASKED_LAYERS,
    **public_layers(vars(locally_connected)),
    **public_layers(vars(keras2_attention)),
    **public_layers(globals()),
    # tf.keras had two of them at once.
    "BatchNormalizationV1": BatchNormalization,
    "BatchNormalizationV2": BatchNormalization,
    # TensorFlow 1.14 had these for LSTM and GRU.
    "UnifiedGRU": keras2_masks.MASKED_LAYERS["GRU"],
    "UnifiedLSTM": keras2_masks.MASKED_LAYERS["LSTM"],
}
# Those that kir lacks, and why.
OLD_UNSUPPORTED: dict[str, str] = {
    "CategoryCrossing": "joins texts, as many as there are combinations of each; cross indices by HashedCrossing",
    "DenseFeatures": "reads columns of TensorFlow's feature specifications, which a file does not hold",
    "DynamicEmbedding": "is an experiment of Keras 2, which changes its table while it runs",
    "DynamicLookup": "is an experiment of Keras 2, which changes its table while it runs",
}
