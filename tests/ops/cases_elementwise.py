"""Cases of the elementwise operators: unary ones by the range on which they are defined, binary ones by dtype."""

from __future__ import annotations

import numpy as np

from kir.ir.op import Op
from kir.ir.types import DType, parse_type
from kir.ops.elementwise import (
    Abs,
    Acos,
    Acosh,
    Add,
    And,
    Asin,
    Asinh,
    Atan,
    Atanh,
    BitwiseXor,
    Cast,
    Ceil,
    Celu,
    Clip,
    Cos,
    Cosh,
    Div,
    Elu,
    Equal,
    Erf,
    Exp,
    Floor,
    Gelu,
    Greater,
    GreaterOrEqual,
    HardSigmoid,
    HardSwish,
    IsInf,
    IsNaN,
    LeakyRelu,
    Less,
    LessOrEqual,
    Log,
    Maximum,
    Minimum,
    Mish,
    Mod,
    Mul,
    Neg,
    Not,
    Or,
    Pow,
    PRelu,
    Reciprocal,
    Relu,
    Round,
    Selu,
    Shrink,
    Sigmoid,
    Sign,
    Sin,
    Sinh,
    Softplus,
    Softsign,
    Sqrt,
    Sub,
    Tan,
    Tanh,
    ThresholdedRelu,
    Where,
    Xor,
)
from tests.ops.cases import Case

STATIC, SYMBOLIC, SCALAR = "[2, 3]", "[batch, 3, length]", "[]"

EVERYWHERE: tuple[Op, ...] = (
    Abs(),
    Neg(),
    Sign(),
    Exp(),
    Sin(),
    Cos(),
    Atan(),
    Sinh(),
    Cosh(),
    Asinh(),
    Erf(),
    Floor(),
    Ceil(),
    Round(),
    Tanh(),
    Sigmoid(),
    Relu(),
    Selu(),
    Softplus(),
    Softsign(),
    HardSwish(),
    Mish(),
    LeakyRelu(0.2),
    Elu(1.5),
    Celu(0.7),
    ThresholdedRelu(0.5),
    HardSigmoid(0.25, 0.4),
    Gelu(False),
    Gelu(True),
    Shrink(0.3, 0.5),
)

# The range of each avoids its poles, next to which any rounding is magnified.
WITHIN: tuple[tuple[Op, float, float], ...] = (
    (Sqrt(), 0, 9),
    (Log(), 0.1, 9),
    (Tan(), -1.2, 1.2),
    (Asin(), -0.95, 0.95),
    (Acos(), -0.95, 0.95),
    (Acosh(), 1.1, 9),
    (Atanh(), -0.95, 0.95),
    (Reciprocal(), 0.2, 5),
)

ARITHMETIC: tuple[Op, ...] = (Add(), Sub(), Mul(), Div(), Maximum(), Minimum())
COMPARING: tuple[Op, ...] = (Equal(), Less(), LessOrEqual(), Greater(), GreaterOrEqual())
LOGIC: tuple[Op, ...] = (And(), Or(), Xor())

# Pairs of shapes that broadcast.
BROADCASTS = (("[2, 3]", "[2, 3]"), ("[batch, 3, length]", "[3, 1]"), ("[]", "[batch, 2]"), ("[4, 1]", "[1, 3]"))


def _unary() -> list[Case]:
    shapes = (STATIC, SYMBOLIC, SCALAR)
    rows = [Case(op, (parse_type(f"f32{shape}"),), -4, 4) for op in EVERYWHERE for shape in shapes]
    rows += [Case(op, (parse_type(f"f32{shape}"),), low, high) for op, low, high in WITHIN for shape in shapes]
    rows += [Case(op, (parse_type(f"i32{shape}"),), -5, 5) for op in (Abs(), Neg(), Sign(), Relu()) for shape in shapes]
    rows += [Case(Not(), (parse_type(f"bool{shape}"),)) for shape in shapes]
    return rows


def _tests() -> list[Case]:
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5], np.float32)
    return [Case(op, given) for op in (IsNaN(), IsInf()) for given in ((special,), (parse_type("f32[batch, 2]"),))]


def _casts() -> list[Case]:
    pairs = (
        "f32 i64",
        "f32 i32",
        "i64 f32",
        "i32 i64",
        "bool f32",
        "f32 bool",
        "f32 f16",
        "f16 f32",
        "f32 f64",
        "i64 bool",
    )
    rows = []
    for pair in pairs:
        source, target = pair.split()
        rows += [Case(Cast(DType(target)), (parse_type(f"{source}{shape}"),), -9, 9) for shape in (STATIC, SYMBOLIC)]
    return rows


def _binary() -> list[Case]:
    def rows(ops: tuple[Op, ...], dtype: str, low: float, high: float, since: int = 13) -> list[Case]:
        return [
            Case(op, (parse_type(f"{dtype}{a}"), parse_type(f"{dtype}{b}")), low, high, since=since)
            for op in ops
            for a, b in BROADCASTS
        ]

    return [
        *rows(ARITHMETIC, "f32", 0.5, 3),
        *rows(ARITHMETIC, "i64", 1, 9),
        *rows(ARITHMETIC, "i32", 1, 9),
        *rows(COMPARING, "f32", -2, 2),
        *rows(COMPARING, "i64", -2, 2),
        *rows((Pow(), Mod(fmod=True)), "f32", 0.5, 3),
        *rows((Pow(),), "i64", 0, 5),
        *rows((Mod(fmod=False), Mod(fmod=True)), "i64", 1, 9),
        *rows((*LOGIC, Equal()), "bool", 0, 1),
        *rows((BitwiseXor(),), "i64", -9, 9, since=18),
        *rows((BitwiseXor(),), "u8", 0, 255, since=18),
    ]


def _signs() -> list[Case]:
    """Both signs of both operands, where rounding to zero and to minus infinity differ."""
    a = np.array([7, 7, -7, -7, 6, -6], np.int64)
    b = np.array([3, -3, 3, -3, 3, 3], np.int64)
    integers = [Case(op, (a, b)) for op in (Div(), Mod(fmod=False), Mod(fmod=True))]
    return [*integers, Case(Mod(fmod=True), (a.astype(np.float32) / 2, b.astype(np.float32)))]


def _others() -> list[Case]:
    low, high = np.float32(-0.5), np.float32(1.0)
    bounds = [(np.array(low), np.array(high)), (np.array(low), None), (None, np.array(high)), (None, None)]
    rows = [Case(Clip(), (parse_type(f"f32{shape}"), *pair)) for pair in bounds for shape in (STATIC, SYMBOLIC)]
    scalar = parse_type("f32[]")
    rows.append(Case(Clip(), (parse_type("f32[batch]"), scalar, scalar)))
    rows.append(Case(Clip(), (parse_type("i64[batch]"), np.array(-1), np.array(1)), -5, 5))
    rows += [
        Case(PRelu(), (parse_type("f32[2, 3]"), parse_type("f32[3]"))),
        Case(PRelu(), (parse_type("f32[batch, length, 3]"), parse_type("f32[1, 3]"))),
        Case(Where(), (parse_type("bool[2, 3]"), parse_type("f32[2, 3]"), parse_type("f32[]"))),
        Case(Where(), (parse_type("bool[batch, 1]"), parse_type("f32[1, length]"), parse_type("f32[batch, length]"))),
        Case(Where(), (parse_type("bool[]"), parse_type("i64[batch]"), parse_type("i64[batch]"))),
    ]
    return rows


ELEMENTWISE_CASES: list[Case] = [*_unary(), *_tests(), *_casts(), *_binary(), *_signs(), *_others()]
