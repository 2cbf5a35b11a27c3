"""What a node looks like to the matching: its layer, its operator, what it computes from, what becomes of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kir.ir.graph import Graph, Node, Origin, Value
from kir.ir.op import Array
from kir.ir.structural import MAX_COMPARED_BYTES, Constant
from kir.ops.elementwise import COMMUTATIVE
from kir.support.naming import is_automatic_name

Evidence = Mapping[Node, Hashable | None]
Numbers = dict[Node, int]

# How many elements of a large weight its fingerprint looks at: trained weights that agree in so many are the same
# weight, and a mapped file is not read for it. Whether all elements agree is for `weights` to say.
SAMPLES = 64


class Numbering:
    """Gives every distinct key a number, so that equal keys of both graphs compare, and hash, as integers do."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def __call__(self, *key: Hashable) -> int:
        return self._numbers.setdefault(key, len(self._numbers))


@dataclass(frozen=True, slots=True)
class Reader:
    """A place that reads a node: input slot and which output it reads."""

    node: Node
    slot: int
    index: int


class Side:
    """One of the two graphs, with the evidence about each of its nodes, found when it is asked for. O(nodes + edges).

    `order` leaves constants out. Numbers are equal, in both graphs, where the things are.
    """

    def __init__(self, graph: Graph, ends: Mapping[Node, Hashable], number: Numbering) -> None:
        """Look at every live node.

        Args:
            graph: what to look at; it must not be edited while this is used.
            ends: what inputs and outputs count as: equal for those that are the same in both graphs.
            number: the numbering that both sides share.
        """
        live = graph.order()
        self.graph = graph
        self.order = [node for node in live if not isinstance(node.op, Constant)]
        self.constants = [node for node in live if isinstance(node.op, Constant)]
        self.readers: dict[Node, list[Reader]] = {node: [] for node in live}
        for node in self.order:
            for slot, value in enumerate(node.inputs):
                if value is not None:
                    self.readers[value.node].append(Reader(node, slot, value.index))
        self._ends = ends
        self._number = number

    # Names

    @cached_property
    def layers(self) -> Evidence:
        """The path of the layer that a node comes from."""
        return {node: node.origin.path if node.origin else None for node in self.order}

    @cached_property
    def given_names(self) -> Evidence:
        """That path, if somebody chose its last name."""
        return {node: node.origin.path if node.origin and _is_given(node.origin) else None for node in self.order}

    @cached_property
    def kinds(self) -> Evidence:
        """The operator's class."""
        return {node: node.op.name for node in self.order}

    # What a node is

    @cached_property
    def operators(self) -> Numbers:
        """The operator with its attributes."""
        return {node: self._number("operator", self._ends.get(node, node.op)) for node in self.order}

    @cached_property
    def forms(self) -> Numbers:
        """The operator, and the types of the weights that it reads."""
        return self._with_weights(self._types)

    @cached_property
    def contents(self) -> Numbers:
        """The operator, and a fingerprint of the weights that it reads."""
        return self._with_weights(self._fingerprints)

    @cached_property
    def weights(self) -> Evidence:
        """`contents` of nodes that read weights."""
        return {node: number if number != self.operators[node] else None for node, number in self.contents.items()}

    # What it is computed from, and what becomes of it

    @cached_property
    def values(self) -> Numbers:
        """Everything that the result is computed from."""
        return self._values(self._fingerprints)

    @cached_property
    def value_forms(self) -> Numbers:
        """The same without the numbers of weights."""
        return self._values(self._types)

    @cached_property
    def futures(self) -> Numbers:
        """Everything that becomes of the result."""
        return self._futures(self.contents)

    @cached_property
    def future_forms(self) -> Numbers:
        """The same without the numbers of weights."""
        return self._futures(self.forms)

    @cached_property
    def _types(self) -> Numbers:
        return {node: self._number("type", node.output.type) for node in self.constants}

    @cached_property
    def _fingerprints(self) -> Numbers:
        return {node: self._number("content", self._types[node], fingerprint(node)) for node in self.constants}

    def _with_weights(self, weights: Numbers) -> Numbers:
        """Return each operator together with the constants that it reads, by slot."""
        found: Numbers = {}
        for node in self.order:
            read = tuple(
                (slot, weights[value.node])
                for slot, value in enumerate(node.inputs)
                if value is not None and value.node in weights
            )
            operator = self.operators[node]
            found[node] = self._number("with weights", operator, read) if read else operator
        return found

    def _values(self, weights: Numbers) -> Numbers:
        """Return what each node computes: its operator of what its inputs compute."""
        found = dict(weights)
        for node in self.order:
            read = [(-1, -1) if value is None else (found[value.node], value.index) for value in node.inputs]
            if type(node.op) in COMMUTATIVE:
                read.sort()
            found[node] = self._number("value", self.operators[node], tuple(read))
        return found

    def _futures(self, operators: Numbers) -> Numbers:
        """Return what becomes of each node: its operator, and the futures of what reads it."""
        found: Numbers = {}
        for node in reversed(self.order):
            read = sorted(
                (found[reader.node], 0 if type(reader.node.op) in COMMUTATIVE else reader.slot, reader.index)
                for reader in self.readers[node]
            )
            found[node] = self._number("future", operators[node], tuple(read))
        return found


def fingerprint(node: Node) -> Hashable:
    """Return the content of a constant if it is small, else a sample of it."""
    assert isinstance(node.op, Constant)
    array = node.op.value.array
    if array.nbytes <= MAX_COMPARED_BYTES:
        return node.op.value
    return _content(array[np.unravel_index(np.linspace(0, array.size - 1, SAMPLES, dtype=np.int64), array.shape)])


def _content(array: Array) -> Hashable:
    return tuple(array.tolist()) if array.dtype == object else array.tobytes()


def _is_given(origin: Origin) -> bool:
    return not is_automatic_name(origin.path.rpartition("/")[2], origin.layer)


def source(value: Value | None) -> Node | None:
    """Return the node that computes a value; None for an absent input and for a constant."""
    return None if value is None or isinstance(value.node.op, Constant) else value.node
