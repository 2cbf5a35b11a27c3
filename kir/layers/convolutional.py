"""Keras's convolution layers.

All compute with the channels in front, as ONNX does: an input with the channels last is transposed there and back.

Source: https://keras.io/api/layers/convolution_layers/
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from kir import activations, config, constraints, initializers, regularizers
from kir.arguments import boolean, choice, integer, per_axis
from kir.backend.convolution import channel_axis, convolve
from kir.dims import is_known
from kir.errors import InvalidArgumentError, ShapeError
from kir.layers.base import Layer, Weight
from kir.layers.functions import call_function
from kir.trace import Tensor
from kir.types import format_shape


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
            self.add_weight("bias", (filters,), self.bias_initializer, self.bias_regularizer, self.bias_constraint)
            if self.use_bias
            else None
        )

    @abstractmethod
    def build_kernels(self, channels: int) -> int:
        """Creates the kernels for an input of so many channels; how many the output has."""

    @abstractmethod
    def convolve(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution, with the bias if there is one."""

    def call(self, x: Tensor) -> Any:
        x = self.promote(x)
        bias = None if self.bias is None else self.read(self.bias, x)
        # Behind the transposition back: an activation over the last axis, such as softmax, means that of the output.
        return call_function("activation", self.activation, self.convolve(x, bias))

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
        self.kernel = self.add_weight(
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
