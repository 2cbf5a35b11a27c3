"""The base of cells: what a recurrent layer does at one step.

A cell can do that in two ways, and the layer chooses:

    make_op     one ONNX operator over the whole sequence
    start       what the steps need of their inputs, for all of them at once, and the program of one step in plain
                operators; for what ONNX's operators cannot compute, and for a cell that is called by itself
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from kir import activations
from kir import backend as K
from kir.errors import InvalidArgumentError, LimitError, ShapeError
from kir.ir.dims import Dim
from kir.ir.op import Array, Op
from kir.ir.trace import Tensor, emit
from kir.ir.types import DTypeLike, Shape, format_shape
from kir.layers.training_mode import TrainingMode, as_switch, is_off
from kir.modeling.declared import ActivationFunction, Constraint, DeclaredLayer, Initializer, Regularizer
from kir.modeling.user_functions import call_function
from kir.modeling.weight import Weight, stand_in
from kir.ops import recurrent
from kir.ops.elementwise import Mul
from kir.ops.linear import Dense
from kir.ops.random import Dropout
from kir.ops.shape import Gather, Reshape
from kir.support.declarations import Boolean, Integer, Number, OptionalInteger
from kir.support.limits import MAX_COUNT

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

# Activations whose elements depend on one element each: several gates can be computed together.
ELEMENTWISE_ACTIVATIONS = frozenset(activations.NAMED.values()) - {
    activations.softmax,
    activations.log_softmax,
    activations.sparsemax,
    activations.glu,
}

# From what one step needs of its input, and the states before it, to its output and the states after it.
Step = Callable[[Sequence[Any], Sequence[Any]], tuple[Any, list[Any]]]
# From a state to its product with weights.
Product = Callable[[Any], Any]


class Cell(DeclaredLayer):
    """The base of the cells of Keras: weights, and gates that depend on the input and the state."""

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
    def start(self, x: Tensor, training: TrainingMode) -> tuple[list[Tensor], Step]:
        """Return what the steps need of their inputs, computed for all of them at once, and the program of one step.

        x is (batch, features), or (batch, time, features); what is needed has the same leading axes.
        """

    @abstractmethod
    def zero_states(self) -> list[Array]:
        """Return the states before the first step, of a batch of 1 that broadcasts."""

    @property
    def input_axes(self) -> tuple[str, ...]:
        """The names of the axes of an input of one step."""
        return ("batch", "features")

    # Calling

    def call(self, inputs: Tensor, states: Tensor | Sequence[Tensor], training: TrainingMode = None) -> Any:
        """Return the output and the new states of one step."""
        is_list = isinstance(states, list | tuple)
        given = list(states) if is_list else [states]
        if len(given) != self.state_count:
            raise InvalidArgumentError(f"{self.name_in_messages} has {self.state_count} states; received {len(given)}")
        parts, step = self.start(self.promote(inputs), training)
        output, new = step(parts, given)
        return output, new if is_list else new[0]

    def activate(self, x: Tensor) -> Any:
        """Return the activation of x."""
        return self.apply("activation", self.activation, x)

    def activate_gates(self, gates: Tensor, count: int, function: Callable[..., Any]) -> list[Any]:
        """Split `gates` into `count` parts, and apply a function to each; at once if it works on single elements."""
        if function in ELEMENTWISE_ACTIVATIONS:
            return K.split(self.apply("recurrent_activation", function, gates), count, self.feature_axis)
        parts = K.split(gates, count, self.feature_axis)
        return [self.apply("recurrent_activation", function, part) for part in parts]

    def apply(self, role: str, function: Callable[..., Any], x: Tensor) -> Any:
        """Return the function of x; `role` names it in messages."""
        return call_function(role, function, x)

    # Dropout in training

    def drops_state(self, training: TrainingMode) -> bool:
        """Return whether parts of the state are dropped. Keras drops nothing at a rate of 1."""
        return not is_off(training) and 0 < self.recurrent_dropout < 1

    def drop_inputs(self, x: Tensor, training: TrainingMode, time_axis: int | None) -> Tensor:
        """Return x, of which features are dropped in training, the same ones at every step."""
        if is_off(training) or not 0 < self.dropout < 1:
            return x
        shape = tuple(1 if axis == time_axis else size for axis, size in enumerate(x.shape))
        return emit(Dropout(self.dropout, shape, self.seed), x, as_switch(training))

    def state_noise(self, shape: tuple[Dim, ...], training: TrainingMode) -> Any:
        """Return what the state is multiplied with to drop parts of it: 0, or more than 1 for the parts that stay."""
        ones = K.ones(shape, self.compute_type.keras_name)
        # Not the seed of the inputs: the same parts of both would be dropped.
        seed = None if self.seed is None else self.seed + 1
        return emit(Dropout(self.recurrent_dropout, shape, seed), ones, as_switch(training))

    def read_gates(self, weight: Weight, like: Tensor) -> Tensor:
        """Return a weight whose last axis holds the gates, with these in the order of `gate_order`."""
        read = self.read(weight, like)
        count = len(self.gate_order)
        if self.gate_order == tuple(range(count)):
            return read
        if weight.shape[-1] > MAX_COUNT:
            raise LimitError(
                f"gates of {weight.shape[-1]} units are out of all proportion; at most {MAX_COUNT} are read"
            )
        columns = np.arange(weight.shape[-1]).reshape(count, -1)[list(self.gate_order)].ravel()
        return emit(Gather(len(weight.shape) - 1), read, columns)

    def read_bias(self, like: Tensor) -> Tensor | None:
        """Return the bias, as `read_gates` gives it, if there is one."""
        return None if self.bias is None else self.read_gates(self.bias, like)

    def open_forget_gate(self, size: int) -> Callable[..., Array]:
        """Return what draws the bias of an LSTM with `unit_forget_bias`: 1 for the forget gate, of this size."""
        draw = self.bias_initializer

        def draw_with_open_forget_gate(shape: Sequence[int], dtype: DTypeLike | None = None) -> Array:
            return np.concatenate([draw((size,), dtype=dtype), np.ones(size), draw((2 * size,), dtype=dtype)])

        return draw_with_open_forget_gate

    # Weights

    def add_gate_weights(self, kernel: tuple[Any, ...], state: tuple[Any, ...], bias: tuple[int, ...]) -> None:
        """Make kernel, recurrent_kernel and the bias, of these shapes."""
        self.kernel = self.weight_of_role("kernel", kernel)
        self.recurrent_kernel = self.weight_of_role("recurrent_kernel", state, "recurrent")
        self.bias = (
            self.new_weight("bias", bias, self.make_bias_initializer(), self.bias_regularizer, self.bias_constraint)
            if self.use_bias
            else None
        )

    def make_bias_initializer(self) -> Any:
        """Return what draws the bias."""
        return self.bias_initializer


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
        """Return the operator; `functions` are those of `operator_activations`, for each direction."""

    def functions(self) -> tuple[Callable[..., Any], ...]:
        """Return Keras's activations of one direction, in the operator's order."""
        return (self.activation,)

    def operator_activations(self) -> tuple[recurrent.Activation, ...] | None:
        """Return the activations of one direction as ONNX names them; None if an operator cannot compute one."""
        found = [RECURRENT_ACTIVATIONS.get(function) for function in self.functions()]
        known = tuple(activation for activation in found if activation is not None)
        return known if len(known) == len(found) else None

    def bias_shape(self) -> tuple[int, ...]:
        """Return the shape of Keras's bias."""
        return (len(self.gate_order) * self.units,)

    def get_initial_state(self, batch_size: Dim | None = None) -> list[Any]:
        """Return the states before the first step: zeros."""
        shape = (1 if batch_size is None else batch_size, self.units)
        return [K.zeros(shape, self.compute_type.keras_name) for _ in range(self.state_count)]

    def zero_states(self) -> list[Array]:
        """Return the states before the first step, of a batch of 1 that broadcasts."""
        return [np.zeros((1, self.units), self.compute_type.numpy)] * self.state_count

    # Weights

    def build(self, input_shape: Shape) -> None:
        """Make kernel (features, gates·units), recurrent_kernel (units, gates·units) and the bias."""
        if len(input_shape) != 2:
            raise ShapeError(
                f"{self.name_in_messages} needs an input of rank 2, (batch, features), at each step; "
                f"received {format_shape(input_shape)}"
            )
        columns = len(self.gate_order) * self.units
        self.add_gate_weights((input_shape[-1], columns), (self.units, columns), self.bias_shape())

    def pack_kernel(self) -> Array:
        """Return ONNX's W without its axis of directions: [gates·units, features]."""
        return self._reorder(self.kernel.array.T)

    def pack_recurrent_kernel(self) -> Array:
        """Return ONNX's R without its axis of directions: [gates·units, units]."""
        return self._reorder(self.recurrent_kernel.array.T)

    def pack_bias(self) -> Array:
        """Return ONNX's B without its axis of directions, [2·gates·units]: the inputs' biases, then the state's."""
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
        self, x: Tensor, direction: str, lens: Tensor | None, initial: Sequence[Tensor], training: TrainingMode
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the outputs [time, batch, units] and the final states (batch, units) for x [time, batch, features].

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

    def project(self, x: Tensor, bias: Tensor | None, training: TrainingMode) -> Tensor:
        """Return x · kernel + bias, with inputs dropped in training."""
        x = self.drop_inputs(x, training, 1 if len(x.shape) > 2 else None)
        return emit(Dense(), x, self.read_gates(self.kernel, x), bias)

    def multiply_state(
        self, x: Tensor, training: TrainingMode, gates: slice = slice(None), bias: Tensor | None = None
    ) -> Product:
        """Return the product of a state (batch, units) with the recurrent kernel of these gates, plus a bias."""
        first, last, _ = gates.indices(len(self.gate_order))
        kernel = self.read_gates(self.recurrent_kernel, x)
        if (first, last) != (0, len(self.gate_order)):
            kernel = kernel[:, first * self.units : last * self.units]
        if not self.drops_state(training):
            return lambda h: emit(Dense(), h, kernel, bias)
        count, units = last - first, self.units
        noise = self.state_noise((x.shape[0], count, units), training)
        kernels = K.reshape(kernel, (units, count, units))

        def multiply(h: Tensor) -> Any:
            dropped = emit(Mul(), K.expand_dims(h, 1), noise)
            product = K.reshape(K.einsum("bgi,igj->bgj", dropped, kernels), (x.shape[0], count * units))
            return product if bias is None else product + bias

        return multiply


class PackedWeights:
    """The weights of one or two directions in ONNX's layout.

    Packed anew only when a weight was set anew: a trace makes one constant of one array, however often a layer is
    called.
    """

    def __init__(self) -> None:
        self._sources: list[Array] = []
        self._arrays: list[Array] = []

    def read(self, cells: Sequence[DenseCell], like: Tensor) -> list[Tensor]:
        """Return the kernels [D, gates·units, features] and [D, gates·units, units] and the bias [D, 2·gates·units]."""
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
