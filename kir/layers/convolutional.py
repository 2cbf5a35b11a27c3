"""Keras's convolution layers.

All compute with the channels in front, as ONNX does: an input with the channels last is transposed there and back.

Source: https://keras.io/api/layers/convolution_layers/
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from kir.backend.convolution import (
    channel_axis,
    convolve,
    convolve_separably,
    convolve_transposed,
    merge_depth,
)
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import is_known
from kir.ir.trace import Tensor
from kir.ir.types import Shape, format_shape
from kir.layers.spatial import SpatialLayer, refuse_strides_with_dilation
from kir.modeling.declared import (
    ActivationFunction,
    Constraint,
    DataFormat,
    Initializer,
    OptionalPerAxis,
    Padding,
    PerAxis,
    Regularizer,
)
from kir.modeling.user_functions import call_function
from kir.modeling.weight import Weight
from kir.support.declarations import Boolean, Integer


class Convolutional(SpatialLayer):
    """The base of the convolution layers: windows, a bias, an activation. They differ in their kernels."""

    names_absent_regularizer = True

    kernel_size = PerAxis()
    strides = PerAxis(default=1)
    padding = Padding(default="valid")
    dilation_rate = PerAxis(default=1)
    activation = ActivationFunction(default=None)
    use_bias = Boolean(default=True)
    # Before the initializers of the kernels: in this order they take their seeds.
    bias_initializer = Initializer(default="zeros")

    def build(self, input_shape: Shape) -> None:
        """Make the kernels, and a bias of (filters,).

        Raises:
            ShapeError: the input has another rank, or an unknown number of channels.
        """
        super().build(input_shape)
        channels = input_shape[channel_axis(self.rank, self.data_format)]
        if not is_known(channels) or channels < 1:
            raise ShapeError(
                f"{type(self).__name__} needs a known number of channels, {self.layout_in_messages} with "
                f"{self.data_format}; received {format_shape(input_shape)}"
            )
        filters = self.build_kernels(channels)
        self.bias: Weight | None = self.weight_of_role("bias", (filters,)) if self.use_bias else None

    @abstractmethod
    def build_kernels(self, channels: int) -> int:
        """Make the kernels for an input of so many channels, and return the number of those of the output."""

    @abstractmethod
    def convolve(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return the convolution, with the bias if there is one."""

    def call(self, inputs: Tensor) -> Any:
        inputs = self.promote(inputs)
        bias = None if self.bias is None else self.read(self.bias, inputs)
        # After the transposition back: an activation over the last axis, such as softmax, means that of the output.
        return call_function("activation", self.activation, self.convolve(inputs, bias))


class Conv(Convolutional):
    """The base of the convolutions of 1 to 3 spatial axes."""

    ignored_config = frozenset({"lora_rank", "lora_alpha", "quantization_config"})

    filters: Integer = Integer(1, doc="how many channels the output has")
    kernel_size: PerAxis = PerAxis(doc="of the window")
    strides: PerAxis = PerAxis(default=1, doc="by how much the window moves")
    padding: Padding = Padding(
        default="valid",
        doc='"valid", "same" (ceil(steps / strides) windows), or, with one axis, "causal": all zeros in front',
    )
    data_format: DataFormat = DataFormat(default=None)
    dilation_rate: PerAxis = PerAxis(default=1, doc="how far the elements of the window are apart")
    groups: Integer = Integer(
        1, default=1, doc="into how many groups the channels are divided; each is convolved on its own"
    )
    activation: ActivationFunction = ActivationFunction(default=None)
    use_bias: Boolean = Boolean(default=True)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    bias_initializer: Initializer = Initializer(default="zeros")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    activity_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)

    def finish_init(self) -> None:
        if self.filters % self.groups:
            raise InvalidArgumentError(
                f"{self.name_in_messages}: filters must be a multiple of groups; received filters={self.filters} and "
                f"groups={self.groups}"
            )
        refuse_strides_with_dilation(self)

    def build_kernels(self, channels: int) -> int:
        """Make a kernel of (*kernel_size, channels/groups, filters).

        Raises:
            ShapeError: the channels are no multiple of groups.
        """
        if channels % self.groups:
            raise ShapeError(
                f"{type(self).__name__} with groups={self.groups} needs a multiple of as many channels; received "
                f"{channels}"
            )
        self.kernel = self.weight_of_role("kernel", (*self.kernel_size, channels // self.groups, self.filters))
        return self.filters

    def convolve(self, x: Tensor, bias: Tensor | None) -> Tensor:
        kernel = self.read(self.kernel, x)
        return convolve(x, kernel, bias, self.strides, self.padding, self.data_format, self.dilation_rate)


class Conv1D(Conv):
    """The convolution of (batch, steps, channels) with `filters` kernels: (batch, new steps, filters).

    The other arguments are those of Dense.

    Raises:
        InvalidArgumentError: an argument is out of range, or both strides and dilation_rate are more than 1.
        ShapeError: the input has another rank, too few elements or no multiple of `groups` channels.

    Source: https://keras.io/api/layers/convolution_layers/convolution1d/
    """

    rank = 1
    allowed_paddings = ("valid", "same", "causal")


class Conv2D(Conv):
    """The convolution of (batch, rows, columns, channels), or with the channels first; see `Conv1D`.

    Source: https://keras.io/api/layers/convolution_layers/convolution2d/
    """

    rank = 2


class Conv3D(Conv):
    """The convolution of (batch, x, y, z, channels), or with the channels first; see `Conv1D`.

    Source: https://keras.io/api/layers/convolution_layers/convolution3d/
    """

    rank = 3


class ConvTranspose(Convolutional):
    """The base of the transposed convolutions of 1 to 3 spatial axes."""

    # Keras 2 writes the arguments of the layer's base class, which mean nothing here, into configs too.
    ignored_config = frozenset({"groups"})

    filters: Integer = Integer(1, doc="how many channels the output has")
    kernel_size: PerAxis = PerAxis(doc="of the window that each step of the input puts into the output")
    strides: PerAxis = PerAxis(default=1, doc="by how much these windows are apart")
    padding: Padding = Padding(default="valid", doc='"valid", all windows; or "same", steps * strides elements')
    output_padding: OptionalPerAxis = OptionalPerAxis(
        0, default=None, doc="how many elements more than the last window starts after; less than `strides`"
    )
    data_format: DataFormat = DataFormat(default=None)
    dilation_rate: PerAxis = PerAxis(default=1, doc="how far the elements of a window are apart")
    activation: ActivationFunction = ActivationFunction(default=None)
    use_bias: Boolean = Boolean(default=True)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    bias_initializer: Initializer = Initializer(default="zeros")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    activity_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)

    def finish_init(self) -> None:
        if any(more >= stride for more, stride in zip(self.output_padding or (), self.strides, strict=False)):
            raise InvalidArgumentError(
                f"{self.name_in_messages}: output_padding must be less than strides; received "
                f"output_padding={self.output_padding} and strides={self.strides}"
            )
        refuse_strides_with_dilation(self)

    def build_kernels(self, channels: int) -> int:
        """Make a kernel of (*kernel_size, filters, channels)."""
        self.kernel = self.weight_of_role("kernel", (*self.kernel_size, self.filters, channels))
        return self.filters

    def convolve(self, x: Tensor, bias: Tensor | None) -> Tensor:
        return convolve_transposed(
            x,
            self.read(self.kernel, x),
            bias,
            self.strides,
            self.padding,
            self.output_padding,
            self.data_format,
            self.dilation_rate,
        )


class Conv1DTranspose(ConvTranspose):
    """The transposed convolution of (batch, steps, channels) with `filters` kernels: (batch, new steps, filters).

    The other arguments are those of Dense.

    Raises:
        InvalidArgumentError: an argument is out of range, or both strides and dilation_rate are more than 1.
        ShapeError: the input has another rank.

    Source: https://keras.io/api/layers/convolution_layers/convolution1d_transpose/
    """

    rank = 1


class Conv2DTranspose(ConvTranspose):
    """The transposed convolution of (batch, rows, columns, channels); see `Conv1DTranspose`.

    Source: https://keras.io/api/layers/convolution_layers/convolution2d_transpose/
    """

    rank = 2


class Conv3DTranspose(ConvTranspose):
    """The transposed convolution of (batch, x, y, z, channels); see `Conv1DTranspose`.

    Source: https://keras.io/api/layers/convolution_layers/convolution3d_transpose/
    """

    rank = 3

    # In Keras's order, where data_format comes before output_padding, unlike those of the others.
    filters: Integer = Integer(1)
    kernel_size: PerAxis = PerAxis()
    strides: PerAxis = PerAxis(default=1)
    padding: Padding = Padding(default="valid")
    data_format: DataFormat = DataFormat(default=None)
    output_padding: OptionalPerAxis = OptionalPerAxis(0, default=None)
    dilation_rate: PerAxis = PerAxis(default=1)
    activation: ActivationFunction = ActivationFunction(default=None)
    use_bias: Boolean = Boolean(default=True)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    bias_initializer: Initializer = Initializer(default="zeros")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    activity_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)


class DepthwiseConv(Convolutional):
    """The base of the depthwise convolutions of 1 and 2 spatial axes."""

    # Keras 2 writes the arguments of the layer's base class, which mean nothing here, into configs too.
    ignored_config = frozenset({"groups"})

    kernel_size: PerAxis = PerAxis(doc="of the window")
    strides: PerAxis = PerAxis(default=1, doc="by how much the window moves")
    padding: Padding = Padding(default="valid", doc='"valid", or "same": ceil(steps / strides) windows')
    depth_multiplier: Integer = Integer(1, default=1, doc="how many channels of the output come from each of the input")
    data_format: DataFormat = DataFormat(default=None)
    dilation_rate: PerAxis = PerAxis(default=1, doc="how far the elements of the window are apart")
    activation: ActivationFunction = ActivationFunction(default=None)
    use_bias: Boolean = Boolean(default=True)
    depthwise_initializer: Initializer = Initializer(default="glorot_uniform")
    bias_initializer: Initializer = Initializer(default="zeros")
    depthwise_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    activity_regularizer: Regularizer = Regularizer(default=None)
    depthwise_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)

    def build_kernels(self, channels: int) -> int:
        """Make a kernel of (*kernel_size, channels, depth_multiplier)."""
        self.kernel = self.weight_of_role("kernel", (*self.kernel_size, channels, self.depth_multiplier), "depthwise")
        return channels * self.depth_multiplier

    def convolve(self, x: Tensor, bias: Tensor | None) -> Tensor:
        kernel = merge_depth(self.read(self.kernel, x))
        return convolve(x, kernel, bias, self.strides, self.padding, self.data_format, self.dilation_rate)


class DepthwiseConv1D(DepthwiseConv):
    """The convolution of each channel of (batch, steps, channels) on its own, with `depth_multiplier` kernels.

    The other arguments are those of Dense, with `depthwise_` in place of `kernel_`.

    Raises:
        InvalidArgumentError: an argument is out of range.
        ShapeError: the input has another rank, or too few elements.

    Source: https://keras.io/api/layers/convolution_layers/depthwise_convolution1d/
    """

    rank = 1


class DepthwiseConv2D(DepthwiseConv):
    """The convolution of each channel of (batch, rows, columns, channels) on its own; see `DepthwiseConv1D`.

    Source: https://keras.io/api/layers/convolution_layers/depthwise_convolution2d/
    """

    rank = 2


class SeparableConv(Convolutional):
    """The base of the separable convolutions of 1 and 2 spatial axes."""

    # Keras 2 writes the arguments of the layer's base class, which mean nothing here, into configs too.
    ignored_config = frozenset({"groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"})

    filters: Integer = Integer(1, doc="how many channels the output has")
    kernel_size: PerAxis = PerAxis(doc="of the window")
    strides: PerAxis = PerAxis(default=1, doc="by how much the window moves")
    padding: Padding = Padding(default="valid", doc='"valid", or "same": ceil(steps / strides) windows')
    data_format: DataFormat = DataFormat(default=None)
    dilation_rate: PerAxis = PerAxis(default=1, doc="how far the elements of the window are apart")
    depth_multiplier: Integer = Integer(1, default=1, doc="how many channels come from each of the input in between")
    activation: ActivationFunction = ActivationFunction(default=None)
    use_bias: Boolean = Boolean(default=True)
    depthwise_initializer: Initializer = Initializer(default="glorot_uniform")
    pointwise_initializer: Initializer = Initializer(default="glorot_uniform")
    bias_initializer: Initializer = Initializer(default="zeros")
    depthwise_regularizer: Regularizer = Regularizer(default=None)
    pointwise_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    activity_regularizer: Regularizer = Regularizer(default=None)
    depthwise_constraint: Constraint = Constraint(default=None)
    pointwise_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)

    def build_kernels(self, channels: int) -> int:
        """Make kernels of (*kernel_size, channels, multiplier) and (1, …, channels * multiplier, filters)."""
        self.depthwise_kernel = self.weight_of_role(
            "depthwise_kernel", (*self.kernel_size, channels, self.depth_multiplier), "depthwise"
        )
        self.pointwise_kernel = self.weight_of_role(
            "pointwise_kernel", (*(1,) * self.rank, channels * self.depth_multiplier, self.filters), "pointwise"
        )
        return self.filters

    def convolve(self, x: Tensor, bias: Tensor | None) -> Tensor:
        return convolve_separably(
            x,
            self.read(self.depthwise_kernel, x),
            self.read(self.pointwise_kernel, x),
            bias,
            self.strides,
            self.padding,
            self.data_format,
            self.dilation_rate,
        )


class SeparableConv1D(SeparableConv):
    """A convolution of each channel of (batch, steps, channels) on its own, and one of all channels at each step.

    The other arguments are those of Dense, with `depthwise_` and `pointwise_` in place of `kernel_`.

    Raises:
        InvalidArgumentError: an argument is out of range.
        ShapeError: the input has another rank, or too few elements.

    Source: https://keras.io/api/layers/convolution_layers/separable_convolution1d/
    """

    rank = 1


class SeparableConv2D(SeparableConv):
    """A separable convolution of (batch, rows, columns, channels); see `SeparableConv1D`.

    Source: https://keras.io/api/layers/convolution_layers/separable_convolution2d/
    """

    rank = 2
