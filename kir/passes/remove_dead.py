"""Dead code."""

from __future__ import annotations

from kir.ir.graph import Graph
from kir.passes.rewrite import exact_pass, order_without_dead_nodes


@exact_pass
def remove_dead(graph: Graph) -> int:
    """a node that no output depends on → nothing

    Graph inputs stay, because they belong to the caller.
    Exact: no remaining node reads it.
    """
    before = graph.get_node_count()
    order_without_dead_nodes(graph)
    return before - graph.get_node_count()
