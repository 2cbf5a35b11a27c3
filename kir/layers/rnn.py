"""Keras's recurrent layers: RNN, which runs a cell over sequences, and SimpleRNN, LSTM and GRU, which make their own.

Source: https://keras.io/api/layers/recurrent_layers/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from kir.layers.cell import Cell
from kir.layers.recurrence import Recurrence
from kir.layers.rnn_cells import (
    GRUCell,
    LSTMCell,
    SimpleRNNCell,
    check_implementation,
    require_cell,
)
from kir.modeling.declared import ActivationFunction, Constraint, Initializer, Regularizer
from kir.modeling.layer import Layer, own_arguments
from kir.modeling.layer_classes import layer_from_config
from kir.modeling.weight import Weight
from kir.support.arguments import choice
from kir.support.declarations import Argument, Boolean, Integer, Number, OptionalInteger
from kir.support.naming import snake_case


def _require_cell(owner: str, name: str, given: object) -> Layer:
    return require_cell(owner, given)


class RNN(Recurrence):
    """A cell, or a list of cells on top of each other, run over sequences.

    Raises:
        InvalidArgumentError: it is no cell.

    Source: https://keras.io/api/layers/recurrent_layers/rnn/
    """

    cell: Argument[Any, Any] = Argument(
        _require_cell,
        doc="a SimpleRNNCell, LSTMCell, GRUCell or StackedRNNCells, a list of such cells, or any layer that has "
        "`state_size` and `call(inputs, states)`",
    )
    return_sequences: Boolean = Boolean(default=False)
    return_state: Boolean = Boolean(default=False)
    go_backwards: Boolean = Boolean(default=False)
    stateful: Boolean = Boolean(default=False)
    unroll: Boolean = Boolean(default=False)
    zero_output_for_mask: Boolean = Boolean(default=False)

    def owned_layers(self) -> dict[str, Layer]:
        """Return the cell."""
        return {"cell": self.cell}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Return a new layer from what `get_config` gave; the cell may be a config dict or a layer."""
        return super().from_config({**config, "cell": layer_from_config(config.get("cell"))})


class CellLayer(Recurrence):
    """A layer that makes its own cell, and has the cell's arguments, attributes and weights as if they were its own.

    `activity_regularizer` is that of the output.
    """

    saved_group = "cell"

    cell_class: ClassVar[type[Cell]]
    unsaved = frozenset({"implementation", "use_cudnn"})

    if TYPE_CHECKING:
        # It has no place among the arguments of these layers, which may be given it by name.
        zero_output_for_mask: Boolean = Boolean(default=False, kw_only=True)

    def finish_init(self) -> None:
        of_cell = {name: getattr(self, name) for name in own_arguments(self.cell_class)}
        self.cell = self.cell_class(name=snake_case(self.cell_class.__name__), dtype=self.dtype_policy, **of_cell)

    @property
    def own_weights(self) -> list[Weight]:
        """The weights of the cell."""
        weights: list[Weight] = self.cell.own_weights
        return weights

    def cells(self) -> list[tuple[Any, tuple[Layer, ...]]]:
        """Return the cell, whose nodes are the layer's own."""
        return [(self.cell, ())]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments that Keras saves."""
        config = super().get_config()
        config.setdefault("activity_regularizer", None)
        return config


class SimpleRNN(CellLayer):
    """The layer of a `SimpleRNNCell`; for its arguments see there.

    Source: https://keras.io/api/layers/recurrent_layers/simple_rnn/
    """

    cell_class = SimpleRNNCell
    ignored_config = frozenset({"time_major", "implementation"})
    unsaved = frozenset({"seed"})

    units: Integer = Integer(1)
    activation: ActivationFunction = ActivationFunction(default="tanh")
    use_bias: Boolean = Boolean(default=True)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    recurrent_initializer: Initializer = Initializer(default="orthogonal")
    bias_initializer: Initializer = Initializer(default="zeros")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    recurrent_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    activity_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    recurrent_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)
    dropout: Number = Number(0, 1, default=0.0)
    recurrent_dropout: Number = Number(0, 1, default=0.0)
    return_sequences: Boolean = Boolean(default=False)
    return_state: Boolean = Boolean(default=False)
    go_backwards: Boolean = Boolean(default=False)
    stateful: Boolean = Boolean(default=False)
    unroll: Boolean = Boolean(default=False)
    seed: OptionalInteger = OptionalInteger(default=None)


def _use_cudnn(owner: str, name: str, given: object) -> bool | str:
    choice(owner, name, given, ("auto", True, False))
    return given if isinstance(given, str) else bool(given)


class LSTM(CellLayer):
    """The layer of an `LSTMCell`; for its arguments see there.

    Source: https://keras.io/api/layers/recurrent_layers/lstm/
    """

    cell_class = LSTMCell

    units: Integer = Integer(1)
    activation: ActivationFunction = ActivationFunction(default="tanh")
    recurrent_activation: ActivationFunction = ActivationFunction(default="sigmoid")
    use_bias: Boolean = Boolean(default=True)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    recurrent_initializer: Initializer = Initializer(default="orthogonal")
    bias_initializer: Initializer = Initializer(default="zeros")
    unit_forget_bias: Boolean = Boolean(default=True)
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
    unroll: Boolean = Boolean(default=False)
    use_cudnn: Argument[bool | str, bool | str] = Argument(
        _use_cudnn, default="auto", doc="how Keras runs the layer; ignored"
    )
    implementation: Argument[int, int] = Argument(check_implementation, default=2)


class GRU(CellLayer):
    """The layer of a `GRUCell`; for its arguments see there.

    Source: https://keras.io/api/layers/recurrent_layers/gru/
    """

    cell_class = GRUCell

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
    unroll: Boolean = Boolean(default=False)
    reset_after: Boolean = Boolean(default=True)
    use_cudnn: Argument[bool | str, bool | str] = Argument(
        _use_cudnn, default="auto", doc="how Keras runs the layer; ignored"
    )
    implementation: Argument[int, int] = Argument(check_implementation, default=2)
