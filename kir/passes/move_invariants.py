"""Values that are the same in every step of a Loop or a Scan."""

from __future__ import annotations

from kir.ir.control import ControlOp
from kir.ir.graph import Graph, Node, Value
from kir.ir.inline import type_names
from kir.ir.op import Op
from kir.ir.structural import Constant, Input, Output
from kir.ops.control import Loop, Scan
from kir.ops.elementwise import Div, Mod
from kir.ops.lookup import Lookup
from kir.ops.opaque import Opaque
from kir.ops.shape import Gather, GatherElements, GatherND, OneHot, Range, ScatterND
from kir.ops.sparse import SparseToDense
from kir.passes.control_edit import Editor, control_op, known_steps, ports
from kir.passes.rewrite import exact_pass, given, order_without_dead_nodes

# What may refuse some values of its inputs: it moves only out of what certainly runs.
CHOOSY = (
    ControlOp,
    Div,
    Mod,
    Gather,
    GatherElements,
    GatherND,
    Lookup,
    OneHot,
    Opaque,
    Range,
    ScatterND,
    SparseToDense,
)


@exact_pass
def move_invariants(graph: Graph) -> int:
    """Loop(… + f(w)) that captures w → Loop(… + v) that captures v = f(w)

    What depends only on captured values and constants is computed once, before a Loop or a Scan. Operators that may
    refuse their inputs, such as a Gather, move only if one step runs at least. Random ones stay.

    Exact: the same operators work on the same values.
    """
    if not graph.has_any(Loop, Scan):
        return 0
    changes = 0
    known: set[str] = set()  # the sizes of all values before
    for node in order_without_dead_nodes(graph):
        if isinstance(node.op, Loop | Scan):
            changes += _move_out(graph, node, known)
        known |= type_names(value.type for value in node.outputs)
    if changes:
        order_without_dead_nodes(graph)
    return changes


def _move_out(graph: Graph, node: Node, known: set[str]) -> int:
    """Move what does not depend on the step before the node; return how many nodes that are."""
    op = control_op(node)
    inner = op.bodies()[0].graph
    at = ports(op)
    order = inner.order()
    captured = inner.inputs[at.captured_inside :]
    outside = dict(zip(captured, map(given, node.inputs[at.captured :]), strict=True))
    if any(one.output.type != value.type for one, value in outside.items()):
        return 0
    moved = _find_invariants(order, set(captured), known, bool(known_steps(node)))
    read = [
        value
        for value in dict.fromkeys(value for one in order if one not in moved for value in one.inputs)
        if value is not None and value.node in moved and not isinstance(value.node.op, Input | Constant)
    ]
    if not read:
        return 0
    values = {one.output: value for one, value in outside.items()}
    needed = _needed_for(read)
    for one in order:
        if one in needed and one not in outside:
            new = graph.add(
                one.op, *[value and values[value] for value in one.inputs], origin=one.origin or node.origin
            )
            values |= dict(zip(one.outputs, new.outputs, strict=True))
    editor = Editor(node)
    (body,) = editor.graphs
    twins = dict(zip(order, body.order(), strict=True))
    for value in read:
        (inside,) = editor.capture(values[value])
        body.replace(twins[value.node].outputs[value.index], inside)
    order_without_dead_nodes(body)
    for old, new_value in zip(node.outputs, editor.finish(graph), strict=True):
        graph.replace(old, new_value)
    return sum(not isinstance(one.op, Input | Constant) for one in needed)


def _find_invariants(order: list[Node], captured: set[Node], known: set[str], runs: bool) -> set[Node]:
    found = set(captured)
    for node in order:
        if isinstance(node.op, Constant) or (
            _may_move(node.op, runs)
            and all(value is None or value.node in found for value in node.inputs)
            and node.op.symbols() | type_names(value.type for value in node.outputs) <= known
        ):
            found.add(node)
    return found


def _may_move(op: Op, runs: bool) -> bool:
    return op.deterministic and not isinstance(op, Input | Output) and (runs or not isinstance(op, CHOOSY))


def _needed_for(values: list[Value]) -> set[Node]:
    """Return the nodes that values are computed from, with those that give them."""
    pending = [value.node for value in values]
    found = set(pending)
    while pending:
        following = [value.node for value in pending.pop().inputs if value is not None]
        pending += [node for node in dict.fromkeys(following) if node not in found]
        found.update(following)
    return found
