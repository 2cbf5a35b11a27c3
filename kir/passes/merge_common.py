"""Common subexpressions."""

from __future__ import annotations

from collections.abc import Hashable

from kir.ir.graph import Graph, Node
from kir.ir.structural import Constant
from kir.ops.elementwise import Add, And, Equal, Mul, Or, Xor
from kir.passes.rewrite import exact_pass, remove_dead_nodes

# Operators that give the same bits with swapped operands. Maximum and Minimum do not: which of 0.0 and -0.0 they return
# depends on the order.
SWAPPABLE = frozenset({Add, Mul, And, Or, Xor, Equal})


@exact_pass
def merge_common(graph: Graph) -> int:
    """f(x), f(x) → f(x), read twice

    1. Equal deterministic operators on the same values are merged into the first one.
    2. Add, Mul, Equal and the logic operators are merged in either order of their operands.
    3. Constants are merged if they are small and equal, or one array. Weights need one name besides, since each keeps
       its name in the exported file (and is trained on its own).

    Exact: equal operators on equal inputs compute equal bits.
    """
    first_of: dict[Hashable, Node] = {}
    merged = []
    for node in graph.order():
        first = first_of.setdefault(_key(node), node) if node.op.deterministic else node
        if first is not node:
            for old, new in zip(node.outputs, first.outputs, strict=True):
                graph.replace(old, new)
            merged.append(node)
    remove_dead_nodes(graph, merged)
    return len(merged)


def _key(node: Node) -> Hashable:
    inputs = [id(value) for value in node.inputs]
    if node.op.__class__ in SWAPPABLE:
        inputs.sort()
    return node.op, node.op.label if isinstance(node.op, Constant) else None, *inputs
