"""If, Loop and Scan, with the graphs inside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from onnx import GraphProto

from kir.errors import FormatError, ShapeError, UnsupportedError
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.translate import Operand, OperatorCall, Scope
from kir.ir.body import Body
from kir.ir.dims import Dim, Sym
from kir.ir.graph import Graph, Value
from kir.ir.structural import Constant, Input
from kir.ir.types import CarriedType, TensorType, normalize_axis
from kir.ops.control import SCALAR_BOOL, SCALAR_INT, If, Loop, Scan
from kir.ops.shape import Reshape

Call = OperatorCall


@imports("If")
def if_(call: Call, condition: Operand) -> Results:
    graphs = [call.attributes.graph("then_branch"), call.attributes.graph("else_branch")]
    scope = _scope(call)
    chosen = _known_condition(condition)
    if chosen is not None:  # the other branch may be of another rank, or nothing that can be read
        graph = graphs[0 if chosen else 1]
        return scope.read_here(graph, scope.captured([graph]))
    captured = scope.captured(graphs)
    try:
        bodies = [scope.read_body(graph, (), captured) for graph in graphs]
    except (FormatError, ShapeError) as error:  # it may well be the branch that never runs
        raise UnsupportedError(f"a branch of an If cannot be read: {error}") from error
    known = _known_names([], captured)
    read = _close(bodies, captured)
    then_types, else_types = (_output_types(graph) for graph in bodies)
    if len(then_types) != len(else_types):
        raise UnsupportedError(f"the branches of an If give {len(then_types)} and {len(else_types)} values")
    types = [_join(call, a, b, frozenset()) for a, b in zip(then_types, else_types, strict=True)]
    op = If(_name_sizes(call, types, known), Body(bodies[0]), Body(bodies[1]))
    return call.translator.add_all(op, condition, *read)


@imports("Loop")
def loop(call: Call, trips: Operand | None = None, condition: Operand | None = None, *given: Operand | None) -> Results:
    initial = [x for x in given if x is not None]
    if len(initial) < len(given):
        raise FormatError("a carried value of a Loop is absent; expected one for each")
    proto = call.attributes.graph("body")
    carried = len(initial)
    own = [SCALAR_INT, SCALAR_BOOL]
    graph, types, captured = _read_repeated(call, proto, lambda states: [*own, *states], initial, 1)
    known = _known_names(initial, captured)
    stacked = [
        type.with_shape((_count_steps(call, graph, trips, condition), *type.shape))
        for type in _output_types(graph)[1 + carried :]
    ]
    outputs = _name_sizes(call, [*types, *stacked], known)
    read = _close([graph], captured)
    op = Loop(outputs, Body(graph), carried)
    scalars = [_as_scalar(call, x) for x in (trips, condition)]
    return call.translator.add_all(op, *scalars, *initial, *read)


@imports("Scan")
def scan(call: Call, *given: Operand | None) -> Results:
    if call.opset < 9:
        raise UnsupportedError("kir has the Scan of opset 9 and newer, which has no batch axis of its own")
    values = [x for x in given if x is not None]
    if len(values) < len(given):
        raise FormatError("an input of a Scan is absent; expected a value")
    proto = call.attributes.graph("body")
    count = call.attributes.integer("num_scan_inputs")
    states, sequences = values[: len(values) - count], values[len(values) - count :]
    results = len(proto.output) - len(states)
    axes = call.attributes.integers("scan_input_axes", (0,) * count)
    directions = call.attributes.integers("scan_input_directions", (0,) * count)
    output_axes = call.attributes.integers("scan_output_axes", (0,) * results)
    output_directions = call.attributes.integers("scan_output_directions", (0,) * results)
    axes = tuple(normalize_axis(axis, x.type.rank) for axis, x in zip(axes, sequences, strict=True))
    slices = [_without_axis(x.type, axis) for x, axis in zip(sequences, axes, strict=True)]
    graph, types, captured = _read_repeated(call, proto, lambda states: [*states, *slices], states, 0)
    known = _known_names(values, captured)
    length: Dim = sequences[0].type.shape[axes[0]]
    stacked: list[TensorType] = []
    found = _output_types(graph)[len(states) :]
    output_axes = tuple(normalize_axis(axis, type.rank + 1) for axis, type in zip(output_axes, found, strict=True))
    for type, axis in zip(found, output_axes, strict=True):
        stacked.append(type.with_shape((*type.shape[:axis], length, *type.shape[axis:])))
    read = _close([graph], captured)
    op = Scan(
        _name_sizes(call, [*types, *stacked], known),
        Body(graph),
        len(states),
        axes,
        tuple(map(bool, directions)),
        output_axes,
        tuple(map(bool, output_directions)),
    )
    return call.translator.add_all(op, *values, *read)


def _known_condition(condition: Operand) -> bool | None:
    if condition.array is not None:
        return bool(condition.array.item())
    items = () if condition.sizes is None else condition.sizes.items
    return bool(items[0]) if len(items) == 1 and isinstance(items[0], int) else None


def _scope(call: Call) -> Scope:
    assert call.translator.scope is not None
    return call.translator.scope


def _read_repeated(
    call: Call,
    proto: GraphProto,
    inputs: Callable[[Sequence[TensorType]], Sequence[TensorType]],
    initial: Sequence[Operand],
    first: int,
) -> tuple[Graph, list[TensorType], dict[str, Operand]]:
    """Return a body that runs again on what it gave, the types of its states, and what it captures.

    A size of a state that is another one after a step has a name of its own, with which the body is read again.
    `inputs` returns the types of all inputs, from those of the states; these are its outputs from `first` on.
    """
    scope = _scope(call)
    captured = scope.captured([proto])
    types = [x.type for x in initial]
    changing: frozenset[str] = frozenset()
    while True:
        graph = scope.read_body(proto, inputs(types), captured)
        after = _output_types(graph)[first : first + len(types)]
        if len(after) != len(types):
            raise UnsupportedError(f"the body of a {call.op_type} gives {len(after)} states; expected {len(types)}")
        joined = [_join(call, a, b, changing) for a, b in zip(types, after, strict=True)]
        if joined == types:
            return graph, types, captured
        changing |= _names(joined) - _names(types)
        types = joined


def _join(call: Call, a: TensorType, b: TensorType, changing: frozenset[str]) -> TensorType:
    """Return the type of a value that has one of two types: sizes that differ get a name, unless they have one."""
    if a.dtype is not b.dtype or a.rank != b.rank:
        raise UnsupportedError(
            f"a value of {call.op_type} is {a} in one case and {b} in another; kir has one rank for each"
        )
    return a.with_shape(
        tuple(
            x if x == y or (isinstance(x, Sym) and x.name in changing) else call.translator.size_names.new("size")
            for x, y in zip(a.shape, b.shape, strict=True)
        )
    )


def _name_sizes(call: Call, types: Sequence[TensorType], known: frozenset[str]) -> tuple[TensorType, ...]:
    """Return the types of the outputs: sizes that arise inside a body are called what the file calls them, or anew."""
    return tuple(
        type.with_shape(
            tuple(
                dim if isinstance(dim, int) or dim.names() <= known else _name_size(call, name, axis)
                for axis, dim in enumerate(type.shape)
            )
        )
        for type, name in zip(types, (*call.outputs, *[""] * len(types)), strict=False)
    )


def _name_size(call: Call, output: str, axis: int) -> Dim:
    hint = call.translator.hints.get(output)
    if hint is not None and axis < hint.rank:
        return hint.shape[axis]
    return call.translator.size_names.new("size")


def _known_names(operands: Sequence[Operand], captured: Mapping[str, Operand]) -> frozenset[str]:
    """Return the names of the sizes that are known outside of a body."""
    given = [*operands, *captured.values()]
    sizes = (dim for x in given if x.sizes is not None for dim in x.sizes.items if isinstance(dim, Sym))
    return _names([x.type for x in given]).union(*(dim.names() for dim in sizes))


def _names(types: Sequence[TensorType]) -> frozenset[str]:
    dims = (dim for type in types for dim in type.shape if isinstance(dim, Sym))
    return frozenset[str]().union(*(dim.names() for dim in dims))


def _output_types(graph: Graph) -> list[TensorType]:
    types = [node.output.type for node in graph.outputs]
    if any(isinstance(type, CarriedType) for type in types):
        raise UnsupportedError("a graph inside gives what is no tensor of known rank and type")
    return types


def _close(graphs: Sequence[Graph], captured: Mapping[str, Operand]) -> list[Operand]:
    """Return what the graphs read of the one around, and make these their last inputs, by the names that kir gives."""
    found = [{_label(node.op): node for node in graph.inputs if _label(node.op) in captured} for graph in graphs]
    read = [
        name
        for name in captured
        if any(name in nodes and graph.has_uses(nodes[name]) for graph, nodes in zip(graphs, found, strict=True))
    ]
    for graph, nodes in zip(graphs, found, strict=True):
        for number, name in enumerate(read):
            old = nodes[name].output
            graph.replace(old, graph.add(Input(f"captured_{number}", old.type)).output)
        for node in nodes.values():
            graph.remove(node)
    return [captured[name] for name in read]


def _label(op: object) -> str:
    assert isinstance(op, Input)
    return op.label


def _without_axis(type: TensorType, axis: int) -> TensorType:
    return type.with_shape((*type.shape[:axis], *type.shape[axis + 1 :]))


def _as_scalar(call: Call, operand: Operand | None) -> Operand | None:
    """Return the trips or the condition of a Loop, which may have one element of any rank up to 1, without axes."""
    if operand is None or operand.type.rank == 0:
        return operand
    return call.add(Reshape(()), operand)


def _count_steps(call: Call, graph: Graph, trips: Operand | None, condition: Operand | None) -> Dim:
    """Return how many results of steps are stacked: the trips, where the condition never ends a Loop before."""
    following = graph.outputs[0].inputs[0]
    goes_on = following is not None and (_is_true(following) or following.node is graph.inputs[1])
    starts = condition is None or (condition.array is not None and bool(condition.array.all()))
    known = None if trips is None or trips.sizes is None else trips.sizes.items[0]
    if goes_on and starts and known is not None:
        return max(known, 0) if isinstance(known, int) else known
    return call.translator.size_names.new("steps")


def _is_true(value: Value) -> bool:
    return isinstance(value.node.op, Constant) and bool(value.node.op.value.array.all())
