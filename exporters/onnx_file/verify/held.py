"""Which graph a file holds: one that kir wrote it of, or what is read in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from onnx import ModelProto

from kir import passes
from kir.errors import KirError
from kir.exporters.onnx_file.build import Parts, build
from kir.exporters.onnx_file.content import FileContent, read_content
from kir.exporters.onnx_file.probe import opset_of
from kir.exporters.onnx_file.verify.same_file import PART, compare_file, computed_by_file
from kir.ir.graph import Graph, Value
from kir.numerics.report import Statement
from kir.support.garbage_collection import without_garbage_collection

# Reads a file as a graph, and says what the file calls its values. Exporters do not import the importers.
Read: TypeAlias = Callable[[Path], tuple[Graph, Mapping[Value, str]]]


@dataclass(frozen=True)
class Held:
    """The graph that a file holds.

    Attributes:
        graph: None if the file cannot be read as one.
        names: what the file calls its values; those without a name in it are left out.
        statement: how far the file and the graph are the same.
        is_written: whether kir wrote the file of the graph; otherwise the graph was read in the file.
    """

    graph: Graph | None
    names: Mapping[Value, str]
    statement: Statement
    is_written: bool = False


def hold_written(graph: Graph, model: Path | bytes) -> Held:
    """Compare a file with the graph that kir wrote it of.

    Raises:
        FormatError: the file, or its external data, cannot be read.
        InvalidArgumentError: it is of an opset that kir does not write.
    """
    with without_garbage_collection():
        content = read_content(model)
        return _compare(graph, build(graph, opset_of(content.model), {}), content, model)


def hold_read(graph: Graph, names: Mapping[Value, str]) -> Held:
    """Return that a file holds a graph which was read in it."""
    covered = f"the {len(names):,} named values of the file are those that were read in it"
    return Held(graph, names, Statement(PART, covered))


def find_held(reference: Graph, model: Path, training: bool, read: Read) -> Held:
    """Return which graph a file holds that should compute what a graph does.

    1. The graph after the passes of a level, if the file has the same values by name: kir wrote it of this one. Of
       several, the one from which it differs least. What kir wrote and somebody added nodes to is still that file, and
       the nodes are wrong in it; tools that rewrite files leave nodes out, too, or import more domains of operators.
    2. Otherwise another tool wrote or changed the file: what is read in it.
    3. None, if it cannot be read.

    Args:
        reference: what the file should compute, before any pass.
        model: the file.
        training: whether it is a training export.
        read: reads an ONNX file as a graph.

    Raises:
        FormatError: the file, or its external data, cannot be read.
    """
    content = read_content(model)
    best: Held | None = None
    for level in reversed(passes.LEVELS):
        held = _hold_at(reference, level, training, content, model)
        if held is not None and (best is None or len(held.statement.problems) < len(best.statement.problems)):
            best = held
        if best is not None and best.statement.passed:
            break
    return best or _hold_foreign(reference, model, training, content, read)


def _hold_at(reference: Graph, level: int, training: bool, content: FileContent, model: Path) -> Held | None:
    """Compare the file with the graph after the passes of a level; None if it has other values."""
    graph, opset = reference.copy(), opset_of(content.model)
    passes.run(graph, passes.pipeline(level, training, opset))
    try:
        parts = build(graph, opset, {})
    except KirError:  # at this opset kir writes no such graph
        return None
    written = {name for node in parts.graph_head.node for name in node.output if name}
    found = computed_by_file(content)
    is_kirs = found == written or (found > written and _says_kir(content.model, parts))
    return _compare(graph, parts, content, model) if is_kirs else None


def _says_kir(model: ModelProto, parts: Parts) -> bool:
    """Return whether a file says that kir wrote it, with the operators of the domains that kir would import."""
    imports = ({(one.domain, one.version) for one in side.opset_import} for side in (model, parts.model_tail))
    return model.producer_name == "kir" and next(imports) == next(imports)


def _compare(graph: Graph, parts: Parts, content: FileContent, model: Path | bytes) -> Held:
    folder = None if isinstance(model, bytes) else model.parent
    return Held(graph, parts.names, compare_file(parts, content, folder), is_written=True)


def _hold_foreign(reference: Graph, model: Path, training: bool, content: FileContent, read: Read) -> Held:
    from kir.exporters.onnx_file.verify.matched import match_graphs  # start-up time: for files of others alone

    producer = f"{content.model.producer_name} {content.model.producer_version}".strip() or "an unknown tool"
    try:
        graph, names = read(model)
    except KirError as error:
        reason = f"kir did not write the file as it stands ({producer}), and cannot read it: {error}"
        return Held(None, {}, Statement(PART, not_run=reason))
    statement = match_graphs(reference, graph, training)
    covered = f"kir did not write the file as it stands ({producer}); of what is read in it, {statement.covered}"
    return Held(graph, names, replace(statement, covered=covered))
