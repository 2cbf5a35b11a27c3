"""The part "operators": each operator computes what it means in onnxruntime, on the inputs that onnxruntime gave it.

Every node is computed from the arrays that went into it, see `kir.numerics.local_bounds`: errors of other nodes do not
pile up, and saturation, dead units or a NaN further on hide nothing. Of dear operators a part is computed, see
`kir.numerics.sampling`.

What is not seen here: an operator that is wrong only where onnxruntime fuses or reorders it, which it does over values
that are no outputs. The comparison of the outputs sees that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kir.errors import KirError, MismatchError, ShapeError
from kir.exporters.onnx_file.mapped import LeanModel
from kir.exporters.onnx_file.verify.asked import AT_ITS_WORD
from kir.exporters.onnx_file.verify.subject import RunCount
from kir.exporters.onnx_file.verify.values import FileValues, NodeRun
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array, Op
from kir.ir.types import format_shape
from kir.numerics.compare import Run, compare, report_equal, worse
from kir.numerics.coverage import Coverage
from kir.numerics.local_bounds import expect_results, gave_the_same
from kir.numerics.report import Finding, OutputReport, Statement
from kir.numerics.sampling import Part, take_part
from kir.numerics.threads import THREADED_WORK
from kir.ops.linear import Dense
from kir.ops.opaque import Opaque
from kir.ops.random import Dropout
from kir.support.text import counted

# Probes after the first run where that is cheap: the work of a run, and the number of nodes to look at.
CHEAP_WORK = 10**7
FEW_NODES = 400
# So many wrong nodes are listed, and so many that were not compared.
LISTED = 20

Inputs = Sequence[Array | None]


class Operators:
    """The part of a verification that compares every operator of a file on its own.

    Attributes:
        reports: the worst of every value that was compared, in the order of the graph.
        coverage: what the probes showed of each operator.
        values: those of the file.
    """

    def __init__(self, graph: Graph, names: Mapping[Value, str], lean: LeanModel, provider: str = "cpu") -> None:
        """Find the values of a graph in a file.

        Args:
            graph: what the file holds.
            names: what its values are called in the file.
            lean: the file.
            provider: onnxruntime's execution provider.

        Raises:
            FormatError: the file cannot be read.
        """
        self.reports: dict[Value, OutputReport] = {}
        self.coverage = Coverage()
        self.values = FileValues(graph, names, lean, provider)
        self._names = names
        self._runs = RunCount()
        self._refused = ""
        self._left_out: dict[Node, str] = {
            node: f"the file has no {lacking}" for node, lacking in self.values.missing.items()
        }
        self._sampled: dict[str, tuple[int, int]] = {}  # by operator: positions compared, of how many

    def add(self, run: Run) -> None:
        """Take one run into account; or leave it out, after the first, if it is dear."""
        work = run.probe.cost.work
        is_cheap = work <= CHEAP_WORK and len(self.values.nodes) <= FEW_NODES
        if not is_cheap and self._runs != RunCount():
            return
        self._runs.add(run.probe)
        try:
            # In a small model threads of onnxruntime's own would wait for one another longer than they work.
            self.compare_on(run.feeds, run.probe.sizes, 1 if work <= THREADED_WORK else None)
        except ShapeError as error:  # what the passes made of the model takes other inputs: they are at fault
            self._refused = f"a probe does not fit the graph that was written: {error}"
        except MismatchError as error:  # the file itself ran on this probe
            self._refused = f"the file does not run where its values are inputs and outputs: {error}"

    def compare_on(self, feeds: Mapping[str, Array], sizes: Mapping[str, int], threads: int | None = None) -> None:
        """Compare every node on one run of the file.

        Args:
            feeds: the inputs.
            sizes: the values of their symbolic sizes.
            threads: of onnxruntime; None lets it choose.

        Raises:
            KirError: as `FileValues.run`.
        """
        for run in self.values.run(feeds, sizes, threads):
            reason = _incomparable(run)
            if reason:
                self._left_out[run.node] = reason
            else:
                self._compare(run)

    def statement(self) -> Statement:
        """Return what is wrong, in the order of the graph, and what was not compared."""
        compared = {value.node for value in self.reports}
        wrong = [(value, report) for value, report in self.reports.items() if not report.passed]
        problems = [self._finding(value, report) for value, report in wrong[:LISTED]]
        if len(wrong) > LISTED:
            problems.append(Finding(f"{len(wrong) - LISTED} more operators compute something else than they mean"))
        left_out = list(self._left_out.items())
        refused = [Finding(self._refused)] if self._refused else []
        not_shown = [Finding(reason, node.layer, str(node.op)) for node, reason in left_out[:LISTED]]
        if len(left_out) > LISTED:
            not_shown.append(Finding(f"{len(left_out) - LISTED} more operators were not compared"))
        parts = [f"{name} at {part:,} of {total:,} positions" for name, (part, total) in sorted(self._sampled.items())]
        covered = (
            f"{len(compared):,} of {counted(len(self.values.nodes), 'operator')} on {self._runs}, "
            f"with the inputs that onnxruntime gave them{'; ' if parts else ''}{', '.join(parts)}"
        )
        shows_nothing = not compared and bool(refused or not_shown)
        return Statement("operators", covered, tuple(problems), (*refused, *not_shown), shows_nothing=shows_nothing)

    def _finding(self, value: Value, report: OutputReport) -> Finding:
        text = f"{report.wrong}, on the inputs that onnxruntime gave it"
        return Finding(text, value.node.layer, str(value.node.op), report.name, report.error, report.allowed)

    # One node

    def _compare(self, run: NodeRun) -> None:
        node, op = run.node, run.op
        results = [array for array in run.outputs if array is not None]
        if run.linear is not None and isinstance(op, Dense) and op.activation is not None:
            tensor = self.values.linear_names[node]
            self._compare_op(node, Dense(), run.inputs, [run.linear], [tensor])
            self._compare_op(node, op.activation, (run.activated,), results, [self._names[node.output]])
        else:
            names = [self._names.get(value, "") for value in node.outputs]
            self._compare_op(node, op, run.inputs, list(run.outputs), names)

    def _compare_op(
        self, node: Node, op: Op, inputs: Inputs, outputs: Sequence[Array | None], names: Sequence[str]
    ) -> None:
        try:
            reports, part = compare_operator(node, op, inputs, outputs, names)
        except (ValueError, IndexError, KirError) as error:
            shapes = ", ".join("none" if x is None else format_shape(x.shape) for x in inputs)
            self._record(node.outputs[0], _failure(names[0], outputs[0], f"on inputs of {shapes}: {error}"))
            return
        for value, report in zip(node.outputs, reports, strict=True):
            if report is not None:
                self._record(value, report)
        if part.count < part.total:
            count, total = self._sampled.get(op.name, (0, 0))
            self._sampled[op.name] = count + part.count, total + part.total
        results = [y for y in part.outputs if y is not None]
        if results and (part.outputs[0] is not None or op.bodies()):
            # The first result of a Loop may be its counter, which says nothing.
            shown = max(results, key=lambda y: y.size) if op.bodies() else results[0]
            self.coverage.add(node, part.op, part.inputs, shown)

    def _record(self, value: Value, report: OutputReport) -> None:
        self.reports[value] = worse(self.reports[value], report) if value in self.reports else report


def compare_operator(
    node: Node, op: Op, inputs: Inputs, outputs: Sequence[Array | None], names: Sequence[str]
) -> tuple[list[OutputReport | None], Part]:
    """Compare what a node computed with what its operator means, or a part of it.

    Args:
        node: where it stands.
        op: its operator, symbolic sizes bound.
        inputs: what it was given.
        outputs: what it computed; None for an output that is not known.
        names: what the outputs are called.

    Returns:
        A report of each output, None for one that is not known; and the part that was compared.

    Raises:
        ValueError: the operator does not take these inputs.
        IndexError: it does not take these indices.
        KirError: as ValueError; or the outputs have other shapes than the operator gives.
    """
    part = take_part(op, inputs, outputs)
    if gave_the_same(node, part.op, part.inputs, part.outputs):
        return [None if y is None else report_equal(name, y) for name, y in zip(names, part.outputs, strict=True)], part
    expected = expect_results(node, part.op, part.inputs)
    return [
        None if y is None else compare(name, one, y) for name, one, y in zip(names, expected, part.outputs, strict=True)
    ], part


def _incomparable(run: NodeRun) -> str:
    """Return why a node cannot be compared; "" if it can."""
    if isinstance(run.op, Opaque) and run.op.meaning is None:
        return AT_ITS_WORD
    if isinstance(run.op, Dropout):
        training = run.inputs[1] if len(run.inputs) > 1 else None
        return "it draws at random" if training is not None and training.any() else ""
    return "" if run.op.deterministic else "it draws at random"


def _failure(name: str, y: Array | None, problem: str) -> OutputReport:
    dtype, shape = ("", ()) if y is None else (str(y.dtype), y.shape)
    return OutputReport(name, dtype, (shape,), math.inf, 0, 0, 0, False, problem)
