from typing import Any

import numpy as np
import pytest

from kir.ir.graph import Value
from kir.ir.op import Op
from kir.ir.structural import Constant
from kir.ir.types import DType
from kir.ops.elementwise import (
    Abs,
    Add,
    And,
    Cast,
    Ceil,
    Clip,
    Div,
    Exp,
    Floor,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Not,
    Or,
    Relu,
    Round,
    Sigmoid,
    Sin,
    Softplus,
    Sub,
    Where,
    Xor,
)
from kir.ops.reduce import ReduceMax, ReduceMin, ReduceSum
from kir.ops.shape import Concat, Expand
from kir.passes.simplify import simplify
from tests.passes.building import Build, Builder, f32, left, optimize

F32, I32, BOOL = "f32[batch, 4]", "i32[batch, 4]", "bool[batch, 4]"
ONE, ZERO, MINUS_ZERO = f32(1), f32(0), f32(-0.0)
INT_ZERO, INT_ONE = np.int32(0), np.int32(1)
TRUE, FALSE = np.array([True]), np.array(False)


Bounds = tuple[float | None, float | None]


def clip(low: float | None, high: float | None) -> Builder:
    return lambda b, x: b(Clip(), x, None if low is None else f32(low), None if high is None else f32(high))


def bounds(outer: type[Op], second: float, first: float) -> Builder:
    """Return a Maximum after a Minimum, or the other way round, of numbers."""
    inner = Maximum if outer is Minimum else Minimum
    return lambda b, x: b(outer(), b(inner(), x, f32(first)), f32(second))


def clips(first: Bounds, second: Bounds) -> Builder:
    return lambda b, x: clip(*second)(b, clip(*first)(b, x))


def join(b: Build, x: Value, y: Value) -> Any:
    return b(Concat(1), x, y)


def casts(*names: str) -> Builder:
    def build(b: Build, x: Value) -> Any:
        for name in names:
            x = b(Cast(DType(name)), x)
        return x

    return build


CASES: dict[str, tuple[Builder, Any, list[str]]] = {
    "1 x * 1": (lambda b, x: b(Mul(), x, ONE), F32, []),
    "1 1 * x": (lambda b, x: b(Mul(), f32([1, 1, 1, 1]), x), F32, []),
    "1 x / 1": (lambda b, x: b(Div(), x, ONE), F32, []),
    "1 x + -0.0": (lambda b, x: b(Add(), MINUS_ZERO, x), F32, []),
    "1 x - 0.0": (lambda b, x: b(Sub(), x, ZERO), F32, []),
    "1 integers + 0": (lambda b, x: b(Add(), x, INT_ZERO), I32, []),
    "1 integers - 0": (lambda b, x: b(Sub(), x, INT_ZERO), I32, []),
    "1 integers / 1": (lambda b, x: b(Div(), x, INT_ONE), I32, []),
    "1 not x + 0.0": (lambda b, x: b(Add(), x, ZERO), F32, ["Add"]),
    "1 not x - -0.0": (lambda b, x: b(Sub(), x, MINUS_ZERO), F32, ["Sub"]),
    "1 not 0 - x": (lambda b, x: b(Sub(), ZERO, x), F32, ["Sub"]),
    "1 not 1 / x": (lambda b, x: b(Div(), ONE, x), F32, ["Div"]),
    "1 not if broadcast": (lambda b, x: b(Mul(), x, f32([[[1]]])), F32, ["Mul"]),
    "2 negated": (lambda b, x: b(Neg(), b(Neg(), x)), F32, []),
    "2 negated integers": (lambda b, x: b(Neg(), b(Neg(), x)), I32, []),
    "2 not not": (lambda b, x: b(Not(), b(Not(), x)), BOOL, []),
    "2 not other pairs": (lambda b, x: b(Neg(), b(Sin(), x)), F32, ["Sin", "Neg"]),
    "3 abs abs": (lambda b, x: b(Abs(), b(Abs(), x)), F32, ["Abs"]),
    "3 abs of negated integers": (lambda b, x: b(Abs(), b(Neg(), x)), I32, ["Abs"]),
    "3 roundings": (lambda b, x: b(Round(), b(Ceil(), b(Floor(), x))), F32, ["Floor"]),
    "4 relu relu": (lambda b, x: b(Relu(), b(Relu(), x)), F32, ["Relu"]),
    "4 relu sigmoid": (lambda b, x: b(Relu(), b(Sigmoid(), x)), F32, ["Sigmoid"]),
    "4 relu exp": (lambda b, x: b(Relu(), b(Exp(), x)), F32, ["Exp"]),
    "4 relu softplus": (lambda b, x: b(Relu(), b(Softplus(), x)), F32, ["Softplus"]),
    "4 not of integers": (lambda b, x: b(Relu(), b(Abs(), x)), I32, ["Abs", "Relu"]),
    "4 not of anything": (lambda b, x: b(Relu(), b(Sin(), x)), F32, ["Sin", "Relu"]),
    "5 nested": (clips((0, 6), (-1, 3)), F32, ["Clip"]),
    "5 one bound each": (clips((0, None), (None, 6)), F32, ["Clip"]),
    "5 wider": (clips((0, 1), (-5, 5)), F32, ["Clip"]),
    "5 not apart": (clips((0, 1), (2, 3)), F32, ["Clip", "Clip"]),
    "5 not contradicting": (clips((3, 1), (0, 5)), F32, ["Clip", "Clip"]),
    "5 not zeros of both signs": (clips((0.0, 3), (-0.0, 5)), F32, ["Clip", "Clip"]),
    "5 not nan": (clips((np.nan, 3), (0, 5)), F32, ["Clip", "Clip"]),
    "5 minimum of maximum": (bounds(Minimum, 6, 0), F32, ["Clip"]),
    "5 maximum of minimum": (bounds(Maximum, -1, 1), F32, ["Clip"]),
    "5 not with zero inside out": (bounds(Maximum, 0, 1), F32, ["Minimum", "Maximum"]),
    "5 not maximum apart": (bounds(Maximum, 2, 1), F32, ["Minimum", "Maximum"]),
    "5 not twice the same": (lambda b, x: b(Minimum(), b(Minimum(), x, f32(2)), f32(1)), F32, ["Minimum", "Minimum"]),
    "6 true": (lambda b, x: b(Where(), TRUE, x, b(Neg(), x)), F32, []),
    "6 false": (lambda b, x: b(Where(), FALSE, x, b(Neg(), x)), F32, ["Neg"]),
    "6 expanded": (lambda b, x: b(Where(), b(Expand((3, 4)), TRUE), x, b(Neg(), x)), "f32[3, 4]", []),
    "6 same": (lambda b, x, c: b(Where(), c, x, x), (F32, BOOL), []),
    "6 not": (lambda b, x, c: b(Where(), b(Not(), c), x, b(Neg(), x)), (F32, BOOL), ["Neg", "Where"]),
    "6 not if broadcast": (lambda b, x, c: b(Where(), c, x, x), ("f32[4]", BOOL), ["Where"]),
    "6 not mixed": (lambda b, x: b(Where(), np.array([True, False] * 2), x, ZERO), F32, ["Where"]),
    "7 and true": (lambda b, x: b(And(), TRUE, x), BOOL, []),
    "7 or false": (lambda b, x: b(Or(), x, FALSE), BOOL, []),
    "7 xor false": (lambda b, x: b(Xor(), x, FALSE), BOOL, []),
    "7 xor true": (lambda b, x: b(Xor(), x, TRUE), BOOL, ["Not"]),
    "7 and false": (lambda b, x: b(And(), x, np.zeros((3, 4), bool)), "bool[3, 4]", []),
    "7 or true": (lambda b, x: b(Or(), x, np.ones((3, 4), bool)), "bool[3, 4]", []),
    "7 not and false if broadcast": (lambda b, x: b(And(), x, FALSE), BOOL, ["And"]),
    "7 twice": (lambda b, x: b(And(), x, b(Or(), x, x)), BOOL, []),
    "7 largest of one": (lambda b, x: b(Maximum(), b(Minimum(), x, x), x), F32, []),
    "8 there and back": (casts("f64", "f32"), F32, []),
    "8 wider and wider": (casts("f32", "f64"), "f16[batch, 4]", ["Cast"]),
    "8 integers": (casts("i16", "u8"), "i8[batch, 4]", ["Cast"]),
    "8 integers in floats": (casts("f64", "i32"), I32, []),
    "8 booleans": (casts("i32", "bool"), BOOL, []),
    "8 booleans to floats": (casts("f32", "f16"), BOOL, ["Cast"]),
    "8 not rounded": (casts("f16", "f32"), F32, ["Cast", "Cast"]),
    "8 not integers rounded": (casts("f32", "i32"), I32, ["Cast", "Cast"]),
    "8 not wrapped": (casts("i8", "i32"), I32, ["Cast", "Cast"]),
    "8 not signs lost": (casts("u32", "i64"), I32, ["Cast", "Cast"]),
    "8 not by another 16 bits": (casts("bf16", "f16"), "f16[batch, 4]", ["Cast", "Cast"]),
    "8 not rounded twice": (casts("f64", "f16"), I32, ["Cast", "Cast"]),
    "9 on either side": (lambda b, x, y: b(Concat(1), join(b, x, y), y, join(b, y, x)), (F32, F32), ["Concat"]),
    "9 in each other": (lambda b, x, y: join(b, x, join(b, join(b, y, x), y)), (F32, F32), ["Concat"]),
    "9 not along another axis": (lambda b, x: b(Concat(0), join(b, x, x), join(b, x, x)), F32, ["Concat"] * 3),
    "9 not if read twice": (lambda b, x: join(b, *[join(b, x, x)] * 2), F32, ["Concat", "Concat"]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_case(case: str) -> None:
    build, types, expected = CASES[case]
    assert left(simplify, build, *((types,) if isinstance(types, str) else types)) == expected


def test_8_not_floats_to_integers() -> None:
    assert left(simplify, casts("f64", "i32"), F32, special=False) == ["Cast", "Cast"]


def test_8_booleans_as_numbers() -> None:
    def back_and(dtype: DType, reduction: Op) -> Builder:
        def build(b: Build, x: Value) -> Any:
            return b(Cast(dtype), b(Cast(DType.BOOL), b(reduction, b(Cast(DType.INT32), x))))

        return build

    assert left(simplify, back_and(DType.INT32, ReduceMax((1,), True)), BOOL) == ["Cast", "ReduceMax"]
    assert left(simplify, back_and(DType.INT64, ReduceMin((1,), False)), BOOL) == ["Cast", "ReduceMin", "Cast"]
    # Of nothing, or of numbers that are no booleans, or of a sum of booleans.
    assert len(left(simplify, back_and(DType.INT32, ReduceMax((0,), True)), BOOL)) == 4
    assert len(left(simplify, back_and(DType.INT32, ReduceMax((1,), True)), I32)) == 4
    assert len(left(simplify, back_and(DType.INT32, ReduceSum((1,), True)), BOOL)) == 4


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [((0, 6), (-1, 3), [0, 3]), ((None, 6), (0, None), [0, 6]), ((0, None), (1, None), [1])],
)
def test_5_the_bounds(first: Bounds, second: Bounds, expected: object) -> None:
    graph = optimize(simplify, clips(first, second))
    assert [float(node.op.eval()) for node in graph.order() if isinstance(node.op, Constant)] == expected


def test_5_integers() -> None:
    def build(b: Build, x: Value) -> Any:
        return b(Clip(), b(Clip(), x, np.int32(0), None), None, np.int32(6))

    assert left(simplify, build, I32) == ["Clip"]


def test_9_a_long_chain() -> None:
    def build(b: Build, x: Value) -> Any:
        y = x
        for _ in range(2_000):
            y = join(b, y, x)
        return y

    assert left(simplify, build, F32) == ["Concat"]
