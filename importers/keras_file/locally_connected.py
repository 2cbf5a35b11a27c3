"""LocallyConnected1D and LocallyConnected2D of Keras 1 and 2: convolutions with weights of its own at each place.

Source: https://github.com/keras-team/tf-keras
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from itertools import product
from math import prod
from typing import Any

import numpy as np

from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.op import Array
from kir.ir.trace import Tensor
from kir.ir.types import Shape, format_shape
from kir.layers.convolutional import Convolutional
from kir.layers.keras2 import OfKeras2
from kir.modeling.declared import ActivationFunction, Constraint, DataFormat, Initializer, Padding, PerAxis, Regularizer
from kir.modeling.user_functions import call_function
from kir.support.arguments import choice
from kir.support.declarations import Argument, Boolean, Integer


class _LocallyConnected(OfKeras2, Convolutional):
    """(batch, *sizes, channels) → (batch, *places, filters). The other arguments are those of Conv1D.

    Raises:
        InvalidArgumentError: `implementation` is none of 1, 2 and 3, or is 1 and the padding is not "valid".
        ShapeError: at a call, if a size is not known, or too small for a window.
    """

    allowed_paddings = ("valid", "same")

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
    implementation: Argument[int, int] = Argument(
        partial(choice, allowed=(1, 2, 3)), default=1, doc="how Keras computes it: see `_read_other_kernels`"
    )

    def finish_init(self) -> None:
        if self.implementation == 1 and self.padding != "valid":
            raise InvalidArgumentError(
                f"{type(self).__name__} with implementation=1 has padding='valid' only; received "
                f"padding={self.padding!r}"
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
        self.channels, *self.sizes = known
        # How many zeros are put before and after each axis.
        self.padded = [
            (window // 2 if self.padding == "same" else 0, window - 1 - window // 2 if self.padding == "same" else 0)
            for window in self.kernel_size
        ]
        self.places = tuple(
            (size + before + after - window) // stride + 1
            for size, (before, after), window, stride in zip(
                self.sizes, self.padded, self.kernel_size, self.strides, strict=True
            )
        )
        if min(self.places) < 1:
            raise ShapeError(
                f"{type(self).__name__} has windows of {self.kernel_size}, too large for {format_shape(input_shape)}"
            )
        self.kernel = self.weight_of_role(
            "kernel", (prod(self.places), prod(self.kernel_size) * self.channels, self.filters)
        )
        if self.implementation != 1:
            self._read_other_kernels()
        self.bias = self.weight_of_role("bias", (*self.places, self.filters)) if self.use_bias else None

    def _read_other_kernels(self) -> None:
        """Set how the kernel lies in files.

        | implementation | shape in a file                      | what it holds                                        |
        |----------------|--------------------------------------|------------------------------------------------------|
        | 2              | (*sizes, channels, *places, filters) | a weight for each input and each output              |
        | 3              | (number of connections,)             | those that are connected, by output and then input   |
        """
        inputs, outputs, is_inside = self._connections()
        if self.implementation == 3:
            self.kernel.saved_shape = (int(is_inside.sum()),)
        elif self.data_format == "channels_first":
            self.kernel.saved_shape = (self.channels, *self.sizes, self.filters, *self.places)
        else:
            self.kernel.saved_shape = (*self.sizes, self.channels, *self.places, self.filters)

        def convert(saved: Array) -> Array:
            kernel = np.zeros(is_inside.shape, saved.dtype)
            if self.implementation == 2:
                table = saved.reshape(prod(self.sizes) * self.channels, -1)
                kernel[is_inside] = table[inputs[is_inside], outputs[is_inside]]
            else:
                order = np.lexsort((inputs[is_inside], outputs[is_inside]))
                connected = np.empty_like(saved)
                connected[order] = saved
                kernel[is_inside] = connected
            return kernel.reshape(self.kernel.shape)

        self.kernel.convert_saved = convert

    def _connections(self) -> tuple[Array, Array, Array]:
        """Return what each number of the kernel connects: a flat index of the input, one of the output.

        The third array says where a window lies on the input, and not on the zeros around it. All three have the
        shape (*places, *window, channels, filters), or (*places, channels, *window, filters) for "channels_first".
        """
        is_first = self.data_format == "channels_first"
        shape = (*self.places, *self.kernel_size, self.channels, self.filters)
        grid = np.indices(shape, sparse=True)
        places, windows, (channel, filter) = grid[: self.rank], grid[self.rank : -2], grid[-2:]
        at = [
            place * stride + window - before
            for place, stride, window, (before, _) in zip(places, self.strides, windows, self.padded, strict=True)
        ]
        is_inside = reduce(
            np.logical_and, [(one >= 0) & (one < size) for one, size in zip(at, self.sizes, strict=True)]
        )
        inputs, outputs = ((channel, *at), (filter, *places)) if is_first else ((*at, channel), (*places, filter))
        input_sizes = (self.channels, *self.sizes) if is_first else (*self.sizes, self.channels)
        output_sizes = (self.filters, *self.places) if is_first else (*self.places, self.filters)
        found = [
            np.broadcast_to(_flat_index(inputs, input_sizes), shape),
            np.broadcast_to(_flat_index(outputs, output_sizes), shape),
            np.broadcast_to(is_inside, shape),
        ]
        first, second, third = (np.moveaxis(one, -2, self.rank) if is_first else one for one in found)
        return first, second, third

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
        x = K.pad(x, [[0, 0], *map(list, self.padded), [0, 0]]) if self.padding == "same" else x
        picked = []
        for starts in product(*map(range, self.kernel_size)):
            cuts = [
                slice(start, start + (count - 1) * stride + 1, stride)
                for start, count, stride in zip(starts, self.places, self.strides, strict=True)
            ]
            picked.append(x[(slice(None), *cuts, slice(None))])
        return K.stack(picked, -1 if is_first else -2)


def _flat_index(index: Sequence[Array], sizes: Sequence[int]) -> Array:
    """Return the index in a flat array from one for each axis."""
    flat: Array = np.zeros((), np.int64)
    for one, size in zip(index, sizes, strict=True):
        flat = flat * size + one
    return flat


class LocallyConnected1D(_LocallyConnected):
    """Of (batch, steps, channels)."""

    rank = 1


class LocallyConnected2D(_LocallyConnected):
    """Of (batch, rows, columns, channels)."""

    rank = 2
