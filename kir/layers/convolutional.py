"""Keras's convolution layers.

All compute with the channels in front, as ONNX does: an input with the channels last is transposed there and back.

Source: https://keras.io/api/layers/convolution_layers/
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from kir import activations, config, constraints, initializers, regularizers
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
from kir.ir.types import format_shape
from kir.modeling.layer import Layer
from kir.modeling.user_functions import call_function
from kir.modeling.weight import Weight
from kir.support.arguments import boolean, choice, integer, per_axis


class Convolutional(Layer):
    """What all convolution layers share: windows, a bias, an activation. They differ in their kernels."""

    rank: ClassVar[int]
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")
    takes_one_tensor = True

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = self.owner
        self.kernel_size = per_axis(owner, "kernel_size", kernel_size, self.rank)
        self.strides = per_axis(owner, "strides", strides, self.rank)
        lowered = padding.lower() if isinstance(padding, str) else padding
        self.padding: str = choice(owner, "padding", lowered, self.paddings)
        self.data_format = config.standardize_data_format(data_format, owner)
        self.dilation_rate = per_axis(owner, "dilation_rate", dilation_rate, self.rank)
        self.activation = activations.get(activation)
        self.use_bias = boolean(owner, "use_bias", use_bias)
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)

    @property
    def owner(self) -> str:
        """How messages call the layer."""
        return f"{type(self).__name__} {self.name!r}"

    def build(self, input_shape: Any) -> None:
        """The kernels, and a bias of (filters,).

        Raises:
            ShapeError: the input has another rank, or an unknown number of channels.
        """
        layout = "channels, *spatial" if self.data_format == "channels_first" else "*spatial, channels"
        if len(input_shape) != self.rank + 2:
            raise ShapeError(
                f"{type(self).__name__} needs an input of rank {self.rank + 2}, (batch, {layout}); received "
                f"{format_shape(input_shape)}"
            )
        channels = input_shape[channel_axis(self.rank, self.data_format)]
        if not is_known(channels) or channels < 1:
            raise ShapeError(
                f"{type(self).__name__} needs a known number of channels, (batch, {layout}) with {self.data_format}; "
                f"received {format_shape(input_shape)}"
            )
        filters = self.build_kernels(channels)
        self.bias: Weight | None = (
            self.new_weight("bias", (filters,), self.bias_initializer, self.bias_regularizer, self.bias_constraint)
            if self.use_bias
            else None
        )

    @abstractmethod
    def build_kernels(self, channels: int) -> int:
        """Creates the kernels for an input of so many channels; how many the output has."""

    @abstractmethod
    def convolve(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution, with the bias if there is one."""

    def call(self, inputs: Tensor) -> Any:
        inputs = self.promote(inputs)
        bias = None if self.bias is None else self.read(self.bias, inputs)
        # Behind the transposition back: an activation over the last axis, such as softmax, means that of the output.
        return call_function("activation", self.activation, self.convolve(inputs, bias))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; unlike other layers, these have the key of an absent activity_regularizer."""
        return {"activity_regularizer": None} | super().get_config()

    def _refuse_strides_with_dilation(self) -> None:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise InvalidArgumentError(
                f"{self.owner}: strides and dilation_rate must not both be more than 1, as in Keras; received "
                f"strides={self.strides} and dilation_rate={self.dilation_rate}"
            )


class Conv(Convolutional):
    """What the convolutions of 1 to 3 spatial axes share."""

    ignored_config = frozenset({"lora_rank", "lora_alpha", "quantization_config"})

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer,
            bias_regularizer,
            bias_constraint,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.filters = integer(self.owner, "filters", filters, 1)
        self.groups = integer(self.owner, "groups", groups, 1)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        if self.filters % self.groups:
            raise InvalidArgumentError(
                f"{self.owner}: filters must be a multiple of groups; received filters={filters!r} and "
                f"groups={groups!r}"
            )
        self._refuse_strides_with_dilation()

    def build_kernels(self, channels: int) -> int:
        """A kernel of (*kernel_size, channels/groups, filters).

        Raises:
            ShapeError: the channels are no multiple of groups.
        """
        if channels % self.groups:
            raise ShapeError(
                f"{type(self).__name__} with groups={self.groups} needs a multiple of as many channels; received "
                f"{channels}"
            )
        self.kernel = self.new_weight(
            "kernel",
            (*self.kernel_size, channels // self.groups, self.filters),
            self.kernel_initializer,
            self.kernel_regularizer,
            self.kernel_constraint,
        )
        return self.filters

    def convolve(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `Convolutional.convolve`."""
        kernel = self.read(self.kernel, x)
        result: Tensor = convolve(x, kernel, bias, self.strides, self.padding, self.data_format, self.dilation_rate)
        return result


class Conv1D(Conv):
    """The convolution of (batch, steps, channels) with `filters` kernels: (batch, new steps, filters).

    Args:
        filters: how many channels the output has.
        kernel_size: of the window.
        strides: by how much the window moves.
        padding: "valid", "same" (ceil(steps / strides) windows), or "causal": all zeros before the first step.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.
        dilation_rate: how far the elements of the window are apart.
        groups: into how many the channels are divided, which have nothing to do with each other.

    The others are those of Dense.

    Raises:
        InvalidArgumentError: an argument is out of range, or both strides and dilation_rate are more than 1.
        ShapeError: the input has another rank, too few elements or no multiple of `groups` channels.

    Source: https://keras.io/api/layers/convolution_layers/convolution1d/
    """

    rank = 1
    paddings = ("valid", "same", "causal")


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
    """What the transposed convolutions of 1 to 3 spatial axes share."""

    # Keras 2 writes the arguments of the layer's base class, which mean nothing here, into configs too.
    ignored_config = frozenset({"groups"})

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer,
            bias_regularizer,
            bias_constraint,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.filters = integer(self.owner, "filters", filters, 1)
        self.output_padding = (
            None if output_padding is None else per_axis(self.owner, "output_padding", output_padding, self.rank, 0)
        )
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        if any(more >= stride for more, stride in zip(self.output_padding or (), self.strides, strict=False)):
            raise InvalidArgumentError(
                f"{self.owner}: output_padding must be less than strides; received output_padding={output_padding!r} "
                f"and strides={strides!r}"
            )
        self._refuse_strides_with_dilation()

    def build_kernels(self, channels: int) -> int:
        """A kernel of (*kernel_size, filters, channels)."""
        self.kernel = self.new_weight(
            "kernel",
            (*self.kernel_size, self.filters, channels),
            self.kernel_initializer,
            self.kernel_regularizer,
            self.kernel_constraint,
        )
        return self.filters

    def convolve(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `Convolutional.convolve`."""
        result: Tensor = convolve_transposed(
            x,
            self.read(self.kernel, x),
            bias,
            self.strides,
            self.padding,
            self.output_padding,
            self.data_format,
            self.dilation_rate,
        )
        return result


class Conv1DTranspose(ConvTranspose):
    """The transposed convolution of (batch, steps, channels) with `filters` kernels: (batch, new steps, filters).

    Args:
        filters: how many channels the output has.
        kernel_size: of the window that each step of the input puts into the output.
        strides: by how much these windows are apart.
        padding: "valid", all windows; or "same", steps * strides elements.
        output_padding: how many elements more than the last window starts behind; less than `strides`.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.
        dilation_rate: how far the elements of a window are apart.

    The others are those of Dense.

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

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: Any = None,
        *further: Any,
        **kwargs: Any,
    ) -> None:
        """As of the others, but for the order of data_format and output_padding, which is Keras's."""
        super().__init__(filters, kernel_size, strides, padding, output_padding, data_format, *further, **kwargs)


class DepthwiseConv(Convolutional):
    """What the depthwise convolutions of 1 and 2 spatial axes share."""

    # Keras 2 writes the arguments of the layer's base class, which mean nothing here, into configs too.
    ignored_config = frozenset({"groups"})

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer,
            bias_regularizer,
            bias_constraint,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.depth_multiplier = integer(self.owner, "depth_multiplier", depth_multiplier, 1)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def build_kernels(self, channels: int) -> int:
        """A kernel of (*kernel_size, channels, depth_multiplier)."""
        self.kernel = self.new_weight(
            "kernel",
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            self.depthwise_regularizer,
            self.depthwise_constraint,
        )
        return channels * self.depth_multiplier

    def convolve(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `Convolutional.convolve`."""
        kernel = merge_depth(self.read(self.kernel, x))
        result: Tensor = convolve(x, kernel, bias, self.strides, self.padding, self.data_format, self.dilation_rate)
        return result


class DepthwiseConv1D(DepthwiseConv):
    """The convolution of each channel of (batch, steps, channels) on its own, with `depth_multiplier` kernels.

    Args:
        kernel_size: of the window.
        strides: by how much the window moves.
        padding: "valid", or "same": ceil(steps / strides) windows.
        depth_multiplier: how many channels of the output come from each of the input.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.
        dilation_rate: how far the elements of the window are apart.

    The others are those of Dense, with `depthwise_` in place of `kernel_`.

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
    """What the separable convolutions of 1 and 2 spatial axes share."""

    # Keras 2 writes the arguments of the layer's base class, which mean nothing here, into configs too.
    ignored_config = frozenset({"groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"})

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer,
            bias_regularizer,
            bias_constraint,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.filters = integer(self.owner, "filters", filters, 1)
        self.depth_multiplier = integer(self.owner, "depth_multiplier", depth_multiplier, 1)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build_kernels(self, channels: int) -> int:
        """Kernels of (*kernel_size, channels, depth_multiplier) and (1, …, channels * depth_multiplier, filters)."""
        self.depthwise_kernel = self.new_weight(
            "depthwise_kernel",
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            self.depthwise_regularizer,
            self.depthwise_constraint,
        )
        self.pointwise_kernel = self.new_weight(
            "pointwise_kernel",
            (*(1,) * self.rank, channels * self.depth_multiplier, self.filters),
            self.pointwise_initializer,
            self.pointwise_regularizer,
            self.pointwise_constraint,
        )
        return self.filters

    def convolve(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `Convolutional.convolve`."""
        result: Tensor = convolve_separably(
            x,
            self.read(self.depthwise_kernel, x),
            self.read(self.pointwise_kernel, x),
            bias,
            self.strides,
            self.padding,
            self.data_format,
            self.dilation_rate,
        )
        return result


class SeparableConv1D(SeparableConv):
    """A convolution of each channel of (batch, steps, channels) on its own, and one of all channels at each step.

    Args:
        filters: how many channels the output has.
        kernel_size: of the window.
        strides: by how much the window moves.
        padding: "valid", or "same": ceil(steps / strides) windows.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.
        dilation_rate: how far the elements of the window are apart.
        depth_multiplier: how many channels come from each of the input in between.

    The others are those of Dense, with `depthwise_` and `pointwise_` in place of `kernel_`.

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
