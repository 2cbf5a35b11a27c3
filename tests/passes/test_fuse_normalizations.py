from typing import Any

import numpy as np
import pytest

from kir.ir.graph import Value
from kir.ir.types import parse_type
from kir.ops.elementwise import Abs, Add, Div, Mul, Neg, Pow, Reciprocal, Sqrt, Sub
from kir.ops.normalization import LayerNormalization
from kir.ops.reduce import ReduceMean
from kir.passes.fuse_normalizations import fuse_normalizations
from tests.passes.building import Array, Build, Builder, f32, left, optimize, weights

EPSILON = f32(1e-3)


def power(b: Build, x: Value) -> Any:
    return b(Pow(), x, f32(2))


def product(b: Build, x: Value) -> Any:
    return b(Mul(), x, x)


def divide(b: Build, x: Value, y: Value) -> Any:
    return b(Div(), x, b(Sqrt(), y))


def normalize(
    b: Build,
    x: Value,
    axes: tuple[int, ...] = (1,),
    square: Builder = power,
    quotient: Builder = divide,
    epsilon: Array = EPSILON,
) -> Any:
    centred = b(Sub(), x, b(ReduceMean(axes, True), x))
    return quotient(b, centred, b(Add(), b(ReduceMean(axes, True), square(b, centred)), epsilon))


def without_epsilon(b: Build, x: Value) -> Any:
    centred = b(Sub(), x, b(ReduceMean((1,), True), x))
    return divide(b, centred, b(ReduceMean((1,), True), power(b, centred)))


def epsilon_first(b: Build, x: Value) -> Any:
    centred = b(Sub(), x, b(ReduceMean((1,), True), x))
    return divide(b, centred, b(Add(), EPSILON, b(ReduceMean((1,), True), product(b, centred))))


def of_another_square(b: Build, x: Value) -> Any:
    return normalize(b, x, square=lambda b, y: power(b, x))


def scaled(b: Build, x: Value, rest: Builder, scale: Array | None = None) -> Any:
    """x * k + rest(mean, k), as Keras writes it."""
    mean = b(ReduceMean((1,), True), x)
    factor = b(Reciprocal(), b(Sqrt(), b(Add(), b(ReduceMean((1,), True), product(b, b(Sub(), x, mean))), EPSILON)))
    factor = factor if scale is None else b(Mul(), factor, scale)
    return b(Add(), b(Mul(), x, factor), rest(b, mean, factor))


def subtract(b: Build, mean: Value, factor: Value) -> Any:
    return b(Sub(), weights(4, seed=2), b(Mul(), mean, factor))


def add_negated(b: Build, mean: Value, factor: Value) -> Any:
    return b(Add(), b(Mul(), b(Neg(), mean), factor), weights(4, seed=2))


FORMULA = ["ReduceMean", "Sub", "Pow", "ReduceMean", "Add", "Sqrt", "Div"]
NORMALIZED = ["LayerNormalization"]
CASES = {
    "1": (normalize, NORMALIZED),
    "1 of a product": (lambda b, x: normalize(b, x, square=product), NORMALIZED),
    "1 not with another number": (
        lambda b, x: normalize(b, x, quotient=lambda b, c, y: divide(b, c, b(Add(), f32(1), y))),
        ["ReduceMean", "Sub", "Pow", "ReduceMean", "Add", "Add", "Sqrt", "Div"],
    ),
    "1 epsilon first": (epsilon_first, NORMALIZED),
    "1 without epsilon": (without_epsilon, NORMALIZED),
    "1 times the inverse": (
        lambda b, x: normalize(b, x, quotient=lambda b, c, y: b(Mul(), b(Reciprocal(), b(Sqrt(), y)), c)),
        NORMALIZED,
    ),
    "1 times one divided": (
        lambda b, x: normalize(b, x, quotient=lambda b, c, y: b(Mul(), c, b(Div(), f32(1), b(Sqrt(), y)))),
        NORMALIZED,
    ),
    "1 times a power": (
        lambda b, x: normalize(b, x, quotient=lambda b, c, y: b(Mul(), c, b(Pow(), y, f32(-0.5)))),
        NORMALIZED,
    ),
    "1 by a power": (
        lambda b, x: normalize(b, x, quotient=lambda b, c, y: b(Div(), c, b(Pow(), y, f32(0.5)))),
        NORMALIZED,
    ),
    "1 not of another square": (of_another_square, FORMULA),
    "1 not of a cube": (lambda b, x: normalize(b, x, square=lambda b, y: b(Pow(), y, f32(3))), FORMULA),
    "1 not of another axis": (lambda b, x: normalize(b, x, axes=(0,)), FORMULA),
    "1 not times the root": (
        lambda b, x: normalize(b, x, quotient=lambda b, c, y: b(Mul(), c, b(Sqrt(), y))),
        [*FORMULA[:-1], "Mul"],
    ),
    "1 not with one epsilon for each": (
        lambda b, x: normalize(b, x, epsilon=f32(1, 2, 3, 4)),
        FORMULA,
    ),
    "2": (lambda b, x: b(Mul(), weights(4), normalize(b, x)), NORMALIZED),
    "2 of one number": (lambda b, x: b(Mul(), normalize(b, x), f32(3)), NORMALIZED),
    "2 with further axes": (lambda b, x: b(Mul(), normalize(b, x), weights(1, 4)), NORMALIZED),
    "2 not twice": (
        lambda b, x: b(Mul(), b(Mul(), normalize(b, x), weights(4)), weights(4, seed=2)),
        [*NORMALIZED, "Mul"],
    ),
    "2 not of each sample": (lambda b, x: b(Mul(), normalize(b, x), b(Abs(), x)), ["Abs", *NORMALIZED, "Mul"]),
    "2 not behind a bias": (
        lambda b, x: b(Mul(), b(Add(), normalize(b, x), weights(4)), weights(4, seed=2)),
        [*NORMALIZED, "Mul"],
    ),
    "3": (lambda b, x: b(Add(), b(Mul(), normalize(b, x), weights(4)), weights(4, seed=2)), NORMALIZED),
    "3 without a scale": (lambda b, x: b(Add(), f32(3), normalize(b, x)), NORMALIZED),
    "3 not read twice": (
        lambda b, x: (b(Add(), y := normalize(b, x), weights(4)), y),
        [*NORMALIZED, "Add"],
    ),
    "4": (lambda b, x: scaled(b, x, subtract, weights(4)), NORMALIZED),
    "4 negated": (lambda b, x: scaled(b, x, add_negated, weights(4)), NORMALIZED),
    "4 without a scale": (lambda b, x: scaled(b, x, add_negated), NORMALIZED),
    "4 without a bias": (
        lambda b, x: scaled(b, x, lambda b, m, k: b(Neg(), b(Mul(), m, k)), weights(4)),
        NORMALIZED,
    ),
    "4 not without the mean": (
        lambda b, x: scaled(b, x, lambda b, m, k: b(Neg(), b(Mul(), x, k)), weights(4)),
        [*FORMULA[:2], "Mul", *FORMULA[3:6], "Reciprocal", "Mul", "Mul", "Mul", "Neg", "Add"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    found = left(fuse_normalizations, build, special=False)
    assert sorted(found) == sorted(expected)


def test_several_axes() -> None:
    graph = optimize(
        fuse_normalizations,
        lambda b, x: b(Add(), b(Mul(), normalize(b, x, (1, 2)), weights(5)), weights(3, 1)),
        "f32[batch, 3, 5]",
        special=False,
    )
    ops = [node.op for node in graph.order() if isinstance(node.op, LayerNormalization)]
    assert ops == [LayerNormalization(1, float(np.float32(1e-3)))]


def test_not_of_an_unknown_size() -> None:
    assert left(fuse_normalizations, normalize, "f32[3, time]", special=False) == FORMULA


def test_not_where_a_weight_adds_axes() -> None:
    def build(b: Build, x: Value) -> Any:
        return b(Mul(), normalize(b, x), f32([[[1.0]]]))

    assert left(fuse_normalizations, build, special=False) == [*NORMALIZED, "Mul"]


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f64"])
def test_other_dtypes(dtype: str) -> None:
    numpy = parse_type(f"{dtype}[]").dtype.numpy

    def build(b: Build, x: Value) -> Any:
        return normalize(b, x, square=product, epsilon=np.asarray(1e-3, numpy))

    assert left(fuse_normalizations, build, f"{dtype}[batch, 4]", special=False) == NORMALIZED
