"""Random inputs for a graph, made from its signature: what verification feeds.

They reach what constant shapes and plain random numbers would miss: several batch sizes and lengths, indices that fit
the table they select from, masked steps (holes, padding, a sequence with nothing valid, one with everything), sparse
tensors whose three inputs agree, inputs with and without their default.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kir.errors import KirError, LimitError, ShapeError
from kir.ir.dims import Dim, Sym, substitute
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array
from kir.ir.structural import TRAINING_INPUT, Constant, Input
from kir.ir.types import BATCH, DType, Shape, TensorType, format_shape
from kir.numerics.cost import MOVEMENTS, Cost, describe, run_cost
from kir.ops.elementwise import Div, Equal, Mod, Pow
from kir.ops.lookup import Lookup
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.shape import Gather, GatherElements, GatherND, OneHot, Slice
from kir.ops.sparse import SparseToDense

Sizes = dict[str, int]

# The batch and the lengths of each run; the second and later lengths are other numbers, so that mixed-up axes show.
WANTED: tuple[tuple[int, tuple[int, ...]], ...] = ((1, (1,)), (2, (4, 3, 6, 5)), (7, (5, 8, 3, 6)))

# Sizes above this one ask for more memory than a machine has.
LARGEST_SIZE = 1 << 24

# The least size of a model from which on the batches of its runs are small: whatever it computes is much.
LARGE_SIZE = 1_000

# What a size is multiplied with while a model refuses the wanted ones: windows and strides need a few steps.
FACTORS = (1, 2, 3, 4, 8, 16, 32, 64)

# Of all runs together, in products: about what one processor core verifies in two seconds.
ENOUGH_WORK = 4 * 10**9

SEQUENCE_LENS = 4  # the slot of a recurrent operator for the number of steps per sequence
MAX_EXPONENT = 4  # of integers: larger ones overflow, negative ones have no integer power

KNOWN_SHARE = 0.7  # of what is looked up in a table: the rest is most likely unknown there
WORDS = ("", "a", "zebra", "ΑΩ", "two words")


@dataclass
class InputUse:
    """What a graph does with the elements of an input.

    `indexed` holds sizes that integers must stay below (and not be negative), `compared` the constants that elements
    are compared with, `keys` those of tables that they are looked up in, `divides` says that integers must not be 0.
    """

    indexed: list[Dim] = field(default_factory=list)
    compared: list[Any] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)
    divides: bool = False


def choose_sizes(graph: Graph, accepts: Callable[[Sizes], bool] | None = None) -> list[Sizes]:
    """Return values for the symbolic sizes of the inputs, one dictionary per run; see `choose_runs`."""
    return [sizes for sizes, _ in choose_runs(graph, accepts)]


def choose_runs(graph: Graph, accepts: Callable[[Sizes], bool] | None = None) -> list[tuple[Sizes, Cost]]:
    """Return values for the symbolic sizes of the inputs, one dictionary per run, and what each run costs.

    There are three runs, or two if that is work enough, or only those that take a bounded amount of memory.

    Args:
        graph: whose inputs are to be fed.
        accepts: whether sizes work; by default, whether every operator infers a type with them.

    Raises:
        ShapeError: no sizes that were tried work.
        LimitError: a run takes too much memory with all of them.
    """
    accepts = accepts or (lambda sizes: _fits(graph, sizes))
    names = input_symbols(graph)
    if not names:
        chosen: list[Sizes] = [{} for _ in WANTED]
    else:
        required = _required_sizes(graph, names)
        least = _least_sizes(names, required)
        batches = (1, 2, 1) if max(least.values()) >= LARGE_SIZE else tuple(batch for batch, _ in WANTED)
        chosen = []
        for batch, (_, lengths) in zip(batches, WANTED, strict=True):
            candidates = _candidates(graph, least, batch, lengths)
            # Whether sizes fit is found from the types at once, and from the operators by a copy of the graph.
            fitting = (sizes for sizes in candidates if _are_at_least(0, required, sizes))
            chosen.append(_first_accepted(names, fitting, accepts))
    costs = [run_cost(graph, sizes) for sizes in chosen]
    affordable = [index for index, cost in enumerate(costs) if cost.is_bounded]
    if not affordable:
        cheapest = min(range(len(chosen)), key=lambda index: costs[index].bytes)
        raise LimitError(describe(costs[cheapest], chosen[cheapest]))
    if sum(costs[index].work for index in affordable) > ENOUGH_WORK:
        affordable = affordable[:2]
    return [(chosen[index], costs[index]) for index in affordable]


def random_feeds(
    graph: Graph,
    seed: int | Sequence[int],
    sizes: Mapping[str, int],
    *,
    feed_defaults: bool = False,
    bounds: Mapping[str, int] | None = None,
) -> dict[str, Array]:
    """Return an array for every input, by name; the switch of a training export is fed False.

    Args:
        graph: whose inputs are to be fed.
        seed: equal seeds give equal feeds.
        sizes: a value for every symbolic size, see `choose_sizes`.
        feed_defaults: also feed inputs that have a default.
        bounds: one more than the largest integer to feed an input, where the graph does not tell.
    """
    generator = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    sparse = {node.op.label for parts, _ in _sparse_inputs(graph) for node in parts if isinstance(node.op, Input)}
    for parts, type in _sparse_inputs(graph):
        feeds.update(_sparse_feeds(parts, type, sizes, generator))
    for node in graph.inputs:
        op = node.op
        assert isinstance(op, Input)
        if op.label == TRAINING_INPUT:
            feeds[op.label] = np.array(False)
        elif op.label not in sparse and (op.default is None or feed_defaults):
            use = find_use(graph, node)
            limits = [substitute(dim, sizes) for dim in use.indexed] + [(bounds or {}).get(op.label, math.inf)]
            bound = min(limit for limit in limits if not isinstance(limit, Sym))
            shape = _known_shape(op.type, sizes)
            feeds[op.label] = _random_array(op.type.dtype, shape, bound, use, generator)
    return feeds


def input_symbols(graph: Graph) -> list[str]:
    """Return the names of the sizes that feeds decide, in the order of the inputs; no counts of sparse inputs."""
    counts = {parts[1].output.type.shape[0] for parts, _ in _sparse_inputs(graph)}
    shapes = [node.output.type.shape for node in graph.inputs] + [type.shape for _, type in _sparse_inputs(graph)]
    dims = [dim for shape in shapes for dim in shape if isinstance(dim, Sym) and dim not in counts]
    return list(dict.fromkeys(name for dim in dims for name in sorted(dim.names())))


def find_use(graph: Graph, node: Node) -> InputUse:
    """Follow an input through operators that only move or convert its elements."""
    use = InputUse()
    pending: list[Value] = [node.output]
    seen = set(pending)
    while pending:
        value = pending.pop()
        for reader in graph.uses(value):
            op = reader.node.op
            if isinstance(op, MOVEMENTS) or (isinstance(op, Gather) and reader.slot == 0):
                pending += [output for output in reader.node.outputs if output not in seen]
                seen.update(reader.node.outputs)
            elif isinstance(op, Lookup):
                use.keys.extend(op.keys)
            elif isinstance(op, Equal):
                use.compared.extend(_constant_scalar(reader.node.inputs[1 - reader.slot]))
            else:
                use.divides |= isinstance(op, Div | Mod) and reader.slot == 1
                use.indexed.extend(_indexed_sizes(reader.node, reader.slot))
    return use


def _indexed_sizes(node: Node, slot: int) -> list[Dim]:
    """Return the sizes that the input in a slot selects from."""
    op, data = node.op, node.inputs[0]
    assert data is not None
    if isinstance(op, Gather | GatherElements) and slot == 1:
        return [data.type.shape[op.axis]]
    if isinstance(op, GatherND) and slot == 1:
        return list(data.type.shape[op.batch_dims :])
    if isinstance(op, RNN | GRU | LSTM) and slot == SEQUENCE_LENS:
        return [data.type.shape[0] + 1]
    if isinstance(op, Pow) and slot == 1 and not data.type.dtype.is_float:
        return [MAX_EXPONENT + 1]
    return [op.depth] if isinstance(op, OneHot) and slot == 0 else []


def _constant_scalar(value: Value | None) -> list[Any]:
    """Return the one element of a constant, possibly converted or reshaped; nothing for any other value."""
    while value is not None and isinstance(value.node.op, MOVEMENTS):
        value = value.node.inputs[0]
    op = None if value is None else value.node.op
    return [op.value.array.item()] if isinstance(op, Constant) and op.value.array.size == 1 else []


# Sizes


def _required_sizes(graph: Graph, names: Sequence[str]) -> list[Sym]:
    """Return the sizes in a graph that may be less than 1 for some inputs, and how far slices stay inside."""
    found: dict[Dim, None] = {}
    for node in graph.nodes():
        for value in node.outputs:
            found.update(dict.fromkeys(value.type.shape))
        source = node.inputs[0] if node.inputs else None
        if isinstance(node.op, Slice) and source is not None:
            for axis, start, end in zip(node.op.axes, node.op.starts, node.op.ends, strict=True):
                # Up to the end of an axis is inside.
                found.update(dict.fromkeys(source.type.shape[axis] - bound + 1 for bound in (start, end)))
    decided = frozenset(names)
    return [dim for dim in found if isinstance(dim, Sym) and dim.names() <= decided and not _is_positive(dim)]


def _is_positive(dim: Sym) -> bool:
    """Return whether a size is a sum of products of names, and so at least 1 where these are."""
    return all(
        coefficient > 0 and all(isinstance(atom, str) for atom in monomial) for monomial, coefficient in dim.terms
    )


def _are_at_least(bound: int, required: Sequence[Sym], sizes: Sizes) -> bool:
    try:
        return all(_value(dim, sizes) >= bound for dim in required)
    except ShapeError:  # a division by 0
        return False


def _value(dim: Sym, sizes: Sizes) -> int:
    value = substitute(dim, sizes)
    assert isinstance(value, int)
    return value


def _least_sizes(names: Sequence[str], required: Sequence[Sym]) -> Sizes:
    """Return the least sizes with which no required size is below 1; all 1 if there are none, and 1 for the batch.

    The larger the sizes of inputs, the larger those in the graph: so a size is doubled until it fits, and then halved
    in on the least one that does; first all sizes as one, then each for itself.
    """

    free = [name for name in names if name != BATCH.name]
    least = dict.fromkeys(names, 1)
    if not free or _are_at_least(1, required, least):
        return least
    for group in (free, *([name] for name in free)):
        size = _least_size(required, least, group)
        if size is None:
            return dict.fromkeys(names, 1)
        least |= dict.fromkeys(group, size)
    return least


def _least_size(required: Sequence[Sym], sizes: Sizes, group: Sequence[str]) -> int | None:
    """Return the least size that names in a group may have as one, the others as given; None if none is found."""

    def fits(size: int) -> bool:
        return _are_at_least(1, required, sizes | dict.fromkeys(group, size))

    high = sizes[group[0]]
    while not fits(high):
        high *= 2
        if high > LARGEST_SIZE:
            return None
    low = 0  # does not fit, or is too small to ask about
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _first_accepted(names: Sequence[str], candidates: Iterator[Sizes], accepts: Callable[[Sizes], bool]) -> Sizes:
    for sizes in candidates:
        if accepts(sizes):
            return sizes
    raise ShapeError(
        f"found no values for the sizes {', '.join(names)} with which every operator works; give concrete ones "
        "(--input-shapes NAME:1,3,224)"
    )


def _candidates(graph: Graph, least: Sizes, batch: int, lengths: Sequence[int]) -> Iterator[Sizes]:
    """Yield the wanted sizes, then larger ones, equal ones, multiples, larger batches, and sizes in the graph.

    They count from the least size of each input on: one wanted as 1 is the least.
    """

    def make(batch: int, sizes: Iterator[int]) -> Sizes:
        return {name: batch if name == BATCH.name else one + next(sizes) - 1 for name, one in least.items()}

    for factor in FACTORS:
        yield make(batch, (length * factor for length in itertools.cycle(lengths)))
        yield make(batch, itertools.repeat(lengths[0] * factor))
        if max(least.values()) > 1:
            numbers = itertools.cycle(lengths)
            yield {
                name: batch if name == BATCH.name else factor * max(next(numbers), -(-one // factor))
                for name, one in least.items()
            }
    for factor in FACTORS:
        yield make(batch * factor, (length * factor for length in itertools.cycle(lengths)))
    known = {dim for node in graph.nodes() for value in node.outputs for dim in value.type.shape}
    occurring = sorted(dim for dim in known if isinstance(dim, int))[:50]
    for size in occurring:
        yield make(batch, itertools.repeat(size))
    for size in occurring:
        yield make(size, itertools.cycle(lengths))


def _fits(graph: Graph, sizes: Sizes) -> bool:
    try:
        for _ in graph.infer_types(sizes):
            pass
    except KirError:
        return False
    return True


def _known_shape(type: TensorType, sizes: Mapping[str, int]) -> tuple[int, ...]:
    known: list[int] = []
    for dim in type.shape:
        size = substitute(dim, sizes)
        if not isinstance(size, int):
            raise ShapeError(f"no value was given for the sizes in {format_shape(type.shape)}; received {dict(sizes)}")
        known.append(size)
    return tuple(known)


# Arrays


def _random_array(
    dtype: DType, shape: tuple[int, ...], bound: float, use: InputUse, generator: np.random.Generator
) -> Array:
    array = _plain_array(dtype, shape, bound, generator)
    special = use.compared
    if use.keys:
        keys = np.asarray(use.keys, array.dtype)
        array = np.where(generator.random(shape) < KNOWN_SHARE, generator.choice(keys, size=shape), array)
    if use.divides and dtype.is_integer:
        array = np.where(array == 0, 1, array)
    if special and array.ndim:
        chosen = generator.choice(np.asarray(special), size=shape[:2])
        masked = masked_steps(shape[:2], generator)
        # A step that is to be valid must not be masked by chance.
        valid = np.isin(array, special) & ~_spread(masked, array)
        other = next(number for number in itertools.count(1) if number not in special)
        array = np.where(valid, np.asarray(min(other, bound - 1)), array)
        array = np.where(_spread(masked, array), _spread(chosen, array), array)
    return np.asarray(array).astype(dtype.numpy)


def _plain_array(dtype: DType, shape: tuple[int, ...], bound: float, generator: np.random.Generator) -> Array:
    if dtype is DType.STRING:
        return generator.choice(np.asarray(WORDS, object), size=shape)
    if dtype is DType.BOOL:
        return generator.random(shape) < 0.5
    if bound < math.inf:
        return generator.integers(0, max(int(bound), 1), shape, dtype=np.int64)
    if dtype.is_float:
        return np.asarray(generator.standard_normal(shape) * generator.choice([0.5, 1.0, 3.0]))
    return generator.integers(0 if dtype.value.startswith("u") else -10, 11, shape, dtype=np.int64)


def masked_steps(shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Return booleans [batch, time], true where masked.

    Rows, as far as there are: everything valid, nothing valid, padding at the end, padding at the front; the others,
    and a single row, have holes at random.
    """
    masked = generator.random(shape) < 0.4
    if len(shape) == 2 and shape[0] > 1:
        steps, half = np.arange(shape[1]), (shape[1] + 1) // 2
        for row, pattern in enumerate((steps < 0, steps >= 0, steps >= half, steps < half)[: shape[0]]):
            masked[row] = pattern
    return masked


def _spread(steps: Array, array: Array) -> Array:
    """Spread an array [batch, time] over one with more axes."""
    return np.broadcast_to(steps.reshape(steps.shape + (1,) * (array.ndim - steps.ndim)), array.shape)


# Sparse inputs


def _sparse_inputs(graph: Graph) -> list[tuple[tuple[Node, Node, Node], TensorType]]:
    """Return the inputs for indices, values and shape of each sparse tensor, and the type of the tensor."""
    found: dict[Node, tuple[tuple[Node, Node, Node], TensorType]] = {}
    for node in graph.inputs:
        for reader in graph.consumers(node):
            if isinstance(reader.op, SparseToDense):
                indices, values, size = (value.node for value in reader.inputs if value is not None)
                if all(isinstance(part.op, Input) for part in (indices, values, size)):
                    found[indices] = (indices, values, size), reader.output.type
    return list(found.values())


def _sparse_feeds(
    parts: tuple[Node, Node, Node], type: TensorType, sizes: Mapping[str, int], generator: np.random.Generator
) -> dict[str, Array]:
    shape = _known_shape(type, sizes)
    count = math.prod(shape) // 3
    positions = np.sort(generator.choice(math.prod(shape), count, replace=False)) if count else np.zeros(0, np.int64)
    indices = np.stack(np.unravel_index(positions, shape), axis=1).astype(np.int64).reshape(count, len(shape))
    values = _plain_array(type.dtype, (count,), math.inf, generator).astype(type.dtype.numpy)
    arrays = indices, values, np.asarray(shape, np.int64)
    return {part.op.label: array for part, array in zip(parts, arrays, strict=True) if isinstance(part.op, Input)}


def shape_of_feeds(feeds: Mapping[str, Array]) -> str:
    """Return the shapes of feeds, for messages."""
    shapes: dict[str, Shape] = {name: np.shape(array) for name, array in feeds.items()}
    return ", ".join(f"{name} {format_shape(shape)}" for name, shape in shapes.items()) or "no inputs"
