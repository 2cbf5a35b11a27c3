"""The first node of a file that computes something else than the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kir.errors import FormatError
from kir.exporters.onnx_file.build import value_names
from kir.exporters.onnx_file.probe import computed_names, expose, load_model, opset_of
from kir.exporters.onnx_file.session import Session, make_session
from kir.exporters.onnx_file.verify.runs import ModelFile, as_file, run_checked
from kir.ir.graph import Graph, Value
from kir.ir.op import Array
from kir.ir.structural import Constant, Input, Output
from kir.numerics.compare import compare, worse
from kir.numerics.expected import Expected
from kir.numerics.interpreter import Plan
from kir.numerics.probes import choose_probes
from kir.numerics.report import Divergence, Finding, OutputReport, Statement
from kir.numerics.rounding import measure
from kir.support.text import counted

# Intermediate values are compared in so many groups at most, each with its own session.
BISECT_GROUPS = 16
MIN_GROUP = 64


def bisect(graph: Graph, model: ModelFile, provider: str = "cpu", seed: int = 0) -> Divergence:
    """Return the first node whose value in the file leaves its bound.

    Every value that the file computes becomes an output, and is compared with the float64 interpreter on the graph
    that was written. onnxruntime does not fuse nodes over a value that is an output, so an error of such a fusion is
    not found; nor is one of a pass, since it is part of the graph. Memory: a sixteenth of all values at once, and the
    model (under 2 GiB).

    Args:
        graph: the graph that was written, after the passes.
        model: the file.
        provider: as in `verify_file`.
        seed: as in `verify_file`: the same inputs are used.

    Raises:
        FormatError: the file was not written from this graph.
    """
    for errors in _errors_by_group(graph, model, provider, seed):
        for value, report in errors.items():
            if not report.passed:
                layer, op = place_of(value)
                return Divergence(op, layer, report.name, report.error, report.allowed, value.node)
    return Divergence()


def node_errors(graph: Graph, model: ModelFile, provider: str = "cpu", seed: int = 0) -> dict[Value, OutputReport]:
    """Return how far every value that the file computes is from its bound: what `bisect` looks at, for all nodes.

    Args and errors: as for `bisect`.
    """
    found: dict[Value, OutputReport] = {}
    for errors in _errors_by_group(graph, model, provider, seed):
        found |= errors
    return found


def node_statement(errors: Mapping[Value, OutputReport]) -> Statement:
    """Return what the errors of all nodes say."""
    problems = [
        Finding(report.wrong, *place_of(value), report.name, report.error, report.allowed)
        for value, report in errors.items()
        if not report.passed
    ]
    return Statement("nodes", f"{counted(len(errors), 'value')} inside the file, each as an output", tuple(problems))


def place_of(value: Value) -> tuple[str, str]:
    """Return the layer and the operator that a value comes from, as findings give them."""
    return "" if value.node.origin is None else str(value.node.origin), str(value.node.op)


def _errors_by_group(graph: Graph, model: ModelFile, provider: str, seed: int) -> Iterator[dict[Value, OutputReport]]:
    proto = load_model(as_file(model))
    names = value_names(graph, opset_of(proto))
    values = [
        value
        for node in graph.order()
        if not isinstance(node.op, Input | Output | Constant)
        for value in node.outputs
        if value in names
    ]
    present = computed_names(proto) | {node.op.label for node in graph.inputs if isinstance(node.op, Input)}
    missing = [names[value] for value in values if names[value] not in present]
    if missing:
        raise FormatError(f"the file has no value {missing[0]!r}: it was not written from this graph; export it again")
    runs = [probe.feeds() for probe in choose_probes(graph, seed)]
    size = max(MIN_GROUP, -(-len(values) // BISECT_GROUPS))
    for start in range(0, len(values), size):
        group = values[start : start + size]
        session = make_session(expose(proto, list(dict.fromkeys(names[value] for value in group))), provider)
        yield _errors_of_group(graph, group, names, session, runs, seed)


def _errors_of_group(
    graph: Graph,
    group: Sequence[Value],
    names: Mapping[Value, str],
    session: Session,
    runs: Sequence[Mapping[str, Array]],
    seed: int,
) -> dict[Value, OutputReport]:
    reference, own = Plan(graph, wide=True, keep=group), Plan(graph, keep=group)
    worst: dict[Value, OutputReport] = {}
    for index, feeds in enumerate(runs):
        expected = _expect_kept(reference, own, feeds, seed + index)
        actual = dict(feeds) | run_checked(session, feeds)
        for value in group:
            report = compare(names[value], expected[value], actual[names[value]])
            worst[value] = worse(worst[value], report) if value in worst else report
    return worst


def _expect_kept(reference: Plan, own: Plan, feeds: Mapping[str, Array], seed: int) -> dict[Value, Expected]:
    return measure(
        lambda observe: reference.run_kept(feeds, observe), lambda observe: own.run_kept(feeds, observe), seed
    )
