"""Part "file": what stands in a file is the graph that was written, node by node and bit for bit.

The file is read back by protobuf, not by what wrote it. What says the same counts as the same: a constant under another
name or in a Constant node, an attribute that has its default, another order of the nodes, other names of sizes, a type
that is not stated. Names of nodes, metadata and texts for people say nothing of what is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from onnx import GraphProto, ModelProto

from kir.exporters.onnx_file.build import Parts
from kir.exporters.onnx_file.content import FileContent
from kir.exporters.onnx_file.verify.graph_content import GraphContent
from kir.exporters.onnx_file.verify.same_graph import GraphComparison, domain_of
from kir.numerics.report import Finding, Statement
from kir.support.text import counted, format_bytes

PART = "file"
MAX_FINDINGS = 50

# What a graph, and a model, consist of as far as the meaning goes, when kir writes them.
_GRAPH_FIELDS = {"node", "name", "initializer", "sparse_initializer", "input", "output", "value_info"}
_MODEL_FIELDS = {"ir_version", "opset_import", "graph", "producer_name", "producer_version", "domain", "model_version"}
_FOR_PEOPLE = {"doc_string", "metadata_props"}


def compare_file(parts: Parts, content: FileContent, folder: Path | None) -> Statement:
    """Compare what a file says with what was to be written.

    Time: about that of reading the file. Memory: a few MiB, and mapped pages.

    Args:
        parts: what was to be written.
        content: the file.
        folder: where its external data lies.

    Raises:
        FormatError: external data cannot be read.
    """
    comparison = GraphComparison(
        GraphContent.of_parts(parts), GraphContent.of_file(content, folder), parts.model_tail.opset_import
    )
    problems = [*_model_problems(parts, content.model), *comparison.problems()]
    more = len(problems) - MAX_FINDINGS
    if more > 0:
        problems[MAX_FINDINGS:] = [Finding(f"{more:,} more differences")]
    size = sum(array.nbytes for _, array in parts.initializers)
    nodes, types = counted(len(comparison.expected.nodes), "node"), counted(len(comparison.expected.types), "type")
    constants = f"{counted(len(parts.initializers), 'constant')} of {format_bytes(size)}"
    covered = f"{nodes}, {types} and {constants}, bit for bit, compared with the graph that it should hold"
    return Statement(PART, covered, tuple(problems))


def computed_by_file(content: FileContent) -> set[str]:
    """Return the names of what the nodes of a file compute."""
    return GraphContent.of_file(content, None).computed()


def _model_problems(parts: Parts, model: ModelProto) -> Iterator[Finding]:
    yield from _unknown_fields(model, "model", _MODEL_FIELDS)
    yield from _unknown_fields(model.graph, "graph", _GRAPH_FIELDS)
    found: dict[str, int] = {}
    for entry in model.opset_import:
        domain = domain_of(entry)
        if found.setdefault(domain, entry.version) != entry.version:
            yield Finding(f"the domain {_shown(domain)} is imported twice, in other versions")
    for entry in parts.model_tail.opset_import:
        domain, version = domain_of(entry), found.get(domain_of(entry))
        if version != entry.version:
            stated = "not imported" if version is None else f"version {version}"
            yield Finding(f"the domain {_shown(domain)} is {stated} in the file, version {entry.version} in the model")


def _unknown_fields(message: ModelProto | GraphProto, what: str, known: set[str]) -> Iterator[Finding]:
    for field, _ in message.ListFields():
        if field.name not in known | _FOR_PEOPLE:
            yield Finding(f"the {what} of the file has {field.name}, which the model has not")


def _shown(domain: str) -> str:
    return repr(domain or "ai.onnx")
