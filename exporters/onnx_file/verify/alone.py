"""Each operator of a file alone, on inputs chosen for it: what those of the model may never reach.

The nodes of the file that compute an operator are taken out, from the names of its inputs to those of its outputs, and
run in onnxruntime on the values of `kir.numerics.operator_probes`. Nodes that are written in the same way, with the
same constants, run once. All of them are one model of many pieces, so that it is loaded and run once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kir.errors import CrashError, KirError
from kir.exporters.onnx_file.content import read_content
from kir.exporters.onnx_file.pieces import Piece, PieceCutter
from kir.exporters.onnx_file.session import Session, make_session, run_session
from kir.exporters.onnx_file.verify.operations import Operation, operations_of
from kir.exporters.onnx_file.verify.subject import Subject
from kir.ir.dims import Sym, substitute
from kir.ir.graph import Node
from kir.ir.op import Array
from kir.ir.structural import Assume, Constant, Input, Output
from kir.ir.types import TensorType
from kir.numerics.compare import Run, compare
from kir.numerics.expected import Expected
from kir.numerics.local_bounds import expect_results, gave_the_same
from kir.numerics.operator_probes import OperatorProbe, is_telling
from kir.numerics.report import Finding, Statement
from kir.support.text import counted

# What the unknown sizes are of a value of which only the shape is read.
OTHER_SIZE = 3

# Rows of a table are looked up in blocks of so many elements.
BLOCK_ELEMENTS = 1 << 20

# How many pieces run together, with how many bytes of constants; the most bytes that those of one piece may have.
GROUP_PIECES = 256
GROUP_BYTES = 64 << 20
MAX_BYTES = 256 << 20


@dataclass(frozen=True)
class Cut:
    """An operation, and the piece of the file that computes it. Of those with equal keys, one runs."""

    operation: Operation
    piece: Piece
    key: object


@dataclass(frozen=True)
class Probed:
    """A cut, and inputs for both its halves."""

    cut: Cut
    probe: OperatorProbe


class AlonePart:
    """The part of a verification that runs operators alone."""

    def __init__(self, subject: Subject, weak: Callable[[], Mapping[Node, str]] = dict) -> None:
        """Leave the work to `statement`.

        Args:
            subject: what is verified.
            weak: returns the nodes of which the inputs of the model say little, and why: they run alone whatever their
                operators are.
        """
        self._subject = subject
        self._weak = weak
        self._values = {name: value for value, name in subject.names.items() if not isinstance(value.node.op, Constant)}
        self._refused: dict[object, str] = {}

    def add(self, run: Run) -> None:
        """Leave the inputs of the model to the other parts."""

    def statement(self) -> Statement:
        """Return what the operators compute on the inputs chosen for them."""
        weak = self._weak()
        cutter = PieceCutter(read_content(self._subject.model))
        cuts = list(self._find(cutter, weak))
        distinct = {cut.key: cut for cut in reversed(cuts)}  # of the same, the first one counts
        problems = [
            finding
            for group in _groups(list(distinct.values())[::-1], cutter)
            for finding in self._check(cutter, self._probe(group))
        ]
        refused = {cut.operation.of: self._refused[cut.key] for cut in cuts if cut.key in self._refused}
        ran = [cut for cut in cuts if cut.key not in self._refused]
        shown = {cut.operation.of for cut in ran}
        not_shown = [
            _finding(node, f"{reason}, and it did not run alone{f': {refused[node]}' if node in refused else ''}")
            for node, reason in weak.items()
            if node not in shown or node in refused
        ]
        return Statement("alone", _describe_covered(ran), tuple(problems), tuple(not_shown))

    def _find(self, cutter: PieceCutter, weak: Mapping[Node, str]) -> Iterator[Cut]:
        """Yield every operator that is to run alone, in the order of the graph."""
        graph = self._subject.written
        for node in [] if graph is None else graph.order():
            if isinstance(node.op, Assume | Input | Output | Constant) or not node.op.deterministic:
                continue
            for one in operations_of(node, self._subject.names, cutter):
                if not is_telling(one.node.op) and node not in weak:
                    continue
                read = [name for name in one.outputs if name]
                piece = cutter.cut(read, one.fed, self._values.__contains__)
                if piece is not None and cutter.constant_bytes(piece) <= MAX_BYTES:
                    yield Cut(one, piece, (one.question, piece.key))

    def _probe(self, group: Sequence[Cut]) -> list[Probed]:
        """Return cuts with inputs for them; those without are kept as refused."""
        probed: list[Probed] = []
        for cut in group:
            probe = cut.operation.choose_probe()
            if probe is None:
                self._refused[cut.key] = "it takes no small inputs"
            else:
                probed.append(Probed(cut, probe))
        return probed

    def _check(self, cutter: PieceCutter, group: Sequence[Probed]) -> list[Finding]:
        """Run pieces as one model; what onnxruntime refuses is found by halving, and left out."""
        found: list[list[Finding]] = [[] for _ in group]
        session: Session | None = None
        try:
            for blocks in zip(*map(_blocks, group), strict=True):
                named = {f"{index}/": block for index, block in enumerate(blocks)}
                feeds = {prefix + name: array for prefix, one in named.items() for name, array in self._feeds(one)}
                if session is None:
                    joined = cutter.join({prefix: one.cut.piece for prefix, one in named.items()}, feeds)
                    session = make_session(joined.SerializeToString(), self._subject.provider)
                results = run_session(session, feeds)
                for findings, (prefix, one) in zip(found, named.items(), strict=True):
                    findings += _problems_of(one, {name: results[prefix + name] for name in one.cut.piece.outputs})
        except CrashError:
            raise
        except KirError as error:
            if len(group) == 1:
                self._refused[group[0].cut.key] = f"onnxruntime does not run it: {error}"
                return []
            middle = len(group) // 2
            return [*self._check(cutter, group[:middle]), *self._check(cutter, group[middle:])]
        return [finding for findings in found for finding in findings[:1]]

    def _feeds(self, probed: Probed) -> Iterator[tuple[str, Array]]:
        """Yield what the inputs of a piece are fed: those of the operator its values, others zeros."""
        inputs, probe = probed.cut.operation.inputs, probed.probe
        known = {inputs[slot]: probe.inputs[slot] for slot in probe.fed}
        for name in probed.cut.piece.inputs:
            array = known.get(name)
            yield name, _zeros(self._values[name].type, probe.sizes) if array is None else array


def _zeros(type: TensorType, sizes: Mapping[str, int]) -> Array:
    names = {name for dim in type.shape if isinstance(dim, Sym) for name in dim.names()}
    known = {**dict.fromkeys(names, OTHER_SIZE), **sizes}
    shape = [substitute(dim, known) for dim in type.shape]
    return np.zeros([size for size in shape if isinstance(size, int)], type.dtype.numpy)


def _groups(cuts: Iterable[Cut], cutter: PieceCutter) -> Iterator[list[Cut]]:
    """Yield what runs together: a table of several blocks by itself, and so many others at a time."""
    group: list[Cut] = []
    size = 0
    for cut in cuts:
        if _block_count(cut) > 1:
            yield [cut]
            continue
        more = cutter.constant_bytes(cut.piece)
        if group and (size + more > GROUP_BYTES or len(group) == GROUP_PIECES):
            yield group
            group, size = [], 0
        group.append(cut)
        size += more
    if group:
        yield group


def _block_count(cut: Cut) -> int:
    table = cut.operation.table
    return 1 if table is None else max(1, -(-table.size // BLOCK_ELEMENTS))


def _blocks(probed: Probed) -> Iterator[Probed]:
    """Yield the probe of a table in blocks of its rows, any other as it is."""
    count = _block_count(probed.cut)
    if count == 1:
        yield probed
        return
    data, indices = probed.probe.inputs
    assert indices is not None
    for block in np.array_split(indices, count):
        yield replace(probed, probe=replace(probed.probe, inputs=(data, block)))


# Findings


def _problems_of(probed: Probed, arrays: Mapping[str, Array]) -> Iterator[Finding]:
    operation, probe = probed.cut.operation, probed.probe
    node = operation.node
    if gave_the_same(node, probe.op, probe.inputs, [arrays.get(name) for name in operation.outputs]):
        return
    for name, expected in zip(operation.outputs, expect_results(node, probe.op, probe.inputs), strict=True):
        if name:
            report = compare(name, expected, arrays[name])
            if not report.passed:
                text = _describe(probe, report.element, expected, arrays[name]) if report.element else report.problem
                yield _finding(node, text, name, report.error, report.allowed)


def _describe(probe: OperatorProbe, index: tuple[int, ...], expected: Expected, actual: Array) -> str:
    """Return an element in words: what it was computed from, if that is one element of each input, and what it is."""
    given = [array for slot, array in enumerate(probe.inputs) if slot in probe.fed and array is not None]
    try:
        at = ", ".join(str(np.broadcast_to(array, actual.shape)[index]) for array in given)
    except ValueError:
        at = f"element {list(index)}"
    return f"at {at}: {actual[index]} in the file, {expected.reference[index]} expected"


def _finding(
    node: Node, text: str, tensor: str = "", error: float | None = None, allowed: float | None = None
) -> Finding:
    return Finding(text, node.layer_path, str(node.op), tensor, error, allowed)


def _describe_covered(cuts: Sequence[Cut]) -> str:
    nodes, kinds = {cut.operation.of for cut in cuts}, {type(cut.operation.node.op) for cut in cuts}
    if not nodes:
        return "no operator needs inputs of its own"
    rows = {id(cut.operation.table): cut.operation.row_count for cut in cuts if cut.operation.table is not None}
    shown = f", {sum(rows.values()):,} rows of {counted(len(rows), 'table')}" if rows else ""
    return f"{counted(len(nodes), 'operator')} ({counted(len(kinds), 'kind')}) with inputs of their own{shown}"
