"""The part of a verification that compares the outputs of the file as it is, all fusions of onnxruntime on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from kir.errors import KirError
from kir.exporters.onnx_file.verify.batches import BatchCheck
from kir.exporters.onnx_file.verify.subject import RunCount, Subject
from kir.ir.op import Array
from kir.numerics.compare import INTERPRETER_METHOD, Run, RunComparison
from kir.numerics.first_layer import find_first_layer
from kir.numerics.probes import Probe
from kir.numerics.report import Finding, Statement
from kir.numerics.variety import origins_of
from kir.support.text import counted


class OutputsPart:
    """Compares all outputs on all probes, and says of which outputs, sizes and batches that shows nothing."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._batches = BatchCheck(subject)
        self._wrong_feeds: dict[str, Array] | None = None  # of the first run in which an output is
        self._probes: list[Probe] = []
        self._runs = RunCount()
        self._single: Run | None = None  # the first run of one row
        self.comparison = RunComparison(origins_of(subject.reference))

    def add(self, run: Run) -> None:
        """Compare the outputs of one run."""
        self.comparison.add(run.expected, run.outputs)
        if self._wrong_feeds is None and not all(report.passed for report in self.comparison.reports()):
            self._wrong_feeds = run.feeds
        probe = run.probe
        self._runs.add(probe)
        if type(probe) is Probe:
            self._probes.append(probe)
            if self._single is None and probe.batch is not None and probe.sizes[probe.batch] == 1:
                self._single = run

    def statement(self) -> Statement:
        """Return what the outputs showed; batches that no probe had are run before."""
        untried = tuple(self._untried())
        ran = describe_probes(self._probes, self._batches.ran, self._batches.pixels)
        said = self.comparison.statement(INTERPRETER_METHOD, self._runs.described(ran))
        problems = tuple(self._with_layers(said.problems))
        return replace(said, problems=problems, not_shown=(*said.not_shown, *untried))

    def _with_layers(self, problems: Sequence[Finding]) -> Iterator[Finding]:
        """Yield what is wrong with the layer where it begins; with that of the output, if that cannot be told."""
        feeds, written = self._wrong_feeds or self._batches.wrong_feeds, self._subject.written
        first = None
        if feeds is not None and written is not None:
            with suppress(KirError):  # a graph that was read need not run in the interpreter
                wrong = [one.tensor for one in problems]
                first = find_first_layer(self._subject.reference, written, feeds, rounds=True, wrong=wrong)
        origins = origins_of(self._subject.reference)
        for one in problems:
            yield replace(one, layer=origins[one.tensor].layer if first is None else str(first))

    def _untried(self) -> Iterator[Finding]:
        """Run larger batches, and yield what the limits on cost left out."""
        for probe in self._probes:
            if probe.untried:
                yield Finding(f"not run, for what it costs: {probe.untried}")
            if probe.refused:
                yield Finding(f"not run, as the file that was read does not run on it either: {probe.refused}")
        name = None if self._single is None else self._single.probe.batch
        if self._single is not None and name is not None:
            tried = max(probe.sizes[name] for probe in self._probes)
            yield from self._batches.check(self._single, tried, self.comparison)


def describe_probes(probes: Iterable[Probe], batch: int | None = None, pixels: int = 0) -> str:
    """Return how many probes there were, and their sizes: "3 probes (batch 1, 2 and 9; length 67, 1 and 11)".

    Args:
        probes: that were run.
        batch: that was run in onnxruntime alone.
        pixels: the height and width of its images, if they are not those of the probes.
    """
    probes = list(probes)
    sizes: dict[str, dict[int, None]] = {}
    for probe in probes:
        for name, size in probe.sizes.items():
            sizes.setdefault(name, {})[size] = None
    facts = [f"{name} {_listed(found)}" for name, found in sizes.items()]
    if tried := sum(probe.tried for probe in probes):
        facts.append(f"found by running the file that was read at {counted(tried, 'choice')} of sizes")
    if batch is not None:
        at = f", at {pixels}×{pixels} pixels" if pixels else ""
        facts.append(f"a row of it in batches of {batch}{at}")
    return counted(len(probes), "probe") + (f" ({'; '.join(facts)})" if facts else "")


def _listed(numbers: Iterable[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last
