"""The interpreter: runs a graph with NumPy, in the model's own precision or in float64.

`compile(graph)` builds a plan once (slots instead of dictionaries, bound functions, the last use of every value);
`run` is the short form. The interpreter defines what a graph means: constant folding calls the same `eval`, and
verification takes the float64 run as the reference.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kir.dims import Sym, bind_dim
from kir.errors import KirError, ShapeError
from kir.graph import Graph, Node, Value
from kir.op import Array, Op
from kir.ops.structural import Constant, Input, Output
from kir.types import TensorType, as_dtype, format_shape

# Called with a node, its input and its output arrays, behind every node; what it returns flows on as its outputs.
Observer = Callable[[Node, tuple[Array | None, ...], tuple[Array, ...]], tuple[Array, ...]]


@dataclass(frozen=True, slots=True)
class Step:
    """One node of a plan: which slots it reads and writes, and which are free behind it.

    `introduces_sizes` says that a symbolic size appears in its outputs that no input and no earlier node has.
    """

    node: Node
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    freed: tuple[int, ...]
    function: Callable[..., Any]
    has_symbols: bool
    introduces_sizes: bool


class Plan:
    """A graph made ready to run. It keeps no arrays between runs but the graph's own constants."""

    def __init__(self, graph: Graph, wide: bool = False, keep: Sequence[Value] = ()) -> None:
        """Orders the graph and assigns slots. O(nodes + edges).

        Args:
            graph: what to run; it must not be edited while the plan is used.
            wide: compute in float64 whatever the model's float dtypes; integers and booleans stay.
            keep: values to return besides the outputs; see `Plan.run`.
        """
        self.inputs = {node.op.label: node.op for node in graph.inputs if isinstance(node.op, Input)}
        self.wide = wide
        order = graph.order()
        slots = {value: slot for slot, value in enumerate(v for node in order for v in node.outputs)}
        self._slot_count = len(slots)
        self._input_slots = {node.op.label: slots[node.output] for node in graph.inputs if isinstance(node.op, Input)}
        self._output_slots = {
            node.op.label: slots[node.output] for node in graph.outputs if isinstance(node.op, Output)
        }
        self._kept = {value: slots[value] for value in keep}
        pinned = set(self._output_slots.values()) | set(self._kept.values())
        # Constants lie ready, by reference. Wide ones are computed where they are read and freed behind it, so that
        # a float64 run of a model that is mapped from disk needs memory for one layer and not for all.
        self._constants = {
            slots[node.output]: node.op.value.array
            for node in order
            if isinstance(node.op, Constant) and not _is_widened(node, wide)
        }
        self._steps = _plan_steps(order, slots, pinned | set(self._constants), wide)

    def run(self, feeds: Mapping[str, Any], observe: Observer | None = None) -> dict[str, Array]:
        """The output arrays by name.

        Args:
            feeds: an array for every input without a default, by name.
            observe: called behind every node; what it returns flows on.

        Raises:
            ShapeError: a feed is missing, unknown, or of another dtype, rank or size than the input.
        """
        slots = self._run(feeds, observe)
        return {label: slots[slot] for label, slot in self._output_slots.items()}

    def run_kept(self, feeds: Mapping[str, Any], observe: Observer | None = None) -> dict[Value, Array]:
        """The arrays of the values given as `keep`."""
        slots = self._run(feeds, observe)
        return {value: slots[slot] for value, slot in self._kept.items()}

    def _run(self, feeds: Mapping[str, Any], observe: Observer | None) -> list[Array]:
        arrays = check_feeds(self.inputs, feeds)
        sizes = bind_sizes(self.inputs, arrays)
        slots: list[Any] = [None] * self._slot_count
        for slot, array in self._constants.items():
            slots[slot] = array
        for label, array in arrays.items():
            slots[self._input_slots[label]] = _widened(array) if self.wide else array
        for step in self._steps:
            function = self._bound(step.node.op, sizes).eval if step.has_symbols else step.function
            inputs = tuple([None if slot is None else slots[slot] for slot in step.inputs])
            try:
                result = function(*inputs)
            except ValueError as error:
                raise _explained(error, step.node, inputs) from error
            outputs = result if isinstance(result, tuple) else (result,)
            if observe is not None and not isinstance(step.node.op, Constant):
                outputs = observe(step.node, inputs, outputs)
            if step.introduces_sizes:
                _bind_outputs(step.node, outputs, sizes)
            for slot, array in zip(step.outputs, outputs, strict=True):
                slots[slot] = array
            for slot in step.freed:
                slots[slot] = None
        return slots

    def _bound(self, op: Op, sizes: Mapping[str, int]) -> Op:
        bound = op.bind(sizes)
        return bound.widen() if self.wide else bound


def run(graph: Graph, feeds: Mapping[str, Any], wide: bool = False) -> dict[str, Array]:
    """The output arrays of one run, by name; `wide` computes in float64. See `Plan.run` for the errors."""
    return Plan(graph, wide).run(feeds)


def run_all(graph: Graph, feeds: Mapping[str, Any], wide: bool = False) -> dict[Value, Array]:
    """Every intermediate value of one run. Holds all of them at once."""
    values = [value for node in graph.order() for value in node.outputs]
    return Plan(graph, wide, keep=values).run_kept(feeds)


def check_feeds(inputs: Mapping[str, Input], feeds: Mapping[str, Any]) -> dict[str, Array]:
    """The feeds as arrays, with defaults filled in, each checked against its input's dtype and rank.

    Raises:
        ShapeError: a feed is missing, unknown, or of another dtype or rank; the message lists the inputs.
    """
    listed = ", ".join(f"{label}: {op.type}" for label, op in inputs.items()) or "none"
    for label in feeds:
        if label not in inputs:
            raise ShapeError(f"there is no input {label!r}; the model's inputs are {listed}")
    arrays: dict[str, Array] = {}
    for label, op in inputs.items():
        if label in feeds:
            arrays[label] = _check_feed(label, op.type, np.asarray(feeds[label]))
        elif op.default is not None:
            arrays[label] = op.default.array
        else:
            raise ShapeError(f"input {label!r} is missing; the model's inputs are {listed}")
    return arrays


def bind_sizes(inputs: Mapping[str, Input], arrays: Mapping[str, Array]) -> dict[str, int]:
    """The value of every symbolic size, read from the arrays fed.

    Raises:
        ShapeError: an array's size contradicts its input's shape, or another array's.
    """
    sizes: dict[str, int] = {}
    for label, op in inputs.items():
        try:
            for dim, size in zip(op.type.shape, arrays[label].shape, strict=True):
                bind_dim(dim, size, sizes)
        except ShapeError as error:
            shape = format_shape(arrays[label].shape)
            raise ShapeError(f"input {label!r} of type {op.type} was fed shape {shape}: {error}") from None
    return sizes


def _check_feed(label: str, expected: TensorType, array: Array) -> Array:
    if array.dtype.kind in "US":
        array = array.astype(object)
    if as_dtype(array.dtype) is not expected.dtype:
        raise ShapeError(
            f"input {label!r} was fed {array.dtype}; expected {expected.dtype.keras_name}: convert it with "
            f".astype({expected.dtype.keras_name!r})"
        )
    if array.ndim != expected.rank:
        raise ShapeError(f"input {label!r} was fed shape {format_shape(array.shape)}; expected {expected}")
    return array


def _explained(error: ValueError, node: Node, inputs: tuple[Array | None, ...]) -> KirError:
    """An error of NumPy (or of ours) with the node and the shapes at which sizes turned out not to fit."""
    given = ", ".join("none" if array is None else format_shape(array.shape) for array in inputs)
    where = f"layer {node.origin}: " if node.origin else ""
    return ShapeError(f"{where}{node.op.name} cannot run on arrays of shapes {given}: {error}")


def _widened(array: Array) -> Array:
    return array.astype(np.float64) if as_dtype(array.dtype).is_float else array


def _plan_steps(order: list[Node], slots: dict[Value, int], pinned: set[int], wide: bool) -> list[Step]:
    """Steps in order; a slot is freed behind its last reader, or behind its writer when nobody reads it."""
    last_use: dict[int, int] = {}
    computed = [node for node in order if not isinstance(node.op, Input | Constant) or _is_widened(node, wide)]
    for position, node in enumerate(computed):
        for value in node.outputs:
            last_use[slots[value]] = position
        for read in node.inputs:
            if read is not None:
                last_use[slots[read]] = position
    freed: list[list[int]] = [[] for _ in computed]
    for slot, position in last_use.items():
        if slot not in pinned:
            freed[position].append(slot)
    known = {name for node in order if isinstance(node.op, Input) for name in _size_names(node)}
    steps: list[Step] = []
    for position, node in enumerate(computed):
        names = _size_names(node)
        steps.append(_step(node, slots, tuple(freed[position]), wide, not names <= known))
        known |= names
    return steps


def _step(node: Node, slots: dict[Value, int], freed: tuple[int, ...], wide: bool, introduces: bool) -> Step:
    return Step(
        node,
        tuple(None if value is None else slots[value] for value in node.inputs),
        tuple(slots[value] for value in node.outputs),
        freed,
        _function(node, wide),
        bool(node.op.symbols()),
        introduces,
    )


def _is_widened(node: Node, wide: bool) -> bool:
    return wide and isinstance(node.op, Constant) and node.output.type.dtype.is_float


def _function(node: Node, wide: bool) -> Callable[..., Any]:
    if isinstance(node.op, Constant):
        return functools.partial(_widened, node.op.value.array)
    return (node.op.widen() if wide else node.op).eval


def _size_names(node: Node) -> set[str]:
    """The symbolic sizes that stand alone in the types of a node's outputs, so that arrays show their values."""
    dims = (dim for value in node.outputs for dim in value.type.shape)
    return {dim.name for dim in dims if isinstance(dim, Sym) and dim.name is not None}


def _bind_outputs(node: Node, outputs: tuple[Array, ...], sizes: dict[str, int]) -> None:
    for value, array in zip(node.outputs, outputs, strict=True):
        for dim, size in zip(value.type.shape, array.shape, strict=True):
            bind_dim(dim, size, sizes)
