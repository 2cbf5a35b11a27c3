import re
from collections.abc import Callable

import numpy as np
import pytest

from kir.errors import GraphError
from kir.ir.dims import symbol
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Op
from kir.ops.elementwise import Abs, Add, Neg, Relu, Sin
from kir.ops.shape import Expand, Reshape, Transpose
from kir.passes import PASSES, run
from kir.passes import rewrite as rewriting
from kir.passes.fold_reshapes import fold_reshapes
from kir.passes.move_reshapes import move_reshapes
from kir.passes.rewrite import Rule, add_for, producer, remove_dead_nodes, rewrite, rule, uniform
from tests.passes.building import Build, op_names


@rule(Neg)
def cancel(graph: Graph, node: Node) -> Value | None:
    inner = producer(node, Neg)
    return inner.inputs[0] if inner else None


def negations(count: int) -> Graph:
    b = Build("f32[batch]")
    value = b.inputs[0]
    for _ in range(count):
        value = b(Neg(), value)
    return b.finish(value)


@pytest.mark.parametrize(("count", "left_over"), [(0, 0), (1, 1), (2, 0), (7, 1), (100, 0)])
def test_rules_apply_until_none_matches(count: int, left_over: int) -> None:
    graph = negations(count)
    assert rewrite(graph, (cancel,)) == count // 2
    assert op_names(graph) == ["Neg"] * left_over
    assert graph.get_node_count() == 2 + left_over


def test_a_new_node_is_visited() -> None:
    @rule(Sin)
    def to_two_negations(graph: Graph, node: Node) -> Value | None:
        return add_for(graph, node, Neg(), add_for(graph, node, Neg(), node.inputs[0]))

    b = Build("f32[batch]")
    graph = b.finish(b(Sin(), b.inputs[0]))
    assert rewrite(graph, (to_two_negations, cancel)) == 2
    assert op_names(graph) == []


def test_the_last_reader_is_visited_when_another_dies() -> None:
    @rule(Relu)
    def take_in(graph: Graph, node: Node) -> Value | None:
        inner = producer(node, Sin)
        return add_for(graph, node, Abs(), inner.inputs[0]) if inner and graph.is_read_once(inner) else None

    b = Build("f32[batch]")
    shared = b(Sin(), b.inputs[0])
    relu = b(Relu(), shared)
    b(Neg(), b(Neg(), shared))
    twice = b(Neg(), b(Neg(), relu))
    graph = b.finish(twice)
    rewrite(graph, (cancel, take_in))
    assert op_names(graph) == ["Abs"]


def test_rules_that_undo_each_other_are_an_error() -> None:
    flip = Rule((Sin,), lambda graph, node: add_for(graph, node, Neg(), node.inputs[0]))
    flop = Rule((Neg,), lambda graph, node: add_for(graph, node, Sin(), node.inputs[0]))
    b = Build("f32[batch]")
    graph = b.finish(b(Sin(), b.inputs[0]))
    with pytest.raises(GraphError, match=r"rewriting does not end: .* changes, the last at .*undo each other"):
        rewrite(graph, (flip, flop))


def test_a_value_of_another_type_is_refused() -> None:
    wrong = Rule((Add,), lambda graph, node: node.inputs[1])
    b = Build("f32[batch, 4]")
    graph = b.finish(b(Add(), b.inputs[0], np.float32(1)))
    with pytest.raises(GraphError, match=re.escape("f32[batch, 4]")):
        rewrite(graph, (wrong,))


def test_a_node_that_stands_for_another_has_its_origin() -> None:
    b = Build("f32[batch, 4]")
    graph = b.finish(b(Reshape((symbol("batch"), 2, 2)), b(Reshape((symbol("batch") * 4,)), b.inputs[0])))
    fold_reshapes(graph)
    [reshape] = [node for node in graph.order() if isinstance(node.op, Reshape)]
    assert str(reshape.origin) == "layer_2 (Reshape)"


def test_dead_nodes_are_removed_with_what_only_they_read() -> None:
    b = Build("f32[batch]")
    kept = b(Sin(), b.inputs[0])
    dead = b(Neg(), b(Add(), kept, np.float32(1)))
    graph = b.finish(kept)
    survivors = remove_dead_nodes(graph, [dead.node])
    assert survivors == [kept.node]
    assert [node.op.name for node in graph.nodes()] == ["Input", "Sin", "Output"]


def test_uniform_reads_bits() -> None:
    b = Build()
    assert uniform(b.constant(np.full((2, 2), np.nan))) is not None
    assert uniform(b.constant([0.0, -0.0])) is None
    assert uniform(b.constant(np.zeros(0))) is None
    assert uniform(b.constant(np.zeros(5000))) is None
    assert uniform(b(Expand((3,)), b.constant(7))) == 7
    assert uniform(b(Neg(), b.constant(7))) is None


@pytest.mark.parametrize("has_other_reader", [False, True])
def test_a_rule_gets_the_chain_above_a_node(has_other_reader: bool) -> None:
    @rule(Neg, above=[(Sin, Relu), Neg], once=True)
    def skip(graph: Graph, node: Node, middle: Node, first: Node) -> Value:
        assert isinstance(middle.op, Sin)
        assert isinstance(first.op, Neg)
        return add_for(graph, middle, middle.op, first.inputs[0])

    b = Build("f32[batch]")
    middle = b(Sin(), b(Neg(), b.inputs[0]))
    result = b(Neg(), middle)
    graph = b.finish(b(Add(), result, middle) if has_other_reader else result)
    assert rewrite(graph, [skip]) == (0 if has_other_reader else 1)


def chain_of(kind: str, length: int) -> Graph:
    """Chains that a careless driver or rule walks again and again."""
    b = Build("f32[batch, 4]")
    batch, value = symbol("batch"), b.inputs[0]
    steps: dict[str, Callable[[int], Op]] = {
        "reshapes": lambda i: Reshape((batch, 2, 2) if i % 2 == 0 else (batch, 4)),
        "transposes between sines": lambda i: Transpose((1, 0)) if i % 2 else Sin(),
        "sines": lambda i: Sin(),
    }
    for i in range(length):
        value = b(steps[kind](i), value)
    return b.finish(value)


def readers_of_one(length: int) -> Graph:
    """Return a value with as many readers as the graph has nodes."""
    b = Build("f32[batch, 4]")
    value = b.inputs[0]
    for _ in range(length):
        value = b(Add(), value, b(Relu(), b(Relu(), b(Relu(), b.inputs[0]))))
    return b.finish(value)


@pytest.mark.parametrize("kind", ["reshapes", "transposes between sines", "sines", "one value with many readers"])
def test_the_work_grows_with_the_graph(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    original = rewriting._Worklist.match
    for length in (100, 400):
        visits = 0

        def count(self: rewriting._Worklist, node: Node) -> rewriting.Replacement:
            nonlocal visits
            visits += 1
            return original(self, node)

        monkeypatch.setattr(rewriting._Worklist, "match", count)
        run(readers_of_one(length) if kind.startswith("one") else chain_of(kind, length), PASSES)
        counts.append(visits)
    assert 0 < counts[1] <= 4.5 * counts[0]


def test_a_mover_far_away_is_not_looked_for() -> None:
    b = Build("f32[batch, 4]")
    value = b(Reshape((1, symbol("batch"), 4)), b.inputs[0])
    for _ in range(33):
        value = b(Sin(), value)
    graph = b.finish(b(Reshape((symbol("batch"), 4)), value))
    assert move_reshapes(graph) == 0
