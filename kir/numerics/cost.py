"""The cost of running a graph, memory and work, from the types of its values, before any of it is spent.

A file of a few hundred bytes can make tensors of any size: an Expand, a Pad, a chain of Concats of a value with itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kir.errors import LimitError
from kir.ir.dims import is_known
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Op
from kir.ir.structural import Assume, Constant, Input, Output
from kir.ir.types import DType, TensorType
from kir.ops.attention import Attention
from kir.ops.blocks import DepthToSpace, SpaceToDepth
from kir.ops.control import Scan
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.elementwise import Cast
from kir.ops.linear import Dense, MatMul
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.resize import Resize
from kir.ops.shape import Concat, Expand, Reshape, Slice, Split, Transpose
from kir.ops.spectral import STFT
from kir.ops.windows import explicit_padding
from kir.support.limits import MAX_ELEMENTS, MAX_RUN_BYTES

# Verification runs in float64.
FLOAT_BYTES = 8
STRING_BYTES = 64

# What an element costs in rounding it, comparing it and carrying it about, beside a product of a convolution.
ELEMENT_WORK = 100

# Operators that only move or convert elements.
MOVEMENTS = (Assume, Cast, Reshape, Transpose, Expand, Slice, Split, Concat, DepthToSpace, SpaceToDepth)

# Rounding a result at random makes this many arrays of its size; see `kir.numerics.rounding.RandomRounding.move`.
ROUNDING_ARRAYS = 3

# What is kept of each output until all runs of the same inputs are done: what is expected, the allowed error, and the
# spread, with what one run and onnxruntime give. See `kir.numerics.rounding.measure`.
OUTPUT_ARRAYS = 5


@dataclass(frozen=True)
class Cost:
    """The cost of a run.

    Attributes:
        bytes: the most that it holds at a time, beside constants.
        elements: those of its largest value, constants aside.
        node: the one at which it holds most; None where there are no nodes.
        work: about how much it computes, in products: those of convolutions and matrices, and what all elements come to
            that are not only moved. What happens within other operators, such as recurrent ones, counts as one product
            for each element.
    """

    bytes: int
    elements: int
    node: Node | None
    work: int

    @property
    def is_bounded(self) -> bool:
        """Whether a run stays within the limits on memory."""
        return self.bytes <= MAX_RUN_BYTES and self.elements <= MAX_ELEMENTS


def require_runnable(graph: Graph, sizes: Mapping[str, int]) -> None:
    """Check that a run of the graph takes a bounded amount of memory.

    Raises:
        LimitError: it takes more than `MAX_RUN_BYTES`, or a value has more than `MAX_ELEMENTS`; the message names the
            node.
        ShapeError: an operator does not work with these sizes.
    """
    cost = run_cost(graph, sizes)
    if not cost.is_bounded:
        raise LimitError(describe(cost, sizes))


def describe(cost: Cost, sizes: Mapping[str, int]) -> str:
    """Say how much memory a run takes, what the limit is and what to do."""
    node = cost.node
    at = "" if node is None else f" at {node.op.name}{f' of layer {node.origin}' if node.origin else ''}"
    shown = ", ".join(f"{name} {size}" for name, size in sizes.items())
    return (
        f"running the model{f' with {shown}' if shown else ''} would take about {cost.bytes / 2**30:.3g} GiB{at}, with "
        f"values of up to {cost.elements} elements; at most {MAX_RUN_BYTES / 2**30:g} GiB and {MAX_ELEMENTS} elements "
        "are taken to verify or compare it: give smaller sizes (--batch, --input-shapes), or do without (--no-verify, "
        "--no-run)"
    )


def run_cost(graph: Graph, sizes: Mapping[str, int]) -> Cost:
    """Return what a run in float64 costs. O(nodes + edges).

    Sizes that only a run tells count as 1.

    Raises:
        ShapeError: an operator does not work with these sizes.
    """
    last_reader = {value: node for node in graph.order() for value in node.inputs}
    types: dict[Value | None, TensorType | None] = {None: None}
    live = most = elements = work = kept = 0
    largest: Node | None = None
    for node, outputs in graph.infer_types(sizes):
        types.update(zip(node.outputs, outputs, strict=True))
        if isinstance(node.op, Output):
            kept += OUTPUT_ARRAYS * sum(map(_bytes_of, outputs))
        if isinstance(node.op, Constant | Output):  # constants do not count, and an output is what it reads
            continue
        inputs = [types[value] for value in node.inputs]
        made = sum(map(_bytes_of, outputs))
        elements = max(elements, *map(count_elements, outputs))
        live += made
        inside = [run_cost(body.graph, sizes) for body in node.op.bodies()]
        elements = max(elements, *(cost.elements for cost in inside), 0)
        workspace = workspace_bytes(node.op, inputs, outputs) + max((cost.bytes for cost in inside), default=0)
        at_once = live + ROUNDING_ARRAYS * made + workspace
        if at_once > most:
            most, largest = at_once, node
        work += _count_steps(node.op, inputs) * sum(cost.work for cost in inside)
        if not isinstance(node.op, (Input, *MOVEMENTS)):
            work += sum(map(count_elements, outputs)) * (ELEMENT_WORK + _count_summed(node.op, inputs))
        read = [value for value in dict.fromkeys(node.inputs) if last_reader[value] is node]
        unread = [value for value in node.outputs if value not in last_reader]
        for value in (*read, *unread):
            type = types[value]
            if value is not None and type is not None and not isinstance(value.node.op, Constant):
                live -= _bytes_of(type)
    return Cost(most + kept, elements, largest, work)


def _count_steps(op: Op, inputs: Sequence[TensorType | None]) -> int:
    """Return how often the graphs inside an operator run; 1 where only a run tells."""
    if not isinstance(op, Scan):
        return 1
    sequence = inputs[op.states]
    return 1 if sequence is None else _known(sequence.shape)[op.axes[0]]


def _count_summed(op: Op, inputs: Sequence[TensorType | None]) -> int:
    """Return how many products a convolution or a matrix product sums for each element of its result; 1 for others."""
    a, b, *_ = (*inputs, None, None)
    if isinstance(op, Conv | ConvTranspose) and b is not None:
        return math.prod(_known(b.shape[1:]))
    return math.prod(_known(a.shape[-1:])) if isinstance(op, Dense | MatMul) and a is not None else 1


def workspace_bytes(op: Op, inputs: Sequence[TensorType | None], outputs: Iterable[TensorType]) -> int:
    """Return what an operator takes beside its inputs and outputs, where that may be more than they are."""
    first = inputs[0] if inputs else None
    if first is None or not all(map(is_known, first.shape)):
        return 0
    shape = [size for size in first.shape if is_known(size)]
    if isinstance(op, Conv | MaxPool | AveragePool):
        return FLOAT_BYTES * _padded_elements(op, shape, inputs)
    if isinstance(op, ConvTranspose):
        (output,) = outputs
        rank = len(shape) - 2
        cut = [before + after for before, after in zip(op.padding[:rank], op.padding[rank:], strict=True)]
        whole = [size + more for size, more in zip(_known(output.shape[2:]), cut, strict=True)]
        return FLOAT_BYTES * math.prod([*_known(output.shape[:2]), *whole])
    if isinstance(op, Resize):
        # A matrix for each axis: how much of each element goes into each, and its distance.
        return 3 * FLOAT_BYTES * sum(a * b for a, b in zip(shape, _known(op.shape), strict=True) if a != b)
    if isinstance(op, Attention):
        keys = inputs[1]
        return 2 * FLOAT_BYTES * math.prod(shape[:-1]) * (1 if keys is None else _known(keys.shape)[-2])
    if isinstance(op, STFT):
        window = inputs[1]
        length = 1 if window is None else _known(window.shape)[0]
        return 3 * FLOAT_BYTES * shape[0] * (shape[1] // op.step + 1) * length
    return 0


def _padded_elements(op: Conv | MaxPool | AveragePool, shape: list[int], inputs: Sequence[TensorType | None]) -> int:
    kernel = inputs[1] if len(inputs) > 1 else None
    windows = op.windows() if isinstance(op, MaxPool | AveragePool) else op.windows(_kernel_sizes(kernel))
    pads = explicit_padding(windows, tuple(shape[2:]), op.padding)
    return math.prod(shape[:2]) * math.prod(size + sum(pad) for size, pad in zip(shape[2:], pads, strict=True))


def _kernel_sizes(kernel: TensorType | None) -> tuple[int, ...]:
    return () if kernel is None else tuple(_known(kernel.shape[2:]))


def _known(shape: Iterable[object]) -> list[int]:
    """Return the sizes; those that only a run tells are 1."""
    return [size if isinstance(size, int) else 1 for size in shape]


def _bytes_of(type: TensorType) -> int:
    each = STRING_BYTES if type.dtype is DType.STRING else FLOAT_BYTES if type.dtype.is_float else type.dtype.itemsize
    return each * count_elements(type)


def count_elements(type: TensorType) -> int:
    """Return how many elements a tensor has; sizes that only a run tells count as 1."""
    return math.prod(_known(type.shape))
