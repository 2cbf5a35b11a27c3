"""Steps of recurrent layers, recognised by the normal forms of their gates as those of an RNN, GRU or LSTM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kir.ir.graph import Node, Value
from kir.ir.op import Array
from kir.ir.types import DType
from kir.ops.elementwise import Add, Mul, Sub
from kir.ops.recurrent import GRU, LSTM, RNN, SIGMOID, Activation
from kir.passes.gate_forms import (
    Affine,
    Gate,
    Polynomial,
    Reader,
    Source,
    find_activation,
    gate_order,
    halves_of_clip,
)
from kir.passes.rewrite import both_orders


@dataclass
class Step:
    """One step of a recurrent layer, with a matrix [size, units] and a bias for each gate in ONNX's order.

    `state` is None in a first step from zeros: then `recurrent` is empty, and the reset gate of a GRU is None where
    nothing depends on it. `hidden_bias` is added to the product with the state before the reset gate multiplies it.
    `inner` are the nodes of the step, but for the one that gives the output.
    """

    op: type[RNN] | type[GRU] | type[LSTM]
    activations: tuple[Activation, ...]
    output: Value
    source: Source
    state: Value | None
    kernel: list[Array | None]
    recurrent: list[Array]
    bias: list[Array | None]
    inner: set[Node]
    hidden_bias: Array | None = None
    resets_after: bool | None = None
    cell: Value | None = None
    cell_before: Value | None = None

    def continues(self, before: Step) -> bool:
        """Return whether this step follows another one of the same layer."""
        is_same = (self.op, self.activations) == (before.op, before.activations)
        if not is_same or self.state is not before.output or self.cell_before is not before.cell:
            return False
        pairs = [*zip(self.kernel, before.kernel, strict=True), *zip(self.bias, before.bias, strict=True)]
        if before.state is not None:
            pairs += zip(self.recurrent, before.recurrent, strict=True)
            pairs.append((self.hidden_bias, before.hidden_bias))
            return self.resets_after == before.resets_after and all(_is_same(a, b) for a, b in pairs)
        # From zeros, the reset gate multiplies the bias alone.
        hidden = np.zeros(1) if self.hidden_bias is None else self.hidden_bias
        expected = np.zeros(1) if before.hidden_bias is None else before.hidden_bias
        return bool((hidden == expected).all()) and all(b is None or _is_same(a, b) for a, b in pairs)


def _is_same(a: Array | None, b: Array | None) -> bool:
    if a is None or b is None or a is b:
        return a is b
    return a.shape == b.shape and (a.__array_interface__ == b.__array_interface__ or np.array_equal(a, b))


def find_steps(value: Value, state: Value | None = None) -> Iterator[Step]:
    """Yield what a value [batch, units] may be the new state of; with a `state`, as the state before the step."""
    if value.type.rank != 2 or value.type.dtype is not DType.FLOAT32 or not isinstance(value.type.shape[1], int):
        return
    for kind in (_find_rnn, _find_lstm, _find_gru):
        found = kind(Reader(value, state))
        if found is not None:
            yield found


# The cells


def _find_rnn(reader: Reader) -> Step | None:
    gate = reader.find_gate(reader.output, 0, reader.units)
    if gate is None or gate.value is not reader.output:
        return None
    return _make_step(reader, RNN, [gate], (gate.activation,))


def _find_lstm(reader: Reader) -> Step | None:
    if not isinstance(reader.output.node.op, Mul):
        return None
    for opening, curve in both_orders(reader.output.node):
        output_gate = reader.find_gate(opening, 0, reader.units)
        found = find_activation(curve.node)
        if output_gate is None or found is None or found[1].type != reader.output.type:
            continue
        activation, cell = found
        for (input_gate, candidate, forget_gate), before in _find_cells(reader, cell):
            kinds = (output_gate.activation, candidate.activation, activation)
            if not input_gate.activation == forget_gate.activation == output_gate.activation:
                continue
            step = _make_step(reader, LSTM, [input_gate, output_gate, forget_gate, candidate], kinds)
            if step is not None:
                step.inner |= {curve.node, *halves_of_clip(curve.node), cell.node}
                step.cell, step.cell_before = cell, before
                return step
    return None


def _find_cells(reader: Reader, cell: Value) -> Iterator[tuple[tuple[Gate, Gate, Gate], Value]]:
    """Yield the input gate, the candidate and the forget gate of a new cell state, and the one before."""
    if not isinstance(cell.node.op, Add):
        return
    for added, kept in both_orders(cell.node):
        if not all(isinstance(x.node.op, Mul) and x.type == cell.type for x in (added, kept)):
            continue
        for a, b in both_orders(added.node):
            input_gate, candidate = (reader.find_gate(x, 0, reader.units) for x in (a, b))
            for forget, before in both_orders(kept.node):
                forget_gate = reader.find_gate(forget, 0, reader.units)
                if input_gate and candidate and forget_gate and before.type == cell.type:
                    reader.inner |= {added.node, kept.node}
                    yield (input_gate, candidate, forget_gate), before


def _find_gru(reader: Reader) -> Step | None:
    if not isinstance(reader.output.node.op, Add | Sub | Mul):
        return None
    states: list[Value | None] = [reader.state] if reader.state is not None else [*reader.find_states(), None]
    for state in states:
        attempt = Reader(reader.output, state)
        polynomial = attempt.expand(reader.output, 0, attempt.units, state)
        found = None if polynomial is None else _find_update(polynomial, state)
        step = None if found is None else _make_gru(attempt, *found)
        if step is not None:
            return step
    return None


def _find_update(polynomial: Polynomial, state: Value | None) -> tuple[Gate, Gate, bool] | None:
    """Return the update gate, the candidate, and whether the gate is that of the candidate instead of the state."""
    gates = {gate for monomial in polynomial for gate in monomial if gate is not None}
    for update in gates:
        for candidate in gates - {update}:
            pair = tuple(sorted((update, candidate), key=gate_order))
            plain: Polynomial = {(candidate,): 1.0, pair: -1.0}
            if state is not None:
                plain[None, update] = 1.0
            if polynomial == plain:
                return update, candidate, False
            mirrored: Polynomial = {pair: 1.0}
            if state is not None:
                mirrored |= {(None,): 1.0, (None, update): -1.0}
            # From zeros, nothing but their activations tells the two apart.
            is_clear = state is not None or candidate.activation != SIGMOID
            if polynomial == mirrored and update.activation == SIGMOID and is_clear:
                return update, candidate, True
    return None


def _make_gru(reader: Reader, update: Gate, candidate: Gate, is_mirrored: bool) -> Step | None:
    form, hidden = reader.read_gate(update), reader.read_gate(candidate)
    state = reader.state
    if form is None or hidden is None or form.gated:
        return None
    if is_mirrored:
        form = form.scaled(-1)  # 1 - sigmoid(x) is sigmoid(-x)
    reset: Gate | None = None
    resets_after: bool | None = None
    hidden_bias: Array | None = None
    if len(hidden.gated) == 1:
        reset, inner = hidden.gated[0]
        if set(inner.products) != ({state} if state is not None else set()):
            return None
        resets_after, hidden_bias = True, inner.bias
        hidden = Affine({**hidden.products, **inner.products}, hidden.bias)
    elif not hidden.gated and state is not None:
        found = _find_reset(reader, hidden, state)
        if found is None:
            return None
        reset, product = found
        resets_after = False
        hidden.products[state] = hidden.products.pop(product)
    elif hidden.gated:
        return None
    opened = None if reset is None else reader.read_gate(reset)
    if reset is not None and (opened is None or opened.gated or reset.activation != update.activation):
        return None
    step = _from_forms(reader, GRU, [form, opened, hidden], (update.activation, candidate.activation))
    if step is not None:
        step.resets_after, step.hidden_bias = resets_after, hidden_bias
    return step


def _find_reset(reader: Reader, hidden: Affine, state: Value) -> tuple[Gate, Value] | None:
    """Return the reset gate and its product with the state, of a candidate that reads the product."""
    if state in hidden.products:
        return None
    for source in hidden.products:
        if isinstance(source, Value) and isinstance(source.node.op, Mul) and source.type == state.type:
            for a, b in both_orders(source.node):
                gate = reader.find_gate(a, 0, reader.units) if b is state and a.type == b.type else None
                if gate is not None:
                    reader.inner.add(source.node)
                    return gate, source
    return None


def _make_step(
    reader: Reader, op: type[RNN] | type[LSTM], gates: list[Gate], activations: tuple[Activation, ...]
) -> Step | None:
    forms = [reader.read_gate(gate) for gate in gates]
    if any(form is None or form.gated for form in forms):
        return None
    if reader.state is None:
        states = {source for form in forms if form is not None for source in form.products if isinstance(source, Value)}
        if len(states) > 1:
            return None
        reader.state = states.pop() if states else None
    return _from_forms(reader, op, forms, activations)


def _from_forms(
    reader: Reader,
    op: type[RNN] | type[GRU] | type[LSTM],
    forms: list[Affine | None],
    activations: tuple[Activation, ...],
) -> Step | None:
    """Return the step whose gates are these forms, if each reads the same input and the state."""
    state = reader.state
    known = [form for form in forms if form is not None]
    sources = {source for form in known for source in form.products} - {state}
    if len(sources) != 1 or (state is not None and state.type != reader.output.type):
        return None
    (source,) = sources
    expected = {source} if state is None else {source, state}
    if any(set(form.products) != expected for form in known):
        return None
    # The node of the output is one of the step, but stays until its readers read another value.
    return Step(
        op,
        activations,
        reader.output,
        source,
        state,
        [None if form is None else form.products[source] for form in forms],
        [] if state is None else [form.products[state] for form in known],
        [None if form is None else form.bias for form in forms],
        reader.inner - {reader.output.node},
    )
