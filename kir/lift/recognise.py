"""Layers in a graph: which nodes are what one call of a layer does.

Nothing is concluded from a likeness. A layer is proposed for the nodes of one origin, with its arguments read from
their operators; it is called on tensors of the types at hand; and only if that gives these very nodes, with the same
origin, constants and labels, they are its. In a graph that passes went through, they may go through those first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import starmap, zip_longest

from networkx.utils import UnionFind

from kir import passes
from kir.errors import KirError
from kir.ir.graph import Graph, Node, Origin, Value
from kir.ir.structural import Constant, Input, Output
from kir.ir.trace import Tracer
from kir.lift.arrays import is_same_array
from kir.lift.components import Component, Guess, inputs_of
from kir.lift.proposals import propose
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
    guess: Guess
    nodes: list[Node]
    results: list[Value]
    weights: list[Value]
    is_optimised: bool

    @property
    def outputs(self) -> list[Value]:
        """The results, each once."""
        return list(dict.fromkeys(self.results))


def recognise(
    graph: Graph, skipped: Set[Node] = frozenset(), is_foreign: bool = False, finished: Sequence[Pass] = ()
) -> list[Recognised]:
    """Return the calls of layers in a graph, in the order of their first nodes.

    O(nodes), but for the few proposals that are tried for each layer.

    Args:
        skipped: nodes that are no layer's.
        is_foreign: whether the nodes name operators and no layers.
        finished: the passes that the graph went through.
    """
    recogniser = _Recogniser(graph, skipped, is_foreign, finished)
    return recogniser.without_conflicts(list(recogniser.calls()))


class _Recogniser:
    def __init__(self, graph: Graph, skipped: Set[Node], is_foreign: bool, finished: Sequence[Pass]) -> None:
        self.graph = graph
        self.skipped = skipped
        self.is_foreign = is_foreign
        self.finished = finished
        self.index = {node: index for index, node in enumerate(graph.order())}
        self.claimed: set[Node] = set()
        self.layers: dict[str, Layer] = {}

    def calls(self) -> Iterator[Recognised]:
        """Yield the calls of layers, each for itself."""
        for component in self._components():
            while component.nodes and (found := self._recognise(component)) is not None:
                self.claimed.update(found.nodes)
                yield found
                component = self._component([node for node in component.nodes if node not in self.claimed])

    # Components

    def _components(self) -> Iterator[Component]:
        """Yield the nodes of one origin that hang together, in order."""
        groups: UnionFind[Node] = UnionFind()
        nodes = [
            node
            for node in self.index
            if not isinstance(node.op, Input | Output | Constant) and node not in self.skipped and node.origin
        ]
        for node in nodes:
            for value in inputs_of(node):
                if value.node in groups.parents and self._is_one_layer(value.node.origin, node.origin):
                    groups.union(node, value.node)
            groups[node]
        members: dict[Node, list[Node]] = {}
        for node in nodes:
            members.setdefault(groups[node], []).append(node)
        yield from map(self._component, members.values())

    def _component(self, nodes: list[Node]) -> Component:
        inside = set(nodes)
        inputs = dict.fromkeys(value for node in nodes for value in inputs_of(node) if value.node not in inside)
        return Component(nodes, list(inputs), self.is_foreign)

    def _is_one_layer(self, a: Origin | None, b: Origin | None) -> bool:
        """Return whether two nodes are of one layer.

        Files of others name an operator where kir's name the layer's class.
        """
        return a == b or (self.is_foreign and a is not None and b is not None and a.path == b.path)

    # Trying

    def _recognise(self, component: Component) -> Recognised | None:
        """Return the layer that gives nodes of a component as it is; if there is none, one that does after passes."""
        tried: list[tuple[Layer, Guess, Graph]] = []
        for proposed, guess in propose(component):
            try:
                layer, traced = self._traced(proposed, guess)
            except KirError:
                continue
            tried.append((layer, guess, traced))
            for form in _plain_forms(traced):
                if (found := self._matched(component, layer, guess, form)) is not None:
                    return found
        for layer, guess, traced in tried:
            if any(passes.run(traced, self.finished).values()):
                found = self._matched(component, layer, guess, traced, is_optimised=True)
                if found is not None:
                    return found
        return None

    def _traced(self, layer: Layer, guess: Guess) -> tuple[Layer, Graph]:
        """Return the layer with its weights, and what its call gives.

        Raises:
            KirError: it cannot be called so, or another layer has its name.
        """
        graph = Graph()
        tracer = Tracer(graph, on_lost_mask="error")
        inputs = [tracer.add(Input(str(i), value.type))[0] for i, value in enumerate(guess.values)]
        layer.ensure_built(guess.argument([tuple(x.shape) for x in inputs]))
        guess.set_weights(layer)
        known = self.layers.get(layer.name, layer)
        if known is not layer and not _is_same_layer(known, layer):
            raise KirError(f"another layer is named {layer.name!r}")
        results = flatten(known.trace(guess.argument(inputs)))
        for index, result in enumerate(results):
            graph.add(Output(str(index)), result.value)
        return known, graph

    def _matched(
        self, component: Component, layer: Layer, guess: Guess, traced: Graph, *, is_optimised: bool = False
    ) -> Recognised | None:
        """Return the nodes of this graph that are those of the trace; None if some are not there, or read elsewhere."""
        matcher = _Matcher(self.graph, self.claimed, self.index, component)
        matcher.bound = dict(zip([node.output for node in traced.inputs], guess.values, strict=True))
        for node in traced.order():
            if not isinstance(node.op, Input | Constant | Output) and not matcher.match(node):
                return None
        given = [value for output in traced.outputs for value in output.inputs if value is not None]
        results = [matcher.bound[value] for value in given if value in matcher.bound]
        if not matcher.nodes or len(results) < len(given) or self._is_read_inside(matcher.nodes, results):
            return None
        nodes = sorted(matcher.nodes, key=self.index.__getitem__)
        self.layers.setdefault(layer.name, layer)
        weights = list(dict.fromkeys(matcher.weights))
        return Recognised(layer, guess, nodes, results, weights, is_optimised)

    def _is_read_inside(self, nodes: Sequence[Node], results: Sequence[Value]) -> bool:
        """Return whether others read what nodes give beside their results."""
        inside = set(nodes)
        return any(
            use.node not in inside and use.node in self.index
            for node in nodes
            for value in node.outputs
            if value not in results
            for use in self.graph.uses(value)
        )

    # Conflicts

    def without_conflicts(self, calls: list[Recognised]) -> list[Recognised]:
        """Return the calls that can be: whose outputs come last, and whose weights nobody else reads."""
        while True:
            owner = {node: call for call in calls for node in call.nodes}
            kept = [call for call in calls if self._is_in_order(call, owner) and self._owns_weights(call, owner)]
            if len(kept) == len(calls):
                return kept
            calls = kept

    def _is_in_order(self, call: Recognised, owner: Mapping[Node, Recognised]) -> bool:
        """Return whether everything that reads an output of a call comes after all of its nodes."""
        last = self.index[call.nodes[-1]]
        for value in call.outputs:
            for use in self.graph.uses(value):
                reader = owner.get(use.node)
                place = self.index.get(use.node if reader is None else reader.nodes[-1], last + 1)
                if reader is not call and place <= last:
                    return False
        return True

    def _owns_weights(self, call: Recognised, owner: Mapping[Node, Recognised]) -> bool:
        """Return whether all readers of its weights are calls of the same layer."""
        return all(
            use.node in owner and owner[use.node].layer is call.layer
            for constant in call.weights
            for use in self.graph.uses(constant)
            if use.node in self.index
        )


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
        """Return whether some node of the graph, of the same origin, does the same with the same values."""
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
        yield from (one for one in self.component.nodes if not inputs_of(one))

    def _is_same(self, node: Node, candidate: Node) -> bool:
        is_free = candidate in self.index and candidate not in self.claimed and candidate not in self.nodes
        return (
            is_free
            and candidate.op == node.op
            and (candidate.origin == node.origin or self.component.is_foreign)
            and all(starmap(self._is_same_input, zip_longest(node.inputs, candidate.inputs)))
        )

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
    """Yield what a call gives, as it is and with its activation in its Dense."""
    yield traced
    fused = traced.copy()
    if fuse_activations(fused):
        yield fused


def _is_same_layer(a: Layer, b: Layer) -> bool:
    return (
        type(a) is type(b)
        and repr(a.get_config()) == repr(b.get_config())
        and len(a.weights) == len(b.weights)
        and all(
            x.shape == y.shape and is_same_array(x.array, y.array) for x, y in zip(a.weights, b.weights, strict=True)
        )
    )
