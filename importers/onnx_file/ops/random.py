"""Dropout, and random choices and numbers."""

from __future__ import annotations

from kir.errors import ShapeError, UnsupportedError
from kir.importers.onnx_file import recognise
from kir.importers.onnx_file.numbers import intended
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.reading import read_dtype
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.op import Array
from kir.ops.elementwise import Cast
from kir.ops.random import Dropout, RandomNormalLike


@imports("Dropout")
def dropout(call: OperatorCall, x: Operand, ratio: Operand | None = None, training: Operand | None = None) -> Results:
    """Read a Dropout. Its mask, the second output, is known where it is applied once more, as the exporter does."""
    seed = call.attributes.integer("seed", None)
    if call.opset < 12:
        rate = call.attributes.number("ratio", 0.5)
    else:
        rate = 0.5 if ratio is None else _rate(call.array(ratio, "ratio"))
    result = call.add(Dropout(rate, None, seed), x, *([] if training is None else [training]))
    return [result, Operand("", pending=recognise.DropoutMask(result))]


def _rate(ratio: Array) -> float:
    if ratio.size != 1:
        raise ShapeError(f"the ratio of a Dropout has {ratio.size} elements; expected one")
    return intended(float(ratio.item()))


@imports("RandomUniformLike")
def random_uniform_like(call: OperatorCall, template: Operand) -> Results:
    attributes = call.attributes
    low, high, seed = attributes.number("low", 0.0), attributes.number("high", 1.0), attributes.number("seed", None)
    attributes.integer("dtype", 1)
    if (low, high) != (0, 1):
        raise UnsupportedError("RandomUniformLike outside a Dropout")
    return Operand("", pending=recognise.Uniform(template.type.shape, None if seed is None else int(seed)))


@imports("RandomNormalLike")
def random_normal_like(call: OperatorCall, template: Operand) -> Results:
    attributes = call.attributes
    mean, scale, seed = attributes.number("mean", 0.0), attributes.number("scale", 1.0), attributes.number("seed", None)
    number = attributes.integer("dtype", None)
    dtype = template.type.dtype if number is None else read_dtype(number, "the dtype of RandomNormalLike")
    like = template if template.type.dtype is dtype else call.add(Cast(dtype), template)
    return call.add(RandomNormalLike(mean, scale, None if seed is None else int(seed)), like)
