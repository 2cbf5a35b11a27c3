"""Which node of one graph is which of the other.

1. Inputs and outputs are given (`kir.modeling.comparison.signature`).
2. Each of `STRATEGIES`, strong evidence before weak, matches the nodes that are still alone and agree in what it looks
   at: if as many agree in both graphs, they are the same ones, in order.
3. From every pair the matching spreads to neighbours, past a single operator that differs; then come the strategies
   that know less, and it spreads again.
4. What is left of a layer, or between two pairs, was replaced: the operator itself changed.

Each step looks at every node and edge once: O(nodes + edges). Nothing is compared pair by pair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

from kir.ir.graph import Node
from kir.ir.structural import Constant, Input, Output
from kir.modeling.comparison.features import Evidence, Side, source

Strategy = Callable[[Side], tuple[Evidence, ...]]

# What Keras made up (dense_3) says little: it shifts when a layer is added in front. So structure comes before such
# names, and after names that somebody chose.
STRATEGIES: tuple[Strategy, ...] = (
    # With the numbers of the weights:
    lambda side: (side.layers, side.values),
    lambda side: (side.layers, side.futures),
    lambda side: (side.given_names, side.contents),
    lambda side: (side.values,),
    lambda side: (side.futures,),
    lambda side: (side.weights,),
)

# Retrained: with the types of the weights alone.
FORM_STRATEGIES: tuple[Strategy, ...] = (
    lambda side: (side.layers, side.value_forms),
    lambda side: (side.layers, side.future_forms),
    lambda side: (side.given_names, side.forms),
    lambda side: (side.given_names, side.kinds),
    lambda side: (side.value_forms,),
    lambda side: (side.future_forms,),
)

# After what the neighbours of pairs say: names that Keras made up, and what is left of a layer.
WEAK_STRATEGIES: tuple[Strategy, ...] = (
    lambda side: (side.layers, side.forms),
    lambda side: (side.layers, side.kinds),
)


class Matching:
    """Pairs of nodes: `partners` leads from either graph to the other."""

    def __init__(self, a: Side, b: Side, ends: Iterable[tuple[Node, Node]]) -> None:
        """Match what can be matched; see the module.

        Args:
            a: the first graph.
            b: the second.
            ends: the inputs and outputs that are the same.
        """
        self.a, self.b = a, b
        self.partners: dict[Node, Node] = {}
        for pair in ends:
            self._join(*pair)
        self._match_by_each(STRATEGIES)
        # An activation belongs to the weights in front of it, wherever chains of one form place it.
        self._spread(self._is_same_without_weights)
        self._match_by_each(FORM_STRATEGIES)
        self._spread(self._is_alike)
        self._match_by_each(WEAK_STRATEGIES)
        self._spread(self._is_alike)
        self._match_by(lambda side: (side.layers,))
        self._match_by(lambda side: (self._neighbours(side),))
        self._match_constants()

    def alone(self, side: Side) -> list[Node]:
        """Return the nodes of one graph that the other lacks, in order; no inputs, outputs and constants."""
        return [node for node in side.order if node not in self.partners and not isinstance(node.op, Input | Output)]

    def pairs(self) -> list[tuple[Node, Node]]:
        """Return the matched nodes, in the order of the first graph; no inputs and constants."""
        matched = (node for node in self.a.order if node in self.partners)
        return [(node, self.partners[node]) for node in matched if not isinstance(node.op, Input)]

    def _join(self, a: Node, b: Node) -> None:
        self.partners[a] = b
        self.partners[b] = a

    def _match_by_each(self, strategies: Iterable[Strategy]) -> None:
        for strategy in strategies:
            if not self._match_by(strategy):
                break

    def _match_by(self, strategy: Strategy) -> bool:
        """Match nodes that agree in all that a strategy looks at, and return whether both graphs have others left."""
        alone_a, alone_b = self.alone(self.a), self.alone(self.b)
        if not alone_a or not alone_b:
            return False
        groups_b = _groups(alone_b, strategy(self.b))
        for key, nodes in _groups(alone_a, strategy(self.a)).items():
            others = groups_b.get(key, ())
            if len(nodes) == len(others):
                for pair in zip(nodes, others, strict=True):
                    self._join(*pair)
        return True

    # Spreading

    def _spread(self, fits: Callable[[Node, Node], bool]) -> None:
        """Match neighbours of pairs that fit and stand in the same place, and theirs."""
        pending = deque((a, self.partners[a]) for a in self.a.order if a in self.partners)
        while pending:
            for a, b in self._candidates(*pending.popleft()):
                if a not in self.partners and b not in self.partners and fits(a, b):
                    self._join(a, b)
                    pending.append((a, b))

    def _candidates(self, a: Node, b: Node) -> Iterator[tuple[Node, Node]]:
        for value_a, value_b in zip(a.inputs, b.inputs, strict=False):
            read_a, read_b = source(value_a), source(value_b)
            if read_a is not None and read_b is not None:
                yield read_a, read_b
        readers_a, readers_b = self._places(self.a, a), self._places(self.b, b)
        for place, reader in readers_a.items():
            other = readers_b.get(place)
            if reader is not None and other is not None:
                yield reader, other
        yield from self._past_a_change(self._next(self.a, a), self._next(self.b, b))

    def _is_same_without_weights(self, a: Node, b: Node) -> bool:
        return self.a.operators[a] == self.b.operators[b] and self.a.weights[a] is self.b.weights[b] is None

    def _past_a_change(self, a: Node | None, b: Node | None) -> Iterator[tuple[Node, Node]]:
        """Look one node further where a chain goes on with another operator: added, removed, or replaced?"""
        if a is None or b is None or self._is_alike(a, b):
            return
        after_a, after_b = self._next(self.a, a), self._next(self.b, b)
        if after_b is not None and self._is_alike(a, after_b):
            yield a, after_b
        elif after_a is not None and self._is_alike(after_a, b):
            yield after_a, b
        elif after_a is not None and after_b is not None and self._is_alike(after_a, after_b):
            yield after_a, after_b

    def _next(self, side: Side, node: Node) -> Node | None:
        """Return the only reader of a node, if it is still alone."""
        readers = [reader.node for reader in side.readers[node][:2]]
        if len(readers) != 1 or readers[0] in self.partners or isinstance(readers[0].op, Output):
            return None
        return readers[0]

    def _is_alike(self, a: Node, b: Node) -> bool:
        return a.op.name == b.op.name and not isinstance(a.op, Input | Output)

    def _places(self, side: Side, node: Node) -> dict[Hashable, Node | None]:
        """Return the readers that are still alone, by how they read the node; None where several read it likewise."""
        found: dict[Hashable, Node | None] = {}
        for reader in side.readers[node]:
            if reader.node not in self.partners and not isinstance(reader.node.op, Output):
                place = (reader.node.op.name, reader.slot, reader.index)
                found[place] = None if place in found else reader.node
        return found

    # The rest

    def _neighbours(self, side: Side) -> Evidence:
        """Return the pairs that a node stands between; None if one of its neighbours is alone itself."""
        return {node: self._between(side, node) for node in self.alone(side)}

    def _between(self, side: Side, node: Node) -> Hashable | None:
        inputs = [one for one in map(source, node.inputs) if one is not None]
        readers = side.readers[node]
        if not readers or not all(one in self.partners for one in (*inputs, *(reader.node for reader in readers))):
            return None

        def number(one: Node) -> int:
            return id(one if side is self.a else self.partners[one])

        places = sorted((number(reader.node), reader.slot, reader.index) for reader in readers)
        return tuple(map(number, inputs)), tuple(places)

    def _match_constants(self) -> None:
        """Match each constant with the one that its reader's partner reads in the same slot; then by its name."""
        for a, b in self.pairs():
            for value_a, value_b in zip(a.inputs, b.inputs, strict=False):
                if value_a is not None and value_b is not None:
                    self._join_constants(value_a.node, value_b.node)
        named = {_label(node): node for node in self.b.constants if node not in self.partners}
        for node in self.a.constants:
            if node not in self.partners and _label(node) in named:
                self._join_constants(node, named[_label(node)])

    def _join_constants(self, a: Node, b: Node) -> None:
        are_constants = isinstance(a.op, Constant) and isinstance(b.op, Constant)
        if are_constants and a not in self.partners and b not in self.partners:
            self._join(a, b)


def _groups(nodes: Iterable[Node], evidence: tuple[Evidence, ...]) -> dict[Hashable, list[Node]]:
    """Group nodes by what is known about them, without those about which something is unknown."""
    groups: dict[Hashable, list[Node]] = {}
    for node in nodes:
        key = tuple([known[node] for known in evidence])
        if None not in key:
            groups.setdefault(key, []).append(node)
    return groups


def _label(node: Node) -> Hashable:
    assert isinstance(node.op, Constant)
    return node.op.label or node


def resolve(side: Side, partners: Mapping[Node, Node]) -> dict[Node, Node]:
    """Return for each node the one that stands for it once those that the other graph lacks are taken out.

    A node that is alone gives its place to the first one that it reads.
    """
    found: dict[Node, Node] = {}
    for node in side.order:
        inputs = [source(value) for value in node.inputs]
        first = next((one for one in inputs if one is not None), None)
        found[node] = node if node in partners or first is None else found[first]
    return found
