"""The values at which elementwise operators change their minds, and values in between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from kir.ir.op import Array, Op
from kir.ir.types import DType, as_dtype
from kir.numerics.rounding_sizes import epsilon, finfo
from kir.ops import elementwise

# Where operators bend or jump, beside the places that their attributes and constants name: ties of Round and Cast, the
# ends of the domains of Asin and Acosh, those of relu6 and hard_silu.
TURNS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 6.0, 7.0)

# Up to here there are halves in float16 and in float32.
TIES = (510.5, 511.5, 4194302.5, 4194303.5)

LARGEST = {DType.BFLOAT16: 1e4, DType.FLOAT16: 1e4, DType.FLOAT32: 5e6, DType.FLOAT64: 5e6}
STEPS = 64  # of the values from -8 to 8, between which activations bend
DECADES = range(-6, 5)

# What pairs are made of, with some of the constants that meet them.
PAIRED = (0.0, 0.5, 1.0, 1.5, 3.0, 7.0, 0.1, 100.0)
PAIRED_INTEGERS = (0, 1, 2, 3, 7, 10, -1, -2, -3, -10)
EXPONENTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)

# So many elements of a constant, such as the boundaries of buckets, count as kinks.
MAX_KINKS = 512
WORDS = ("", "a", "zebra", "ΑΩ")

# An attribute of ONNX is a float32, and may be another number than the one in the graph: by so many roundings the
# values keep away from a kink that has no exact float32.
ROUNDINGS = 8

# The places at which an operator bends as its attributes say.
KINKS: dict[type[Op], Callable[[Any], Sequence[float]]] = {
    elementwise.HardSigmoid: lambda op: (-op.beta / op.alpha, (1 - op.beta) / op.alpha) if op.alpha else (),
    elementwise.ThresholdedRelu: lambda op: (op.alpha,),
    elementwise.Shrink: lambda op: (-op.lambd, op.lambd),
    elementwise.HardSwish: lambda op: (-3.0, 3.0),
}

# Operators that take the lowest and the highest integers: nothing they compute overflows.
ORDERING = elementwise.COMPARISONS | {elementwise.Maximum, elementwise.Minimum, elementwise.Clip, elementwise.Where}

MAX_POWER = 1 << 31  # of integers


def scalar_values(op: Op, slot: int, dtype: DType, constants: Sequence[Array | None]) -> tuple[Array, Array]:
    """Return values for the one input of an elementwise operator that is fed: its kinks, and values in between.

    Args:
        op: the operator.
        slot: of the input that is fed.
        dtype: of this input.
        constants: the inputs that have a value.
    """
    if not dtype.is_float and not dtype.is_integer:
        return _choices(dtype), _choices(dtype)[:0]
    known = [one.ravel()[:MAX_KINKS] for one in constants if one is not None and one.dtype == dtype.numpy]
    divisors = known if isinstance(op, elementwise.Mod) else []
    if dtype.is_integer:
        # Unsigned ones have no negative multiples, and larger numbers do not fit: `_integers` leaves those out.
        divisors = [one.astype(np.int64) for one in divisors]
    with np.errstate(all="ignore"):
        multiples = [step * one for one in divisors for step in range(-3, 4)]
    if dtype.is_integer:
        given = {int(one) for one in itertools.chain(*known, *multiples)}
        kinks = _integers({one + step for one in given for step in (-1, 0, 1)} | set(range(-10, 11)), dtype)
        return _defined(op, slot, kinks, constants), _defined(op, slot, _ends(op, dtype), constants)
    if isinstance(op, elementwise.IsNaN | elementwise.IsInf):
        kinks = np.asarray([np.nan, np.inf, -np.inf, 0, 1, -1, float(finfo(dtype.numpy).max)], dtype.numpy)
        return kinks, kinks[:0]
    turns = np.concatenate([TURNS, [-turn for turn in TURNS], *known, *multiples]).astype(dtype.numpy)
    kinks = np.concatenate([*neighbours(turns), _near_attributes(op, dtype)])
    tiny, scales = float(finfo(dtype.numpy).tiny), 10.0 ** np.asarray(DECADES)
    positive = np.concatenate([[tiny], TIES, scales, 3.7 * scales])
    others = np.concatenate([np.linspace(-8, 8, STEPS) + 0.0137, positive, -positive])
    others = others[np.abs(others) <= LARGEST[dtype]].astype(dtype.numpy)
    return _defined(op, slot, kinks, constants), _defined(op, slot, others, constants)


def pair_values(op: Op, slot: int, dtype: DType, constants: Sequence[Array | None]) -> Array:
    """Return values for one of several inputs of an elementwise operator that are fed; all pairs of them are tried."""
    if not dtype.is_float and not dtype.is_integer:
        return _choices(dtype)
    known = [one.ravel()[:4] for one in constants if one is not None and one.dtype == dtype.numpy]
    if dtype.is_integer:
        values = _integers({*PAIRED_INTEGERS, *map(int, itertools.chain(*known))}, dtype)
        return _defined(op, slot, values, constants)
    if isinstance(op, elementwise.Pow) and slot == 1:
        return np.asarray(EXPONENTS, dtype.numpy)
    values = np.concatenate([PAIRED, [-one for one in PAIRED], *known]).astype(dtype.numpy)
    near_one = neighbours(np.ones(1, dtype.numpy))
    return _defined(op, slot, np.concatenate([values, *near_one[1:]]), constants)


def neighbours(values: Array) -> list[Array]:
    """Return the values, those just below and those just above; 0 in place of what is not finite."""
    dtype = as_dtype(values.dtype)
    if not dtype.is_float:
        return [values]
    infinity = np.asarray(np.inf, values.dtype)
    with np.errstate(over="ignore"):
        found = [values, np.nextafter(values, -infinity), np.nextafter(values, infinity)]
    return [np.where(np.isfinite(near), near, values.dtype.type(0)) for near in found]


def _near_attributes(op: Op, dtype: DType) -> Array:
    """Return the kinks that attributes name with their neighbours; of those that float32 rounds, both sides alone."""
    found: list[Array] = [np.zeros(0, dtype.numpy)]
    for kink in _kinks_of(op):
        own = np.asarray([kink], dtype.numpy)
        away = own.dtype.type(ROUNDINGS * epsilon(own.dtype))
        found += neighbours(own) if _is_exact(kink, dtype) else [own * (1 - away), own * (1 + away)]
    return np.concatenate(found).astype(dtype.numpy)


def _kinks_of(op: Op) -> Sequence[float]:
    return KINKS[type(op)](op) if type(op) in KINKS else ()


def _is_exact(kink: float, dtype: DType) -> bool:
    return float(np.float32(kink)) == kink == float(np.asarray(kink, dtype.numpy))


def _choices(dtype: DType) -> Array:
    return np.asarray([False, True] if dtype is DType.BOOL else WORDS, dtype.numpy)


def _integers(values: Iterable[int], dtype: DType) -> Array:
    """Return those of some numbers that a dtype has, in order."""
    info = np.iinfo(dtype.numpy)
    return np.asarray(sorted(value for value in values if info.min <= value <= info.max), dtype.numpy)


def _ends(op: Op, dtype: DType) -> Array:
    info = np.iinfo(dtype.numpy)
    ends = {info.min, info.min + 1, info.max - 1, info.max} if type(op) in ORDERING else set[int]()
    return _integers({-1000, -100, 100, 1000, *ends}, dtype)


def _defined(op: Op, slot: int, values: Array, constants: Sequence[Array | None]) -> Array:
    """Return those values for which the operator has a defined result, each once."""
    values = np.asarray(list(dict.fromkeys(values.tolist())), values.dtype)  # of 0 and -0, the first
    dtype = as_dtype(values.dtype)
    if dtype.is_float:
        values = values[np.isfinite(values)]
    if isinstance(op, elementwise.Div | elementwise.Mod) and dtype.is_integer and slot == 1:
        return np.asarray(values[values != 0])
    if isinstance(op, elementwise.Cast) and op.dtype.is_integer:
        info = np.iinfo(op.dtype.numpy)
        cut = [int(value) for value in values.tolist()]
        return np.asarray(values[np.asarray([info.min <= value <= info.max for value in cut], bool)])
    if isinstance(op, elementwise.Pow) and dtype.is_integer:
        return _limited_powers(slot, values, constants)
    for kink in _kinks_of(op):
        if not _is_exact(kink, dtype):
            wide = values.astype(np.float64)
            values = values[np.abs(wide - kink) > ROUNDINGS / 2 * epsilon(values.dtype) * abs(kink)]
    return values


def _limited_powers(slot: int, values: Array, constants: Sequence[Array | None]) -> Array:
    """Return integers to whose power, or of which as the power, nothing overflows."""
    other = next((int(np.abs(one).max(initial=1)) for one in constants if one is not None), 3 if slot == 0 else 10)
    if slot == 1:
        return values[(values >= 0) & (values <= 3)] if other**3 <= MAX_POWER else values[(values >= 0) & (values <= 1)]
    return np.asarray([value for value in values.tolist() if abs(value) ** min(other, 64) <= MAX_POWER], values.dtype)
