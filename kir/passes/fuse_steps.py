"""Steps of a recurrent layer, one after the other, as an exporter unrolls them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array, Op
from kir.ir.structural import Constant
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.shape import Gather, Reshape, Slice, Split, Transpose
from kir.passes.cell_forms import Step, find_steps
from kir.passes.gate_forms import StepOf, find_activation, find_step, known_units
from kir.passes.rewrite import add_constant, add_for, remove_dead_nodes, rounding_pass

# Two steps are not slower than the operator.
MIN_STEPS = 3

# How far from a slice of the sequence a step ends, in nodes.
MAX_REACH = 24


@rounding_pass(tolerance=256)
def fuse_steps(graph: Graph) -> int:
    """h1 = f(x[0] W + h0 R + b), h2 = f(x[1] W + h1 R + b) → RNN(x, W, R, b, h0)

    Steps of one sequence, forwards or backwards, that are those of an RNN, GRU or LSTM with the same weights: at least
    three, and nothing else reads what is inside of them. The first state may be any value, or zeros that were folded
    away. The last state of a cell may be read; the outputs of all steps may.

    Rounding: the operator adds products and biases in another order.
    """
    changes = 0
    while _fuse_once(graph):
        changes += 1
    return changes


def _fuse_once(graph: Graph) -> bool:
    candidates = _find_candidates(graph)
    if not candidates:
        return False
    steps = {step.output: step for value in candidates for step in find_steps(value)}
    for chain in _find_chains(graph, steps):
        _fuse(graph, chain)
        return True
    return False


def _find_candidates(graph: Graph) -> list[Value]:
    """Return values that may be states, in the graph's order: what is computed a few nodes after a step of a sequence.

    O(1) where the graph has no operator that cuts steps; O(nodes) otherwise.
    """
    if not graph.has_any(Gather, Slice, Split):
        return []
    order = graph.order()
    found = [
        (value, step)
        for node in order
        if isinstance(node.op, Gather | Reshape | Split)
        for value in node.outputs
        if (step := find_step(value)) is not None and isinstance(step.sequence.type.shape[-1], int)
    ]
    counts = Counter((step.sequence, step.axis) for _, step in found)
    level = {value.node for value, step in found if counts[step.sequence, step.axis] > 1}
    if not level:
        return []
    reached: set[Node] = set()
    for _ in range(MAX_REACH):
        level = {reader for node in level for reader in graph.consumers(node)} - reached
        reached |= level
    return [node.outputs[0] for node in order if node in reached and _is_combined(node)]


def _is_combined(node: Node) -> bool:
    return node.op.name in ("Add", "Sub", "Mul") or find_activation(node) is not None


def _find_chains(graph: Graph, steps: dict[Value, Step]) -> Iterator[list[Step]]:
    """Yield runs of steps, each of which follows the one before; the longest ones."""
    after: dict[Value, list[Step]] = {}
    for step in steps.values():
        if step.state is not None:
            after.setdefault(step.state, []).append(step)
    for first in steps.values():
        before = None if first.state is None else steps.get(first.state)
        if before is not None and _follows(before, first):
            continue
        chain = [first]
        while (following := _find_following(chain, after)) is not None:
            chain.append(following)
        if len(chain) >= MIN_STEPS and _is_closed(graph, chain):
            yield chain


def _find_following(chain: Sequence[Step], after: dict[Value, list[Step]]) -> Step | None:
    last = chain[-1]
    for step in after.get(last.output, ()):
        if _follows(last, step) and (len(chain) < 2 or _pace(last, step) == _pace(chain[-2], last)):
            return step
    return None


def _follows(before: Step, step: Step) -> bool:
    return _pace(before, step) in (1, -1) and step.continues(before)


def _pace(before: Step, step: Step) -> int:
    """Return by how many steps of one sequence the second one comes after the first; 0 for different ones."""
    a, b = before.source, step.source
    if not isinstance(a, StepOf) or not isinstance(b, StepOf) or a[:2] != b[:2]:
        return 0
    return b.number - a.number


def _is_closed(graph: Graph, chain: Sequence[Step]) -> bool:
    """Return whether nothing but the steps reads what is inside of them; the last cell state is one of the results."""
    inner = set[Node]().union(*(step.inner for step in chain))
    own = inner | {step.output.node for step in chain}
    last = chain[-1].cell
    return all(
        reader in own
        for node in inner
        if (last is None or node is not last.node) and not _is_shared(node)
        for reader in graph.consumers(node)
    )


def _is_shared(node: Node) -> bool:
    """Return whether a node costs nothing, or is computed for all steps at once."""
    return isinstance(node.op, Constant) or node.outputs[0].type.rank > 2


# The operator


def _fuse(graph: Graph, chain: Sequence[Step]) -> None:
    last = chain[-1]
    node = last.output.node
    indices = [step.source.number for step in chain if isinstance(step.source, StepOf)]
    x = _read_sequence(graph, node, last, indices)
    first = chain[0]
    states = [_as_initial(graph, node, first.state)]
    if last.cell is not None:
        states.append(_as_initial(graph, node, first.cell_before))
    direction = "forward" if indices[0] < indices[-1] else "reverse"
    results = add_recurrent(graph, node, last, x, direction, states)
    time, _, batch, units = results[0].type.shape
    outputs = add_for(graph, node, Reshape((time, batch, units)), results[0])
    for step, index in zip(chain, indices, strict=True):
        position = add_constant(graph, node, np.asarray(index - min(indices), np.int64))
        graph.replace(step.output, add_for(graph, node, Gather(0), outputs, position))
    if last.cell is not None:
        graph.replace(last.cell, add_for(graph, node, Reshape((batch, units)), results[2]))
    cells = [] if last.cell is None else [last.cell.node]
    remove_dead_nodes(graph, [*(step.output.node for step in chain), *cells])


def _read_sequence(graph: Graph, node: Node, step: Step, indices: Sequence[int]) -> Value:
    """Return the sequence that the steps read, [time, batch, size]."""
    assert isinstance(step.source, StepOf)
    x, axis = step.source.sequence, step.source.axis
    start, stop = min(indices), max(indices) + 1
    if x.type.shape[axis] != stop - start:
        x = add_for(graph, node, Slice((axis,), (start,), (stop,), (1,)), x)
    return x if axis == 0 else add_for(graph, node, Transpose((1, 0, 2)), x)


def _as_initial(graph: Graph, node: Node, state: Value | None) -> Value | None:
    return None if state is None else add_for(graph, node, Reshape((1, *state.type.shape)), state)


def add_recurrent(
    graph: Graph, node: Node, step: Step, x: Value, direction: str, states: Sequence[Value | None]
) -> tuple[Value, ...]:
    """Add the operator that runs a step over x [time, batch, size], in the place of a node; return its results."""
    kernel, recurrent = (_stack(matrices) for matrices in (step.kernel, step.recurrent))
    bias = np.concatenate([vector for vector in step.bias if vector is not None])
    hidden = np.zeros_like(bias)
    if step.hidden_bias is not None:
        hidden[-len(step.hidden_bias) :] = step.hidden_bias
    dtype = x.type.dtype.numpy
    arrays = [kernel, recurrent, np.concatenate([bias, hidden])]
    weights = [add_constant(graph, node, array[None].astype(dtype)) for array in arrays]
    inputs = [x, *weights, None, *states]
    while inputs[-1] is None:
        inputs.pop()
    return graph.add(_make_op(step, direction), *inputs, origin=node.origin).outputs


def _stack(matrices: Sequence[Array | None]) -> Array:
    return np.concatenate([matrix.T for matrix in matrices if matrix is not None])


def _make_op(step: Step, direction: str) -> Op:
    units = known_units(step.output)
    if step.op is GRU:
        assert step.resets_after is not None
        return GRU(units, direction, step.activations, step.resets_after)
    return (RNN if step.op is RNN else LSTM)(units, direction, step.activations)
