"""Comparing what two ONNX files compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kir.errors import FormatError, LimitError, MismatchError, ShapeError, UnsupportedError
from kir.exporters.onnx_file.probe import index_bounds, load_model, move_weights
from kir.exporters.onnx_file.session import Session, make_session, run_session
from kir.exporters.onnx_file.verify.evidence import Evidence
from kir.exporters.onnx_file.verify.file import verify_file
from kir.exporters.onnx_file.verify.held import Held, Read
from kir.exporters.onnx_file.verify.matched import match_graphs
from kir.exporters.onnx_file.verify.runs import ModelFile, as_file, run_checked
from kir.exporters.onnx_file.verify.same_file import PART
from kir.exporters.onnx_file.verify.signature import session_inputs, session_outputs, signature_graph, type_problems
from kir.exporters.onnx_file.verify.subject import RunCount
from kir.ir.interpreter import widened
from kir.ir.op import Array
from kir.ir.structural import TRAINING_INPUT, Input
from kir.numerics.compare import Run, RunComparison
from kir.numerics.expected import MULTIPLE, Expected
from kir.numerics.feeds import random_feeds
from kir.numerics.least_sizes import Sizes
from kir.numerics.probes import choose_probes
from kir.numerics.report import Statement, VerificationReport
from kir.numerics.rounding import RUNS, RandomRounding, measure

METHOD = f"first file; allowed: {MULTIPLE:g} times the spread of {RUNS} runs, inputs and weights moved by a rounding"


def verify_onnx_files(
    a: ModelFile,
    b: ModelFile,
    provider: str = "cpu",
    seed: int = 0,
    evidence: Evidence | None = None,
    read: Read | None = None,
) -> VerificationReport:
    """Compare what onnxruntime computes from two ONNX files.

    There is no reference in a wider precision for the outputs. The first file takes its place, and how much rounding it
    causes is estimated from outside: it runs a few times with inputs and weights moved by up to one rounding. This
    misses rounding that happens between nodes only, so that files of very different operators may need a look.

    Where both files can be read as graphs, these are compared by parts as well, see `verify_file`: the second file
    should hold, and compute, the graph of the first.

    Args:
        a: the first file, or a serialized model.
        b: the second.
        provider: onnxruntime's execution provider.
        seed: of inputs and roundings.
        evidence: what the user wants to be looked at beside.
        read: reads a file as a graph; without it only outputs are compared.

    Raises:
        MismatchError: the files have different inputs or outputs, or the second cannot run what the first can.
        ProviderError: the provider is not installed.
        FormatError: a file cannot be loaded.
    """
    a, b, evidence = as_file(a), as_file(b), evidence or Evidence()
    first, second = make_session(a, provider), make_session(b, provider)
    problems = [
        *type_problems("input", session_inputs(first), session_inputs(second)),
        *type_problems("output", session_outputs(first), session_outputs(second)),
    ]
    if problems:
        raise MismatchError("the second file has another signature than the first:\n" + "\n".join(problems))
    proto = load_model(a)
    graph, bounds = signature_graph(first), index_bounds(proto)

    def accepts(sizes: Sizes) -> bool:
        try:
            run_session(first, random_feeds(graph, [seed, 0], sizes, bounds=bounds))
        except ShapeError:
            return False
        return True

    generators = [np.random.default_rng([seed, index, 1]) for index in range(RUNS)]
    moved = [make_session(move_weights(proto, generator), provider) for generator in generators]
    comparison, runs, parts = RunComparison(), RunCount(), evidence.parts(session_outputs(first))
    for probe in choose_probes(graph, seed, accepts=accepts, bounds=bounds):
        feeds = probe.feeds()
        comparison.add(_expect_moved(first, moved, feeds, generators), run_checked(second, feeds))
        runs.add(probe)
    for probe in evidence.probes(graph, seed):
        feeds = probe.feeds()
        run = Run(probe, feeds, _expect_moved(first, moved, feeds, generators), run_checked(second, feeds))
        comparison.add(run.expected, run.outputs)
        runs.add(probe)
        for part in parts:
            part.add(run)
    statements = [comparison.statement(METHOD, str(runs)), *[part.statement() for part in parts]]
    if read is not None and isinstance(a, Path) and isinstance(b, Path):
        statements += _compare_graphs(a, b, provider, seed, read)
    return VerificationReport(comparison.reports(), comparison.runs, provider, seed, METHOD, tuple(statements))


def _compare_graphs(a: Path, b: Path, provider: str, seed: int, read: Read) -> list[Statement]:
    """Return what the parts say of the second file, if it should compute the graph of the first."""
    try:
        (reference, _), (graph, names) = read(a), read(b)
        training = any(isinstance(node.op, Input) and node.op.label == TRAINING_INPUT for node in reference.inputs)
        held = Held(graph, names, match_graphs(reference, graph, training, "the first file"))
        report = verify_file(reference, b, provider, seed, held=held)
    except (FormatError, UnsupportedError, LimitError) as error:
        return [Statement(PART, not_run=f"the files cannot be compared as graphs: {error}")]
    return [statement for statement in report.statements if statement.part != "outputs"]


def _expect_moved(
    session: Session, moved: Sequence[Session], feeds: Mapping[str, Array], generators: Sequence[np.random.Generator]
) -> dict[str, Expected]:
    """Return what to expect of the second file, from the first and from copies of it with moved weights."""
    remaining = iter(zip(moved, generators, strict=True))

    def reference(observe: object) -> dict[str, Array]:
        return {name: widened(array) for name, array in run_checked(session, feeds).items()}

    def own(observe: object) -> dict[str, Array]:
        if observe is None:
            return run_checked(session, feeds)
        copy, generator = next(remaining)
        rounding = RandomRounding(generator)
        return run_checked(copy, {name: rounding.move_relative(array) for name, array in feeds.items()})

    return measure(reference, own, 0, len(moved))
