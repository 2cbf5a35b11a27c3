"""If, Loop and Scan, with the graphs inside them.

What a body captures it reads by its name in the graph around. Its constants are initializers at the top of the file,
where weights are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from onnx import GraphProto

from kir.exporters.onnx_file.emitter import Emitter, FileTensor, value_info
from kir.exporters.onnx_file.ops import nodes
from kir.exporters.onnx_file.ops.table import Names, exports, names_of
from kir.ir.body import Body
from kir.ir.graph import Value
from kir.ir.structural import Input, Output
from kir.ops.control import If, Loop, Scan


@exports(If)
def if_(emitter: Emitter, op: If, condition: FileTensor, *captured: FileTensor) -> Names:
    branches = [_write_body(emitter, body, captured) for body in op.bodies()]
    return emitter.nodes("If", [condition.name], len(op.types), then_branch=branches[0], else_branch=branches[1])


@exports(Loop)
def loop(
    emitter: Emitter, op: Loop, trips: FileTensor | None, condition: FileTensor | None, *values: FileTensor
) -> Names:
    carried, captured = values[: op.carried], values[op.carried :]
    body = _write_body(emitter, op.body, captured)
    return emitter.nodes("Loop", names_of((trips, condition, *carried)), len(op.types), body=body)


@exports(Scan)
def scan(emitter: Emitter, op: Scan, *values: FileTensor) -> Names:
    own = op.states + len(op.axes)
    body = _write_body(emitter, op.body, values[own:])
    return emitter.nodes(
        "Scan",
        names_of(values[:own]),
        len(op.types),
        body=body,
        num_scan_inputs=len(op.axes),
        scan_input_axes=_unless_default(op.axes),
        scan_input_directions=_unless_default(op.reversed),
        scan_output_axes=_unless_default(op.output_axes),
        scan_output_directions=_unless_default(op.output_reversed),
    )


def _unless_default(items: Sequence[int]) -> list[int] | None:
    return list(map(int, items)) if any(items) else None


def _write_body(emitter: Emitter, body: Body, captured: Sequence[FileTensor]) -> GraphProto:
    """Return a body, whose last inputs are these values of the graph around."""
    inner = emitter.inner()
    inputs = [node.output for node in body.graph.inputs]
    own = inputs[: len(inputs) - len(captured)]
    given = {value: FileTensor(inner.unique(_label(value)), value.type) for value in own}
    for tensor in given.values():
        inner.offer(tensor.name, tensor.type.shape, composite=True)
    outside = {
        value: FileTensor(tensor.name, value.type, tensor.value)
        for value, tensor in zip(inputs[len(own) :], captured, strict=True)
    }
    for tensor in outside.values():
        inner.offer(tensor.name, tensor.type.shape, composite=True)
    outputs = [nodes.read_value(node) for node in body.graph.outputs]
    order = [node for node in body.graph.order() if not isinstance(node.op, Output)]
    tensors = nodes.write_nodes(inner, order, {}, given | outside, outputs)
    graph = inner.graph
    graph.name = "body"
    free = {tensor.name for tensor in given.values()}.union(*(node.output for node in graph.node))
    for value in outputs:
        name = tensors[value].name
        if name not in free:  # it is of the graph around, or given out before
            inner.begin(None)
            name = inner.node("Identity", [name])
        free.discard(name)
        graph.output.append(value_info(name, value.type))
    graph.input.extend(value_info(given[value].name, value.type) for value in own)
    written = {value.name for value in graph.output}
    inferred = chain.from_iterable(node.output for node in graph.node)
    graph.value_info.extend(
        value_info(name, inner.types[name]) for name in inferred if name in inner.types and name not in written
    )
    return graph


def _label(value: Value) -> str:
    assert isinstance(value.node.op, Input)
    return value.node.op.label
