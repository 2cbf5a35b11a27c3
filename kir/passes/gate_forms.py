"""Normal forms of the gates of a recurrent layer, by which its steps are recognised.

A gate is an activation of an affine form: products of sources with matrices, plus a bias. A matrix may be cut out of
one for several gates, before or after the activation, and multiply several sources at once. The new state of a GRU is
compared as a polynomial of its gates, so that every way to write it is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np

from kir.ir.graph import Node, Value
from kir.ir.op import Array, Op
from kir.ops.elementwise import (
    Add,
    Clip,
    Div,
    Elu,
    HardSigmoid,
    LeakyRelu,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Relu,
    Sigmoid,
    Softplus,
    Softsign,
    Sub,
    Tanh,
    ThresholdedRelu,
)
from kir.ops.linear import Dense, MatMul
from kir.ops.recurrent import Activation
from kir.ops.shape import Concat, Gather, Reshape, Slice, Split
from kir.passes.rewrite import both_orders, constant_array, given, is_number, uniform

UNIT_CLIP: Activation = ("HardSigmoid", 1.0, 0.0)

# A step reads a handful of nodes; what needs more is none.
MAX_VISITS = 200
MAX_MONOMIALS = 6
# Of larger constants nobody asks whether their rows are equal.
MAX_ROW_SIZE = 2**20


class StepOf(NamedTuple):
    """One step of a sequence: the sequence, its axis of time, and the number of the step."""

    sequence: Value
    axis: int
    number: int


Source: TypeAlias = Value | StepOf


class Gate(NamedTuple):
    """Columns of an activation."""

    value: Value
    start: int
    stop: int

    @property
    def activation(self) -> Activation:
        """The activation as ONNX's recurrent operators name it."""
        return self._found[0]

    @property
    def argument(self) -> Value:
        """What the activation is applied to."""
        return self._found[1]

    @property
    def _found(self) -> tuple[Activation, Value]:
        found = find_activation(self.value.node)
        assert found is not None
        return found


# Which product of gates; None stands for the state before the step.
Monomial: TypeAlias = tuple[Gate | None, ...]
Polynomial: TypeAlias = dict[Monomial, float]


@dataclass
class Affine:
    """Products of sources with matrices [size, columns], plus a bias, plus products of a gate with affine forms."""

    products: dict[Source, Array]
    bias: Array
    gated: list[tuple[Gate, Affine]] = field(default_factory=list)

    def scaled(self, factor: Array | float) -> Affine:
        """Return the form times a number, or one for each column."""
        products = {source: matrix * factor for source, matrix in self.products.items()}
        return Affine(products, self.bias * factor, [(gate, form.scaled(factor)) for gate, form in self.gated])

    def plus(self, other: Affine) -> Affine:
        """Return the sum of two forms."""
        products = dict(self.products)
        for source, matrix in other.products.items():
            products[source] = products[source] + matrix if source in products else matrix
        return Affine(products, self.bias + other.bias, self.gated + other.gated)


def find_activation(node: Node) -> tuple[Activation, Value] | None:
    """Return what ONNX's recurrent operators call an operator, with its parameters, and what it is applied to."""
    op = node.op
    if isinstance(op, Clip):
        x, low, high = (*node.inputs, None, None)[:3]
        return (UNIT_CLIP, given(x)) if is_number(low, 0) and is_number(high, 1) else None
    if isinstance(op, Maximum | Minimum):
        inner = _find_bounded(node, 0.0 if isinstance(op, Maximum) else 1.0)
        x = None if inner is None or type(inner.node.op) is type(op) else _find_bounded(inner.node, None)
        return None if x is None else (UNIT_CLIP, x)
    activation: Activation | None = None
    if isinstance(op, HardSigmoid):
        activation = "HardSigmoid", op.alpha, op.beta
    elif isinstance(op, Elu | LeakyRelu | ThresholdedRelu):
        activation = op.name, op.alpha, 0.0
    elif isinstance(op, Tanh | Sigmoid | Relu | Softsign | Softplus):
        activation = op.name, 0.0, 0.0
    return None if activation is None else (activation, given(node.inputs[0]))


def halves_of_clip(node: Node) -> list[Node]:
    """Return the nodes of a clip that is written as two."""
    values = [value for value in node.inputs if value is not None and isinstance(value.node.op, Maximum | Minimum)]
    return [value.node for value in values] if isinstance(node.op, Maximum | Minimum) else []


def _find_bounded(node: Node, bound: float | None) -> Value | None:
    """Return x, of max(x, bound) or min(x, bound); None stands for 0 and 1."""
    if not isinstance(node.op, Maximum | Minimum):
        return None
    expected = (0.0 if isinstance(node.op, Maximum) else 1.0) if bound is None else bound
    return next((x for x, number in both_orders(node) if is_number(number, expected)), None)


def find_step(value: Value) -> StepOf | None:
    """Return the step that a value [batch, size] is of a sequence of rank 3."""
    node = value.node
    if value.type.rank != 2:
        return None
    if isinstance(node.op, Gather):
        index, source = constant_array(node.inputs[1]), given(node.inputs[0])
        size = source.type.shape[node.op.axis]
        if index is None or index.ndim or node.op.axis > 1 or source.type.rank != 3 or not isinstance(size, int):
            return None
        return StepOf(source, node.op.axis, int(index) % size)
    if isinstance(node.op, Split) and isinstance(given(node.inputs[0]).node.op, Reshape):
        return _find_folded_step(value, given(node.inputs[0]))
    if not isinstance(node.op, Reshape):
        return None
    part = given(node.inputs[0])
    found = _find_cut(part)
    if found is None or found.axis > 1 or part.type.rank != 3:
        return None
    rest = tuple(size for axis, size in enumerate(part.type.shape) if axis != found.axis)
    return found if rest == value.type.shape else None


def _find_cut(part: Value) -> StepOf | None:
    """Return the step of a Slice or Split that leaves one element of an axis."""
    node = part.node
    if isinstance(node.op, Split):
        is_single = all(size == 1 for size in node.op.sizes)
        return StepOf(given(node.inputs[0]), node.op.axis, part.index) if is_single else None
    if not isinstance(node.op, Slice) or len(node.op.axes) != 1 or node.op.steps != (1,):
        return None
    start, end = node.op.starts[0], node.op.ends[0]
    if not isinstance(start, int) or end != start + 1:
        return None
    return StepOf(given(node.inputs[0]), node.op.axes[0], start)


def _find_folded_step(value: Value, folded: Value) -> StepOf | None:
    """Return the step of a sequence whose time was folded into the features, and that was split there."""
    source = given(folded.node.inputs[0])
    op = value.node.op
    if source.type.rank != 3 or not isinstance(op, Split) or op.axis != 1:
        return None
    batch, time, size = source.type.shape
    if folded.type.rank != 2 or folded.type.shape[0] != batch or op.sizes != (size,) * len(op.sizes):
        return None
    return StepOf(source, 1, value.index) if time == len(op.sizes) else None


class Reader:
    """One attempt to read a value as the result of a step."""

    def __init__(self, output: Value, state: Value | None) -> None:
        self.output = output
        self.state = state
        self.units = known_units(output)
        self.inner: set[Node] = set()
        self.visits = 0

    # Columns and gates

    def resolve(self, value: Value, start: int, stop: int) -> tuple[Value, int, int]:
        """Return the value that these columns are cut out of, and where."""
        while (found := _find_columns(value)) is not None:
            self.inner.add(value.node)
            value, first = found
            start, stop = start + first, stop + first
        return value, start, stop

    def find_gate(self, value: Value, start: int, stop: int) -> Gate | None:
        """Return the gate that these columns of a value are."""
        value, start, stop = self.resolve(value, start, stop)
        if find_activation(value.node) is None:
            return None
        self.inner |= {value.node, *halves_of_clip(value.node)}
        return Gate(value, start, stop)

    def read_gate(self, gate: Gate) -> Affine | None:
        """Return the affine form that a gate is an activation of."""
        return self.read(gate.argument, gate.start, gate.stop)

    # Affine forms

    def read(self, value: Value, start: int, stop: int, at: tuple[int, int] | None = None) -> Affine | None:
        """Return columns of a value as an affine form; of one step, with `at`, its axis and number."""
        self.visits += 1
        if self.visits > MAX_VISITS:
            return None
        constant = _find_row(value, start, stop)
        if constant is not None:
            return Affine({}, constant)
        step = find_step(value) if at is None else None
        if step is not None:
            return self.read(step.sequence, start, stop, (step.axis, step.number))
        node = value.node
        self.inner.add(node)
        if isinstance(node.op, Add | Sub):
            a, b = (self.read_operand(operand, value, start, stop, at) for operand in map(given, node.inputs))
            return None if a is None or b is None else a.plus(b if isinstance(node.op, Add) else b.scaled(-1))
        if isinstance(node.op, Neg):
            form = self.read(given(node.inputs[0]), start, stop, at)
            return None if form is None else form.scaled(-1)
        if isinstance(node.op, Mul | Div):
            return self.read_product(value, start, stop, at)
        if isinstance(node.op, Dense | MatMul):
            return self.read_dense(node, start, stop, at)
        found = _find_columns(value)
        return None if found is None else self.read(found[0], start + found[1], stop + found[1], at)

    def read_operand(
        self, operand: Value, result: Value, start: int, stop: int, at: tuple[int, int] | None
    ) -> Affine | None:
        """Return the form of one operand of a sum; all but constants are as large as the sum."""
        is_whole = operand.type == result.type or _find_row(operand, start, stop) is not None
        return self.read(operand, start, stop, at) if is_whole else None

    def read_product(self, value: Value, start: int, stop: int, at: tuple[int, int] | None) -> Affine | None:
        node = value.node
        for a, b in both_orders(node)[: 1 if isinstance(node.op, Div) else 2]:
            factor = _find_row(b, start, stop)
            if factor is not None and a.type == value.type:
                form = self.read(a, start, stop, at)
                if form is not None:
                    return form.scaled(1 / factor if isinstance(node.op, Div) else factor)
        if isinstance(node.op, Div) or at is not None:
            return None
        for a, b in both_orders(node):
            gate = self.find_gate(a, start, stop) if a.type == b.type else None
            form = None if gate is None else self.read(b, start, stop)
            if gate is not None and form is not None and not form.gated:
                return Affine({}, np.zeros(stop - start), [(gate, form)])
        return None

    def read_dense(self, node: Node, start: int, stop: int, at: tuple[int, int] | None) -> Affine | None:
        kernel = constant_array(node.inputs[1])
        bias = constant_array(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(stop)
        if kernel is None or kernel.ndim != 2 or bias is None or node.op not in (Dense(), MatMul()):
            return None
        products: dict[Source, Array] = {}
        first, x = 0, given(node.inputs[0])
        is_joined = isinstance(x.node.op, Concat) and x.node.op.axis == x.type.rank - 1
        self.inner |= {x.node} if is_joined else set()
        for part in map(given, x.node.inputs) if is_joined else [x]:
            size = part.type.shape[-1]
            if not isinstance(size, int):
                return None
            source = (find_step(part) or part) if at is None else StepOf(part, *at)
            if source in products:
                return None
            if not self.is_zero(part):
                products[source] = kernel[first : first + size, start:stop]
            first += size
        return Affine(products, bias[start:stop])

    def is_zero(self, value: Value) -> bool:
        """Return whether a value is a first state of zeros, or its product with a gate."""
        if is_number(value, 0):
            return True
        if not isinstance(value.node.op, Mul) or value.type.rank != 2:
            return False
        found = any(is_number(b, 0) and self.find_gate(a, 0, 1) is not None for a, b in both_orders(value.node))
        self.inner |= {value.node} if found else set()
        return found

    # Polynomials

    def expand(self, value: Value, start: int, stop: int, state: Value | None) -> Polynomial | None:
        """Return columns of a value as a polynomial of gates and the state."""
        self.visits += 1
        if self.visits > MAX_VISITS:
            return None
        if value is state:
            return {(None,): 1.0}
        number = uniform(value)
        if number is not None:
            return {(): float(number)} if number != 0 else {}
        gate = self.find_gate(value, start, stop)
        if gate is not None:
            return {(gate,): 1.0}
        node = value.node
        if not isinstance(node.op, Add | Sub | Mul | Neg):
            return None
        self.inner.add(node)
        operands = [given(x) for x in node.inputs]
        if any(x.type != value.type and uniform(x) is None for x in operands):
            return None
        polynomials = [self.expand(x, start, stop, state) for x in operands]
        return _combine(node.op, polynomials)

    def find_states(self) -> list[Value]:
        """Return what may be the state before the step: what gates near the output read that is no step."""
        pending, seen, found = [self.output], 0, dict[Value, None]()
        while pending and seen < 16:
            value = pending.pop(0)
            seen += 1
            gate = self.find_gate(value, 0, self.units)
            form = None if gate is None else self.read_gate(gate)
            if form is not None:
                found |= {x: None for x in form.products if isinstance(x, Value) and x.type == self.output.type}
            elif isinstance(value.node.op, Add | Sub | Mul):
                pending += map(given, value.node.inputs)
        return list(found)


def _combine(op: Op, polynomials: list[Polynomial | None]) -> Polynomial | None:
    first, second = polynomials[0], polynomials[-1]
    if first is None or second is None:
        return None
    if isinstance(op, Neg):
        return {monomial: -number for monomial, number in first.items()}
    result: Polynomial = {} if isinstance(op, Mul) else dict(first)
    if isinstance(op, Mul):
        for a, x in first.items():
            for b, y in second.items():
                monomial = tuple(sorted(a + b, key=gate_order))
                result[monomial] = result.get(monomial, 0.0) + x * y
    else:
        for monomial, number in second.items():
            result[monomial] = result.get(monomial, 0.0) + (number if isinstance(op, Add) else -number)
    result = {monomial: number for monomial, number in result.items() if number}
    return result if len(result) <= MAX_MONOMIALS else None


def gate_order(gate: Gate | None) -> tuple[int, int]:
    return (0, 0) if gate is None else (id(gate.value), gate.start)


def _find_columns(value: Value) -> tuple[Value, int] | None:
    """Return what a value is cut out of along its last axis, and the first column."""
    node = value.node
    last = value.type.rank - 1
    if isinstance(node.op, Split) and node.op.axis == last:
        sizes = [size for size in node.op.sizes[: value.index] if isinstance(size, int)]
        return (given(node.inputs[0]), sum(sizes)) if len(sizes) == value.index else None
    if isinstance(node.op, Slice) and node.op.axes == (last,) and node.op.steps == (1,):
        start = node.op.starts[0]
        return (given(node.inputs[0]), start) if isinstance(start, int) else None
    return None


def _find_row(value: Value, start: int, stop: int) -> Array | None:
    """Return columns of a constant that is the same for all sequences and steps."""
    array, number = constant_array(value), uniform(value)
    if number is not None:
        return np.full(stop - start, number)
    if array is None or array.ndim == 0 or not 0 < array.size <= MAX_ROW_SIZE:
        return None
    rows = array.reshape(-1, array.shape[-1])[:, start:stop]
    return rows[0] if len(rows) == 1 or (rows == rows[0]).all() else None


def known_units(state: Value) -> int:
    """Return how many features a state has."""
    units = state.type.shape[1]
    assert isinstance(units, int)
    return units
