"""Cases of the operators of kir.ops.linear."""

from __future__ import annotations

from kir.ir.op import Op
from kir.ir.types import parse_type
from kir.ops.elementwise import Gelu, HardSigmoid, LeakyRelu, Relu, Tanh
from kir.ops.linear import Dense, Einsum, MatMul
from kir.ops.nn import LogSoftmax, Softmax
from tests.ops.cases import Case


def case(op: Op, *texts: str | None) -> Case:
    """Sums of products round once per term: more is allowed than of one operation."""
    return Case(op, tuple(None if text is None else parse_type(text) for text in texts), ulps=32)


DENSE_CASES = [
    *(
        case(Dense(), x, kernel, bias)
        for x, kernel, bias in [
            ("f32[2, 3]", "f32[3, 4]", "f32[4]"),
            ("f32[batch, 3]", "f32[3, 4]", "f32[4]"),
            ("f32[batch, 3]", "f32[3, 4]", None),
            ("f32[batch, length, 3]", "f32[3, 4]", "f32[4]"),
            ("f32[batch, length, 2, 3]", "f32[3, 1]", None),
            ("f32[batch, 3]", "f32[3, 1]", "f32[1]"),
            ("f32[batch, 0]", "f32[0, 4]", "f32[4]"),
            ("f64[batch, 3]", "f64[3, 4]", "f64[4]"),
            ("f16[batch, 3]", "f16[3, 4]", "f16[4]"),
        ]
    ),
    *(
        case(Dense(activation), x, "f32[3, 4]", "f32[4]")
        for activation in (Relu(), Tanh(), LeakyRelu(0.3), HardSigmoid(0.25, 0.4), Gelu(False))
        for x in ("f32[batch, 3]", "f32[batch, length, 3]")
    ),
    case(Dense(Relu()), "f32[batch, 3]", "f32[3, 4]", None),
    case(Dense(Softmax(1)), "f32[batch, 3]", "f32[3, 4]", "f32[4]"),
    case(Dense(LogSoftmax(2)), "f32[batch, length, 3]", "f32[3, 4]", "f32[4]"),
]

MATMUL_CASES = [
    case(MatMul(), a, b)
    for a, b in [
        ("f32[2, 3]", "f32[3, 4]"),
        ("f32[batch, 3]", "f32[3, 4]"),
        ("f32[batch, length, 3]", "f32[batch, 3, length]"),
        ("f32[batch, 1, length, 3]", "f32[4, 3, 2]"),
        ("f32[3]", "f32[3, 4]"),
        ("f32[batch, 3]", "f32[3]"),
        ("f32[3]", "f32[3]"),
        ("f32[batch, n]", "f32[n, 4]"),
        ("f64[batch, 3]", "f64[3, 4]"),
        ("f16[batch, 3]", "f16[3, 4]"),
        ("i64[batch, 3]", "i64[3, 4]"),
        ("i32[batch, 3]", "i32[3, 4]"),
    ]
]

EINSUM_CASES = [
    case(Einsum(equation), *operands)
    for equation, operands in [
        ("ij,jk->ik", ("f32[2, 3]", "f32[3, 4]")),
        ("bij,bjk->bik", ("f32[batch, length, 3]", "f32[batch, 3, n]")),
        ("bqhd,bkhd->bhqk", ("f32[batch, length, 2, 3]", "f32[batch, n, 2, 3]")),
        ("...ij,...jk->...ik", ("f32[batch, 1, 2, 3]", "f32[5, 3, 4]")),
        ("bi,bj", ("f32[batch, 2]", "f32[batch, n]")),
        ("i,i->", ("f32[n]", "f32[n]")),
        ("bij->bji", ("f32[batch, length, 3]",)),
        ("bij->b", ("f64[batch, 2, 3]",)),
        ("i,j,k->kji", ("f32[2]", "f32[n]", "f32[3]")),
        ("bii->bi", ("f32[batch, 3, 3]",)),
    ]
]

LINEAR_CASES: list[Case] = DENSE_CASES + MATMUL_CASES + EINSUM_CASES
