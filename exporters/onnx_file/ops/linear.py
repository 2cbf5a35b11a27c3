"""Dense, matrix products and Einsum."""

from __future__ import annotations

from collections.abc import Sequence

from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import Names, emit, exports, names_of
from kir.ops.linear import ELLIPSIS, Dense, Einsum, MatMul, parse_equation


@exports(MatMul)
def matmul(emitter: Emitter, op: MatMul, a: FileTensor, b: FileTensor) -> Names:
    """Write one node, but where onnxruntime (1.32 is the newest known) dies of operands of different rank.

    Its MatmulTransposeFusion exchanges a Cast with the Transpose before it, if that turns the first axis into one of
    the last two. Then it refuses to fuse the Transpose with a MatMul of operands of different rank, and leaves the
    graph without the Cast. Operands of one rank it fuses.
    """
    rank = max(a.type.rank, b.type.rank)
    if a.type.rank == b.type.rank or not (_turns_first_axis(emitter, a) or _turns_first_axis(emitter, b)):
        return emitter.node("MatMul", [a.name, b.name])
    is_vector = (a.type.rank == 1, b.type.rank == 1)
    left = [*range(rank - a.type.rank)]
    right = [*range(rank - 1 - b.type.rank), rank - 1] if is_vector[1] else [*range(rank - b.type.rank)]
    product = emitter.node("MatMul", [_unsqueeze(emitter, a, left), _unsqueeze(emitter, b, right)])
    if not any(is_vector):
        return product
    return emitter.node("Squeeze", [product, emitter.constant([-2 if is_vector[0] else -1], "axes")])


def _turns_first_axis(emitter: Emitter, x: FileTensor) -> bool:
    rank = x.type.rank
    turns = {(*range(1, rank - 1), 0, rank - 1), (*range(1, rank), 0)}
    return rank > 2 and any(found in turns for found in emitter.permutations(x.name, x.type.dtype))


def _unsqueeze(emitter: Emitter, x: FileTensor, axes: Sequence[int]) -> str:
    return emitter.node("Unsqueeze", [x.name, emitter.constant(axes, "axes")]) if axes else x.name


@exports(Dense)
def dense(emitter: Emitter, op: Dense, x: FileTensor, kernel: FileTensor, bias: FileTensor | None = None) -> Names:
    """Write a Gemm for rank 2: onnxruntime fuses it with an activation, and never MatMul; without C it is faster."""
    if x.type.rank == 2:
        result = emitter.node("Gemm", names_of([x, kernel, bias]))
    else:
        (result,) = emit(emitter, MatMul(), x, kernel)
        if bias is not None:
            result = emitter.node("Add", [result, bias.name])
    if op.activation is None:
        return result
    type = Dense().infer(x.type, kernel.type, None if bias is None else bias.type)
    return emit(emitter, op.activation, FileTensor(result, type))


@exports(Einsum)
def einsum(emitter: Emitter, op: Einsum, *operands: FileTensor) -> Names:
    """Write an Einsum. In ONNX all ellipses stand for equally many axes: axes of size 1 make up for missing ones."""
    terms, _ = parse_equation(op.equation)
    hidden = [x.type.rank - len(term.replace(ELLIPSIS, "")) for term, x in zip(terms, operands, strict=True)]
    most = max(hidden)
    names = []
    for term, x, count in zip(terms, operands, hidden, strict=True):
        start = term.find(ELLIPSIS)
        axes = emitter.constant(range(start, start + most - count), "axes") if start >= 0 and count < most else ""
        names.append(emitter.node("Unsqueeze", [x.name, axes]) if axes else x.name)
    return emitter.node("Einsum", names, equation=op.equation)
