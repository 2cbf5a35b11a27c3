"""The part of a verification that compares the graph before and after the passes, both in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kir import passes
from kir.errors import KirError
from kir.exporters.onnx_file.verify.subject import RunCount, Subject
from kir.ir.graph import Graph
from kir.numerics.compare import Run
from kir.numerics.equivalence import CHEAP_WORK, Equivalence, are_same
from kir.numerics.report import Finding, OutputReport, Statement
from kir.numerics.threads import blas_alone, does_without_blas_threads
from kir.numerics.variety import origins_of
from kir.support.text import counted

PART = "passes"

# The stretches are compared on the last run, which has most rows, that computes less; see `kir.numerics.cost`.
CHEAP_STRETCHES = 2 * 10**7


class PassesPart:
    """Compares `Subject.reference` with `Subject.written` on every probe; see `kir.numerics.equivalence`.

    Where all outputs agree, and a run is cheap, the stretches are compared as well; see `kir.numerics.stretches`.

    Where an output differs, the passes run again, one by one, to name the one that changed it, and the layer.
    """

    def __init__(self, subject: Subject) -> None:
        assert subject.written is not None
        self._reference, self._written, self._seed = subject.reference, subject.written, subject.seed
        self._names = subject.names
        self._runs = RunCount()
        self._problems: list[Finding] = []
        is_needless = are_same(self._reference, self._written)
        self._equivalence = None if is_needless else Equivalence(self._reference, self._written, self._seed)
        self._run: Run | None = None  # the one on which the stretches are compared
        self._stretches = 0

    def add(self, run: Run) -> None:
        """Run the graph after the passes, until an output has differed."""
        self._runs.add(run.probe)
        if self._equivalence is None or self._problems:
            return
        try:
            reports = self._equivalence.find_differences(run)
        except KirError as error:
            self._problems.append(Finding(f"the graph after the passes fails on inputs that the model takes: {error}"))
            return
        if reports:
            self._problems += self._explain(run, reports)
        self._run = _choose_run(self._run, run)

    def statement(self) -> Statement:
        """Return how many outputs agreed on how many probes."""
        if self._equivalence is None:
            return Statement(PART, "the passes changed nothing")
        if self._run is not None and not self._problems:
            with blas_alone(does_without_blas_threads(self._run.probe.cost, 2)):
                self._problems += self._compare_stretches(self._run)
        outputs = counted(len(self._reference.outputs), "output")
        rounded = counted(len(self._equivalence.rounded), "constant")
        but = f", but for the rounding of {rounded} that passes computed" if self._equivalence.rounded else ""
        values = counted(self._stretches, "inner value")
        fed = f"; {values} between, with numbers of its own fed after each" if self._stretches else ""
        covered = f"{outputs} on {self._runs}, in float64 before and after the passes{but}{fed}"
        return Statement(PART, covered, tuple(self._problems))

    def _compare_stretches(self, run: Run) -> Iterator[Finding]:
        from kir.numerics.stretches import Stretches  # start-up time: where passes changed something

        stretches = Stretches(self._reference, self._written, self._seed)
        differences = stretches.find_differences(run)
        self._stretches = stretches.count
        if not differences:
            return

        def differs(before: Graph, after: Graph) -> bool:
            return bool(Stretches(before, after, self._seed).find_differences(run))

        step = _find_wrong_pass(self._reference, self._written, differs)
        by = f"the pass {step.name} changed what it means" if step else "it means something else"
        for one in differences:
            yield Finding(
                f"{by}, on numbers that are fed to it (float64, before and after)",
                "" if one.origin is None else str(one.origin),
                str(one.op),
                self._names.get(one.other, ""),
                one.report.error,
                one.report.allowed,
            )

    def _explain(self, run: Run, reports: list[OutputReport]) -> list[Finding]:
        from kir.numerics.first_layer import find_first_layer  # start-up time: for mismatches alone

        def differs(before: Graph, after: Graph) -> bool:
            return bool(Equivalence(before, after, self._seed).find_differences(run))

        step = _find_wrong_pass(self._reference, self._written, differs)
        before, after = (step.before, step.after) if step else (self._reference, self._written)
        by = f"the pass {step.name} changed what the output means" if step else "the output means something else"
        layer = find_first_layer(before, after, run.feeds, wrong=[one.name for one in reports])
        origins = origins_of(self._reference)
        return [
            Finding(
                f"{by} (float64, before and after)",
                origins[one.name].layer if layer is None else str(layer),
                tensor=one.name,
                error=one.error,
                allowed=one.allowed,
            )
            for one in reports
        ]


def _choose_run(chosen: Run | None, run: Run) -> Run | None:
    """Return the later run if both are cheap, or else the cheaper one; None where that is dear."""
    work = run.probe.cost.work
    if work <= CHEAP_STRETCHES or (chosen is None and work <= CHEAP_WORK):
        return run
    return run if chosen is not None and work < chosen.probe.cost.work else chosen


@dataclass(frozen=True)
class _Step:
    """A pass with the graphs before and after it."""

    name: str
    before: Graph
    after: Graph


def _find_wrong_pass(reference: Graph, written: Graph, differs: Callable[[Graph, Graph], bool]) -> _Step | None:
    """Run the passes again; return the first after which the graph differs, None if there is none."""
    found: list[_Step] = []
    previous = reference.copy()

    def look(current: passes.Pass, graph: Graph, changes: int) -> None:
        nonlocal previous
        if found or not changes:
            return
        after = graph.copy()
        if differs(reference, after):
            found.append(_Step(current.name, previous, after))
        previous = after

    names = ",".join(written.provenance.passes)
    try:
        if names:
            passes.run(reference.copy(), passes.select(names), after=look)
    except KirError:
        return found[0] if found else None
    return found[0] if found else None
