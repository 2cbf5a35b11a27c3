"""Results: whether both models compute the same from the same random inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kir.errors import MismatchError, ShapeError, UnsupportedError
from kir.ir.graph import Graph, Value
from kir.ir.op import Op
from kir.ir.structural import Input, Output
from kir.modeling.comparison.signature import Signature
from kir.numerics.compare import verify_graphs
from kir.numerics.report import VerificationReport


@dataclass(frozen=True)
class Numbers:
    """How far the outputs are apart, by the names of the first model; or why that is not known.

    `report` is None where nothing was run: `reason` says why. `problem` says how the second model failed.
    """

    report: VerificationReport | None = None
    reason: str = ""
    problem: str = ""

    @property
    def differs(self) -> bool:
        return bool(self.problem) or (self.report is not None and not self.report.passed)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        report = None if self.report is None else self.report.to_json()
        return {"report": report, "reason": self.reason, "problem": self.problem}


def compare_numbers(a: Graph, b: Graph, signature: Signature, seed: int = 0) -> Numbers:
    """Run both graphs in the interpreter, see `verify_graphs`; `b` has the first one's names for sizes.

    Nothing is run if arrays for the one would be none for the other.
    """
    if not signature.is_compatible:
        return Numbers(reason="not run: the inputs or outputs differ; fix what one leaves open (--batch)")
    inputs = {name_b: name_a for name_a, name_b in signature.inputs.items()}
    outputs = {name_b: name_a for name_a, name_b in signature.outputs.items()}
    try:
        return Numbers(verify_graphs(a, _relabel(b, inputs, outputs), seed))
    except MismatchError as error:
        return Numbers(problem=str(error))
    except (UnsupportedError, ShapeError) as error:
        return Numbers(reason=f"not run: {error}")


def _relabel(graph: Graph, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> Graph:
    """Return the graph with other names for its inputs and outputs; itself if they are the same."""
    if all(old == new for names in (inputs, outputs) for old, new in names.items()):
        return graph
    result = Graph(graph.name)
    values: dict[Value, Value] = {}
    for node in graph.order():
        read = [None if value is None else values[value] for value in node.inputs]
        new = result.add(_relabelled(node.op, inputs, outputs), *read, origin=node.origin)
        values.update(zip(node.outputs, new.outputs, strict=True))
    return result


def _relabelled(op: Op, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> Op:
    if isinstance(op, Input):
        return replace(op, label=inputs[op.label])
    return replace(op, label=outputs[op.label]) if isinstance(op, Output) else op
