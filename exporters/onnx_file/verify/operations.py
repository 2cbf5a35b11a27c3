"""Operators of a graph as a file calls their values, and the inputs on which each runs alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kir.exporters.onnx_file.pieces import PieceCutter
from kir.ir.graph import Node, Value
from kir.ir.op import Array
from kir.ir.structural import Constant
from kir.numerics.operator_probes import OperatorProbe, choose_operator_probe
from kir.ops.elementwise import ELEMENTWISE
from kir.ops.linear import Dense
from kir.ops.shape import Gather


@dataclass(frozen=True)
class Operation:
    """An operator of a graph: what it reads, as the file calls it, and what it gives.

    Attributes:
        of: a node of the graph.
        node: the same; or the product or the activation of a Dense that has one.
        inputs: the name of each input; "" for an absent one.
        outputs: the name of each output; "" for one that nobody reads.
    """

    of: Node
    node: Node
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def fed(self) -> list[str]:
        """The names of the inputs that are no constants."""
        pairs = zip(self.node.inputs, self.inputs, strict=True)
        return [name for value, name in pairs if value is not None and not isinstance(value.node.op, Constant)]

    @property
    def question(self) -> object:
        """What decides about the inputs on which it runs: equal where operator, types and constants are."""
        values = self.node.inputs
        places = tuple([values.index(value) for value in values])  # one value may be several inputs
        types: list[object] = [None if value is None else value.type for value in values]
        if type(self.node.op) in ELEMENTWISE:  # the sizes are chosen, all but those of 1
            types = [v if v is None else (v.type.dtype, tuple([dim == 1 for dim in v.type.shape])) for v in values]
        return self.node.op, tuple(types), places, tuple(map(_constant_of, values))

    @property
    def table(self) -> Array | None:
        """The constant whose rows it looks up, if that is what it does."""
        constant = _constant_of(self.node.inputs[0]) if isinstance(self.node.op, Gather) else None
        return None if constant is None else constant.value.array

    @property
    def row_count(self) -> int:
        """How many rows its table has; 0 without one."""
        op, table = self.node.op, self.table
        return table.shape[op.axis] if isinstance(op, Gather) and table is not None else 0

    def choose_probe(self) -> OperatorProbe | None:
        """Return inputs for it, see `choose_operator_probe`."""
        values = self.node.inputs
        constants = [_constant_of(value) for value in values]
        probe = choose_operator_probe(
            self.node.op,
            [None if value is None else value.type for value in values],
            [None if constant is None else constant.value.array for constant in constants],
        )
        if probe is None:
            return None
        # Where one value is several inputs, the last one decides: a divisor is never 0.
        last = {value: array for value, array in zip(values, probe.inputs, strict=True) if value is not None}
        return replace(probe, inputs=tuple(None if value is None else last[value] for value in values))


def operations_of(node: Node, names: Mapping[Value, str], cutter: PieceCutter) -> list[Operation]:
    """Return a node with the names of its values; of a Dense with an activation, both of them.

    Nothing if the file has no names for them.
    """
    inputs = tuple(["" if value is None else names.get(value, "") for value in node.inputs])
    outputs = tuple([names.get(value, "") for value in node.outputs])
    if not isinstance(node.op, Dense) or node.op.activation is None:
        found = [Operation(node, node, inputs, outputs)]
    else:
        weights = [name for name in inputs[1:] if name]
        between = cutter.find_reader(outputs[0], weights[-1]) if weights else None
        if between is None:
            return []
        linear = Node(Dense(), node.inputs, node.origin)
        activation = Node(node.op.activation, [linear.output], node.origin)
        found = [Operation(node, linear, inputs, (between,)), Operation(node, activation, (between,), outputs)]
    return [one for one in found if any(one.outputs) and one.fed and all(one.fed)]


def _constant_of(value: Value | None) -> Constant | None:
    return value.node.op if value is not None and isinstance(value.node.op, Constant) else None
