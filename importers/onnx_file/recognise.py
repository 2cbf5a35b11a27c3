"""Operators that the exporter writes as several ONNX nodes, put together again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kir.importers.onnx_file.numbers import intended
from kir.importers.onnx_file.translate import Operand, OperatorCall, Pending, Translator
from kir.ir.graph import Value
from kir.ir.op import Op
from kir.ir.structural import Constant
from kir.ir.types import DType, Shape, TensorType
from kir.ops.elementwise import Equal, Mul
from kir.ops.linear import ELLIPSIS, Dense, parse_equation
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.random import Dropout
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.shape import Reshape

SEQUENCE_LENS = 4  # the slot of a recurrent operator


# Dense


def activate(translator: Translator, op: Op, x: Operand) -> Operand | None:
    """Fold Gemm, Relu of one layer → Dense(activation=Relu), in files of this exporter.

    That is how it writes both a Dense with an activation and a Dense with the activation after it. None if this is
    neither.
    """
    node = None if x.value is None else x.value.node
    if node is None or not translator.written_by_kir or not translator.is_read_once(x):
        return None
    if node.op != Dense() or node.origin != translator.origin:
        return None
    if isinstance(op, Softmax | LogSoftmax) and op.axis != node.output.type.rank - 1:
        return None
    result = translator.graph.add(Dense(op), *node.inputs, origin=node.origin)
    return Operand("", result.output)


def multiply(call: OperatorCall, x: Operand, kernel: Operand) -> bool:
    """Return whether a MatMul is a Dense: of more than two axes with a matrix, or of a matrix with a constant one.

    The exporter writes a Dense of two axes as Gemm.
    """
    if kernel.type.rank != 2 or not x.type.dtype.is_float:
        return False
    is_weight = kernel.array is not None and not call.translator.written_by_kir
    return x.type.rank > 2 or (x.type.rank == 2 and is_weight)


def add_bias(call: OperatorCall, product: Operand, bias: Operand) -> Operand | None:
    """Fold MatMul, Add → Dense(x, kernel, bias), if nothing else reads the product."""
    node = None if product.value is None else product.value.node
    translator = call.translator
    if node is None or node.op != Dense() or len(node.inputs) != 2 or not translator.is_read_once(product):
        return None
    if bias.type.shape != node.output.type.shape[-1:] or bias.is_shape:
        return None
    if translator.written_by_kir and (node.origin != translator.origin or node.output.type.rank == 2):
        return None
    if not translator.written_by_kir and bias.array is None:
        return None
    result = translator.graph.add(Dense(), *node.inputs, translator.value(bias), origin=translator.origin)
    return Operand("", result.output)


# Einsum


def without_unsqueeze(equation: str, operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
    """Return Einsum's operands without axes of 1 in front under their ellipsis: in kir ellipses broadcast."""
    terms, _ = parse_equation(equation)
    if len(terms) != len(operands):
        return operands
    return tuple(_squeezed(term, operand) for term, operand in zip(terms, operands, strict=True))


def _squeezed(term: str, operand: Operand) -> Operand:
    node = None if operand.value is None else operand.value.node
    start = term.find(ELLIPSIS)
    if node is None or start < 0 or not isinstance(node.op, Reshape) or node.inputs[0] is None:
        return operand
    source = node.inputs[0]
    added = node.output.type.rank - source.type.rank
    shape = source.type.shape
    is_unsqueeze = added > 0 and node.op.shape == (*shape[:start], *(1,) * added, *shape[start:])
    return Operand("", source) if is_unsqueeze else operand


# Recurrent


def kept_state(call: OperatorCall, condition: Operand, initial: Operand, final: Operand) -> Operand | None:
    """Fold Where(lens == 0, initial, final) → final: in kir a sequence without steps keeps its state."""
    node = None if final.value is None else final.value.node
    column = None if condition.value is None else condition.value.node
    test = column.inputs[0] if column is not None and isinstance(column.op, Reshape) else None
    if node is None or not isinstance(node.op, RNN | GRU | LSTM) or final.value is None or test is None:
        return None
    slot = SEQUENCE_LENS + final.value.index
    is_equal = isinstance(test.node.op, Equal) and _number(test.node.inputs[1]) == 0
    is_lens = is_equal and test.node.inputs[0] is node.inputs[SEQUENCE_LENS]
    states = list(node.inputs[slot : slot + 1]) if slot > SEQUENCE_LENS else []
    is_initial = states == [call.translator.value(initial)]
    return final if is_lens and is_initial else None


def _number(value: Value | None) -> float | None:
    op = None if value is None else value.node.op
    return float(op.value.array.item()) if isinstance(op, Constant) and op.value.array.size == 1 else None


# Dropout

SCALE_ERROR = 0.01  # of a scale that was rounded to bfloat16


@dataclass(frozen=True)
class Zeros(Pending):
    """A tensor of zeros: the start of a sparse one."""

    size: Operand
    what = "ConstantOfShape of a shape that the model computes"


@dataclass(frozen=True)
class Uniform(Pending):
    """Random numbers of a shape: the start of a Dropout."""

    shape: Shape
    seed: int | None
    what = "RandomUniformLike"


@dataclass(frozen=True)
class Kept(Pending):
    """The mask of elements that a Dropout keeps."""

    probability: float
    draw: Uniform
    what = "a comparison with random numbers"


@dataclass(frozen=True)
class Dropped(Pending):
    """The result of a Dropout that is always on."""

    x: Operand
    op: Dropout
    what = "a random choice"

    @property
    def type(self) -> TensorType:
        return self.x.type

    def complete(self, translator: Translator) -> Value:
        always = translator.constant(True, DType.BOOL)
        return translator.value(translator.add(self.op, self.x, always))


@dataclass(frozen=True)
class DropoutMask(Pending):
    """The mask of elements that a Dropout node has kept in its result."""

    result: Operand
    what = "the mask of a Dropout"


def drop_again(call: OperatorCall, mask: DropoutMask, dropped: Operand, zero: Operand) -> Operand | None:
    """Fold Where(mask, dropped, 0) → dropped."""
    is_zero = zero.array is not None and not zero.array.any()
    return mask.result if is_zero and dropped.value is mask.result.value else None


def compare_random(draw: Uniform, probability: Operand) -> Operand | None:
    """Fold Less(RandomUniformLike, probability) → which elements are kept."""
    if probability.array is None or probability.array.size != 1:
        return None
    return Operand("", pending=Kept(float(probability.array.item()), draw))


def drop(call: OperatorCall, kept: Kept, scaled: Operand, zero: Operand) -> Operand | None:
    """Fold Where(kept, x * scale, 0) → Dropout in training, with a noise shape."""
    node = None if scaled.value is None else scaled.value.node
    if node is None or not isinstance(node.op, Mul) or node.inputs[0] is None or zero.array is None:
        return None
    rate = intended(float(np.float32(1 - intended(kept.probability))))
    scale = _number(node.inputs[1])
    expected = 1 / (1 - rate) if rate < 1 else 1.0
    if scale is None or abs(scale - expected) > SCALE_ERROR * expected or zero.array.any() or not 0 <= rate <= 1:
        return None
    x = node.inputs[0]
    is_of_x = rate == 1 and kept.draw.shape == x.type.shape
    noise_shape = None if is_of_x else kept.draw.shape
    return Operand("", pending=Dropped(Operand("", x), Dropout(rate, noise_shape, kept.draw.seed)))


def switch(call: OperatorCall, training: Operand, dropped: Dropped, x: Operand) -> Operand | None:
    """Fold Where(training, dropped, x) → Dropout(x, training)."""
    if dropped.x.value is not call.translator.value(x):
        return None
    return call.add(dropped.op, x, training)
