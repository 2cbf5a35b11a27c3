import math
from typing import Any

import numpy as np
import pytest

from kir.ir.graph import Value
from kir.ops.elementwise import (
    Abs,
    Add,
    Clip,
    Div,
    Erf,
    Gelu,
    Greater,
    HardSigmoid,
    Minimum,
    Mul,
    Pow,
    Reciprocal,
    Softplus,
    Sqrt,
    Tanh,
    Where,
)
from kir.ops.reduce import ReduceL2, ReduceSum, ReduceSumSquare
from kir.passes.fuse_formulas import fuse_formulas
from tests.passes.building import Build, Builder, f32, left, optimize


def mish(b: Build, x: Value) -> Any:
    return b(Mul(), x, b(Tanh(), b(Softplus(), x)))


def clipped(b: Build, x: Value, bound: float = 6.0) -> Any:
    return b(Clip(), b(Add(), x, f32(3)), f32(0), f32(bound))


def exact_gelu(b: Build, x: Value, root: float = math.sqrt(2)) -> Any:
    return b(Mul(), b(Mul(), x, b(Add(), b(Erf(), b(Div(), x, f32(root))), f32(1))), f32(0.5))


def halves_first(b: Build, x: Value) -> Any:
    half, curve = b(Mul(), f32(0.5), x), b(Add(), f32(1), b(Erf(), b(Mul(), x, f32(math.sqrt(0.5)))))
    return b(Mul(), half, curve)


def approximate_gelu(b: Build, x: Value, cube: Builder = lambda b, x: b(Pow(), x, f32(3))) -> Any:
    inner = b(Add(), x, b(Mul(), f32(0.044715), cube(b, x)))
    curve = b(Add(), b(Tanh(), b(Mul(), f32(math.sqrt(2 / math.pi)), inner)), f32(1))
    return b(Mul(), x, b(Mul(), f32(0.5), curve))


def length(b: Build, squares: Value) -> Any:
    return b(Sqrt(), b(ReduceSum((1,), True), squares))


def normalized(b: Build, x: Value, invert: Builder) -> Any:
    return b(Mul(), x, b(Minimum(), invert(b(ReduceL2((1,), True), x)), f32(1e6)))


def guarded(b: Build, x: Value, bound: float = 20) -> Any:
    return b(Where(), b(Greater(), x, f32(bound)), x, b(Softplus(), x))


CASES = {
    "1": (mish, ["Mish"]),
    "1 the other way round": (lambda b, x: b(Mul(), b(Tanh(), b(Softplus(), x)), x), ["Mish"]),
    "1 not of another value": (
        lambda b, x: b(Mul(), b(Abs(), x), b(Tanh(), b(Softplus(), x))),
        ["Abs", "Softplus", "Tanh", "Mul"],
    ),
    "1 not scaled": (lambda b, x: b(Mul(), f32(2), mish(b, x)), ["Mish", "Mul"]),
    "2": (lambda b, x: b(Div(), x, b(Add(), b(Abs(), x), f32(1))), ["Softsign"]),
    "2 one first": (lambda b, x: b(Div(), x, b(Add(), f32(1), b(Abs(), x))), ["Softsign"]),
    "2 not of two": (lambda b, x: b(Div(), x, b(Add(), b(Abs(), x), f32(2))), ["Abs", "Add", "Div"]),
    "3": (exact_gelu, ["Gelu"]),
    "3 halves first": (halves_first, ["Gelu"]),
    "3 not of another width": (lambda b, x: exact_gelu(b, x, 1.5), ["Div", "Erf", "Add", "Mul", "Mul"]),
    "3 approximate": (approximate_gelu, ["Gelu"]),
    "3 approximate with products": (
        lambda b, x: approximate_gelu(b, x, lambda b, x: b(Mul(), x, b(Mul(), x, x))),
        ["Gelu"],
    ),
    "3 not of a square": (
        lambda b, x: approximate_gelu(b, x, lambda b, x: b(Pow(), x, f32(2))),
        ["Pow", "Mul", "Add", "Mul", "Tanh", "Add", "Mul", "Mul"],
    ),
    "4": (lambda b, x: b(Div(), clipped(b, x), f32(6)), ["HardSigmoid"]),
    "4 not of another range": (lambda b, x: b(Div(), clipped(b, x, 5), f32(6)), ["Add", "Clip", "Div"]),
    "4 times x": (lambda b, x: b(Mul(), b(Mul(), x, clipped(b, x)), f32(1 / 6)), ["HardSwish"]),
    "4 x times that": (lambda b, x: b(Mul(), x, b(HardSigmoid(1 / 6, 0.5), x)), ["HardSwish"]),
    "5": (guarded, ["Softplus"]),
    "5 not of a low bound": (lambda b, x: guarded(b, x, 5), ["Greater", "Softplus", "Where"]),
    "6": (lambda b, x: length(b, b(Mul(), x, x)), ["ReduceL2"]),
    "6 of a power": (lambda b, x: length(b, b(Pow(), x, f32(2))), ["ReduceL2"]),
    "6 of a sum of squares": (lambda b, x: b(Sqrt(), b(ReduceSumSquare((1,), True), x)), ["ReduceL2"]),
    "6 not of another product": (lambda b, x: length(b, b(Mul(), x, b(Abs(), x))), ["Abs", "Mul", "ReduceSum", "Sqrt"]),
    "6 inverse": (lambda b, x: normalized(b, x, lambda y: b(Reciprocal(), y)), ["ReduceL2", "Maximum", "Div"]),
    "6 one divided": (lambda b, x: normalized(b, x, lambda y: b(Div(), f32(1), y)), ["ReduceL2", "Maximum", "Div"]),
    "6 not two divided": (
        lambda b, x: normalized(b, x, lambda y: b(Div(), f32(2), y)),
        ["ReduceL2", "Div", "Minimum", "Mul"],
    ),
    "6 not of negative numbers": (
        lambda b, x: b(Mul(), x, b(Minimum(), b(Reciprocal(), x), f32(9))),
        ["Reciprocal", "Minimum", "Mul"],
    ),
    "not in a long product": (
        lambda b, x: b(Mul(), b(Mul(), b(Mul(), mish(b, b(Abs(), x)), x), x), x),
        ["Abs", "Mish", "Mul", "Mul", "Mul"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    """Without infinities: x * 0 there is nan in a formula, and need not be in the operator."""
    build, expected = CASES[case]
    assert left(fuse_formulas, build, special=False) == expected


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f64"])
def test_numbers_are_those_of_the_dtype(dtype: str) -> None:
    from kir.ir.types import parse_type

    numpy = parse_type(f"{dtype}[]").dtype.numpy

    def build(b: Build, x: Value) -> Any:
        curve = b(Add(), b(Erf(), b(Mul(), x, np.asarray(math.sqrt(0.5), numpy))), np.asarray(1, numpy))
        return b(Mul(), b(Mul(), x, np.asarray(0.5, numpy)), curve)

    assert left(fuse_formulas, build, f"{dtype}[batch, 4]", special=False) == ["Gelu"]


def test_3_says_which_gelu_it_is() -> None:
    for build, approximate in ((exact_gelu, False), (approximate_gelu, True)):
        graph = optimize(fuse_formulas, build, special=False)
        assert Gelu(approximate) in [node.op for node in graph.order()]


def test_not_where_a_number_adds_axes() -> None:
    def build(b: Build, x: Value) -> Any:
        return b(Mul(), mish(b, x), f32([[[1.0]]]))

    assert left(fuse_formulas, build) == ["Mish", "Mul"]
