"""Graphs inside operators, for tests of passes."""

from __future__ import annotations

from typing import Any

import numpy as np

from kir.ir.body import Body
from kir.ir.graph import Graph
from kir.ir.types import parse_type
from kir.ops.control import If, Loop, Scan
from tests.passes.building import Build, Builder, op_names

ROWS = "f32[batch, 4]"
STACKED = "f32[steps, batch, 4]"
LOOP = ("i64[]", "bool[]")  # what the body of a Loop gets first


def body(build: Builder, *types: str) -> Body:
    """Return the graph of `build(b, *inputs)` as a body."""
    b = Build(*types)
    return Body(b.finish(build(b, *b.inputs)))


def if_(
    b: Build, condition: Any, then: Builder, other: Builder, *captured: Any, types: tuple[str, ...] = (ROWS,)
) -> Any:
    """Return the outputs of an If whose branches capture values."""
    inside = [str(value.type) for value in captured]
    op = If(tuple(map(parse_type, types)), body(then, *inside), body(other, *inside))
    return b(op, condition, *captured)


def loop(
    b: Build, trips: Any, step: Builder, carried: int, *values: Any, types: tuple[str, ...] = (ROWS,), going: Any = None
) -> Any:
    """Return the outputs of a Loop, whose `step` gets the number, the condition, the carried and captured values."""
    op = Loop(tuple(map(parse_type, types)), body(step, *LOOP, *(str(value.type) for value in values)), carried)
    return b(op, None if trips is None else np.asarray(trips), going, *values)


def scan(b: Build, step: Builder, states: int, *values: Any, slices: tuple[str, ...], types: tuple[str, ...]) -> Any:
    """Return the outputs of a Scan along first axes; `slices` are the types of what a step gets of each sequence."""
    count = len(slices)
    inside = [str(value.type) for value in values]
    inside[states : states + count] = slices
    scanned = len(types) - states
    forwards = (False,) * count, (0,) * scanned, (False,) * scanned
    op = Scan(tuple(map(parse_type, types)), body(step, *inside), states, (0,) * count, *forwards)
    return b(op, *values)


def inner_names(graph: Graph) -> list[str]:
    """Return the operators inside those of a graph, body by body."""
    return [name for node in graph.order() for one in node.op.bodies() for name in op_names(one.graph)]
