"""Dense, matrix products and Einsum."""

from __future__ import annotations

from kir.exporters.onnx_file.emitter import Emitter, Tensor
from kir.exporters.onnx_file.ops.table import SAME, Names, Same, emit, exports, names_of
from kir.ops.linear import ELLIPSIS, Dense, Einsum, MatMul, parse_equation

SAME.update(
    {
        MatMul: Same("MatMul"),
    }
)


@exports(Dense)
def dense(emitter: Emitter, op: Dense, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Names:
    """Rank 2 is always Gemm: onnxruntime fuses Gemm with an activation, and never MatMul; without C it is faster."""
    if x.type.rank == 2:
        result = emitter.node("Gemm", names_of([x, kernel, bias]))
    else:
        result = emitter.node("MatMul", [x.name, kernel.name])
        if bias is not None:
            result = emitter.node("Add", [result, bias.name])
    if op.activation is None:
        return result
    type = Dense().infer(x.type, kernel.type, None if bias is None else bias.type)
    return emit(emitter, op.activation, Tensor(result, type))


@exports(Einsum)
def einsum(emitter: Emitter, op: Einsum, *operands: Tensor) -> Names:
    """In ONNX all ellipses stand for equally many axes: axes of size 1 make up for what is missing."""
    terms, _ = parse_equation(op.equation)
    hidden = [x.type.rank - len(term.replace(ELLIPSIS, "")) for term, x in zip(terms, operands, strict=True)]
    most = max(hidden)
    names = []
    for term, x, count in zip(terms, operands, hidden, strict=True):
        start = term.find(ELLIPSIS)
        axes = emitter.constant(range(start, start + most - count), "axes") if start >= 0 and count < most else ""
        names.append(emitter.node("Unsqueeze", [x.name, axes]) if axes else x.name)
    return emitter.node("Einsum", names, equation=op.equation)
