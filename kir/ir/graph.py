"""The dataflow graph, stored in networkx: nodes apply operators, and values flow between them.

A networkx node *is* a `Node`. An edge runs producer → consumer, its key is the consumer's input slot and its
data the producer's output index. Only `Graph.add`, `replace`, `set_input` and `remove` write; nothing else may
touch the store.

An edge is a reference and never a name: names live on `Input`, `Output` and `Constant` operators alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import networkx as nx

from kir.errors import GraphError, KirError
from kir.ir.dims import Dim, Sym, substitute
from kir.ir.op import Array, Inner, Op, as_tuple, input_names, output_types
from kir.ir.structural import Assume, Constant, Data, Input, Output
from kir.ir.types import CarriedType, TensorType
from kir.support.text import counted


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a node comes from: the path of layer names that leads to it, and that layer's class."""

    path: str
    layer: str

    def __str__(self) -> str:
        return f"{self.path} ({self.layer})"


# What a graph or a model was read from; "python": it was built by calls, and read from nothing.
SourceKind = Literal["python", "script", "keras model", "keras file", "onnx file"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """The history of a graph: what it was read from, and the passes that ran on it.

    Models, the graphs that they are lowered to, and copies of graphs carry it along. It is no part of what a graph
    computes: nothing prints it, and no file holds it.

    Attributes:
        kind: what was read.
        producer: the program that wrote what was read, as it says itself, such as "tf2onnx 1.16.1" or "Keras 3.11.0";
            "" if it does not say.
        file: the file that was read.
        opset: the version of ONNX's operators in that file, of an ONNX file.
        passes: the names of all passes that `kir.passes.run` ran on the graph in this process, in the order in which
            each ran first. What ran before a file was written is not known.
        random_weights: what is to be said of weights that nobody gave, such as "random, seed 0; give --weights FILE";
            "" if there are none. Known of a graph, not of a model, whose weights may still change.
        lost_masks: the layers at which a mask ended that they cannot carry. Known of a graph as well.
    """

    kind: SourceKind = "python"
    producer: str = ""
    file: Path | None = None
    passes: tuple[str, ...] = ()
    random_weights: str = ""
    lost_masks: tuple[str, ...] = ()
    opset: int | None = None

    def after(self, passes: Iterable[str]) -> Provenance:
        """Return this history with passes that ran later."""
        return replace(self, passes=tuple(dict.fromkeys((*self.passes, *passes))))


class Value:
    """One output of a node, with its type. Compared by identity."""

    __slots__ = ("index", "node", "type")

    def __init__(self, node: Node, index: int, type: TensorType) -> None:
        self.node = node
        self.index = index
        self.type = type

    def __repr__(self) -> str:
        return f"<{self.node.op.name} output {self.index}: {self.type}>"


class Node:
    """One operator applied to values. `inputs` holds None for an optional input that is absent."""

    __slots__ = ("_inputs", "inputs", "op", "origin", "outputs")

    def __init__(self, op: Op, inputs: Iterable[Value | None], origin: Origin | None = None) -> None:
        """Infer the output types.

        Raises:
            KirError: the operator refuses the input types.
        """
        self.op = op
        self._inputs = list(inputs)
        # The values that the node reads now: a view, so that replacing all of n inputs one by one is O(n).
        self.inputs: Final[Sequence[Value | None]] = self._inputs
        self.origin = origin
        types = output_types(op, [None if value is None else value.type for value in self._inputs])
        self.outputs = tuple([Value(self, index, type) for index, type in enumerate(types)])

    @property
    def output(self) -> Value:
        """The only output.

        Raises:
            GraphError: the node has several.
        """
        if len(self.outputs) != 1:
            raise GraphError(f"{self.op.name} has {len(self.outputs)} outputs; expected one: use .outputs[i]")
        return self.outputs[0]

    @property
    def layer(self) -> str:
        """The path of its layer, with the class: "block/conv (Conv2D)"; "" if it comes from none."""
        return "" if self.origin is None else str(self.origin)

    @property
    def layer_path(self) -> str:
        """The path alone."""
        return "" if self.origin is None else self.origin.path

    def __repr__(self) -> str:
        return f"<{self.op}{f' of {self.origin}' if self.origin else ''}>"


@dataclass(frozen=True, slots=True)
class Use:
    """A place that reads a value: a node's input slot."""

    node: Node
    slot: int


class Graph:
    """A typed dataflow graph.

    >>> graph = Graph()
    >>> x = graph.add(Input("x", parse_type("f32[batch, 4]"))).output
    >>> graph.add(Output("y"), graph.add(Relu(), x).output)
    """

    def __init__(self, name: str = "graph") -> None:
        self.name = name
        self.metadata: dict[str, str] = {}
        self.provenance = Provenance()
        self._store: nx.MultiDiGraph[Node] = nx.MultiDiGraph()
        # Of each node its readers, their slots, and what the edge says.
        self._readers: Mapping[Node, Mapping[Node, Mapping[int, Mapping[str, int]]]] = self._store.adj
        self._counts: Counter[type[Op]] = Counter()
        self._inputs: dict[str, Node] = {}
        self._outputs: dict[str, Node] = {}
        self._known_order: list[Node] | None = None  # until what the outputs reach changes

    # Reading

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The Input nodes, in the order in which they were added."""
        return tuple(self._inputs.values())

    @property
    def outputs(self) -> tuple[Node, ...]:
        """The Output nodes, in the order in which they were added."""
        return tuple(self._outputs.values())

    def assumptions(self) -> list[str]:
        """Return the equalities of sizes that the graph takes for granted, such as "2*(h//2) = h". O(nodes)."""
        equalities: dict[str, None] = {}
        for node in (node for graph in self.graphs() if graph.has_any(Assume) for node in graph.order()):
            if isinstance(node.op, Assume) and node.inputs[0] is not None:
                equalities |= {f"{a} = {b}": None for a, b in node.op.equalities(node.inputs[0].type)}
        return list(equalities)

    def has_carried_values(self) -> bool:
        """Return whether a value, here or inside an operator, is of a `CarriedType`. O(nodes)."""
        values = (value for graph in self.graphs() for node in graph.nodes() for value in node.outputs)
        return any(isinstance(value.type, CarriedType) for value in values)

    def __contains__(self, node: Node) -> bool:
        return node in self._store

    def nodes(self) -> list[Node]:
        """Return all nodes, dead ones too, in the order in which they were added. A copy: O(nodes)."""
        return list(self._store)

    def graphs(self) -> Iterator[Graph]:
        """Yield this graph, and those inside its operators at any depth. O(nodes)."""
        pending = [self]
        while pending:
            graph = pending.pop()
            yield graph
            if any(cls.bodies is not Op.bodies for cls in graph.op_types()):
                inner = [body.graph for node in graph.nodes() for body in node.op.bodies()]
                pending += reversed(inner)

    def get_node_count(self) -> int:
        """Return the number of nodes, dead ones included. O(1)."""
        return len(self._store)

    def op_types(self) -> list[type[Op]]:
        """Return the classes of all operators in the graph, those of dead nodes included. O(classes)."""
        return [cls for cls, count in self._counts.items() if count]

    def has_any(self, *classes: type[Op]) -> bool:
        """Return whether a node, dead or not, has an operator of one of these classes. O(classes)."""
        return any(self._counts[cls] for cls in classes)

    def uses(self, value: Value) -> list[Use]:
        """Return the uses of a value, in the order in which they were added. O(uses of the node)."""
        return [
            Use(consumer, slot)
            for consumer, slots in self._readers[value.node].items()
            for slot, edge in slots.items()
            if edge["index"] == value.index
        ]

    def has_uses(self, node: Node) -> bool:
        """Return whether anything reads an output of the node. O(1)."""
        return len(self._readers[node]) > 0

    def is_read_once(self, node: Node) -> bool:
        """Return whether the outputs of the node have one use in all. O(1)."""
        readers = self._readers[node]
        return len(readers) == 1 and len(next(iter(readers.values()))) == 1

    def consumers(self, node: Node) -> list[Node]:
        """Return the distinct nodes that read an output of the node. O(uses of the node)."""
        return list(self._readers[node])

    def order(self) -> list[Node]:
        """Return the live nodes, each after those that it reads: a depth-first walk back from the outputs.

        The order depends on the graph alone, and not on the history of edits. O(nodes + edges), or the cost of a copy
        while nothing live has changed.
        Equivalent to this recursive program:

            def visit(node):
                if node not in seen:
                    seen.add(node)
                    for value in node.inputs: visit(value.node)
                    result.append(node)

        visited for the nodes first whose results have sizes that nothing before them has: others may take such a size
        without reading the value.
        """
        if self._known_order is None:
            self._known_order = self._find_order()
        return self._known_order.copy()

    def _find_order(self) -> list[Node]:
        order = self._walk_back(self._outputs.values())
        first = [node for node in order if node.op.introduces_sizes]
        return self._walk_back([*first, *self._outputs.values()]) if first else order

    def _walk_back(self, roots: Iterable[Node]) -> list[Node]:
        result = list(self._inputs.values())
        seen: set[Node] = set(result)
        for root in roots:
            if root in seen:
                continue
            stack: list[tuple[Node, Iterator[Value | None]]] = [(root, iter(root.inputs))]
            seen.add(root)
            while stack:
                node, pending = stack[-1]
                for value in pending:
                    if value is not None and value.node not in seen:
                        seen.add(value.node)
                        stack.append((value.node, iter(value.node.inputs)))
                        break
                else:
                    result.append(node)
                    stack.pop()
        return result

    # Writing

    def add(self, op: Op, *inputs: Value | None, origin: Origin | None = None) -> Node:
        """Add a node that computes `op` of the inputs. O(inputs). A running iteration does not see it.

        Raises:
            GraphError: an input belongs to no node of this graph, or the name of an Input or Output is taken.
            KirError: the operator refuses the input types.
        """
        store = self._store
        for value in inputs:
            if value is not None and value.node not in store:
                raise GraphError(f"{op.name} reads {value!r}, which is not in this graph")
        if isinstance(op, Input | Output):
            self._check_label(op)
        node = Node(op, inputs, origin)
        self._counts[op.__class__] += 1
        for slot, value in enumerate(inputs):
            if value is not None:
                store.add_edge(value.node, node, key=slot, index=value.index)
        if node not in store:  # an edge would have brought it
            store.add_node(node)
        if isinstance(op, Input | Output):
            self._labels_of(op)[op.label] = node
            self._known_order = None
        return node

    def replace(self, old: Value, new: Value) -> int:
        """Make every reader of `old` read `new`, and return the number of uses. O(uses of old's node).

        The old node stays, dead if nothing else reads it. A running iteration over `order()` is not disturbed.

        Raises:
            GraphError: the types differ; nothing was changed.
        """
        _require_same_type(old, new)
        uses = self.uses(old)
        for use in uses:
            self._set_input(use.node, use.slot, new)
        return len(uses)

    def set_input(self, node: Node, slot: int, value: Value) -> None:
        """Make one input slot read another value of the same type. O(1).

        Raises:
            GraphError: the slot is absent or of another type; nothing was changed.
        """
        current = node.inputs[slot]
        if current is None:
            raise GraphError(f"input {slot} of {node!r} is absent; add a new node instead")
        _require_same_type(current, value)
        self._set_input(node, slot, value)

    def remove(self, node: Node) -> None:
        """Remove a node from the graph. O(inputs). Its inputs stay, dead if nothing else reads them.

        Raises:
            GraphError: something still reads the node; nothing was changed.
        """
        if self.has_uses(node):
            raise GraphError(f"{node!r} is still read by {self.consumers(node)[0]!r}; replace its values first")
        self._store.remove_node(node)
        self._counts[node.op.__class__] -= 1
        if isinstance(node.op, Input | Output):
            del self._labels_of(node.op)[node.op.label]
            self._known_order = None

    def _set_input(self, node: Node, slot: int, value: Value) -> None:
        current = node.inputs[slot]
        if current is not None:
            self._store.remove_edge(current.node, node, key=slot)
        self._store.add_edge(value.node, node, key=slot, index=value.index)
        node._inputs[slot] = value
        self._known_order = None

    def _labels_of(self, op: Input | Output) -> dict[str, Node]:
        return self._inputs if isinstance(op, Input) else self._outputs

    def _check_label(self, op: Input | Output) -> None:
        if op.label in self._labels_of(op):
            raise GraphError(f"the {op.name.lower()} name {op.label!r} is taken; names must be unique")

    # Checking, printing, keeping

    def check(self) -> None:
        """Check all invariants from scratch, of the graphs inside operators as well. O(nodes + edges).

        Ports agree with edges, types agree with `infer`, the graph is acyclic, and every Input and Output is known by
        its name.

        Raises:
            GraphError: something does not hold; the message names the node.
        """
        for graph in self.graphs():
            graph._check()

    def _check(self) -> None:
        if not nx.is_directed_acyclic_graph(self._store):
            raise GraphError("the graph has a cycle")
        for node in self._store:
            self._check_edges(node)
            _check_types(node)
            if isinstance(node.op, Input | Output) and self._labels_of(node.op).get(node.op.label) is not node:
                raise GraphError(f"{node!r} is not the {node.op.name.lower()} of its name")

    def _check_edges(self, node: Node) -> None:
        ports = {(slot, v.node, v.index) for slot, v in enumerate(node.inputs) if v is not None}
        edges = {(slot, u, index) for u, _, slot, index in self._store.in_edges(node, keys=True, data="index")}
        if ports != edges:
            raise GraphError(f"the inputs of {node!r} disagree with its edges: {ports} against {edges}")

    def copy(self) -> Graph:
        """Return a graph of new nodes with the same operators, live ones only. O(nodes + edges)."""
        return self.specialize({})

    def specialize(self, sizes: Mapping[str, Dim]) -> Graph:
        """Return a copy in which symbolic sizes have the given values (or new names). O(nodes + edges).

        A size that only arises inside the graph follows from the values that it arises from.

        Raises:
            ShapeError: an operator cannot work with one of the sizes.
        """
        graph = Graph(self.name)
        graph.metadata = dict(self.metadata)
        graph.provenance = self.provenance
        values: dict[Value, Value] = {}
        sizes = dict(sizes)
        for node in self.order():
            op = _bind_input(node.op, sizes) if isinstance(node.op, Input) else node.op.bind(sizes)
            inputs = [None if value is None else values[value] for value in node.inputs]
            new = graph.add(op, *inputs, origin=node.origin)
            for old_value, new_value in zip(node.outputs, new.outputs, strict=True):
                values[old_value] = new_value
                learn_sizes(old_value.type, new_value.type, sizes)
        return graph

    def constant_arrays(self) -> list[Array]:
        """Return the arrays of all constants, of those inside operators as well. O(nodes)."""
        nodes = (node for graph in self.graphs() for node in graph.nodes())
        return [node.op.value.array for node in nodes if isinstance(node.op, Constant)]

    def infer_types(
        self, sizes: Mapping[str, Dim], rewrite: Callable[[Node, Sequence[TensorType | None]], Op] | None = None
    ) -> Iterator[tuple[Node, tuple[TensorType, ...]]]:
        """Yield the types of each node's outputs where symbolic sizes have the given values. O(nodes + edges) in all.

        They are those of `specialize`, without its graph.

        Args:
            sizes: the values of symbolic sizes; those that types of inputs tell are learnt from them.
            rewrite: returns the operator that a node applies to inputs of these types: an Input of another shape.

        Raises:
            ShapeError: an operator cannot work with one of the sizes.
        """
        types: dict[Value | None, TensorType | None] = {None: None}
        sizes = dict(sizes)
        for node in self.order():
            if isinstance(node.op, Constant):
                outputs: tuple[TensorType, ...] = (node.output.type,)
            else:
                inputs = [types[value] for value in node.inputs]
                op = node.op if rewrite is None else rewrite(node, inputs)
                op = _bind_input(op, sizes) if isinstance(op, Input) else op.bind(sizes)
                outputs = output_types(op, inputs)
            for value, type in zip(node.outputs, outputs, strict=True):
                types[value] = type
                learn_sizes(value.type, type, sizes)
            yield node, outputs

    def __str__(self) -> str:
        return print_graph(self)

    def __repr__(self) -> str:
        nodes, inputs, outputs = len(self._store), counted(len(self._inputs), "input"), len(self._outputs)
        return f"<Graph {self.name!r}: {counted(nodes, 'node')}, {inputs}, {counted(outputs, 'output')}>"

    def _repr_svg_(self) -> str | None:
        """Return what a notebook shows, see `kir.plot`; None for a graph that is too large for one."""
        from kir.exporters.picture import Picture

        return Picture(self)._repr_svg_()

    def _repr_html_(self) -> str:
        """Return what a notebook shows where it can: the page that answers to clicks."""
        from kir.exporters.picture import Picture

        return Picture(self)._repr_html_()

    def save(self, path: str | Path) -> None:
        """Write the graph to one file: JSON for the structure, `.npy` members for the arrays."""
        from kir.ir.serialize import save_graph

        save_graph(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> Graph:
        """Read what `save` wrote.

        Raises:
            FormatError: the file is not a saved graph.
        """
        from kir.ir.serialize import load_graph

        return load_graph(Path(path))


def learn_sizes(old: TensorType, new: TensorType, sizes: dict[str, Dim]) -> None:
    """Record the new sizes of symbols that stand alone in the old type."""
    for dim, value in zip(old.shape, new.shape, strict=True):
        if isinstance(dim, Sym) and dim.name is not None and dim != value:
            sizes.setdefault(dim.name, value)


def _bind_input(op: Input, sizes: Mapping[str, Dim]) -> Op:
    shape = tuple(substitute(dim, sizes) for dim in op.type.shape)
    return Input(op.label, op.type.with_shape(shape), op.default)


def _require_same_type(old: Value, new: Value) -> None:
    if old.type != new.type:
        raise GraphError(f"{new!r} cannot stand for {old!r}: the types {new.type} and {old.type} differ")


def _check_types(node: Node) -> None:
    try:
        inferred = node.op.infer(*[None if v is None else v.type for v in node.inputs])
    except KirError as error:
        raise GraphError(f"{node!r} refuses its inputs: {error}") from error
    if as_tuple(inferred) != tuple(value.type for value in node.outputs):
        raise GraphError(f"{node!r} has outputs {node.outputs} but infers {inferred}")


MAX_SHOWN_ELEMENTS = 8


def print_graph(graph: Graph) -> str:
    """Return the live nodes of a graph as text, one line each, without a last line break. O(nodes + edges).

    Constants of up to 8 elements show their content, larger ones their type and label only. A graph inside an operator
    follows it, indented; its values have numbers of their own.
    """
    lines = [f"graph {graph.name}"]
    lines += [f"metadata {key!r}: {value!r}" for key, value in sorted(graph.metadata.items())]
    nodes = graph.order()
    symbols = sorted(_symbols(nodes))
    if symbols:
        lines.append(f"symbols {', '.join(symbols)}")
    return "\n".join([*lines, *_node_lines(graph, "")])


def _node_lines(graph: Graph, indent: str) -> Iterator[str]:
    """Yield a line for each live node; below an operator with graphs inside, those of these graphs."""
    names: dict[Value, str] = {}
    for node in graph.order():
        for value in node.outputs:
            names[value] = f"%{len(names)}"
        yield indent + _line(node, names)
        for name, value in node.op.attributes().items():
            if isinstance(value, Inner):
                yield f"{indent}  {name}:"
                yield from _node_lines(value.graph, f"{indent}    ")


def _line(node: Node, names: Mapping[Value, str]) -> str:
    results = ", ".join(f"{names[value]}: {value.type}" for value in node.outputs)
    arguments = ", ".join(_arguments(node, names))
    origin = f"  # {node.origin}" if node.origin else ""
    return f"{results} = {format_operator(node)}{f'({arguments})' if arguments else ''}{origin}"


def format_operator(node: Node) -> str:
    """Return a node's operator with its attributes as text; of a large array the type and label only."""
    op = node.op
    if isinstance(op, Input):
        default = f", default={format_content(op.default)}" if op.default else ""
        return f"Input(label={op.label!r}{default})"
    if isinstance(op, Constant):
        shown = [format_content(op.value)] if op.value.array.size <= MAX_SHOWN_ELEMENTS else []
        return f"Constant({', '.join(shown + ([f'label={op.label!r}'] if op.label else []))})"
    return str(op)


def format_content(data: Data) -> str:
    """Return the elements of an array of up to 8 as text, and "…" for a larger one."""
    small = data.array.size <= MAX_SHOWN_ELEMENTS
    return repr(data.array.tolist()) if small else "…"


def _arguments(node: Node, names: Mapping[Value, str]) -> Iterator[str]:
    """Yield the inputs that are present, named but for those of a variadic parameter."""
    parameters = input_names(type(node.op))
    for index, value in enumerate(node.inputs):
        parameter = parameters[min(index, len(parameters) - 1)]
        if value is not None:
            yield names[value] if parameter.startswith("*") else f"{parameter}={names[value]}"


def _symbols(nodes: list[Node]) -> set[str]:
    sizes = (dim for node in nodes for value in node.outputs for dim in value.type.shape if isinstance(dim, Sym))
    return set[str]().union(*(node.op.symbols() for node in nodes), *(dim.names() for dim in sizes))
