"""The page of `kir verify --report`: what each part says, and every node of a file, coloured by what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kir.exporters.picture.diagram import PARTS, Box
from kir.exporters.picture.html import PageFinding, PageStatement, write_html
from kir.exporters.picture.ops_view import ops_diagram
from kir.exporters.picture.stages import Stage
from kir.ir.graph import Graph, Node, Value
from kir.ir.structural import Constant
from kir.numerics.report import Finding, OutputReport, Statement, VerificationReport
from kir.numerics.report_text import headline
from kir.support.files import replacing

# From this part of the allowed error on, a node is worth a look although it passes.
NEAR = 0.5
WRONG, UNSEEN = "wrong", "unseen"


def save_error_page(path: Path, subject: str, graph: Graph, report: VerificationReport) -> None:
    """Write the page for a graph that was exported.

    Args:
        path: where to.
        subject: the file and the model, as the title names them.
        graph: the graph that the file holds.
        report: what each part of its verification says, and what was measured at each node.

    Raises:
        FormatError: the file cannot be written.
    """
    stage, statements = error_page(graph, report)
    title = f"{subject}: {headline(report)}"
    with replacing(path) as written:
        written.write_text(write_html(title, [stage], 0, statements=statements), encoding="utf-8")


def error_page(graph: Graph, report: VerificationReport) -> tuple[Stage, list[PageStatement]]:
    """Return the diagram of a graph, and the statements above it, whose findings know their boxes.

    A box is "wrong" or "unseen" if a finding is of it; else one that was measured is "wrong", "near" or "within". It
    says what was found and its numbers.
    """
    diagram = ops_diagram(graph, frozenset(PARTS))
    stage = Stage("errors", "what verification found of each node, and its largest error in onnxruntime", diagram)
    places = _Places(diagram.boxes, report.measured)
    statements = [_page_statement(statement, places) for statement in report.statements]
    found: dict[int | None, list[tuple[str, str]]] = {}
    for finding in (one for statement in statements for one in statement.findings):
        found.setdefault(finding.box, []).append((finding.status, finding.text))
    for number, box in enumerate(diagram.boxes):
        assert isinstance(box.identity, Node)
        reports = [report.measured[value] for value in box.identity.outputs if value in report.measured]
        said = found.get(number, [])
        stage.arrived.append(_status(reports, {status for status, _ in said}))
        box.facts = [*box.facts, *said, *[fact for one in reports for fact in _facts(one)]]
    return stage, [*statements, *[PageStatement("note", "", str(note)) for note in report.notes]]


class _Places:
    """The boxes that findings are of: told by a value's name in the file, or by layer and operator."""

    def __init__(self, boxes: Sequence[Box], errors: Mapping[Value, OutputReport]) -> None:
        self._numbers: dict[tuple[str, ...], int] = {}
        for number, box in enumerate(boxes):
            for key in self._keys(box, errors):
                self._numbers.setdefault(key, number)

    @staticmethod
    def _keys(box: Box, errors: Mapping[Value, OutputReport]) -> Iterator[tuple[str, ...]]:
        node = box.identity
        assert isinstance(node, Node)
        yield from ((errors[value].name,) for value in node.outputs if value in errors)
        labels = [value.node.op.label for value in node.inputs if value and isinstance(value.node.op, Constant)]
        yield from ((label,) for label in labels if label)
        if node.origin is not None:
            yield from ((layer, op) for layer in (str(node.origin), node.origin.path) for op in (str(node.op), ""))

    def of(self, finding: Finding) -> int | None:
        """Return the number of the box; None if it has none, or the finding does not say enough."""
        keys = (finding.tensor,), (finding.layer, finding.op), (finding.layer, "")
        return next((self._numbers[key] for key in keys if key in self._numbers), None)


def _page_statement(statement: Statement, places: _Places) -> PageStatement:
    found = [(one, WRONG) for one in statement.problems] + [(one, UNSEEN) for one in statement.not_shown]
    findings = tuple(PageFinding(str(one), status, places.of(one)) for one, status in found)
    return PageStatement(statement.part, statement.verdict, statement.not_run or statement.covered, findings)


def _status(reports: Sequence[OutputReport], found: set[str]) -> str:
    if WRONG in found or not all(report.passed for report in reports):
        return WRONG
    if UNSEEN in found:
        return UNSEEN
    if not reports:
        return ""
    return "near" if max(report.ratio for report in reports) >= NEAR else "within"


def _facts(report: OutputReport) -> list[tuple[str, str]]:
    problem = [("problem", report.problem)] if report.problem else []
    return [("tensor", report.name), ("error", f"{report.error:.3g}"), ("allowed", f"{report.allowed:.3g}"), *problem]
