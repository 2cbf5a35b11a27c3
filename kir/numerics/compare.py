"""Comparing results with what a graph means: of another graph, or of a file (`kir.exporters.onnx_file.verify`).

The reference is the interpreter in float64 on the graph as it was lowered, before any pass. Inputs are random (`feeds`)
and what an element may be off by is derived from the model itself (`rounding`): the interpreter also runs in the
model's own precision with a random rounding after every operator, and `MULTIPLE` times the largest distance that such
runs reach is allowed. Integers and booleans must be equal, infinities and NaN in the same places, except where the
perturbed runs disagree among themselves, and where the model's own precision overflows: there a result near a finite
reference is right as well. What the own precision gives without random roundings is right in any case.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kir.errors import MismatchError, ShapeError
from kir.ir.graph import Graph
from kir.ir.interpreter import Plan
from kir.ir.op import Array
from kir.ir.packing import is_narrow
from kir.ir.types import as_dtype, format_shape
from kir.numerics.cost import Cost, require_runnable
from kir.numerics.expected import MULTIPLE, UNSTABLE_RUNS, Expected
from kir.numerics.inputs import shape_of_feeds
from kir.numerics.probes import Probe, choose_probes
from kir.numerics.report import Finding, OutputReport, Statement, VerificationReport, outputs_statement
from kir.numerics.rounding import RUNS, RUNS_AT_FIRST, measure_as_needed
from kir.numerics.rounding_sizes import finfo, is_float_array
from kir.numerics.threads import blas_alone, does_without_blas_threads, threads_for
from kir.numerics.variety import OutputOrigin, Variety, origins_of
from kir.support.mapped_files import require_unchanged
from kir.support.text import counted

INTERPRETER_METHOD = (
    f"float64 interpreter; allowed: {MULTIPLE:g} times the spread of {RUNS_AT_FIRST} to {UNSTABLE_RUNS} randomly "
    "rounded runs"
)


@dataclass(frozen=True)
class Run:
    """A probe that the reference has run: its inputs, and what to expect of each output.

    `outputs` are those of the file, once it has run as well.
    """

    probe: Probe
    feeds: dict[str, Array]
    expected: dict[str, Expected]
    outputs: Mapping[str, Array] = field(default_factory=dict)


# Expecting


def expect_runs(graph: Graph, seed: int, sizes: Sequence[Mapping[str, int]] | None = None) -> Iterator[Run]:
    """Return the inputs of each run, and what to expect of the outputs, computed one by one.

    Several files that are compared with one graph can share them.

    Args:
        graph: what the outputs are of.
        seed: of inputs and roundings.
        sizes: values for the symbolic sizes, one mapping per run; see `choose_probes`.

    Raises:
        LimitError: running the graph would take too much memory.
    """
    return expect_probes(graph, choose_probes(graph, seed, sizes), seed)


def expect_probes(graph: Graph, probes: Sequence[Probe], seed: int) -> Iterator[Run]:
    """Yield the run of each probe; what else than `compare` reads its bounds must take those of `Expected.whole`."""
    if not probes:
        return
    reference, own = Plan(graph, wide=True), Plan(graph)
    for index, probe in enumerate(probes):
        feeds = probe.feeds()
        yield Run(probe, feeds, _expect_outputs(reference, own, feeds, seed + index, probe.cost))


def _expect_outputs(
    reference: Plan, own: Plan, feeds: Mapping[str, Array], seed: int, cost: Cost
) -> dict[str, Expected]:
    with blas_alone(does_without_blas_threads(cost, RUNS)):
        return measure_as_needed(
            lambda observe: reference.run(feeds, observe),
            lambda observe: own.run(feeds, observe),
            seed,
            threads=threads_for(cost, RUNS),
        )


# Comparing


class RunComparison:
    """Collects the worst of every output over several runs, and what they showed of it.

    Args:
        origins: where the outputs come from; by default, that is unknown.
    """

    def __init__(self, origins: Mapping[str, OutputOrigin] | None = None) -> None:
        self.runs = 0
        self._origins = origins or {}
        self._reports: dict[str, OutputReport] = {}
        self._varieties: dict[str, Variety] = {}

    def add(self, expected: Mapping[str, Expected], actual: Mapping[str, Array]) -> None:
        """Take one run into account."""
        self.runs += 1
        for name, one in expected.items():
            if name not in self._varieties:
                self._varieties[name] = Variety(self._origin(name).limits)
            self._varieties[name].add(one)
            report = compare(name, one, actual[name])
            self._reports[name] = worse(self._reports[name], report) if name in self._reports else report

    def reports(self) -> tuple[OutputReport, ...]:
        return tuple(self._reports.values())

    def _origin(self, name: str) -> OutputOrigin:
        return self._origins.get(name, OutputOrigin())

    def statement(self, method: str, ran: str = "") -> Statement:
        """Return what is to be said of all outputs.

        Args:
            method: how much they may be off by.
            ran: on what they were compared, in words; by default, on so many probes.
        """
        not_shown = [
            Finding(variety.shortcoming, self._origin(name).layer, tensor=name)
            for name, variety in self._varieties.items()
            if variety.shortcoming and self._origin(name).is_fed
        ]
        said = outputs_statement(self.reports(), ran or counted(self.runs, "probe"), method, not_shown)
        return dataclasses.replace(said, shows_nothing=0 < len(self._varieties) == len(not_shown))


def compare(name: str, expected: Expected, actual: Array) -> OutputReport:
    """Return the report of one output of one run; with the bound of more runs if it needs that, `Expected.widened`."""
    if expected.widened is None:
        return _compare(name, expected, actual)
    report = _compare(name, dataclasses.replace(expected, unmoved=None), actual)
    return report if report.passed else _compare(name, expected.whole(), actual)


def _compare(name: str, expected: Expected, actual: Array) -> OutputReport:
    reference = expected.reference
    if actual.shape != reference.shape:
        settled = bool(np.isfinite(expected.allowed).all())
        problem = f"shape {format_shape(actual.shape)}, expected {format_shape(reference.shape)}" if settled else ""
        return OutputReport(name, str(actual.dtype), (actual.shape,), 0, 0, 0, 0, not settled, problem)
    errors = errors_of(expected, actual)
    wrong = ~(errors <= expected.allowed)
    ratios = ratios_of(errors, expected.allowed)
    problem = f"in {int(wrong.sum()):,} of {wrong.size:,} elements" if wrong.any() else ""
    if not ratios.size:
        return report_equal(name, actual)
    worst = np.unravel_index(int(ratios.argmax()), ratios.shape)
    error, size = float(errors[worst]), _size(reference[worst])
    return OutputReport(
        name,
        str(actual.dtype),
        (actual.shape,),
        error,
        error / size if 0 < size < math.inf else 0.0,
        error / _last_place(actual.dtype, size),
        float(expected.allowed[worst]),
        not wrong.any(),
        problem,
        tuple([int(place) for place in worst]),
    )


def report_equal(name: str, actual: Array) -> OutputReport:
    """Return the report of an output that is what it must be, without an error."""
    return OutputReport(name, str(actual.dtype), (actual.shape,), 0, 0, 0, 0, True)


def errors_of(expected: Expected, actual: Array) -> Array:
    """Return how far each element of a result is from the reference; 0 for what is right otherwise, see `Expected`.

    The shapes must agree.
    """
    errors = _errors(expected, actual)
    if expected.unmoved is not None and not (errors <= expected.allowed).all():
        errors = np.where(_is_own(expected.reference, expected.unmoved(), actual), 0, errors)
    return errors


def ratios_of(errors: Array, allowed: Array) -> Array:
    """Return errors as parts of what is allowed."""
    with np.errstate(over="ignore"):
        return np.asarray(np.where(errors == 0, 0, errors / np.where(allowed > 0, allowed, 1e-300)))


def _size(element: Any) -> float:
    """Return the magnitude of an element of a reference; 1 for texts."""
    return 1.0 if isinstance(element, str) else abs(float(element))


def _errors(expected: Expected, actual: Array) -> Array:
    """Return distances from the reference; infinite where one side only is NaN or infinite.

    0 where nothing is settled, and for what is right because the model's own precision overflows.
    """
    if actual.dtype == object or actual.dtype.kind in "US":
        return np.asarray(actual != expected.reference, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        wide = actual.astype(np.float64)
        errors = np.abs(wide - expected.reference.astype(np.float64))
        if actual.dtype.kind in "iu":  # float64 cannot tell large integers apart
            errors = np.where(actual == expected.reference, 0, np.maximum(errors, 1))
    errors = np.where(np.isnan(errors), np.inf, errors)
    if is_narrow(actual.dtype):  # some have infinities and NaN, and are compared as integers are
        reference = expected.reference.astype(np.float64)
        errors = np.where((wide == reference) | (np.isnan(wide) & np.isnan(reference)), 0, errors)
    for special in expected.special:
        same = (wide == special) | (np.isnan(wide) & np.isnan(special))
        errors = np.where((special != 0) & same, 0, errors)
    if expected.vanishing is not None:
        errors = np.where(expected.vanishing & (wide == 0), 0, errors)
    if expected.special:
        errors = np.where(_is_right_overflow(expected, wide, actual.dtype), 0, errors)
    return np.asarray(np.where(np.isinf(expected.allowed), 0, errors))


def _is_right_overflow(expected: Expected, wide: Array, dtype: np.dtype[Any]) -> Array:
    """Return where the model's own precision overflows, and so does the result, in another way that is right.

    1. It is an infinity because the reference does not fit.
    2. One is NaN and the other an infinity: of what has overflowed, the order of operations makes the one or the other.
    """
    too_large = np.abs(expected.reference) + expected.allowed > float(finfo(dtype).max)
    is_rounded = too_large & (wide == np.copysign(np.inf, expected.reference))
    return np.asarray(expected.overflows & (is_rounded | _is_other_overflow(wide, expected.special[0])))


def _is_other_overflow(wide: Array, special: Array) -> Array:
    """Return where neither is finite, given that the second is not, and one of the two is NaN."""
    return ~np.isfinite(wide) & (np.isnan(wide) | np.isnan(special))


def _is_own(reference: Array, own: Array, actual: Array) -> Array:
    """Return where a result is what the model's own precision gives.

    If that overflows, NaN instead of an infinity is right as well, or the other way round.
    """
    if own.shape != actual.shape:
        return np.zeros(actual.shape, bool)
    if not is_float_array(own):
        return np.asarray(actual == own)
    wide, special = actual.astype(np.float64), own.astype(np.float64)
    overflows = ~np.isfinite(special) & np.isfinite(reference)
    same = (wide == special) | (np.isnan(wide) & np.isnan(special))
    return np.asarray(same | (overflows & _is_other_overflow(wide, special)))


def _last_place(dtype: np.dtype[Any], size: float) -> float:
    """Return the distance of neighbouring floats at a magnitude; 1 for integers."""
    if not as_dtype(dtype).is_float:
        return 1.0
    info = finfo(dtype)
    exponent = math.floor(math.log2(max(size if math.isfinite(size) else 1.0, float(info.tiny))))
    return max(2.0**exponent * float(info.eps), math.ulp(0.0))


def worse(a: OutputReport, b: OutputReport) -> OutputReport:
    """Return the report of two runs, one after the other: that of the worse one."""
    b = dataclasses.replace(b, run=len(a.shapes) + b.run)
    first, second = (a, b) if (not a.passed, a.ratio) >= (not b.passed, b.ratio) else (b, a)
    return dataclasses.replace(first, shapes=(*a.shapes, *b.shapes), passed=first.passed and second.passed)


# Two graphs


def verify_graphs(a: Graph, b: Graph, seed: int = 0) -> VerificationReport:
    """Compare what the interpreter computes from the second graph with the first one in float64.

    Args:
        a: the reference, which says how much rounding is allowed.
        b: a graph with the same inputs and outputs.
        seed: of inputs and roundings.

    Raises:
        MismatchError: the second graph fails on inputs that the first takes.
        ShapeError: no sizes were found with which the first works.
        UnsupportedError: a graph has an operator that only a runtime knows.
    """
    comparison = RunComparison(origins_of(a))
    reference, own, other = Plan(a, wide=True), Plan(a), Plan(b)
    for index, probe in enumerate(choose_probes(a, seed)):
        require_runnable(b, probe.sizes)
        feeds = probe.feeds()
        expected = _expect_outputs(reference, own, feeds, seed + index, probe.cost)
        try:
            actual = other.run(feeds)
        except ShapeError as error:
            raise MismatchError(
                f"the second model fails on inputs that the first takes ({shape_of_feeds(feeds)}): {error}"
            ) from error
        comparison.add(expected, actual)
    require_unchanged([*a.constant_arrays(), *b.constant_arrays()])
    statement = comparison.statement(INTERPRETER_METHOD)
    return VerificationReport(
        comparison.reports(), comparison.runs, "interpreter", seed, INTERPRETER_METHOD, (statement,)
    )
