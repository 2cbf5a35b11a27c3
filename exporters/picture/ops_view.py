"""The diagram of a graph: one box per node. Constants are lines in the boxes of their readers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kir.exporters.picture.diagram import Box, Diagram, Line, Weights, join_links
from kir.ir.body import Body
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import input_names
from kir.ir.structural import Constant, Input, Output
from kir.ops import group_by_op

# Constants up to this many elements show their numbers instead of their type.
MAX_SHOWN_ELEMENTS = 4
NO_SOURCES: Mapping[str, str] = {}


def ops_diagram(graph: Graph, shown: frozenset[str], sources: Mapping[str, str] = NO_SOURCES) -> Diagram:
    """Draw the live nodes of a graph, those of graphs inside operators within their boxes. O(nodes + edges).

    `sources` are the lines of the user's program, by layer.
    """
    whole = Diagram(graph.name, shows_types="types" in shown)
    pending = [(graph, whole)]
    while pending:
        pending += _fill(*pending.pop(), shown, sources)
    return whole


def _fill(
    graph: Graph, diagram: Diagram, shown: frozenset[str], sources: Mapping[str, str]
) -> list[tuple[Graph, Diagram]]:
    """Draw the nodes of one graph, and return those inside with the diagrams that they are to fill."""
    inside: list[tuple[Graph, Diagram]] = []
    numbers: dict[Node, int] = {}
    reads: list[tuple[int, int, int, int]] = []
    order = graph.order()
    read_by_output = {v.node for node in order if isinstance(node.op, Output) for v in node.inputs if v is not None}
    for node in order:
        if isinstance(node.op, Constant) and node not in read_by_output:
            continue
        numbers[node] = len(diagram.boxes)
        for slot, value in enumerate(node.inputs):
            if value is not None and value.node in numbers:
                reads.append((numbers[value.node], value.index, numbers[node], slot))
        box = _box(node, shown, sources)
        bodies = [(name, value.graph) for name, value in node.op.attributes().items() if isinstance(value, Body)]
        if bodies:
            inner = {name: (body, Diagram(name, shows_types=diagram.shows_types)) for name, body in bodies}
            inside += inner.values()
            box.inner = _joined({name: one for name, (_, one) in inner.items()})
        diagram.boxes.append(box)
    diagram.links = join_links(reads)
    return inside


def _joined(diagrams: Mapping[str, Diagram]) -> Diagram:
    """Return the only diagram, or one that has each in a box of its name: the branches of an If."""
    first, *others = diagrams.values()
    if not others:
        return first
    boxes = [Box(name, "", "control", (), inner=one) for name, one in diagrams.items()]
    return Diagram(first.name, boxes, shows_types=first.shows_types)


def kind_of_op(node: Node) -> str:
    """Return the group that colours a node: that of its operator, or the role of a structural one."""
    match node.op:
        case Input():
            return "input"
        case Output():
            return "output"
        case _:
            return group_by_op()[type(node.op)]


def _box(node: Node, shown: frozenset[str], sources: Mapping[str, str]) -> Box:
    outputs = [] if isinstance(node.op, Output) else [str(value.type) for value in node.outputs]
    attributes = _attributes(node)
    constants = _constants(node)
    lines = attributes if "attributes" in shown else []
    if "weights" in shown:
        lines = [*lines, *(Line(name, _content(value), True) for name, value in constants)]
    facts = [*_facts(node, attributes), *_source(node, sources)]
    weights = [_weights(name, value) for name, value in constants]
    if isinstance(node.op, Constant):
        weights = [_weights(node.op.label or "value", node.output)]
    return Box(node.op.name, _name(node), kind_of_op(node), outputs, lines, facts, weights, node)


def _name(node: Node) -> str:
    match node.op:
        case Input(label=label) | Output(label=label) | Constant(label=label):
            return label or ""
        case _:
            return node.origin.path if node.origin else ""


def _attributes(node: Node) -> list[Line]:
    if isinstance(node.op, Input | Output | Constant):
        return []
    return [
        Line(name, f"({', '.join(map(str, value))})" if isinstance(value, tuple) else str(value))
        for name, value in node.op.attributes().items()
        if value is not None
    ]


def _constants(node: Node) -> list[tuple[str, Value]]:
    """Return the constant inputs with the names of their parameters."""
    if isinstance(node.op, Output):
        return []
    return [
        (_parameter(node, slot), value)
        for slot, value in enumerate(node.inputs)
        if value is not None and isinstance(value.node.op, Constant)
    ]


def _parameter(node: Node, slot: int) -> str:
    names = input_names(type(node.op))
    return names[slot] if slot < len(names) and names[slot][0] != "*" else f"{names[-1].lstrip('*')} {slot}"


def _content(value: Value) -> str:
    assert isinstance(value.node.op, Constant)
    array = value.node.op.value.array
    if array.size > MAX_SHOWN_ELEMENTS:
        return str(value.type)
    # As short as the dtype allows: 1e-06, and not 9.999999974752427e-07, for a float32. Texts may be empty.
    shown = repr if array.dtype == object else str
    return " ".join(np.array2string(array, separator=", ", formatter={"all": shown}).split())


def _weights(name: str, value: Value) -> Weights:
    assert isinstance(value.node.op, Constant)
    array = value.node.op.value.array
    label = value.node.op.label
    return Weights(f"{name} ({label})" if label else name, str(value.type), id(array), lambda: array)


def _source(node: Node, sources: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the line of the node's layer, or of the nearest layer around it that has one."""
    path = node.origin.path if node.origin else ""
    while path:
        if path in sources:
            return [("source", sources[path])]
        path = path.rpartition("/")[0]
    return []


def _facts(node: Node, attributes: list[Line]) -> list[tuple[str, str]]:
    facts = [("operator", node.op.name)]
    if node.origin:
        facts += [("layer", node.origin.path), ("class", node.origin.layer)]
    for slot, value in enumerate(node.inputs):
        if value is not None:
            facts.append((_parameter(node, slot), str(value.type)))
    facts += [
        ("output" if len(node.outputs) == 1 else f"output {value.index}", str(value.type)) for value in node.outputs
    ]
    return facts + [(line.key, line.value) for line in attributes]
