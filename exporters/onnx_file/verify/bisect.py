"""The first operator of a file that computes something else than it means; see `operators`."""

from __future__ import annotations

from collections.abc import Mapping

from kir.errors import FormatError
from kir.exporters.onnx_file.build import value_names
from kir.exporters.onnx_file.mapped import lean_model
from kir.exporters.onnx_file.probe import opset_of
from kir.exporters.onnx_file.verify.operators import Operators
from kir.exporters.onnx_file.verify.runs import ModelFile, as_file
from kir.ir.graph import Graph, Value
from kir.numerics.compare import Run
from kir.numerics.probes import choose_probes
from kir.numerics.report import Divergence, Finding, OutputReport, Statement
from kir.support.text import counted


def bisect(graph: Graph, model: ModelFile, provider: str = "cpu", seed: int = 0) -> Divergence:
    """Return the first node of a graph, in its order, that leaves the bound of its own rounding in a file.

    Args:
        graph: the graph that was written, after the passes.
        model: the file.
        provider: as in `verify_file`.
        seed: as in `verify_file`: the same inputs are used.

    Raises:
        FormatError: the file was not written from this graph.
    """
    for value, report in node_errors(graph, model, provider, seed).items():
        if not report.passed:
            layer, op = place_of(value)
            return Divergence(op, layer, report.name, report.error, report.allowed, value.node)
    return Divergence()


def node_errors(graph: Graph, model: ModelFile, provider: str = "cpu", seed: int = 0) -> dict[Value, OutputReport]:
    """Return how far the results of each node of a graph are off in a file, in the order of the graph.

    Args and errors: as for `bisect`.
    """
    with lean_model(as_file(model)) as lean:
        operators = Operators(graph, value_names(graph, opset_of(lean.load())), lean, provider)
        for missing in operators.values.missing.values():
            raise FormatError(f"the file has no {missing}: it was not written from this graph; export it again")
        for probe in choose_probes(graph, seed):
            operators.add(Run(probe, probe.feeds(), {}))
    return operators.reports


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
