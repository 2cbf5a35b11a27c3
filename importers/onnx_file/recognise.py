"""Operators that the exporter writes as several ONNX nodes, put together again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kir.importers.onnx_file.numbers import intended
from kir.importers.onnx_file.translate import Operand, OperatorCall, Pending, Translator
from kir.ir.graph import Value
from kir.ir.structural import Constant
from kir.ir.types import DType, Shape, TensorType
from kir.ops.elementwise import Mul
from kir.ops.linear import Dense
from kir.ops.random import Dropout

SEQUENCE_LENS = 4  # the slot of a recurrent operator


# Dense


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
