"""How much memory running a graph takes, from the types of its values, before any of it is taken.

A file of a few hundred bytes can make tensors of any size: an Expand, a Pad, a chain of Concats of a value with itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kir.dims import is_known
from kir.errors import LimitError
from kir.graph import Graph, Node, Value
from kir.limits import MAX_RUN_BYTES
from kir.op import Op
from kir.ops.attention import Attention
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.resize import Resize
from kir.ops.spectral import STFT
from kir.ops.structural import Constant, Output
from kir.ops.windows import explicit_padding
from kir.types import DType, TensorType

# Verification runs in float64.
FLOAT_BYTES = 8
STRING_BYTES = 64

# Rounding a result at random makes so many arrays of its size; see `kir.rounding.RandomRounding.move`.
ROUNDING_ARRAYS = 3


@dataclass(frozen=True)
class Peak:
    """The most bytes that a run holds at a time, and the node at which it does; None where there are no nodes."""

    bytes: int
    node: Node | None


def require_runnable(graph: Graph, sizes: Mapping[str, int]) -> None:
    """Nothing, if a run of the graph takes a bounded amount of memory.

    Raises:
        LimitError: it takes more than `MAX_RUN_BYTES`; the message names the node.
        ShapeError: an operator does not work with these sizes.
    """
    peak = find_peak(graph, sizes)
    if peak.bytes > MAX_RUN_BYTES:
        raise LimitError(describe(peak, sizes))


def describe(peak: Peak, sizes: Mapping[str, int]) -> str:
    """Say what a run takes, what the limit is and what to do."""
    node = peak.node
    at = "" if node is None else f" at {node.op.name}{f' of layer {node.origin}' if node.origin else ''}"
    shown = ", ".join(f"{name} {size}" for name, size in sizes.items())
    return (
        f"running the model{f' with {shown}' if shown else ''} would take about {peak.bytes / 2**30:.3g} GiB{at}; "
        f"at most {MAX_RUN_BYTES / 2**30:g} GiB are taken to verify or compare it: give smaller sizes (--batch, "
        "--input-shapes), or do without (--no-verify, --no-run)"
    )


def find_peak(graph: Graph, sizes: Mapping[str, int]) -> Peak:
    """Find what a run in float64 holds at most, beside constants. O(nodes + edges).

    Sizes that only a run tells count as 1.

    Raises:
        ShapeError: an operator does not work with these sizes.
    """
    order = graph.order()
    last_reader: dict[Value, Node] = {value: node for node in order for value in node.inputs if value is not None}
    types: dict[Value, TensorType] = {}
    live, peak = 0, Peak(0, None)
    for node, outputs in graph.infer_types(sizes):
        types.update(zip(node.outputs, outputs, strict=True))
        if isinstance(node.op, Constant | Output):  # constants do not count, and an output is what it reads
            continue
        made = sum(map(_bytes_of, outputs))
        live += made
        inputs = [None if value is None else types[value] for value in node.inputs]
        at_once = live + ROUNDING_ARRAYS * made + workspace_bytes(node.op, inputs, outputs)
        if at_once > peak.bytes:
            peak = Peak(at_once, node)
        read = {value for value in node.inputs if value is not None and last_reader[value] is node}
        unread = [value for value in node.outputs if value not in last_reader]
        live -= sum(_bytes_of(types[value]) for value in (*read, *unread) if not isinstance(value.node.op, Constant))
    return peak


def workspace_bytes(op: Op, inputs: Sequence[TensorType | None], outputs: Iterable[TensorType]) -> int:
    """What an operator takes beside its inputs and outputs, where that may be more than they are."""
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
    """The sizes; those that only a run tells are 1."""
    return [size if isinstance(size, int) else 1 for size in shape]


def _bytes_of(type: TensorType) -> int:
    each = STRING_BYTES if type.dtype is DType.STRING else FLOAT_BYTES if type.dtype.is_float else type.dtype.itemsize
    return each * math.prod(_known(type.shape))
