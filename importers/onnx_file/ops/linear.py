"""Dense, matrix products and Einsum."""

from __future__ import annotations

from kir.errors import ShapeError
from kir.importers.onnx_file import recognise
from kir.importers.onnx_file.ops.table import Results, imports, scaled
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ops.elementwise import Add
from kir.ops.linear import Dense, Einsum, MatMul
from kir.ops.shape import Transpose


@imports("Gemm")
def gemm(call: OperatorCall, a: Operand, b: Operand, c: Operand | None = None) -> Results:
    """Read a Dense; with scaling, or an addend that is no bias, the parts of the formula one by one."""
    alpha, beta = call.attributes.number("alpha", 1.0), call.attributes.number("beta", 1.0)
    x = _turned(call, a, "transA")
    kernel = _turned(call, b, "transB")
    if c is not None and beta == 0:
        c = None
    elif c is not None and beta != 1:
        c = scaled(call, c, beta)
    if not x.type.dtype.is_float:
        result = call.add(MatMul(), x, kernel)
    elif alpha == 1 and c is not None and c.type.shape == kernel.type.shape[1:]:
        return call.add(Dense(), x, kernel, c)
    else:
        result = call.add(Dense(), x, kernel)
    if alpha != 1:
        result = scaled(call, result, alpha)
    return result if c is None else call.add(Add(), result, c)


def _turned(call: OperatorCall, matrix: Operand, attribute: str) -> Operand:
    if matrix.type.rank != 2:
        raise ShapeError(f"Gemm received {matrix.type}; expected a matrix")
    return call.add(Transpose((1, 0)), matrix) if call.attributes.integer(attribute, 0) else matrix


@imports("MatMul")
def matmul(call: OperatorCall, a: Operand, b: Operand) -> Results:
    return call.add(Dense() if recognise.multiply(call, a, b) else MatMul(), a, b)


@imports("Einsum")
def einsum(call: OperatorCall, *operands: Operand) -> Results:
    return call.add(Einsum(call.attributes.text("equation")), *operands)
