"""The inputs and outputs of a file, compared with those of a graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from kir.errors import InvalidArgumentError
from kir.exporters.onnx_file.content import read_content
from kir.exporters.onnx_file.session import Entry, Session
from kir.ir.dims import Sym, symbol
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.ir.structural import Input, Output
from kir.ir.types import TensorType, as_dtype, carried_type
from kir.support.naming import symbol_name


def _session_type(entry: Entry) -> TensorType:
    try:
        dtype = as_dtype(entry.dtype)
    except InvalidArgumentError:
        return carried_type(entry.type)
    dims = (
        size if isinstance(size, int) else symbol(symbol_name(size or f"{entry.name}_{axis}"))
        for axis, size in enumerate(entry.shape)
    )
    return TensorType(dtype, tuple(dims))


def session_inputs(session: Session) -> dict[str, TensorType]:
    entries = (*session.get_inputs(), *session.get_overridable_initializers())
    return {entry.name: _session_type(entry) for entry in entries}


def session_outputs(session: Session) -> dict[str, TensorType]:
    return {entry.name: _session_type(entry) for entry in session.get_outputs()}


def signature_problems(graph: Graph, session: Session, stated: bool = True) -> list[str]:
    """Return what differs between the inputs and outputs of a graph and of a session, one line each.

    Args:
        graph: of which the file should be.
        session: the file.
        stated: whether the shapes that a file states of its outputs must be right. onnxruntime warns of wrong ones and
            runs: what another tool wrote and kir read is compared by its results.
    """
    inputs = {node.op.label: node.output.type for node in graph.inputs if isinstance(node.op, Input)}
    outputs = {node.op.label: node.output.type for node in graph.outputs if isinstance(node.op, Output)}
    found = session_outputs(session)
    if not stated:
        for name, type in outputs.items():
            if name in found and found[name].dtype is type.dtype:
                found[name] = type
    return [
        *type_problems("input", inputs, session_inputs(session)),
        *type_problems("output", outputs, found),
    ]


def default_problems(graph: Graph, session: Session, file: Path | bytes) -> Iterator[str]:
    """Yield what differs between the defaults of a graph's inputs and of a file's, one line each.

    A file without a default that the graph has must be fed more, and computes no other results.

    Args:
        graph: of which the file has the inputs.
        session: the file.
        file: the same, which is read only if both have defaults.

    Raises:
        FormatError: a default cannot be read.
    """
    expected = {node.op.label: node.op for node in graph.inputs if isinstance(node.op, Input)}
    found = {entry.name for entry in session.get_overridable_initializers()}
    common = [name for name, op in expected.items() if op.default is not None and name in found]
    values = {one.head.name: one for one in read_content(file).initializers} if common else {}
    for name, op in expected.items():
        if op.default is None and name in found:
            yield f"input {name!r} has a default in the file, and none in the model"
        elif op.default is not None and name in values and op.default.array.dtype != object:
            value = values[name].array()
            if not np.array_equal(value, op.default.array, equal_nan=value.dtype.kind == "f"):
                own = _shown(op.default.array)
                yield f"input {name!r} is {_shown(value)} unless fed in the file, {own} in the model"


def _shown(array: Array) -> str:
    return str(array.item()) if array.size == 1 else f"an array of {array.size} elements"


def type_problems(role: str, expected: Mapping[str, TensorType], found: Mapping[str, TensorType]) -> Iterator[str]:
    for name in dict.fromkeys((*expected, *found)):
        if name not in found:
            yield f"{role} {name!r} of the model is missing in the file, which has {', '.join(found) or 'none'}"
        elif name not in expected:
            yield f"{role} {name!r} of the file is unknown to the model, which has {', '.join(expected) or 'none'}"
        elif not _same_type(expected[name], found[name], exact_sizes=role == "input"):
            yield f"{role} {name!r} is {found[name]} in the file and {expected[name]} in the model"


def _same_type(a: TensorType, b: TensorType, exact_sizes: bool) -> bool:
    """Return whether types agree but for the names of sizes. onnxruntime may know more sizes of an output."""
    if a.dtype is not b.dtype or a.rank != b.rank:
        return False
    pairs = zip(a.shape, b.shape, strict=True)
    return all(
        x == y
        or (isinstance(x, Sym) and isinstance(y, Sym))
        or (not exact_sizes and isinstance(x, Sym) != isinstance(y, Sym))
        for x, y in pairs
    )


def signature_graph(session: Session) -> Graph:
    """Return a graph with the inputs of a session and nothing else."""
    graph = Graph("signature")
    for name, type in session_inputs(session).items():
        graph.add(Input(name, type))
    return graph
