"""Whether a rewritten graph means what the original does: both run in float64, and their outputs are compared.

What an output may be off by is found in steps, since nearly always the first, which costs nothing, is enough.

1. Only float64 is rounded, so little of what the own precision may be off by is allowed: as much less as its roundings
   are smaller (`MARGIN` is for sums in another order), or a few roundings of the largest element.
2. Where that is not enough, and the rewriting computed constants, and rounded them in the own precision, float64 runs
   with these constants moved by one rounding say what that does. It is much less than what the own precision may be
   off by, where every operator rounds: one wrong weight shows in a thousand. One such run is made at first. So are the
   original's numbers moved that the rewriting took for exact ones.
3. Where an output is further off, both bounds are measured as those of a file are (`rounding`): both graphs run in
   float64 with a random rounding after every operator, and more runs move the constants. That decides. It also says
   where a comparison, a maximum or a rounding to an integer turns over by the least rounding.

The constants are the same on all inputs. So of runs that cost much only the first moves them; the later ones, which
are there for other sizes and values, allow what the own precision may be off by. Where most constants were rounded,
moving them does about what rounding after every operator did: a costly run allows what one such run was off by, and
moves them only where that is not enough.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import numpy as np

from kir.ir.graph import Graph, Value
from kir.ir.interpreter import Observer, Plan, PlanRun, widened
from kir.ir.op import Array
from kir.numerics.compare import Run, compare
from kir.numerics.expected import MULTIPLE, Expected
from kir.numerics.report import OutputReport
from kir.numerics.rounded_constants import RoundedConstant, recognised_constants, rounded_constants
from kir.numerics.rounding import RUNS, RandomRounding, measure
from kir.numerics.rounding_sizes import epsilon, is_float_array
from kir.numerics.threads import threads_for

EPSILON = epsilon(np.dtype(np.float64))

# How many times the roundings of float64 may be as many as those of the own precision, before step 3 counts them.
MARGIN = 32.0
ROUNDINGS = 32.0  # of the largest element of a tensor, for one that the own precision computes exactly

ONE_RUN = 1 / MULTIPLE  # of what the own precision may be off by: what one run with roundings was

# The constants are moved on every run that computes less than this; see `kir.numerics.cost`.
CHEAP_WORK = 10**8


def are_same(a: Graph, b: Graph) -> bool:
    """Return whether two graphs apply the same operators to the same values. O(nodes)."""
    first, second = a.order(), b.order()
    if len(first) != len(second):
        return False
    partner: dict[Value | None, Value | None] = {None: None}
    for x, y in zip(first, second, strict=True):
        same_inputs = len(x.inputs) == len(y.inputs) and all(
            partner[v] is w for v, w in zip(x.inputs, y.inputs, strict=True)
        )
        if not same_inputs or type(x.op) is not type(y.op) or x.op != y.op:
            return False
        partner.update(zip(x.outputs, y.outputs, strict=True))
    return True


class Equivalence:
    """The comparison of two graphs with the same inputs and outputs.

    Attributes:
        rounded: the constants of the rewritten graph that it computed and rounded.
    """

    def __init__(
        self,
        original: Graph,
        rewritten: Graph,
        seed: int,
        runs: tuple[PlanRun, PlanRun] = (Plan.run, Plan.run),
        plans: tuple[Plan | None, Plan | None] = (None, None),
    ) -> None:
        """Order the graphs.

        Args:
            original, rewritten: the graphs.
            seed: of roundings.
            runs: what a run of each is, if it gives other results than the outputs.
            plans: of the two in float64, where there are some.
        """
        self.rounded = rounded_constants(original, rewritten)
        recognised = recognised_constants(original, rewritten)
        self._original = _Side(original, recognised, seed, runs[0], plans[0])
        self._rewritten = _Side(rewritten, self.rounded, seed, runs[1], plans[1])
        self._share = min(1.0, MARGIN * EPSILON / _coarsest_unit(original))
        self._is_moved = False
        rounded = sum(one.array.size for one in self.rounded)
        self._are_most_rounded = 2 * rounded >= sum(array.size for array in rewritten.constant_arrays())

    def find_differences(self, run: Run) -> list[OutputReport]:
        """Return the outputs that are further off than rounding explains.

        Raises:
            ShapeError: the rewritten graph cannot run on the inputs.
        """
        is_dear = run.probe.cost.work > CHEAP_WORK
        share = max(self._share, ONE_RUN) if is_dear and self._are_most_rounded else self._share
        before = {name: one.reference for name, one in run.expected.items()}
        after = self._rewritten.run(run)
        bounds = {name: share * _settled(one.allowed) for name, one in run.expected.items()}
        if is_dear and self._is_moved and self.has_rounded and _find_far(before, after, bounds):
            bounds = {name: one.allowed for name, one in run.expected.items()}
            return self._measure(run, before, after, _find_far(before, after, bounds))
        return self.judge(run, before, after, bounds)

    @property
    def has_rounded(self) -> bool:
        """Whether a constant of either graph may be off by a rounding."""
        return bool(self._original.constants or self._rewritten.constants)

    def judge(
        self, run: Run, before: Mapping[str, Array], after: Mapping[str, Array], bounds: Mapping[str, Array]
    ) -> list[OutputReport]:
        """Return the reports of those results that are further off than bounds, and than rounding explains."""
        suspects = _find_far(before, after, bounds)
        if suspects and self.has_rounded:
            self._is_moved = True
            bounds = {name: bounds[name] for name in suspects}
            for side, outputs in ((self._original, before), (self._rewritten, after)):
                moved = side.move_constants(run, 1, {name: outputs[name] for name in suspects})
                bounds = {
                    name: bound + moved[name].allowed if before[name].shape == after[name].shape else bound
                    for name, bound in bounds.items()
                }
            suspects = _find_far(before, after, bounds)
        return self._measure(run, before, after, suspects)

    def _measure(
        self, run: Run, before: Mapping[str, Array], after: Mapping[str, Array], suspects: Sequence[str]
    ) -> list[OutputReport]:
        """Return the reports of those outputs that are further off than any rounding explains."""
        if not suspects:
            return []
        bounds = [
            measured
            for side, outputs in (
                (self._original, {name: before[name] for name in suspects}),
                (self._rewritten, {name: after[name] for name in suspects}),
            )
            for measured in (side.round_at_random(run, outputs), side.move_constants(run, RUNS, outputs))
        ]
        reports = []
        for name in suspects:
            first, *others = (one[name] for one in bounds)
            allowed = sum((one.allowed for one in others if one.allowed.shape == first.allowed.shape), first.allowed)
            reports.append(compare(name, dataclasses.replace(first, allowed=allowed), after[name]))
        return [report for report in reports if not report.passed]


class _Side:
    """One of the two graphs, in float64, and those of its constants that may be off by a rounding."""

    def __init__(
        self, graph: Graph, constants: Sequence[RoundedConstant], seed: int, plan_run: PlanRun, plan: Plan | None
    ) -> None:
        self.constants = constants
        self._graph = graph
        self._given = plan
        self._seed = seed
        self._run = plan_run

    @cached_property
    def _plan(self) -> Plan:
        return self._given or Plan(self._graph, wide=True)

    def run(self, run: Run) -> Mapping[str, Array]:
        return self._run(self._plan, run.feeds, None)

    def _run_for(
        self, names: Collection[str], plan: Plan, run: Run, observe: Observer | None = None
    ) -> dict[str, Array]:
        results = self._run(plan, run.feeds, observe)
        return {name: results[name] for name in names}

    def move_constants(self, run: Run, runs: int, outputs: Mapping[str, Array]) -> dict[str, Expected]:
        """Return how far runs with moved constants end from the `outputs` of the one without.

        Nothing is allowed if there are no constants to be moved.
        """
        if not self.constants:
            return {name: Expected(array, np.zeros(())) for name, array in outputs.items()}
        generators = iter([np.random.default_rng([self._seed, index, 2]) for index in range(runs)])

        def center(observe: Observer | None) -> Mapping[str, Array]:
            return outputs if observe is None else self._run_for(outputs, self._plan, run, observe)

        def moved(observe: Observer | None) -> Mapping[str, Array]:
            generator = next(generators)
            readers = {one.node: _MovedConstant(one, generator) for one in self.constants}
            return self._run_for(outputs, self._plan.reading(readers), run)

        return measure(center, moved, self._seed, runs, threads_for(run.probe.cost, 2))

    def round_at_random(self, run: Run, outputs: Mapping[str, Array]) -> dict[str, Expected]:
        """Return how far runs with random roundings end from the `outputs` of the one without."""

        def rounded(observe: Observer | None) -> Mapping[str, Array]:
            return outputs if observe is None else self._run_for(outputs, self._plan, run, observe)

        return measure(rounded, rounded, self._seed, threads=threads_for(run.probe.cost, RUNS))


class _MovedConstant:
    """Reads a constant in float64, each number moved by a rounding of its own dtype, and all by a common one.

    Those of a vector move by roundings of its largest element: a bias is a difference that may nearly cancel.
    """

    def __init__(self, constant: RoundedConstant, generator: np.random.Generator) -> None:
        self._constant = constant
        self._rounding = RandomRounding(generator)

    def __call__(self) -> Array:
        array, where = self._constant.array, self._constant.where
        wide = widened(array)
        size = np.abs(wide)
        if where is not None:
            size = np.where(where, size, 0)
        elif max(array.shape, default=1) == array.size:
            size = np.broadcast_to(size.max(initial=0, where=np.isfinite(size)), size.shape)
        return self._rounding.move(wide, size * (epsilon(array.dtype) / EPSILON))


def _coarsest_unit(graph: Graph) -> float:
    """Return the distance from 1 to the next float, of the float dtype in the graph with the fewest digits."""
    values = (value for one in graph.graphs() for node in one.order() for value in node.outputs)
    dtypes = {value.type.dtype for value in values if value.type.dtype.is_float}
    return max((epsilon(dtype.numpy) for dtype in dtypes), default=EPSILON)


def _settled(allowed: Array) -> Array:
    return np.where(np.isfinite(allowed), allowed, 0.0)


def _find_far(before: Mapping[str, Array], after: Mapping[str, Array], bounds: Mapping[str, Array]) -> list[str]:
    return [name for name, bound in bounds.items() if not _is_near(before[name], after[name], bound)]


def _is_near(before: Array, after: Array, allowed: Array) -> bool:
    """Return whether all elements are within a bound, or within some roundings of the largest."""
    if before.shape != after.shape:
        return False
    if not is_float_array(before):
        return bool(np.all(before == after))
    finite = np.isfinite(before)
    largest = np.abs(before).max(initial=0, where=finite)
    bound = allowed + ROUNDINGS * EPSILON * largest
    with np.errstate(invalid="ignore"):
        near = np.abs(after - before) <= bound
        return bool(np.all(np.where(finite, near, (after == before) | (np.isnan(after) & np.isnan(before)))))
