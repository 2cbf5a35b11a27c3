"""Operators: which both graphs have, which one has alone, and what differs in those that both have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kir.ir.graph import Node, Value, format_operator
from kir.ir.op import Inner, format_attribute, input_names
from kir.ir.structural import Constant, Input, Output
from kir.modeling.comparison.features import Side, source
from kir.modeling.comparison.matching import Matching, resolve
from kir.ops.elementwise import COMMUTATIVE

OPERATOR = "operator"  # what a change is called in which a node computes something else altogether


@dataclass(frozen=True)
class Change:
    """One thing about a node: an attribute, the operator itself, or what an input reads."""

    what: str
    a: str
    b: str


@dataclass(frozen=True)
class NodeChange:
    """The differences in a node that both graphs have; a place is the layer's path and the operator."""

    place_a: str
    place_b: str
    layer: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Part:
    """Nodes of one graph that the other lacks: those of one layer, or a single node that belongs to none.

    `whole`: the other graph has nothing of the layer. `operators` are in order, `after` says what they read,
    by layer.
    """

    place: str
    layer: str
    whole: bool
    operators: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class Renaming:
    """A layer, or a weight, that is called otherwise; `nodes` counts what belongs to it."""

    a: str
    b: str
    nodes: int


@dataclass(frozen=True)
class Structure:
    """What differs between two graphs of operators. `same` counts the nodes in which nothing does; names aside."""

    same: int
    changed: tuple[NodeChange, ...]
    added: tuple[Part, ...]
    removed: tuple[Part, ...]
    renamed: tuple[Renaming, ...]

    @property
    def differs(self) -> bool:
        """Whether anything but names does."""
        return bool(self.changed or self.added or self.removed)


def compare_structures(matchings: Mapping[str, Matching]) -> Structure:
    """Compare the structure of matched graphs, given by what their places begin with. O(nodes + edges)."""
    found = [_at(place, _compare(matching)) for place, matching in matchings.items()]
    return Structure(
        sum(one.same for one in found),
        tuple(change for one in found for change in one.changed),
        tuple(part for one in found for part in one.added),
        tuple(part for one in found for part in one.removed),
        tuple(renaming for one in found for renaming in one.renamed),
    )


def _at(place: str, found: Structure) -> Structure:
    """Return what was found inside an operator with the place of that; all of a graph itself stays as it is."""
    if not place:
        return found

    def moved(part: Part) -> Part:
        return replace(part, place=place + (part.layer or part.place), layer="")

    return Structure(
        found.same,
        tuple(replace(one, place_a=place + one.place_a, place_b=place + one.place_b) for one in found.changed),
        tuple(map(moved, found.added)),
        tuple(map(moved, found.removed)),
        tuple(replace(one, a=place + one.a, b=place + one.b) for one in found.renamed),
    )


def _compare(matching: Matching) -> Structure:
    rewired = _Rewiring(matching)
    changed: list[NodeChange] = []
    same = 0
    for a, b in matching.pairs():
        changes = (*_operator_changes(a, b), *rewired.changes(a, b))
        same += not changes and not isinstance(a.op, Output)
        if changes:
            changed.append(NodeChange(place_of(a), place_of(b), layer_of(a), changes))
    return Structure(
        same, tuple(changed), _parts(matching, matching.b), _parts(matching, matching.a), _renamings(matching)
    )


# Names of places


def place_of(node: Node) -> str:
    """Return how a person would point to a node: "dense_1/Dense", "input x", "dense/kernel"."""
    if isinstance(node.op, Input):
        return f"input {node.op.label}"
    if isinstance(node.op, Output):
        return f"output {node.op.label}"
    if isinstance(node.op, Constant) and node.op.label:
        return node.op.label
    name = "constant" if isinstance(node.op, Constant) else node.op.name
    return f"{node.origin.path}/{name}" if node.origin else name


def layer_of(node: Node) -> str:
    """Return the path of the layer of a node, and its class; nothing if it has none."""
    return str(node.origin) if node.origin else ""


# Changes


def _operator_changes(a: Node, b: Node) -> Iterator[Change]:
    if isinstance(a.op, Output) or a.op == b.op:
        return
    if type(a.op) is not type(b.op):
        yield Change(OPERATOR, str(a.op), str(b.op))
        return
    others = b.op.attributes()
    for name, value in a.op.attributes().items():
        if value != others[name] and not isinstance(value, Inner):  # those have matchings of their own
            yield Change(name, format_attribute(value), format_attribute(others[name]))


class _Rewiring:
    """Says which inputs of a pair read other nodes, apart from what follows from nodes that one graph has alone."""

    def __init__(self, matching: Matching) -> None:
        self.partners = matching.partners
        self.in_a = resolve(matching.a, matching.partners)
        self.in_b = resolve(matching.b, matching.partners)

    def changes(self, a: Node, b: Node) -> list[Change]:
        """The inputs that differ, by name."""
        if type(a.op) is not type(b.op) and len(a.inputs) != len(b.inputs):
            return []
        if type(a.op) in COMMUTATIVE and self._same(a.inputs[0], b.inputs[1]) and self._same(a.inputs[1], b.inputs[0]):
            return []
        names = input_names(type(a.op))
        found: list[Change] = []
        for slot in range(max(len(a.inputs), len(b.inputs))):
            read_a, read_b = _input(a, slot), _input(b, slot)
            if not self._same(read_a, read_b):
                name = names[min(slot, len(names) - 1)]
                name = f"{name[1:]} {slot}" if name.startswith("*") else name
                found.append(Change(f"input {name}", _read_text(read_a), _read_text(read_b)))
        return found

    def _same(self, a: Value | None, b: Value | None) -> bool:
        if a is None or b is None:
            return a is b
        read_a, read_b = source(a), source(b)
        if read_a is None or read_b is None:
            return read_a is read_b and self.partners.get(a.node) is b.node
        last_a, last_b = self.in_a[read_a], self.in_b[read_b]
        passed = last_a is not read_a or last_b is not read_b
        if last_a in self.partners and last_b in self.partners:
            return self.partners[last_a] is last_b and (passed or a.index == b.index)
        return last_a not in self.partners and last_b not in self.partners


def _input(node: Node, slot: int) -> Value | None:
    return node.inputs[slot] if slot < len(node.inputs) else None


def _read_text(value: Value | None) -> str:
    if value is None:
        return "nothing"
    return place_of(value.node) + (f" output {value.index}" if value.index else "")


# Parts


def _parts(matching: Matching, side: Side) -> tuple[Part, ...]:
    """Return what one graph has and the other lacks, by layer."""
    shared = {node.origin.path for node in side.order if node in matching.partners and node.origin}
    groups: dict[object, list[Node]] = {}
    for node in matching.alone(side):
        groups.setdefault(node.origin.path if node.origin else node, []).append(node)
    return tuple(_part(nodes, key not in shared) for key, nodes in groups.items())


def _part(nodes: Sequence[Node], whole: bool) -> Part:
    place = _path(nodes[0])
    read = (source(value) for node in nodes for value in node.inputs)
    names = [node.origin.path if node.origin else place_of(node) for node in read if node is not None]
    after = dict.fromkeys(name for name in names if name != place or nodes[0].origin is None)
    return Part(place, layer_of(nodes[0]), whole, tuple(format_operator(node) for node in nodes), tuple(after))


# Names


def _renamings(matching: Matching) -> tuple[Renaming, ...]:
    """Return layers that are called otherwise, then weights whose new name does not follow from their layer's."""
    names = Counter(
        (_path(a), _path(b)) for a, b in matching.pairs() if _path(a) != _path(b) and not isinstance(a.op, Output)
    )
    for a in matching.a.constants:
        b = matching.partners.get(a)
        if b is not None and _own_label(a) != _own_label(b):
            names[(place_of(a), place_of(b))] += 1
    return tuple(Renaming(a, b, count) for (a, b), count in names.items())


def _path(node: Node) -> str:
    return node.origin.path if node.origin else node.op.name


def _own_label(node: Node) -> str | None:
    """Return the label of a constant without the path of its layer."""
    assert isinstance(node.op, Constant)
    label = node.op.label
    return label if label is None or node.origin is None else label.removeprefix(f"{node.origin.path}/")


def count_operators(operators: Sequence[str]) -> Mapping[str, int]:
    """Count the nodes of each operator, the most frequent first."""
    return dict(Counter(text.partition("(")[0] for text in operators).most_common())
