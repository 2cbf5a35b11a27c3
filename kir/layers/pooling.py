"""Keras's pooling layers.

Windows are pooled with the channels in front, as in ONNX: an input with the channels last is transposed there and
back. Pooling over everything needs no transposition.

Source: https://keras.io/api/layers/pooling_layers/
"""

from __future__ import annotations

from typing import Any

from kir import backend as K
from kir.ir.trace import Tensor
from kir.layers.spatial import SpatialLayer
from kir.modeling.declared import DataFormat, OptionalPerAxis, Padding, PerAxis
from kir.support.declarations import Boolean


class Pooling(SpatialLayer):
    """The base of the poolings of windows."""

    pool_size: PerAxis = PerAxis(doc="how many elements the window has")
    strides: OptionalPerAxis = OptionalPerAxis(default=None, doc="by how much it moves; `pool_size` if None")
    padding: Padding = Padding(
        default="valid",
        doc='"valid", or "same": ceil(steps / strides) windows, of which only what lies in the input counts',
    )
    data_format: DataFormat = DataFormat(default=None)

    def finish_init(self) -> None:
        self.strides = self.strides or self.pool_size


class MaxPooling(Pooling):
    """The base of the poolings to the largest element."""

    pool_size: PerAxis = PerAxis(default=2)
    strides: OptionalPerAxis = OptionalPerAxis(default=None)
    padding: Padding = Padding(default="valid")
    data_format: DataFormat = DataFormat(default=None)

    def call(self, inputs: Tensor) -> Any:
        return K.max_pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)


class AveragePooling(Pooling):
    """The base of the poolings to the mean."""

    def call(self, inputs: Tensor) -> Any:
        return K.average_pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)


class GlobalPooling(SpatialLayer):
    """The base of the poolings of everything."""

    data_format: DataFormat = DataFormat(default=None)
    keepdims: Boolean = Boolean(default=False, doc="whether the axes stay, with size 1")


class GlobalMaxPooling(GlobalPooling):
    """The base of the poolings of everything to the largest element."""

    def call(self, inputs: Tensor) -> Any:
        return K.max(inputs, axis=self.spatial_axes, keepdims=self.keepdims)


class GlobalAveragePooling(GlobalPooling):
    """The base of the poolings of everything to the mean."""

    def call(self, inputs: Tensor) -> Any:
        return K.mean(inputs, axis=self.spatial_axes, keepdims=self.keepdims)


class AdaptivePooling(SpatialLayer):
    """The base of the poolings to an output of a given size."""

    output_size: PerAxis = PerAxis(doc="how many windows there are")
    data_format: DataFormat = DataFormat(default=None)


class AdaptiveMaxPooling(AdaptivePooling):
    """The base of the poolings to largest elements of an output of a given size."""

    def call(self, inputs: Tensor) -> Any:
        return K.adaptive_max_pool(inputs, self.output_size, self.data_format)


class AdaptiveAveragePooling(AdaptivePooling):
    """The base of the poolings to means of an output of a given size."""

    def call(self, inputs: Tensor) -> Any:
        return K.adaptive_average_pool(inputs, self.output_size, self.data_format)


class MaxPooling1D(MaxPooling):
    """The largest element of each window of (batch, steps, channels): (batch, new steps, channels).

    Raises:
        InvalidArgumentError: an argument is out of range.
        ShapeError: the input has another rank, or too few elements.

    Source: https://keras.io/api/layers/pooling_layers/max_pooling1d/
    """

    rank = 1


class MaxPooling2D(MaxPooling):
    """The largest element of each window of (batch, rows, columns, channels); see `MaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/max_pooling2d/
    """

    rank = 2


class MaxPooling3D(MaxPooling):
    """The largest element of each window of (batch, x, y, z, channels); see `MaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/max_pooling3d/
    """

    rank = 3


class AveragePooling1D(AveragePooling):
    """The mean of each window of (batch, steps, channels); see `MaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/average_pooling1d/
    """

    rank = 1


class AveragePooling2D(AveragePooling):
    """The mean of each window of (batch, rows, columns, channels); see `MaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/average_pooling2d/
    """

    rank = 2


class AveragePooling3D(AveragePooling):
    """The mean of each window of (batch, x, y, z, channels); see `MaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/average_pooling3d/
    """

    rank = 3


class GlobalMaxPooling1D(GlobalMaxPooling):
    """The largest element of all steps: (batch, steps, channels) → (batch, channels).

    Raises:
        ShapeError: the input has another rank.

    Source: https://keras.io/api/layers/pooling_layers/global_max_pooling1d/
    """

    rank = 1


class GlobalMaxPooling2D(GlobalMaxPooling):
    """The largest element of (batch, rows, columns, channels); see `GlobalMaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/global_max_pooling2d/
    """

    rank = 2


class GlobalMaxPooling3D(GlobalMaxPooling):
    """The largest element of (batch, x, y, z, channels); see `GlobalMaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/global_max_pooling3d/
    """

    rank = 3


class GlobalAveragePooling1D(GlobalAveragePooling):
    """The mean of all steps that are not masked: (batch, steps, channels) → (batch, channels).

    The arguments are those of `GlobalMaxPooling1D`. The mask ends here. Where all steps are masked the mean is NaN, as
    in Keras.

    Source: https://keras.io/api/layers/pooling_layers/global_average_pooling1d/
    """

    rank = 1
    supports_masking = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Any:
        if mask is None:
            return super().call(inputs)
        (axis,) = self.spatial_axes
        valid = K.expand_dims(mask, 2 if axis == 1 else 1)
        total = K.sum(K.where(valid, inputs, 0), axis=axis, keepdims=self.keepdims)
        return total / K.sum(K.cast(valid, inputs.dtype), axis=axis, keepdims=self.keepdims)

    def compute_mask(self, inputs: object, mask: object = None) -> Any:
        """Return None: there are no steps any more."""
        return None


class GlobalAveragePooling2D(GlobalAveragePooling):
    """The mean of (batch, rows, columns, channels) over rows and columns; see `GlobalMaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/global_average_pooling2d/
    """

    rank = 2


class GlobalAveragePooling3D(GlobalAveragePooling):
    """The mean of (batch, x, y, z, channels) over x, y and z; see `GlobalMaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/global_average_pooling3d/
    """

    rank = 3


class AdaptiveMaxPooling1D(AdaptiveMaxPooling):
    """The largest element of each of `output_size` windows that cover (batch, steps, channels) evenly.

    Raises:
        InvalidArgumentError: an argument is out of range.
        ShapeError: the input has another rank, or a size of 0 where there is more than one window.

    Source: https://keras.io/api/layers/pooling_layers/
    """

    rank = 1


class AdaptiveMaxPooling2D(AdaptiveMaxPooling):
    """The largest element of each window of (batch, rows, columns, channels); see `AdaptiveMaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/
    """

    rank = 2


class AdaptiveMaxPooling3D(AdaptiveMaxPooling):
    """The largest element of each window of (batch, x, y, z, channels); see `AdaptiveMaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/
    """

    rank = 3


class AdaptiveAveragePooling1D(AdaptiveAveragePooling):
    """The mean of each window of (batch, steps, channels); see `AdaptiveMaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/
    """

    rank = 1


class AdaptiveAveragePooling2D(AdaptiveAveragePooling):
    """The mean of each window of (batch, rows, columns, channels); see `AdaptiveMaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/
    """

    rank = 2


class AdaptiveAveragePooling3D(AdaptiveAveragePooling):
    """The mean of each window of (batch, x, y, z, channels); see `AdaptiveMaxPooling1D`.

    Source: https://keras.io/api/layers/pooling_layers/
    """

    rank = 3
