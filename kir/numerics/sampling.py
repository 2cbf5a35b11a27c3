"""Parts of what an operator computes: the same operator on fewer positions, where all of them are dear to compute.

A part is a problem of the same kind, an operator with inputs and outputs, and its elements are those of the whole. It
holds along every axis the first positions, the last ones and some between, so borders, corners and the middle of
images, and of a convolution all channels and all elements of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kir.errors import ShapeError
from kir.ir.op import Array, Op, output_types
from kir.ir.types import format_shape, type_of
from kir.ops.attention import Attention
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.elementwise import ELEMENTWISE
from kir.ops.linear import Dense, MatMul
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.normalization import BatchNormalization, InstanceNormalization, LayerNormalization
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.reduce import REDUCTIONS
from kir.ops.resize import Resize
from kir.ops.windows import explicit_padding

# Below this many products an operator is computed as a whole.
CHEAP_WORK = 1 << 17
# About how many products a part takes, if it is not the least part.
PART_WORK = 1 << 18
# How many positions of an axis are in a part, at least and at most.
LEAST, MOST = 4, 12
# How many elements of an elementwise result are in a part.
ELEMENTS = 1 << 11
# Sequences of a recurrent layer, channels of an image that is resized, samples of a batch.
FEW = 3


@dataclass(frozen=True)
class Part:
    """Some of the results of an operator.

    Attributes:
        op: the operator that computes them.
        inputs: what from; None for an absent input.
        outputs: the same elements of the arrays that the whole operator gave; None where that was not known.
        count: how many positions of the results they are.
        total: of how many.
    """

    op: Op
    inputs: tuple[Array | None, ...]
    outputs: tuple[Array | None, ...]
    count: int = 1
    total: int = 1


def take_part(op: Op, inputs: Sequence[Array | None], outputs: Sequence[Array | None]) -> Part:
    """Return a part of what an operator computed, or all of it, if that is cheap or the operator has no parts.

    Args:
        op: an operator, its symbolic sizes bound.
        inputs: its inputs.
        outputs: what it gave; None for a result that is not known.

    Raises:
        ShapeError: the results have other shapes than the operator gives.
    """
    sampler = SAMPLERS.get(type(op))
    if sampler is None or outputs[0] is None or _work(op, inputs, outputs[0]) <= CHEAP_WORK:
        return Part(op, tuple(inputs), tuple(outputs))
    _require_shapes(op, inputs, outputs)
    return sampler(op, inputs, outputs)


def _work(op: Op, inputs: Sequence[Array | None], y: Array) -> int:
    """Return about how many products an operator takes."""
    if isinstance(op, PRODUCTS):
        return y.size * _terms(op, inputs)
    return max(array.size for array in (y, *inputs) if array is not None)


def _require_shapes(op: Op, inputs: Sequence[Array | None], outputs: Sequence[Array | None]) -> None:
    expected = output_types(op, [None if x is None else type_of(x) for x in inputs])
    for y, type in zip(outputs, expected, strict=True):
        if y is not None and y.shape != type.shape:
            raise ShapeError(f"the result has shape {format_shape(y.shape)}, expected {format_shape(type.shape)}")


def _terms(op: Op, inputs: Sequence[Array | None]) -> int:
    """Return how many products are summed for each element of a result."""
    x, kernel = (*inputs, None)[:2]
    assert x is not None
    if isinstance(op, MaxPool | AveragePool):
        return math.prod(op.kernel_shape)
    if isinstance(op, Attention):
        assert kernel is not None
        return 2 * int(kernel.shape[1])
    if isinstance(op, Dense | MatMul):
        return int(x.shape[-1])
    if isinstance(op, RNN | GRU | LSTM):
        return int(op.gates * (x.shape[-1] + op.units))
    assert kernel is not None
    return math.prod(kernel.shape[1:]) if isinstance(op, Conv) else math.prod(kernel.shape[2:]) * kernel.shape[0]


PRODUCTS = (Conv, ConvTranspose, MaxPool, AveragePool, Attention, Dense, MatMul, RNN, GRU, LSTM)


# Choosing positions


def few(size: int, most: int) -> Array:
    """Return at most so many indices of an axis: two thirds at its ends, the others evenly between."""
    if size <= most:
        return np.arange(size)
    at_ends = max(1, most // 3)
    inner = np.linspace(at_ends, size - at_ends - 1, most - 2 * at_ends + 2)[1:-1].round().astype(int)
    # Not np.unique, which imports numpy.ma: 30 ms of every cold export.
    return np.array(sorted({*range(at_ends), *inner.tolist(), *range(size - at_ends, size)}))


def _few_of(sizes: Sequence[int], positions: float) -> list[Array]:
    """Return indices along several axes, about so many positions in all."""
    each = int(max(positions, 1) ** (1 / max(len(sizes), 1)))
    return [few(size, min(max(each, LEAST), max(MOST, each if len(sizes) == 1 else MOST))) for size in sizes]


def _taken(array: Array, picks: Mapping[int, Array]) -> Array:
    for axis, indices in picks.items():
        array = np.take(array, indices, axis)
    return array


def _counts(op: Op, outputs: Sequence[Array], picks: Mapping[int, Array]) -> tuple[int, int]:
    return math.prod(map(len, picks.values())), math.prod(outputs[0].shape[axis] for axis in picks)


# Windows


def _sample_windows(op: Any, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Part:
    """Lay the windows of some positions side by side: the same operator with a stride of its size, without padding."""
    x, *weights = inputs
    (y,) = outputs
    assert x is not None
    is_transposed = isinstance(op, ConvTranspose)
    kernel = weights[0] if weights else None
    sizes = op.kernel_shape if kernel is None else kernel.shape[2:]
    windows = op.windows() if kernel is None else op.windows(sizes)
    batch = few(len(x), FEW)
    each_position = len(batch) * y.shape[1] * _terms(op, inputs)
    chosen = _few_of(y.shape[2:], PART_WORK / max(each_position, 1))
    if is_transposed:
        read = [
            _read_transposed(positions + before, window, size)
            for positions, window, before, size in zip(chosen, windows, op.padding, x.shape[2:], strict=False)
        ]
        weights = [_transposed_kernel(op, weights[0]), *weights[1:]]
    else:
        pads = explicit_padding(windows, x.shape[2:], op.padding)
        read = [
            positions[:, None] * window.stride + np.arange(window.size) * window.dilation - before
            for positions, window, (before, _) in zip(chosen, windows, pads, strict=True)
        ]
    samples = x if len(batch) == len(x) else x[batch]  # without a copy, where all are taken
    gathered = _gather(samples, read, _filling(op, x))
    if isinstance(op, AveragePool):
        gathered = _weigh(op, x, gathered, y.shape[2:], chosen)
    part = _taken(y, {0: batch, **dict(enumerate(chosen, 2))})
    count, total = math.prod(map(len, chosen)), math.prod(y.shape[2:])
    return Part(_side_by_side(op, sizes), (gathered, *weights), (part,), count, total)


def _side_by_side(op: Any, sizes: tuple[int, ...]) -> Op:
    rank = len(sizes)
    settings: dict[str, Any] = {"strides": tuple(sizes), "dilations": (1,) * rank, "padding": (0,) * (2 * rank)}
    if isinstance(op, ConvTranspose):
        return Conv(groups=op.groups, **settings)
    return replace(op, **settings) if isinstance(op, Conv) else replace(op, ceil_mode=False, **settings)


def _filling(op: Op, x: Array) -> Any:
    """Return what counts as padding: nothing larger than any element, of which none is the largest."""
    if not isinstance(op, MaxPool):
        return 0
    return np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf


def _read_transposed(places: Array, window: Any, size: int) -> Array:
    """Return the element that each element of the kernel is multiplied with, for it to add to a place; -1 for none."""
    steps = places[:, None] - np.arange(window.size) * window.dilation
    read = steps // window.stride
    return np.where((steps % window.stride == 0) & (read >= 0) & (read < size), read, -1)


def _transposed_kernel(op: ConvTranspose, kernel: Array | None) -> Array:
    """Return the kernel [C, M/groups, *k] as that of a convolution, [M, C/groups, *k]."""
    assert kernel is not None
    channels, units, *sizes = kernel.shape
    grouped = kernel.reshape(op.groups, channels // op.groups, units, *sizes).swapaxes(1, 2)
    return grouped.reshape(op.groups * units, channels // op.groups, *sizes)


def _gather(x: Array, read: Sequence[Array], filling: Any) -> Array:
    """Return the elements x[n, c, *read], of each axis one after the other; what is outside of x is filled."""
    for axis, indices in enumerate(read, 2):
        flat = indices.ravel()
        inside = (flat >= 0) & (flat < x.shape[axis])
        if inside.all():
            x = np.take(x, flat, axis)
        else:
            x = np.take(x, np.where(inside, flat, 0), axis)
            x = np.where(inside.reshape(-1, *(1,) * (x.ndim - axis - 1)), x, x.dtype.type(filling))
    return x


def _weigh(op: AveragePool, x: Array, gathered: Array, counts: tuple[int, ...], chosen: Sequence[Array]) -> Array:
    """Return windows whose plain means are those over the elements that count."""
    divisors = np.broadcast_to(op.divisors(x.astype(np.float64), counts), counts)[np.ix_(*chosen)]
    weights = math.prod(op.kernel_shape) / divisors
    for axis, size in enumerate(op.kernel_shape):
        weights = np.repeat(weights, size, axis)
    return np.asarray(gathered * weights)


# Elements


def _sample_elements(op: Op, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Part:
    """Take elements from everywhere, and the extremes of each input."""
    (y,) = outputs
    # Steps of the golden section are spread evenly over all axes, whatever their sizes.
    flat = np.arange(ELEMENTS, dtype=np.int64) * (int(y.size * 0.6180339887) | 1) % y.size
    extremes = [find(x) for x in inputs if x is not None and x.shape == y.shape for find in (np.argmin, np.argmax)]
    places = np.unravel_index(np.concatenate([flat, np.asarray(extremes, np.int64)]), y.shape)
    given = [x if x is None or x.ndim == 0 else np.broadcast_to(x, y.shape)[places] for x in inputs]
    return Part(op, tuple(given), (y[places],), len(places[0]), y.size)


# Lines: the results along some axes do not depend on one another


def _sample_lines(
    op: Op,
    inputs: Sequence[Array | None],
    outputs: Sequence[Array],
    free: Sequence[int],
    axes_of_inputs: Callable[[int, int], int | None],
    positions: float,
) -> Part:
    """Take some positions along the axes `free` of the first output.

    `axes_of_inputs` returns which axis of an input, by index, is that axis of the output; None if it has none.
    """
    picks = dict(zip(free, _few_of([outputs[0].shape[axis] for axis in free], positions), strict=True))
    given: list[Array | None] = []
    for index, x in enumerate(inputs):
        mapped = {axes_of_inputs(index, axis): indices for axis, indices in picks.items()}
        kept = {axis: indices for axis, indices in mapped.items() if axis is not None}
        given.append(None if x is None else _taken(x, {a: i for a, i in kept.items() if x.shape[a] > 1}))
    return Part(op, tuple(given), tuple(_taken(y, picks) for y in outputs), *_counts(op, outputs, picks))


def _only_first(index: int, axis: int) -> int | None:
    return axis if index == 0 else None


def _sample_rows(op: Any, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Part:
    """Sample a Dense, a softmax, a LayerNormalization along all axes but those that they join."""
    y = outputs[0]
    joined = _joined_axes(op, y.ndim)
    free = [axis for axis in range(y.ndim) if axis not in joined]
    each = math.prod(y.shape[axis] for axis in joined) * (_terms(op, inputs) if isinstance(op, Dense) else 1)
    return _sample_lines(op, inputs, outputs, free, _only_first, PART_WORK / max(each, 1))


def _joined_axes(op: Op, rank: int) -> tuple[int, ...]:
    """Return the axes along which all results are computed: those that an operator joins, and those of its weights."""
    if isinstance(op, Softmax | LogSoftmax):
        return (op.axis,)
    if isinstance(op, BatchNormalization):
        return (1,)
    if isinstance(op, InstanceNormalization):
        return tuple(range(1, rank))
    return tuple(range(op.axis, rank)) if isinstance(op, LayerNormalization) else (rank - 1,)


def _sample_reduction(op: Any, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Part:
    (x,) = inputs
    assert x is not None
    kept = [axis for axis in range(x.ndim) if axis not in op.reduced]
    place = {axis if op.keepdims else index: axis for index, axis in enumerate(kept)}
    each = math.prod(x.shape[axis] for axis in op.reduced)
    return _sample_lines(op, inputs, outputs, list(place), lambda _, axis: place[axis], PART_WORK / 4 / max(each, 1))


def _sample_matmul(op: MatMul, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Part:
    """Take some rows of the first matrix, and some of the matrices."""
    a, b = inputs
    (y,) = outputs
    assert a is not None
    assert b is not None
    if min(a.ndim, b.ndim) < 2:
        return Part(op, (a, b), (y,))

    def axis_of(index: int, axis: int) -> int | None:
        x = (a, b)[index]
        mine = axis - y.ndim + x.ndim
        return None if mine < 0 or (index == 1 and axis == y.ndim - 2) else mine

    each = y.shape[-1] * a.shape[-1]
    return _sample_lines(op, inputs, outputs, range(y.ndim - 1), axis_of, PART_WORK / max(each, 1))


def _sample_attention(op: Attention, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Part:
    """Take some queries of some samples."""

    def axis_of(index: int, axis: int) -> int | None:
        if axis == 0:
            bias = inputs[3] if index == 3 else None
            return 0 if index < 3 or (bias is not None and bias.ndim == 4) else None
        bias = inputs[3] if index == 3 else None
        return 1 if index == 0 else None if bias is None else bias.ndim - 2

    return _sample_lines(op, inputs, outputs, (0, 1), axis_of, LEAST**2)


def _sample_sequences(op: Op, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Part:
    """Take some sequences of a recurrent layer, with all their steps."""
    x, kernel, recurrent, bias, *optional = inputs
    assert x is not None
    chosen = few(x.shape[1], FEW)
    given = [None if one is None else np.take(one, chosen, 0 if one.ndim == 1 else 1) for one in optional]
    y, *states = outputs
    results = (np.take(y, chosen, 2), *(None if state is None else np.take(state, chosen, 1) for state in states))
    return Part(op, (np.take(x, chosen, 1), kernel, recurrent, bias, *given), results, len(chosen), x.shape[1])


def _sample_images(op: Resize, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Part:
    """Take some of the images that are resized, whole."""
    (x,) = inputs
    (y,) = outputs
    assert x is not None
    picks = {
        axis: few(given, FEW)
        for axis, (given, wanted) in enumerate(zip(x.shape, y.shape, strict=True))
        if given == wanted
    }
    part = _taken(y, picks)
    return Part(replace(op, shape=part.shape), (_taken(x, picks),), (part,), *_counts(op, outputs, picks))


def _samplers() -> Iterator[tuple[type[Op], Callable[..., Part]]]:
    yield from dict.fromkeys((Conv, ConvTranspose, MaxPool, AveragePool), _sample_windows).items()
    yield from dict.fromkeys(ELEMENTWISE, _sample_elements).items()
    normalizations = BatchNormalization, InstanceNormalization, LayerNormalization
    yield from dict.fromkeys((Dense, Softmax, LogSoftmax, *normalizations), _sample_rows).items()
    yield from dict.fromkeys(REDUCTIONS, _sample_reduction).items()
    yield from dict.fromkeys((RNN, GRU, LSTM), _sample_sequences).items()
    yield from ((MatMul, _sample_matmul), (Attention, _sample_attention), (Resize, _sample_images))


SAMPLERS: dict[type[Op], Callable[..., Part]] = dict(_samplers())
