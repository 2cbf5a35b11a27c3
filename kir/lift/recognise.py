"""Layers in a graph: which nodes are what one call of a layer does.

Nothing is concluded from a likeness. A layer is proposed for the nodes of one origin, with its arguments read from
their operators; it is called on tensors of the types at hand; and only if that gives these very nodes, with the same
origin, constants and labels, they are its. In a graph that passes went through, they may go through those first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import starmap, zip_longest

from kir import passes
from kir.errors import KirError
from kir.ir.graph import Graph, Node, Origin, Value
from kir.ir.structural import Constant, Input, Output
from kir.ir.trace import Tracer
from kir.lift import (
    feature_proposals,  # noqa: F401  they register what they propose
    image_proposals,  # noqa: F401  they register what they propose
)
from kir.lift.arrays import is_same_array
from kir.lift.proposals import Component, Proposal, propose
from kir.modeling.layer import Layer
from kir.passes import Pass
from kir.passes.fuse_activations import fuse_activations
from kir.support.trees import flatten


@dataclass
class Recognised:
    """Nodes that are a call of a layer. `nodes` are in the graph's order; `results` are what the call returns.

    `is_optimised` says that they are so only once passes ran over what the call gives.
    """

    layer: Layer
    nodes: list[Node]
    inputs: list[Value]
    results: list[Value]
    outputs: list[Value]
    weights: list[Value]
    takes_one: bool
    is_optimised: bool


class Recogniser:
    """Finds the layers of a graph. O(nodes), but for the few proposals that are tried for each layer.

    `finished` are the passes that the graph went through.
    """

    def __init__(
        self, graph: Graph, order: Sequence[Node], skipped: Set[Node], is_foreign: bool, finished: Sequence[Pass] = ()
    ) -> None:
        self.graph = graph
        self.order = order
        self.skipped = skipped
        self.is_foreign = is_foreign
        self.finished = finished
        self.index = {node: index for index, node in enumerate(order)}
        self.claimed: set[Node] = set()
        self.layers: dict[str, Layer] = {}

    def recognise(self) -> list[Recognised]:
        """The calls of layers, in the graph's order of their first nodes."""
        found: list[Recognised] = []
        for component in self._components():
            while component.nodes:
                one = self._recognise(component)
                if one is not None:
                    self.claimed.update(one.nodes)
                    found.append(one)
                    component = self._component([node for node in component.nodes if node not in self.claimed])
                else:
                    break
        return found

    def _components(self) -> Iterator[Component]:
        """The nodes of one origin that hang together, in order."""
        parent: dict[Node, Node] = {}

        def root(node: Node) -> Node:
            while parent[node] is not node:
                parent[node] = parent[parent[node]]
                node = parent[node]
            return node

        for node in self.order:
            if node in self.skipped or node.origin is None:
                continue
            parent[node] = node
            for value in node.inputs:
                if value is not None and value.node in parent and self._is_one_layer(value.node.origin, node.origin):
                    parent[root(value.node)] = root(node)
        groups: dict[Node, list[Node]] = {}
        for node in parent:
            groups.setdefault(root(node), []).append(node)
        for nodes in groups.values():
            yield self._component(nodes)

    def _component(self, nodes: list[Node]) -> Component:
        inside = set(nodes)
        inputs = dict.fromkeys(
            value
            for node in nodes
            for value in node.inputs
            if value is not None and value.node not in inside and not isinstance(value.node.op, Constant)
        )
        return Component(nodes, list(inputs), self.is_foreign)

    def _is_one_layer(self, a: Origin | None, b: Origin | None) -> bool:
        """Whether two nodes are of one layer; files of others name an operator where kir's name the layer's class."""
        return a == b or (self.is_foreign and a is not None and b is not None and a.path == b.path)

    def _recognise(self, component: Component) -> Recognised | None:
        """The layer that gives nodes of a component as it is; if there is none, one that does once passes ran."""
        tried: list[tuple[Proposal, Layer, Graph]] = []
        for proposal in propose(component):
            try:
                tried.append((proposal, *self._traced(proposal)))
            except KirError:
                continue
            for graph in _plain_forms(tried[-1][2]):
                found = self._matched(*tried[-1][:2], graph)
                if found is not None:
                    return found
        for proposal, layer, traced in tried:
            if any(passes.run(traced, self.finished).values()):
                found = self._matched(proposal, layer, traced, is_optimised=True)
                if found is not None:
                    return found
        return None

    def _traced(self, proposal: Proposal) -> tuple[Layer, Graph]:
        """The layer with its weights, and what its call gives."""
        layer = proposal.layer
        graph = Graph()
        tracer = Tracer(graph, on_lost_mask="error")
        inputs = [tracer.add(Input(str(i), value.type))[0] for i, value in enumerate(proposal.inputs)]
        argument = inputs[0] if proposal.takes_one else inputs
        shapes = [tuple(x.shape) for x in inputs]
        layer.ensure_built(shapes[0] if proposal.takes_one else shapes)
        proposal.set_weights(layer)
        known = self.layers.get(layer.name)
        if known is not None and _is_same_layer(known, layer):
            layer = known
        elif known is not None:
            raise _TakenError(f"another layer is named {layer.name!r}")
        results = flatten(layer.trace(argument))
        for index, result in enumerate(results):
            graph.add(Output(str(index)), result.value)
        return layer, graph

    def _matched(
        self, proposal: Proposal, layer: Layer, traced: Graph, *, is_optimised: bool = False
    ) -> Recognised | None:
        """The nodes of this graph that are those of the trace; None if some are not there, or are read elsewhere."""
        matcher = _Matcher(self.graph, self.claimed, self.index, proposal.component)
        inputs = [node.output for node in traced.inputs]
        matcher.bound = dict(zip(inputs, proposal.inputs, strict=True))
        for node in traced.order():
            if not isinstance(node.op, Input | Constant | Output) and not matcher.match(node):
                return None
        if not matcher.nodes:
            return None
        results = [
            matcher.bound.get(value) for output in traced.outputs for value in output.inputs if value is not None
        ]
        if any(value is None for value in results):
            return None
        given = [value for value in results if value is not None]
        inside = set(matcher.nodes)
        for node in matcher.nodes:
            for value in node.outputs:
                outside = [use for use in self.graph.uses(value) if use.node not in inside and use.node in self.index]
                if outside and value not in given:
                    return None
        nodes = sorted(matcher.nodes, key=lambda node: self.index[node])
        outputs = list(dict.fromkeys(given))
        weights = list(dict.fromkeys(matcher.weights))
        self.layers.setdefault(layer.name, layer)
        return Recognised(
            layer, nodes, list(proposal.inputs), given, outputs, weights, proposal.takes_one, is_optimised
        )


class _TakenError(KirError):
    """The name belongs to a layer with other arguments or weights."""


class _Matcher:
    """Follows the nodes of a trace in the graph; `bound` says which value stands for which."""

    def __init__(self, graph: Graph, claimed: Set[Node], index: Mapping[Node, int], component: Component) -> None:
        self.graph = graph
        self.claimed = claimed
        self.index = index
        self.component = component
        self.bound: dict[Value, Value] = {}
        self.nodes: list[Node] = []
        self.weights: list[Value] = []

    def match(self, node: Node) -> bool:
        """Whether some node of the graph, of the same origin, does the same with the same values."""
        for candidate in self._candidates(node):
            if self._is_same(node, candidate):
                self.nodes.append(candidate)
                self.bound.update(zip(node.outputs, candidate.outputs, strict=True))
                self.weights += [
                    value
                    for value in candidate.inputs
                    if value is not None and isinstance(value.node.op, Constant) and value.node.op.label is not None
                ]
                return True
        return False

    def _candidates(self, node: Node) -> Iterator[Node]:
        for slot, value in enumerate(node.inputs):
            if value in self.bound:
                yield from (use.node for use in self.graph.uses(self.bound[value]) if use.slot == slot)
                return
        yield from (one for one in self.component.nodes if all(map(_is_constant_or_absent, one.inputs)))

    def _is_same(self, node: Node, candidate: Node) -> bool:
        is_free = candidate in self.index and candidate not in self.claimed and candidate not in self.nodes
        return (
            is_free
            and candidate.op == node.op
            and self._is_same_origin(node.origin, candidate.origin)
            and all(starmap(self._is_same_input, zip_longest(node.inputs, candidate.inputs)))
        )

    def _is_same_origin(self, made: Origin | None, found: Origin | None) -> bool:
        return made == found or self.component.is_foreign

    def _is_same_input(self, made: Value | None, found: Value | None) -> bool:
        if made is None or found is None:
            return made is found
        if made in self.bound:
            return self.bound[made] is found
        a, b = made.node.op, found.node.op
        if not isinstance(a, Constant) or not isinstance(b, Constant):
            return False
        return (a.label == b.label or self.component.is_foreign) and is_same_array(a.value.array, b.value.array)


def _plain_forms(traced: Graph) -> Iterator[Graph]:
    """What a call gives, as it is and with its activation in its Dense."""
    yield traced
    fused = traced.copy()
    if fuse_activations(fused):
        yield fused


def _is_constant_or_absent(value: Value | None) -> bool:
    return value is None or isinstance(value.node.op, Constant)


def _is_same_layer(a: Layer, b: Layer) -> bool:
    """Whether two layers have equal arguments and weights."""
    return (
        type(a) is type(b)
        and repr(a.get_config()) == repr(b.get_config())
        and len(a.weights) == len(b.weights)
        and all(
            x.shape == y.shape and is_same_array(x.array, y.array) for x, y in zip(a.weights, b.weights, strict=True)
        )
    )
