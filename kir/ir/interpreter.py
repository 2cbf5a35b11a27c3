"""The interpreter: runs a graph with NumPy, in the model's own precision or in float64.

A `Plan` is built once (slots instead of dictionaries, prepared functions, the last use of every value); `run` is the
short form. The interpreter defines what a graph means: constant folding calls the same `eval`, and verification takes
the float64 run as the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np

from kir.errors import KirError, ShapeError
from kir.ir.dims import Sym, bind_dim
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array, Op
from kir.ir.structural import Constant, Input, Output
from kir.ir.types import TensorType, as_dtype, format_shape

# Called with a node, its input and its output arrays, after every node; what it returns flows on as its outputs. Nodes
# of bodies are not shown to it, unless it is a `BodyObserver`.
Observer = Callable[[Node, tuple[Array | None, ...], tuple[Array, ...]], tuple[Array, ...]]


class BodyObserver:
    """An observer that looks into the bodies of operators as well."""

    def __call__(self, node: Node, inputs: tuple[Array | None, ...], outputs: tuple[Array, ...]) -> tuple[Array, ...]:
        raise NotImplementedError

    def inside(self) -> Observer:
        """Return what to call with the nodes of a body, which may run many times in one run."""
        raise NotImplementedError


ABSENT = None  # among the inputs of a node: an optional one that is not there

# A plan remembers the sizes and functions of this many different shapes of its inputs.
MAX_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class Step:
    """One node of a plan: which slots it reads and writes, and which are free after it.

    `function` computes it; None if that takes sizes, of which `bind` makes the function. `introduces_sizes` says that a
    symbolic size appears in its outputs that no input and no earlier node has.
    """

    node: Node
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    freed: tuple[int, ...]
    function: Callable[..., Any] | None
    bind: Callable[[Mapping[str, int]], Callable[..., Any]]
    introduces_sizes: bool


class Plan:
    """A graph made ready to run. It keeps no arrays between runs but the graph's own constants."""

    def __init__(
        self,
        graph: Graph,
        wide: bool = False,
        keep: Sequence[Value] = (),
    ) -> None:
        """Order the graph and assign slots. O(nodes + edges).

        Args:
            graph: what to run; it must not be edited while the plan is used.
            wide: compute in float64 whatever the model's float dtypes; integers and booleans stay.
            keep: values to return besides the outputs; see `Plan.run`.
        """
        self.inputs = {node.op.label: node.op for node in graph.inputs if isinstance(node.op, Input)}
        self.wide = wide
        order = graph.order()
        slots = _assign_slots(order)
        self._input_slots = {node.op.label: slots[node.output] for node in graph.inputs if isinstance(node.op, Input)}
        self._output_slots = {
            node.op.label: slots[node.output] for node in graph.outputs if isinstance(node.op, Output)
        }
        self._kept = {value: slots[value] for value in keep}
        pinned = set(self._output_slots.values()) | set(self._kept.values())
        # Constants lie ready, by reference. Wide ones are computed where they are read and freed after it, so that
        # a float64 run of a model that is mapped from disk needs memory for one layer and not for all.
        ready = {
            slots[node.output]: node.op.value.array
            for node in order
            if isinstance(node.op, Constant) and not _is_widened(node, wide)
        }
        defaults = {
            self._input_slots[label]: widened(op.default.array) if wide else op.default.array
            for label, op in self.inputs.items()
            if op.default is not None
        }
        filled = ready | defaults
        self._start = [filled.get(slot) for slot in range(slots[ABSENT] + 1)]  # what the slots hold before a run
        self._steps = _plan_steps(order, slots, pinned | set(ready), wide)
        self._sizes_of_feeds: dict[Hashable, dict[str, int]] = {}

    def reading(self, constants: Mapping[Node, Callable[[], Array]]) -> Plan:
        """Return a wide plan that reads other arrays in the place of float constants, given by node, in float64.

        The nodes may be in graphs inside operators. The two plans share what they remember of sizes.
        """
        assert self.wide
        # By array, since a graph inside is another one for other sizes.
        arrays = {id(node.op.value.array): read for node, read in constants.items() if isinstance(node.op, Constant)}
        return self.reading_arrays(arrays)

    def reading_arrays(self, arrays: Mapping[int, Callable[[], Array]]) -> Plan:
        """Do the same for constants that are given by the `id` of their array."""
        other = copy(self)
        other._steps = [_reading(step, arrays) for step in self._steps]
        return other

    def run(self, feeds: Mapping[str, Any], observe: Observer | None = None) -> dict[str, Array]:
        """Return the output arrays by name.

        Args:
            feeds: an array for every input without a default, by name.
            observe: called after every node; what it returns flows on.

        Raises:
            ShapeError: a feed is missing, unknown, or of another dtype, rank or size than the input.
        """
        slots = self._run(feeds, observe)
        return {label: slots[slot] for label, slot in self._output_slots.items()}

    def run_kept(self, feeds: Mapping[str, Any], observe: Observer | None = None) -> dict[Value, Array]:
        """Return the arrays of the values given as `keep`."""
        slots = self._run(feeds, observe)
        return {value: slots[slot] for value, slot in self._kept.items()}

    def _run(self, feeds: Mapping[str, Any], observe: Observer | None) -> list[Any]:
        arrays = {label: _as_array(given) for label, given in feeds.items()}
        return self._run_steps(arrays, self._bind_sizes(arrays, _check_and_bind), observe)

    def _run_steps(self, arrays: Mapping[str, Array], sizes: dict[str, int], observe: Observer | None) -> list[Any]:
        slots: list[Any] = self._start.copy()
        read = slots.__getitem__
        for label, array in arrays.items():
            slots[self._input_slots[label]] = widened(array) if self.wide else array
        with np.errstate(all="ignore"):
            for step in self._steps:
                function = step.function or step.bind(sizes)
                if observe is not None and isinstance(function, _WithBodies):
                    function = function.observed(observe)
                try:
                    result = function(*map(read, step.inputs))
                except ValueError as error:
                    raise _explained(error, step.node, tuple(map(read, step.inputs))) from error
                if observe is not None and not isinstance(step.node.op, Constant):
                    result = observe(step.node, tuple(map(read, step.inputs)), _as_tuple(result))
                if step.introduces_sizes:
                    _bind_outputs(step.node, _as_tuple(result), sizes)
                if isinstance(result, tuple):
                    for slot, array in zip(step.outputs, result, strict=True):
                        slots[slot] = array
                else:
                    slots[step.outputs[0]] = result
                for slot in step.freed:
                    slots[slot] = None
        return slots

    def run_body(self, arrays: Sequence[Array], observe: Observer | None = None) -> list[Array]:
        """Return the outputs in order, for arrays of the inputs in order, which come from the graph around."""
        feeds = dict(zip(self._input_slots, map(np.asarray, arrays), strict=True))
        slots = self._run_steps(feeds, self._bind_sizes(feeds, bind_sizes), observe)
        return [slots[slot] for slot in self._output_slots.values()]

    def _bind_sizes(
        self, arrays: Mapping[str, Array], bind: Callable[[Mapping[str, Input], Mapping[str, Array]], dict[str, int]]
    ) -> dict[str, int]:
        """Return the value of every symbolic size, as `bind` finds it; what was fed before is known."""
        signature = tuple([(label, array.dtype, array.shape) for label, array in arrays.items()])
        if signature not in self._sizes_of_feeds:
            if len(self._sizes_of_feeds) >= MAX_REMEMBERED:
                self._sizes_of_feeds.clear()
            self._sizes_of_feeds[signature] = bind(self.inputs, arrays)
        return self._sizes_of_feeds[signature].copy()


class _WithBodies:
    """What computes an operator with graphs inside, of which each has a plan."""

    def __init__(self, op: Op) -> None:
        self._op = op
        self._plans = [Plan(body.graph, body.wide) for body in op.bodies()]

    def __call__(self, *inputs: Array | None) -> Any:
        return self._op.run([plan.run_body for plan in self._plans], *inputs)

    def reading(self, arrays: Mapping[int, Callable[[], Array]]) -> _WithBodies:
        """Return the same with other constants; see `Plan.reading_arrays`."""
        other = copy(self)
        other._plans = [plan.reading_arrays(arrays) for plan in self._plans]
        return other

    def observed(self, observe: Observer) -> Callable[..., Any]:
        """Return the same, with an observer of the nodes inside, if it wants to see them."""
        if not isinstance(observe, BodyObserver):
            return self
        inner = observe.inside()
        runs = [partial(plan.run_body, observe=inner) for plan in self._plans]
        return lambda *inputs: self._op.run(runs, *inputs)


def _reading(step: Step, arrays: Mapping[int, Callable[[], Array]]) -> Step:
    op = step.node.op
    if isinstance(op, Constant):
        read = arrays.get(id(op.value.array))
        return step if read is None else replace(step, function=read)
    if not op.bodies():
        return step

    def bind(sizes: Mapping[str, int]) -> Callable[..., Any]:
        function = step.function or step.bind(sizes)
        assert isinstance(function, _WithBodies)
        return function.reading(arrays)

    return replace(step, function=None, bind=bind)


def evaluate(op: Op, *inputs: Array | None, observe: Observer | None = None) -> tuple[Array, ...]:
    """Return the outputs of an operator with graphs inside, whose sizes are bound; see `BodyObserver`."""
    function = _WithBodies(op)
    with np.errstate(all="ignore"):
        return _as_tuple((function if observe is None else function.observed(observe))(*inputs))


# What runs a plan on feeds, as `Plan.run` does.
PlanRun: TypeAlias = Callable[[Plan, Mapping[str, Array], Observer | None], Mapping[str, Array]]


def run(graph: Graph, feeds: Mapping[str, Any], wide: bool = False) -> dict[str, Array]:
    """Return the output arrays of one run, by name; `wide` computes in float64. See `Plan.run` for the errors."""
    return Plan(graph, wide).run(feeds)


def run_all(graph: Graph, feeds: Mapping[str, Any], wide: bool = False) -> dict[Value, Array]:
    """Return every intermediate value of one run. Holds all of them at once."""
    values = [value for node in graph.order() for value in node.outputs]
    return Plan(graph, wide, keep=values).run_kept(feeds)


def check_feeds(inputs: Mapping[str, Input], feeds: Mapping[str, Any]) -> dict[str, Array]:
    """Return the feeds as arrays, with defaults filled in, each checked against its input's dtype and rank.

    Raises:
        ShapeError: a feed is missing, unknown, or of another dtype or rank; the message lists the inputs.
    """
    for label in feeds:
        if label not in inputs:
            raise ShapeError(f"there is no input {label!r}; the model's inputs are {_listed(inputs)}")
    arrays: dict[str, Array] = {}
    for label, op in inputs.items():
        if label in feeds:
            arrays[label] = _check_feed(label, op.type, _as_array(feeds[label]))
        elif op.default is not None:
            arrays[label] = op.default.array
        else:
            raise ShapeError(f"input {label!r} is missing; the model's inputs are {_listed(inputs)}")
    return arrays


def _check_and_bind(inputs: Mapping[str, Input], arrays: Mapping[str, Array]) -> dict[str, int]:
    return bind_sizes(inputs, check_feeds(inputs, arrays))


def bind_sizes(inputs: Mapping[str, Input], arrays: Mapping[str, Array]) -> dict[str, int]:
    """Return the value of every symbolic size, read from the arrays fed.

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


def _as_array(given: Any) -> Array:
    array = np.asarray(given)
    return array.astype(object) if array.dtype.kind in "US" else array


def _listed(inputs: Mapping[str, Input]) -> str:
    return ", ".join(f"{label}: {op.type}" for label, op in inputs.items()) or "none"


def _check_feed(label: str, expected: TensorType, array: Array) -> Array:
    if as_dtype(array.dtype) is not expected.dtype:
        raise ShapeError(
            f"input {label!r} was fed {array.dtype}; expected {expected.dtype.keras_name}: convert it with "
            f".astype({expected.dtype.keras_name!r})"
        )
    if array.ndim != expected.rank:
        raise ShapeError(f"input {label!r} was fed shape {format_shape(array.shape)}; expected {expected}")
    return array


def _explained(error: ValueError, node: Node, inputs: Sequence[Array | None]) -> KirError:
    """Return an error of NumPy (or of ours) with the node and the shapes at which sizes turned out not to fit."""
    given = ", ".join("none" if array is None else format_shape(array.shape) for array in inputs)
    where = f"layer {node.origin}: " if node.origin else ""
    return ShapeError(f"{where}{node.op.name} cannot run on arrays of shapes {given}: {error}")


def _as_tuple(result: Any) -> tuple[Array, ...]:
    return result if isinstance(result, tuple) else (result,)


def widened(array: Array) -> Array:
    """Return floats in float64, and everything else as it is."""
    return array.astype(np.float64) if as_dtype(array.dtype).is_float else array


def _assign_slots(order: list[Node]) -> dict[Value | None, int]:
    """Return a slot for every value. An Output has that of what it reads; the last slot is that of absent inputs."""
    slots: dict[Value | None, int] = {}
    for node in order:
        for value in node.outputs:
            slots[value] = slots[node.inputs[0]] if isinstance(node.op, Output) else len(slots)
    slots[ABSENT] = len(slots)
    return slots


def _plan_steps(
    order: list[Node],
    slots: dict[Value | None, int],
    pinned: set[int],
    wide: bool,
) -> list[Step]:
    """Return the steps in order; a slot is freed after its last reader, or after its writer when nobody reads it."""
    last_use: dict[int, int] = {}
    computed = [node for node in order if not isinstance(node.op, Input | Constant | Output) or _is_widened(node, wide)]
    for position, node in enumerate(computed):
        for value in node.outputs:
            last_use[slots[value]] = position
        for read in node.inputs:
            if read is not ABSENT:
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


def _step(node: Node, slots: Mapping[Value | None, int], freed: tuple[int, ...], wide: bool, introduces: bool) -> Step:
    read, written = tuple([slots[v] for v in node.inputs]), tuple([slots[v] for v in node.outputs])
    names = sorted(node.op.symbols())
    if not names:
        function = _function(node, node.op, wide)
        return Step(node, read, written, freed, function, lambda sizes: function, introduces)

    @lru_cache(MAX_REMEMBERED)
    def function_for(values: tuple[int | None, ...]) -> Callable[..., Any]:
        known = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        return _function(node, node.op.bind(known), wide)

    return Step(node, read, written, freed, None, lambda sizes: function_for(tuple(map(sizes.get, names))), introduces)


def _is_widened(node: Node, wide: bool) -> bool:
    return wide and isinstance(node.op, Constant) and node.output.type.dtype.is_float


def _function(node: Node, op: Op, wide: bool) -> Callable[..., Any]:
    """Return what computes a node whose operator's sizes are known."""
    if isinstance(op, Constant):
        return partial(widened, op.value.array)
    if op.bodies():
        return _WithBodies(op.widen() if wide else op)
    types = [None if value is None else value.type for value in node.inputs]
    return op.prepare_wide(*types) if wide else op.prepare(*types)


def _size_names(node: Node) -> set[str]:
    """Return the sizes that stand alone in the types of a node's outputs, so that arrays show their values."""
    dims = (dim for value in node.outputs for dim in value.type.shape)
    return {dim.name for dim in dims if isinstance(dim, Sym) and dim.name is not None}


def _bind_outputs(node: Node, outputs: tuple[Array, ...], sizes: dict[str, int]) -> None:
    for value, array in zip(node.outputs, outputs, strict=True):
        if value.type.rank != array.ndim:
            raise ShapeError(f"{node.op.name} gives {format_shape(array.shape)}; expected {value.type}")
        for dim, size in zip(value.type.shape, array.shape, strict=True):
            bind_dim(dim, size, sizes)
