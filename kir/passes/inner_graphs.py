"""The passes on graphs inside operators, and the unrolling of those that are smaller without their Loop."""

from __future__ import annotations

from collections.abc import Callable

from kir.errors import ShapeError
from kir.ir.body import Body
from kir.ir.control import ControlOp
from kir.ir.graph import Graph, Node
from kir.ir.inline import inline, type_names
from kir.ir.structural import Constant, Input, Output
from kir.ops.control import Loop, Scan
from kir.ops.opaque import Opaque
from kir.passes.control_edit import CONTROL, known_steps
from kir.passes.rewrite import given, order_without_dead_nodes
from kir.passes.unroll import Substitutes, unroll

# What may come out smaller without a Loop, so that it is tried: more steps have more nodes than one has hope for.
MAX_STEPS = 16
MAX_TRIED_NODES = 1000


class InnerGraphs:
    """What is known of the graphs inside operators during one run of passes: which of them are finished."""

    def __init__(self, optimise: Callable[[Graph], int]) -> None:
        self._optimise = optimise
        self._finished: dict[int, Body] = {}  # by the id of the body before; both are kept alive
        self._kept: list[Body] = []
        self._tried: set[tuple[int, int]] = set()  # the ids of bodies, and numbers of steps

    def enter(self, graph: Graph) -> int:
        """Optimise the graphs inside the operators of a graph, and unroll them; return the number of changes."""
        if not graph.has_any(*CONTROL):
            return 0
        changes = 0
        for node in graph.order():
            if isinstance(node.op, ControlOp):
                bodies = node.op.bodies()
                finished = [self._finish(body) for body in bodies]
                if any(new is not old for new, old in zip(finished, bodies, strict=True)):
                    new_node = graph.add(node.op.with_bodies(*finished), *node.inputs, origin=node.origin)
                    for old, new in zip(node.outputs, new_node.outputs, strict=True):
                        graph.replace(old, new)
                    changes += 1
        order_without_dead_nodes(graph)
        return changes + self._unroll_all(graph)

    def _finish(self, body: Body) -> Body:
        if id(body) not in self._finished:
            new = body.rewritten(self._optimise)
            self._kept += [body, new]
            self._finished[id(body)] = self._finished[id(new)] = new
        return self._finished[id(body)]

    def _unroll_all(self, graph: Graph) -> int:
        nodes = [node for node in graph.order() if isinstance(node.op, Loop | Scan) and self._is_worth_trying(node)]
        if not nodes:
            return 0
        substitutes = Substitutes(graph)
        for node in nodes:
            try:
                unrolled = self._unroll(node)
            except ShapeError:
                continue
            if count_operators(unrolled) <= count_operators(_body_of(node).graph) + 1:
                variable = [given(value) for value in node.inputs if value is not None and not _is_constant(value.node)]
                substitutes.propose(node, inline(graph, unrolled, variable, node.origin))
        return substitutes.apply()

    def _is_worth_trying(self, node: Node) -> bool:
        steps = known_steps(node)
        if steps is None or not 1 <= steps <= MAX_STEPS or not node.op.deterministic:
            return False
        body = _body_of(node)
        key = (id(body), steps)
        if key in self._tried or steps * count_operators(body.graph) > MAX_TRIED_NODES or _has_own_sizes(body.graph):
            return False
        self._tried.add(key)
        self._kept.append(body)
        return True

    def _unroll(self, node: Node) -> Graph:
        """Return the steps of a node one after the other, as a graph of what it reads that is no constant."""
        graph = Graph("unrolled")
        inputs = []
        for slot, value in enumerate(node.inputs):
            op = None if value is None else value.node.op if _is_constant(value.node) else Input(f"x{slot}", value.type)
            inputs.append(None if op is None else graph.add(op).output)
        copy = graph.add(node.op, *inputs, origin=node.origin)
        steps = known_steps(node)
        assert steps is not None, "only nodes whose steps are known are tried"
        for number, value in enumerate(unroll(graph, copy, steps)):
            graph.add(Output(f"y{number}"), value)
        order_without_dead_nodes(graph)
        self._optimise(graph)
        return graph


def count_operators(graph: Graph) -> int:
    """Return how many operators a graph has, with those inside others."""
    nodes = (node for one in graph.graphs() for node in one.nodes())
    return sum(not isinstance(node.op, Input | Output | Constant) for node in nodes)


def _body_of(node: Node) -> Body:
    assert isinstance(node.op, Loop | Scan)
    return node.op.body


def _is_constant(node: Node) -> bool:
    return isinstance(node.op, Constant)


def _has_own_sizes(graph: Graph) -> bool:
    """Return whether sizes may arise within, which would be others in each step and have one name."""
    known = type_names(node.output.type for node in graph.inputs)
    makers = (node for one in graph.graphs() for node in one.nodes() if isinstance(node.op, ControlOp | Opaque))
    return not type_names(value.type for node in makers for value in node.outputs) <= known
