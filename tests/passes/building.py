"""Small graphs, and the one check that every test of a pass makes: types, results and what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from kir.ir.graph import Graph, Origin, Value
from kir.ir.op import Op
from kir.ir.structural import Constant, Input, Output, constant
from kir.ir.types import DType, TensorType, parse_type
from kir.passes import Pass, run
from kir.passes.inner_graphs import count_operators

Array = np.ndarray[Any, Any]
# Called with a Build and with values, it gives a value, or a tuple of them.
Builder = Callable[..., Any]

SIZES = {"batch": 3, "time": 5}
SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-40, -1.0, 6.5]


class Build:
    """A graph under construction: `build(op, *inputs)` is the value of a new node; arrays become constants."""

    def __init__(self, *inputs: str) -> None:
        self.graph = Graph()
        self.layer = 0
        self.inputs = [self.graph.add(Input(f"x{i}", parse_type(text))).output for i, text in enumerate(inputs)]

    def __call__(self, op: Op, *inputs: Any) -> Any:
        values = [x if x is None or isinstance(x, Value) else self.constant(x) for x in inputs]
        self.layer += 1
        node = self.graph.add(op, *values, origin=Origin(f"layer_{self.layer}", op.name))
        return node.outputs[0] if len(node.outputs) == 1 else node.outputs

    def constant(self, array: Any, label: str | None = None) -> Value:
        return self.graph.add(constant(array, label)).output

    def finish(self, outputs: Any) -> Graph:
        for i, value in enumerate(outputs if isinstance(outputs, tuple) else (outputs,)):
            self.graph.add(Output(f"y{i}"), value)
        return self.graph


def make_feeds(graph: Graph, special: bool = True, seed: int = 0) -> dict[str, Array]:
    """Random arrays for the inputs; with zeros of both signs, nan, infinities and a denormal among the floats."""
    random = np.random.default_rng(seed)
    return {n.op.label: _random_array(n.op.type, random, special) for n in graph.inputs if isinstance(n.op, Input)}


def _random_array(type: TensorType, random: np.random.Generator, special: bool) -> Array:
    shape = tuple(dim if isinstance(dim, int) else SIZES[dim.name or ""] for dim in type.shape)
    if type.dtype is DType.BOOL:
        return random.random(shape) < 0.5
    if type.dtype.is_integer:
        limits: Any = np.iinfo(type.dtype.numpy)
        array = random.integers(-9, 9, shape).astype(type.dtype.numpy)
        array.reshape(-1)[:2] = [limits.min, limits.max][: array.size]
        return array
    array = random.normal(size=shape).astype(np.float32)
    if special:
        array.reshape(-1)[: len(SPECIAL)] = SPECIAL[: array.size]
    return array.astype(type.dtype.numpy)


def op_names(graph: Graph) -> list[str]:
    """Return the names of the operators that compute something, in the graph's order."""
    return [node.op.name for node in graph.order() if not isinstance(node.op, Input | Output | Constant)]


def optimize(
    passes: Pass | tuple[Pass, ...],
    build: Builder,
    *inputs: str,
    special: bool = True,
) -> Graph:
    """The graph that `build(b, *inputs)` makes, after the passes, which were checked; it never has more operators."""
    b = Build(*(inputs or ("f32[batch, 4]",)))
    graph = b.finish(build(b, *b.inputs))
    before = count_operators(graph)
    run(graph, passes if isinstance(passes, tuple) else (passes,), check=True, feeds=make_feeds(graph, special))
    assert count_operators(graph) <= before
    return graph


def left(
    passes: Pass | tuple[Pass, ...],
    build: Builder,
    *inputs: str,
    special: bool = True,
) -> list[str]:
    """Return the operators that are left; see `optimize`."""
    return op_names(optimize(passes, build, *inputs, special=special))


def present(values: Iterable[Value | None]) -> list[Value]:
    return [value for value in values if value is not None]


def known_size(value: Value, axis: int) -> int:
    size = value.type.shape[axis]
    assert isinstance(size, int)
    return size


def f32(*values: Any) -> Array:
    """Return a float32 array: a scalar of one number."""
    return np.asarray(values[0] if len(values) == 1 else values, np.float32)


def weights(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
