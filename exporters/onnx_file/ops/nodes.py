"""The writing of a graph's nodes in order, at the top of a file and inside operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kir.errors import UnsupportedError
from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import emit
from kir.ir.graph import Node, Value
from kir.ir.structural import Assume, Constant, Input, Output
from kir.support.naming import join_path


def write_nodes(
    emitter: Emitter,
    order: Sequence[Node],
    labels: Mapping[Value, str],
    given: Mapping[Value, FileTensor],
    results: Sequence[Value] = (),
) -> dict[Value, FileTensor]:
    """Write nodes, each after those that it reads, and return what each value is called.

    Args:
        emitter: what to write with.
        order: the nodes.
        labels: the names that values must have.
        given: what is there already: these inputs are not written.
        results: values that are read besides.

    Raises:
        UnsupportedError: listing every node that cannot be written.
    """
    used = {*results, *(value for node in order for value in node.inputs)}
    tensors = dict(given)
    problems: dict[str, list[Node]] = {}
    for node in order:
        emitter.begin(node.origin, tuple(value in used for value in node.outputs))
        if isinstance(node.op, Input | Constant):
            if node.output not in tensors:
                tensors[node.output] = _emit_source(emitter, node)
        elif isinstance(node.op, Assume):
            tensors[node.output] = tensors[read_value(node)]._replace(type=node.output.type)
        elif isinstance(node.op, Output):
            _emit_output(emitter, node.op.label, tensors[read_value(node)])
        else:
            try:
                tensors.update(_emit_operator(emitter, node, tensors, labels))
            except UnsupportedError as error:
                problems.setdefault(str(error), []).append(node)
                tensors.update(_stand_in(emitter, node))
    if problems:
        raise _unsupported(problems)
    return tensors


def _emit_operator(
    emitter: Emitter, node: Node, tensors: Mapping[Value, FileTensor], labels: Mapping[Value, str]
) -> dict[Value, FileTensor]:
    inputs = [None if value is None else tensors[value] for value in node.inputs]
    results: dict[Value, FileTensor] = {}
    for value, name in zip(node.outputs, emit(emitter, node.op, *inputs), strict=True):
        label = labels.get(value)
        if label is not None and emitter.rename_output(name, label):
            name = label
        if name:
            emitter.types[name] = value.type
            emitter.offer(name, value.type.shape, composite=False)
        results[value] = FileTensor(name, value.type)
    return results


def _emit_source(emitter: Emitter, node: Node) -> FileTensor:
    if isinstance(node.op, Input):
        if node.op.default is not None:
            emitter.initializers.append((node.op.label, node.op.default.array))
        emitter.offer(node.op.label, node.op.type.shape, composite=True)
        return FileTensor(node.op.label, node.op.type)
    assert isinstance(node.op, Constant)
    array = node.op.value.array
    path = node.origin.path if node.origin else ""
    return FileTensor(emitter.weight(array, node.op.label or join_path(path, "constant")), node.output.type, array)


def _emit_output(emitter: Emitter, label: str, value: FileTensor) -> None:
    """Copy a value under an output's name, unless it has that name already."""
    if value.name != label:
        emitter.rename_output(emitter.node("Identity", [value.name]), label)


def read_value(output: Node) -> Value:
    """Return the only input of a node."""
    (value,) = output.inputs
    assert value is not None
    return value


def _stand_in(emitter: Emitter, node: Node) -> dict[Value, FileTensor]:
    """Return what a node that cannot be written would have given, so that those after it can be tried."""
    for value in node.outputs:
        emitter.offer(node.op.name, value.type.shape, composite=False)
    return {value: FileTensor(node.op.name, value.type) for value in node.outputs}


def _unsupported(problems: Mapping[str, Sequence[Node]]) -> UnsupportedError:
    """Return one error for all nodes that cannot be written, by reason, in the order in which the reasons came up."""
    lines = [f"{_places(nodes)}: {reason}" for reason, nodes in problems.items()]
    if len(lines) == 1:
        return UnsupportedError(lines[0])
    return UnsupportedError("\n  ".join([f"the model cannot be written as ONNX, for {len(lines)} reasons:", *lines]))


def _places(nodes: Sequence[Node]) -> str:
    return ", ".join(dict.fromkeys(f"layer {n.origin}" if n.origin else f"operator {n.op.name}" for n in nodes))
