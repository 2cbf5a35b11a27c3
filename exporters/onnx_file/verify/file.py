"""Verifying a written file: does onnxruntime compute from it what the model means?"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kir.errors import FormatError, KirError, MismatchError, UnsupportedError
from kir.exporters.onnx_file.mapped import lean_model
from kir.exporters.onnx_file.session import CUDA_TF32, TF32_NOTE, fallback_nodes
from kir.exporters.onnx_file.verify.alone import AlonePart
from kir.exporters.onnx_file.verify.asked import asking_onnxruntime
from kir.exporters.onnx_file.verify.held import Held, hold_written
from kir.exporters.onnx_file.verify.operators import Operators
from kir.exporters.onnx_file.verify.outputs import OutputsPart
from kir.exporters.onnx_file.verify.passes import PassesPart
from kir.exporters.onnx_file.verify.runs import ModelFile, as_file, run_checked
from kir.exporters.onnx_file.verify.signature import default_problems, session_outputs, signature_problems
from kir.exporters.onnx_file.verify.subject import Part, Subject
from kir.exporters.onnx_file.verify.training import check_training
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.numerics.compare import INTERPRETER_METHOD, Run, expect_probes, expect_runs
from kir.numerics.report import Finding, Statement, VerificationReport
from kir.numerics.threads import blas_alone, does_without_blas_threads
from kir.support.mapped_files import require_unchanged

if TYPE_CHECKING:
    from kir.exporters.onnx_file.verify.evidence import Evidence  # start-up time: for those who ask for it alone

LOST_MASK = "a mask ended here, which it cannot carry: layers after it compute with masked steps as if they were data"


def verify_file(
    graph: Graph,
    model: ModelFile,
    provider: str = "cpu",
    seed: int = 0,
    sizes: Sequence[Mapping[str, int]] | None = None,
    runs: Iterable[Run] | None = None,
    optimize: bool = True,
    written: Graph | None = None,
    held: Held | None = None,
    evidence: Evidence | None = None,
) -> VerificationReport:
    """Prove by parts that an ONNX file computes what a graph means; see `parts_of` for the parts.

    A training export is compared with its switch off; then its random choices are checked, see `check_training`.
    Operators that only onnxruntime knows are taken at its word, see `asked`; the part "operators" names them.

    Memory: at most 8 times the largest weight, beside libraries and activations, if the graph's weights are mapped from
    disk and the file is large and holds them inline, or as kir writes external data (`lean_model`). That is anonymous
    memory: pages of mapped files, which the kernel may drop, come on top in what tools show as resident. Weights that
    onnxruntime converts when it loads (float16 on the CPU) are copies of its own and come on top too.

    Args:
        graph: what the file should compute, before any pass.
        model: the file, or a serialized model.
        provider: onnxruntime's execution provider: "cpu", "cuda", …
        seed: of inputs and roundings.
        sizes: values for the symbolic sizes, one mapping per run; see `kir.numerics.probes.choose_probes`.
        runs: what `expect_runs` gave, instead of computing it.
        optimize: whether onnxruntime optimises the graph when it loads it, as it does for everybody.
        written: the graph that kir wrote the file of, after the passes: every difference is a problem.
        held: instead of `written`, what was found out of a file of any origin, see `find_held`.
        evidence: what the user wants to be looked at beside; its statements come last.

    Raises:
        ProviderError: the provider is not installed.
        CrashError: onnxruntime dies of the file.
        LimitError: running the graph would take too much memory.
        MismatchError: the file has other inputs or outputs, or onnxruntime cannot run it on inputs that fit; if it is
            known where the file differs from the graph that was written, that is reported instead.
        InvalidArgumentError: the user's data do not fit the graph.
        FormatError: onnxruntime cannot load the file.
    """
    model = as_file(model)
    if runs is None:
        runs = expect_runs(graph, seed, sizes)  # before onnxruntime takes the memory that this refuses
    if written is not None:
        held = hold_written(written, model)
    try:
        with asking_onnxruntime(provider):
            return _prove(graph, model, provider, seed, runs, optimize, held, evidence)
    except (MismatchError, FormatError, UnsupportedError) as error:
        if held is None or held.statement.passed:
            raise
        # Where the file is not the graph, that is why it does not run; the statement names the place.
        wrong = Statement("outputs", problems=(Finding(str(error)),))
        return VerificationReport((), 0, provider, seed, INTERPRETER_METHOD, (held.statement, wrong))


def _prove(
    graph: Graph,
    model: Path | bytes,
    provider: str,
    seed: int,
    runs: Iterable[Run],
    optimize: bool,
    held: Held | None,
    evidence: Evidence | None,
) -> VerificationReport:
    """Run the file and ask all parts; arguments and errors are those of `verify_file`."""
    feeds: dict[str, Array] = {}
    further = [] if evidence is None else evidence.probes(graph, seed)
    with lean_model(model) as lean:
        session = lean.session(provider, optimize)
        stated = held is None or held.is_written
        problems = signature_problems(graph, session, stated) or list(default_problems(graph, session, lean.file))
        if problems:
            raise MismatchError("the file is not of this model:\n" + "\n".join(problems))
        read, names = (None, {}) if held is None else (held.graph, held.names)
        subject = Subject(graph, read, names, model, lean, session, provider, seed)
        outputs = OutputsPart(subject)
        parts = [outputs, *parts_of(subject)]
        parts += [] if evidence is None else evidence.parts(session_outputs(session))
        for expected in itertools.chain(runs, expect_probes(graph, further, seed)):
            feeds = expected.feeds
            run = replace(expected, outputs=run_checked(session, feeds))
            with blas_alone(does_without_blas_threads(run.probe.cost, 2)):
                for part in parts:
                    with naming(part):
                        part.add(run)
        statements = [] if held is None else [held.statement]
        for part in parts:
            with naming(part):
                statements.append(part.statement())
    require_unchanged(graph.constant_arrays())
    trained = check_training(graph, model, provider, seed)
    return VerificationReport(
        outputs.comparison.reports(),
        outputs.comparison.runs,
        provider,
        seed,
        INTERPRETER_METHOD,
        tuple([*statements, trained] if trained else statements),
        tuple(_notes(graph, fallback_nodes(model, feeds, provider), provider)),
        measured=next((part.reports for part in parts if isinstance(part, Operators)), {}),
    )


def _notes(graph: Graph, fallback: Sequence[str], provider: str) -> Iterator[Finding]:
    """Yield what a reader must know beside what the parts say."""
    if graph.provenance.random_weights:
        yield Finding(f"weights of the model: {graph.provenance.random_weights}")
    for layer in graph.provenance.lost_masks:
        yield Finding(LOST_MASK, layer)
    if provider.lower() == CUDA_TF32:
        yield Finding(TF32_NOTE)
    for node in fallback:
        yield Finding(f"ran on the CPU instead of {provider}", tensor=node)


@contextmanager
def naming(part: Part) -> Iterator[None]:
    """Note at a bug which part of the verification it comes from: a part that breaks off shows nothing."""
    try:
        yield
    except KirError:
        raise
    except Exception as error:
        error.add_note(f"in {type(part).__name__}, a part of the verification")
        raise


def parts_of(subject: Subject) -> list[Part]:
    """Return the parts of a verification beside the comparison of the outputs."""
    if subject.written is None:
        return []
    operators = Operators(subject.written, subject.names, subject.lean, subject.provider)
    return [PassesPart(subject), operators, AlonePart(subject, operators.coverage.weak)]
