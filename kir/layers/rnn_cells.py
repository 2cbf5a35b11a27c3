"""Keras's cells, stacks of them, and what holds for any cell: a layer with a `state_size` and `call(inputs, states)`.

Source: https://keras.io/api/layers/recurrent_layers/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from kir import backend as K
from kir.errors import InvalidArgumentError, LimitError, ShapeError, UnsupportedError
from kir.ir.dims import Dim
from kir.ir.op import Op
from kir.ir.trace import Tensor, Tracer
from kir.ir.types import Shape
from kir.layers.cell import RECURRENT_ACTIVATIONS, Cell, DenseCell, Step
from kir.layers.training_mode import TrainingMode
from kir.modeling.declared import ActivationFunction, Constraint, DeclaredLayer, Initializer, Regularizer
from kir.modeling.layer import Layer, numbered, to_config
from kir.modeling.layer_classes import layer_from_config
from kir.ops import recurrent
from kir.support.arguments import choice
from kir.support.declarations import Argument, Boolean, Integer, Number, OptionalInteger
from kir.support.limits import MAX_UNROLLED
from kir.support.trees import flatten


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

    def start(self, x: Tensor, training: TrainingMode) -> tuple[list[Tensor], Step]:
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
    """The base of the cells with gates."""

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
        """Return those of the gates, of the cell and of the output."""
        return self.recurrent_activation, self.activation, self.activation

    def make_bias_initializer(self) -> Any:
        """Return what draws the bias: 1 for the forget gate with `unit_forget_bias`."""
        return self.open_forget_gate(self.units) if self.unit_forget_bias else self.bias_initializer

    def start(self, x: Tensor, training: TrainingMode) -> tuple[list[Tensor], Step]:
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
        doc="whether the reset gate multiplies after the product with the state; there are two biases then",
    )
    seed: OptionalInteger = OptionalInteger(default=None)
    implementation: Argument[int, int] = Argument(check_implementation, default=2)

    def make_op(self, direction: str, functions: tuple[recurrent.Activation, ...]) -> Op:
        return recurrent.GRU(self.units, direction, functions, self.reset_after)

    def functions(self) -> tuple[Callable[..., Any], ...]:
        """Return those of the gates and of the hidden state."""
        return self.recurrent_activation, self.activation

    def bias_shape(self) -> tuple[int, ...]:
        """Return the shape of the bias: with `reset_after` one bias for the inputs and one for the state."""
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def start(self, x: Tensor, training: TrainingMode) -> tuple[list[Tensor], Step]:
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

    def _reset_after(self, x: Tensor, bias: Tensor | None, training: TrainingMode) -> Callable[..., tuple[Any, Any]]:
        """Return what makes, of the inputs' parts and the state, the update gate and the new hidden state."""
        multiply = self.multiply_state(x, training, bias=bias)

        def hidden(gates: Tensor, candidate: Tensor, h: Tensor) -> tuple[Any, Any]:
            of_gates, of_candidate = K.split(multiply(h), [2 * self.units], -1)
            z, r = self.activate_gates(gates + of_gates, 2, self.recurrent_activation)
            return z, self.activate(candidate + r * of_candidate)

        return hidden

    def _reset_before(self, x: Tensor, training: TrainingMode) -> Callable[..., tuple[Any, Any]]:
        """Do the same as `_reset_after`."""
        for_gates, for_candidate = (self.multiply_state(x, training, gates) for gates in (slice(0, 2), slice(2, 3)))

        def hidden(gates: Tensor, candidate: Tensor, h: Tensor) -> tuple[Any, Any]:
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
        """Return the cells, under the names that Keras saves them by."""
        return {f"cells/{name}": cell for name, cell in numbered(self.cells)}

    def build(self, input_shape: Shape) -> None:
        """Build the cells, each for the output of the one before."""
        for cell in self.cells:
            cell.ensure_built(input_shape)
            input_shape = (input_shape[0], output_size(cell))

    def call(self, inputs: Tensor, states: Sequence[Any]) -> Any:
        """Return the output and the new states of one step."""
        if len(states) != len(self.cells):
            raise InvalidArgumentError(
                f"StackedRNNCells {self.name!r} has {len(self.cells)} cells; received the states of {len(states)}"
            )
        new = []
        for cell, given in zip(self.cells, states, strict=True):
            inputs, state = cell.trace(inputs, given)
            new.append(state)
        return inputs, new

    def get_initial_state(self, batch_size: Dim | None = None) -> list[Any]:
        """Return the states of each cell before the first step."""
        return [initial_states(cell, 1 if batch_size is None else batch_size) for cell in self.cells]

    def get_config(self) -> dict[str, Any]:
        """Return the cells, and what every layer has."""
        return self.shared_config() | {"cells": [to_config(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Return a new layer from what `get_config` gave; the cells may be config dicts or layers."""
        return cls(**{**config, "cells": [layer_from_config(cell) for cell in config["cells"]]})


def long_short_term_memory(cell: Any, gates: Tensor, size: int, memory: Tensor) -> tuple[Any, list[Any]]:
    """Return the output and the states of an LSTM from gates in the order input, output, forget, cell."""
    switches, candidate = K.split(gates, [3 * size], cell.feature_axis)
    i, o, f = cell.activate_gates(switches, 3, cell.recurrent_activation)
    memory = f * memory + i * cell.activate(candidate)
    h = o * cell.activate(memory)
    return h, [h, memory]


# Any layer with `state_size` and `call(inputs, states)` is a cell


def require_cell(owner: str, cell: object) -> Layer:
    """Return the cell, or a stack of the cells of a list.

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


def copied_cell(cell: Layer) -> Layer:
    """Return a cell of the same configuration, without the weights."""
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
    """Return a size for each state of a cell: an integer, a list of them, or lists of lists for stacks."""
    return cell.state_size


def output_size(cell: Any) -> int:
    """Return the number of features of a cell's output: by default that of its first state."""
    given = getattr(cell, "output_size", None)
    return int(flatten(state_size(cell))[0] if given is None else given)


def state_count(cell: Any) -> int:
    """Return the number of states of a cell."""
    return cell.state_count if isinstance(cell, Cell) else len(flatten(state_size(cell)))


def initial_states(cell: Any, batch: Dim) -> list[Any]:
    """Return the states before the first step, as the cell gives them; by default zeros."""
    make = getattr(cell, "get_initial_state", None)
    if make is not None:
        made = make(batch_size=batch)
        return list(made) if isinstance(made, list | tuple) else [made]
    return [K.zeros((batch, size), cell.compute_type.keras_name) for size in flatten(state_size(cell))]


def leaf_cells(cell: Layer) -> list[tuple[Any, ...]]:
    """Return the cells that compute, in order, each after the stacks that it is in."""
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
    """Let new nodes belong to the innermost of these layers, while open."""
    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(tracer.layer(layer.name, type(layer).__name__))
        yield


def start_steps(cell: Any, x: Tensor, training: TrainingMode) -> tuple[list[Tensor], Step]:
    """See `Cell.start`; a cell of another kind is called at every step."""
    if isinstance(cell, Cell):
        return cell.start(cell.promote(x), training)

    def step(parts: Sequence[Any], states: Sequence[Any]) -> tuple[Any, list[Any]]:
        output, new = cell.trace(parts[0], list(states))
        return output, flatten(new)

    return [x], step


def why_not_operator(cell: Any, training: TrainingMode) -> str | None:
    """Return why a cell cannot be an ONNX operator; None if it can."""
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
    """Return the number of steps; `instead` says what would need no unrolling.

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
