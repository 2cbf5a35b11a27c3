"""The arrays that are fed to a graph to verify it: random ones, and the values at which something happens in it.

Rows, those of the batch in general, are of four kinds, so that none of them hides another:

| rows     | kind     | elements                                                                                     |
|----------|----------|----------------------------------------------------------------------------------------------|
| 1, 3, 5… | ordinary | normal ones, or where the graph scales them to normal ones, pixels from 0 to 255, any index  |
| 2, 6, 9… | edges    | all values where something happens (`uses`) with their neighbours, zeros, halves and ones    |
| 4, 8     | wide     | of both signs and of sizes from 0.001 to 1000, past most clips                               |
| 7        | small    | ordinary ones, a million times smaller: layers that all others saturate are not              |

Wide rows are few: a row of large numbers says little where a Softmax saturates. Over all that come masks (`masks`).
Indices fit the table they select from, sparse tensors' three inputs agree, and inputs with a default are fed or not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from kir.ir.dims import Sym, substitute
from kir.ir.graph import Graph, Node
from kir.ir.op import Array
from kir.ir.structural import TRAINING_INPUT, Input
from kir.ir.types import DType, TensorType, with_joined
from kir.numerics.inputs import known_shape, sparse_inputs
from kir.numerics.masks import mask_steps, masked_steps, spread
from kir.numerics.uses import InputUse, find_use
from kir.numerics.values import InputValues, values_met

ORDINARY, EDGES, WIDE = KINDS = range(3)
ROW_KINDS = (ORDINARY, EDGES, ORDINARY, WIDE)
MIXED_ROWS = 8  # those after them are there for the edges, of which there are many
SMALL_ROW = 6
MOST_ROWS = 64  # in a batch; further ones of a larger axis are mixed again


def random_feeds(
    graph: Graph,
    seed: int | Sequence[int],
    sizes: Mapping[str, int],
    *,
    feed_defaults: bool = False,
    bounds: Mapping[str, int] | None = None,
    kind: int = 0,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, Array]:
    """Return an array for every input, by name; the switch of a training export is fed False.

    Args:
        graph: whose inputs are to be fed.
        seed: equal seeds give equal feeds.
        sizes: a value for every symbolic size, see `kir.numerics.probe_sizes`.
        feed_defaults: also feed inputs that have a default.
        bounds: one more than the largest integer to feed an input, where the graph does not tell.
        kind: of the values of inputs with a single row: 0 ordinary, 1 edges, 2 wide, and so on; 4 has other edges.
        shapes: of inputs that are to have another shape than the graph says.
    """
    generator = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    sparse = {node.op.label for parts, _ in sparse_inputs(graph) for node in parts if isinstance(node.op, Input)}
    for parts, type in sparse_inputs(graph):
        feeds.update(_sparse_feeds(parts, type, sizes, generator, kind))
    for node in graph.inputs:
        op = node.op
        assert isinstance(op, Input)
        if op.label == TRAINING_INPUT:
            feeds[op.label] = np.array(False)
        elif op.label not in sparse and (op.default is None or feed_defaults):
            use = find_use(graph, node)
            source = InputValues(op.type.dtype, use, *_limits(use, sizes, (bounds or {}).get(op.label)), generator)
            shape = (shapes or {}).get(op.label) or known_shape(op.type, sizes)
            feeds[op.label] = _make_array(source, shape, kind)
    return feeds


def count_edges(graph: Graph) -> int:
    """Return how many rows it takes for each element of an input to meet each value where something happens."""
    uses = [(node.output.type.dtype, find_use(graph, node)) for node in graph.inputs]
    numbers = [(dtype, use) for dtype, use in uses if dtype not in (DType.STRING, DType.BOOL) and not use.indexed]
    return max((len(values_met(dtype, use)) for dtype, use in numbers), default=0)


def count_choices(graph: Graph) -> int:
    """Return between how many numbers of the graph an input of one integer chooses, such as sampling rates; or 0."""
    scalars = [node for node in graph.inputs if all(dim == 1 for dim in node.output.type.shape)]
    uses = [find_use(graph, node) for node in scalars if node.output.type.dtype.is_integer]
    return max((len(set(use.edges)) for use in uses if not use.indexed), default=0)


def _limits(use: InputUse, sizes: Mapping[str, int], bound: int | None) -> tuple[float, float]:
    """Return the least integer that an input may be fed, and the one after the largest; infinite where all are fine."""
    ends = [substitute(size, with_joined(size, sizes)) for _, size in use.indexed]
    known = [end for end in ends if not isinstance(end, Sym)] + ([] if bound is None else [bound])
    starts = [start for start, _ in use.indexed] + ([] if bound is None else [0])
    return max(starts, default=-math.inf), min(known, default=math.inf)


def _make_array(source: InputValues, shape: tuple[int, ...], kind: int) -> Array:
    """Return an array for one input, its rows of the kinds in the table above."""
    dtype, use, generator = source.dtype, source.use, source.generator
    if dtype is DType.BOOL:
        return _random_bools(shape, generator, kind)
    array = source.ordinary(shape)
    count = shape[0] if shape else 1
    if array.size:
        # Row by row, whatever the axes.
        rows = array.reshape(count, -1)
        kinds = _row_kinds(count, kind)
        rows[kinds == WIDE] = source.wide((int((kinds == WIDE).sum()), rows.shape[1]))
        if count == 1 and kind % 3 == ORDINARY:
            source.sprinkle(rows)
        number = int((kinds == EDGES).sum())
        rows[kinds == EDGES] = source.edges(number, rows.shape[1], count > MIXED_ROWS, kind // len(KINDS))
        if count > SMALL_ROW:
            rows[SMALL_ROW] = source.small(rows[SMALL_ROW])
        array = rows.reshape(shape)
    if use.divides and dtype.is_integer:
        array = np.where(array == 0, 1, array)
    if use.compared and array.ndim:
        array = mask_steps(array, use.compared, source.end, generator, kind)
    return np.asarray(array).astype(dtype.numpy)


def _row_kinds(count: int, kind: int) -> Array:
    """Return the kind of each of several rows; `kind` is that of a single one."""
    if count == 1:
        return np.array([kind % 3])
    kinds = np.resize(ROW_KINDS, count)
    kinds[MIXED_ROWS:MOST_ROWS] = EDGES
    return kinds


def _random_bools(shape: tuple[int, ...], generator: np.random.Generator, kind: int) -> Array:
    """Return booleans: as steps that are masked or not, where there are batches of steps."""
    array = generator.random(shape) < 0.5
    if len(shape) < 2:
        flat = array.reshape(-1)
        flat[:2] = (np.arange(2) + kind)[: flat.size] % 2 == 0
        return flat.reshape(shape)
    valid = spread(~masked_steps(shape[:2], generator, kind), array)
    return np.where(generator.random(shape) < 0.1, array, valid) if len(shape) > 2 else np.array(valid)


def _sparse_feeds(
    parts: tuple[Node, Node, Node],
    type: TensorType,
    sizes: Mapping[str, int],
    generator: np.random.Generator,
    kind: int,
) -> dict[str, Array]:
    """Return the inputs of a sparse tensor: a third of the elements of a dense one, whose rows are of all kinds."""
    shape = known_shape(type, sizes)
    count = math.prod(shape) // 3
    positions = np.sort(generator.choice(math.prod(shape), count, replace=False)) if count else np.zeros(0, np.int64)
    indices = np.stack(np.unravel_index(positions, shape), axis=1).astype(np.int64).reshape(count, len(shape))
    source = InputValues(type.dtype, InputUse(), -math.inf, math.inf, generator)
    values = _make_array(source, shape, kind)[tuple(indices.T)]
    arrays = indices, values, np.asarray(shape, np.int64)
    return {part.op.label: array for part, array in zip(parts, arrays, strict=True) if isinstance(part.op, Input)}
