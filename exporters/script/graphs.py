"""From a graph to a script: nodes become layers again where they are one, and functions where they are none.

order of nodes ── recognise ──> units: the nodes of one layer's call, or single nodes
               ── schedule ───> units in an order in which each finds its inputs
               ── write ──────> a line for each layer; a function for each run of other nodes of one origin
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any

from onnx import defs

from kir import layers, passes
from kir.errors import UnsupportedError
from kir.exporters.script.functions import MAX_UNPACKED, FunctionWriter, origin_piece
from kir.exporters.script.models import input_piece, write_facts, write_model, write_settings
from kir.exporters.script.same_file import has_graph
from kir.exporters.script.script import MODEL, Script
from kir.exporters.script.text import Group, Piece, call, identifier, mapping, quote, sequence
from kir.exporters.script.values import Values
from kir.ir.dims import Sym
from kir.ir.graph import Graph, Node, Origin, Value
from kir.ir.op import Array, Op
from kir.ir.structural import Constant, Input, Output
from kir.ir.trace import Tracer
from kir.lift.recognise import Recognised, recognise
from kir.lift.recurrent import assemble_recurrent_model
from kir.modeling.call_order import unique_names
from kir.modeling.input import InputLayer
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.modeling.weight_names import named_weights, named_weights_of
from kir.ops.sparse import SparseToDense
from kir.passes import Pass
from kir.passes.fold_constants import fold_constants
from kir.support.naming import Names

# Histories of graphs that begin in the middle: a file is of any exporter, and a graph that was built by calls, or that
# `Graph.load` read, says nothing of what it comes from.
PARTIAL_HISTORIES = ("onnx file", "python")


def write_graph(script: Script, graph: Graph, finished: Sequence[Pass] = ()) -> dict[str, Array]:
    """Write a graph as a model, and return the arrays of its layers' weights, by their names in the weights file.

    Args:
        finished: the passes that the graph went through: layers are found whose nodes these passes changed.

    Raises:
        UnsupportedError: the graph has no inputs.
    """
    is_foreign = names_operators(graph)
    if is_foreign:
        graph, finished = graph.copy(), passes.pipeline()
        passes.run(graph, [fold_constants])
    writer = _GraphWriter(script, graph, is_foreign, finished)
    model = writer.recurrent_model()
    if model is None:
        return writer.write()
    write_model(script, model)
    return {name: weight.array for name, weight in named_weights(model).items()}


def finished_passes(graph: Graph) -> tuple[Pass, ...]:
    """Return the passes that a graph went through, as its history says.

    A history that does not reach back to layers tells only a part of them, such as that of a file. Then it is those of
    the highest level that find nothing to do in the graph.
    """
    history = graph.provenance
    if history.kind not in PARTIAL_HISTORIES:
        return tuple(one for one in passes.PASSES if one.name in history.passes)
    # In a file an activation stands alone, whether or not a pass gave it to its Dense.
    recognised = graph.copy()
    passes.run(recognised, passes.RECOGNITION)
    for level in reversed(passes.LEVELS):
        if not any(passes.run(recognised.copy(), passes.pipeline(level)).values()):
            return passes.pipeline(level)
    return ()


def names_operators(graph: Graph) -> bool:
    """Return whether a graph comes from a file of another exporter, whose nodes name operators and no layers.

    The producer of the file does not tell: kir writes what it read in such a file under the same names.
    """
    if graph.provenance.kind not in PARTIAL_HISTORIES:
        return False
    classes = {node.origin.layer for node in graph.order() if node.origin is not None}
    return any(defs.has(name) and not hasattr(layers, name) for name in classes)


@dataclass
class Unit:
    """What becomes one call in the script: a recognised layer, or nodes of one origin that become a function."""

    nodes: list[Node]
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    found: Recognised | None = None

    @property
    def layer(self) -> Layer | None:
        return None if self.found is None else self.found.layer

    @property
    def origin(self) -> Origin | None:
        return self.nodes[0].origin


class _GraphWriter:
    def __init__(self, script: Script, graph: Graph, is_foreign: bool, finished: Sequence[Pass]) -> None:
        if not graph.inputs:
            raise UnsupportedError(f"the graph {graph.name!r} has no inputs; a model needs one")
        self.script = script
        self.graph = graph
        self.is_foreign = is_foreign
        self.finished = finished
        self.order = graph.order()
        self.index = {node: index for index, node in enumerate(self.order)}
        self.reads: Counter[Value] = Counter(v for node in self.order for v in node.inputs if v is not None)
        self.values = Values(script, self._special)
        self.texts: dict[Value, str] = {}
        self.inputs: list[InputLayer] = []
        self.producer: dict[Value, str] = {}  # the name of the layer or call that gives a value
        self.lambdas: set[str] = set()  # the paths that one function has to itself, as its name

    def write(self) -> dict[str, Array]:
        """Write everything, and return the arrays of the weights by name."""
        sparse = self._sparse_inputs()
        write_settings(self.script)
        self._make_inputs(sparse)
        recognised = self._recognise(sparse.keys())
        self.script.needs_passes = any(found.is_optimised for found in recognised) and not self.is_foreign
        units = self._units(recognised, sparse.keys())
        names = self._choose_names(units)
        outputs = [_read(node) for node in self.graph.outputs]
        labels = [_label(node) for node in self.graph.outputs]
        if self._is_chain(units, outputs):
            self._write_chain(units, names)
            is_named = labels == self._usual_names(outputs)
        else:
            is_named = self._write_calls(units, names, outputs, labels)
        write_facts(self.script, self.graph.metadata, None if is_named else labels)
        layers = list({id(unit.layer): unit.layer for unit in units if unit.layer is not None}.values())
        weights = {name: weight.array for name, weight in named_weights_of(layers).items()}
        self.script.has_weights = bool(weights)
        return weights

    # Inputs

    def _sparse_inputs(self) -> dict[Node, InputLayer]:
        """Return the nodes that make a sparse input dense, with the input."""
        found: dict[Node, InputLayer] = {}
        inputs = list(self.graph.inputs)
        for node in self.order:
            if not isinstance(node.op, SparseToDense) or node.origin is not None:
                continue
            sources = [value.node for value in node.inputs if value is not None]
            if not all(isinstance(one.op, Input) and self.reads[one.output] == 1 for one in sources):
                continue
            name = _label(sources[1]).removesuffix(".values") or None
            layer = InputLayer(batch_shape=node.op.shape, dtype=node.output.type.dtype, sparse=True, name=name)
            start = inputs.index(sources[0])
            if inputs[start : start + 3] == sources and _input_ops(layer) == [one.op for one in sources]:
                found[node] = layer
        return found

    def _make_inputs(self, sparse: Mapping[Node, InputLayer]) -> None:
        dense = {value.node: node for node in sparse for value in node.inputs if value is not None}
        for node in self.graph.inputs:
            assert isinstance(node.op, Input)
            if node not in dense:
                given = None if node.op.default is None else node.op.default.array
                type = node.op.type
                layer = InputLayer(batch_shape=type.shape, dtype=type.dtype, input_tensor=given, name=node.op.label)
                self._add_input(layer, node.output)
            elif dense[node].output not in self.texts:
                self._add_input(sparse[dense[node]], dense[node].output)

    def _add_input(self, layer: InputLayer, value: Value) -> None:
        self.inputs.append(layer)
        self.producer[value] = layer.name
        self.texts[value] = self.script.names.new(layer.name)

    # Units

    def recurrent_model(self) -> Model | None:
        """Return the model of layers that the graph is of, if it has masked recurrent layers."""
        model = assemble_recurrent_model(self.graph, self._recognise(set()))
        return model if model is not None and has_graph(model, self.graph, self.finished) else None

    def _recognise(self, sparse: Set[Node]) -> list[Recognised]:
        return recognise(self.graph, sparse, self.is_foreign, self.finished)

    def _units(self, recognised: list[Recognised], sparse: Set[Node]) -> list[Unit]:
        """Return all that computes, in an order in which everything finds its inputs."""
        claimed = {node: found for found in recognised for node in found.nodes}
        units: list[Unit] = []
        for node in self.order:
            if isinstance(node.op, Input | Output | Constant) or node in sparse:
                continue
            found = claimed.get(node)
            if found is None:
                self._extend(units, node)
            elif node is found.nodes[-1]:
                units.append(Unit(found.nodes, found.guess.values, found.outputs, found))
        given = {value for unit in units for value in unit.outputs}
        for value in dict.fromkeys(map(_read, self.graph.outputs)):
            if isinstance(value.node.op, Constant) and value not in given:
                units.append(Unit([value.node], [], [value]))
        for unit in units:
            if unit.layer is None and not isinstance(unit.nodes[0].op, Constant):
                self._close(unit)
        return units

    def _extend(self, units: list[Unit], node: Node) -> None:
        """Put a node into the function before it, if it comes from the same layer."""
        if units and units[-1].layer is None and (units[-1].origin == node.origin or self.is_foreign):
            units[-1].nodes.append(node)
        else:
            units.append(Unit([node]))

    def _close(self, unit: Unit) -> None:
        """Find what the nodes of a function read from outside, and what of theirs is read there."""
        inside = set(unit.nodes)
        read = [value for node in unit.nodes for value in node.inputs if value is not None]
        outside = (v for v in read if v.node not in inside and not isinstance(v.node.op, Constant))
        unit.inputs = [*dict.fromkeys(outside), *self._givers_of_sizes(unit)]
        counts = Counter(value for value in read if value.node in inside)
        unit.outputs = [v for node in unit.nodes for v in node.outputs if self.reads[v] > counts[v]]

    def _givers_of_sizes(self, unit: Unit) -> list[Value]:
        """Return inputs of the model that have the sizes which operators name and nothing in the function has."""
        seen = [value for node in unit.nodes for value in (*node.inputs, *node.outputs) if value is not None]
        known = {dim.name for value in seen for dim in value.type.shape if isinstance(dim, Sym)}
        missing = {name for node in unit.nodes for name in node.op.symbols()} - known
        found: list[Value] = []
        for value in self.texts:
            names = {dim.name for dim in value.type.shape if isinstance(dim, Sym)}
            if names & missing:
                found.append(value)
                missing -= names
        return found

    # Names

    def _choose_names(self, units: Sequence[Unit]) -> dict[int, str]:
        """Return a name for each unit's call, by its id; recognised layers keep theirs, by which weights are found."""
        names = {id(unit): unit.layer.name for unit in units if unit.layer is not None}
        free = Names({*names.values(), *(layer.name for layer in self.inputs)})
        for unit in units:
            if unit.layer is None:
                origin = unit.origin
                wanted = origin.path if origin is not None and origin.path else identifier(unit.nodes[0].op.name)
                names[id(unit)] = free.unique(wanted)
                (self.lambdas.add if names[id(unit)] == wanted else self.lambdas.discard)(wanted)
        return names

    # Writing

    def _is_chain(self, units: Sequence[Unit], outputs: Sequence[Value]) -> bool:
        """Return whether each unit reads what the one before gives, and nothing else."""
        if len(self.inputs) != 1 or len(outputs) != 1 or not units:
            return False
        seen: set[int] = set()
        (last,) = self.texts
        for unit in units:
            if unit.inputs != [last] or len(unit.outputs) != 1 or (unit.layer is not None and id(unit.layer) in seen):
                return False
            if unit.found is not None and unit.found.guess.takes_list:
                return False
            seen.add(id(unit.layer))
            last = unit.outputs[0]
        return last is outputs[0]

    def _write_chain(self, units: Sequence[Unit], names: Mapping[int, str]) -> None:
        layers = [self._constructor(unit, names[id(unit)]) for unit in units]
        for unit in units:
            self.producer[unit.outputs[0]] = names[id(unit)]
        self._add_model("Sequential", [sequence([input_piece(self.script, self.inputs[0]), *layers])])

    def _write_calls(
        self, units: Sequence[Unit], names: Mapping[int, str], outputs: Sequence[Value], labels: Sequence[str]
    ) -> bool:
        """Write a functional model, and return whether its outputs are called what they should be."""
        texts = list(self.texts.values())
        for layer, text in zip(self.inputs, texts, strict=True):
            self.script.add(f"{text} = ", input_piece(self.script, layer))
        calls = Counter(id(unit.layer) for unit in units if unit.layer is not None)
        variables: dict[int, str] = {}
        for unit in units:
            name = names[id(unit)]
            make = partial(self._constructor, unit, name)
            shared = calls[id(unit.layer)] > 1
            piece = self.script.apply(
                variables, unit.layer or unit, name, make, self._arguments(unit), is_shared=shared
            )
            self._assign(unit, name, piece)
        results = [self.texts[value] for value in outputs]
        is_usual = labels == self._usual_names(outputs)
        is_dict = len(results) > 1 and not is_usual and labels == sorted(set(labels))
        if is_dict:
            given: Piece = mapping([(quote(label), text) for label, text in zip(labels, results, strict=True)])
        else:
            given = results[0] if len(results) == 1 else sequence(results)
        self._add_model("Model", [texts[0] if len(texts) == 1 else sequence(texts), given])
        return is_dict or is_usual

    def _add_model(self, kind: str, arguments: list[Piece]) -> None:
        keywords = [("name", quote(self.graph.name or "graph"))]
        self.script.add(f"{MODEL} = ", call(self.script.use("kir", kind), arguments, keywords))

    def _usual_names(self, outputs: Sequence[Value]) -> list[str]:
        """Return what the outputs are called unless they are given names."""
        tensors: Any = [SimpleNamespace(name=self.producer[value]) for value in outputs]
        return unique_names(tensors, None, {layer.name for layer in self.inputs})

    def _arguments(self, unit: Unit) -> Group:
        inputs = unit.inputs or [next(iter(self.texts))]
        texts = [self.texts[value] for value in inputs]
        takes_list = self._is_lambda(unit) if unit.found is None else unit.found.guess.takes_list
        if not takes_list or (unit.found is None and len(texts) == 1):
            return call("", texts)
        return call("", [sequence(texts)])

    def _constructor(self, unit: Unit, name: str) -> Group:
        if unit.layer is not None:
            return self.values.constructor(unit.layer)
        function = self._function(unit)
        origin = unit.origin
        if self._is_lambda(unit) and (self.is_foreign or (origin is not None and origin.path == name)):
            return call(self.script.use("kir.layers", "Lambda"), [function], [("name", quote(name))])
        source: list[tuple[str, Piece]] = [] if origin is None else [("origin", origin_piece(self.script, origin))]
        return call(self.script.helper("Traced"), [function], [*source, ("name", quote(name))])

    def _function(self, unit: Unit) -> str:
        wanted = unit.origin.path if unit.origin is not None else unit.nodes[0].op.name
        name = self.script.names.new(f"compute_{identifier(wanted)}")
        writer = FunctionWriter(self.script, self.reads, self.bound, keeps_labels=not self.is_foreign)
        inputs = unit.inputs or [next(iter(self.texts))]
        if self._is_lambda(unit) and len(inputs) > 1:
            writer.parameter(inputs, "inputs")
        else:
            for value in inputs:
                writer.parameter(value, "x")
        for node in unit.nodes:
            writer.add(node)
        writer.finish(name, unit.outputs[0] if len(unit.outputs) == 1 else tuple(unit.outputs))
        return name

    def _is_lambda(self, unit: Unit) -> bool:
        """Return whether a function is a Lambda, which takes several tensors as a list."""
        is_named = unit.origin is not None and unit.origin.layer == "Lambda" and unit.origin.path in self.lambdas
        return unit.layer is None and (self.is_foreign or is_named)

    @cached_property
    def bound(self) -> frozenset[Value]:
        """Constants without a label that come from another layer than a node that reads them.

        The order of the nodes does not say which function makes them when the script is run. Of numbers the first node
        alone counts: each function writes its own, and equal ones are merged into the first.
        """
        readers: dict[Value, list[Node]] = {}
        for node in self.order:
            for value in node.inputs:
                if value is not None and isinstance(value.node.op, Constant) and value.node.op.label is None:
                    readers.setdefault(value, []).append(node)
        return frozenset(
            value
            for value, nodes in readers.items()
            for node in (nodes if value.type.rank else nodes[:1])
            if value.node.origin != node.origin and not isinstance(node.op, Output)
        )

    def _assign(self, unit: Unit, name: str, piece: Piece) -> None:
        for value in unit.outputs:
            self.producer[value] = name
        outputs = unit.outputs if unit.found is None else unit.found.results
        if len(outputs) > MAX_UNPACKED:
            variable = self.script.names.new(name)
            self.script.add(f"{variable} = ", piece)
            self.texts.update((value, f"{variable}[{index}]") for index, value in enumerate(outputs))
            return
        variables = [self.script.names.new(name) if value in self.reads else "_" for value in outputs]
        self.texts.update(zip(outputs, variables, strict=True))
        self.script.add(f"{', '.join(variables)} = ", piece)

    def _special(self, value: object) -> Piece | None:
        return self.values.constructor(value) if isinstance(value, Layer) else None


def _input_ops(layer: InputLayer) -> list[Op]:
    graph = Graph()
    layer.add_input(Tracer(graph), layer.name, {})
    return [node.op for node in graph.inputs]


def _label(node: Node) -> str:
    assert isinstance(node.op, Input | Output)
    return node.op.label


def _read(output: Node) -> Value:
    (value,) = output.inputs
    assert value is not None
    return value
