"""LocallyConnected1D and LocallyConnected2D of Keras 1 and 2: convolutions with weights of its own at each place.

Source: https://github.com/keras-team/tf-keras
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

from kir import backend as K
from kir.errors import ShapeError, UnsupportedError
from kir.ir.trace import Tensor
from kir.ir.types import Shape, format_shape
from kir.layers.convolutional import Convolutional
from kir.layers.keras2 import OfKeras2
from kir.modeling.declared import ActivationFunction, Constraint, DataFormat, Initializer, Padding, PerAxis, Regularizer
from kir.modeling.user_functions import call_function
from kir.support.declarations import Boolean, Integer, Unchecked


class _LocallyConnected(OfKeras2, Convolutional):
    """(batch, *sizes, channels) → (batch, *places, filters), of windows that all lie in the input.

    The others are those of Conv1D.

    Raises:
        UnsupportedError: `implementation` is not 1.
        ShapeError: at a call, if a size is not known, or too small for a window.
    """

    allowed_paddings = ("valid",)

    filters: Integer = Integer(1, doc="how many channels the output has")
    kernel_size: PerAxis = PerAxis()
    strides: PerAxis = PerAxis(default=1)
    padding: Padding = Padding(default="valid")
    data_format: DataFormat = DataFormat(default=None)
    activation: ActivationFunction = ActivationFunction(default=None)
    use_bias: Boolean = Boolean(default=True)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    bias_initializer: Initializer = Initializer(default="zeros")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)
    implementation: Unchecked = Unchecked(
        default=1, doc="how Keras computes it; only 1, since the weights of the others are laid out otherwise"
    )

    def finish_init(self) -> None:
        if self.implementation != 1:
            raise UnsupportedError(
                f"{type(self).__name__} with implementation={self.implementation} is not supported; save the model "
                f"with implementation=1"
            )

    def build(self, input_shape: Shape) -> None:
        """Make the kernel (places, window·channels, filters) and the bias (*places, filters)."""
        is_first = self.data_format == "channels_first"
        given = tuple(input_shape[1:]) if is_first else (input_shape[-1], *input_shape[1:-1])
        known = [size for size in given if isinstance(size, int)]
        if not len(known) == len(given) == self.rank + 1:
            raise ShapeError(
                f"{type(self).__name__} needs an input of rank {self.rank + 2} whose sizes are known, but for the "
                f"batch; received {format_shape(input_shape)}"
            )
        channels, *sizes = known
        self.places = tuple(
            (size - window) // stride + 1
            for size, window, stride in zip(sizes, self.kernel_size, self.strides, strict=True)
        )
        if min(self.places) < 1:
            raise ShapeError(
                f"{type(self).__name__} has windows of {self.kernel_size}, too large for {format_shape(input_shape)}"
            )
        self.kernel = self.weight_of_role(
            "kernel", (prod(self.places), prod(self.kernel_size) * channels, self.filters)
        )
        self.bias = self.weight_of_role("bias", (*self.places, self.filters)) if self.use_bias else None

    def call(self, inputs: Tensor) -> Any:
        x = self.promote(inputs)
        windows = K.reshape(self._windows(x), (x.shape[0], *self.kernel.shape[:2]))
        products = K.einsum("bpw,pwf->bpf", windows, self.read(self.kernel, x))
        y = K.reshape(products, (x.shape[0], *self.places, self.filters))
        is_first = self.data_format == "channels_first"
        y = K.moveaxis(y, -1, 1) if is_first else y
        if self.bias is not None:
            bias = self.read(self.bias, x)
            # As Keras does, not as a transposition.
            y = y + (K.reshape(bias, (self.filters, *self.places)) if is_first else bias)
        return call_function("activation", self.activation, y)

    def _windows(self, x: Tensor) -> Any:
        """Return the elements of each window: (batch, *places, *window, channels), or (…, channels, *window)."""
        is_first = self.data_format == "channels_first"
        x = K.moveaxis(x, 1, -1) if is_first else x
        picked = []
        for starts in product(*map(range, self.kernel_size)):
            cuts = [
                slice(start, start + (count - 1) * stride + 1, stride)
                for start, count, stride in zip(starts, self.places, self.strides, strict=True)
            ]
            picked.append(x[(slice(None), *cuts, slice(None))])
        return K.stack(picked, -1 if is_first else -2)


class LocallyConnected1D(_LocallyConnected):
    """Of (batch, steps, channels)."""

    rank = 1


class LocallyConnected2D(_LocallyConnected):
    """Of (batch, rows, columns, channels)."""

    rank = 2
