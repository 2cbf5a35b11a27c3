"""What one operator may compute on given inputs, whatever is before and after it.

The reference is the operator's own meaning, in float64, on the very numbers that a runtime gave it. No errors of other
operators pile up in it, so the bound is tight:

    allowed = ROUNDINGS · unit · size + PLACES · unit · |y| + tiny

with the unit of the result's dtype (the distance from 1 to the next float) and the sizes of `rounding_sizes`, which say
how large the terms are that are rounded inside the operator. Which operators are decided without a bound:

1. Those of `EXACT`, and all integers, booleans and texts, must be equal. A tie (Round, a comparison, ArgMax, TopK) is
   one of the given numbers, so every right implementation decides it the same way. A float that does not fit the
   integer that it is cast to, a division of integers by 0, a MaxPool of NaN or of nothing but minus infinity, and a
   maximum or minimum of NaN have no defined result.
2. An If, Loop or Scan is run with random roundings of the operators inside, as a whole model is.
3. A recurrent layer and attention round inside in ways that no single size describes. They are run 24 times with
   random roundings inside, as in `rounding`, and SPREADS times their largest distance is the bound. Where they give NaN
   or overflow, nothing is compared: the vectorized functions of a runtime's kernels may clip either to a number.

Why ROUNDINGS is 8: one rounding is half a unit of the result, and a size counts all that happen on the way as if each
were a whole one in a random direction; a kernel that sums in another order, evaluates a function by a polynomial with
an error of a few places, or is written out in several steps at an old opset, stays within a small multiple of that. The
largest error measured over all operators of the tests' table, all layers and 200 random models was 2 sizes, so a margin
of 4 is left.
PLACES are for a reference that itself is rounded, in a model of float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from kir.ir.control import ControlOp
from kir.ir.graph import Node
from kir.ir.interpreter import Observer, evaluate, widened
from kir.ir.op import Array, Op
from kir.numerics.expected import MULTIPLE, Expected, Spread
from kir.numerics.rounding import RandomRounding, measure_as_needed
from kir.numerics.rounding_sizes import PLAIN, SIZES, epsilon, finfo, is_float_array, size_as_computed, widen
from kir.numerics.rounding_sizes import is_exact as is_exact_anywhere
from kir.ops.attention import Attention
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.elementwise import Cast, Div, Mod, Pow
from kir.ops.linear import Dense, MatMul
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.opaque import Opaque
from kir.ops.pooling import MaxPool
from kir.ops.quantization import DynamicQuantizeLinear, QuantizeLinear
from kir.ops.random import Dropout
from kir.ops.reduce import ReduceMax, ReduceMin
from kir.ops.resize import Resize

ROUNDINGS = 8.0
PLACES = 4.0

# Of runs with roundings inside: how many times the largest distance is allowed, how many runs, of how many copies.
SPREADS = 8.0
# What a recurrent layer takes goes with its steps, whatever the number of copies; attention takes memory for each copy.
SPREAD_RUNS, SPREAD_COPIES = 2, 12
ATTENTION_RUNS, ATTENTION_COPIES = 4, 6
RUNS_WITH_ROUNDINGS = 24

Inputs = Sequence[Array | None]

# Operators that are decided so, whatever their results are: integers may be one step off, where a rounding decides.
ROUNDING_INSIDE = (Opaque, QuantizeLinear, DynamicQuantizeLinear)

# How many elements of a kernel are converted at a time.
BLOCK_ELEMENTS = 1 << 19

# Operators whose sizes are safe from overflow in their own precision, and cost as much as they do.
SIZED_NARROW = (Dense, MatMul, Conv, ConvTranspose)
# Below this size, squares of single terms may have vanished in float32, which begins at 1e-38.
VANISHING = 1e-15


def expect_results(node: Node, op: Op, inputs: Inputs) -> tuple[Expected, ...]:
    """Return what an operator may compute for each of its outputs.

    Args:
        node: where it stands; what is expected does not depend on it.
        op: the operator of the node, its symbolic sizes bound; or one that computes a part of its results.
        inputs: its inputs in the model's own dtypes; None for an absent one.

    Raises:
        ValueError: the operator does not take these inputs.
    """
    if isinstance(op, ControlOp):
        return _expect_bodies(op, inputs)
    with np.errstate(all="ignore"):
        if isinstance(op, Opaque):
            op, inputs = op.resolve(inputs)
        if is_exact(node, op):
            return tuple(_expect_exactly(op, inputs, y) for y in _as_tuple(op.eval(*inputs)))
        if isinstance(op, ROUNDING_INSIDE):
            return _expect_by_runs(node, op, inputs)
        if isinstance(op, Conv):
            y, size = _convolve(op, inputs)
            dtype = node.output.type.dtype.numpy
            return (_expect_within(op, inputs, 0, dtype, y, _bound(dtype, y, size)),)
        wide = [None if x is None else widened(x) for x in inputs]
        references = _as_tuple(op.widen().eval(*wide))
        if isinstance(op, Dense) and op.activation is not None:
            allowed = [_activated_bound(op, op.activation, inputs, wide, node.output.type.dtype.numpy)]
        elif type(op) in SIZES or type(op) in PLAIN:
            dtypes = [value.type.dtype.numpy for value in node.outputs]
            allowed = [
                _bound(dtype, y, size_as_computed(op, dtype, y, _size(op, y, inputs, wide)))
                for y, dtype in zip(references, dtypes, strict=True)
            ]
        else:
            return _expect_spread(node, op, inputs, references)
        return tuple(
            _expect_within(op, inputs, index, value.type.dtype.numpy, y, bound)
            for index, (value, y, bound) in enumerate(zip(node.outputs, references, allowed, strict=True))
        )


def is_exact(node: Node, op: Op) -> bool:
    """Return whether every right implementation of an operator gives the same bits."""
    if isinstance(op, ControlOp):
        return False  # what is inside may round, and decide
    if is_exact_anywhere(op) or isinstance(op, Dropout):
        return True
    # Quantization rounds before it gives integers, and so may what is carried through.
    values = (*node.inputs, *node.outputs) if isinstance(op, ROUNDING_INSIDE) else node.outputs
    return not any(value is not None and value.type.dtype.is_float for value in values)


def gave_the_same(node: Node, op: Op, inputs: Inputs, outputs: Sequence[Array | None]) -> bool:
    """Return whether an operator of which that is expected gave the same bits; an output of None counts for nothing.

    Where it did not, `expect_results` says whether that is wrong.
    """
    if isinstance(op, Opaque):
        op, inputs = op.resolve(inputs)
    if not is_exact(node, op):
        return False
    with np.errstate(all="ignore"):
        expected = _as_tuple(op.eval(*inputs))
    return all(
        actual is None or np.array_equal(one, actual, equal_nan=actual.dtype.kind == "f")
        for one, actual in zip(expected, outputs, strict=True)
    )


def _expect_bodies(op: ControlOp, inputs: Inputs) -> tuple[Expected, ...]:
    """Return what an operator with graphs inside may compute: what these do when they round at random."""
    wide_op, wide = op.widen(), [None if x is None else widened(x) for x in inputs]

    def reference(observe: Observer | None) -> dict[int, Array]:
        return dict(enumerate(evaluate(wide_op, *wide, observe=observe)))

    def own(observe: Observer | None) -> dict[int, Array]:
        return dict(enumerate(evaluate(op, *inputs, observe=observe)))

    return tuple(measure_as_needed(reference, own, seed=0).values())


def _expect_exactly(op: Op, inputs: Inputs, y: Array) -> Expected:
    reference = widened(y) if is_float_array(y) else y
    undefined = _undefined(op, inputs, y)
    allowed = np.zeros(y.shape) if undefined is None else np.where(undefined, np.inf, 0.0)
    if not is_float_array(y):
        return Expected(reference, allowed)
    special = np.where(np.isfinite(reference), 0, reference)
    return Expected(reference, allowed, (special,) if special.any() else ())


def _undefined(op: Op, inputs: Inputs, y: Array) -> Array | None:
    """Return where the result of an exact operator has no definition; None if everywhere it has.

    onnxruntime's kernels of MaxPool begin at the lowest finite number, and pass over NaN; those of maxima and minima
    may pass over NaN, by its place.
    """
    if isinstance(op, MaxPool | ReduceMax | ReduceMin) and is_float_array(y):
        wide = widened(y)
        return np.asarray(np.isnan(wide) | (isinstance(op, MaxPool) & (wide == -np.inf)))
    if y.dtype.kind not in "iu":
        return None
    if isinstance(op, Cast):
        (x,) = inputs
        if x is None or not is_float_array(x):
            return None
        info, wide = np.iinfo(y.dtype), np.trunc(widened(x))
        return np.asarray(~((wide >= float(info.min)) & (wide < float(info.max) + (info.bits < 64))))
    if isinstance(op, Div | Mod | Pow):
        a, b = inputs
        assert a is not None
        assert b is not None
        return np.broadcast_to((a == 0) & (b < 0) if isinstance(op, Pow) else b == 0, y.shape)
    return None


def _convolve(op: Conv, inputs: Inputs) -> tuple[Array, Array]:
    """Return a convolution in float64, and the sizes of its roundings: some filters at a time, to stay in the cache."""
    x, kernel, bias = (*inputs, None)[:3]
    assert x is not None
    assert kernel is not None
    wide_x, convolve = widened(x), op.widen().eval
    step = max(1, BLOCK_ELEMENTS // math.prod(kernel.shape[1:])) if op.groups == 1 else len(kernel)
    results: list[Array] = []
    sizes: list[Array] = []
    for start in range(0, len(kernel), step):
        filters = slice(start, start + step)
        given = kernel[filters], None if bias is None else bias[filters]
        wide = [None if one is None else widened(one) for one in given]
        results.append(convolve(wide_x, *wide))
        sizes.append(_size(op, results[-1], (x, *given), (wide_x, *wide)))
    return np.concatenate(results, 1), np.concatenate(sizes, 1)


def _expect_within(op: Op, inputs: Inputs, index: int, dtype: np.dtype[Any], y: Array, allowed: Array) -> Expected:
    """Return a reference with its bound; where it does not fit the dtype, an infinity is right too."""
    finite = np.isfinite(y)
    overflows = finite & (np.abs(y) + allowed > float(finfo(dtype).max))
    special = np.where(finite, np.where(overflows, np.copysign(np.inf, y), 0), y)
    allowed = np.where(finite, np.where(np.isnan(allowed), np.inf, allowed), 0)
    own = partial(_run_own, op, inputs, index)
    return Expected(y, allowed, (special,) if special.any() else (), unmoved=own)


def _run_own(op: Op, inputs: Inputs, index: int) -> Array:
    with np.errstate(all="ignore"):
        return _as_tuple(op.eval(*inputs))[index]


def _bound(dtype: np.dtype[Any], y: Array, size: Array) -> Array:
    unit = epsilon(dtype)
    return np.asarray(ROUNDINGS * unit * size + (PLACES * unit * np.abs(y) + _tiny(dtype)))


def _tiny(dtype: np.dtype[Any]) -> float:
    """Return the least distance that counts: numbers below the normal ones may be taken for 0.

    Floats of 16 bits are computed in float32, and rounded to the spacing that they have there.
    """
    info = finfo(dtype)
    return float(info.tiny) if dtype.itemsize > 2 else 2 * float(info.smallest_subnormal)


def _size(op: Op, y: Array, inputs: Inputs, wide: Inputs) -> Array:
    size = LOCAL_SIZES.get(type(op))
    if size is None:
        return np.abs(y)
    if not isinstance(op, SIZED_NARROW):
        return np.asarray(size(op, y, *wide))
    narrow = [None if x is None else widen(x) for x in inputs]
    kinds = [x.dtype for x in narrow if x is not None]
    found = np.asarray(size(op, y.astype(kinds[0]), *narrow), np.float64)
    if kinds[0] != np.float64 and np.any((found < VANISHING) & (y != 0)):
        return np.asarray(size(op, y, *wide), np.float64)
    return found


def _softmax_size(op: Softmax, y: Array, x: Array) -> Array:
    # The distance to the largest element is rounded, and e to its power is off by as much of itself.
    distance = np.max(x, axis=op.axis, keepdims=True, initial=-np.inf) - x
    return np.asarray(y * (math.sqrt(x.shape[op.axis]) + np.where(np.isfinite(distance), distance, 0)))


def _resize_size(op: Resize, y: Array, x: Array) -> Array:
    """Return the size as of `SIZES`, or with a cubic curve, whose 4 weights are off as much and some negative.

    There it is that of the largest element of the image in the place of each.
    """
    if op.mode != "cubic":
        return SIZES[Resize](op, y, x)
    resized = tuple(axis for axis, (given, wanted) in enumerate(zip(x.shape, y.shape, strict=True)) if given != wanted)
    longest = max((x.shape[axis] for axis in resized), default=0)
    return np.asarray(np.max(np.abs(x), axis=resized, keepdims=True) * (1 + longest) + np.abs(y))


# Where a bound of one operator must know more of its roundings than a spread of the whole model does.
LOCAL_SIZES: dict[type[Op], Any] = {**SIZES, Softmax: _softmax_size, Resize: _resize_size}


def _activated_bound(op: Dense, activation: Op, inputs: Inputs, wide: Inputs, dtype: np.dtype[Any]) -> Array:
    """Return the bound of a Dense whose activation is an operator of its own in the file.

    What the activation makes of an error before it is seen at both ends, as the activations are monotone or nearly so;
    that of a softmax is e^(δᵢ + Σ yⱼ δⱼ) - 1 of itself at most.
    """
    linear = Dense()
    x, kernel, bias = (*wide, None)[:3]
    assert x is not None
    assert kernel is not None
    z = linear.eval(x, kernel, bias)
    delta = _bound(dtype, z, _size(linear, z, inputs, wide))
    activate: Callable[[Array], Array] = activation.widen().eval
    y = activate(z)
    own: Array = _bound(dtype, y, _size(activation, y, (z,), (z,)))
    if isinstance(activation, Softmax | LogSoftmax):
        shares = y if isinstance(activation, Softmax) else np.exp(y)
        moved = delta + np.sum(shares * delta, axis=activation.axis, keepdims=True)
        return np.asarray(own + (y * np.expm1(moved) if isinstance(activation, Softmax) else moved))
    return np.asarray(own + np.maximum(np.abs(activate(z + delta) - y), np.abs(activate(z - delta) - y)))


def _expect_spread(node: Node, op: Op, inputs: Inputs, references: Sequence[Array]) -> tuple[Expected, ...]:
    """Return what to expect from runs with random roundings inside: a few times of copies along the batch, at once."""
    is_attention = isinstance(op, Attention)
    runs, count = (ATTENTION_RUNS, ATTENTION_COPIES) if is_attention else (SPREAD_RUNS, SPREAD_COPIES)
    copied = _copied(op, inputs, count)
    spreads: list[Spread] = []
    for run in range(runs):
        moved = RandomRounding(np.random.default_rng([run]), saturates=run % 2 == 1)(node, copied, tuple(references))
        copies = [np.split(array, count, _batch_axis(op, i)) for i, array in enumerate(moved)]
        spreads = spreads or [Spread(y, first[0]) for y, first in zip(references, copies, strict=True)]
        for spread, arrays in zip(spreads, copies, strict=True):
            for array in arrays:
                spread.add(array)
    return tuple([_settled(spread.expected()) for spread in spreads])


def _expect_by_runs(node: Node, op: Op, inputs: Inputs) -> tuple[Expected, ...]:
    """Return the float64 run of an operator, and as far off as random roundings of its inputs and results lead."""
    own = _as_tuple(op.eval(*inputs))
    wide = _as_tuple(op.widen().eval(*[None if x is None else widened(x) for x in inputs]))
    runs = [
        RandomRounding(np.random.default_rng([run]), saturates=run % 2 == 1)(node, tuple(inputs), own)
        for run in range(RUNS_WITH_ROUNDINGS)
    ]
    expected = [_expect_moved(*arrays) for arrays in zip(wide, own, zip(*runs, strict=True), strict=True)]
    if isinstance(op, QuantizeLinear):
        x, scale = inputs[:2]
        assert x is not None
        assert scale is not None
        undefined = np.isnan(op.divide(x, scale))
        return tuple([replace(one, allowed=np.where(undefined, np.inf, one.allowed)) for one in expected])
    return tuple(expected)


def _expect_moved(reference: Array, own: Array, moved: Sequence[Array]) -> Expected:
    """Return what to expect of a result, from its float64 run, its own run and moved ones.

    Integers may be off by as much as the roundings move them: by the step that a tie decides.
    """
    if own.dtype.kind in "iu" and all(y.shape == own.shape for y in moved):
        steps = [np.abs(y.astype(np.float64) - own) for y in moved]
        return Expected(own, np.maximum.reduce(steps))
    spread = Spread(reference if is_float_array(own) else own, own)
    for y in moved:
        spread.add(y)
    return _settled(spread.expected())


def _settled(one: Expected) -> Expected:
    """Return what to expect of elements that are finite in all runs."""
    allowed = one.allowed * (SPREADS / MULTIPLE)
    for special in one.special:
        allowed = np.where(special != 0, np.inf, allowed)
    return Expected(one.reference, allowed)


def _copied(op: Op, inputs: Inputs, count: int) -> tuple[Array | None, ...]:
    """Return inputs in which each sample is there several times, one after the other."""
    copied = list(inputs)
    for index, x in enumerate(inputs):
        if x is not None and _has_batch(op, inputs, index):
            copied[index] = np.concatenate([x] * count, 0 if isinstance(op, Attention) or x.ndim == 1 else 1)
    return tuple(copied)


def _has_batch(op: Op, inputs: Inputs, index: int) -> bool:
    """Return whether an input has something of its own for each sample."""
    if not isinstance(op, Attention):
        return index == 0 or index > 3  # not the three weights
    bias = inputs[index]
    return index < 3 or (bias is not None and bias.ndim == 4 and bias.shape[0] > 1)


def _batch_axis(op: Op, output: int) -> int:
    """Return the axis of the samples in an output: of attention the first; of a recurrent layer the second of all but
    the sequence, which has the directions there."""
    return 0 if isinstance(op, Attention) else 2 if output == 0 else 1


def _as_tuple(result: Any) -> tuple[Array, ...]:
    return result if isinstance(result, tuple) else (np.asarray(result),)
