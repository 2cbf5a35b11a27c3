"""Cells: what a recurrent layer does at one step. `kir.layers.rnn` runs them over sequences.

A cell can do that in two ways, and the layer chooses:

    make_op     one ONNX operator over the whole sequence
    start       what the steps need of their inputs, for all of them at once, and the program of one step in plain
                operators; for what ONNX's operators cannot compute, and for a cell that is called by itself

Source: https://keras.io/api/layers/recurrent_layers/
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, Self

import numpy as np

from kir import activations
from kir import backend as K
from kir.errors import InvalidArgumentError, LimitError, ShapeError, UnsupportedError
from kir.ir.dims import Dim
from kir.ir.op import Array, Op
from kir.ir.trace import Tensor, Tracer, emit
from kir.ir.types import format_shape
from kir.modeling.declared import ActivationFunction, Constraint, DeclaredLayer, Initializer, Regularizer
from kir.modeling.layer import Layer, layer_from_config, numbered, to_config
from kir.modeling.user_functions import call_function
from kir.modeling.weight import stand_in
from kir.ops import recurrent
from kir.ops.elementwise import Mul
from kir.ops.linear import Dense
from kir.ops.random import Dropout
from kir.ops.shape import Gather, Reshape
from kir.support.arguments import choice
from kir.support.declarations import Argument, Boolean, Integer, Number, OptionalInteger
from kir.support.limits import MAX_COUNT, MAX_UNROLLED
from kir.support.trees import flatten

# Keras's activations that an ONNX recurrent operator computes itself, with Keras's parameters.
RECURRENT_ACTIVATIONS: dict[Any, recurrent.Activation] = {
    activations.tanh: ("Tanh", 0.0, 0.0),
    activations.sigmoid: ("Sigmoid", 0.0, 0.0),
    activations.relu: ("Relu", 0.0, 0.0),
    activations.linear: ("Affine", 1.0, 0.0),
    activations.hard_sigmoid: ("HardSigmoid", 1 / 6, 0.5),
    activations.hard_sigmoid_of_keras_2: ("HardSigmoid", 0.2, 0.5),
    activations.sparse_sigmoid: ("HardSigmoid", 0.5, 0.5),
    activations.celu: ("Elu", 1.0, 0.0),
    activations.elu: ("Elu", 1.0, 0.0),
    activations.leaky_relu: ("LeakyRelu", 0.2, 0.0),
    activations.softplus: ("Softplus", 0.0, 0.0),
    activations.softsign: ("Softsign", 0.0, 0.0),
}

# Of which each element depends on one element alone, so that several gates can be computed together.
ELEMENTWISE_ACTIVATIONS = frozenset(activations.NAMED.values()) - {
    activations.softmax,
    activations.log_softmax,
    activations.sparsemax,
    activations.glu,
}

# From what one step needs of its input, and the states before it, to its output and the states behind it.
Step = Callable[[Sequence[Any], Sequence[Any]], tuple[Any, list[Any]]]
# From a state to its product with weights.
Product = Callable[[Any], Any]


class Cell(DeclaredLayer):
    """What the cells of Keras have in common: weights, and gates that depend on the input and the state."""

    # Where the first, second, … gate of the program of a step stands among Keras's. ONNX's order.
    gate_order: ClassVar[tuple[int, ...]]
    state_count: ClassVar[int] = 1
    # Which axis of a step's numbers holds the features.
    feature_axis: ClassVar[int] = -1

    activation = ActivationFunction(default="tanh", doc="of the new state; tanh by default")
    use_bias = Boolean(default=True, doc="whether there are biases")
    kernel_initializer = Initializer(default="glorot_uniform", doc="of the weights that multiply the inputs")
    recurrent_initializer = Initializer(default="orthogonal", doc="of the weights that multiply the state")
    bias_initializer = Initializer(default="zeros", doc="of the biases")
    kernel_regularizer = Regularizer(default=None, doc="count in `model.losses`")
    recurrent_regularizer = Regularizer(default=None, doc="count in `model.losses`")
    bias_regularizer = Regularizer(default=None, doc="count in `model.losses`")
    kernel_constraint = Constraint(default=None, doc="kept for the config; export ignores them")
    recurrent_constraint = Constraint(default=None, doc="kept for the config; export ignores them")
    bias_constraint = Constraint(default=None, doc="kept for the config; export ignores them")
    dropout = Number(
        0, 1, default=0.0, doc="the rate at which inputs are dropped in training, the same ones at every step"
    )
    recurrent_dropout = Number(
        0, 1, default=0.0, doc="the rate for the state, in training; each gate drops other parts of it"
    )
    seed = OptionalInteger(default=None, doc="of the dropout")

    # What the cells define

    @abstractmethod
    def start(self, x: Tensor, training: Any) -> tuple[list[Tensor], Step]:
        """What the steps need of their inputs, computed for all of them at once, and the program of one step.

        x is (batch, features), or (batch, time, features); what is needed has the same leading axes.
        """

    @abstractmethod
    def zero_states(self) -> list[Array]:
        """The states before the first step, of a batch of 1 that broadcasts."""

    @property
    def input_axes(self) -> tuple[str, ...]:
        """The names of the axes of an input of one step."""
        return ("batch", "features")

    # Calling

    def call(self, inputs: Tensor, states: Any, training: Any = None) -> Any:
        """The output and the new states of one step."""
        is_list = isinstance(states, list | tuple)
        given = list(states) if is_list else [states]
        if len(given) != self.state_count:
            raise InvalidArgumentError(f"{self.name_in_messages} has {self.state_count} states; received {len(given)}")
        parts, step = self.start(self.promote(inputs), training)
        output, new = step(parts, given)
        return output, new if is_list else new[0]

    def activate(self, x: Any) -> Any:
        """The activation of x."""
        return self.apply("activation", self.activation, x)

    def activate_gates(self, gates: Any, count: int, function: Callable[..., Any]) -> list[Any]:
        """The parts of `gates`, so many, each with the function applied; in one go if it works on single elements."""
        if function in ELEMENTWISE_ACTIVATIONS:
            return K.split(self.apply("recurrent_activation", function, gates), count, self.feature_axis)
        parts = K.split(gates, count, self.feature_axis)
        return [self.apply("recurrent_activation", function, part) for part in parts]

    def apply(self, role: str, function: Callable[..., Any], x: Any) -> Any:
        """The function of x; `role` names it in messages."""
        return call_function(role, function, x)

    # Dropout in training

    def drops_state(self, training: Any) -> bool:
        """Whether parts of the state are dropped. Keras drops nothing at a rate of 1."""
        return not _is_off(training) and 0 < self.recurrent_dropout < 1

    def drop_inputs(self, x: Tensor, training: Any, time_axis: int | None) -> Tensor:
        """In training x with features dropped, the same ones at every step; x otherwise."""
        if _is_off(training) or not 0 < self.dropout < 1:
            return x
        shape = tuple(1 if axis == time_axis else size for axis, size in enumerate(x.shape))
        result: Tensor = emit(Dropout(self.dropout, shape, self.seed), x, _as_switch(training))
        return result

    def state_noise(self, shape: tuple[Dim, ...], training: Any) -> Any:
        """What the state is multiplied with to drop parts of it: 0, or more than 1 for the parts that stay."""
        ones = K.ones(shape, self.compute_type.keras_name)
        # Another seed than that of the inputs, or the same parts of both would be dropped.
        seed = None if self.seed is None else self.seed + 1
        return emit(Dropout(self.recurrent_dropout, shape, seed), ones, _as_switch(training))

    def read_gates(self, weight: Any, like: Tensor) -> Tensor:
        """A weight whose last axis holds the gates, with these in the order of `gate_order`."""
        read = self.read(weight, like)
        count = len(self.gate_order)
        if self.gate_order == tuple(range(count)):
            return read
        if weight.shape[-1] > MAX_COUNT:
            raise LimitError(
                f"gates of {weight.shape[-1]} units are out of all proportion; at most {MAX_COUNT} are read"
            )
        columns = np.arange(weight.shape[-1]).reshape(count, -1)[list(self.gate_order)].ravel()
        result: Tensor = emit(Gather(len(weight.shape) - 1), read, columns)
        return result

    def read_bias(self, like: Tensor) -> Tensor | None:
        """The bias, as `read_gates` gives it, if there is one."""
        return None if self.bias is None else self.read_gates(self.bias, like)

    def open_forget_gate(self, size: int) -> Callable[..., Array]:
        """What draws the bias of an LSTM with `unit_forget_bias`: 1 for the forget gate, of this size."""
        draw = self.bias_initializer

        def draw_with_open_forget_gate(shape: Any, dtype: Any = None) -> Array:
            return np.concatenate([draw((size,), dtype=dtype), np.ones(size), draw((2 * size,), dtype=dtype)])

        return draw_with_open_forget_gate

    # Weights

    def add_gate_weights(self, kernel: tuple[Any, ...], state: tuple[Any, ...], bias: tuple[int, ...]) -> None:
        """kernel, recurrent_kernel and the bias, of these shapes."""
        self.kernel = self.make_weight("kernel", kernel)
        self.recurrent_kernel = self.make_weight("recurrent_kernel", state, "recurrent")
        self.bias = (
            self.new_weight("bias", bias, self.make_bias_initializer(), self.bias_regularizer, self.bias_constraint)
            if self.use_bias
            else None
        )

    def make_bias_initializer(self) -> Any:
        """What draws the bias."""
        return self.bias_initializer

    # Configuration

    # Constructor arguments that Keras does not save.
    unsaved: ClassVar[frozenset[str]] = frozenset()

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments that Keras saves."""
        return {name: value for name, value in super().get_config().items() if name not in self.unsaved}


class DenseCell(Cell):
    """A cell whose state is a vector, (batch, units), and that ONNX has an operator for."""

    units = Integer(1, doc="the size of the state")

    def finish_init(self) -> None:
        self.packed = PackedWeights()

    @property
    def state_size(self) -> Any:
        """The size of the state, or the list of sizes of several."""
        return self.units if self.state_count == 1 else [self.units] * self.state_count

    @property
    def output_size(self) -> int:
        """The number of features of the output."""
        return self.units

    @abstractmethod
    def make_op(self, direction: str, functions: tuple[recurrent.Activation, ...]) -> Op:
        """The operator; `functions` are those of `operator_activations`, for each direction."""

    def functions(self) -> tuple[Callable[..., Any], ...]:
        """Keras's activations of one direction, in the operator's order."""
        return (self.activation,)

    def operator_activations(self) -> tuple[recurrent.Activation, ...] | None:
        """The activations of one direction as ONNX names them; None if an operator cannot compute one of them."""
        found = [RECURRENT_ACTIVATIONS.get(function) for function in self.functions()]
        known = tuple(activation for activation in found if activation is not None)
        return known if len(known) == len(found) else None

    def bias_shape(self) -> tuple[int, ...]:
        """The shape of Keras's bias."""
        return (len(self.gate_order) * self.units,)

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """The states before the first step: zeros."""
        return [K.zeros((batch_size, self.units), self.compute_type.keras_name) for _ in range(self.state_count)]

    def zero_states(self) -> list[Array]:
        """The states before the first step, of a batch of 1 that broadcasts."""
        return [np.zeros((1, self.units), self.compute_type.numpy)] * self.state_count

    # Weights

    def build(self, input_shape: Any) -> None:
        """kernel (features, gates·units), recurrent_kernel (units, gates·units) and the bias."""
        if len(input_shape) != 2:
            raise ShapeError(
                f"{self.name_in_messages} needs an input of rank 2, (batch, features), at each step; "
                f"received {format_shape(input_shape)}"
            )
        columns = len(self.gate_order) * self.units
        self.add_gate_weights((input_shape[-1], columns), (self.units, columns), self.bias_shape())

    def pack_kernel(self) -> Array:
        """ONNX's W without its axis of directions: [gates·units, features]."""
        return self._reorder(self.kernel.array.T)

    def pack_recurrent_kernel(self) -> Array:
        """ONNX's R without its axis of directions: [gates·units, units]."""
        return self._reorder(self.recurrent_kernel.array.T)

    def pack_bias(self) -> Array:
        """ONNX's B without its axis of directions, [2·gates·units]: the inputs' biases, then the state's."""
        rows = len(self.gate_order) * self.units
        zeros = np.zeros(rows, self.dtype_policy.variable.numpy)
        given = zeros if self.bias is None else self.bias.array
        pair = given if given.ndim == 2 else (given, zeros)
        return np.concatenate([self._reorder(vector) for vector in pair])

    def _reorder(self, rows: Array) -> Array:
        gates = np.split(rows, len(self.gate_order))
        return np.concatenate([gates[gate] for gate in self.gate_order])

    # Running

    def run(
        self, x: Tensor, direction: str, lens: Tensor | None, initial: Sequence[Tensor], training: Any
    ) -> tuple[Tensor, list[Tensor]]:
        """The outputs [time, batch, units] and the final states (batch, units) for x [time, batch, features].

        `initial` are the states (batch, units) before the first step, or none for zeros.
        """
        activations = self.operator_activations()
        assert activations is not None
        x = self.drop_inputs(self.promote(x), training, 0)
        states = [emit(Reshape((1, *state.shape)), state) for state in initial]
        y, *finals = emit(self.make_op(direction, activations), x, *self.packed.read((self,), x), lens, *states)
        time, batch, _ = x.shape
        outputs = emit(Reshape((time, batch, self.units)), y)
        return outputs, [emit(Reshape((batch, self.units)), final) for final in finals]

    def project(self, x: Tensor, bias: Tensor | None, training: Any) -> Tensor:
        """x · kernel + bias, with inputs dropped in training."""
        x = self.drop_inputs(x, training, 1 if len(x.shape) > 2 else None)
        result: Tensor = emit(Dense(), x, self.read_gates(self.kernel, x), bias)
        return result

    def multiply_state(self, x: Tensor, training: Any, gates: slice = slice(None), bias: Any = None) -> Product:
        """The product of a state (batch, units) with the recurrent kernel's columns of these gates, plus a bias."""
        first, last, _ = gates.indices(len(self.gate_order))
        kernel = self.read_gates(self.recurrent_kernel, x)
        if (first, last) != (0, len(self.gate_order)):
            kernel = kernel[:, first * self.units : last * self.units]
        if not self.drops_state(training):
            return lambda h: emit(Dense(), h, kernel, bias)
        count, units = last - first, self.units
        noise = self.state_noise((x.shape[0], count, units), training)
        kernels = K.reshape(kernel, (units, count, units))

        def multiply(h: Any) -> Any:
            dropped = emit(Mul(), K.expand_dims(h, 1), noise)
            product = K.reshape(K.einsum("bgi,igj->bgj", dropped, kernels), (x.shape[0], count * units))
            return product if bias is None else product + bias

        return multiply


class SimpleRNNCell(DenseCell):
    """``h = activation(x · kernel + h · recurrent_kernel + bias)``.

    Source: https://keras.io/api/layers/recurrent_layers/simple_rnn_cell/
    """

    gate_order = (0,)

    units: Integer = Integer(1)
    activation: ActivationFunction = ActivationFunction(default="tanh")
    use_bias: Boolean = Boolean(default=True)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    recurrent_initializer: Initializer = Initializer(default="orthogonal")
    bias_initializer: Initializer = Initializer(default="zeros")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    recurrent_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    recurrent_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)
    dropout: Number = Number(0, 1, default=0.0)
    recurrent_dropout: Number = Number(0, 1, default=0.0)
    seed: OptionalInteger = OptionalInteger(default=None)

    def make_op(self, direction: str, functions: tuple[recurrent.Activation, ...]) -> Op:
        return recurrent.RNN(self.units, direction, functions)

    def start(self, x: Tensor, training: Any) -> tuple[list[Tensor], Step]:
        """See `Cell.start`; one part, x · kernel + bias."""
        multiply = self.multiply_state(x, training)

        def step(parts: Sequence[Any], states: Sequence[Any]) -> tuple[Any, list[Any]]:
            h = self.activate(parts[0] + multiply(states[0]))
            return h, [h]

        return [self.project(x, self.read_bias(x), training)], step


def check_implementation(owner: str, name: str, given: int) -> int:
    """Return how Keras runs a cell or its layer, which means nothing here."""
    return int(choice(owner, name, given, (0, 1, 2)))


class GatedCell(DenseCell):
    """What the cells with gates have in common."""

    unsaved = frozenset({"implementation"})

    recurrent_activation = ActivationFunction(default="sigmoid", doc="of the gates")
    implementation = Argument[int, int](check_implementation, default=2, doc="how Keras runs the cell; ignored")


class LSTMCell(GatedCell):
    """Long short-term memory.

    Source: https://keras.io/api/layers/recurrent_layers/lstm_cell/
    """

    gate_order = (0, 3, 1, 2)  # Keras: input, forget, cell, output; ONNX: input, output, forget, cell
    state_count = 2

    units: Integer = Integer(1)
    activation: ActivationFunction = ActivationFunction(default="tanh")
    recurrent_activation: ActivationFunction = ActivationFunction(default="sigmoid")
    use_bias: Boolean = Boolean(default=True)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    recurrent_initializer: Initializer = Initializer(default="orthogonal")
    bias_initializer: Initializer = Initializer(default="zeros")
    unit_forget_bias: Boolean = Boolean(default=True, doc="1 is the initial bias of the forget gate")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    recurrent_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    recurrent_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)
    dropout: Number = Number(0, 1, default=0.0)
    recurrent_dropout: Number = Number(0, 1, default=0.0)
    seed: OptionalInteger = OptionalInteger(default=None)
    implementation: Argument[int, int] = Argument(check_implementation, default=2)

    def make_op(self, direction: str, functions: tuple[recurrent.Activation, ...]) -> Op:
        return recurrent.LSTM(self.units, direction, functions)

    def functions(self) -> tuple[Callable[..., Any], ...]:
        """Of the gates, of the cell, of the output."""
        return self.recurrent_activation, self.activation, self.activation

    def make_bias_initializer(self) -> Any:
        """What draws the bias: 1 for the forget gate with `unit_forget_bias`."""
        return self.open_forget_gate(self.units) if self.unit_forget_bias else self.bias_initializer

    def start(self, x: Tensor, training: Any) -> tuple[list[Tensor], Step]:
        """See `Cell.start`; one part, x · kernel + bias."""
        multiply = self.multiply_state(x, training)
        bias = self.read_bias(x)

        def step(parts: Sequence[Any], states: Sequence[Any]) -> tuple[Any, list[Any]]:
            return long_short_term_memory(self, parts[0] + multiply(states[0]), self.units, states[1])

        return [self.project(x, bias, training)], step


class GRUCell(GatedCell):
    """Gated recurrent unit.

    Source: https://keras.io/api/layers/recurrent_layers/gru_cell/
    """

    gate_order = (0, 1, 2)  # update, reset, hidden, in Keras and in ONNX

    units: Integer = Integer(1)
    activation: ActivationFunction = ActivationFunction(default="tanh")
    recurrent_activation: ActivationFunction = ActivationFunction(default="sigmoid")
    use_bias: Boolean = Boolean(default=True)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    recurrent_initializer: Initializer = Initializer(default="orthogonal")
    bias_initializer: Initializer = Initializer(default="zeros")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    recurrent_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    recurrent_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)
    dropout: Number = Number(0, 1, default=0.0)
    recurrent_dropout: Number = Number(0, 1, default=0.0)
    reset_after: Boolean = Boolean(
        default=True,
        doc="whether the reset gate multiplies behind the product with the state; there are two biases then",
    )
    seed: OptionalInteger = OptionalInteger(default=None)
    implementation: Argument[int, int] = Argument(check_implementation, default=2)

    def make_op(self, direction: str, functions: tuple[recurrent.Activation, ...]) -> Op:
        return recurrent.GRU(self.units, direction, functions, self.reset_after)

    def functions(self) -> tuple[Callable[..., Any], ...]:
        """Of the gates, of the hidden state."""
        return self.recurrent_activation, self.activation

    def bias_shape(self) -> tuple[int, ...]:
        """With `reset_after` one bias for the inputs and one for the state."""
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def start(self, x: Tensor, training: Any) -> tuple[list[Tensor], Step]:
        """See `Cell.start`; two parts of x · kernel + bias, the gates' and the hidden state's."""
        bias = self.read_bias(x)
        input_bias, state_bias = K.unstack(bias) if bias is not None and self.reset_after else (bias, None)
        hidden = self._reset_after(x, state_bias, training) if self.reset_after else self._reset_before(x, training)

        def step(parts: Sequence[Any], states: Sequence[Any]) -> tuple[Any, list[Any]]:
            (h,) = states
            z, n = hidden(*parts, h)
            new = n + z * (h - n)
            return new, [new]

        return K.split(self.project(x, input_bias, training), [2 * self.units], -1), step

    def _reset_after(self, x: Tensor, bias: Any, training: Any) -> Callable[..., tuple[Any, Any]]:
        """From the inputs' parts and the state to the update gate and the new hidden state."""
        multiply = self.multiply_state(x, training, bias=bias)

        def hidden(gates: Any, candidate: Any, h: Any) -> tuple[Any, Any]:
            of_gates, of_candidate = K.split(multiply(h), [2 * self.units], -1)
            z, r = self.activate_gates(gates + of_gates, 2, self.recurrent_activation)
            return z, self.activate(candidate + r * of_candidate)

        return hidden

    def _reset_before(self, x: Tensor, training: Any) -> Callable[..., tuple[Any, Any]]:
        """As `_reset_after`."""
        for_gates, for_candidate = (self.multiply_state(x, training, gates) for gates in (slice(0, 2), slice(2, 3)))

        def hidden(gates: Any, candidate: Any, h: Any) -> tuple[Any, Any]:
            z, r = self.activate_gates(gates + for_gates(h), 2, self.recurrent_activation)
            return z, self.activate(candidate + for_candidate(r * h))

        return hidden


def _require_cells(owner: str, name: str, given: object) -> list[Layer]:
    if not isinstance(given, list | tuple) or not given:
        raise InvalidArgumentError(f"{owner}: {name} must be a list of one cell or more; received {name}={given!r}")
    return [require_cell(owner, cell) for cell in given]


class StackedRNNCells(DeclaredLayer):
    """Cells on top of each other: each takes the output of the one before. Its states are the list of theirs.

    Raises:
        InvalidArgumentError: one of them is no cell, or there is none.

    Source: https://keras.io/api/layers/recurrent_layers/stacked_rnn_cell/
    """

    cells: Argument[Sequence[Layer], list[Layer]] = Argument(
        _require_cells, doc="one cell or more; a cell may be a stack, too"
    )

    @property
    def state_size(self) -> list[Any]:
        """The sizes of the states of each cell."""
        return [state_size(cell) for cell in self.cells]

    @property
    def output_size(self) -> int:
        """The number of features of the last cell's output."""
        return output_size(self.cells[-1])

    def owned_layers(self) -> dict[str, Layer]:
        """The cells, under the names that Keras saves them by."""
        return {f"cells/{name}": cell for name, cell in numbered(self.cells)}

    def build(self, input_shape: Any) -> None:
        """Builds the cells, each for the output of the one before."""
        for cell in self.cells:
            cell.ensure_built(input_shape)
            input_shape = (input_shape[0], output_size(cell))

    def call(self, inputs: Tensor, states: Any) -> Any:
        """The output and the new states of one step."""
        if len(states) != len(self.cells):
            raise InvalidArgumentError(
                f"StackedRNNCells {self.name!r} has {len(self.cells)} cells; received the states of {len(states)}"
            )
        new = []
        for cell, given in zip(self.cells, states, strict=True):
            inputs, state = cell.trace(inputs, given)
            new.append(state)
        return inputs, new

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """The states of each cell before the first step."""
        return [initial_states(cell, batch_size) for cell in self.cells]

    def get_config(self) -> dict[str, Any]:
        """The cells, and what every layer has."""
        return self.shared_config() | {"cells": [to_config(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """A new layer from what `get_config` gave; the cells may be config dicts or layers."""
        return cls(**{**config, "cells": [layer_from_config(cell) for cell in config["cells"]]})


class PackedWeights:
    """The weights of one or two directions in ONNX's layout.

    Packed anew only when a weight was set anew: a trace makes one constant of one array, however often a layer is
    called.
    """

    def __init__(self) -> None:
        self._sources: list[Array] = []
        self._arrays: list[Array] = []

    def read(self, cells: Sequence[DenseCell], like: Tensor) -> list[Tensor]:
        """kernel [D, gates·units, features], recurrent_kernel [D, gates·units, units] and bias [D, 2·gates·units]."""
        names = ("kernel", "recurrent_kernel", "bias")
        dtype = cells[0].compute_type
        if like.tracer.graph is None:
            return [
                like.tracer.weight(name, array, dtype)
                for name, array in zip(names, self._stand_ins(cells), strict=True)
            ]
        sources = [weight.array for cell in cells for weight in cell.own_weights]
        if not self._arrays or any(old is not new for old, new in zip(self._sources, sources, strict=True)):
            packers: list[Callable[[DenseCell], Array]] = [
                DenseCell.pack_kernel,
                DenseCell.pack_recurrent_kernel,
                DenseCell.pack_bias,
            ]
            self._sources = sources
            self._arrays = [np.stack([pack(cell) for cell in cells]) for pack in packers]
        return [like.tracer.weight(name, array, dtype) for name, array in zip(names, self._arrays, strict=True)]

    def _stand_ins(self, cells: Sequence[DenseCell]) -> list[Array]:
        features, rows = cells[0].kernel.shape
        shapes = (rows, features), (rows, cells[0].units), (2 * rows,)
        return [stand_in((len(cells), *shape), cells[0].compute_type) for shape in shapes]


def long_short_term_memory(cell: Any, gates: Any, size: int, memory: Any) -> tuple[Any, list[Any]]:
    """The output and the states of an LSTM, of gates in the order input, output, forget, cell, `size` features each."""
    switches, candidate = K.split(gates, [3 * size], cell.feature_axis)
    i, o, f = cell.activate_gates(switches, 3, cell.recurrent_activation)
    memory = f * memory + i * cell.activate(candidate)
    h = o * cell.activate(memory)
    return h, [h, memory]


# Any layer with `state_size` and `call(inputs, states)` is a cell


def require_cell(owner: str, cell: Any) -> Layer:
    """The cell; a list of cells as a stack of them.

    Raises:
        InvalidArgumentError: it is none.
    """
    if isinstance(cell, list | tuple):
        return StackedRNNCells(cell)
    if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
        raise InvalidArgumentError(
            f"{owner}: a cell must be a layer with call(inputs, states) and a state_size, such as LSTMCell; "
            f"received {cell!r}"
        )
    return cell


def copied_cell(cell: Any) -> Layer:
    """A cell of the same configuration, without the weights."""
    if isinstance(cell, StackedRNNCells):
        return StackedRNNCells([copied_cell(inner) for inner in cell.cells], **cell.shared_config())
    copy: Layer = type(cell).from_config(config_to_copy(cell))
    return copy


def config_to_copy(layer: Layer) -> dict[str, Any]:
    """Return the config of a layer or cell with the user's own functions in it.

    Their names would not do: one of Keras's own may have the same.
    """
    config = layer.get_config()
    for key, value in config.items():
        if key.endswith("activation") and isinstance(value, Mapping) and value.get("class_name") == "function":
            config[key] = getattr(layer, key, value)
    return config


def state_size(cell: Any) -> Any:
    """A size for each state of a cell: an integer, a list of them, or lists of lists for stacks."""
    return cell.state_size


def output_size(cell: Any) -> int:
    """The number of features of a cell's output: by default that of its first state."""
    given = getattr(cell, "output_size", None)
    return int(flatten(state_size(cell))[0] if given is None else given)


def state_count(cell: Any) -> int:
    """The number of states of a cell."""
    return cell.state_count if isinstance(cell, Cell) else len(flatten(state_size(cell)))


def initial_states(cell: Any, batch: Any) -> list[Any]:
    """The states before the first step, as the cell gives them; by default zeros."""
    make = getattr(cell, "get_initial_state", None)
    if make is not None:
        made = make(batch_size=batch)
        return list(made) if isinstance(made, list | tuple) else [made]
    return [K.zeros((batch, size), cell.compute_type.keras_name) for size in flatten(state_size(cell))]


def leaf_cells(cell: Layer) -> list[tuple[Any, ...]]:
    """The cells that compute, in order, each behind the stacks that it is in."""
    found: list[tuple[Any, ...]] = []
    pending: list[tuple[Any, ...]] = [(cell,)]
    while pending:
        path = pending.pop()
        if isinstance(path[-1], StackedRNNCells):
            pending.extend((*path, inner) for inner in reversed(path[-1].cells))
        else:
            found.append(path)
    return found


@contextmanager
def entered(layers: Sequence[Layer], tracer: Tracer) -> Iterator[None]:
    """While open, new nodes belong to the innermost of these layers."""
    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(tracer.layer(layer.name, type(layer).__name__))
        yield


def start_steps(cell: Any, x: Tensor, training: Any) -> tuple[list[Tensor], Step]:
    """See `Cell.start`; a cell of another kind is called at every step."""
    if isinstance(cell, Cell):
        return cell.start(cell.promote(x), training)

    def step(parts: Sequence[Any], states: Sequence[Any]) -> tuple[Any, list[Any]]:
        output, new = cell.trace(parts[0], list(states))
        return output, flatten(new)

    return [x], step


def why_not_operator(cell: Any, training: Any) -> str | None:
    """Why a cell cannot be an ONNX operator; None if it can."""
    if not isinstance(cell, DenseCell):
        return f"{type(cell).__name__} {cell.name!r} is not an operator of ONNX"
    if cell.drops_state(training):
        return f"recurrent_dropout={cell.recurrent_dropout} drops parts of the state between steps in training"
    unknown = [function for function in cell.functions() if function not in RECURRENT_ACTIVATIONS]
    if unknown:
        name = getattr(unknown[0], "__name__", repr(unknown[0]))
        return f"ONNX's recurrent operators lack the activation {name!r}"
    return None


def require_known_length(time: Dim, reason: str, instead: str = "") -> int:
    """The number of steps; `instead` says what would need no unrolling.

    Raises:
        UnsupportedError: it is not known.
        ShapeError: it is 0.
        LimitError: it is more than `MAX_UNROLLED`.
    """
    if not isinstance(time, int):
        raise UnsupportedError(
            f"{reason}, so each step becomes nodes of its own, and the number of steps {time} is not known; fix it "
            f"in the Input's shape or with --input-shapes{instead and f', or {instead}'}"
        )
    if time < 1:
        raise ShapeError(f"a recurrent layer that is unrolled needs one step or more; received {time}")
    if time > MAX_UNROLLED:
        raise LimitError(
            f"{reason}, so each step becomes nodes of its own, and there are {time} steps; at most {MAX_UNROLLED} "
            "are unrolled: give shorter sequences"
        )
    return time


def _is_off(training: Any) -> bool:
    return training is None or training is False


def _as_switch(training: Any) -> Any:
    return training if isinstance(training, Tensor) else np.asarray(bool(training))
