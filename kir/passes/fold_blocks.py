"""Convolutions of blocks of neighbouring elements that became channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from kir.errors import KirError
from kir.ir.dims import Dim
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array
from kir.ir.structural import Constant
from kir.ops.blocks import SpaceToDepth
from kir.ops.convolution import Conv
from kir.ops.shape import Concat, Slice
from kir.passes.rewrite import add_constant, add_for, constant_array, given, op_of, rewrite, rounding_pass, rule

# Slices in a row that take one part: one for each axis.
MAX_SLICES = 4


@rounding_pass(tolerance=64, changes_weights=True)
def fold_blocks(graph: Graph) -> int:
    """Conv(Concat(x[..., ::2, ::2], x[..., 1::2, ::2], …)) → Conv(x), with a larger kernel and strides

    1. A Concat of channels of all the elements of blocks, each taken by Slices.
    2. A SpaceToDepth.

    The kernel is a constant with as many elements as before. The Conv has one group, neither dilations nor "same"
    padding, and nothing else reads what it reads.

    Rounding: sums are formed in another order.
    """
    return rewrite(graph, (fold_into_kernel,)) if graph.has_any(Conv) else 0


@dataclass(frozen=True)
class Blocks:
    """Parts of x joined along the channels: those elements of each block of these sides that are at one place."""

    x: Value
    sides: tuple[int, ...]
    places: tuple[tuple[int, ...], ...]


@rule(Conv)
def fold_into_kernel(graph: Graph, node: Node) -> Value | None:
    op, source = op_of(node, Conv), given(node.inputs[0])
    blocks = find_blocks(source) if graph.is_read_once(source.node) else None
    old = given(node.inputs[1])
    kernel = constant_array(old)
    if isinstance(op.padding, str) or op.groups != 1 or not set(op.dilations) <= {1}:
        return None
    if blocks is None or kernel is None or not graph.is_read_once(old.node):
        return None
    folded = replace(
        op,
        strides=tuple(a * b for a, b in zip(op.strides, blocks.sides, strict=True)),
        padding=tuple(a * b for a, b in zip(op.padding, blocks.sides * 2, strict=True)),
    )
    weights = [
        add_constant(graph, old.node, _spread(kernel, blocks), op_of(old.node, Constant).label),
        *node.inputs[2:],
    ]
    try:
        inferred = folded.infer(blocks.x.type, *(given(weight).type for weight in weights))
    except KirError:
        return None
    return add_for(graph, node, folded, blocks.x, *weights) if inferred == node.output.type else None


def _spread(kernel: Array, blocks: Blocks) -> Array:
    """Return the kernel for x of a kernel for the blocks."""
    units, channels = kernel.shape[0], kernel.shape[1] // len(blocks.places)
    sizes = (n * side for n, side in zip(kernel.shape[2:], blocks.sides, strict=True))
    spread = np.empty((units, channels, *sizes), kernel.dtype)
    for index, place in enumerate(blocks.places):
        steps = tuple(slice(start, None, side) for start, side in zip(place, blocks.sides, strict=True))
        spread[:, :, *steps] = kernel[:, index * channels : (index + 1) * channels]
    return spread


def find_blocks(value: Value) -> Blocks | None:
    """Return the blocks whose elements are the channels of a value; None if it is anything else."""
    node = value.node
    if isinstance(node.op, SpaceToDepth):
        square = (node.op.blocksize,) * 2
        return Blocks(given(node.inputs[0]), square, tuple(product(*map(range, square))))
    if node.op != Concat(1):
        return None
    parts = [_find_part(given(part)) for part in node.inputs]
    first = parts[0]
    if first is None or any(part is None or part[:2] != first[:2] for part in parts):
        return None
    x, sides, _ = first
    places = tuple(part[2] for part in parts if part is not None)
    return Blocks(x, sides, places) if sorted(places) == list(product(*map(range, sides))) else None


def _find_part(value: Value) -> tuple[Value, tuple[int, ...], tuple[int, ...]] | None:
    """Return x, and for each of its spatial axes the step and the start of the Slices that a value is of it."""
    steps: dict[int, tuple[int, Dim]] = {}
    for _ in range(MAX_SLICES):
        node = value.node
        if not isinstance(node.op, Slice):
            break
        x, op = given(node.inputs[0]), node.op
        for axis, start, end, step in zip(op.axes, op.starts, op.ends, op.steps, strict=True):
            if axis < 2 or axis in steps or step < 1 or end != x.type.shape[axis]:
                return None
            steps[axis] = step, start
        value = x
    if not steps:
        return None
    taken = [steps.get(axis, (1, 0)) for axis in range(2, value.type.rank)]
    starts = tuple(start for _, start in taken if isinstance(start, int))
    return (value, tuple(step for step, _ in taken), starts) if len(starts) == len(taken) else None
