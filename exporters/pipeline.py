"""From a model or a graph to a verified file: optimise, write, verify, and only then put in place.

This is what `kir export` and `Model.export` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kir import passes
from kir.errors import (
    CrashError,
    FormatError,
    InvalidArgumentError,
    MismatchError,
    NotShownError,
    ShapeError,
    UnsupportedError,
    UsageError,
)
from kir.exporters.onnx_file.build import opset_for
from kir.exporters.onnx_file.write import DATA_FILE, ExportReport, write_graph
from kir.ir.dims import Dim, Sym
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array
from kir.ir.structural import Input, Output
from kir.ir.types import CarriedType, TensorType
from kir.modeling.lower import lower
from kir.modeling.model import Model
from kir.support.arguments import boolean, integer, optional_integer, text
from kir.support.files import check_target, replacing
from kir.support.garbage_collection import without_garbage_collection
from kir.support.mapped_files import require_unchanged
from kir.support.text import ShownAsText, counted, format_bytes

if TYPE_CHECKING:
    from kir.exporters.onnx_file.verify.evidence import Evidence
    from kir.numerics.compare import Run
    from kir.numerics.report import VerificationReport


@dataclass(frozen=True)
class SourceFile:
    """The ONNX file that a graph was read from, what it calls the values of that graph, and if it has its sizes."""

    path: Path
    names: Mapping[Value, str] = field(default_factory=dict)
    has_same_sizes: bool = True


@dataclass(frozen=True)
class ExportOptions:
    """The options of an export, by the names that `kir.export` gives them.

    Raises:
        InvalidArgumentError: an option is of another kind than its field says, or options contradict.
    """

    opset: int | None = None
    training: bool = False
    losses: bool = False
    sizes: Mapping[str, Dim] = field(default_factory=dict)
    external_data: str = "auto"
    metadata: Mapping[str, str] = field(default_factory=dict)
    level: int = 2
    passes: str | None = None
    verify: bool = True
    provider: str = "cpu"
    seed: int = 0
    bisect: bool = False
    evidence: Evidence | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        owner = type(self).__name__
        optional_integer(owner, "opset", self.opset)
        integer(owner, "level", self.level)
        integer(owner, "seed", self.seed, 0)
        for name in ("training", "losses", "verify", "bisect", "strict"):
            boolean(owner, name, getattr(self, name))
        if self.strict and not self.verify:
            raise UsageError("--strict asks for more of the verification, which --no-verify leaves out")
        for name in ("external_data", "provider"):
            text(owner, name, getattr(self, name))
        if not isinstance(self.metadata, Mapping) or not all(
            isinstance(word, str) for item in self.metadata.items() for word in item
        ):
            raise InvalidArgumentError(f"{owner}: metadata must map text to text; received metadata={self.metadata!r}")


@dataclass(frozen=True, repr=False)
class ExportResult(ShownAsText):
    """The result of an export: the file, what each pass changed, and how it verified (None when it was not).

    `source` says how the file that the graph was read from verified, if it was read from one.
    """

    file: ExportReport
    changes: Mapping[str, int]
    verification: VerificationReport | None
    graph: Graph
    source: VerificationReport | None = None

    def to_json(self) -> dict[str, object]:
        """Return plain values for JSON."""
        file = self.file
        return {
            "file": str(file.path),
            "data": None if file.data_path is None else str(file.data_path),
            "opset": file.opset,
            "nodes": file.node_count,
            "bytes": file.size_bytes,
            "inputs": {label_of(node): str(node.output.type) for node in self.graph.inputs},
            "outputs": {label_of(node): str(node.output.type) for node in self.graph.outputs},
            "passes": {name: count for name, count in self.changes.items() if count},
            "verification": None if self.verification is None else self.verification.to_json(),
            "random_weights": self.graph.provenance.random_weights or None,
            "lost_masks": list(self.graph.provenance.lost_masks),
            "assumptions": self.graph.assumptions(),
            "source_verification": None if self.source is None else self.source.to_json(),
        }

    def _headline(self) -> str:
        file = self.file
        data = f", data in {file.data_path}" if file.data_path else ""
        nodes = counted(file.node_count, "node")
        return f"{file.path}: {nodes}, opset {file.opset}, {format_bytes(file.size_bytes)}{data}"

    def __repr__(self) -> str:
        verified = "not verified" if self.verification is None else "verified"
        return f"<ExportResult {self._headline()}, {verified}>"

    def __str__(self) -> str:
        lines = [self._headline()]
        lines += [f"  input   {label_of(node)}: {node.output.type}" for node in self.graph.inputs]
        lines += [f"  output  {label_of(node)}: {node.output.type}" for node in self.graph.outputs]
        changed = ", ".join(f"{name} {count}" for name, count in self.changes.items() if count)
        lines += [f"  assumes {equality}" for equality in self.graph.assumptions()]
        lines += [f"  passes  {changed or 'nothing to change'}"]
        random = self.graph.provenance.random_weights
        if self.verification is None:
            lines += [f"  weights {random}"] if random else []
            lines += [f"  a mask ended at {layer}" for layer in self.graph.provenance.lost_masks]
        lines += ["not verified" if self.verification is None else str(self.verification)]
        if self.source is not None:
            lines.append(describe_source(self.source))
        return "\n".join(lines)


def label_of(node: Node) -> str:
    """Return the name of an input or an output."""
    assert isinstance(node.op, Input | Output)
    return node.op.label


def export_model(
    model: Model,
    path: Path,
    options: ExportOptions | None = None,
    *,
    progress: Callable[[str], None] = lambda stage: None,
    after_pass: Callable[[passes.Pass, Graph, int], None] | None = None,
) -> ExportResult:
    """Export a model as an ONNX file.

    The file is written and verified in a folder beside the target and moved there last: whatever fails, what was
    there stays as it was.

    Args:
        model: what to export.
        path: the file to write.
        options: see `ExportOptions`.
        progress: told the name of each stage as it begins.
        after_pass: called after each pass with the graph and the number of changes.

    Raises:
        UnsupportedError: something cannot be expressed; the message lists everything at once.
        MismatchError: onnxruntime computes something else than the model.
        NotShownError: `options.strict`, and the verification could not show all that it should.
        FormatError: the target cannot be written.
    """
    options = options or ExportOptions()
    check_request(path, options)
    progress("lowering")
    reference = lower(model, training=options.training, sizes=options.sizes, losses=options.losses)
    return export_reference(reference, path, options, progress=progress, after_pass=after_pass)


def export_reference(
    reference: Graph,
    path: Path,
    options: ExportOptions | None = None,
    *,
    source: SourceFile | None = None,
    progress: Callable[[str], None] = lambda stage: None,
    after_pass: Callable[[passes.Pass, Graph, int], None] | None = None,
) -> ExportResult:
    """Export a graph as an ONNX file, as `export_model` does a model.

    Args:
        reference: what the file is to compute. It stays as it is if the file is to be verified; else it is optimised.
        path: the file to write.
        options: see `ExportOptions`; `training` only chooses passes here, `sizes` and `losses` say nothing.
        source: the ONNX file that the graph was read from, if it was; it is verified that it was read right.
        progress: told the name of each stage as it begins.
        after_pass: called after each pass with the graph and the number of changes.

    Raises:
        UnsupportedError: something cannot be expressed; the message lists everything at once.
        MismatchError: onnxruntime computes something else than the graph, from the new file or from `source`.
        FormatError: the target cannot be written, or the file that the weights are read from changed.
    """
    options = options or ExportOptions()
    if options.opset is None and reference.provenance.opset is not None:
        options = replace(options, opset=opset_for(reference, None))
    chosen = check_request(path, options)
    arrays = reference.constant_arrays()
    recorder = None if options.evidence is None else options.evidence.recorder
    with _replacing_with_proof(path, None if recorder is None else recorder.path) as (staged, staged_proof):
        with without_garbage_collection():
            progress("optimising")
            graph = reference.copy() if options.verify else reference
            changes = passes.run(graph, chosen, after=after_pass)
            progress("writing")
            written = write_graph(
                graph,
                staged,
                opset=options.opset,
                external_data=options.external_data,
                metadata=options.metadata,
            )
        require_unchanged(arrays)  # verifying takes longest, and would be for nothing
        verification = source_verification = None
        if options.verify:
            verification, source_verification = _verify_files(reference, graph, written, source, options, progress)
        if recorder is not None and staged_proof is not None and verification is not None:
            recorder.write(staged_proof, written, verification)
        require_unchanged(arrays)
    return ExportResult(written.moved_to(path), changes, verification, graph, source_verification)


@contextmanager
def _replacing_with_proof(path: Path, proof: Path | None) -> Iterator[tuple[Path, Path | None]]:
    """Give paths to write a model and its proof to; both take their places at the end, or neither."""
    with ExitStack() as stack:
        staged_proof = None if proof is None else stack.enter_context(replacing(proof))
        yield stack.enter_context(replacing(path, DATA_FILE)), staged_proof


def check_request(path: Path, options: ExportOptions) -> tuple[passes.Pass, ...]:
    """Return the passes to run. Refuse what could not be done before any work is done.

    Raises:
        InvalidArgumentError: a pass or the level is unknown.
        FormatError: the target cannot be written, see `kir.support.files.check_target`.
    """
    chosen = passes.select(options.passes or "", options.level, options.training, options.opset)
    check_target(path)
    return chosen


def _verify_files(
    reference: Graph,
    graph: Graph,
    written: ExportReport,
    source: SourceFile | None,
    options: ExportOptions,
    progress: Callable[[str], None],
) -> tuple[VerificationReport, VerificationReport | None]:
    """Compare the new file with the graph, and the one that the graph was read from, if it was."""
    progress("verifying")
    if reference.has_carried_values():
        return _verify_carried(graph, source, written, options), None
    if source is None:
        return _verify(reference, graph, written, options, None), None
    runs = _expect_running(reference, source, options)  # both files are compared with one graph
    if not source.has_same_sizes:
        return _verify_of_other_sizes(reference, graph, written, source, options, runs), None
    report = _verify(reference, graph, written, options, runs)
    progress("verifying the file that was read")
    return report, verify_source(reference, source, options.provider, options.seed, options.strict, runs)


def _verify_of_other_sizes(
    reference: Graph, graph: Graph, written: ExportReport, source: SourceFile, options: ExportOptions, runs: list[Run]
) -> VerificationReport:
    """Compare the new file with the graph, whose inputs were given sizes, for which it may have no types.

    Raises:
        UnsupportedError: onnxruntime cannot load it, such as for a branch that these sizes do not fit.
    """
    try:
        return _verify(reference, graph, written, options, runs)
    except FormatError as error:
        raise UnsupportedError(
            f"onnxruntime does not load {source.path} with the given sizes: they must fit every graph inside an "
            "operator, that of a branch that is not taken as well; give others, or leave them unknown (without "
            f"--input-shapes and --batch), so that they only have to fit what runs; it says: {error}"
        ) from error


def _expect_running(reference: Graph, source: SourceFile, options: ExportOptions) -> list[Run]:
    """Return what to expect of a graph on inputs that the file that it was read from takes.

    Raises:
        UnsupportedError: none were found.
    """
    from kir.exporters.onnx_file.verify.asked import asking_onnxruntime
    from kir.numerics.compare import expect_probes, expect_runs
    from kir.numerics.running_probes import choose_running_probes

    with asking_onnxruntime(options.provider):
        try:
            return list(expect_runs(reference, options.seed))
        except ShapeError as error:  # for inputs that types allow, and that do not run
            try:
                probes = choose_running_probes(reference, options.seed, _runs_on(source, options))
            except ShapeError as none_found:
                raise _none_found(reference, source, none_found) from error
            return list(expect_probes(reference, probes, options.seed))


def _none_found(graph: Graph, source: SourceFile, reason: ShapeError) -> UnsupportedError:
    """Return the error for a file for which no inputs were found to verify with."""
    return UnsupportedError(
        f"found no inputs that onnxruntime runs {source.path} on, to verify with: {reason}; give sizes that it takes, "
        f"such as {_example_of_sizes(graph)}, or write the file without the check (--no-verify)"
    )


def _example_of_sizes(graph: Graph) -> str:
    """Return how sizes of an input are given, with numbers for those that are not known."""
    types = {label_of(node): node.output.type for node in graph.inputs}
    shapes = {name: type.shape for name, type in types.items() if isinstance(type, TensorType)}
    if not shapes:
        return "--input-shapes NAME:1,512"
    name, shape = max(shapes.items(), key=lambda item: sum(isinstance(dim, Sym) for dim in item[1]))
    sizes = [dim if isinstance(dim, int) else 512 if place else 1 for place, dim in enumerate(shape)]
    return f"--input-shapes {name}:{','.join(map(str, sizes))}"


def _runs_on(source: SourceFile, options: ExportOptions) -> Callable[[Mapping[str, Array]], bool]:
    """Return what says whether onnxruntime runs the file that a graph was read from on inputs."""
    from kir.exporters.onnx_file.session import make_session, run_session

    session = make_session(source.path, options.provider)

    def runs(feeds: Mapping[str, Array]) -> bool:
        try:
            run_session(session, feeds)
        except ShapeError:
            return False
        return True

    return runs


def _verify(
    reference: Graph, graph: Graph, written: ExportReport, options: ExportOptions, runs: Sequence[Run] | None
) -> VerificationReport:
    from kir.exporters.onnx_file.verify.file import verify_file

    report = verify_file(
        reference,
        written.path,
        provider=options.provider,
        seed=options.seed,
        runs=runs,
        written=graph,
        evidence=options.evidence,
    )
    report = replace(report, strict=options.strict)
    if report.problems and options.bisect:
        report = report.bisected()
    report.raise_if_failed()
    return report


def _verify_carried(
    graph: Graph, source: SourceFile | None, written: ExportReport, options: ExportOptions
) -> VerificationReport:
    """Compare two files in onnxruntime, where values are no tensors, which the interpreter does not hold."""
    from kir.exporters.onnx_file.verify.held import hold_written
    from kir.exporters.onnx_file.verify.two_files import verify_onnx_files

    if source is None or not source.has_same_sizes:
        raise InvalidArgumentError(
            "values of the model are no tensors of known rank and type, so that it runs in onnxruntime alone, and the "
            "file is compared with the one that was read; keep that one's sizes, or do without the check (--no-verify)"
        )
    for node in graph.inputs:
        if isinstance(node.output.type, CarriedType) and not node.output.type.text.startswith("tensor("):
            raise UnsupportedError(
                f"the input {label_of(node)!r} is {node.output.type}, for which kir has no values to verify with; "
                "write the file without the check (--no-verify)"
            )
    if options.evidence is not None and options.evidence.recorder is not None:
        raise UsageError("--proof records results in float64, and values of the model are no tensors")
    try:
        report = verify_onnx_files(source.path, written.path, options.provider, options.seed, options.evidence)
    except ShapeError as error:
        raise _none_found(graph, source, error) from error
    report = replace(report, strict=options.strict).adding(hold_written(graph, written.path).statement)
    report.raise_if_failed()
    return report


def verify_source(
    reference: Graph, source: SourceFile, provider: str, seed: int, strict: bool, runs: Sequence[Run] | None = None
) -> VerificationReport:
    """Check that onnxruntime computes from an ONNX file what kir read in it; arguments are those of `verify_file`.

    `strict` fails it, too, if the check could not show all that it should.

    A file that it dies of as it is must not keep kir from writing one that it does not die of: such a file runs without
    onnxruntime's optimisations.

    Raises:
        MismatchError: it does not.
        NotShownError: `strict`, and the check could not show all that it should.
        CrashError: onnxruntime dies of the file even so.
    """
    from kir.exporters.onnx_file.verify.file import verify_file
    from kir.exporters.onnx_file.verify.held import hold_read

    held = hold_read(reference, source.names) if source.names else None
    verify = partial(verify_file, reference, source.path, provider=provider, seed=seed, runs=runs, held=held)
    try:
        report = verify()
    except CrashError:
        report = verify(optimize=False)
    report = replace(report, strict=strict)
    if report.problems:
        raise MismatchError(
            f"onnxruntime ({report.provider}) computes something else from {source.path} than kir read in it; please "
            f"report it, with the file:\n{report}"
        )
    if not report.passed:
        raise NotShownError(f"not all was shown of {source.path}, the file that was read, as --strict asks:\n{report}")
    return report


def describe_source(report: VerificationReport) -> str:
    """Return a line that says how the file that was read verified."""
    same = f"the file that was read computes the same, in {counted(report.runs, 'run')}"
    if not report.not_shown:
        return same
    (part, first), *others = report.not_shown
    more = f" (and {len(others)} more; --json has all)" if others else ""
    return f"{same}, but for what was not shown: {part}: {first}{more}"
