"""ConvLSTM1D, ConvLSTM2D and ConvLSTM3D: LSTMs whose products are convolutions.

Source: https://keras.io/api/layers/recurrent_layers/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from kir import backend as K
from kir.backend.convolution import channel_axis, convolve, from_channels_first, to_channels_first
from kir.ir.op import Array
from kir.ir.structural import Input
from kir.ir.trace import Tensor, Tracer, emit
from kir.ir.types import Shape, TensorType
from kir.layers.cell import ELEMENTWISE_ACTIVATIONS, Cell, Product, Step
from kir.layers.rnn import CellLayer
from kir.layers.rnn_cells import long_short_term_memory
from kir.layers.spatial import refuse_strides_with_dilation
from kir.layers.training_mode import TrainingMode
from kir.modeling.declared import ActivationFunction, Constraint, DataFormat, Initializer, Padding, PerAxis, Regularizer
from kir.ops.shape import Reshape, Transpose
from kir.support.declarations import Boolean, Integer, Number, OptionalInteger

SPATIAL = {1: ("steps",), 2: ("rows", "cols"), 3: ("rows", "cols", "depth")}


class ConvLSTMCell(Cell):
    """The cell of a ConvLSTM with `rank` spatial axes; for the other arguments see `ConvLSTM`.

    Whatever `data_format` is, the steps run on channels in front of the spatial axes.
    """

    gate_order = (0, 3, 1, 2)
    state_count = 2
    feature_axis = 1

    rank = Integer(1)
    filters = Integer(1)
    kernel_size = PerAxis()
    strides = PerAxis(default=1)
    padding = Padding(default="valid")
    data_format = DataFormat(default=None)
    dilation_rate = PerAxis(default=1)
    recurrent_activation = ActivationFunction(default="sigmoid")
    unit_forget_bias = Boolean(default=True)

    def finish_init(self) -> None:
        refuse_strides_with_dilation(self)

    @property
    def input_axes(self) -> tuple[str, ...]:
        """The names of the axes of an input of one step."""
        is_first = self.data_format == "channels_first"
        axes = SPATIAL[self.rank]
        return ("batch", "channels", *axes) if is_first else ("batch", *axes, "channels")

    @property
    def state_size(self) -> list[int]:
        """The channels of the two states."""
        return [self.filters, self.filters]

    def zero_states(self) -> list[Array]:
        """Return the states before the first step, of a batch and sizes of 1 that broadcast."""
        return [np.zeros((1, self.filters, *[1] * self.rank), self.compute_type.numpy)] * 2

    def build(self, input_shape: Shape) -> None:
        """Make kernel (*k, channels, 4·filters), recurrent_kernel (*k, filters, 4·filters) and the bias."""
        channels = input_shape[channel_axis(self.rank, self.data_format)]
        columns = 4 * self.filters
        self.add_gate_weights(
            (*self.kernel_size, channels, columns), (*self.kernel_size, self.filters, columns), (columns,)
        )

    def make_bias_initializer(self) -> Any:
        """Return what draws the bias: 1 for the forget gate with `unit_forget_bias`."""
        return self.open_forget_gate(self.filters) if self.unit_forget_bias else self.bias_initializer

    def apply(self, role: str, function: Callable[..., Any], x: Tensor) -> Any:
        """Return the function of x; one over the last axis means that of Keras's layout."""
        if function in ELEMENTWISE_ACTIVATIONS:
            return super().apply(role, function, x)
        y = super().apply(role, function, from_channels_first(x, self.data_format))
        return to_channels_first(y, self.data_format)

    def convolve_inputs(self, x: Tensor) -> Tensor:
        """Return the gates' share of inputs [N, channels, *spatial]."""
        kernel, bias = self.read_gates(self.kernel, x), self.read_bias(x)
        return convolve(x, kernel, bias, self.strides, self.padding, "channels_first", self.dilation_rate)

    def start(self, x: Tensor, training: TrainingMode) -> tuple[list[Tensor], Step]:
        """See `Cell.start`; x is (batch, time, channels, *spatial), and the part is the inputs' convolution."""
        batch, time, *sizes = x.shape
        folded = emit(Reshape((batch * time, *sizes)), self.drop_inputs(x, training, 1))
        convolved = self.convolve_inputs(folded)
        part = emit(Reshape((batch, time, *convolved.shape[1:])), convolved)
        multiply = self._convolve_state(part, training)

        def step(parts: Sequence[Any], states: Sequence[Any]) -> tuple[Any, list[Any]]:
            return long_short_term_memory(self, parts[0] + multiply(states[0]), self.filters, states[1])

        return [part], step

    def _convolve_state(self, part: Tensor, training: TrainingMode) -> Product:
        """Return the gates' share of a state; each gate drops other parts of it, as a group of channels of its own."""
        kernel = self.read_gates(self.recurrent_kernel, part)
        noise = self.state_noise((part.shape[0], *part.shape[2:]), training) if self.drops_state(training) else None

        def multiply(h: Tensor) -> Any:
            dropped = h if noise is None else K.concatenate([h] * 4, 1) * noise
            return convolve(dropped, kernel, None, 1, "same", "channels_first", 1)

        return multiply


class ConvLSTM(CellLayer):
    """An LSTM whose products are convolutions: (batch, time, *spatial, channels) → (batch, *spatial, filters).

    For the other arguments see `LSTMCell`.
    """

    cell_class = ConvLSTMCell
    rank: ClassVar[int]

    filters: Integer = Integer(1, doc="the channels of the states")
    kernel_size: PerAxis = PerAxis(doc="of the windows, a number or one for each spatial axis")
    strides: PerAxis = PerAxis(default=1, doc="by how much the windows of the inputs move")
    padding: Padding = Padding(default="valid", doc='"valid" or "same", for the inputs; the states are always padded')
    data_format: DataFormat = DataFormat(
        default=None, doc='"channels_last", or "channels_first" for (batch, time, channels, *spatial)'
    )
    dilation_rate: PerAxis = PerAxis(default=1, doc="how far the elements of the windows of the inputs are apart")
    activation: ActivationFunction = ActivationFunction(default="tanh")
    recurrent_activation: ActivationFunction = ActivationFunction(default="sigmoid", doc="of the gates")
    use_bias: Boolean = Boolean(default=True)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    recurrent_initializer: Initializer = Initializer(default="orthogonal")
    bias_initializer: Initializer = Initializer(default="zeros")
    unit_forget_bias: Boolean = Boolean(default=True, doc="1 is the initial bias of the forget gate")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    recurrent_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    activity_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    recurrent_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)
    dropout: Number = Number(0, 1, default=0.0)
    recurrent_dropout: Number = Number(0, 1, default=0.0)
    seed: OptionalInteger = OptionalInteger(default=None)
    return_sequences: Boolean = Boolean(default=False)
    return_state: Boolean = Boolean(default=False)
    go_backwards: Boolean = Boolean(default=False)
    stateful: Boolean = Boolean(default=False)

    def _run_steps(
        self, x: Tensor, initial: Sequence[Tensor], mask: Tensor | None, training: TrainingMode
    ) -> tuple[Tensor, list[Tensor]]:
        layout = self.cell.data_format
        if layout == "channels_last":
            last = self.rank + 2
            x = emit(Transpose((0, 1, last, *range(2, last))), x)
        states = [to_channels_first(state, layout) for state in initial]
        output, finals = super()._run_steps(x, states, mask, training)
        if layout == "channels_last" and self.return_sequences:
            output = emit(Transpose((0, 1, *range(3, self.rank + 3), 2)), output)
        elif not self.return_sequences:
            output = from_channels_first(output, layout)
        return output, [from_channels_first(state, layout) for state in finals]

    def _state_shapes(self, x: Tensor) -> list[Shape]:
        """Return the shapes that the convolution of the inputs gives."""
        layout = self.cell.data_format
        tracer = Tracer()
        step = tracer.add(Input("step", TensorType(x.type.dtype, (x.shape[0], *x.shape[2:]))))[0]
        batch, _, *sizes = self.cell.convolve_inputs(to_channels_first(step, layout)).shape
        filters = self.cell.filters
        shape = (batch, filters, *sizes) if layout == "channels_first" else (batch, *sizes, filters)
        return [shape, shape]


class ConvLSTM1D(ConvLSTM):
    """A ConvLSTM with one spatial axis.

    Source: https://keras.io/api/layers/recurrent_layers/conv_lstm1d/
    """

    rank = 1


class ConvLSTM2D(ConvLSTM):
    """A ConvLSTM with two spatial axes.

    Source: https://keras.io/api/layers/recurrent_layers/conv_lstm2d/
    """

    rank = 2


class ConvLSTM3D(ConvLSTM):
    """A ConvLSTM with three spatial axes.

    Source: https://keras.io/api/layers/recurrent_layers/conv_lstm3d/
    """

    rank = 3
