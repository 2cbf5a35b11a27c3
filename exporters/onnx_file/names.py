"""Names in an ONNX file: unique, readable, the same for the same graph.

The names of inputs and outputs are the user's and stay exactly as they are; every other name steps aside.
"""

from __future__ import annotations

from kir.errors import GraphError
from kir.ir.graph import Graph
from kir.ir.structural import Input, Output
from kir.support.naming import Names


def reserve_labels(graph: Graph) -> Names:
    """Return names of which those of the graph's inputs and outputs are taken.

    Raises:
        GraphError: an input and an output of one name are different values, which ONNX cannot say; or a name is empty.
    """
    inputs = {node.op.label: node for node in graph.inputs if isinstance(node.op, Input)}
    for node in graph.outputs:
        assert isinstance(node.op, Output)
        label, value = node.op.label, node.inputs[0]
        if label in inputs and (value is None or value.node is not inputs[label]):
            raise GraphError(
                f"{label!r} names both an input and an output that is computed from it; in ONNX one name is one value: "
                "give the last layer (or the input) another name"
            )
        inputs.setdefault(label, node)
    if "" in inputs:
        raise GraphError("an input or an output of the graph is named ''; in ONNX that means an absent value: name it")
    return Names(inputs)
