"""Inputs, outputs and metadata: which are the same, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kir.ir.dims import Dim, Sym
from kir.ir.graph import Graph, Node, format_content
from kir.ir.structural import Data, Input, Output
from kir.ir.types import TensorType
from kir.numerics.inputs import input_symbols


@dataclass(frozen=True)
class End:
    """One input or output: its name, its type and, of an input that has one, its default."""

    name: str
    type: TensorType
    default: Data | None = None

    @property
    def content(self) -> str:
        """The type and the default as text."""
        return str(self.type) if self.default is None else f"{self.type} = {format_content(self.default)}"


@dataclass(frozen=True)
class SignatureChange:
    """An input, an output or an entry of the metadata that differs: its name, and its type or content, in each model.

    Both are None for a model that has none.
    """

    role: str
    name_a: str | None
    name_b: str | None
    a: str | None
    b: str | None


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of both models. Names of sizes do not count; metadata counts when asked for.

    `inputs` and `outputs` map the names of the first model to those of the second, for what both have.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    changes: tuple[SignatureChange, ...]
    is_compatible: bool


def ends_of(nodes: Sequence[Node]) -> list[End]:
    """Return the types of inputs or outputs by their names."""
    ends: list[End] = []
    for node in nodes:
        if isinstance(node.op, Input):
            ends.append(End(node.op.label, node.op.type, node.op.default))
        elif isinstance(node.op, Output):
            ends.append(End(node.op.label, node.output.type))
    return ends


def pair_ends(a: Sequence[End], b: Sequence[End]) -> dict[str, str]:
    """Pair ends by name; then those of one type, in order; then, if as many are left on both sides, in order."""
    names = {end.name for end in b}
    pairs = {end.name: end.name for end in a if end.name in names}
    left_a, left_b = [end for end in a if end.name not in pairs], [end for end in b if end.name not in pairs]
    waiting: dict[TensorType, list[End]] = {}
    for end in reversed(left_b):
        waiting.setdefault(end.type, []).append(end)
    for end in left_a:
        if waiting.get(end.type):
            pairs[end.name] = waiting[end.type].pop().name
    taken = set(pairs.values())
    left_a, left_b = [end for end in left_a if end.name not in pairs], [end for end in left_b if end.name not in taken]
    if len(left_a) == len(left_b):
        pairs |= {end.name: other.name for end, other in zip(left_a, left_b, strict=True)}
    return pairs


def with_sizes_of(a: Graph, b: Graph) -> Graph:
    """Return the second graph with the first one's names for the sizes of its inputs, so that equal sizes are equal."""
    ends = {end.name: end for end in ends_of(b.inputs)}
    pairs = pair_ends(ends_of(a.inputs), list(ends.values()))
    names: dict[str, Dim] = {}
    for end in ends_of(a.inputs):
        other = ends.get(pairs.get(end.name, ""))
        for size, called in zip(end.type.shape, () if other is None else other.type.shape, strict=False):
            if isinstance(size, Sym) and isinstance(called, Sym) and size.name and called.name:
                names.setdefault(called.name, size)
    # A name that is taken by another size, of an input that only the second has, would make two sizes one.
    taken = set(input_symbols(b)) - names.keys()
    names = {name: size for name, size in names.items() if str(size) != name and str(size) not in taken}
    return b.specialize(names) if names else b


def compare_signatures(a: Graph, b: Graph, metadata: bool) -> Signature:
    """Compare signatures; `b` has the first graph's names for sizes (`with_sizes_of`)."""
    inputs, outputs = pair_ends(ends_of(a.inputs), ends_of(b.inputs)), pair_ends(ends_of(a.outputs), ends_of(b.outputs))
    changes = [
        *_end_changes("input", ends_of(a.inputs), ends_of(b.inputs), inputs),
        *_end_changes("output", ends_of(a.outputs), ends_of(b.outputs), outputs),
    ]
    compatible = _fit(ends_of(a.inputs), ends_of(b.inputs), inputs)
    compatible = compatible and _fit(ends_of(a.outputs), ends_of(b.outputs), outputs)
    if metadata:
        changes += _metadata_changes(a.metadata, b.metadata)
    return Signature(inputs, outputs, tuple(changes), compatible)


def _end_changes(role: str, a: Sequence[End], b: Sequence[End], pairs: Mapping[str, str]) -> list[SignatureChange]:
    ends = {end.name: end for end in b}
    changes: list[SignatureChange] = []
    for end in a:
        other = ends.pop(pairs.get(end.name, ""), None)
        if end != other:
            name = None if other is None else other.name
            changes.append(SignatureChange(role, end.name, name, end.content, None if other is None else other.content))
    return changes + [SignatureChange(role, None, end.name, None, end.content) for end in ends.values()]


def _fit(a: Sequence[End], b: Sequence[End], pairs: Mapping[str, str]) -> bool:
    """Return whether arrays for the ones are arrays for the others."""
    types = {end.name: end.type for end in b}
    same = all(types.get(pairs.get(end.name, "")) == end.type for end in a)
    return same and len(a) == len(b)


def _metadata_changes(a: Mapping[str, str], b: Mapping[str, str]) -> Iterable[SignatureChange]:
    keys = [key for key in dict.fromkeys((*a, *b)) if a.get(key) != b.get(key)]
    return [
        SignatureChange("metadata", key if key in a else None, key if key in b else None, a.get(key), b.get(key))
        for key in keys
    ]
