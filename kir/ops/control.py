"""Operators that run graphs inside: If, Loop, Scan.

Their bodies are closed. What a body reads of the graph around is an ordinary input, so that every pass sees the use:
the last inputs of the operator, the *captured* ones, are the last inputs of each body. `types` are those of the
outputs; where a size is not the same in all cases it has a name of its own there, and inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np

from kir.errors import LimitError, ShapeError
from kir.ir.body import Body
from kir.ir.control import ControlOp
from kir.ir.op import Array, Types
from kir.ir.types import DType, TensorType

RunBody: TypeAlias = Callable[[Sequence[Array]], list[Array]]

MAX_STEPS = 1 << 17  # of a Loop that is run here: more take minutes

SCALAR_BOOL = TensorType(DType.BOOL, ())
SCALAR_INT = TensorType(DType.INT64, ())


@dataclass(frozen=True)
class If(ControlOp):
    """One of two graphs, as the `condition` of one element says. ONNX: If.

    All other inputs are captured; both branches take them, and read what they need.
    """

    then_branch: Body
    else_branch: Body

    def bodies(self) -> tuple[Body, ...]:
        return self.then_branch, self.else_branch

    def with_bodies(self, *bodies: Body) -> Self:
        then_branch, else_branch = bodies
        return replace(self, then_branch=then_branch, else_branch=else_branch)

    def infer(self, condition: TensorType, *captured: TensorType) -> Types:
        if condition.dtype is not DType.BOOL:
            raise ShapeError(f"If received the condition {condition}; expected a bool")
        for body in self.bodies():
            self.require_alike("inputs", captured, body.inputs)
            self.require_alike("outputs", body.outputs, self.types)
        return self.outputs()

    def run(self, bodies: Sequence[RunBody], *inputs: Array | None) -> Any:
        condition, *captured = map(_present, inputs)
        return tuple(bodies[0 if condition.item() else 1](captured))


@dataclass(frozen=True)
class Loop(ControlOp):
    """A graph that runs until `trips` are done or the condition fails. ONNX: Loop.

    The body takes the number of the step (i64[]), the condition, the carried values and the captured ones, and gives
    the next condition, the next carried values, and what is stacked along a new first axis. Absent `trips` are endless,
    an absent `condition` holds.
    """

    body: Body
    carried: int

    def bodies(self) -> tuple[Body, ...]:
        return (self.body,)

    def with_bodies(self, *bodies: Body) -> Self:
        (body,) = bodies
        return replace(self, body=body)

    def infer(self, trips: TensorType | None, condition: TensorType | None, *values: TensorType) -> Types:
        limits = (trips or SCALAR_INT, condition or SCALAR_BOOL)
        self.require_alike("trips and condition", limits, (SCALAR_INT, SCALAR_BOOL))
        self.require_alike("inputs", (SCALAR_INT, SCALAR_BOOL, *values), self.body.inputs)
        stacked = self.types[self.carried :]
        steps = (*self.types[: self.carried], *(type.with_shape(type.shape[1:]) for type in stacked))
        following, *results = self.body.outputs
        if following.dtype is not DType.BOOL:
            raise ShapeError(f"Loop goes on as {following} says; expected a bool")
        self.require_alike("outputs", results, steps)
        return self.outputs()

    def run(self, bodies: Sequence[RunBody], *inputs: Array | None) -> Any:
        trips, condition, *rest = inputs
        carried: Sequence[Array | None] = rest[: self.carried]
        captured = rest[self.carried :]
        goes_on = condition is None or bool(condition.item())
        stacks: list[list[Array]] = [[] for _ in self.types[self.carried :]]
        step = 0
        while goes_on and (trips is None or step < trips.item()):
            number, holds = np.array(step, np.int64), np.array(True)
            following, *results = bodies[0]([number, holds, *map(_present, (*carried, *captured))])
            carried, scanned = results[: self.carried], results[self.carried :]
            for stack, array in zip(stacks, scanned, strict=True):
                stack.append(array)
            goes_on = bool(following.item())
            step += 1
            if step > MAX_STEPS:
                raise LimitError(f"a Loop did not end within {MAX_STEPS} steps; give inputs for which it does")
        types = self.body.outputs[1 + self.carried :]
        stacked = [_stack(stack, type, 0, self.body) for stack, type in zip(stacks, types, strict=True)]
        return (*map(_present, carried), *stacked)


@dataclass(frozen=True)
class Scan(ControlOp):
    """A graph that runs once for each slice of its sequences. ONNX: Scan since opset 9.

    The inputs are `states` states, then the sequences, then the captured values; the body takes the same with a slice
    of each sequence, and gives the next states and a slice of each output. `axes` and `reversed` say along which axis
    a sequence is cut and whether backwards, `output_axes` and `output_reversed` how outputs are put together.
    """

    body: Body
    states: int
    axes: tuple[int, ...]
    reversed: tuple[bool, ...]
    output_axes: tuple[int, ...]
    output_reversed: tuple[bool, ...]

    def bodies(self) -> tuple[Body, ...]:
        return (self.body,)

    def with_bodies(self, *bodies: Body) -> Self:
        (body,) = bodies
        return replace(self, body=body)

    def infer(self, *values: TensorType) -> Types:
        states, sequences, captured = self._parts(values)
        slices = [_without_axis(type, axis) for type, axis in zip(sequences, self.axes, strict=True)]
        self.require_alike("inputs", (*states, *slices, *captured), self.body.inputs)
        outputs = zip(self.types[self.states :], self.output_axes, strict=True)
        steps = (*self.types[: self.states], *(_without_axis(type, axis) for type, axis in outputs))
        self.require_alike("outputs", self.body.outputs, steps)
        return self.outputs()

    def run(self, bodies: Sequence[RunBody], *inputs: Array | None) -> Any:
        states, sequences, captured = self._parts([_present(x) for x in inputs])
        moved = [
            np.moveaxis(array, axis, 0)[:: -1 if backwards else 1]
            for array, axis, backwards in zip(sequences, self.axes, self.reversed, strict=True)
        ]
        stacks: list[list[Array]] = [[] for _ in self.output_axes]
        for slices in zip(*moved, strict=True):
            results = bodies[0]([*states, *slices, *captured])
            states, scanned = results[: self.states], results[self.states :]
            for stack, array in zip(stacks, scanned, strict=True):
                stack.append(array)
        outputs = [
            _stack(stack[:: -1 if backwards else 1], type, axis, self.body)
            for stack, type, axis, backwards in zip(
                stacks, self.body.outputs[self.states :], self.output_axes, self.output_reversed, strict=True
            )
        ]
        return (*states, *outputs)

    def _parts(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Return the states, the sequences and the captured ones of the inputs."""
        end = self.states + len(self.axes)
        return list(values[: self.states]), list(values[self.states : end]), list(values[end:])


def _present(array: Array | None) -> Array:
    assert array is not None, "only the trips and the condition of a Loop may be absent"
    return array


def _without_axis(type: TensorType, axis: int) -> TensorType:
    return type.with_shape((*type.shape[:axis], *type.shape[axis + 1 :]))


def _stack(arrays: list[Array], type: TensorType, axis: int, body: Body) -> Array:
    """Return the results of all steps along a new axis; of no step, an array that is empty as the types say."""
    if arrays:
        return np.stack(arrays, axis)
    dtype = DType.FLOAT64 if body.wide and type.dtype.is_float else type.dtype
    sizes = [dim if isinstance(dim, int) else 0 for dim in type.shape]
    return np.empty((*sizes[:axis], 0, *sizes[axis:]), dtype.numpy)
