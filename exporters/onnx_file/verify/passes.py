"""The part of a verification that compares the graph before and after the passes, both in float64."""

from __future__ import annotations

from kir import passes
from kir.errors import KirError
from kir.exporters.onnx_file.verify.subject import RunCount, Subject
from kir.ir.graph import Graph
from kir.numerics.compare import Run
from kir.numerics.equivalence import Equivalence, are_same
from kir.numerics.report import Finding, OutputReport, Statement
from kir.numerics.variety import origins_of
from kir.ops.opaque import Opaque
from kir.support.records import dataclass
from kir.support.text import counted

PART = "passes"


class PassesPart:
    """Compares `Subject.reference` with `Subject.written` on every probe; see `kir.numerics.equivalence`.

    Where an output differs, the passes run again, one by one, to name the one that changed it, and the layer.
    """

    def __init__(self, subject: Subject) -> None:
        assert subject.written is not None
        self._reference, self._written, self._seed = subject.reference, subject.written, subject.seed
        self._runs = RunCount()
        self._problems: list[Finding] = []
        self._is_opaque = self._reference.has_any(Opaque) or self._written.has_any(Opaque)
        is_needless = self._is_opaque or are_same(self._reference, self._written)
        self._equivalence = None if is_needless else Equivalence(self._reference, self._written, self._seed)

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

    def statement(self) -> Statement:
        """Return how many outputs agreed on how many probes."""
        if self._is_opaque:
            return Statement(PART, not_run="there are operators that only onnxruntime can run")
        if self._equivalence is None:
            return Statement(PART, "the passes changed nothing")
        outputs = counted(len(self._reference.outputs), "output")
        rounded = counted(len(self._equivalence.rounded), "constant")
        but = f", but for the rounding of {rounded} that passes computed" if self._equivalence.rounded else ""
        covered = f"{outputs} on {self._runs}, in float64 before and after the passes{but}"
        return Statement(PART, covered, tuple(self._problems))

    def _explain(self, run: Run, reports: list[OutputReport]) -> list[Finding]:
        from kir.numerics.first_layer import find_first_layer  # start-up time: for mismatches alone

        step = _find_wrong_pass(self._reference, self._written, run, self._seed)
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


@dataclass(frozen=True)
class _Step:
    """A pass with the graphs before and after it."""

    name: str
    before: Graph
    after: Graph


def _find_wrong_pass(reference: Graph, written: Graph, run: Run, seed: int) -> _Step | None:
    """Run the passes again; return the first after which an output differs, None if there is none."""
    found: list[_Step] = []
    previous = reference.copy()

    def look(current: passes.Pass, graph: Graph, changes: int) -> None:
        nonlocal previous
        if found or not changes:
            return
        after = graph.copy()
        if Equivalence(reference, after, seed).find_differences(run):
            found.append(_Step(current.name, previous, after))
        previous = after

    names = ",".join(written.provenance.passes)
    try:
        if names:
            passes.run(reference.copy(), passes.select(names), after=look)
    except KirError:
        return found[0] if found else None
    return found[0] if found else None
