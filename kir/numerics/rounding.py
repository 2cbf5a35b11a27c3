"""How much rounding a model itself causes: Monte-Carlo arithmetic.

The float64 run of the interpreter is the reference. The interpreter also runs a few times in the model's own
precision, and what each operator computes is moved by a random rounding of that precision. How far such runs end
from the reference says, element by element, how far any other correct execution may end from it: no tolerance is
tuned to a model.

The size of a random rounding, in units of the spacing of floats at 1 (`eps`), is

| operator                  | size                                        | because                                  |
|---------------------------|---------------------------------------------|------------------------------------------|
| of `EXACT`                | 0                                           | every implementation gives the same bits |
| sums, matrix products     | √(Σ Sₖ²) over the partial sums Sₖ           | each partial sum is rounded              |
| functions such as Sigmoid | largest intermediate of the usual formula   | the tail cancels: 1 + erf(x), eˣ - 1     |
| recurrent layers          | as above, at every step, in state and gates |                                          |
| any other                 | its result                                  | the last place is rounded                |

Half of each rounding is common to the whole tensor: equal inputs are rounded equally, and such errors add up where
independent ones average out. For the functions of `APPROXIMATED` this half is common to all nodes of the operator: a
runtime's formula errs at each of them as it does at the first, and through n of them its errors add up as n, not √n.

A value of 16 bits that was rounded, and is then moved in memory (`MOVEMENTS`), is rounded anew: a runtime without
kernels for float16 computes in float32 and casts between, and leaves a pair of casts out. One reader of the value then
has more bits than another, and what they compute may cancel.

Where a model overflows in its own precision although the reference is finite, there are several right results: a
runtime without kernels for float16 computes in float32, and rounds to float16 where it likes. There the float64 run is
repeated with roundings of the model's own precision (`MixedPrecision`). Right is what the own precision gives, and what
is as near to the reference as such runs are.

What a random rounding hides is right too: where the own precision gives exactly 0 and the model divides by it, the
moved runs divide by something else. So the result of a run without moves is right in any case; it is computed where an
element is not right without it.

Sources: D. S. Parker, "Monte Carlo Arithmetic", UCLA CSD-970002, 1997. N. J. Higham and T. Mary, "A New Approach to
Probabilistic Rounding Error Analysis", SIAM J. Sci. Comput. 41, 2019 (partial sums with random roundings).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cache, partial
from typing import Any, Generic, TypeVar

import numpy as np

from kir.ir.graph import Node, Value
from kir.ir.interpreter import BodyObserver, Observer
from kir.ir.op import Array, Op
from kir.ir.types import DType
from kir.numerics.expected import UNSTABLE_RUNS, Expected, Spread
from kir.numerics.rounding_sizes import (
    COSTLY_SIZES,
    PLAIN,
    SIZES,
    epsilon,
    finfo,
    is_exact,
    is_float_array,
    magnitude,
    size_as_computed,
    widen,
)
from kir.numerics.threads import side_by_side
from kir.ops import blocks, elementwise, linear, recurrent, shape
from kir.ops.opaque import Opaque
from kir.ops.pooling import MaxPool
from kir.ops.quantization import DynamicQuantizeLinear, QuantizeLinear
from kir.ops.recurrent import Function, Step
from kir.ops.reduce import ReduceMax, ReduceMin
from kir.support.caching import cached

NEAR_OVERFLOW = 7 / 8  # of the exponent of the largest number; see `_RoundedSteps`
RUNS = 5  # in the model's own precision; `MULTIPLE` is derived from this number
RUNS_AT_FIRST = 1  # the bound grows with every run, so that what is right after the first is right after all

# Functions that runtimes compute by formulas of their own, such as a quotient of polynomials; its errors have one sign
# over whole ranges of x.
APPROXIMATED: frozenset[type[Op]] = frozenset(
    {
        *(elementwise.Exp, elementwise.Log, elementwise.Erf, elementwise.Sin, elementwise.Cos, elementwise.Tan),
        *(elementwise.Asin, elementwise.Acos, elementwise.Atan, elementwise.Sinh, elementwise.Cosh),
        *(elementwise.Asinh, elementwise.Acosh, elementwise.Atanh, elementwise.Tanh, elementwise.Sigmoid),
        *(elementwise.Softplus, elementwise.Mish, elementwise.Gelu, elementwise.Elu, elementwise.Celu),
        elementwise.Selu,
    }
)

# Operators for which runtimes have kernels of 16 bits, and which move elements.
MOVEMENTS: frozenset[type[Op]] = frozenset(
    {
        *(shape.Reshape, shape.Transpose, shape.Expand, shape.Concat, shape.Slice, shape.Split, shape.Pad, shape.Tile),
        *(blocks.DepthToSpace, blocks.SpaceToDepth),
        *(shape.Gather, shape.GatherND, shape.GatherElements, shape.ScatterND),
    }
)

Key = TypeVar("Key")
Run = Callable[[Observer | None], Mapping[Key, Array]]


def measure(reference: Run[Key], own: Run[Key], seed: int, runs: int = RUNS, threads: int = 1) -> dict[Key, Expected]:
    """Return what to expect of each tensor of a run.

    Args:
        reference: runs in float64, called with None, and with observers where the model's own precision overflows.
        own: runs in the model's own precision with an observer that rounds at random, or with None: what is expected
            keeps this function for `Expected.unmoved`.
        seed: of the random roundings.
        runs: how many perturbed runs.
        threads: how many of these runs there may be at a time; the result does not depend on it.

    An element may be off by `MULTIPLE` times the largest distance of a perturbed run, and by no less than 4 units in
    its last place (or the smallest normal float), or `MULTIPLE` / 2 times the median distance of its tensor, or of the
    elements of about its magnitude: the perturbed runs of one element may all end near the reference by luck. Where
    rounding takes more than half of the digits along the last axis (a chaotic recurrence), the largest distance there
    stands for each.
    """
    return _Measurement(reference, own, seed, threads).expect(runs)


def measure_as_needed(reference: Run[Key], own: Run[Key], seed: int, threads: int = 1) -> dict[Key, Expected]:
    """Return what to expect of each tensor of a run, as `measure` does, from few perturbed runs at first.

    `Expected.widened` is the bound after `RUNS` runs, or `UNSTABLE_RUNS` if they end far apart, which are made for what
    is further off, by `compare`. With more runs a bound only grows, and nearly all results are right after the first.
    """
    measurement = _Measurement(reference, own, seed, threads)
    first = measurement.expect(RUNS_AT_FIRST, mixed=False)
    all_runs = cache(measurement.expect_all)
    return {key: replace(one, widened=partial(lambda key: all_runs()[key], key)) for key, one in first.items()}


class _Measurement(Generic[Key]):
    """The spread of perturbed runs; see `measure`."""

    def __init__(self, reference: Run[Key], own: Run[Key], seed: int, threads: int) -> None:
        self._reference = reference
        self._own = own
        self._seed = seed
        self._threads = threads
        self._runs = 0
        self._spreads: dict[Key, Spread] = {}

    def expect(self, runs: int, mixed: bool = True) -> dict[Key, Expected]:
        """Make perturbed runs until there are so many, and those in `mixed` precision if one overflows."""
        self._add_runs(runs)
        if mixed and any(spread.overflows.any() for spread in self._spreads.values()):
            for run in _run_mixed(self._reference, self._seed, min(runs, RUNS)):
                for key, spread in self._spreads.items():
                    spread.add_mixed(run[key])
        unmoved = cache(lambda: self._own(None))
        spreads = self._spreads.items()
        return {key: replace(one.expected(), unmoved=partial(lambda key: unmoved()[key], key)) for key, one in spreads}

    def expect_all(self) -> dict[Key, Expected]:
        self._add_runs(RUNS)
        return self.expect(UNSTABLE_RUNS if any(spread.is_unstable for spread in self._spreads.values()) else RUNS)

    def _add_runs(self, runs: int) -> None:
        indices, self._runs = range(self._runs, runs), runs
        # Sizes take as much memory as all results of costly operators: they are kept for others alone.
        costly_sizes: dict[Node, Array] | None = {} if len(indices) > 1 else None

        def perturbed(index: int) -> Mapping[Key, Array]:
            generator = np.random.default_rng([self._seed, index])
            return self._own(RandomRounding(generator, costly_sizes, saturates=index % 2 == 1))

        if self._threads == 1 or not indices:
            self._add(None if self._spreads else self._reference(None), map(perturbed, indices))
            return
        with side_by_side(self._threads) as pool:
            centers = None if self._spreads else pool.submit(self._reference, None)
            first = pool.submit(perturbed, indices[0]).result()  # it makes the sizes that the others share
            others = pool.map(perturbed, indices[1:])
            self._add(None if centers is None else centers.result(), itertools.chain([first], others))

    def _add(self, centers: Mapping[Key, Array] | None, runs: Iterable[Mapping[Key, Array]]) -> None:
        for run in runs:
            for key, array in run.items():
                if key not in self._spreads:
                    assert centers is not None, "the first run has all tensors"
                    self._spreads[key] = Spread(centers[key], array)
                self._spreads[key].add(array)


def _run_mixed(reference: Run[Key], seed: int, runs: int) -> Iterator[Mapping[Key, Array]]:
    """Yield runs in mixed precision.

    1. `runs` runs that stay wide throughout.
    2. As many that store results, which may all overflow.
    3. Up to as many that stay wide before some node that overflows, and store everything after it.

    By chance alone a long chain of large values, such as those that a normalization divides by their norm, would hardly
    ever stay wide where their norm does not. One after the other: each run has its own float64 copies of the weights
    under way.
    """
    costly_sizes: dict[Node, Array] = {}
    generators = (np.random.default_rng([seed, index, 1]) for index in itertools.count())
    for _ in range(runs):
        wide = MixedPrecision(next(generators), 0.0, costly_sizes)
        yield reference(wide)
    for _ in range(runs):
        yield reference(MixedPrecision(next(generators), 0.5, costly_sizes))
    step = max(1, -(-len(wide.overflowing) // runs))
    for node in wide.overflowing[::-step]:
        yield reference(MixedPrecision(next(generators), 0.0, costly_sizes, node))


class RandomRounding(BodyObserver):
    """An observer of the interpreter that moves every float result by a random rounding; see the module.

    Args:
        generator: of the roundings.
        costly_sizes: the sizes of the roundings of `COSTLY_SIZES`. Runs on the same feeds share them: inputs that
            differ by roundings give the same sizes but for roundings. None keeps none.
        saturates: whether what overflows in a recurrent layer becomes the largest number, and not NaN, and a MaxPool
            passes over NaN and begins at the least number, as onnxruntime's kernels do. So do maxima and minima.
    """

    def __init__(
        self,
        generator: np.random.Generator,
        costly_sizes: dict[Node, Array] | None = None,
        saturates: bool = False,
    ) -> None:
        self.saturates = saturates
        self._generator = generator
        self._costly_sizes = costly_sizes
        self._common_of_functions: dict[type[Op], float] = {}
        self._rounded_halves: set[Value] = set()

    def inside(self) -> Observer:
        """Return an observer of bodies, whose nodes have other inputs at every step, so that no sizes are shared."""
        inner = copy(self)
        inner._costly_sizes = None
        return inner

    def __call__(self, node: Node, inputs: tuple[Array | None, ...], outputs: tuple[Array, ...]) -> tuple[Array, ...]:
        op = node.op
        if isinstance(op, Opaque):
            op, resolved = op.resolve(inputs)
            inputs = tuple(resolved)
        if self.saturates and isinstance(op, MaxPool | ReduceMax | ReduceMin) and is_float_array(outputs[0]):
            return tuple(op.eval(_without_nan(op, x)) for x in inputs if x is not None)
        halves = [value for value in node.outputs if value.type.dtype.is_float and value.type.dtype.itemsize == 2]
        # Quantization rounds inside, and so may what is carried through.
        rounded = (*inputs, *outputs) if isinstance(op, Opaque | QuantizeLinear | DynamicQuantizeLinear) else outputs
        if is_exact(op) or not any(array is not None and is_float_array(array) for array in rounded):
            return self._round_anew(node, inputs, outputs) if halves else outputs
        self._rounded_halves.update(halves)
        with np.errstate(all="ignore"):
            if isinstance(op, recurrent.LSTM | recurrent.GRU | recurrent.RNN):
                return tuple(
                    self.move(array, np.abs(array)) for array in self._run_recurrent(op, self._bounded(inputs))
                )
            if isinstance(op, linear.Dense) and op.activation is not None:
                linear_part: Op = linear.Dense()
                before = self._move_sized_once(node, linear_part, inputs, (linear_part.eval(*inputs),))
                after = op.activation.eval(*before)
                return self._move_result(op.activation, before, (after,), node.outputs[0].type.dtype.numpy)
            if type(op) in COSTLY_SIZES:
                return self._move_sized_once(node, op, inputs, outputs)
            if type(op) in SIZES or type(op) in PLAIN:
                return self._move_result(op, inputs, outputs, node.outputs[0].type.dtype.numpy)
            return self._move_unknown(node, op, inputs, outputs)

    def _round_anew(
        self, node: Node, inputs: tuple[Array | None, ...], outputs: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        """Round what an exact operator gives in 16 bits, if it is a rounded value that was moved; see the module."""
        if type(node.op) is elementwise.Cast and not _same(inputs[0], outputs[0]):
            self._rounded_halves.add(node.output)
        if type(node.op) not in MOVEMENTS or self._rounded_halves.isdisjoint(filter(None, node.inputs)):
            return outputs
        self._rounded_halves.update(node.outputs)
        return tuple(self.move_relative(array) for array in outputs)

    def _bounded(self, inputs: tuple[Array | None, ...]) -> tuple[Array | None, ...]:
        """Return the inputs of a recurrent layer, in a run that saturates with none near overflow.

        What it makes of an infinity or NaN depends on the order of operations and on where a runtime clips, as what it
        makes of an overflow of its own.
        """
        x = inputs[0]
        if not self.saturates or x is None:
            return inputs
        largest = float(finfo(x.dtype).max) ** NEAR_OVERFLOW
        return (np.clip(np.nan_to_num(x, nan=1.0), -largest, largest), *inputs[1:])

    def move(self, array: Array, size: Array, common: float | None = None) -> Array:
        """Move each element of an array by up to 2 · `size` roundings of its dtype. Integers and booleans stay.

        `common` is the part of the rounding that all elements share, from -1 to 1; by default it is drawn.
        """
        if not is_float_array(array):
            return array
        wide = widen(array)
        unit = self.unit(array.dtype)
        step = self._random_bits(wide.shape) * wide.dtype.type(unit / 2**15)
        step += wide.dtype.type((self._draw_common() if common is None else common) * unit)
        step *= size
        if not np.isfinite(step).all():
            step = np.where(np.isfinite(step), step, 0)
        step += wide
        return np.asarray(step).astype(array.dtype, copy=False)

    def _draw_common(self) -> float:
        return self._generator.uniform(-1, 1)

    def _common_of(self, function: Op) -> float | None:
        """Return what the roundings of all nodes of a function of `APPROXIMATED` share; None for other operators."""
        kind = type(function)
        if kind not in APPROXIMATED:
            return None
        if kind not in self._common_of_functions:
            self._common_of_functions[kind] = self._draw_common()
        return self._common_of_functions[kind]

    def unit(self, dtype: np.dtype[Any]) -> float:
        """Return the distance from 1 to the next float, in the precision whose roundings these are."""
        return epsilon(dtype)

    def _random_bits(self, shape: tuple[int, ...]) -> Array:
        """Return 16 bits for each element, as an integer: cheap, and enough to tell one rounding from another."""
        count = math.prod(shape)
        return self._generator.bit_generator.random_raw(-(-count // 4)).view(np.int16)[:count].reshape(shape)

    def move_relative(self, array: Array, often: float = 1.0) -> Array:
        """Move each element of an array by roundings of itself, as large as so many."""
        return self.move(array, magnitude(array) * often) if is_float_array(array) else array

    def _move_result(
        self, op: Op, inputs: Sequence[Array | None], outputs: Sequence[Array], dtype: np.dtype[Any]
    ) -> tuple[Array, ...]:
        size, common = SIZES.get(type(op)), self._common_of(op)
        if size is None:
            return tuple(self.move(array, np.abs(widen(array)), common) for array in outputs)
        (output,) = outputs
        given = [None if array is None else widen(array) if is_float_array(array) else array for array in inputs]
        wide = widen(output)
        return (self.move(output, size_as_computed(op, dtype, wide, size(op, wide, *given)), common),)

    def _move_sized_once(
        self, node: Node, op: Op, inputs: Sequence[Array | None], outputs: Sequence[Array]
    ) -> tuple[Array, ...]:
        (output,) = outputs
        kept = self._costly_sizes
        size = None if kept is None else kept.get(node)
        if size is None:
            given = [None if array is None else widen(array) for array in inputs]
            size = SIZES[type(op)](op, widen(output), *given)
            if kept is not None:
                kept[node] = size
        return (self.move(output, size),)

    def _move_unknown(
        self, node: Node, op: Op, inputs: Sequence[Array | None], outputs: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Move an operator without a line in the table: its inputs are rounded too, whatever it does inside."""
        if op.symbols() and not isinstance(op, Opaque):
            return self._move_result(op, inputs, outputs, node.outputs[0].type.dtype.numpy)
        often = op.meaning.roundings if isinstance(op, Opaque) and op.meaning is not None else 1.0
        moved = [None if array is None else self.move_relative(array, often) for array in inputs]
        result = self._in_own_width(op).eval(*moved)
        results = result if isinstance(result, tuple) else (result,)
        return tuple(self.move_relative(array, often) for array in results)

    def _in_own_width(self, op: Op) -> Op:
        """Return the operator for arrays as this observes them."""
        return op

    def _run_recurrent(
        self, op: recurrent.LSTM | recurrent.GRU | recurrent.RNN, inputs: Sequence[Array | None]
    ) -> tuple[Array, ...]:
        """Run the layer with roundings inside: the inputs' products are rounded through x, the rest at every step."""
        x, kernel, *rest = inputs
        assert x is not None
        assert kernel is not None
        rounded = _rounded_class(type(op))(**op.attributes())
        object.__setattr__(rounded, "rounding", self)
        object.__setattr__(rounded, "features", x.shape[2])
        # Rounding each of n factors by √(n/6) is as much as rounding n/6 of the partial sums.
        moved = self.move(x, np.abs(widen(x)) * math.sqrt(1 + x.shape[2] / 6))
        result: tuple[Array, ...] = rounded.eval(moved, kernel, *rest)
        return result


class MixedPrecision(RandomRounding):
    """An observer of a float64 run that rounds as the model's own precision does, and stores some results in it.

    An infinity arises where a result that overflows is stored. The others stay as wide as they are.

    Args:
        generator: of the roundings, and of the choice.
        stored: the probability with which a result is stored.
        costly_sizes: as of `RandomRounding`, made by a run that stores nothing.
        first: the node whose results and all later ones are stored in any case.

    Attributes:
        overflowing: the nodes whose results stayed wide and would have overflowed, in the order of the run; without
            those of `EXACT`, which pass on what has overflowed before.
    """

    def __init__(
        self,
        generator: np.random.Generator,
        stored: float,
        costly_sizes: dict[Node, Array],
        first: Node | None = None,
    ) -> None:
        super().__init__(generator, costly_sizes)
        self.overflowing: list[Node] = []
        self._stored = stored
        self._first = first
        self._own = np.dtype(np.float64)

    def __call__(self, node: Node, inputs: tuple[Array | None, ...], outputs: tuple[Array, ...]) -> tuple[Array, ...]:
        dtypes = [value.type.dtype for value in node.outputs]
        floats = [dtype.numpy for dtype in dtypes if dtype.is_float]
        if not floats:
            return outputs
        self._own = floats[0]
        outputs = super().__call__(node, inputs, outputs)
        if node is self._first:
            self._stored = 1.0
        if self._generator.random() >= self._stored:
            if not is_exact(node.op) and any(_overflows(*pair) for pair in zip(outputs, dtypes, strict=True)):
                self.overflowing.append(node)
            return outputs
        with np.errstate(over="ignore"):
            return tuple(
                array.astype(dtype.numpy).astype(np.float64) if dtype.is_float else array
                for array, dtype in zip(outputs, dtypes, strict=True)
            )

    def unit(self, dtype: np.dtype[Any]) -> float:
        return epsilon(self._own)

    def _in_own_width(self, op: Op) -> Op:
        return op.widen()


def _without_nan(op: MaxPool | ReduceMax | ReduceMin, x: Array) -> Array:
    """Return an array with the number in place of NaN that says nothing to the operator."""
    least = finfo(x.dtype).max if isinstance(op, ReduceMin) else finfo(x.dtype).min
    return np.asarray(np.fmax(x, least) if isinstance(op, MaxPool) else np.where(np.isnan(x), least, x))


def _same(x: Array | None, y: Array) -> bool:
    return x is not None and x.dtype != object and np.array_equal(x, y, equal_nan=is_float_array(x))


def _overflows(array: Array, dtype: DType) -> bool:
    """Return whether a finite element is too large for a float dtype."""
    return dtype.is_float and bool(np.any(np.isfinite(array) & (np.abs(array) > float(finfo(dtype.numpy).max))))


# Recurrent layers


@cached
def _rounded_class(cls: type[Op]) -> type[Any]:
    """Return the operator whose every step rounds at random; `rounding` and `features` are set on the instance."""
    return type(f"_Rounded{cls.__name__}", (_RoundedSteps, cls), {})


class _RoundedSteps:
    rounding: RandomRounding
    features: int

    def make_step(self, functions: Sequence[Function], recurrent: Array, bias: Array) -> Step:
        """Return the step of the operator, with roundings in the products, the functions and the state."""
        move = self.rounding.move
        step = super().make_step([self._rounded_function(f) for f in functions], recurrent, bias)  # type: ignore[misc]
        squares, units = np.square(recurrent), recurrent.shape[1]

        def rounded_step(gates: Array, state: Sequence[Array]) -> tuple[Array, ...]:
            h = state[0]
            # Σ Sₖ² of n terms in random order: n/3 S² + n/6 Σ tₖ².
            product = np.sqrt(np.square(recurrent @ h) * (units / 3) + squares @ np.square(h) * (units / 6))
            size = product + np.abs(gates) * math.sqrt(1 + self.features / 3) + np.abs(bias).max(initial=0)
            moved = (move(new, np.abs(new)) for new in step(gates + (move(gates, size) - gates), state))
            return tuple(self._unsettled(new, np.asarray(np.isfinite(gates).all(axis=0))) for new in moved)

        return rounded_step

    def _unsettled(self, state: Array, is_fed: Array) -> Array:
        """Return a state of which NaN has taken the place of what overflows, or the largest number.

        An infinity, NaN or the largest number: that depends on the order of operations, such as (1 - z) n + z h or
        n + z (h - n), and on where a runtime clips; and so does all that comes after. Runs that differ say so. Numbers
        near the largest one count, too: the terms that they are the sum of may be larger. In samples that are not fed
        finite numbers, the number is 1: a runtime's functions clip NaN to a bound, of which they make about that.
        """
        largest = float(finfo(state.dtype).max)
        fits = np.abs(state) < largest**NEAR_OVERFLOW
        if fits.all():
            return state
        if not self.rounding.saturates:
            return np.where(fits, state, state.dtype.type(np.nan))
        number = np.where(is_fed, largest, 1.0)
        return np.where(fits, state, np.copysign(number, np.nan_to_num(state, nan=1.0)).astype(state.dtype))

    def _rounded_function(self, function: Function) -> Function:
        # Common to all steps of a sequence: a state that has settled is rounded the same way at every one.
        commons: list[Array] = []

        is_softplus = isinstance(getattr(function, "__self__", None), elementwise.Softplus)

        def rounded(x: Array) -> Array:
            y = function(x)
            if is_softplus:  # onnxruntime's kernels compute log(exp(x) + 1) as it stands
                overflows = x > math.log(float(finfo(x.dtype).max))
                y = np.where(overflows, finfo(x.dtype).max if self.rounding.saturates else np.nan, y).astype(x.dtype)
            if not commons:  # the first step has all sequences, later ones the first few
                commons.append(self.rounding._generator.uniform(-1, 1, (1, y.shape[1])) * self.rounding.unit(y.dtype))
            size = np.maximum(np.abs(y), y.dtype.type(0.5))
            return self.rounding.move(y + commons[0][:, : y.shape[1]].astype(y.dtype) * size, size)

        return rounded
