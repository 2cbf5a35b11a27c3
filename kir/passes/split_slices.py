"""Slices of a value that are all its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from kir.ir.dims import Dim
from kir.ir.graph import Graph, Node, Value
from kir.ir.types import DType
from kir.ops.shape import Gather, Reshape, Slice, Split
from kir.passes.rewrite import (
    add_for,
    constant_array,
    exact_pass,
    given,
    op_of,
    remove_dead_nodes,
    rewrite,
    rule,
)

# What onnxruntime has kernels for.
DTYPES = (DType.FLOAT32, DType.FLOAT64, DType.INT32, DType.INT64)

Key: TypeAlias = tuple[Value, int]
Parts: TypeAlias = dict[Dim, tuple[Dim, Node] | None]


@exact_pass
def split_slices(graph: Graph) -> int:
    """x[:3], x[3:] → Split(x)

    1. Slices of consecutive parts of one axis, from its begin to its end.
    2. Gathers of consecutive indices, or of one index if a Reshape alone reads the result.
    3. A Slice of a Slice along other axes: one Slice of all, if nothing else reads the value between.

    Exact: the elements are the same.
    """
    joined = rewrite(graph, (join_slice,))
    if not graph.has_any(Slice, Gather):
        return joined
    split = 0
    for (x, axis), parts in _find_parts(graph).items():
        row = _find_row(parts, x.type.shape[axis])
        if len(row) > 1:
            _split(graph, axis, row)
            split += 1
    return joined + split


@rule(Slice, above=[Slice], once=True)
def join_slice(graph: Graph, node: Node, inner: Node) -> Value | None:
    first, second = op_of(inner, Slice), op_of(node, Slice)
    if set(first.axes) & set(second.axes):
        return None
    pairs = (
        (*first.axes, *second.axes),
        (*first.starts, *second.starts),
        (*first.ends, *second.ends),
        (*first.steps, *second.steps),
    )
    rows = sorted(zip(*pairs, strict=True), key=lambda row: row[0])
    axes, starts, ends, steps = zip(*rows, strict=True)
    return add_for(graph, node, replace(second, axes=axes, starts=starts, ends=ends, steps=steps), inner.inputs[0])


def _find_parts(graph: Graph) -> Mapping[Key, Parts]:
    """Return the parts of each axis of each value: their ends and nodes by their starts; None where two start."""
    found: dict[Key, Parts] = {}
    for node in graph.order():
        part = _find_part(graph, node)
        if part is not None:
            axis, start, end = part
            parts = found.setdefault((given(node.inputs[0]), axis), {})
            parts[start] = None if start in parts else (end, node)
    return found


def _find_part(graph: Graph, node: Node) -> tuple[int, Dim, Dim] | None:
    """Return the axis, start and end of what a node takes of its input; None if it does anything else."""
    op = node.op
    if not isinstance(op, Slice | Gather) or node.output.type.dtype not in DTYPES:
        return None
    if isinstance(op, Slice):
        return (op.axes[0], op.starts[0], op.ends[0]) if len(op.axes) == 1 and op.steps == (1,) else None
    indices = constant_array(node.inputs[1])
    if indices is None or not indices.size > 0 or indices.ndim > 1:
        return None
    if indices.ndim == 0 and not (graph.is_read_once(node) and isinstance(graph.consumers(node)[0].op, Reshape)):
        return None
    start, size = int(indices.reshape(-1)[0]), given(node.inputs[0]).type.shape[op.axis]
    if start < 0 or not np.array_equal(indices.reshape(-1), np.arange(start, start + indices.size)):
        start = start + size if isinstance(size, int) and indices.size == 1 else -1
    return (op.axis, start, start + indices.size) if start >= 0 else None


def _find_row(parts: Parts, size: Dim) -> list[Node]:
    """Return the nodes of parts that are the whole axis, in order; none if there are no such."""
    row: list[Node] = []
    at: Dim = 0
    while at != size:
        part = parts.get(at)
        if part is None or len(row) == len(parts):
            return []
        at, node = part
        row.append(node)
    return row


def _split(graph: Graph, axis: int, row: list[Node]) -> None:
    x = given(row[0].inputs[0])  # what they read may itself be a part of a Split by now
    split = graph.add(Split(axis, tuple(_size(node, axis) for node in row)), x, origin=row[0].origin)
    replaced: list[Node] = []
    for node, part in zip(row, split.outputs, strict=True):
        old = node.output
        if part.type != old.type:
            (reader,) = graph.consumers(node)
            part, old = add_for(graph, reader, reader.op, part), reader.output
        graph.replace(old, part)
        replaced.append(old.node)
    remove_dead_nodes(graph, replaced)


def _size(node: Node, axis: int) -> Dim:
    if isinstance(node.op, Gather) and given(node.inputs[1]).type.rank == 0:
        return 1
    return node.output.type.shape[axis]
