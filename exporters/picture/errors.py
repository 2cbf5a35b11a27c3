"""The page of `kir verify --report`: every node of a file, coloured by its measured error against its bound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kir.exporters.picture.diagram import PARTS
from kir.exporters.picture.html import write_html
from kir.exporters.picture.ops_view import ops_diagram
from kir.exporters.picture.stages import Stage
from kir.ir.graph import Graph, Node, Value
from kir.numerics.report import OutputReport
from kir.support.files import replacing

# From this part of the allowed error on, a node is worth a look although it passes.
NEAR = 0.5


def save_error_page(path: Path, graph: Graph, errors: Mapping[Value, OutputReport]) -> None:
    """Write the page for a graph that was exported, with the errors that verification measured at each node.

    Raises:
        FormatError: the file cannot be written.
    """
    stage = error_stage(graph, errors)
    with replacing(path) as written:
        written.write_text(write_html(graph.name, [stage], 0), encoding="utf-8")


def error_stage(graph: Graph, errors: Mapping[Value, OutputReport]) -> Stage:
    """Return the diagram of a graph in which each measured box is "within", "near" or "wrong", and says its numbers."""
    diagram = ops_diagram(graph, frozenset(PARTS))
    stage = Stage("errors", "largest error of each node in onnxruntime against what is allowed", diagram)
    for box in diagram.boxes:
        assert isinstance(box.identity, Node)
        reports = [errors[value] for value in box.identity.outputs if value in errors]
        stage.arrived.append(_status(reports))
        box.facts = [*box.facts, *[fact for report in reports for fact in _facts(report)]]
    return stage


def _status(reports: list[OutputReport]) -> str:
    if not reports:
        return ""
    if not all(report.passed for report in reports):
        return "wrong"
    return "near" if max(report.ratio for report in reports) >= NEAR else "within"


def _facts(report: OutputReport) -> list[tuple[str, str]]:
    problem = [("problem", report.problem)] if report.problem else []
    return [("tensor", report.name), ("error", f"{report.error:.3g}"), ("allowed", f"{report.allowed:.3g}"), *problem]
