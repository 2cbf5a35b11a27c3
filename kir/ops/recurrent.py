"""Recurrent layers over whole sequences: RNN, GRU, LSTM, with the inputs, layouts and gate orders of ONNX.

| name             | type                              | meaning                                                      |
|------------------|-----------------------------------|--------------------------------------------------------------|
| x                | [time, batch, in]                 | the sequences                                                |
| kernel           | [D, gates*units, in]              | multiplies x; D is 2 for "bidirectional", otherwise 1        |
| recurrent_kernel | [D, gates*units, units]           | multiplies the state                                         |
| bias             | [D, 2*gates*units]                | added to the product with x, then to that with the state     |
| sequence_lens    | i32[batch], optional              | steps per sequence, 0 allowed; by default all                |
| initial_h        | [D, batch, units], optional       | the state before the first step; by default 0                |
| y (result)       | [time, D, batch, units]           | the state after each step; 0 past the sequence's end         |
| y_h (result)     | [D, batch, units]                 | the state after the last step; the initial one for 0 steps   |

Backwards, a sequence is read from its own last step to its first; `y` stays in the order of x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kir.errors import ShapeError
from kir.ir.op import Array, Op
from kir.ir.types import FLOATS, DType, TensorType, agree_dim
from kir.ops.elementwise import Elu, HardSigmoid, LeakyRelu, Relu, Sigmoid, Softplus, Softsign, Tanh, ThresholdedRelu
from kir.ops.precision import require_dtype, widen

DIRECTIONS = ("forward", "reverse", "bidirectional")

Activation = tuple[str, float, float]  # an ONNX name, alpha and beta; 0.0 for a parameter that it does not have
Function = Callable[[Array], Array]
# From the product of x with the kernel at one step, and the states, to the next states.
Step = Callable[[Array, Sequence[Array]], tuple[Array, ...]]

FUNCTIONS: dict[str, Callable[[float, float], Function]] = {
    "Tanh": lambda alpha, beta: Tanh().compute,
    "Sigmoid": lambda alpha, beta: Sigmoid().compute,
    "Relu": lambda alpha, beta: Relu().compute,
    "Softsign": lambda alpha, beta: Softsign().compute,
    "Softplus": lambda alpha, beta: Softplus().compute,
    "Elu": lambda alpha, beta: Elu(alpha).compute,
    "LeakyRelu": lambda alpha, beta: LeakyRelu(alpha).compute,
    "ThresholdedRelu": lambda alpha, beta: ThresholdedRelu(alpha).compute,
    "HardSigmoid": lambda alpha, beta: HardSigmoid(alpha, beta).compute,
    "Affine": lambda alpha, beta: lambda x: x * x.dtype.type(alpha) + x.dtype.type(beta),
    "ScaledTanh": lambda alpha, beta: lambda x: x.dtype.type(alpha) * np.tanh(x * x.dtype.type(beta)),
}

TANH: Activation = ("Tanh", 0.0, 0.0)
SIGMOID: Activation = ("Sigmoid", 0.0, 0.0)


@dataclass(frozen=True)
class _Recurrent(Op):
    """A recurrent layer. `activations` lists, for each direction, one per kind of gate."""

    units: int
    direction: str
    activations: tuple[Activation, ...]

    gates: ClassVar[int]
    functions: ClassVar[int]  # activations per direction
    states: ClassVar[int] = 1

    @property
    def direction_count(self) -> int:
        return 2 if self.direction == "bidirectional" else 1

    def infer_outputs(self, x: TensorType, weights: Sequence[TensorType], *optional: TensorType | None) -> Any:
        """Return the types of y and of each final state; `weights` are kernel, recurrent_kernel and bias.

        Raises:
            ShapeError: an attribute or an input does not fit; the message names it.
        """
        self._check_attributes()
        require_dtype(self, "x", x, FLOATS)
        if x.rank != 3:
            raise ShapeError(f"{self.name} received x {x}; expected the shape [time, batch, in]")
        count, rows = self.direction_count, self.gates * self.units
        time, batch, features = x.shape
        state = x.with_shape((count, batch, self.units))
        expected = [
            x.with_shape((count, rows, features)),
            x.with_shape((count, rows, self.units)),
            x.with_shape((count, 2 * rows)),
            TensorType(DType.INT32, (batch,)),
            *[state] * self.states,
        ]
        for name, given, wanted in zip(WEIGHTS + OPTIONAL, (*weights, *optional), expected, strict=False):
            if given is not None:
                self._require_type(name, given, wanted)
        return x.with_shape((time, count, batch, self.units)), *[state] * self.states

    def eval(
        self,
        x: Array,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array,
        sequence_lens: Array | None = None,
        *initial: Array | None,
    ) -> tuple[Array, ...]:
        # Floats of 16 bits are computed in float32 and rounded at the end.
        wide = widen(x)
        time, batch, _ = x.shape
        weights = [widen(weight) for weight in (kernel, recurrent_kernel, bias)]
        lengths = np.full(batch, time) if sequence_lens is None else _check_lengths(self, sequence_lens, time)
        zeros = np.zeros((self.direction_count, batch, self.units), wide.dtype)
        states = [zeros if state is None else widen(state) for state in initial]
        states += [zeros] * (self.states - len(states))
        with np.errstate(all="ignore"):
            results = [
                self._run_direction(
                    direction,
                    wide,
                    [weight[direction] for weight in weights],
                    lengths,
                    [state[direction] for state in states],
                )
                for direction in range(self.direction_count)
            ]
        y = np.stack([y for y, _ in results], axis=1)
        finals = [np.stack(final) for final in zip(*(final for _, final in results), strict=True)]
        return tuple(array.astype(x.dtype, copy=False) for array in (y, *finals))

    def make_step(self, functions: Sequence[Function], recurrent: Array, bias: Array) -> Step:
        """Return the function of one step on arrays [features, batch]; `bias` [gates*units, 1] is the second half."""
        raise TypeError(f"{self.name} must define make_step")

    def added_bias(self, bias: Array) -> Array:
        """Return the part of that bias that is only added, and so can be added for all steps at once."""
        return bias

    def _run_direction(
        self, direction: int, x: Array, weights: Sequence[Array], lengths: Array, initial: Sequence[Array]
    ) -> tuple[Array, list[Array]]:
        kernel, recurrent, bias = weights[0], weights[1], weights[2][:, None]
        backwards = self.direction == "reverse" or direction == 1
        time, batch, _ = x.shape
        # The longest sequence comes first, so that the sequences with a step t are the first few. Features come before
        # sequences, so that each kind of gate is one block of memory.
        longest_first = np.argsort(-lengths, kind="stable")
        source = _reading_order(time, lengths[longest_first], backwards)
        counts = np.count_nonzero(np.arange(time)[:, None] < lengths, axis=1).tolist()
        # One product with x for all steps; only the product with the state must wait for the step before.
        gates = np.matmul(kernel, x[source, longest_first].transpose(0, 2, 1))
        gates += bias[: len(kernel)] + self.added_bias(bias[len(kernel) :])
        chosen = self.activations[direction * self.functions : (direction + 1) * self.functions]
        functions = [FUNCTIONS[name](alpha, beta) for name, alpha, beta in chosen]
        step = self.make_step(functions, recurrent, bias[len(kernel) :])
        finals = [state[longest_first].T for state in initial]
        outputs = np.zeros((time, self.units, batch), x.dtype)
        running: Sequence[Array] = finals
        for t, count in enumerate(counts[: lengths.max(initial=0)]):
            if count < running[0].shape[1]:
                _keep(running, finals)
                running = [state[:, :count] for state in running]
            running = step(gates[t, :, :count], running)
            outputs[t, :, :count] = running[0]
        _keep(running, finals)
        y = np.empty((time, batch, self.units), x.dtype)
        y[source, longest_first] = outputs.transpose(0, 2, 1)
        return y, [_scattered(state.T, longest_first) for state in finals]

    def _check_attributes(self) -> None:
        if self.units < 1:
            raise ShapeError(f"{self.name} received units={self.units}; expected 1 or more")
        if self.direction not in DIRECTIONS:
            known = ", ".join(DIRECTIONS)
            raise ShapeError(f"{self.name} received direction={self.direction!r}; expected one of {known}")
        expected = self.functions * self.direction_count
        if len(self.activations) != expected:
            raise ShapeError(f"{self} has {len(self.activations)} activations; expected {expected}")
        for name, _, _ in self.activations:
            if name not in FUNCTIONS:
                raise ShapeError(f"{self} has the activation {name!r}; expected one of {', '.join(FUNCTIONS)}")

    def _require_type(self, name: str, given: TensorType, wanted: TensorType) -> None:
        if given.dtype != wanted.dtype or given.rank != wanted.rank:
            raise ShapeError(f"{self.name} received {name} {given}; expected {wanted}")
        for axis, (size, expected) in enumerate(zip(given.shape, wanted.shape, strict=True)):
            agree_dim(size, expected, f"{self.name} received {name} {given} where {wanted} is expected, axis {axis}")


WEIGHTS = ("kernel", "recurrent_kernel", "bias")
OPTIONAL = ("sequence_lens", "initial_h", "initial_c")


class _OneState(_Recurrent):
    """An operator whose only state is its output."""

    def infer(
        self,
        x: TensorType,
        kernel: TensorType,
        recurrent_kernel: TensorType,
        bias: TensorType,
        sequence_lens: TensorType | None = None,
        initial_h: TensorType | None = None,
    ) -> tuple[TensorType, TensorType]:
        y, y_h = self.infer_outputs(x, (kernel, recurrent_kernel, bias), sequence_lens, initial_h)
        return y, y_h


@dataclass(frozen=True)
class RNN(_OneState):
    """``h = f(x W + h R + b)``, with activations (f,) per direction. ONNX: RNN since opset 14."""

    gates = 1
    functions = 1

    def make_step(self, functions: Sequence[Function], recurrent: Array, bias: Array) -> Step:
        (f,) = functions
        return lambda gates, state: (f(np.dot(recurrent, state[0]) + gates),)


@dataclass(frozen=True)
class GRU(_OneState):
    """Gates in the order update, reset, hidden; activations (f, g) per direction. ONNX: GRU since opset 14.

        z, r = f(x W + h R + b)
        n = g(x W + (r h) R + b)        linear_before_reset false
        n = g(x W + r (h R + b))        linear_before_reset true; Keras: reset_after
        h = (1 - z) n + z h

    The state that r multiplies is that before the step.
    """

    linear_before_reset: bool

    gates = 3
    functions = 2

    def make_step(self, functions: Sequence[Function], recurrent: Array, bias: Array) -> Step:
        f, g = functions
        split = 2 * self.units

        def step(gates: Array, state: Sequence[Array]) -> tuple[Array, ...]:
            (h,) = state
            product = np.dot(recurrent if self.linear_before_reset else recurrent[:split], h)
            opened = f(product[:split] + gates[:split])
            z, r = opened[: self.units], opened[self.units :]
            if self.linear_before_reset:
                hidden = (product[split:] + bias[split:]) * r
            else:
                hidden = np.dot(recurrent[split:], r * h)
            hidden += gates[split:]
            n = g(hidden)
            return (n + z * (h - n),)

        return step

    def added_bias(self, bias: Array) -> Array:
        is_added = np.arange(len(bias)) < 2 * self.units
        return np.where(is_added[:, None], bias, 0) if self.linear_before_reset else bias


@dataclass(frozen=True)
class LSTM(_Recurrent):
    """Gates in the order input, output, forget, cell; activations (f, g, h) per direction. ONNX: LSTM since opset 14.

        i, o, f = f(x W + h R + b)
        c = f c + i g(x W + h R + b)
        h = o h(c)

    `initial_c` and the third result, y_c, are the cell's state, of the shape of `initial_h`.
    """

    gates = 4
    functions = 3
    states = 2

    def infer(
        self,
        x: TensorType,
        kernel: TensorType,
        recurrent_kernel: TensorType,
        bias: TensorType,
        sequence_lens: TensorType | None = None,
        initial_h: TensorType | None = None,
        initial_c: TensorType | None = None,
    ) -> tuple[TensorType, TensorType, TensorType]:
        weights = (kernel, recurrent_kernel, bias)
        y, y_h, y_c = self.infer_outputs(x, weights, sequence_lens, initial_h, initial_c)
        return y, y_h, y_c

    def make_step(self, functions: Sequence[Function], recurrent: Array, bias: Array) -> Step:
        f, g, h = functions
        units = self.units

        def step(gates: Array, state: Sequence[Array]) -> tuple[Array, ...]:
            output, cell = state
            total = np.dot(recurrent, output)
            total += gates
            opened = f(total[: 3 * units])
            input_gate, output_gate, forget_gate = opened[:units], opened[units : 2 * units], opened[2 * units :]
            cell = forget_gate * cell + input_gate * g(total[3 * units :])
            return output_gate * h(cell), cell

        return step


def _keep(states: Sequence[Array], finals: Sequence[Array]) -> None:
    """Write the states of the running sequences, which are the first ones, into those of all sequences."""
    for state, final in zip(states, finals, strict=True):
        final[:, : state.shape[1]] = state


def _scattered(array: Array, places: Array) -> Array:
    """Return an array with row i of the given one at row ``places[i]``."""
    result = np.empty_like(array)
    result[places] = array
    return result


def _check_lengths(op: Op, lengths: Array, time: int) -> Array:
    wrong = lengths[(lengths < 0) | (lengths > time)]
    if wrong.size:
        raise ShapeError(f"{op.name} received the sequence length {wrong[0]}; expected 0 to {time}")
    return lengths


def _reading_order(time: int, lengths: Array, backwards: bool) -> Array:
    """Return the steps of x in reading order [time, batch]; backwards, sequences are reversed and padding stays."""
    steps = np.arange(time)[:, None]
    mirrored = np.where(steps < lengths, lengths - 1 - steps, steps)
    return mirrored if backwards else np.broadcast_to(steps, mirrored.shape)
