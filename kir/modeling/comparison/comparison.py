"""The whole comparison: what `kir diff` and `kir.compare` do."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kir import passes
from kir.ir.body import Body
from kir.ir.graph import Graph, Node
from kir.ir.structural import Input, Output
from kir.modeling.comparison.features import Numbering, Side
from kir.modeling.comparison.matching import Matching
from kir.modeling.comparison.numbers import Numbers, compare_numbers
from kir.modeling.comparison.signature import Signature, compare_signatures, with_sizes_of
from kir.modeling.comparison.structure import Structure, compare_structures, place_of
from kir.modeling.comparison.weights import OwnWeight, WeightChange, Weights, compare_weights
from kir.modeling.model import Model
from kir.numerics.report import json_number
from kir.ops.attention import Attention
from kir.support.garbage_collection import without_garbage_collection
from kir.support.naming import Names
from kir.support.text import ShownAsText

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Comparison(ShownAsText):
    """The differences of two models.

    `level` is that of the passes that ran on both graphs before. `random_weights` are those of `Provenance`.
    """

    level: int
    signature: Signature
    structure: Structure
    weights: Weights
    numbers: Numbers
    random_weights: tuple[str, str] = ("", "")

    @property
    def differences(self) -> tuple[str, ...]:
        """Which of "signature", "structure", "weights" and "numbers" differ. Names inside the graphs do not count."""
        found = {
            "signature": bool(self.signature.changes),
            "structure": self.structure.differs,
            "weights": self.weights.differs,
            "numbers": self.numbers.differs,
        }
        return tuple(name for name, differs in found.items() if differs)

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def __repr__(self) -> str:
        return f"<Comparison: {'no differences' if self.same else 'differs in ' + ', '.join(self.differences)}>"

    def __str__(self) -> str:
        from kir.modeling.comparison.text import describe

        return "\n".join(describe(self, ("a", "b")))

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; infinities and NaN as text."""
        signature, structure, weights = self.signature, self.structure, self.weights
        return {
            "same": self.same,
            "differences": list(self.differences),
            "level": self.level,
            "signature": {
                "inputs": dict(signature.inputs),
                "outputs": dict(signature.outputs),
                "compatible": signature.is_compatible,
                "changes": [asdict(change) for change in signature.changes],
            },
            "structure": asdict(structure),
            "weights": {
                "equal": weights.equal,
                "rounding_only": weights.is_rounding,
                "changed": [_change_json(change) for change in weights.changed],
                "added": [_own_json(weight) for weight in weights.added],
                "removed": [_own_json(weight) for weight in weights.removed],
            },
            "numbers": self.numbers.to_json(),
            "random_weights": [text or None for text in self.random_weights],
        }


def compare(
    a: Model | Graph, b: Model | Graph, *, level: int | None = None, run: bool = True, seed: int = 0
) -> Comparison:
    """Compare two models, or graphs, such as `kir.load` reads.

    Args:
        a: the first.
        b: the second.
        level: of the passes to run on both graphs before they are compared; by default see `default_level`.
        run: also compare what they compute from random inputs.
        seed: of the random inputs.

    Raises:
        InvalidArgumentError: the level is not 0, 1 or 2.
    """
    graphs = [subject.to_graph() if isinstance(subject, Model) else subject for subject in (a, b)]
    metadata = not isinstance(a, Model) and not isinstance(b, Model)
    level = default_level(a, b) if level is None else level
    return compare_graphs(*graphs, level=level, metadata=metadata, run=run, seed=seed)


def default_level(a: Model | Graph, b: Model | Graph) -> int:
    """Return the level of the passes to run before a comparison.

    All run if one side is made of layers and the other may have been exported from such. None run if both are of one
    kind, so that nothing is hidden.
    """
    return 0 if isinstance(a, Model) is isinstance(b, Model) else passes.DEFAULT_LEVEL


def compare_graphs(
    a: Graph,
    b: Graph,
    *,
    level: int = 0,
    training: bool = False,
    metadata: bool = True,
    run: bool = True,
    seed: int = 0,
    progress: Progress = lambda stage: None,
) -> Comparison:
    """Compare two graphs; neither is changed. Near-linear in their nodes, whose weights are read once.

    Numbers are those of the graphs as they are given. Graphs in which nothing differs are not run: they compute the
    same.

    Args:
        a: the first graph.
        b: the second graph.
        level: of the passes to run on copies of both, before structure and weights are compared.
        training: leave out passes that put weights together.
        metadata: whether metadata counts.
        run: compare numbers.
        seed: of the random inputs.
        progress: told the name of each stage as it begins.

    Raises:
        InvalidArgumentError: the level is not 0, 1 or 2.
    """
    b = with_sizes_of(a, b)
    signature = compare_signatures(a, b, metadata)
    # What a file of a new opset has as one operator is one on both sides.
    opset = max(p.opset for p in passes.PASSES) if a.has_any(Attention) or b.has_any(Attention) else None
    chosen = passes.pipeline(level, training, opset)
    progress("matching nodes")
    with without_garbage_collection():
        matching = _match(_optimized(a, chosen), _optimized(b, chosen), signature)
        matchings = _with_inside(matching)
        structure = compare_structures(matchings)
    progress("comparing weights")
    weights = compare_weights(matchings)
    if not run:
        numbers = Numbers(reason="not run, as asked")
    elif not (structure.differs or weights.differs or any(change.role != "metadata" for change in signature.changes)):
        numbers = Numbers(reason="not run: equal graphs with equal weights compute the same")
    else:
        progress("running both")
        numbers = compare_numbers(a, b, signature, seed)
    random = a.provenance.random_weights, b.provenance.random_weights
    return Comparison(level, signature, structure, weights, numbers, random)


def _optimized(graph: Graph, chosen: tuple[passes.Pass, ...]) -> Graph:
    if not chosen:
        return graph
    graph = graph.copy()
    passes.run(graph, chosen)
    return graph


def _match(a: Graph, b: Graph, signature: Signature) -> Matching:
    ends = [
        *_end_pairs(a.inputs, b.inputs, signature.inputs),
        *_end_pairs(a.outputs, b.outputs, signature.outputs),
    ]
    kinds_a: dict[Node, Hashable] = {node: ("alone in a", node.op) for node in (*a.inputs, *a.outputs)}
    kinds_b: dict[Node, Hashable] = {node: ("alone in b", node.op) for node in (*b.inputs, *b.outputs)}
    for place, (end_a, end_b) in enumerate(ends):
        kinds_a[end_a] = kinds_b[end_b] = place
    number = Numbering()
    return Matching(Side(a, kinds_a, number), Side(b, kinds_b, number), ends)


def _with_inside(whole: Matching) -> dict[str, Matching]:
    """Return a matching of graphs with those of the graphs inside matched operators, by what their places begin with.

    Inputs and outputs of graphs inside are known by their places.
    """
    found: dict[str, Matching] = {}
    names = Names()
    pending = [("", whole)]
    while pending:
        place, matching = pending.pop()
        found[place] = matching
        for a, b in matching.pairs():
            if type(a.op) is type(b.op) and a.op.bodies():
                here = names.unique(f"{place}{place_of(a)}")
                pending += [(f"{here}/{name}/", _match_bodies(*bodies)) for name, *bodies in _bodies(a, b)]
    return found


def _bodies(a: Node, b: Node) -> Iterator[tuple[str, Graph, Graph]]:
    others = b.op.attributes()
    for name, value in a.op.attributes().items():
        if isinstance(value, Body):
            yield name, value.graph, others[name].graph


def _match_bodies(a: Graph, b: Graph) -> Matching:
    b = with_sizes_of(a, b)
    inputs, outputs = (
        {_label(end): _label(other) for end, other in zip(*ends, strict=False)}
        for ends in ((a.inputs, b.inputs), (a.outputs, b.outputs))
    )
    return _match(a, b, Signature(inputs, outputs, (), is_compatible=True))


def _end_pairs(a: tuple[Node, ...], b: tuple[Node, ...], names: Mapping[str, str]) -> list[tuple[Node, Node]]:
    others = {_label(node): node for node in b}
    return [(node, others[names[_label(node)]]) for node in a if _label(node) in names]


def _label(node: Node) -> str:
    assert isinstance(node.op, Input | Output)
    return node.op.label


def _change_json(change: WeightChange) -> dict[str, Any]:
    numbers = {"max_abs": json_number(change.max_abs), "max_rel": json_number(change.max_rel)}
    values = None if change.values is None else list(change.values)
    return {**asdict(change), "type_a": str(change.type_a), "type_b": str(change.type_b), **numbers, "values": values}


def _own_json(weight: OwnWeight) -> dict[str, str]:
    return {"name": weight.name, "type": str(weight.type)}
