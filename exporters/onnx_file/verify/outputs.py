"""The part of a verification that compares the outputs of the file as it is, all fusions of onnxruntime on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from kir.exporters.onnx_file.verify.batches import BatchCheck
from kir.exporters.onnx_file.verify.subject import Subject
from kir.numerics.compare import INTERPRETER_METHOD, Run, RunComparison
from kir.numerics.probes import Probe
from kir.numerics.report import Finding, Statement
from kir.numerics.variety import origins_of
from kir.support.text import counted


class OutputsPart:
    """Compares all outputs on all probes, and says of which outputs, sizes and batches that shows nothing."""

    def __init__(self, subject: Subject) -> None:
        self._batches = BatchCheck(subject.reference, subject.session, subject.seed)
        self._probes: list[Probe] = []
        self._single: Run | None = None  # the first run of one row
        self.comparison = RunComparison(origins_of(subject.reference))

    def add(self, run: Run) -> None:
        """Compare the outputs of one run."""
        self.comparison.add(run.expected, run.outputs)
        probe = run.probe
        if type(probe) is Probe:
            self._probes.append(probe)
            if self._single is None and probe.batch is not None and probe.sizes[probe.batch] == 1:
                self._single = run

    def statement(self) -> Statement:
        """Return what the outputs showed; batches that no probe had are run before."""
        untried = tuple(self._untried())
        said = self.comparison.statement(INTERPRETER_METHOD)
        outputs = counted(len(self.comparison.reports()), "output")
        probes = describe_probes(self._probes, self._batches.ran) if self._probes else "the user's data"
        covered = f"{outputs} on {probes}, against the {INTERPRETER_METHOD}"
        return replace(said, covered=covered, not_shown=(*said.not_shown, *untried))

    def _untried(self) -> Iterator[Finding]:
        """Run larger batches, and yield what the limits on cost left out."""
        for probe in self._probes:
            if probe.untried:
                yield Finding(f"not run, for what it costs: {probe.untried}")
        name = None if self._single is None else self._single.probe.batch
        if self._single is not None and name is not None:
            tried = max(probe.sizes[name] for probe in self._probes)
            yield from self._batches.check(self._single, tried, self.comparison)


def describe_probes(probes: Iterable[Probe], batches: Iterable[int] = ()) -> str:
    """Return how many probes there were, and their sizes: "3 probes (batch 1, 2 and 9; length 67, 1 and 11)".

    Args:
        probes: that were run.
        batches: that were run in onnxruntime alone.
    """
    probes = list(probes)
    sizes: dict[str, dict[int, None]] = {}
    for probe in probes:
        for name, size in probe.sizes.items():
            sizes.setdefault(name, {})[size] = None
    facts = [f"{name} {_listed(found)}" for name, found in sizes.items()]
    if batches:
        facts.append(f"a row of it in batches of {_listed(sorted(batches))}")
    return counted(len(probes), "probe") + (f" ({'; '.join(facts)})" if facts else "")


def _listed(numbers: Iterable[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last
