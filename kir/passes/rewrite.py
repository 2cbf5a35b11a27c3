"""The parts of passes: `Pass`, `@rule`, and the worklist that applies rules to a fixpoint.

A rule looks at one node and its producers, and returns the value(s) to use instead of the node's outputs, or None. It
adds nodes; it never replaces, rewires or removes any: the driver does. A rule must make the graph smaller or push it
one way, since the driver applies rules as long as they match.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from kir.errors import GraphError
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array, Op
from kir.ir.structural import Constant, Data, Input, Output
from kir.ops.shape import Expand
from kir.support.mapped_files import is_mapped

Replacement = Value | tuple[Value, ...] | None
Function = Callable[[Graph, Node], Replacement]
Kind = type[Op] | tuple[type[Op], ...]
Change = Callable[[Op], Op]
AnyOp = TypeVar("AnyOp", bound=Op)

# Rules that undo each other would run forever. A rule matches a handful of times per node at most: a chain of n nodes
# that collapses pairwise takes n changes. 20 leaves room, and 1000 is for graphs of a few nodes.
MAX_CHANGES_PER_NODE = 20
MAX_CHANGES_ANYWAY = 1000


@dataclass(frozen=True)
class Pass:
    """A function that rewrites a graph in place and returns the number of changes.

    Attributes:
        exact: results stay the same bit for bit.
        tolerance: the roundings of its dtype by which an output may move, relative to its largest element, in a pass
            that is not exact.
        changes_weights: constants get numbers that nobody trained; the training pipeline goes without the pass.
        opset: the pass makes operators that ONNX has since that opset, and runs only for files of it or newer ones.
    """

    name: str
    function: Callable[[Graph], int]
    exact: bool = True
    tolerance: float = 0.0
    changes_weights: bool = False
    opset: int = 0

    def __call__(self, graph: Graph) -> int:
        return self.function(graph)

    @property
    def summary(self) -> str:
        """The before/after line that opens the docstring."""
        return (self.function.__doc__ or "").partition("\n")[0]

    def __str__(self) -> str:
        return self.name


def exact_pass(function: Callable[[Graph], int]) -> Pass:
    """Make a Pass, named after its function, that keeps results equal bit for bit."""
    return Pass(_pass_name(function), function)


def rounding_pass(
    tolerance: float, changes_weights: bool = False, opset: int = 0
) -> Callable[[Callable[[Graph], int]], Pass]:
    """Make a Pass that keeps results equal up to `tolerance` roundings; see `Pass`."""
    return lambda function: Pass(_pass_name(function), function, False, tolerance, changes_weights, opset)


def _pass_name(function: Callable[[Graph], int]) -> str:
    return function.__name__.replace("_", "-")


@dataclass(frozen=True, eq=False)
class Rule:
    """A function of one node whose operator is one of `ops`; of any node when `ops` is empty."""

    ops: tuple[type[Op], ...]
    function: Function

    def matches(self, cls: type[Op]) -> bool:
        """Return whether the rule is for nodes with such an operator."""
        return not self.ops or issubclass(cls, self.ops)


def rule(
    *ops: type[Op], above: Sequence[Kind] = (), once: bool = False
) -> Callable[[Callable[..., Replacement]], Rule]:
    """Declare a rewrite of nodes with one of these operators; without any, of all nodes.

    >>> @rule(Neg, above=[Neg])
    ... def cancel_double_negation(graph: Graph, node: Node, inner: Node) -> Value | None:
    ...     return inner.inputs[0]

    Args:
        ops: the operators.
        above: the operators of the chain of nodes above, through first inputs. The function gets these nodes, too.
        once: whether each of the nodes above must have a single use.
    """

    def declare(function: Callable[..., Replacement]) -> Rule:
        def match(graph: Graph, node: Node) -> Replacement:
            chain = producers(node, *above)
            if len(chain) < len(above) or (once and not all(map(graph.is_read_once, chain))):
                return None
            return function(graph, node, *chain)

        return Rule(ops, match if above else function)

    return declare


# The driver


def rewrite(graph: Graph, rules: Sequence[Rule]) -> int:
    """Apply rules, at each node the first that matches, to a fixpoint; return the number of changes.

    Dead nodes are removed on the way, so that rules may ask who else reads a value. O(nodes + changes · their uses):
    after a change only the new nodes, the readers of what changed and the producers that lost a reader are looked at.
    O(rules) where the graph has none of their operators.

    Raises:
        GraphError: the rules never come to an end, or one returned a value of another type.
    """
    if not any(rule.matches(cls) for cls in graph.op_types() for rule in rules):
        return 0
    return _Worklist(graph, rules).run()


class _Worklist:
    """One run of `rewrite`: a queue of the nodes to look at, in the graph's order to begin with."""

    def __init__(self, graph: Graph, rules: Sequence[Rule]) -> None:
        self.graph = graph
        self.rules = rules
        self.functions_of = {cls: self.find_functions(cls) for cls in graph.op_types()}
        self.order = order_without_dead_nodes(graph)
        wanted = {cls for cls, functions in self.functions_of.items() if functions}
        self.pending = deque([node for node in self.order if node.op.__class__ in wanted])
        self.queued = set(self.pending)
        self.limit = MAX_CHANGES_ANYWAY + MAX_CHANGES_PER_NODE * len(self.order)

    @cached_property
    def known(self) -> set[Node]:
        """The nodes that were there from the start or were made by a rule."""
        return set(self.order)

    def run(self) -> int:
        changes = 0
        while self.pending:
            node = self.pending.popleft()
            self.queued.discard(node)
            # Nothing leaves the graph before the first change.
            replacement = self.match(node) if not changes or node in self.graph else None
            if replacement is not None:
                changes += 1
                self.check_end(changes, node)
                self.apply(node, replacement if isinstance(replacement, tuple) else (replacement,))
        return changes

    def enqueue(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            cls = type(node.op)
            if cls not in self.functions_of:
                self.functions_of[cls] = self.find_functions(cls)
            if self.functions_of[cls] and node not in self.queued:
                self.queued.add(node)
                self.pending.append(node)

    def find_functions(self, cls: type[Op]) -> Sequence[Function]:
        return [rule.function for rule in self.rules if rule.matches(cls)]

    def match(self, node: Node) -> Replacement:
        for function in self.functions_of[type(node.op)]:
            replacement = function(self.graph, node)
            if replacement is not None:
                return replacement
        return None

    def check_end(self, changes: int, node: Node) -> None:
        if changes > self.limit:
            raise GraphError(f"rewriting does not end: {changes} changes, the last at {node!r}; rules undo each other")

    def apply(self, node: Node, values: tuple[Value, ...]) -> None:
        # 1. The nodes that the rule built are not in `known` yet.
        created = self.find_created(values)
        self.known.update(created)
        # 2. The readers must be asked for before they move; those of the new value may be far more.
        readers = self.graph.consumers(node)
        for old, new in zip(node.outputs, values, strict=True):
            self.graph.replace(old, new)
        # 3. A node that lost a reader may have one left, which may then absorb it.
        survivors = remove_dead_nodes(self.graph, [node])
        self.enqueue(created)
        self.enqueue(readers)
        for survivor in survivors:
            self.enqueue([survivor])
            if self.graph.is_read_once(survivor):
                self.enqueue(self.graph.consumers(survivor))

    def find_created(self, values: tuple[Value, ...]) -> list[Node]:
        """Return the new nodes that compute these values, in order."""
        pending = [value.node for value in values]
        found: dict[Node, None] = {}
        while pending:
            node = pending.pop()
            if node not in self.known and node not in found:
                found[node] = None
                pending += [value.node for value in node.inputs if value is not None]
        return list(reversed(found))


def order_without_dead_nodes(graph: Graph) -> list[Node]:
    """Remove all dead nodes and return the order of the others. O(nodes)."""
    order = graph.order()
    if len(order) < graph.get_node_count():
        live = set(order)
        remove_dead_nodes(graph, [node for node in graph.nodes() if node not in live])
    return order


def remove_dead_nodes(graph: Graph, candidates: Iterable[Node]) -> list[Node]:
    """Remove the candidates that nothing reads, then what only they read; return the nodes that lost a reader and stay.

    Inputs and outputs stay. O(removed nodes).
    """
    pending = list(candidates)
    survivors: dict[Node, None] = {}
    while pending:
        node = pending.pop()
        if node not in graph or isinstance(node.op, Input | Output):
            continue
        if graph.has_uses(node):
            survivors[node] = None
            continue
        graph.remove(node)
        pending += [value.node for value in node.inputs if value is not None]
    return [node for node in survivors if node in graph]


# Words for rules


def add_for(graph: Graph, node: Node, op: Op, *inputs: Value | None) -> Value:
    """Add a node in the place of `node`, from the same layer, and return its output."""
    return graph.add(op, *inputs, origin=node.origin).output


def add_constant(graph: Graph, node: Node, array: Array, label: str | None = None) -> Value:
    """Add a constant in the place of `node`, or of a constant that `node` reads.

    A mapped array stays on disk, even as a transposed view: it is put in order when it is written.
    """
    kept = array if is_mapped(array) else np.asarray(array, order="C")
    return add_for(graph, node, Constant(Data(kept), label))


def given(value: Value | None) -> Value:
    """Return an input that is no optional one."""
    assert value is not None, "a required input is absent"
    return value


def producer(node: Node, *ops: type[Op], slot: int = 0) -> Node | None:
    """Return the node that computes an input, if its operator is one of `ops`."""
    value = node.inputs[slot]
    return value.node if value is not None and isinstance(value.node.op, ops) else None


def producers(node: Node, *kinds: Kind) -> list[Node]:
    """Return the chain of nodes above a node, through first inputs, as far as they have these operators.

    >>> producers(node, Reshape, Transpose)  # of f(Reshape(Transpose(x))): the Reshape, then the Transpose
    """
    found: list[Node] = []
    for kind in kinds:
        node = given(node.inputs[0]).node if node.inputs else node
        if not isinstance(node.op, kind):
            break
        found.append(node)
    return found


def op_of(node: Node, *kinds: type[AnyOp]) -> AnyOp:
    """Return the operator of a node that is known to have one of these kinds."""
    assert isinstance(node.op, kinds), f"expected {kinds}, not {node.op}"
    return node.op


def with_input(node: Node, slot: int, value: Value | None) -> tuple[Value | None, ...]:
    """Return the inputs of a node with another value in one slot."""
    return (*node.inputs[:slot], value, *node.inputs[slot + 1 :])


def rebuild(graph: Graph, path: Sequence[tuple[Node, int]], value: Value, change: Change = lambda op: op) -> Value:
    """Add the nodes of a path again, from the last to the first, on another value; return the first one's output.

    Args:
        path: each node with the slot through which it reads the next one.
        value: what the last node reads now.
        change: from each operator to the one to use.
    """
    for node, slot in reversed(path):
        value = add_for(graph, node, change(node.op), *with_input(node, slot, value))
    return value


def both_orders(node: Node) -> list[tuple[Value, Value]]:
    """Return the two operands of a node, in either order."""
    a, b = map(given, node.inputs)
    return [(a, b), (b, a)]


def constant_array(value: Value | None) -> Array | None:
    """Return the array of a constant; None for any other value."""
    return value.node.op.value.array if value is not None and isinstance(value.node.op, Constant) else None


def uniform(value: Value | None) -> Array | None:
    """Return the number that all elements of a constant are, bit for bit, as an array without axes; else None.

    Only constants of few elements are read. An Expand of a constant counts as the constant.
    """
    if value is not None and isinstance(value.node.op, Expand):
        value = value.node.inputs[0]
    array = constant_array(value)
    if array is None or not 0 < array.size <= MAX_UNIFORM_SIZE or array.dtype == object:
        return None
    first = array.reshape(-1)[:1]
    same = first.tobytes() * array.size == np.ascontiguousarray(array).tobytes()
    return np.asarray(first.reshape(())) if same else None


def is_number(value: Value | None, number: float) -> bool:
    """Return whether all elements of a constant are this number; -0.0 is 0."""
    found = uniform(value)
    return found is not None and bool(found == number)


# Larger constants are weights: reading them to find all elements equal costs more than it ever saves.
MAX_UNIFORM_SIZE = 1024
