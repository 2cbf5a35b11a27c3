"""Dead code."""

from __future__ import annotations

from kir.ir.graph import Graph
from kir.passes.rewrite import exact_pass, order_without_dead_nodes


@exact_pass
def remove_dead(graph: Graph) -> int:
    """a node that no output depends on → nothing

    Exact: nothing that is left reads it. Graph inputs stay, because they belong to the caller.
    """
    before = graph.get_node_count()
    order_without_dead_nodes(graph)
    return before - graph.get_node_count()
