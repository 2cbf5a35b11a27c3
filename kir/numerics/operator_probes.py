"""Probes of one operator alone: both sides of every kink, ties, zeros, ends of ranges, every row of a table.

What a model makes of its inputs may never reach a place where an operator changes its mind: activations that stay
below a clip limit, comparisons that are never equal, rows that nobody looks up. Here the inputs are chosen for the
operator. Sizes are small: unknown ones get small numbers, and known ones shrink along axes where the operator does not
mind. A size of 1 stays 1, so that broadcasting is that of the model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kir.errors import KirError
from kir.ir.dims import Dim, Sym, is_known, substitute
from kir.ir.op import Array, Op, output_types
from kir.ir.types import BATCH, DType, TensorType, type_of
from kir.numerics.elementwise_probes import elementwise_inputs
from kir.ops import (
    attention,
    convolution,
    elementwise,
    linear,
    lookup,
    nn,
    normalization,
    pooling,
    recurrent,
    reduce,
    resize,
    shape,
    spectral,
)

# The most elements of an input of an operator; larger ones, of which nothing can be left out, are not probed.
MAX_ELEMENTS = 1 << 18

# Sizes of axes that may be any; they differ, so that mixed-up axes show.
SMALL = (5, 3, 4, 6, 2)
# Where that makes many elements, of which most are along the other axes.
LEAST = (5, 2)
MANY = 1 << 14

# What unknown sizes are multiplied with while the operator refuses them.
FACTORS = (1, 2, 4, 8, 16, 32)

# Up to so many indices count from the end, too.
MAX_BACKWARDS = 1000

VARIANCE = 4  # the slot of a BatchNormalization for it
SEQUENCE_LENS = 4  # the slot of a recurrent operator for the number of steps per sequence


Types = Sequence[TensorType | None]


@dataclass(frozen=True)
class OperatorProbe:
    """An operator without unknown sizes, and an array for each of its inputs.

    Attributes:
        op: what is computed.
        inputs: constants among them as they are; None for absent ones.
        fed: the slots of the inputs that are no constants.
        sizes: what the unknown sizes are.
    """

    op: Op
    inputs: tuple[Array | None, ...]
    fed: tuple[int, ...]
    sizes: Mapping[str, int]


def is_telling(op: Op) -> bool:
    """Return whether an operator may do on chosen inputs what it never did on others: whether it bends or selects."""
    return type(op) in TELLING and not (isinstance(op, shape.TopK) and not op.sorted)


def choose_operator_probe(op: Op, types: Types, constants: Sequence[Array | None]) -> OperatorProbe | None:
    """Return inputs for an operator alone; None if all of its inputs are constants, or too large.

    Args:
        op: perhaps with unknown sizes.
        types: of its inputs; None for absent ones.
        constants: the value of each input that has one.
    """
    fed = tuple(slot for slot, type in enumerate(types) if type is not None and constants[slot] is None)
    if not fed:
        return None
    if type(op) in elementwise.ELEMENTWISE:
        arrays = elementwise_inputs(op, types, constants, fed)
        return None if arrays is None else OperatorProbe(op, arrays, fed, {})
    for sizes in _candidate_sizes(op, types):
        bound = op.bind(sizes)
        known = [None if one is None else one.with_shape(substitute(dim, sizes) for dim in one.shape) for one in types]
        listed = _listed_values(bound, known, fed)
        small = _shrink(bound, known, fed)
        if listed is not None:
            small[fed[0]] = type_of(listed)
        if _vanishes(types, known) or not _fits(bound, small):
            continue
        if any(one is not None and slot in fed and _elements(one) > MAX_ELEMENTS for slot, one in enumerate(small)):
            return None
        generator = np.random.default_rng(0)
        drawn = [_draw(bound, slot, small, generator) if slot in fed else one for slot, one in enumerate(constants)]
        if listed is not None:
            drawn[fed[0]] = listed
        return OperatorProbe(bound, tuple(drawn), fed, sizes)
    return None


# Sizes


def _candidate_sizes(op: Op, types: Types) -> Iterator[dict[str, int]]:
    dims = (dim for type in types if type is not None for dim in type.shape if isinstance(dim, Sym))
    names = sorted(op.symbols().union(*[dim.names() for dim in dims]) - {str(BATCH)})
    if not names:
        yield {str(BATCH): SMALL[0]}
        return
    for factor in FACTORS:
        for lengths in (SMALL[1:], SMALL[1:2]):
            chosen = zip(names, itertools.cycle(lengths), strict=False)
            yield {str(BATCH): SMALL[0], **{name: size * factor for name, size in chosen}}


def _fits(op: Op, types: Types) -> bool:
    try:
        return all(not isinstance(dim, Sym) for one in output_types(op, list(types)) for dim in one.shape)
    except KirError:
        return False


def _vanishes(types: Types, known: Types) -> bool:
    """Return whether an unknown size became 0 or less: of no elements a mean is 0 to onnxruntime, and NaN to NumPy."""
    pairs = [(a, b) for a, b in zip(types, known, strict=True) if a is not None and b is not None]
    dims = (dims for a, b in pairs for dims in zip(a.shape, b.shape, strict=True))
    return any(isinstance(before, Sym) and isinstance(after, int) and after < 1 for before, after in dims)


def _elements(type: TensorType) -> int:
    return math.prod(dim if isinstance(dim, int) else 1 for dim in type.shape)


def _shrink(op: Op, types: Types, fed: Sequence[int]) -> list[TensorType | None]:
    """Return types whose sizes are small along the axes that the operator leaves free, if one input alone is fed."""
    smaller = list(types)
    x, find = types[0], FREE_AXES.get(type(op))
    if find is None or x is None or tuple(fed) != (0,):
        return smaller
    kept = find(op, x, types)
    for small in (SMALL, LEAST):
        smaller[0] = shrunk = x.with_shape(
            dim if isinstance(dim, Sym) else min(dim, kept.get(axis, small[axis % len(small)]))
            for axis, dim in enumerate(x.shape)
        )
        if _elements(shrunk) <= MANY:
            break
    return smaller


def _whole(axes: Sequence[int], type: TensorType) -> dict[int, int]:
    return {axis: dim for axis, dim in enumerate(type.shape) if axis in axes and isinstance(dim, int)}


def _in_windows(op: Any, x: TensorType, sizes: Sequence[Dim]) -> dict[int, int]:
    """Return sizes of images with several windows. They leave the same rest by the stride, and so the same padding."""
    kept = _whole(range(2, x.rank), x)
    for axis, (size, stride, dilation) in enumerate(zip(sizes, op.strides, op.dilations, strict=True), 2):
        dim, reach = x.shape[axis], (_known(size) - 1) * dilation + 1 + 2 * stride
        if isinstance(dim, int) and dim > reach:
            kept[axis] = reach + (dim - reach) % stride
    return kept


def _in_convolution(op: convolution.Conv, x: TensorType, types: Types) -> dict[int, int]:
    kernel = types[1]
    assert kernel is not None
    return _whole([1], x) | _in_windows(op, x, kernel.shape[2:])


# For operators of which the first input alone is fed: the sizes of it that stay, or that axes shrink to; others become
# small.
FREE_AXES: dict[type[Op], Callable[[Any, TensorType, Types], dict[int, int]]] = {
    **dict.fromkeys((nn.Softmax, nn.LogSoftmax, shape.CumSum, *reduce.REDUCTIONS), lambda op, x, _: {}),
    **dict.fromkeys((pooling.MaxPool, pooling.AveragePool), lambda op, x, _: _in_windows(op, x, op.kernel_shape)),
    shape.TopK: lambda op, x, _: _whole([op.axis], x),
    shape.Trilu: lambda op, x, _: _whole([x.rank - 2, x.rank - 1], x),
    shape.Pad: lambda op, x, _: {} if op.mode == "constant" else _whole(range(x.rank), x),
    normalization.BatchNormalization: lambda op, x, _: _whole([1], x),
    normalization.InstanceNormalization: lambda op, x, _: _whole([1], x),
    normalization.LayerNormalization: lambda op, x, _: _whole(range(op.axis, x.rank), x),
    **dict.fromkeys((linear.Dense, linear.MatMul), lambda op, x, _: _whole([x.rank - 1], x)),
    **dict.fromkeys((recurrent.RNN, recurrent.GRU, recurrent.LSTM), lambda op, x, _: _whole([2], x)),
    convolution.Conv: _in_convolution,
    convolution.ConvTranspose: lambda op, x, _: _whole([1], x),
}

# Operators that add products up, which all inputs show alike.
ADDING = (
    *(linear.Dense, linear.MatMul, linear.Einsum, convolution.Conv, convolution.ConvTranspose, attention.Attention),
    *(recurrent.RNN, recurrent.GRU, recurrent.LSTM, spectral.STFT),
)

TELLING: frozenset[type[Op]] = frozenset(
    {
        *elementwise.ELEMENTWISE,
        *reduce.REDUCTIONS,
        *(nn.Softmax, nn.LogSoftmax, pooling.MaxPool, pooling.AveragePool, resize.Resize, lookup.Lookup),
        *(normalization.BatchNormalization, normalization.LayerNormalization, normalization.InstanceNormalization),
        *(shape.Gather, shape.GatherND, shape.GatherElements, shape.OneHot, shape.TopK, shape.CumSum, shape.Trilu),
        shape.Pad,
    }
)


# Values


def _listed_values(op: Op, types: Types, fed: Sequence[int]) -> Array | None:
    """Return all that an operator which looks something up is asked for, along the first axis; None for others."""
    data, *others = types
    assert data is not None
    if isinstance(op, lookup.Lookup):
        given, values = data, np.asarray([*op.keys, *_unknown_keys(op)], data.dtype.numpy)
    elif isinstance(op, shape.OneHot) and data.rank:  # an axis of its result may be counted from the end
        given, values = data, _indices(_known(op.depth), 2, data.dtype)
    elif isinstance(op, shape.Gather) and tuple(fed) == (1,) and others[0] is not None:
        given, values = others[0], _indices(_known(data.shape[op.axis]), 0, others[0].dtype)
    else:
        return None
    return values.reshape(-1, *[1] * (given.rank - 1))


def _unknown_keys(op: lookup.Lookup) -> Sequence[int | str]:
    numbers = [key for key in op.keys if isinstance(key, int)]
    return (max(numbers) + 1, min(numbers) - 1) if numbers else ("", "no key of this table")


def _indices(size: int, beyond: int, dtype: DType) -> Array:
    """Return all indices from the front, those from the end up to a number, and some outside."""
    backwards = range(-size - beyond, 0) if size <= MAX_BACKWARDS else (-size, -size // 2, -1)
    info = np.iinfo(dtype.numpy)
    chosen = [index for index in (*range(size + beyond), *backwards) if info.min <= index <= info.max]
    return np.asarray(chosen, dtype.numpy)


def _known(dim: Dim) -> int:
    assert is_known(dim), "sizes are bound before"
    return dim


def _draw(op: Op, slot: int, types: Types, generator: np.random.Generator) -> Array:
    """Return an array for one input, whose sizes are known."""
    type, data = types[slot], types[0]
    assert type is not None
    assert data is not None
    sizes = tuple(map(_known, type.shape))
    if isinstance(op, shape.Gather | shape.GatherElements) and slot == 1:
        size = _known(data.shape[op.axis])
        return generator.integers(-size, size, sizes).astype(type.dtype.numpy)
    if isinstance(op, shape.GatherND) and slot == 1:
        limits = np.asarray([_known(data.shape[op.batch_dims + column]) for column in range(sizes[-1])])
        return generator.integers(-limits, limits, sizes).astype(type.dtype.numpy)
    if isinstance(op, recurrent.RNN | recurrent.GRU | recurrent.LSTM) and slot == SEQUENCE_LENS:
        return np.resize(np.arange(_known(data.shape[0]), -1, -1), sizes).astype(type.dtype.numpy)
    if isinstance(op, ADDING) and type.dtype.is_float:
        return generator.standard_normal(sizes).astype(type.dtype.numpy)
    array = fill(type.dtype, sizes, generator)
    is_variance = isinstance(op, normalization.BatchNormalization) and slot == VARIANCE
    return np.abs(array) if is_variance else array


def fill(dtype: DType, sizes: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Return an array whose rows along the first axis are of several kinds.

    | row | floats                            | integers       | booleans  |
    |-----|-----------------------------------|----------------|-----------|
    | 0   | normal                            | to about 10    | random    |
    | 1   | halves, of which many are equal   | to about 3     | all true  |
    | 2   | all the same                      | all the same   | all false |
    | 3   | large and negative                | negative       |           |
    | 4   | small                             | positive       |           |

    With fewer rows, elements are of the first two kinds at random.
    """
    if dtype is DType.STRING:
        return generator.choice(np.asarray(("", "a", "zebra"), object), size=sizes)
    drawn = generator.standard_normal(sizes)
    kinds = BOOLEAN_ROWS if dtype is DType.BOOL else INTEGER_ROWS if dtype.is_integer else FLOAT_ROWS
    if not sizes or sizes[0] < len(kinds):
        chosen = np.where(generator.random(sizes) < 0.5, kinds[0](drawn), kinds[1](drawn))
    else:
        chosen = drawn
        for row, kind in enumerate(kinds):
            chosen[row :: len(kinds)] = kind(drawn[row :: len(kinds)])
    if dtype.value.startswith("u"):
        chosen = np.abs(chosen)
    return np.asarray(chosen).astype(dtype.numpy)


Kind = Callable[[Array], Array]

# What is made of normal numbers, for each kind of row that `fill` lists.
BOOLEAN_ROWS: tuple[Kind, ...] = (lambda x: x > 0, np.ones_like, np.zeros_like)
INTEGER_ROWS: tuple[Kind, ...] = (
    lambda x: np.rint(3 * x),
    np.rint,
    lambda x: np.full_like(x, 2),
    lambda x: -np.rint(np.abs(9 * x)),
    lambda x: np.rint(np.abs(9 * x)),
)
FLOAT_ROWS: tuple[Kind, ...] = (
    lambda x: x,
    lambda x: np.rint(2 * x) / 2,
    lambda x: np.full_like(x, -1.5),
    lambda x: -30 * np.abs(x) - 1,
    lambda x: 0.001 * x + 0.002,
)
