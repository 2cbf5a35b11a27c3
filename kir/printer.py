"""The text of a graph: what `str(graph)` is, what tests compare and what `--print-after` shows.

    graph mlp
    symbols batch
    %0: f32[batch, 3] = Input(label='x')
    %1: f32[3, 4] = Constant(label='dense/kernel')
    %2: f32[batch, 4] = Dense(activation=Relu)(x=%0, kernel=%1)  # dense (Dense)
    %3: f32[batch, 4] = Output(label='y')(value=%2)

Values are numbered in `graph.order()`; names and origins are shown and never referred to. The text is for people and
for comparing: what is read back is the file of `Graph.save`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kir.dims import Sym
from kir.graph import Graph, Node, Value
from kir.op import input_names
from kir.ops.structural import Constant, Data, Input

MAX_SHOWN_ELEMENTS = 8


def print_graph(graph: Graph) -> str:
    """The live nodes of a graph as text, one line each. O(nodes + edges); the end has no line break.

    Constants of up to 8 elements show their content, larger ones their type and label only.
    """
    lines = [f"graph {graph.name}"]
    lines += [f"metadata {key!r}: {value!r}" for key, value in sorted(graph.metadata.items())]
    nodes = graph.order()
    symbols = sorted(_symbols(nodes))
    if symbols:
        lines.append(f"symbols {', '.join(symbols)}")
    names: dict[Value, str] = {}
    for node in nodes:
        for value in node.outputs:
            names[value] = f"%{len(names)}"
        lines.append(_line(node, names))
    return "\n".join(lines)


def _line(node: Node, names: Mapping[Value, str]) -> str:
    results = ", ".join(f"{names[value]}: {value.type}" for value in node.outputs)
    arguments = ", ".join(_arguments(node, names))
    origin = f"  # {node.origin}" if node.origin else ""
    return f"{results} = {format_operator(node)}{f'({arguments})' if arguments else ''}{origin}"


def format_operator(node: Node) -> str:
    """A node's operator with its attributes; of a large array the type and label only."""
    op = node.op
    if isinstance(op, Input):
        default = f", default={format_content(op.default)}" if op.default else ""
        return f"Input(label={op.label!r}{default})"
    if isinstance(op, Constant):
        shown = [format_content(op.value)] if op.value.array.size <= MAX_SHOWN_ELEMENTS else []
        return f"Constant({', '.join(shown + ([f'label={op.label!r}'] if op.label else []))})"
    return str(op)


def format_content(data: Data) -> str:
    """The elements of an array of up to 8."""
    small = data.array.size <= MAX_SHOWN_ELEMENTS
    return repr(data.array.tolist()) if small else "…"


def _arguments(node: Node, names: Mapping[Value, str]) -> Iterator[str]:
    """Named inputs, absent ones left out; those of a variadic parameter stand without a name."""
    parameters = input_names(type(node.op))
    for index, value in enumerate(node.inputs):
        parameter = parameters[min(index, len(parameters) - 1)]
        if value is not None:
            yield names[value] if parameter.startswith("*") else f"{parameter}={names[value]}"


def _symbols(nodes: list[Node]) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        found |= node.op.symbols()
        for value in node.outputs:
            for dim in value.type.shape:
                if isinstance(dim, Sym):
                    found |= dim.names()
    return found
