"""If, Loop and Scan that carry, capture or compute more than is needed."""

from __future__ import annotations

import numpy as np

from kir.ir.graph import Graph, Node, Value
from kir.ir.structural import Constant
from kir.ops.control import If, Loop, Scan
from kir.ops.elementwise import Not
from kir.passes.control_edit import Editor, control_op, is_true, ports, read_value
from kir.passes.rewrite import Replacement, add_constant, exact_pass, given, op_of, producer, rewrite, rule


@exact_pass
def simplify_control(graph: Graph) -> int:
    """Loop(x, …) that hands x on as it is → Loop(…) that captures x, and the like

    1. An output that nothing reads, and a state on which nothing but itself depends: gone.
    2. A captured value that no body reads: no longer captured; one that is captured twice: once.
    3. A captured constant: a constant inside, where it may be folded. The array is the same.
    4. An output of an If that is one captured value, or equal constants, in both branches: that value.
    5. The condition of an If is true in its one branch, and false in the other. If(Not(x)) has its branches swapped.
    6. A state that each step hands on as it got it: captured.
    7. The condition within a Loop, which always holds there; one that a Loop is given, and that is true: absent.
    8. A sequence of a Scan that its body does not read; an output of a Scan that is one of its sequences.
    9. Outputs that are the same in each step, or in both branches: one of them.

    Exact: only what is not needed is gone.
    """
    rules = (
        *(drop_outputs, decide_outputs, keep_states, merge_outputs, pass_sequences, drop_sequences),
        *(release_captured, know_branch, know_condition, swap_branches),
    )
    return rewrite(graph, rules)


@rule(If, Loop, Scan)
def drop_outputs(graph: Graph, node: Node) -> Replacement:
    used = {value.index for value in node.outputs if graph.uses(value)}
    live = _live_outputs(node, used)
    dropped = [(value.index, value) for value in node.outputs if value.index not in live]
    if not dropped or not used:
        return None
    editor = Editor(node)
    editor.drop_outputs(dropped)
    return editor.finish(graph)


def _live_outputs(node: Node, used: set[int]) -> set[int]:
    """Return the outputs that are used, or whose states others depend on. O(nodes of the body)."""
    op = control_op(node)
    at = ports(op)
    if not at.states:
        return used
    inner = op.bodies()[0].graph
    states = {value: index for index, value in enumerate(inner.inputs[at.inside : at.inside + at.states])}
    live = set(used)
    pending = [*inner.outputs[: at.after], *(inner.outputs[at.after + index] for index in used)]
    seen = set(pending)
    while pending:
        current = pending.pop()
        if current in states and states[current] not in live:
            live.add(states[current])
            pending.append(inner.outputs[at.after + states[current]])
        for value in current.inputs:
            if value is not None and value.node not in seen:
                seen.add(value.node)
                pending.append(value.node)
    return live


@rule(If)
def decide_outputs(graph: Graph, node: Node) -> Replacement:
    op, captured = op_of(node, If), node.inputs[1:]
    decided: list[tuple[int, Value]] = []
    places = [{one.output: slot for slot, one in enumerate(body.graph.inputs)} for body in op.bodies()]
    for output in node.outputs:
        reads = [read_value(body.graph.outputs[output.index]) for body in op.bodies()]
        slots = [place.get(value) for place, value in zip(places, reads, strict=True)]
        value: Value | None = None
        if slots[0] is not None and slots[0] == slots[1]:
            value = captured[slots[0]]
        elif reads[0].type == output.type and _equal_constants(*reads):
            value = graph.add(reads[0].node.op, origin=node.origin).output
        if value is not None and value.type == output.type:
            decided.append((output.index, value))
    if not decided:
        return None
    editor = Editor(node)
    editor.drop_outputs(decided)
    return editor.finish(graph)


def _equal_constants(a: Value, b: Value) -> bool:
    return isinstance(a.node.op, Constant) and a.node.op == b.node.op


@rule(Loop, Scan)
def keep_states(graph: Graph, node: Node) -> Replacement:
    op = control_op(node)
    at = ports(op)
    inner = op.bodies()[0].graph
    kept: list[tuple[int, Value]] = []
    for state in range(at.states):
        initial, inside = given(node.inputs[at.given + state]), inner.inputs[at.inside + state].output
        same = read_value(inner.outputs[at.after + state]) is inside
        if same and inside.type == initial.type == node.outputs[state].type:
            kept.append((state, initial))
    if not kept:
        return None
    editor = Editor(node)
    (body,) = editor.graphs
    inputs = body.inputs
    for state, initial in kept:
        (captured,) = editor.capture(initial)
        body.replace(inputs[at.inside + state].output, captured)
    editor.drop_outputs(kept)
    return editor.finish(graph)


@rule(If, Loop, Scan)
def merge_outputs(graph: Graph, node: Node) -> Replacement:
    op = control_op(node)
    at = ports(op)
    first_of: dict[object, int] = {}
    merged: list[tuple[int, Value | int]] = []
    for output in node.outputs[at.states :]:
        reads = [read_value(body.graph.outputs[at.after + output.index]) for body in op.bodies()]
        scanned = output.index - at.states
        how = (op.output_axes[scanned], op.output_reversed[scanned]) if isinstance(op, Scan) else ()
        first = first_of.setdefault((*reads, how, output.type), output.index)
        if first != output.index:
            merged.append((output.index, first))
    if not merged:
        return None
    editor = Editor(node)
    editor.drop_outputs(merged)
    return editor.finish(graph)


@rule(Scan)
def pass_sequences(graph: Graph, node: Node) -> Replacement:
    op = op_of(node, Scan)
    inner = op.body.graph
    slices = {one.output: slot for slot, one in enumerate(inner.inputs[op.states : op.states + len(op.axes)])}
    passed: list[tuple[int, Value]] = []
    for index, how in enumerate(zip(op.output_axes, op.output_reversed, strict=True)):
        slot = slices.get(read_value(inner.outputs[op.states + index]))
        if slot is None or how != (op.axes[slot], op.reversed[slot]):
            continue
        sequence = given(node.inputs[op.states + slot])
        if sequence.type == node.outputs[op.states + index].type:
            passed.append((op.states + index, sequence))
    if not passed:
        return None
    editor = Editor(node)
    editor.drop_outputs(passed)
    return editor.finish(graph)


@rule(Scan)
def drop_sequences(graph: Graph, node: Node) -> Replacement:
    op = op_of(node, Scan)
    inner = op.body.graph
    slices = inner.inputs[op.states : op.states + len(op.axes)]
    unread = [slot for slot, one in enumerate(slices) if not inner.has_uses(one)]
    if len(unread) == len(slices):
        unread = unread[1:]  # one says how many steps there are
    if not unread:
        return None
    editor = Editor(node)
    editor.drop_sequences(unread)
    return editor.finish(graph)


@rule(If, Loop, Scan)
def release_captured(graph: Graph, node: Node) -> Replacement:
    op = control_op(node)
    at = ports(op)
    captured = [given(value) for value in node.inputs[at.captured :]]
    first_of: dict[Value, int] = {}
    released: list[int] = []
    for slot, value in enumerate(captured):
        inside = [body.graph.inputs[at.captured_inside + slot] for body in op.bodies()]
        is_read = any(body.graph.has_uses(one) for body, one in zip(op.bodies(), inside, strict=True))
        is_same = all(one.output.type == value.type for one in inside)
        if not is_read or (is_same and (isinstance(value.node.op, Constant) or value in first_of)):
            released.append(slot)
        elif is_same:
            first_of[value] = slot
    if not released:
        return None
    editor = Editor(node)
    for inner in editor.graphs:
        inputs = editor.captured_inputs(inner)
        for slot in released:
            value, old = captured[slot], inputs[slot].output
            if not inner.has_uses(old.node):
                continue
            if value in first_of:
                inner.replace(old, inputs[first_of[value]].output)
            else:
                inner.replace(old, inner.add(value.node.op, origin=value.node.origin).output)
    editor.release(released)
    return editor.finish(graph)


@rule(If)
def know_branch(graph: Graph, node: Node) -> Replacement:
    condition, *captured = map(given, node.inputs)
    shape = [dim for dim in condition.type.shape if isinstance(dim, int)]
    if condition not in captured or len(shape) < condition.type.rank:
        return None
    editor = Editor(node)
    slot = captured.index(condition)
    for inner, holds in zip(editor.graphs, (True, False), strict=True):
        old = inner.inputs[slot]
        inner.replace(old.output, add_constant(inner, old, np.full(shape, holds)))
    editor.release([slot])
    return editor.finish(graph)


@rule(Loop)
def know_condition(graph: Graph, node: Node) -> Replacement:
    condition = node.inputs[1]
    inner = op_of(node, Loop).body.graph
    is_read = inner.has_uses(inner.inputs[1])
    if not is_read and (condition is None or not is_true(condition)):
        return None
    editor = Editor(node)
    (body,) = editor.graphs
    old = body.inputs[1]
    if is_read:
        body.replace(old.output, add_constant(body, old, np.asarray(True)))
    if condition is not None and is_true(condition):
        editor.own[1] = None
    return editor.finish(graph)


@rule(If)
def swap_branches(graph: Graph, node: Node) -> Replacement:
    negation = producer(node, Not)
    if negation is None:
        return None
    op = op_of(node, If)
    swapped = If(op.types, op.else_branch, op.then_branch)
    return graph.add(swapped, negation.inputs[0], *node.inputs[1:], origin=node.origin).outputs
