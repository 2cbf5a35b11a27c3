"""Errors planted in exported files, and how many of them a verification sees.

    python -m tests.benchmarks.planted_errors [--count 1200] [--seed 0]
        [--models NAME …] [--kinds NAME …] [--forms own foreign]

Each error is one change (`planted_kinds`) of a file that kir wrote of one of 14 models (`planted_models`), made with
onnx. Two forms of each file are verified:

- "own": as kir wrote it, with the one change;
- "foreign": the same, made to look like another tool's: values and nodes have other names, metadata and names of
  layers are gone, constants stand in another order.

Whether an error changes any result at all is judged without kir's numbers: both files run in onnxruntime, without its
optimisations and on one thread, so that what stays the same stays the same bit for bit, on inputs of many sizes and
values. Files that onnxruntime refuses to load are drawn anew. The goal: of the errors that change a result, 99 % are
seen, and the right layer is named for 99 % of those (in the foreign form: the node or the value). The same seed plants
the same errors.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto

import kir
from kir.errors import KirError, MismatchError
from kir.exporters.onnx_file.session import Entry, Session, make_session, run_session
from kir.exporters.pipeline import ExportOptions, export_model
from kir.ir.op import Array
from kir.numerics.report import Finding, VerificationReport
from tests.benchmarks.planted_files import Change, File
from tests.benchmarks.planted_kinds import HIDDEN_KINDS, KINDS
from tests.benchmarks.planted_models import CONDITIONS, NAMES, VOCABULARY, Subject, build_model

FORMS = ("own", "foreign")
LEVELS = (2, 2, 2, 1, 0)  # of the passes, with how often they are drawn
HIDDEN_SHARE = 0.1  # of the errors, how many are in a model whose outputs show little


# Planting


@cache
def exported(subject: Subject, level: int) -> File:
    """Return the file of a model, as kir writes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_model(build_model(subject), path, ExportOptions(verify=False, level=level))
        return File(onnx.load(path))


@dataclass(frozen=True)
class Error:
    """One error, where it is planted, and the file with it."""

    kind: str
    subject: Subject
    level: int
    change: Change
    model: ModelProto

    def __str__(self) -> str:
        return f"{self.kind}; {self.subject}, -O{self.level}; {self.change.text}"


def plant_errors(count: int, seed: int, models: Sequence[str] = NAMES, kinds: Sequence[str] = ()) -> Iterator[Error]:
    """Return so many different errors whose files onnxruntime loads, or fewer if there are not so many.

    Kinds take turns, so that rare ones are not drowned by those that fit everywhere.
    """
    rng = np.random.default_rng(seed)
    usual = [kind for kind in KINDS if not kinds or kind in kinds]
    hidden = [kind for kind in HIDDEN_KINDS if not kinds or kind in kinds]
    made: set[str] = set()
    tries = 0  # since the last error
    turn = 0
    while len(made) < count and tries < 40 * (len(usual) + len(hidden)):
        is_hidden = bool(hidden) and (not usual or rng.random() < HIDDEN_SHARE)
        kind = (hidden if is_hidden else usual)[turn % len(hidden if is_hidden else usual)]
        subject = Subject(str(rng.choice(models)), str(rng.choice(CONDITIONS)) if is_hidden else "")
        error = _draw_error(kind, subject, int(rng.choice(LEVELS)), rng)
        turn, tries = turn + 1, tries + 1
        if error is not None and str(error) not in made and _loads(error):
            made.add(str(error))
            tries = 0
            yield error


def _draw_error(kind: str, subject: Subject, level: int, rng: np.random.Generator) -> Error | None:
    file = exported(subject, level)
    changes = list((KINDS | HIDDEN_KINDS)[kind](file, rng))
    if not changes:
        return None
    change = changes[rng.integers(len(changes))]
    return Error(kind, subject, level, change, changed(file.model, change))


def changed(model: ModelProto, change: Change) -> ModelProto:
    """Return a copy of a model with a change made."""
    copy = ModelProto()
    copy.CopyFrom(model)
    change.apply(copy.graph)
    return copy


def disguise(model: ModelProto) -> tuple[ModelProto, dict[str, str]]:
    """Return a copy that looks like another tool's, and the names of its values and nodes by the former ones."""
    copy = ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    copy.producer_name, copy.producer_version, copy.doc_string, graph.name = "other", "1.0", "", "main"
    del copy.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    kept = {entry.name for entry in (*graph.input, *graph.output)} | {""}
    names: dict[str, str] = {}

    def renamed(name: str) -> str:
        return name if name in kept else names.setdefault(name, f"v{len(names)}")

    for index, node in enumerate(graph.node):
        names[node.name] = node.name = f"n{index}"
        node.doc_string = ""
        del node.metadata_props[:]
        for field_names in (node.input, node.output):
            field_names[:] = [renamed(name) for name in field_names]
    for tensor in graph.initializer:
        tensor.name = renamed(tensor.name)
    graph.initializer.reverse()
    return copy, names


# Judging


def _session(model: ModelProto, optimizes: bool) -> Session:
    """Return a session in a process of its own: what onnxruntime dies of is no error to plant."""
    return make_session(model.SerializeToString(), threads=1, optimize=optimizes)


def _loads(error: Error) -> bool:
    """Return whether onnxruntime loads all forms of a file."""
    try:
        for model in (error.model, disguise(error.model)[0]):
            for optimizes in (False, True):
                _session(model, optimizes)
    except KirError:
        return False
    return True


Values = Callable[[np.random.Generator, tuple[int, ...]], Array]
VALUES: tuple[Values, ...] = (
    lambda rng, shape: rng.normal(size=shape),
    lambda rng, shape: 5 * rng.normal(size=shape),
    lambda rng, shape: rng.uniform(0, 1, shape),
    lambda rng, shape: rng.integers(0, 256, shape),
    lambda rng, shape: rng.uniform(-300, 300, shape),
    lambda rng, shape: rng.integers(-6, 7, shape) / 2,
    lambda rng, shape: rng.normal(size=shape) * rng.integers(0, 2, shape),  # some features are 0
    lambda rng, shape: rng.normal(size=shape) * rng.integers(0, 2, (*shape[:-1], 1)),  # whole steps are 0
    lambda rng, shape: np.where(rng.integers(0, 2, (*shape[:-1], 1)), rng.normal(size=shape), -1),  # or −1
    lambda rng, shape: np.where(rng.integers(0, 2, shape), rng.normal(size=shape), -1),
    lambda rng, shape: 1000 * (rng.random(shape) < 1 / max(shape[-1], 1)),  # few features are not 0
    lambda rng, shape: np.zeros(shape),
    lambda rng, shape: 1e4 * rng.normal(size=shape),
)
BATCHES, STEPS = (1, 2, 11), (1, 8, 48, 80)


def judging_feeds(session: Session) -> Iterator[dict[str, Array]]:
    """Return inputs of many sizes and values."""
    rng = np.random.default_rng(0)
    for index, values in enumerate(VALUES * 2):
        batch, steps = BATCHES[index % len(BATCHES)], STEPS[(index + 1) % len(STEPS)]
        yield {entry.name: _values_for(entry, rng, values, batch, steps) for entry in session.get_inputs()}


def _values_for(entry: Entry, rng: np.random.Generator, values: Values, batch: int, steps: int) -> Array:
    if entry.name.endswith(".shape"):
        return np.array([batch, 50])
    if entry.name.endswith(".indices"):  # of a sparse input: five places of its rows
        return np.stack([rng.integers(0, batch, 5), rng.integers(0, 50, 5)], axis=1)
    if entry.name.endswith(".values"):
        return values(rng, (5,)).astype(np.float32)
    shape = tuple(size if isinstance(size, int) else batch if size == "batch" else steps for size in entry.shape)
    if entry.type == "tensor(int32)":
        return rng.integers(0, VOCABULARY, shape).astype(np.int32) * (rng.random(shape) < 0.8).astype(np.int32)
    return values(rng, shape).astype(np.float32)


Results = list[dict[str, Array] | str]  # of all feeds: the outputs, or what onnxruntime says


def results(model: ModelProto) -> Results:
    """Return what a file computes from the inputs of the judge."""
    session = _session(model, optimizes=False)
    found: Results = []
    for feeds in judging_feeds(session):
        try:
            found.append(run_session(session, feeds))
        except KirError as error:
            found.append(str(error))
    return found


@cache
def right_results(subject: Subject, level: int) -> Results:
    """Return the results of the file without an error; where a size is too small for the model, there are none."""
    return results(exported(subject, level).model)


def differs(right: Results, other: Results) -> bool:
    """Return whether any result is not the same, bit for bit."""
    for a, b in zip(right, other, strict=True):
        if isinstance(a, str):
            continue
        if isinstance(b, str) or a.keys() != b.keys():
            return True
        if not all(np.array_equal(a[name], b[name], equal_nan=True) for name in a):
            return True
    return False


# Verifying


@dataclass(frozen=True)
class Verdict:
    """What a verification says of a file: the part that sees an error first, or the class of what it raises."""

    part: str = ""  # "" where nothing is seen
    named: Finding | None = None
    trouble: str = ""

    @property
    def is_seen(self) -> bool:
        return bool(self.part)


def verify_error(error: Error, form: str, provider: str = "cpu") -> tuple[Verdict, bool]:
    """Return the verdict on one form of a file, and whether it names the right place."""
    model, names = (error.model, {}) if form == "own" else disguise(error.model)
    verdict = verdict_on(error.subject, model, provider)
    found = verdict.named
    if found is None:
        return verdict, False
    is_layer = found.layer.partition(" (")[0] in error.change.layers  # after it stands the class, in some parts
    if form == "own" and error.change.layers:
        return verdict, is_layer
    places = {names.get(place, place) for place in error.change.places}
    return verdict, bool(is_layer or places & {found.tensor, found.op} or _mentions(found, places))


def _mentions(found: Finding, places: set[str]) -> bool:
    """Return whether the text of a finding has the name of one of the places as a word of its own."""
    words = {word.strip("'\"`,.:;()") for word in str(found).split()}
    return bool(words & places)


def verdict_on(subject: Subject, model: ModelProto, provider: str = "cpu") -> Verdict:
    """Return what `kir.verify` says of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        try:
            report = kir.verify(build_model(subject), path, provider=provider)
        except MismatchError as error:
            return Verdict("signature", Finding(str(error)))
        except KirError as error:
            return Verdict(type(error).__name__, Finding(str(error)), str(error))
        except Exception:
            return Verdict("", None, traceback.format_exc())
    return _verdict_of(report)


def _verdict_of(report: VerificationReport) -> Verdict:
    if report.passed:
        return Verdict()
    part, first = report.problems[0]
    return Verdict(part, next((found for _, found in report.problems if found.layer), first))


# Counting


@dataclass
class Tally:
    """What became of the errors of one kind in one form."""

    planted: int = 0
    changing: int = 0
    seen: int = 0  # of all
    seen_changing: int = 0
    named: int = 0  # of those seen that change a result
    parts: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        for name in ("planted", "changing", "seen", "seen_changing", "named"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.parts.update(other.parts)

    def row(self) -> str:
        parts = ", ".join(f"{part} {count}" for part, count in self.parts.most_common())
        return f"{self.planted:>8}{self.changing:>9}{self.seen_changing:>6}{self.named:>7}{self.seen:>6}   {parts}"


@dataclass
class Outcome:
    """All that was found."""

    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)  # by kind and form
    missed: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def record(self, error: Error, form: str, changes: bool, verdict: Verdict, is_named: bool) -> None:
        tally = self.tallies.setdefault((error.kind, form), Tally())
        tally.planted += 1
        tally.changing += changes
        tally.seen += verdict.is_seen
        tally.parts[verdict.part or "not seen"] += 1
        if changes:
            tally.seen_changing += verdict.is_seen
            tally.named += verdict.is_seen and is_named
            if not verdict.is_seen:
                self.missed.append(f"{form}: {error}")
            elif not is_named:
                self.misnamed.append(f"{form}: {error}\n    {verdict.part}: {str(verdict.named)[:300]}")
        if verdict.trouble:
            self.troubles.append(f"{form}: {error}\n    {verdict.trouble[-600:]}")

    def total(self, form: str) -> Tally:
        total = Tally()
        for (_, of), tally in self.tallies.items():
            if of == form:
                total.add(tally)
        return total

    def __str__(self) -> str:
        width = max((len(kind) for kind, _ in self.tallies), default=4) + 2
        lines = [f"{'kind':<{width}}{'form':<8}{'planted':>8}{'changing':>9}{'seen':>6}{'named':>7}{'all':>6}   part"]
        lines += [f"{kind:<{width}}{form:<8}{tally.row()}" for (kind, form), tally in sorted(self.tallies.items())]
        forms = [form for form in FORMS if any(of == form for _, of in self.tallies)]
        lines += [f"{'all kinds':<{width}}{form:<8}{self.total(form).row()}" for form in forms]
        lines.append("seen and named: of those that change a result; all: seen of all that were planted")
        for title in ("missed", "misnamed", "troubles"):
            entries = getattr(self, title)
            lines += [f"\n{title}: {len(entries)}", *[f"  {entry}" for entry in entries]]
        return "\n".join(lines)


def run(errors: Iterator[Error], forms: Sequence[str], progress: Callable[[str], None]) -> Outcome:
    """Verify both forms of the files of all errors."""
    outcome = Outcome()
    for number, error in enumerate(errors, 1):
        changes = differs(right_results(error.subject, error.level), results(error.model))
        for form in forms:
            verdict, is_named = verify_error(error, form)
            outcome.record(error, form, changes, verdict, is_named)
        if number % 50 == 0:
            progress(f"{number} errors, {len(outcome.missed)} missed, {len(outcome.misnamed)} misnamed")
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", nargs="*", default=NAMES, choices=NAMES, metavar="NAME")
    parser.add_argument("--kinds", nargs="*", default=(), metavar="NAME")
    parser.add_argument("--forms", nargs="*", default=FORMS, choices=FORMS)
    arguments = parser.parse_args()
    began = time.perf_counter()
    errors = plant_errors(arguments.count, arguments.seed, arguments.models, arguments.kinds)
    outcome = run(errors, arguments.forms, lambda text: print(text, file=sys.stderr, flush=True))
    print(f"{outcome}\n\n{time.perf_counter() - began:.0f} s, seed {arguments.seed}")
    totals = [outcome.total(form) for form in arguments.forms]
    is_good = all(
        total.seen_changing >= 0.99 * total.changing and total.named >= 0.99 * total.seen_changing for total in totals
    )
    sys.exit(0 if is_good and not outcome.troubles else 1)


if __name__ == "__main__":
    main()
