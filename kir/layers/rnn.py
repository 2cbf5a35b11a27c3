"""Keras's recurrent layers: SimpleRNN, LSTM and GRU. Each becomes one operator that runs over the whole sequence.

Masks are arbitrary: a masked step keeps the state, and its output repeats the one before. No loop is needed for that,
since a masked step changes nothing: `Steps` gathers the valid steps to the front, the operator runs over that many
(`sequence_lens`), and a sequence of outputs is gathered back.

Source: https://keras.io/api/layers/recurrent_layers/
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from kir import activations, constraints, initializers, regularizers
from kir import backend as K
from kir.arguments import boolean, choice, integer, number, optional_integer
from kir.dims import Dim
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.layers.base import Layer, stand_in
from kir.op import Array, Op
from kir.ops import recurrent
from kir.ops.elementwise import Cast, Mul, Sub, Where
from kir.ops.random import Dropout
from kir.ops.reduce import ReduceSum
from kir.ops.shape import Concat, CumSum, Gather, GatherND, Reshape, Slice, TopK, Transpose
from kir.trace import Tensor, emit
from kir.types import DType, format_shape

# Keras's activations that an ONNX recurrent operator computes itself, with Keras's parameters.
RECURRENT_ACTIVATIONS: dict[Any, recurrent.Activation] = {
    activations.tanh: ("Tanh", 0.0, 0.0),
    activations.sigmoid: ("Sigmoid", 0.0, 0.0),
    activations.relu: ("Relu", 0.0, 0.0),
    activations.linear: ("Affine", 1.0, 0.0),
    activations.hard_sigmoid: ("HardSigmoid", 1 / 6, 0.5),
    activations.elu: ("Elu", 1.0, 0.0),
    activations.leaky_relu: ("LeakyRelu", 0.2, 0.0),
    activations.softplus: ("Softplus", 0.0, 0.0),
    activations.softsign: ("Softsign", 0.0, 0.0),
}

BATCH_AND_TIME = Transpose((1, 0, 2))


class Recurrent(Layer):
    """What the three layers have in common: (batch, time, features) → (batch, units), or (batch, time, units).

    Args:
        units: the size of the state.
        activation: of the new state; tanh by default.
        use_bias: whether there are biases.
        kernel_initializer: of the weights that multiply the inputs.
        recurrent_initializer: of the weights that multiply the state.
        bias_initializer: of the biases.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: count in `model.losses`.
        kernel_constraint, recurrent_constraint, bias_constraint: kept for the config; export ignores them.
        dropout: the rate at which input features are dropped in training, the same ones at every step.
        recurrent_dropout: the rate for the state; the identity at inference, and not possible in a training export.
        seed: of the dropout.
        return_sequences: gives the outputs of all steps, otherwise that of the last.
        return_state: gives (outputs, *states), each state of shape (batch, units).
        go_backwards: reads the sequence from its end; a sequence of outputs is in the order of reading.
        stateful: refused when the layer is called; states cannot be kept in a file.
        unroll: how Keras runs the layer; see `zero_output_for_mask`.
        zero_output_for_mask: the output of a masked step is 0. An unrolled layer does not heed it, as in Keras.
        implementation: how Keras runs the layer; ignored.

    Raises:
        UnsupportedError: at a call, for what one ONNX operator cannot compute.
    """

    supports_masking = True
    saved_group = "cell"
    ignored_config = frozenset({"time_major"})

    # Where ONNX's first, second, ... gate stands among Keras's.
    gate_order: ClassVar[tuple[int, ...]]
    state_count: ClassVar[int] = 1
    # Constructor arguments that Keras does not save.
    unsaved: ClassVar[frozenset[str]] = frozenset({"implementation", "use_cudnn"})

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        zero_output_for_mask: bool = False,
        implementation: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        owner = f"{type(self).__name__} {self.name!r}"
        self.units = integer(owner, "units", units, 1)
        self.activation = activations.get(activation)
        self.use_bias = boolean(owner, "use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = number(owner, "dropout", dropout, 0, 1)
        self.recurrent_dropout = number(owner, "recurrent_dropout", recurrent_dropout, 0, 1)
        self.seed = optional_integer(owner, "seed", seed)
        self.return_sequences = boolean(owner, "return_sequences", return_sequences)
        self.return_state = boolean(owner, "return_state", return_state)
        self.go_backwards = boolean(owner, "go_backwards", go_backwards)
        self.stateful = boolean(owner, "stateful", stateful)
        self.unroll = boolean(owner, "unroll", unroll)
        self.zero_output_for_mask = boolean(owner, "zero_output_for_mask", zero_output_for_mask)
        self.implementation = choice(owner, "implementation", implementation, (0, 1, 2))
        self.packed = PackedWeights()

    # What the three layers define

    @abstractmethod
    def make_op(self, direction: str, functions: tuple[recurrent.Activation, ...]) -> Op:
        """The operator; `functions` are those of `cell_activations`, for each direction."""

    def cell_activations(self) -> tuple[recurrent.Activation, ...]:
        """The activations of one direction, in the operator's order.

        Raises:
            UnsupportedError: ONNX has no such activation inside a recurrent operator.
        """
        return (self.find_activation("activation", self.activation),)

    def bias_shape(self) -> tuple[int, ...]:
        """The shape of Keras's bias."""
        return (len(self.gate_order) * self.units,)

    def make_bias_initializer(self) -> Any:
        """What draws the bias."""
        return self.bias_initializer

    # Weights

    def build(self, input_shape: Any) -> None:
        """kernel (features, gates·units), recurrent_kernel (units, gates·units) and the bias."""
        if len(input_shape) != 3:
            raise ShapeError(
                f"{type(self).__name__} needs an input of rank 3, (batch, time, features); "
                f"received {format_shape(input_shape)}"
            )
        columns = len(self.gate_order) * self.units
        self.kernel = self.add_weight(
            "kernel",
            (input_shape[-1], columns),
            self.kernel_initializer,
            self.kernel_regularizer,
            self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            "recurrent_kernel",
            (self.units, columns),
            self.recurrent_initializer,
            self.recurrent_regularizer,
            self.recurrent_constraint,
        )
        self.bias = (
            self.add_weight(
                "bias", self.bias_shape(), self.make_bias_initializer(), self.bias_regularizer, self.bias_constraint
            )
            if self.use_bias
            else None
        )

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

    # Calling

    def call(self, x: Tensor, initial_state: Any = None, mask: Any = None, training: Any = None) -> Any:
        self.require_stateless()
        given = self.check_initial_state(initial_state, self.state_count)
        mask = self.check_mask(mask, x, given)
        x = self.drop_inputs(self.promote(x), training)
        # Sequences are turned around in front: the outputs then are in Keras's order, that of reading.
        turned = self.go_backwards and self.return_sequences
        if turned:
            x, mask = reverse_time(x), None if mask is None else reverse_time(mask)
        op = self.make_op("reverse" if self.go_backwards and not turned else "forward", self.cell_activations())
        steps = None if mask is None else Steps(mask)
        batch = x.shape[0]
        initial = [emit(Reshape((1, *state.shape)), state) for state in given]
        y, *finals = run(op, x, self.packed.read((self,), x), steps, initial)
        if self.return_sequences:
            output = self._spread_sequence(emit(Reshape((x.shape[1], batch, self.units)), y), steps, initial)
        else:
            output = self._zero_if_masked(emit(Reshape((batch, self.units)), finals[0]), mask, initial)
        if not self.return_state:
            return output
        return output, *[emit(Reshape((batch, self.units)), final) for final in finals]

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """The mask of a sequence of outputs is that of the inputs; a single output and the states have none."""
        output_mask = mask if self.return_sequences else None
        return [output_mask] + [None] * self.state_count if self.return_state else output_mask

    def drop_inputs(self, x: Tensor, training: Any) -> Tensor:
        """In training x with features dropped, the same ones at every step; x otherwise.

        Raises:
            UnsupportedError: the state would have to be dropped too.
        """
        if training is None or training is False:
            return x
        if 0 < self.recurrent_dropout < 1:
            raise UnsupportedError(
                f"recurrent_dropout={self.recurrent_dropout} drops parts of the state between steps, which one ONNX "
                f"operator cannot do in training; set recurrent_dropout=0 or export for inference"
            )
        # Keras drops nothing at a rate of 1.
        if not 0 < self.dropout < 1:
            return x
        switch = training if isinstance(training, Tensor) else np.asarray(bool(training))
        result: Tensor = emit(Dropout(self.dropout, (x.shape[0], 1, x.shape[2]), self.seed), x, switch)
        return result

    def require_stateless(self) -> None:
        """Refuses `stateful=True`.

        Raises:
            UnsupportedError: the layer is stateful.
        """
        if self.stateful:
            raise UnsupportedError(
                f"{type(self).__name__} {self.name!r} has stateful=True, but an exported model keeps nothing between "
                f"calls; set stateful=False, feed the state with initial_state and read it with return_state=True"
            )

    def check_initial_state(self, given: Any, count: int) -> list[Any]:
        """The initial states as a list of `count` tensors in the compute dtype, or an empty one.

        Raises:
            InvalidArgumentError: there are more or fewer.
        """
        states = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
        if states and len(states) != count:
            raise InvalidArgumentError(
                f"{type(self).__name__} {self.name!r} has {count} states; received initial_state with {len(states)}"
            )
        return [K.cast(state, self.compute_dtype.keras_name) for state in states]

    def check_mask(self, given: Any, x: Tensor, initial: Sequence[Any]) -> Any:
        """The mask to use, as booleans, or None.

        Keras hands a mask that x carries to a call only if x is the only tensor given: with an initial state it must be
        given as `mask`. The outputs carry it all the same.

        Raises:
            ShapeError: it is not of rank 2.

        Source: `Layer.__call__` in keras/src/layers/layer.py
        """
        if given is None or (initial and given is x.mask):
            return None
        if len(given.shape) != 2:
            raise ShapeError(
                f"{type(self).__name__} {self.name!r} needs a mask of shape (batch, time); "
                f"received {format_shape(given.shape)}"
            )
        return K.cast(given, "bool")

    def find_activation(self, argument: str, function: Any) -> recurrent.Activation:
        """ONNX's name and parameters for one of Keras's activations.

        Raises:
            UnsupportedError: it has none.
        """
        found = RECURRENT_ACTIVATIONS.get(function) if callable(function) else None
        if found is None:
            possible = ", ".join(sorted(known.__name__ for known in RECURRENT_ACTIVATIONS))
            raise UnsupportedError(
                f"{argument}={getattr(function, '__name__', function)!r} of {type(self).__name__} {self.name!r} is not "
                f"among the activations of ONNX's recurrent operators; use one of {possible}"
            )
        return found

    def _spread_sequence(self, y: Tensor, steps: Steps | None, initial: Sequence[Tensor]) -> Tensor:
        """The outputs [time, batch, units] of the valid steps as (batch, time, units) of all steps."""
        if steps is None:
            result: Tensor = emit(BATCH_AND_TIME, y)
            return result
        if self.zero_output_for_mask and not self.unroll:
            return steps.spread(y, zero_masked=True)
        # Before the first valid step Keras's output is the initial state, or 0 in an unrolled layer.
        return steps.spread(y, before=initial[0] if initial and not self.unroll else None)

    def _zero_if_masked(self, output: Tensor, mask: Any, initial: Sequence[Tensor]) -> Tensor:
        """The last output, 0 where Keras's is.

        That is where the step that is read last is masked, with `zero_output_for_mask`; in an unrolled layer where no
        step is valid, whatever the initial state.
        """
        if mask is None or not (initial if self.unroll else self.zero_output_for_mask):
            return output
        last: Dim = 0 if self.go_backwards else mask.shape[1] - 1
        valid = K.any(mask, 1, True) if self.unroll else emit(Slice((1,), (last,), (last + 1,), (1,)), mask)
        result: Tensor = emit(Where(), valid, output, K.zeros((), output.dtype))
        return result

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments that Keras saves."""
        config = {name: value for name, value in super().get_config().items() if name not in self.unsaved}
        config.setdefault("activity_regularizer", None)
        return config


class PackedWeights:
    """The weights of one or two directions in ONNX's layout.

    Packed anew only when a weight was set anew: a trace makes one constant of one array, however often a layer is
    called.
    """

    def __init__(self) -> None:
        self._sources: list[Array] = []
        self._arrays: list[Array] = []

    def read(self, layers: Sequence[Recurrent], like: Tensor) -> list[Tensor]:
        """kernel [D, gates·units, features], recurrent_kernel [D, gates·units, units] and bias [D, 2·gates·units]."""
        names = ("kernel", "recurrent_kernel", "bias")
        dtype = layers[0].compute_dtype
        if like.tracer.graph is None:
            return [
                like.tracer.weight(name, array, dtype)
                for name, array in zip(names, self._stand_ins(layers), strict=True)
            ]
        sources = [weight.array for layer in layers for weight in layer.own_weights]
        if not self._arrays or any(old is not new for old, new in zip(self._sources, sources, strict=True)):
            packers: list[Callable[[Recurrent], Array]] = [
                Recurrent.pack_kernel,
                Recurrent.pack_recurrent_kernel,
                Recurrent.pack_bias,
            ]
            self._sources = sources
            self._arrays = [np.stack([pack(layer) for layer in layers]) for pack in packers]
        return [like.tracer.weight(name, array, dtype) for name, array in zip(names, self._arrays, strict=True)]

    def _stand_ins(self, layers: Sequence[Recurrent]) -> list[Array]:
        features, rows = layers[0].kernel.shape
        shapes = (rows, features), (rows, layers[0].units), (2 * rows,)
        return [stand_in((len(layers), *shape), layers[0].compute_dtype) for shape in shapes]


class Steps:
    """The valid steps of masked sequences, and how to gather them to the front and back.

    | attribute | type                  | meaning                                                     |
    |-----------|-----------------------|-------------------------------------------------------------|
    | valid     | bool[batch, time, 1]  | the mask                                                    |
    | order     | i64[batch, time, 1]   | the valid steps in order, then the masked ones              |
    | lens      | i32[batch]            | how many are valid                                          |

    `kir.passes.cancel_step_gathers` knows these forms.
    """

    def __init__(self, mask: Tensor) -> None:
        self.valid: Tensor = emit(Reshape((*mask.shape, 1)), mask)
        counted = emit(Cast(DType.INT32), self.valid)
        # Of equal elements TopK puts the one of the lower index first, so that steps keep their order.
        self.order: Tensor = emit(TopK(mask.shape[1], 1), counted)[1]
        self.lens: Tensor = emit(ReduceSum((1, 2), False), counted)

    def gather(self, x: Tensor) -> Tensor:
        """x (batch, time, features) with the valid steps in front. What stands behind them has no meaning."""
        result: Tensor = emit(GatherND(1), x, self.order)
        return result

    def spread(self, y: Tensor, *, zero_masked: bool = False, before: Tensor | None = None) -> Tensor:
        """y [time, batch, units] of the valid steps as (batch, time, units) of all steps.

        A masked step gets 0 if `zero_masked`, otherwise the output of the valid step before it; if there is none, the
        row `before` [1, batch, units], or 0.
        """
        counted = emit(Cast(DType.INT64), self.valid)
        seen = emit(CumSum(1), counted)
        if before is not None:
            return self._pick(emit(Concat(0), before, y), seen)
        if zero_masked:
            seen = emit(Mul(), seen, counted)
        # Index -1 is the last row. It is asked for only where a step is masked, and then the last row lies behind the
        # valid steps, where the operator's result is 0.
        return self._pick(y, emit(Sub(), seen, np.asarray(1, np.int64)))

    def _pick(self, y: Tensor, index: Tensor) -> Tensor:
        result: Tensor = emit(GatherND(1), emit(BATCH_AND_TIME, y), index)
        return result


def run(op: Op, x: Tensor, weights: Sequence[Tensor], steps: Steps | None, initial: Sequence[Tensor]) -> Any:
    """y [time, directions, batch, units] and the final states, for x (batch, time, features).

    With `steps`, y holds the outputs of the valid steps, and 0 behind them.
    """
    gathered = x if steps is None else steps.gather(x)
    lens = None if steps is None else steps.lens
    return emit(op, emit(BATCH_AND_TIME, gathered), *weights, lens, *initial)


def reverse_time(x: Tensor) -> Tensor:
    """x with the order of axis 1 turned around."""
    result: Tensor = emit(Slice((1,), (x.shape[1] - 1,), (-1,), (-1,)), x)
    return result


def select_direction(x: Tensor, direction: int, axis: int = 0) -> Tensor:
    """One direction of a result of a bidirectional operator."""
    result: Tensor = emit(Gather(axis), x, np.asarray(direction, np.int64))
    return result


class SimpleRNN(Recurrent):
    """``h = activation(x · kernel + h · recurrent_kernel + bias)``; for the arguments see `Recurrent`.

    Source: https://keras.io/api/layers/recurrent_layers/simple_rnn/
    """

    gate_order = (0,)
    unsaved = frozenset({"implementation", "seed"})

    def make_op(self, direction: str, functions: tuple[recurrent.Activation, ...]) -> Op:
        return recurrent.RNN(self.units, direction, functions)


class GatedRecurrent(Recurrent):
    """What the layers with gates have in common. Behind `use_bias`, arguments go by name.

    Args:
        recurrent_activation: of the gates.
        use_cudnn: how Keras runs the layer; ignored.
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        use_cudnn: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation, use_bias, **kwargs)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.use_cudnn = choice(f"{type(self).__name__} {self.name!r}", "use_cudnn", use_cudnn, ("auto", True, False))

    def gate_activation(self) -> recurrent.Activation:
        """The activation of the gates; for the errors see `find_activation`."""
        return self.find_activation("recurrent_activation", self.recurrent_activation)


class LSTM(GatedRecurrent):
    """Long short-term memory; for the arguments see `GatedRecurrent` and `Recurrent`.

    Args:
        unit_forget_bias: 1 is the initial bias of the forget gate.

    Source: https://keras.io/api/layers/recurrent_layers/lstm/
    """

    gate_order = (0, 3, 1, 2)  # Keras: input, forget, cell, output; ONNX: input, output, forget, cell
    state_count = 2

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        unit_forget_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation, recurrent_activation, use_bias, **kwargs)
        self.unit_forget_bias = boolean(f"LSTM {self.name!r}", "unit_forget_bias", unit_forget_bias)

    def make_op(self, direction: str, functions: tuple[recurrent.Activation, ...]) -> Op:
        return recurrent.LSTM(self.units, direction, functions)

    def cell_activations(self) -> tuple[recurrent.Activation, ...]:
        """Of the gates, of the cell, of the output."""
        cell = self.find_activation("activation", self.activation)
        return self.gate_activation(), cell, cell

    def make_bias_initializer(self) -> Any:
        """What draws the bias: 1 for the forget gate with `unit_forget_bias`."""
        draw, units = self.bias_initializer, self.units
        if draw is None or not self.unit_forget_bias:
            return draw

        def draw_with_open_forget_gate(shape: Any, dtype: Any = None) -> Array:
            return np.concatenate([draw((units,), dtype=dtype), np.ones(units), draw((2 * units,), dtype=dtype)])

        return draw_with_open_forget_gate


class GRU(GatedRecurrent):
    """Gated recurrent unit; for the arguments see `GatedRecurrent` and `Recurrent`.

    Args:
        reset_after: whether the reset gate multiplies behind the product with the state; there are two biases then.

    Source: https://keras.io/api/layers/recurrent_layers/gru/
    """

    gate_order = (0, 1, 2)  # update, reset, hidden, in Keras and in ONNX

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        reset_after: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation, recurrent_activation, use_bias, **kwargs)
        self.reset_after = boolean(f"GRU {self.name!r}", "reset_after", reset_after)

    def make_op(self, direction: str, functions: tuple[recurrent.Activation, ...]) -> Op:
        return recurrent.GRU(self.units, direction, functions, self.reset_after)

    def cell_activations(self) -> tuple[recurrent.Activation, ...]:
        """Of the gates, of the hidden state."""
        return self.gate_activation(), self.find_activation("activation", self.activation)

    def bias_shape(self) -> tuple[int, ...]:
        """With `reset_after` one bias for the inputs and one for the state."""
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)
